//! `tandem features export`: the events of a view become a file.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::{RecordId, Result, Value};
use vectordb::feature::{FeatureRow, Status};

use super::open;
use super::table::TableFormat;
use crate::terminal::output;

/// Export all events of a view, in the order of key and time
///
/// Columns are the entity's key, `event_time`, `known_at`, `deleted` and the features: what `tandem features import`
/// with `--known-at known_at` reads. A file that exists is replaced as a whole, or stays as it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tandem features export shop.tdb rides rides.parquet")]
pub(crate) struct Export {
    /// Database file
    db: PathBuf,
    /// Name of the view
    view: String,
    /// The file: .csv, .jsonl, .parquet or .arrow (an Arrow stream)
    file: PathBuf,
}

impl Export {
    pub(crate) fn run(self) -> Result<()> {
        let format = TableFormat::of(&self.file)?;
        let store = open(&self.db)?;
        let view = store.view(&self.view)?;
        // Nobody else writes to what was opened here.
        let keys = view.keys()?;
        let (fields, count) = (view.table().schema().fields.clone(), view.len());
        let rows = keys.iter().flat_map(|key| match view.history(key) {
            Ok(events) => {
                let rows = events.into_iter().map(|event| Ok(row(key, event)));
                rows.collect()
            }
            Err(error) => vec![Err(error)],
        });
        format.write(&self.file, fields, count, rows)?;
        writeln!(
            output(),
            "{count} events of {} written to {}",
            view.name(),
            self.file.display()
        )?;
        Ok(())
    }
}

/// An event with the columns of its table.
fn row(key: &RecordId, event: FeatureRow) -> Vec<Value> {
    let own = [
        Value::Timestamp(event.event),
        Value::Timestamp(event.known),
        Value::Bool(event.status == Status::Missing),
    ];
    let key = key.values().iter().cloned();
    key.chain(own).chain(event.values).collect()
}
