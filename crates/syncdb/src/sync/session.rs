//! [`Session`]: the replica's side of a sync, as a state machine with two functions.

use std::collections::BTreeMap;

use common::{Error, RecordId, Result, Seq, Text, Transaction, Value};
use serde::Serialize;

use super::apply::Apply;
use super::digest::Digest;
use super::ledger::LedgerEntry;
use super::protocol::{Answer, Block, Epoch, News, Outcome, Position, Request, frame_limits};
use super::queue::{self, Queued};
use super::rejected::{self, Rejected, RejectedId};
use super::replica::Replica;
use super::system::{State, damaged, forget_oldest, number, read_all};
use super::wire;

/// Most exchanges of one session, so that a peer that never comes to an end does not hold the replica.
const EXCHANGES_MAX: u32 = 100_000;
/// Entries of the ledger that a replica keeps.
const LEDGER_KEPT_MAX: usize = 10_000;

/// What one sync did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SyncReport {
    /// Rows taken in from the server.
    pub rows_received: u64,
    /// Operations on rows that the server has answered.
    pub rows_sent: u64,
    /// Bytes of all requests.
    pub bytes_up: u64,
    /// Bytes of all answers.
    pub bytes_down: u64,
    /// Number of exchanges.
    pub round_trips: u32,
    /// Number of mutations by outcome: `applied`, `resolved`, `rejected`.
    pub outcomes: BTreeMap<Text, u64>,
    /// The conflicts that this replica's mutations met; each is reported by one sync only.
    pub conflicts: Vec<LedgerEntry>,
    /// What the rows here add up to, in hexadecimal.
    pub digest_local: String,
    /// What the rows at the server add up to.
    pub digest_server: String,
    /// Whether both sides held the same rows when the sync ended. Edits made meanwhile make this false.
    pub converged: bool,
    /// Whether the digests differed at first and the rows were fetched anew.
    pub repaired: bool,
}

impl SyncReport {
    fn compare(&mut self, local: Digest, server: Digest) {
        self.digest_local = local.to_string();
        self.digest_server = server.to_string();
        self.converged = local == server;
    }
}

/// The replica's side of a sync. Call [`Session::next_message`], carry what it gives to the server, hand the
/// answer to [`Session::receive`], and begin again until there is no message.
///
/// An exchange that fails is left out: the next message says the same again.
///
/// ```
/// use common::Database;
/// use syncdb::{SyncDb, SyncServer};
/// let server = SyncServer::new(Database::new())?;
/// let phone = SyncDb::client("phone")?;
/// let mut session = phone.session()?;
/// while let Some(request) = session.next_message()? {
///     session.receive(&server.handle(&request)?)?;
/// }
/// assert!(session.report().converged);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug)]
pub struct Session<'db> {
    db: &'db Replica,
    /// Number of the exchange whose answer is awaited.
    awaiting: Option<u64>,
    /// The session is not over before this mutation is answered.
    goal: u64,
    done: bool,
    report: SyncReport,
}

impl<'db> Session<'db> {
    pub(crate) fn new(db: &'db Replica) -> Result<Self> {
        let state = State::load(&db.tables.state)?;
        Ok(Self {
            db,
            awaiting: None,
            goal: state.map_or(0, |state| state.next - 1),
            done: false,
            report: SyncReport::default(),
        })
    }

    /// What was done so far.
    pub fn report(&self) -> &SyncReport {
        &self.report
    }

    /// What was done.
    pub fn into_report(self) -> SyncReport {
        self.report
    }

