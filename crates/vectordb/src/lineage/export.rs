//! Lineage for other tools: a DOT graph, and run events as OpenLineage has them.

use std::fmt::Write as _;

use common::{Result, Text};
use serde_json::{Value, json};

use super::graph::{Lineage, LineageNode, NodeKind, Related};

/// The version of the specification that events are written by.
const OPEN_LINEAGE: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const PRODUCER: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/tree/v",
    env!("CARGO_PKG_VERSION")
);

impl Lineage {
    /// The graph around a node, with all that it came from and all that came of it, in the language of Graphviz.
    ///
    /// # Errors
    /// As [`Lineage::ancestors`].
    pub fn to_dot(&self, id: &str) -> Result<String> {
        let mut nodes = vec![self.node(id)?];
        for side in [self.ancestors(id)?, self.descendants(id)?] {
            nodes.extend(side.into_iter().map(|related| related.node));
        }
        let mut dot = String::from("digraph lineage {\n  rankdir=LR;\n  node [shape=box];\n");
        for node in &nodes {
            let label = format!(
                "{} {}\\n{}",
                node.kind.name(),
                quote(&node.name),
                quote(&node.version)
            );
            let style = if node.id() == id { ", style=bold" } else { "" };
            // Writing to a string does not fail.
            let _ = writeln!(dot, "  \"{}\" [label=\"{label}\"{style}];", node.id());
        }
        for node in &nodes {
            let child = node.id();
            for parent in self.parents(&child)? {
                if nodes.iter().any(|node| node.id() == parent) {
                    let _ = writeln!(dot, "  \"{parent}\" -> \"{child}\";");
                }
            }
        }
        dot.push_str("}\n");
        Ok(dot)
    }

    /// A run as an OpenLineage event: its job, the datasets that went in, and those that came out.
    ///
    /// Nodes of other kinds are written as the run that made them: a training set or a transformation comes out of one of
    /// its own. `namespace` names this database among those that the receiver knows.
    ///
    /// # Errors
    /// As [`Lineage::ancestors`].
    pub fn to_open_lineage(&self, id: &str, namespace: &str) -> Result<Value> {
        let node = self.node(id)?;
        let inputs = self.ancestors(id)?;
        let children = self.descendants(id)?;
        let outputs = match node.kind {
            NodeKind::Run => {
                // The events of a run lie in the view that it wrote to.
                let views = direct(&inputs)
                    .into_iter()
                    .filter(|node| node.kind == NodeKind::View);
                direct(&children).into_iter().chain(views).collect()
            }
            _ => vec![&node],
        };
        let is_output =
            |other: &LineageNode| outputs.iter().any(|output| output.id() == other.id());
        let sources: Vec<Value> = direct(&inputs)
            .into_iter()
            .filter(|input| !is_output(input))
            .map(|input| dataset(input, namespace))
            .collect();
        let results: Vec<Value> = outputs
            .iter()
            .map(|output| dataset(output, namespace))
            .collect();
        let time = node.created.to_string();
        Ok(json!({
            "eventType": "COMPLETE",
            "eventTime": time,
            "producer": PRODUCER,
            "schemaURL": OPEN_LINEAGE,
            "run": {
                "runId": uuid(&node.id()),
                "facets": {
                    "processing_engine": {
                        "_producer": PRODUCER,
                        "_schemaURL": "https://openlineage.io/spec/facets/1-1-1/ProcessingEngineRunFacet.json",
                        "version": node.code,
                        "name": "tandemdb",
                    },
                },
            },
            "job": {
                "namespace": namespace,
                "name": format!("{}.{}", node.kind.name(), node.name),
            },
            "inputs": sources,
            "outputs": results,
        }))
    }
}

/// Nodes at one step.
fn direct(related: &[Related]) -> Vec<&LineageNode> {
    let near = related.iter().filter(|related| related.distance == 1);
    near.map(|related| &related.node).collect()
}

fn dataset(node: &LineageNode, namespace: &str) -> Value {
    let mut facets = json!({
        "version": {
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json",
            "datasetVersion": node.version,
        },
    });
    let fields = node.parameters.get("features").and_then(Value::as_array);
    if let (Some(fields), Some(facets)) = (fields, facets.as_object_mut()) {
        let fields: Vec<Value> = fields
            .iter()
            .filter_map(|field| {
                let name = field.get("name")?;
                let ty = field.get("type").map(|ty| match ty {
                    Value::String(ty) => ty.clone(),
                    other => other.to_string(),
                });
                Some(json!({ "name": name, "type": ty }))
            })
            .collect();
        let schema = json!({
            "_producer": PRODUCER,
            "_schemaURL": "https://openlineage.io/spec/facets/1-1-1/SchemaDatasetFacet.json",
            "fields": fields,
        });
        facets.insert("schema".to_owned(), schema);
    }
    json!({
        "namespace": namespace,
        "name": format!("{}/{}", node.kind.name(), node.name),
        "facets": facets,
    })
}

/// The digits of an id as a UUID of version 8, whose bits are the application's own.
fn uuid(id: &Text) -> String {
    let digit = |at: usize| id.as_bytes().get(at).map_or('0', |byte| char::from(*byte));
    let mut uuid = String::with_capacity(36);
    for at in 0..32 {
        if [8, 12, 16, 20].contains(&at) {
            uuid.push('-');
        }
        uuid.push(match at {
            12 => '8',
            16 => 'a',
            _ => digit(at),
        });
    }
    uuid
}

/// A text within the quotes of DOT.
fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
