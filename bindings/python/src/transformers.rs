//! `tandemdb._native.transformers`: the engine's fitted transformations of named columns and of numbers.

use std::ops::Range;
use std::sync::Arc;

use common::Limits;
use numpy::{PyArray2, PyArrayMethods as _, PyReadonlyArray2, PyUntypedArrayMethods as _};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use vectordb::transform::{self, ColumnPlan, Matrix, StepPlan, Transformer};

use crate::interchange::{Column, Table, raise, read, watch};

/// Native part of `vectordb.transformers`.
#[pymodule]
pub(crate) mod transformers {
    #[pymodule_export]
    use super::{
        ColumnFit, ColumnTransformer, Encoder, EncoderFit, ImputerFit, ScalerFit, Steps, StepsFit,
    };
}

/// Either kind of fitted transformation.
pub(crate) fn transformer_of(object: &Bound<'_, PyAny>) -> PyResult<Transformer> {
    if let Ok(steps) = object.cast::<Steps>() {
        return Ok(steps.get().0.clone().into());
    }
    if let Ok(columns) = object.cast::<ColumnTransformer>() {
        return Ok(columns.get().0.clone().into());
    }
    Err(PyTypeError::new_err(format!(
        "a transformer is a fitted `Steps` or `ColumnTransformer`, not {}",
        object.get_type().name()?
    )))
}

/// A transformer as an object of Python.
pub(crate) fn transformer_to_python(
    py: Python<'_>,
    transformer: Transformer,
) -> PyResult<Bound<'_, PyAny>> {
    Ok(match transformer {
        Transformer::Steps(steps) => Bound::new(py, Steps(steps))?.into_any(),
        Transformer::Columns(columns) => Bound::new(py, ColumnTransformer(*columns))?.into_any(),
    })
}

/// Names of the numbers that a row of features becomes.
pub(crate) fn names_of(transformer: &Transformer, features: &[String]) -> Vec<String> {
    match transformer {
        Transformer::Steps(steps) => steps.names(features),
        Transformer::Columns(columns) => columns.output_names(),
    }
}

/// Rows of numbers as an array of float64 in C order, the caller's own if it is one.
fn rows_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let numpy = object.py().import("numpy")?;
    let array = numpy.call_method1("ascontiguousarray", (object, "float64"))?;
    array.cast_into::<PyArray2<f64>>().map_err(|_| {
        PyValueError::new_err(
            "expected rows of numbers: an array of two dimensions, or a list of lists",
        )
    })
}

/// How many rows and columns an array has.
fn shape_of(array: &PyReadonlyArray2<'_, f64>) -> [usize; 2] {
    [0, 1].map(|at| array.shape().get(at).copied().unwrap_or_default())
}

fn matrix(numbers: &[f64], [rows, columns]: [usize; 2]) -> common::Result<Matrix<'_, f64>> {
    Matrix::with_stride(numbers, rows, columns, columns.max(1))
}

/// The numbers of some rows out of all.
fn part<'a>(numbers: &'a [f64], columns: usize, rows: &Range<usize>) -> &'a [f64] {
    let whole = rows.start * columns..rows.end * columns;
    numbers.get(whole).unwrap_or_default()
}

/// Makes rows of `outputs` numbers from those of an array, some at a time.
fn by_rows<'py>(
    py: Python<'py>,
    given: &Bound<'py, PyAny>,
    outputs: usize,
    make: impl Fn(Matrix<'_, f64>, &mut [f64]) -> common::Result<()> + Sync,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let array = rows_of(given)?.readonly();
    let [all, columns] = shape_of(&array);
    let from = array.as_slice()?;
    let out = PyArray2::<f64>::zeros(py, [all, outputs], false);
    let mut guard = out.readwrite();
    let to = guard.as_slice_mut()?;
    watch::by_rows(py, (all, columns.max(outputs)), |rows| {
        let place = rows.start * outputs..rows.end * outputs;
        let rows = matrix(part(from, columns, &rows), [rows.len(), columns])?;
        make(rows, to.get_mut(place).unwrap_or_default())
    })?;
    drop(guard);
    Ok(out)
}

/// Fitted transformations of numbers, one after another.
#[pyclass(frozen, eq, module = "vectordb.transformers")]
#[derive(PartialEq)]
pub(crate) struct Steps(transform::Steps);

