//! Lists and dicts as bytes: a walk over Python objects that asks the factory for each type's compressor.

use common::optimization::compression::zlib::Level;
use pyo3::exceptions::{PyRecursionError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict, PyList, PyString, PyTuple, PyType};
use syncdb::payload::typed;

use super::classes::{Kind, Table, base_of, key_level, kind_of, standard};
use super::signature_byte;
use super::values;

/// Most levels of nesting, as Python has a limit of its own.
pub(super) const DEPTH_MAX: usize = 400;
/// Types that every factory knows, by number.
const STANDARD: usize = 8;

/// How values of one type are written.
#[derive(Clone)]
enum Plan<'py> {
    Ours(u8, Kind, Level),
    Theirs(u8, Bound<'py, PyAny>),
}

/// Writes what one call gives, and remembers the plan of each type while only our code runs.
pub(super) struct Writer<'py> {
    table: Table<'py>,
    plans: [Option<Plan<'py>>; STANDARD],
    depth: usize,
    /// The bytes of a key, kept between keys.
    key: Vec<u8>,
    /// The compressor of keys, and its level when it is ours.
    keys: Option<(Bound<'py, PyAny>, Option<Level>)>,
    pub(super) out: Vec<u8>,
}

impl<'py> Writer<'py> {
    pub(super) fn new(factory: Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            table: Table::new(factory)?,
            plans: [const { None }; STANDARD],
            depth: 0,
            key: Vec::new(),
            keys: None,
            out: Vec::with_capacity(256),
        })
    }

    /// Somebody else's code has run: what was known of the factory may be wrong.
    fn forget(&mut self) -> PyResult<()> {
        self.plans = [const { None }; STANDARD];
        self.table.refresh()
    }

    fn plan(&self, value: &Bound<'py, PyAny>, class: &Bound<'py, PyType>) -> PyResult<Plan<'py>> {
        let (signature, compressor) = self.table.for_value(value, class.as_any())?;
        let signature = signature_byte(&signature)?;
        Ok(match kind_of(&compressor, true, &self.table.factory)? {
            Some((kind, level)) => Plan::Ours(signature, kind, level),
            None => Plan::Theirs(signature, compressor),
        })
    }

    fn element(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let place = standard(value);
        if let Some(Some(Plan::Ours(signature, kind, level))) =
            place.and_then(|place| self.plans.get(place))
        {
            return self.ours((*signature, *kind, *level), value);
        }
        let mut plan = self.plan(value, &value.get_type())?;
        if !self.table.is_plain() {
            self.forget()?;
        } else if let Some(known) = place.and_then(|place| self.plans.get_mut(place)) {
            *known = Some(plan.clone());
        }
        // A type that the factory does not know is written as the one it derives from.
        if place.is_none()
            && matches!(plan, Plan::Ours(0, Kind::None, _))
            && let Some(base) = base_of(value)?
        {
            let value = &Self::as_base(value, &base)?;
            plan = self.plan(value, &base)?;
            return self.by_plan(plan, value);
        }
        self.by_plan(plan, value)
    }

    fn by_plan(&mut self, plan: Plan<'py>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        match plan {
            Plan::Ours(signature, kind, level) => self.ours((signature, kind, level), value),
            Plan::Theirs(signature, compressor) => {
                self.depth += 1;
                let payload = compressor.call_method1(intern!(value.py(), "compress"), (value,))?;
                self.depth -= 1;
                self.forget()?;
                let start = typed::open(signature, &mut self.out);
                self.out
                    .extend_from_slice(values::Input::of(&payload)?.bytes());
                self.close(start)
            }
        }
    }

    /// A value that compressors other than ours understand too.
    fn as_base(
        value: &Bound<'py, PyAny>,
        base: &Bound<'py, PyType>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        Ok(if let Ok(tuple) = value.cast::<PyTuple>() {
            tuple.to_list().into_any()
        } else if let Ok(text) = value.cast::<PyString>() {
            // `str(x)` is what the subclass shows, not what it is.
            PyString::new(py, &text.to_cow()?).into_any()
        } else if base.is(py.get_type::<PyDict>()) || base.is(py.get_type::<PyList>()) {
            base.call1((value,))?
        } else {
            value.clone()
        })
    }

    fn close(&mut self, start: usize) -> PyResult<()> {
        typed::close(start, &mut self.out).map_err(|error| values::malformed(&error))
    }

    #[inline]
    fn ours(
        &mut self,
        (signature, kind, level): (u8, Kind, Level),
        value: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let start = typed::open(signature, &mut self.out);
        let out = &mut self.out;
        match kind {
            Kind::None => {}
            Kind::Bool => out.push(u8::from(value.is_truthy()?)),
            Kind::Int => values::put_int(value, out)?,
            Kind::Float => values::put_float(value, out)?,
            Kind::Text => values::put_text(value, level, out)?,
            Kind::Bytes => values::put_bytes(value, level, out)?,
            Kind::When => values::put_when(value, out)?,
            Kind::List => self.nested(|writer| writer.list(value))?,
            Kind::Dict => self.nested(|writer| {
                // Those inside have keys as every dict has them.
                let keys = writer.keys.take();
                writer.entries(value)?;
                writer.keys = keys;
                Ok(())
            })?,
        }
        self.close(start)
    }

    fn nested(&mut self, write: impl FnOnce(&mut Self) -> PyResult<()>) -> PyResult<()> {
        if self.depth == DEPTH_MAX {
            return Err(PyRecursionError::new_err(format!(
                "more than {DEPTH_MAX} levels of nesting"
            )));
        }
        self.depth += 1;
        write(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// The elements of a list, or of anything that can be iterated.
    pub(super) fn list(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let list = match value.cast::<PyList>() {
            Ok(list) => list.clone(),
            Err(_) => {
                let elements: Vec<_> = value.try_iter()?.collect::<PyResult<_>>()?;
                PyList::new(value.py(), elements)?
            }
        };
        if list.is_empty() {
            self.out.push(typed::EMPTY);
            return Ok(());
        }
        self.out.push(typed::FILLED);
        let mut at = 0;
        // Somebody else's code may change the list meanwhile.
        while at < list.len() {
            self.element(&list.get_item(at)?)?;
            at += 1;
        }
        Ok(())
    }

    /// A dict whose keys another compressor may write.
    pub(super) fn dict(
        &mut self,
        value: &Bound<'py, PyAny>,
        keys: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        self.keys = Some((keys.clone(), key_level(keys, true)?));
        self.entries(value)
    }

    fn entries(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let dict = value.cast::<PyDict>()?;
        if dict.is_empty() {
            self.out.push(typed::EMPTY);
            return Ok(());
        }
        self.out.push(typed::FILLED);
        // Not the dict's own iterator: somebody else's code may change it meanwhile.
        for (key, value) in dict.keys().iter().zip(dict.values().iter()) {
            self.put_key(&key)?;
            self.element(&value)?;
        }
        Ok(())
    }

    fn put_key(&mut self, key: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = key.py();
        self.key.clear();
        match &self.keys {
            Some((theirs, None)) => {
                let bytes = theirs.call_method1(intern!(py, "compress"), (key,))?;
                self.key
                    .extend_from_slice(values::Input::of(&bytes)?.bytes());
                self.forget()?;
            }
            ours => {
                let Ok(text) = key.cast::<PyString>() else {
                    let found = key.get_type().name()?;
                    return Err(PyTypeError::new_err(format!(
                        "keys are strings, not {found}"
                    )));
                };
                let level = ours
                    .as_ref()
                    .and_then(|(_, level)| *level)
                    .unwrap_or(Level::DEFAULT);
                typed::put_text(&text.to_cow()?, level, &mut self.key);
            }
        }
        typed::put_key(&self.key, &mut self.out)
            .map_err(|error| values::out_of_range(py, error.to_string()))
    }
}

/// What a factory's compressor of lists or dicts makes of a value.
pub(super) fn whole<'py>(
    factory: &Bound<'py, PyAny>,
    kind: Kind,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = factory.py();
    let class = match kind {
        Kind::List => py.get_type::<PyList>(),
        _ => py.get_type::<PyDict>(),
    };
    let mut writer = Writer::new(factory.clone())?;
    let compressor = if writer.table.is_plain() {
        writer.table.for_value(value, class.as_any())?.1
    } else {
        factory.call_method1(intern!(py, "get_compressor_for_type"), (class,))?
    };
    match kind_of(&compressor, true, factory)? {
        Some((Kind::List, _)) => writer.list(value)?,
        Some((Kind::Dict, _)) => writer.entries(value)?,
        _ => return compressor.call_method1(intern!(py, "compress"), (value,)),
    }
    Ok(PyBytes::new(py, &writer.out).into_any())
}
