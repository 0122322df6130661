//! How a search of a [`VectorCollection`] is run.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use common::query::Predicate;
use common::{Error, Record, RecordId, Result, Row, Seq, Slot, Text};

use super::collection::VectorCollection;
use super::column::ColumnView;
use super::diverse::choose;
use super::search::{Diversity, Found, Hit, Search, Target};
use crate::core::SlotSet;
use crate::core::distance::PreparedVector;
use crate::indexing::{Answer, Explanation, Neighbour, Request, check_k};

/// Most candidates of a search for hits that differ.
const DIVERSE_CANDIDATES_MAX: usize = 1 << 14;

/// A search that fits the collection.
pub(super) struct Checked {
    /// Number of the column that is searched.
    pub(super) column: usize,
    pub(super) predicate: Option<Predicate>,
}

impl Checked {
    /// The row whose neighbours are looked for, if it is one.
    pub(super) fn row<'s>(&self, search: &'s Search) -> Option<(usize, &'s RecordId)> {
        match &search.target {
            Target::Row(id) => Some((self.column, id)),
            Target::Vector(_) => None,
        }
    }
}

/// What a search found before its rows are put together.
pub(super) struct Ranked {
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) explanation: Explanation,
}

/// The rows of a column that pass the filter, and the time that took.
#[derive(Clone, Copy)]
pub(super) struct Matched<'a> {
    pub(super) slots: Option<&'a SlotSet>,
    pub(super) time: Duration,
}

impl VectorCollection {
    /// The nearest rows, nearest first; rows at the same distance in the order of their ids.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a vector as [`Metric::prepare`](crate::Metric::prepare) says, for `k` of 0, for a filter
    /// that does not fit the columns, and when there are several columns of vectors and none is named;
    /// [`common::ErrorKind::NotFound`] for a column that there is not and for neighbours of a row that there is not;
    /// [`common::ErrorKind::LimitExceeded`] for `k` above [`crate::SEARCH_K_MAX`]; what a step of the pipeline
    /// fails with.
    pub fn search(&self, search: &Search) -> Result<Found> {
        let columns = self.columns(search.select.as_deref())?;
        let checked = self.check(search)?;
        let state = self.indexed(checked.row(search).as_slice())?;
        let view = state.column(checked.column)?;
        let ranked = self.run(search, &checked, view, state.seq)?;
        found(search, view, &columns, ranked)
    }

    /// Runs a search up to its neighbours and tells how: what the filter let through, what was compared.
    ///
    /// # Errors
    /// As [`VectorCollection::search`].
    pub fn explain(&self, search: &Search) -> Result<Explanation> {
        self.columns(search.select.as_deref())?;
        let checked = self.check(search)?;
        let state = self.indexed(checked.row(search).as_slice())?;
        let view = state.column(checked.column)?;
        Ok(self.run(search, &checked, view, state.seq)?.explanation)
    }

    /// Adds where an error happened.
    pub(super) fn place(&self, error: Error) -> Error {
        error.at(format!("search in `{}`", self.name()))
    }

    /// Checks what can be checked without the rows.
    pub(super) fn check(&self, search: &Search) -> Result<Checked> {
        self.check_open()?;
        let check = || {
            check_k(search.k)?;
            if search.within.is_some_and(f64::is_nan) {
                return Err(Error::invalid(
                    "the distance of a range search is not a number",
                ));
            }
            if let Some(recall) = search.recall
                && !(0.0..=1.0).contains(&recall)
            {
                return Err(Error::invalid(format!(
                    "the recall of a search is between 0 and 1, not {recall}"
                )));
            }
            if let Some(diversity) = search.diversity {
                diversity.check(search.k)?;
            }
            let predicate = match &search.filter {
                Some(filter) => Some(filter.compile(&self.schema())?),
                None => None,
            };
            let column = self.options().dense(search.on.as_deref())?;
            Ok(Checked { column, predicate })
        };
        check().map_err(|error| self.place(error))
    }

    fn run(
        &self,
        search: &Search,
        checked: &Checked,
        view: &ColumnView,
        seq: Seq,
    ) -> Result<Ranked> {
        let begin = Instant::now();
        let slots = checked.predicate.as_ref().map(|p| view.matching(p));
        let matched = Matched {
            slots: slots.as_ref(),
            time: begin.elapsed(),
        };
        let ranked = view.answer(search, matched, seq);
        ranked.map_err(|error| self.place(error))
    }

    /// Positions of the columns that hits carry: those selected, or all metadata.
    pub(super) fn columns(&self, select: Option<&[Text]>) -> Result<Vec<(usize, Text)>> {
        let schema = self.schema();
        match select {
            Some(names) => names
                .iter()
                .map(|name| Ok((schema.position_of(name)?, name.clone())))
                .collect(),
            None => {
                let fields = schema.fields.iter().enumerate().skip(schema.key_columns);
                Ok(fields
                    .filter(|(_, field)| self.options().columns().all(|c| *c != field.name))
                    .map(|(at, field)| (at, field.name.clone()))
                    .collect())
            }
        }
    }
}

