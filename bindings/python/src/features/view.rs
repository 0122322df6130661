//! [`FeatureView`]: events of one group of features in, values as of a time out.

use common::{Row, Text, Timestamp};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use vectordb::feature::{self, FeatureBatch, OnInvalid, Times};

use super::as_of::{as_of, time_or_now};
use super::lineage::LineageNode;
use crate::durable::Kept;
use crate::interchange::{
    Column, KeyList, Table, borrowed, change, id_of, micros_of, raise, time_to_python, value_of,
    value_to_python, watch, write,
};

/// Events of one group of features of one entity: take it from `FeatureStore.create_view` or `FeatureStore.view`.
#[pyclass(frozen, module = "vectordb.features")]
#[derive(Clone)]
pub(crate) struct FeatureView(pub(crate) feature::FeatureView, pub(super) Kept);

/// Batches up to this length are written in less time than a thread takes to begin and a signal to be noticed.
const EVENTS_SHORT: usize = 256;

impl FeatureView {
    /// Does what writes, and waits until it is safe.
    fn change<R: Send>(
        &self,
        py: Python<'_>,
        run: impl FnOnce() -> common::Result<R> + Send,
    ) -> PyResult<R> {
        change(py, || self.1.safely(run))
    }

    fn keys(&self) -> Vec<Text> {
        let keys = self.0.entity().keys.iter();
        keys.map(|key| key.name.clone()).collect()
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn row(&self, row: feature::FeatureRow) -> FeatureRow {
        let features = self.0.definition().features.iter();
        FeatureRow {
            names: features.map(|field| field.name.clone()).collect(),
            row,
        }
    }
}

/// Where the events of a batch come from.
fn source_of(
    run: Option<&str>,
    source: Option<&LineageNode>,
    parents: Vec<String>,
) -> PyResult<Option<(Text, vectordb::lineage::LineageNode, Vec<Text>)>> {
    match (run, source) {
        (None, None) => Ok(None),
        (Some(run), Some(source)) => Ok(Some((
            run.into(),
            source.0.clone(),
            parents.into_iter().map(Text::from).collect(),
        ))),
        _ => Err(PyValueError::new_err(
            "give both: `run`, the name of what brought the events, and `source`, the node of what it read",
        )),
    }
}

#[pymethods]
impl FeatureView {
    /// Name of the view.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Name of the entity that its features describe.
    #[getter]
    fn entity(&self) -> &str {
        &self.0.entity().name
    }

    /// Names of the columns of the entity's key.
    #[getter]
    fn key_columns(&self) -> Vec<String> {
        self.keys().iter().map(ToString::to_string).collect()
    }

    /// Names of the features, in order.
    #[getter]
    fn features(&self) -> Vec<String> {
        let features = self.0.definition().features.iter();
        features.map(|field| field.name.to_string()).collect()
    }

    /// Which edition of its definition this is: 1 for the first.
    #[getter]
    fn version(&self) -> u32 {
        self.0.version()
    }

    /// What it holds, as a dict.
    #[getter]
    fn definition<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write(py, self.0.definition())
    }

    /// This version of its definition among the nodes of lineage.
    #[getter]
    fn lineage_node(&self) -> LineageNode {
        LineageNode(self.0.lineage_node())
    }

    /// Number of entities with an event.
    #[getter]
    fn entities(&self) -> usize {
        self.0.entities()
    }

