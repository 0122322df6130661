//! Rows as people and programs read them: a table, JSON or CSV.

use std::io::Write;

use clap::ValueEnum;
use common::query::ResultRow;
use common::serialization::Format as Encoding;
use common::{Error, Result, Text, Value};
use unicode_width::UnicodeWidthStr as _;

use crate::terminal::Paint;

/// Widest cell of a table in characters; longer ones are cut.
const CELL_WIDTH_MAX: usize = 48;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns side by side, for people
    Table,
    /// One array of objects, one a line
    Json,
    /// A header and one line a row
    Csv,
}

/// Writes rows with their columns' names.
pub(crate) fn rows(
    out: &mut dyn Write,
    format: Format,
    columns: &[Text],
    rows: &[ResultRow],
    paint: Paint,
) -> Result<()> {
    match format {
        Format::Table => table(out, columns, rows, paint),
        Format::Json => json(out, columns, rows),
        Format::Csv => csv(out, columns, rows),
    }
}

fn table(out: &mut dyn Write, columns: &[Text], rows: &[ResultRow], paint: Paint) -> Result<()> {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(cell).collect())
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let cells = cells
                .iter()
                .filter_map(|row| row.get(i))
                .map(|cell| cell.width());
            cells.max().unwrap_or(0).max(name.width())
        })
        .collect();
    // A column of numbers stands to the right, so that their digits line up.
    let right: Vec<bool> = (0..columns.len())
        .map(|i| {
            let mut values = rows
                .iter()
                .filter_map(|row| row.get(i))
                .filter(|v| !v.is_null());
            rows.iter()
                .any(|row| row.get(i).is_some_and(|v| !v.is_null()))
                && values.all(|value| matches!(value, Value::Int(_) | Value::Float(_)))
        })
        .collect();
    let line = |cells: &[String]| -> String {
        let mut line = String::new();
        for ((cell, width), right) in cells.iter().zip(&widths).zip(&right) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let (before, after) = if *right {
                (space.as_str(), "")
            } else {
                ("", space.as_str())
            };
            line.push_str(before);
            line.push_str(cell);
            line.push_str(after);
        }
        line.trim_end().to_owned()
    };
    let names: Vec<String> = columns.iter().map(Text::to_string).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    writeln!(out, "{}", paint.bold(line(&names)))?;
    writeln!(out, "{}", paint.dim(rule.join("  ")))?;
    for row in &cells {
        writeln!(out, "{}", line(row))?;
    }
    let count = match rows.len() {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    };
    writeln!(out, "{}", paint.dim(format!("({count})")))?;
    Ok(())
}

/// A value on one line of a table.
fn cell(value: &Value) -> String {
    let text: String = match value {
        Value::Null => "null".to_owned(),
        // A line end or an escape sequence in the data must not reach the terminal.
        value => value
            .to_string()
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect(),
    };
    match text.char_indices().nth(CELL_WIDTH_MAX) {
        Some(_) => {
            let kept: String = text.chars().take(CELL_WIDTH_MAX - 1).collect();
            format!("{kept}…")
        }
        None => text,
    }
}

fn json(out: &mut dyn Write, columns: &[Text], rows: &[ResultRow]) -> Result<()> {
    let names: Vec<String> = columns
        .iter()
        .map(|name| serde_json::Value::from(name.as_str()).to_string())
        .collect();
    write!(out, "[")?;
    for (i, row) in rows.iter().enumerate() {
        write!(out, "{}\n  {{", if i == 0 { "" } else { "," })?;
        for (j, (name, value)) in names.iter().zip(row.iter()).enumerate() {
            let separator = if j == 0 { "" } else { ", " };
            write!(out, "{separator}{name}: {}", json_of(value)?)?;
        }
        write!(out, "}}")?;
    }
    writeln!(out, "{}", if rows.is_empty() { "]" } else { "\n]" })?;
    Ok(())
}

/// A value as plain JSON: times and identifiers as text, numbers that JSON does not have as text.
pub(crate) fn json_of(value: &Value) -> Result<serde_json::Value> {
    use serde_json::Value as Json;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) if value.is_finite() => Json::from(*value),
        Value::Text(text) => Json::from(text.as_str()),
        Value::List(items) => items.iter().map(json_of).collect::<Result<_>>()?,
        Value::Map(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| Ok((key.to_string(), json_of(value)?)));
            Json::Object(pairs.collect::<Result<_>>()?)
        }
        Value::Bytes(_) | Value::Vector(_) | Value::Extension(_) => {
            let mut bytes = Vec::new();
            Encoding::Json.encode_value(value, &mut bytes)?;
            serde_json::from_slice(&bytes).map_err(|error| Error::invalid(error.to_string()))?
        }
        other => Json::from(other.to_string()),
    })
}

fn csv(out: &mut dyn Write, columns: &[Text], rows: &[ResultRow]) -> Result<()> {
    let mut csv = CsvRows::new(out, columns.iter().map(Text::as_str))?;
    for row in rows {
        csv.write(row.iter())?;
    }
    Ok(())
}

/// Rows as lines of CSV below their columns' names.
///
/// A missing value is nothing, and an empty text nothing between quotes, so that a reader who looks can tell them apart:
/// the reason why the lines are not put together by the library that reads them, which cannot say that.
pub(crate) struct CsvRows<W: Write> {
    out: W,
    line: String,
}

impl<W: Write> CsvRows<W> {
    pub(crate) fn new<'a>(out: W, columns: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut csv = Self {
            out,
            line: String::new(),
        };
        for column in columns {
            csv.push(column);
        }
        csv.end()?;
        Ok(csv)
    }

    pub(crate) fn write<'a>(&mut self, row: impl IntoIterator<Item = &'a Value>) -> Result<()> {
        for value in row {
            match value {
                Value::Null => self.line.push(','),
                Value::List(_)
                | Value::Map(_)
                | Value::Bytes(_)
                | Value::Vector(_)
                | Value::Extension(_) => self.push(&json_of(value)?.to_string()),
                Value::Text(text) => self.push(text),
                value => self.push(&value.to_string()),
            }
        }
        self.end()
    }

    fn push(&mut self, field: &str) {
        let special = |c: char| matches!(c, ',' | '"' | '\n' | '\r');
        if field.is_empty() || field.contains(special) {
            self.line.push('"');
            self.line.push_str(&field.replace('"', "\"\""));
            self.line.push('"');
        } else {
            self.line.push_str(field);
        }
        self.line.push(',');
    }

    fn end(&mut self) -> Result<()> {
        // A comma stands after each field, the last one too. A line with nothing on it would be no row.
        self.line.pop();
        if self.line.is_empty() {
            self.line.push_str("\"\"");
        }
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }
}
