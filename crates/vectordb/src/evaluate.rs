//! How good the answers are: recall against exact search, accuracy of labels by neighbours.
//!
//! The truth is computed here by itself, in 64-bit floats from the vectors as they were given, with no part of
//! the index.

use common::{Error, RecordId, Result, Value};

use crate::core::distance::{Metric, PreparedVector};
use crate::core::floats;
use crate::indexing::{Effort, IndexedTable, Scan, Wanted};
use crate::{Search, VectorCollection};

/// The distance of two vectors as given, in 64-bit floats: the textbook formula.
///
/// Not finite where the metric is not defined, as for the cosine of a zero vector.
pub fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let dot = || pairs().map(|(a, b)| a * b).sum::<f64>();
    let squares = || pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let count = |pick: fn(bool, bool) -> bool| {
        let bits = pairs().filter(|(a, b)| pick(*a > 0.0, *b > 0.0));
        bits.map(|_| 1.0).sum::<f64>()
    };
    match metric {
        Metric::Euclidean => squares().sqrt(),
        Metric::SquaredEuclidean => squares(),
        Metric::Cosine => {
            let norm = |v: &[f32]| {
                v.iter()
                    .map(|x| f64::from(*x) * f64::from(*x))
                    .sum::<f64>()
                    .sqrt()
            };
            1.0 - dot() / (norm(a) * norm(b))
        }
        Metric::Dot => -dot(),
        Metric::Manhattan => pairs().map(|(a, b)| (a - b).abs()).sum(),
        Metric::Chebyshev => pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        Metric::Hamming => count(|a, b| a != b),
        Metric::Jaccard => match count(|a, b| a || b) {
            0.0 => 0.0,
            either => 1.0 - count(|a, b| a && b) / either,
        },
    }
}

/// The `k` nearest rows by [`distance`], nearest first, equals by id: a full scan of the table, without the index.
///
/// # Errors
/// [`common::ErrorKind::Invalid`] when the query is of another dimension; otherwise only with a storage that
/// can fail.
pub fn nearest(
    collection: &VectorCollection,
    query: &[f32],
    k: usize,
) -> Result<Vec<(RecordId, f64)>> {
    let options = collection.options().vectors_of(None)?;
    if query.len() != options.dimension {
        return Err(Error::invalid(format!(
            "the query has {} dimensions, the collection {}",
            query.len(),
            options.dimension
        )));
    }
    let column = collection.schema().position_of(&options.column)?;
    let snapshot = collection.table().database().snapshot();
    let mut all: Vec<(RecordId, f64)> = Vec::new();
    snapshot.view().scan(collection.table(), &mut |records| {
        for record in records {
            let vector = record.get(column).and_then(|v| floats(v.as_vector()?));
            let distance = vector.map(|vector| distance(options.metric, query, &vector));
            all.extend(distance.filter(|d| d.is_finite()).map(|d| (record.id(), d)));
        }
        std::ops::ControlFlow::Continue(())
    })?;
    all.sort_by(|(a_id, a), (b_id, b)| a.total_cmp(b).then_with(|| a_id.cmp(b_id)));
    all.truncate(k);
    Ok(all)
}

/// Recall at `k`: which share of the true `k` nearest rows the collection's own search finds, averaged over
/// the queries. 1 is perfect.
///
/// A row as near as the `k`-th true one, to within a millionth, counts as found: which of several rows at the
/// same distance come back is no matter of quality.
///
/// Cost: a full scan for each query.
///
/// # Errors
/// As [`VectorCollection::search`]; [`common::ErrorKind::Invalid`] without queries.
pub fn recall<V: AsRef<[f32]>>(
    collection: &VectorCollection,
    queries: impl IntoIterator<Item = V>,
    k: usize,
) -> Result<f64> {
    let metric = collection.options().vectors_of(None)?.metric;
    let mut mean = Share::default();
    for query in queries {
        let query = query.as_ref();
        let truth = nearest(collection, query, k)?;
        let bound = truth
            .last()
            .map_or(0.0, |(_, d)| d + 1e-6 * d.abs().max(1e-6));
        let found = collection.search(&Search::new(query, k).select(Vec::<&str>::new()))?;
        let right = found.hits.iter().filter(|hit| {
            let vector = collection.vector(hit.id.clone());
            vector.is_some_and(|vector| distance(metric, query, &vector) <= bound)
        });
        mean.count(right.count().min(truth.len()), truth.len());
    }
    mean.get()
}

