//! Rows of a table under another schema: the work behind `SchemaMigrator`.
//!
//! New rows are made beside the old ones, which nobody edits; only when all are made do they take their places.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyAny, PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet,
    PyString, PyTuple, PyType,
};

use super::copy::{deep_copy, is_atom};

/// What a row gets that lacks an added column.
enum Fill<'py> {
    /// An object that never changes.
    Shared(Bound<'py, PyAny>),
    Copied(Bound<'py, PyAny>),
    Called(Bound<'py, PyAny>),
}

impl<'py> Fill<'py> {
    /// By the column's default, else by its type if it may not be `None`.
    fn new(
        default: Bound<'py, PyAny>,
        nullable: &Bound<'py, PyAny>,
        data_type: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let py = default.py();
        if default.is_none() {
            if nullable.is_truthy()? {
                return Ok(Self::Shared(default));
            }
            let is = |class: Bound<'py, PyType>| data_type.is(&class);
            let scalars = is(py.get_type::<PyString>())
                || is(py.get_type::<PyInt>())
                || is(py.get_type::<PyFloat>())
                || is(py.get_type::<PyBool>());
            return Ok(if scalars {
                Self::Shared(data_type.call0()?)
            } else if is(py.get_type::<PyList>()) || is(py.get_type::<PyDict>()) {
                Self::Copied(data_type.call0()?)
            } else {
                Self::Shared(default)
            });
        }
        Ok(if is_atom(&default) {
            Self::Shared(default)
        } else if default.is_callable() {
            Self::Called(default)
        } else {
            Self::Copied(default)
        })
    }

    fn value(&self) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Shared(value) => Ok(value.clone()),
            Self::Copied(value) => deep_copy(value),
            Self::Called(function) => deep_copy(&function.call0()?),
        }
    }
}

/// A type that stored values are to have, and how they come to it.
struct Conversion<'py> {
    class: Bound<'py, PyAny>,
    rule: Rule,
}

enum Rule {
    /// Whatever the type accepts.
    Any,
    /// Numbers without a fraction, and texts of such.
    Integer,
    /// 0 and 1.
    Boolean,
    /// Anything but bytes, whose text is of no use.
    Text,
    /// Byte strings only: a number would become as many zeros.
    Bytes,
    /// Other lists, tuples and sets: a text would be taken apart.
    Sequence,
    /// Nothing else is the same as a dict.
    Nothing,
}

impl<'py> Conversion<'py> {
    fn new(class: Bound<'py, PyAny>) -> Self {
        let py = class.py();
        let is = |known: Bound<'py, PyType>| class.is(&known);
        let rule = if is(py.get_type::<PyBool>()) {
            Rule::Boolean
        } else if is(py.get_type::<PyInt>()) {
            Rule::Integer
        } else if is(py.get_type::<PyString>()) {
            Rule::Text
        } else if is(py.get_type::<PyBytes>()) || is(py.get_type::<PyByteArray>()) {
            Rule::Bytes
        } else if is(py.get_type::<PyList>())
            || is(py.get_type::<PyTuple>())
            || is(py.get_type::<PySet>())
            || is(py.get_type::<PyFrozenSet>())
        {
            Rule::Sequence
        } else if is(py.get_type::<PyDict>()) || !class.is_callable() {
            Rule::Nothing
        } else {
            Rule::Any
        };
        Self { class, rule }
    }

    /// The value in the new type; none if it stays as it is.
    fn convert(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let is_bytes = value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>();
        let applies = match self.rule {
            Rule::Any | Rule::Integer => !is_bytes,
            Rule::Boolean => value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>(),
            Rule::Text => !is_bytes,
            Rule::Bytes => is_bytes,
            Rule::Sequence => {
                value.is_instance_of::<PyList>()
                    || value.is_instance_of::<PyTuple>()
                    || value.is_instance_of::<PySet>()
                    || value.is_instance_of::<PyFrozenSet>()
            }
            Rule::Nothing => false,
        };
        if !applies || value.is_none() || value.get_type_ptr().cast() == self.class.as_ptr() {
            return Ok(None);
        }
        let py = value.py();
        let converted = match self.class.call1((value,)) {
            Ok(converted) => converted,
            Err(error)
                if error.is_instance_of::<PyValueError>(py)
                    || error.is_instance_of::<PyTypeError>(py)
                    || error.is_instance_of::<PyOverflowError>(py)
                    || error.is_instance_of::<pyo3::exceptions::PyArithmeticError>(py) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let exact = match self.rule {
            Rule::Boolean => converted.eq(value)?,
            Rule::Integer => value.is_instance_of::<PyString>() || converted.eq(value)?,
            _ => true,
        };
        Ok(exact.then_some(converted))
    }
}

/// What happens to each row.
struct Steps<'py> {
    added: Vec<(Bound<'py, PyAny>, Fill<'py>)>,
    converted: Vec<(Bound<'py, PyAny>, Conversion<'py>)>,
    removed: Vec<Bound<'py, PyAny>>,
    function: Option<Bound<'py, PyAny>>,
    schema: Bound<'py, PyAny>,
}

type Column<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
);
type Changes<'py> = (
    Vec<Column<'py>>,
    Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    Vec<Bound<'py, PyAny>>,
);

