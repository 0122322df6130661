//! Values in the bytes of their type: what the compressors of the package store and read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pyo3::exceptions::{PyMemoryError, PyRecursionError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::access::{Members, PythonClass};
use super::zlib::{bytes_of, pack, text_of, unpack_if_packed, utf8_of};

const MODULE: &str = "common.optimization.compression";

/// In the order in which a new set of compressors asks them.
static FORMATS: Members<7> = Members::new(
    MODULE,
    "CompressionFormat",
    [
        "NONE", "NUMERIC", "BOOLEAN", "STRING", "BINARY", "LIST", "DICT",
    ],
);
/// Their values.
const NAMES: [&str; 7] = [
    "none", "numeric", "boolean", "string", "binary", "list", "dict",
];
const NONE: usize = 0;
const NUMERIC: usize = 1;
const BOOLEAN: usize = 2;
const STRING: usize = 3;
const BINARY: usize = 4;
const LIST: usize = 5;
const DICT: usize = 6;
/// The compressor of each.
static CLASSES: [PythonClass; 7] = [
    PythonClass::new(MODULE, "NoneCompressor"),
    PythonClass::new(MODULE, "NumericCompressor"),
    PythonClass::new(MODULE, "BooleanCompressor"),
    PythonClass::new(MODULE, "StringCompressor"),
    PythonClass::new(MODULE, "BinaryCompressor"),
    PythonClass::new(MODULE, "ListCompressor"),
    PythonClass::new(MODULE, "DictCompressor"),
];

static AWARE: PythonClass = PythonClass::new(MODULE, "TypeAwareCompressor");

static JSON: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static PARSE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static DECIMAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Most bytes that the items of one list or dict pack to: each level of nesting makes a text of them, a third longer.
const NESTED_BYTES_MAX: usize = 1 << 30;

/// Texts and bytes below this are stored as they are.
const LENGTH_MIN: usize = 20;
/// How deep lists and dicts may be nested.
const DEPTH_MAX: usize = 300;

/// Compact JSON.
fn json_of(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = JSON
        .import(value.py(), MODULE, "_encode")?
        .call1((value,))?;
    Ok(text.cast::<PyString>()?.to_cow()?.into_owned())
}

/// What JSON text says.
fn parsed<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    PARSE
        .import(py, "json", "loads")?
        .call1((text_of(py, text)?,))
}

/// The compressors that a type-aware one has by now.
struct Kit<'py> {
    aware: Bound<'py, PyAny>,
    /// Whether items go through the object's own methods, because its class may override them.
    is_derived: bool,
    compressors: Vec<Compressor<'py>>,
}

struct Compressor<'py> {
    /// Which format it stands under.
    format: Option<usize>,
    /// Which of ours it is; none for a class of the caller's.
    kind: Option<usize>,
    object: Bound<'py, PyAny>,
}

/// The format of stored bytes.
enum Format<'py> {
    Known(usize),
    Other(Bound<'py, PyAny>),
}

impl<'py> Format<'py> {
    fn member(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Other(member) => Ok(member),
            Self::Known(place) => FORMATS
                .member(py, place)?
                .ok_or_else(|| PyValueError::new_err("no such format")),
        }
    }

    fn push_name(&self, text: &mut String) -> PyResult<()> {
        match self {
            Self::Known(place) => text.push_str(NAMES.get(*place).copied().unwrap_or_default()),
            Self::Other(member) => {
                let value = member.getattr(intern!(member.py(), "value"))?.str()?;
                text.push_str(&value.to_cow()?);
            }
        }
        Ok(())
    }
}

impl<'py> Kit<'py> {
    fn of(aware: &Bound<'py, PyAny>) -> PyResult<Self> {
        let compressors = aware.getattr(intern!(aware.py(), "compressors"))?;
        let mut known = Vec::with_capacity(NAMES.len());
        let compressors = compressors.cast::<PyDict>()?;
        for (place, (format, object)) in compressors
            .keys()
            .iter()
            .zip(compressors.values())
            .enumerate()
        {
            known.push(Compressor {
                format: FORMATS.position(&format)?,
                kind: kind_of(&object, place)?,
                object,
            });
        }
        Ok(Self {
            aware: aware.clone(),
            is_derived: !AWARE.is_of(aware)?,
            compressors: known,
        })
    }

