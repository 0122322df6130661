//! [`load`]: a whole file as typed rows of one schema, with everything that could not be read.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use common::schema::{Field, FieldType, RuleRegistry, Schema, Validator};
use common::{Error, RecordId, Result, Value};

use super::infer::{Guess, Guessed, has_kind};
use super::{Refusal, Source, cell, ending, open, open_bytes, open_packed};

/// Is told now and then how many rows have been read.
pub type Progress<'p> = &'p mut dyn FnMut(usize);

/// Most refusals that are kept to be shown; all are counted.
const REFUSALS_KEPT: usize = 10;

/// What the user says about the file.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and independent"
)]
pub struct Options {
    /// Name of the table that the rows are for.
    pub table: String,
    /// The schema the rows must fit; found out from the file when there is none.
    pub schema: Option<Schema>,
    /// Columns of the key, when there is no schema.
    pub key: Vec<String>,
    /// Adds a key column with the number of each row when no column can be the key.
    pub number_rows: bool,
    /// Texts that stand for no value, beside the empty one.
    pub nulls: Vec<String>,
    /// Takes a cell of a CSV file with nothing between quotes for the empty text in columns of text, unless `nulls` has
    /// that; one with nothing at all has no value.
    pub quoted_empty: bool,
    /// Columns that are text whatever they look like.
    pub text: Vec<String>,
    /// Numbers the rows even if a column could be the key.
    pub always_number: bool,
    /// Takes a column for text as soon as one cell is nothing else.
    pub lenient: bool,
    /// Between the fields of a CSV file; guessed when not given.
    pub delimiter: Option<u8>,
    /// The first line of a CSV file is a row, columns are called `c1`, `c2`, ...
    pub no_header: bool,
}

/// A file that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The schema that was given or found out.
    pub schema: Schema,
    /// Line and values in storage order of every row that fits.
    pub rows: Vec<(u64, Vec<Value>)>,
    /// The first rows that do not.
    pub refusals: Vec<Refusal>,
    /// How many rows do not.
    pub refused: usize,
}

impl Loaded {
    /// Counts a row out and keeps the reason if there is room.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        if self.refusals.len() < REFUSALS_KEPT {
            self.refusals.push(refusal);
        }
    }
}

/// A column of the file and what its cells become.
struct Column {
    name: String,
    /// Position in the schema's storage order, once there is a schema.
    target: usize,
    ty: FieldType,
    nullable: bool,
    majority: Option<(usize, usize)>,
}

/// Reads a file. Costs its size in memory and that of its rows, and reads it twice when there is no schema.
///
/// # Errors
/// When the file cannot be read at all, or its columns cannot be those of the table. Rows that do not fit are
/// in the result instead.
pub fn load(path: &Path, options: &Options, progress: Progress<'_>) -> Result<Loaded> {
    let source = open(path, options)?;
    load_from(source.as_ref(), path, options, progress)
}