impl Diversity {
    fn check(self, k: usize) -> Result<()> {
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

/// What is asked of a column.
pub(super) struct Asked {
    pub(super) query: PreparedVector,
    /// The row itself, where the neighbours of a row are looked for.
    pub(super) own: Option<Slot>,
}

impl ColumnView {
    /// Slots of the rows that pass the filter.
    pub(super) fn matching(&self, predicate: &Predicate) -> SlotSet {
        let passes = |slot: &Slot| {
            self.record(*slot)
                .is_some_and(|record| predicate.matches(record))
        };
        self.rows.slots().filter(passes).collect()
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
        let request = Request {
            rows: &self.rows,
            metric: self.options.metric,
            query: &query,
            k: wanted + usize::from(own.is_some()),
            filter: matched.slots,
            tie: &|a, b| self.by_id(a, b),
        };
        let (mut answer, effort) = match (search.within, search.recall, search.effort) {
            (Some(distance), None, None) => (self.index.within(&request, distance), None),
            _ => self.by_effort(search, &request)?,
        };
        let bound = search.within.unwrap_or(f64::INFINITY);
        let nearest = &mut answer.nearest;
        nearest.retain(|n| n.distance <= bound && Some(n.slot) != own);
        nearest.truncate(wanted);
        let candidates = nearest.len();
        if let Some(diversity) = search.diversity {
            *nearest = self.spread(nearest, search.k, diversity.lambda);
        }
        let mut ranked = self.ranked(answer, matched, seq, begin.elapsed());
        ranked.explanation.effort = effort;
        ranked.explanation.reranked = search.diversity.map_or(0, |_| candidates);
        Ok(ranked)
    }

    /// The nearest at the effort that the search gives or that its recall takes.
    fn by_effort(&self, search: &Search, request: &Request<'_>) -> Result<(Answer, Option<usize>)> {
        let effort = match search.recall {
            Some(recall) if !self.index.is_scan() => match self.effort_for(recall, search.k)? {
                Some(effort) => Some(effort),
                None => return Ok((self.index.scan(request), None)),
            },
            _ => search.effort,
        };
        Ok((self.index.search(request, effort), effort))
    }

    /// An answer with the account of it.
    pub(super) fn ranked(
        &self,
        answer: Answer,
        matched: Matched<'_>,
        seq: Seq,
        search_time: Duration,
    ) -> Ranked {
        let explanation = Explanation {
            column: self.options.column.clone(),
            method: answer.method,
            seq,
            rows: self.rows.len(),
            matched: matched.slots.map_or(self.rows.len(), SlotSet::len),
            compared: answer.work.compared,
            visited: answer.work.ranked,
            effort: None,
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
        let (metric, dimension) = (self.options.metric, self.options.dimension);
        match target {
            Target::Vector(vector) => Ok(Asked {
                query: metric.prepare_query(vector, dimension)?,
                own: None,
            }),
            Target::Row(id) => {
                let found = self.find(id).ok_or_else(|| {
                    Error::not_found(format!(
                        "no row {id} with a vector in `{}`, of which neighbours could be found",
                        self.options.column
                    ))
                });
                let (slot, vector) = found?;
                Ok(Asked {
                    query: metric.prepare_query(vector.as_f32().unwrap_or_default(), dimension)?,
                    own: Some(slot),
                })
            }
        }
    }

    /// Those of the candidates that are near and unlike each other.
    fn spread(&self, candidates: &[Neighbour], k: usize, lambda: f64) -> Vec<Neighbour> {
        let vectors: Vec<Vec<f32>> = candidates
            .iter()
            .map(|neighbour| {
                let mut vector = vec![0.0; self.rows.dimension()];
                self.rows.decode(neighbour.slot, &mut vector);
                vector
            })
            .collect();
        choose(candidates, k, lambda, |a, b| {
            match (vectors.get(a), vectors.get(b)) {
                (Some(a), Some(b)) => self.options.metric.distance(a, b),
                _ => 0.0,
            }
        })
    }
}

/// The rows of what was ranked, with the columns that the search selects, after its pipeline.
pub(super) fn found(
    search: &Search,
    view: &ColumnView,
    columns: &[(usize, Text)],
    ranked: Ranked,
) -> Result<Found> {
    let mut places = Vec::with_capacity(ranked.neighbours.len());
    let mut rows = Vec::with_capacity(ranked.neighbours.len());
    for neighbour in ranked.neighbours {
        let Some(record) = view.record(neighbour.slot) else {
            continue;
        };
        places.push((record.id(), neighbour.distance));
        rows.push(payload(record, columns));
    }
    let outcome = match &search.pipeline {
        Some(pipeline) => pipeline.apply(rows)?,
        None => common::transform::Pipeline::new().apply(rows)?,
    };
    let hits = outcome.items.into_iter().zip(outcome.origins);
    let hits = hits.filter_map(|(row, origin)| {
        let (id, distance) = places.get(origin)?.clone();
        Some(Hit { id, distance, row })
    });
    Ok(Found {
        seq: ranked.explanation.seq,
        hits: hits.collect(),
        rejected: outcome.rejected,
    })
}

/// Some columns of a record.
pub(super) fn payload(record: &Record, columns: &[(usize, Text)]) -> Row {
    let values = columns
        .iter()
        .filter_map(|(at, name)| Some((name.clone(), record.get(*at)?.clone())));
    values.collect()
}
