//! Parquet files: columns with types, which are taken as they are.

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
use common::schema::FieldType;
use common::serialization::{Format, parquet};
use common::{Error, Limits, Result, Value};

use super::{Cell, INPUT_BYTES_MAX, Options, Source, Visit};

/// Holds all rows as values.
pub(crate) struct ParquetSource {
    columns: Vec<String>,
    types: Vec<FieldType>,
    rows: Vec<Vec<Value>>,
}

pub(crate) fn open(bytes: &[u8], options: &Options) -> Result<ParquetSource> {
    // The user's own file: as large as the machine can take.
    let limits = Limits::default()
        .total_bytes_max(usize::try_from(INPUT_BYTES_MAX).unwrap_or(usize::MAX))
        .rows_max(usize::try_from(ROWS_MAX).unwrap_or(usize::MAX));
    let names = parquet::column_names(bytes, &limits)?;
    // Reading needs a key, whose columns have no nulls; which one the table gets is decided later.
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
    let schema = parquet::infer(bytes, "file", &key, &limits)?;
    let rows = Format::Parquet.decode_rows(&schema, bytes, &limits)?;
    Ok(ParquetSource {
        columns: schema
            .fields
            .iter()
            .map(|field| field.name.to_string())
            .collect(),
        types: schema.fields.iter().map(|field| field.ty.clone()).collect(),
        rows,
    })
}

impl Source for ParquetSource {
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
