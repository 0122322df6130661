//! The true nearest rows, found by comparing each query with every row, and how much of them an answer has.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bench::Result;

use crate::data::DataSet;

/// Neighbours asked for in every case.
pub(crate) const K: usize = 10;

/// Rows that the scan in 32 bits keeps, so that the scan in 64 bits finds the true ones among them.
const KEPT: usize = 64;
/// A squared distance of 32 bits is off by less than this share of itself: sums of at most 784 terms in 16 lanes.
const ROUNDING: f64 = 1e-5;
/// A row this much farther than the last true neighbour is as near as that one.
const TIE: f64 = 1e-6;
/// Rows compared with all queries of a thread before the next ones: they stay in the core's cache.
const BLOCK: usize = 64;

/// For each query, the squared distance of its `K`-th nearest row, in 64 bits; infinite where there are fewer rows.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    farthest: Vec<f64>,
    available: Vec<usize>,
}

impl Truth {
    /// Of all rows; kept in `folder` from run to run.
    pub(crate) fn of(data: &DataSet, folder: &Path, threads: usize) -> Result<Self> {
        let print = data
            .base
            .iter()
            .chain(&data.queries)
            .fold(0_u64, |hash, x| {
                bench::random::mix(hash ^ u64::from(x.to_bits()))
            });
        let path = folder.join(format!("{}-{print:016x}.truth", data.name));
        let count = data.query_count();
        let kept = fs::read(&path).unwrap_or_default();
        let kept: Vec<f64> = kept
            .as_chunks()
            .0
            .iter()
            .map(|b| f64::from_le_bytes(*b))
            .collect();
        let truth = if kept.len() == count {
            Self {
                farthest: kept,
                available: vec![K; count],
            }
        } else {
            let queries: Vec<usize> = (0..count).collect();
            let truth = Self::search(data, &queries, threads, |_, _| true);
            let bytes = truth.farthest.iter().flat_map(|d| d.to_le_bytes());
            fs::write(&path, bytes.collect::<Vec<u8>>())?;
            truth
        };
        Ok(truth)
    }

    /// Of the rows that `allowed` says of a query's place in `queries` and a row.
    pub(crate) fn search(
        data: &DataSet,
        queries: &[usize],
        threads: usize,
        allowed: impl Fn(usize, usize) -> bool + Sync,
    ) -> Self {
        const SHARE: usize = 50;
        let next = AtomicUsize::new(0);
        let (allowed, next) = (&allowed, &next);
        let mut all: Vec<(usize, f64, usize)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1))
                .map(|_| {
                    scope.spawn(move || {
                        let mut done = Vec::new();
                        loop {
                            let begin = next.fetch_add(SHARE, Relaxed);
                            if begin >= queries.len() {
                                return done;
                            }
                            let end = (begin + SHARE).min(queries.len());
                            done.extend(share(data, queries, begin..end, allowed));
                        }
                    })
                })
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_default())
                .collect()
        });
        all.sort_by_key(|(place, ..)| *place);
        Self {
            farthest: all.iter().map(|(_, distance, _)| *distance).collect(),
            available: all.iter().map(|(.., available)| *available).collect(),
        }
    }

    /// Which share of the true neighbours the answers have, averaged over queries: `ids` has `K` rows for each of
    /// `queries`. A row as near as the last true neighbour counts, one that comes twice counts once.
    pub(crate) fn recall(&self, data: &DataSet, queries: &[usize], ids: &[u32]) -> Result<f64> {
        let mut sum = 0.0;
        for (place, ids) in ids.chunks(K).enumerate() {
            let mut ids: Vec<usize> = ids
                .iter()
                .filter(|id| **id != u32::MAX)
                .map(|id| *id as usize)
                .collect();
            ids.sort_unstable();
            ids.dedup();
            if ids.last().is_some_and(|id| *id >= data.rows()) {
                return Err("an answer names a row that does not exist".into());
            }
            let query = data.query(queries[place]);
            let bound = self.farthest[place] * (1.0 + TIE) + f64::MIN_POSITIVE;
            let near = ids
                .iter()
                .filter(|id| exact(query, data.row(**id)) <= bound)
                .count();
            let wanted = self.available[place].min(K);
            sum += if wanted == 0 {
                1.0
            } else {
                near.min(wanted) as f64 / wanted as f64
            };
        }
        Ok(sum / queries.len() as f64)
    }
}

fn share(
    data: &DataSet,
    queries: &[usize],
    places: std::ops::Range<usize>,
    allowed: &impl Fn(usize, usize) -> bool,
) -> Vec<(usize, f64, usize)> {
    let mut best: Vec<Vec<(f32, usize)>> = vec![Vec::new(); places.len()];
    let mut bound = vec![f32::INFINITY; places.len()];
    let mut available = vec![0; places.len()];
    for begin in (0..data.rows()).step_by(BLOCK) {
        let end = (begin + BLOCK).min(data.rows());
        for (at, place) in places.clone().enumerate() {
            let query = data.query(queries[place]);
            for row in begin..end {
                if !allowed(place, row) {
                    continue;
                }
                available[at] += 1;
                let distance = rough(query, data.row(row));
                if distance < bound[at] {
                    best[at].push((distance, row));
                    if best[at].len() >= 2 * KEPT {
                        best[at].select_nth_unstable_by(KEPT - 1, |a, b| a.0.total_cmp(&b.0));
                        best[at].truncate(KEPT);
                        bound[at] = best[at].last().map_or(f32::INFINITY, |worst| worst.0);
                    }
                }
            }
        }
    }
    let mut found = Vec::new();
    for (at, place) in places.enumerate() {
        let query = data.query(queries[place]);
        let rows = best[at].iter().map(|(_, row)| *row);
        let mut farthest = kth(query, data, rows);
        // What was left out is at least as far as the bound, rounding aside.
        if f64::from(bound[at]) * (1.0 - ROUNDING) <= farthest {
            farthest = kth(
                query,
                data,
                (0..data.rows()).filter(|row| allowed(place, *row)),
            );
        }
        found.push((place, farthest, available[at]));
    }
    found
}

/// The squared distance of the `K`-th nearest of some rows.
fn kth(query: &[f32], data: &DataSet, rows: impl Iterator<Item = usize>) -> f64 {
    let mut all: Vec<f64> = rows.map(|row| exact(query, data.row(row))).collect();
    all.sort_by(f64::total_cmp);
    all.get(K - 1).copied().unwrap_or(f64::INFINITY)
}

/// The squared distance in 64 bits.
pub(crate) fn exact(a: &[f32], b: &[f32]) -> f64 {
    let differences = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b));
    differences.map(|d| d * d).sum()
}

/// The squared distance in 32 bits, in 16 sums that compilers keep in vector registers.
fn rough(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest = a.as_chunks::<16>().1.iter().zip(b.as_chunks::<16>().1);
    sums.iter().sum::<f32>() + rest.map(|(a, b)| (a - b) * (a - b)).sum::<f32>()
}
