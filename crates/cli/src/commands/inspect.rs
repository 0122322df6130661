//! `tandem inspect`: what is in a database file, and whether it is whole; what a frame of the sync protocol says.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use common::schema::{IndexKind, Schema};
use common::serialization::Format;
use common::{Collection, Error, Record, RecordId, Result, View};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use syncdb::sync::protocol::frame_limits;
use syncdb::sync::wire;

use crate::terminal::{Paint, is_coloured, output};

/// Show what a database file holds, and verify every checksum in it
///
/// A table's digest is SHA-256 over its rows in the order of their keys; two tables with equal rows have equal
/// digests, whatever their history.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem inspect\n  \
    tandem inspect --db world.tdb cities --json\n  \
    tandem inspect --db data\n  \
    tandem inspect --schema cities > cities.schema.json\n  \
    tandem inspect --frame answer.bin")]
pub(crate) struct Inspect {
    /// Table to show; all if not given
    table: Option<String>,
    /// Database file, or folder of a durable database
    #[arg(long, default_value = "tandem.tdb")]
    db: PathBuf,
    /// Print the schema of one table as JSON, as `tandem import --schema` reads it
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["table", "json"])]
    schema: Option<String>,
    /// Print a frame of the sync protocol, as an HTTP body has it, as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["table", "db", "schema", "json"])]
    frame: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What is known of a file.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    bytes: u64,
    /// Opening reads every byte and compares every checksum, so a report about a damaged file never comes.
    verified: bool,
    position: u64,
    log: Log,
    tables: Vec<Table>,
}

/// What the log reaches back to.
#[derive(Serialize)]
struct Log {
    reaches_back_to: u64,
    changes: usize,
}

#[derive(Serialize)]
struct Table {
    name: String,
    rows: usize,
    bytes_per_row: usize,
    digest: String,
    columns: Vec<Column>,
    indexes: Vec<Index>,
    references: Vec<String>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    key: bool,
    nullable: bool,
    rules: Vec<String>,
}

#[derive(Serialize)]
struct Index {
    name: String,
    columns: Vec<String>,
    kind: &'static str,
    unique: bool,
    keys: usize,
    bytes_per_row: usize,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<()> {
        if let Some(file) = &self.frame {
            return print_frame(file);
        }
        let database = durable::open(&self.db)?;
        let mut out = std::io::BufWriter::new(output());
        if let Some(table) = &self.schema {
            let collection = database
                .collection(table)
                .map_err(|e| e.at(self.db.display()))?;
            let text = to_json(&with_indexes(&collection))?;
            writeln!(out, "{text}")?;
            return Ok(out.flush()?);
        }
        let collections = match &self.table {
            Some(table) => {
                vec![
                    database
                        .collection(table)
                        .map_err(|error| error.at(self.db.display()))?,
                ]
            }
            None => database.collections(),
        };
        let snapshot = database.snapshot();
        let view = snapshot.view();
        let (reaches_back_to, changes) = database.log_extent();
        let report = Report {
            file: &self.db,
            bytes: bytes_of(&self.db)?,
            verified: true,
            position: database.seq().0,
            log: Log {
                reaches_back_to: reaches_back_to.0,
                changes,
            },
            tables: collections
                .iter()
                .map(|c| table(&view, c))
                .collect::<Result<_>>()?,
        };
        if self.json {
            writeln!(out, "{}", to_json(&report)?)?;
        } else {
            print(&mut out, &report, Paint(is_coloured()))?;
        }
        Ok(out.flush()?)
    }
}

/// Size of a file, or of all files of a folder.
fn bytes_of(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for file in std::fs::read_dir(path)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

/// Prints a frame, with lines and indentation.
fn print_frame(file: &Path) -> Result<()> {
    let in_file = |error: Error| error.at(file.display());
    let limits = frame_limits();
    let mut bytes = Vec::new();
    // One byte more than a frame may have, so that a longer file is refused and not cut.
    let most = limits.total_bytes_max as u64 + 1;
    File::open(file)
        .and_then(|open| open.take(most).read_to_end(&mut bytes))
        .map_err(|error| in_file(error.into()))?;
    let json = wire::to_json(&bytes, &limits).map_err(in_file)?;
    let json: serde_json::Value = serde_json::from_slice(&json)
        .map_err(|error| in_file(Error::corrupt(error.to_string())))?;
    let mut out = output();
    writeln!(out, "{}", to_json(&json)?)?;
    Ok(out.flush()?)
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::invalid(error.to_string()))
}

