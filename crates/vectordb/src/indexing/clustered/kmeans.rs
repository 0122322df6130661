//! k-means: where the centres of clusters are.

use common::Result;

use super::panels::{BATCH, Panels};
use super::parallel::{Account, for_each};
use crate::indexing::quantize::Random;

/// Vectors of the sample for each cluster.
pub(super) const SAMPLE_PER_CLUSTER: usize = 40;

/// Rounds of Lloyd's algorithm: after these, answers hardly become better.
pub(super) const ROUNDS: usize = 8;

/// Vectors that a thread takes at a time.
const PART: usize = 32 * BATCH;

/// Finds centres of clusters of the vectors in `sample`; both lie one after another.
///
/// Lloyd's algorithm from vectors drawn at random. Sums are taken in the order of the sample whatever the number of
/// threads, so the centres do not depend on it.
pub(super) fn centres(
    sample: &[f32],
    dimension: usize,
    clusters: usize,
    random: &mut Random,
    threads: usize,
    account: &Account<'_>,
) -> Result<Vec<f32>> {
    let count = sample.len() / dimension;
    let mut values = Vec::with_capacity(clusters * dimension);
    for at in draw(count, clusters, random) {
        values.extend_from_slice(vector(sample, dimension, at));
    }
    let mut nearest = vec![0_u32; count];
    for _ in 0..ROUNDS {
        let centres = Panels::new(dimension, &values);
        assign(&centres, sample, dimension, &mut nearest, threads, account)?;
        let sizes = means(sample, dimension, &nearest, &mut values);
        split(&mut values, dimension, sizes);
    }
    Ok(values)
}

/// Draws `wanted` of `count` numbers, each at most once, ascending; all if there are no more.
pub(super) fn draw(count: usize, wanted: usize, random: &mut Random) -> Vec<usize> {
    // Each number is taken with the chance that is left for it.
    let mut left = wanted.min(count);
    (0..count)
        .filter(|at| {
            let is_taken = random.below(count - at) < left;
            left -= usize::from(is_taken);
            is_taken
        })
        .collect()
}

fn assign(
    centres: &Panels,
    sample: &[f32],
    dimension: usize,
    nearest: &mut [u32],
    threads: usize,
    account: &Account<'_>,
) -> Result<()> {
    let parts = sample
        .chunks(PART * dimension)
        .zip(nearest.chunks_mut(PART));
    for_each(threads, parts, |(vectors, nearest)| {
        centres.nearest(vectors, nearest);
        account.advance(nearest.len())
    })
}

/// Moves each centre to the mean of its vectors and returns their number; of a centre without any, nothing changes.
#[expect(clippy::cast_precision_loss, reason = "samples are small")]
fn means(sample: &[f32], dimension: usize, nearest: &[u32], centres: &mut [f32]) -> Vec<usize> {
    let mut sums = vec![0.0_f32; centres.len()];
    let mut sizes = vec![0_usize; centres.len() / dimension];
    for (vector, cluster) in sample.chunks_exact(dimension).zip(nearest) {
        let cluster = *cluster as usize;
        let begin = cluster * dimension;
        let sum = sums.get_mut(begin..begin + dimension).unwrap_or_default();
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += value;
        }
        if let Some(size) = sizes.get_mut(cluster) {
            *size += 1;
        }
    }
    let pairs = centres
        .chunks_exact_mut(dimension)
        .zip(sums.chunks_exact(dimension));
    for ((centre, sum), size) in pairs.zip(&sizes) {
        if *size > 0 {
            let share = 1.0 / *size as f32;
            for (centre, sum) in centre.iter_mut().zip(sum) {
                *centre = sum * share;
            }
        }
    }
    sizes
}

/// Puts each centre without vectors beside the one that has most, which is then taken to have half as many.
fn split(centres: &mut [f32], dimension: usize, mut sizes: Vec<usize>) {
    const APART: f32 = 1.0 / 1_024.0;
    while let Some(empty) = sizes.iter().position(|size| *size == 0) {
        let largest = (0..)
            .zip(&sizes)
            .max_by_key(|(at, size)| (**size, usize::MAX - at));
        let Some((largest, size)) = largest.map(|(at, size): (usize, _)| (at, *size)) else {
            return;
        };
        // Fewer different vectors than clusters.
        if size < 2 {
            return;
        }
        let begin = largest * dimension;
        for at in 0..dimension {
            let sign = if at % 2 == 0 { APART } else { -APART };
            let Some(value) = centres.get(begin + at).copied() else {
                return;
            };
            for (cluster, factor) in [(largest, 1.0 + sign), (empty, 1.0 - sign)] {
                if let Some(place) = centres.get_mut(cluster * dimension + at) {
                    *place = value * factor;
                }
            }
        }
        for (cluster, size) in [(largest, size - size / 2), (empty, size / 2)] {
            if let Some(place) = sizes.get_mut(cluster) {
                *place = size;
            }
        }
    }
}

fn vector(vectors: &[f32], dimension: usize, at: usize) -> &[f32] {
    let begin = at * dimension;
    vectors.get(begin..begin + dimension).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indexing::progress::unwatched;

    #[test]
    fn groups_are_found_by_any_number_of_threads() {
        let mut random = Random::new(1);
        let places = random.normals(64 * 5);
        let mut sample = Vec::new();
        for at in 0..2_000 {
            let place = vector(&places, 64, at % 5);
            sample.extend(place.iter().map(|v| v * 10.0 + random.normal() * 0.1));
        }
        let found = [1, 2, 5].map(|threads| {
            let account = Account::new(&unwatched, 1);
            centres(&sample, 64, 40, &mut Random::new(9), threads, &account).unwrap()
        });
        assert!(found[0] == found[1] && found[0] == found[2]);
        let mut nearest = vec![0; 2_000];
        Panels::new(64, &found[0]).nearest(&sample, &mut nearest);
        for (vector, nearest) in sample.chunks(64).zip(nearest) {
            let centre = self::vector(&found[0], 64, nearest as usize);
            let pairs = vector.iter().zip(centre);
            assert!(pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>() < 4.0);
        }
    }

    #[test]
    fn draws_are_distinct_and_even() {
        let mut random = Random::new(2);
        assert_eq!(draw(5, 9, &mut random), [0, 1, 2, 3, 4]);
        let mut counts = [0; 10];
        for _ in 0..1_000 {
            let drawn = draw(10, 3, &mut random);
            assert_eq!(drawn.len(), 3);
            for at in drawn {
                counts[at] += 1;
            }
        }
        assert!(counts.iter().all(|count| (240..360).contains(count)));
    }

    #[test]
    fn equal_vectors_leave_clusters_empty() {
        let account = Account::new(&unwatched, 1);
        let sample = vec![1.0; 64 * 3];
        let centres = centres(&sample, 64, 3, &mut Random::new(0), 1, &account).unwrap();
        assert_eq!(centres.len(), 3 * 64);
    }
}
