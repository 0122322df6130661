//! `tandem vectors import`: a file of vectors becomes rows of a table.

use std::io::Write as _;
use std::path::PathBuf;

use ::import::stem;
use ::import::vectors::{TableOptions, insert, table_schema};
use clap::Args;
use common::{Error, Result};
use durable::DatabaseFile;
use serde::Serialize;

use super::{open, progress};
use crate::terminal::{Paint, Progress, is_coloured, output};

/// Import a file of vectors into a table
///
/// All rows or none: after a failure the database file is as it was. A table that does not exist is created, with a
/// key, the vectors as 32-bit floats, and the other columns of a Parquet file.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file: .fvecs, .bvecs, .ivecs, .npy or .parquet
    file: PathBuf,
    /// Table that gets the rows; the file's name if not given
    #[arg(long, short)]
    table: Option<String>,
    /// Database file; created if it does not exist
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// Column of the table that holds the vectors
    #[arg(long, default_value = "vector")]
    column: String,
    /// Column of the vectors of a Parquet file; the only one of lists of numbers if not given
    #[arg(long, value_name = "COLUMN")]
    from: Option<String>,
    /// Column of a Parquet file that is the key of a new table; `id` if there is one, and otherwise the row's number
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// Number of the first row, where rows get numbers as their key
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first: i64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    table: &'a str,
    created: bool,
    imported: u64,
    dimension: Option<usize>,
    rows: usize,
    bytes: u64,
}

impl Import {
    pub(crate) fn run(self) -> Result<()> {
        let place = |error: Error| error.at(self.file.display());
        // Nothing is created, not even a lock file, for a file that cannot be read.
        let mut reader = open(&self.file, self.from.as_deref())?;
        let name = self.table.clone().unwrap_or_else(|| stem(&self.file));
        let options = TableOptions {
            column: self.column.clone(),
            key: self.key.clone(),
            first: self.first,
        };
        let file = DatabaseFile::open_or_create(&self.db)?;
        let database = file.database();
        let existing = database.collection(&name).ok();
        let table = match &existing {
            Some(table) => table.clone(),
            None => {
                let schema = table_schema(&reader, &name, &options).map_err(place)?;
                database.create_collection(schema)?
            }
        };
        let imported = {
            let bar = progress(&format!("reading {}", self.file.display()), reader.rows());
            let mut transaction = database.begin();
            let tick = &mut |rows| bar.tick(usize::try_from(rows).unwrap_or(usize::MAX));
            let imported = insert(&mut reader, &mut transaction, &table, &options, tick);
            let imported = imported.map_err(|error| {
                let unchanged = format!(
                    "{error}\nnothing was imported; {} is as it was",
                    self.db.display()
                );
                place(Error::new(error.kind(), unchanged))
            })?;
            transaction.commit()?;
            imported
        };
        let saved = {
            let _progress = Progress::stage(&format!("writing {}", self.db.display()));
            file.save()?
        };
        let report = Report {
            table: &name,
            created: existing.is_none(),
            imported,
            dimension: reader.dimension(),
            rows: table.len(),
            bytes: saved.bytes,
        };
        let mut out = output();
        if self.json {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Error::invalid(error.to_string()))?;
            writeln!(out, "{text}")?;
            return Ok(());
        }
        let paint = Paint(is_coloured());
        let state = if report.created { "new table" } else { "table" };
        writeln!(out, "{state} {}", paint.bold(&name))?;
        for (i, field) in table.schema().fields.iter().enumerate() {
            let key = if i < table.schema().key_columns {
                ", key"
            } else {
                ""
            };
            let null = if field.nullable { ", may be empty" } else { "" };
            let about = paint.dim(format!("{}{key}{null}", field.ty));
            writeln!(out, "  {:24} {about}", field.name.as_str())?;
        }
        writeln!(
            out,
            "{imported} vectors imported; {name} now has {} ({} bytes in {})",
            report.rows,
            report.bytes,
            self.db.display()
        )?;
        Ok(())
    }
}
