//! [`dry_run`]: what would become of the rows that there are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::{Database, RecordId, Result, Text, Value};
use serde::Serialize;

use super::lineage::Lineage;
use super::run::{Way, Work, refuse_replica, version_of, works};

/// What a migration would do.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DryRun {
    /// The version that the database is of.
    pub from: u32,
    /// The version that it would be of.
    pub to: u32,
    /// What would become of each table that would not be as it is.
    pub tables: BTreeMap<Text, TableDryRun>,
}

impl DryRun {
    /// Whether the migration would take place: no value is refused. That keys and unique indexes collide is only seen when it
    /// is done.
    pub fn is_possible(&self) -> bool {
        self.tables.values().all(|table| table.refused == 0)
    }
}

/// What a migration would do to a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableDryRun {
    /// How.
    pub way: Way,
    /// Number of its rows.
    pub rows: u64,
    /// Number of rows that would come through with everything that they hold; rows of a table that goes do not.
    pub whole: u64,
    /// Number of values that others would stand in the place of, by column.
    pub lossy: BTreeMap<Text, u64>,
    /// Number of values that are refused, one of each row at most.
    pub refused: u64,
    /// The first of both kinds.
    pub samples: Vec<Sample>,
}

/// A value that would not come through whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Key of the row.
    pub key: RecordId,
    /// The column that it goes to.
    pub column: Text,
    /// The value.
    pub before: Value,
    /// What would stand in its place; `None` when it is refused.
    pub after: Option<Value>,
    /// Why it does not fit.
    pub why: String,
}

/// Counts what a migration would do, and changes nothing. Costs a pass over the tables whose rows would be made anew,
/// and memory for the samples: at most `samples_max` of each table, refused values before others.
///
/// # Errors
/// [`common::ErrorKind::NotFound`] for a version that the lineage has not; [`common::ErrorKind::Unsupported`] for a replica's
/// database.
pub fn dry_run(db: &Database, lineage: &Lineage, to: u32, samples_max: usize) -> Result<DryRun> {
    refuse_replica(db)?;
    let from = version_of(db, lineage)?;
    let mut found = DryRun {
        from,
        to,
        tables: BTreeMap::new(),
    };
    if from == to {
        return Ok(found);
    }
    for (name, work) in works(db, lineage, from, to)? {
        let mut table = TableDryRun {
            way: work.way(),
            rows: 0,
            whole: 0,
            lossy: BTreeMap::new(),
            refused: 0,
            samples: Vec::new(),
        };
        if let Ok(collection) = db.collection(&name) {
            table.rows = collection.len() as u64;
            match &work {
                Work::Drop => {}
                Work::Rebuild(_, program) if program.may_lose => {
                    let snapshot = db.snapshot();
                    table.rows = 0;
                    snapshot.view().scan(&collection, &mut |records| {
                        let mut values = Vec::new();
                        for record in records {
                            values.clear();
                            table.rows += 1;
                            let mut is_whole = true;
                            // What is refused is counted by what is told of it.
                            let _ = program.run(record, &mut values, &mut |lost| {
                                is_whole = false;
                                match lost.after {
                                    Some(_) => {
                                        *table.lossy.entry(lost.column.clone()).or_default() += 1;
                                    }
                                    None => table.refused += 1,
                                }
                                let full = table.samples.len() >= samples_max;
                                let other = table.samples.iter().rposition(|s| s.after.is_some());
                                let place = match (full, lost.after, other) {
                                    (false, ..) => table.samples.len(),
                                    (true, None, Some(other)) => {
                                        table.samples.remove(other);
                                        table.samples.len()
                                    }
                                    (true, ..) => return,
                                };
                                let sample = Sample {
                                    key: record.id(),
                                    column: lost.column.clone(),
                                    before: lost.before.clone(),
                                    after: lost.after.cloned(),
                                    why: lost.why.clone(),
                                };
                                table.samples.insert(place, sample);
                            });
                            table.whole += u64::from(is_whole);
                        }
                        ControlFlow::Continue(())
                    })?;
                }
                _ => table.whole = table.rows,
            }
        }
        found.tables.insert(name, table);
    }
    Ok(found)
}