    /// Number of events.
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!(
            "FeatureView({:?}, version={}, events={})",
            self.0.name(),
            self.0.version(),
            self.0.len()
        )
    }

    /// Writes what happened to one entity, now unless a time is given; it becomes known now.
    #[pyo3(signature = (key, values, at = None), text_signature = "($self, key, values, at=None)")]
    fn upsert(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        values: &Bound<'_, PyDict>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Ingested> {
        let key = id_of(key)?;
        let mut row = Row::default();
        for (name, value) in values.iter() {
            row.set(name.extract::<String>()?, value_of(&value)?);
        }
        let at = time_or_now(at, || self.now())?;
        let done = self.change(py, || self.0.upsert(&key, at, row))?;
        Ok(Ingested::new(done))
    }

    /// Writes that an entity is no more from a time on (now unless one is given); what happened before stays.
    #[pyo3(signature = (key, at = None), text_signature = "($self, key, at=None)")]
    fn delete(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let key = id_of(key)?;
        let at = time_or_now(at, || self.now())?;
        Ok(self.change(py, || self.0.delete(&key, at))?.0)
    }

    /// Writes many events in one commit, or none.
    ///
    /// `rows` is a dict of columns (lists, arrays of NumPy, series), a list of dicts, or a table of Arrow, polars or
    /// pandas. It has the key columns of the entity, and features by name; those that are left out are missing. `at` says
    /// when the events happened, and `known` when they became known: the name of a column, or one point in time for all.
    /// Without `at` that is the column `event_time` if there is one, or else now; without `known` the column `known_at`,
    /// or else now.
    ///
    /// `on_invalid` says what becomes of an event that breaks a rule: `refuse` (the whole batch), `skip` (the event) or
    /// `missing` (the value). `run` and `source` write down where the events come from. `progress(done, total)` is called
    /// every 20 ms or so; what it raises, and Ctrl-C, leaves nothing of the batch behind that is not being committed.
    #[pyo3(signature = (rows, *, at = None, known = None, on_invalid = "refuse", run = None, source = None,
        parents = Vec::new(), progress = None),
        text_signature = "($self, rows, *, at=None, known=None, on_invalid='refuse', run=None, source=None, parents=(), progress=None)")]
    #[expect(clippy::too_many_arguments, reason = "keywords")]
    fn ingest(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        at: Option<&Bound<'_, PyAny>>,
        known: Option<&Bound<'_, PyAny>>,
        on_invalid: &str,
        run: Option<&str>,
        source: Option<&LineageNode>,
        parents: Vec<String>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Ingested> {
        let on_invalid: OnInvalid = serde_json::from_value(on_invalid.into()).map_err(|_| {
            PyValueError::new_err(format!(
                "on_invalid is refuse, skip or missing, not {on_invalid:?}"
            ))
        })?;
        let source = source_of(run, source, parents)?;
        let mut table = Table::of(rows)?;
        let keys = KeyList::from_table(&mut table, &self.keys())?;
        let events = times_of(&mut table, at, feature::EVENT_COLUMN)?;
        let known = times_of(&mut table, known, feature::KNOWN_COLUMN)?;
        let count = table.rows;
        let columns: Vec<(String, Column)> = (table.columns.into_iter())
            .map(|(name, column)| (name, column.into_values()))
            .collect();
        let now = self.now();
        let (view, kept) = (self.0.clone(), self.1.clone());
        let done = watch::run_if(py, count > EVENTS_SHORT, progress, move |watch| {
            let texts: Vec<Vec<Option<&str>>> = columns
                .iter()
                .map(|(_, column)| match column {
                    Column::Texts(all) => all.iter().map(Option::as_deref).collect(),
                    _ => Vec::new(),
                })
                .collect();
            keys.with(0, keys.len(), |keys| {
                let mut batch = FeatureBatch::new(keys, now);
                match &events {
                    Some(Moments::All(time)) => batch = FeatureBatch::new(keys, *time),
                    Some(Moments::Each(times)) => batch = batch.at(times),
                    None => {}
                }
                match &known {
                    Some(Moments::All(time)) => batch = batch.known(Times::All(*time)),
                    Some(Moments::Each(times)) => batch = batch.known(Times::Each(times)),
                    None => {}
                }
                for ((name, column), texts) in columns.iter().zip(&texts) {
                    batch = batch.column(name.as_str(), borrowed(column, texts));
                }
                if let Some((run, source, parents)) = source {
                    batch = batch.source(run, source, parents);
                }
                kept.safely(|| {
                    view.ingest_watched(&batch, on_invalid, &mut |done| watch.flow(done, count))
                })
            })
        })?;
        Ok(Ingested::new(done))
    }

    /// What is known of an entity, as of now unless `as_of` says otherwise.
    #[pyo3(signature = (key, as_of = None), text_signature = "($self, key, as_of=None)")]
    #[pyo3(name = "get")]
    fn get_row(
        &self,
        key: &Bound<'_, PyAny>,
        as_of: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<FeatureRow> {
        let at = self::as_of(as_of, || feature::AsOf::event(self.now()))?;
        let row = self.0.get(&id_of(key)?, at).map_err(raise)?;
        Ok(self.row(row))
    }

    /// All events of an entity, by time of event and then of knowledge.
    fn history(&self, key: &Bound<'_, PyAny>) -> PyResult<Vec<FeatureRow>> {
        let rows = self.0.history(&id_of(key)?).map_err(raise)?;
        Ok(rows.into_iter().map(|row| self.row(row)).collect())
    }

    /// Removes all events of entities, as if they had never been, and returns how many there were: for privacy.
    fn forget(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let keys = KeyList::of(keys, &self.keys())?;
        self.change(py, || keys.with(0, keys.len(), |keys| self.0.forget(keys)))
    }

    /// Removes events that no read as of `time` or later sees, and returns how many there were.
    fn forget_before(&self, py: Python<'_>, time: &Bound<'_, PyAny>) -> PyResult<usize> {
        let time = micros_of(time)?;
        self.change(py, || self.0.forget_before(time))
    }

    /// What the values of each feature are like over all entities: a list of dicts.
    #[pyo3(signature = (as_of = None), text_signature = "($self, as_of=None)")]
    fn profile<'py>(
        &self,
        py: Python<'py>,
        as_of: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let at = self::as_of(as_of, || feature::AsOf::event(self.now()))?;
        let view = self.0.clone();
        let profile = watch::run(py, None, move |_| view.profile(at))?;
        write(py, &profile)
    }

    /// How far each feature has moved between two times: a list of dicts with `stability` (PSI), `distance`
    /// (Kolmogorov-Smirnov), `divergence` (Jensen-Shannon), `shift` of the mean and shares of `missing` values.
    #[pyo3(signature = (before, now = None), text_signature = "($self, before, now=None)")]
    fn drift<'py>(
        &self,
        py: Python<'py>,
        before: &Bound<'py, PyAny>,
        now: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let before = as_of(Some(before), feature::AsOf::latest)?;
        let now = as_of(now, || feature::AsOf::event(self.now()))?;
        let view = self.0.clone();
        let drift = watch::run(py, None, move |_| view.drift(before, now))?;
        write(py, &drift)
    }
}

