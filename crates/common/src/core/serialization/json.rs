//! JSON: values, rows as one object a line, and schemas.
//!
//! # Values
//!
//! | value | form |
//! |---|---|
//! | null, bool, int, text, list, map | themselves; map keys ascend |
//! | float | a number with a fraction or exponent; `{"$float": "NaN"}`, `"inf"`, `"-inf"` otherwise |
//! | bytes | `{"$bytes": "<base64>"}` |
//! | timestamp, date | `{"$timestamp": <microseconds>}`, `{"$date": <days>}` |
//! | uuid | `{"$uuid": "<hyphenated>"}` |
//! | vector | `{"$vector": {"f32": [..]}}`, and `f16`, `i8`, `binary`, `sparse` likewise |
//! | extension | `{"$extension": {"name": .., "bytes": "<base64>"}}` |
//! | a map whose first key begins with `$` | `{"$map": {..}}` |
//!
//! The same form is what serde writes for a [`Value`].
//!
//! # Rows
//!
//! One object a line, column names as keys, plain values by the column's type: timestamps as RFC 3339 text, dates
//! as ISO 8601, uuids and base64 bytes as text, dense vectors as arrays, floats that are not finite as `"NaN"`,
//! `"inf"`, `"-inf"`, extensions as base64. Times outside the years -9999 to 9999 are plain integers. Columns of
//! type `any` hold the form of the table above.
//!
//! # What is read beyond that
//!
//! White space, keys in any order, any escapes, any spelling of a number, integers where a column holds floats,
//! columns left out that have a default or may be null. Refused: a key that stands twice, a number that its
//! type cannot hold, lone surrogates, anything after the end.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod reader;
mod writer;

use super::format::Encoding;
use super::rows;
use crate::core::base::{Record, Value};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;
use reader::Reader;

/// The encoding behind [`Format::Json`](super::Format::Json).
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl Encoding for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn tag(&self) -> u8 {
        1
    }

    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        writer::json(value, out)
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        let mut reader = Reader::new(bytes, limits)?;
        let value = reader.value(0)?;
        reader.end()?;
        Ok(value)
    }

    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        let mut names = Vec::with_capacity(schema.fields.len());
        for field in &schema.fields {
            let mut name = Vec::new();
            writer::json(field.name.as_str(), &mut name)?;
            names.push(name);
        }
        for (row, record) in records.iter().enumerate() {
            rows::check(schema, row, record)?;
            let mut before = b'{';
            for ((field, name), value) in schema.fields.iter().zip(&names).zip(record.iter()) {
                out.push(before);
                before = b',';
                out.extend_from_slice(name);
                out.push(b':');
                writer::plain(&field.ty, value, out)
                    .map_err(|error| rows::at(error, schema, row, &field.name))?;
            }
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }

    fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        let mut reader = Reader::new(bytes, limits)?;
        let mut rows = Vec::new();
        while reader.next_line(rows.is_empty())? {
            limits.check_rows(rows.len() + 1)?;
            rows.push(reader.row(schema, rows.len())?);
        }
        Ok(rows)
    }
}

/// A schema as canonical JSON: the bytes over which [`Schema::schema_id`] is computed.
///
/// # Errors
/// None in practice: a schema is plain data that JSON can express.
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    writer::json(schema, &mut out)?;
    Ok(out)
}

/// Reads a schema from JSON and [checks](Schema::check) it.
///
/// Keys that a schema does not have are ignored, so that a later version may add some.
///
/// ```
/// use common::serialization::{decode_schema, encode_schema};
/// use common::Limits;
/// let json = br#"{"name": "cities", "version": 1, "key_columns": 1,
///                 "fields": [{"id": 1, "name": "id", "type": "int"}]}"#;
/// let schema = decode_schema(json, &Limits::default())?;
/// assert_eq!(decode_schema(&encode_schema(&schema)?, &Limits::default())?, schema);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for anything that is no schema or does not pass its check,
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) beyond `limits`.
pub fn decode_schema(bytes: &[u8], limits: &Limits) -> Result<Schema> {
    // One pass for limits and duplicate keys, which serde does not watch; the second one builds the schema.
    let mut reader = Reader::new(bytes, limits)?;
    reader.skip(0)?;
    reader.end()?;
    let schema: Schema = serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("not a schema: {error}")))?;
    schema.check()?;
    Ok(schema)
}
