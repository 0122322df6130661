//! [`Lists`]: the codes of each cluster, in blocks of 32, and where the code of each slot is.

use std::num::NonZeroU32;

use common::Slot;

use crate::core::{LINE_BYTES, Line, Packed, Paged, Rows};
use crate::indexing::quantize::{BLOCK, Factors, block_lines, extended, rabitq};

mod stored;

pub(super) use stored::ListsMeta;

/// Lines that the slots of a block take.
const SLOT_LINES: usize = BLOCK * size_of::<u32>() / LINE_BYTES;

/// Lines of a page of what finds blocks.
const FOUND_LINES: usize = 64;

/// Ends the chain of free blocks.
const NONE: u32 = u32::MAX;

/// The code of one vector.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Code {
    pub(super) signs: Vec<u64>,
    pub(super) factors: Factors,
    /// With more than one bit, the others and their factors.
    pub(super) words: Vec<u64>,
    pub(super) word_factors: Factors,
}

/// The codes of each cluster; a clone costs a few reference counts and never changes.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    /// Elements of a vector, and so signs of a code.
    padded: usize,
    bits: u8,
    /// By number of block: codes and factors, then the slots they are of.
    blocks: Rows,
    /// By place: the bits beside the sign, after their three factors.
    words: Rows,
    clusters: Paged<List>,
    /// By slot: one more than the place of its code, which is 32 times its block, and its lane.
    places: Packed<Option<NonZeroU32>>,
    /// By block: the list it belongs to, or the next free block.
    owners: Packed<u32>,
    free: u32,
    /// Number of blocks ever used.
    used: u32,
    len: usize,
}

/// The blocks of one list; all but the last are full.
#[derive(Debug, Clone, Default)]
struct List {
    blocks: Vec<u32>,
    len: usize,
}

/// A block to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    number: u32,
    /// Codes and factors, as queries take them.
    pub(super) codes: &'a [Line],
    slots: &'a [u32; BLOCK],
}

impl Block<'_> {
    /// The slot and the place of a lane.
    #[inline]
    pub(super) fn lane(&self, lane: u32) -> (Slot, u32) {
        let slot = self.slots.get(lane as usize).copied().unwrap_or(NONE);
        (Slot(slot), place_of(self.number, lane))
    }
}

fn place_of(block: u32, lane: u32) -> u32 {
    block * 32 + lane
}

impl Lists {
    /// No codes, of vectors of a padded dimension.
    pub(super) fn new(padded: usize, bits: u8) -> Self {
        let word_bytes = extended::words(padded, bits) * size_of::<u64>();
        Self {
            padded,
            bits,
            blocks: Rows::new((block_lines(padded) + SLOT_LINES) * LINE_BYTES),
            words: Rows::new(size_of::<Factors>() + 4 + word_bytes),
            clusters: Paged::new(16),
            places: Packed::new(FOUND_LINES),
            owners: Packed::new(FOUND_LINES),
            free: NONE,
            used: 0,
            len: 0,
        }
    }

