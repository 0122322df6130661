//! The server's memory of deleted rows: who deleted them and what they held, for as many as
//! [`LedgerOptions::deleted_max`](super::ledger::LedgerOptions::deleted_max).

use common::schema::Schema;
use common::versioning::{Hlc, ReplicaId};
use common::{RecordId, Result, Seq, Transaction, Value};

use super::columns::RowWrites;
use super::conflict::Written;
use super::system::{ServerTables, number, read_number, read_text, row_key, stamp_value};

/// A deleted row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grave {
    /// The commit that deleted it, when and by whom.
    pub(crate) seq: Seq,
    pub(crate) written: Written,
    /// What it held, where that is known.
    pub(crate) values: Option<Vec<Value>>,
    /// Who had written its columns.
    pub(crate) writes: Option<RowWrites>,
}

impl Grave {
    pub(crate) fn new(
        seq: Seq,
        written: Written,
        values: Option<&[Value]>,
        writes: Option<&RowWrites>,
    ) -> Self {
        Self {
            seq,
            written,
            values: values.map(<[Value]>::to_vec),
            writes: writes.cloned(),
        }
    }

    pub(crate) fn of(
        tx: &Transaction<'_>,
        tables: &ServerTables,
        table: &str,
        key: &RecordId,
    ) -> Result<Option<Self>> {
        let found = tx.get(&tables.deleted, row_key(table, key))?;
        found.as_deref().map(Self::read).transpose()
    }

    pub(crate) fn write(
        &self,
        tx: &mut Transaction<'_>,
        tables: &ServerTables,
        schema: &Schema,
        key: &RecordId,
    ) -> Result<()> {
        let writes = self.writes.as_ref();
        let writes = writes.map(|w| Value::from(w.to_values(&schema.name, key.values()).to_vec()));
        let row = [
            Value::Text(schema.name.clone()),
            Value::List(key.values().into()),
            number(self.seq.0),
            stamp_value(self.written.stamp),
            Value::Text(self.written.replica.0.clone()),
            number(self.written.client_seq),
            Value::from(self.values.clone().map(Value::from)),
            Value::from(writes),
        ];
        tx.upsert_values(&tables.deleted, row).map(drop)
    }

    /// As [`Grave::write`], unless the deletion is known already: a push notes its own.
    pub(crate) fn write_later(
        &self,
        tx: &mut Transaction<'_>,
        tables: &ServerTables,
        schema: &Schema,
        key: &RecordId,
    ) -> Result<()> {
        match Self::of(tx, tables, &schema.name, key)? {
            Some(known) if known.seq >= self.seq => Ok(()),
            _ => self.write(tx, tables, schema, key),
        }
    }

    pub(crate) fn read(row: &[Value]) -> Result<Self> {
        let list = |position: usize| row.get(position).and_then(Value::as_list);
        Ok(Self {
            seq: Seq(read_number(row, 2)?),
            written: Written {
                stamp: Hlc(read_number(row, 3)?),
                replica: ReplicaId(read_text(row, 4)?),
                client_seq: read_number(row, 5)?,
            },
            values: list(6).map(<[Value]>::to_vec),
            writes: list(7).map(RowWrites::read).transpose()?,
        })
    }
}
