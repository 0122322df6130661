//! The server's side of a push: each mutation in one commit with its outcome.

mod revert;
mod rows;
mod versions;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use common::schema::FieldId;
use common::serialization::Format;
use common::versioning::{Hlc, HybridClock, ReplicaId};
use common::{
    Committed, Error, ErrorKind, Record, RecordId, Result, Seq, Text, Transaction, Value,
};
use sha2::{Digest as _, Sha256};

use super::authority::Authority;
use super::conflict::Written;
use super::delta::Delta;
use super::ledger::LedgerEntry;
use super::permission::Principal;
use super::planted::{self, Bug};
use super::protocol::{
    Action, Mutation, OUTCOME_UNKNOWN, OUTCOMES_KEPT, OUTCOMES_MAX, Op, Outcome, ROW_GONE,
    Rejection, Request,
};
use super::scope::{Access, ScopeSet};
use super::system::{number, read_number};
use super::wire;
pub(crate) use revert::{Actor, revert};

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
pub(crate) fn push(
    server: &Authority,
    request: &Request,
    principal: Option<&Principal>,
    scopes: &ScopeSet,
    version: u32,
) -> Result<Pushed> {
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
        let is_new = planted::has(Bug::ForgottenIdempotence);
        if mutation.client_seq <= client.last && !is_new {
            let outcome = match stored(&tx, server, &request.replica, &client, mutation, &identity)?
            {
                Stored::Outcome(outcome) => outcome,
                // It takes a new number for it.
                Stored::Another => break,
                Stored::Forgotten => forgotten(mutation.client_seq),
            };
            // What happened to these rows since, the changes after the position need not show: of a row that was inserted by
            // this mutation and deleted after it, they say nothing to a replica that should never have had it.
            pushed.differing.extend(rows_of(mutation));
            pushed.outcomes.push((mutation.client_seq, outcome));
            continue;
        }
        let unanswered = client.last
            - client
                .acknowledged
                .max(request.acknowledged)
                .min(client.last);
        if (mutation.client_seq != client.last + 1 && !is_new) || unanswered >= OUTCOMES_MAX {
            break;
        }
        let stamp = mutation.stamp;
        let shift = correction(&tx, server, &request.replica, &client, stamp, shift)?;
        let corrected = restamp(server.db.clock(), stamp, shift);
        let push = Push {
            server,
            replica: &request.replica,
            principal,
            scopes,
            version,
            acknowledged: request.acknowledged,
            first: request.first,
            client,
            mutation,
            identity,
            // Also when it was cut: one that was made before it is not to become later by being cut later.
            shift: stamp.millis() - corrected.millis(),
            written: Written {
                stamp: corrected,
                replica: request.replica.clone(),
                client_seq: mutation.client_seq,
            },
            apart: RefCell::default(),
        };
        let known = said_before(&tx, server, &request.replica, mutation, &push.identity)?;
        if let Some(outcome) = known {
            // Under another number, before the replica was set back to an old copy of itself.
            push.repeat(tx, &outcome)?;
            pushed.differing.extend(rows_of(mutation));
            pushed.outcomes.push((mutation.client_seq, outcome));
            continue;
        }
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
    /// Outcomes up to this number were received; all but the last of them are forgotten.
    acknowledged: u64,
    /// The latest stamp of a mutation, by the replica's own clock.
    stamped: Hlc,
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
                stamped: Hlc::default(),
            },
            Some(record) => Self {
                last: read_number(record, 1)?,
                acknowledged: read_number(record, 2)?,
                stamped: Hlc(read_number(record, 4)?),
            },
        })
    }

    /// Checks that nobody speaks as somebody else's replica: they would be told its outcomes and conflicts, and could make the
    /// server forget what the other has not received.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`].
    pub(crate) fn check_owner(
        server: &Authority,
        principal: Option<&Principal>,
        replica: &ReplicaId,
    ) -> Result<()> {
        let Some(principal) = principal else {
            return Ok(());
        };
        let record = server.tables.clients.try_get(replica.0.clone())?;
        let owner = record.as_ref().and_then(|record| record.get(3)?.as_text());
        if owner.is_some_and(|owner| owner != principal.name) {
            return Err(Error::invalid(format!(
                "replica `{}` belongs to another principal; begin a replica with an id of its own",
                replica.0
            )));
        }
        Ok(())
    }
}

