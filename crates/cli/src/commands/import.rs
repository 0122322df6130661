//! `tandem import`: a file becomes rows of a table.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use common::schema::{IndexSpec, Schema};
use common::serialization::decode_schema;
use common::{Collection, Error, Limits, RecordId, Result};
use durable::DatabaseFile;
use serde::Serialize;

use crate::source::{load, missing, read};
use crate::terminal::{Paint, Progress, is_coloured, output};
use ::import::{Loaded, Options, Refusal, stem};

/// Import a CSV, JSON lines, Parquet or Arrow file into a table
///
/// Finds out the columns and their types, prints them, and adds all rows in one transaction: either every row is
/// in the database file afterwards, or the file is as it was. A table that does not exist is created; rows for
/// one that exists must fit its schema.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem import cities.csv --table cities --index country --index population\n  \
    tandem import cities.csv --table cities --db world.tdb --key country,name\n  \
    tandem import events.jsonl --table events --number-rows --on-error skip\n  \
    tandem import readings.csv --table readings --null NA --text station\n  \
    tandem import more.csv --table cities --schema cities.schema.json --json")]
pub(crate) struct Import {
    /// The file: .csv, .tsv, .jsonl, .ndjson, .parquet, .arrow or .feather, also packed (.gz)
    file: PathBuf,
    /// Table that gets the rows; the file's name if not given
    #[arg(long, short)]
    table: Option<String>,
    /// Database file; created if it does not exist
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// Columns of a secondary index of a new table; may be given several times
    #[arg(long = "index", value_name = "COLUMN,..")]
    indexes: Vec<String>,
    /// Columns of the primary key; `id` or the first column if not given
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    key: Vec<String>,
    /// Schema of the table as JSON, instead of finding it out (`tandem inspect --schema TABLE` prints one)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "number_rows"])]
    schema: Option<PathBuf>,
    /// What to do about a row that does not fit
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    on_error: OnError,
    /// Text that stands for no value, beside the empty one; may be given several times
    #[arg(long = "null", value_name = "TEXT")]
    nulls: Vec<String>,
    /// Columns that are text whatever they look like
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    text: Vec<String>,
    /// Add a key column `row` with the number of each row
    #[arg(long, conflicts_with = "key")]
    number_rows: bool,
    /// Character between the fields of a CSV file; found out if not given
    #[arg(long, value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The first line of a CSV file is a row already; columns are named c1, c2, ..
    #[arg(long)]
    no_header: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Import nothing
    Stop,
    /// Leave the row out, and say so
    Skip,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    db: &'a Path,
    table: &'a str,
    created: bool,
    imported: usize,
    skipped: usize,
    rows: usize,
    bytes: u64,
    schema: &'a Schema,
}

/// Reads the character between fields; `\t` may be spelled out.
pub(crate) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"tab" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("a delimiter is one ASCII character that is no quote, or `tab`".to_owned()),
    }
}

impl Import {
    pub(crate) fn run(self) -> Result<()> {
        let table = self.table.clone().unwrap_or_else(|| stem(&self.file));
        // Nothing is created, not even a lock file, for a file that cannot be read.
        let schema = self
            .schema
            .as_deref()
            .map(|path| read_schema(path, &table))
            .transpose()?;
        std::fs::File::open(&self.file).map_err(|error| missing(&self.file, error))?;
        let file = DatabaseFile::open_or_create(&self.db)?;
        let existing = file.database().collection(&table).ok();
        if let (Some(existing), Some(schema)) = (&existing, &schema) {
            check_same(existing, schema)?;
        }
        self.check_options(existing.as_ref(), &table)?;
        let options = Options {
            schema: existing
                .as_ref()
                .map(|c| c.schema().as_ref().clone())
                .or(schema),
            table,
            key: self.key.clone(),
            number_rows: self.number_rows,
            always_number: false,
            nulls: self.nulls.clone(),
            text: self.text.clone(),
            lenient: false,
            quoted_empty: false,
            delimiter: self.delimiter,
            no_header: self.no_header,
        };
        let mut loaded = load(&self.file, &options)?;
        self.add_indexes(existing.is_some(), &mut loaded.schema)?;
        if let Some(existing) = &existing {
            refuse_known_keys(existing, &mut loaded);
        }
        self.stop_or_tell(&loaded)?;
        let saved = insert(&file, existing.as_ref(), &loaded)?;
        self.report(&file, existing.is_none(), &loaded, saved.bytes)
    }

    /// Options that say how to make a schema mean nothing when there is one.
    fn check_options(&self, existing: Option<&Collection>, table: &str) -> Result<()> {
        let Some(existing) = existing else {
            return Ok(());
        };
        let schema = existing.schema();
        let key: Vec<&str> = schema
            .key_fields()
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        if self.number_rows || (!self.key.is_empty() && self.key != key) {
            return Err(Error::invalid(format!(
                "table `{table}` exists, and its key is {}; leave out --key and --number-rows, or import into \
                 a new table",
                key.join(", ")
            )));
        }
        Ok(())
    }

    /// Indexes by order, which also answer equality and give rows in order.
    fn add_indexes(&self, exists: bool, schema: &mut Schema) -> Result<()> {
        if exists && !self.indexes.is_empty() {
            return Err(Error::invalid(format!(
                "table `{}` exists, and --index is for a new one; leave it out",
                schema.name
            )));
        }
        for columns in &self.indexes {
            let index = IndexSpec::ordered(columns.split(',').map(str::trim));
            schema
                .check_index(&index)
                .map_err(|error| error.at("--index"))?;
            schema.indexes.push(index);
        }
        schema.check()
    }