    /// A value's format and bytes, by the first compressor that takes it.
    fn pack(&self, value: &Bound<'py, PyAny>, depth: usize) -> PyResult<(Format<'py>, Vec<u8>)> {
        let py = value.py();
        for compressor in &self.compressors {
            let object = &compressor.object;
            if let Some(kind) = compressor.kind {
                if accepts(kind, value) {
                    return Ok((
                        Format::Known(kind),
                        self.pack_as(kind, object, value, depth)?,
                    ));
                }
            } else if object
                .call_method1(intern!(py, "can_compress"), (value,))?
                .is_truthy()?
            {
                return foreign(object, value);
            }
        }
        if let Ok(tuple) = value.cast::<PyTuple>()
            && self
                .compressors
                .iter()
                .any(|compressor| compressor.kind == Some(LIST))
        {
            return self.pack(tuple.to_list().as_any(), depth);
        }
        let level = level_of(&self.aware)?;
        Ok((
            Format::Known(STRING),
            pack(py, json_of(value)?.as_bytes(), level)?,
        ))
    }

    fn pack_as(
        &self,
        kind: usize,
        compressor: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> PyResult<Vec<u8>> {
        match kind {
            NONE => Ok(Vec::new()),
            BOOLEAN => bool_bytes(value),
            NUMERIC => number_bytes(value),
            STRING | BINARY => text_or_bytes(value, level_of(compressor)?),
            _ => {
                let aware = compressor.getattr(intern!(value.py(), "type_aware_compressor"))?;
                let level = level_of(compressor)?;
                if aware.is(&self.aware) {
                    self.pack_items(kind, value, level, depth)
                } else {
                    pack_container(kind, value, &aware, level, depth)
                }
            }
        }
    }

    /// A list or dict of pairs of a format and base64 text.
    fn pack_items(
        &self,
        kind: usize,
        value: &Bound<'py, PyAny>,
        level: i32,
        depth: usize,
    ) -> PyResult<Vec<u8>> {
        let py = value.py();
        if value.len()? == 0 {
            return Ok(empty(kind));
        }
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        let mut text = String::with_capacity(256);
        if kind == LIST {
            text.push('[');
            for item in value.cast::<PyList>()? {
                if text.len() > 1 {
                    text.push(',');
                }
                self.push_pair(&item, &mut text, depth)?;
            }
            text.push(']');
        } else {
            text.push('{');
            for pair in value.cast::<PyDict>()?.items() {
                let (key, item): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
                if text.len() > 1 {
                    text.push(',');
                }
                push_key(&key, &mut text)?;
                text.push(':');
                self.push_pair(&item, &mut text, depth)?;
            }
            text.push('}');
        }
        pack(py, text.as_bytes(), level)
    }

    fn push_pair(&self, item: &Bound<'py, PyAny>, text: &mut String, depth: usize) -> PyResult<()> {
        let (format, bytes) = if self.is_derived {
            foreign(&self.aware, item)?
        } else {
            self.pack(item, depth + 1)?
        };
        text.push_str("[\"");
        format.push_name(text)?;
        text.push_str("\",\"");
        if bytes.len().saturating_add(text.len()) > NESTED_BYTES_MAX {
            return Err(PyMemoryError::new_err(format!(
                "items of a list or dict pack to at most {NESTED_BYTES_MAX} bytes; each level without compression adds a third"
            )));
        }
        STANDARD.encode_string(&bytes, text);
        text.push_str("\"]");
        Ok(())
    }

    fn unpack(
        &self,
        py: Python<'py>,
        format: usize,
        bytes: &[u8],
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.is_derived {
            let member = Format::Known(format).member(py)?;
            return self
                .aware
                .call_method1(intern!(py, "decompress"), (member, PyBytes::new(py, bytes)));
        }
        let found = self
            .compressors
            .iter()
            .find(|compressor| compressor.format == Some(format));
        let Some(compressor) = found else {
            let name = NAMES.get(format).copied().unwrap_or_default();
            return Err(PyValueError::new_err(format!(
                "Unsupported format type: {name}"
            )));
        };
        if compressor.kind != Some(format) {
            let member = Format::Known(format).member(py)?;
            return compressor
                .object
                .call_method1(intern!(py, "decompress"), (member, PyBytes::new(py, bytes)));
        }
        match format {
            NONE => Ok(py.None().into_bound(py)),
            BOOLEAN => Ok(PyBool::new(py, bytes == b"1").to_owned().into_any()),
            NUMERIC => number_from(py, bytes),
            STRING => Ok(text_from(py, bytes)?.into_any()),
            BINARY => Ok(bytes_from(py, bytes).into_any()),
            _ => {
                let aware = compressor
                    .object
                    .getattr(intern!(py, "type_aware_compressor"))?;
                if aware.is(&self.aware) {
                    unpack_container(py, format, bytes, Some(self), depth)
                } else {
                    let kit = if aware.is_none() {
                        None
                    } else {
                        Some(Kit::of(&aware)?)
                    };
                    unpack_container(py, format, bytes, kit.as_ref(), depth)
                }
            }
        }
    }
}

/// What a compressor of Python's makes of a value.
fn foreign<'py>(
    compressor: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<(Format<'py>, Vec<u8>)> {
    let stored = compressor.call_method1(intern!(value.py(), "compress"), (value,))?;
    let (format, bytes): (Bound<'py, PyAny>, Bound<'py, PyAny>) = stored.extract()?;
    Ok((Format::Other(format), bytes_of(&bytes)?.as_slice().to_vec()))
}

/// Which of ours a compressor is, probably the one at `guess`.
fn kind_of(compressor: &Bound<'_, PyAny>, guess: usize) -> PyResult<Option<usize>> {
    let class = compressor.get_type();
    if let Some(ours) = CLASSES.get(guess)
        && class.is(ours.get(compressor.py())?)
    {
        return Ok(Some(guess));
    }
    for (place, ours) in CLASSES.iter().enumerate() {
        if class.is(ours.get(compressor.py())?) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

fn too_deep() -> PyErr {
    PyRecursionError::new_err(
        "maximum recursion depth exceeded: lists and dicts are nested too deep",
    )
}

fn level_of(compressor: &Bound<'_, PyAny>) -> PyResult<i32> {
    compressor
        .getattr(intern!(compressor.py(), "compression_level"))?
        .extract()
}

fn accepts(kind: usize, value: &Bound<'_, PyAny>) -> bool {
    match kind {
        NONE => value.is_none(),
        NUMERIC => {
            value.is_instance_of::<PyFloat>()
                || value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>()
        }
        BOOLEAN => value.is_instance_of::<PyBool>(),
        STRING => value.is_instance_of::<PyString>(),
        BINARY => value.is_instance_of::<PyBytes>(),
        LIST => value.is_instance_of::<PyList>(),
        _ => value.is_instance_of::<PyDict>(),
    }
}

/// A key as JSON has it.
fn push_key(key: &Bound<'_, PyAny>, text: &mut String) -> PyResult<()> {
    if let Ok(key) = key.cast::<PyString>()
        && let Ok(key) = key.to_cow()
        && key
            .bytes()
            .all(|c| (b' '..=b'~').contains(&c) && c != b'"' && c != b'\\')
    {
        text.push('"');
        text.push_str(&key);
        text.push('"');
        return Ok(());
    }
    let single = PyDict::new(key.py());
    single.set_item(key, 0)?;
    let json = json_of(single.as_any())?;
    text.push_str(json.trim_start_matches('{').trim_end_matches(":0}"));
    Ok(())
}

fn pack_container<'py>(
    kind: usize,
    value: &Bound<'py, PyAny>,
    aware: &Bound<'py, PyAny>,
    level: i32,
    depth: usize,
) -> PyResult<Vec<u8>> {
    if aware.is_none() && value.len()? > 0 {
        return pack(value.py(), json_of(value)?.as_bytes(), level);
    }
    if aware.is_none() {
        return Ok(empty(kind));
    }
    Kit::of(aware)?.pack_items(kind, value, level, depth)
}

fn empty(kind: usize) -> Vec<u8> {
    if kind == LIST {
        b"[]".to_vec()
    } else {
        b"{}".to_vec()
    }
}

fn unpack_container<'py>(
    py: Python<'py>,
    kind: usize,
    bytes: &[u8],
    kit: Option<&Kit<'py>>,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    let value = match unpack_if_packed(py, bytes) {
        Some(text) => parsed(py, &text)?,
        None => parsed(py, bytes)?,
    };
    if kind == LIST {
        let Ok(list) = value.cast::<PyList>() else {
            return Err(PyValueError::new_err("the data is no list"));
        };
        let Some((kit, pairs)) = kit.and_then(|kit| Some((kit, pairs_of(list.iter())?))) else {
            return Ok(value);
        };
        let items = PyList::empty(py);
        for (format, bytes) in pairs {
            items.append(kit.unpack(py, format, &bytes, depth + 1)?)?;
        }
        return Ok(items.into_any());
    }
    let Ok(dict) = value.cast::<PyDict>() else {
        return Err(PyValueError::new_err("the data is no dict"));
    };
    let Some((kit, pairs)) = kit.and_then(|kit| Some((kit, pairs_of(dict.values().iter())?)))
    else {
        return Ok(value);
    };
    let items = PyDict::new(py);
    for (key, (format, bytes)) in dict.keys().iter().zip(pairs) {
        items.set_item(key, kit.unpack(py, format, &bytes, depth + 1)?)?;
    }
    Ok(items.into_any())
}

