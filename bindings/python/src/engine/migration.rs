//! Versions of an application's tables, and the steps from one to the next.

use common::schema::IndexSpec;
use common::{Limits, Text, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyTuple};
use syncdb::migration::{Lineage, Migration, OnLoss, Script, Scripts, Step, dry_run, plan};

use super::config::{options_of, plain};
use super::error::{OrRaise, apart, called_by_engine, detached};
use super::schema::{PySchema, field_of, fields_of, names_of, schemas_of};
use super::server::PySyncServer;
use super::value::value_of;
use crate::interchange::{key_to_python, value_to_python};

/// What becomes of values that do not fit.
fn on_loss_of(object: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<OnLoss> {
    let Some(object) = object else {
        return Ok(OnLoss::default());
    };
    if let Ok(instead) = object.cast::<PyDict>()
        && let Some(value) = instead.get_item("value")?
    {
        return Ok(OnLoss::Value(value_of(&value, what)?));
    }
    options_of(object, what)
}

/// One change of the schemas. Columns are named as they are when the step's turn has come; each step goes both ways, so that
/// replicas of earlier versions go on.
///
/// `on_loss` says what becomes of a value that does not fit: `"refuse"` (as without it), `"null"`, `"clamp"` or `{"value": v}`.
#[pyclass(frozen, name = "Step", module = "syncdb.engine.migration")]
#[derive(Clone)]
pub(super) struct PyStep(Step);

#[pymethods]
impl PyStep {
    /// A new table.
    #[staticmethod]
    fn add_table(schema: &Bound<'_, PySchema>) -> Self {
        let schema = schema.get().0.clone();
        Self(Step::AddTable { schema })
    }

    /// A table goes.
    #[staticmethod]
    fn remove_table(table: &str) -> Self {
        let table = Text::new(table);
        Self(Step::RemoveTable { table })
    }

    /// A new column behind the others; `value` is what it holds in the rows there are.
    #[staticmethod]
    #[pyo3(signature = (table, column, field, *, value=None))]
    fn add_column(
        table: &str,
        column: &str,
        field: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self(Step::AddColumn {
            table: Text::new(table),
            field: field_of(column, field)?,
            value: value.map(|value| value_of(value, column)).transpose()?,
        }))
    }

    /// A column goes; `instead` is what it holds for those who still have it, in rows that were written without it.
    #[staticmethod]
    #[pyo3(signature = (table, column, *, instead=None))]
    fn remove_column(
        table: &str,
        column: &str,
        instead: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self(Step::RemoveColumn {
            table: Text::new(table),
            column: Text::new(column),
            instead: instead.map(|value| value_of(value, column)).transpose()?,
        }))
    }

    /// A column has another name.
    #[staticmethod]
    fn rename_column(table: &str, column: &str, to: &str) -> Self {
        Self(Step::RenameColumn {
            table: Text::new(table),
            column: Text::new(column),
            to: Text::new(to),
        })
    }

    /// A column has another type, other rules, or is optional or required now.
    #[staticmethod]
    #[pyo3(signature = (table, column, field, *, on_loss=None, on_loss_back=None))]
    fn change_column(
        table: &str,
        column: &str,
        field: &Bound<'_, PyAny>,
        on_loss: Option<&Bound<'_, PyAny>>,
        on_loss_back: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self(Step::ChangeColumn {
            table: Text::new(table),
            column: Text::new(column),
            to: field_of(column, field)?,
            on_loss: on_loss_of(on_loss, "on_loss")?,
            on_loss_back: on_loss_of(on_loss_back, "on_loss_back")?,
        }))
    }

    /// A text column becomes several, at each separator; the last one takes the rest.
    #[staticmethod]
    #[pyo3(signature = (table, column, into, separator, *, on_loss=None))]
    fn split_column(
        table: &str,
        column: &str,
        into: &Bound<'_, PyAny>,
        separator: &str,
        on_loss: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self(Step::SplitColumn {
            table: Text::new(table),
            column: Text::new(column),
            into: fields_of(into)?,
            separator: Text::new(separator),
            on_loss: on_loss_of(on_loss, "on_loss")?,
        }))
    }

    /// Several columns become one text; `into` is a dict of its name and type.
    #[staticmethod]
    #[pyo3(signature = (table, columns, into, separator, *, on_loss=None))]
    fn merge_columns(
        table: &str,
        columns: &Bound<'_, PyAny>,
        into: &Bound<'_, PyAny>,
        separator: &str,
        on_loss: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut fields = fields_of(into)?;
        let (Some(field), true) = (fields.pop(), fields.is_empty()) else {
            return Err(PyValueError::new_err(
                "columns are merged into one; `into` has one name",
            ));
        };
        Ok(Self(Step::MergeColumns {
            table: Text::new(table),
            columns: names_of(columns)?.into_iter().map(Text::from).collect(),
            into: field,
            separator: Text::new(separator),
            on_loss: on_loss_of(on_loss, "on_loss")?,
        }))
    }

    /// A new column that is computed from others whenever they change; `expression` is one of the engine's, as a dict.
    #[staticmethod]
    #[pyo3(signature = (table, column, field, expression, *, on_loss=None))]
    fn compute_column(
        table: &str,
        column: &str,
        field: &Bound<'_, PyAny>,
        expression: &Bound<'_, PyAny>,
        on_loss: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self(Step::ComputeColumn {
            table: Text::new(table),
            field: field_of(column, field)?,
            from: options_of(expression, "expression")?,
            on_loss: on_loss_of(on_loss, "on_loss")?,
        }))
    }

    /// Columns become others by a function of the lineage's `scripts`, named here; with `keep` those that it reads stay.
    #[staticmethod]
    #[pyo3(signature = (table, columns, into, function, *, keep=false))]
    fn script(
        table: &str,
        columns: &Bound<'_, PyAny>,
        into: &Bound<'_, PyAny>,
        function: &str,
        keep: bool,
    ) -> PyResult<Self> {
        Ok(Self(Step::Script {
            table: Text::new(table),
            columns: names_of(columns)?.into_iter().map(Text::from).collect(),
            into: fields_of(into)?,
            keep,
            function: Text::new(function),
        }))
    }

    /// A new index of these columns, in order or, when it is unique, by equality.
    #[staticmethod]
    #[pyo3(signature = (table, columns, *, unique=false))]
    fn add_index(table: &str, columns: &Bound<'_, PyAny>, unique: bool) -> PyResult<Self> {
        let columns = names_of(columns)?;
        let index = if unique {
            IndexSpec::hash(columns).unique()
        } else {
            IndexSpec::ordered(columns)
        };
        Ok(Self(Step::AddIndex {
            table: Text::new(table),
            index,
        }))
    }

    /// An index goes; its name is that of its columns, joined by `_`.
    #[staticmethod]
    fn remove_index(table: &str, index: &str) -> Self {
        Self(Step::RemoveIndex {
            table: Text::new(table),
            index: Text::new(index),
        })
    }

    /// The key is made of other columns.
    #[staticmethod]
    fn change_key(table: &str, key: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Step::ChangeKey {
            table: Text::new(table),
            key: names_of(key)?.into_iter().map(Text::from).collect(),
        }))
    }

    /// Name of the table that the step is about.
    #[getter]
    fn table(&self) -> &str {
        self.0.table()
    }

    /// The step as a dict, as files of migrations have it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &self.0)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| self.0 == other.get().0)
    }

    fn __repr__(&self) -> String {
        format!("Step({})", self.0)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }
}

