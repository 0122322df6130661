//! `tandem features why`: where one served value comes from.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::Result;
use serde_json::json;
use vectordb::feature::Status;

use super::key::parse;
use super::{When, open, print_json, printable};
use crate::show::json_of;
use crate::terminal::output;

/// Show where the value of a feature of an entity comes from: its event, the run that brought it, and what that read
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Database file
    db: PathBuf,
    /// Name of the view
    view: String,
    /// Name of the feature
    feature: String,
    /// Key of the entity
    #[arg(allow_negative_numbers = true)]
    key: String,
    #[command(flatten)]
    when: When,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Why {
    pub(crate) fn run(self) -> Result<()> {
        let store = open(&self.db)?;
        let view = store.view(&self.view)?;
        let id = parse(view.entity(), &self.key)?;
        let origin = store.why(&self.view, &self.feature, &id, self.when.as_of(&store)?)?;
        if self.json {
            let made_of = origin.made_of.iter().map(|related| {
                json!({ "node": related.node, "id": related.node.id(), "distance": related.distance })
            });
            return print_json(&json!({
                "value": json_of(&origin.value)?, "status": origin.status.name(),
                "event_time": origin.event.to_string(), "known_at": origin.known.to_string(), "seq": origin.seq,
                "definition": origin.definition, "run": origin.run, "made_of": made_of.collect::<Vec<_>>(),
            }));
        }
        let mut out = output();
        let value = printable(&origin.value.to_string());
        writeln!(out, "value    {value} ({})", origin.status.name())?;
        if origin.status == Status::Unknown {
            return Ok(());
        }
        writeln!(out, "event    {}", origin.event)?;
        writeln!(out, "known    {}", origin.known)?;
        writeln!(out, "commit   {}", origin.seq)?;
        writeln!(out, "view     {}, version {}", view.name(), view.version())?;
        match &origin.run {
            Some(run) => writeln!(out, "run      {} {}", printable(&run.name), run.id())?,
            None => writeln!(out, "run      none: it was written without a source")?,
        }
        for related in &origin.made_of {
            let node = &related.node;
            writeln!(
                out,
                "{:8} {} {}, {}",
                node.kind.name(),
                printable(&node.name),
                node.version,
                node.id()
            )?;
        }
        Ok(())
    }
}