#[pymethods]
impl Steps {
    /// Fits steps in order on rows of numbers, each on what the ones before it make of them. `plan` is a list of what
    /// `scale`, `impute`, `clip` and their like return.
    #[staticmethod]
    fn fit(py: Python<'_>, plan: &Bound<'_, PyAny>, rows: &Bound<'_, PyAny>) -> PyResult<Self> {
        let plan: Vec<StepPlan> = read("plan of steps", plan)?;
        let array = rows_of(rows)?.readonly();
        let shape = shape_of(&array);
        watch::run_on(py, array.as_slice()?, move |numbers| {
            transform::Steps::fit(&plan, matrix(numbers, shape)?)
        })
        .map(Self)
    }

    /// How many numbers a row has.
    #[getter]
    fn columns(&self) -> usize {
        self.0.columns()
    }

    /// How many numbers a row becomes.
    #[getter]
    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    /// Names of the columns that come out, from those of the columns that go in.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "read from a sequence of Python"
    )]
    fn names(&self, inputs: Vec<String>) -> Vec<String> {
        self.0.names(&inputs)
    }

    /// The rows, transformed: a new array.
    fn transform<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let outputs = self.0.outputs();
        by_rows(py, rows, outputs, |rows, out| self.0.transform(rows, out))
    }

    /// Undoes `transform` up to rounding.
    fn inverse<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let columns = self.0.columns();
        by_rows(py, rows, columns, |rows, out| self.0.inverse(rows, out))
    }

    /// All of it as JSON, with every bit of its numbers.
    fn to_json(&self) -> PyResult<String> {
        self.0.to_json().map_err(raise)
    }

    /// Reads what `to_json` writes.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        transform::Steps::from_json(text, &Limits::default())
            .map(Self)
            .map_err(raise)
    }

    /// A name for exactly this transformation: 32 hexadecimal digits.
    #[getter]
    fn version(&self) -> PyResult<String> {
        self.0.version().map_err(raise)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((slf.getattr("from_json")?, (slf.get().to_json()?,)))
    }

    fn __repr__(&self) -> String {
        format!(
            "Steps({} to {} columns, {} steps)",
            self.0.columns(),
            self.0.outputs(),
            self.0.steps().len()
        )
    }
}

/// Numbers and texts of a batch by the columns of a plan.
struct Batch {
    numbers: Vec<f64>,
    texts: Vec<Vec<Option<String>>>,
    rows: usize,
}

impl Batch {
    fn of(data: &Bound<'_, PyAny>, numbers: &[String], texts: &[String]) -> PyResult<Self> {
        let mut table = Table::of(data)?;
        let rows = table.rows;
        let mut columns = Vec::with_capacity(numbers.len());
        for name in numbers {
            columns.push(table.take(name)?.into_floats(&format!("column `{name}`"))?);
        }
        let mut all = vec![f64::NAN; rows * numbers.len()];
        for (at, column) in columns.iter().enumerate() {
            let places = all.iter_mut().skip(at).step_by(numbers.len());
            for (place, x) in places.zip(column) {
                *place = *x;
            }
        }
        let texts = texts
            .iter()
            .map(|name| table.take(name)?.into_texts(&format!("column `{name}`")));
        Ok(Self {
            numbers: all,
            texts: texts.collect::<PyResult<_>>()?,
            rows,
        })
    }

    /// Whether a fit on it takes longer than a signal may wait.
    fn is_long(&self) -> bool {
        self.numbers.len() + self.rows * self.texts.len() > watch::NUMBERS_UNCHECKED
    }

    fn with<R>(
        &self,
        columns: usize,
        run: impl FnOnce(Matrix<'_, f64>, &[&[Option<&str>]]) -> common::Result<R>,
    ) -> common::Result<R> {
        let texts = self.borrowed();
        let texts: Vec<&[Option<&str>]> = texts.iter().map(Vec::as_slice).collect();
        run(self.matrix(columns)?, &texts)
    }

    fn borrowed(&self) -> Vec<Vec<Option<&str>>> {
        let columns = self.texts.iter();
        columns
            .map(|column| column.iter().map(Option::as_deref).collect())
            .collect()
    }

    fn matrix(&self, columns: usize) -> common::Result<Matrix<'_, f64>> {
        match columns {
            0 => Ok(Matrix::empty(self.rows)),
            _ => Matrix::new(&self.numbers, columns),
        }
    }
}

