//! [`PythonCodec`]: compression algorithms.

use common::optimization::compression::Codec;
use common::{Error, Result};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::call::{append_bytes, ask};

/// An object with `tag`, `name`, `compress(raw)` and `decompress(packed, limit)`.
pub(super) struct PythonCodec {
    tag: u8,
    name: String,
    object: Py<PyAny>,
}

impl PythonCodec {
    pub(super) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        Ok(Self {
            tag: object.getattr(intern!(py, "tag"))?.extract()?,
            name: object.getattr(intern!(py, "name"))?.extract()?,
            object: object.clone().unbind(),
        })
    }

    fn who(&self, method: &str) -> String {
        format!("codec `{}`: {method}", self.name)
    }
}

impl Codec for PythonCodec {
    fn tag(&self) -> u8 {
        self.tag
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn compress(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let who = self.who("compress");
        ask(&who, |py| {
            let raw = PyBytes::new(py, raw);
            let packed = self
                .object
                .bind(py)
                .call_method1(intern!(py, "compress"), (raw,))?;
            append_bytes(&who, &packed, out)
        })
    }

    fn decompress(&self, packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<()> {
        let who = self.who("decompress");
        let before = out.len();
        ask(&who, |py| {
            let packed = PyBytes::new(py, packed);
            let raw = self
                .object
                .bind(py)
                .call_method1(intern!(py, "decompress"), (packed, limit))?;
            append_bytes(&who, &raw, out)
        })?;
        if out.len() - before > limit {
            out.truncate(before);
            return Err(Error::limit_exceeded(format!(
                "{who} returned more than the {limit} bytes that it was allowed"
            )));
        }
        Ok(())
    }
}
