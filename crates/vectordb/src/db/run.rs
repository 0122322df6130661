//! How a search of a [`VectorCollection`] is checked, run and reported.

use std::time::{Duration, Instant};

use common::query::Predicate;
use common::transform::{Outcome, Pipeline};
use common::{Error, Record, RecordId, Result, Row, Seq, Text};

use super::collection::VectorCollection;
use super::column::ColumnView;
use super::search::{Found, Hit, Search, Target};
use crate::core::SlotSet;
use crate::indexing::{Explanation, Neighbour, check_k};

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
            Target::Vector(_) | Target::Sparse(_) => None,
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
            let (options, on) = (self.options(), search.on.as_deref());
            let name = match search.target {
                Target::Vector(_) => Some(&options.vectors_of(on)?.column),
                Target::Sparse(_) => Some(&options.sparse_of(on)?.column),
                Target::Row(_) => search.on.as_ref(),
            };
            let column = options.column_of(name.map(Text::as_str))?;
            Ok(Checked { column, predicate })
        };
        check().map_err(|error| self.place(error))
    }

    pub(super) fn run(
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
    let outcome = apply(search.pipeline.as_ref(), rows)?;
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

/// Rows after a pipeline, if there is one.
pub(super) fn apply(pipeline: Option<&Pipeline<Row>>, rows: Vec<Row>) -> Result<Outcome<Row>> {
    match pipeline {
        Some(pipeline) => pipeline.apply(rows),
        None => Pipeline::new().apply(rows),
    }
}

/// Some columns of a record.
pub(super) fn payload(record: &Record, columns: &[(usize, Text)]) -> Row {
    let values = columns
        .iter()
        .filter_map(|(at, name)| Some((name.clone(), record.get(*at)?.clone())));
    values.collect()
}
