//! A [`GraphIndex`] to a file and back.

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

use super::beam::VERTICES_MAX;
use super::bundles::Bundles;
use super::landmarks::LANDMARKS_MAX;
use super::links::Links;
use super::options::{GraphOptions, Layout};
use super::update::TOPS_GROWN;
use super::{GraphIndex, LEVEL_SHIFT, shift_of};
use crate::core::VectorRows;
use crate::core::distance::Metric;
use crate::core::image::{Image, StoredParts, corrupt};
use crate::indexing::codes::{Codes, CodesMeta};

/// More levels than there can be of 2^31 vertices.
const LEVELS_MAX: u32 = 31 / LEVEL_SHIFT + 1;

/// What a file says of a graph beside its pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GraphMeta {
    vertices: u32,
    levels: u32,
    tops: usize,
    landmarks: usize,
    /// None in files of before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    misfits: Option<usize>,
    /// Bits of a neighbour's code. None in the compact layout, and in files of before codes had more bits than vectors
    /// dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bits: Option<usize>,
    codes: CodesMeta,
}

impl GraphIndex {
    pub(crate) fn save(&self, image: &mut Image) -> GraphMeta {
        let codes = self.codes.save(image);
        let mut levels = 0;
        for links in &self.levels {
            links.save(format!("links/{levels}"), image);
            levels += 1;
        }
        image.put_values("tops", &self.tops);
        image.put_values("landmarks", &self.landmarks);
        let misfits = (!self.misfits.is_empty()).then_some(self.misfits.len());
        if misfits.is_some() {
            image.put_values("misfits", &self.misfits);
        }
        if let Some(bundles) = &self.bundles {
            bundles.save(image);
        }
        GraphMeta {
            vertices: self.vertices,
            levels,
            tops: self.tops.len(),
            landmarks: self.landmarks.len(),
            misfits,
            bits: self.bundles.as_ref().map(Bundles::bits),
            codes,
        }
    }

    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for parts that do not belong together.
    pub(crate) fn load(
        meta: &GraphMeta,
        options: &GraphOptions,
        metric: Metric,
        rows: &VectorRows,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let vertices = meta.vertices;
        let all = vertices as usize;
        if vertices > VERTICES_MAX || all > rows.capacity() || meta.levels > LEVELS_MAX {
            return Err(corrupt(
                "the graph has more vertices than there are vectors",
            ));
        }
        let codes = Codes::load(&meta.codes, metric, rows.dimension(), all, parts)?;
        let mut levels = Vec::new();
        for number in 0..meta.levels {
            let name = format!("links/{number}");
            // The last vertices of a coarser level may have come to none.
            let count = if number == 0 { all } else { 0 };
            levels.push(Links::load(options.degree, &name, count, parts)?);
            debug_assert_eq!(shift_of(levels.len() - 1), number * LEVEL_SHIFT);
        }
        if meta.tops > 2 * TOPS_GROWN || meta.landmarks > LANDMARKS_MAX {
            return Err(corrupt("the graph begins at more vertices than it may"));
        }
        let tops: Vec<u32> = parts.values("tops", meta.tops)?;
        let landmarks: Vec<u32> = parts.values("landmarks", meta.landmarks)?;
        if tops.iter().chain(&landmarks).any(|id| *id >= vertices) {
            return Err(corrupt("the graph begins at a vertex that it has not"));
        }
        let misfits: Vec<u32> = match meta.misfits {
            Some(count) if count > all => {
                return Err(corrupt("the graph compares more vertices than it has"));
            }
            Some(count) => parts.values("misfits", count)?,
            None => Vec::new(),
        };
        if misfits.iter().any(|id| *id >= vertices) {
            return Err(corrupt("the graph compares a vertex that it has not"));
        }
        let bundles = match options.layout {
            Layout::Compact => None,
            Layout::Fast => Some(Bundles::load(
                rows.dimension(),
                &codes,
                options,
                meta.bits,
                all,
                parts,
            )?),
        };
        Ok(Self {
            options: Arc::new(options.clone()),
            metric,
            codes,
            levels,
            bundles,
            tops: Arc::new(tops),
            landmarks: Arc::new(landmarks),
            misfits: Arc::new(misfits),
            vertices,
            updates: 0,
        })
    }
}