/// Formats and bytes, when all items are pairs that name a format.
fn pairs_of<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>) -> Option<Vec<(usize, Vec<u8>)>> {
    items
        .map(|item| {
            let pair = item.cast::<PyList>().ok().filter(|pair| pair.len() == 2)?;
            let (name, text) = (pair.get_item(0).ok()?, pair.get_item(1).ok()?);
            let name = name.cast::<PyString>().ok()?.to_cow().ok()?;
            let format = NAMES.iter().position(|known| *known == name)?;
            let bytes = STANDARD
                .decode(text.cast::<PyString>().ok()?.to_cow().ok()?.as_bytes())
                .ok()?;
            Some((format, bytes))
        })
        .collect()
}

fn bool_bytes(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    Ok(vec![if value.is_truthy()? { b'1' } else { b'0' }])
}

/// The text that `repr` gives for a plain number of the same value.
fn number_bytes(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = value.py();
    if let Ok(float) = value.cast::<PyFloat>() {
        let plain = PyFloat::new(py, float.value());
        return Ok(plain.repr()?.to_cow()?.as_bytes().to_vec());
    }
    if let Ok(small) = value.extract::<i64>() {
        return Ok(small.to_string().into_bytes());
    }
    // Unlike an `int`, a `Decimal` has no limit of digits for its text.
    let text = DECIMAL
        .import(py, "decimal", "Decimal")?
        .call1((value,))?
        .str()?;
    Ok(text.to_cow()?.as_bytes().to_vec())
}