    /// The next request, until the session is over.
    ///
    /// # Errors
    /// [`common::ErrorKind::LimitExceeded`] after too many exchanges; what the database fails with.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        if self.report.round_trips >= EXCHANGES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the sync has not come to an end in {EXCHANGES_MAX} exchanges"
            )));
        }
        let tables = &self.db.tables;
        let mut tx = self.db.db.begin();
        let mut state = State::read(&tx, &tables.state, &self.db.name)?;
        let position = state.position();
        let mutations = match position {
            // While a snapshot arrives the mutations wait: it may be older than their commits.
            Position::At { .. } => {
                let queued = queue::all(tx.view(), &tables.queue)?;
                queue::cut(&queued, state.acknowledged + 1, state.next)
            }
            _ => Vec::new(),
        };
        if let Some(last) = mutations.last()
            && last.client_seq > state.sent
        {
            // From here on these mutations may be at the server, so they change no more.
            state.sent = last.client_seq;
            state.write(&mut tx, &tables.state)?;
            self.db.committed(&tx.commit()?);
        }
        let now = self.db.db.clock().tick();
        let request = Request {
            replica: self.db.name.clone(),
            // Stamps never repeat, not even after a restart.
            number: now.0,
            position,
            schemas: self.db.synced().id,
            acknowledged: state.acknowledged,
            now,
            told: state.told(),
            mutations,
        };
        let bytes = wire::encode_request(&request)?;
        self.awaiting = Some(request.number);
        self.report.round_trips += 1;
        self.report.bytes_up += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Takes in the server's answer, in one commit.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for bytes that are no answer to the last message, or
    /// [`common::ErrorKind::LimitExceeded`] for too many; nothing is changed then.
    pub fn receive(&mut self, answer: &[u8]) -> Result<()> {
        self.report.bytes_down += answer.len() as u64;
        let answer = wire::decode_answer(answer, &frame_limits())?;
        if self.awaiting != Some(answer.number) {
            return Err(Error::corrupt(format!(
                "the answer is to exchange {}, not to the last one",
                answer.number
            )));
        }
        self.awaiting = None;
        // A stamp too far ahead is a wrong clock, here or there; the server measures by how much.
        let _ = self.db.db.clock().observe(answer.now);
        if let Some(schemas) = &answer.schemas
            && self.db.adopt(schemas, &answer.policies)?
        {
            // The position is of rows that are not here any more.
            return self.start_over();
        }
        match &answer.news {
            News::Changes { .. } => self.changes(&answer),
            News::Snapshot { .. } => self.snapshot(&answer),
        }
    }

    fn start_over(&mut self) -> Result<()> {
        let tables = &self.db.tables;
        let mut tx = self.db.db.begin();
        let mut state = State::read(&tx, &tables.state, &self.db.name)?;
        state.resync = true;
        state.blocks = None;
        self.clear_blocks(&mut tx)?;
        state.write(&mut tx, &tables.state)?;
        self.db.committed(&tx.commit()?);
        Ok(())
    }

    fn changes(&mut self, answer: &Answer) -> Result<()> {
        let News::Changes {
            truth,
            blocks,
            seq,
            more,
            digest,
        } = &answer.news
        else {
            return Ok(());
        };
        let tables = &self.db.tables;
        let synced = self.db.synced();
        let mut tx = self.db.db.begin();
        let mut state = State::read(&tx, &tables.state, &self.db.name)?;
        let asked = state
            .cursor
            .filter(|_| state.blocks.is_none() && !state.resync);
        if asked.is_none_or(|(epoch, cursor)| epoch != answer.epoch || cursor > *seq) {
            return Err(Error::corrupt(
                "the server sent changes after another position",
            ));
        }
        let mut queued = queue::all(tx.view(), &tables.queue)?;
        let mut report = self.report.clone();
        let mut turned_down: Vec<Queued> = Vec::new();
        for (client_seq, outcome) in &answer.outcomes {
            if *client_seq != state.acknowledged + 1 || *client_seq > state.sent {
                return Err(Error::corrupt(format!(
                    "the server sent the outcome of mutation {client_seq}, expected {}",
                    state.acknowledged + 1
                )));
            }
            let answered = queued.partition_point(|op| op.client_seq <= *client_seq);
            let answered: Vec<Queued> = queued.drain(..answered).collect();
            report.rows_sent += answered.len() as u64;
            self.settle(&mut tx, &answered, *client_seq, outcome, &mut report)?;
            if matches!(outcome, Outcome::Rejected(_)) {
                turned_down.extend(answered);
            }
            state.acknowledged = *client_seq;
        }
        if answer.next != state.acknowledged + 1 {
            // One of the sides was set back to an old copy; what is in the queue gets new numbers.
            let first = answer.next.max(1);
            self.goal = (self.goal + first).saturating_sub(state.acknowledged + 1);
            state.next = queue::renumber(&mut tx, &tables.queue, &mut queued, first)?;
            state.acknowledged = first - 1;
            state.sent = first - 1;
            self.goal = self.goal.min(state.next - 1);
        }
        rejected::flag(&mut tx, &tables.queue, &turned_down, &mut queued)?;
        self.take_ledger(&mut tx, &mut state, answer)?;
        let pending = queue::pending(&queued);
        let mut apply = Apply {
            tx: &mut tx,
            tables: &synced,
            pending: &pending,
            rows: 0,
        };
        apply.blocks(truth)?;
        apply.blocks(blocks)?;
        report.rows_received += apply.rows;
        state.cursor = Some((answer.epoch, *seq));
        state.write(&mut tx, &tables.state)?;
        let committed = tx.commit()?;
        self.db.committed(&committed);
        self.report = report;
        if !more && state.acknowledged >= self.goal {
            self.finish(*digest)?;
        }
        Ok(())
    }

    /// Takes an answered mutation out of the queue, and keeps what is to be kept of it.
    fn settle(
        &self,
        tx: &mut Transaction<'_>,
        answered: &[Queued],
        client_seq: u64,
        outcome: &Outcome,
        report: &mut SyncReport,
    ) -> Result<()> {
        let tables = &self.db.tables;
        for op in answered {
            queue::remove(tx, &tables.queue, op)?;
        }
        let name = match outcome {
            Outcome::Applied => "applied",
            Outcome::Resolved(conflicts) => {
                for entry in conflicts {
                    let mut entry = entry.clone();
                    if entry.base.is_none() {
                        entry.base = self.base_of(answered, &entry);
                    }
                    tx.upsert_values(&tables.conflicts, entry.to_values())?;
                    report.conflicts.push(entry);
                }
                "resolved"
            }
            Outcome::Rejected(rejection) => {
                let rejected = Rejected {
                    id: RejectedId {
                        client_seq,
                        at: self.db.db.clock().now(),
                    },
                    code: rejection.code.clone(),
                    message: rejection.message.clone(),
                    ops: rejected::edits(answered, &self.db.synced()),
                };
                rejected.write(tx, &tables.rejected, answered)?;
                "rejected"
            }
        };
        *report.outcomes.entry(Text::new(name)).or_default() += 1;
        Ok(())
    }

    /// What the column held when it was edited here.
    fn base_of(&self, answered: &[Queued], entry: &LedgerEntry) -> Option<Value> {
        let column = entry.column.as_ref()?;
        let synced = self.db.synced();
        let schema = &synced.by_name.get(&entry.table)?.schema;
        let field = schema.fields.get(schema.position(column)?)?.id;
        let of_row = |q: &&Queued| q.op.table == entry.table && q.op.key == entry.key;
        answered
            .iter()
            .filter(of_row)
            .find_map(|queued| queued.before_of(field))
    }

    /// Keeps the entries of the ledger that others' mutations brought about.
    fn take_ledger(
        &self,
        tx: &mut Transaction<'_>,
        state: &mut State,
        answer: &Answer,
    ) -> Result<()> {
        let conflicts = &self.db.tables.conflicts;
        for entry in &answer.ledger {
            let id = RecordId::composite([number(entry.seq.0), Value::from(entry.number)]);
            // What is here may say more: the base of an edit that was made here.
            if tx.get(conflicts, id)?.is_none() {
                tx.insert_values(conflicts, entry.to_values())?;
            }
        }
        forget_oldest(tx, conflicts, LEDGER_KEPT_MAX, &|_| false)?;
        state.ledger = Some((answer.epoch, answer.told));
        Ok(())
    }

    fn clear_blocks(&self, tx: &mut Transaction<'_>) -> Result<()> {
        for record in read_all(&self.db.db, &self.db.tables.blocks)? {
            tx.delete(&self.db.tables.blocks, record.id())?;
        }
        Ok(())
    }

    fn snapshot(&mut self, answer: &Answer) -> Result<()> {
        let News::Snapshot {
            seq,
            first,
            total,
            blocks,
        } = &answer.news
        else {
            return Ok(());
        };
        let tables = &self.db.tables;
        let mut tx = self.db.db.begin();
        let mut state = State::read(&tx, &tables.state, &self.db.name)?;
        let mut next = match state.blocks {
            Some((epoch, known, next)) if (epoch, known, next) == (answer.epoch, *seq, *first) => {
                next
            }
            _ if *first == 0 => {
                self.clear_blocks(&mut tx)?;
                0
            }
            _ => {
                return Err(Error::corrupt(format!(
                    "the server sent block {first} of snapshot {seq}, which was not asked for"
                )));
            }
        };
        for block in blocks {
            let row = [Value::from(next), Value::Bytes(block.clone())];
            tx.upsert_values(&tables.blocks, row)?;
            next = next.saturating_add(1);
        }
        if next > *total || (blocks.is_empty() && next < *total) {
            return Err(Error::corrupt(format!(
                "the server sent {} blocks from {first} on of a snapshot of {total}",
                blocks.len()
            )));
        }
        state.blocks = Some((answer.epoch, *seq, next));
        self.take_ledger(&mut tx, &mut state, answer)?;
        if next == *total {
            let rows = self.make_visible(&mut tx, &mut state, answer.epoch, *seq)?;
            self.report.rows_received += rows;
        }
        state.write(&mut tx, &tables.state)?;
        let committed = tx.commit()?;
        self.db.committed(&committed);
        Ok(())
    }

    /// Replaces the rows by those of the complete snapshot, with what is in the queue on top.
    fn make_visible(
        &self,
        tx: &mut Transaction<'_>,
        state: &mut State,
        epoch: Epoch,
        seq: Seq,
    ) -> Result<u64> {
        let tables = &self.db.tables;
        let synced = self.db.synced();
        let mut staged = Vec::new();
        tx.view().scan(&tables.blocks, &mut |records| {
            staged.extend_from_slice(records);
            std::ops::ControlFlow::Continue(())
        })?;
        staged.sort_by(|a, b| a.key().cmp(b.key()));
        let mut blocks: Vec<Block> = Vec::new();
        for record in &staged {
            let bytes = record.get(1).and_then(Value::as_bytes);
            let bytes = bytes.ok_or_else(|| damaged(1))?;
            blocks.extend(wire::decode_blocks(bytes, &frame_limits())?);
        }
        let mut queued = queue::all(tx.view(), &tables.queue)?;
        if state.cursor.is_some_and(|(known, _)| known != epoch) {
            // Positions of another log mean nothing: the edits are concurrent with all that is there.
            for op in &mut queued {
                op.base = Seq::ZERO;
                op.write(tx, &tables.queue)?;
            }
        }
        let pending = queue::pending(&queued);
        let mut apply = Apply {
            tx: &mut *tx,
            tables: &synced,
            pending: &pending,
            rows: 0,
        };
        apply.snapshot(&blocks)?;
        let rows = apply.rows;
        for record in staged {
            tx.delete(&tables.blocks, record.id())?;
        }
        state.blocks = None;
        state.resync = false;
        state.cursor = Some((epoch, seq));
        Ok(rows)
    }

    /// Compares digests; when they differ, the rows are fetched anew, once.
    fn finish(&mut self, server: Option<Digest>) -> Result<()> {
        let Some(server) = server else {
            return Err(Error::corrupt("the server's last answer has no digest"));
        };
        let local = self.db.digest()?;
        self.report.compare(local, server);
        let edited_meanwhile = self.db.pending() > 0;
        if self.report.converged || edited_meanwhile || self.report.repaired {
            self.done = true;
            return Ok(());
        }
        self.report.repaired = true;
        self.start_over()
    }
}
