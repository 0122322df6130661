//! [`Increment`]: what a day of use changes.

use std::collections::BTreeSet;

use common::schema::Field;
use common::{Timestamp, Value};

use super::prose::Prose;
use super::tables::{START_MILLIS, STATES};
use super::{Mobile, MobileTable};
use crate::Result;
use crate::random::Random;

/// New values of one or two columns of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Position in [`Mobile::tables`].
    pub table: usize,
    /// Position in [`MobileTable::rows`].
    pub row: usize,
    /// Positions of columns with their new values.
    pub columns: Vec<(usize, Value)>,
}

/// Changes to rows that exist, each row at most once, sorted by table and row.
#[derive(Debug, Clone, PartialEq)]
pub struct Increment {
    /// The changes.
    pub edits: Vec<Edit>,
}

impl Increment {
    /// The changes as an application would send them: one object a line, with the table, the key and the columns.
    ///
    /// # Errors
    /// When a value does not fit its column, which would be a mistake here.
    pub fn json(&self, data: &Mobile) -> Result<Vec<u8>> {
        let mut json = Vec::new();
        for edit in &self.edits {
            let table = &data.tables[edit.table];
            let keys = (0..table.schema.key_columns).map(|at| (at, &table.rows[edit.row][at]));
            let columns = edit.columns.iter().map(|(at, value)| (*at, value));
            let members: Vec<String> = keys
                .chain(columns)
                .map(|(at, value)| {
                    Ok(format!(
                        "\"{}\":{}",
                        table.schema.fields[at].name,
                        plain(value)?
                    ))
                })
                .collect::<Result<_>>()?;
            let line = format!(
                "{{\"table\":\"{}\",\"op\":\"update\",\"row\":{{{}}}}}\n",
                table.schema.name,
                members.join(",")
            );
            json.extend_from_slice(line.as_bytes());
        }
        Ok(json)
    }

    /// Applies the changes.
    pub fn apply(&self, data: &mut Mobile) {
        for edit in &self.edits {
            for (column, value) in &edit.columns {
                data.tables[edit.table].rows[edit.row][*column] = value.clone();
            }
        }
    }
}

/// A value as plain JSON.
fn plain(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => format!("{value:?}"),
        Value::Text(text) => serde_json::to_string(text.as_str())?,
        other => format!("\"{other}\""),
    })
}

/// Per table: its share of the rows in percent, and the groups of columns that are written together.
const WRITTEN: [(&str, usize, &[&[&str]]); 5] = [
    ("users", 12, &[&["last_seen"], &["last_seen", "city"]]),
    (
        "tasks",
        42,
        &[
            &["state", "updated"],
            &["title", "updated"],
            &["notes"],
            &["priority"],
        ],
    ),
    ("messages", 20, &[&["body", "edited"], &["reactions"]]),
    ("readings", 6, &[&["status"]]),
    (
        "products",
        20,
        &[&["stock"], &["price", "updated"], &["stock", "updated"]],
    ),
];

pub(super) fn make(data: &Mobile, rows: usize, random: &mut Random) -> Result<Increment> {
    let mut prose = Prose::read(random)?;
    let mut edits = Vec::new();
    for (number, (name, percent, groups)) in WRITTEN.iter().enumerate() {
        let table = &data.tables[number];
        if table.schema.name != *name {
            return Err(format!("table {number} is {}, not {name}", table.schema.name).into());
        }
        let wanted = (rows * percent / 100).min(table.rows.len());
        let mut chosen = BTreeSet::new();
        while chosen.len() < wanted {
            // Late rows are written more often than early ones.
            chosen.insert(table.rows.len() - 1 - random.skewed(table.rows.len()));
        }
        for row in chosen {
            let group = groups[random.skewed(groups.len())];
            let mut columns = Vec::new();
            for column in group {
                let at = table.schema.position_of(column)?;
                columns.push((at, changed(table, row, at, &mut prose, random)));
            }
            edits.push(Edit {
                table: number,
                row,
                columns,
            });
        }
    }
    Ok(Increment { edits })
}

/// A value that the column could have next, other than the one it has.
fn changed(
    table: &MobileTable,
    row: usize,
    at: usize,
    prose: &mut Prose,
    random: &mut Random,
) -> Value {
    let now = &table.rows[row][at];
    let field: &Field = &table.schema.fields[at];
    let below =
        |random: &mut Random, bound: usize| i64::try_from(random.below(bound)).unwrap_or_default();
    loop {
        let next = match (field.name.as_str(), now) {
            ("state", _) => Value::from(STATES[random.below(STATES.len())]),
            ("status", _) => Value::from(["ok", "low signal", "calibrating"][random.below(3)]),
            ("notes", _) => Value::from(prose.sentence(160, random)),
            ("title", _) => Value::from(prose.title(8, random)),
            ("body", _) => Value::from(prose.sentence(100, random)),
            // Somebody moved to where somebody else lives.
            ("city", _) => table.rows[random.below(table.rows.len())][at].clone(),
            ("priority", _) => Value::from(1 + below(random, 4)),
            ("reactions" | "stock", Value::Int(now)) => {
                Value::from((now + below(random, 9) - 4).max(0))
            }
            ("price", _) => Value::from((200 + below(random, 9_000)) as f64 / 100.0),
            ("edited", Value::Bool(now)) => Value::from(!now),
            // All of it happened in the four hours after the data was taken.
            _ => Value::from(Timestamp::from_millis(
                START_MILLIS + 20 * 86_400_000 + below(random, 14_400_000),
            )),
        };
        if next != *now {
            return next;
        }
    }
}
