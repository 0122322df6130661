//! `tandemdb._native.experiments`: definition, assignment, exposures and outcomes, analysis.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use common::query::Filter;
use common::schema::{Field, FieldType, Schema};
use common::{Limits, Text, Value};
use numpy::PyArray1;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use vectordb::experiment::{self as engine, AnalysisOptions, Metric, SequentialOptions};

use crate::features::FeatureStore;
use crate::interchange::watch;
use crate::interchange::{
    Column, Home, Table, Units, array, micros_of, raise, read, time_to_python, units_of, value_of,
    write,
};

/// How many units are assigned before a signal has waited too long.
const UNITS_SHORT: usize = 1 << 16;

/// Native part of `vectordb.experiments`.
#[pymodule]
pub(crate) mod experiments {
    #[pymodule_export]
    use super::{Assignment, Experiment, ExperimentLog, Plan, Report, analyse, check_exclusive};
    #[pymodule_export]
    const NO_VARIANT: u8 = vectordb::experiment::NO_VARIANT;
}

/// What is tried on whom, as data: variants, the first of which is the control, with their shares, and who is left out.
#[pyclass(frozen, eq, module = "vectordb.experiments", from_py_object)]
#[derive(Clone, PartialEq)]
pub(crate) struct Experiment(engine::Experiment);

