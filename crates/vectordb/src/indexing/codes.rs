//! [`Codes`]: vectors in one byte a dimension, or one bit where bits are compared, for traversal; what they find is ranked anew by full vectors.

use std::borrow::Cow;
use std::sync::Arc;

use common::Slot;

use crate::core::distance::Metric;
use crate::core::distance::{ByteKernel, byte_kernel};
use crate::core::{LINE_BYTES, Line, Precision, Rows, VectorRows, wide};

mod stored;

pub(crate) use stored::CodesMeta;

/// Most vectors that the range of the codes is learned from.
const SAMPLE_MAX: usize = 4_096;
/// Share of a sample's elements that may lie outside on either side: a few outliers do not blur all others.
const OUTLIERS: f64 = 0.001;
/// A query is made shorter by at most this, to be within the range of the codes.
const SHRUNK: f64 = 4.0;
/// As many of the longest vectors are left out when the length of all is chosen, which a product needs: a few that are
/// far longer do not blur all others.
const LONGER: usize = 16;
/// Fewest bytes over which the length that a product needs is spread.
const LIFT_BYTES_MIN: usize = 16;

/// Vectors of a table in one byte a dimension.
///
/// All dimensions share one scale and each has its own offset, so that the distance of two codes is that of
/// their vectors over a constant, and integers compute it without rounding. Elements outside the range are
/// moved to its end. Where the metric compares bits, codes are these bits.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    /// None where codes are bits.
    range: Option<Arc<Range>>,
    kernel: ByteKernel,
    rows: Rows,
}

/// What makes a byte of an element.
#[derive(Debug)]
struct Range {
    /// Value of code 0 in each dimension.
    offsets: Vec<f32>,
    /// Codes in one unit.
    per_unit: f32,
    lift: Option<Lift>,
    /// How far outside a vector lay at most, squared, when the range was learned.
    outside: f64,
}

/// Makes the nearest by product the nearest by distance: vectors get more dimensions, equal among each other,
/// in which a query is 0, so that all have the same length (Bachrach et al., 2014).
#[derive(Debug)]
struct Lift {
    /// That length, squared: in 64 bits, for squares of small elements are none in 32.
    norm_squared: f64,
    /// Number of dimensions that are added.
    dimensions: usize,
}

impl Codes {
    /// Codes without rows, for vectors like those of a table.
    pub(crate) fn learn(metric: Metric, rows: &VectorRows) -> Self {
        let dimension = rows.dimension();
        if metric.compares_bits() {
            return Self {
                kernel: byte_kernel(metric),
                rows: Rows::new(Precision::Bits.row_bytes(dimension)),
                range: None,
            };
        }
        let step = (rows.len() / SAMPLE_MAX).max(1);
        let sample: Vec<Vec<f32>> = rows
            .slots()
            .step_by(step)
            .map(|slot| {
                let mut vector = vec![0.0; dimension];
                rows.decode(slot, &mut vector);
                vector
            })
            .collect();
        let lift = (metric == Metric::Dot).then(|| {
            let free = dimension.next_multiple_of(LINE_BYTES) - dimension;
            Lift {
                norm_squared: nearly_longest(rows),
                dimensions: if free < LIFT_BYTES_MIN {
                    free + LINE_BYTES
                } else {
                    free
                },
            }
        });
        let mut bounds: Vec<(f32, f32)> = (0..dimension)
            .map(|d| inner_range(sample.iter().filter_map(|v| v.get(d).copied()).collect()))
            .collect();
        if let Some(lift) = &lift {
            let high = sample.iter().map(|v| lift.element(v)).fold(0.0, f32::max);
            bounds.extend(std::iter::repeat_n((0.0, high), lift.dimensions));
        }
        let widest = bounds.iter().map(|(l, h)| h - l).fold(0.0, f32::max);
        let per_unit = if widest > 0.0 && (255.0 / widest).is_finite() {
            255.0 / widest
        } else {
            1.0
        };
        // What a dimension does not use of the range is left on both sides, by whole codes: vectors of whole
        // numbers then keep theirs.
        let offsets = bounds
            .iter()
            .map(|(l, h)| l - ((255.0 - (h - l) * per_unit) / 2.0).floor() / per_unit)
            .collect::<Vec<f32>>();
        let mut range = Range {
            offsets,
            per_unit,
            lift,
            outside: 0.0,
        };
        range.outside = decoded(rows, |vector| range.outside(vector))
            .map(|(_, outside)| outside)
            .fold(0.0, f64::max);
        Self {
            kernel: byte_kernel(metric),
            rows: Rows::new(range.offsets.len()),
            range: Some(Arc::new(range)),
        }
    }

