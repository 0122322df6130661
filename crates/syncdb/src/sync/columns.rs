//! The server's side table: for each row that several sides have written, which column was last written by
//! which commit, when and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use common::schema::{FieldId, Schema};
use common::versioning::{Change, ChangeKind, Hlc, ReplicaId};
use common::{Collection, Record, Result, Seq, Transaction, Value};

use super::catalogue::Ages;
use super::conflict::{Policy, Strategy, Written};
use super::delta::elements;
use super::gone;
use super::graves::Grave;
use super::system::{
    ServerTables, damaged, number, read_list, read_number, read_text, row_key, stamp_value,
};

/// The last write of one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColumnWrite {
    pub(crate) seq: Seq,
    pub(crate) written: Written,
    /// The value that it replaced, and the commit which had written that.
    pub(crate) before: Value,
    pub(crate) before_seq: Seq,
}

/// What is known of the writes to one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowWrites {
    /// Last commit to the row that is accounted for here.
    seq: Seq,
    /// Which commit made the row, when and by whom: true of every column that is not listed.
    born: Seq,
    made: Written,
    columns: BTreeMap<FieldId, ColumnWrite>,
    /// For columns that are sets, who added and removed which element last.
    elements: BTreeMap<FieldId, BTreeMap<Value, ElementWrites>>,
    /// Who wrote to the row at all, also where another's value stood.
    touched: Latest,
}

/// Elements of one set that are noted; of those whose note was dropped for another's, it counts as known to all
/// that they are there or not.
const ELEMENTS_NOTED_MAX: usize = 256;

/// Who added and who removed one element of a set last.
#[derive(Debug, Clone, PartialEq, Default)]
struct ElementWrites {
    added: Latest,
    removed: Latest,
}

/// The last commit of each of the last two replicas. That is enough to say for any replica whether another one
/// has written since.
#[derive(Debug, Clone, PartialEq, Default)]
struct Latest(Option<(Seq, ReplicaId)>, Option<(Seq, ReplicaId)>);

impl Latest {
    fn note(&mut self, seq: Seq, replica: &ReplicaId) {
        if self.0.as_ref().is_none_or(|(_, known)| known != replica) {
            self.1 = self.0.take();
        }
        self.0 = Some((seq, replica.clone()));
    }

    fn by_other(&self, replica: &ReplicaId, base: Seq) -> bool {
        let mut both = self.0.iter().chain(&self.1);
        both.any(|(seq, by)| *seq > base && by != replica)
    }

    fn seq(&self) -> Seq {
        self.0.as_ref().map_or(Seq::ZERO, |(seq, _)| *seq)
    }

    fn to_value(&self) -> Value {
        let both = self.0.iter().chain(&self.1);
        Value::List(
            both.flat_map(|(seq, by)| [number(seq.0), Value::Text(by.0.clone())])
                .collect(),
        )
    }

    fn from_value(value: &Value) -> Option<Self> {
        let one = |seq: &Value, by: &Value| {
            let seq = Seq(seq.as_int()?.cast_unsigned());
            Some((seq, ReplicaId(by.as_text()?.into())))
        };
        Some(match value.as_list()? {
            [] => Self::default(),
            [seq, by] => Self(Some(one(seq, by)?), None),
            [seq, by, seq2, by2] => Self(Some(one(seq, by)?), Some(one(seq2, by2)?)),
            _ => return None,
        })
    }
}

impl RowWrites {
    /// A row made by the commit `seq`.
    pub(crate) fn born(seq: Seq, made: Written) -> Self {
        Self {
            seq,
            born: seq,
            made,
            columns: BTreeMap::new(),
            elements: BTreeMap::new(),
            touched: Latest::default(),
        }
    }

    /// Notes that a replica wrote to the row, whatever came of it.
    pub(crate) fn touch(&mut self, seq: Seq, replica: &ReplicaId) {
        self.touched.note(seq, replica);
    }

    /// Whether another replica has written to the row after the commit `base`.
    pub(crate) fn touched_by_other(&self, replica: &ReplicaId, base: Seq) -> bool {
        self.touched.by_other(replica, base)
    }

    /// The same, of a row that came back with the commit `seq`.
    pub(crate) fn revived(mut self, seq: Seq) -> Self {
        self.seq = seq;
        self
    }

    /// The last write of any column.
    pub(crate) fn latest(&self) -> (Seq, &Written) {
        let all = self.columns.values().map(|w| (w.seq, &w.written));
        all.chain([(self.born, &self.made)])
            .max_by_key(|(seq, _)| *seq)
            .unwrap_or((self.born, &self.made))
    }

