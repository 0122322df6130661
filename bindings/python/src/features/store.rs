//! [`FeatureStore`]: entities, views, tags and training sets of one database.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::schema::{Field, FieldType};
use common::{Limits, Text};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use vectordb::feature::{self, BatchReport, Entity, Times, ViewDefinition};
use vectordb::lineage;

use super::as_of::{AsOf, as_of};
use super::lineage::{Lineage, Origin};
use super::retrieval::Retrieval;
use super::training::{TrainingSet, rows_of};
use super::view::FeatureView;
use crate::durable::DurableDatabase;
use crate::interchange::{Home, awaited, id_of, raise, read, watch, write};
use crate::transformers::{names_of, transformer_of, transformer_to_python};

/// Training sets up to this length are made in less time than a signal takes to be noticed.
const ROWS_SHORT: usize = 1_024;

/// What is known of entities, when it happened and when it became known, read as of any time.
///
/// `path` is a file that is made if it is not there, read at once and locked until the store is closed; without one the
/// store is in memory. `store` is a `tandemdb.durable.DurableDatabase` in place of a file: methods that write return when that is
/// safe, and nothing has to be saved. At the end of a `with` block a store with a file is saved, unless there is an exception.
#[pyclass(frozen, module = "vectordb.features")]
pub(crate) struct FeatureStore {
    store: feature::FeatureStore,
    home: Arc<Home>,
}

impl FeatureStore {
    pub(crate) fn home(&self) -> Arc<Home> {
        Arc::clone(&self.home)
    }

    fn view_of(&self, view: feature::FeatureView) -> FeatureView {
        FeatureView(view, self.home.kept())
    }

    fn definition(
        name: &str,
        entity: &str,
        features: &Bound<'_, PyAny>,
        ttl_seconds: Option<u64>,
        description: String,
        owner: String,
    ) -> PyResult<ViewDefinition> {
        let mut definition = ViewDefinition::new(name, entity);
        definition.features = fields_of(features)?;
        definition.ttl_seconds = ttl_seconds;
        definition.description = description;
        definition.owner = owner;
        Ok(definition)
    }

    fn plan(
        &self,
        views: &Bound<'_, PyAny>,
        transformer: Option<&Bound<'_, PyAny>>,
        materialised: bool,
        observer: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Retrieval> {
        let mut builder = self.store.retrieval();
        let mut first = None;
        let mut add = |name: String, features: Vec<String>| {
            builder = builder.clone().features(name.as_str(), features);
            first.get_or_insert(name);
        };
        if let Ok(name) = views.extract::<String>() {
            add(name, Vec::new());
        } else if let Ok(dict) = views.cast::<PyDict>() {
            for (name, features) in dict.iter() {
                let features = if features.is_none() {
                    Vec::new()
                } else {
                    features.extract()?
                };
                add(name.extract()?, features);
            }
        } else {
            for name in views.try_iter()? {
                add(name?.extract()?, Vec::new());
            }
        }
        let transformer = transformer.map(transformer_of).transpose()?;
        if let Some(transformer) = transformer.clone() {
            builder = builder.transform(transformer);
        }
        if materialised {
            builder = builder.materialised();
        }
        let observer = observer.map(|observer| Arc::new(observer.clone().unbind()));
        if let Some(observer) = observer.clone() {
            builder = builder.observer(move |report, took| observed(&observer, report, took));
        }
        let inner = builder.prepare().map_err(raise)?;
        let features: Vec<String> = inner.features().iter().map(ToString::to_string).collect();
        let view = self.store.view(&first.unwrap_or_default()).map_err(raise)?;
        Ok(Retrieval {
            observer,
            outputs: match &transformer {
                Some(transformer) => names_of(transformer, &features),
                None => features,
            },
            keys: view
                .entity()
                .keys
                .iter()
                .map(|key| key.name.clone())
                .collect(),
            store: self.store.clone(),
            inner,
        })
    }
}

/// Reads features: a dict from names to types, or to dicts of type, nullable, default and rules; or a list of such dicts.
fn fields_of(features: &Bound<'_, PyAny>) -> PyResult<Vec<Field>> {
    let Ok(dict) = features.cast::<PyDict>() else {
        return read("list of features", features);
    };
    let field = |(name, given): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let name: String = name.extract()?;
        if given.is_instance_of::<PyString>() {
            // What comes from elsewhere may be missing, unless it is said that it is not.
            return Ok(Field::new(name, type_of(&given)?).nullable());
        }
        let full = given.cast::<PyDict>()?.copy()?;
        full.set_item("name", &name)?;
        if !full.contains("nullable")? {
            full.set_item("nullable", !full.contains("default")?)?;
        }
        read(&format!("definition of feature `{name}`"), full.as_any())
    };
    dict.iter().map(field).collect()
}