/// By how many milliseconds a mutation's stamp is corrected: `now`, unless it is not later than what was received before,
/// because the replica was set back to an old copy of itself. Then as the earliest of the mutations after it was, so that it
/// does not become later by being sent later.
fn correction(
    tx: &Transaction<'_>,
    server: &Authority,
    replica: &ReplicaId,
    client: &Client,
    stamp: Hlc,
    now: i64,
) -> Result<i64> {
    if stamp > client.stamped {
        return Ok(now);
    }
    let mut earliest: Option<(Hlc, i64)> = None;
    for known in (1..=client.last).rev() {
        let Some(record) = tx.get(&server.tables.outcomes, outcome_key(replica, known))? else {
            break;
        };
        let after = Hlc(read_number(&record, 5)?);
        if after >= stamp && earliest.is_none_or(|(known, _)| after < known) {
            earliest = Some((after, read_number(&record, 6)?.cast_signed()));
        }
    }
    Ok(earliest.map_or(now, |(_, shift)| shift))
}

fn outcome_key(replica: &ReplicaId, client_seq: u64) -> RecordId {
    RecordId::composite([Value::Text(replica.0.clone()), number(client_seq)])
}

/// What the server knows of a mutation whose number it has seen.
enum Stored {
    /// Its outcome.
    Outcome(Outcome),
    /// Another mutation had that number: the replica was set back to an old copy of itself.
    Another,
    /// Nothing any more.
    Forgotten,
}

/// The answer to a mutation that may have been applied long ago. To apply it could be a second time, to drop it could
/// lose it: so it is for the replica's user to say.
fn forgotten(client_seq: u64) -> Outcome {
    Outcome::Rejected(Rejection {
        code: Text::new(OUTCOME_UNKNOWN),
        message: Text::new(format!(
            "mutation {client_seq} is older than the last {OUTCOMES_KEPT} that the server remembers of this replica, which \
             was set back to an old copy of itself; whether it was applied is not known: look at the rows, then try it \
             again or discard it"
        )),
    })
}

fn stored(
    tx: &Transaction<'_>,
    server: &Authority,
    replica: &ReplicaId,
    client: &Client,
    mutation: &Mutation,
    identity: &[u8],
) -> Result<Stored> {
    let key = outcome_key(replica, mutation.client_seq);
    let Some(record) = tx.get(&server.tables.outcomes, key)? else {
        let known = said_before(tx, server, replica, mutation, identity)?;
        return Ok(match known {
            Some(outcome) => Stored::Outcome(outcome),
            // Later than all that was received: made after the replica was set back.
            None if mutation.stamp > client.stamped => Stored::Another,
            None => Stored::Forgotten,
        });
    };
    if record.get(3).and_then(Value::as_bytes) != Some(identity) {
        return Ok(Stored::Another);
    }
    read_stored(&record).map(Stored::Outcome)
}

fn read_stored(record: &Record) -> Result<Outcome> {
    wire::read_outcome(&record.get(4).cloned().unwrap_or_default())
}

/// The outcome that a mutation has under another number.
fn said_before(
    tx: &Transaction<'_>,
    server: &Authority,
    replica: &ReplicaId,
    mutation: &Mutation,
    identity: &[u8],
) -> Result<Option<Outcome>> {
    let outcomes = &server.tables.outcomes;
    let Some(index) = outcomes.indexes().first().cloned() else {
        return Ok(None);
    };
    if mutation.ops.is_empty() || planted::has(Bug::ForgottenIdempotence) {
        return Ok(None);
    }
    let key = [Value::Text(replica.0.clone()), Value::from(identity)];
    let found = tx.view().equal(outcomes, &index, &key)?;
    found.first().map(read_stored).transpose()
}