    /// Number of codes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether a slot has a code.
    #[cfg(test)]
    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.place(slot).is_some()
    }

    /// Number of codes of a list.
    pub(super) fn len_of(&self, list: u32) -> usize {
        self.clusters.get(list as usize).map_or(0, |list| list.len)
    }

    /// Bytes of the blocks, of the bits beside the signs, and of what finds both.
    pub(super) fn bytes(&self) -> [usize; 3] {
        let pages = self.clusters.pages().iter().flat_map(|page| page.iter());
        let lists: usize = pages
            .map(|list| size_of::<List>() + list.blocks.capacity() * size_of::<u32>())
            .sum();
        let found = lists + (self.places.len() + self.owners.len()) * size_of::<u32>();
        [self.blocks.bytes(), self.words.bytes(), found]
    }

    /// The blocks of a list.
    #[inline]
    pub(super) fn blocks(&self, list: u32) -> impl Iterator<Item = Block<'_>> {
        let list = self.clusters.get(list as usize);
        let numbers = list.map_or(&[][..], |list| &list.blocks);
        numbers.iter().filter_map(|number| {
            let row = self.blocks.row(Slot(*number))?;
            let (codes, slots) = row.split_at_checked(block_lines(self.padded))?;
            let slots: &[[u32; BLOCK]] = bytemuck::cast_slice(slots);
            Some(Block {
                number: *number,
                codes,
                slots: slots.first()?,
            })
        })
    }

    /// The bits beside the sign of the code at a place, and their factors.
    #[inline]
    pub(super) fn words(&self, place: u32) -> Option<(&[u64], Factors)> {
        let row: &[u64] = bytemuck::cast_slice(self.words.row(Slot(place))?);
        let ([first, second], words) = row.split_first_chunk()?;
        let [add, scale] = halves(*first);
        let [error, _] = halves(*second);
        let words = words.get(..extended::words(self.padded, self.bits))?;
        let factors = Factors { add, scale, error };
        Some((words, factors))
    }

    /// Adds the code of a slot that has none to a list.
    pub(super) fn push(&mut self, list: u32, slot: Slot, code: &Code) {
        let len = self.len_of(list);
        if len.is_multiple_of(BLOCK) {
            let block = self.take_block(list);
            self.change(list, |list| list.blocks.push(block));
        }
        self.change(list, |list| list.len += 1);
        self.len += 1;
        if let Some(place) = self.last_place(list) {
            self.write(place, slot, code);
        }
    }

    /// Removes the code of a slot; whether there was one.
    pub(super) fn remove(&mut self, slot: Slot) -> bool {
        let Some(place) = self.place(slot) else {
            return false;
        };
        let list = self
            .owners
            .get(place as usize / BLOCK)
            .copied()
            .unwrap_or(NONE);
        let Some(end) = self.last_place(list) else {
            return false;
        };
        // The last code of the list takes the place, so that blocks stay full.
        if end != place
            && let Some((slot, code)) = self.read(end)
        {
            self.write(place, slot, &code);
        }
        let (block, lane) = (end / 32, end as usize % BLOCK);
        rabitq::unset(self.codes_mut(block), lane);
        self.places.set(slot.0 as usize, None);
        self.len -= 1;
        self.change(list, |list| {
            list.len -= 1;
            if lane == 0 {
                list.blocks.pop();
            }
        });
        if lane == 0 {
            self.owners.set(block as usize, self.free);
            self.free = block;
        }
        true
    }

    fn place(&self, slot: Slot) -> Option<u32> {
        let place = (*self.places.get(slot.0 as usize)?)?;
        Some(place.get() - 1)
    }

    fn last_place(&self, list: u32) -> Option<u32> {
        let list = self.clusters.get(list as usize)?;
        let lane = list.len.checked_sub(1)? % BLOCK;
        Some(place_of(*list.blocks.last()?, u32::try_from(lane).ok()?))
    }

    fn change<R>(&mut self, list: u32, change: impl FnOnce(&mut List) -> R) -> Option<R> {
        let (page, at) = self.clusters.page_mut(list as usize);
        page.get_mut(at).map(change)
    }

    /// A block without codes that belongs to a list from now on.
    fn take_block(&mut self, list: u32) -> u32 {
        let block = if self.free == NONE {
            self.used += 1;
            self.used - 1
        } else {
            let block = self.free;
            self.free = self.owners.get(block as usize).copied().unwrap_or(NONE);
            block
        };
        self.owners.set(block as usize, list);
        rabitq::clear(self.codes_mut(block));
        block
    }

    fn codes_mut(&mut self, block: u32) -> &mut [Line] {
        let lines = block_lines(self.padded);
        let row = self.blocks.row_mut(Slot(block));
        row.get_mut(..lines).unwrap_or_default()
    }

    fn write(&mut self, place: u32, slot: Slot, code: &Code) {
        let (block, lane) = (place / 32, place as usize % BLOCK);
        let lines = block_lines(self.padded);
        let row = self.blocks.row_mut(Slot(block));
        if let Some((codes, slots)) = row.split_at_mut_checked(lines) {
            rabitq::set(codes, lane, &code.signs, code.factors);
            let slots: &mut [u32] = bytemuck::cast_slice_mut(slots);
            if let Some(place) = slots.get_mut(lane) {
                *place = slot.0;
            }
        }
        if self.bits > 1 {
            let row: &mut [u64] = bytemuck::cast_slice_mut(self.words.row_mut(Slot(place)));
            if let Some((factors, words)) = row.split_first_chunk_mut() {
                let Factors { add, scale, error } = code.word_factors;
                *factors = [pair(add, scale), pair(error, 0.0)];
                for (place, word) in words.iter_mut().zip(&code.words) {
                    *place = *word;
                }
            }
        }
        self.places.set(slot.0 as usize, NonZeroU32::new(place + 1));
    }

    fn read(&self, place: u32) -> Option<(Slot, Code)> {
        let (block, lane) = (place / 32, place as usize % BLOCK);
        let row = self.blocks.row(Slot(block))?;
        let (codes, slots) = row.split_at_checked(block_lines(self.padded))?;
        let slots: &[u32] = bytemuck::cast_slice(slots);
        let mut signs = vec![0; self.padded / 64];
        let factors = rabitq::get(codes, lane, &mut signs);
        let (words, word_factors) = match self.bits {
            1 => (Vec::new(), Factors::EMPTY),
            _ => self
                .words(place)
                .map(|(words, factors)| (words.to_vec(), factors))?,
        };
        let code = Code {
            signs,
            factors,
            words,
            word_factors,
        };
        Some((Slot(*slots.get(lane)?), code))
    }
}

