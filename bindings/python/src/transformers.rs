//! `tandemdb._native.transformers`: the engine's fitted transformations of named columns and of numbers.

use common::Limits;
use numpy::{PyArray2, PyArrayMethods as _, PyReadonlyArray2, PyUntypedArrayMethods as _};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use vectordb::transform::{self, ColumnPlan, Matrix, StepPlan, Transformer};

use crate::interchange::{Column, Table, raise, read};

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

fn matrix_of<'a>(array: &'a PyReadonlyArray2<'_, f64>) -> PyResult<Matrix<'a, f64>> {
    let [rows, columns] = [0, 1].map(|at| array.shape().get(at).copied().unwrap_or_default());
    Matrix::with_stride(array.as_slice()?, rows, columns, columns.max(1)).map_err(raise)
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
        let matrix = matrix_of(&array)?;
        py.detach(|| transform::Steps::fit(&plan, matrix))
            .map(Self)
            .map_err(raise)
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
        let array = rows_of(rows)?.readonly();
        let matrix = matrix_of(&array)?;
        let out = PyArray2::<f64>::zeros(py, [matrix.rows(), self.0.outputs()], false);
        let mut guard = out.readwrite();
        let numbers = guard.as_slice_mut()?;
        py.detach(|| self.0.transform(matrix, numbers))
            .map_err(raise)?;
        drop(guard);
        Ok(out)
    }

    /// Undoes `transform` up to rounding.
    fn inverse<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let array = rows_of(rows)?.readonly();
        let matrix = matrix_of(&array)?;
        let out = PyArray2::<f64>::zeros(py, [matrix.rows(), self.0.columns()], false);
        let mut guard = out.readwrite();
        let numbers = guard.as_slice_mut()?;
        py.detach(|| self.0.inverse(matrix, numbers))
            .map_err(raise)?;
        drop(guard);
        Ok(out)
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

    fn with<R>(
        &self,
        columns: usize,
        run: impl FnOnce(Matrix<'_, f64>, &[&[Option<&str>]]) -> common::Result<R>,
    ) -> common::Result<R> {
        let texts: Vec<Vec<Option<&str>>> = (self.texts.iter())
            .map(|column| column.iter().map(Option::as_deref).collect())
            .collect();
        let texts: Vec<&[Option<&str>]> = texts.iter().map(Vec::as_slice).collect();
        let matrix = match columns {
            0 => Matrix::empty(self.rows),
            _ => Matrix::new(&self.numbers, columns)?,
        };
        run(matrix, &texts)
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
        let fitted = py.detach(|| {
            batch.with(plan.numbers.len(), |numbers, texts| match &target {
                Some(target) => plan.fit_target(numbers, texts, target),
                None => plan.fit(numbers, texts),
            })
        });
        fitted.map(Self).map_err(raise)
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
        let out = PyArray2::<f64>::zeros(py, [batch.rows, self.0.outputs()], false);
        let mut guard = out.readwrite();
        let rows = guard.as_slice_mut()?;
        let done = py.detach(|| {
            batch.with(self.0.numbers().len(), |numbers, texts| {
                self.0.transform(numbers, texts, rows)
            })
        });
        done.map_err(raise)?;
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
        let matrix = matrix_of(&array)?;
        let original = py.detach(|| self.0.inverse(matrix)).map_err(raise)?;
        let columns = PyDict::new(py);
        let width = self.0.numbers().len();
        for (at, name) in self.0.numbers().iter().enumerate() {
            let column = original.numbers.iter().skip(at).step_by(width).copied();
            columns.set_item(name, numpy::PyArray1::from_vec(py, column.collect()))?;
        }
        for (name, texts) in self.0.texts().iter().zip(&original.texts) {
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

/// Gives a batch of rows to a fit; other threads of Python go on meanwhile.
fn take_in(
    rows: &Bound<'_, PyAny>,
    take: impl FnOnce(Matrix<'_, f64>) -> common::Result<()> + Send,
) -> PyResult<()> {
    let array = rows_of(rows)?.readonly();
    let matrix = matrix_of(&array)?;
    rows.py().detach(|| take(matrix)).map_err(raise)
}

/// Steps that are fitted batch by batch: `plan` is what `Steps.fit` takes. Imputation, then logarithms and clipping, then
/// scaling can be fitted so, and what learns nothing; other steps say that they cannot.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct StepsFit(Mutex<transform::StepsFit>);

#[pymethods]
impl StepsFit {
    #[new]
    #[pyo3(signature = (plan, columns), text_signature = "(plan, columns)")]
    fn new(plan: &Bound<'_, PyAny>, columns: usize) -> PyResult<Self> {
        let plan: Vec<StepPlan> = read("plan of steps", plan)?;
        transform::StepsFit::new(&plan, columns)
            .map(|fit| Self(Mutex::new(fit)))
            .map_err(raise)
    }

    /// Takes in one batch of rows.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fit = slf.get();
        take_in(rows, |rows| fit.0.lock().partial_fit(rows))?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, other: &Self) -> PyResult<()> {
        let other = other.0.lock().clone();
        self.0.lock().merge(&other).map_err(raise)
    }

    /// What was fitted, as steps.
    fn finish(&self) -> PyResult<Steps> {
        self.0.lock().finish().map(Steps).map_err(raise)
    }
}

/// Columns that are fitted batch by batch: `plan` is what `ColumnTransformer.fit` takes. A route may have steps that
/// `StepsFit` takes, and categories; encoding by a target says that it cannot be fitted so.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct ColumnFit {
    fit: Mutex<transform::ColumnFit>,
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
            fit: Mutex::new(fit),
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
        slf.py()
            .detach(|| {
                batch.with(plan.numbers.len(), |numbers, texts| {
                    fit.lock().partial_fit(numbers, texts)
                })
            })
            .map_err(raise)?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, other: &Self) -> PyResult<()> {
        let other = other.fit.lock().clone();
        self.fit.lock().merge(&other).map_err(raise)
    }

    /// What was fitted, as columns on their routes.
    fn finish(&self) -> PyResult<ColumnTransformer> {
        self.fit
            .lock()
            .finish()
            .map(ColumnTransformer)
            .map_err(raise)
    }
}

/// A scaler that is fitted batch by batch: `scaling` is what `scale` takes.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct ScalerFit(Mutex<transform::ScalerFit>);

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
            .map(|fit| Self(Mutex::new(fit)))
            .map_err(raise)
    }

    /// Takes in one batch of rows.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fit = slf.get();
        take_in(rows, |rows| fit.0.lock().partial_fit(rows))?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, other: &Self) -> PyResult<()> {
        let other = other.0.lock().clone();
        self.0.lock().merge(&other).map_err(raise)
    }

    /// How many values each column had.
    #[getter]
    fn counts(&self) -> Vec<u64> {
        self.0.lock().counts().to_vec()
    }

    /// What was fitted, as steps.
    fn finish(&self) -> PyResult<Steps> {
        let scaler = self.0.lock().finish().map_err(raise)?;
        let columns = scaler.columns();
        transform::Steps::new(columns, vec![transform::Step::Scale(scaler)])
            .map(Steps)
            .map_err(raise)
    }
}

