//! [`Subject`]: one way to bring rows to a client and keep them up to date.

use std::time::{Duration, Instant};

use bench::Result;
use bench::alloc::peak_bytes_of;
use bench::clock::process_time;
use bench::mobile::{Edit, Mobile};
use common::Value;

/// What the server's rows have become since the client was last in step.
pub(crate) enum Change {
    /// Other values in some columns of some rows.
    Edits(Vec<Edit>),
    /// New rows: the table's position and the values.
    Inserts(Vec<(usize, Vec<Value>)>),
    /// Rows that went: the table's position and the key.
    Deletes(Vec<(usize, Vec<Value>)>),
}

/// What travelled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) round_trips: u64,
}

/// The time that a sync took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) wall: Duration,
    /// Of both sides, which share the process.
    pub(crate) processor: Duration,
}

/// Server and client of one kind. The server's part of a sync begins at its own store and includes whatever it must
/// compute anew; the client's ends where the rows can be read.
pub(crate) trait Subject {
    /// Gives the server its rows. Not timed.
    fn publish(&mut self, data: &Mobile) -> Result<()>;

    /// Changes the server's rows. `before` is how they stand. Not timed.
    fn change(&mut self, before: &Mobile, change: &Change) -> Result<()>;

    /// Brings the client in step with the server.
    fn sync(&mut self) -> Result<Traffic>;

    /// The client's rows by table, in whatever order.
    fn rows(&self, data: &Mobile) -> Result<Vec<Vec<Vec<Cell>>>>;
}

/// A value as every subject can hold it.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Times are numbers, identifiers 16 bytes, lists JSON: kinds that rivals do not have.
pub(crate) fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Int(value) => Cell::Int(*value),
        Value::Float(value) => Cell::Float(*value),
        Value::Text(value) => Cell::Text(value.to_string()),
        Value::Bytes(value) => Cell::Bytes(value.to_vec()),
        Value::Timestamp(value) => Cell::Int(value.0),
        Value::Date(value) => Cell::Int(value.0.into()),
        Value::Uuid(value) => Cell::Bytes(value.as_bytes().to_vec()),
        other => Cell::Text(serde_json::to_string(other).unwrap_or_default()),
    }
}

pub(crate) fn cells(row: &[Value]) -> Vec<Cell> {
    row.iter().map(cell).collect()
}

/// A key as text, for stores whose keys are that.
pub(crate) fn key_text(key: &[Value]) -> String {
    let parts: Vec<String> = key
        .iter()
        .map(|value| match value {
            Value::Timestamp(time) => time.0.to_string(),
            other => other.to_string(),
        })
        .collect();
    parts.join("/")
}

pub(crate) fn timed(subject: &mut dyn Subject) -> Result<Measured> {
    let processor = process_time();
    let wall = Instant::now();
    subject.sync()?;
    Ok(Measured {
        wall: wall.elapsed(),
        processor: process_time().saturating_sub(processor),
    })
}

/// The same, for the memory that it takes; its times mean nothing.
pub(crate) fn weighed(subject: &mut dyn Subject) -> Result<(Traffic, u64)> {
    let (traffic, bytes) = peak_bytes_of(|| subject.sync());
    Ok((traffic?, bytes))
}

/// Ends with an error unless the client has exactly these rows.
pub(crate) fn check(subject: &dyn Subject, data: &Mobile) -> Result<()> {
    let found = subject.rows(data)?;
    for (table, mut found) in data.tables.iter().zip(found) {
        let mut expected: Vec<Vec<Cell>> = table.rows.iter().map(|row| cells(row)).collect();
        let order =
            |a: &Vec<Cell>, b: &Vec<Cell>| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
        expected.sort_by(order);
        found.sort_by(order);
        let name = &table.schema.name;
        if expected.len() != found.len() {
            return Err(format!(
                "{} rows of {name} arrived, expected {}",
                found.len(),
                expected.len()
            )
            .into());
        }
        if let Some((found, expected)) = found.iter().zip(&expected).find(|(a, b)| a != b) {
            return Err(format!("a row of {name} is {found:?}, expected {expected:?}").into());
        }
    }
    Ok(())
}
