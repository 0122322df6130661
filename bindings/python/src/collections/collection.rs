//! `VectorCollection`: vectors with metadata.

use std::path::PathBuf;

use common::query::Cursor;
use common::{Limits, Record, RecordId, Row};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use vectordb::{Scroll, Vectors, evaluate};

use super::hits::{Explanation, FusedHit, Hit};
use super::import::{self, Imported};
use super::searches::{self, Given};
use super::values;
use crate::durable::Kept;
use crate::interchange::{id_of, key_to_python, raise, value_to_python, watch};
use crate::search::array::{self, Matrix};

/// Vectors with metadata: rows with an id, columns of vectors and columns of anything else.
#[pyclass(frozen, subclass, module = "tandemdb._native.collections")]
pub(crate) struct VectorCollection {
    collection: vectordb::VectorCollection,
    kept: Kept,
}

impl VectorCollection {
    pub(super) const fn new(collection: vectordb::VectorCollection, kept: Kept) -> Self {
        Self { collection, kept }
    }

    /// Does what writes, and waits until it is safe.
    fn write<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&vectordb::VectorCollection) -> common::Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| self.kept.safely(|| work(&self.collection)))
            .map_err(raise)
    }

    /// Whether a look at all rows takes longer than a signal may wait.
    fn is_large(&self) -> bool {
        self.collection.count() > ROWS_SHORT
    }

    /// Does what may read all rows; Ctrl-C does not wait for many.
    fn read<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&vectordb::VectorCollection) -> common::Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let collection = self.collection.clone();
        watch::run_if(py, self.is_large(), None, move |_| work(&collection))
    }

    /// A record as a dict of all its columns.
    fn record<'py>(&self, py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (field, value) in self.collection.schema().fields.iter().zip(record.values()) {
            dict.set_item(field.name.as_str(), value_to_python(py, value)?)?;
        }
        Ok(dict)
    }
}

/// How many rows are read before a signal has waited too long.
const ROWS_SHORT: usize = 1 << 16;

/// Rows with their ids.
type Rows<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyDict>)>;

/// The vectors of one row: one, or a dict of several by name. Sparse ones are dicts of positions and weights.
fn vectors_of(given: &Bound<'_, PyAny>) -> PyResult<Vectors> {
    let Ok(named) = given.cast::<PyDict>() else {
        return Ok(array::vector(given)?.into());
    };
    let mut vectors = Vectors::new();
    for (name, vector) in named {
        let name: String = name
            .extract()
            .map_err(|_| PyTypeError::new_err("vectors by name are a dict with keys of str"))?;
        if vector.is_none() {
            continue;
        }
        vectors = if vector.is_instance_of::<PyDict>() {
            vectors.sparse(name, values::sparse_of(&vector)?)
        } else {
            vectors.dense(name, array::vector(&vector)?)
        };
    }
    Ok(vectors)
}

/// The vectors of many rows: an array, or a dict of arrays, and of lists of sparse vectors, by name.
fn vectors_of_rows(given: &Bound<'_, PyAny>, rows: usize) -> PyResult<Vec<Vectors>> {
    let py = given.py();
    let counted = |count: usize| {
        if count == rows {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "there are {rows} ids and {count} vectors"
        )))
    };
    let Ok(named) = given.cast::<PyDict>() else {
        let matrix = Matrix::of(given)?;
        counted(matrix.rows)?;
        let mut all = Vec::with_capacity(rows);
        array::for_each_row(py, &matrix, |vector| all.push(Vectors::from(vector)))?;
        return Ok(all);
    };
    let mut all = vec![Vectors::new(); rows];
    for (name, vectors) in named {
        let name: String = name.extract()?;
        counted(vectors.len()?)?;
        let is_list = vectors.is_instance_of::<PyList>();
        if is_list
            && vectors
                .try_iter()?
                .any(|v| v.is_ok_and(|v| v.is_none() || v.is_instance_of::<PyDict>()))
        {
            for (place, vector) in all.iter_mut().zip(vectors.try_iter()?) {
                let vector = vector?;
                let taken = std::mem::take(place);
                *place = if vector.is_none() {
                    taken
                } else if vector.is_instance_of::<PyDict>() {
                    taken.sparse(name.as_str(), values::sparse_of(&vector)?)
                } else {
                    taken.dense(name.as_str(), array::vector(&vector)?)
                };
            }
            continue;
        }
        let mut places = all.iter_mut();
        array::for_each_row(py, &Matrix::of(&vectors)?, |vector| {
            if let Some(place) = places.next() {
                *place = std::mem::take(place).dense(name.as_str(), vector);
            }
        })?;
    }
    Ok(all)
}

