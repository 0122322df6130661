//! Which compressor is meant for a value, and whether it is one of ours that nobody replaced.

use common::optimization::compression::zlib::Level;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyAny, PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};

use super::values::calendar;
use crate::interchange::own_dict;

/// What a compressor of ours does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    None,
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    When,
    List,
    Dict,
}

impl Kind {
    /// In the order of the classes below.
    const ALL: [Self; 9] = [
        Self::None,
        Self::Bool,
        Self::Int,
        Self::Float,
        Self::Text,
        Self::Bytes,
        Self::When,
        Self::List,
        Self::Dict,
    ];
}

const NAMES: [&str; 9] = [
    "NoneCompressor",
    "BooleanCompressor",
    "IntCompressor",
    "FloatCompressor",
    "TextCompressor",
    "BinaryCompressor",
    "DateTimeCompressor",
    "ListCompressor",
    "DictCompressor",
];

const TABLE_METHODS: [&str; 3] = [
    "get_type_signature",
    "get_compressor_for_type",
    "get_compressor_for_signature",
];

/// A class of the package, with its methods as they came.
struct Class {
    python: Py<PyType>,
    compress: Py<PyAny>,
    decompress: Py<PyAny>,
}

/// The public classes, as they were when first needed.
struct Classes {
    compressors: Vec<Class>,
    table: Py<PyType>,
    table_methods: Vec<Py<PyAny>>,
    levels: Vec<Py<PyAny>>,
    none: Py<PyAny>,
}

fn classes(py: Python<'_>) -> PyResult<&Classes> {
    static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
    if let Some(classes) = CLASSES.get(py) {
        return Ok(classes);
    }
    let module = py.import("syncdb.compression.type_compressor")?;
    let mut compressors = Vec::new();
    for name in NAMES {
        let class = module.getattr(name)?.cast_into::<PyType>()?;
        compressors.push(Class {
            compress: class.getattr("compress")?.unbind(),
            decompress: class.getattr("decompress")?.unbind(),
            python: class.unbind(),
        });
    }
    let table = module.getattr("CompressorFactory")?.cast_into::<PyType>()?;
    let table_methods = TABLE_METHODS
        .iter()
        .map(|name| Ok(table.getattr(*name)?.unbind()))
        .collect::<PyResult<_>>()?;
    let levels = module
        .getattr("CompressionLevel")?
        .try_iter()?
        .map(|level| Ok(level?.unbind()))
        .collect::<PyResult<_>>()?;
    let classes = Classes {
        compressors,
        table: table.unbind(),
        table_methods,
        levels,
        none: module.getattr("NoneCompressor")?.call0()?.unbind(),
    };
    Ok(CLASSES.get_or_init(py, || classes))
}

/// Zlib's level for one of `CompressionLevel`: three times its value.
pub(super) fn level_of(level: &Bound<'_, PyAny>) -> PyResult<Level> {
    let py = level.py();
    let known = &classes(py)?.levels;
    let value = match known.iter().position(|known| known.is(level)) {
        Some(at) => at,
        None => level.getattr(intern!(py, "value"))?.extract::<usize>()?,
    };
    u8::try_from(3 * value.min(255))
        .ok()
        .and_then(|level| Level::new(level).ok())
        .ok_or_else(|| PyValueError::new_err(format!("{level} is no level of compression")))
}

