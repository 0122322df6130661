//! [`Route`]: some columns, how they are read as numbers, and the steps that those go through.

use std::collections::HashMap;
use std::ops::Range;

use common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::OUTPUTS_MAX;
use crate::transform::check::width;
use crate::transform::{DateParts, Encoder, Hasher, Matrix, Steps};

/// One fitted route.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) source: Source,
    pub(super) steps: Steps,
    /// Where the columns are among those of their kind.
    at: Vec<usize>,
    /// Whether they are numbers that stand side by side.
    neighbours: bool,
    /// Where in a row that comes out the numbers of this route are.
    pub(super) out: Range<usize>,
}

/// How the columns of a route are read as numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Source {
    /// They are numbers.
    Numbers,
    /// They are texts, each with an encoder of its own.
    Encode(Vec<Encoder>),
    /// They are texts, counted in the same buckets.
    Hash(Hasher),
    /// They are times.
    Dates(DateParts),
}

/// Some rows of a batch.
pub(super) struct Batch<'a> {
    pub(super) numbers: Matrix<'a, f64>,
    pub(super) texts: &'a [&'a [Option<&'a str>]],
    pub(super) rows: Range<usize>,
}

/// Numbers on their way, kept from block to block.
#[derive(Default)]
pub(super) struct Room {
    read: Vec<f64>,
    made: Vec<f64>,
}

impl Source {
    fn takes_texts(&self) -> bool {
        matches!(self, Self::Encode(_) | Self::Hash(_))
    }

    /// How many numbers `columns` columns are read as.
    pub(super) fn outputs(&self, columns: usize) -> Result<usize> {
        let too_many = || Error::limit_exceeded(format!("more than {OUTPUTS_MAX} numbers a row"));
        let outputs = match self {
            Self::Numbers => Some(columns),
            Self::Encode(encoders) => {
                super::count("encoders", encoders.len(), columns)?;
                let mut sizes = encoders.iter().map(Encoder::outputs);
                sizes.try_fold(0_usize, usize::checked_add)
            }
            Self::Hash(hasher) => Some(hasher.outputs()),
            Self::Dates(dates) => dates.outputs().checked_mul(columns),
        };
        let outputs = outputs.filter(|outputs| *outputs <= OUTPUTS_MAX);
        outputs.ok_or_else(too_many)
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Numbers => Ok(()),
            Self::Encode(encoders) => encoders.iter().try_for_each(Encoder::check),
            Self::Hash(hasher) => hasher.check(),
            Self::Dates(dates) => dates.check(),
        }
    }

    fn names(&self, columns: &[String]) -> Vec<String> {
        match self {
            Self::Numbers => columns.to_vec(),
            Self::Encode(encoders) => {
                let columns = encoders.iter().zip(columns);
                columns
                    .flat_map(|(encoder, name)| encoder.names(name))
                    .collect()
            }
            Self::Hash(hasher) => {
                let buckets = 0..hasher.outputs();
                let columns = columns.join("_");
                buckets.map(|at| format!("{columns}_{at}")).collect()
            }
            Self::Dates(dates) => columns.iter().flat_map(|name| dates.names(name)).collect(),
        }
    }
}

impl Route {
    pub(super) fn new(name: String, columns: Vec<String>, source: Source, steps: Steps) -> Self {
        Self {
            name,
            columns,
            source,
            steps,
            at: Vec::new(),
            neighbours: false,
            out: 0..0,
        }
    }

    /// Finds its columns, and checks that everything fits; answers where the numbers end that begin at `start`.
    pub(super) fn place(&mut self, known: &Known<'_>, start: usize) -> Result<usize> {
        self.source.check()?;
        self.at = known.positions(&self.columns, self.source.takes_texts())?;
        let mut windows = self.at.array_windows();
        self.neighbours =
            matches!(self.source, Source::Numbers) && windows.all(|[a, b]| a + 1 == *b);
        let read = self.source.outputs(self.columns.len())?;
        width("what is read", read, self.steps.columns())?;
        let end = start.saturating_add(self.steps.outputs());
        if end > OUTPUTS_MAX {
            return Err(Error::limit_exceeded(format!(
                "{end} numbers a row, but the limit is {OUTPUTS_MAX}"
            )));
        }
        self.out = start..end;
        Ok(end)
    }

