//! [`ColumnPlan`]: routes as they are declared, before training data say the rest.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::route::{Batch, Known, Room, Route, Source};
use super::{ColumnTransformer, check_batch};
use crate::transform::{
    DateParts, Encoder, Encoding, Hasher, Matrix, MissingText, Smoothing, StepPlan, Steps, Unknown,
};

/// A declaration of columns and their routes; [`ColumnPlan::fit`] makes a [`ColumnTransformer`] of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnPlan {
    /// Names of the columns of numbers (times among them), in the order in which they come.
    pub numbers: Vec<String>,
    /// Names of the columns of texts.
    pub texts: Vec<String>,
    /// The routes, in the order in which their numbers come out.
    pub routes: Vec<RoutePlan>,
}

/// The declaration of one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePlan {
    /// Its name, which begins the names of what it makes.
    pub name: String,
    /// The columns that it takes, in this order.
    pub columns: Vec<String>,
    /// How these are read as numbers.
    pub source: SourcePlan,
    /// What becomes of the numbers; nothing if there is no step.
    #[serde(default)]
    pub steps: Vec<StepPlan>,
}

/// How the columns of a route are read as numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SourcePlan {
    /// Columns of numbers, as they are.
    Numbers,
    /// Columns of texts, each by an encoder of its own: [`Encoder::fit`].
    Encode {
        /// How a category is written.
        encoding: Encoding,
        /// What becomes of a category that the fit has not seen.
        unknown: Unknown,
        /// What becomes of a missing text.
        missing: MissingText,
    },
    /// The same by the means of a target: [`Encoder::fit_target`].
    EncodeTarget {
        /// How much the mean of all weighs.
        smoothing: Smoothing,
        /// What becomes of a category that the fit has not seen.
        unknown: Unknown,
        /// What becomes of a missing text.
        missing: MissingText,
    },
    /// Columns of texts, counted in the same buckets by [`Hasher`]; missing texts are not counted. Columns whose texts
    /// are not to meet go on routes of their own.
    Hash {
        /// How many buckets.
        buckets: usize,
        /// Whether a half of the texts counts -1.
        signed: bool,
    },
    /// Columns of numbers that are times in microseconds since 1970.
    Dates(DateParts),
}

impl RoutePlan {
    /// A route without steps.
    pub fn new<N: Into<String>>(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = N>,
        source: SourcePlan,
    ) -> Self {
        Self {
            name: name.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            source,
            steps: Vec::new(),
        }
    }

    /// Adds a step.
    #[must_use]
    pub fn then(mut self, step: StepPlan) -> Self {
        self.steps.push(step);
        self
    }
}

impl ColumnPlan {
    /// A declaration of columns that are on no route yet.
    pub fn new<N: Into<String>, T: Into<String>>(
        numbers: impl IntoIterator<Item = N>,
        texts: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            numbers: numbers.into_iter().map(Into::into).collect(),
            texts: texts.into_iter().map(Into::into).collect(),
            routes: Vec::new(),
        }
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: RoutePlan) -> Self {
        self.routes.push(route);
        self
    }

    /// Fits every route on a batch of training data, given as [`ColumnTransformer::transform`] takes it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] or [`common::ErrorKind::NotFound`] for a declaration that makes no sense, data of
    /// another shape, and whatever a fit refuses, by route.
    pub fn fit(
        &self,
        numbers: Matrix<'_, f64>,
        texts: &[&[Option<&str>]],
    ) -> Result<ColumnTransformer> {
        self.fit_to(numbers, texts, None)
    }

    /// As [`ColumnPlan::fit`], with a target for the routes that encode by one.
    ///
    /// # Errors
    /// As [`ColumnPlan::fit`]; also for targets that are not finite or of another number.
    pub fn fit_target(
        &self,
        numbers: Matrix<'_, f64>,
        texts: &[&[Option<&str>]],
        target: &[f64],
    ) -> Result<ColumnTransformer> {
        self.fit_to(numbers, texts, Some(target))
    }

    fn fit_to(
        &self,
        numbers: Matrix<'_, f64>,
        texts: &[&[Option<&str>]],
        target: Option<&[f64]>,
    ) -> Result<ColumnTransformer> {
        check_batch(&self.numbers, &self.texts, numbers, texts)?;
        let batch = Batch {
            numbers,
            texts,
            rows: 0..numbers.rows(),
        };
        let known = Known::new(&self.numbers, &self.texts);
        let fit = |route: &RoutePlan| {
            route
                .fit(&known, &batch, target)
                .map_err(|e| e.at(format!("route {:?}", route.name)))
        };
        let routes = self.routes.iter().map(fit).collect::<Result<_>>()?;
        ColumnTransformer::assemble(self.numbers.clone(), self.texts.clone(), routes)
    }
}

impl RoutePlan {
    fn fit(&self, known: &Known<'_>, batch: &Batch<'_>, target: Option<&[f64]>) -> Result<Route> {
        let source = self.fit_source(known, batch, target)?;
        let columns = source.outputs(self.columns.len())?;
        let (name, names) = (self.name.clone(), self.columns.clone());
        let steps = Steps::new(columns, Vec::new())?;
        let mut route = Route::new(name, names, source, steps);
        route.place(known, 0)?;
        if !self.steps.is_empty() {
            let mut read = vec![0.0; batch.rows.len() * columns];
            route.transform(batch, &mut read, columns, &mut Room::default())?;
            route.steps = Steps::fit(&self.steps, Matrix::new(&read, columns)?)?;
        }
        Ok(route)
    }

    fn fit_source(
        &self,
        known: &Known<'_>,
        batch: &Batch<'_>,
        target: Option<&[f64]>,
    ) -> Result<Source> {
        let encode = |fit: &dyn Fn(&[Option<&str>]) -> Result<Encoder>| {
            let at = known.positions(&self.columns, true)?;
            let columns = self.columns.iter().zip(at);
            let encoders = columns.map(|(name, at)| {
                let texts = batch.texts.get(at).copied().unwrap_or_default();
                fit(texts).map_err(|e| e.at(format!("column {name:?}")))
            });
            Ok(Source::Encode(encoders.collect::<Result<_>>()?))
        };
        match &self.source {
            SourcePlan::Numbers => Ok(Source::Numbers),
            SourcePlan::Encode {
                encoding,
                unknown,
                missing,
            } => encode(&|texts| Encoder::fit(*encoding, texts, *unknown, *missing)),
            SourcePlan::EncodeTarget {
                smoothing,
                unknown,
                missing,
            } => {
                let target = target.ok_or_else(|| {
                    Error::invalid("it encodes by a target: use `fit_target`, which is given one")
                })?;
                encode(&|texts| Encoder::fit_target(texts, target, *smoothing, *unknown, *missing))
            }
            SourcePlan::Hash { buckets, signed } => {
                Ok(Source::Hash(Hasher::new(*buckets, *signed)?))
            }
            SourcePlan::Dates(dates) => {
                dates.check()?;
                Ok(Source::Dates(dates.clone()))
            }
        }
    }
}