/// A function of the application as a script: from values to a value, or a tuple of them.
fn called(function: Py<PyAny>) -> impl Fn(&[Value]) -> common::Result<Vec<Value>> + Send + Sync {
    move |values| {
        called_by_engine(|py| {
            let values = values.iter().map(|value| value_to_python(py, value));
            let arguments = PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)?;
            let made = function.bind(py).call1(arguments)?;
            match made.cast::<PyTuple>() {
                Ok(several) => several.iter().map(|one| value_of(&one, "script")).collect(),
                Err(_) => Ok(vec![value_of(&made, "script")?]),
            }
        })
    }
}

fn scripts_of(scripts: Option<&Bound<'_, PyAny>>) -> PyResult<Scripts> {
    let mut named = Scripts::default();
    let Some(scripts) = scripts else {
        return Ok(named);
    };
    for item in scripts.cast::<PyMapping>()?.items()?.iter() {
        let (name, functions): (String, Bound<'_, PyAny>) = item.extract()?;
        let (forward, backward) = if functions.is_callable() {
            (functions, None)
        } else {
            let (forward, backward) = functions.extract().map_err(|_| {
                PyTypeError::new_err(format!(
                    "script '{name}' is a function, or a pair of functions for the way forward and back"
                ))
            })?;
            (forward, Some(backward))
        };
        let script = Script::new(called(forward.unbind()));
        let script = match backward {
            Some(backward) => script.backward(called(backward)),
            None => script,
        };
        named = named.with(name, script);
    }
    Ok(named)
}

/// The chain of versions that an application's tables have had: the first, and for each later one the steps that led there.
///
/// `scripts` is a dict from names to functions, or pairs of functions for the way forward and back, that steps may name. They
/// are called with the values of the columns that they read, and return those of the columns that come.
#[pyclass(frozen, name = "Lineage", module = "syncdb.engine.migration")]
#[derive(Clone)]
pub(super) struct PyLineage(pub(super) Lineage);

#[pymethods]
impl PyLineage {
    #[new]
    #[pyo3(signature = (tables, *, scripts=None))]
    fn new(
        py: Python<'_>,
        tables: &Bound<'_, PyAny>,
        scripts: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let scripts = scripts_of(scripts)?;
        let lineage = Lineage::new(schemas_of(tables)?).or_raise(py)?;
        Ok(Self(lineage.scripts(scripts)))
    }

    /// The lineage with one version more, which these steps lead to. The one at hand stays as it is.
    #[pyo3(signature = (*steps))]
    fn then(&self, py: Python<'_>, steps: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let mut taken = Vec::with_capacity(steps.len());
        for step in steps.iter() {
            taken.push(match step.cast::<PyStep>() {
                Ok(step) => step.get().0.clone(),
                Err(_) => options_of(&step, "step")?,
            });
        }
        let lineage = self.0.clone();
        detached(py, || lineage.then(Migration::new(taken))).map(Self)
    }

    /// Number of the last version; 1 for the first.
    #[getter]
    fn latest(&self) -> u32 {
        self.0.latest().number
    }

    /// The schemas of a version, or of the last one.
    #[pyo3(signature = (version=None))]
    fn tables(&self, py: Python<'_>, version: Option<u32>) -> PyResult<Vec<PySchema>> {
        let version = match version {
            Some(number) => self.0.version(number).or_raise(py)?,
            None => self.0.latest(),
        };
        Ok(version.schemas.values().cloned().map(PySchema).collect())
    }

    /// The steps that lead to a version.
    fn steps(&self, version: u32) -> Vec<PyStep> {
        let migration = self.0.migration(version);
        let steps = migration.into_iter().flat_map(|migration| &migration.steps);
        steps.cloned().map(PyStep).collect()
    }

    /// The chain as JSON, as the command line reads it. Scripts are named, not written.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        let json = self.0.to_json().or_raise(py)?;
        String::from_utf8(json).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Reads what `to_json` wrote, or somebody by hand.
    #[staticmethod]
    #[pyo3(signature = (json, *, scripts=None))]
    fn from_json(py: Python<'_>, json: &str, scripts: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let scripts = scripts_of(scripts)?;
        let lineage = Lineage::from_json(json.as_bytes(), &Limits::default(), scripts);
        lineage.map(Self).or_raise(py)
    }

    fn __repr__(&self) -> String {
        format!("Lineage({} versions)", self.0.latest().number)
    }
}

/// Finds the steps from some schemas to others. Returns tuples `(step, verdict, why)`; the verdict is `"safe"`, `"lossy"` or
/// `"impossible"`.
#[pyfunction]
pub(super) fn plan_steps(
    before: &Bound<'_, PyAny>,
    after: &Bound<'_, PyAny>,
) -> PyResult<Vec<(PyStep, &'static str, Option<String>)>> {
    use syncdb::migration::Verdict;
    let planned = plan(&schemas_of(before)?, &schemas_of(after)?).steps;
    let shown = planned.into_iter().map(|planned| {
        let (verdict, why) = match planned.verdict {
            Verdict::Safe => ("safe", None),
            Verdict::Lossy(why) => ("lossy", Some(why)),
            Verdict::Impossible(why) => ("impossible", Some(why)),
        };
        (PyStep(planned.step), verdict, why)
    });
    Ok(shown.collect())
}

/// Counts what would become of the rows of a server that is brought to the last version of a lineage: a dict from tables to
/// numbers of rows, whole, lossy and refused. Nothing is changed.
#[pyfunction]
#[pyo3(signature = (server, lineage, *, samples_max=10))]
pub(super) fn dry_run_of<'py>(
    server: &Bound<'py, PySyncServer>,
    lineage: &Bound<'py, PyLineage>,
    samples_max: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let py = server.py();
    let server = server.get().server(py)?;
    let lineage = lineage.get().0.clone();
    let latest = lineage.latest().number;
    // Scripts of Python's are called in the thread that reads the rows, as in a deployment.
    let run = apart(py, true, move |_| {
        dry_run(server.database(), &lineage, latest, samples_max)
    })?;
    let shown = PyDict::new(py);
    for (table, report) in &run.tables {
        let one = PyDict::new(py);
        one.set_item("rows", report.rows)?;
        one.set_item("whole", report.whole)?;
        one.set_item("refused", report.refused)?;
        one.set_item("lossy", plain(py, &report.lossy)?)?;
        let samples = PyList::empty(py);
        for sample in &report.samples {
            let after = sample.after.as_ref().unwrap_or(&Value::Null);
            samples.append((
                key_to_python(py, sample.key.values())?,
                &*sample.column,
                value_to_python(py, &sample.before)?,
                value_to_python(py, after)?,
                &sample.why,
            ))?;
        }
        one.set_item("samples", samples)?;
        shown.set_item(&**table, one)?;
    }
    Ok(shown)
}
