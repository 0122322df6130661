//! Columns and tables of Python as columns of the engine: lists, arrays of NumPy, Arrow, dicts and lists of dicts.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use common::serialization::arrow::{from_batch, infer_schema};
use common::{Limits, RecordId, Text, Timestamp, Value};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyImportError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use vectordb::feature::{self, Keys};

use super::{id_of, raise, value_of};
use crate::arrow::{ArrowTable, Chunks, import, import_table, is_arrow};

/// After how many items of a list it is looked for a signal.
const ITEMS_UNCHECKED: usize = 16_384;

/// Values of one column, which the engine can read without the interpreter.
#[derive(Debug, Clone)]
pub(crate) enum Column {
    /// Numbers, NaN where one is missing.
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Texts(Vec<Option<String>>),
    /// Microseconds since 1970, none where a time is missing.
    Times(Vec<Option<i64>>),
    /// Anything else, or of several kinds.
    Values(Vec<Value>),
}

/// Whether an object is an array of NumPy, without an import of it.
fn is_numpy(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let class = object.get_type();
    Ok(class.name()? == "ndarray" && class.module()? == "numpy")
}

impl Column {
    /// Reads a list, an array, a series, or anything that can be iterated over.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        if is_numpy(object)? {
            return Self::of_array(object);
        }
        if let Ok(list) = object.cast::<PyList>() {
            return Self::of_items(list.iter());
        }
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return Self::of_items(tuple.iter());
        }
        if object.is_instance_of::<PyString>() || object.is_instance_of::<PyDict>() {
            return Err(PyTypeError::new_err(format!(
                "a column is a list, an array or a series, not {}",
                object.get_type().name()?
            )));
        }
        if is_arrow(object)? {
            match import(object) {
                Ok(chunks) => return Self::of_chunks(&chunks),
                // pandas without pyarrow.
                Err(error) if error.is_instance_of::<PyImportError>(object.py()) => {}
                Err(error) => return Err(error),
            }
        }
        if object.hasattr("__array__")? {
            let array = object
                .py()
                .import("numpy")?
                .call_method1("asarray", (object,))?;
            return Self::of_array(&array);
        }
        let items = object.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        Self::of_items(items.into_iter())
    }

    fn of_items<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<Self> {
        let mut values = Vec::with_capacity(items.size_hint().0);
        for item in items {
            // Nobody else runs meanwhile; a signal is not made to wait for all of a long list.
            if values.len() % ITEMS_UNCHECKED == ITEMS_UNCHECKED - 1 {
                item.py().check_signals()?;
            }
            values.push(value_of(&item)?);
        }
        Ok(Self::of_values(values))
    }

    /// Values of one kind as such.
    fn of_values(values: Vec<Value>) -> Self {
        if !values.is_empty() && values.iter().all(|value| matches!(value, Value::Int(_))) {
            return Self::Ints(values.iter().filter_map(Value::as_int).collect());
        }
        if values.iter().any(|value| matches!(value, Value::Float(_)))
            && (values.iter()).all(|value| matches!(value, Value::Float(_) | Value::Null))
        {
            let float = |value: &Value| match value {
                Value::Float(float) => *float,
                _ => f64::NAN,
            };
            return Self::Floats(values.iter().map(float).collect());
        }
        if values.iter().any(|value| matches!(value, Value::Text(_)))
            && (values.iter()).all(|value| matches!(value, Value::Text(_) | Value::Null))
        {
            let text = |value: &Value| value.as_text().map(str::to_owned);
            return Self::Texts(values.iter().map(text).collect());
        }
        Self::Values(values)
    }

    fn of_array(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        if array.getattr("ndim")?.extract::<usize>()? != 1 {
            return Err(PyValueError::new_err(
                "a column is an array of one dimension",
            ));
        }
        let dtype = array.getattr("dtype")?;
        let kind: String = dtype.getattr("kind")?.extract()?;
        let as_type = |name: &str| array.call_method1("astype", (name,));
        match kind.as_str() {
            "f" => {
                let array = as_type("float64")?;
                Ok(Self::Floats(vector(
                    &array.extract::<PyReadonlyArray1<'_, f64>>()?,
                )))
            }
            "i" => Ok(Self::Ints(vector(
                &as_type("int64")?.extract::<PyReadonlyArray1<'_, i64>>()?,
            ))),
            "M" => {
                let array = as_type("datetime64[us]")?.call_method1("astype", ("int64",))?;
                let times = vector(&array.extract::<PyReadonlyArray1<'_, i64>>()?);
                let time = |micros| (micros != i64::MIN).then_some(micros);
                Ok(Self::Times(times.into_iter().map(time).collect()))
            }
            _ => {
                let list = array.call_method0("tolist")?;
                Self::of_items(list.cast::<PyList>()?.iter())
            }
        }
    }

    /// Reads a column of Arrow.
    pub(crate) fn of_chunks(chunks: &Chunks) -> PyResult<Self> {
        let rows: usize = chunks.arrays.iter().map(Array::len).sum();
        let arrays = chunks.arrays.iter();
        match chunks.field.data_type() {
            DataType::Float64 => {
                let mut all = Vec::with_capacity(rows);
                for array in arrays {
                    let array = array.as_primitive::<Float64Type>();
                    all.extend(array.iter().map(|x| x.unwrap_or(f64::NAN)));
                }
                Ok(Self::Floats(all))
            }
            DataType::Float32 => {
                let mut all = Vec::with_capacity(rows);
                for array in arrays {
                    let array = array.as_primitive::<Float32Type>();
                    all.extend(array.iter().map(|x| x.map_or(f64::NAN, f64::from)));
                }
                Ok(Self::Floats(all))
            }
            DataType::Int64 if chunks.arrays.iter().all(|array| array.null_count() == 0) => {
                let mut all = Vec::with_capacity(rows);
                for array in arrays {
                    all.extend_from_slice(array.as_primitive::<Int64Type>().values());
                }
                Ok(Self::Ints(all))
            }
            DataType::Int32 if chunks.arrays.iter().all(|array| array.null_count() == 0) => {
                let mut all = Vec::with_capacity(rows);
                for array in arrays {
                    let array = array.as_primitive::<Int32Type>();
                    all.extend(array.values().iter().copied().map(i64::from));
                }
                Ok(Self::Ints(all))
            }
            DataType::Utf8 => Ok(Self::texts(
                arrays.flat_map(|a| a.as_string::<i32>().iter()),
            )),
            DataType::LargeUtf8 => Ok(Self::texts(
                arrays.flat_map(|a| a.as_string::<i64>().iter()),
            )),
            DataType::Utf8View => Ok(Self::texts(arrays.flat_map(|a| a.as_string_view().iter()))),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times =
                    arrays.flat_map(|a| a.as_primitive::<TimestampMicrosecondType>().iter());
                Ok(Self::Times(times.collect()))
            }
            _ => {
                let mut all = Vec::with_capacity(rows);
                for array in arrays {
                    all.extend(values_of(&chunks.field, array)?);
                }
                Ok(Self::of_values(all))
            }
        }
    }

    fn texts<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Self {
        Self::Texts(texts.map(|text| text.map(str::to_owned)).collect())
    }

    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Floats(all) => all.len(),
            Self::Ints(all) => all.len(),
            Self::Texts(all) => all.len(),
            Self::Times(all) => all.len(),
            Self::Values(all) => all.len(),
        }
    }

    /// The value at a place, null beyond the end.
    pub(crate) fn get(&self, at: usize) -> Value {
        let value = match self {
            Self::Floats(all) => all
                .get(at)
                .filter(|x| !x.is_nan())
                .copied()
                .map(Value::Float),
            Self::Ints(all) => all.get(at).copied().map(Value::Int),
            Self::Texts(all) => all.get(at).and_then(Option::as_deref).map(Value::from),
            Self::Times(all) => {
                let time = all.get(at).copied().flatten();
                time.map(|micros| Value::Timestamp(Timestamp(micros)))
            }
            Self::Values(all) => all.get(at).cloned(),
        };
        value.unwrap_or_default()
    }

    /// The same as points in time, none of which may be missing.
    pub(crate) fn into_times(self, what: &str) -> PyResult<Vec<Timestamp>> {
        let missing =
            |at: usize| PyValueError::new_err(format!("row {at} of {what} is no point in time"));
        let rows = self.len();
        match self {
            Self::Ints(all) => Ok(all.into_iter().map(Timestamp).collect()),
            Self::Times(all) => (all.into_iter().enumerate())
                .map(|(at, time)| time.map(Timestamp).ok_or_else(|| missing(at)))
                .collect(),
            other => (0..rows)
                .map(|at| match other.get(at) {
                    Value::Timestamp(time) => Ok(time),
                    Value::Int(micros) => Ok(Timestamp(micros)),
                    Value::Date(date) => Ok(Timestamp(i64::from(date.0) * 86_400_000_000)),
                    _ => Err(missing(at)),
                })
                .collect(),
        }
    }

    /// The same as numbers, NaN where one is missing.
    pub(crate) fn into_floats(self, what: &str) -> PyResult<Vec<f64>> {
        let rows = self.len();
        match self {
            Self::Floats(all) => Ok(all),
            #[expect(clippy::cast_precision_loss, reason = "as NumPy does")]
            Self::Ints(all) => Ok(all.into_iter().map(|x| x as f64).collect()),
            #[expect(clippy::cast_precision_loss, reason = "as NumPy does")]
            Self::Times(all) => Ok(all
                .into_iter()
                .map(|x| x.map_or(f64::NAN, |x| x as f64))
                .collect()),
            other => (0..rows)
                .map(|at| match other.get(at) {
                    Value::Null => Ok(f64::NAN),
                    Value::Float(x) => Ok(x),
                    #[expect(clippy::cast_precision_loss, reason = "as NumPy does")]
                    Value::Int(x) => Ok(x as f64),
                    Value::Bool(x) => Ok(f64::from(u8::from(x))),
                    #[expect(clippy::cast_precision_loss, reason = "as NumPy does")]
                    Value::Timestamp(x) => Ok(x.0 as f64),
                    _ => Err(PyTypeError::new_err(format!(
                        "row {at} of {what} is no number"
                    ))),
                })
                .collect(),
        }
    }

    /// The same as texts.
    pub(crate) fn into_texts(self, what: &str) -> PyResult<Vec<Option<String>>> {
        let rows = self.len();
        match self {
            Self::Texts(all) => Ok(all),
            other => (0..rows)
                .map(|at| match other.get(at) {
                    Value::Null => Ok(None),
                    Value::Text(text) => Ok(Some(text.as_str().to_owned())),
                    _ => Err(PyTypeError::new_err(format!(
                        "row {at} of {what} is no text"
                    ))),
                })
                .collect(),
        }
    }

    /// The same with every time, and every text, as a value.
    pub(crate) fn into_values(self) -> Self {
        match self {
            Self::Times(_) => Self::Values((0..self.len()).map(|at| self.get(at)).collect()),
            other => other,
        }
    }
}

