//! What the routes for models have in common: bodies, answers, rows as JSON.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json};
use common::query::Filter;
use common::schema::{Field, FieldType, Schema, SchemaVersion};
use common::serialization::Format;
use common::{Error, ErrorKind, Limits, Metadata, Record, RecordId, Result, Text, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use syncdb::Permission;

use crate::auth::{Caller, Scope};
use crate::call::Answered;
use crate::limits::{ANSWER_BYTES_MAX, OPERATIONS_MAX};
use crate::negotiate::{names, object};
use crate::openapi::{Operation, reference};
use crate::problem::Problem;

/// Most rows, ids, events or units in one request.
pub(super) const ROWS_MAX: usize = OPERATIONS_MAX;
/// How deep JSON of a request may be nested.
const DEPTH_MAX: usize = 64;

/// What somebody does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Checks that the caller may do something with all of a table, as is needed for what has no permissions by row.
pub(super) fn require(
    caller: &Caller,
    table: &str,
    access: Access,
) -> std::result::Result<(), Problem> {
    // One that is not there is nobody's to keep from others.
    let Ok(table) = caller.tenant.database().collection(table) else {
        return Ok(());
    };
    let schema = table.schema();
    let permission = match access {
        Access::Read => caller.permission(&schema),
        Access::Write => caller.write_permission(&schema),
    };
    if permission == Permission::all() {
        return Ok(());
    }
    let what = match access {
        Access::Read => "read",
        Access::Write => "change",
    };
    Err(Problem::forbidden(format!(
        "this needs the permission to {what} all of table `{}`",
        schema.name
    )))
}

/// What the document says of a route that reads: the schemas of its body, where it takes one, and of its answer.
pub(super) fn reading(
    id: &'static str,
    summary: &'static str,
    takes: Option<&str>,
    gives: &str,
) -> Operation {
    let operation = Operation::new(id, summary).gives(200, "The answer", reference(gives));
    match takes {
        Some(takes) => operation.takes(reference(takes)),
        None => operation,
    }
}

/// What the document says of a route that changes something.
pub(super) fn writing(
    id: &'static str,
    summary: &'static str,
    takes: Option<&str>,
    gives: &str,
) -> Operation {
    reading(id, summary, takes, gives).needs(Scope::Write)
}

/// What the document says of a route that makes something.
pub(super) fn making(
    id: &'static str,
    summary: &'static str,
    takes: Option<&str>,
    gives: &str,
) -> Operation {
    let operation = Operation::new(id, summary).needs(Scope::Write).gives(
        201,
        "What was made",
        reference(gives),
    );
    match takes {
        Some(takes) => operation.takes(reference(takes)),
        None => operation,
    }
}

/// What the body says.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    object(if body.is_empty() { b"{}" } else { body })
}

/// An answer as JSON.
#[expect(clippy::unnecessary_wraps, reason = "what handlers end with")]
pub(super) fn json(value: &impl Serialize) -> Answered {
    Ok(Json(value).into_response())
}

/// The answer to what made something.
#[expect(clippy::unnecessary_wraps, reason = "what handlers end with")]
pub(super) fn created(value: &impl Serialize) -> Answered {
    Ok((StatusCode::CREATED, Json(value)).into_response())
}

/// Whether the caller asks for a media type by name.
pub(super) fn accepts(headers: &HeaderMap, media: &str) -> bool {
    names(headers, header::ACCEPT, media)
}

/// Checks how many there are of something.
pub(super) fn check_count(field: &str, found: usize, most: usize) -> Result<()> {
    if found > most {
        return Err(Error::invalid(format!(
            "`{field}` has {found} entries; one request takes at most {most}"
        )));
    }
    Ok(())
}

/// What rows and values of a request may take.
pub(super) fn limits() -> Limits {
    Limits::default().depth_max(DEPTH_MAX)
}

/// A filter: text such as `price < 3`, or the JSON of one.
pub(super) fn filter_of(given: &RawValue) -> Result<Filter> {
    let place = |error: Error| error.at("filter");
    if given.get().starts_with('"') {
        let text: String = serde_json::from_str(given.get())
            .map_err(|error| place(Error::invalid(error.to_string())))?;
        return Filter::parse(&text).map_err(place);
    }
    let filter = Filter::from_json(given.get().as_bytes(), &limits()).map_err(place)?;
    if filter.has_parameters() {
        return Err(place(Error::invalid(
            "it has a parameter; give the value itself",
        )));
    }
    Ok(filter)
}

/// A table of some columns, as JSON is read and written by.
pub(super) fn table(name: &str, fields: Vec<Field>) -> Schema {
    Schema {
        name: name.into(),
        version: SchemaVersion(1),
        key_columns: 1,
        fields,
        indexes: Vec::new(),
        references: Vec::new(),
    }
}