/// Times of a batch.
enum Moments {
    All(Timestamp),
    Each(Vec<Timestamp>),
}

/// Reads times: those of a column that is named, one for all, or those of the usual column if it is there.
fn times_of(
    table: &mut Table,
    given: Option<&Bound<'_, PyAny>>,
    usual: &str,
) -> PyResult<Option<Moments>> {
    let Some(given) = given else {
        let column = table.take_if_there(usual);
        return column
            .map(|column| {
                column
                    .into_times(&format!("column `{usual}`"))
                    .map(Moments::Each)
            })
            .transpose();
    };
    if let Ok(name) = given.cast::<PyString>() {
        let name = name.to_cow()?;
        let column = table.take(&name)?;
        return Ok(Some(Moments::Each(
            column.into_times(&format!("column `{name}`"))?,
        )));
    }
    if let Ok(time) = micros_of(given) {
        return Ok(Some(Moments::All(time)));
    }
    Ok(Some(Moments::Each(
        Column::of(given)?.into_times("the times")?,
    )))
}

/// One event of an entity, or what is left of it as of a time.
#[pyclass(frozen, module = "vectordb.features")]
pub(crate) struct FeatureRow {
    names: Vec<Text>,
    row: feature::FeatureRow,
}

#[pymethods]
impl FeatureRow {
    /// `present`, `missing` (deleted), `expired` or `unknown`.
    #[getter]
    fn status(&self) -> &'static str {
        self.row.status.name()
    }

    /// When it happened; None of an entity that is unknown.
    #[getter]
    fn event_time<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let is_known = self.row.status != feature::Status::Unknown;
        is_known
            .then(|| time_to_python(py, self.row.event))
            .transpose()
    }

    /// When it became known; None of an entity that is unknown.
    #[getter]
    fn known_time<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let is_known = self.row.status != feature::Status::Unknown;
        is_known
            .then(|| time_to_python(py, self.row.known))
            .transpose()
    }

    /// The commit that wrote it.
    #[getter]
    fn seq(&self) -> u64 {
        self.row.seq.0
    }

    /// The values by name of the feature, None where one is missing.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in self.names.iter().zip(&self.row.values) {
            dict.set_item(name.as_str(), value_to_python(py, value)?)?;
        }
        Ok(dict)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let at = self.names.iter().position(|known| *known == name);
        match at.and_then(|at| self.row.values.get(at)) {
            Some(value) => value_to_python(py, value),
            None => Err(pyo3::exceptions::PyKeyError::new_err(format!(
                "there is no feature {name:?}"
            ))),
        }
    }

    fn __repr__(&self) -> String {
        let values = self.names.iter().zip(&self.row.values);
        let values: Vec<String> = values
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!(
            "FeatureRow({}; {})",
            self.row.status.name(),
            values.join(", ")
        )
    }
}

/// What a batch did.
#[pyclass(frozen, get_all, module = "vectordb.features")]
pub(crate) struct Ingested {
    /// The commit; the last one if nothing changed.
    seq: u64,
    /// Events that are new.
    events: usize,
    /// Events that were there already, with the same values.
    unchanged: usize,
    /// Events left out: place in the batch, and why.
    skipped: Vec<(usize, String)>,
    /// Values taken as missing: place in the batch, feature, and why.
    missing: Vec<(usize, String, String)>,
}

impl Ingested {
    fn new(done: feature::Ingested) -> Self {
        let skipped = done.skipped.iter();
        let missing = done.missing.into_iter();
        Self {
            seq: done.seq.0,
            events: done.events,
            unchanged: done.unchanged,
            skipped: skipped
                .map(|(at, error)| (*at, error.to_string()))
                .collect(),
            missing: missing
                .map(|(at, feature, why)| (at, feature.to_string(), why))
                .collect(),
        }
    }
}

#[pymethods]
impl Ingested {
    fn __repr__(&self) -> String {
        format!(
            "Ingested(events={}, unchanged={}, skipped={}, missing={})",
            self.events,
            self.unchanged,
            self.skipped.len(),
            self.missing.len()
        )
    }
}
