//! `tandem features forget`: removes all events of entities.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::{Error, Result};

use super::change;
use super::key::parse_all;
use crate::terminal::output;

/// Remove all events of entities from a view, as if they had never been
///
/// Keys stay in the rows of training sets that were made of them, and such a set cannot be made again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tandem features forget shop.tdb rides 7 8 --yes")]
pub(crate) struct Forget {
    /// Database file
    db: PathBuf,
    /// Name of the view
    view: String,
    /// Keys of the entities
    #[arg(required = true, allow_negative_numbers = true)]
    keys: Vec<String>,
    /// Do it: what is forgotten does not come back
    #[arg(long)]
    yes: bool,
}

impl Forget {
    pub(crate) fn run(self) -> Result<()> {
        let (file, store) = change(&self.db)?;
        let view = store.view(&self.view)?;
        let ids = parse_all(view.entity(), &self.keys)?;
        if !self.yes {
            let events = ids.iter().map(|id| Ok(view.history(id)?.len()));
            let events: usize = events.sum::<Result<_>>()?;
            return Err(Error::invalid(format!(
                "{events} events of view `{}` would be removed for good; say --yes to do it",
                view.name()
            )));
        }
        let removed = view.forget(&ids)?;
        file.save()?;
        writeln!(
            output(),
            "{removed} events forgotten; {} has {}",
            view.name(),
            view.len()
        )?;
        Ok(())
    }
}
