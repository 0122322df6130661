//! What a record is: values, ids, rows, versions of rows.

mod id;
mod record;
mod time;
mod value;
mod value_serde;
pub mod vector;

pub use id::{RecordId, Seq, Slot};
pub use record::{Metadata, Record, Row};
pub use time::{Date, Timestamp};
pub use value::{Extension, Map, Text, Value, ValueKind};
pub use vector::{Vector, VectorElement};
