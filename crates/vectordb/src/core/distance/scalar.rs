//! Kernels in plain Rust: the definition of each distance, and what every faster kernel is compared with.
//!
//! Rows are padded with zeros to a multiple of [`LANES`] floats; each kernel sums in [`LANES`] independent
//! lanes, which compilers turn into vector registers and which keeps rounding small: for terms `t` of an exact
//! result, a kernel over `d` elements is off by at most `(d / 16 + 8) * 2^-23 * sum |t|`. Elements of rows that
//! are stored otherwise count as the 32-bit floats that [`Precision`] makes of them.

use half::f16;

use super::kernels::{Form, RowKernels};
use crate::core::precision::{SCALE_BYTES, scale_of};
use crate::core::{Line, Precision};

/// Floats that a kernel takes at once; rows are padded to a multiple of it.
pub const LANES: usize = 16;

/// A distance between two padded rows of equal length.
pub type Kernel = fn(&[f32], &[f32]) -> f32;

#[inline]
fn lanes<T: Copy>(
    a: &[f32],
    b: &[T],
    widen: impl Fn(T) -> f32,
    fold: impl Fn(f32, f32, f32) -> f32,
) -> [f32; LANES] {
    let mut lanes = [0.0_f32; LANES];
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane = fold(*lane, *a, widen(*b));
        }
    }
    lanes
}

/// Adds the lanes, in four sums at first.
#[inline]
fn total(lanes: [f32; LANES]) -> f32 {
    let mut four = [0.0_f32; 4];
    for lanes in lanes.as_chunks::<4>().0 {
        for (sum, lane) in four.iter_mut().zip(lanes) {
            *sum += lane;
        }
    }
    let [a, b, c, d] = four;
    (a + b) + (c + d)
}

/// Makes the function of a form over elements of any kind from a step and what becomes of the lanes.
macro_rules! form {
    ($name:ident, $step:expr, $finish:expr) => {
        #[inline]
        fn $name<T: Copy>(a: &[f32], b: &[T], widen: impl Fn(T) -> f32) -> f32 {
            $finish(lanes(a, b, widen, $step))
        }
    };
}

form!(squared, |sum, a, b| sum + (a - b) * (a - b), total);
form!(product, |sum, a, b| sum + a * b, total);
form!(negative_product, |sum, a, b| sum + a * b, |lanes| -total(
    lanes
));
form!(absolute, |sum, a: f32, b| sum + (a - b).abs(), total);
// A comparison and not `max`, which would test for NaN in every step; there is none in a table.
form!(
    greatest,
    |most, a: f32, b: f32| {
        let distance = (a - b).abs();
        if distance > most { distance } else { most }
    },
    |lanes: [f32; LANES]| lanes.into_iter().fold(0.0, f32::max)
);

/// Sum of squared differences.
pub fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    squared(a, b, |b| b)
}

/// Sum of products.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    product(a, b, |b| b)
}

/// The sum of products, negated: the greater the product, the nearer.
pub fn negative_dot(a: &[f32], b: &[f32]) -> f32 {
    negative_product(a, b, |b| b)
}

/// Sum of absolute differences.
pub fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    absolute(a, b, |b| b)
}

/// Greatest absolute difference.
pub fn chebyshev(a: &[f32], b: &[f32]) -> f32 {
    greatest(a, b, |b| b)
}

/// The share of the positions with a one in either that have none in the other, of vectors of zeros and ones.
pub fn jaccard(a: &[f32], b: &[f32]) -> f32 {
    let either = total(lanes(a, b, |b| b, |sum, a, b| sum + a.max(b)));
    manhattan(a, b) / either.max(1.0)
}

/// The kernel over plain floats.
pub(super) fn flat(form: Form) -> Kernel {
    match form {
        Form::Squared => squared_euclidean,
        Form::Product => negative_dot,
        Form::Absolute => manhattan,
        Form::Greatest => chebyshev,
    }
}

/// Kernels for several rows that take one after another.
macro_rules! by_one {
    ($one:ident) => {
        RowKernels {
            one: $one,
            four: |query, rows| rows.map(|row| $one(query, row)),
            tile: |queries, rows| queries.map(|query| rows.map(|row| $one(query, row))),
        }
    };
}

/// Makes the kernels of a form for every precision.
macro_rules! rows {
    ($precision:ident, $form:ident) => {{
        fn one_f32(query: &[Line], row: &[Line]) -> f32 {
            $form(
                bytemuck::cast_slice(query),
                bytemuck::cast_slice(row),
                |v: f32| v,
            )
        }
        fn one_f16(query: &[Line], row: &[Line]) -> f32 {
            $form(
                bytemuck::cast_slice(query),
                bytemuck::cast_slice(row),
                |v: u16| f16::from_bits(v).to_f32(),
            )
        }
        fn one_i8(query: &[Line], row: &[Line]) -> f32 {
            let (scale, mut codes) = (scale_of(row), row.to_vec());
            // The scale lies where codes would be zero.
            if let Some(place) = codes.last_mut().and_then(|line| line.0.last_chunk_mut()) {
                *place = [0; SCALE_BYTES];
            }
            $form(
                bytemuck::cast_slice(query),
                bytemuck::cast_slice(&codes),
                |v: i8| f32::from(v) * scale,
            )
        }
        match $precision {
            Precision::F32 => by_one!(one_f32),
            Precision::F16 => by_one!(one_f16),
            Precision::I8 => by_one!(one_i8),
            Precision::Bits => RowKernels::NONE,
        }
    }};
}

/// The kernels for rows of a precision.
pub(super) fn rows(form: Form, precision: Precision) -> RowKernels {
    match form {
        Form::Squared => rows!(precision, squared),
        Form::Product => rows!(precision, negative_product),
        Form::Absolute => rows!(precision, absolute),
        Form::Greatest => rows!(precision, greatest),
    }
}
