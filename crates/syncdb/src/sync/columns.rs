//! The server's side table: for each row that several sides have written, which column was last written by
//! which commit, when and by whom.

use std::collections::BTreeMap;

use common::schema::{FieldId, Schema};
use common::versioning::{Change, ChangeKind, Hlc, ReplicaId};
use common::{Collection, Record, Result, Seq, Transaction, Value};

use super::conflict::Written;
use super::system::{damaged, number, read_list, read_number, read_text, row_key, stamp_value};

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
}

impl RowWrites {
    /// A row made by the commit `seq`.
    pub(crate) fn born(seq: Seq, made: Written) -> Self {
        Self {
            seq,
            born: seq,
            made,
            columns: BTreeMap::new(),
        }
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
            _ => {
                let millis = row.metadata().updated.as_millis();
                Self::born(row.seq(), at_server(Hlc::new(millis, 0)))
            }
        })
    }

    /// The last write of a column: its commit, when and by whom.
    pub(crate) fn last(&self, field: FieldId) -> (Seq, &Written) {
        match self.columns.get(&field) {
            Some(write) => (write.seq, &write.written),
            None => (self.born, &self.made),
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

    pub(crate) fn write(
        &self,
        tx: &mut Transaction<'_>,
        rows: &Collection,
        table: &str,
        key: &[Value],
    ) -> Result<()> {
        let columns = self.columns.iter().map(|(field, write)| {
            Value::from(vec![
                Value::from(field.0),
                number(write.seq.0),
                stamp_value(write.written.stamp),
                Value::Text(write.written.replica.0.clone()),
                write.before.clone(),
                number(write.before_seq.0),
            ])
        });
        let row = [
            Value::from(table),
            Value::List(key.into()),
            number(self.seq.0),
            number(self.born.0),
            stamp_value(self.made.stamp),
            Value::Text(self.made.replica.0.clone()),
            Value::List(columns.collect()),
        ];
        tx.upsert_values(rows, row).map(drop)
    }

    fn read(entry: &Record) -> Result<Self> {
        let columns = read_list(entry, 6)?.iter().map(|column| {
            let Some(
                [
                    Value::Int(field),
                    Value::Int(seq),
                    Value::Int(stamp),
                    Value::Text(replica),
                    before,
                    Value::Int(before_seq),
                ],
            ) = column.as_list()
            else {
                return Err(damaged(6));
            };
            let field = u32::try_from(*field).map_err(|_| damaged(6))?;
            let write = ColumnWrite {
                seq: Seq(seq.cast_unsigned()),
                written: Written {
                    stamp: Hlc(stamp.cast_unsigned()),
                    replica: ReplicaId(replica.clone()),
                },
                before: before.clone(),
                before_seq: Seq(before_seq.cast_unsigned()),
            };
            Ok((FieldId(field), write))
        });
        Ok(Self {
            seq: Seq(read_number(entry, 2)?),
            born: Seq(read_number(entry, 3)?),
            made: Written {
                stamp: Hlc(read_number(entry, 4)?),
                replica: ReplicaId(read_text(entry, 5)?),
            },
            columns: columns.collect::<Result<_>>()?,
        })
    }
}

/// A write that no replica made.
pub(crate) fn at_server(stamp: Hlc) -> Written {
    Written {
        stamp,
        replica: ReplicaId::from(""),
    }
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

/// Accounts for a change that was written at the server, past the push of any replica.
pub(crate) fn fold(
    tx: &mut Transaction<'_>,
    rows: &Collection,
    schema: &Schema,
    change: &Change,
) -> Result<()> {
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
        (ChangeKind::Delete, Some(_)) => forget(tx, rows, &schema.name, &id),
        // A row without an entry says enough by its own metadata.
        (ChangeKind::Delete | ChangeKind::Insert, None) => Ok(()),
        (ChangeKind::Insert, Some(_)) => {
            RowWrites::born(change.seq, written).write(tx, rows, &schema.name, id.values())
        }
        (ChangeKind::Update, known) => {
            // Nothing is known of the columns that this commit left alone but that they are older.
            let mut known =
                known.unwrap_or_else(|| RowWrites::born(Seq::ZERO, at_server(Hlc::default())));
            for position in change.columns.iter() {
                if let Some(field) = schema.fields.get(position) {
                    let before = change
                        .before
                        .as_ref()
                        .and_then(|b| b.get(position))
                        .cloned();
                    known.note(
                        field.id,
                        change.seq,
                        written.clone(),
                        before.unwrap_or_default(),
                    );
                    if change.before.is_none() {
                        known.hide_before(field.id);
                    }
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
