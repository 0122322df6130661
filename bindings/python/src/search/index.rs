//! `Index`: vectors by number with an index of them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use common::Slot;
use import::vectors::VectorReader;
use parking_lot::{Mutex, RwLock};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use vectordb::core::{Precision, SlotSet};
use vectordb::{
    Access, Additions, Diversity, Effort, IndexFile, IndexOptions, IndexedTable, Metric, Wanted,
    evaluate,
};

use super::array::{self, Matrix};
use crate::interchange::raise;
use crate::interchange::watch::{self, Watch};

/// Queries that are answered between two reports of progress.
const QUERIES_AT_ONCE: usize = 256;

/// Vectors of one dimension, each by its number, and what finds the nearest of them.
#[pyclass(frozen, subclass, module = "tandemdb._native.search")]
pub(crate) struct Index {
    shared: Arc<Shared>,
}

struct Shared {
    table: RwLock<IndexedTable>,
    /// Held by whoever changes the table; taken before the table's lock, and never while Python code runs.
    writer: Mutex<()>,
    /// Where it was saved last, which knows what is there.
    file: Mutex<Option<(PathBuf, IndexFile)>>,
}

impl Shared {
    fn new(table: IndexedTable) -> Arc<Self> {
        Arc::new(Self {
            table: RwLock::new(table),
            writer: Mutex::new(()),
            file: Mutex::new(None),
        })
    }

    /// The state as it is now; later changes do not show in it.
    fn now(&self) -> IndexedTable {
        self.table.read().clone()
    }
}

/// An index that was opened, on its way into an `Index` of the class that fits its kind.
#[pyclass(frozen, module = "tandemdb._native.search")]
pub(crate) struct OpenedIndex {
    table: IndexedTable,
}

#[pymethods]
impl OpenedIndex {
    /// Opens what `Index.save` wrote.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, access: &str) -> PyResult<Self> {
        let access = match access {
            "map" => Access::Map,
            "memory" => Access::Memory,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "`access` is 'map' or 'memory', not '{access}'"
                )));
            }
        };
        let opened = watch::run(py, None, move |_| IndexFile::open(path, access))?;
        Ok(Self {
            table: IndexedTable::of(opened.0, opened.1),
        })
    }

    /// The options of the index, as JSON.
    #[getter]
    fn options(&self) -> PyResult<String> {
        options_json(&self.table)
    }
}

fn options_json(table: &IndexedTable) -> PyResult<String> {
    serde_json::to_string(table.index().options())
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

fn precision_named(name: &str) -> PyResult<Precision> {
    let named = Precision::ALL.into_iter().find(|p| p.name() == name);
    named.ok_or_else(|| {
        let known = Precision::ALL.map(Precision::name).join(", ");
        PyValueError::new_err(format!("no precision is named `{name}`; there are {known}"))
    })
}

fn threads() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What a search may take, from its two keyword arguments.
fn effort(effort: Option<usize>, recall: Option<f64>) -> PyResult<Effort> {
    match (effort, recall) {
        (None, None) => Ok(Effort::Usual),
        (Some(effort), None) => Ok(Effort::Of(effort)),
        (None, Some(recall)) => Ok(Effort::Recall(recall)),
        (Some(_), Some(_)) => Err(PyTypeError::new_err(
            "give `effort` or `recall`, not both: a recall finds its own effort",
        )),
    }
}

/// What is wanted of a search, with its keyword arguments.
struct Asked {
    k: usize,
    effort: Effort,
    within: Option<f64>,
    diversity: Option<Diversity>,
    among: Option<SlotSet>,
}

impl Asked {
    fn wanted(&self) -> Wanted<'_> {
        let mut wanted = Wanted::new(self.k).effort(self.effort);
        wanted.within = self.within;
        wanted.diversity = self.diversity;
        wanted.among = self.among.as_ref();
        wanted
    }

    /// Whether the first search has to find its effort, which takes long.
    fn tries(&self, table: &IndexedTable) -> bool {
        matches!(self.effort, Effort::Recall(recall) if !table.knows_effort(recall, self.k))
    }
}

impl Index {
    /// Does what is wanted of the state as it is now, without the GIL; in a thread of its own where it may take long.
    fn answer<T: Send + 'static>(
        &self,
        py: Python<'_>,
        asked: Asked,
        is_long: bool,
        progress: Option<&Bound<'_, PyAny>>,
        work: impl FnOnce(&IndexedTable, &Wanted<'_>, &Watch) -> common::Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let table = self.shared.now();
        let is_long = is_long || asked.tries(&table);
        watch::run_if(py, is_long, progress, move |watch| {
            work(&table, &asked.wanted(), watch)
        })
    }

