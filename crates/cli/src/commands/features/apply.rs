//! `tandem features apply`: entities and views become those of a file.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::{Limits, Result};
use vectordb::feature::{Change, Definitions};

use super::{change_or_create, print_json};
use crate::source::read;
use crate::terminal::output;

/// Create the entities and views of a file, and alter the views that differ
///
/// The file is JSON: `{"entities": [{"name": "user", "keys": [{"name": "user_id", "type": "int"}]}], "views": [{"name":
/// "rides", "entity": "user", "features": [{"name": "fare", "type": "float", "nullable": true}], "ttl_seconds": 3600}]}`.
/// Views and entities that it does not name stay. All of it is applied, or nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem features apply shop.tdb features.json --dry-run\n  \
    tandem features apply shop.tdb features.json --json")]
pub(crate) struct Apply {
    /// Database file; created if it does not exist
    db: PathBuf,
    /// Entities and views as JSON
    definition: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Apply {
    pub(crate) fn run(self) -> Result<()> {
        let json = read(&self.definition)?;
        let place = |error: common::Error| error.at(self.definition.display());
        let definitions = Definitions::from_json(&json, &Limits::default()).map_err(place)?;
        let (file, store) = change_or_create(&self.db)?;
        let applied = store.apply(&definitions).map_err(place)?;
        let entities = applied.entities.iter().map(|entity| entity.change);
        let mut changes = entities.chain(applied.views.iter().map(|view| view.change));
        if !self.dry_run && changes.any(|change| change != Change::Unchanged) {
            file.save()?;
        }
        if self.json {
            return print_json(&applied);
        }
        let mut out = output();
        for entity in &applied.entities {
            writeln!(
                out,
                "entity {:24} {}",
                entity.name.as_str(),
                entity.change.name()
            )?;
        }
        for view in &applied.views {
            writeln!(
                out,
                "view   {:24} {}, version {}",
                view.name.as_str(),
                view.change.name(),
                view.version
            )?;
        }
        if self.dry_run {
            writeln!(out, "nothing was changed: this was a dry run")?;
        }
        Ok(())
    }
}
