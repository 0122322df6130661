//! `tandem features get`: what is known of entities as of a time.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::{RecordId, Result};
use serde_json::{Map, Value as Json, json};
use vectordb::feature::{FeatureRow, FeatureView, Status};

use super::key::parse_all;
use super::{When, open, print_json, printable};
use crate::show::json_of;
use crate::terminal::output;

/// Show what is known of entities, each value with its status
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem features get shop.tdb rides 7\n  \
    tandem features get shop.tdb rides 7 8 --as-of 2026-11-22T08:30:00Z --known-at 2026-11-23 --json\n  \
    tandem features get shop.tdb tastes 7,jazz --tag monday")]
pub(crate) struct Get {
    /// Database file
    db: PathBuf,
    /// Name of the view
    view: String,
    /// Keys of the entities
    #[arg(required = true, allow_negative_numbers = true)]
    keys: Vec<String>,
    #[command(flatten)]
    when: When,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Get {
    pub(crate) fn run(self) -> Result<()> {
        let store = open(&self.db)?;
        let view = store.view(&self.view)?;
        let as_of = self.when.as_of(&store)?;
        let ids = parse_all(view.entity(), &self.keys)?;
        let rows = ids.into_iter().map(|id| Ok((view.get(&id, as_of)?, id)));
        let rows: Vec<(FeatureRow, RecordId)> = rows.collect::<Result<_>>()?;
        if self.json {
            let rows = rows.iter().map(|(row, id)| to_json(&view, id, row));
            return print_json(&rows.collect::<Result<Vec<_>>>()?);
        }
        let mut out = output();
        for (row, id) in &rows {
            let id = printable(&id.to_string());
            write!(out, "{} {id}: {}", view.entity().name, row.status.name())?;
            if row.status == Status::Unknown {
                writeln!(out)?;
                continue;
            }
            writeln!(out, ", event of {}, known at {}", row.event, row.known)?;
            for (at, field) in view.definition().features.iter().enumerate() {
                let value = row.values.get(at).filter(|value| !value.is_null());
                let value = value.map_or_else(|| "-".to_owned(), |v| printable(&v.to_string()));
                writeln!(
                    out,
                    "  {:24} {value:20} {}",
                    field.name.as_str(),
                    row.status_of(at).name()
                )?;
            }
        }
        Ok(())
    }
}

/// A row as JSON: the key by column, times, and each feature with its status.
pub(super) fn to_json(view: &FeatureView, id: &RecordId, row: &FeatureRow) -> Result<Json> {
    let mut key = Map::new();
    for (column, value) in view.entity().keys.iter().zip(id.values()) {
        key.insert(column.name.to_string(), json_of(value)?);
    }
    let mut features = Map::new();
    for (at, field) in view.definition().features.iter().enumerate() {
        let value = row.values.get(at).map_or(Ok(Json::Null), json_of)?;
        let feature = json!({ "value": value, "status": row.status_of(at).name() });
        features.insert(field.name.to_string(), feature);
    }
    let is_known = row.status != Status::Unknown;
    let time = |time: common::Timestamp| is_known.then(|| time.to_string());
    Ok(json!({
        "key": key, "status": row.status.name(), "event_time": time(row.event), "known_at": time(row.known),
        "seq": row.seq, "features": features,
    }))
}
