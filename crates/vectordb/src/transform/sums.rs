//! Sums in the order in which NumPy adds: what makes results equal to the last bit.

use super::matrix::Float;

/// Elements that NumPy's pairwise summation adds without halving.
const BLOCK: usize = 128;

/// Adds numbers as `numpy.add.reduce` does along contiguous elements: in eight lanes within a block, by halves
/// above it.
pub(crate) fn pairwise<T: Float>(values: &[T], map: impl Fn(T) -> T + Copy) -> T {
    if values.len() < 8 {
        return values.iter().fold(T::default(), |sum, x| sum + map(*x));
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise(left, map) + pairwise(right, map);
    }
    let (blocks, rest) = values.as_chunks::<8>();
    let mut lanes = [T::default(); 8];
    for (at, block) in blocks.iter().enumerate() {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = if at == 0 { map(*x) } else { *lane + map(*x) };
        }
    }
    rest.iter().fold(neighbours(&lanes), |sum, x| sum + map(*x))
}

/// The sum of squares as `numpy.einsum("ij,ij->i", x, x)` makes it in registers of 16 bytes, `LANES` numbers:
/// four registers at a time, the last of them first.
pub(crate) fn squares<T: Float, const LANES: usize>(values: &[T]) -> T {
    let mut lanes = [T::default(); LANES];
    let mut add = |register: &[T]| {
        for (lane, x) in lanes.iter_mut().zip(register) {
            *lane = *x * *x + *lane;
        }
    };
    let mut blocks = values.chunks_exact(4 * LANES);
    for block in &mut blocks {
        block.chunks_exact(LANES).rev().for_each(&mut add);
    }
    blocks.remainder().chunks(LANES).for_each(&mut add);
    neighbours(&lanes)
}

/// Adds neighbours first, as the horizontal addition of a register does.
fn neighbours<T: Float>(lanes: &[T]) -> T {
    match lanes {
        [] => T::default(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            neighbours(left) + neighbours(right)
        }
    }
}
