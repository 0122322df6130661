//! Requests and responses as JSON text.

use std::fmt;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::history::{FIELDS, Fields, field_names, record_class};
use super::json::{Name, Reader, Value, Writer, failed};
use super::table::key_tuple;

impl Writer {
    fn separated<'py, T>(
        &mut self,
        brackets: (char, char),
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> PyResult<()>,
    ) -> PyResult<()>
    where
        T: 'py,
    {
        self.text.push(brackets.0);
        let first = self.text.len();
        for item in items {
            let before = self.text.len();
            if before > first {
                self.text.push(',');
            }
            let begun = self.text.len();
            write(self, item)?;
            if self.text.len() == begun {
                self.text.truncate(before);
            }
        }
        self.text.push(brackets.1);
        Ok(())
    }

    /// An object of the protocol, whose key is an array and not a value of the program.
    fn envelope(&mut self, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        self.separated(('{', '}'), dict.iter(), |writer, (name, value)| {
            match name.cast::<PyString>() {
                Ok(name) => writer.string(name)?,
                Err(_) => writer.string(&name.str()?)?,
            }
            writer.text.push(':');
            match value.cast::<PyTuple>() {
                Ok(key) if name.eq("primary_key")? => writer.elements(key.iter(), 0),
                _ => writer.value(&value, 0),
            }
        })
    }

    fn change(&mut self, change: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = change.py();
        if let Ok(dict) = change.cast::<PyDict>() {
            return self.envelope(dict);
        }
        let own = change
            .getattr_opt(intern!(py, "__dict__"))?
            .and_then(|own| own.cast_into::<PyDict>().ok());
        let ours = change.get_type().is(record_class(py)?)
            && own.as_ref().is_some_and(|own| own.len() == FIELDS.len());
        if !ours {
            if !change.hasattr(intern!(py, "to_dict"))? {
                return self.value(change, 0);
            }
            let dict = change
                .call_method0(intern!(py, "to_dict"))?
                .cast_into::<PyDict>()?
                .copy()?;
            for (alias, name) in [("old_record", "old_data"), ("new_record", "new_data")] {
                if let Some(value) = dict.get_item(name)? {
                    dict.set_item(alias, value)?;
                }
            }
            return self.envelope(&dict);
        }
        let value_of = |place: usize| -> PyResult<Bound<'_, PyAny>> {
            let name = field_names(py)
                .get(place)
                .ok_or_else(|| PyValueError::new_err("a change has eight fields"))?;
            match &own {
                Some(own) => match own.get_item(name)? {
                    Some(value) => Ok(value),
                    None => change.getattr(name),
                },
                None => change.getattr(name),
            }
        };
        self.text.push('{');
        let mut aliases = String::new();
        for (place, name) in FIELDS.into_iter().enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            self.text.push('"');
            self.text.push_str(name);
            self.text.push_str("\":");
            let begun = self.text.len();
            let value = value_of(place)?;
            match value.cast::<PyTuple>() {
                Ok(key) if name == "primary_key" => self.elements(key.iter(), 0)?,
                _ => self.value(&value, 0)?,
            }
            if let Some(alias) = match name {
                "old_data" => Some(",\"old_record\":"),
                "new_data" => Some(",\"new_record\":"),
                _ => None,
            } {
                aliases.push_str(alias);
                aliases.push_str(self.text.get(begun..).unwrap_or_default());
            }
        }
        self.text.push_str(&aliases);
        self.text.push('}');
        Ok(())
    }

    /// `{table: [change]}`; changes that JSON cannot express are left out and put into `refused`.
    fn changes(&mut self, tables: &Bound<'_, PyDict>, refused: &Bound<'_, PyList>) -> PyResult<()> {
        let py = tables.py();
        self.separated(('{', '}'), tables.iter(), |writer, (table, changes)| {
            writer.string(&table.str()?)?;
            writer.text.push(':');
            let changes = changes.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            writer.separated(('[', ']'), changes, |writer, change| {
                let begun = writer.text.len();
                match writer.change(&change) {
                    Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                        writer.text.truncate(begun);
                        refused.append((change, error.value(py).str()?))
                    }
                    other => other,
                }
            })
        })
    }
}

/// The JSON of a message, and the changes that JSON cannot express with the reason.
///
/// `changes` names the entry that holds changes by table, `conflicts` the one that holds conflicts by table.
#[pyfunction]
#[pyo3(signature = (message, changes, /))]
pub(super) fn write_message<'py>(
    message: &Bound<'py, PyDict>,
    changes: &Bound<'py, PyString>,
) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyList>)> {
    let py = message.py();
    let refused = PyList::empty(py);
    let mut writer = Writer::default();
    writer.separated(('{', '}'), message.iter(), |writer, (name, value)| {
        writer.string(name.cast()?)?;
        writer.text.push(':');
        match value.cast::<PyDict>() {
            Ok(tables) if name.eq(changes)? => writer.changes(tables, &refused),
            Ok(tables) if name.eq("conflicts")? => {
                writer.separated(('{', '}'), tables.iter(), |writer, (table, conflicts)| {
                    writer.string(&table.str()?)?;
                    writer.text.push(':');
                    let conflicts = conflicts.try_iter()?.collect::<PyResult<Vec<_>>>()?;
                    writer.separated(('[', ']'), conflicts, |writer, conflict| {
                        let Ok(conflict) = conflict.cast::<PyDict>() else {
                            return writer.value(&conflict, 0);
                        };
                        writer.separated(('{', '}'), conflict.iter(), |writer, (name, value)| {
                            writer.string(&name.str()?)?;
                            writer.text.push(':');
                            match value.cast::<PyDict>() {
                                Ok(change) if name.eq("client_change")? => writer.envelope(change),
                                _ => writer.value(&value, 0),
                            }
                        })
                    })
                })
            }
            _ => writer.value(&value, 0),
        }
    })?;
    Ok((PyString::new(py, &writer.text), refused))
}