fn vector<T: numpy::Element + Copy>(array: &PyReadonlyArray1<'_, T>) -> Vec<T> {
    match array.as_slice() {
        Ok(slice) => slice.to_vec(),
        Err(_) => array.as_array().iter().copied().collect(),
    }
}

/// Any array of Arrow, through the reader of tables.
fn values_of(field: &Field, array: &ArrayRef) -> PyResult<Vec<Value>> {
    let column = field.clone().with_name("value").with_nullable(true);
    let schema = Schema::new(vec![Field::new("row", DataType::Int64, false), column]);
    let table = infer_schema(&schema, "column", &["row"])
        .map_err(|error| raise(error.at(format!("column `{}`", field.name()))))?;
    #[expect(clippy::cast_possible_wrap, reason = "rows are fewer than 2^63")]
    let numbers = Int64Array::from_iter_values(0..array.len() as i64);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers), Arc::clone(array)])
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    // It is in memory already.
    let limits = Limits::default()
        .rows_max(usize::MAX)
        .total_bytes_max(usize::MAX);
    let rows = from_batch(&table, &batch, &limits).map_err(raise)?;
    Ok(rows.into_iter().filter_map(|mut row| row.pop()).collect())
}

/// Named columns of equal length.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) columns: Vec<(String, Column)>,
    pub(crate) rows: usize,
}

