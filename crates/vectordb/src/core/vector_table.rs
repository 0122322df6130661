//! [`VectorTable`]: vectors by slot.

use std::borrow::Cow;
use std::ops::Range;

use common::{Result, Slot};

use super::distance::{Metric, PreparedVector, RowKernels, bit_distance, prefetch};
use super::pages::Packed;
use super::precision::Precision;
use super::rows::{Line, Rows};
use super::slot_set::SlotSet;
use durable::PageSource;

mod stored;

pub(crate) use stored::TableMeta;

/// Vectors of one dimension by slot, stored in one [`Precision`]: rows on whole cache lines one after another,
/// padded with zeros, so that kernels need no remainder loop.
///
/// Slots of removed vectors are given again, the latest first.
#[derive(Debug, Clone)]
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
    precision: Precision,
    values: Rows,
    /// One bit per slot: whether a vector lives there.
    live: Packed<u64>,
    len: usize,
    /// No vector that was ever here was longer.
    norm_max: f64,
    has_tiny: bool,
    /// The file that some of the rows may still lie in.
    source: Option<PageSource>,
}

/// Elements closer to zero than this, zero itself excepted, may underflow when 32-bit floats square their
/// differences.
pub(crate) const TINY: f32 = 1e-10;

impl VectorTable {
    /// An empty table of vectors of `dimension` elements, stored as 32-bit floats.
    pub fn new(dimension: usize) -> Self {
        Self::with_precision(dimension, Precision::F32)
    }

