//! `tandem features list`: the entities, views and tags of a store.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::query::ResultRow;
use common::{Result, Text, Value};
use serde_json::json;

use super::{open, print_json};
use crate::show::{self, Format};
use crate::terminal::{Paint, is_coloured, output};

/// List the feature views of a database file, and its tags
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Database file
    db: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self) -> Result<()> {
        let store = open(&self.db)?;
        let (views, tags) = (store.views(), store.tags()?);
        if self.json {
            let views = views.iter().map(|view| {
                json!({
                    "name": view.name(), "version": view.version(), "entity": view.entity().name,
                    "features": view.definition().features.len(), "events": view.len(), "entities": view.entities(),
                    "ttl_seconds": view.definition().ttl_seconds,
                })
            });
            let views: Vec<_> = views.collect();
            let tags: Vec<_> = tags
                .iter()
                .map(|(name, as_of)| {
                    json!({ "name": name, "event": as_of.event.to_string(), "seq": as_of.seq })
                })
                .collect();
            return print_json(
                &json!({ "entities": store.entities()?, "views": views, "tags": tags }),
            );
        }
        let mut out = output();
        if views.is_empty() {
            writeln!(
                out,
                "no feature views; declare some with `tandem features apply`"
            )?;
        } else {
            let names = [
                "view", "version", "entity", "features", "events", "entities",
            ];
            let number = |count: usize| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
            let rows = views.iter().map(|view| {
                vec![
                    Value::from(view.name()),
                    Value::from(i64::from(view.version())),
                    Value::from(view.entity().name.clone()),
                    number(view.definition().features.len()),
                    number(view.len()),
                    number(view.entities()),
                ]
            });
            let rows: Vec<ResultRow> = rows.map(|row| ResultRow::Values(row.into())).collect();
            let paint = Paint(is_coloured());
            show::rows(
                &mut out,
                Format::Table,
                &names.map(Text::from),
                &rows,
                paint,
            )?;
        }
        for (name, as_of) in &tags {
            writeln!(out, "tag {name}: {}, commit {}", as_of.event, as_of.seq)?;
        }
        Ok(())
    }
}