/// Fitted routes from named columns to a row of named numbers: scikit-learn's `ColumnTransformer`.
#[pyclass(frozen, eq, module = "vectordb.transformers")]
#[derive(PartialEq)]
pub(crate) struct ColumnTransformer(transform::ColumnTransformer);

#[pymethods]
impl ColumnTransformer {
    /// Fits the routes of a plan, which `column_plan` makes, on a table: a dict of columns, a list of dicts, or a table of
    /// Arrow. `target` is for routes that encode by one.
    #[staticmethod]
    #[pyo3(signature = (plan, data, target = None), text_signature = "(plan, data, target=None)")]
    fn fit(
        py: Python<'_>,
        plan: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        target: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let plan: ColumnPlan = read("plan of columns", plan)?;
        let batch = Batch::of(data, &plan.numbers, &plan.texts)?;
        let target = target
            .map(|target| Column::of(target)?.into_floats("the target"))
            .transpose()?;
        watch::run_if(py, batch.is_long(), None, move |_| {
            batch.with(plan.numbers.len(), |numbers, texts| match &target {
                Some(target) => plan.fit_target(numbers, texts, target),
                None => plan.fit(numbers, texts),
            })
        })
        .map(Self)
    }

    /// Names of the input columns that are numbers (times among them), in order.
    #[getter]
    fn numbers(&self) -> Vec<String> {
        self.0.numbers().to_vec()
    }

    /// Names of the input columns that are texts, in order.
    #[getter]
    fn texts(&self) -> Vec<String> {
        self.0.texts().to_vec()
    }

    /// Names of the numbers that a row becomes, made as scikit-learn makes them.
    #[getter]
    fn output_names(&self) -> Vec<String> {
        self.0.output_names()
    }

    /// How many numbers a row becomes.
    #[getter]
    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    /// A table as a matrix of numbers, a row for each row, a column for each of `output_names`.
    fn transform<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let batch = Batch::of(data, self.0.numbers(), self.0.texts())?;
        let (outputs, width) = (self.0.outputs(), self.0.numbers().len());
        let out = PyArray2::<f64>::zeros(py, [batch.rows, outputs], false);
        let mut guard = out.readwrite();
        let to = guard.as_slice_mut()?;
        let texts = batch.borrowed();
        let texts: Vec<&[Option<&str>]> = texts.iter().map(Vec::as_slice).collect();
        watch::by_rows(py, (batch.rows, width.max(outputs)), |rows| {
            let place = rows.start * outputs..rows.end * outputs;
            let place = to.get_mut(place).unwrap_or_default();
            (self.0).transform_rows(batch.matrix(width)?, &texts, rows, place)
        })?;
        drop(guard);
        Ok(out)
    }

    /// Undoes `transform`, as far as it can be undone: a dict of columns.
    fn inverse<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let array = rows_of(rows)?.readonly();
        let [all, outputs] = shape_of(&array);
        let given = array.as_slice()?;
        let mut numbers = Vec::with_capacity(all * self.0.numbers().len());
        let mut texts = vec![Vec::with_capacity(all); self.0.texts().len()];
        watch::by_rows(py, (all, outputs), |rows| {
            let rows = matrix(part(given, outputs, &rows), [rows.len(), outputs])?;
            let original = self.0.inverse(rows)?;
            numbers.extend(original.numbers);
            for (column, more) in texts.iter_mut().zip(original.texts) {
                column.extend(more);
            }
            Ok(())
        })?;
        let columns = PyDict::new(py);
        let width = self.0.numbers().len();
        for (at, name) in self.0.numbers().iter().enumerate() {
            let column = numbers.iter().skip(at).step_by(width).copied();
            columns.set_item(name, numpy::PyArray1::from_vec(py, column.collect()))?;
        }
        for (name, texts) in self.0.texts().iter().zip(&texts) {
            columns.set_item(name, PyList::new(py, texts)?)?;
        }
        Ok(columns)
    }

    /// All of it as JSON, with every bit of its numbers.
    fn to_json(&self) -> PyResult<String> {
        self.0.to_json().map_err(raise)
    }

    /// Reads what `to_json` writes.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        transform::ColumnTransformer::from_json(text, &Limits::default())
            .map(Self)
            .map_err(raise)
    }

    /// A name for exactly this transformation: 32 hexadecimal digits.
    #[getter]
    fn version(&self) -> PyResult<String> {
        self.0.version().map_err(raise)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((slf.getattr("from_json")?, (slf.get().to_json()?,)))
    }

    fn __repr__(&self) -> String {
        format!("ColumnTransformer({})", self.0.output_names().join(", "))
    }
}