fn number_from<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    const DIGITS_MAX: usize = 1000;
    let text = text_of(py, bytes)?;
    if bytes
        .iter()
        .any(|letter| matches!(letter, b'.' | b'e' | b'E' | b'n' | b'N'))
    {
        return py.get_type::<PyFloat>().call1((text,));
    }
    if bytes.len() > DIGITS_MAX
        && bytes
            .iter()
            .all(|digit| matches!(digit, b'-' | b'0'..=b'9'))
    {
        let decimal = DECIMAL.import(py, "decimal", "Decimal")?.call1((text,))?;
        return py.get_type::<PyInt>().call1((decimal,));
    }
    py.get_type::<PyInt>().call1((text,))
}

/// A text or bytes, compressed where that pays and where the plain ones would be taken for compressed.
fn text_or_bytes(value: &Bound<'_, PyAny>, level: i32) -> PyResult<Vec<u8>> {
    let py = value.py();
    if let Ok(text) = value.cast::<PyString>() {
        let utf8 = utf8_of(text)?;
        if text.len()? < LENGTH_MIN && unpack_if_packed(py, utf8.as_bytes()).is_none() {
            return Ok(utf8.as_bytes().to_vec());
        }
        return pack(py, utf8.as_bytes(), level);
    }
    let bytes = value.cast::<PyBytes>()?.as_bytes();
    if bytes.len() < LENGTH_MIN && unpack_if_packed(py, bytes).is_none() {
        return Ok(bytes.to_vec());
    }
    let packed = pack(py, bytes, level)?;
    if packed.len() < bytes.len() || unpack_if_packed(py, bytes).is_some() {
        return Ok(packed);
    }
    Ok(bytes.to_vec())
}

