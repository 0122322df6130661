//! Bringing back what lost in a conflict: a new write with an entry of its own in the ledger.

use common::versioning::Hlc;
use common::{Collection, Error, Map, RecordId, Result, Text, Transaction, Value};

use super::rows::{entry, whole};
use crate::sync::authority::Authority;
use crate::sync::columns::{RowWrites, forget};
use crate::sync::conflict::{Rule, Written};
use crate::sync::gone;
use crate::sync::graves::Grave;
use crate::sync::ledger::{EntryId, LedgerEntry, Reverted, Side, Visibility};
use crate::sync::system::number;

/// Who writes, and on whose behalf.
pub(crate) struct Actor {
    pub(crate) written: Written,
    pub(crate) principal: Option<Text>,
}

impl Reverted {
    /// The entries that were written, for a replica's mutation, of which the rest is a reason to reject it.
    pub(super) fn accepted(self, id: EntryId) -> Result<Vec<LedgerEntry>> {
        match self {
            Self::Done(entries) => Ok(entries),
            Self::Unchanged => Ok(Vec::new()),
            Self::Already(by) => Err(Error::conflict(format!(
                "conflict {id} was reverted already, by entry {by}"
            ))),
            Self::WrittenSince { value, replica, .. } => Err(Error::conflict(format!(
                "conflict {id} was followed by a write of {}, which holds {value:?} now; ask again with force to \
                 replace it",
                if replica.0.is_empty() {
                    "the server"
                } else {
                    &replica.0
                }
            ))),
        }
    }
}

/// Writes what lost in the conflict `id`, and the entries that say so, which are not stored yet.
pub(crate) fn revert(
    authority: &Authority,
    tx: &mut Transaction<'_>,
    id: EntryId,
    force: bool,
    actor: &Actor,
    before: usize,
) -> Result<Reverted> {
    let conflict = find(authority, tx, id, actor)?;
    let of_row = of_row(authority, tx, &conflict)?;
    let standing = |id: EntryId| of_row.iter().find(|entry| entry.reverts == Some(id));
    if let Some(by) = standing(id)
        && standing(by.id()).is_none()
    {
        return Ok(Reverted::Already(by.id()));
    }
    let collection = authority.db.collection(&conflict.table)?;
    let revert = Revert {
        authority,
        collection: &collection,
        force,
        actor,
        before,
    };
    match &conflict.column {
        Some(column) => {
            let policy = authority.policy(&conflict.table);
            let group = policy.group_of(column);
            let together = of_row.iter().filter(|other| {
                other.seq == conflict.seq
                    && other.client_seq == conflict.client_seq
                    && other.replica == conflict.replica
                    && other.column.as_ref().is_some_and(|other| {
                        other == column || group.is_some_and(|group| group.contains(other))
                    })
            });
            let together: Vec<&LedgerEntry> = together.collect();
            revert.columns(tx, &together)
        }
        None => revert.row(tx, &conflict),
    }
}

fn find(
    authority: &Authority,
    tx: &Transaction<'_>,
    id: EntryId,
    actor: &Actor,
) -> Result<LedgerEntry> {
    let key = RecordId::composite([number(id.seq.0), Value::from(id.number)]);
    let found = tx.get(&authority.tables.conflicts, key)?;
    let found = found.map(|record| LedgerEntry::from_record(&record));
    let found = found.transpose()?.filter(|entry| {
        let by = &actor.written.replica;
        // A replica brings back only what it may read.
        by.0.is_empty()
            || authority.rules.ledger.visible_to == Visibility::Everyone
            || entry.replica == *by
            || entry.server_replica == *by
    });
    found.ok_or_else(|| {
        Error::not_found(format!(
            "there is no conflict {id} in the ledger; the oldest are forgotten after a while"
        ))
    })
}

/// All entries about the row of one, oldest first.
fn of_row(
    authority: &Authority,
    tx: &Transaction<'_>,
    conflict: &LedgerEntry,
) -> Result<Vec<LedgerEntry>> {
    let table = &authority.tables.conflicts;
    let indexes = table.indexes();
    let Some(index) = indexes.first() else {
        return Ok(Vec::new());
    };
    let key = [
        Value::Text(conflict.table.clone()),
        Value::List(conflict.key.values().into()),
    ];
    let records = tx.view().equal(table, index, &key)?;
    let mut entries: Vec<LedgerEntry> = records
        .iter()
        .map(LedgerEntry::from_record)
        .collect::<Result<_>>()?;
    entries.sort_by_key(LedgerEntry::id);
    Ok(entries)
}

/// The value that does not stand: of two that were made into one, the server's, which takes back what the replica
/// did.
fn lost(entry: &LedgerEntry) -> &Value {
    match entry.winner {
        Side::Server => &entry.client,
        Side::Client | Side::Merged => &entry.server,
    }
}

struct Revert<'a> {
    authority: &'a Authority,
    collection: &'a Collection,
    force: bool,
    actor: &'a Actor,
    before: usize,
}

