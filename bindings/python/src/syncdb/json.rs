//! JSON for the wire, with tagged forms for what JSON has no words for.
//!
//! Data that JSON can express keep their plain form, but for tuples, which would come back as lists. An object with the
//! tag among its keys is written as tagged pairs, so that no data of a program are taken for a tagged form.

use std::collections::HashMap;
use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pyo3::exceptions::{PyRecursionError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::copy::DEPTH_MAX;

/// The key that marks a tagged form.
const TAG: &str = "$syncdb";

/// Classes of the standard library that have a tagged form.
struct Classes {
    datetime: Py<PyType>,
    date: Py<PyType>,
    time: Py<PyType>,
    timedelta: Py<PyType>,
    decimal: Py<PyType>,
    uuid: Py<PyType>,
    bytearray: Py<PyType>,
}

fn classes(py: Python<'_>) -> PyResult<&Classes> {
    static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
    CLASSES.get_or_try_init(py, || {
        let class = |module: &str, name: &str| -> PyResult<Py<PyType>> {
            Ok(py
                .import(module)?
                .getattr(name)?
                .cast_into::<PyType>()?
                .unbind())
        };
        Ok(Classes {
            datetime: class("datetime", "datetime")?,
            date: class("datetime", "date")?,
            time: class("datetime", "time")?,
            timedelta: class("datetime", "timedelta")?,
            decimal: class("decimal", "Decimal")?,
            uuid: class("uuid", "UUID")?,
            bytearray: class("builtins", "bytearray")?,
        })
    })
}

/// Text of JSON that grows.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) text: String,
}

impl Writer {
    /// Writes a text in quotes.
    pub(super) fn string(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        match text.encode_utf8() {
            Ok(bytes) => {
                self.literal(&String::from_utf8_lossy(bytes.as_bytes()));
            }
            // A surrogate without its other half: Python writes it as an escape.
            Err(_) => {
                let py = text.py();
                let quoted = py
                    .import(intern!(py, "json"))?
                    .call_method1(intern!(py, "dumps"), (text,))?;
                self.text
                    .push_str(quoted.cast::<PyString>()?.to_cow()?.as_ref());
            }
        }
        Ok(())
    }

