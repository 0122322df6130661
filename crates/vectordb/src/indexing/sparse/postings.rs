//! [`Postings`]: the slots that have a weight at one position, ascending.

use std::sync::Arc;

use common::Slot;

/// Entries after which a block becomes two.
const BLOCK_MAX: usize = 512;

/// Slots and weights of one position, in blocks that are copied on write.
#[derive(Debug, Clone, Default)]
pub(super) struct Postings {
    blocks: Arc<Vec<Arc<Block>>>,
    len: usize,
    /// No weight was ever below or above these, nor is the zero of the slots that are not here.
    least: f32,
    most: f32,
}

/// Entries in order of their slots; never empty.
#[derive(Debug, Clone, Default)]
struct Block {
    slots: Vec<Slot>,
    weights: Vec<f32>,
}

impl Postings {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.len * (size_of::<Slot>() + size_of::<f32>())
    }

    /// The most that a query's weight makes of any weight here, and at least 0.
    pub(super) fn bound(&self, weight: f64) -> f64 {
        (weight * f64::from(self.least)).max(weight * f64::from(self.most))
    }

    /// The greatest magnitude of a weight.
    pub(super) fn magnitude(&self) -> f64 {
        f64::from(self.most).max(-f64::from(self.least))
    }

    /// Adds a slot that is not here.
    pub(super) fn insert(&mut self, slot: Slot, weight: f32) {
        self.least = self.least.min(weight);
        self.most = self.most.max(weight);
        self.len += 1;
        let blocks = Arc::make_mut(&mut self.blocks);
        let number = block_of(blocks, slot);
        let Some(block) = blocks.get_mut(number) else {
            blocks.push(Arc::new(Block {
                slots: vec![slot],
                weights: vec![weight],
            }));
            return;
        };
        let block = Arc::make_mut(block);
        let at = block.slots.partition_point(|other| *other < slot);
        block.slots.insert(at, slot);
        block.weights.insert(at, weight);
        if block.slots.len() > BLOCK_MAX {
            // New slots come at the end, mostly: a full block there stays as it is.
            let keep = if at + 1 == block.slots.len() {
                BLOCK_MAX
            } else {
                BLOCK_MAX / 2
            };
            let next = Block {
                slots: block.slots.split_off(keep),
                weights: block.weights.split_off(keep),
            };
            blocks.insert(number + 1, Arc::new(next));
        }
    }

    /// Removes a slot, if it is here.
    pub(super) fn remove(&mut self, slot: Slot) {
        let number = block_of(&self.blocks, slot);
        let found = self.blocks.get(number);
        let Some(Ok(at)) = found.map(|block| block.slots.binary_search(&slot)) else {
            return;
        };
        self.len -= 1;
        let blocks = Arc::make_mut(&mut self.blocks);
        if let Some(block) = blocks.get_mut(number) {
            let block = Arc::make_mut(block);
            block.slots.remove(at);
            block.weights.remove(at);
            if block.slots.is_empty() {
                blocks.remove(number);
            }
        }
    }
}

/// Number of the block that has a slot, or would have it.
fn block_of(blocks: &[Arc<Block>], slot: Slot) -> usize {
    let after = blocks.partition_point(|block| block.slots.first().is_some_and(|s| *s <= slot));
    after.saturating_sub(1)
}

/// A place in postings that only moves forward.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    postings: &'a Postings,
    block: usize,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(postings: &'a Postings) -> Self {
        Self {
            postings,
            block: 0,
            at: 0,
        }
    }

    /// The slot here and its weight; `None` at the end.
    pub(super) fn get(&self) -> Option<(Slot, f32)> {
        let block = self.postings.blocks.get(self.block)?;
        Some((*block.slots.get(self.at)?, *block.weights.get(self.at)?))
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
        let block = self.postings.blocks.get(self.block);
        if block.is_some_and(|block| self.at >= block.slots.len()) {
            self.block += 1;
            self.at = 0;
        }
    }

    /// Moves on to the first slot that is not before this one; its weight, if it is this one.
    pub(super) fn seek(&mut self, slot: Slot) -> Option<f32> {
        let last = |block: &Arc<Block>| block.slots.last().copied();
        let blocks = self.postings.blocks.get(self.block..)?;
        if last(blocks.first()?).is_some_and(|last| last < slot) {
            self.block += blocks.partition_point(|block| last(block).is_some_and(|s| s < slot));
            self.at = 0;
        }
        let block = self.postings.blocks.get(self.block)?;
        let rest = block.slots.get(self.at..)?;
        self.at += rest.partition_point(|other| *other < slot);
        let (here, weight) = self.get()?;
        (here == slot).then_some(weight)
    }
}