#[pymethods]
impl Experiment {
    #[new]
    #[pyo3(signature = (name, variants, *, weights = None, coverage = 1.0, salt = None, algorithm = None, ranges = None,
        layer = None, holdouts = None, target = None, overrides = None),
        text_signature = "(name, variants, *, weights=None, coverage=1.0, salt=None, algorithm=None, ranges=None, layer=None, holdouts=None, target=None, overrides=None)")]
    #[expect(clippy::too_many_arguments, reason = "keywords")]
    fn new(
        name: &str,
        variants: Vec<String>,
        weights: Option<Vec<f64>>,
        coverage: f64,
        salt: Option<&str>,
        algorithm: Option<&str>,
        ranges: Option<Vec<[f64; 2]>>,
        layer: Option<(String, f64, f64)>,
        holdouts: Option<BTreeMap<String, f64>>,
        target: Option<&Bound<'_, PyAny>>,
        overrides: Option<BTreeMap<String, String>>,
    ) -> PyResult<Self> {
        let mut experiment = engine::Experiment::new(name, variants).coverage(coverage);
        experiment.weights = weights;
        experiment.salt = salt.map(Text::from);
        experiment.ranges = ranges;
        if let Some(algorithm) = algorithm {
            experiment.algorithm = serde_json::from_value(algorithm.into()).map_err(|error| {
                PyValueError::new_err(format!("algorithm {algorithm:?}: {error}"))
            })?;
        }
        if let Some((layer, from, to)) = layer {
            experiment = experiment.slice(engine::Slice::new(layer, from, to));
        }
        for (name, share) in holdouts.unwrap_or_default() {
            experiment = experiment.holdout(engine::Holdout::new(name, share));
        }
        if let Some(target) = target {
            let filter = match target.extract::<String>() {
                Ok(text) => Filter::parse(&text).map_err(raise)?,
                Err(_) => read("filter", target)?,
            };
            experiment = experiment.target(filter);
        }
        for (unit, variant) in overrides.unwrap_or_default() {
            experiment = experiment.assign_unit(unit, variant);
        }
        experiment.check().map_err(raise)?;
        Ok(Self(experiment))
    }

    /// Its name, under which exposures are logged.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Names of the variants; the first one is the control.
    #[getter]
    fn variants(&self) -> Vec<String> {
        self.0.variants.iter().map(ToString::to_string).collect()
    }

    /// The share of all units that take part.
    #[getter]
    fn coverage(&self) -> f64 {
        self.0.coverage
    }

    /// The share that each variant should have of the units that take part.
    #[getter]
    fn shares(&self) -> PyResult<Vec<f64>> {
        self.0.shares().map_err(raise)
    }

    /// The same with another coverage: a ramp, which moves nobody between variants.
    fn ramp(&self, coverage: f64) -> PyResult<Self> {
        let wider = self.0.clone().coverage(coverage);
        wider.check().map_err(raise)?;
        Ok(Self(wider))
    }

    /// The definition as JSON.
    fn to_json(&self) -> PyResult<String> {
        let json = self.0.to_json().map_err(raise)?;
        Ok(String::from_utf8(json).unwrap_or_default())
    }

    /// Reads what `to_json` writes, and checks it.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        let read = engine::Experiment::from_json(text.as_bytes(), &Limits::default());
        read.map(Self).map_err(raise)
    }

    /// Compiles it to what assigns units. `attributes` are names and types of what a target is about:
    /// `{"country": "text", "age": "int"}`.
    #[pyo3(signature = (attributes = None), text_signature = "($self, attributes=None)")]
    fn compile(&self, attributes: Option<&Bound<'_, PyDict>>) -> PyResult<Plan> {
        let mut names = Vec::new();
        let schema = attributes
            .map(|attributes| {
                let mut fields = Vec::new();
                for (name, ty) in attributes.iter() {
                    let name: String = name.extract()?;
                    let ty: FieldType = serde_json::from_value(ty.extract::<String>()?.into())
                        .map_err(|error| {
                            PyValueError::new_err(format!("attribute {name:?}: {error}"))
                        })?;
                    fields.push(Field::new(name.as_str(), ty).nullable());
                    names.push(name);
                }
                if let Some(first) = fields.first_mut() {
                    // A schema has a key, and a key has no nulls; attributes are read by place alone.
                    first.nullable = false;
                }
                let key = names.first().cloned().unwrap_or_default();
                let schema = fields
                    .into_iter()
                    .fold(Schema::build("attributes", [key]), |schema, field| {
                        schema.field(field)
                    });
                schema.finish().map_err(raise)
            })
            .transpose()?;
        let plan = self.0.compile(schema.as_ref()).map_err(raise)?;
        Ok(Plan {
            plan: Arc::new(plan),
            attributes: names,
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((slf.getattr("from_json")?, (slf.get().to_json()?,)))
    }

    fn __repr__(&self) -> String {
        format!(
            "Experiment({:?}, {:?}, coverage={})",
            &*self.0.name,
            self.variants(),
            self.0.coverage
        )
    }
}

/// Which variant a unit has, and how it came to that.
#[pyclass(frozen, eq, module = "vectordb.experiments", from_py_object)]
#[derive(Clone, PartialEq)]
pub(crate) struct Assignment(engine::Assignment);

#[pymethods]
impl Assignment {
    /// The experiment's name.
    #[getter]
    fn experiment(&self) -> &str {
        &self.0.experiment
    }

    /// Who.
    #[getter]
    fn unit(&self) -> &str {
        &self.0.unit
    }

    /// The variant's name; None if the unit does not take part.
    #[getter]
    fn variant(&self) -> Option<&str> {
        self.0.variant.as_deref()
    }

    /// Why: `override`, `sticky`, `hash`, `no_unit`, `holdout`, `layer`, `target` or `coverage`.
    #[getter]
    fn reason<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write(py, &self.0.reason)
    }

    /// The salt that was hashed.
    #[getter]
    fn salt(&self) -> &str {
        &self.0.salt
    }

    /// How it was hashed.
    #[getter]
    fn algorithm(&self) -> &'static str {
        self.0.algorithm.name()
    }

    /// The form that is stored.
    fn to_json(&self) -> PyResult<String> {
        let json = self.0.to_json().map_err(raise)?;
        Ok(String::from_utf8(json).unwrap_or_default())
    }

    /// Reads what `to_json` writes.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        let read = engine::Assignment::from_json(text.as_bytes(), &Limits::default());
        read.map(Self).map_err(raise)
    }

    fn __repr__(&self) -> String {
        format!(
            "Assignment({:?}, {:?} -> {:?})",
            &*self.0.experiment,
            &*self.0.unit,
            self.0.variant.as_deref()
        )
    }
}