fn text_from<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if let Some(raw) = unpack_if_packed(py, bytes)
        && let Ok(text) = text_of(py, &raw)
    {
        return Ok(text);
    }
    text_of(py, bytes)
}

fn bytes_from<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyBytes> {
    match unpack_if_packed(py, bytes) {
        Some(raw) => PyBytes::new(py, &raw),
        None => PyBytes::new(py, bytes),
    }
}

type Stored<'py> = PyResult<Bound<'py, PyBytes>>;

/// A value's format and bytes, by the compressors of a type-aware one.
#[pyfunction]
pub(crate) fn pack_value<'py>(
    aware: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyBytes>)> {
    let py = value.py();
    // A plain number is not worth a look at all compressors.
    let compressors = aware.getattr(intern!(py, "compressors"))?;
    let plain = compressors.cast::<PyDict>()?.iter().take(BOOLEAN + 1);
    for (place, (_, compressor)) in plain.enumerate() {
        if kind_of(&compressor, place)? != Some(place) {
            break;
        }
        if accepts(place, value) {
            let bytes = match place {
                NONE => Vec::new(),
                NUMERIC => number_bytes(value)?,
                _ => bool_bytes(value)?,
            };
            return Ok((Format::Known(place).member(py)?, PyBytes::new(py, &bytes)));
        }
    }
    let (format, bytes) = Kit::of(aware)?.pack(value, 0)?;
    Ok((format.member(py)?, PyBytes::new(py, &bytes)))
}

/// The text of a number.
#[pyfunction]
pub(crate) fn pack_number<'py>(value: &Bound<'py, PyAny>) -> Stored<'py> {
    Ok(PyBytes::new(value.py(), &number_bytes(value)?))
}

/// The number that a text is.
#[pyfunction]
pub(crate) fn unpack_number<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    number_from(data.py(), bytes_of(data)?.as_slice())
}

/// A text or bytes as they are or in a zlib stream.
#[pyfunction]
pub(crate) fn pack_text_or_bytes<'py>(value: &Bound<'py, PyAny>, level: i32) -> Stored<'py> {
    Ok(PyBytes::new(value.py(), &text_or_bytes(value, level)?))
}

/// The text of `pack_text_or_bytes`.
#[pyfunction]
pub(crate) fn unpack_text<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    text_from(data.py(), bytes_of(data)?.as_slice())
}

/// The bytes of `pack_text_or_bytes`.
#[pyfunction]
pub(crate) fn unpack_bytes<'py>(data: &Bound<'py, PyAny>) -> Stored<'py> {
    Ok(bytes_from(data.py(), bytes_of(data)?.as_slice()))
}

/// A list in a zlib stream, its items by the type-aware compressor if there is one.
#[pyfunction]
pub(crate) fn pack_list<'py>(
    value: &Bound<'py, PyAny>,
    aware: &Bound<'py, PyAny>,
    level: i32,
) -> Stored<'py> {
    Ok(PyBytes::new(
        value.py(),
        &pack_container(LIST, value, aware, level, 0)?,
    ))
}

/// A dict in a zlib stream, its values by the type-aware compressor if there is one.
#[pyfunction]
pub(crate) fn pack_dict<'py>(
    value: &Bound<'py, PyAny>,
    aware: &Bound<'py, PyAny>,
    level: i32,
) -> Stored<'py> {
    Ok(PyBytes::new(
        value.py(),
        &pack_container(DICT, value, aware, level, 0)?,
    ))
}

/// The list of `pack_list`, or of plain JSON.
#[pyfunction]
pub(crate) fn unpack_list<'py>(
    data: &Bound<'py, PyAny>,
    aware: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kit = aware.map(Kit::of).transpose()?;
    unpack_container(data.py(), LIST, bytes_of(data)?.as_slice(), kit.as_ref(), 0)
}

/// The dict of `pack_dict`, or of plain JSON.
#[pyfunction]
pub(crate) fn unpack_dict<'py>(
    data: &Bound<'py, PyAny>,
    aware: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kit = aware.map(Kit::of).transpose()?;
    unpack_container(data.py(), DICT, bytes_of(data)?.as_slice(), kit.as_ref(), 0)
}
