//! The server's side of a push: each mutation in one commit with its outcome.

use std::collections::{BTreeSet, HashSet};

use common::schema::{FieldId, Schema};
use common::serialization::Format;
use common::versioning::{Hlc, HybridClock, ReplicaId};
use common::{
    Collection, Committed, Error, ErrorKind, Map, Record, RecordId, Result, Seq, Text, Transaction,
    Value,
};
use sha2::{Digest as _, Sha256};

use super::authority::Authority;
use super::columns::{RowWrites, forget};
use super::conflict::{Rule, Written, resolve};
use super::ledger::{LedgerEntry, Side};
use super::protocol::{Action, Mutation, OUTCOMES_MAX, Op, Outcome, Rejection, Request, is_system};
use super::system::{number, read_number};
use super::wire;

/// What became of a request's mutations.
#[derive(Default)]
pub(crate) struct Pushed {
    pub(crate) outcomes: Vec<(u64, Outcome)>,
    /// Commits whose effect is exactly what the replica has: it need not be told of them.
    pub(crate) own: HashSet<Seq>,
    /// Rows of which the replica may have something else than the server.
    pub(crate) differing: BTreeSet<(Text, RecordId)>,
}

/// Applies the mutations of a request in order. Stops at the first that does not follow; the replica learns
/// from the expected number in the answer.
pub(crate) fn push(server: &Authority, request: &Request, cursor: Seq) -> Result<Pushed> {
    let mut pushed = Pushed::default();
    if request.mutations.is_empty() {
        return Ok(pushed);
    }
    let _one_at_a_time = server.pushing.lock();
    let shift = shift(server.db.clock(), request.now);
    for mutation in &request.mutations {
        let identity = identity(mutation)?;
        let tx = server.db.begin();
        let client = Client::read(&tx, server, &request.replica)?;
        if mutation.client_seq <= client.last {
            let Some((seq, outcome)) = stored(
                &tx,
                server,
                &request.replica,
                mutation.client_seq,
                &identity,
            )?
            else {
                break;
            };
            // The position is beyond that commit, so nothing else in the answer shows what it did.
            if seq <= cursor || !matches!(outcome, Outcome::Applied) {
                pushed.differing.extend(rows_of(mutation));
            }
            pushed.outcomes.push((mutation.client_seq, outcome));
            continue;
        }
        let unanswered = client.last
            - client
                .acknowledged
                .max(request.acknowledged)
                .min(client.last);
        if mutation.client_seq != client.last + 1 || unanswered >= OUTCOMES_MAX {
            break;
        }
        let push = Push {
            server,
            replica: &request.replica,
            acknowledged: request.acknowledged,
            client,
            mutation,
            identity,
            written: Written {
                stamp: restamp(server.db.clock(), mutation.stamp, shift),
                replica: request.replica.clone(),
            },
        };
        let (outcome, committed) = push.apply(tx)?;
        if matches!(outcome, Outcome::Applied) && push.is_verbatim(&committed) {
            pushed.own.insert(committed.seq);
        } else {
            pushed.differing.extend(rows_of(mutation));
        }
        pushed.outcomes.push((mutation.client_seq, outcome));
    }
    Ok(pushed)
}

fn rows_of(mutation: &Mutation) -> impl Iterator<Item = (Text, RecordId)> {
    mutation
        .ops
        .iter()
        .map(|op| (op.table.clone(), op.key.clone()))
}

/// The first 16 bytes of SHA-256 over a mutation: a replica that was set back to an old copy of itself uses
/// numbers again, and must not get another mutation's outcome.
fn identity(mutation: &Mutation) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Format::MsgPack.encode_value(&wire::mutation_value(mutation), &mut bytes)?;
    let hash = Sha256::digest(&bytes);
    Ok(hash.iter().copied().take(16).collect())
}

/// Milliseconds by which the replica's clock is ahead of the one here, when that is too much to ignore.
fn shift(clock: &HybridClock, now: Hlc) -> i64 {
    let ahead = now.millis() - clock.now().as_millis();
    if ahead.abs() > HybridClock::AHEAD_MILLIS_MAX {
        ahead
    } else {
        0
    }
}

/// A replica's stamp by the clock here.
fn restamp(clock: &HybridClock, stamp: Hlc, shift: i64) -> Hlc {
    let millis = stamp.millis() - shift;
    let latest = clock.now().as_millis() + HybridClock::AHEAD_MILLIS_MAX;
    let stamp = if shift == 0 && millis <= latest {
        stamp
    } else {
        Hlc::new(millis.min(latest), stamp.counter())
    };
    // Within the bound by now; later stamps here are greater.
    let _ = clock.observe(stamp);
    stamp
}