    /// Changes the table without the GIL.
    fn change<T: Send>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut IndexedTable) -> common::Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let _writer = self.shared.writer.lock();
            change(&mut self.shared.table.write())
        })
        .map_err(raise)
    }
}

/// Vectors of an array, or of a file that is read row by row.
enum Source<'py> {
    Array(Matrix<'py>),
    File(PathBuf),
}

impl<'py> Source<'py> {
    fn of(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if given.is_instance_of::<PyString>() || given.hasattr("__fspath__")? {
            return Ok(Self::File(given.extract()?));
        }
        Matrix::of(given).map(Self::Array)
    }

    /// Number of elements of each vector, where it is known.
    fn dimension(&self) -> PyResult<Option<usize>> {
        match self {
            Self::Array(matrix) => Ok(matrix.columns),
            Self::File(path) => {
                let reader = VectorReader::open(path, None).map_err(raise)?;
                Ok(reader.dimension())
            }
        }
    }

    /// Adds all of them.
    fn add(
        &self,
        py: Python<'_>,
        mut additions: Additions,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(IndexedTable, Vec<Slot>)> {
        let path = match self {
            Self::Array(matrix) => {
                array::try_each_row(py, matrix, |vector| additions.push(vector))?;
                None
            }
            Self::File(path) => Some(path.clone()),
        };
        watch::run(py, progress, move |watch| {
            if let Some(path) = path {
                let mut reader = VectorReader::open(&path, None)?;
                while let Some(row) = reader.read()? {
                    additions
                        .push(row.vector)
                        .map_err(|error| error.at(path.display()))?;
                    watch.check()?;
                }
            }
            additions.finish(&|done, all| watch.flow(done, all))
        })
    }
}

#[pymethods]
impl Index {
    /// Builds an index of vectors, or takes over an `OpenedIndex`.
    #[new]
    #[pyo3(signature = (vectors, options, *, metric, precision=None, dimension=None, threads=None, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        vectors: Option<&Bound<'_, PyAny>>,
        options: &str,
        metric: &str,
        precision: Option<&str>,
        dimension: Option<usize>,
        threads: Option<usize>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if let Some(opened) = vectors.and_then(|v| v.cast::<OpenedIndex>().ok()) {
            let table = opened.get().table.clone().threads(threads.unwrap_or(1));
            return Ok(Self {
                shared: Shared::new(table),
            });
        }
        let options: IndexOptions = serde_json::from_str(options)
            .map_err(|error| PyValueError::new_err(format!("options of an index: {error}")))?;
        let metric = Metric::from_name(metric).map_err(raise)?;
        let precision = precision.map_or(Ok(metric.precision()), precision_named)?;
        let source = vectors.map(Source::of).transpose()?;
        let given = match &source {
            Some(source) => source.dimension()?,
            None => None,
        };
        let Some(dimension) = dimension.or(given) else {
            return Err(PyValueError::new_err(
                "an index of no vectors needs to be told their `dimension`",
            ));
        };
        let table = IndexedTable::new(&options, metric, precision, dimension)
            .map_err(raise)?
            .threads(threads.unwrap_or(1));
        let table = match source {
            Some(source) => source.add(py, table.additions(), progress)?.0,
            None => table,
        };
        Ok(Self {
            shared: Shared::new(table),
        })
    }

    /// Number of elements of each vector.
    #[getter]
    fn dimension(&self) -> usize {
        self.shared.table.read().rows().dimension()
    }