#[pymethods]
impl VectorCollection {
    /// Another handle of a collection.
    #[new]
    fn of(collection: &Self) -> Self {
        Self::new(collection.collection.clone(), collection.kept.clone())
    }

    /// The name.
    #[getter]
    fn name(&self) -> &str {
        self.collection.name()
    }

    /// Number of rows.
    fn __len__(&self) -> usize {
        self.collection.count()
    }

    /// The columns of vectors and their options, as JSON.
    #[getter]
    fn _options(&self) -> PyResult<String> {
        serde_json::to_string(self.collection.options())
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Names of all columns and their types.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        for field in &self.collection.schema().fields {
            columns.set_item(field.name.as_str(), field.ty.to_string())?;
        }
        Ok(columns)
    }

    /// Inserts a row, or replaces the one of this id as a whole.
    #[pyo3(signature = (id, vectors, row=None))]
    fn upsert(
        &self,
        py: Python<'_>,
        id: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
        row: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (id, vectors, row) = (id_of(id)?, vectors_of(vectors)?, values::row_of(row)?);
        self.write(py, |collection| {
            collection.upsert(id, vectors, row).map(drop)
        })
    }

    /// As `upsert` for many rows, all or none.
    #[pyo3(signature = (ids, vectors, rows=None, *, progress=None))]
    fn upsert_many(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
        rows: Option<&Bound<'_, PyAny>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let ids = ids.try_iter()?;
        let ids: Vec<RecordId> = ids.map(|id| id_of(&id?)).collect::<PyResult<_>>()?;
        let vectors = vectors_of_rows(vectors, ids.len())?;
        let rows: Vec<Row> = match rows {
            Some(rows) => rows
                .try_iter()?
                .map(|row| values::row_of(Some(&row?)))
                .collect::<PyResult<_>>()?,
            None => vec![Row::new(); ids.len()],
        };
        let count = ids.len();
        if rows.len() != count {
            return Err(PyValueError::new_err(format!(
                "there are {count} ids and {} rows",
                rows.len()
            )));
        }
        let (collection, kept) = (self.collection.clone(), self.kept.clone());
        watch::run(py, progress, move |watch| {
            let far = watch.far();
            collection.watch_builds(move |done, all| far.note(done, all));
            let all = ids.into_iter().zip(vectors).zip(rows);
            let all = all.map(|((id, vectors), row)| (id, vectors, row));
            let committed = kept.safely(|| collection.upsert_all(all));
            collection.watch_builds(|_, _| {});
            committed.map(|_| count)
        })
    }