/// What a compressor does when it is one of ours; nothing if a program replaced its method or derived a class.
pub(super) fn kind_of(
    compressor: &Bound<'_, PyAny>,
    writes: bool,
    table: &Bound<'_, PyAny>,
) -> PyResult<Option<(Kind, Level)>> {
    let py = compressor.py();
    let class = compressor.get_type();
    let found = classes(py)?
        .compressors
        .iter()
        .zip(Kind::ALL)
        .find(|(known, _)| known.python.is(&class));
    let Some((known, kind)) = found else {
        return Ok(None);
    };
    let (name, method) = if writes {
        (intern!(py, "compress"), &known.compress)
    } else {
        (intern!(py, "decompress"), &known.decompress)
    };
    let own = own_dict(compressor)?;
    let own = own.cast::<PyDict>()?;
    if !class.getattr(name)?.is(method) || own.contains(name)? {
        return Ok(None);
    }
    let mut level = Level::STORED;
    match kind {
        Kind::Text | Kind::Bytes if writes => {
            level = level_of(&compressor.getattr(intern!(py, "level"))?)?;
        }
        Kind::List | Kind::Dict => {
            let same = own
                .get_item(intern!(py, "compressor_factory"))?
                .is_some_and(|its| its.is(table));
            if !same || (kind == Kind::Dict && !plain_keys(own, writes)?) {
                return Ok(None);
            }
        }
        _ => {}
    }
    Ok(Some((kind, level)))
}

/// Whether a dict's keys are written as every dict's are.
fn plain_keys(own: &Bound<'_, PyDict>, writes: bool) -> PyResult<bool> {
    let py = own.py();
    match own.get_item(intern!(py, "text_compressor"))? {
        Some(keys) => {
            Ok(key_level(&keys, writes)?.is_some_and(|level| !writes || level == Level::DEFAULT))
        }
        None => Ok(false),
    }
}

/// The level of a compressor of keys, if it is ours.
pub(super) fn key_level(keys: &Bound<'_, PyAny>, writes: bool) -> PyResult<Option<Level>> {
    Ok(match kind_of(keys, writes, keys)? {
        Some((Kind::Text, level)) => Some(level),
        _ => None,
    })
}

/// The tables of a factory, as they are while nobody else's code has run.
pub(super) struct Table<'py> {
    pub(super) factory: Bound<'py, PyAny>,
    /// Both dicts, when the factory is ours and its methods are not replaced.
    plain: Option<(Bound<'py, PyDict>, Bound<'py, PyDict>)>,
}

impl<'py> Table<'py> {
    pub(super) fn new(factory: Bound<'py, PyAny>) -> PyResult<Self> {
        let plain = Self::plain(&factory)?;
        Ok(Self { factory, plain })
    }

    /// Looks again, after somebody else's code has run.
    pub(super) fn refresh(&mut self) -> PyResult<()> {
        self.plain = Self::plain(&self.factory)?;
        Ok(())
    }

    pub(super) fn is_plain(&self) -> bool {
        self.plain.is_some()
    }

