//! `tandem features export`: the events of a view become a file.

use std::io::{Write as _, stdout};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use common::{Record, Result};

use super::open;
use super::table::TableFormat;

/// Export all events of a view, in the order of key and time
///
/// Columns are the entity's key, `event_time`, `known_at`, `deleted` and the features: what `tandem features import`
/// with `--known-at known_at` reads, but for deletions, which it leaves out. A file that exists is replaced as a whole, or stays as it was.
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
        let table = view.table();
        let mut records: Vec<Record> = Vec::with_capacity(table.len());
        let snapshot = store.database().snapshot();
        snapshot.view().scan(table, &mut |batch| {
            records.extend_from_slice(batch);
            ControlFlow::Continue(())
        })?;
        records.sort_by(|a, b| a.key().cmp(b.key()));
        let rows: Vec<_> = records
            .iter()
            .map(|record| record.values().to_vec())
            .collect();
        let count = rows.len();
        format.write(&self.file, table.schema().fields.clone(), rows)?;
        writeln!(
            stdout().lock(),
            "{count} events of {} written to {}",
            view.name(),
            self.file.display()
        )?;
        Ok(())
    }
}
