//! `tandem features describe`: what a view is defined as, and what it holds.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::Result;
use serde_json::json;

use super::{open, print_json, printable};
use crate::terminal::output;

/// Show the definition of a view, its versions, and how much it holds
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Database file
    db: PathBuf,
    /// Name of the view
    view: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Describe {
    pub(crate) fn run(self) -> Result<()> {
        let store = open(&self.db)?;
        let view = store.view(&self.view)?;
        let (definition, entity) = (view.definition(), view.entity());
        let bytes = view.bytes();
        let bytes = bytes.rows + bytes.index + bytes.texts + bytes.materialised;
        let versions = store.versions(view.name())?;
        if self.json {
            return print_json(&json!({
                "definition": definition, "entity": entity, "version": view.version(), "versions": versions,
                "events": view.len(), "entities": view.entities(), "bytes": bytes,
            }));
        }
        let mut out = output();
        let keys: Vec<String> = entity
            .keys
            .iter()
            .map(|key| format!("{} {}", key.name, key.ty))
            .collect();
        writeln!(out, "view      {}, version {}", view.name(), view.version())?;
        writeln!(out, "entity    {} ({})", entity.name, keys.join(", "))?;
        if !definition.description.is_empty() {
            writeln!(out, "about     {}", printable(&definition.description))?;
        }
        if !definition.owner.is_empty() {
            writeln!(out, "owner     {}", printable(&definition.owner))?;
        }
        match definition.ttl_seconds {
            Some(seconds) => writeln!(out, "lives     {seconds} seconds")?,
            None => writeln!(out, "lives     for ever")?,
        }
        writeln!(
            out,
            "events    {} of {} entities, {bytes} bytes in memory",
            view.len(),
            view.entities()
        )?;
        for field in &definition.features {
            let rules: Vec<&str> = field.rules.iter().map(common::schema::Rule::name).collect();
            let rules = if rules.is_empty() {
                String::new()
            } else {
                format!("; rules: {}", rules.join(", "))
            };
            let may = if field.nullable {
                ", may be missing"
            } else {
                ""
            };
            writeln!(out, "  {:24} {}{may}{rules}", field.name.as_str(), field.ty)?;
        }
        Ok(())
    }
}
