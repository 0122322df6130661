//! [`StepsFit`]: a fit of steps that goes on batch by batch.

use common::{Error, Result};

use super::{StepPlan, Steps};
use crate::transform::check::width;
use crate::transform::matrix::{Matrix, refuse_infinite};
use crate::transform::{ImputerFit, ScalerFit, Step};

/// A fit of [`Steps`] that is still going on: batches come in one by one, and fits of parts are merged.
///
/// A step that is fitted on what another one makes cannot be told from summaries of batches, but for the usual case:
/// imputation, then logarithms and clipping if any, then scaling. There the scaler is told at the end what was filled in,
/// and how often. Every step that learns nothing may stand anywhere. The result is that of [`Steps::fit`] on all rows,
/// up to rounding (1e-12 relative) where means are involved.
///
/// It takes what its [`ScalerFit`] and [`ImputerFit`] take.
///
/// ```
/// use vectordb::transform::{Filling, Matrix, Scaling, StepPlan, StepsFit};
/// let plan = [StepPlan::Impute(Filling::Mean), StepPlan::Scale(Scaling::MIN_MAX)];
/// let mut monday = StepsFit::new(&plan, 1)?;
/// monday.partial_fit(Matrix::new(&[20.0, f64::NAN], 1)?)?;
/// let mut tuesday = StepsFit::new(&plan, 1)?;
/// tuesday.partial_fit(Matrix::new(&[40.0], 1)?)?;
/// monday.merge(&tuesday)?;
/// let mut out = [0.0];
/// monday.finish()?.transform_row(&[f64::NAN], &mut out)?;
/// assert_eq!(out, [0.5]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StepsFit {
    plan: Vec<StepPlan>,
    columns: usize,
    /// What comes before all that is fitted.
    before: Steps,
    imputer: Option<(usize, ImputerFit)>,
    /// What comes between imputation and scaling, number by number.
    between: Steps,
    scaler: Option<(usize, ScalerFit)>,
    /// How many numbers of each column were missing when imputation had its turn.
    missing: Vec<u64>,
}

/// A batch that was found good, on its way into a fit.
pub(in crate::transform) struct Prepared {
    rows: Vec<f64>,
    /// The same as the scaler gets them, if other steps come between.
    moved: Option<Vec<f64>>,
}

impl StepsFit {
    /// A fit of steps on rows of `columns` numbers that has seen no row.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for no column, for options that make no sense, and for a step that cannot be
    /// fitted in parts, by its place.
    pub fn new(plan: &[StepPlan], columns: usize) -> Result<Self> {
        let mut before = Steps::new(columns, Vec::new())?;
        let mut between: Option<Steps> = None;
        let (mut imputer, mut scaler) = (None, None);
        // The place of a step after whose fit nothing else can be fitted.
        let mut closed: Option<usize> = None;
        for (at, step) in plan.iter().enumerate() {
            let place = |error: Error| error.at(format!("step {at}"));
            let open = between.as_ref().unwrap_or(&before);
            if let Some(ready) = step.ready(open.outputs()) {
                let ready = ready.map_err(place)?;
                if closed.is_some() {
                    continue;
                }
                if between.is_some() && !ready.is_by_number() {
                    closed = Some(at);
                    continue;
                }
                let mut order = open.steps().to_vec();
                order.push(ready);
                let extended = Steps::new(open.columns(), order)?;
                match &mut between {
                    Some(between) => *between = extended,
                    None => before = extended,
                }
                continue;
            }
            if let Some(closed) = closed {
                return Err(place(Error::invalid(format!(
                    "it learns from what step {closed} makes of all rows, which batches do not tell: fit all rows at \
                     once"
                ))));
            }
            let width = open.outputs();
            match step {
                StepPlan::Impute(filling) if imputer.is_none() => {
                    let fit = ImputerFit::new(*filling, width).map_err(place)?;
                    imputer = Some((at, fit));
                    between = Some(Steps::new(width, Vec::new())?);
                }
                StepPlan::ImputeAndMark(filling) if imputer.is_none() => {
                    imputer = Some((at, ImputerFit::new(*filling, width).map_err(place)?));
                    closed = Some(at);
                }
                StepPlan::Scale(scaling) => {
                    scaler = Some((at, ScalerFit::new(*scaling, width).map_err(place)?));
                    closed = Some(at);
                }
                StepPlan::Impute(_) | StepPlan::ImputeAndMark(_) => {
                    return Err(place(Error::invalid(
                        "an earlier step leaves nothing to impute: take one of the two out",
                    )));
                }
                _ => {
                    return Err(place(Error::invalid(
                        "it has no fit by batches: it needs the values of all rows at once",
                    )));
                }
            }
        }
        Ok(Self {
            plan: plan.to_vec(),
            columns,
            missing: vec![0; before.outputs()],
            between: match between {
                Some(between) => between,
                None => Steps::new(before.outputs(), Vec::new())?,
            },
            before,
            imputer,
            scaler,
        })
    }