    /// Whether another replica has added an element to a set after the commit `base`.
    pub(crate) fn added_by_other(
        &self,
        field: FieldId,
        element: &Value,
        replica: &ReplicaId,
        base: Seq,
    ) -> bool {
        match self.elements.get(&field).and_then(|all| all.get(element)) {
            Some(writes) => writes.added.by_other(replica, base),
            None => self.born > base && self.made.replica != *replica,
        }
    }

    /// Whether another replica has removed an element from a set after the commit `base`.
    pub(crate) fn removed_by_other(
        &self,
        field: FieldId,
        element: &Value,
        replica: &ReplicaId,
        base: Seq,
    ) -> bool {
        let writes = self.elements.get(&field).and_then(|all| all.get(element));
        writes.is_some_and(|writes| writes.removed.by_other(replica, base))
    }

    /// Notes that elements were added to a set that held `there`, and others removed, whatever came of it.
    pub(crate) fn note_elements<'v>(
        &mut self,
        field: FieldId,
        seq: Seq,
        replica: &ReplicaId,
        there: &BTreeSet<Value>,
        added: impl IntoIterator<Item = &'v Value>,
        removed: impl IntoIterator<Item = &'v Value>,
    ) {
        let all = self.elements.entry(field).or_default();
        let first = |element: &Value| {
            let mut writes = ElementWrites::default();
            if there.contains(element) {
                // It came with the row.
                writes.added.note(self.born, &self.made.replica);
            }
            writes
        };
        for element in added {
            let writes = all.entry(element.clone()).or_insert_with_key(first);
            writes.added.note(seq, replica);
        }
        for element in removed {
            let writes = all.entry(element.clone()).or_insert_with_key(first);
            writes.removed.note(seq, replica);
        }
        if all.len() > ELEMENTS_NOTED_MAX {
            let mut ages: Vec<(Seq, Value)> = all
                .iter()
                .map(|(element, writes)| {
                    (
                        writes.added.seq().max(writes.removed.seq()),
                        element.clone(),
                    )
                })
                .collect();
            ages.sort_unstable();
            for (_, element) in ages.iter().take(all.len() - ELEMENTS_NOTED_MAX) {
                all.remove(element);
            }
        }
        self.seq = self.seq.max(seq);
    }

    /// What is known of a row. Writes that went past the side table count for all columns: the conflict
    /// that is reported too much is better than the one that is not.
    pub(crate) fn of(
        tx: &Transaction<'_>,
        rows: &Collection,
        table: &str,
        row: &Record,
    ) -> Result<Self> {
        let known = match tx.get(rows, row_key(table, &row.id()))? {
            Some(entry) => Some(Self::read(&entry).map_err(|error| error.at("sync_rows"))?),
            None => None,
        };
        Ok(match known {
            Some(known) if row.seq() <= known.seq => known,
            _ => Self::unaccounted(row),
        })
    }

    /// A row whose last write went past the side table.
    fn unaccounted(row: &Record) -> Self {
        let millis = row.metadata().updated.as_millis();
        Self::born(row.seq(), at_server(Hlc::new(millis, 0)))
    }

    /// The last write of a column: its commit, when and by whom.
    pub(crate) fn last(&self, field: FieldId) -> (Seq, &Written) {
        match self.columns.get(&field) {
            Some(write) => (write.seq, &write.written),
            None => (self.born, &self.made),
        }
    }

    /// As [`RowWrites::last`], of a column that may have come after the row was written last: what it follows from counts, as it
    /// was written, and one that follows from nothing nobody has written.
    pub(crate) fn last_over(&self, field: FieldId, ages: Option<&Ages>) -> (Seq, &Written) {
        let since = ages.and_then(|ages| ages.since(field));
        let (Some(ages), Some(since)) = (ages, since) else {
            return self.last(field);
        };
        if self.columns.contains_key(&field) || self.born >= since {
            return self.last(field);
        }
        let relatives = ages.relatives(field);
        let written = relatives.iter().filter_map(|id| self.columns.get(id));
        if let Some(latest) = written.max_by_key(|write| write.seq) {
            return (latest.seq, &latest.written);
        }
        let was_there = |id: &FieldId| ages.since(*id).is_none_or(|since| since <= self.born);
        if relatives.iter().any(was_there) {
            (self.born, &self.made)
        } else {
            (self.born, &*NOBODY)
        }
    }

    /// The value that the column had at the commit `base`, where that is known.
    pub(crate) fn value_at(&self, field: FieldId, base: Seq) -> Option<Value> {
        let write = self.columns.get(&field)?;
        (write.before_seq <= base && base < write.seq).then(|| write.before.clone())
    }

    /// Notes a write of a column that held `before`.
    pub(crate) fn note(&mut self, field: FieldId, seq: Seq, written: Written, before: Value) {
        let (before_seq, _) = self.last(field);
        let write = ColumnWrite {
            seq,
            written,
            before,
            before_seq,
        };
        self.columns.insert(field, write);
        self.seq = seq;
    }

    /// Notes that a column was written again with the value that it has.
    pub(crate) fn confirm(&mut self, field: FieldId, seq: Seq, written: Written) {
        let (before_seq, last) = self.last(field);
        if *last >= written {
            return;
        }
        let before = self
            .columns
            .get(&field)
            .map(|write| (write.before.clone(), write.before_seq));
        let (before, before_seq) = before.unwrap_or((Value::Null, before_seq));
        let write = ColumnWrite {
            seq,
            written,
            before,
            before_seq,
        };
        self.columns.insert(field, write);
        self.seq = seq;
    }

    /// Notes that a column of a row that is being made is not written by whoever makes the row.
    pub(crate) fn note_nobody(&mut self, field: FieldId) {
        let write = ColumnWrite {
            seq: self.born,
            written: NOBODY.clone(),
            before: Value::Null,
            before_seq: self.born,
        };
        self.columns.insert(field, write);
    }

    pub(crate) fn write(
        &self,
        tx: &mut Transaction<'_>,
        rows: &Collection,
        table: &str,
        key: &[Value],
    ) -> Result<()> {
        tx.upsert_values(rows, self.to_values(table, key)).map(drop)
    }

    /// As a row of `sync_rows`.
    pub(crate) fn to_values(&self, table: &str, key: &[Value]) -> [Value; 10] {
        let columns = self.columns.iter().map(|(field, write)| {
            Value::from(vec![
                Value::from(field.0),
                number(write.seq.0),
                stamp_value(write.written.stamp),
                Value::Text(write.written.replica.0.clone()),
                write.before.clone(),
                number(write.before_seq.0),
                number(write.written.client_seq),
            ])
        });
        let elements = self.elements.iter().flat_map(|(field, elements)| {
            elements.iter().map(|(element, writes)| {
                Value::from(vec![
                    Value::from(field.0),
                    element.clone(),
                    writes.added.to_value(),
                    writes.removed.to_value(),
                ])
            })
        });
        [
            Value::from(table),
            Value::List(key.into()),
            number(self.seq.0),
            number(self.born.0),
            stamp_value(self.made.stamp),
            Value::Text(self.made.replica.0.clone()),
            Value::List(columns.collect()),
            number(self.made.client_seq),
            Value::List(elements.collect()),
            self.touched.to_value(),
        ]
    }

    /// From a row of `sync_rows`.
    pub(crate) fn read(entry: &[Value]) -> Result<Self> {
        let columns = read_list(entry, 6)?.iter().map(read_column);
        let mut elements: BTreeMap<FieldId, BTreeMap<Value, ElementWrites>> = BTreeMap::new();
        for value in entry.get(8).and_then(Value::as_list).unwrap_or_default() {
            let (field, element, writes) = read_element(value).ok_or_else(|| damaged(8))?;
            elements.entry(field).or_default().insert(element, writes);
        }
        let touched = match entry.get(9) {
            None | Some(Value::Null) => Latest::default(),
            Some(value) => Latest::from_value(value).ok_or_else(|| damaged(9))?,
        };
        Ok(Self {
            seq: Seq(read_number(entry, 2)?),
            born: Seq(read_number(entry, 3)?),
            made: Written {
                stamp: Hlc(read_number(entry, 4)?),
                replica: ReplicaId(read_text(entry, 5)?),
                // An earlier edition did not note it.
                client_seq: read_number(entry, 7).unwrap_or_default(),
            },
            columns: columns.collect::<Result<_>>()?,
            elements,
            touched,
        })
    }
}