/// An experiment compiled, which assigns units one at a time or many at once: take it from `Experiment.compile`.
///
/// A unit is a text, or an integer that is hashed as its digits.
#[pyclass(frozen, module = "vectordb.experiments")]
pub(crate) struct Plan {
    plan: Arc<engine::Plan>,
    attributes: Vec<String>,
}

fn unit_of(unit: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = unit.extract::<String>() {
        return Ok(text);
    }
    match unit.extract::<u64>() {
        Ok(number) => Ok(number.to_string()),
        Err(_) => Err(PyTypeError::new_err("a unit is a str, or an int from 0 on")),
    }
}

impl Plan {
    fn attributes_of(&self, given: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<Value>> {
        let value = |name: &String| match given {
            None => Ok(Value::Null),
            Some(given) => match given.get_item(name)? {
                Some(value) => value_of(&value),
                None => Ok(Value::Null),
            },
        };
        if let Some(given) = given {
            for (name, _) in given.iter() {
                let name: String = name.extract()?;
                if !self.attributes.contains(&name) {
                    return Err(PyValueError::new_err(format!(
                        "there is no attribute {name:?}; the experiment was compiled with {:?}",
                        self.attributes
                    )));
                }
            }
        }
        self.attributes.iter().map(value).collect()
    }

    fn name_of(&self, variant: u8) -> Option<String> {
        let variants = &self.plan.experiment().variants;
        variants.get(usize::from(variant)).map(ToString::to_string)
    }
}

#[pymethods]
impl Plan {
    /// The experiment that was compiled.
    #[getter]
    fn experiment(&self) -> Experiment {
        Experiment(self.plan.experiment().clone())
    }

    /// The name of a unit's variant, None if it does not take part. Attributes that are left out are missing.
    #[pyo3(signature = (unit, attributes = None), text_signature = "($self, unit, attributes=None)")]
    fn assign(
        &self,
        unit: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<String>> {
        let attributes = self.attributes_of(attributes)?;
        let variant = self
            .plan
            .assign(&unit_of(unit)?, &attributes)
            .map_err(raise)?;
        Ok(self.name_of(variant))
    }

    /// As `assign`, with the reason, in the form that is stored. A `stored` assignment is kept while it can be.
    #[pyo3(signature = (unit, attributes = None, stored = None), text_signature = "($self, unit, attributes=None, stored=None)")]
    fn explain(
        &self,
        unit: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
        stored: Option<Assignment>,
    ) -> PyResult<Assignment> {
        let attributes = self.attributes_of(attributes)?;
        let stored = stored.map(|stored| stored.0);
        let found = self
            .plan
            .explain(&unit_of(unit)?, &attributes, stored.as_ref());
        found.map(Assignment).map_err(raise)
    }

    /// Numbers of the variants of many units, an array of uint8; `NO_VARIANT` (255) of those that do not take part. With a
    /// target, `attributes` is a table: a dict of columns, a list of dicts, or Arrow.
    #[pyo3(signature = (units, attributes = None), text_signature = "($self, units, attributes=None)")]
    fn assign_all<'py>(
        &self,
        py: Python<'py>,
        units: &Bound<'py, PyAny>,
        attributes: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let units = units_of(units)?;
        let Some(attributes) = attributes else {
            let plan = self.plan.clone();
            let variants =
                watch::run_if(py, units.len() > UNITS_SHORT, None, move |_| match &units {
                    Units::Numbers(units) => plan.assign_numbers(units),
                    Units::Texts(units) => plan.assign_all(units),
                });
            return Ok(array(py, variants?));
        };
        let mut table = Table::of(attributes)?;
        let columns = self.attributes.iter().map(|name| table.take(name));
        let columns: Vec<Column> = columns.collect::<PyResult<_>>()?;
        let units: Vec<String> = match units {
            Units::Numbers(units) => units.iter().map(ToString::to_string).collect(),
            Units::Texts(units) => units,
        };
        if table.rows != units.len() {
            return Err(PyValueError::new_err(format!(
                "there are {} units, but attributes of {}",
                units.len(),
                table.rows
            )));
        }
        let plan = self.plan.clone();
        let decisions = watch::run_if(py, units.len() > UNITS_SHORT, None, move |_| {
            let rows = units.iter().enumerate().map(|(at, unit)| {
                let row: Vec<Value> = columns.iter().map(|column| column.get(at)).collect();
                (unit, row)
            });
            plan.decide_all(rows)
        })?;
        Ok(array(
            py,
            decisions.iter().map(|decision| decision.variant).collect(),
        ))
    }