/// What to fill in, found batch by batch: `filling` is what `impute` takes.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct ImputerFit(Mutex<transform::ImputerFit>, usize);

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
        Ok(Self(Mutex::new(fit), columns))
    }

    /// Takes in one batch of rows.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fit = slf.get();
        take_in(rows, |rows| fit.0.lock().partial_fit(rows))?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, other: &Self) -> PyResult<()> {
        let other = other.0.lock().clone();
        self.0.lock().merge(&other).map_err(raise)
    }

    /// What was fitted, as steps.
    fn finish(&self) -> PyResult<Steps> {
        let imputer = self.0.lock().finish().map_err(raise)?;
        transform::Steps::new(self.1, vec![transform::Step::Impute(imputer)])
            .map(Steps)
            .map_err(raise)
    }
}

/// Categories and how often they come, batch by batch; `missing` is `refuse`, `ignore` or `missing`.
#[pyclass(frozen, module = "vectordb.transformers")]
pub(crate) struct EncoderFit(Mutex<transform::EncoderFit>);

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
        Ok(Self(Mutex::new(transform::EncoderFit::new(missing))))
    }

    /// Takes in one batch of texts.
    fn partial_fit<'py>(
        slf: Bound<'py, Self>,
        texts: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let texts = texts_of(texts)?;
        let fit = slf.get();
        slf.py()
            .detach(|| {
                let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                fit.0.lock().partial_fit(&texts)
            })
            .map_err(raise)?;
        Ok(slf)
    }

    /// Takes in what another fit has seen.
    fn merge(&self, other: &Self) -> PyResult<()> {
        let other = other.0.lock().clone();
        self.0.lock().merge(&other).map_err(raise)
    }

    /// Forgets categories that came fewer times than `least`.
    fn forget_rare(&self, least: u64) {
        self.0.lock().forget_rare(least);
    }

    /// The categories in order, with how often each was seen.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = PyDict::new(py);
        let seen: Vec<(String, u64)> = {
            let fit = self.0.lock();
            fit.counts()
                .map(|(text, count)| (text.to_owned(), count))
                .collect()
        };
        for (text, count) in seen {
            counts.set_item(text, count)?;
        }
        Ok(counts)
    }

    /// What was fitted: `encoding` is `one_hot` or `ordinal`, `unknown` `refuse`, `ignore` or `missing`.
    #[pyo3(signature = (encoding = "one_hot", unknown = "refuse"), text_signature = "($self, encoding='one_hot', unknown='refuse')")]
    fn finish(&self, encoding: &str, unknown: &str) -> PyResult<Encoder> {
        let (encoding, unknown) = (word("encoding", encoding)?, word("unknown", unknown)?);
        self.0
            .lock()
            .finish(encoding, unknown)
            .map(Encoder)
            .map_err(raise)
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
        let rows = guard.as_slice_mut()?;
        let done = py.detach(|| {
            for (at, (text, row)) in texts
                .iter()
                .zip(rows.chunks_exact_mut(outputs.max(1)))
                .enumerate()
            {
                (self.0.transform(text.as_deref(), row))
                    .map_err(|error| error.at(format!("row {at}")))?;
            }
            Ok(())
        });
        done.map_err(raise)?;
        drop(guard);
        Ok(out)
    }

    /// Texts back from rows of numbers, None where they stand for no category.
    fn inverse(&self, rows: &Bound<'_, PyAny>) -> PyResult<Vec<Option<String>>> {
        let array = rows_of(rows)?.readonly();
        let matrix = matrix_of(&array)?;
        let texts = matrix
            .iter()
            .map(|row| self.0.inverse(row).map(str::to_owned));
        Ok(texts.collect())
    }
}