impl Table {
    /// Reads a dict of columns, a list of dicts, or a table of Arrow.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(dict) = object.cast::<PyDict>() {
            let columns = dict
                .iter()
                .map(|(name, column)| {
                    let name: String = name.extract()?;
                    let column =
                        Column::of(&column).map_err(|error| named(object.py(), &name, &error))?;
                    Ok((name, column))
                })
                .collect::<PyResult<_>>()?;
            return Self::new(columns);
        }
        if let Ok(rows) = object.cast::<PyList>() {
            return Self::of_rows(rows);
        }
        if is_arrow(object)? {
            match import_table(object) {
                Ok(table) => return Self::of_arrow(&table),
                Err(error) if error.is_instance_of::<PyImportError>(object.py()) => {}
                Err(error) => return Err(error),
            }
        }
        if object.hasattr("columns")? && object.hasattr("items")? {
            // A data frame of pandas without pyarrow.
            let mut columns = Vec::new();
            for item in object.call_method0("items")?.try_iter()? {
                let (name, column): (String, Bound<'_, PyAny>) = item?.extract()?;
                columns.push((name, Column::of(&column)?));
            }
            return Self::new(columns);
        }
        Err(PyTypeError::new_err(format!(
            "a table is a dict of columns, a list of dicts, or a table of Arrow, polars or pandas, not {}",
            object.get_type().name()?
        )))
    }

    fn of_rows(rows: &Bound<'_, PyList>) -> PyResult<Self> {
        let mut names: Vec<String> = Vec::new();
        let mut columns: Vec<Vec<Value>> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            if at % ITEMS_UNCHECKED == ITEMS_UNCHECKED - 1 {
                rows.py().check_signals()?;
            }
            let row = row.cast_into::<PyDict>().map_err(|_| {
                PyTypeError::new_err(format!(
                    "row {at} is no dict: a list of rows is a list of dicts"
                ))
            })?;
            for (name, value) in row.iter() {
                let name: String = name.extract()?;
                let place = match names.iter().position(|known| *known == name) {
                    Some(place) => place,
                    None => {
                        names.push(name);
                        columns.push(Vec::new());
                        names.len() - 1
                    }
                };
                if let Some(column) = columns.get_mut(place) {
                    column.resize(at, Value::Null);
                    column.push(value_of(&value)?);
                }
            }
        }
        for column in &mut columns {
            column.resize(rows.len(), Value::Null);
        }
        Self::new(
            names
                .into_iter()
                .zip(columns.into_iter().map(Column::of_values))
                .collect(),
        )
    }

    /// Reads a table of Arrow.
    pub(crate) fn of_arrow(table: &ArrowTable) -> PyResult<Self> {
        let fields = table.schema.fields().iter();
        let columns = fields.filter_map(|field| {
            let chunks = table.column(field.name())?;
            Some(Column::of_chunks(&chunks).map(|column| (field.name().clone(), column)))
        });
        Self::new(columns.collect::<PyResult<_>>()?)
    }

    fn new(columns: Vec<(String, Column)>) -> PyResult<Self> {
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        match columns.iter().find(|(_, column)| column.len() != rows) {
            None => Ok(Self { columns, rows }),
            Some((name, column)) => Err(PyValueError::new_err(format!(
                "column {name:?} has {} rows, the first one {rows}",
                column.len()
            ))),
        }
    }

    /// Takes a column out.
    pub(crate) fn take(&mut self, name: &str) -> PyResult<Column> {
        self.take_if_there(name).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
            PyValueError::new_err(format!(
                "there is no column `{name}`; there is {}",
                names.join(", ")
            ))
        })
    }

    /// Takes a column out if there is one of the name.
    pub(crate) fn take_if_there(&mut self, name: &str) -> Option<Column> {
        let at = self.columns.iter().position(|(known, _)| known == name)?;
        Some(self.columns.remove(at).1)
    }
}

