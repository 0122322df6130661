//! A [`VectorTable`] to a file and back.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::limits::VECTOR_DIMENSION_MAX;
use common::{Result, Slot};
use serde::{Deserialize, Serialize};

use super::{VectorRows, VectorTable};
use crate::core::image::{Image, StoredParts, corrupt};
use crate::core::pages::Packed;
use crate::core::{Precision, Rows, SlotSet};

/// Lines of a page of the bits that tell which slots are in use.
pub(super) const LIVE_LINES: usize = 16;

/// What a file says of a table beside its pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TableMeta {
    dimension: usize,
    precision: Precision,
    slots: u32,
    free: u32,
    len: u32,
    /// The bits of the length of the longest vector.
    norm_max: u64,
    has_tiny: bool,
}

impl VectorTable {
    pub(crate) fn save(&self, image: &mut Image) -> TableMeta {
        let rows = &self.rows;
        image.put("table/rows", rows.values.lines());
        image.put("table/live", rows.live.pages());
        let free: Vec<u32> = self.free.iter().map(|slot| slot.0).collect();
        image.put_values("table/free", &free);
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        TableMeta {
            dimension: rows.dimension,
            precision: rows.precision,
            slots: self.slots,
            free: count(free.len()),
            len: count(rows.len),
            norm_max: rows.norm_max.to_bits(),
            has_tiny: rows.has_tiny,
        }
    }

    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for parts that do not belong together.
    pub(crate) fn load(meta: &TableMeta, parts: &mut StoredParts) -> Result<Self> {
        let wrong = |what: &str| Err(corrupt(format!("the table of vectors is wrong: {what}")));
        let TableMeta {
            dimension, slots, ..
        } = *meta;
        if !(1..=VECTOR_DIMENSION_MAX).contains(&dimension) {
            return wrong("there is no such dimension");
        }
        let norm_max = f64::from_bits(meta.norm_max);
        if norm_max.is_nan() || norm_max < 0.0 {
            return wrong("there is no such length");
        }
        let like = Rows::new(meta.precision.row_bytes(dimension));
        let rows = VectorRows {
            dimension,
            precision: meta.precision,
            values: parts.rows("table/rows", &like, slots as usize)?,
            live: Packed::of(parts.pages("table/live", LIVE_LINES)?),
            len: meta.len as usize,
            norm_max,
            has_tiny: meta.has_tiny,
            source: Some(parts.source().clone()),
        };
        let free: Vec<u32> = parts.values("table/free", meta.free as usize)?;
        // These few bits are read whole, so that slots are counted right ever after.
        let in_use = rows.live.iter().map(|word| word.count_ones()).sum::<u32>();
        parts.source().check()?;
        if in_use != meta.len || rows.slots().last().is_some_and(|last| last.0 >= slots) {
            return wrong("other slots are in use than it says");
        }
        let is_free = |slot: &u32| *slot < slots && !rows.is_live(Slot(*slot));
        // A set has room up to its last slot: only slots of the table may come into it.
        let different = || free.iter().copied().map(Slot).collect::<SlotSet>().len();
        if !free.iter().all(is_free)
            || different() != free.len()
            || u64::from(meta.len) + u64::from(meta.free) != u64::from(slots)
        {
            return wrong("other slots are free than it says");
        }
        Ok(Self {
            rows,
            free: free.into_iter().map(Slot).collect(),
            slots,
        })
    }
}
