//! [`ScanCodes`]: a byte for each element, scanned instead of floats.

use std::cmp::Ordering;

use common::Slot;

use super::Scan;
use super::shortlist::Shortlist;
use crate::core::distance::{ByteKernel, Metric, PreparedVector, byte_kernel};
use crate::core::{LINE_BYTES, Line, Rows, VectorRows};
use crate::indexing::index::Neighbour;

/// How many times `k` candidates are chosen by their codes, and how many more at least.
const CHOSEN_PER_HIT: usize = 4;
const CHOSEN_MORE: usize = 64;

/// Codes of vectors as they were when this was built: each element in 256 steps of one size, counted from the
/// smallest of its dimension. A scan of them reads a quarter of the bytes; the best by their codes are then
/// compared exactly.
///
/// How many true neighbours that finds depends on the data: all of them where elements are whole numbers of one
/// byte, and 999 of 1,000 where dimensions have about the same spread.
///
/// For metrics that compare bits there are no codes: rows are as short, and are scanned.
#[derive(Debug, Clone)]
pub struct ScanCodes {
    codes: Rows,
    code: Coder,
    kernel: ByteKernel,
}

/// How elements become codes.
#[derive(Debug, Clone)]
struct Coder {
    /// The smallest element of each dimension.
    offsets: Vec<f32>,
    /// Steps in one unit.
    steps: f64,
    /// For the dot metric: the square of the greatest length. An element more, which brings every row to that
    /// length, makes the nearest by Euclid's distance those with the greatest product.
    length: Option<f64>,
}

impl Coder {
    /// The element that a vector has more than its dimension, if it has one.
    #[expect(clippy::cast_possible_truncation, reason = "no longer than a vector")]
    fn extra(&self, vector: &[f32]) -> Option<f32> {
        Some((self.length? - squares(vector)).max(0.0).sqrt() as f32)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what lies outside becomes the nearest code"
    )]
    fn write(&self, vector: &[f32], extra: Option<f32>, row: &mut [u8]) {
        let values = vector.iter().take(self.offsets.len()).chain(&extra);
        for ((code, value), offset) in row.iter_mut().zip(values).zip(&self.offsets) {
            let steps = (f64::from(*value) - f64::from(*offset)) * self.steps;
            *code = (steps + 0.5) as u8;
        }
    }
}

fn squares(vector: &[f32]) -> f64 {
    vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()
}

impl ScanCodes {
    /// Codes of all vectors, to be searched by a metric. Costs two passes over them.
    pub fn build(rows: &VectorRows, metric: Metric) -> Self {
        let dimension = rows.dimension();
        let mut code = Coder {
            offsets: Vec::new(),
            steps: 0.0,
            length: None,
        };
        if metric.compares_bits() {
            return Self {
                codes: Rows::new(0),
                code,
                kernel: byte_kernel(metric),
            };
        }
        if metric == Metric::Dot {
            let mut length = 0.0_f64;
            rows.for_each(|_, row| length = length.max(squares(row)));
            code.length = Some(length);
        }
        let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); dimension];
        let mut extra_range = (f32::INFINITY, f32::NEG_INFINITY);
        rows.for_each(|_, row| {
            ranges.iter_mut().zip(row).for_each(widen);
            extra_range = code.extra(row).iter().fold(extra_range, |mut range, v| {
                widen((&mut range, v));
                range
            });
        });
        if code.length.is_some() {
            ranges.push(extra_range);
        }
        let ranges = || ranges.iter().filter(|(least, most)| least <= most);
        let widest = ranges()
            .map(|(least, most)| f64::from(*most) - f64::from(*least))
            .fold(0.0, f64::max);
        code.offsets = ranges().map(|(least, _)| *least).collect();
        code.steps = if widest > 0.0 { 255.0 / widest } else { 0.0 };

        let mut codes = Rows::new(dimension + usize::from(code.length.is_some()));
        rows.for_each(|slot, row| {
            let row = row.get(..dimension).unwrap_or_default();
            let extra = code.extra(row);
            code.write(row, extra, bytemuck::cast_slice_mut(codes.row_mut(slot)));
        });
        Self {
            codes,
            code,
            kernel: byte_kernel(metric),
        }
    }

    /// Bytes that the codes take.
    pub fn bytes(&self) -> usize {
        self.codes.bytes()
    }

    /// The `k` nearest of the candidates that are chosen by their codes, as [`Scan::nearest`] orders them. The
    /// scan is of the vectors that the codes were built from.
    pub fn nearest(
        &self,
        scan: &Scan<'_>,
        query: &PreparedVector,
        k: usize,
        tie: &(impl Fn(Slot, Slot) -> Ordering + Sync),
    ) -> Vec<Neighbour> {
        if scan.metric.compares_bits() {
            return scan.nearest(query, k, tie);
        }
        let mut wanted = vec![Line::default(); self.codes.stride()];
        let dimension = scan.rows.dimension();
        let values = query.values.get(..dimension).unwrap_or_default();
        // The query has nothing of the element that rows have more.
        let extra = self.code.length.map(|_| 0.0);
        self.code
            .write(values, extra, bytemuck::cast_slice_mut(&mut wanted));

        let choose = CHOSEN_PER_HIT
            .saturating_mul(k)
            .max(k.saturating_add(CHOSEN_MORE));
        let kernel = self.kernel;
        let chosen = scan.by_pages(
            self.codes.pages().len(),
            || Chosen::new(choose.min(scan.rows.len())),
            |pages, chosen| {
                let visit = |slots: &[Slot], rows: [&[Line]; 4]| {
                    for (slot, row) in slots.iter().zip(rows) {
                        chosen.offer(kernel(&wanted, row), *slot);
                    }
                };
                scan.rows
                    .for_fours_of(&self.codes, pages, scan.among, visit);
            },
            |chosen, other| {
                for (distance, slot) in other.entries {
                    chosen.offer(distance, slot);
                }
            },
        );

        let kernels = scan.rows.kernels(scan.metric);
        let mut list = Shortlist::new(scan.truth(query), tie, k, f64::INFINITY);
        for (_, slot) in chosen.finish() {
            if let Some(rank) = scan.rows.rank(&kernels, query, slot) {
                list.offer(&[slot], &[rank]);
            }
        }
        list.finish()
    }
}

fn widen((range, value): (&mut (f32, f32), &f32)) {
    *range = (range.0.min(*value), range.1.max(*value));
}

/// The best by their codes; of equal ones, the lowest slots.
struct Chosen {
    most: usize,
    entries: Vec<(u32, Slot)>,
    bound: u32,
}

impl Chosen {
    fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            entries: Vec::new(),
            bound: u32::MAX,
        }
    }

    #[inline]
    fn offer(&mut self, distance: u32, slot: Slot) {
        if distance <= self.bound {
            self.entries.push((distance, slot));
            if self.entries.len() >= 2 * self.most + LINE_BYTES {
                self.thin();
            }
        }
    }

    fn thin(&mut self) {
        if self.entries.len() > self.most {
            let (_, worst, _) = self.entries.select_nth_unstable(self.most - 1);
            self.bound = worst.0;
            self.entries.truncate(self.most);
        }
    }

    fn finish(mut self) -> Vec<(u32, Slot)> {
        self.thin();
        self.entries
    }
}