    /// What another plan would change, as shares of all units: `enters`, `leaves`, `moves`.
    fn change_to<'py>(&self, py: Python<'py>, other: &Self) -> PyResult<Bound<'py, PyDict>> {
        let change = self.plan.change_to(&other.plan).map_err(raise)?;
        let dict = PyDict::new(py);
        dict.set_item("enters", change.enters)?;
        dict.set_item("leaves", change.leaves)?;
        dict.set_item("moves", change.moves)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Plan({:?})", &*self.plan.experiment().name)
    }
}

/// Refuses experiments that could share a unit: all are to be in one layer, in disjoint parts of it.
#[pyfunction]
fn check_exclusive(experiments: Vec<Experiment>) -> PyResult<()> {
    let all: Vec<engine::Experiment> = experiments.into_iter().map(|one| one.0).collect();
    engine::check_exclusive(&all).map_err(raise)
}

/// Who met which variant, and what came of it, in tables of a database.
///
/// `home` is the path of a file, which is made if it is not there and saved at the end of a `with` block; a `FeatureStore`,
/// in whose database the tables are then; or nothing, for a log in memory.
#[pyclass(frozen, module = "vectordb.experiments")]
pub(crate) struct ExperimentLog {
    log: engine::ExperimentLog,
    home: Arc<Home>,
}

impl ExperimentLog {
    fn at(&self, given: Option<&Bound<'_, PyAny>>) -> PyResult<common::Timestamp> {
        given.map_or_else(|| Ok(self.home.database().clock().now()), micros_of)
    }
}