impl Revert<'_> {
    fn columns(&self, tx: &mut Transaction<'_>, conflicts: &[&LedgerEntry]) -> Result<Reverted> {
        let schema = self.collection.schema();
        let rows = &self.authority.tables.rows;
        let Some(first) = conflicts.first() else {
            return Ok(Reverted::Unchanged);
        };
        let Some(row) = tx.get(self.collection, first.key.clone())? else {
            let grave = Grave::of(tx, &self.authority.tables, &schema.name, &first.key)?;
            let written = grave.map_or_else(unknown, |grave| grave.written);
            return Ok(written_since(&written, Value::Null));
        };
        let mut writes = RowWrites::of(tx, rows, &schema.name, &row)?;
        let mut changes = Vec::new();
        let mut entries = Vec::new();
        for conflict in conflicts {
            let column = conflict.column.clone().unwrap_or_default();
            let position = schema.position(&column).ok_or_else(|| {
                Error::not_found(format!(
                    "table `{}` has no column `{column}` any more",
                    schema.name
                ))
            })?;
            let field = schema.fields.get(position).map(|field| field.id);
            let field = field.unwrap_or_default();
            let current = row.get(position).cloned().unwrap_or_default();
            let wanted = lost(conflict).clone();
            if current == wanted {
                continue;
            }
            let (seq, written) = writes.last(field);
            let written = written.clone();
            if seq > conflict.seq && current != conflict.result && !self.force {
                return Ok(written_since(&written, current));
            }
            let number = self.before + entries.len();
            entries.push(LedgerEntry {
                column: Some(column),
                server: current.clone(),
                client: wanted.clone(),
                result: wanted.clone(),
                ..self.entry(tx, conflict, &written, number)?
            });
            writes.note(field, tx.seq(), self.actor.written.clone(), current);
            changes.push((position, wanted));
        }
        if changes.is_empty() {
            return Ok(Reverted::Unchanged);
        }
        tx.update_values(self.collection, first.key.clone(), changes)?;
        writes.write(tx, rows, &schema.name, first.key.values())?;
        Ok(Reverted::Done(entries))
    }

    fn row(&self, tx: &mut Transaction<'_>, conflict: &LedgerEntry) -> Result<Reverted> {
        let schema = self.collection.schema();
        let tables = &self.authority.tables;
        let key = &conflict.key;
        let current = tx.get(self.collection, key.clone())?;
        let writes = match &current {
            Some(row) => Some(RowWrites::of(tx, &tables.rows, &schema.name, row)?),
            None => None,
        };
        if let (Some(row), Some(writes)) = (&current, &writes) {
            let (seq, written) = writes.latest();
            if seq > conflict.seq && !self.force {
                return Ok(written_since(written, whole(&schema, row)));
            }
        }
        let grave = Grave::of(tx, tables, &schema.name, key)?;
        let last = match (&writes, &grave) {
            (Some(writes), _) => writes.latest().1.clone(),
            (None, Some(grave)) => grave.written.clone(),
            (None, None) => unknown(),
        };
        let mut entry = self.entry(tx, conflict, &last, self.before)?;
        entry.server = current
            .as_ref()
            .map_or(Value::Null, |row| whole(&schema, row));
        match (lost(conflict), current) {
            (Value::Map(columns), current) => {
                let known = match (&current, grave) {
                    (Some(row), _) => Some(row.to_vec()),
                    (None, Some(grave)) => grave.values,
                    (None, None) => None,
                };
                let values = self.completed(key, columns, known)?;
                if current.as_ref().is_some_and(|row| **row == *values) {
                    return Ok(Reverted::Unchanged);
                }
                tx.upsert_values(self.collection, values)?;
                gone::clear(tx, tables, &schema, key)?;
                let row = tx.get(self.collection, key.clone())?;
                entry.client = Value::Map(columns.clone());
                entry.result = row.map_or(Value::Null, |row| whole(&schema, &row));
                RowWrites::born(tx.seq(), self.actor.written.clone()).write(
                    tx,
                    &tables.rows,
                    &schema.name,
                    key.values(),
                )?;
            }
            (_, Some(row)) => {
                let written = self.actor.written.clone();
                Grave::new(tx.seq(), written, Some(&row), writes.as_ref())
                    .write(tx, tables, &schema, key)?;
                gone::note(tx, tables, &schema, key, tx.seq())?;
                tx.delete(self.collection, key.clone())?;
                forget(tx, &tables.rows, &schema.name, key)?;
            }
            (_, None) => return Ok(Reverted::Unchanged),
        }
        Ok(Reverted::Done(vec![entry]))
    }

    /// The row that the columns make of what is known of it.
    fn completed(
        &self,
        key: &RecordId,
        columns: &Map,
        known: Option<Vec<Value>>,
    ) -> Result<Vec<Value>> {
        let schema = self.collection.schema();
        let known = known.filter(|known| known.len() == schema.fields.len());
        let complete = columns.len() + schema.key_columns >= schema.fields.len();
        if known.is_none() && !complete {
            return Err(Error::not_found(format!(
                "what row {key} of table `{}` held is not known any more, so it cannot come back",
                schema.name
            )));
        }
        let mut values = known.unwrap_or_else(|| {
            let mut values = key.values().to_vec();
            values.resize(schema.fields.len(), Value::Null);
            values
        });
        for (name, value) in columns {
            let place = schema.position(name).and_then(|at| values.get_mut(at));
            if let Some(place) = place {
                *place = value.clone();
            }
        }
        Ok(values)
    }

    fn entry(
        &self,
        tx: &Transaction<'_>,
        conflict: &LedgerEntry,
        last: &Written,
        number: usize,
    ) -> Result<LedgerEntry> {
        Ok(LedgerEntry {
            rule: Rule::Revert,
            winner: Side::Client,
            reverts: Some(conflict.id()),
            ..entry(
                self.authority,
                tx,
                (&conflict.table, &conflict.key),
                self.actor,
                last,
                number,
            )?
        })
    }
}

fn unknown() -> Written {
    Written {
        stamp: Hlc::default(),
        replica: "".into(),
        client_seq: 0,
    }
}

fn written_since(written: &Written, value: Value) -> Reverted {
    Reverted::WrittenSince {
        replica: written.replica.clone(),
        stamp: written.stamp,
        value,
    }
}
