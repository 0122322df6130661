//! Kernels in plain Rust: the definition of each distance, and what every faster kernel is compared with.
//!
//! Rows are padded with zeros to a multiple of [`LANES`] floats; each kernel sums in [`LANES`] independent
//! lanes, which compilers turn into vector registers and which keeps rounding small: for terms `t` of an exact
//! result, a kernel over `d` elements is off by at most `(d / 16 + 8) * 2^-23 * sum |t|`.

/// Floats that a kernel takes at once; rows are padded to a multiple of it.
pub const LANES: usize = 16;

/// A distance between two padded rows of equal length.
pub type Kernel = fn(&[f32], &[f32]) -> f32;

#[inline]
fn lanes(a: &[f32], b: &[f32], fold: impl Fn(f32, f32, f32) -> f32) -> [f32; LANES] {
    debug_assert!(a.len() == b.len() && a.len().is_multiple_of(LANES));
    let mut lanes = [0.0_f32; LANES];
    let (a, _) = a.as_chunks::<LANES>();
    let (b, _) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane = fold(*lane, *a, *b);
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

/// Sum of squared differences.
pub fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    total(lanes(a, b, |sum, a, b| sum + (a - b) * (a - b)))
}

/// Sum of products.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    total(lanes(a, b, |sum, a, b| sum + a * b))
}

/// The sum of products, negated: the greater the product, the nearer.
pub fn negative_dot(a: &[f32], b: &[f32]) -> f32 {
    -dot(a, b)
}

/// Sum of absolute differences.
pub fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    total(lanes(a, b, |sum, a, b| sum + (a - b).abs()))
}

/// Greatest absolute difference.
pub fn chebyshev(a: &[f32], b: &[f32]) -> f32 {
    // A comparison and not `max`, which would test for NaN in every step; there is none in a table.
    lanes(a, b, |most, a, b| {
        let distance = (a - b).abs();
        if distance > most { distance } else { most }
    })
    .into_iter()
    .fold(0.0, f32::max)
}