    fn plain(
        factory: &Bound<'py, PyAny>,
    ) -> PyResult<Option<(Bound<'py, PyDict>, Bound<'py, PyDict>)>> {
        let py = factory.py();
        let classes = classes(py)?;
        let class = factory.get_type();
        if !classes.table.is(&class) {
            return Ok(None);
        }
        let own = own_dict(factory)?;
        for (name, method) in TABLE_METHODS.iter().zip(&classes.table_methods) {
            let name = PyString::intern(py, name);
            if !class.getattr(&name)?.is(method) || own.contains(&name)? {
                return Ok(None);
            }
        }
        let types = own.get_item(intern!(py, "type_to_signature"))?;
        let codecs = own.get_item(intern!(py, "signature_to_compressor"))?;
        Ok(match (types, codecs) {
            (Some(types), Some(codecs)) => {
                match (types.cast_into_exact(), codecs.cast_into_exact()) {
                    (Ok(types), Ok(codecs)) => Some((types, codecs)),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// The number of a type in the factory's table.
    pub(super) fn signature_of(
        factory: &Bound<'py, PyAny>,
        class: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = factory.py();
        let types = factory.getattr(intern!(py, "type_to_signature"))?;
        match types.cast::<PyDict>() {
            Ok(types) => Ok(match types.get_item(class)? {
                Some(signature) => signature,
                None => 0_u8.into_pyobject(py)?.into_any(),
            }),
            Err(_) => types.call_method1(intern!(py, "get"), (class, 0)),
        }
    }

    /// The compressor of a number in the factory's table.
    pub(super) fn compressor_of(
        factory: &Bound<'py, PyAny>,
        signature: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = factory.py();
        let codecs = factory.getattr(intern!(py, "signature_to_compressor"))?;
        let found = match codecs.cast::<PyDict>() {
            Ok(codecs) => codecs.get_item(signature)?,
            Err(_) => Some(codecs.call_method1(intern!(py, "get"), (signature,))?)
                .filter(|found| !found.is_none()),
        };
        match found {
            Some(found) => Ok(found),
            None => Ok(classes(py)?.none.bind(py).clone()),
        }
    }

    /// Number and compressor of a type, as a factory of any kind gives them for this value of it.
    pub(super) fn for_value(
        &self,
        value: &Bound<'py, PyAny>,
        class: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = value.py();
        if let Some((types, codecs)) = &self.plain {
            let signature = match types.get_item(class)? {
                Some(signature) => signature,
                None => 0_u8.into_pyobject(py)?.into_any(),
            };
            let compressor = match codecs.get_item(&signature)? {
                Some(compressor) => compressor,
                None => classes(py)?.none.bind(py).clone(),
            };
            return Ok((signature, compressor));
        }
        let signature = self
            .factory
            .call_method1(intern!(py, "get_type_signature"), (value,))?;
        let compressor = self
            .factory
            .call_method1(intern!(py, "get_compressor_for_type"), (class,))?;
        Ok((signature, compressor))
    }

    /// The compressor of a number, as a factory of any kind gives it.
    pub(super) fn for_signature(
        &self,
        py: Python<'py>,
        signature: u8,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.plain {
            Some((_, codecs)) => match codecs.get_item(signature)? {
                Some(compressor) => Ok(compressor),
                None => Ok(classes(py)?.none.bind(py).clone()),
            },
            None => self
                .factory
                .call_method1(intern!(py, "get_compressor_for_signature"), (signature,)),
        }
    }
}

/// The place of a value's exact type among those that every factory knows.
#[inline]
pub(super) fn standard(value: &Bound<'_, PyAny>) -> Option<usize> {
    if value.is_exact_instance_of::<PyString>() {
        Some(4)
    } else if value.is_exact_instance_of::<PyInt>() {
        Some(2)
    } else if value.is_exact_instance_of::<PyFloat>() {
        Some(3)
    } else if value.is_none() {
        Some(0)
    } else if value.is_exact_instance_of::<PyBool>() {
        Some(1)
    } else if value.is_exact_instance_of::<PyDict>() {
        Some(7)
    } else if value.is_exact_instance_of::<PyList>() {
        Some(6)
    } else if value.is_exact_instance_of::<PyBytes>() {
        Some(5)
    } else {
        None
    }
}

/// The type of the table that a value of another type is an instance of; tuples count as lists.
pub(super) fn base_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyType>>> {
    let py = value.py();
    let calendar = calendar(py)?;
    Ok(if value.is_instance_of::<PyInt>() {
        Some(py.get_type::<PyInt>())
    } else if value.is_instance_of::<PyFloat>() {
        Some(py.get_type::<PyFloat>())
    } else if value.is_instance_of::<PyString>() {
        Some(py.get_type::<PyString>())
    } else if value.is_instance_of::<PyBytes>() {
        Some(py.get_type::<PyBytes>())
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        Some(py.get_type::<PyList>())
    } else if value.is_instance_of::<PyDict>() {
        Some(py.get_type::<PyDict>())
    } else if value.is_instance(calendar.datetime.bind(py))? {
        Some(calendar.datetime.bind(py).clone())
    } else if value.is_instance(calendar.date.bind(py))? {
        Some(calendar.date.bind(py).clone())
    } else {
        None
    })
}
