//! [`Few`]: the places of a few texts, without a collision among them.

/// Most texts of which such a table is tried.
const TEXTS_MAX: usize = 32;
/// Slots for each text: of 32 texts, every seventh factor or so has no collision then.
const SLOTS_PER_TEXT: usize = 8;
/// Factors that are tried; texts that none suits go elsewhere.
const FACTORS_MAX: u32 = 200;
/// What is in a slot without a text.
const NONE: u8 = u8::MAX;
/// Longest text in bytes that its ends and its length say all of.
const ENDS_BYTES: usize = 16;

/// A perfect hash of a few texts: one multiplication, one look at a slot, and a comparison of three words.
///
/// It is not seeded, and need not be: whatever text is looked for, there is one place to look at.
#[derive(Debug, Clone)]
pub(super) struct Few {
    factor: u64,
    shift: u32,
    /// The number of the text whose place it is.
    slots: Vec<u8>,
    ends: Vec<Ends>,
}

/// The first and the last bytes of a text, which overlap in a short one, and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    first: u64,
    last: u64,
    len: usize,
}

impl Ends {
    #[inline]
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let len = bytes.len();
        if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            return Self {
                first: u64::from_le_bytes(*first),
                last: u64::from_le_bytes(*last),
                len,
            };
        }
        let halves = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>());
        let first = if let (Some(first), Some(last)) = halves {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        } else {
            let bytes = bytes.iter();
            bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        Self {
            first,
            last: 0,
            len,
        }
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is left after the shift is the number of a slot"
    )]
    const fn slot(self, factor: u64, shift: u32) -> usize {
        let mixed = self.first ^ self.last.rotate_left(29) ^ (self.len as u64) << 3;
        (mixed.wrapping_mul(factor) >> shift) as usize
    }
}

impl Few {
    /// The places of some texts, if there are few, and a factor suits them.
    pub(super) fn of(texts: &[String]) -> Option<Self> {
        if texts.is_empty() || texts.len() > TEXTS_MAX {
            return None;
        }
        let ends: Vec<Ends> = texts.iter().map(|text| Ends::of(text)).collect();
        let count = (texts.len() * SLOTS_PER_TEXT).next_power_of_two();
        let shift = u64::BITS - count.trailing_zeros();
        let mut slots = vec![NONE; count];
        // Odd numbers far apart: the steps of a generator of random numbers.
        let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..FACTORS_MAX {
            slots.fill(NONE);
            let fits = (0..).zip(&ends).all(|(at, ends)| {
                let slot = slots.get_mut(ends.slot(factor, shift));
                slot.is_some_and(|slot| std::mem::replace(slot, at) == NONE)
            });
            if fits {
                return Some(Self {
                    factor,
                    shift,
                    slots,
                    ends,
                });
            }
            factor = factor
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814e);
        }
        None
    }

    /// The number of a text among those that it was made of.
    #[inline]
    pub(super) fn find(&self, text: &str, texts: &[String]) -> Option<usize> {
        let ends = Ends::of(text);
        let at = usize::from(*self.slots.get(ends.slot(self.factor, self.shift))?);
        if *self.ends.get(at)? != ends {
            return None;
        }
        (ends.len <= ENDS_BYTES || texts.get(at)? == text).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_found_and_no_others(
            texts in prop::collection::btree_set("[ab]{0,20}|\\PC{0,6}", 1..40),
            others in prop::collection::vec("[ab]{0,20}", 0..20),
        ) {
            let texts: Vec<String> = texts.into_iter().collect();
            let Some(few) = Few::of(&texts) else {
                // Texts of the same ends and length, or too many.
                let ends: Vec<Ends> = texts.iter().map(|text| Ends::of(text)).collect();
                let alike = ends.iter().enumerate().any(|(at, one)| ends[..at].contains(one));
                prop_assert!(texts.len() > TEXTS_MAX || alike, "{texts:?}");
                return Ok(());
            };
            for text in texts.iter().chain(&others) {
                prop_assert_eq!(few.find(text, &texts), texts.iter().position(|known| known == text));
            }
        }
    }

    #[test]
    fn texts_that_only_their_middle_tells_apart_go_elsewhere() {
        let texts = ["01234567 a 89abcdef", "01234567 b 89abcdef"].map(str::to_owned);
        assert!(Few::of(&texts).is_none());
        let few = Few::of(&texts[..1]).unwrap();
        assert_eq!(few.find(&texts[0], &texts[..1]), Some(0));
        assert_eq!(few.find(&texts[1], &texts[..1]), None);
    }
}
