//! A [`ClusteredIndex`] to a file and back.

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

use super::centres::Centres;
use super::frame::Frame;
use super::lists::{Lists, ListsMeta};
use super::{ClusteredIndex, ClusteredOptions, Shared, rank_of};
use crate::core::VectorRows;
use crate::core::distance::Metric;
use crate::core::image::{Image, StoredParts, corrupt};

/// What a file says of a clustered index beside its pages. Floats are their bits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClusteredMeta {
    clusters: usize,
    /// Of the rotation.
    seed: u64,
    scale: u32,
    lists: ListsMeta,
}

impl ClusteredIndex {
    pub(crate) fn save(&self, image: &mut Image) -> ClusteredMeta {
        let Shared { frame, centres, .. } = &*self.shared;
        let (mean, seed, scale) = frame.parts();
        image.put_values("frame/mean", mean);
        image.put_values("centres", centres.rows());
        ClusteredMeta {
            clusters: centres.len(),
            seed,
            scale: scale.to_bits(),
            lists: self.lists.save(image),
        }
    }

    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for parts that do not belong together.
    pub(crate) fn load(
        meta: &ClusteredMeta,
        options: &ClusteredOptions,
        metric: Metric,
        rows: &VectorRows,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let rank = rank_of(metric)?;
        let scale = f32::from_bits(meta.scale);
        let is_some = (1..=ClusteredOptions::CLUSTERS_MAX).contains(&meta.clusters);
        if !(is_some && scale.is_normal() && scale > 0.0) {
            return Err(corrupt("the clusters make no sense"));
        }
        let mean = parts.values("frame/mean", rows.dimension())?;
        let frame = Frame::of(mean, meta.seed, scale);
        let padded = frame.padded();
        let centres: Vec<f32> = parts.values("centres", meta.clusters * padded)?;
        let lists = Lists::load(
            &meta.lists,
            padded,
            options.bits,
            meta.clusters,
            rows.capacity(),
            parts,
        )?;
        Ok(Self {
            shared: Arc::new(Shared {
                frame,
                rank,
                bits: options.bits,
                centres: Centres::new(padded, rank, &centres),
            }),
            lists,
        })
    }
}