/// A fit that goes on batch by batch. A batch that Ctrl-C does not wait for is taken in all the same, as a whole: what was
/// seen before is not kept a second time to go back to.
struct Going<T>(Arc<Mutex<T>>);

impl<T: Clone + Send + 'static> Going<T> {
    fn new(fit: T) -> Self {
        Self(Arc::new(Mutex::new(fit)))
    }

    /// Takes in a batch of rows; other threads of Python go on meanwhile.
    fn take_in(
        &self,
        rows: &Bound<'_, PyAny>,
        take: impl FnOnce(&mut T, Matrix<'_, f64>) -> common::Result<()> + Send + 'static,
    ) -> PyResult<()> {
        let array = rows_of(rows)?.readonly();
        let shape = shape_of(&array);
        let fit = Arc::clone(&self.0);
        watch::run_on(rows.py(), array.as_slice()?, move |numbers| {
            take(&mut fit.lock(), matrix(numbers, shape)?)
        })
    }

    /// Takes in what another fit has seen.
    fn merge(
        &self,
        py: Python<'_>,
        other: &Self,
        merge: impl FnOnce(&mut T, &T) -> common::Result<()> + Send + 'static,
    ) -> PyResult<()> {
        let (fit, other) = (Arc::clone(&self.0), Arc::clone(&other.0));
        watch::run(py, None, move |_| {
            // Not both locked at once: they may be the same, or be merged the other way round elsewhere.
            let other = other.lock().clone();
            merge(&mut fit.lock(), &other)
        })
    }

    /// What follows from what was seen; values of many rows are sorted for it.
    fn finish<R: Send + 'static>(
        &self,
        py: Python<'_>,
        finish: impl FnOnce(&T) -> common::Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let fit = Arc::clone(&self.0);
        watch::run(py, None, move |_| finish(&fit.lock()))
    }

    /// Looks at it, when the batch in hand is taken in.
    fn look<R: Send>(&self, py: Python<'_>, look: impl FnOnce(&T) -> R + Send) -> R {
        py.detach(|| look(&self.0.lock()))
    }
}

/// Steps that are fitted batch by batch: `plan` is what `Steps.fit` takes. Imputation, then logarithms and clipping, then
/// scaling can be fitted so, and what learns nothing; other steps say that they cannot.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct StepsFit(Going<transform::StepsFit>);

#[pymethods]
impl StepsFit {
    #[new]
    #[pyo3(signature = (plan, columns), text_signature = "(plan, columns)")]
    fn new(plan: &Bound<'_, PyAny>, columns: usize) -> PyResult<Self> {
        let plan: Vec<StepPlan> = read("plan of steps", plan)?;
        transform::StepsFit::new(&plan, columns)
            .map(|fit| Self(Going::new(fit)))
            .map_err(raise)
    }

    /// Takes in one batch of rows; also one that Ctrl-C did not wait for.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fit = slf.get();
        fit.0.take_in(rows, transform::StepsFit::partial_fit)?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        self.0.merge(py, &other.0, transform::StepsFit::merge)
    }

    /// What was fitted, as steps.
    fn finish(&self, py: Python<'_>) -> PyResult<Steps> {
        let steps = self.0.finish(py, transform::StepsFit::finish)?;
        Ok(Steps(steps))
    }
}

/// Columns that are fitted batch by batch: `plan` is what `ColumnTransformer.fit` takes. A route may have steps that
/// `StepsFit` takes, and categories; encoding by a target says that it cannot be fitted so.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct ColumnFit {
    fit: Going<transform::ColumnFit>,
    plan: ColumnPlan,
}

#[pymethods]
impl ColumnFit {
    #[new]
    #[pyo3(signature = (plan), text_signature = "(plan)")]
    fn new(plan: &Bound<'_, PyAny>) -> PyResult<Self> {
        let plan: ColumnPlan = read("plan of columns", plan)?;
        let fit = transform::ColumnFit::new(&plan).map_err(raise)?;
        Ok(Self {
            fit: Going::new(fit),
            plan,
        })
    }

