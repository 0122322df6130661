//! `VectorDb`: collections of vectors with metadata.

use std::path::PathBuf;

use common::schema::{Field, FieldType};
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Deserialize;
use vectordb::{CollectionOptions, SparseOptions, VectorOptions};

use super::collection::VectorCollection;
use crate::durable::{DurableDatabase, Kept};
use crate::interchange::{raise, watch};

/// The file of the indexes in the folder of a store.
const INDEXES: &str = "vectors.indexes";

/// Collections of vectors with metadata: in memory, where `save` and `open` keep them in files, or in a store.
#[pyclass(frozen, subclass, module = "tandemdb._native.collections")]
pub(crate) struct VectorDb {
    /// None once it is closed.
    db: Mutex<Option<vectordb::VectorDb>>,
    kept: Kept,
}

/// Options of a collection as `vectordb.collections` writes them.
#[derive(Deserialize)]
struct Options {
    key: FieldType,
    vectors: Vec<serde_json::Map<String, serde_json::Value>>,
    sparse: Vec<SparseOptions>,
    fields: Vec<Field>,
}

fn unread(error: &serde_json::Error) -> PyErr {
    PyValueError::new_err(format!("options of a collection: {error}"))
}

impl VectorDb {
    fn get(&self) -> PyResult<vectordb::VectorDb> {
        let db = self.db.lock().clone();
        db.ok_or_else(|| PyRuntimeError::new_err("the database is closed; open it again"))
    }
}

#[pymethods]
impl VectorDb {
    /// An empty database, what `save` wrote to a file, or the collections of a store.
    #[new]
    #[pyo3(signature = (path=None, *, store=None))]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        store: Option<&Bound<'_, DurableDatabase>>,
    ) -> PyResult<Self> {
        let kept = Kept::of(store);
        let db = match (path, kept.store().cloned()) {
            (Some(_), Some(_)) => {
                return Err(PyTypeError::new_err(
                    "give `path`, what `save` wrote, or `store`, a folder that is written with every commit",
                ));
            }
            (Some(path), None) => watch::run(py, None, move |_| vectordb::VectorDb::open(path))?,
            (None, Some(store)) => watch::run(py, None, move |_| {
                let indexes = store.folder().join(INDEXES);
                vectordb::VectorDb::open_with_indexes(store.database(), indexes)
            })?,
            (None, None) => vectordb::VectorDb::new(),
        };
        Ok(Self {
            db: Mutex::new(Some(db)),
            kept,
        })
    }

    /// Creates an empty collection from its options as JSON.
    fn _create(&self, py: Python<'_>, name: &str, options: &str) -> PyResult<VectorCollection> {
        let given: Options = serde_json::from_str(options).map_err(|error| unread(&error))?;
        let mut options = CollectionOptions::new().key(given.key);
        for vectors in given.vectors {
            let has_precision = vectors.contains_key("precision");
            let read = serde_json::from_value(serde_json::Value::Object(vectors));
            let read: VectorOptions = read.map_err(|error| unread(&error))?;
            let precision = if has_precision {
                read.precision
            } else {
                read.metric.precision()
            };
            options = options.vectors(read.precision(precision));
        }
        for sparse in given.sparse {
            options = options.sparse(sparse);
        }
        let db = self.get()?;
        let create = || db.create_collection(name, options, given.fields);
        let collection = py.detach(|| self.kept.safely(create)).map_err(raise)?;
        Ok(VectorCollection::new(collection, self.kept.clone()))
    }

    /// The collection of this name. Raises `KeyError`, with the names there are.
    fn collection(&self, name: &str) -> PyResult<VectorCollection> {
        let collection = self.get()?.collection(name).map_err(raise)?;
        Ok(VectorCollection::new(collection, self.kept.clone()))
    }

    /// Names of the collections, sorted.
    fn names(&self) -> PyResult<Vec<String>> {
        let collections = self.get()?.collections();
        Ok(collections.iter().map(|c| c.name().to_owned()).collect())
    }

    /// Removes a collection with its rows.
    fn drop_collection(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let db = self.get()?;
        let drop = || db.drop_collection(name);
        py.detach(|| self.kept.safely(drop)).map_err(raise)
    }

    /// Saves all rows to `path`, and what searches need to `path.vectors`, while other threads go on.
    ///
    /// Each file changes as a whole or not at all; saving again to the same path writes only what changed of the second.
    fn save<'py>(&self, py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyDict>> {
        let db = self.get()?;
        let saved = watch::run(py, None, move |_| db.save(path))?;
        let report = PyDict::new(py);
        report.set_item("rows_bytes", saved.rows.bytes)?;
        report.set_item("pages", saved.indexes.pages)?;
        report.set_item("pages_written", saved.indexes.written)?;
        Ok(report)
    }

    /// Saves what searches need beside the rows of the store, so that the next program need not build it. The rows are safe
    /// without it; `close` does it too.
    fn save_indexes(&self, py: Python<'_>) -> PyResult<()> {
        let (db, kept) = (self.get()?, self.kept.clone());
        let Some(store) = kept.store().cloned() else {
            return Err(PyTypeError::new_err(
                "it has no store; `save(path)` writes rows and indexes to files",
            ));
        };
        watch::run(py, None, move |_| {
            kept.settle()?;
            db.save_indexes(store.folder().join(INDEXES)).map(drop)
        })
    }

    /// Gives up the database and its files. Without a store what was not saved is gone; of a store the indexes are saved.
    /// Collections that are still held stay usable.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let saved = if self.kept.store().is_some() && !self.is_closed() {
            self.save_indexes(py)
        } else {
            Ok(())
        };
        let db = self.db.lock().take();
        py.detach(|| drop(db));
        saved
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.db.lock().is_none()
    }
}