/// Recall at `k` of a table's index: which share of the true `k` nearest vectors a search of this effort finds, averaged
/// over the queries. Vectors as near as the `k`-th true one count as found.
///
/// The truth is a scan of the vectors as the table keeps them, on so many threads, each fetched once for all queries.
///
/// ```
/// use vectordb::core::Precision;
/// use vectordb::{Effort, IndexOptions, IndexedTable, Metric, evaluate};
/// let mut table = IndexedTable::new(&IndexOptions::Exact, Metric::Euclidean, Precision::F32, 1)?;
/// table.insert(&[0.5])?;
/// let queries = [table.query(&[0.0])?];
/// assert_eq!(evaluate::indexed_recall(&table, &queries, 1, Effort::Usual, 1)?, 1.0);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// As [`IndexedTable::search`]; [`common::ErrorKind::Invalid`] without queries.
pub fn indexed_recall(
    table: &IndexedTable,
    queries: &[PreparedVector],
    k: usize,
    effort: Effort,
    threads: usize,
) -> Result<f64> {
    let found = table.search_each(queries, &Wanted::new(k).effort(effort), threads)?;
    let mut scan = Scan::new(table.rows(), table.index().metric())?;
    scan.threads = threads;
    let mut mean = Share::default();
    let truth = scan.nearest_to_each(queries, k, &|a, b| a.cmp(&b));
    for (found, truth) in found.iter().zip(truth) {
        let bound = truth.last().map_or(0.0, |worst| worst.distance);
        let right = found.iter().filter(|hit| hit.distance <= bound);
        mean.count(right.count(), truth.len());
    }
    mean.get()
}

/// Which share of the queries gets its true label, when each is given the label that most of its `k` nearest
/// rows have (of equally frequent labels, the nearest row's).
///
/// ```
/// use common::schema::{Field, FieldType};
/// use common::row;
/// use vectordb::{evaluate, Metric, VectorDb, VectorOptions};
/// let db = VectorDb::new();
/// let kinds = [Field::new("kind", FieldType::Text)];
/// let things = db.create_collection("things", VectorOptions::new(1, Metric::Euclidean), kinds)?;
/// things.upsert(1, [0.0], row! { "kind": "small" })?;
/// things.upsert(2, [9.0], row! { "kind": "large" })?;
/// let accuracy = evaluate::label_accuracy(&things, "kind", [([1.0], "small".into()), ([2.0], "large".into())], 1)?;
/// assert_eq!(accuracy, 0.5);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// As [`VectorCollection::search`]; [`common::ErrorKind::Invalid`] without queries.
pub fn label_accuracy<V: AsRef<[f32]>>(
    collection: &VectorCollection,
    label: &str,
    queries: impl IntoIterator<Item = (V, Value)>,
    k: usize,
) -> Result<f64> {
    let mut share = Share::default();
    for (query, expected) in queries {
        let found = collection.search(&Search::new(query.as_ref(), k).select([label]))?;
        let mut votes: Vec<(&Value, usize)> = Vec::new();
        for value in found.hits.iter().filter_map(|hit| hit.row.get(label)) {
            match votes.iter_mut().find(|(known, _)| *known == value) {
                Some((_, count)) => *count += 1,
                None => votes.push((value, 1)),
            }
        }
        // `max_by_key` takes the last of equals; the nearest came first.
        let winner = votes.iter().rev().max_by_key(|(_, count)| *count);
        let is_right = winner.is_some_and(|(value, _)| **value == expected);
        share.count(usize::from(is_right), 1);
    }
    share.get()
}

#[derive(Default)]
struct Share {
    right: usize,
    all: usize,
    queries: usize,
}

impl Share {
    fn count(&mut self, right: usize, all: usize) {
        self.right += right;
        self.all += all;
        self.queries += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of queries")]
    fn get(&self) -> Result<f64> {
        match (self.queries, self.all) {
            (0, _) => Err(Error::invalid(
                "there is nothing to measure without queries",
            )),
            // Nothing was to be found, and nothing was missed.
            (_, 0) => Ok(1.0),
            (_, all) => Ok(self.right as f64 / all as f64),
        }
    }
}
