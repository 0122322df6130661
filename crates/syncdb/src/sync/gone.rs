//! The server's lasting record of deleted rows: of each a hash of its key and when it was deleted, for as many as
//! [`LedgerOptions::gone_max`](super::ledger::LedgerOptions::gone_max), long after the log and the memory of what they held
//! have let go of them.
//!
//! It is asked only about a row that is not there, and only to tell who wrote to it: two keys with one hash may confuse that
//! answer, never refuse an insertion, and nothing that is not in it comes back.

use common::schema::Schema;
use common::{RecordId, Result, Seq, Transaction, Value};

use super::digest::RowHasher;
use super::pinned::short;
use super::system::{ServerTables, number, read_number};

/// The number under which a row is noted: the lower 64 bits of XXH3 over its table and key.
fn id(schema: &Schema, key: &RecordId) -> Value {
    number(short(RowHasher::new(schema, []).hash(key.values())))
}

/// The commit that deleted a row, where that is known.
pub(crate) fn deleted_at(
    tx: &Transaction<'_>,
    tables: &ServerTables,
    schema: &Schema,
    key: &RecordId,
) -> Result<Option<Seq>> {
    if tables.gone.is_empty() {
        return Ok(None);
    }
    let found = tx.get(&tables.gone, id(schema, key))?;
    found
        .map(|record| read_number(&record, 1).map(Seq))
        .transpose()
}

/// Notes that a commit deleted a row, unless a later one is known.
pub(crate) fn note(
    tx: &mut Transaction<'_>,
    tables: &ServerTables,
    schema: &Schema,
    key: &RecordId,
    seq: Seq,
) -> Result<()> {
    let id = id(schema, key);
    if let Some(known) = tx.get(&tables.gone, id.clone())?
        && read_number(&known, 1)? >= seq.0
    {
        return Ok(());
    }
    tx.upsert_values(&tables.gone, [id, number(seq.0)])
        .map(drop)
}

/// Takes back what [`note`] noted: the row is there again.
pub(crate) fn clear(
    tx: &mut Transaction<'_>,
    tables: &ServerTables,
    schema: &Schema,
    key: &RecordId,
) -> Result<()> {
    let id = id(schema, key);
    if tx.get(&tables.gone, id.clone())?.is_some() {
        tx.delete(&tables.gone, id)?;
    }
    Ok(())
}