    /// Takes in one batch: a table, as `ColumnTransformer.fit` takes it.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let Self { fit, plan } = slf.get();
        let batch = Batch::of(data, &plan.numbers, &plan.texts)?;
        let (fit, width) = (Arc::clone(&fit.0), plan.numbers.len());
        watch::run_if(slf.py(), batch.is_long(), None, move |_| {
            batch.with(width, |numbers, texts| {
                fit.lock().partial_fit(numbers, texts)
            })
        })?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        (self.fit).merge(py, &other.fit, transform::ColumnFit::merge)
    }

    /// What was fitted, as columns on their routes.
    fn finish(&self, py: Python<'_>) -> PyResult<ColumnTransformer> {
        let columns = self.fit.finish(py, transform::ColumnFit::finish)?;
        Ok(ColumnTransformer(columns))
    }
}

/// A scaler that is fitted batch by batch: `scaling` is what `scale` takes.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct ScalerFit(Going<transform::ScalerFit>);

#[pymethods]
impl ScalerFit {
    #[new]
    #[pyo3(signature = (scaling, columns), text_signature = "(scaling, columns)")]
    fn new(scaling: &Bound<'_, PyAny>, columns: usize) -> PyResult<Self> {
        let step: StepPlan = read("scaling", scaling)?;
        let StepPlan::Scale(scaling) = step else {
            return Err(PyValueError::new_err(
                "a scaler is fitted to what `scale` returns",
            ));
        };
        transform::ScalerFit::new(scaling, columns)
            .map(|fit| Self(Going::new(fit)))
            .map_err(raise)
    }

    /// Takes in one batch of rows; also one that Ctrl-C did not wait for.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fit = slf.get();
        fit.0
            .take_in(rows, transform::ScalerFit::partial_fit::<f64>)?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        self.0.merge(py, &other.0, transform::ScalerFit::merge)
    }

    /// How many values each column had.
    #[getter]
    fn counts(&self, py: Python<'_>) -> Vec<u64> {
        self.0.look(py, |fit| fit.counts().to_vec())
    }

    /// What was fitted, as steps.
    fn finish(&self, py: Python<'_>) -> PyResult<Steps> {
        let scaler = self.0.finish(py, transform::ScalerFit::finish)?;
        let columns = scaler.columns();
        transform::Steps::new(columns, vec![transform::Step::Scale(scaler)])
            .map(Steps)
            .map_err(raise)
    }
}

/// What to fill in, found batch by batch: `filling` is what `impute` takes.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct ImputerFit(Going<transform::ImputerFit>, usize);

#[pymethods]
impl ImputerFit {
    #[new]
    #[pyo3(signature = (filling, columns), text_signature = "(filling, columns)")]
    fn new(filling: &Bound<'_, PyAny>, columns: usize) -> PyResult<Self> {
        let step: StepPlan = read("filling", filling)?;
        let StepPlan::Impute(filling) = step else {
            return Err(PyValueError::new_err(
                "an imputer is fitted to what `impute` returns",
            ));
        };
        let fit = transform::ImputerFit::new(filling, columns).map_err(raise)?;
        Ok(Self(Going::new(fit), columns))
    }

    /// Takes in one batch of rows; also one that Ctrl-C did not wait for.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fit = slf.get();
        fit.0.take_in(rows, transform::ImputerFit::partial_fit)?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        self.0.merge(py, &other.0, transform::ImputerFit::merge)
    }

    /// What was fitted, as steps.
    fn finish(&self, py: Python<'_>) -> PyResult<Steps> {
        let imputer = self.0.finish(py, transform::ImputerFit::finish)?;
        transform::Steps::new(self.1, vec![transform::Step::Impute(imputer)])
            .map(Steps)
            .map_err(raise)
    }
}

/// Categories and how often they come, batch by batch; `missing` is `refuse`, `ignore` or `missing`.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct EncoderFit(Going<transform::EncoderFit>);

fn word<T: serde::de::DeserializeOwned>(what: &str, word: &str) -> PyResult<T> {
    serde_json::from_value(word.into())
        .map_err(|error| PyValueError::new_err(format!("{what} {word:?}: {error}")))
}