fn read_column(column: &Value) -> Result<(FieldId, ColumnWrite)> {
    let Some(
        [
            Value::Int(field),
            Value::Int(seq),
            Value::Int(stamp),
            Value::Text(replica),
            before,
            Value::Int(before_seq),
            rest @ ..,
        ],
    ) = column.as_list()
    else {
        return Err(damaged(6));
    };
    let field = u32::try_from(*field).map_err(|_| damaged(6))?;
    let client_seq = rest.first().and_then(Value::as_int).unwrap_or_default();
    let write = ColumnWrite {
        seq: Seq(seq.cast_unsigned()),
        written: Written {
            stamp: Hlc(stamp.cast_unsigned()),
            replica: ReplicaId(replica.clone()),
            client_seq: client_seq.cast_unsigned(),
        },
        before: before.clone(),
        before_seq: Seq(before_seq.cast_unsigned()),
    };
    Ok((FieldId(field), write))
}

fn read_element(value: &Value) -> Option<(FieldId, Value, ElementWrites)> {
    let [field, element, added, removed] = value.as_list()? else {
        return None;
    };
    let writes = ElementWrites {
        added: Latest::from_value(added)?,
        removed: Latest::from_value(removed)?,
    };
    let field = FieldId(u32::try_from(field.as_int()?).ok()?);
    Some((field, element.clone(), writes))
}

