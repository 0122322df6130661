//! Queries: filters, plans, evaluation, live results.

mod aggregate;
mod bounds;
mod coerce;
mod compile;
mod cursor;
mod diff;
mod execute;
mod filter;
mod group;
mod join;
mod layout;
mod live;
mod order;
mod path;
mod plan;
mod prepare;
#[expect(
    clippy::module_inception,
    reason = "the request is what this folder is about"
)]
mod query;
mod result;
mod text;

pub use crate::core::storage::Direction;
pub use aggregate::{Aggregate, AggregateFunction};
pub use compile::Predicate;
pub use cursor::Cursor;
pub use diff::Difference;
pub use filter::{CompareOp, CustomFilter, Filter, FilterRegistry};
pub use live::LiveQuery;
pub use order::{NullPlacement, OrderBy};
pub use path::{Part, Path};
pub use plan::{Access, JoinAccess, JoinPlan, Plan, SortPlan};
pub use prepare::PreparedQuery;
pub use query::{Join, JoinKind, Query, Selected};
pub use result::{QueryResult, ResultRow};
