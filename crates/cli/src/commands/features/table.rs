//! Tables in files: CSV, JSON lines, Parquet or an Arrow stream, by the end of the name.

use std::io::Write;
use std::path::Path;

use common::schema::{Field, Schema, SchemaVersion};
use common::serialization::arrow::{self, arrow_schema, to_batch};
use common::serialization::{Format as Encoding, parquet};
use common::{Error, Metadata, Record, Result, Value};
use durable::{SystemFiles, replace_with};

use crate::show::CsvRows;
use crate::terminal::Progress;

/// Rows that are put together at once.
const BLOCK_ROWS: usize = 1_024;

/// What a file that is written looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableFormat {
    Csv,
    JsonLines,
    Parquet,
    Arrow,
}

/// A file on its way.
enum Sink<'a> {
    Csv(CsvRows<&'a mut dyn Write>),
    JsonLines(&'a mut dyn Write, Vec<u8>),
    Parquet(Box<parquet::Writer<&'a mut dyn Write>>),
    Arrow(Box<arrow::Writer<'a, &'a mut dyn Write>>),
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

    /// Writes `count` rows as they come, so that the file changes as a whole or not at all. In memory is one block of
    /// rows, and of a Parquet file one row group.
    pub(super) fn write(
        self,
        path: &Path,
        fields: Vec<Field>,
        count: usize,
        rows: impl IntoIterator<Item = Result<Vec<Value>>>,
    ) -> Result<()> {
        // Formats take tables with a key; which column that is does not matter, and its values may repeat.
        let schema = Schema {
            name: "rows".into(),
            version: SchemaVersion(1),
            key_columns: 1,
            fields,
            indexes: Vec::new(),
            references: Vec::new(),
        };
        let progress = Progress::rows_of(&format!("writing {}", path.display()), count);
        replace_with(&SystemFiles, path, |out| {
            let mut sink = Sink::new(self, out, &schema)?;
            let mut block: Vec<Record> = Vec::with_capacity(BLOCK_ROWS.min(count));
            let mut written = 0;
            for row in rows {
                block.push(Record::new(Metadata::default(), 1, row?));
                if block.len() == BLOCK_ROWS {
                    sink.write(&schema, &block)?;
                    written += block.len();
                    progress.tick(written);
                    block.clear();
                }
            }
            sink.write(&schema, &block)?;
            sink.finish()
        })
    }
}

impl<'a> Sink<'a> {
    fn new(format: TableFormat, out: &'a mut dyn Write, schema: &'a Schema) -> Result<Self> {
        Ok(match format {
            TableFormat::Csv => {
                let names = schema.fields.iter().map(|field| field.name.as_str());
                Self::Csv(CsvRows::new(out, names)?)
            }
            TableFormat::JsonLines => Self::JsonLines(out, Vec::new()),
            TableFormat::Parquet => {
                let columns = arrow_schema(schema)?.into();
                Self::Parquet(Box::new(parquet::Writer::new(out, columns)?))
            }
            TableFormat::Arrow => Self::Arrow(Box::new(arrow::Writer::new(out, schema)?)),
        })
    }

    fn write(&mut self, schema: &Schema, block: &[Record]) -> Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        match self {
            Self::Csv(csv) => block.iter().try_for_each(|row| csv.write(row.values())),
            Self::JsonLines(out, lines) => {
                lines.clear();
                Encoding::Json.encode_rows(schema, block, lines)?;
                Ok(out.write_all(lines)?)
            }
            Self::Parquet(writer) => writer.write(&to_batch(schema, block)?),
            Self::Arrow(writer) => writer.write(block),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Csv(_) | Self::JsonLines(..) => Ok(()),
            Self::Parquet(writer) => writer.finish(),
            Self::Arrow(writer) => writer.finish(),
        }
    }
}
