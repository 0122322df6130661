//! [`SlotSet`]: which slots a search may return.

use common::Slot;

/// A set of slots, one bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotSet {
    words: Vec<u64>,
    len: usize,
}

impl SlotSet {
    /// Number of slots in the set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a slot is in the set.
    #[inline]
    pub fn contains(&self, slot: Slot) -> bool {
        self.words
            .get(slot.0 as usize / 64)
            .is_some_and(|word| word >> (slot.0 % 64) & 1 == 1)
    }

    /// Slots 64 times this number and the following, one bit each, the first lowest.
    #[inline]
    pub(crate) fn word(&self, number: usize) -> u64 {
        self.words.get(number).copied().unwrap_or(0)
    }

    /// Which of at most 32 slots are in the set, one bit each, the first lowest.
    ///
    /// Without a branch on any of them, for which ones are is as good as random.
    #[inline]
    pub(crate) fn mask(&self, slots: &[u32]) -> u32 {
        debug_assert!(slots.len() <= 32);
        let mut mask = 0;
        for slot in slots.iter().rev() {
            let word = self.word(*slot as usize / 64);
            mask = mask << 1 | u32::from(word >> (slot % 64) & 1 == 1);
        }
        mask
    }

    /// Adds a slot; whether it is new.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let at = slot.0 as usize / 64;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        let bit = 1_u64 << (slot.0 % 64);
        let is_new = self.words.get(at).is_some_and(|word| word & bit == 0);
        if let (true, Some(word)) = (is_new, self.words.get_mut(at)) {
            *word |= bit;
            self.len += 1;
        }
        is_new
    }

    /// At most `count` of the slots, from all over their range.
    pub fn spread(&self, count: usize) -> impl Iterator<Item = Slot> + '_ {
        let step = self.words.len().div_ceil(count.max(1)).max(1);
        let parts = (0..).step_by(step).zip(self.words.chunks(step));
        parts.filter_map(|(begin, words)| {
            let (number, word) = (begin..).zip(words).find(|(_, word)| **word != 0)?;
            u32::try_from(number)
                .ok()
                .map(|number| Slot(number * 64 + word.trailing_zeros()))
        })
    }

    /// The slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        (0_u32..).zip(&self.words).flat_map(|(number, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                // The lowest bit goes; of zero, nothing is left to go.
                word &= word.checked_sub(1)?;
                Some(Slot(number * 64 + bit))
            })
        })
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_once_and_in_order() {
        let given = [700, 3, 0, 63, 64, 3, 700, 128];
        let set: SlotSet = given.into_iter().map(Slot).collect();
        let slots: Vec<u32> = set.iter().map(|slot| slot.0).collect();
        assert_eq!(slots, [0, 3, 63, 64, 128, 700]);
        assert_eq!((set.len(), set.is_empty()), (6, false));
        assert!(set.contains(Slot(64)) && !set.contains(Slot(65)) && !set.contains(Slot(1 << 30)));
        assert_eq!(SlotSet::default().iter().count(), 0);
    }
}
