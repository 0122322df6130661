//! [`load_columns`]: chosen columns of a file as values of given types, with each cell that is none.

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
use std::path::Path;

use common::schema::FieldType;
use common::utils::types::int_of_float;
use common::{Date, Error, Result, Timestamp, Value};

use super::load::{Options, Progress};
use super::{Cell, Refusal, cell, ending, open_bytes, unpack};

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A column that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its name in the file.
    pub column: String,
    /// What its cells are to be.
    pub ty: FieldType,
}

/// Columns of a file.
#[derive(Debug, Default)]
pub struct Columns {
    /// Line of each row, or its number in Parquet, from 1.
    pub lines: Vec<u64>,
    /// Values of each wanted column, in the order in which they were wanted: null where a cell is empty or wrong.
    pub columns: Vec<Vec<Value>>,
    /// Cells that are no value of the type: place of the row in `lines`, place of the column, and why.
    pub wrong: Vec<(usize, usize, Refusal)>,
    /// Rows that could not be read at all.
    pub refusals: Vec<Refusal>,
}

/// Reads columns of a file from its bytes, whose kind the ending of `name` says; `.gz` is unpacked.
///
/// `choose` is told the names of all columns and answers with those that are wanted. Times may be given as dates, which
/// stand for their first moment in UTC.
///
/// Cost: a few times the size of the file in memory.
///
/// ```
/// use common::schema::FieldType;
/// use common::Value;
/// let file = b"id,fare\n1,9.5\n2,much\n".to_vec();
/// let wanted = |column: &str, ty| import::Wanted { column: column.to_owned(), ty };
/// let read = import::load_columns("rides.csv", file, &import::Options::default(), &mut |names| {
///     assert_eq!(names, ["id", "fare"]);
///     Ok(vec![wanted("fare", FieldType::Float)])
/// }, &mut |_| ())?;
/// assert_eq!(read.columns[0], [Value::Float(9.5), Value::Null]);
/// assert_eq!((read.lines[1], read.wrong.len()), (3, 1));
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// When the bytes cannot be read at all, when a column that is wanted is not there, and what `choose` fails with.
pub fn load_columns(
    name: &str,
    bytes: Vec<u8>,
    options: &Options,
    choose: &mut dyn FnMut(&[String]) -> Result<Vec<Wanted>>,
    progress: Progress<'_>,
) -> Result<Columns> {
    let path = Path::new(name);
    let place = |error: Error| error.at(name);
    let (kind, packed) = ending(path);
    super::check_ending(path, &kind)?;
    let bytes = if packed { unpack(path, &bytes)? } else { bytes };
    let source = open_bytes(path, &kind, bytes, options)?;
    let wanted = choose(source.columns()).map_err(place)?;
    let mut places = Vec::with_capacity(wanted.len());
    for Wanted { column, .. } in &wanted {
        let found = source.columns().iter().position(|known| known == column);
        places.push(
            found.ok_or_else(|| place(super::load::unknown_column(column, source.columns())))?,
        );
    }
    let mut read = Columns {
        columns: vec![Vec::new(); wanted.len()],
        ..Columns::default()
    };
    source
        .each(&mut |line, cells| {
            let cells = match cells {
                Ok(cells) => cells,
                Err(refusal) => {
                    read.refusals.push(refusal);
                    return ControlFlow::Continue(());
                }
            };
            let row = read.lines.len();
            read.lines.push(line);
            let targets = wanted.iter().zip(&places).zip(&mut read.columns);
            for (at, ((wanted, place), values)) in targets.enumerate() {
                let cell = cells.get(*place).copied().unwrap_or(Cell::Missing);
                let value = to_value(cell, &wanted.ty, &options.nulls).unwrap_or_else(|reason| {
                    let refusal = Refusal::cell(line, &wanted.column, reason);
                    read.wrong.push((row, at, refusal));
                    Value::Null
                });
                values.push(value);
            }
            progress(read.lines.len());
            ControlFlow::Continue(())
        })
        .map_err(place)?;
    Ok(read)
}

fn to_value(cell: Cell<'_>, ty: &FieldType, nulls: &[String]) -> Result<Value, String> {
    let day = match (cell, ty) {
        (Cell::Text(text), FieldType::Timestamp) => day_of(text),
        (Cell::Json(serde_json::Value::String(text)), FieldType::Timestamp) => day_of(text),
        (Cell::Typed(value), _) => return value_to_type(value, ty),
        _ => None,
    };
    match day {
        Some(time) => Ok(time),
        None => cell::to_value(cell, ty, nulls).map(Option::unwrap_or_default),
    }
}