/// Two floats in a word.
fn pair(a: f32, b: f32) -> u64 {
    u64::from(a.to_bits()) | u64::from(b.to_bits()) << 32
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
fn halves(word: u64) -> [f32; 2] {
    [word as u32, (word >> 32) as u32].map(f32::from_bits)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::indexing::quantize::Random;

    fn code(random: &mut Random, padded: usize, bits: u8) -> Code {
        let mut factors = || Factors {
            add: random.normal(),
            scale: random.normal(),
            error: random.normal(),
        };
        let (factors, word_factors) = (factors(), factors());
        let is_long = bits > 1;
        Code {
            signs: (0..padded / 64).map(|_| random.bits()).collect(),
            factors,
            words: (0..extended::words(padded, bits))
                .map(|_| random.bits())
                .collect(),
            word_factors: if is_long {
                word_factors
            } else {
                Factors::EMPTY
            },
        }
    }

    fn contents(lists: &Lists, count: u32) -> BTreeMap<u32, (u32, Code)> {
        let mut found = BTreeMap::new();
        for list in 0..count {
            let mut left = lists.len_of(list);
            for block in lists.blocks(list) {
                for lane in 0..left.min(BLOCK) {
                    let (slot, place) = block.lane(u32::try_from(lane).unwrap());
                    assert_eq!(lists.place(slot), Some(place));
                    let (same, code) = lists.read(place).unwrap();
                    assert_eq!(same, slot);
                    assert!(found.insert(slot.0, (list, code)).is_none());
                }
                // Lanes behind the last code are empty.
                for lane in left.min(BLOCK)..BLOCK {
                    let factors = rabitq::get(block.codes, lane, &mut [0; 2]);
                    assert_eq!(factors, Factors::EMPTY);
                }
                left = left.saturating_sub(BLOCK);
            }
            assert_eq!(left, 0);
        }
        assert_eq!(found.len(), lists.len());
        found
    }

    #[test]
    fn any_changes_leave_what_a_map_would_have() {
        for bits in [1, 3] {
            let mut random = Random::new(bits.into());
            let mut lists = Lists::new(128, bits);
            let mut model = BTreeMap::new();
            let mut held = Vec::new();
            for step in 0..3_000 {
                let slot = u32::try_from(random.below(400)).unwrap();
                // More go than come in the second half.
                let is_removal = random.below(10) < if step < 1_500 { 3 } else { 7 };
                if is_removal {
                    assert_eq!(lists.remove(Slot(slot)), model.remove(&slot).is_some());
                } else if !lists.contains(Slot(slot)) {
                    let list = u32::try_from(random.below(5)).unwrap();
                    let code = code(&mut random, 128, bits);
                    lists.push(list, Slot(slot), &code);
                    model.insert(slot, (list, code));
                }
                if step % 500 == 0 {
                    assert_eq!(contents(&lists, 5), model);
                    held.push((lists.clone(), model.clone()));
                }
            }
            assert_eq!(contents(&lists, 5), model);
            // Blocks are used again.
            assert!(lists.used < 24, "{}", lists.used);
            for (lists, model) in held {
                assert_eq!(contents(&lists, 5), model);
            }
        }
    }
}