fn type_of(name: &Bound<'_, PyAny>) -> PyResult<FieldType> {
    let json = serde_json::Value::from(name.extract::<String>()?);
    serde_json::from_value(json).map_err(|_| {
        pyo3::exceptions::PyValueError::new_err(format!(
            "there is no type {name}: it is one of float, int, bool, text, timestamp, date (keys also uuid)"
        ))
    })
}

#[pymethods]
impl FeatureStore {
    #[new]
    #[pyo3(signature = (path = None, *, read_only = false, store = None), text_signature = "(path=None, *, read_only=False, store=None)")]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        read_only: bool,
        store: Option<&Bound<'_, DurableDatabase>>,
    ) -> PyResult<Self> {
        let home = Home::of(py, path, read_only, store)?;
        let database = home.database().clone();
        let store = home.alter(py, move || feature::FeatureStore::open(&database))?;
        Ok(Self {
            store,
            home: Arc::new(home),
        })
    }

    /// Writes everything to the file of the store, or a copy of it to another.
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

    fn __repr__(&self) -> String {
        let views = self.store.views();
        let views: Vec<&str> = views.iter().map(feature::FeatureView::name).collect();
        format!("FeatureStore({})", views.join(", "))
    }

    /// As of now, by the clock of the store.
    fn now(&self) -> AsOf {
        AsOf(self.store.now())
    }

    /// Adds an entity, with the columns of its key and their types. The same again changes nothing.
    #[pyo3(signature = (name, keys, *, description = String::new()), text_signature = "($self, name, keys, *, description='')")]
    fn create_entity(
        &self,
        py: Python<'_>,
        name: &str,
        keys: &Bound<'_, PyDict>,
        description: String,
    ) -> PyResult<()> {
        let keys = keys
            .iter()
            .map(|(name, ty)| Ok((name.extract::<String>()?, type_of(&ty)?)));
        let mut entity = Entity::new(name, keys.collect::<PyResult<Vec<_>>>()?);
        entity.description = description;
        self.home.change(py, || self.store.create_entity(&entity))
    }

    /// All entities by name: a list of dicts.
    fn entities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write(py, &self.store.entities().map_err(raise)?)
    }

    /// Adds a view.
    ///
    /// `features` is a dict from names to types (`float`, `int`, `bool`, `text`, `timestamp`, `date`), or to dicts with
    /// `type`, `nullable`, `default` and `rules` such as `{"range": {"min": 0, "max": None}}`, `{"one_of": [..]}` or
    /// `{"pattern": ".."}`. Values may be missing unless `nullable` is False. `ttl_seconds` is how long after its event a
    /// value may be used.
    #[pyo3(signature = (name, entity, features, *, ttl_seconds = None, description = String::new(), owner = String::new()),
        text_signature = "($self, name, entity, features, *, ttl_seconds=None, description='', owner='')")]
    #[expect(clippy::too_many_arguments, reason = "keywords")]
    fn create_view(
        &self,
        py: Python<'_>,
        name: &str,
        entity: &str,
        features: &Bound<'_, PyAny>,
        ttl_seconds: Option<u64>,
        description: String,
        owner: String,
    ) -> PyResult<FeatureView> {
        let definition = Self::definition(name, entity, features, ttl_seconds, description, owner)?;
        self.home
            .change(py, || self.store.create_view(definition))
            .map(|view| self.view_of(view))
    }

    /// Gives a view another definition, as its next version; events are kept. Handles of before are out of date then.
    #[pyo3(signature = (name, entity, features, *, ttl_seconds = None, description = String::new(), owner = String::new()),
        text_signature = "($self, name, entity, features, *, ttl_seconds=None, description='', owner='')")]
    #[expect(clippy::too_many_arguments, reason = "keywords")]
    fn alter_view(
        &self,
        py: Python<'_>,
        name: &str,
        entity: &str,
        features: &Bound<'_, PyAny>,
        ttl_seconds: Option<u64>,
        description: String,
        owner: String,
    ) -> PyResult<FeatureView> {
        let definition = Self::definition(name, entity, features, ttl_seconds, description, owner)?;
        let store = self.store.clone();
        self.home
            .alter(py, move || store.alter_view(definition))
            .map(|view| self.view_of(view))
    }

    /// Creates the entities and views of a document (a dict, or JSON) that are new and alters those that differ; says what
    /// was done.
    fn apply<'py>(
        &self,
        py: Python<'py>,
        definitions: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let json = match definitions.extract::<String>() {
            Ok(json) => json,
            Err(_) => {
                let value: serde_json::Value = read("document of definitions", definitions)?;
                value.to_string()
            }
        };
        let store = self.store.clone();
        let applied = self.home.alter(py, move || {
            let definitions = feature::Definitions::from_json(json.as_bytes(), &Limits::default())?;
            store.apply(&definitions)
        });
        write(py, &applied?)
    }

    /// Removes a view with all its events; its definitions stay, for lineage.
    fn drop_view(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.home.change(py, || self.store.drop_view(name))
    }

    /// The view of this name.
    fn view(&self, name: &str) -> PyResult<FeatureView> {
        self.store
            .view(name)
            .map(|view| self.view_of(view))
            .map_err(raise)
    }

    /// All views by name.
    fn views(&self) -> Vec<FeatureView> {
        let views = self.store.views().into_iter();
        views.map(|view| self.view_of(view)).collect()
    }

    /// Numbers of a view's versions in order, also of one that is no more.
    fn versions(&self, view: &str) -> PyResult<Vec<u32>> {
        self.store.versions(view).map_err(raise)
    }

    /// What a version of a view was defined as, also of one that is no more: a dict.
    #[pyo3(name = "definition")]
    fn get_definition<'py>(
        &self,
        py: Python<'py>,
        view: &str,
        version: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        write(py, &self.store.definition(view, version).map_err(raise)?)
    }

    /// Plans a read: `views` is the name of a view, a list of such, or a dict from names to lists of features. A
    /// `transformer` is applied to every row; `materialised`, when rows are written. `observer(report, seconds)` is called
    /// after every batch that is read, with a dict of `present`, `incomplete` and `unread` entities; what it raises is
    /// reported as by `sys.unraisablehook`, for the batch is read.
    #[pyo3(signature = (views, *, transformer = None, materialised = false, observer = None),
        text_signature = "($self, views, *, transformer=None, materialised=False, observer=None)")]
    fn retrieval(
        &self,
        views: &Bound<'_, PyAny>,
        transformer: Option<&Bound<'_, PyAny>>,
        materialised: bool,
        observer: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Retrieval> {
        self.plan(views, transformer, materialised, observer)
    }

    /// Reads features of many entities once: `retrieval(views, transformer=transformer).get_many(keys, as_of)`.
    #[pyo3(signature = (views, keys, as_of = None, *, transformer = None),
        text_signature = "($self, views, keys, as_of=None, *, transformer=None)")]
    fn retrieve<'py>(
        &self,
        py: Python<'py>,
        views: &Bound<'py, PyAny>,
        keys: &Bound<'py, PyAny>,
        as_of: Option<&Bound<'py, PyAny>>,
        transformer: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let retrieval = Bound::new(py, self.plan(views, transformer, false, None)?)?;
        retrieval.call_method1("get_many", (keys, as_of))
    }

    /// As `retrieve`, awaited.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, views, keys, as_of=None, *, transformer=None)")]
    fn retrieve_async<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        awaited(slf.as_any(), "retrieve", args, kwargs)
    }

    /// Joins features to rows as `Retrieval.join` does, and keeps what is needed to do it again: later events, back-fills
    /// among them, change nothing of the set.
    #[pyo3(signature = (name, retrieval, rows, *, at = "event_time", known = None),
        text_signature = "($self, name, retrieval, rows, *, at='event_time', known='event')")]
    fn create_training_set(
        &self,
        py: Python<'_>,
        name: &str,
        retrieval: &Bound<'_, Retrieval>,
        rows: &Bound<'_, PyAny>,
        at: &str,
        known: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<TrainingSet> {
        let retrieval = retrieval.get();
        let event = PyString::new(py, "event").into_any();
        let of = retrieval.rows(rows, at, known.unwrap_or(&event))?;
        let (store, inner, kept) = (
            self.store.clone(),
            retrieval.inner.clone(),
            self.home.kept(),
        );
        let name = name.to_owned();
        // Rows are looked for, joined and written down: Ctrl-C does not wait for many.
        let set = watch::run_if(py, of.keys.len() > ROWS_SHORT, None, move |_| {
            of.keys.with(0, of.keys.len(), |keys| {
                let times = Times::Each(&of.times);
                let set = || store.create_training_set(&name, &inner, keys, times, of.known);
                kept.safely(set)
            })
        });
        Ok(TrainingSet {
            set: set?,
            columns: retrieval.outputs.clone(),
            rows: rows.clone().unbind(),
        })
    }

    /// Makes a training set again, with the same bytes: entities and times with the features, under the names of the
    /// features if they were not transformed.
    fn training_set(&self, py: Python<'_>, id: &str) -> PyResult<TrainingSet> {
        let (store, id) = (self.store.clone(), id.to_owned());
        let (set, rows) = watch::run(py, None, move |_| {
            Ok((store.training_set(&id)?, store.training_rows(&id)?))
        })?;
        let columns = if set.columns == set.features.len() {
            set.features.iter().map(ToString::to_string).collect()
        } else {
            (0..set.columns).map(|at| format!("column_{at}")).collect()
        };
        Ok(TrainingSet {
            columns,
            rows: rows_of(py, &rows)?.into_any().unbind(),
            set,
        })
    }

    /// Names a point in time: reads as of it see what is there now, whatever is written later.
    fn tag(&self, py: Python<'_>, name: &str) -> PyResult<AsOf> {
        self.home.change(py, || self.store.tag(name)).map(AsOf)
    }

    /// The point in time that a tag names.
    fn tagged(&self, name: &str) -> PyResult<AsOf> {
        self.store.tagged(name).map(AsOf).map_err(raise)
    }

    /// All tags: a dict from names to points in time.
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tags = PyDict::new(py);
        for (name, at) in self.store.tags().map_err(raise)? {
            tags.set_item(name.as_str(), AsOf(at))?;
        }
        Ok(tags)
    }

    /// Keeps a fitted transformer under a name, made of the nodes of lineage `fitted_on`; returns its version.
    #[pyo3(signature = (name, transformer, fitted_on = Vec::new()), text_signature = "($self, name, transformer, fitted_on=())")]
    fn save_transformer(
        &self,
        py: Python<'_>,
        name: &str,
        transformer: &Bound<'_, PyAny>,
        fitted_on: Vec<String>,
    ) -> PyResult<String> {
        let transformer = transformer_of(transformer)?;
        let fitted_on: Vec<Text> = fitted_on.into_iter().map(Text::from).collect();
        let saved = || self.store.save_transformer(name, &transformer, &fitted_on);
        Ok(self.home.change(py, saved)?.to_string())
    }

    /// A fitted transformer that was kept: that of a version, or the last one of the name.
    #[pyo3(signature = (name, version = None), text_signature = "($self, name, version=None)")]
    fn transformer<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        version: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let found = self.store.transformer(name, version).map_err(raise)?;
        transformer_to_python(py, found)
    }

    /// Where everything here came from.
    #[getter]
    fn lineage(&self) -> Lineage {
        let all: &lineage::Lineage = self.store.lineage();
        Lineage(all.clone())
    }

    /// Why a read of one feature of one entity gives what it gives.
    #[pyo3(signature = (view, feature, key, as_of = None), text_signature = "($self, view, feature, key, as_of=None)")]
    fn why(
        &self,
        py: Python<'_>,
        view: &str,
        feature: &str,
        key: &Bound<'_, PyAny>,
        as_of: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Origin> {
        let at = self::as_of(as_of, || self.store.now())?;
        let key = id_of(key)?;
        py.detach(|| self.store.why(view, feature, &key, at))
            .map(Origin)
            .map_err(raise)
    }
}

/// Tells an observer of Python's what a batch read and how long it took.
fn observed(observer: &Py<PyAny>, report: &BatchReport, took: Duration) {
    Python::try_attach(|py| {
        let told = PyDict::new(py);
        let called = told
            .set_item("present", report.present)
            .and_then(|()| told.set_item("incomplete", report.incomplete))
            .and_then(|()| told.set_item("unread", report.unread))
            .and_then(|()| observer.call1(py, (&told, took.as_secs_f64())));
        if let Err(raised) = called {
            raised.write_unraisable(py, Some(observer.bind(py)));
        }
    });
}