/// The first moment of a date.
fn day_of(text: &str) -> Option<Value> {
    let day = cell::text_to_value(text, &FieldType::Date).ok()?;
    value_to_type(&day, &FieldType::Timestamp).ok()
}

/// A value as one of another type that says the same: integers as floats and whole floats as integers, dates as times,
/// text as what it spells. Null stays null.
///
/// ```
/// use common::schema::FieldType;
/// use common::Value;
/// assert_eq!(import::value_to_type(&Value::from(3), &FieldType::Float), Ok(Value::from(3.0)));
/// assert!(import::value_to_type(&Value::from(3.5), &FieldType::Int).is_err());
/// ```
///
/// # Errors
/// What was expected and what was found.
pub fn value_to_type(value: &Value, ty: &FieldType) -> Result<Value, String> {
    let wrong = || format!("expected {ty}, found {value:?}");
    match (value, ty) {
        (Value::Null, _)
        | (Value::Int(_), FieldType::Int)
        | (Value::Float(_), FieldType::Float)
        | (Value::Text(_), FieldType::Text)
        | (Value::Bool(_), FieldType::Bool)
        | (Value::Date(_), FieldType::Date)
        | (Value::Timestamp(_), FieldType::Timestamp)
        | (Value::Uuid(_), FieldType::Uuid) => Ok(value.clone()),
        #[expect(clippy::cast_precision_loss, reason = "as any integer read as a float")]
        (Value::Int(number), FieldType::Float) => Ok(Value::Float(*number as f64)),
        (Value::Float(number), FieldType::Int) => {
            int_of_float(*number).map(Value::Int).ok_or_else(wrong)
        }
        (Value::Date(Date(day)), FieldType::Timestamp) => {
            Ok(Value::Timestamp(Timestamp(i64::from(*day) * DAY_MICROS)))
        }
        (Value::Text(text), FieldType::Timestamp) => match day_of(text) {
            Some(time) => Ok(time),
            None => cell::text_to_value(text, ty),
        },
        (Value::Text(text), _) => cell::text_to_value(text, ty),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, text: &str, wanted: &[(&str, FieldType)]) -> Result<Columns> {
        let wanted: Vec<Wanted> = wanted
            .iter()
            .map(|(column, ty)| Wanted {
                column: (*column).to_owned(),
                ty: ty.clone(),
            })
            .collect();
        let options = Options::default();
        let bytes = text.as_bytes().to_vec();
        load_columns(
            name,
            bytes,
            &options,
            &mut |_| Ok(wanted.clone()),
            &mut |_| (),
        )
    }

    #[test]
    fn wrong_cells_and_rows_are_apart() {
        let wanted = [("b", FieldType::Int), ("t", FieldType::Timestamp)];
        let read = load(
            "x.csv",
            "t,a,b\n1970-01-02,1,x\n1\n1970-01-01T00:00:01Z,,7\n",
            &wanted,
        )
        .unwrap();
        assert_eq!(read.lines, [2, 4]);
        let time = |micros| Value::Timestamp(Timestamp(micros));
        assert_eq!(read.columns[0], [Value::Null, Value::Int(7)]);
        assert_eq!(read.columns[1], [time(DAY_MICROS), time(1_000_000)]);
        let (row, column, refusal) = &read.wrong[0];
        assert_eq!((*row, *column, refusal.line), (0, 0, 2));
        assert_eq!(read.refusals[0].line, 3);
        let json = "{\"t\": \"1970-01-02\"}\n{\"b\": 2.0}\n{\"b\": \"2\"}\n";
        let read = load("x.jsonl", json, &wanted).unwrap();
        assert_eq!(read.columns[0], [Value::Null, Value::Int(2), Value::Null]);
        assert_eq!(read.columns[1][0], time(DAY_MICROS));
        assert_eq!(read.wrong.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, text, says) in [
            ("x.txt", "a\n1\n", "x.txt: unknown kind of file"),
            (
                "x.csv",
                "a\n1\n",
                "there is no column `b`; the columns are a",
            ),
            (
                "x.csv.gz",
                "a\n1\n2\n3\n4\n5\n6\n",
                "it is not packed with gzip",
            ),
        ] {
            let error = load(name, text, &[("b", FieldType::Int)]).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