/// The message of a JSON text with `ChangeRecord`s in its entry `changes`; `None` for a text that only Python's `json`
/// reads right, or that is no message.
#[pyfunction]
#[pyo3(signature = (text, changes, /))]
pub(super) fn read_message<'py>(
    text: &Bound<'py, PyString>,
    changes: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = text.py();
    let Ok(bytes) = text.encode_utf8() else {
        return Ok(None);
    };
    let mut reader = Reader::new(py);
    let class = record_class(py)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes.as_bytes());
    let message = Message {
        reader: &mut reader,
        class,
        changes,
    }
    .deserialize(&mut deserializer);
    Ok(message
        .ok()
        .filter(|_| deserializer.end().is_ok())
        .map(Bound::into_any))
}

struct Message<'a, 'py> {
    reader: &'a mut Reader<'py>,
    class: &'a Bound<'py, PyType>,
    changes: &'a str,
}

impl<'de, 'py> DeserializeSeed<'de> for Message<'_, 'py> {
    type Value = Bound<'py, PyDict>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, 'py> Visitor<'de> for Message<'_, 'py> {
    type Value = Bound<'py, PyDict>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.reader.py);
        while let Some(name) = entries.next_key_seed(Name(self.reader))? {
            let is_changes = name.eq(self.changes);
            let value = if is_changes {
                entries
                    .next_value_seed(Tables {
                        reader: self.reader,
                        class: self.class,
                    })?
                    .into_any()
            } else {
                entries.next_value_seed(Value(self.reader))?
            };
            dict.set_item(name, value).map_err(failed)?;
        }
        Ok(dict)
    }
}

struct Tables<'a, 'py> {
    reader: &'a mut Reader<'py>,
    class: &'a Bound<'py, PyType>,
}

impl<'de, 'py> DeserializeSeed<'de> for Tables<'_, 'py> {
    type Value = Bound<'py, PyDict>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, 'py> Visitor<'de> for Tables<'_, 'py> {
    type Value = Bound<'py, PyDict>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("changes by table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.reader.py);
        while let Some(name) = entries.next_key_seed(Name(self.reader))? {
            let changes = entries.next_value_seed(Changes {
                reader: self.reader,
                class: self.class,
            })?;
            dict.set_item(name, changes).map_err(failed)?;
        }
        Ok(dict)
    }
}

struct Changes<'a, 'py> {
    reader: &'a mut Reader<'py>,
    class: &'a Bound<'py, PyType>,
}

impl<'de, 'py> DeserializeSeed<'de> for Changes<'_, 'py> {
    type Value = Bound<'py, PyList>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, 'py> Visitor<'de> for Changes<'_, 'py> {
    type Value = Bound<'py, PyList>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.reader.py);
        while let Some(change) = elements.next_element_seed(Change {
            reader: self.reader,
            class: self.class,
        })? {
            list.append(change).map_err(failed)?;
        }
        Ok(list)
    }
}

struct Change<'a, 'py> {
    reader: &'a mut Reader<'py>,
    class: &'a Bound<'py, PyType>,
}

impl<'de, 'py> DeserializeSeed<'de> for Change<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // An element that is no object is for the caller, through Python's `json`.
        deserializer.deserialize_map(self)
    }
}

impl<'de, 'py> Visitor<'de> for Change<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a change")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let py = self.reader.py;
        let [mut id, mut table_name, mut primary_key, mut operation] = [None, None, None, None];
        let [mut timestamp, mut client_id, mut old_data, mut new_data] = [None, None, None, None];
        while let Some(name) = entries.next_key::<Known>()? {
            let target = match name {
                Known::Id => &mut id,
                Known::TableName => &mut table_name,
                Known::PrimaryKey => &mut primary_key,
                Known::Operation => &mut operation,
                Known::Timestamp => &mut timestamp,
                Known::ClientId => &mut client_id,
                Known::OldData => &mut old_data,
                Known::NewData => &mut new_data,
                Known::OldRecord if old_data.is_none() => &mut old_data,
                Known::NewRecord if new_data.is_none() => &mut new_data,
                Known::OldRecord | Known::NewRecord | Known::Other => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *target = Some(entries.next_value_seed(Value(self.reader))?);
        }
        let need =
            |field: Option<Bound<'py, PyAny>>| field.ok_or_else(|| failed("a field is missing"));
        let primary_key = key_tuple(&need(primary_key)?).map_err(failed)?;
        Fields {
            id: &need(id)?,
            table_name: &need(table_name)?,
            primary_key: &primary_key,
            operation: &need(operation)?,
            timestamp: &need(timestamp)?,
            client_id: &need(client_id)?,
            old_data: &need(old_data)?,
            new_data: &need(new_data)?,
        }
        .record(self.class)
        .map_err(|error| failed(error.value(py)))
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Known {
    Id,
    TableName,
    PrimaryKey,
    Operation,
    Timestamp,
    ClientId,
    OldData,
    NewData,
    OldRecord,
    NewRecord,
    #[serde(other)]
    Other,
}