    /// An empty table of vectors of `dimension` elements.
    pub fn with_precision(dimension: usize, precision: Precision) -> Self {
        Self {
            rows: VectorRows {
                dimension,
                precision,
                values: Rows::new(precision.row_bytes(dimension)),
                live: Packed::new(stored::LIVE_LINES),
                len: 0,
                norm_max: 0.0,
                has_tiny: false,
                source: None,
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

    /// Stores another vector in a slot that is in use. Elements that [`Precision::check`] refuses become the
    /// largest that there are.
    ///
    /// # Panics
    /// When the vector is of another dimension.
    pub fn replace(&mut self, slot: Slot, vector: &[f32]) {
        let rows = &mut self.rows;
        assert_eq!(
            vector.len(),
            rows.dimension,
            "a vector of a table has the table's dimension"
        );
        let row = rows.values.row_mut(slot);
        rows.precision.encode(vector, row);
        if rows.precision == Precision::Bits {
            // Counting needs to know of no lengths and of nothing small.
            return;
        }
        let decoded;
        let stored = if rows.precision == Precision::F32 {
            vector
        } else {
            let mut vector = vec![0.0; rows.dimension];
            rows.precision.decode(row, rows.dimension, &mut vector);
            decoded = vector;
            &decoded
        };
        rows.norm_max = rows.norm_max.max(norm(stored));
        rows.has_tiny |= has_tiny(stored);
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

    /// How the elements are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Number of floats of a padded vector, as [`VectorRows::row`] has them and [`VectorRows::decode`] takes
    /// them.
    pub fn stride(&self) -> usize {
        Precision::F32.row_bytes(self.dimension) / size_of::<f32>()
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of slots that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.values.capacity()
    }

    /// Whether all that was read so far of a file was whole; always, if the rows are of none.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] if not: what was answered since may be wrong.
    pub fn check(&self) -> Result<()> {
        self.source.as_ref().map_or(Ok(()), PageSource::check)
    }

    /// Bytes that the rows take, slots that are free included.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + self.live.len() * size_of::<u64>()
    }

    /// Whether a vector lives in a slot.
    #[inline]
    pub fn contains(&self, slot: Slot) -> bool {
        self.is_live(slot)
    }

    /// The padded row of a slot, `None` if no vector lives there or the table stores no 32-bit floats.
    #[inline]
    pub fn row(&self, slot: Slot) -> Option<&[f32]> {
        match self.precision {
            Precision::F32 => self.stored(slot).map(bytemuck::cast_slice),
            _ => None,
        }
    }

    /// The vector of a slot as floats, whatever the precision, `None` if none lives there: without the padding unless
    /// the table stores them.
    pub(crate) fn floats(&self, slot: Slot) -> Option<Cow<'_, [f32]>> {
        if let Some(row) = self.row(slot) {
            return Some(Cow::Borrowed(row));
        }
        let mut vector = vec![0.0; self.dimension];
        self.decode(slot, &mut vector).then_some(Cow::Owned(vector))
    }

    /// The row of a slot as it is stored, `None` if no vector lives there.
    #[inline]
    pub(crate) fn stored(&self, slot: Slot) -> Option<&[Line]> {
        if self.is_live(slot) {
            self.values.row(slot)
        } else {
            None
        }
    }

    /// Whether a slot holds this vector, as its precision has it.
    pub(crate) fn holds(&self, slot: Slot, vector: &[f32]) -> bool {
        let mut row = vec![Line::default(); self.values.stride()];
        self.precision.encode(vector, &mut row);
        self.stored(slot).is_some_and(|stored| *stored == *row)
    }

    /// Writes the vector of a slot, as its precision has it, and zeros behind it; whether one lives there.
    pub fn decode(&self, slot: Slot, vector: &mut [f32]) -> bool {
        let row = self.stored(slot);
        if let Some(row) = row {
            self.precision.decode(row, self.dimension, vector);
        }
        row.is_some()
    }

    /// The kernels that rank these rows under a metric: chosen once for each search.
    pub(crate) fn kernels(&self, metric: Metric) -> RowKernels {
        RowKernels::choose(metric, self.precision)
    }

    /// What ranks the vector of a slot, by [`VectorRows::kernels`]; `None` if none lives there.
    #[inline]
    pub(crate) fn rank(
        &self,
        kernels: &RowKernels,
        query: &PreparedVector,
        slot: Slot,
    ) -> Option<f32> {
        let row = self.stored(slot)?;
        Some((kernels.one)(query.lines(), row))
    }

    /// The distance to the vector of a slot, in 64-bit floats: what hits report; `None` if none lives there.
    ///
    /// Cost: a nanosecond for every few elements.
    pub fn distance_to(&self, metric: Metric, query: &PreparedVector, slot: Slot) -> Option<f64> {
        if let Some(row) = self.row(slot) {
            return Some(metric.distance(&query.values, row));
        }
        if self.precision == Precision::Bits && metric.compares_bits() {
            let row = self.stored(slot)?;
            return Some(bit_distance(metric, query.lines(), row));
        }
        let mut vector = vec![0.0; self.dimension];
        self.decode(slot, &mut vector)
            .then(|| metric.distance(&query.values, &vector))
    }

    /// The slots in use, ascending.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let words = self.live.iter();
        (0_u32..).zip(words).flat_map(|(number, word)| {
            let word = *word;
            // Most words are full or empty; the bits of a word are few enough to try.
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| Slot(number * 64 + bit))
        })
    }

