//! [`Centres`]: the centres of clusters, and which of them are nearest to a query.

use crate::core::Line;
use crate::core::distance::Metric;
use crate::indexing::quantize::{BLOCK, Estimates, Position, Query, Rank, block_lines, rabitq};

/// The centres of clusters, all of one padded dimension.
///
/// They have codes of their own, relative to the origin of the frame: a query is compared with the few centres that these
/// do not exclude, and not with all.
#[derive(Debug)]
pub(super) struct Centres {
    padded: usize,
    rank: Rank,
    count: usize,
    /// The centres, one after another.
    rows: Vec<Line>,
    /// Their codes, in blocks of 32.
    codes: Vec<Line>,
}

/// A centre near a query: its rank, as the metric's kernel has it in the frame, and its number.
type Near = (f32, u32);

impl Centres {
    /// The centres, one after another, each of `padded` elements.
    pub(super) fn new(padded: usize, rank: Rank, centres: &[f32]) -> Self {
        let count = centres.len() / padded;
        let origin = vec![0.0; padded];
        let mut codes = vec![Line::default(); count.div_ceil(BLOCK) * block_lines(padded)];
        let mut signs = vec![0; padded / 64];
        let blocks = codes.chunks_exact_mut(block_lines(padded));
        for (block, centres) in blocks.zip(centres.chunks(BLOCK * padded)) {
            rabitq::clear(block);
            for (lane, centre) in centres.chunks_exact(padded).enumerate() {
                let factors = rabitq::encode(centre, &origin, rank, &mut signs);
                rabitq::set(block, lane, &signs, factors);
            }
        }
        let mut rows = vec![Line::default(); size_of_val(centres) / size_of::<Line>()];
        bytemuck::cast_slice_mut(&mut rows).copy_from_slice(centres);
        Self {
            padded,
            rank,
            count,
            rows,
            codes,
        }
    }

    /// The centres, one after another.
    pub(super) fn rows(&self) -> &[f32] {
        bytemuck::cast_slice(&self.rows)
    }

    /// Number of centres.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.rows.as_slice()) + size_of_val(self.codes.as_slice())
    }

    /// A centre; empty if there is none of this number.
    pub(super) fn get(&self, number: u32) -> &[f32] {
        let rows: &[f32] = bytemuck::cast_slice(&self.rows);
        let begin = number as usize * self.padded;
        rows.get(begin..begin + self.padded).unwrap_or_default()
    }

    /// The `wanted` centres nearest to a vector in the frame, at least one, nearest first, and where it is seen from
    /// each; `query` is made of the same vector.
    pub(super) fn near(
        &self,
        vector: &[f32],
        query: &Query,
        wanted: usize,
    ) -> Vec<(u32, Position)> {
        let wanted = wanted.clamp(1, self.count.max(1));
        let square = square(vector);
        let kernel = match self.rank {
            Rank::Squared => Metric::SquaredEuclidean.kernel(),
            Rank::Dot => Metric::Dot.kernel(),
        };
        let rank = |number: u32| (kernel(vector, self.get(number)), number);
        let mut near: Vec<Near> = self
            .likely(query, square, wanted, rank)
            .unwrap_or_else(|| (0..).take(self.count).map(rank).collect());
        if wanted < near.len() {
            near.select_nth_unstable_by(wanted, |a, b| order(*a, *b));
            near.truncate(wanted);
        }
        near.sort_unstable_by(|a, b| order(*a, *b));
        let length = square.sqrt();
        near.into_iter()
            .map(|(base, number)| match self.rank {
                Rank::Squared => (number, Position::squared(base)),
                Rank::Dot => (number, Position::dot(base, length)),
            })
            .collect()
    }

    /// Those that the codes do not exclude from the nearest; `None` if so many are wanted that codes do not help.
    fn likely(
        &self,
        query: &Query,
        square: f32,
        wanted: usize,
        rank: impl Fn(u32) -> Near,
    ) -> Option<Vec<Near>> {
        if self.count < 4 * wanted || self.count < 2 * BLOCK {
            return None;
        }
        let position = match self.rank {
            Rank::Squared => Position::squared(square),
            Rank::Dot => Position::dot(0.0, square.sqrt()),
        };
        let mut estimates = Estimates::default();
        let mut all: Vec<(Near, f32)> = Vec::with_capacity(self.count);
        for block in self.codes.chunks_exact(block_lines(self.padded)) {
            query.estimate(block, position, f32::INFINITY, &mut estimates);
            let first = u32::try_from(all.len()).ok()?;
            let lanes = estimates.distance.iter().zip(&estimates.least);
            let left = self.count - all.len();
            let numbered = (first..).zip(lanes).take(left);
            all.extend(numbered.map(|(number, (distance, least))| ((*distance, number), *least)));
        }
        all.select_nth_unstable_by(wanted - 1, |a, b| order(a.0, b.0));
        let (likeliest, others) = all.split_at_checked(wanted)?;
        let mut near: Vec<Near> = likeliest
            .iter()
            .map(|((_, number), _)| rank(*number))
            .collect();
        let bound = near
            .iter()
            .map(|(rank, _)| *rank)
            .fold(f32::NEG_INFINITY, f32::max);
        let left = others.iter().filter(|(_, least)| *least < bound);
        near.extend(left.map(|((_, number), _)| rank(*number)));
        Some(near)
    }
}

fn order(a: Near, b: Near) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

fn square(vector: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for values in vector.as_chunks::<16>().0 {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane += value * value;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indexing::quantize::Random;

    #[test]
    fn the_nearest_centres_are_found_without_looking_at_all() {
        for rank in [Rank::Squared, Rank::Dot] {
            for (padded, count) in [(64, 1), (64, 40), (192, 300), (832, 500)] {
                let mut random = Random::new(count as u64);
                let values = random.normals(padded * count);
                let centres = Centres::new(padded, rank, &values);
                assert_eq!(centres.len(), count);
                let (mut found, mut wanted) = (0, 0);
                for _ in 0..5 {
                    let vector = random.normals(padded);
                    let query = Query::new(&vector);
                    let mut all = centres.near(&vector, &query, usize::MAX);
                    let near = centres.near(&vector, &query, 10);
                    assert_eq!(centres.near(&vector, &query, 0).len(), 1);
                    assert_eq!(all.len(), count);
                    all.truncate(10);
                    assert_eq!(near.len(), all.len());
                    wanted += all.len();
                    found += all.iter().filter(|centre| near.contains(centre)).count();
                }
                assert!(
                    100 * found >= 90 * wanted,
                    "{rank:?} {padded} {count}: {found} of {wanted}"
                );
            }
        }
    }
}
