//! [`ColumnFit`]: a fit of routes that goes on batch by batch.

use common::{Error, Result};

use super::plan::{ColumnPlan, RoutePlan, SourcePlan};
use super::route::{Batch, Known, Room, Route, Source};
use super::{ColumnTransformer, check_batch, check_names};
use crate::transform::steps::Prepared;
use crate::transform::{EncoderFit, Encoding, Hasher, Matrix, Steps, StepsFit, Unknown};

/// A fit of a [`ColumnTransformer`] that is still going on: batches come in one by one, and fits of parts are merged.
///
/// The result is that of [`ColumnPlan::fit`] on all rows, up to rounding (1e-12 relative) where means are involved. What
/// a route may have of steps is what a [`StepsFit`] takes; after categories, steps that learn nothing.
///
/// It takes what the fits of its steps take, and the texts of all categories.
///
/// ```
/// use vectordb::transform::{
///     ColumnFit, ColumnPlan, Encoding, Filling, Matrix, MissingText, RoutePlan, Scaling, SourcePlan, StepPlan, Unknown,
/// };
/// let places = SourcePlan::Encode {
///     encoding: Encoding::OneHot,
///     unknown: Unknown::Ignore,
///     missing: MissingText::Ignore,
/// };
/// let plan = ColumnPlan::new(["age"], ["city"])
///     .route(
///         RoutePlan::new("scaled", ["age"], SourcePlan::Numbers)
///             .then(StepPlan::Impute(Filling::Mean))
///             .then(StepPlan::Scale(Scaling::MIN_MAX)),
///     )
///     .route(RoutePlan::new("place", ["city"], places));
/// let mut monday = ColumnFit::new(&plan)?;
/// monday.partial_fit(Matrix::new(&[20.0, f64::NAN], 1)?, &[&[Some("Oulu"), None]])?;
/// let mut tuesday = ColumnFit::new(&plan)?;
/// tuesday.partial_fit(Matrix::new(&[40.0], 1)?, &[&[Some("Kemi")]])?;
/// monday.merge(&tuesday)?;
/// let fitted = monday.finish()?;
/// assert_eq!(fitted.output_names(), ["scaled__age", "place__city_Kemi", "place__city_Oulu"]);
/// let mut out = [0.0; 3];
/// fitted.transform_row(&[f64::NAN], &[Some("Oulu")], &mut out)?;
/// assert_eq!(out, [0.5, 0.0, 1.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnFit {
    plan: ColumnPlan,
    routes: Vec<RouteFit>,
}

#[derive(Debug, Clone, PartialEq)]
enum RouteFit {
    /// Columns that are numbers without a fit, and the fit of the steps.
    Read {
        reader: Box<Route>,
        steps: Box<StepsFit>,
    },
    /// Columns of texts, each with its fit, and where they are.
    Encode {
        at: Vec<usize>,
        columns: Vec<EncoderFit>,
        encoding: Encoding,
        unknown: Unknown,
    },
}

impl ColumnFit {
    /// A fit of a plan that has seen no row.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] or [`common::ErrorKind::NotFound`] for a declaration that makes no sense, and for
    /// a source or a step that cannot be fitted in parts: by route, and by the place of the step.
    pub fn new(plan: &ColumnPlan) -> Result<Self> {
        check_names("column", plan.numbers.iter().chain(&plan.texts))?;
        check_names("route", plan.routes.iter().map(|route| &route.name))?;
        let known = Known::new(&plan.numbers, &plan.texts);
        let begin = |route: &RoutePlan| RouteFit::new(route, &known).map_err(|e| at(route, e));
        Ok(Self {
            routes: plan.routes.iter().map(begin).collect::<Result<_>>()?,
            plan: plan.clone(),
        })
    }

    /// Takes in one batch, given as [`ColumnTransformer::transform`] takes it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for data of another shape, and whatever a fit refuses, by route; nothing is changed
    /// then.
    pub fn partial_fit(
        &mut self,
        numbers: Matrix<'_, f64>,
        texts: &[&[Option<&str>]],
    ) -> Result<()> {
        check_batch(&self.plan.numbers, &self.plan.texts, numbers, texts)?;
        let batch = Batch {
            numbers,
            texts,
            rows: 0..numbers.rows(),
        };
        // All routes find the batch good before the first one takes it in.
        let routes = || self.plan.routes.iter().zip(&self.routes);
        let prepared = routes()
            .map(|(route, fit)| fit.prepare(route, &batch).map_err(|e| at(route, e)))
            .collect::<Result<Vec<_>>>()?;
        for (fit, prepared) in self.routes.iter_mut().zip(&prepared) {
            fit.absorb(&batch, prepared.as_ref())?;
        }
        Ok(())
    }