    pub(super) fn literal(&mut self, text: &str) {
        self.text.push('"');
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.text.push_str(text.get(from..at).unwrap_or_default());
            from = at + 1;
            match byte {
                b'"' => self.text.push_str("\\\""),
                b'\\' => self.text.push_str("\\\\"),
                b'\n' => self.text.push_str("\\n"),
                b'\r' => self.text.push_str("\\r"),
                b'\t' => self.text.push_str("\\t"),
                _ => {
                    let _ = write!(self.text, "\\u{byte:04x}");
                }
            }
        }
        self.text.push_str(text.get(from..).unwrap_or_default());
        self.text.push('"');
    }

    fn float(&mut self, value: f64) {
        if value.is_nan() {
            self.text.push_str("NaN");
        } else if value.is_infinite() {
            self.text
                .push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(self.text, "{value:?}");
        }
    }

    fn int(&mut self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(small) = value.extract::<i64>() {
            let _ = write!(self.text, "{small}");
            return Ok(());
        }
        // A subclass may show itself otherwise.
        let digits = value
            .py()
            .get_type::<PyInt>()
            .call_method1(intern!(value.py(), "__repr__"), (value,))?;
        self.text.push_str(&digits.cast::<PyString>()?.to_cow()?);
        Ok(())
    }

    /// Writes any value.
    pub(super) fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        if value.is_exact_instance_of::<PyString>() {
            return self.string(value.cast()?);
        }
        if value.is_none() {
            self.text.push_str("null");
        } else if value.is_exact_instance_of::<PyBool>() {
            self.text
                .push_str(if value.is_truthy()? { "true" } else { "false" });
        } else if value.is_exact_instance_of::<PyInt>() {
            return self.int(value);
        } else if value.is_exact_instance_of::<PyFloat>() {
            self.float(value.extract()?);
        } else if depth > DEPTH_MAX {
            return Err(PyRecursionError::new_err(
                "the value is nested too deeply to be sent",
            ));
        } else if let Ok(list) = value.cast::<PyList>() {
            return self.elements(list.iter(), depth);
        } else if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict, depth);
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.tagged("tuple", |writer| writer.elements(tuple.iter(), depth));
        } else if let Ok(text) = value.cast::<PyString>() {
            return self.string(text);
        } else if value.is_instance_of::<PyInt>() {
            return self.int(value);
        } else if value.is_instance_of::<PyFloat>() {
            self.float(value.extract()?);
        } else {
            return self.special(value, depth);
        }
        Ok(())
    }

    pub(super) fn elements<'py>(
        &mut self,
        elements: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> PyResult<()> {
        self.text.push('[');
        for (at, one) in elements.enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            self.value(&one, depth + 1)?;
        }
        self.text.push(']');
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> PyResult<()> {
        let start = self.text.len();
        self.text.push('{');
        // Written out first: values of other classes run Python code, which could change the dictionary.
        let items: Vec<_> = dict.iter().collect();
        for (at, (name, value)) in items.iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            if let Ok(text) = name.cast::<PyString>() {
                let before = self.text.len();
                self.string(text)?;
                if self
                    .text
                    .get(before + 1..)
                    .is_some_and(|text| text.starts_with(TAG))
                {
                    self.text.truncate(start);
                    return self.pairs(&items, depth);
                }
            } else if name.is_none()
                || name.is_instance_of::<PyInt>()
                || name.is_instance_of::<PyFloat>()
            {
                // As Python's `json` does: `true`, `1`, `1.5` and `null` become texts.
                self.text.push('"');
                self.value(name, depth + 1)?;
                self.text.push('"');
            } else {
                self.text.truncate(start);
                return self.pairs(&items, depth);
            }
            self.text.push(':');
            self.value(value, depth + 1)?;
        }
        self.text.push('}');
        Ok(())
    }

    fn pairs(
        &mut self,
        items: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)],
        depth: usize,
    ) -> PyResult<()> {
        self.tagged("dict", |writer| {
            writer.text.push('[');
            for (at, (name, value)) in items.iter().enumerate() {
                if at > 0 {
                    writer.text.push(',');
                }
                writer.text.push('[');
                writer.value(name, depth + 1)?;
                writer.text.push(',');
                writer.value(value, depth + 1)?;
                writer.text.push(']');
            }
            writer.text.push(']');
            Ok(())
        })
    }

    fn tagged(
        &mut self,
        kind: &str,
        value: impl FnOnce(&mut Self) -> PyResult<()>,
    ) -> PyResult<()> {
        self.text.push_str("{\"");
        self.text.push_str(TAG);
        self.text.push_str("\":");
        self.literal(kind);
        self.text.push_str(",\"value\":");
        value(self)?;
        self.text.push('}');
        Ok(())
    }

    fn special(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        let py = value.py();
        let classes = classes(py)?;
        let class = value.get_type();
        let iso = |kind: &'static str| -> PyResult<(&'static str, Bound<'_, PyAny>)> {
            Ok((kind, value.call_method0(intern!(py, "isoformat"))?))
        };
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return self.tagged("bytes", |writer| {
                writer.literal(&BASE64.encode(bytes.as_bytes()));
                Ok(())
            });
        }
        if class.is(&classes.bytearray) {
            let bytes = py.get_type::<PyBytes>().call1((value,))?;
            let bytes = bytes.cast::<PyBytes>()?;
            return self.tagged("bytearray", |writer| {
                writer.literal(&BASE64.encode(bytes.as_bytes()));
                Ok(())
            });
        }
        if let Ok(set) = value.cast::<PySet>() {
            return self.tagged("set", |writer| writer.elements(set.iter(), depth));
        }
        if let Ok(set) = value.cast::<PyFrozenSet>() {
            return self.tagged("frozenset", |writer| writer.elements(set.iter(), depth));
        }
        let (kind, shown) = if class.is(&classes.datetime) {
            iso("datetime")?
        } else if class.is(&classes.date) {
            iso("date")?
        } else if class.is(&classes.time) {
            iso("time")?
        } else if class.is(&classes.decimal) {
            ("decimal", value.str()?.into_any())
        } else if class.is(&classes.uuid) {
            ("uuid", value.str()?.into_any())
        } else if class.is(&classes.timedelta) {
            let parts = PyList::new(
                py,
                [
                    value.getattr(intern!(py, "days"))?,
                    value.getattr(intern!(py, "seconds"))?,
                    value.getattr(intern!(py, "microseconds"))?,
                ],
            )?;
            ("timedelta", parts.into_any())
        } else {
            return Err(PyTypeError::new_err(format!(
                "Object of type {} cannot be sent",
                class.name()?
            )));
        };
        self.tagged(kind, |writer| writer.value(&shown, depth + 1))
    }
}

/// The value of a tagged form; an object of another form stays as it is.
pub(super) fn untagged<'py>(dict: Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let py = dict.py();
    let (2, Some(kind), Some(value)) = (
        dict.len(),
        dict.get_item(intern!(py, "$syncdb"))?,
        dict.get_item(intern!(py, "value"))?,
    ) else {
        return Ok(dict.into_any());
    };
    let Ok(kind) = kind.cast::<PyString>() else {
        return Ok(dict.into_any());
    };
    let classes = classes(py)?;
    let from_iso = |class: &Py<PyType>| {
        class
            .bind(py)
            .call_method1(intern!(py, "fromisoformat"), (&value,))
    };
    let decoded = || -> PyResult<Bound<'py, PyBytes>> {
        let text = value.cast::<PyString>()?.to_cow()?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(|error| {
            pyo3::exceptions::PyValueError::new_err(format!("bytes that are not base64: {error}"))
        })?;
        Ok(PyBytes::new(py, &bytes))
    };
    Ok(match kind.to_cow()?.as_ref() {
        "tuple" => value.cast::<PyList>()?.to_tuple().into_any(),
        "set" => PySet::new(py, value.cast::<PyList>()?)?.into_any(),
        "frozenset" => PyFrozenSet::new(py, value.cast::<PyList>()?)?.into_any(),
        "bytes" => decoded()?.into_any(),
        "bytearray" => classes.bytearray.bind(py).call1((decoded()?,))?,
        "datetime" => from_iso(&classes.datetime)?,
        "date" => from_iso(&classes.date)?,
        "time" => from_iso(&classes.time)?,
        "decimal" => classes.decimal.bind(py).call1((&value,))?,
        "uuid" => classes.uuid.bind(py).call1((&value,))?,
        "timedelta" => classes
            .timedelta
            .bind(py)
            .call1(value.cast::<PyList>()?.to_tuple())?,
        "dict" => {
            let pairs = PyDict::new(py);
            for pair in value.try_iter()? {
                let pair = pair?;
                pairs.set_item(pair.get_item(0)?, pair.get_item(1)?)?;
            }
            pairs.into_any()
        }
        _ => return Ok(dict.into_any()),
    })
}