#[pymethods]
impl ExperimentLog {
    #[new]
    #[pyo3(signature = (home = None), text_signature = "(home=None)")]
    fn new(py: Python<'_>, home: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let home = match home {
            None => Arc::new(Home::open(py, None, false)?),
            Some(home) => match home.cast::<FeatureStore>() {
                Ok(store) => store.get().home(),
                Err(_) => Arc::new(Home::open(py, Some(home.extract::<PathBuf>()?), false)?),
            },
        };
        let log = engine::ExperimentLog::open(home.database()).map_err(raise)?;
        Ok(Self { log, home })
    }

    /// Writes everything to the file of the log, or a copy of it to another.
    #[pyo3(signature = (path = None), text_signature = "($self, path=None)")]
    fn save(&self, py: Python<'_>, path: Option<PathBuf>) -> PyResult<()> {
        self.home.save(py, path)
    }

    /// Lets go of the file, without saving.
    fn close(&self) {
        self.home.close();
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (kind, error, traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (error, traceback);
        self.home.leave(py, !kind.is_none())
    }

    /// Assigns a unit and keeps its variant: from then on it has that, whatever becomes of shares and targets.
    #[pyo3(signature = (plan, unit, attributes = None), text_signature = "($self, plan, unit, attributes=None)")]
    fn assign(
        &self,
        py: Python<'_>,
        plan: &Plan,
        unit: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Assignment> {
        let attributes = plan.attributes_of(attributes)?;
        let unit = unit_of(unit)?;
        self.home
            .change(py, || self.log.assign(&plan.plan, &unit, &attributes))
            .map(Assignment)
    }

    /// Notes that a unit met its variant, now unless a time is given; of several times the first counts.
    #[pyo3(signature = (assignment, at = None), text_signature = "($self, assignment, at=None)")]
    fn expose(
        &self,
        py: Python<'_>,
        assignment: &Assignment,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let at = self.at(at)?;
        self.home.change(py, || self.log.expose(&assignment.0, at))
    }

    /// Assigns many units by hash and notes that each met its variant; returns the numbers of the variants, as
    /// `Plan.assign_all`.
    #[pyo3(signature = (plan, units, at = None), text_signature = "($self, plan, units, at=None)")]
    fn expose_all<'py>(
        &self,
        py: Python<'py>,
        plan: &Plan,
        units: &Bound<'py, PyAny>,
        at: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let units: Vec<String> = match units_of(units)? {
            Units::Numbers(units) => units.iter().map(ToString::to_string).collect(),
            Units::Texts(units) => units,
        };
        let at = self.at(at)?;
        let mut variants = Vec::with_capacity(units.len());
        for block in units.chunks(4_096) {
            self.home.change(py, || {
                let assignments = block.iter().map(|unit| plan.plan.explain(unit, &[], None));
                let assignments = assignments.collect::<common::Result<Vec<_>>>()?;
                self.log.expose_all(&assignments, at)?;
                for assignment in assignments {
                    let names = &plan.plan.experiment().variants;
                    let number = names
                        .iter()
                        .position(|name| Some(name) == assignment.variant.as_ref());
                    let number = number.and_then(|number| u8::try_from(number).ok());
                    variants.push(number.unwrap_or(engine::NO_VARIANT));
                }
                Ok(())
            })?;
            py.check_signals()?;
        }
        Ok(array(py, variants))
    }

    /// Notes what a unit brought, now unless a time is given. The same event again replaces the first.
    #[pyo3(signature = (event, unit, metric, value = 1.0, at = None), text_signature = "($self, event, unit, metric, value=1.0, at=None)")]
    fn record(
        &self,
        py: Python<'_>,
        event: &str,
        unit: &Bound<'_, PyAny>,
        metric: &str,
        value: f64,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (unit, at) = (unit_of(unit)?, self.at(at)?);
        self.home
            .change(py, || self.log.record(event, &unit, metric, at, value))
    }

    /// Notes many outcomes: a table with the columns `event`, `unit`, `metric`, `value` and, unless all happened now, `at`.
    fn record_all(&self, py: Python<'_>, rows: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut table = Table::of(rows)?;
        let mut texts = |name: &str| -> PyResult<Vec<String>> {
            let column = table.take(name)?;
            let text = |at| match column.get(at) {
                Value::Text(text) => Ok(text.as_str().to_owned()),
                Value::Int(number) => Ok(number.to_string()),
                _ => Err(PyTypeError::new_err(format!(
                    "row {at} of column `{name}` is no text"
                ))),
            };
            (0..column.len()).map(text).collect()
        };
        let (events, units, metrics) = (texts("event")?, texts("unit")?, texts("metric")?);
        let values = table.take("value")?.into_floats("column `value`")?;
        let times = match table.take_if_there("at") {
            Some(column) => column.into_times("column `at`")?,
            None => vec![self.at(None)?; values.len()],
        };
        for from in (0..values.len()).step_by(4_096) {
            self.home.change(py, || {
                let rows = events
                    .iter()
                    .zip(&units)
                    .zip(&metrics)
                    .zip(&times)
                    .zip(&values);
                let outcomes = rows.map(|((((event, unit), metric), at), value)| engine::Outcome {
                    event,
                    unit,
                    metric,
                    at: *at,
                    value: *value,
                });
                let noted = self.log.record_all(outcomes.skip(from).take(4_096));
                noted.map_err(|error| error.at(format!("rows from {from} on")))
            })?;
            py.check_signals()?;
        }
        Ok(values.len())
    }

    /// The first exposure of every unit of an experiment: a dict from units to `variant`, `at` and `is_crossed`.
    fn exposures<'py>(&self, py: Python<'py>, experiment: &str) -> PyResult<Bound<'py, PyDict>> {
        let (log, experiment) = (self.log.clone(), experiment.to_owned());
        let exposures = watch::run(py, None, move |_| log.exposures(&experiment))?;
        let all = PyDict::new(py);
        for (unit, exposure) in exposures {
            let one = PyDict::new(py);
            one.set_item("variant", exposure.variant.as_str())?;
            one.set_item("at", time_to_python(py, exposure.at)?)?;
            one.set_item("is_crossed", exposure.is_crossed)?;
            all.set_item(unit.as_str(), one)?;
        }
        Ok(all)
    }
}