    /// Takes in what another fit of the same plan has seen.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the other has another plan; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.plan != other.plan {
            return Err(Error::invalid(
                "fits of different plans cannot be merged: begin both with the same plan",
            ));
        }
        for (fit, more) in self.routes.iter_mut().zip(&other.routes) {
            match (fit, more) {
                (RouteFit::Read { steps: fit, .. }, RouteFit::Read { steps: more, .. }) => {
                    fit.merge(more)?;
                }
                (RouteFit::Encode { columns: fit, .. }, RouteFit::Encode { columns: more, .. }) => {
                    for (fit, more) in fit.iter_mut().zip(more) {
                        fit.merge(more)?;
                    }
                }
                // The same plan has the same kinds of routes.
                _ => return Err(Error::invalid("the fits are of different kinds")),
            }
        }
        Ok(())
    }

    /// The columns as they follow from everything seen so far; the fit may go on after it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`], by route, for a plan without a route, a column that has had no value or no
    /// category, and [`common::ErrorKind::LimitExceeded`] for too many of these.
    pub fn finish(&self) -> Result<ColumnTransformer> {
        let routes = self.plan.routes.iter().zip(&self.routes);
        let routes = routes
            .map(|(route, fit)| fit.finish(route).map_err(|e| at(route, e)))
            .collect::<Result<_>>()?;
        let (numbers, texts) = (self.plan.numbers.clone(), self.plan.texts.clone());
        ColumnTransformer::assemble(numbers, texts, routes)
    }
}

fn at(route: &RoutePlan, error: Error) -> Error {
    error.at(format!("route {:?}", route.name))
}

impl RouteFit {
    fn new(route: &RoutePlan, known: &Known<'_>) -> Result<Self> {
        let source = match &route.source {
            SourcePlan::Numbers => Source::Numbers,
            SourcePlan::Hash { buckets, signed } => Source::Hash(Hasher::new(*buckets, *signed)?),
            SourcePlan::Dates(dates) => Source::Dates(dates.clone()),
            SourcePlan::EncodeTarget { .. } => {
                return Err(Error::invalid(
                    "encoding by a target has no fit by batches: fit all rows at once, with `fit_target`",
                ));
            }
            SourcePlan::Encode {
                encoding,
                unknown,
                missing,
            } => {
                if let Some(step) = route.steps.iter().position(|step| step.learns()) {
                    return Err(Error::invalid(
                        "it learns from columns that are known when all rows have been seen: fit these at once",
                    )
                    .at(format!("step {step}")));
                }
                return Ok(Self::Encode {
                    at: known.positions(&route.columns, true)?,
                    columns: vec![EncoderFit::new(*missing); route.columns.len()],
                    encoding: *encoding,
                    unknown: *unknown,
                });
            }
        };
        let columns = source.outputs(route.columns.len())?;
        let mut reader = Route::new(
            route.name.clone(),
            route.columns.clone(),
            source,
            Steps::new(columns.max(1), Vec::new())?,
        );
        reader.place(known, 0)?;
        Ok(Self::Read {
            reader: Box::new(reader),
            steps: Box::new(StepsFit::new(&route.steps, columns)?),
        })
    }

    /// Finds whether a batch can be taken in, and changes nothing.
    fn prepare(&self, route: &RoutePlan, batch: &Batch<'_>) -> Result<Option<Prepared>> {
        match self {
            Self::Encode { at, columns, .. } => {
                for ((at, fit), name) in at.iter().zip(columns).zip(&route.columns) {
                    fit.check(batch.texts.get(*at).copied().unwrap_or_default())
                        .map_err(|e| e.at(format!("column {name:?}")))?;
                }
                Ok(None)
            }
            Self::Read { steps, .. } if !steps.learns() => Ok(None),
            Self::Read { reader, steps } => {
                if let Some(columns) = reader.neighbours() {
                    let rows = batch.numbers.part(batch.rows.clone(), columns);
                    return steps.prepare(rows).map(Some);
                }
                let columns = reader.steps.columns();
                let mut read = vec![0.0; batch.rows.len() * columns];
                reader.transform(batch, &mut read, columns, &mut Room::default())?;
                steps.prepare(Matrix::new(&read, columns)?).map(Some)
            }
        }
    }

    /// Takes in a batch that was found good.
    fn absorb(&mut self, batch: &Batch<'_>, prepared: Option<&Prepared>) -> Result<()> {
        match self {
            Self::Encode { at, columns, .. } => {
                for (at, fit) in at.iter().zip(columns) {
                    fit.partial_fit(batch.texts.get(*at).copied().unwrap_or_default())?;
                }
                Ok(())
            }
            Self::Read { steps, .. } => prepared.map_or(Ok(()), |rows| steps.absorb(rows)),
        }
    }

    fn finish(&self, route: &RoutePlan) -> Result<Route> {
        let (source, steps) = match self {
            Self::Read { reader, steps } => (reader.source.clone(), steps.finish()?),
            Self::Encode {
                columns,
                encoding,
                unknown,
                ..
            } => {
                let encoders = columns.iter().zip(&route.columns).map(|(fit, name)| {
                    fit.finish(*encoding, *unknown)
                        .map_err(|e| e.at(format!("column {name:?}")))
                });
                let source = Source::Encode(encoders.collect::<Result<_>>()?);
                let made = source.outputs(route.columns.len())?;
                (source, StepsFit::new(&route.steps, made)?.finish()?)
            }
        };
        Ok(Route::new(
            route.name.clone(),
            route.columns.clone(),
            source,
            steps,
        ))
    }
}
