//! Maximal marginal relevance: hits that are near the query and unlike each other.

use common::{Error, Result};

use super::index::Neighbour;
use crate::core::VectorRows;
use crate::core::distance::Metric;

/// Most candidates of a search for hits that differ.
const DIVERSE_CANDIDATES_MAX: usize = 1 << 14;

/// How hits are to differ from each other: see [`Search::diverse`](crate::Search::diverse).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diversity {
    /// Between 0, where hits need only differ, and 1, where they need only be near.
    pub lambda: f64,
    /// From how many of the nearest the hits are chosen.
    pub candidates: usize,
}

impl Diversity {
    pub(crate) fn check(self, k: usize) -> Result<()> {
        if !(0.0..=1.0).contains(&self.lambda) {
            return Err(Error::invalid(format!(
                "lambda of a diverse search is between 0 and 1, not {}",
                self.lambda
            )));
        }
        if self.candidates < k {
            return Err(Error::invalid(format!(
                "a diverse search chooses {k} hits from at least as many candidates, not from {}",
                self.candidates
            )));
        }
        if self.candidates > DIVERSE_CANDIDATES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a diverse search has at most {DIVERSE_CANDIDATES_MAX} candidates, not {}",
                self.candidates
            )));
        }
        Ok(())
    }
}

/// [`choose`] by the distances of the candidates' vectors.
pub(crate) fn spread(
    rows: &VectorRows,
    metric: Metric,
    candidates: &[Neighbour],
    k: usize,
    lambda: f64,
) -> Vec<Neighbour> {
    let decode = |neighbour: &Neighbour| {
        let mut vector = vec![0.0; rows.dimension()];
        rows.decode(neighbour.slot, &mut vector);
        vector
    };
    let vectors: Vec<Vec<f32>> = candidates.iter().map(decode).collect();
    choose(candidates, k, lambda, |a, b| {
        match (vectors.get(a), vectors.get(b)) {
            (Some(a), Some(b)) => metric.distance(a, b),
            _ => 0.0,
        }
    })
}

/// The `k` of the candidates, which are sorted, that [`Search::diverse`](crate::Search::diverse) chooses, in its order.
/// `between` tells how far two candidates are from each other, by their numbers.
pub(crate) fn choose(
    candidates: &[Neighbour],
    k: usize,
    lambda: f64,
    between: impl Fn(usize, usize) -> f64,
) -> Vec<Neighbour> {
    // For each candidate that is left, its number and how far the nearest of those chosen is.
    let mut left: Vec<(usize, f64)> = (0..candidates.len())
        .map(|at| (at, f64::INFINITY))
        .collect();
    let mut chosen = Vec::with_capacity(k.min(candidates.len()));
    while chosen.len() < k {
        let gain = |&(at, apart): &(usize, f64)| {
            let relevance = candidates.get(at).map_or(0.0, |n| -n.distance * lambda);
            // Nothing is like it yet.
            let repetition = if apart.is_finite() {
                -apart * (1.0 - lambda)
            } else {
                0.0
            };
            // Not -0, which is less than 0 in the order of floats.
            relevance - repetition + 0.0
        };
        let best = left
            .iter()
            .enumerate()
            // Of equals the nearer, which comes first.
            .max_by(|(_, a), (_, b)| gain(a).total_cmp(&gain(b)).then(b.0.cmp(&a.0)));
        let Some((place, &(next, _))) = best else {
            break;
        };
        left.swap_remove(place);
        for (at, apart) in &mut left {
            *apart = apart.min(between(next, *at));
        }
        chosen.extend(candidates.get(next).copied());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use common::Slot;
    use proptest::prelude::*;

    use super::*;

    /// The definition, word for word.
    fn naive(points: &[i8], query: i8, k: usize, lambda: f64) -> Vec<usize> {
        let similarity = |a: i8, b: i8| -(f64::from(a) - f64::from(b)).abs();
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < k.min(points.len()) {
            let mut best: Option<(f64, usize)> = None;
            for i in (0..points.len()).filter(|i| !chosen.contains(i)) {
                let likest = chosen
                    .iter()
                    .map(|j| similarity(points[i], points[*j]))
                    .reduce(f64::max)
                    .unwrap_or(0.0);
                let gain = lambda * similarity(points[i], query) - (1.0 - lambda) * likest;
                if best.is_none_or(|(most, _)| gain > most) {
                    best = Some((gain, i));
                }
            }
            chosen.extend(best.map(|(_, i)| i));
        }
        chosen
    }

    proptest! {
        #[test]
        fn the_choice_is_that_of_the_definition(
            mut points in prop::collection::vec(-20_i8..20, 0..25),
            query in -20_i8..20,
            k in 1_usize..12,
            quarters in 0_u8..=4,
        ) {
            // Quarters keep sums exact, so that equal gains are equal.
            let lambda = f64::from(quarters) / 4.0;
            points.sort_by_key(|p| (i16::from(*p) - i16::from(query)).abs());
            let far = |a: i8, b: i8| (f64::from(a) - f64::from(b)).abs();
            let candidates: Vec<Neighbour> = (0..)
                .zip(&points)
                .map(|(slot, p)| Neighbour { slot: Slot(slot), distance: far(*p, query) })
                .collect();
            let chosen = choose(&candidates, k, lambda, |a, b| far(points[a], points[b]));
            let chosen: Vec<usize> = chosen.iter().map(|n| n.slot.0 as usize).collect();
            prop_assert_eq!(chosen, naive(&points, query, k, lambda));
        }
    }
}
