//! An [`Index`] to a file and back.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::sync::Arc;

use common::Result;
use serde::{Deserialize, Serialize};

use super::{Index, Structure};
use crate::core::VectorRows;
use crate::core::distance::Metric;
use crate::core::image::{Image, StoredParts, corrupt};
use crate::indexing::clustered::{ClusteredIndex, ClusteredMeta};
use crate::indexing::graph::{GraphIndex, GraphMeta};
use crate::indexing::options::IndexOptions;

/// What a file says of an index beside its pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IndexMeta {
    metric: Metric,
    options: IndexOptions,
    structure: StructureMeta,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StructureMeta {
    None,
    Clustered(ClusteredMeta),
    Graph(GraphMeta),
}

impl Index {
    pub(crate) fn save(&self, image: &mut Image) -> IndexMeta {
        IndexMeta {
            metric: self.metric,
            options: (*self.options).clone(),
            structure: match &self.structure {
                Structure::None => StructureMeta::None,
                Structure::Clustered(index) => StructureMeta::Clustered(index.save(image)),
                Structure::Graph(graph) => StructureMeta::Graph(graph.save(image)),
            },
        }
    }

    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for parts that do not belong together; as [`Index::new`] for options that make
    /// no sense.
    pub(crate) fn load(
        meta: &IndexMeta,
        rows: &VectorRows,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let metric = meta.metric;
        metric.check(rows.precision())?;
        let mut index = Self::new(&meta.options, metric)?;
        index.structure = match (&meta.structure, &meta.options) {
            (StructureMeta::None, _) => Structure::None,
            (StructureMeta::Clustered(meta), IndexOptions::Clustered(options)) => {
                let index = ClusteredIndex::load(meta, options, metric, rows, parts)?;
                Structure::Clustered(Arc::new(index))
            }
            (StructureMeta::Graph(meta), IndexOptions::Graph(options)) => {
                let graph = GraphIndex::load(meta, options, metric, rows, parts)?;
                Structure::Graph(Arc::new(graph))
            }
            _ => return Err(corrupt("the index is of another kind than its options say")),
        };
        index.source = Some(parts.source().clone());
        Ok(index)
    }
}
