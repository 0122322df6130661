//! Shared dictionaries of tables: what makes blocks of a few rows small, where both sides have the same one.
//!
//! A server trains them ([`training`](super::training)) and gives them to replicas; a replica keeps one for each table
//! and says in every request which. Whatever is missing on either side is said in the next exchange and costs bytes only.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::ops::ControlFlow;
use std::sync::Arc;

use common::schema::{Field, FieldId, FieldType, Schema, SchemaBuilder};
use common::{Collection, Database, Error, Limits, Record, Result, Text, Transaction, Value};
use sha2::{Digest as _, Sha256};

use super::protocol::{DICTIONARIES_MAX, DICTIONARY_BYTES_MAX, SentDictionary};
use super::system::{self, damaged, number, read_list, read_number, read_text};
use crate::payload::{DictionaryId, Shared, SharedDictionary};

/// A dictionary, and what it knows the columns of.
#[derive(Debug)]
pub(crate) struct TableDictionary {
    pub(crate) id: DictionaryId,
    pub(crate) sent: SentDictionary,
    pub(crate) shared: SharedDictionary,
}

/// Identity of a dictionary: the first four bytes of SHA-256 over what it is for, and its content.
pub(crate) fn id_of(sent: &SentDictionary) -> DictionaryId {
    let mut hasher = Sha256::new();
    hasher.update((sent.table.len() as u64).to_le_bytes());
    hasher.update(sent.table.as_bytes());
    hasher.update(sent.key_columns.to_le_bytes());
    hasher.update((sent.fields.len() as u64).to_le_bytes());
    for field in &sent.fields {
        hasher.update(field.0.to_le_bytes());
    }
    hasher.update(&sent.content);
    let mut id = [0; 4];
    for (to, from) in id.iter_mut().zip(hasher.finalize()) {
        *to = from;
    }
    DictionaryId(id)
}

impl TableDictionary {
    /// Reads the content of a dictionary that was trained, stored or sent.
    ///
    /// # Errors
    /// As [`SharedDictionary::read`].
    pub(crate) fn read(sent: SentDictionary, limits: &Limits) -> Result<Self> {
        if sent.content.len() > DICTIONARY_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the dictionary of a table has at most {DICTIONARY_BYTES_MAX} bytes, this one {}",
                sent.content.len()
            )));
        }
        Ok(Self {
            id: id_of(&sent),
            shared: SharedDictionary::read(&sent.content, limits)?,
            sent,
        })
    }

    /// Where the columns of a block are in the dictionary; one that it does not know is past its last.
    pub(crate) fn positions(&self, key_columns: usize, fields: &[FieldId]) -> Vec<usize> {
        let known = usize::try_from(self.sent.key_columns).unwrap_or(usize::MAX);
        let key = (0..key_columns).map(|at| if known == key_columns { at } else { usize::MAX });
        let others = fields.iter().map(|field| {
            let at = self.sent.fields.iter().position(|known| known == field);
            at.map_or(usize::MAX, |at| known.saturating_add(at))
        });
        key.chain(others).collect()
    }

    /// The dictionary for columns at these positions.
    pub(crate) const fn at<'a>(&'a self, positions: &'a [usize]) -> Shared<'a> {
        Shared::of_columns(&self.shared, positions)
    }
}

/// The dictionaries that an exchange may use, by number: those that its request names, in that order. One that this
/// side does not have is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dictionaries(Arc<Vec<Option<Arc<TableDictionary>>>>);

impl Dictionaries {
    pub(crate) fn new(all: Vec<Option<Arc<TableDictionary>>>) -> Self {
        Self(Arc::new(all))
    }

    /// Those that are here.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<TableDictionary>> {
        self.0.iter().flatten()
    }

    /// The identities of those that are here.
    pub(crate) fn ids(&self) -> Vec<DictionaryId> {
        self.iter().map(|dictionary| dictionary.id).collect()
    }

    /// The one of a table, with its number; the first has number 1.
    pub(crate) fn of_table(&self, table: &str) -> Option<(u32, &TableDictionary)> {
        (1..).zip(self.0.iter()).find_map(|(number, dictionary)| {
            let dictionary = dictionary.as_ref()?;
            (dictionary.sent.table == *table).then_some((number, dictionary.as_ref()))
        })
    }

    /// The one of a number.
    pub(crate) fn get(&self, number: u32) -> Option<&Arc<TableDictionary>> {
        let position = usize::try_from(number).ok()?.checked_sub(1)?;
        self.0.get(position)?.as_ref()
    }
}