/// What the server knows of a replica.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    /// Number of its last mutation.
    pub(crate) last: u64,
    /// Outcomes up to this number were received and are forgotten.
    acknowledged: u64,
}

impl Client {
    pub(crate) fn read(
        tx: &Transaction<'_>,
        server: &Authority,
        replica: &ReplicaId,
    ) -> Result<Self> {
        let found = tx.get(&server.tables.clients, replica.0.clone())?;
        Self::from_record(found.as_ref())
    }

    pub(crate) fn from_record(record: Option<&Record>) -> Result<Self> {
        Ok(match record {
            None => Self {
                last: 0,
                acknowledged: 0,
            },
            Some(record) => Self {
                last: read_number(record, 1)?,
                acknowledged: read_number(record, 2)?,
            },
        })
    }
}

fn outcome_key(replica: &ReplicaId, client_seq: u64) -> RecordId {
    RecordId::composite([Value::Text(replica.0.clone()), number(client_seq)])
}

/// The stored outcome of a mutation with its commit, unless it was another mutation or is forgotten.
fn stored(
    tx: &Transaction<'_>,
    server: &Authority,
    replica: &ReplicaId,
    client_seq: u64,
    identity: &[u8],
) -> Result<Option<(Seq, Outcome)>> {
    let Some(record) = tx.get(&server.tables.outcomes, outcome_key(replica, client_seq))? else {
        return Ok(None);
    };
    if record.get(3).and_then(Value::as_bytes) != Some(identity) {
        return Ok(None);
    }
    let seq = Seq(read_number(&record, 2)?);
    let outcome = record.get(4).cloned().unwrap_or_default();
    Ok(Some((seq, wire::read_outcome(&outcome)?)))
}

/// One mutation on its way into the database.
struct Push<'a> {
    server: &'a Authority,
    replica: &'a ReplicaId,
    acknowledged: u64,
    client: Client,
    mutation: &'a Mutation,
    identity: Vec<u8>,
    written: Written,
}