    /// Inserts the rows of a file in one commit: CSV, JSON lines, Parquet or Arrow with the columns of the collection, or vectors
    /// alone (`.npy`, `.fvecs`, `.bvecs`, `.ivecs`), which get numbers from `first_id` on as ids. A row takes the place of the
    /// one with its id. Also `.gz` after the name.
    ///
    /// Cells of text files that hold a vector are lists of JSON. `nulls` are texts that stand for no value, and `delimiter`
    /// stands between the fields of a CSV file, which is guessed otherwise. Rows that do not fit raise `ValueError` with line and
    /// column, and nothing is imported, or are left out and reported with `on_invalid='skip'`. `progress(done, all)` is called
    /// while rows are read, then while they are indexed.
    #[pyo3(signature = (path, *, on_invalid="refuse", nulls=Vec::new(), delimiter=None, first_id=0, progress=None),
        text_signature = "($self, path, *, on_invalid='refuse', nulls=(), delimiter=None, first_id=0, progress=None)")]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn import_file(
        &self,
        py: Python<'_>,
        path: PathBuf,
        on_invalid: &str,
        nulls: Vec<String>,
        delimiter: Option<&str>,
        first_id: i64,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Imported> {
        let is_skipping = match on_invalid {
            "refuse" => false,
            "skip" => true,
            other => {
                return Err(PyValueError::new_err(format!(
                    "on_invalid is 'refuse' or 'skip', not {other:?}"
                )));
            }
        };
        let delimiter = match delimiter.map(str::as_bytes) {
            None => None,
            Some([byte]) if byte.is_ascii() => Some(*byte),
            Some(_) => {
                return Err(PyValueError::new_err(
                    "a delimiter is one character of ASCII",
                ));
            }
        };
        let given = import::Given {
            options: ::import::Options {
                nulls,
                delimiter,
                ..::import::Options::default()
            },
            is_skipping,
            first_id,
        };
        let (collection, kept) = (self.collection.clone(), self.kept.clone());
        watch::run(py, progress, move |watch| {
            kept.safely(|| import::import(&collection, &path, &given, watch))
        })
    }

    /// Changes some metadata of a row. Raises `KeyError` when there is no such row.
    fn update(
        &self,
        py: Python<'_>,
        id: &Bound<'_, PyAny>,
        row: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (id, row) = (id_of(id)?, values::row_of(Some(row))?);
        self.write(py, |collection| collection.update(id, row).map(drop))
    }

    /// Changes vectors of a row. Raises `KeyError` when there is no such row.
    fn update_vectors(
        &self,
        py: Python<'_>,
        id: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (id, vectors) = (id_of(id)?, vectors_of(vectors)?);
        self.write(py, |collection| {
            collection.update_vectors(id, vectors).map(drop)
        })
    }

    /// Removes the rows of these ids, or those that pass a filter, in one commit; how many there were.
    #[pyo3(signature = (ids=None, *, filter=None))]
    fn delete(
        &self,
        py: Python<'_>,
        ids: Option<&Bound<'_, PyAny>>,
        filter: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let committed = match (ids, filter) {
            (Some(ids), None) => {
                let ids = ids.try_iter()?;
                let ids: Vec<_> = ids.map(|id| id_of(&id?)).collect::<PyResult<_>>()?;
                self.write(py, |collection| collection.delete_all(ids))
            }
            (None, Some(filter)) => {
                let filter = values::filter_of(filter)?;
                let (collection, kept) = (self.collection.clone(), self.kept.clone());
                watch::run(py, None, move |_| {
                    kept.safely(|| collection.delete_matching(&filter))
                })
            }
            _ => return Err(PyTypeError::new_err("give `ids` or `filter`")),
        };
        Ok(committed?.changes.len())
    }

    /// The row of an id with all its columns, vectors among them, or `None`.
    fn get<'py>(
        &self,
        py: Python<'py>,
        id: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let id = id_of(id)?;
        let record = py.detach(|| self.collection.get(id));
        record.map(|record| self.record(py, &record)).transpose()
    }

    /// The rows of many ids, all of one state; `None` for an id that no row has.
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Option<Bound<'py, PyDict>>>> {
        let ids = ids.try_iter()?;
        let ids: Vec<_> = ids.map(|id| id_of(&id?)).collect::<PyResult<_>>()?;
        let collection = self.collection.clone();
        let is_long = ids.len() > ROWS_SHORT;
        let records = watch::run_if(py, is_long, None, move |_| collection.get_many(ids))?;
        let records = records.iter().map(Option::as_ref);
        records
            .map(|record| record.map(|record| self.record(py, record)).transpose())
            .collect()
    }

    /// A page of rows in the order of their ids, as dicts with their id, and where the next page begins, or `None`.
    #[pyo3(signature = (limit=100, *, filter=None, select=None, after=None))]
    fn scroll<'py>(
        &self,
        py: Python<'py>,
        limit: usize,
        filter: Option<&Bound<'py, PyAny>>,
        select: Option<Vec<String>>,
        after: Option<&str>,
    ) -> PyResult<(Rows<'py>, Option<String>)> {
        let mut scroll = Scroll::new(limit);
        scroll.filter = filter.map(values::filter_of).transpose()?;
        scroll.select = select.map(|names| names.into_iter().map(Into::into).collect());
        let after = after.map(|token| Cursor::parse(token, &Limits::default()));
        scroll.after = after.transpose().map_err(raise)?;
        // With a filter a page may be looked for in all rows.
        let page = self.read(py, move |collection| collection.scroll(&scroll))?;
        let rows = page.rows.iter();
        let rows =
            rows.map(|(id, row)| Ok((key_to_python(py, id.values())?, values::row(py, row)?)));
        let next = page.next.map(|cursor| cursor.token());
        Ok((rows.collect::<PyResult<_>>()?, next))
    }

    /// Number of rows, of those that pass a filter if one is given.
    #[pyo3(signature = (filter=None))]
    fn count(&self, py: Python<'_>, filter: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let Some(filter) = filter.map(values::filter_of).transpose()? else {
            return Ok(self.collection.count());
        };
        self.read(py, move |collection| collection.count_matching(&filter))
    }

    /// The rows nearest to what a search is for, nearest first.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "extracted from an object of Python"
    )]
    fn _search(&self, py: Python<'_>, search: Given<'_>) -> PyResult<Vec<Hit>> {
        let search = search.search()?;
        // An effort for a recall is tuned first.
        let is_long = search.recall.is_some() || self.is_large();
        let collection = self.collection.clone();
        let found = watch::run_if(py, is_long, None, move |_| collection.search(&search))?;
        found.hits.iter().map(|hit| Hit::new(py, hit)).collect()
    }

    /// `_search` for each row of the vectors, all of one state, on all cores.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "extracted from an object of Python"
    )]
    fn _search_many(&self, py: Python<'_>, search: Given<'_>) -> PyResult<Vec<Vec<Hit>>> {
        let searches = search.for_each_row(py)?;
        let collection = self.collection.clone();
        let found = watch::run(py, None, move |_| collection.search_many(&searches))?;
        let hits =
            |found: &vectordb::Found| found.hits.iter().map(|hit| Hit::new(py, hit)).collect();
        found.iter().map(hits).collect()
    }

    /// How a search is answered.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "extracted from an object of Python"
    )]
    fn _explain(&self, py: Python<'_>, search: Given<'_>) -> PyResult<Explanation> {
        let search = search.search()?;
        let told = py.detach(|| self.collection.explain(&search));
        told.map(Explanation).map_err(raise)
    }

    /// Several searches of one state as one ranking.
    #[pyo3(signature = (parts, k=10, *, fusion="reciprocal_rank", constant=60.0, filter=None, select=None))]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "extracted from an object of Python"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn search_hybrid(
        &self,
        py: Python<'_>,
        parts: Vec<Given<'_>>,
        k: usize,
        fusion: &str,
        constant: f64,
        filter: Option<&Bound<'_, PyAny>>,
        select: Option<Vec<String>>,
    ) -> PyResult<Vec<FusedHit>> {
        let hybrid = searches::hybrid(&parts, k, (fusion, constant), filter, select)?;
        let fused = self.read(py, move |collection| collection.search_hybrid(&hybrid))?;
        fused
            .hits
            .iter()
            .map(|hit| FusedHit::new(py, hit))
            .collect()
    }

    /// How each part of a hybrid search is answered.
    #[pyo3(signature = (parts, *, filter=None))]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "extracted from an object of Python"
    )]
    fn explain_hybrid(
        &self,
        py: Python<'_>,
        parts: Vec<Given<'_>>,
        filter: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Explanation>> {
        let hybrid = searches::hybrid(&parts, 1, ("weighted_sum", 0.0), filter, None)?;
        let told = py
            .detach(|| self.collection.explain_hybrid(&hybrid))
            .map_err(raise)?;
        Ok(told.into_iter().map(Explanation).collect())
    }

    /// Which share of the true `k` nearest rows the collection's own search finds, averaged over the rows of `queries`.
    ///
    /// The truth is a scan in 64-bit floats of the vectors as they were given.
    #[pyo3(signature = (queries, k=10))]
    fn measure_recall(
        &self,
        py: Python<'_>,
        queries: &Bound<'_, PyAny>,
        k: usize,
    ) -> PyResult<f64> {
        let mut all: Vec<Vec<f32>> = Vec::new();
        array::for_each_row(py, &Matrix::of(queries)?, |vector| {
            all.push(vector.to_vec());
        })?;
        let collection = self.collection.clone();
        watch::run(py, None, move |_| evaluate::recall(&collection, all, k))
    }

    /// Waits until no index is being built; searches need not wait.
    #[pyo3(signature = (*, progress=None))]
    fn wait_for_indexes(
        &self,
        py: Python<'_>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let collection = self.collection.clone();
        watch::run(py, progress, move |watch| {
            let far = watch.far();
            collection.watch_builds(move |done, all| far.note(done, all));
            let waited = collection.wait_for_indexes();
            collection.watch_builds(|_, _| {});
            waited
        })
    }

    /// Bytes that the indexes take beside the vectors, by part.
    fn index_bytes(
        &self,
        py: Python<'_>,
    ) -> PyResult<std::collections::BTreeMap<&'static str, usize>> {
        let bytes = py.detach(|| self.collection.index_bytes()).map_err(raise)?;
        Ok(bytes.into_iter().collect())
    }

    fn __repr__(&self) -> String {
        format!("<VectorCollection {:?}>", self.collection)
    }
}
