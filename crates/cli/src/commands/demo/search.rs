//! The second road: vectors of handwritten digits that find their like.

use std::time::{Duration, Instant};

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{RecordId, Result, Value, row};
use vectordb::{Metric, Search, VectorCollection, VectorDb, VectorOptions};

use super::data::Digits;
use crate::terminal::Progress;

/// How many neighbours are looked for.
const NEIGHBOURS: usize = 10;
/// Most vectors that are looked up; beyond, evenly spread ones are.
const QUERIES_MAX: usize = 2_000;

/// What was measured.
pub(super) struct Facts {
    pub(super) vectors: usize,
    pub(super) dimension: usize,
    pub(super) queries: usize,
    /// Share of the true 10 nearest that were found.
    pub(super) recall: f64,
    /// Share of the digits whose neighbours vote for the right label.
    pub(super) accuracy: f64,
    pub(super) insert_time: Duration,
    /// Middle time of one search.
    pub(super) search_time: Duration,
    /// One search to look at.
    pub(super) example: Option<Example>,
}

/// A vector and what was found near it.
pub(super) struct Example {
    pub(super) label: String,
    pub(super) vector: Vec<f32>,
    pub(super) hits: Vec<(String, f64, Vec<f32>)>,
}

pub(super) fn run(digits: &Digits) -> Result<Facts> {
    let db = VectorDb::new();
    let options = VectorOptions::new(digits.dimension, Metric::Euclidean);
    let label = Field::new("label", FieldType::Any);
    let collection = db.create_collection("digits", options, [label])?;
    let start = Instant::now();
    let rows = (0_i64..).zip(&digits.rows);
    collection.upsert_all(
        rows.map(|(id, (vector, label))| (id, vector.clone(), row! { "label": label.clone() })),
    )?;
    let insert_time = start.elapsed();

    let step = digits.rows.len().div_ceil(QUERIES_MAX).max(1);
    let queries: Vec<usize> = (0..digits.rows.len()).step_by(step).collect();
    let progress = Progress::rows_of("looking for the neighbours of each of", queries.len());
    let mut times = Vec::with_capacity(queries.len());
    let (mut found, mut wanted, mut right) = (0, 0, 0);
    let mut example = None;
    for query in &queries {
        let Some((vector, label)) = digits.rows.get(*query) else {
            continue;
        };
        let start = Instant::now();
        let hits = nearest(&collection, *query, vector)?;
        times.push(start.elapsed());
        progress.tick(times.len());
        let (near, of) = count_true(digits, *query, vector, &hits);
        found += near;
        wanted += of;
        right += usize::from(vote(digits, &hits).as_ref() == Some(label));
        // The middle one is as good an example as any.
        if *query == digits.rows.len() / 2 / step * step {
            example = Some(look(digits, *query, &hits));
        }
    }
    times.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        reason = "shares of counts far below 2^52"
    )]
    let share = |part: usize, all: usize| {
        if all == 0 {
            0.0
        } else {
            part as f64 / all as f64
        }
    };
    Ok(Facts {
        vectors: collection.count(),
        dimension: digits.dimension,
        queries: queries.len(),
        recall: share(found, wanted),
        accuracy: share(right, queries.len()),
        insert_time,
        search_time: times.get(times.len() / 2).copied().unwrap_or_default(),
        example,
    })
}

/// Positions of the nearest others: a filter leaves the vector itself out.
fn nearest(
    collection: &VectorCollection,
    query: usize,
    vector: &[f32],
) -> Result<Vec<(usize, f64)>> {
    let others = Filter::ne("id", number(query));
    let search = Search::new(vector, NEIGHBOURS)
        .filter(others)
        .select(["label"]);
    let found = collection.search(&search)?;
    let hits = found
        .hits
        .into_iter()
        .filter_map(|hit| Some((position(&hit.id)?, hit.distance)));
    Ok(hits.collect())
}