fn named(py: Python<'_>, name: &str, error: &PyErr) -> PyErr {
    if error.is_instance_of::<PyTypeError>(py) {
        return PyTypeError::new_err(format!("column {name:?}: {}", error.value(py)));
    }
    if error.is_instance_of::<PyValueError>(py) {
        return PyValueError::new_err(format!("column {name:?}: {}", error.value(py)));
    }
    error.clone_ref(py)
}

/// Keys of many entities.
#[derive(Debug, Clone)]
pub(crate) enum KeyList {
    Ints(Vec<i64>),
    Texts(Vec<Text>),
    Ids(Vec<RecordId>),
}

impl KeyList {
    /// Reads keys of one column, keys of several columns as tuples, or a table of these columns.
    pub(crate) fn of(object: &Bound<'_, PyAny>, names: &[Text]) -> PyResult<Self> {
        let is_table = object.is_instance_of::<PyDict>()
            || (is_arrow(object)? && object.hasattr("columns")?)
            || object.is_instance_of::<ArrowTable>();
        if is_table {
            return Self::from_table(&mut Table::of(object)?, names);
        }
        if names.len() == 1 {
            return Ok(Self::from_column(Column::of(object)?));
        }
        let mut ids = Vec::new();
        for item in object.try_iter()? {
            ids.push(id_of(&item?)?);
        }
        Ok(Self::Ids(ids))
    }