    /// With `--on-error stop`, any refusal is the end; otherwise it is told on standard error.
    fn stop_or_tell(&self, loaded: &Loaded) -> Result<()> {
        if loaded.refused == 0 {
            return Ok(());
        }
        let file = self.file.display();
        let more = loaded.refused - loaded.refusals.len();
        let mut refusals = loaded.refusals.clone();
        refusals.sort_by_key(|refusal| refusal.line);
        let refusals = refusals.iter();
        let mut lines: Vec<String> = refusals
            .map(|refusal| format!("{file}, {refusal}"))
            .collect();
        if more > 0 {
            lines.push(format!("and {more} more rows"));
        }
        let text = lines.join("\n  ");
        if self.on_error == OnError::Skip {
            let _ = writeln!(stderr(), "left out {} rows:\n  {text}", loaded.refused);
            return Ok(());
        }
        let mut lines = vec![text];
        lines.extend(remedies(&loaded.refusals));
        lines.push(format!(
            "nothing was imported; {} is as it was",
            self.db.display()
        ));
        Err(Error::invalid(lines.join("\n")))
    }

    fn report(
        &self,
        file: &DatabaseFile,
        created: bool,
        loaded: &Loaded,
        bytes: u64,
    ) -> Result<()> {
        let collection = file.database().collection(&loaded.schema.name)?;
        let mut out = output();
        if self.json {
            let report = Report {
                file: &self.file,
                db: &self.db,
                table: collection.name(),
                created,
                imported: loaded.rows.len(),
                skipped: loaded.refused,
                rows: collection.len(),
                bytes,
                schema: &loaded.schema,
            };
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Error::invalid(error.to_string()))?;
            writeln!(out, "{text}")?;
            return Ok(());
        }
        let paint = Paint(is_coloured());
        let state = if created { "new table" } else { "table" };
        writeln!(out, "{state} {}", paint.bold(collection.name()))?;
        for (i, field) in loaded.schema.fields.iter().enumerate() {
            let key = if i < loaded.schema.key_columns {
                ", key"
            } else {
                ""
            };
            let null = if field.nullable { ", may be empty" } else { "" };
            let about = paint.dim(format!("{}{key}{null}", field.ty));
            writeln!(out, "  {:24} {about}", field.name.as_str())?;
        }
        let skipped = match loaded.refused {
            0 => String::new(),
            refused => format!(", {refused} left out"),
        };
        writeln!(
            out,
            "{} rows imported{skipped}; {} now has {} ({bytes} bytes in {})",
            loaded.rows.len(),
            collection.name(),
            collection.len(),
            self.db.display()
        )?;
        Ok(())
    }
}

/// A schema from a file, for the table of the given name.
fn read_schema(path: &Path, table: &str) -> Result<Schema> {
    let bytes = read(path)?;
    let mut schema =
        decode_schema(&bytes, &Limits::default()).map_err(|error| error.at(path.display()))?;
    schema.name = table.into();
    Ok(schema)
}

fn check_same(existing: &Collection, schema: &Schema) -> Result<()> {
    let known = existing.schema();
    if known.fields == schema.fields && known.key_columns == schema.key_columns {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "table `{}` exists with another schema than that of --schema; leave the option out, or import into \
         a new table",
        existing.name()
    )))
}

/// Rows whose key is in the table already do not fit either.
fn refuse_known_keys(existing: &Collection, loaded: &mut Loaded) {
    if existing.is_empty() {
        return;
    }
    let names: Vec<String> = loaded
        .schema
        .key_fields()
        .iter()
        .map(|f| f.name.to_string())
        .collect();
    let names = names.join(", ");
    let rows = std::mem::take(&mut loaded.rows);
    for (line, values) in rows {
        let id = RecordId::from(values.get(..loaded.schema.key_columns).unwrap_or_default());
        if existing.get(id.clone()).is_none() {
            loaded.rows.push((line, values));
            continue;
        }
        loaded.refuse(Refusal {
            line,
            column: Some(names.clone()),
            message: format!("key {id} is in table `{}` already", existing.name()),
            remedy: Some(
                "remove the row from the file, or --on-error skip to keep the row that is there"
                    .to_owned(),
            ),
        });
    }
}

/// Each remedy once, a line each.
fn remedies(refusals: &[Refusal]) -> Vec<String> {
    let mut seen: Vec<&str> = Vec::new();
    for remedy in refusals
        .iter()
        .filter_map(|refusal| refusal.remedy.as_deref())
    {
        if !seen.contains(&remedy) {
            seen.push(remedy);
        }
    }
    seen.iter()
        .map(|remedy| format!("remedy: {remedy}"))
        .collect()
}

/// Adds all rows in one transaction and writes the file.
fn insert(
    file: &DatabaseFile,
    existing: Option<&Collection>,
    loaded: &Loaded,
) -> Result<durable::Saved> {
    let database = file.database();
    let collection = match existing {
        Some(collection) => collection.clone(),
        None => database.create_collection(loaded.schema.clone())?,
    };
    {
        let progress = Progress::rows_of("importing", loaded.rows.len());
        database.transaction(|transaction| {
            for (i, (line, values)) in loaded.rows.iter().enumerate() {
                transaction
                    .insert_values(&collection, values.iter().cloned())
                    .map_err(|error| error.at(format!("line {line}")))?;
                progress.tick(i + 1);
            }
            Ok(())
        })?;
    }
    file.save()
}
