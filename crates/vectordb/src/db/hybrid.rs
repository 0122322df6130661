//! [`Hybrid`]: several searches of one collection, fused into one ranking.

use std::cmp::Ordering;

use common::query::Filter;
use common::transform::{Pipeline, Rejection};
use common::{Error, Record, RecordId, Result, Row, Seq, Text};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::collection::VectorCollection;
use super::run::{Checked, apply, payload};
use super::search::Search;
use crate::indexing::{Explanation, check_k};

/// Most searches that are fused.
const PARTS_MAX: usize = 64;
/// The constant of reciprocal-rank fusion.
const RRF_K: f64 = 60.0;

/// Several searches of one collection whose hits become one ranking: by dense and by sparse vectors, or by several
/// columns of vectors.
///
/// ```
/// use vectordb::{
///     CollectionOptions, Hybrid, Metric, Search, SparseOptions, VectorDb, VectorOptions, Vectors,
/// };
/// let db = VectorDb::new();
/// let options = CollectionOptions::new()
///     .vectors(VectorOptions::new(2, Metric::Cosine).column("meaning"))
///     .sparse(SparseOptions::new("words"));
/// let texts = db.create_collection("texts", options, [])?;
/// for (id, meaning, word) in [(1, [1.0, 0.0], 5), (2, [0.8, 0.6], 9), (3, [0.0, 1.0], 9)] {
///     let vectors = Vectors::new().dense("meaning", meaning).sparse("words", [(word, 1.0)]);
///     texts.upsert(id, vectors, common::row! {})?;
/// }
/// let hybrid = Hybrid::new(2)
///     .part(Search::new([0.9, 0.1], 10).on("meaning"))
///     .part(Search::sparse([(9, 1.0)], 10).on("words"));
/// // Second by its meaning and first by its words.
/// assert_eq!(texts.search_hybrid(&hybrid)?.hits[0].id, 2.into());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hybrid {
    /// The searches and their weights, none negative. Each finds candidates by its own `k`; what a search selects and
    /// its pipeline play no part.
    pub parts: Vec<(Search, f64)>,
    /// How many hits: 1 to [`crate::SEARCH_K_MAX`].
    pub k: usize,
    /// How the rankings become one.
    pub fusion: Fusion,
    /// Which rows are candidates of any part, beside the filter of the part itself.
    pub filter: Option<Filter>,
    /// Which columns hits carry; all metadata, and no vector, if none.
    pub select: Option<Vec<Text>>,
    /// What is done to the rows of hits, in order of their scores.
    pub pipeline: Option<Pipeline<Row>>,
}

/// How several rankings become one.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Fusion {
    /// Adds `weight / (k + rank)` over the rankings that have a row, ranks from 1. Distances play no part, so that they
    /// need not be comparable. Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and
    /// individual rank learning methods", SIGIR 2009.
    ReciprocalRank {
        /// How little the first ranks stand out; 60 by default, at least 0.
        k: f64,
    },
    /// Adds `weight` times a row's nearness in each ranking: 1 for the nearest of the ranking and 0 for its farthest, in
    /// proportion to the distance between; 1 for all where all are as far. A ranking without the row adds 0.
    WeightedSum,
}

impl Default for Fusion {
    fn default() -> Self {
        Self::ReciprocalRank { k: RRF_K }
    }
}

impl Hybrid {
    /// The `k` best by reciprocal rank, of no search yet.
    pub fn new(k: usize) -> Self {
        Self {
            parts: Vec::new(),
            k,
            fusion: Fusion::default(),
            filter: None,
            select: None,
            pipeline: None,
        }
    }

    /// Adds a search, of weight 1.
    #[must_use]
    pub fn part(self, search: Search) -> Self {
        self.weighted(search, 1.0)
    }

    /// Adds a search with a weight.
    #[must_use]
    pub fn weighted(mut self, search: Search, weight: f64) -> Self {
        self.parts.push((search, weight));
        self
    }

    /// Sets how the rankings become one.
    #[must_use]
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// Only rows that pass the filter are candidates of any part.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Hits carry these columns.
    #[must_use]
    pub fn select<N: Into<Text>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.select = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// The rows of hits go through this pipeline.
    #[must_use]
    pub fn pipeline(mut self, pipeline: Pipeline<Row>) -> Self {
        self.pipeline = Some(pipeline);
        self
    }

    fn check(&self) -> Result<()> {
        check_k(self.k)?;
        if self.parts.is_empty() {
            return Err(Error::invalid("a hybrid search has at least one part"));
        }
        if self.parts.len() > PARTS_MAX {
            return Err(Error::limit_exceeded(format!(
                "a hybrid search has at most {PARTS_MAX} parts, not {}",
                self.parts.len()
            )));
        }
        let wrong = |weight: &f64| !weight.is_finite() || *weight < 0.0;
        if let Some((_, weight)) = self.parts.iter().find(|(_, weight)| wrong(weight)) {
            return Err(Error::invalid(format!(
                "the weight of a part is a number of at least 0, not {weight}"
            )));
        }
        match self.fusion {
            Fusion::ReciprocalRank { k } if !k.is_finite() || k < 0.0 => Err(Error::invalid(
                format!("`k` of reciprocal-rank fusion is a number of at least 0, not {k}"),
            )),
            _ => Ok(()),
        }
    }

    /// The search of a part, with the filter of the whole.
    fn search(&self, part: &Search) -> Search {
        let mut search = part.clone();
        if let Some(filter) = &self.filter {
            search.filter = Some(match search.filter {
                Some(own) => own.and(filter.clone()),
                None => filter.clone(),
            });
        }
        search
    }
}