    /// Takes in one batch of rows.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for another number of columns, and for a value that is infinite when it comes to
    /// a step that learns, by row and column; nothing is changed then.
    pub fn partial_fit(&mut self, matrix: Matrix<'_, f64>) -> Result<()> {
        let prepared = self.prepare(matrix)?;
        self.absorb(&prepared)
    }

    /// Whether any step learns from rows.
    pub(in crate::transform) const fn learns(&self) -> bool {
        self.imputer.is_some() || self.scaler.is_some()
    }

    /// Finds whether a batch can be taken in, and changes nothing.
    pub(in crate::transform) fn prepare(&self, matrix: Matrix<'_, f64>) -> Result<Prepared> {
        width("a row", matrix.columns(), self.columns)?;
        let columns = self.before.outputs();
        let mut prepared = Prepared {
            rows: Vec::new(),
            moved: None,
        };
        if self.learns() {
            prepared.rows = vec![0.0; matrix.rows() * columns];
            self.before.transform(matrix, &mut prepared.rows)?;
            let rows = Matrix::new(&prepared.rows, columns)?;
            refuse_infinite(rows)?;
            if self.scaler.is_some() && !self.between.steps().is_empty() {
                let mut moved = vec![0.0; prepared.rows.len()];
                self.between.transform(rows, &mut moved)?;
                prepared.moved = Some(moved);
            }
        }
        Ok(prepared)
    }

    /// Takes in what was prepared.
    pub(in crate::transform) fn absorb(&mut self, prepared: &Prepared) -> Result<()> {
        let columns = self.before.outputs();
        let rows = Matrix::new(&prepared.rows, columns)?;
        if let Some((_, imputer)) = &mut self.imputer {
            imputer.partial_fit(rows)?;
            for row in rows.iter() {
                for (missing, x) in self.missing.iter_mut().zip(row) {
                    *missing += u64::from(x.is_nan());
                }
            }
        }
        if let Some((_, scaler)) = &mut self.scaler {
            let moved = prepared.moved.as_ref().unwrap_or(&prepared.rows);
            scaler.partial_fit(Matrix::new(moved, columns)?)?;
        }
        Ok(())
    }

    /// Takes in what another fit of the same plan has seen.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the other has another plan or other columns; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.plan != other.plan {
            return Err(Error::invalid(
                "fits of different steps cannot be merged: begin both with the same plan",
            ));
        }
        width("the other fit", other.columns, self.columns)?;
        if let (Some((_, fit)), Some((_, more))) = (&mut self.imputer, &other.imputer) {
            fit.merge(more)?;
        }
        if let (Some((_, fit)), Some((_, more))) = (&mut self.scaler, &other.scaler) {
            fit.merge(more)?;
        }
        for (missing, more) in self.missing.iter_mut().zip(&other.missing) {
            *missing += more;
        }
        Ok(())
    }

    /// The steps that follow from everything seen so far; the fit may go on after it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`], by the place of the step, when a column has had no value.
    pub fn finish(&self) -> Result<Steps> {
        let mut order: Vec<Step> = Vec::with_capacity(self.plan.len());
        let mut columns = self.columns;
        let mut filled = None;
        for (at, step) in self.plan.iter().enumerate() {
            let place = |error: Error| error.at(format!("step {at}"));
            let fitted = match (step, &self.imputer, &self.scaler) {
                (_, Some((own, fit)), _) if *own == at => {
                    let imputer = fit.finish().map_err(place)?;
                    let mut values = vec![0.0; imputer.columns()];
                    self.between.transform_row(imputer.values(), &mut values)?;
                    filled = Some(values);
                    match step {
                        StepPlan::ImputeAndMark(_) => Step::ImputeAndMark(imputer),
                        _ => Step::Impute(imputer),
                    }
                }
                (_, _, Some((own, fit))) if *own == at => {
                    let scaler = match &filled {
                        None => fit.finish(),
                        Some(values) => {
                            let mut fit = fit.clone();
                            fit.add_repeated(values, &self.missing);
                            fit.finish()
                        }
                    };
                    Step::Scale(scaler.map_err(place)?)
                }
                _ => match step.ready(columns) {
                    Some(ready) => ready.map_err(place)?,
                    // `new` lets no other plan pass.
                    None => return Err(place(Error::invalid("it was not fitted"))),
                },
            };
            columns = fitted.outputs(columns).map_err(place)?;
            order.push(fitted);
        }
        Steps::new(self.columns, order)
    }
}