fn number(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn position(id: &RecordId) -> Option<usize> {
    usize::try_from(id.values().first()?.as_int()?).ok()
}

/// How many of the hits are among the true nearest, and how many of those there are: computed here by
/// itself from the data as read, with no part of the database.
fn count_true(
    digits: &Digits,
    query: usize,
    vector: &[f32],
    hits: &[(usize, f64)],
) -> (usize, usize) {
    let distance = |other: &[f32]| -> f64 {
        let pairs = vector.iter().zip(other);
        pairs
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum()
    };
    let rows = digits
        .rows
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != query);
    let mut all: Vec<f64> = rows.map(|(_, (other, _))| distance(other)).collect();
    let wanted = NEIGHBOURS.min(all.len());
    let Some(last) = wanted.checked_sub(1) else {
        return (0, 0);
    };
    // Of several at the same distance, any will do.
    let (_, bound, _) = all.select_nth_unstable_by(last, f64::total_cmp);
    let bound = *bound;
    let near = hits.iter().filter(|(at, _)| {
        let other = digits.rows.get(*at).filter(|_| *at != query);
        other.is_some_and(|(other, _)| distance(other) <= bound)
    });
    (near.count().min(wanted), wanted)
}

/// The label of most hits; of equally frequent ones, the nearest hit's.
fn vote(digits: &Digits, hits: &[(usize, f64)]) -> Option<Value> {
    let labels = || {
        hits.iter()
            .filter_map(|(at, _)| digits.rows.get(*at))
            .map(|(_, label)| label)
    };
    let count = |label: &Value| labels().filter(|other| *other == label).count();
    // Of equals the last is taken, so they come farthest first.
    let farthest_first: Vec<&Value> = labels().collect();
    farthest_first
        .into_iter()
        .rev()
        .max_by_key(|label| count(label))
        .cloned()
}

fn look(digits: &Digits, query: usize, hits: &[(usize, f64)]) -> Example {
    let row = |at: usize| {
        let row = digits.rows.get(at);
        row.map(|(vector, label)| (label.to_string(), vector.clone()))
            .unwrap_or_default()
    };
    let (label, vector) = row(query);
    let hits = hits.iter().map(|(at, distance)| {
        let (label, vector) = row(*at);
        (label, *distance, vector)
    });
    Example {
        label,
        vector,
        hits: hits.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(labels: &[&str]) -> Digits {
        let rows = labels.iter().zip(0_u8..);
        Digits {
            dimension: 1,
            rows: rows
                .map(|(label, x)| (vec![f32::from(x)], Value::from(*label)))
                .collect(),
        }
    }

    #[test]
    fn hits_that_are_not_the_nearest_do_not_count() {
        let digits = line(&["a"; 30]);
        let near: Vec<(usize, f64)> = (1..=10).map(|at| (at, 0.0)).collect();
        assert_eq!(count_true(&digits, 0, &[0.0], &near), (10, 10));
        let far: Vec<(usize, f64)> = (6..=15).map(|at| (at, 0.0)).collect();
        assert_eq!(count_true(&digits, 0, &[0.0], &far), (5, 10));
        assert_eq!(
            count_true(&digits, 0, &[0.0], &[(0, 0.0)]),
            (0, 10),
            "not itself"
        );
    }

    #[test]
    fn the_majority_decides_and_then_the_nearest() {
        let digits = line(&["a", "b", "b", "c"]);
        let vote = |hits: &[usize]| {
            let hits: Vec<(usize, f64)> = hits.iter().map(|at| (*at, 0.0)).collect();
            vote(&digits, &hits).unwrap()
        };
        assert_eq!(vote(&[0, 1, 2]), "b".into());
        assert_eq!(vote(&[3, 0]), "c".into());
        assert_eq!(vote(&[0, 3]), "a".into());
    }

    #[test]
    fn search_and_truth_agree_on_whole_data() {
        let labels: Vec<&str> = (0..40)
            .map(|at| if at < 20 { "low" } else { "high" })
            .collect();
        let facts = run(&line(&labels)).unwrap();
        assert_eq!((facts.vectors, facts.dimension, facts.queries), (40, 1, 40));
        assert!((facts.recall - 1.0).abs() < 1e-9);
        assert!(facts.accuracy > 0.9 && facts.accuracy <= 1.0);
    }
}
