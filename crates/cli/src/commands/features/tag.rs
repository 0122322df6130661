//! `tandem features tag`: a name for what is known now.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::Result;

use super::change;
use crate::terminal::output;

/// Name what the store holds now, so that reads by that name see the same for ever
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Database file
    db: PathBuf,
    /// Name of the tag; a tag does not move
    name: String,
}

impl Tag {
    pub(crate) fn run(self) -> Result<()> {
        let (file, store) = change(&self.db)?;
        let as_of = store.tag(&self.name)?;
        file.save()?;
        let mut out = output();
        writeln!(
            out,
            "tag {}: {}, commit {}",
            self.name, as_of.event, as_of.seq
        )?;
        Ok(())
    }
}