fn texts_of(texts: &Bound<'_, PyAny>) -> PyResult<Vec<Option<String>>> {
    Column::of(texts)?.into_texts("the texts")
}

#[pymethods]
impl EncoderFit {
    #[new]
    #[pyo3(signature = (missing = "refuse"), text_signature = "(missing='refuse')")]
    fn new(missing: &str) -> PyResult<Self> {
        let missing = word("missing", missing)?;
        Ok(Self(Going::new(transform::EncoderFit::new(missing))))
    }

    /// Takes in one batch of texts.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        texts: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let texts = texts_of(texts)?;
        let fit = Arc::clone(&slf.get().0.0);
        let is_long = texts.len() > watch::NUMBERS_UNCHECKED;
        watch::run_if(slf.py(), is_long, None, move |_| {
            let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
            fit.lock().partial_fit(&texts)
        })?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        self.0.merge(py, &other.0, transform::EncoderFit::merge)
    }

    /// Forgets categories that came fewer times than `least`.
    fn forget_rare(&self, py: Python<'_>, least: u64) {
        py.detach(|| self.0.0.lock().forget_rare(least));
    }

    /// The categories in order, with how often each was seen.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = PyDict::new(py);
        let seen: Vec<(String, u64)> = self.0.look(py, |fit| {
            let counts = fit.counts();
            counts
                .map(|(text, count)| (text.to_owned(), count))
                .collect()
        });
        for (text, count) in seen {
            counts.set_item(text, count)?;
        }
        Ok(counts)
    }

    /// What was fitted: `encoding` is `one_hot` or `ordinal`, `unknown` `refuse`, `ignore` or `missing`.
    #[pyo3(signature = (encoding = "one_hot", unknown = "refuse"), text_signature = "($self, encoding='one_hot', unknown='refuse')")]
    fn finish(&self, py: Python<'_>, encoding: &str, unknown: &str) -> PyResult<Encoder> {
        let (encoding, unknown) = (word("encoding", encoding)?, word("unknown", unknown)?);
        let encoder = (self.0).finish(py, move |fit| fit.finish(encoding, unknown))?;
        Ok(Encoder(encoder))
    }
}

/// A column of texts as numbers, by what was fitted; categories are in the order of their code points.
#[pyclass(frozen, eq, module = "vectordb.transformers")]
#[derive(PartialEq)]
pub(crate) struct Encoder(transform::Encoder);

#[pymethods]
impl Encoder {
    /// The categories, in order.
    #[getter]
    fn categories(&self) -> Vec<String> {
        self.0.categories().to_vec()
    }

    /// How many numbers a text becomes.
    #[getter]
    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    /// Names of the numbers, from that of the column.
    fn names(&self, column: &str) -> Vec<String> {
        self.0.names(column)
    }

    /// Texts as rows of numbers.
    fn transform<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let texts = texts_of(texts)?;
        let outputs = self.0.outputs();
        let out = PyArray2::<f64>::zeros(py, [texts.len(), outputs], false);
        let mut guard = out.readwrite();
        let to = guard.as_slice_mut()?;
        watch::by_rows(py, (texts.len(), outputs), |rows| {
            let places = to.get_mut(rows.start * outputs..rows.end * outputs);
            let places = places.unwrap_or_default().chunks_exact_mut(outputs.max(1));
            let texts = texts.get(rows.clone()).unwrap_or_default();
            for (at, (text, row)) in rows.zip(texts.iter().zip(places)) {
                (self.0.transform(text.as_deref(), row))
                    .map_err(|error| error.at(format!("row {at}")))?;
            }
            Ok(())
        })?;
        drop(guard);
        Ok(out)
    }

    /// Texts back from rows of numbers, None where they stand for no category.
    fn inverse(&self, py: Python<'_>, rows: &Bound<'_, PyAny>) -> PyResult<Vec<Option<&str>>> {
        let array = rows_of(rows)?.readonly();
        let [all, outputs] = shape_of(&array);
        let given = array.as_slice()?;
        let mut texts = Vec::with_capacity(all);
        watch::by_rows(py, (all, outputs), |rows| {
            let rows = matrix(part(given, outputs, &rows), [rows.len(), outputs])?;
            texts.extend(rows.iter().map(|row| self.0.inverse(row)));
            Ok(())
        })?;
        Ok(texts)
    }
}