/// The columns that a row of a dictionary has on either side, for [`to_row`] and [`from_row`].
fn columns() -> Vec<Field> {
    vec![
        Field::new("table", FieldType::Text),
        Field::new("id", FieldType::Int),
        Field::new("key_columns", FieldType::Int),
        Field::new("fields", FieldType::Any),
        Field::new("content", FieldType::Any),
    ]
}

/// Opens the table of dictionaries, one for each value of `key`.
pub(crate) fn open(db: &Database, key: &[&str], more: Vec<Field>) -> Result<Collection> {
    let mut fields = columns();
    fields.extend(more);
    let begun = Schema::build("sync_dictionaries", key.iter().copied());
    let schema = fields.into_iter().fold(begun, SchemaBuilder::field);
    system::open(db, schema.finish()?)
}

pub(crate) fn id_value(id: DictionaryId) -> Value {
    number(u32::from_be_bytes(id.0).into())
}

/// Values for the columns `table`, `id`, `key_columns`, `fields`, `content`.
pub(crate) fn to_row(sent: &SentDictionary) -> [Value; 5] {
    [
        Value::Text(sent.table.clone()),
        id_value(id_of(sent)),
        Value::from(sent.key_columns),
        Value::List(
            sent.fields
                .iter()
                .map(|field| Value::from(field.0))
                .collect(),
        ),
        Value::Bytes(Arc::clone(&sent.content)),
    ]
}

/// A dictionary from such values.
pub(crate) fn from_row(row: &[Value]) -> Result<SentDictionary> {
    let small = |value: Option<&Value>, at: usize| {
        let value = value.and_then(Value::as_int);
        let value = value.and_then(|value| u32::try_from(value).ok());
        value.ok_or_else(|| damaged(at))
    };
    let fields = read_list(row, 3)?.iter();
    let sent = SentDictionary {
        table: read_text(row, 0)?,
        key_columns: small(row.get(2), 2)?,
        fields: fields
            .map(|field| small(Some(field), 3).map(FieldId))
            .collect::<Result<_>>()?,
        content: match row.get(4) {
            Some(Value::Bytes(content)) => Arc::clone(content),
            _ => return Err(damaged(4)),
        },
    };
    if read_number(row, 1)? == u64::from(u32::from_be_bytes(id_of(&sent).0)) {
        Ok(sent)
    } else {
        Err(damaged(1))
    }
}

/// All rows of the table of dictionaries, in order of their keys.
pub(crate) fn rows(db: &Database, table: &Collection) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    db.snapshot().view().scan(table, &mut |records| {
        found.extend_from_slice(records);
        ControlFlow::Continue(())
    })?;
    found.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(found)
}

/// What a replica has stored. A row that is damaged counts as not there: the server gives that dictionary again.
pub(crate) fn at_replica(db: &Database, table: &Collection) -> Result<Dictionaries> {
    let read = rows(db, table)?.into_iter().filter_map(|row| {
        let sent = from_row(&row).ok()?;
        let dictionary = TableDictionary::read(sent, &Limits::default()).ok()?;
        Some(Some(Arc::new(dictionary)))
    });
    Ok(Dictionaries::new(read.take(DICTIONARIES_MAX).collect()))
}

/// Takes over what the server gave, and forgets what it no longer has and what is for no table. Returns what is here
/// then, if that is something else.
pub(crate) fn take_over(
    tx: &mut Transaction<'_>,
    table: &Collection,
    here: &Dictionaries,
    given: &[SentDictionary],
    lost: &[DictionaryId],
    has_table: impl Fn(&str) -> bool,
) -> Result<Option<Dictionaries>> {
    let mut kept: Vec<Arc<TableDictionary>> = here.iter().cloned().collect();
    let mut gone: Vec<Text> = Vec::new();
    kept.retain(|known| {
        let stays = !lost.contains(&known.id) && has_table(&known.sent.table);
        if !stays {
            gone.push(known.sent.table.clone());
        }
        stays
    });
    let mut changed = !gone.is_empty();
    for name in gone {
        tx.delete(table, name)?;
    }
    for sent in given {
        let others = kept.iter().filter(|known| known.sent.table != sent.table);
        if !has_table(&sent.table) || others.count() >= DICTIONARIES_MAX {
            continue;
        }
        let read = TableDictionary::read(sent.clone(), &Limits::default())?;
        tx.upsert_values(table, to_row(sent))?;
        kept.retain(|known| known.sent.table != sent.table);
        kept.push(Arc::new(read));
        changed = true;
    }
    kept.sort_by(|a, b| a.sent.table.cmp(&b.sent.table));
    Ok(changed.then(|| Dictionaries::new(kept.into_iter().map(Some).collect())))
}
