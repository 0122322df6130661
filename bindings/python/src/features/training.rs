//! [`TrainingSet`]: rows for training as of their own times, with a name that gives the same numbers for ever.

use common::Timestamp;
use numpy::{PyArray1, PyArray2, PyArrayMethods as _};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList};
use vectordb::feature;

use super::lineage::LineageNode;
use super::table::Numbers;
use crate::interchange::{time_to_python, value_to_python};

/// Features of many entities, each as of a time of its own: take it from `FeatureStore.create_training_set`.
#[pyclass(frozen, module = "vectordb.features")]
pub(crate) struct TrainingSet {
    pub(super) set: feature::TrainingSet,
    pub(super) columns: Vec<String>,
    /// Entities and times, and what else the rows had.
    pub(super) rows: Py<PyAny>,
}

/// The rows of a set that is made again, as a dict of columns.
pub(super) fn rows_of<'py>(
    py: Python<'py>,
    rows: &feature::TrainingRows,
) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    for (at, name) in rows.key_columns.iter().enumerate() {
        let values = rows.keys.iter().map(|key| match key.values().get(at) {
            Some(value) => value_to_python(py, value),
            None => Ok(py.None().into_bound(py)),
        });
        columns.set_item(
            name.as_str(),
            PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?,
        )?;
    }
    let times = rows
        .times
        .iter()
        .map(|time: &Timestamp| time_to_python(py, *time));
    columns.set_item(
        "event_time",
        PyList::new(py, times.collect::<PyResult<Vec<_>>>()?)?,
    )?;
    Ok(columns)
}

impl TrainingSet {
    fn numbers(&self) -> Numbers<'_> {
        Numbers {
            names: &self.columns,
            values: &self.set.values,
        }
    }
}

#[pymethods]
impl TrainingSet {
    /// Follows from what went in: definitions, transformer, rows, and the commit up to which events are seen.
    #[getter]
    fn id(&self) -> &str {
        &self.set.id
    }

    /// Names of the features, before they are transformed.
    #[getter]
    fn features(&self) -> Vec<String> {
        self.set.features.iter().map(ToString::to_string).collect()
    }

    /// Names of the columns of `values`.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// The last commit that is seen.
    #[getter]
    fn seq(&self) -> u64 {
        self.set.seq.0
    }

    /// The numbers, a row for each row, NaN where one is missing.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let rows = self.set.values.len() / self.set.columns.max(1);
        PyArray1::from_slice(py, &self.set.values).reshape([rows, self.set.columns])
    }

    /// What was found for each row in each view: numbers of `vectordb.features.STATUSES`.
    #[getter]
    fn statuses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
        let codes: Vec<u8> = self
            .set
            .statuses
            .iter()
            .map(|status| *status as u8)
            .collect();
        let rows = self.__len__();
        let views = codes.len() / rows.max(1);
        PyArray1::from_vec(py, codes).reshape([rows, views])
    }

    /// The set among the nodes of lineage, by the name that it was made under.
    fn lineage_node(&self, name: &str) -> LineageNode {
        LineageNode(self.set.lineage_node(name))
    }

    fn __len__(&self) -> usize {
        self.set.values.len() / self.set.columns.max(1)
    }

    fn __repr__(&self) -> String {
        format!(
            "TrainingSet({:?}, {} x {})",
            &*self.set.id,
            self.__len__(),
            self.set.columns
        )
    }

    /// The rows with the features beside them, in the form in which they were given: a dict of columns, or an
    /// `ArrowTable`.
    fn to_table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.numbers().beside(self.rows.bind(py))
    }

    /// A capsule with the table as a stream of Arrow; of rows that were no Arrow, the features alone.
    #[pyo3(signature = (requested_schema = None), text_signature = "($self, requested_schema=None)")]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        if let Ok(table) = self.to_table(py)?.cast::<crate::arrow::ArrowTable>() {
            return table.get().__arrow_c_stream__(py, requested_schema);
        }
        self.numbers()
            .beside_arrow(None)?
            .__arrow_c_stream__(py, requested_schema)
    }
}
