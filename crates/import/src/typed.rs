//! Parquet and Arrow files: columns with types, which are taken as they are.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::ops::ControlFlow;

use common::limits::ROWS_MAX;
use common::schema::{FieldType, Schema};
use common::serialization::{Format, arrow, parquet};
use common::{Error, Limits, Result, Value};

use super::{Cell, INPUT_BYTES_MAX, Options, Source, Visit};

/// Begins and ends an Arrow file that is more than a stream.
const ARROW_MAGIC: &[u8] = b"ARROW1";
/// Bytes of the magic number at the beginning, filled up.
const ARROW_HEAD: usize = 8;
/// Bytes at the end: the footer's length and the magic number.
const ARROW_TAIL: usize = 10;

/// Holds all rows as values.
pub(crate) struct TypedSource {
    columns: Vec<String>,
    types: Vec<FieldType>,
    rows: Vec<Vec<Value>>,
}

/// The user's own file: as large as the machine can take.
fn limits() -> Limits {
    Limits::default()
        .total_bytes_max(usize::try_from(INPUT_BYTES_MAX).unwrap_or(usize::MAX))
        .rows_max(usize::try_from(ROWS_MAX).unwrap_or(usize::MAX))
}

pub(crate) fn open_parquet(bytes: &[u8], options: &Options) -> Result<TypedSource> {
    let limits = limits();
    let names = parquet::column_names(bytes, &limits)?;
    let key = key_of(&names, options)?;
    let schema = parquet::infer(bytes, "file", &key, &limits)?;
    read(&Format::Parquet, bytes, schema, options, &limits)
}

/// A stream, or a file with a stream inside.
pub(crate) fn open_arrow(bytes: &[u8], options: &Options) -> Result<TypedSource> {
    let limits = limits();
    let stream = stream_of(bytes)?;
    let file = arrow::stream_schema(stream, &limits)?;
    let names: Vec<String> = file.fields().iter().map(|f| f.name().clone()).collect();
    let key = key_of(&names, options)?;
    let schema = arrow::infer_schema(&file, "file", &key)?;
    read(&Format::Arrow, stream, schema, options, &limits)
}

/// What stands between the magic numbers of an Arrow file and before its footer, which says where its batches are: a stream
/// tells that by itself.
fn stream_of(bytes: &[u8]) -> Result<&[u8]> {
    if !bytes.starts_with(ARROW_MAGIC) {
        return Ok(bytes);
    }
    let cut = || Error::corrupt("the end of the Arrow file is missing");
    let (rest, tail) = bytes.split_last_chunk::<ARROW_TAIL>().ok_or_else(cut)?;
    let (length, magic) = tail.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
    let end = rest.len().checked_sub(length).ok_or_else(cut)?;
    if magic != ARROW_MAGIC {
        return Err(cut());
    }
    rest.get(ARROW_HEAD..end).ok_or_else(cut)
}

/// A schema has a key; which one the table gets is decided later.
fn key_of<'a>(names: &'a [String], options: &'a Options) -> Result<Vec<&'a str>> {
    let key: Vec<&str> = match &options.schema {
        Some(schema) => schema
            .key_fields()
            .iter()
            .map(|field| field.name.as_str())
            .collect(),
        None if options.key.is_empty() => {
            let id = names.iter().find(|name| *name == "id").or(names.first());
            id.map(String::as_str).into_iter().collect()
        }
        None => options.key.iter().map(String::as_str).collect(),
    };
    if let Some(missing) = key
        .iter()
        .find(|key| !names.iter().any(|name| name == *key))
    {
        return Err(Error::not_found(format!(
            "there is no column `{missing}`; the columns are {}",
            names.join(", ")
        )));
    }
    Ok(key)
}

fn read(
    format: &Format,
    bytes: &[u8],
    mut schema: Schema,
    options: &Options,
    limits: &Limits,
) -> Result<TypedSource> {
    for field in &mut schema.fields {
        // What becomes of a row without a key is the caller's decision, not that of the whole file.
        field.nullable = true;
        // A file has lists, which the table has as vectors.
        let wanted = options.schema.as_ref().and_then(|schema| {
            let position = schema.position(&field.name)?;
            schema.fields.get(position)
        });
        match wanted {
            Some(wanted) if matches!(wanted.ty, FieldType::Vector { .. }) => {
                field.ty = wanted.ty.clone();
            }
            _ => {}
        }
    }
    let rows = format.decode_rows(&schema, bytes, limits)?;
    let fields = schema.fields.iter();
    Ok(TypedSource {
        columns: fields.map(|field| field.name.to_string()).collect(),
        types: schema.fields.iter().map(|field| field.ty.clone()).collect(),
        rows,
    })
}

impl Source for TypedSource {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn types(&self) -> Option<Vec<FieldType>> {
        Some(self.types.clone())
    }

    fn each(&self, visit: Visit<'_>) -> Result<()> {
        for (row, values) in (1..).zip(&self.rows) {
            let cells: Vec<Cell<'_>> = values.iter().map(Cell::Typed).collect();
            if visit(row, Ok(&cells)) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}
