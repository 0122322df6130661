//! [`VectorTable`]: vectors by slot.

use common::Slot;

use super::paged::Paged;
use super::rows::{Line, Rows};

/// Vectors of one dimension by slot: rows of 32-bit floats one after another, padded with zeros to a multiple
/// of [`LANES`](super::distance::scalar::LANES), so that kernels need no remainder loop.
///
/// Slots of removed vectors are given again, the latest first.
#[derive(Debug)]
pub struct VectorTable {
    rows: VectorRows,
    free: Vec<Slot>,
    /// Number of slots ever given: the next new one.
    slots: u32,
}

/// The rows of a [`VectorTable`] as they were when this was cloned: what a search reads.
#[derive(Debug, Clone)]
pub struct VectorRows {
    dimension: usize,
    values: Rows,
    /// One bit per slot: whether a vector lives there.
    live: Paged<u64>,
    len: usize,
    has_tiny: bool,
}

/// Elements closer to zero than this, zero itself excepted, may underflow when 32-bit floats square their
/// differences.
pub(crate) const TINY: f32 = 1e-10;

impl VectorTable {
    /// An empty table of vectors of `dimension` elements.
    pub fn new(dimension: usize) -> Self {
        Self {
            rows: VectorRows {
                dimension,
                values: Rows::new(dimension * size_of::<f32>()),
                live: Paged::new(128),
                len: 0,
                has_tiny: false,
            },
            free: Vec::new(),
            slots: 0,
        }
    }

    /// The rows as they are now; later changes do not show in them. Costs a few reference counts.
    pub fn rows(&self) -> &VectorRows {
        &self.rows
    }

    /// Stores a vector of the table's dimension and returns its slot. `None` when all 2^32 slots are taken.
    ///
    /// # Panics
    /// When the vector is of another dimension.
    pub fn push(&mut self, vector: &[f32]) -> Option<Slot> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = Slot(self.slots);
                self.slots = self.slots.checked_add(1)?;
                slot
            }
        };
        self.rows.set_live(slot, true);
        self.rows.len += 1;
        self.replace(slot, vector);
        Some(slot)
    }

    /// Stores another vector in a slot that is in use.
    ///
    /// # Panics
    /// When the vector is of another dimension.
    pub fn replace(&mut self, slot: Slot, vector: &[f32]) {
        assert_eq!(
            vector.len(),
            self.rows.dimension,
            "a vector of a table has the table's dimension"
        );
        let row: &mut [f32] = bytemuck::cast_slice_mut(self.rows.values.row_mut(slot));
        if let Some(row) = row.get_mut(..vector.len()) {
            row.copy_from_slice(vector);
        }
        self.rows.has_tiny |= has_tiny(vector);
    }

    /// Gives a slot free; whether a vector was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        if !self.rows.is_live(slot) {
            return false;
        }
        self.rows.set_live(slot, false);
        self.rows.len -= 1;
        self.free.push(slot);
        true
    }
}

impl VectorRows {
    /// Number of elements of each vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of floats from one row to the next: the dimension, padded.
    pub fn stride(&self) -> usize {
        self.values.stride() * (size_of::<Line>() / size_of::<f32>())
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the rows take, slots that are free included.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + self.live.len() * size_of::<u64>()
    }

    /// The padded row of a slot, `None` if no vector lives there.
    #[inline]
    pub fn row(&self, slot: Slot) -> Option<&[f32]> {
        if self.is_live(slot) {
            self.values.row(slot).map(bytemuck::cast_slice)
        } else {
            None
        }
    }

    /// The slots in use, ascending.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let words = self.live.pages().iter().flat_map(|page| page.iter());
        (0_u32..).zip(words).flat_map(|(number, word)| {
            let word = *word;
            // Most words are full or empty; the bits of a word are few enough to try.
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| Slot(number * 64 + bit))
        })
    }

    /// Visits all slots in use with their padded rows, page by page.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(Slot, &[f32])) {
        let mut slot = 0_u32;
        for page in self.values.pages() {
            for row in page.chunks_exact(self.values.stride()) {
                if self.is_live(Slot(slot)) {
                    visit(Slot(slot), bytemuck::cast_slice(row));
                }
                slot += 1;
            }
        }
    }

    /// Whether any element was ever so small that 32-bit arithmetic might lose it.
    pub(crate) fn has_tiny(&self) -> bool {
        self.has_tiny
    }

    #[inline]
    fn is_live(&self, slot: Slot) -> bool {
        self.live
            .get(slot.0 as usize / 64)
            .is_some_and(|word| word >> (slot.0 % 64) & 1 == 1)
    }

    fn set_live(&mut self, slot: Slot, live: bool) {
        let (page, at) = self.live.page_mut(slot.0 as usize / 64);
        if let Some(word) = page.get_mut(at) {
            let bit = 1_u64 << (slot.0 % 64);
            *word = if live { *word | bit } else { *word & !bit };
        }
    }
}

pub(crate) fn has_tiny(vector: &[f32]) -> bool {
    vector.iter().any(|v| *v != 0.0 && v.abs() < TINY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::distance::scalar::LANES;

    #[test]
    fn slots_are_reused_and_rows_padded() {
        for dimension in [1, 15, 16, 17, 784, 70_000] {
            let mut table = VectorTable::new(dimension);
            let vector = |x: u8| vec![f32::from(x); dimension];
            let slots: Vec<Slot> = (1..=200).filter_map(|i| table.push(&vector(i))).collect();
            assert_eq!(slots.len(), 200);
            assert_eq!(table.rows().stride() % LANES, 0);
            let held = table.rows().clone();
            assert!(table.remove(slots[7]) && table.remove(slots[3]));
            assert!(!table.remove(slots[3]) && !table.remove(Slot(9_999)));
            assert_eq!(table.push(&vector(77)), Some(slots[3]));
            assert_eq!(table.rows().len(), 199);
            assert_eq!(table.rows().row(slots[7]), None);
            for (slot, x) in [(slots[3], 77_u8), (slots[199], 200)] {
                let row = table.rows().row(slot).unwrap();
                assert!(
                    row[..dimension]
                        .iter()
                        .all(|v| v.to_bits() == f32::from(x).to_bits())
                );
                assert!(row[dimension..].iter().all(|v| v.to_bits() == 0));
            }
            // What a search holds does not change under it.
            assert_eq!((held.len(), held.slots().count()), (200, 200));
            assert_eq!(held.row(slots[3]).unwrap()[0].to_bits(), 4.0_f32.to_bits());
            let mut seen = Vec::new();
            table.rows().for_each(|slot, row| seen.push((slot, row[0])));
            assert_eq!(seen.len(), 199);
            assert!(seen.iter().map(|(slot, _)| *slot).eq(table.rows().slots()));
        }
    }
}
