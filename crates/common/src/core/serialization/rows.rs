//! What every format does with rows: check them against the schema, name the place of a problem.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use crate::core::base::{Record, Value};
use crate::core::schema::{Field, Schema, SchemaId, fits};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Checks that the values are of the columns' types. Rows count from 0 here and from 1 in messages.
pub(super) fn check(schema: &Schema, row: usize, values: &[Value]) -> Result<()> {
    if values.len() != schema.fields.len() {
        return Err(Error::invalid(format!(
            "row {} of `{}` has {} values; the table has {} columns",
            row + 1,
            schema.name,
            values.len(),
            schema.fields.len()
        )));
    }
    for (field, value) in schema.fields.iter().zip(values) {
        if !holds(field, value) {
            let found = value.kind();
            return Err(at(
                Error::invalid(format!("is {found}, expected {}", expected(field))),
                schema,
                row,
                &field.name,
            ));
        }
    }
    Ok(())
}

/// Whether a value may stand in a column, rules aside.
fn holds(field: &Field, value: &Value) -> bool {
    if value.is_null() {
        field.nullable
    } else {
        fits(&field.ty, value)
    }
}

fn expected(field: &Field) -> String {
    let null = if field.nullable { " or null" } else { "" };
    format!("{}{null}", field.ty)
}

/// The value of a row that leaves the column out.
pub(super) fn missing(field: &Field) -> Result<Value> {
    match &field.default {
        Some(value) => Ok(value.clone()),
        None if field.nullable => Ok(Value::Null),
        None => Err(Error::invalid(format!("is missing, expected {}", field.ty))),
    }
}

/// Puts row and column in front of an error.
#[cold]
pub(super) fn at(error: Error, schema: &Schema, row: usize, column: &str) -> Error {
    error.at(format!(
        "row {} of `{}`, column `{column}`",
        row + 1,
        schema.name
    ))
}

/// Puts the row in front of an error.
#[cold]
pub(super) fn at_row(error: Error, schema: &Schema, row: usize) -> Error {
    error.at(format!("row {} of `{}`", row + 1, schema.name))
}

/// Refuses rows that were written under another schema.
pub(super) fn check_id(schema: &Schema, found: &[u8]) -> Result<()> {
    let known = schema.schema_id();
    if found == known.0 {
        return Ok(());
    }
    let found = match found.try_into() {
        Ok(id) => SchemaId(id).to_string(),
        Err(_) => format!("of {} bytes", found.len()),
    };
    Err(Error::invalid(format!(
        "the rows were written under schema {found}, but schema {known} of `{}` (version {}) was given",
        schema.name, schema.version
    )))
}

/// Rows as one value: the schema's id, then one list for each row.
pub(super) fn to_value(schema: &Schema, records: &[Record]) -> Result<Value> {
    let mut list = Vec::with_capacity(records.len() + 1);
    list.push(Value::from(&schema.schema_id().0[..]));
    for (row, record) in records.iter().enumerate() {
        check(schema, row, record)?;
        list.push(Value::List(record.values().into()));
    }
    Ok(Value::from(list))
}

/// Rows from the value that [`to_value`] made.
pub(super) fn from_value(
    schema: &Schema,
    value: &Value,
    limits: &Limits,
) -> Result<Vec<Vec<Value>>> {
    let Some([Value::Bytes(id), list @ ..]) = value.as_list() else {
        return Err(Error::corrupt(
            "rows are a list that begins with the schema's id",
        ));
    };
    check_id(schema, id)?;
    limits.check_rows(list.len())?;
    let rows = list.iter().enumerate().map(|(row, cells)| {
        let cells = cells
            .as_list()
            .ok_or_else(|| at_row(Error::corrupt("is not a list of values"), schema, row))?;
        check(schema, row, cells)?;
        Ok(cells.to_vec())
    });
    rows.collect()
}