    /// Bytes of all codes.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The code of a slot; empty if none was ever set.
    #[inline]
    pub(crate) fn row(&self, slot: Slot) -> &[Line] {
        self.rows.row(slot).unwrap_or_default()
    }

    /// How far two codes are from each other; only to be compared with others of these codes.
    #[inline]
    pub(crate) fn distance(&self, a: &[Line], b: &[Line]) -> u32 {
        (self.kernel)(a, b)
    }

    /// How many steps between codes are one unit between elements.
    pub(crate) fn per_unit(&self) -> f32 {
        self.range.as_ref().map_or(1.0, |range| range.per_unit)
    }

    /// The square, in steps, of what a stored vector's added dimensions are in all: nothing but for products.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "steps are few where units are many"
    )]
    pub(crate) fn lift_squared(&self, vector: &[f32]) -> f32 {
        let lift = self.range.as_ref().and_then(|range| range.lift.as_ref());
        let per_unit = f64::from(self.per_unit());
        lift.map_or(0.0, |lift| {
            (lift.missing(vector) * per_unit * per_unit) as f32
        })
    }

    /// Whether the code of a vector says as well where it lies as those that the codes were learned from.
    pub(crate) fn fits(&self, vector: &[f32]) -> bool {
        self.range.as_ref().is_none_or(|range| range.fits(vector))
    }

    /// The slots of a table whose vectors do not fit.
    pub(crate) fn misfits(&self, rows: &VectorRows) -> Vec<u32> {
        let Some(range) = &self.range else {
            return Vec::new();
        };
        decoded(rows, |vector| range.fits(vector))
            .filter(|(_, fits)| !fits)
            .map(|(slot, _)| slot.0)
            .collect()
    }

    /// Sets the code of a slot to that of a stored vector.
    pub(crate) fn set(&mut self, slot: Slot, vector: &[f32]) {
        let lines = self.rows.row_mut(slot);
        match &self.range {
            Some(range) => {
                let lift = range.lift.as_ref().map_or(0.0, |lift| lift.element(vector));
                range.write(vector, lift, lines);
            }
            None => Precision::Bits.encode(vector, lines),
        }
    }

    /// Sets the codes of all vectors of a table.
    pub(crate) fn set_all(&mut self, rows: &VectorRows) {
        rows.for_each(|slot, row| self.set(slot, row.get(..rows.dimension()).unwrap_or(row)));
    }

    /// A query as codes can say it: by product its length changes no order, so it gets the one that the longest stored
    /// vectors have, or less where it would leave the range.
    pub(crate) fn fitted<'v>(&self, query: &'v [f32]) -> Cow<'v, [f32]> {
        let range = self.range.as_deref();
        match range.and_then(|range| Some((range, range.lift.as_ref()?))) {
            Some((range, lift)) => {
                let scale = range.scale_within(query, lift.norm_squared.sqrt());
                Cow::Owned(scaled(query, scale))
            }
            None => Cow::Borrowed(query),
        }
    }

    /// Whether a fitted query lies within the range, or outside no more than what the codes were learned from.
    pub(crate) fn covers(&self, query: &[f32]) -> bool {
        let range = self.range.as_ref();
        range.is_none_or(|range| range.outside(query) <= range.outside)
    }

    /// The code of a query, which was fitted.
    pub(crate) fn query(&self, vector: &[f32]) -> Vec<Line> {
        let mut lines = vec![Line::default(); self.rows.stride()];
        match &self.range {
            Some(range) => range.write(vector, 0.0, &mut lines),
            None => Precision::Bits.encode(vector, &mut lines),
        }
        lines
    }
}

impl Range {
    fn fits(&self, vector: &[f32]) -> bool {
        let lift = self.lift.as_ref();
        lift.is_none_or(|lift| norm_squared(vector) <= lift.norm_squared)
            && self.outside(vector) <= self.outside
    }