/// One mutation on its way into the database.
struct Push<'a> {
    server: &'a Authority,
    replica: &'a ReplicaId,
    principal: Option<&'a Principal>,
    /// The parts of the rows that the replica keeps.
    scopes: &'a ScopeSet,
    /// The version of the application's tables under which it was made.
    version: u32,
    acknowledged: u64,
    first: u64,
    client: Client,
    mutation: &'a Mutation,
    identity: Vec<u8>,
    /// Milliseconds by which its stamp is corrected.
    shift: i64,
    written: Written,
    /// Whether the server keeps a table to itself, of those that the mutation names.
    apart: RefCell<BTreeMap<Text, bool>>,
}

impl Push<'_> {
    /// Gives the mutation, under its new number, the outcome that it had.
    fn repeat(&self, mut tx: Transaction<'_>, outcome: &Outcome) -> Result<()> {
        self.server.account_for_direct_writes(&mut tx)?;
        self.note(&mut tx, outcome)?;
        self.server.committed(&tx.commit()?);
        Ok(())
    }

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
        let mut violations = refused.violations().iter();
        let code = if violations.any(|violation| violation.rule == ROW_GONE) {
            ROW_GONE
        } else {
            refused.kind().name()
        };
        let outcome = Outcome::Rejected(Rejection {
            code: Text::new(code),
            message: Text::new(refused.message()),
        });
        let mut tx = self.server.db.begin();
        self.server.account_for_direct_writes(&mut tx)?;
        self.store(&mut tx, &outcome)?;
        let committed = tx.commit()?;
        self.server.committed(&committed);
        Ok((outcome, committed))
    }

    /// Writes the outcome with its conflicts, and what the replica has come to.
    fn store(&self, tx: &mut Transaction<'_>, outcome: &Outcome) -> Result<()> {
        self.note(tx, outcome)?;
        if let Outcome::Resolved(conflicts) = outcome {
            for entry in conflicts {
                tx.insert_values(&self.server.tables.conflicts, entry.to_values())?;
            }
        }
        self.server.forget_old(tx)
    }

    fn note(&self, tx: &mut Transaction<'_>, outcome: &Outcome) -> Result<()> {
        let tables = &self.server.tables;
        let client_seq = self.mutation.client_seq;
        let acknowledged = self
            .acknowledged
            .min(self.client.last)
            .max(self.client.acknowledged);
        // Up to which number they are forgotten when this many were acknowledged.
        let end =
            |acknowledged: u64, last: u64| acknowledged.min(last.saturating_sub(OUTCOMES_KEPT));
        let mut before = end(self.client.acknowledged, self.client.last);
        let mut end = end(acknowledged, client_seq);
        if planted::has(Bug::OutcomeForgottenEarly) {
            (before, end) = (end, client_seq.saturating_sub(1));
        }
        for forgotten in before + 1..=end {
            let key = outcome_key(self.replica, forgotten);
            if tx.get(&tables.outcomes, key.clone())?.is_some() {
                tx.delete(&tables.outcomes, key)?;
            }
        }
        let client = [
            Value::Text(self.replica.0.clone()),
            number(client_seq),
            number(acknowledged),
            Value::from(self.principal.map(|principal| principal.name.clone())),
            number(self.mutation.stamp.max(self.client.stamped).0),
        ];
        tx.upsert_values(&tables.clients, client)?;
        let row = [
            Value::Text(self.replica.0.clone()),
            number(client_seq),
            number(tx.seq().0),
            Value::from(&*self.identity),
            wire::write_outcome(outcome),
            number(self.mutation.stamp.0),
            Value::Int(self.shift),
        ];
        tx.upsert_values(&tables.outcomes, row).map(drop)
    }

    /// Applies the operations and returns the conflicts that were resolved.
    fn try_ops(&self, tx: &mut Transaction<'_>) -> Result<Vec<LedgerEntry>> {
        let mut conflicts = Vec::new();
        let mut ops = self.mutation.ops.as_slice();
        if planted::has(Bug::LastOpDropped) && ops.len() > 1 {
            ops = ops.split_last().map_or(ops, |(_, rest)| rest);
        }
        for _ in 0..=usize::from(planted::has(Bug::AppliedTwice)) {
            for (position, op) in ops.iter().enumerate() {
                self.permitted(tx, op, &mut conflicts)
                    .map_err(|error| error.at(format!("operation {}", position + 1)))?;
            }
        }
        if planted::has(Bug::ConflictNotTold) {
            conflicts.pop();
        }
        Ok(conflicts)
    }

    /// As [`Push::try_op`], when the principal may see the row before and after, and change the columns.
    fn permitted(
        &self,
        tx: &mut Transaction<'_>,
        op: &Op,
        conflicts: &mut Vec<LedgerEntry>,
    ) -> Result<()> {
        let Authority {
            db, scopes, tables, ..
        } = self.server;
        // What is reverted is the row that the ledger names, whatever the operation does.
        let reverted = match &op.action {
            Action::Revert { entry, .. } => {
                let key = RecordId::composite([number(entry.seq.0), Value::from(entry.number)]);
                let found = tx.get(&tables.conflicts, key)?;
                found
                    .map(|found| LedgerEntry::from_record(&found))
                    .transpose()?
            }
            _ => None,
        };
        let (table, key) = match &reverted {
            Some(entry) => (&entry.table, &entry.key),
            None => (&op.table, &op.key),
        };
        let Some(rights) = scopes.rights(db, Access::Change, self.principal, table)? else {
            return self.try_op(tx, op, conflicts);
        };
        rights.check(tx, key, &op.action)?;
        self.try_op(tx, op, conflicts)?;
        rights.check(tx, key, &op.action)
    }

    /// Whether the commit did to the rows exactly what the replica did, so that it has them already. A row that came into its
    /// scopes it may have let go meanwhile: with the answer to the edit that took the row out of them, or made it outside.
    fn is_verbatim(&self, committed: &Committed) -> bool {
        let tables = &self.server.tables_by_id();
        let mut said: HashMap<(&str, &RecordId), RowSaid<'_>> = HashMap::new();
        for op in &self.mutation.ops {
            let row = said.entry((&op.table, &op.key)).or_default();
            row.add(&op.action);
        }
        committed.changes.iter().all(|change| {
            let Some(table) = tables.get(&change.table) else {
                return true;
            };
            let id = change.id();
            let Some(written) = said.get(&(table.name(), &id)) else {
                return false;
            };
            let schema = table.schema();
            let has = |field: FieldId, value: Option<&Value>| {
                let position = schema.fields.iter().position(|f| f.id == field);
                let found = position.and_then(|position| change.record.get(position));
                // What is said relative to the value before comes out the same where that was the same.
                value.is_none_or(|value| found == Some(value))
            };
            let held = self.scopes.held();
            let covers = |row: &Record| self.scopes.covering(held, table.id(), row) != 0;
            let comes_in = change.before.as_ref().is_some_and(|before| !covers(before))
                && change.after().is_some_and(covers);
            let is_said = |at: usize| {
                let field = schema.fields.get(at);
                field.is_none_or(|field| written.columns.contains_key(&field.id))
            };
            // Columns that follow from what was said, and that the replica keeps, it has to be told.
            let follows = self.server.catalogue.flow(table.name()).is_some();
            let more = |at: usize| {
                at >= schema.key_columns && !is_said(at) && self.scopes.keeps(held, table.id(), at)
            };
            !comes_in
                && written.gone == change.after().is_none()
                && !(follows && change.columns.iter().any(more))
                && written
                    .columns
                    .iter()
                    .all(|(field, value)| has(*field, *value))
        })
    }
}

/// What a mutation says about one row, all its operations together.
#[derive(Default)]
struct RowSaid<'a> {
    gone: bool,
    /// The value of each column that it names, or nothing where it says by how much it changes.
    columns: BTreeMap<FieldId, Option<&'a Value>>,
}

impl<'a> RowSaid<'a> {
    fn add(&mut self, action: &'a Action) {
        match action {
            Action::Insert(columns) | Action::Update(columns) => {
                self.gone = false;
                let columns = columns.iter().map(|(field, value)| (*field, Some(value)));
                self.columns.extend(columns);
            }
            Action::Deltas(columns) => {
                let columns = columns.iter().map(|(field, delta)| match delta {
                    Delta::Replace { value, .. } => (*field, Some(value)),
                    Delta::Increment(_) | Delta::Elements { .. } => (*field, None),
                });
                self.columns.extend(columns);
            }
            Action::Delete => {
                self.gone = true;
                self.columns.clear();
            }
            Action::Revert { .. } => {}
        }
    }
}
