//! [`Posting`]: the slots under one index key.

use roaring::RoaringBitmap;
use smallvec::SmallVec;

use crate::core::base::Slot;

/// A list longer than this becomes a bitmap.
const LIST_MAX: usize = 1_024;

/// A set of slots, ascending: few inline, more in a list, many in a compressed bitmap.
pub(super) enum Posting {
    List(SmallVec<[u32; 4]>),
    Bitmap(Box<RoaringBitmap>),
}

impl Posting {
    pub(super) fn new(slot: Slot) -> Self {
        Self::List(SmallVec::from_slice(&[slot.0]))
    }

    pub(super) fn insert(&mut self, slot: Slot) {
        match self {
            Self::List(list) => {
                if list.last().is_none_or(|last| *last < slot.0) {
                    list.push(slot.0);
                } else if let Err(position) = list.binary_search(&slot.0) {
                    list.insert(position, slot.0);
                }
                if list.len() > LIST_MAX {
                    *self = Self::Bitmap(Box::new(list.iter().copied().collect()));
                }
            }
            Self::Bitmap(bitmap) => {
                bitmap.insert(slot.0);
            }
        }
    }

    /// Takes a slot out and says whether the set is empty now.
    pub(super) fn remove(&mut self, slot: Slot) -> bool {
        match self {
            Self::List(list) => {
                if let Ok(position) = list.binary_search(&slot.0) {
                    list.remove(position);
                }
                list.is_empty()
            }
            Self::Bitmap(bitmap) => {
                bitmap.remove(slot.0);
                // Half the length at which it grew, so that a set at the border does not change back and forth.
                if bitmap.len() < LIST_MAX as u64 / 2 {
                    *self = Self::List(bitmap.iter().collect());
                }
                false
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Bitmap(bitmap) => usize::try_from(bitmap.len()).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn append_to(&self, slots: &mut Vec<Slot>) {
        match self {
            Self::List(list) => slots.extend(list.iter().copied().map(Slot)),
            Self::Bitmap(bitmap) => slots.extend(bitmap.iter().map(Slot)),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::List(list) if list.spilled() => list.capacity() * size_of::<u32>(),
            Self::List(_) => 0,
            Self::Bitmap(bitmap) => size_of::<RoaringBitmap>() + bitmap.serialized_size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_posting_is_small() {
        assert!(size_of::<Posting>() <= 32);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(
            bulk in 0..3_000_u32,
            steps in prop::collection::vec((any::<bool>(), 0..4_000_u32), 1..200),
        ) {
            let mut posting = Posting::new(Slot(0));
            let mut model = BTreeSet::from([0]);
            for slot in 0..bulk {
                posting.insert(Slot(slot));
                model.insert(slot);
            }
            for (insert, slot) in steps {
                if insert {
                    posting.insert(Slot(slot));
                    model.insert(slot);
                } else {
                    model.remove(&slot);
                    prop_assert_eq!(posting.remove(Slot(slot)), model.is_empty());
                    if model.is_empty() {
                        return Ok(());
                    }
                }
            }
            for slot in (bulk / 4..bulk).filter(|s| *s > 10) {
                model.remove(&slot);
                posting.remove(Slot(slot));
            }
            let mut slots = Vec::new();
            posting.append_to(&mut slots);
            prop_assert_eq!(posting.len(), model.len());
            prop_assert!(slots.into_iter().map(|s| s.0).eq(model));
        }
    }
}