    /// Visits all slots in use with their padded vectors, page by page.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(Slot, &[f32])) {
        let mut vector = match self.precision {
            Precision::F32 => Vec::new(),
            _ => vec![0.0; self.stride()],
        };
        for slot in self.slots() {
            if let Some(row) = self.row(slot) {
                visit(slot, row);
            } else if self.decode(slot, &mut vector) {
                visit(slot, &vector);
            }
        }
    }

    /// Number of pages, which [`VectorRows::for_fours`] takes by their numbers.
    pub(crate) fn pages(&self) -> usize {
        self.values.pages().len()
    }

    /// [`VectorRows::for_fours_of`] over the vectors.
    #[inline]
    pub(crate) fn for_fours<'a>(
        &'a self,
        pages: Range<usize>,
        among: Option<&SlotSet>,
        visit: impl FnMut(&[Slot], [&'a [Line]; 4]),
    ) {
        self.for_fours_of(&self.values, pages, among, visit);
    }

    /// Visits some pages of rows that belong to the vectors, four rows at a time, in the order of their slots,
    /// those in use only, and of these those `among` only: up to four slots, and four rows, of which those beyond
    /// the slots repeat one.
    ///
    /// Rows are asked for one visit ahead.
    #[inline]
    pub(crate) fn for_fours_of<'a>(
        &self,
        rows: &'a Rows,
        pages: Range<usize>,
        among: Option<&SlotSet>,
        visit: impl FnMut(&[Slot], [&'a [Line]; 4]),
    ) {
        let mut fours = Fours {
            gathered: [(Slot(0), &[]); 4],
            count: 0,
            ahead: None,
            visit,
        };
        let per_page = rows.rows_per_page();
        let stride = rows.stride();
        for number in pages {
            let Some(page) = rows.page(number) else {
                break;
            };
            // A page begins at a multiple of its length, a power of two, so that no word is in two halves.
            let word_len = per_page.min(64);
            for begin in (0..per_page).step_by(word_len) {
                let first = number * per_page + begin;
                let mut word = self.live.get(first / 64).copied().unwrap_or(0);
                if let Some(among) = among {
                    word &= among.word(first / 64);
                }
                word >>= first % 64;
                if word_len < 64 {
                    word &= (1 << word_len) - 1;
                }
                while let Some(rest) = word.checked_sub(1) {
                    let bit = word.trailing_zeros() as usize;
                    word &= rest;
                    let at = (begin + bit) * stride;
                    if let (Some(row), Ok(slot)) =
                        (page.get(at..at + stride), u32::try_from(first + bit))
                    {
                        fours.gather(Slot(slot), row);
                    }
                }
            }
        }
        fours.finish();
    }

    /// No vector is longer than this.
    pub(crate) fn norm_max(&self) -> f64 {
        self.norm_max
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
        if let Some(word) = self.live.get_mut(slot.0 as usize / 64) {
            let bit = 1_u64 << (slot.0 % 64);
            *word = if live { *word | bit } else { *word & !bit };
        }
    }
}

/// Rows on their way to a visit by fours, one visit behind what was asked for.
struct Fours<'a, V> {
    gathered: [(Slot, &'a [Line]); 4],
    count: usize,
    ahead: Option<[(Slot, &'a [Line]); 4]>,
    visit: V,
}

impl<'a, V: FnMut(&[Slot], [&'a [Line]; 4])> Fours<'a, V> {
    #[inline]
    fn gather(&mut self, slot: Slot, row: &'a [Line]) {
        prefetch(row);
        if let Some(place) = self.gathered.get_mut(self.count) {
            *place = (slot, row);
            self.count += 1;
        }
        if self.count == self.gathered.len() {
            self.count = 0;
            if let Some(four) = self.ahead.replace(self.gathered) {
                (self.visit)(&four.map(|(slot, _)| slot), four.map(|(_, row)| row));
            }
        }
    }

    fn finish(mut self) {
        if let Some(four) = self.ahead {
            (self.visit)(&four.map(|(slot, _)| slot), four.map(|(_, row)| row));
        }
        let [first, ..] = self.gathered;
        for rest in self.gathered.iter_mut().skip(self.count) {
            *rest = first;
        }
        let slots = self.gathered.map(|(slot, _)| slot);
        if let (Some(slots), true) = (slots.get(..self.count), self.count > 0) {
            (self.visit)(slots, self.gathered.map(|(_, row)| row));
        }
    }
}

pub(crate) fn has_tiny(vector: &[f32]) -> bool {
    vector.iter().any(|v| *v != 0.0 && v.abs() < TINY)
}

/// Length of a vector.
pub(crate) fn norm(vector: &[f32]) -> f64 {
    let squares = vector.iter().map(|v| f64::from(*v) * f64::from(*v));
    squares.sum::<f64>().sqrt()
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
