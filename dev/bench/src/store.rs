//! The workload of `bench core`: one table of eight mixed columns, and what can be done to it.

mod cases;
mod limit;
mod plan;
mod readers;
mod row;
mod subject;
mod tandem;

pub use cases::run;
pub use limit::{Limit, SharedLimit};
pub use plan::{CASES, Plan};
pub use row::{Digest, Row, Table, id_of, uuid_of};
pub use subject::{Change, Contender, Layout, Operation, Share, Shared, Subject};
pub use tandem::Tandem;
