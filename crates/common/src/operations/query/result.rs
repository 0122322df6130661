//! [`QueryResult`]: what a query gives.

use std::ops::Deref;
use std::sync::Arc;

use super::cursor::Cursor;
use super::plan::Plan;
use crate::core::base::{Record, Text, Value};

/// One row of a result; dereferences to its values in the order of [`QueryResult::columns`].
#[derive(Debug, Clone)]
pub enum ResultRow {
    /// A record as stored, shared with the database.
    Record(Record),
    /// Values put together for this result.
    Values(Arc<[Value]>),
}

impl ResultRow {
    /// The record, when the row is one.
    pub const fn as_record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Values(_) => None,
        }
    }

    /// The values.
    pub fn values(&self) -> &[Value] {
        match self {
            Self::Record(record) => record.values(),
            Self::Values(values) => values,
        }
    }
}

impl Deref for ResultRow {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        self.values()
    }
}

/// Equal when the values are, whatever they are stored as.
impl PartialEq for ResultRow {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Record(a), Self::Record(b)) if a.is_same(b) => true,
            _ => self.values() == other.values(),
        }
    }
}

impl Eq for ResultRow {}

/// What a query gives.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Names of the columns.
    pub columns: Arc<[Text]>,
    /// The rows.
    pub rows: Vec<ResultRow>,
    /// Where the next page begins: present when the query has an order and a limit and more rows follow.
    pub cursor: Option<Cursor>,
    /// How the query was run.
    pub plan: Plan,
    /// Number of records that were read, those of joined tables included.
    pub scanned: usize,
    /// Number of rows in the result.
    pub returned: usize,
}

impl QueryResult {
    /// Position of the column of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}