/// What a hybrid search found.
#[derive(Debug)]
pub struct Fused {
    /// The state of the collection that was searched: that of this commit, by all parts.
    pub seq: Seq,
    /// The best rows, best first; those of the same score in the order of their ids.
    pub hits: Vec<FusedHit>,
    /// Hits whose row a step of the pipeline could not take; `item` is the rank, 0 for the best.
    pub rejected: Vec<Rejection>,
}

/// A row that was found by some of several searches.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedHit {
    /// Its id.
    pub id: RecordId,
    /// What the fusion gives it; the greater, the better.
    pub score: f64,
    /// For each part, how it ranks the row; `None` if it did not find it.
    pub places: Vec<Option<Place>>,
    /// The selected columns, after the pipeline.
    pub row: Row,
}

/// Where a row is in one of the rankings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// 1 for the nearest.
    pub rank: usize,
    /// How far it is by the metric of the part's column.
    pub distance: f64,
}

/// A row that some parts found.
struct Candidate<'r> {
    record: &'r Record,
    places: Vec<Option<Place>>,
    score: f64,
}

impl VectorCollection {
    /// Runs several searches of one state and fuses their rankings. Cost: that of the searches.
    ///
    /// # Errors
    /// As [`VectorCollection::search`] for the first part that is wrong, with its number, from 0, in front;
    /// [`common::ErrorKind::Invalid`] without parts and for a negative weight; [`common::ErrorKind::LimitExceeded`] beyond
    /// 64 parts.
    pub fn search_hybrid(&self, hybrid: &Hybrid) -> Result<Fused> {
        self.fuse(hybrid).map(|(fused, _)| fused)
    }

    /// Runs a hybrid search and tells how each part was answered.
    ///
    /// # Errors
    /// As [`VectorCollection::search_hybrid`].
    pub fn explain_hybrid(&self, hybrid: &Hybrid) -> Result<Vec<Explanation>> {
        self.fuse(hybrid).map(|(_, explanations)| explanations)
    }

    fn fuse(&self, hybrid: &Hybrid) -> Result<(Fused, Vec<Explanation>)> {
        hybrid.check().map_err(|error| self.place(error))?;
        let columns = self.columns(hybrid.select.as_deref())?;
        let at = |part: usize| move |error: Error| error.at(format!("part {part}"));
        let searches: Vec<Search> = hybrid.parts.iter().map(|(s, _)| hybrid.search(s)).collect();
        let checked = searches.iter().enumerate();
        let checked = checked.map(|(part, search)| self.check(search).map_err(at(part)));
        let checked: Vec<Checked> = checked.collect::<Result<_>>()?;
        let parts = || checked.iter().zip(&searches);
        let rows: Vec<_> = parts()
            .filter_map(|(checked, search)| checked.row(search))
            .collect();
        let state = self.indexed(&rows)?;

        let mut candidates: HashMap<RecordId, Candidate<'_>> = HashMap::new();
        let mut explanations = Vec::with_capacity(searches.len());
        for (part, (checked, search)) in parts().enumerate() {
            let view = state.column(checked.column)?;
            let ranked = self
                .run(search, checked, view, state.seq)
                .map_err(at(part))?;
            explanations.push(ranked.explanation);
            for (rank, neighbour) in (1..).zip(ranked.neighbours) {
                let Some(record) = view.record(neighbour.slot) else {
                    continue;
                };
                let candidate = match candidates.entry(record.id()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(Candidate {
                        record,
                        places: vec![None; searches.len()],
                        score: 0.0,
                    }),
                };
                if let Some(place) = candidate.places.get_mut(part) {
                    *place = Some(Place {
                        rank,
                        distance: neighbour.distance,
                    });
                }
            }
        }
        let mut best: Vec<Candidate<'_>> = candidates.into_values().collect();
        score(hybrid, &mut best);
        let order = |a: &Candidate<'_>, b: &Candidate<'_>| -> Ordering {
            let by_score = b.score.total_cmp(&a.score);
            by_score.then_with(|| a.record.key().cmp(b.record.key()))
        };
        best.sort_by(order);
        best.truncate(hybrid.k);
        let rows = best
            .iter()
            .map(|found| payload(found.record, &columns))
            .collect();
        let outcome = apply(hybrid.pipeline.as_ref(), rows)?;
        let hits = outcome.items.into_iter().zip(outcome.origins);
        let hits = hits.filter_map(|(row, origin)| {
            let found = best.get(origin)?;
            Some(FusedHit {
                id: found.record.id(),
                score: found.score,
                places: found.places.clone(),
                row,
            })
        });
        let fused = Fused {
            seq: state.seq,
            hits: hits.collect(),
            rejected: outcome.rejected,
        };
        Ok((fused, explanations))
    }
}

/// Gives each candidate its score.
fn score(hybrid: &Hybrid, candidates: &mut [Candidate<'_>]) {
    for (part, (_, weight)) in hybrid.parts.iter().enumerate() {
        let place = |c: &Candidate<'_>| c.places.get(part).copied().flatten();
        let distances = || candidates.iter().filter_map(place).map(|p| p.distance);
        let nearest = distances().fold(f64::INFINITY, f64::min);
        let farthest = distances().fold(f64::NEG_INFINITY, f64::max);
        for candidate in &mut *candidates {
            let Some(place) = place(candidate) else {
                continue;
            };
            candidate.score += weight
                * match hybrid.fusion {
                    #[expect(clippy::cast_precision_loss, reason = "a rank is at most 2^20")]
                    Fusion::ReciprocalRank { k } => 1.0 / (k + place.rank as f64),
                    Fusion::WeightedSum if farthest > nearest => {
                        (farthest - place.distance) / (farthest - nearest)
                    }
                    Fusion::WeightedSum => 1.0,
                };
        }
    }
}
