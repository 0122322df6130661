//! What every subject goes through: the first sync, then changes of several sizes, then nothing new.

use bench::Result;
use bench::mobile::{Edit, Mobile};
use common::Value;

use crate::subject::Change;

/// Seed of the data; figures in `docs/benchmarks.md` are with this one.
const SEED: u64 = 20_260_105;

/// A change with the rows before and after it.
pub(crate) struct Step {
    pub(crate) case: &'static str,
    pub(crate) change: Option<Change>,
    pub(crate) after: Mobile,
}

/// The rows at first, and what happens to them.
pub(crate) struct Course {
    pub(crate) data: Mobile,
    pub(crate) steps: Vec<Step>,
    pub(crate) json_bytes: usize,
    /// What the 350 changed rows take as JSON.
    pub(crate) increment_json: usize,
}

impl Course {
    pub(crate) fn of(megabytes: usize) -> Result<Self> {
        let data = Mobile::generate(megabytes * 1_000_000, SEED)?;
        let rows: usize = data.tables.iter().map(|table| table.rows.len()).sum();
        let small = data.increment(350, SEED + 1)?;
        let increment_json = small.json(&data)?.len();
        let mut steps = Vec::new();
        let mut now = data.clone();
        edits(&mut steps, &mut now, "increment-350", small.edits);
        let percent = now.increment(rows / 100, SEED + 2)?.edits;
        edits(&mut steps, &mut now, "increment-1pct", percent);
        inserts(&mut steps, &mut now)?;
        deletes(&mut steps, &mut now);
        steps.push(Step {
            case: "nothing-new",
            change: None,
            after: now,
        });
        Ok(Self {
            json_bytes: data.json()?.len(),
            increment_json,
            data,
            steps,
        })
    }
}

fn edits(steps: &mut Vec<Step>, now: &mut Mobile, case: &'static str, edits: Vec<Edit>) {
    for edit in &edits {
        for (column, value) in &edit.columns {
            now.tables[edit.table].rows[edit.row][*column] = value.clone();
        }
    }
    steps.push(Step {
        case,
        change: Some(Change::Edits(edits)),
        after: now.clone(),
    });
}

/// 50 new rows, ten in each table, made as the others were but with another seed.
fn inserts(steps: &mut Vec<Step>, now: &mut Mobile) -> Result<()> {
    let more = Mobile::generate(1_000_000, SEED + 3)?;
    let mut rows: Vec<(usize, Vec<Value>)> = Vec::new();
    for (at, table) in more.tables.iter().enumerate() {
        let key_columns = table.schema.key_columns;
        let known: std::collections::HashSet<&[Value]> = now.tables[at]
            .rows
            .iter()
            .map(|row| &row[..key_columns])
            .collect();
        let largest = now.tables[at].rows.iter().filter_map(|row| row[0].as_int());
        let mut next = largest.max().unwrap_or_default();
        let new = table.rows.iter().rev().filter_map(|row| {
            let mut row = row.clone();
            if row[0].as_int().is_some() {
                // Numbers go on where they ended.
                next += 1;
                row[0] = Value::from(next);
            }
            if let Value::Text(sku) = &row[0]
                && key_columns == 1
            {
                row[0] = Value::from(format!("{sku}-B"));
            }
            (!known.contains(&row[..key_columns])).then_some((at, row))
        });
        rows.extend(new.take(10));
    }
    for (at, row) in &rows {
        now.tables[*at].rows.push(row.clone());
    }
    steps.push(Step {
        case: "insert-50",
        change: Some(Change::Inserts(rows)),
        after: now.clone(),
    });
    Ok(())
}

/// Ten rows that go, two from each table.
fn deletes(steps: &mut Vec<Step>, now: &mut Mobile) {
    let mut keys = Vec::new();
    for (at, table) in now.tables.iter_mut().enumerate() {
        for position in [table.rows.len() / 3, table.rows.len() / 2] {
            let row = table.rows.remove(position);
            keys.push((at, row[..table.schema.key_columns].to_vec()));
        }
    }
    steps.push(Step {
        case: "delete-10",
        change: Some(Change::Deletes(keys)),
        after: now.clone(),
    });
}