/// A write that no replica made.
pub(crate) fn at_server(stamp: Hlc) -> Written {
    Written {
        stamp,
        replica: ReplicaId::from(""),
        client_seq: 0,
    }
}

/// Who is said to have written a column that the maker of its row did not know.
static NOBODY: LazyLock<Written> = LazyLock::new(|| Written {
    client_seq: u64::MAX,
    ..at_server(Hlc::default())
});

/// Whether a column was never written since its row was made by somebody who did not know it.
pub(crate) fn is_nobody(written: &Written) -> bool {
    *written == *NOBODY
}

/// Forgets a row that was deleted.
pub(crate) fn forget(
    tx: &mut Transaction<'_>,
    rows: &Collection,
    table: &str,
    key: &common::RecordId,
) -> Result<()> {
    let key = row_key(table, key);
    if tx.get(rows, key.clone())?.is_some() {
        tx.delete(rows, key)?;
    }
    Ok(())
}

/// What is kept of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remember {
    /// What the row held, and its key.
    Row,
    /// That a row of this key was there.
    Key,
    Nothing,
}

/// Accounts for a change that was written at the server, past the push of any replica. `log_start` is where the log begins.
pub(crate) fn fold(
    tx: &mut Transaction<'_>,
    tables: &ServerTables,
    schema: &Schema,
    policy: &Policy,
    change: &Change,
    remember: Remember,
    log_start: Seq,
) -> Result<()> {
    let rows = &tables.rows;
    let id = change.id();
    let known = match tx.get(rows, row_key(&schema.name, &id))? {
        Some(entry) => Some(RowWrites::read(&entry)?),
        None => None,
    };
    if known.as_ref().is_some_and(|known| known.seq >= change.seq) {
        return Ok(());
    }
    let written = at_server(change.stamp);
    match (change.kind, known) {
        (ChangeKind::Delete, known) => {
            if remember != Remember::Nothing {
                gone::note(tx, tables, schema, &id, change.seq)?;
            }
            if remember == Remember::Row {
                let before = change.before.as_deref();
                Grave::new(change.seq, written, before, known.as_ref())
                    .write_later(tx, tables, schema, &id)?;
            }
            forget(tx, rows, &schema.name, &id)
        }
        // A row without an entry says enough by its own metadata.
        (ChangeKind::Insert, None) => gone::clear(tx, tables, schema, &id),
        (ChangeKind::Insert, Some(_)) => {
            gone::clear(tx, tables, schema, &id)?;
            RowWrites::born(change.seq, written).write(tx, rows, &schema.name, id.values())
        }
        (ChangeKind::Update, known) => {
            // What wrote the row before is not accounted for when the server was killed right after it: of the columns that
            // this commit left alone nothing is known then but that they are not younger.
            let mut known = match (&change.before, known) {
                (Some(before), known) => match known.filter(|known| known.seq >= before.seq()) {
                    Some(known) => known,
                    None => RowWrites::unaccounted(before),
                },
                (None, Some(known)) => known,
                (None, None) => RowWrites::born(log_start, at_server(Hlc::default())),
            };
            known.touch(change.seq, &written.replica);
            for position in change.columns.iter() {
                let Some(field) = schema.fields.get(position) else {
                    continue;
                };
                let before = change.before.as_ref().and_then(|b| b.get(position));
                if matches!(policy.of(&field.name), Strategy::Set(_)) {
                    let empty = BTreeSet::new;
                    let set = |value: Option<&Value>| {
                        value.map_or_else(empty, |value| elements(value).unwrap_or_default())
                    };
                    let (had, has) = (set(before), set(change.record.get(position)));
                    known.note_elements(
                        field.id,
                        change.seq,
                        &written.replica,
                        &had,
                        has.difference(&had),
                        had.difference(&has),
                    );
                }
                let value = before.cloned().unwrap_or_default();
                known.note(field.id, change.seq, written.clone(), value);
                if change.before.is_none() {
                    known.hide_before(field.id);
                }
            }
            known.write(tx, rows, &schema.name, id.values())
        }
    }
}

impl RowWrites {
    /// Marks the value before a write as unknown.
    fn hide_before(&mut self, field: FieldId) {
        if let Some(write) = self.columns.get_mut(&field) {
            write.before_seq = write.seq;
        }
    }
}