impl Push<'_> {
    fn apply(&self, mut tx: Transaction<'_>) -> Result<(Outcome, Committed)> {
        self.server.account_for_direct_writes(&mut tx)?;
        let tried = self.try_ops(&mut tx).and_then(|conflicts| {
            let outcome = if conflicts.is_empty() {
                Outcome::Applied
            } else {
                Outcome::Resolved(conflicts)
            };
            self.store(&mut tx, &outcome)?;
            Ok(outcome)
        });
        let refused = match tried {
            Ok(outcome) => match tx.commit() {
                Ok(committed) => {
                    self.server.committed(&committed);
                    return Ok((outcome, committed));
                }
                Err(error) => error,
            },
            Err(error) => {
                drop(tx);
                error
            }
        };
        if matches!(
            refused.kind(),
            ErrorKind::Closed | ErrorKind::Io | ErrorKind::Corrupt
        ) {
            return Err(refused);
        }
        let outcome = Outcome::Rejected(Rejection {
            code: Text::new(refused.kind().name()),
            message: Text::new(refused.message()),
        });
        let mut tx = self.server.db.begin();
        self.server.account_for_direct_writes(&mut tx)?;
        self.store(&mut tx, &outcome)?;
        let committed = tx.commit()?;
        self.server.committed(&committed);
        Ok((outcome, committed))
    }

    /// Writes the outcome, and what the replica has come to.
    fn store(&self, tx: &mut Transaction<'_>, outcome: &Outcome) -> Result<()> {
        let tables = &self.server.tables;
        let client_seq = self.mutation.client_seq;
        let acknowledged = self
            .acknowledged
            .min(self.client.last)
            .max(self.client.acknowledged);
        for forgotten in self.client.acknowledged + 1..=acknowledged {
            let key = outcome_key(self.replica, forgotten);
            if tx.get(&tables.outcomes, key.clone())?.is_some() {
                tx.delete(&tables.outcomes, key)?;
            }
        }
        let client = [
            Value::Text(self.replica.0.clone()),
            number(client_seq),
            number(acknowledged),
        ];
        tx.upsert_values(&tables.clients, client)?;
        let row = [
            Value::Text(self.replica.0.clone()),
            number(client_seq),
            number(tx.seq().0),
            Value::from(&*self.identity),
            wire::write_outcome(outcome),
        ];
        tx.upsert_values(&tables.outcomes, row)?;
        if let Outcome::Resolved(conflicts) = outcome {
            for entry in conflicts {
                tx.insert_values(&tables.conflicts, entry.to_values())?;
            }
        }
        Ok(())
    }

    /// Applies the operations and returns the conflicts that were resolved.
    fn try_ops(&self, tx: &mut Transaction<'_>) -> Result<Vec<LedgerEntry>> {
        let mut conflicts = Vec::new();
        for (position, op) in self.mutation.ops.iter().enumerate() {
            self.try_op(tx, op, &mut conflicts)
                .map_err(|error| error.at(format!("operation {}", position + 1)))?;
        }
        Ok(conflicts)
    }

    fn try_op(
        &self,
        tx: &mut Transaction<'_>,
        op: &Op,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        if is_system(&op.table) {
            return Err(Error::invalid(format!(
                "table `{}` belongs to the server",
                op.table
            )));
        }
        let collection = self.server.db.collection(&op.table)?;
        let schema = collection.schema();
        if op.key.values().len() != schema.key_columns {
            return Err(Error::invalid(format!(
                "the key of table `{}` has {} columns, {} were given",
                op.table,
                schema.key_columns,
                op.key.values().len()
            )));
        }
        let row = tx.get(&collection, op.key.clone())?;
        let target = Target {
            collection: &collection,
            schema: &schema,
            op,
        };
        match (&op.action, row) {
            (Action::Insert(columns), None) => self.insert(tx, &target, columns),
            (Action::Insert(columns) | Action::Update(columns), Some(row)) => {
                self.update(tx, &target, columns, &row, conflicts)
            }
            (Action::Update(columns), None) => {
                let entry = LedgerEntry {
                    client: named(&schema, columns),
                    rule: Rule::DeleteWins,
                    ..self.entry(tx, op, None, Side::Server, conflicts.len())
                };
                conflicts.push(entry);
                Ok(())
            }
            (Action::Delete, None) => Ok(()),
            (Action::Delete, Some(row)) => self.delete(tx, &target, &row, conflicts),
        }
    }

    fn insert(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target<'_>,
        columns: &[(FieldId, Value)],
    ) -> Result<()> {
        let schema = target.schema;
        let mut values = target.op.key.values().to_vec();
        values.resize(schema.fields.len(), Value::Null);
        if columns.len() + schema.key_columns != schema.fields.len() {
            return Err(Error::invalid(format!(
                "a new row of table `{}` needs all its columns",
                schema.name
            )));
        }
        for (field, value) in columns {
            let position = target.position(*field)?;
            if let Some(to) = values.get_mut(position) {
                *to = value.clone();
            }
        }
        tx.insert_values(target.collection, values)?;
        let writes = RowWrites::born(tx.seq(), self.written.clone());
        let rows = &self.server.tables.rows;
        writes.write(tx, rows, &schema.name, target.op.key.values())
    }

    /// Writes columns of a row that is there. Those of an insertion are all concurrent with the row's.
    fn update(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target<'_>,
        columns: &[(FieldId, Value)],
        row: &Record,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let schema = target.schema;
        let rows = &self.server.tables.rows;
        let strategy = self.server.strategy(&schema.name);
        let inserts = matches!(target.op.action, Action::Insert(_));
        let mut writes = RowWrites::of(tx, rows, &schema.name, row)?;
        let mut changes: Vec<(usize, Value)> = Vec::new();
        for (field, value) in columns {
            let position = target.position(*field)?;
            let mut value = value.clone();
            // Converts as writing it would, so that what is compared is what would be stored.
            target
                .collection
                .validator()
                .prepare_one(position, &mut value)?;
            let current = row.get(position).cloned().unwrap_or_default();
            if current == value {
                writes.confirm(*field, tx.seq(), self.written.clone());
                continue;
            }
            let (seq, written) = writes.last(*field);
            let concurrent = inserts || seq > self.mutation.base;
            if concurrent && written.replica != *self.replica {
                let (rule, winner) = resolve(strategy, written, &self.written);
                let name = schema.fields.get(position).map(|field| field.name.clone());
                let entry = LedgerEntry {
                    base: writes
                        .value_at(*field, self.mutation.base)
                        .filter(|_| !inserts),
                    server: current.clone(),
                    client: value.clone(),
                    rule,
                    server_stamp: written.stamp,
                    server_replica: written.replica.clone(),
                    ..self.entry(tx, target.op, name, winner, conflicts.len())
                };
                conflicts.push(entry);
                if winner == Side::Server {
                    continue;
                }
            }
            writes.note(*field, tx.seq(), self.written.clone(), current);
            changes.push((position, value));
        }
        if !changes.is_empty() {
            tx.update_values(target.collection, target.op.key.clone(), changes)?;
        }
        writes.write(tx, rows, &schema.name, target.op.key.values())
    }

    fn delete(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target<'_>,
        row: &Record,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let schema = target.schema;
        let rows = &self.server.tables.rows;
        let writes = RowWrites::of(tx, rows, &schema.name, row)?;
        let later = |field: FieldId| {
            let (seq, written) = writes.last(field);
            (seq > self.mutation.base && written.replica != *self.replica).then_some(written)
        };
        let rest = schema
            .fields
            .iter()
            .zip(row.iter())
            .skip(schema.key_columns);
        let changed: Vec<(FieldId, Value)> = rest
            .filter(|(field, _)| later(field.id).is_some())
            .map(|(field, value)| (field.id, value.clone()))
            .collect();
        let last = changed.iter().filter_map(|(field, _)| later(*field)).max();
        if let Some(last) = last {
            let entry = LedgerEntry {
                server: named(schema, &changed),
                rule: Rule::DeleteWins,
                server_stamp: last.stamp,
                server_replica: last.replica.clone(),
                ..self.entry(tx, target.op, None, Side::Client, conflicts.len())
            };
            conflicts.push(entry);
        }
        tx.delete(target.collection, target.op.key.clone())?;
        forget(tx, rows, &schema.name, &target.op.key)
    }

    /// An entry of the ledger with what is the same for all conflicts of a mutation.
    fn entry(
        &self,
        tx: &Transaction<'_>,
        op: &Op,
        column: Option<Text>,
        winner: Side,
        before: usize,
    ) -> LedgerEntry {
        LedgerEntry {
            seq: tx.seq(),
            number: u32::try_from(before).unwrap_or(u32::MAX),
            replica: self.replica.clone(),
            client_seq: self.mutation.client_seq,
            table: op.table.clone(),
            key: op.key.clone(),
            column,
            base: None,
            server: Value::Null,
            client: Value::Null,
            rule: Rule::LastWriteWins,
            winner,
            server_stamp: Hlc::default(),
            server_replica: ReplicaId::from(""),
            client_stamp: self.written.stamp,
            at: self.server.db.clock().now(),
        }
    }

    /// Whether the commit did to the rows exactly what the replica did, so that it has them already.
    fn is_verbatim(&self, committed: &Committed) -> bool {
        let tables = &self.server.tables_by_id();
        committed.changes.iter().all(|change| {
            let Some(table) = tables.get(&change.table) else {
                return true;
            };
            let id = change.id();
            let mut ops = self.mutation.ops.iter();
            let Some(op) = ops.rfind(|op| op.table == table.name() && op.key == id) else {
                return false;
            };
            let schema = table.schema();
            let has = |(field, value): &(FieldId, Value)| {
                let position = schema.fields.iter().position(|f| f.id == *field);
                position.and_then(|position| change.record.get(position)) == Some(value)
            };
            match &op.action {
                Action::Insert(columns) | Action::Update(columns) => columns.iter().all(has),
                Action::Delete => change.after().is_none(),
            }
        })
    }
}

/// The row that an operation is about.
struct Target<'a> {
    collection: &'a Collection,
    schema: &'a Schema,
    op: &'a Op,
}

impl Target<'_> {
    fn position(&self, field: FieldId) -> Result<usize> {
        let position = self.schema.fields.iter().position(|f| f.id == field);
        let position = position.filter(|position| *position >= self.schema.key_columns);
        position.ok_or_else(|| {
            Error::invalid(format!(
                "table `{}` has no column number {} beside its key",
                self.schema.name, field.0
            ))
        })
    }
}

/// Columns by name, for the ledger.
fn named(schema: &Schema, columns: &[(FieldId, Value)]) -> Value {
    let entries = columns.iter().map(|(id, value)| {
        let field = schema.fields.iter().find(|field| field.id == *id);
        let name = field.map_or_else(|| Text::new(id.0.to_string()), |field| field.name.clone());
        (name, value.clone())
    });
    Value::from(entries.collect::<Map>())
}
