//! `tandem features history`: all events of an entity.

use std::path::PathBuf;

use clap::Args;
use common::query::ResultRow;
use common::{Result, Text, Value};

use super::get::to_json;
use super::key::parse;
use super::{open, print_json};
use crate::show::{self, Format};
use crate::terminal::{Paint, is_coloured, output};

/// Show all events of an entity, by time of event and then of knowledge
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Database file
    db: PathBuf,
    /// Name of the view
    view: String,
    /// Key of the entity
    #[arg(allow_negative_numbers = true)]
    key: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl History {
    pub(crate) fn run(self) -> Result<()> {
        let store = open(&self.db)?;
        let view = store.view(&self.view)?;
        let id = parse(view.entity(), &self.key)?;
        let events = view.history(&id)?;
        if self.json {
            let events = events.iter().map(|row| to_json(&view, &id, row));
            return print_json(&events.collect::<Result<Vec<_>>>()?);
        }
        let features = view.definition().features.iter();
        let own = ["event_time", "known_at", "status"].map(Text::from);
        let columns: Vec<Text> = own
            .into_iter()
            .chain(features.map(|f| f.name.clone()))
            .collect();
        let rows = events.into_iter().map(|row| {
            let own = [
                Value::Timestamp(row.event),
                Value::Timestamp(row.known),
                row.status.name().into(),
            ];
            own.into_iter().chain(row.values).collect::<Vec<_>>()
        });
        let rows: Vec<ResultRow> = rows.map(|row| ResultRow::Values(row.into())).collect();
        let mut out = output();
        show::rows(
            &mut out,
            Format::Table,
            &columns,
            &rows,
            Paint(is_coloured()),
        )
    }
}