/// The schema with the indexes there are now, which may differ from those it was declared with.
fn with_indexes(collection: &Collection) -> Schema {
    let mut schema = collection.schema().as_ref().clone();
    schema.indexes = collection
        .indexes()
        .iter()
        .map(|index| index.spec().clone())
        .collect();
    schema
}

fn table(view: &View<'_>, collection: &Collection) -> Result<Table> {
    let schema = with_indexes(collection);
    let mut records: Vec<Record> = Vec::with_capacity(collection.len());
    view.scan(collection, &mut |chunk| {
        records.extend_from_slice(chunk);
        ControlFlow::Continue(())
    })?;
    let rows = records.len().max(1);
    let bytes: usize = records
        .iter()
        .map(|r| r.heap_bytes() + size_of::<Record>())
        .sum();
    let columns = schema.fields.iter().enumerate().map(|(i, field)| Column {
        name: field.name.to_string(),
        ty: field.ty.to_string(),
        key: i < schema.key_columns,
        nullable: field.nullable,
        rules: field
            .rules
            .iter()
            .map(|rule| rule.name().to_owned())
            .collect(),
    });
    let indexes = collection.indexes();
    let indexes = indexes.iter().map(|index| Index {
        name: index.spec().name.to_string(),
        columns: index
            .spec()
            .columns
            .iter()
            .map(ToString::to_string)
            .collect(),
        kind: match index.spec().kind {
            IndexKind::Hash => "hash",
            IndexKind::Ordered => "ordered",
        },
        unique: index.spec().unique,
        keys: index.keys(),
        bytes_per_row: index.heap_bytes() / rows,
    });
    let references = schema.references.iter().map(|reference| {
        let columns: Vec<&str> = reference.columns.iter().map(common::Text::as_str).collect();
        format!("{} -> {}", columns.join(", "), reference.table)
    });
    Ok(Table {
        name: collection.name().to_owned(),
        rows: records.len(),
        bytes_per_row: bytes / rows,
        digest: digest(&mut records)?,
        columns: columns.collect(),
        indexes: indexes.collect(),
        references: references.collect(),
    })
}

/// SHA-256 over the rows in the order of their keys, each as MessagePack behind its length.
fn digest(records: &mut [Record]) -> Result<String> {
    records.sort_by_cached_key(|record| RecordId::from(record.key()));
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    for record in records.iter() {
        bytes.clear();
        Format::MsgPack.encode_value(&common::Value::List(record.values().into()), &mut bytes)?;
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Ok(hex::encode(hash.finalize()))
}

fn print(out: &mut dyn std::io::Write, report: &Report<'_>, paint: Paint) -> Result<()> {
    writeln!(
        out,
        "{}: {} bytes, all checksums verified",
        paint.bold(report.file.display()),
        report.bytes
    )?;
    writeln!(
        out,
        "position {}; log: {} changes, reaching back to position {}",
        report.position, report.log.changes, report.log.reaches_back_to
    )?;
    for table in &report.tables {
        writeln!(
            out,
            "\n{}: {} rows, {} bytes of memory a row",
            paint.bold(&table.name),
            table.rows,
            table.bytes_per_row
        )?;
        for column in &table.columns {
            let mut about = vec![column.ty.clone()];
            about.extend(column.key.then(|| "key".to_owned()));
            about.extend(column.nullable.then(|| "may be empty".to_owned()));
            about.extend(
                (!column.rules.is_empty()).then(|| format!("rules: {}", column.rules.join(", "))),
            );
            writeln!(out, "  {:24} {}", column.name, paint.dim(about.join(", ")))?;
        }
        for index in &table.indexes {
            let unique = if index.unique { ", unique" } else { "" };
            let name = format!("index {}", index.name);
            let columns = index.columns.join(", ");
            let about = format!(
                "{} on {columns}{unique}, {} keys, {} bytes of memory a row",
                index.kind, index.keys, index.bytes_per_row
            );
            writeln!(out, "  {name:24} {}", paint.dim(about))?;
        }
        for reference in &table.references {
            writeln!(out, "  {:24} {}", "reference", paint.dim(reference))?;
        }
        writeln!(out, "  {:24} {}", "digest", paint.dim(&table.digest))?;
    }
    Ok(())
}