/// A metric: a name for its mean, a dict such as `{"cuped": "revenue"}`, `{"proportion": "orders"}` or
/// `{"ratio": {"numerator": "revenue", "denominator": "orders"}}`.
fn metric_of(metric: &Bound<'_, PyAny>) -> PyResult<Metric> {
    match metric.extract::<String>() {
        Ok(name) => Ok(Metric::Mean(name.into())),
        Err(_) => read("metric", metric),
    }
}

/// Analyses an experiment as of now: sample ratio first, then every variant against the control by every metric, always
/// valid and for one look, with p-values adjusted after Holm.
#[pyfunction]
#[pyo3(signature = (log, experiment, metrics, *, confidence = 0.95, level = 0.05, units_planned = 5000, units_min = 50),
    text_signature = "(log, experiment, metrics, *, confidence=0.95, level=0.05, units_planned=5000, units_min=50)")]
#[expect(clippy::too_many_arguments, reason = "keywords")]
fn analyse(
    py: Python<'_>,
    log: &ExperimentLog,
    experiment: &Experiment,
    metrics: &Bound<'_, PyAny>,
    confidence: f64,
    level: f64,
    units_planned: u64,
    units_min: u64,
) -> PyResult<Report> {
    let metrics: Vec<Metric> = match metrics.cast::<PyList>() {
        Ok(list) => list
            .iter()
            .map(|metric| metric_of(&metric))
            .collect::<PyResult<_>>()?,
        Err(_) => vec![metric_of(metrics)?],
    };
    let options = AnalysisOptions {
        confidence,
        sequential: SequentialOptions {
            level,
            units_planned,
            units_min,
        },
    };
    let (log, experiment) = (log.log.clone(), experiment.0.clone());
    watch::run(py, None, move |_| {
        engine::analyse(&log, &experiment, &metrics, options)
    })
    .map(Report)
}

/// What an analysis found: as a dict, JSON, Markdown and SVG.
#[pyclass(frozen, module = "vectordb.experiments")]
pub(crate) struct Report(engine::Report);

#[pymethods]
impl Report {
    /// The experiment's name.
    #[getter]
    fn experiment(&self) -> &str {
        &self.0.experiment
    }

    /// Units in each variant, by name.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = PyDict::new(py);
        for (variant, count) in self.0.variants.iter().zip(&self.0.counts) {
            counts.set_item(variant.as_str(), count)?;
        }
        Ok(counts)
    }

    /// Whether as many units were counted in each variant as their shares let expect.
    #[getter]
    fn sample_ratio<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write(py, &self.0.sample_ratio)
    }

    /// One dict for each metric, with the comparisons of its variants.
    #[getter]
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write(py, &self.0.metrics)
    }

    /// All of it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write(py, &self.0)
    }

    /// All of it as JSON.
    fn to_json(&self) -> PyResult<String> {
        serde_json::to_string(&self.0).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// One table for each metric.
    fn to_markdown(&self) -> String {
        self.0.to_markdown()
    }

    /// A forest plot.
    fn to_svg(&self) -> String {
        self.0.to_svg()
    }

    /// What a notebook shows.
    fn _repr_svg_(&self) -> String {
        self.0.to_svg()
    }

    /// What a notebook shows that has no pictures.
    fn _repr_markdown_(&self) -> String {
        self.0.to_markdown()
    }

    fn __repr__(&self) -> String {
        format!(
            "Report({:?}, counts={:?})",
            &*self.0.experiment, self.0.counts
        )
    }
}