    /// What brings a query to a length, or to a shorter one that is within the range; not to less than a quarter, though,
    /// for the distances of codes would then hardly differ.
    fn scale_within(&self, query: &[f32], length: f64) -> f64 {
        let norm = norm_squared(query).sqrt();
        if norm == 0.0 || length == 0.0 {
            return 1.0;
        }
        let full = length / norm;
        let width = f64::from(u8::MAX) / f64::from(self.per_unit);
        let elements = self.offsets.iter().zip(query);
        let scales = elements.map(|(offset, value)| {
            let (low, value) = (f64::from(*offset), f64::from(*value));
            let end = if value < 0.0 { low } else { low + width };
            if value == 0.0 { full } else { end / value }
        });
        scales.fold(full, f64::min).max(full / SHRUNK)
    }

    /// How far a vector is from the nearest one that has a code of its own, squared; without added dimensions.
    fn outside(&self, vector: &[f32]) -> f64 {
        let width = f64::from(u8::MAX) / f64::from(self.per_unit);
        let elements = self.offsets.iter().zip(vector);
        let beyond = elements.map(|(offset, value)| {
            let place = f64::from(*value) - f64::from(*offset);
            place - place.clamp(0.0, width)
        });
        beyond.map(|beyond| beyond * beyond).sum()
    }

    fn write(&self, vector: &[f32], lift: f32, lines: &mut [Line]) {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(lines);
        let lifted = self.lift.as_ref().map_or(0, |lift| lift.dimensions);
        let (own, added) = self
            .offsets
            .split_at_checked(self.offsets.len() - lifted)
            .unwrap_or_default();
        wide(
            #[inline(always)]
            || {
                for ((byte, offset), value) in bytes.iter_mut().zip(own).zip(vector) {
                    *byte = code((value - offset) * self.per_unit);
                }
            },
        );
        let bytes = bytes.get_mut(own.len()..).unwrap_or_default();
        for (byte, offset) in bytes.iter_mut().zip(added) {
            *byte = code((lift - offset) * self.per_unit);
        }
    }
}

impl Lift {
    /// What each added dimension of a stored vector is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "at most 80 dimensions; no longer than a vector"
    )]
    fn element(&self, vector: &[f32]) -> f32 {
        (self.missing(vector) / self.dimensions as f64).sqrt() as f32
    }

    fn missing(&self, vector: &[f32]) -> f64 {
        (self.norm_squared - norm_squared(vector)).max(0.0)
    }
}

/// The nearest code; a cast of floats saturates.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::inline_always,
    reason = "saturates, which is what is meant; compiled with the caller's instructions"
)]
fn code(place: f32) -> u8 {
    (place + 0.5) as u8
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "no longer than a stored vector"
)]
fn scaled(vector: &[f32], scale: f64) -> Vec<f32> {
    let elements = vector.iter();
    elements
        .map(|value| (f64::from(*value) * scale) as f32)
        .collect()
}

fn norm_squared(vector: &[f32]) -> f64 {
    vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()
}

/// What a function makes of each vector of a table.
fn decoded<T>(
    rows: &VectorRows,
    mut run: impl FnMut(&[f32]) -> T,
) -> impl Iterator<Item = (Slot, T)> {
    let mut vector = vec![0.0; rows.dimension()];
    rows.slots().map(move |slot| {
        rows.decode(slot, &mut vector);
        (slot, run(&vector))
    })
}

/// The square of the length that all vectors of a table have at most, but for the few longest.
fn nearly_longest(rows: &VectorRows) -> f64 {
    let mut squares: Vec<f64> = decoded(rows, norm_squared)
        .map(|(_, square)| square)
        .collect();
    if squares.is_empty() {
        return 0.0;
    }
    let at = LONGER.min(squares.len() - 1);
    *squares.select_nth_unstable_by(at, |a, b| b.total_cmp(a)).1
}

/// The range of all values but a few outliers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a small share of a small count"
)]
fn inner_range(mut values: Vec<f32>) -> (f32, f32) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let outside = (values.len() as f64 * OUTLIERS) as usize;
    values.sort_unstable_by(f32::total_cmp);
    let low = values.get(outside).copied().unwrap_or_default();
    let high = values.get(values.len() - 1 - outside).copied();
    (low, high.unwrap_or_default())
}