/// Reads rows, each an object by column.
pub(super) fn rows_of(schema: &Schema, given: &[Box<RawValue>]) -> Result<Vec<Vec<Value>>> {
    let mut lines = Vec::new();
    for row in given {
        lines.extend_from_slice(row.get().as_bytes());
        lines.push(b'\n');
    }
    let rows = Format::Json.decode_rows(schema, &lines, &limits());
    rows.map_err(in_body)
}

/// What is unknown in a body is wrong in the request, and no missing page.
fn in_body(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::invalid(error.message().to_owned()),
        _ => error,
    }
}

/// The names that each row gives a value for.
pub(super) fn names_of(row: &RawValue) -> Result<Vec<Text>> {
    let names: std::collections::BTreeMap<Text, &RawValue> = serde_json::from_str(row.get())
        .map_err(|error| Error::invalid(format!("a row is an object: {error}")))?;
    Ok(names.into_keys().collect())
}

/// Reads one value of a type, as rows have it.
pub(super) fn value_of(name: &str, ty: &FieldType, given: &RawValue) -> Result<Value> {
    let schema = table("value", vec![Field::new(name, ty.clone())]);
    let values = key_values(&schema, given)?;
    values
        .into_iter()
        .next()
        .ok_or_else(|| Error::invalid("there is no value").at(name.to_owned()))
}

/// The key columns of a table, by themselves.
pub(super) fn key_table(fields: &[Field]) -> Schema {
    Schema {
        key_columns: fields.len(),
        ..table("key", fields.to_vec())
    }
}

/// Reads a key: the value itself where there is one column, else an object by column.
pub(super) fn id_of(keys: &Schema, given: &RawValue) -> Result<RecordId> {
    Ok(RecordId::composite(key_values(keys, given)?))
}

/// Reads keys of a list, with the place of one that is wrong.
pub(super) fn ids_of(keys: &Schema, field: &str, given: &[Box<RawValue>]) -> Result<Vec<RecordId>> {
    let ids = given.iter().enumerate();
    ids.map(|(at, id)| id_of(keys, id).map_err(|error| error.at(format!("{field}[{at}]"))))
        .collect()
}

fn key_values(keys: &Schema, given: &RawValue) -> Result<Vec<Value>> {
    let line = match keys.fields.as_slice() {
        [field] => {
            let name = serde_json::to_string(&field.name)
                .map_err(|error| Error::invalid(error.to_string()))?;
            format!("{{{name}:{}}}", given.get())
        }
        _ => given.get().to_owned(),
    };
    let rows = Format::Json.decode_rows(keys, line.as_bytes(), &limits());
    let rows = rows.map_err(in_body)?;
    let [row] =
        <[Vec<Value>; 1]>::try_from(rows).map_err(|_| Error::invalid("it is not one value"))?;
    Ok(row)
}

/// Writes rows of some columns as JSON, up to a size of them all.
pub(super) struct Encoder {
    table: Schema,
    bytes: usize,
}

impl Encoder {
    pub(super) fn new(fields: Vec<Field>) -> Self {
        Self {
            table: table("rows", fields),
            bytes: 0,
        }
    }

    /// Bytes written so far.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts what others wrote for the same answer.
    pub(super) const fn continue_from(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    /// An object by column.
    pub(super) fn row(&mut self, values: Vec<Value>) -> Result<Box<RawValue>> {
        let text = self.text(values)?;
        raw(text)
    }

    /// The value of the only column, else an object by column.
    pub(super) fn id(&mut self, id: &RecordId) -> Result<Box<RawValue>> {
        let text = self.text(id.values().to_vec())?;
        let [field] = self.table.fields.as_slice() else {
            return raw(text);
        };
        let name = serde_json::to_string(&field.name)
            .map_err(|error| Error::invalid(error.to_string()))?;
        // `{"name":` before it and `}` after it.
        let value = text.get(name.len() + 2..text.len().saturating_sub(1));
        raw(value.unwrap_or_default().to_owned())
    }

    fn text(&mut self, values: Vec<Value>) -> Result<String> {
        if self.table.fields.is_empty() {
            return Ok("{}".to_owned());
        }
        let record = Record::new(Metadata::default(), 1, values);
        let mut bytes = Vec::new();
        Format::Json.encode_rows(&self.table, &[record], &mut bytes)?;
        self.bytes += bytes.len();
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the rows of the answer take more than {ANSWER_BYTES_MAX} bytes; ask for fewer rows, or select fewer columns"
            )));
        }
        let mut text =
            String::from_utf8(bytes).map_err(|error| Error::corrupt(error.to_string()))?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }
}

fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| Error::corrupt(error.to_string()))
}