    pub(super) fn takes_texts(&self) -> bool {
        self.source.takes_texts()
    }

    pub(super) const fn takes_times(&self) -> bool {
        matches!(self.source, Source::Dates(_))
    }

    /// Whether there are texts, or missing ones, for which it refuses a row.
    pub(super) fn may_refuse(&self) -> bool {
        match &self.source {
            Source::Encode(encoders) => encoders.iter().any(Encoder::may_refuse),
            Source::Numbers | Source::Hash(_) | Source::Dates(_) => false,
        }
    }

    /// Where its columns are among those of their kind.
    pub(super) fn positions(&self) -> &[usize] {
        &self.at
    }

    /// The columns, if they are numbers side by side.
    pub(super) fn neighbours(&self) -> Option<Range<usize>> {
        let first = self.at.first().filter(|_| self.neighbours)?;
        Some(*first..first + self.at.len())
    }

    pub(super) fn names(&self) -> Vec<String> {
        let names = self.steps.names(&self.source.names(&self.columns));
        let names = names.iter().map(|name| format!("{}__{name}", self.name));
        names.collect()
    }

    /// Reads one row of its columns as numbers.
    #[inline]
    fn read<'a>(
        &self,
        number: impl Fn(usize) -> Option<f64>,
        text: impl Fn(usize) -> Option<&'a str>,
        out: &mut [f64],
    ) -> Result<()> {
        let at = &self.at;
        let named = |name: &String, e: Error| e.at(format!("column {name:?}"));
        match &self.source {
            Source::Numbers => {
                for (to, at) in out.iter_mut().zip(at) {
                    *to = number(*at).unwrap_or(f64::NAN);
                }
                Ok(())
            }
            Source::Encode(encoders) => {
                let mut rest = out;
                for ((encoder, at), name) in encoders.iter().zip(at).zip(&self.columns) {
                    let (to, after) = rest.split_at_mut(encoder.outputs().min(rest.len()));
                    let made = encoder.transform(text(*at), to);
                    made.map_err(|e| named(name, e))?;
                    rest = after;
                }
                Ok(())
            }
            Source::Hash(hasher) => hasher.transform(at.iter().filter_map(|at| text(*at)), out),
            Source::Dates(dates) => {
                let places = out.chunks_exact_mut(dates.outputs().max(1));
                for ((to, at), name) in places.zip(at).zip(&self.columns) {
                    let made = dates.transform(number(*at).unwrap_or(f64::NAN), to);
                    made.map_err(|e| named(name, e))?;
                }
                Ok(())
            }
        }
    }

    /// Transforms one row into the places of this route in `out`.
    #[inline]
    pub(super) fn transform_row(
        &self,
        numbers: &[f64],
        texts: &[Option<&str>],
        out: &mut [f64],
    ) -> Result<()> {
        let out = out.get_mut(self.out.clone()).unwrap_or_default();
        if let Some(columns) = self.neighbours() {
            let row = numbers.get(columns).unwrap_or_default();
            return self.steps.transform_row(row, out);
        }
        let number = |at: usize| numbers.get(at).copied();
        let text = |at: usize| texts.get(at).copied().flatten();
        if self.steps.keep_width() {
            self.read(number, text, out)?;
            return self.steps.transform_in_place(out);
        }
        let mut read = vec![0.0; self.steps.columns()];
        self.read(number, text, &mut read)?;
        self.steps.transform_row(&read, out)
    }

    /// Transforms some rows into the places of this route in rows of `outputs` numbers.
    pub(super) fn transform(
        &self,
        batch: &Batch<'_>,
        out: &mut [f64],
        outputs: usize,
        room: &mut Room,
    ) -> Result<()> {
        let rows = batch.rows.clone();
        if self.steps.steps().is_empty() {
            return self.read_rows(batch, out, (outputs, self.out.start));
        }
        let Room { read, made } = room;
        let from = if let Some(columns) = self.neighbours() {
            batch.numbers.part(rows, columns)
        } else {
            read.resize(rows.len() * self.steps.columns(), 0.0);
            self.read_rows(batch, read, (self.steps.columns(), 0))?;
            Matrix::new(read, self.steps.columns())?
        };
        made.resize(from.rows() * self.out.len(), 0.0);
        self.steps.transform(from, made)?;
        let rows = out.chunks_exact_mut(outputs.max(1));
        for (row, made) in rows.zip(made.chunks_exact(self.out.len().max(1))) {
            if let Some(place) = row.get_mut(self.out.clone()) {
                place.copy_from_slice(made);
            }
        }
        Ok(())
    }

    /// Reads some rows of the columns as numbers, from `start` on in each row of `stride` numbers.
    fn read_rows(
        &self,
        batch: &Batch<'_>,
        out: &mut [f64],
        (stride, start): (usize, usize),
    ) -> Result<()> {
        let at_row = |row: usize, e: Error| e.at(format!("row {row}"));
        if let Source::Encode(encoders) = &self.source {
            // Column by column: the table of one encoder stays in the cache.
            let mut start = start;
            for ((encoder, at), name) in encoders.iter().zip(&self.at).zip(&self.columns) {
                let texts = batch
                    .texts
                    .get(*at)
                    .and_then(|all| all.get(batch.rows.clone()));
                let texts = texts.unwrap_or_default();
                let places = start..start + encoder.outputs();
                let rows = out.chunks_exact_mut(stride.max(1)).zip(texts);
                for (row, (to, text)) in batch.rows.clone().zip(rows) {
                    let place = to.get_mut(places.clone()).unwrap_or_default();
                    encoder
                        .transform(*text, place)
                        .map_err(|e| at_row(row, e.at(format!("column {name:?}"))))?;
                }
                start = places.end;
            }
            return Ok(());
        }
        let places = start..start + self.steps.columns();
        for (row, to) in batch.rows.clone().zip(out.chunks_exact_mut(stride.max(1))) {
            let numbers = batch.numbers.part(row..row + 1, 0..batch.numbers.columns());
            let numbers = numbers.iter().next().unwrap_or_default();
            let number = |at: usize| numbers.get(at).copied();
            let text = |at: usize| batch.texts.get(at)?.get(row).copied().flatten();
            let place = to.get_mut(places.clone()).unwrap_or_default();
            self.read(number, text, place).map_err(|e| at_row(row, e))?;
        }
        Ok(())
    }
}

/// Where each column is: whether among the texts, and at which place there.
pub(super) struct Known<'a>(HashMap<&'a str, (bool, usize)>);

impl<'a> Known<'a> {
    pub(super) fn new(numbers: &'a [String], texts: &'a [String]) -> Self {
        let of = |names: &'a [String], are_texts: bool| {
            let names = names.iter().enumerate();
            names.map(move |(at, name)| (name.as_str(), (are_texts, at)))
        };
        Self(of(numbers, false).chain(of(texts, true)).collect())
    }

    /// Where columns of one kind are.
    pub(super) fn positions(&self, columns: &[String], texts_wanted: bool) -> Result<Vec<usize>> {
        if columns.is_empty() {
            return Err(Error::invalid("it has no column"));
        }
        let place = |name: &String| match self.0.get(name.as_str()) {
            Some((are_texts, at)) if *are_texts == texts_wanted => Ok(*at),
            Some((true, _)) => Err(Error::invalid(format!(
                "column {name:?} is texts, but numbers belong here"
            ))),
            Some((false, _)) => Err(Error::invalid(format!(
                "column {name:?} is numbers, but texts belong here"
            ))),
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no column {name:?}"),
            )),
        };
        columns.iter().map(place).collect()
    }
}
