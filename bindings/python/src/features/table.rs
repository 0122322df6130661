//! Rows that came in, with columns of numbers beside them, in the form in which they came.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use numpy::PyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrow::{ArrowTable, import_table, is_arrow};
use crate::interchange::{Table, value_to_python};

/// Numbers of many rows, row after row, with names of their columns.
pub(super) struct Numbers<'a> {
    pub(super) names: &'a [String],
    pub(super) values: &'a [f64],
}

impl Numbers<'_> {
    fn column(&self, at: usize) -> impl Iterator<Item = f64> {
        self.values
            .iter()
            .skip(at)
            .step_by(self.names.len().max(1))
            .copied()
    }

    fn rows(&self) -> usize {
        self.values.len() / self.names.len().max(1)
    }

    fn check(&self, taken: &[String]) -> PyResult<()> {
        match self.names.iter().find(|name| taken.contains(name)) {
            None => Ok(()),
            Some(name) => Err(PyValueError::new_err(format!(
                "the rows have a column {name:?} already, as the feature is called: rename it before the join"
            ))),
        }
    }

    /// As a dict of columns, after those of `given`.
    pub(super) fn beside_columns<'py>(
        &self,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = given.py();
        let all = given.copy()?;
        self.check(&given.keys().extract::<Vec<String>>()?)?;
        for (at, name) in self.names.iter().enumerate() {
            all.set_item(name, PyArray1::from_vec(py, self.column(at).collect()))?;
        }
        Ok(all)
    }

    /// As a table of Arrow, after the columns of `given`; what is missing is null.
    pub(super) fn beside_arrow(&self, given: Option<&ArrowTable>) -> PyResult<ArrowTable> {
        let failed = |error: arrow_schema::ArrowError| PyValueError::new_err(error.to_string());
        let before = given
            .map(|table| table.schema.fields().to_vec())
            .unwrap_or_default();
        let taken: Vec<String> = before.iter().map(|field| field.name().clone()).collect();
        self.check(&taken)?;
        let new = self.names.iter();
        let new = new.map(|name| Arc::new(Field::new(name, DataType::Float64, true)));
        let schema = Arc::new(Schema::new(
            before.into_iter().chain(new).collect::<Vec<_>>(),
        ));
        let alone = [RecordBatch::new_empty(Arc::new(Schema::empty()))];
        let batches = given.map_or(&alone[..], |table| &table.batches);
        let mut from = 0;
        let mut made = Vec::with_capacity(batches.len());
        for batch in batches {
            let rows = given.map_or(self.rows(), |_| batch.num_rows());
            let mut columns = batch.columns().to_vec();
            for at in 0..self.names.len() {
                let column = self.column(at).skip(from).take(rows);
                let column = column.map(|x| (!x.is_nan()).then_some(x));
                columns.push(Arc::new(column.collect::<Float64Array>()) as ArrayRef);
            }
            made.push(RecordBatch::try_new(Arc::clone(&schema), columns).map_err(failed)?);
            from += rows;
        }
        Ok(ArrowTable {
            schema,
            batches: made,
        })
    }

    /// In the form in which the rows came: a dict of columns, or a table of Arrow.
    pub(super) fn beside<'py>(&self, given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = given.py();
        if let Ok(columns) = given.cast::<PyDict>() {
            return Ok(self.beside_columns(columns)?.into_any());
        }
        if is_arrow(given)? {
            let table = self.beside_arrow(Some(&import_table(given)?))?;
            return Ok(Bound::new(py, table)?.into_any());
        }
        let table = Table::of(given)?;
        let columns = PyDict::new(py);
        for (name, column) in &table.columns {
            let values = (0..table.rows).map(|at| value_to_python(py, &column.get(at)));
            columns.set_item(
                name,
                PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?,
            )?;
        }
        Ok(self.beside_columns(&columns)?.into_any())
    }
}
