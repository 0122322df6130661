//! Rows of files, on their way into a collection.

use std::path::Path;

use ::import::vectors::{VectorFormat, VectorReader};
use ::import::{Options, Refusal};
use common::schema::FieldType;
use common::{Error, RecordId, Result, Row, Value};
use pyo3::prelude::*;
use vectordb::{VectorCollection, Vectors};

use crate::interchange::watch::Watch;

/// Most refusals that are told, as of files with columns.
const REFUSALS_KEPT: usize = 10;

/// What was imported from a file.
#[pyclass(frozen, get_all, module = "tandemdb._native.collections")]
pub(crate) struct Imported {
    /// Number of rows that are in the collection now.
    rows: usize,
    /// Number of rows that were left out.
    refused: usize,
    /// The first of them, as tuples of line (of a file that has none, row), column or `None`, and what is wrong.
    refusals: Vec<(u64, Option<String>, String)>,
}

#[pymethods]
impl Imported {
    fn __repr__(&self) -> String {
        format!("Imported(rows={}, refused={})", self.rows, self.refused)
    }
}

/// What a caller says of a file.
pub(super) struct Given {
    /// Which columns there are, and how they are written.
    pub(super) options: Options,
    /// Leaves rows out that do not fit, in place of refusing the file.
    pub(super) is_skipping: bool,
    /// The number of the first row of a file that has vectors and no ids.
    pub(super) first_id: i64,
}

/// Rows that are read and were found to fit, as the table takes them, and those that do not.
#[derive(Default)]
struct Read {
    rows: Vec<Row>,
    refused: usize,
    refusals: Vec<Refusal>,
}

/// Reads a file, and inserts its rows in one commit; a row takes the place of the one with its id.
///
/// # Errors
/// When the file cannot be read, its columns are not those of the collection, or rows do not fit that are not to be left out.
pub(super) fn import(
    collection: &VectorCollection,
    path: &Path,
    given: &Given,
    watch: &Watch,
) -> Result<Imported> {
    let read = match VectorFormat::of(path) {
        // One with columns, as a table has.
        Ok(VectorFormat::Parquet) | Err(_) => read_table(collection, path, given, watch)?,
        Ok(_) => read_vectors(collection, path, given, watch)?,
    };
    if read.refused > 0 && !given.is_skipping {
        return Err(refusal_of_file(path, &read));
    }
    let count = read.rows.len();
    watch.report(0, count.max(1))?;
    let far = watch.far();
    collection.watch_builds(move |done, all| far.note(done, all));
    let done = collection.upsert_rows(read.rows);
    collection.watch_builds(|_, _| {});
    done?;
    let told = read.refusals.into_iter();
    Ok(Imported {
        rows: count,
        refused: read.refused,
        refusals: told
            .map(|refusal| (refusal.line, refusal.column, refusal.message))
            .collect(),
    })
}

fn refusal_of_file(path: &Path, read: &Read) -> Error {
    let mut lines: Vec<String> = read.refusals.iter().map(ToString::to_string).collect();
    let more = read.refused - read.refusals.len();
    if more > 0 {
        lines.push(format!("and {more} more rows"));
    }
    Error::invalid(format!(
        "{}: {} row(s) do not fit, and nothing was imported; correct them, or leave them out by on_invalid='skip':\n  {}",
        path.display(),
        read.refused,
        lines.join("\n  ")
    ))
}

/// A file of named columns.
fn read_table(
    collection: &VectorCollection,
    path: &Path,
    given: &Given,
    watch: &Watch,
) -> Result<Read> {
    let schema = collection.schema();
    let options = Options {
        table: schema.name.to_string(),
        schema: Some(schema.as_ref().clone()),
        ..given.options.clone()
    };
    let far = watch.far();
    let mut loaded = ::import::load(path, &options, &mut |rows| far.note(rows, rows))?;
    watch.check()?;
    let rows = std::mem::take(&mut loaded.rows);
    let vectors: Vec<_> = collection.options().columns().cloned().collect();
    let mut fitting = Vec::with_capacity(rows.len());
    for (line, values) in rows {
        let id = RecordId::from(values.get(..schema.key_columns).unwrap_or_default());
        let (mut own, mut row) = (Vectors::new(), Row::new());
        let fields = schema.fields.iter().zip(values).skip(schema.key_columns);
        for (field, value) in fields {
            match value {
                Value::Null => {}
                Value::Vector(vector) if vectors.contains(&field.name) => {
                    own = own.value(field.name.clone(), &vector);
                }
                value => row.set(field.name.clone(), value),
            }
        }
        // What a metric cannot compare is told with its line, before anything is written.
        match collection.row(&id, own, row) {
            Ok(row) => fitting.push(row),
            Err(error) => loaded.refuse(Refusal {
                line,
                column: None,
                message: error.to_string(),
                remedy: None,
            }),
        }
    }
    loaded.refusals.sort_by_key(|refusal| refusal.line);
    Ok(Read {
        rows: fitting,
        refused: loaded.refused,
        refusals: loaded.refusals,
    })
}

/// A file of vectors and nothing else, which get the numbers of their rows as ids.
fn read_vectors(
    collection: &VectorCollection,
    path: &Path,
    given: &Given,
    watch: &Watch,
) -> Result<Read> {
    let schema = collection.schema();
    let takes_numbers = matches!(schema.key_fields(), [key] if key.ty == FieldType::Int);
    if !takes_numbers {
        return Err(Error::invalid(format!(
            "{}: the file has vectors and no ids, and the ids of collection `{}` are no integers; give ids and vectors to \
             `upsert_many`",
            path.display(),
            collection.name()
        )));
    }
    let mut reader = VectorReader::open(path, None)?;
    let all = reader.rows().and_then(|rows| usize::try_from(rows).ok());
    let mut read = Read::default();
    while let Some(row) = reader.read().map_err(|error| error.at(path.display()))? {
        let line = row.number + 1;
        let id = i64::try_from(row.number)
            .ok()
            .and_then(|at| given.first_id.checked_add(at));
        let id =
            id.ok_or_else(|| Error::invalid(format!("row {line}: its id has more than 63 bits")))?;
        let vector = row.vector.to_vec().into();
        match collection.row(&RecordId::from(id), vector, Row::new()) {
            Ok(row) => read.rows.push(row),
            Err(error) => {
                read.refused += 1;
                if read.refusals.len() < REFUSALS_KEPT {
                    read.refusals.push(Refusal {
                        line,
                        column: None,
                        message: error.to_string(),
                        remedy: None,
                    });
                }
            }
        }
        let done = read.rows.len() + read.refused;
        watch.report(done, all.unwrap_or(done).max(done))?;
    }
    Ok(read)
}