impl<'py> Steps<'py> {
    fn new(
        (added, converted, removed): Changes<'py>,
        function: Option<Bound<'py, PyAny>>,
        schema: Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        Ok(Self {
            added: added
                .into_iter()
                .map(|(name, default, nullable, class)| {
                    Ok((name, Fill::new(default, &nullable, &class)?))
                })
                .collect::<PyResult<_>>()?,
            converted: converted
                .into_iter()
                .map(|(name, class)| (name, Conversion::new(class)))
                .collect(),
            removed,
            function,
            schema,
        })
    }

    fn row(&self, old: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        // A function edits what is inside of values, too.
        let row = match &self.function {
            None => old.cast::<PyDict>()?.copy()?,
            Some(_) => deep_copy(old)?.cast_into::<PyDict>()?,
        };
        for (name, fill) in &self.added {
            if !row.contains(name)? {
                row.set_item(name, fill.value()?)?;
            }
        }
        for (name, conversion) in &self.converted {
            if let Some(value) = row.get_item(name)?
                && let Some(value) = conversion.convert(&value)?
            {
                row.set_item(name, value)?;
            }
        }
        if let Some(function) = &self.function {
            function.call1((&row, &self.schema))?;
        }
        for name in &self.removed {
            if row.contains(name)? {
                row.del_item(name)?;
            }
        }
        Ok(row)
    }
}

fn key_of<'py>(
    row: &Bound<'py, PyDict>,
    names: &[Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyTuple>> {
    let values = names.iter().map(|name| {
        row.get_item(name)?
            .ok_or_else(|| PyValueError::new_err(format!("a row lacks the key column {name}")))
    });
    PyTuple::new(row.py(), values.collect::<PyResult<Vec<_>>>()?)
}

/// The keys of new rows; none if all are what they were.
fn new_keys<'py>(
    keys: &Bound<'py, PyList>,
    rows: &[Bound<'py, PyDict>],
    schema: &Bound<'py, PyAny>,
) -> PyResult<Option<Vec<Bound<'py, PyTuple>>>> {
    let py = keys.py();
    let names: Vec<Bound<'py, PyAny>> = schema.getattr(intern!(py, "primary_keys"))?.extract()?;
    let found = rows
        .iter()
        .map(|row| key_of(row, &names))
        .collect::<PyResult<Vec<_>>>()?;
    let mut changed = false;
    let distinct = PyDict::new(py);
    for (old, new) in keys.iter().zip(&found) {
        changed |= !old.eq(new)?;
        if distinct.contains(new)? {
            return Err(PyValueError::new_err(format!(
                "two rows would have the key {new}"
            )));
        }
        distinct.set_item(new, py.None())?;
    }
    Ok(changed.then_some(found))
}

/// Brings the rows of a table under the schema `new`, all of them or, when one fails, none.
///
/// `changes` are the columns added (name, default, nullable, type), converted (name, type) and removed (name).
/// `function(row, new)` then edits each row, from which removed columns are missing only afterwards. Keys are made anew
/// if `rekeys` is set or a function ran.
#[pyfunction]
#[pyo3(signature = (table, new, changes, function, rekeys))]
pub(super) fn migrate_rows<'py>(
    table: &Bound<'py, PyAny>,
    new: &Bound<'py, PyAny>,
    changes: Changes<'py>,
    function: Option<Bound<'py, PyAny>>,
    rekeys: bool,
) -> PyResult<()> {
    let py = table.py();
    let records = table
        .getattr(intern!(py, "records"))?
        .cast_into::<PyDict>()?;
    let rekeys = rekeys || function.is_some();
    let steps = Steps::new(changes, function, new.clone())?;
    let touches =
        !steps.added.is_empty() || !steps.converted.is_empty() || !steps.removed.is_empty();
    if !touches && !rekeys {
        return Ok(());
    }
    let (keys, old) = (records.keys(), records.values());
    let rows = old
        .iter()
        .map(|row| steps.row(&row))
        .collect::<PyResult<Vec<_>>>()?;
    let other_keys = if rekeys {
        new_keys(&keys, &rows, new)?
    } else {
        None
    };
    if let Some(other_keys) = other_keys {
        return rekey(table, &records, &keys, other_keys, rows);
    }
    for ((key, old), row) in keys.iter().zip(old.iter()).zip(rows) {
        // A function may have written to the table meanwhile.
        if steps.function.is_none() || records.get_item(&key)?.is_some_and(|now| now.is(&old)) {
            records.set_item(key, row)?;
        }
    }
    Ok(())
}

/// Files rows under other keys, and their times with them.
fn rekey<'py>(
    table: &Bound<'py, PyAny>,
    records: &Bound<'py, PyDict>,
    keys: &Bound<'py, PyList>,
    changed: Vec<Bound<'py, PyTuple>>,
    rows: Vec<Bound<'py, PyDict>>,
) -> PyResult<()> {
    let py = table.py();
    let times = table.getattr(intern!(py, "last_modified"))?;
    let times = times.cast::<PyDict>()?;
    let (filed, times_filed) = (PyDict::new(py), PyDict::new(py));
    for ((old, new), row) in keys.iter().zip(changed).zip(rows) {
        if let Some(time) = times.get_item(old)? {
            times_filed.set_item(&new, time)?;
        }
        filed.set_item(new, row)?;
    }
    for (place, content) in [(records, filed), (times, times_filed)] {
        place.clear();
        place.update(content.as_mapping())?;
    }
    Ok(())
}
