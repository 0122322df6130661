//! What a record is: values, ids, rows, versions of rows.

mod body;
mod id;
mod record;
mod text;
mod time;
mod value;
mod value_input;
mod value_serde;
pub mod vector;

pub(crate) use body::Inputs;
pub use id::{RecordId, Seq, Slot};
pub use record::{Metadata, Record, Row};
pub use text::Text;
pub use time::{Date, Timestamp};
pub use value::{Extension, Map, Value, ValueKind};
pub use value_input::ValueInput;
pub use vector::{Vector, VectorElement};
