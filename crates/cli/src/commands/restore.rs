//! `tandem restore`: a database from a backup and a log, as it was at some commit or time.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::utils::time::parse_timestamp;
use common::{Result, Seq, Timestamp};
use durable::Until;

use crate::terminal::output;

/// Make a database from a backup, and bring it to a later commit or time by the log
///
/// The log is in the archive that the database was opened with, and its end in the folder of the database itself. Backup,
/// archive and database stay as they are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem restore backups/monday restored\n  \
    tandem restore backups/monday restored --log archive --log data\n  \
    tandem restore backups/monday restored --log archive --time 2026-05-04T11:59:00Z\n  \
    tandem restore backups/monday restored --log archive --commit 48213")]
pub(crate) struct Restore {
    /// Folder of the backup
    backup: PathBuf,
    /// Folder of the new database, which holds none yet
    to: PathBuf,
    /// Folder with the log since the backup; may be given several times
    #[arg(long, value_name = "FOLDER")]
    log: Vec<PathBuf>,
    /// Go to this commit; to the end of the log if neither this nor a time is given
    #[arg(long, value_name = "NUMBER", conflicts_with = "time")]
    commit: Option<u64>,
    /// Go to the last commit that was made at or before this time
    #[arg(long, value_name = "TIME", value_parser = parse_timestamp)]
    time: Option<i64>,
}

impl Restore {
    pub(crate) fn run(self) -> Result<()> {
        let until = match (self.commit, self.time) {
            (Some(commit), _) => Until::Seq(Seq(commit)),
            (None, Some(time)) => Until::Time(Timestamp(time)),
            (None, None) => Until::End,
        };
        let seq = durable::restore(&self.backup, &self.log, &self.to, until)?;
        writeln!(
            output(),
            "{} holds the database as of commit {seq}",
            self.to.display()
        )?;
        Ok(())
    }
}
