//! `tandem repair`: a damaged log, cut where it is still whole.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::Result;

use crate::terminal::output;

/// Cut the damaged log of a durable database at its last whole entry, so that it opens again
///
/// What was written after the damage is lost to the database; restore a backup instead if there is one. The bytes that
/// are cut off are kept beside the log. A folder that is whole is left as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem verify data\n  \
    tandem repair data")]
pub(crate) struct Repair {
    /// Folder of the database
    folder: PathBuf,
}

impl Repair {
    pub(crate) fn run(self) -> Result<()> {
        let repaired = durable::repair(&self.folder)?;
        let mut out = output();
        if repaired.kept.is_empty() && repaired.cut_bytes == 0 {
            writeln!(
                out,
                "{} is whole, at commit {}: nothing was changed",
                self.folder.display(),
                repaired.recovery.seq
            )?;
            return Ok(());
        }
        writeln!(
            out,
            "{} opens again, at commit {}: {} bytes of the log were cut off",
            self.folder.display(),
            repaired.recovery.seq,
            repaired.cut_bytes
        )?;
        for kept in &repaired.kept {
            writeln!(out, "they are kept in {}", kept.display())?;
        }
        Ok(())
    }
}