/// `value` with the tagged forms in it replaced by what they stand for; the object itself if there are none.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(super) fn untag<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    untag_at(value, 0)
}

fn untag_at<'py>(value: &Bound<'py, PyAny>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    if depth > DEPTH_MAX || super::copy::is_atom(value) {
        return Ok(value.clone());
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        let mut changed = false;
        let mut elements = Vec::with_capacity(list.len());
        for one in list {
            let other = untag_at(&one, depth + 1)?;
            changed |= !other.is(&one);
            elements.push(other);
        }
        return if changed {
            Ok(PyList::new(value.py(), elements)?.into_any())
        } else {
            Ok(value.clone())
        };
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        let mut copied = None;
        let items: Vec<_> = dict
            .iter()
            .filter(|(_, one)| !super::copy::is_atom(one))
            .collect();
        for (name, one) in items {
            let other = untag_at(&one, depth + 1)?;
            if !other.is(&one) {
                let target = match copied.take() {
                    Some(target) => target,
                    None => dict.copy()?,
                };
                target.set_item(name, other)?;
                copied = Some(target);
            }
        }
        let dict = copied.unwrap_or_else(|| dict.clone());
        if dict.len() == 2 && dict.contains(intern!(value.py(), "$syncdb"))? {
            return untagged(dict);
        }
        return Ok(dict.into_any());
    }
    Ok(value.clone())
}

/// Reads JSON into Python objects. What only Python's `json` reads right is an error here: the caller asks it then.
pub(super) struct Reader<'py> {
    pub(super) py: Python<'py>,
    /// Keys of objects, so that each text is made once.
    names: HashMap<Box<str>, Bound<'py, PyString>>,
    /// Whether the tag was seen as a key.
    tags: bool,
}

impl<'py> Reader<'py> {
    pub(super) fn new(py: Python<'py>) -> Self {
        Self {
            py,
            names: HashMap::new(),
            tags: false,
        }
    }

    pub(super) fn name(&mut self, text: &str) -> Bound<'py, PyString> {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name = PyString::new(self.py, text);
        self.tags |= text == TAG;
        self.names.insert(text.into(), name.clone());
        name
    }
}

pub(super) struct Value<'a, 'py>(pub(super) &'a mut Reader<'py>);

/// An error of Python inside serde's.
pub(super) fn failed<E: serde::de::Error>(error: impl fmt::Display) -> E {
    E::custom(error)
}

/// The name of the next entry of an object, without a copy of its text where there needs none.
pub(super) struct Name<'a, 'py>(pub(super) &'a mut Reader<'py>);

impl<'de, 'py> DeserializeSeed<'de> for Name<'_, 'py> {
    type Value = Bound<'py, PyString>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'py> Visitor<'_> for Name<'_, 'py> {
    type Value = Bound<'py, PyString>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.name(text))
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Value<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Value<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.0.py.None().into_bound(self.0.py))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.0.py, value).to_owned().into_any())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        value
            .into_pyobject(self.0.py)
            .map(Bound::into_any)
            .map_err(failed)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        value
            .into_pyobject(self.0.py)
            .map(Bound::into_any)
            .map_err(failed)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        // Integers of more than 64 bits and `-0` arrive as floats.
        if value.abs() >= 9.2e18 || (value == 0.0 && value.is_sign_negative()) {
            return Err(E::custom("may be an integer"));
        }
        Ok(PyFloat::new(self.0.py, value).into_any())
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.0.py, text).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.0.py);
        while let Some(one) = elements.next_element_seed(Value(self.0))? {
            list.append(one).map_err(failed)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.0.py);
        while let Some(name) = entries.next_key_seed(Name(self.0))? {
            let value = entries.next_value_seed(Value(self.0))?;
            dict.set_item(name, value).map_err(failed)?;
        }
        if self.0.tags
            && dict.len() == 2
            && dict
                .contains(intern!(self.0.py, "$syncdb"))
                .map_err(failed)?
        {
            return untagged(dict).map_err(A::Error::custom);
        }
        Ok(dict.into_any())
    }
}