    /// Takes the key columns out of a table.
    pub(crate) fn from_table(table: &mut Table, names: &[Text]) -> PyResult<Self> {
        if let [name] = names {
            return Ok(Self::from_column(table.take(name)?));
        }
        let columns = names.iter().map(|name| table.take(name));
        let columns: Vec<Column> = columns.collect::<PyResult<_>>()?;
        let id = |at| RecordId::composite(columns.iter().map(|column| column.get(at)));
        Ok(Self::Ids((0..table.rows).map(id).collect()))
    }

    fn from_column(column: Column) -> Self {
        match column {
            Column::Ints(keys) => Self::Ints(keys),
            Column::Texts(keys) if keys.iter().all(Option::is_some) => {
                Self::Texts(keys.into_iter().flatten().map(Text::from).collect())
            }
            other => Self::Ids(
                (0..other.len())
                    .map(|at| RecordId::from(other.get(at)))
                    .collect(),
            ),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Ints(keys) => keys.len(),
            Self::Texts(keys) => keys.len(),
            Self::Ids(keys) => keys.len(),
        }
    }

    /// Calls a function with the keys from one place to before another.
    pub(crate) fn with<R>(&self, from: usize, to: usize, run: impl FnOnce(Keys<'_>) -> R) -> R {
        match self {
            Self::Ints(keys) => run(Keys::Ints(keys.get(from..to).unwrap_or_default())),
            Self::Texts(keys) => {
                let keys = keys.get(from..to).unwrap_or_default();
                let keys: Vec<&str> = keys.iter().map(Text::as_str).collect();
                run(Keys::Texts(&keys))
            }
            Self::Ids(keys) => run(Keys::Ids(keys.get(from..to).unwrap_or_default())),
        }
    }
}

/// A column as the feature store takes it.
pub(crate) fn borrowed<'a>(
    column: &'a Column,
    texts: &'a [Option<&'a str>],
) -> feature::Column<'a> {
    match column {
        Column::Floats(all) => feature::Column::Floats(all),
        Column::Ints(all) => feature::Column::Ints(all),
        Column::Texts(_) => feature::Column::Texts(texts),
        Column::Values(all) => feature::Column::Values(all),
        Column::Times(_) => feature::Column::Values(&[]),
    }
}

/// Units of experiments: texts, or integers that are written as such.
pub(crate) enum Units {
    Numbers(Vec<u64>),
    Texts(Vec<String>),
}

impl Units {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Numbers(all) => all.len(),
            Self::Texts(all) => all.len(),
        }
    }
}

/// Reads many units.
pub(crate) fn units_of(object: &Bound<'_, PyAny>) -> PyResult<Units> {
    let negative = |_| PyValueError::new_err("a unit that is a number is not below 0");
    match Column::of(object)? {
        Column::Ints(all) => {
            let all = all.into_iter().map(|x| u64::try_from(x).map_err(negative));
            Ok(Units::Numbers(all.collect::<PyResult<_>>()?))
        }
        other => {
            let texts = other.into_texts("units")?.into_iter();
            Ok(Units::Texts(texts.map(Option::unwrap_or_default).collect()))
        }
    }
}

/// An array of NumPy with one dimension.
pub(crate) fn array<T: numpy::Element>(py: Python<'_>, all: Vec<T>) -> Bound<'_, PyArray1<T>> {
    PyArray1::from_vec(py, all)
}