/// As [`load()`], from bytes that stand for the file `name`, whose ending says what they are.
///
/// # Errors
/// As [`load()`].
pub fn load_bytes(
    name: &str,
    bytes: Vec<u8>,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Loaded> {
    let path = Path::new(name);
    let source = open_bytes(path, &ending(path).0, bytes, options)?;
    load_from(source.as_ref(), path, options, progress)
}

/// As [`load_bytes`], from bytes packed with gzip.
///
/// # Errors
/// As [`load()`].
pub fn load_packed(
    name: &str,
    packed: &[u8],
    options: &Options,
    progress: Progress<'_>,
) -> Result<Loaded> {
    let path = Path::new(name);
    let source = open_packed(path, packed, options)?;
    load_from(source.as_ref(), path, options, progress)
}

pub(crate) fn load_from(
    source: &dyn Source,
    path: &Path,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Loaded> {
    let place = |error: Error| error.at(path.display());
    let known = |name: &String| source.columns().contains(name);
    for name in options.text.iter().chain(&options.key) {
        if options.schema.is_none() && !known(name) {
            return Err(place(unknown_column(name, source.columns())));
        }
    }
    let mut columns = match &options.schema {
        Some(schema) => columns_of(schema, source.columns()).map_err(place)?,
        None => columns_by_guess(source, options).map_err(place)?,
    };
    let mut loaded = Loaded {
        // Replaced below when there was none.
        schema: options.schema.clone().unwrap_or_else(|| Schema {
            name: options.table.as_str().into(),
            version: common::schema::SchemaVersion(1),
            key_columns: 0,
            fields: Vec::new(),
            indexes: Vec::new(),
            references: Vec::new(),
        }),
        rows: Vec::new(),
        refusals: Vec::new(),
        refused: 0,
    };
    read_rows(source, &columns, options, &mut loaded, progress).map_err(place)?;
    if options.schema.is_none() {
        choose_schema(&mut columns, options, &mut loaded).map_err(place)?;
    }
    let validator = loaded
        .schema
        .compile(&RuleRegistry::default())
        .map_err(place)?;
    fit(&columns, &validator, &mut loaded);
    Ok(loaded)
}

pub(crate) fn unknown_column(name: &str, columns: &[String]) -> Error {
    Error::not_found(format!(
        "there is no column `{name}`; the columns are {}",
        columns.join(", ")
    ))
}

/// The columns of a file whose rows must fit a schema.
fn columns_of(schema: &Schema, names: &[String]) -> Result<Vec<Column>> {
    let missing = schema
        .fields
        .iter()
        .enumerate()
        .filter(|(i, field)| field.is_required() || *i < schema.key_columns)
        .map(|(_, field)| field.name.as_str())
        .find(|name| !names.iter().any(|known| known == name));
    if let Some(name) = missing {
        return Err(Error::invalid(format!(
            "line 1: column `{name}` of table `{}` is missing, and it has neither a default nor allows \
             null; add it to the file",
            schema.name
        )));
    }
    let column = |name: &String| {
        let target = schema.position(name).ok_or_else(|| {
            let known: Vec<&str> = schema.fields.iter().map(|f| f.name.as_str()).collect();
            Error::invalid(format!(
                "line 1: table `{}` has no column `{name}`; its columns are {}. Rename or remove the \
                 column, or import into a new table",
                schema.name,
                known.join(", ")
            ))
        })?;
        let field = schema.fields.get(target);
        Ok(Column {
            name: name.clone(),
            target,
            ty: field.map_or(FieldType::Any, |field| field.ty.clone()),
            nullable: field.is_some_and(|field| field.nullable || field.default.is_some()),
            majority: None,
        })
    };
    names.iter().map(column).collect()
}

fn columns_by_guess(source: &dyn Source, options: &Options) -> Result<Vec<Column>> {
    let names = source.columns();
    let mut guesses: Vec<Guess> = names.iter().map(|_| Guess::default()).collect();
    source.each(&mut |_, cells| {
        for (guess, cell) in guesses.iter_mut().zip(cells.unwrap_or_default()) {
            guess.see(*cell, &options.nulls);
        }
        ControlFlow::Continue(())
    })?;
    let mut types = source.types().unwrap_or_default().into_iter();
    let columns = names.iter().zip(guesses).map(|(name, guess)| {
        let Guessed {
            ty,
            nullable,
            majority,
        } = guess.finish(!options.lenient);
        let ty = types.next().unwrap_or(ty);
        let forced = options.text.contains(name);
        Column {
            name: name.clone(),
            target: 0,
            ty: if forced { FieldType::Text } else { ty },
            nullable,
            majority: majority.filter(|_| !forced),
        }
    });
    Ok(columns.collect())
}

/// Reads every row as values in the order of the file's columns.
fn read_rows(
    source: &dyn Source,
    columns: &[Column],
    options: &Options,
    loaded: &mut Loaded,
    progress: Progress<'_>,
) -> Result<()> {
    source.each(&mut |line, cells| {
        let values = cells.and_then(|cells| {
            let mut values = Vec::with_capacity(columns.len());
            for (column, cell) in columns.iter().zip(cells) {
                let value = cell::to_value(*cell, &column.ty, &options.nulls)
                    .map_err(|reason| refusal(line, column, reason))?;
                // An empty cell of a text column that takes no null is the empty text.
                let value = value.or_else(|| {
                    let is_empty = matches!(cell, super::Cell::Text(""));
                    (is_empty && !column.nullable && column.ty == FieldType::Text)
                        .then(|| Value::from(""))
                });
                values.push(value.unwrap_or_default());
            }
            Ok(values)
        });
        match values {
            Ok(values) => loaded.rows.push((line, values)),
            Err(refusal) => loaded.refuse(refusal),
        }
        progress(loaded.rows.len());
        ControlFlow::Continue(())
    })
}

fn refusal(line: u64, column: &Column, reason: String) -> Refusal {
    let refusal = |reason| Refusal::cell(line, &column.name, reason);
    match column.majority {
        Some((fitting, all)) => refusal(format!(
            "{reason} ({fitting} of the column's {all} cells are {})",
            column.ty
        ))
        .remedy(format!(
            "correct the cell; or give --null with its text to read it as empty, --text {} to keep the \
             whole column as text, or --on-error skip to leave the row out",
            column.name
        )),
        None if has_kind(&column.ty) => refusal(reason).remedy(
            "correct the cell; or give --null with its text to read it as empty, or --on-error skip to \
             leave the row out",
        ),
        None => refusal(reason),
    }
}

/// Makes a schema of the columns and chooses its key.
fn choose_schema(columns: &mut [Column], options: &Options, loaded: &mut Loaded) -> Result<()> {
    let key = if options.always_number {
        None
    } else if options.key.is_empty() {
        find_key(columns, loaded)
    } else {
        Some(options.key.clone())
    };
    let numbered = "row".to_owned();
    let key = match key {
        Some(key) => key,
        None if options.number_rows => vec![numbered.clone()],
        None => {
            return Err(Error::invalid(
                "no column can be the key: none is named `id`, and the first one has empty or repeated \
                 values; choose one or more with --key COLUMN,.., or number the rows with --number-rows",
            ));
        }
    };
    let mut builder = Schema::build(options.table.as_str(), key.iter().map(String::as_str));
    let add_numbers = options.number_rows && key == [numbered.clone()];
    if add_numbers {
        builder = builder.field(Field::new(numbered.as_str(), FieldType::Int));
    }
    for column in columns.iter() {
        let mut field = Field::new(column.name.as_str(), column.ty.clone());
        field.nullable = column.nullable && !key.contains(&column.name);
        builder = builder.field(field);
    }
    loaded.schema = builder.finish()?;
    for column in columns {
        column.target = loaded.schema.position_of(&column.name)?;
    }
    Ok(())
}

/// The column `id`, or the first column if its values differ and none is missing.
fn find_key(columns: &[Column], loaded: &Loaded) -> Option<Vec<String>> {
    if columns.iter().any(|column| column.name == "id") {
        return Some(vec!["id".to_owned()]);
    }
    let first = columns.first().filter(|column| {
        // Measurements may happen to differ; a key is something that names.
        !column.nullable && !matches!(column.ty, FieldType::Float | FieldType::Any)
    })?;
    let mut seen = std::collections::HashSet::with_capacity(loaded.rows.len());
    let mut firsts = loaded.rows.iter().filter_map(|(_, values)| values.first());
    firsts
        .all(|value| seen.insert(value))
        .then(|| vec![first.name.clone()])
}

/// Puts values into storage order and lets the schema check them; keys may stand once only.
fn fit(columns: &[Column], validator: &Validator, loaded: &mut Loaded) {
    let rows = std::mem::take(&mut loaded.rows);
    let defaults: Vec<Value> = loaded
        .schema
        .fields
        .iter()
        .map(|field| field.default.clone().unwrap_or_default())
        .collect();
    let numbered = columns.iter().all(|column| column.target != 0);
    let mut keys: HashMap<RecordId, u64> = HashMap::with_capacity(rows.len());
    for (number, (line, values)) in (1_i64..).zip(rows) {
        let mut stored = defaults.clone();
        if let (true, Some(first)) = (numbered, stored.first_mut()) {
            *first = Value::from(number);
        }
        for (column, value) in columns.iter().zip(values) {
            if let Some(place) = stored.get_mut(column.target) {
                let keeps_default = value.is_null() && !column_takes_null(&loaded.schema, column);
                if !keeps_default {
                    *place = value;
                }
            }
        }
        match check(&loaded.schema, validator, line, &mut stored, &mut keys) {
            Ok(()) => loaded.rows.push((line, stored)),
            Err(refusal) => loaded.refuse(refusal),
        }
    }
}

fn column_takes_null(schema: &Schema, column: &Column) -> bool {
    let field = schema.fields.get(column.target);
    field.is_some_and(|field| field.nullable || field.default.is_none())
}

fn check(
    schema: &Schema,
    validator: &Validator,
    line: u64,
    values: &mut [Value],
    keys: &mut HashMap<RecordId, u64>,
) -> Result<(), Refusal> {
    if let Err(error) = validator.prepare(values) {
        return Err(match error.violations() {
            [first, ..] => {
                let more = match error.violations().len() {
                    1 => String::new(),
                    all => format!(" (and {} more broken rules)", all - 1),
                };
                Refusal::cell(line, &first.path, format!("{}{more}", first.message))
                    .remedy("correct the cell, or --on-error skip to leave the row out")
            }
            [] => Refusal::row(line, error.message()),
        });
    }
    let key = values.get(..schema.key_columns).unwrap_or_default();
    let id = RecordId::from(key);
    if let Some(earlier) = keys.get(&id) {
        let names: Vec<&str> = schema
            .key_fields()
            .iter()
            .map(|f| f.name.as_str())
            .collect();
        return Err(Refusal::cell(
            line,
            &names.join(", "),
            format!("key {id} stands in line {earlier} already"),
        )
        .remedy(
            "remove one of the two rows, choose another key with --key COLUMN,.., or --on-error skip to \
             keep the first",
        ));
    }
    keys.insert(id, line);
    Ok(())
}
