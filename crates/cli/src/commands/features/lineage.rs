//! `tandem features lineage`: what came from what.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use common::Result;
use serde_json::json;
use vectordb::lineage::{LineageNode, Related};

use super::{open, print_json, printable};
use crate::terminal::output;

/// Show what was recorded of sources, views, runs and training sets, and what came from what
///
/// Without an id, all nodes in the order in which they were written. With one, the node, what it came from and what
/// came of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem features lineage shop.tdb\n  \
    tandem features lineage shop.tdb 0f2c4b6e8a0c2e4f6a8b0c2d4e6f8a0b --dot | dot -Tsvg > lineage.svg")]
#[expect(clippy::struct_field_names, reason = "the name of the flag")]
pub(crate) struct Lineage {
    /// Database file
    db: PathBuf,
    /// Id of a node
    id: Option<String>,
    /// Print the graph around the node in the language of Graphviz
    #[arg(long, requires = "id")]
    dot: bool,
    /// Print the node as an event of OpenLineage
    #[arg(long, requires = "id", conflicts_with = "dot")]
    open_lineage: bool,
    /// What this database is called among those that the receiver of the event knows
    #[arg(long, default_value = "tandemdb", requires = "open_lineage")]
    namespace: String,
    /// Print the result as JSON
    #[arg(long, conflicts_with_all = ["dot", "open_lineage"])]
    json: bool,
}

impl Lineage {
    pub(crate) fn run(self) -> Result<()> {
        let store = open(&self.db)?;
        let lineage = store.lineage();
        let Some(id) = &self.id else {
            let nodes = lineage.nodes(None)?;
            if self.json {
                let nodes = nodes
                    .iter()
                    .map(|node| json!({ "id": node.id(), "node": node }));
                return print_json(&nodes.collect::<Vec<_>>());
            }
            let mut out = output();
            for node in &nodes {
                writeln!(out, "{}", line(node))?;
            }
            return Ok(());
        };
        let node = lineage.node(id)?;
        if self.dot {
            write!(output(), "{}", lineage.to_dot(id)?)?;
            return Ok(());
        }
        if self.open_lineage {
            return print_json(&lineage.to_open_lineage(id, &self.namespace)?);
        }
        let (before, after) = (lineage.ancestors(id)?, lineage.descendants(id)?);
        if self.json {
            let side = |related: &[Related]| {
                let one = |r: &Related| json!({ "id": r.node.id(), "node": r.node, "distance": r.distance });
                related.iter().map(one).collect::<Vec<_>>()
            };
            return print_json(&json!({
                "id": id, "node": node, "ancestors": side(&before), "descendants": side(&after),
            }));
        }
        let mut out = output();
        writeln!(out, "{}", line(&node))?;
        for (title, related) in [("came from", &before), ("led to", &after)] {
            if !related.is_empty() {
                writeln!(out, "{title}")?;
            }
            for related in related {
                writeln!(
                    out,
                    "{}{}",
                    "  ".repeat(related.distance),
                    line(&related.node)
                )?;
            }
        }
        Ok(())
    }
}

fn line(node: &LineageNode) -> String {
    let (name, version) = (printable(&node.name), printable(&node.version));
    format!("{} {:12} {name} {version}", node.id(), node.kind.name())
}
