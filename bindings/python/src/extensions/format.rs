//! [`PythonFormat`]: serialization formats.

use common::schema::Schema;
use common::serialization::Encoding;
use common::{Error, Limits, Record, Result, Value};
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
            let value = value_to_python(py, value)?;
            let bytes = self
                .object
                .bind(py)
                .call_method1(intern!(py, "encode"), (value,))?;
            append_bytes(&who, &bytes, out)
        })
    }

    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        limits.check_bytes(bytes.len())?;
        ask(&format!("format `{}`: decode", self.name), |py| {
            let bytes = PyBytes::new(py, bytes);
            let value = self
                .object
                .bind(py)
                .call_method1(intern!(py, "decode"), (bytes,))?;
            value_of(&value)
        })
    }

    /// A list of dicts.
    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        let who = format!("format `{}`: encode", self.name);
        ask(&who, |py| {
            let rows = PyList::empty(py);
            for record in records {
                rows.append(dict_of_record(py, schema, record)?)?;
            }
            let bytes = self
                .object
                .bind(py)
                .call_method1(intern!(py, "encode"), (rows,))?;
            append_bytes(&who, &bytes, out)
        })
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
