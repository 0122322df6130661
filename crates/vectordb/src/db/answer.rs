//! How one column answers a search.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use common::query::Predicate;
use common::{Error, Record, Result, Seq, Slot, Vector};

use super::column::{ColumnView, VectorsView};
use super::dense::DenseView;
use super::run::{Matched, Ranked};
use super::search::{Search, Target};
use crate::core::distance::PreparedVector;
use crate::core::{SlotSet, floats};
use crate::indexing::{Answer, Explanation, Neighbour, Request, choose, in_order, product, spread};

/// What is asked of a column.
pub(super) struct Asked {
    pub(super) query: Query,
    /// The row itself, where the neighbours of a row are looked for.
    own: Option<Slot>,
}

/// A vector that is looked for, made ready.
pub(super) enum Query {
    Dense(PreparedVector),
    /// In order of positions.
    Sparse(Vec<(u32, f32)>),
}

/// How many rows a search compared beside an index, and what it allowed this.
#[derive(Default)]
pub(super) struct Account {
    pub(super) beside: usize,
    pub(super) effort: Option<usize>,
}

impl ColumnView {
    /// Slots of the rows that pass the filter.
    pub(super) fn matching(&self, predicate: &Predicate) -> SlotSet {
        let passing = self
            .records()
            .filter(|(_, record)| predicate.matches(record));
        passing.map(|(slot, _)| slot).collect()
    }

    /// The order of rows at the same distance: by id.
    pub(super) fn by_id(&self, a: Slot, b: Slot) -> Ordering {
        let key = |slot| self.record(slot).map(Record::key);
        key(a).cmp(&key(b))
    }

    /// Runs a search that was checked.
    pub(super) fn answer(&self, search: &Search, matched: Matched<'_>, seq: Seq) -> Result<Ranked> {
        let Asked { query, own } = self.asked(&search.target)?;
        let begin = Instant::now();
        let wanted = search.diversity.map_or(search.k, |d| d.candidates);
        let k = wanted + usize::from(own.is_some());
        let tie = |a, b| self.by_id(a, b);
        let (mut answer, account) = match (&self.vectors, &query) {
            (VectorsView::Dense(dense), Query::Dense(query)) => {
                let request = Request {
                    rows: &dense.rows,
                    metric: dense.options.metric,
                    query,
                    k,
                    filter: matched.slots,
                    tie: &tie,
                };
                let answered = dense.by_effort(search, &request)?;
                dense.check()?;
                answered
            }
            (VectorsView::Sparse(_, index), Query::Sparse(query)) => {
                let answer = index.search(query, k, matched.slots, &tie);
                (answer, Account::default())
            }
            _ => return Err(self.other_kind()),
        };
        let bound = search.within.unwrap_or(f64::INFINITY);
        let nearest = &mut answer.nearest;
        nearest.retain(|n| n.distance <= bound && Some(n.slot) != own);
        nearest.truncate(wanted);
        let candidates = nearest.len();
        if let Some(diversity) = search.diversity {
            *nearest = self.spread(nearest, search.k, diversity.lambda);
        }
        let mut ranked = self.ranked(answer, &account, matched, seq, begin.elapsed());
        ranked.explanation.reranked = search.diversity.map_or(0, |_| candidates);
        Ok(ranked)
    }

    /// An answer with the account of it.
    pub(super) fn ranked(
        &self,
        answer: Answer,
        account: &Account,
        matched: Matched<'_>,
        seq: Seq,
        search_time: Duration,
    ) -> Ranked {
        let explanation = Explanation {
            column: self.name().clone(),
            method: answer.method,
            seq,
            rows: self.len(),
            matched: matched.slots.map_or(self.len(), SlotSet::len),
            compared: answer.work.compared,
            visited: answer.work.ranked,
            beside: account.beside,
            effort: account.effort,
            reranked: 0,
            filter_time: matched.time,
            search_time,
        };
        Ranked {
            neighbours: answer.nearest,
            explanation,
        }
    }

    pub(super) fn asked(&self, target: &Target) -> Result<Asked> {
        let (own, query) = match target {
            Target::Vector(vector) => (None, self.dense_query(vector)?),
            Target::Sparse(elements) => {
                let VectorsView::Sparse(options, _) = &self.vectors else {
                    return Err(self.other_kind());
                };
                let elements = in_order(elements.clone(), options.dimension)?;
                (None, Query::Sparse(elements))
            }
            Target::Row(id) => {
                let (slot, vector) = self.find(id).ok_or_else(|| {
                    Error::not_found(format!(
                        "no row {id} with a vector in `{}`, of which neighbours could be found",
                        self.name()
                    ))
                })?;
                let query = match vector {
                    Vector::Sparse {
                        indices, values, ..
                    } => {
                        let elements = indices.iter().copied().zip(values.iter().copied());
                        Query::Sparse(elements.collect())
                    }
                    vector => self.dense_query(&floats(vector).unwrap_or_default())?,
                };
                (Some(slot), query)
            }
        };
        Ok(Asked { query, own })
    }

    fn dense_query(&self, vector: &[f32]) -> Result<Query> {
        let VectorsView::Dense(dense) = &self.vectors else {
            return Err(self.other_kind());
        };
        let (metric, dimension) = (dense.options.metric, dense.options.dimension);
        Ok(Query::Dense(metric.prepare_query(vector, dimension)?))
    }

    fn other_kind(&self) -> Error {
        Error::invalid(format!(
            "`{}` holds vectors of another kind, sparse or dense, than is looked for",
            self.name()
        ))
    }

    /// Those of the candidates that are near and unlike each other.
    fn spread(&self, candidates: &[Neighbour], k: usize, lambda: f64) -> Vec<Neighbour> {
        match &self.vectors {
            VectorsView::Dense(dense) => {
                spread(&dense.rows, dense.options.metric, candidates, k, lambda)
            }
            VectorsView::Sparse(..) => {
                let vectors = candidates.iter().map(|n| self.vector(n.slot));
                let vectors: Vec<Option<&Vector>> = vectors.collect();
                choose(candidates, k, lambda, |a, b| {
                    match (vectors.get(a), vectors.get(b)) {
                        (Some(Some(a)), Some(Some(b))) => 0.0 - product(a, b),
                        _ => 0.0,
                    }
                })
            }
        }
    }
}

impl DenseView {
    /// The nearest as the search wants them: a range, or at the effort that it gives or that its recall takes.
    fn by_effort(&self, search: &Search, request: &Request<'_>) -> Result<(Answer, Account)> {
        let effort = match (search.within, search.recall, search.effort) {
            (Some(distance), None, None) => {
                return Ok((self.within(request, distance), Account::default()));
            }
            (_, Some(recall), _) if !self.is_scan() => match self.effort_for(recall, search.k)? {
                Some(effort) => Some(effort),
                None => return Ok((self.scan(request), Account::default())),
            },
            (_, _, effort) => effort,
        };
        let (answer, beside) = self.search(request, effort);
        Ok((answer, Account { beside, effort }))
    }
}
