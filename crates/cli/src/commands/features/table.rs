//! Tables in files: CSV, JSON lines, Parquet or an Arrow stream, by the end of the name.

use std::path::Path;

use common::query::ResultRow;
use common::schema::{Field, Schema, SchemaVersion};
use common::serialization::Format as Encoding;
use common::{Error, Metadata, Record, Result, Text, Value};
use durable::{SystemFiles, replace};

use crate::show::{self, Format};
use crate::terminal::{Paint, Progress};

/// What a file that is written looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableFormat {
    Csv,
    JsonLines,
    Parquet,
    Arrow,
}

impl TableFormat {
    /// That of a file's name.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        match ending.to_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            "arrow" => Ok(Self::Arrow),
            _ => Err(Error::invalid(format!(
                "{}: unknown kind of file; tables are written to .csv, .jsonl, .ndjson, .parquet or .arrow",
                path.display()
            ))),
        }
    }

    /// Writes rows, so that the file changes as a whole or not at all.
    pub(super) fn write(
        self,
        path: &Path,
        fields: Vec<Field>,
        rows: Vec<Vec<Value>>,
    ) -> Result<()> {
        let _progress = Progress::stage(&format!("writing {}", path.display()));
        let mut bytes = Vec::new();
        let encoding = match self {
            Self::Csv => {
                let columns: Vec<Text> = fields.into_iter().map(|field| field.name).collect();
                let rows: Vec<ResultRow> = rows
                    .into_iter()
                    .map(|row| ResultRow::Values(row.into()))
                    .collect();
                show::rows(&mut bytes, Format::Csv, &columns, &rows, Paint(false))?;
                return replace(&SystemFiles, path, &bytes);
            }
            Self::JsonLines => Encoding::Json,
            Self::Parquet => Encoding::Parquet,
            Self::Arrow => Encoding::Arrow,
        };
        // Formats take tables with a key; which column that is does not matter, and its values may repeat.
        let schema = Schema {
            name: "rows".into(),
            version: SchemaVersion(1),
            key_columns: 1,
            fields,
            indexes: Vec::new(),
            references: Vec::new(),
        };
        let rows = rows.into_iter();
        let records: Vec<Record> = rows
            .map(|values| Record::new(Metadata::default(), 1, values))
            .collect();
        encoding.encode_rows(&schema, &records, &mut bytes)?;
        replace(&SystemFiles, path, &bytes)
    }
}
