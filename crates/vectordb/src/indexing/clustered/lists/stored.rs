//! [`Lists`] to a file and back.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::{Result, Slot};
use serde::{Deserialize, Serialize};

use super::{FOUND_LINES, List, Lists, NONE};
use crate::core::image::{Image, StoredParts, corrupt};
use crate::core::{Packed, SlotSet};
use crate::indexing::quantize::BLOCK;

/// No block has a higher number, for places are 32 times as high.
const BLOCKS_MAX: u32 = 1 << 27;

/// What a file says of lists beside their pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ListsMeta {
    /// Blocks that were ever used.
    used: u32,
    /// Lists, those beyond being empty.
    lists: usize,
    /// The first of the free ones.
    free: u32,
    /// Blocks of all lists.
    blocks: usize,
    len: usize,
}

impl Lists {
    pub(in super::super) fn save(&self, image: &mut Image) -> ListsMeta {
        image.put("lists/blocks", self.blocks.lines());
        image.put("lists/words", self.words.lines());
        image.put("lists/places", self.places.pages());
        image.put("lists/owners", self.owners.pages());
        let (mut lens, mut blocks) = (Vec::new(), Vec::<u32>::new());
        for list in self.clusters.pages().iter().flat_map(|page| page.iter()) {
            lens.push(u32::try_from(list.len).unwrap_or(u32::MAX));
            blocks.extend(&list.blocks);
        }
        image.put_values("lists/lens", &lens);
        image.put_values("lists/numbers", &blocks);
        ListsMeta {
            used: self.used,
            lists: lens.len(),
            free: self.free,
            blocks: blocks.len(),
            len: self.len,
        }
    }

    /// The lists of some clusters, of vectors of slots below a number.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for parts that do not belong together.
    pub(in super::super) fn load(
        meta: &ListsMeta,
        padded: usize,
        bits: u8,
        clusters: usize,
        slots: usize,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let wrong = || corrupt("the lists of the clusters make no sense");
        if meta.used > BLOCKS_MAX || meta.len > slots || meta.blocks > meta.used as usize {
            return Err(wrong());
        }
        let fresh = Self::new(padded, bits);
        let count = meta.used as usize;
        let words = if bits > 1 { count * BLOCK } else { 0 };
        let mut lists = Self {
            blocks: parts.rows("lists/blocks", &fresh.blocks, count)?,
            words: parts.rows("lists/words", &fresh.words, words)?,
            places: Packed::of(parts.pages("lists/places", FOUND_LINES)?),
            owners: Packed::of(parts.pages("lists/owners", FOUND_LINES)?),
            free: meta.free,
            used: meta.used,
            len: meta.len,
            ..fresh
        };
        let lens: Vec<u32> = parts.values("lists/lens", meta.lists)?;
        let numbers: Vec<u32> = parts.values("lists/numbers", meta.blocks)?;
        let mut known = SlotSet::default();
        let mut rest = numbers.as_slice();
        let mut all = 0;
        for (at, len) in lens.iter().enumerate() {
            let len = *len as usize;
            let (own, others) = rest
                .split_at_checked(len.div_ceil(BLOCK))
                .ok_or_else(wrong)?;
            rest = others;
            all += len;
            let is_own = |block: &u32| *block < meta.used && known.insert(Slot(*block));
            if !own.iter().all(is_own) {
                return Err(wrong());
            }
            let blocks = own.to_vec();
            lists.clusters.set(at, List { blocks, len });
        }
        // The chain of free blocks has each of the others once.
        let mut free = meta.free;
        while free != NONE {
            if free >= meta.used || !known.insert(Slot(free)) {
                return Err(wrong());
            }
            free = lists.owners.get(free as usize).copied().unwrap_or(NONE);
        }
        parts.source().check()?;
        let beyond = lens.iter().skip(clusters).any(|len| *len > 0);
        if all != meta.len || beyond || !rest.is_empty() || known.len() != count {
            return Err(wrong());
        }
        Ok(lists)
    }
}
