//! Lists and dicts from bytes: each element goes to the compressor that the factory has for its number.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict, PyList};
use syncdb::payload::typed::{Element, Elements, Room};

use super::classes::{Kind, Table, key_level, kind_of};
use super::values;
use super::write::DEPTH_MAX;

/// Numbers whose compressors are remembered while only our code runs.
const REMEMBERED: usize = 10;

/// Who reads the elements of one number.
#[derive(Clone)]
enum Plan<'py> {
    Ours(Kind),
    Theirs(Bound<'py, PyAny>),
}

/// Reads what one call gives.
pub(super) struct Reader<'py> {
    py: Python<'py>,
    table: Table<'py>,
    plans: [Option<Plan<'py>>; REMEMBERED],
    depth: usize,
    room: Room,
    /// Keys by their place in a dict: those of a list of records repeat.
    known: Vec<(Vec<u8>, Bound<'py, PyAny>)>,
    /// Somebody else's compressor of keys.
    keys: Option<Bound<'py, PyAny>>,
}

impl<'py> Reader<'py> {
    pub(super) fn new(factory: Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            py: factory.py(),
            table: Table::new(factory)?,
            plans: [const { None }; REMEMBERED],
            depth: 0,
            room: values::room(),
            known: Vec::new(),
            keys: None,
        })
    }

    fn forget(&mut self) -> PyResult<()> {
        self.plans = [const { None }; REMEMBERED];
        self.table.refresh()
    }

    fn plan(&mut self, signature: u8) -> PyResult<Plan<'py>> {
        let compressor = self.table.for_signature(self.py, signature)?;
        let plan = match kind_of(&compressor, false, &self.table.factory)? {
            Some((kind, _)) => Plan::Ours(kind),
            None => Plan::Theirs(compressor),
        };
        if !self.table.is_plain() {
            self.forget()?;
        } else if let Some(known) = self.plans.get_mut(usize::from(signature)) {
            *known = Some(plan.clone());
        }
        Ok(plan)
    }

    fn element(&mut self, element: Element<'_>) -> PyResult<Bound<'py, PyAny>> {
        let kind = match self.plans.get(usize::from(element.signature)) {
            Some(Some(Plan::Ours(kind))) => *kind,
            _ => match self.plan(element.signature)? {
                Plan::Ours(kind) => kind,
                Plan::Theirs(compressor) => {
                    let payload = PyBytes::new(self.py, element.payload);
                    let value =
                        compressor.call_method1(intern!(self.py, "decompress"), (payload,))?;
                    self.forget()?;
                    return Ok(value);
                }
            },
        };
        let (py, payload) = (self.py, element.payload);
        match kind {
            Kind::None => Ok(py.None().into_bound(py)),
            Kind::Bool => values::boolean(py, payload),
            Kind::Int => values::int(py, payload),
            Kind::Float => values::float(py, payload),
            Kind::Text => values::text(py, payload, &mut self.room),
            Kind::Bytes => values::bytes(py, payload, &mut self.room),
            Kind::When => values::when(py, payload),
            Kind::List => self.nested(|reader| reader.list(payload)),
            Kind::Dict => self.nested(|reader| {
                // Those inside have keys as every dict has them.
                let keys = reader.keys.take();
                let value = reader.entries(payload)?;
                reader.keys = keys;
                Ok(value)
            }),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.depth == DEPTH_MAX {
            return Err(PyValueError::new_err(format!(
                "more than {DEPTH_MAX} levels of nesting"
            )));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    pub(super) fn list(&mut self, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let mut elements = Elements::of(data).map_err(|error| values::malformed(&error))?;
        let list = PyList::empty(self.py);
        while !elements.is_done() {
            let element = elements
                .element()
                .map_err(|error| values::malformed(&error))?;
            list.append(self.element(element)?)?;
        }
        Ok(list.into_any())
    }

    /// A dict whose keys another compressor may read.
    pub(super) fn dict(
        &mut self,
        data: &[u8],
        keys: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if key_level(keys, false)?.is_none() {
            self.keys = Some(keys.clone());
        }
        self.entries(data)
    }

    fn entries(&mut self, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let mut elements = Elements::of(data).map_err(|error| values::malformed(&error))?;
        let dict = PyDict::new(self.py);
        let mut at = 0;
        while !elements.is_done() {
            let key = elements.key().map_err(|error| values::malformed(&error))?;
            let key = self.key(key, at)?;
            let element = elements
                .element()
                .map_err(|error| values::malformed(&error))?;
            dict.set_item(key, self.element(element)?)?;
            at += 1;
        }
        Ok(dict.into_any())
    }

    fn key(&mut self, bytes: &[u8], at: usize) -> PyResult<Bound<'py, PyAny>> {
        if let Some(keys) = &self.keys {
            let bytes = PyBytes::new(self.py, bytes);
            let key = keys.call_method1(intern!(self.py, "decompress"), (bytes,))?;
            self.forget()?;
            return Ok(key);
        }
        if let Some((known, key)) = self.known.get(at)
            && known == bytes
        {
            return Ok(key.clone());
        }
        let key = values::text(self.py, bytes, &mut self.room)?;
        let known = (bytes.to_vec(), key.clone());
        match self.known.get_mut(at) {
            Some(place) => *place = known,
            None => self.known.push(known),
        }
        Ok(key)
    }
}

/// What a factory's compressor of lists or dicts reads.
pub(super) fn whole<'py>(
    factory: &Bound<'py, PyAny>,
    kind: Kind,
    data: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = factory.py();
    let mut reader = Reader::new(factory.clone())?;
    let signature = if kind == Kind::List { 6 } else { 7 };
    let compressor = reader.table.for_signature(py, signature)?;
    match kind_of(&compressor, false, factory)? {
        Some((Kind::List, _)) => reader.list(values::Input::of(data)?.bytes()),
        Some((Kind::Dict, _)) => reader.entries(values::Input::of(data)?.bytes()),
        _ => compressor.call_method1(intern!(py, "decompress"), (data,)),
    }
}
