//! `tandem verify`: whether the folder of a durable database is whole.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::Result;
use serde_json::json;

use crate::terminal::output;

/// Read everything in the folder of a durable database, compare every checksum, and change nothing
///
/// Fails with exit code 4, naming file and byte, when something is damaged. No program may have the folder open.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem verify data\n  \
    tandem verify backups/monday --json")]
pub(crate) struct Verify {
    /// Folder of the database, or of a backup
    folder: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<()> {
        let found = durable::verify(&self.folder)?;
        let mut out = output();
        if self.json {
            let found = json!({
                "folder": self.folder,
                "position": found.seq.0,
                "snapshot": found.snapshot.0,
                "entries": found.entries,
                "torn_bytes": found.torn_bytes,
                "was_closed": found.was_closed,
            });
            writeln!(out, "{found:#}")?;
            return Ok(());
        }
        writeln!(
            out,
            "{} is whole: commit {}, from a snapshot of commit {} and {} entries of the log",
            self.folder.display(),
            found.seq,
            found.snapshot,
            found.entries
        )?;
        if found.torn_bytes > 0 {
            writeln!(
                out,
                "{} bytes at the end were being written when the program or the power went; opening the database cuts \
                 them off, and nobody had been told that they were safe",
                found.torn_bytes
            )?;
        }
        Ok(())
    }
}
