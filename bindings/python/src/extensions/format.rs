//! [`PythonFormat`]: serialization formats.

use common::schema::Schema;
use common::serialization::Encoding;
use common::{Error, ErrorKind, Limits, Record, Result, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use super::call::{append_bytes, ask};
use crate::interchange::{value_of, value_to_python};

/// An object with `tag`, `name`, `encode(value)` and `decode(data)`.
pub(super) struct PythonFormat {
    tag: u8,
    name: String,
    object: Py<PyAny>,
}

impl PythonFormat {
    pub(super) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        Ok(Self {
            tag: object.getattr(intern!(py, "tag"))?.extract()?,
            name: object.getattr(intern!(py, "name"))?.extract()?,
            object: object.clone().unbind(),
        })
    }
}

impl Encoding for PythonFormat {
    fn name(&self) -> &str {
        &self.name
    }

    fn tag(&self) -> u8 {
        self.tag
    }

    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        let who = format!("format `{}`: encode", self.name);
        ask(&who, |py| {
            let value = match value_to_python(py, value) {
                Ok(value) => value,
                // Such as a date before the year 1.
                Err(raised) => return Ok(Err(unheld(&who, &raised))),
            };
            let bytes = self
                .object
                .bind(py)
                .call_method1(intern!(py, "encode"), (value,))?;
            append_bytes(&who, &bytes, out).map(Ok)
        })?
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        limits.check_total(bytes.len())?;
        let value = ask(&format!("format `{}`: decode", self.name), |py| {
            let bytes = PyBytes::new(py, bytes);
            let value = self
                .object
                .bind(py)
                .call_method1(intern!(py, "decode"), (bytes,))?;
            value_of(&value)
        })?;
        check(&value, limits, 0)?;
        Ok(value)
    }

    /// A list of dicts.
    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        let who = format!("format `{}`: encode", self.name);
        let wanted = schema.fields.len();
        if let Some(at) = records
            .iter()
            .position(|record| record.values().len() != wanted)
        {
            return Err(Error::invalid(format!(
                "{who}: row {} has not the {wanted} columns of table `{}`",
                at + 1,
                schema.name
            )));
        }
        ask(&who, |py| {
            let rows = PyList::empty(py);
            for record in records {
                match dict_of_record(py, schema, record) {
                    Ok(row) => rows.append(row)?,
                    Err(raised) => return Ok(Err(unheld(&who, &raised))),
                }
            }
            let bytes = self
                .object
                .bind(py)
                .call_method1(intern!(py, "encode"), (rows,))?;
            append_bytes(&who, &bytes, out).map(Ok)
        })?
    }

    fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        let wrong = |at: usize, what: &str| {
            Error::invalid(format!("format `{}`: row {} {what}", self.name, at + 1))
        };
        let rows = self.decode_value(bytes, limits)?;
        let Some(rows) = rows.as_list() else {
            return Err(Error::invalid(format!(
                "format `{}`: rows are a list of dicts",
                self.name
            )));
        };
        limits.check_rows(rows.len())?;
        let mut all = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let row = row.as_map().ok_or_else(|| wrong(at, "is no dict"))?;
            if let Some(unknown) = row.keys().find(|name| schema.position(name).is_none()) {
                return Err(wrong(
                    at,
                    &format!("has a column `{unknown}`, the table has not"),
                ));
            }
            let values = schema.fields.iter().map(|field| {
                let given = row.get(&field.name).or(field.default.as_ref());
                given.cloned().unwrap_or_default()
            });
            all.push(values.collect());
        }
        Ok(all)
    }
}

/// A value that no object of Python's stands for is none that the format is asked about.
fn unheld(who: &str, raised: &PyErr) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{who}: Python has no such value: {raised}"),
    )
}

/// Refuses a value beyond the limits, which Python code does not know.
fn check(value: &Value, limits: &Limits, depth: usize) -> Result<()> {
    let inside = depth + 1;
    if let Some(text) = value.as_text() {
        limits.check_bytes(text.len())?;
    } else if let Some(bytes) = value.as_bytes() {
        limits.check_bytes(bytes.len())?;
    } else if let Some(list) = value.as_list() {
        limits.check_depth(inside)?;
        limits.check_elements(list.len())?;
        for one in list {
            check(one, limits, inside)?;
        }
    } else if let Some(map) = value.as_map() {
        limits.check_depth(inside)?;
        limits.check_elements(map.len())?;
        for (name, one) in map {
            limits.check_bytes(name.len())?;
            check(one, limits, inside)?;
        }
    }
    Ok(())
}

/// A record as a dict.
pub(super) fn dict_of_record<'py>(
    py: Python<'py>,
    schema: &Schema,
    record: &Record,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (field, value) in schema.fields.iter().zip(record.values()) {
        dict.set_item(field.name.as_str(), value_to_python(py, value)?)?;
    }
    Ok(dict)
}