    /// Name of the metric.
    #[getter]
    fn metric(&self) -> &'static str {
        self.shared.table.read().index().metric().name()
    }

    /// How the vectors are kept.
    #[getter]
    fn precision(&self) -> &'static str {
        self.shared.table.read().rows().precision().name()
    }

    /// The options of the index, as JSON.
    #[getter]
    fn _options(&self) -> PyResult<String> {
        options_json(&self.shared.table.read())
    }

    fn __len__(&self) -> usize {
        self.shared.table.read().rows().len()
    }

    fn __contains__(&self, number: i64) -> bool {
        let number = u32::try_from(number);
        number.is_ok_and(|number| self.shared.table.read().rows().contains(Slot(number)))
    }

    /// The numbers of all vectors, ascending.
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let table = self.shared.now();
        array::numbers(py, table.rows().slots())
    }

    /// The vector of a number as the index keeps it: of length 1 under the metric `cosine`, rounded by its precision.
    ///
    /// Raises `KeyError` when there is none.
    fn vector<'py>(&self, py: Python<'py>, id: i64) -> PyResult<Bound<'py, PyAny>> {
        let table = self.shared.now();
        let mut vector = vec![0.0_f32; table.rows().dimension()];
        let query = array::slot(id)?;
        if !table.rows().decode(query, &mut vector) {
            return Err(table
                .query_of(query)
                .err()
                .map_or_else(|| PyValueError::new_err("the vector cannot be read"), raise));
        }
        array::values(py, vector)
    }

    /// Bytes that the vectors and the parts of the index take.
    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let table = self.shared.now();
        let bytes = PyDict::new(py);
        bytes.set_item("vectors", table.rows().bytes())?;
        for (part, size) in table.index().bytes() {
            bytes.set_item(part, size)?;
        }
        Ok(bytes)
    }

    /// Adds one vector and returns its number.
    fn insert(&self, py: Python<'_>, vector: &Bound<'_, PyAny>) -> PyResult<u32> {
        let vector = array::vector(vector)?;
        let slot = self.change(py, move |table| table.insert(&vector))?;
        Ok(slot.0)
    }

    /// Adds vectors, all or none, and returns their numbers in order.
    #[pyo3(signature = (vectors, *, progress=None))]
    fn add<'py>(
        &self,
        py: Python<'py>,
        vectors: &Bound<'py, PyAny>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let matrix = Matrix::of(vectors)?;
        let columns = matrix.columns.unwrap_or(1).max(1);
        let mut all = Vec::new();
        array::try_each_row(py, &matrix, |vector| {
            all.extend_from_slice(vector);
            Ok(())
        })?;
        let shared = self.shared.clone();
        let slots = watch::run(py, progress, move |watch| {
            let _writer = shared.writer.lock();
            let mut additions = shared.now().additions();
            for vector in all.chunks(columns) {
                additions.push(vector)?;
            }
            let (table, slots) = additions.finish(&|done, all| watch.flow(done, all))?;
            // Whoever does not wait any more was told that nothing changed.
            watch.check()?;
            *shared.table.write() = table;
            Ok(slots)
        })?;
        array::numbers(py, slots)
    }

    /// Puts another vector in place of one. Raises `KeyError` when there is none of this number.
    fn replace(&self, py: Python<'_>, id: i64, vector: &Bound<'_, PyAny>) -> PyResult<()> {
        let (slot, vector) = (array::slot(id)?, array::vector(vector)?);
        self.change(py, move |table| table.replace(slot, &vector))
    }

    /// Removes the vectors of one number or several; how many there were. Their numbers are given again.
    fn remove(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<usize> {
        let slots = array::slots(ids)?;
        self.change(py, move |table| {
            Ok(slots.into_iter().filter(|slot| table.remove(*slot)).count())
        })
    }

    /// The `k` nearest vectors: their numbers and distances, nearest first.
    #[pyo3(signature = (query, k=10, *, effort=None, recall=None, within=None, diverse=None, among=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn search<'py>(
        &self,
        py: Python<'py>,
        query: &Bound<'py, PyAny>,
        k: usize,
        effort: Option<usize>,
        recall: Option<f64>,
        within: Option<f64>,
        diverse: Option<(f64, usize)>,
        among: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let query = array::vector(query)?;
        let asked = asked(k, (effort, recall), within, diverse, among)?;
        let nearest = self.answer(py, asked, false, None, move |table, wanted, _| {
            table.search(&table.query(&query)?, wanted)
        })?;
        array::found(py, &nearest)
    }

    /// As `search`, for the neighbours of a vector of the index, which itself is left out.
    #[pyo3(signature = (id, k=10, *, effort=None, recall=None, within=None, diverse=None, among=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn search_like<'py>(
        &self,
        py: Python<'py>,
        id: i64,
        k: usize,
        effort: Option<usize>,
        recall: Option<f64>,
        within: Option<f64>,
        diverse: Option<(f64, usize)>,
        among: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let slot = array::slot(id)?;
        let asked = asked(k, (effort, recall), within, diverse, among)?;
        let nearest = self.answer(py, asked, false, None, move |table, wanted, _| {
            let mut wanted = *wanted;
            wanted.except = Some(slot);
            table.search(&table.query_of(slot)?, &wanted)
        })?;
        array::found(py, &nearest)
    }

    /// As `search` for each row of `queries`, on `threads` threads: two arrays with a row for each query.
    ///
    /// Rows are as long as the longest; where one found fewer, -1 and infinity fill it.
    #[pyo3(signature = (queries, k=10, *, effort=None, recall=None, within=None, diverse=None, among=None, threads=None, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn search_many<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyAny>,
        k: usize,
        effort: Option<usize>,
        recall: Option<f64>,
        within: Option<f64>,
        diverse: Option<(f64, usize)>,
        among: Option<&Bound<'py, PyAny>>,
        threads: Option<usize>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let asked = asked(k, (effort, recall), within, diverse, among)?;
        let queries = self.queries(py, queries)?;
        let threads = threads.unwrap_or_else(self::threads);
        let found = self.answer(py, asked, true, progress, move |table, wanted, watch| {
            let mut found = Vec::with_capacity(queries.len());
            for some in queries.chunks(QUERIES_AT_ONCE) {
                watch.check()?;
                found.extend(table.search_each(some, wanted, threads)?);
                watch.report(found.len(), queries.len())?;
            }
            Ok(found)
        })?;
        let columns = found.iter().map(Vec::len).max().unwrap_or_default();
        array::found_each(py, &found, columns)
    }

    /// The least effort with which a search for the `k` nearest finds this share of them on average; `None` if no
    /// effort does. It is found by trying, once.
    #[pyo3(signature = (recall, k=10))]
    fn effort_for(&self, py: Python<'_>, recall: f64, k: usize) -> PyResult<Option<usize>> {
        let table = self.shared.now();
        watch::run(py, None, move |_| table.effort_for(recall, k))
    }

    /// Which share of the true `k` nearest vectors such searches find, averaged over the rows of `queries`.
    ///
    /// The truth is a scan of the vectors as the index keeps them.
    #[pyo3(signature = (queries, k=10, *, effort=None, recall=None))]
    fn measure_recall(
        &self,
        py: Python<'_>,
        queries: &Bound<'_, PyAny>,
        k: usize,
        effort: Option<usize>,
        recall: Option<f64>,
    ) -> PyResult<f64> {
        let effort = self::effort(effort, recall)?;
        let queries = self.queries(py, queries)?;
        let table = self.shared.now();
        watch::run(py, None, move |_| {
            evaluate::indexed_recall(&table, &queries, k, effort, threads())
        })
    }

    /// Saves the vectors and the index to a file, which changes as a whole or not at all.
    ///
    /// The file belongs to this index until `close`; saving it again writes only what changed.
    fn save<'py>(&self, py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyDict>> {
        let shared = self.shared.clone();
        let saved = watch::run(py, None, move |_| {
            let mut file = shared.file.lock();
            let mut open = match file.take() {
                Some((known, open)) if known == path => open,
                _ => IndexFile::open_or_create(&path)?,
            };
            let table = shared.now();
            let saved = open.save(table.table(), table.index())?;
            // After an error it may not know what reached the disk: the next save opens it again.
            *file = Some((path, open));
            Ok(saved)
        })?;
        let report = PyDict::new(py);
        report.set_item("generation", saved.generation)?;
        report.set_item("pages", saved.pages)?;
        report.set_item("written", saved.written)?;
        report.set_item("written_bytes", saved.written_bytes)?;
        report.set_item("file_bytes", saved.file_bytes)?;
        Ok(report)
    }

    /// Saves to a new file that does not belong to the index, for who takes its bytes.
    fn _copy_to(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let table = self.shared.now();
        watch::run(py, None, move |_| {
            let mut file = IndexFile::open_or_create(&path)?;
            file.save(table.table(), table.index()).map(drop)
        })
    }

    /// Gives up the file of the last save; the index itself stays usable.
    fn close(&self, py: Python<'_>) {
        py.detach(|| *self.shared.file.lock() = None);
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let table = slf.get().shared.now();
        let rows = table.rows();
        Ok(format!(
            "<{}: {} vectors, {} dimensions, {}, {}>",
            slf.get_type().name()?,
            rows.len(),
            rows.dimension(),
            table.index().metric(),
            rows.precision()
        ))
    }
}

impl Index {
    /// Queries made ready, without the GIL.
    fn queries(
        &self,
        py: Python<'_>,
        given: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<vectordb::core::distance::PreparedVector>> {
        let table = self.shared.now();
        let mut queries = Vec::new();
        array::try_each_row(py, &Matrix::of(given)?, |vector| {
            let number = queries.len();
            let query = table.query(vector);
            queries.push(query.map_err(|error| error.at(format!("row {number}")))?);
            Ok(())
        })?;
        Ok(queries)
    }
}

fn asked(
    k: usize,
    (effort, recall): (Option<usize>, Option<f64>),
    within: Option<f64>,
    diverse: Option<(f64, usize)>,
    among: Option<&Bound<'_, PyAny>>,
) -> PyResult<Asked> {
    Ok(Asked {
        k,
        effort: self::effort(effort, recall)?,
        within,
        diversity: diverse.map(|(lambda, candidates)| Diversity { lambda, candidates }),
        among: among.map(array::slot_set).transpose()?,
    })
}
