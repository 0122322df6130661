//! [`Session`]: the replica's side of a sync, as a state machine with two functions.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use common::{Error, RecordId, Result, Seq, Text, Transaction, Value};

use super::apply::Apply;
use super::dictionaries::Dictionaries;
use super::digest::Digest;
use super::ledger::LedgerEntry;
use super::pinned::Own;
use super::planted::{self, Bug};
use super::protocol::{
    Action, Answer, Block, BlockKind, Commit, Outcome, Position, RangeQuestion, Request, Staged,
    bit, frame_limits,
};
use super::queue::{self, Pending, Queued};
use super::reconcile::{self, Work};
use super::rejected::{self, Rejected, RejectedId};
use super::replica::{Adopted, Replica};
use super::report::SyncReport;
use super::subscription::{Having, Kept, Subscriptions};
use super::system::{Staging, State, SyncedTables, damaged, forget_oldest, number};
use super::wire;
use crate::power::SyncBudget;

/// Most exchanges of one session, so that a peer that never comes to an end does not hold the replica.
const EXCHANGES_MAX: u32 = 100_000;
/// Entries of the ledger that a replica keeps.
const LEDGER_KEPT_MAX: usize = 10_000;

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
    /// The exchange whose answer is awaited.
    awaiting: Option<Asked>,
    /// The session is not over before this mutation is answered.
    goal: u64,
    done: bool,
    /// Rows of the scope whose ranges are compared, as they were when that began.
    own: Option<(u32, Arc<Own>)>,
    /// Whether some answer named rows that are not to be found here, so that keys are asked for.
    with_keys: bool,
    budget: SyncBudget,
    report: SyncReport,
}

/// What the last message asked.
#[derive(Debug)]
struct Asked {
    number: u64,
    position: Position,
    /// The subscriptions that it spoke of: an answer says nothing about others.
    subscriptions: Arc<Subscriptions>,
    questions: Vec<RangeQuestion>,
    /// Those that blocks of the answer may be packed with.
    dictionaries: Dictionaries,
}

impl<'db> Session<'db> {
    pub(crate) fn new(db: &'db Replica, budget: SyncBudget) -> Result<Self> {
        let state = State::load(&db.tables.state)?;
        Ok(Self {
            db,
            awaiting: None,
            goal: state.map_or(0, |state| state.next - 1),
            done: false,
            own: None,
            with_keys: false,
            budget,
            report: SyncReport::default(),
        })
    }

    /// Whether there is no next message.
    pub const fn is_over(&self) -> bool {
        self.done
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
        // Read in the transaction, so that nobody changes them in between.
        let subscriptions = self.db.subscriptions();
        let mut state = State::read(&tx, &tables.state, &self.db.name)?;
        let position = state.position();
        let mutations = match position {
            // Without a position the server has nothing to judge mutations by.
            Position::Start => Vec::new(),
            Position::At { .. } => {
                let first = state.acknowledged + 1;
                queue::cut(tx.view(), &tables.queue, first, state.next, &self.budget)?
            }
        };
        if let Some(last) = mutations.last()
            && last.client_seq > state.sent
        {
            // From here on these mutations may be at the server, so they change no more.
            state.sent = last.client_seq;
            state.write(&mut tx, &tables.state)?;
            tx.commit()?;
        } else {
            drop(tx);
        }
        let questions = match (&state.staging.work, state.staging.joining) {
            (Some(work), Some(slot)) => {
                let work = Work::from_value(work).ok_or_else(|| damaged(10))?;
                Some(work.questions(&*self.own(slot)?))
            }
            _ => None,
        };
        let now = self.db.db.clock().tick();
        let dictionaries = self.db.dictionaries();
        let request = Request {
            replica: self.db.name.clone(),
            // Stamps never repeat, not even after a restart.
            number: now.0,
            position,
            scopes: subscriptions.scopes(),
            token: state.staging.token.clone(),
            ranges: questions.clone(),
            schemas: self.db.synced().id,
            version: if state.pinned { state.version } else { 0 },
            acknowledged: state.acknowledged,
            now,
            told: state.told(),
            first: state.first,
            dictionaries: dictionaries.ids(),
            references: !self.with_keys && self.db.reads_references(),
            mutations,
        };
        let bytes = wire::encode_request_with(&request, &dictionaries, self.budget.level)?;
        self.awaiting = Some(Asked {
            number: request.number,
            position,
            subscriptions,
            questions: questions.unwrap_or_default(),
            dictionaries,
        });
        self.report.round_trips += 1;
        self.report.bytes_up += bytes.len() as u64;
        Ok(Some(bytes))
    }

    fn own(&mut self, slot: u32) -> Result<Arc<Own>> {
        if let Some((known, own)) = &self.own
            && *known == slot
        {
            return Ok(Arc::clone(own));
        }
        let own = Arc::new(self.db.own(slot)?);
        self.own = Some((slot, Arc::clone(&own)));
        Ok(own)
    }

    /// Takes in the server's answer, in one commit.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for bytes that are no answer to the last message, or
    /// [`common::ErrorKind::LimitExceeded`] for too many; nothing is changed then.
    pub fn receive(&mut self, answer: &[u8]) -> Result<()> {
        self.report.bytes_down += answer.len() as u64;
        let dictionaries = self
            .awaiting
            .as_ref()
            .map(|asked| asked.dictionaries.clone());
        let dictionaries = dictionaries.unwrap_or_default();
        let mut answer = wire::decode_answer_with(answer, &frame_limits(), &dictionaries)?;
        let asked = match self.awaiting.take() {
            Some(asked) if asked.number == answer.number => asked,
            other => {
                self.awaiting = other;
                return Err(Error::corrupt(format!(
                    "the answer is to exchange {}, not to the last one",
                    answer.number
                )));
            }
        };
        if let Some(commit) = &mut answer.commit
            && !commit.referred.is_empty()
        {
            if self.with_keys {
                return Err(Error::corrupt(
                    "the server names rows by references unasked",
                ));
            }
            let Some(mut blocks) = self.db.resolve(commit)? else {
                // As if the answer had not come: the next message says the same and asks for keys.
                self.with_keys = true;
                return Ok(());
            };
            commit.blocks.append(&mut blocks);
        }
        // A stamp too far ahead is a wrong clock, here or there; the server measures by how much.
        let _ = self.db.db.clock().observe(answer.now);
        let taken = self
            .db
            .take_dictionaries(&answer.dictionaries, &answer.lost)?;
        if taken && !answer.lost.is_empty() && !answer.heard {
            // It could not read what was packed with them: the next message says the same without.
            return Ok(());
        }
        if let Some(schemas) = &answer.schemas {
            match self.db.adopt(schemas, &answer.policies, answer.version)? {
                Adopted::Same => {}
                // The next message tells what is here now.
                Adopted::Reshaped => return Ok(()),
                // What is here is not what the position says.
                Adopted::Anew => return self.forget_all(),
            }
        }
        self.take_in(&answer, &asked)
    }

    /// Asks for everything anew.
    fn forget_all(&mut self) -> Result<()> {
        self.doubt(|_| Having::Nothing)
    }

    /// Sets what is believed of the joined scopes.
    fn doubt(&mut self, having: impl Fn(u32) -> Having) -> Result<()> {
        let tables = &self.db.tables;
        let mut tx = self.db.db.begin();
        let mut subscriptions = Subscriptions::clone(&self.db.subscriptions());
        let mut state = State::read(&tx, &tables.state, &self.db.name)?;
        for kept in &mut subscriptions.kept {
            if kept.having != Having::Nothing {
                kept.having = having(kept.slot);
                kept.forget_old();
                if kept.having != Having::Joined {
                    kept.at = kept.at.or(Some(state.base()));
                }
            }
        }
        self.db.tables.clear_staged(&mut tx, &mut state)?;
        state.write(&mut tx, &tables.state)?;
        subscriptions.write(&mut tx, &tables.subscriptions)?;
        tx.commit()?;
        self.db.subscriptions_are(subscriptions);
        self.own = None;
        Ok(())
    }

    fn take_in(&mut self, answer: &Answer, asked: &Asked) -> Result<()> {
        let tables = &self.db.tables;
        let synced = self.db.synced();
        let mut tx = self.db.db.begin();
        if !Arc::ptr_eq(&asked.subscriptions, &self.db.subscriptions()) {
            // They were changed meanwhile. The server repeats what matters.
            return Ok(());
        }
        let mut subscriptions = Subscriptions::clone(&asked.subscriptions);
        let mut state = State::read(&tx, &tables.state, &self.db.name)?;
        if state.position() != asked.position {
            return Err(Error::conflict(
                "another session of this replica has gone on meanwhile; run one at a time",
            ));
        }
        if planted::has(Bug::CursorBeforeApply)
            && let Some(commit) = &answer.commit
        {
            state.cursor = Some((answer.epoch, commit.seq));
            state.write(&mut tx, &tables.state)?;
            tx.commit()?;
            tx = self.db.db.begin();
        }
        let mut report = self.report.clone();
        let said = subscriptions.said();
        let is_kept = |table: &str| subscriptions.about(said, table).next().is_some();
        let Heard {
            taken,
            overruled,
            alone,
        } = self.hear(&mut tx, &mut state, answer, &is_kept, &mut report)?;
        // The server only takes what this replica has still to send.
        let nothing_comes = answer.heard && answer.commit.is_none() && answer.staged.is_none();
        let waits = state.acknowledged + 1 < state.next;
        if !answer.truth.is_empty() || !overruled.is_empty() {
            report.left.extend(left(&answer.truth, &taken));
            let mut apply = Apply {
                tx: &mut tx,
                tables: &synced,
                members: &tables.members,
                queue: &tables.queue,
                waits,
                subscriptions: &subscriptions,
                held: subscriptions.held(),
                rows: 0,
            };
            apply.blocks(&answer.truth, answer.known)?;
            // Where nothing comes, nothing would come in its place.
            for (table, key) in overruled.iter().filter(|_| !nothing_comes) {
                apply.let_go(table, key, answer.known)?;
            }
            report.rows_received += apply.rows;
        }
        self.drop_unkept(&mut tx, &synced, alone, &taken, &mut report)?;
        report.refused.clear();
        for kept in &mut subscriptions.kept {
            let refused = answer.refused.iter().find(|(slot, _)| *slot == kept.slot);
            kept.refused = refused.map(|(_, reason)| reason.clone());
            if let Some(reason) = &kept.refused {
                report.refused.insert(kept.name.clone(), reason.clone());
            }
        }
        if let Some(staged) = &answer.staged {
            self.stage(&mut tx, &mut state, staged, asked, &mut report)?;
        }
        if let Some(commit) = &answer.commit {
            let mut landing = Landing {
                db: self.db,
                synced: &synced,
                tx: &mut tx,
                state: &mut state,
                subscriptions: &mut subscriptions,
                waits,
            };
            report.rows_received += landing.commit(answer, commit)?;
        }
        state.write(&mut tx, &tables.state)?;
        let changed = subscriptions != *asked.subscriptions;
        if changed {
            subscriptions.write(&mut tx, &tables.subscriptions)?;
        }
        tx.commit()?;
        if changed {
            self.db.subscriptions_are(subscriptions);
        }
        self.report = report;
        let all_refused = |db: &Replica| db.subscriptions().kept.iter().all(Kept::is_refused);
        self.done |= nothing_comes && state.acknowledged >= self.goal && all_refused(self.db);
        if let Some(commit) = &answer.commit {
            self.own = None;
            if !self.db.subscriptions().await_any() && state.acknowledged >= self.goal {
                self.finish(&commit.digests)?;
            }
        }
        Ok(())
    }

    /// Takes away rows of tables of which nothing is kept: the server says nothing of them.
    fn drop_unkept(
        &self,
        tx: &mut Transaction<'_>,
        synced: &SyncedTables,
        alone: BTreeSet<RowOf>,
        taken: &HashSet<RowOf>,
        report: &mut SyncReport,
    ) -> Result<()> {
        for (table, key) in alone {
            let waits = Pending::of(tx.view(), &self.db.tables.queue, &table, &key)?;
            // One that the application's tables have no more has no rows here either.
            let Some(found) = synced.by_name.get(&table) else {
                continue;
            };
            let collection = &found.collection;
            if waits.is_none() && tx.get(collection, key.clone())?.is_some() {
                tx.delete(collection, key.clone())?;
                let row = (table, key);
                report
                    .left
                    .extend(Some(row).filter(|row| taken.contains(row)));
            }
        }
        Ok(())
    }

    /// Takes in the outcomes.
    fn hear(
        &mut self,
        tx: &mut Transaction<'_>,
        state: &mut State,
        answer: &Answer,
        is_kept: &dyn Fn(&str) -> bool,
        report: &mut SyncReport,
    ) -> Result<Heard> {
        let tables = &self.db.tables;
        let mut heard = Heard::default();
        let mut turned_down: Vec<Queued> = Vec::new();
        for (client_seq, outcome) in &answer.outcomes {
            if *client_seq != state.acknowledged + 1 || *client_seq > state.sent {
                return Err(Error::corrupt(format!(
                    "the server sent the outcome of mutation {client_seq}, expected {}",
                    state.acknowledged + 1
                )));
            }
            let answered = queue::of(tx.view(), &tables.queue, *client_seq)?;
            report.rows_sent += answered.len() as u64;
            let alone = answered.iter().filter(|op| !is_kept(&op.op.table));
            heard.alone.extend(alone.map(row_of));
            if !matches!(outcome, Outcome::Applied) {
                heard.overruled.extend(answered.iter().map(row_of));
            }
            self.settle(tx, &answered, *client_seq, outcome, report)?;
            match outcome {
                Outcome::Rejected(_) => turned_down.extend(answered),
                Outcome::Applied => {
                    let written = answered.into_iter().map(|queued| queued.op);
                    let written = written.filter(|op| !matches!(op.action, Action::Delete));
                    heard.taken.extend(written.map(|op| (op.table, op.key)));
                }
                Outcome::Resolved(_) => {}
            }
            state.acknowledged = *client_seq;
        }
        let next = answer.next.max(1);
        if !answer.heard && state.next == state.acknowledged + 1 && state.next != next {
            // Nothing waits for an answer: numbers go on where the server is. A replica that was installed anew under its old
            // name would begin with numbers that the server has seen.
            state.next = next;
            state.first = next;
            state.acknowledged = next - 1;
            state.sent = next - 1;
            // What the session waited for was answered, by numbers that the server has lost.
            self.goal = self.goal.min(next - 1);
        }
        if answer.heard && answer.next != state.acknowledged + 1 {
            // One of the sides was set back to an old copy; what is in the queue gets new numbers.
            let first = answer.next.max(1);
            self.goal = (self.goal + first).saturating_sub(state.acknowledged + 1);
            // Of a server that was set back, no position is known.
            let lost = answer.next <= state.acknowledged;
            state.next = queue::renumber(tx, &tables.queue, first, lost)?;
            state.first = first;
            state.acknowledged = first - 1;
            state.sent = first - 1;
            self.goal = self.goal.min(state.next - 1);
        }
        rejected::flag(tx, &tables.queue, &turned_down)?;
        self.take_ledger(tx, state, answer)?;
        Ok(heard)
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
        if !planted::has(Bug::QueueNotEmptied) {
            for op in answered {
                queue::remove(tx, &tables.queue, op)?;
            }
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
                if !planted::has(Bug::RejectionDropped) {
                    rejected.write(tx, &tables.rejected, answered)?;
                }
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

    /// Keeps aside what is to become visible with a later commit.
    fn stage(
        &mut self,
        tx: &mut Transaction<'_>,
        state: &mut State,
        staged: &Staged,
        asked: &Asked,
        report: &mut SyncReport,
    ) -> Result<()> {
        let blocks = &self.db.tables.blocks;
        if staged.restart {
            self.db.tables.clear_staged(tx, state)?;
            self.own = None;
        }
        let same = staged.restart || state.staging.token.is_empty();
        if !same && staged.joining != state.staging.joining {
            return Err(Error::corrupt(
                "the server went on with another scope than it had begun",
            ));
        }
        let mut next = 0_u64;
        tx.view().scan(blocks, &mut |records| {
            let numbers = records
                .iter()
                .filter_map(|r| r.first().and_then(Value::as_int));
            next = numbers.fold(next, |next, number| next.max(number.cast_unsigned() + 1));
            ControlFlow::Continue(())
        })?;
        let slot = staged.joining.map(i64::from);
        let mut keep = |tx: &mut Transaction<'_>, bytes: Arc<[u8]>, slot: Option<i64>| {
            let row = [number(next), Value::Bytes(bytes), Value::from(slot)];
            next += 1;
            tx.upsert_values(blocks, row).map(drop)
        };
        state.staging.work = match &staged.ranges {
            None => None,
            Some(ranges) => {
                let slot = staged
                    .joining
                    .ok_or_else(|| Error::corrupt("the server compares ranges of no scope"))?;
                let own = self.own(slot)?;
                let (mut work, questions) = match &state.staging.work {
                    Some(work) if !staged.restart => {
                        let work = Work::from_value(work).ok_or_else(|| damaged(10))?;
                        (work, asked.questions.clone())
                    }
                    _ => {
                        let work = Work::all();
                        let questions = work.questions(&own);
                        (work, questions)
                    }
                };
                let unknown = work.answered(&own, &questions, &ranges.answers)?;
                let mut sent = HashSet::new();
                for frame in &staged.segments {
                    for block in wire::decode_blocks(frame, &frame_limits())? {
                        report.rows_repaired += block.rows() as u64;
                        let rows = 0..block.rows();
                        sent.extend(rows.map(|row| (block.table.clone(), block.row(row).0)));
                    }
                }
                let gone = unknown.into_iter().filter(|bound| {
                    // A row that is there with other values was sent.
                    !sent.contains(&(bound.table.clone(), bound.key.clone()))
                });
                let gone: Vec<_> = gone.collect();
                if !gone.is_empty() {
                    report.rows_repaired += gone.len() as u64;
                    let frame = wire::encode_blocks(&reconcile::gone(gone))?;
                    keep(tx, frame.into(), Some(i64::from(slot)))?;
                }
                Some(work.to_value())
            }
        };
        for frame in &staged.segments {
            keep(tx, frame.clone(), slot)?;
        }
        for frame in &staged.changes {
            keep(tx, frame.clone(), None)?;
        }
        state.staging.token.clone_from(&staged.token);
        state.staging.joining = staged.joining;
        state.staging.replaces = staged.replaces;
        Ok(())
    }

    /// Compares digests; where they differ, the rows are compared by ranges, once.
    fn finish(&mut self, server: &[(u32, Digest)]) -> Result<()> {
        let mut server = server.to_vec();
        let mut local = self.db.digests()?;
        // One that others have replaced with this commit is here no more.
        server.retain(|(slot, _)| local.iter().any(|(known, _)| known == slot));
        server.sort_unstable_by_key(|(slot, _)| *slot);
        local.sort_unstable_by_key(|(slot, _)| *slot);
        self.report.compare(&local, &server);
        let edited_meanwhile = self.db.pending() > 0;
        if self.report.converged || edited_meanwhile || self.report.repaired {
            self.done = true;
            return Ok(());
        }
        self.report.repaired = true;
        let differs = |slot: u32| {
            let of = |digests: &[(u32, Digest)]| {
                let found = digests.iter().find(|(known, _)| *known == slot);
                found.map(|(_, digest)| *digest)
            };
            of(&local) != of(&server)
        };
        self.doubt(|slot| {
            if differs(slot) {
                Having::Stale
            } else {
                Having::Joined
            }
        })
    }
}

/// Table and key of a row.
type RowOf = (Text, RecordId);

fn row_of(queued: &Queued) -> RowOf {
    (queued.op.table.clone(), queued.op.key.clone())
}

/// The rows of operations that were answered.
#[derive(Default)]
struct Heard {
    /// Which the server has taken.
    taken: HashSet<RowOf>,
    /// Which it has not, or not as they were said.
    overruled: BTreeSet<RowOf>,
    /// In tables of which nothing is kept.
    alone: BTreeSet<RowOf>,
}

/// Rows that the server has taken from this replica and that are in no scope.
fn left(truth: &[Block], taken: &HashSet<(Text, RecordId)>) -> Vec<(Text, RecordId)> {
    let gone = truth.iter().filter(|block| block.kind == BlockKind::Gone);
    let rows =
        gone.flat_map(|block| (0..block.rows()).map(|row| (block.table.clone(), block.row(row).0)));
    rows.filter(|row| taken.contains(row)).collect()
}

/// The commit that makes visible what was staged.
struct Landing<'a, 'db> {
    db: &'a Replica,
    synced: &'a SyncedTables,
    tx: &'a mut Transaction<'db>,
    state: &'a mut State,
    subscriptions: &'a mut Subscriptions,
    /// Whether anything may be in the queue.
    waits: bool,
}

impl Landing<'_, '_> {
    /// Returns the number of rows taken in.
    fn commit(&mut self, answer: &Answer, commit: &Commit) -> Result<u64> {
        let tables = &self.db.tables;
        let behind = |seq: Seq| commit.seq < seq;
        // What does not come along stays as of this commit.
        let mut left_at = self.state.base();
        match self.state.cursor {
            Some((epoch, seq)) if epoch != answer.epoch || behind(seq) => {
                left_at = Seq::ZERO;
                // Positions of another log mean nothing: the edits are concurrent with all that is there.
                for mut op in queue::all(self.tx.view(), &tables.queue)? {
                    op.base = Seq::ZERO;
                    op.write(self.tx, &tables.queue)?;
                }
            }
            _ => {}
        }
        let joining = self.state.staging.joining.map_or(0, bit);
        let held = self.subscriptions.held() | (commit.joined & self.known());
        for grant in &commit.grants {
            if let Some(kept) = self.subscriptions.by_slot(grant.slot) {
                kept.grant = Some(grant.clone());
            }
        }
        let mut tables_joining = self.synced.by_name.values().filter(|synced| {
            let name = &synced.schema.name;
            self.subscriptions.about(joining, name).next().is_some()
        });
        let has_rows = tables_joining.any(|table| !table.collection.is_empty());
        // Into empty tables everything arrives, and nothing is to be taken away.
        let replaces = self.state.staging.replaces && held & joining != 0 && has_rows;
        let mut apply = Apply {
            tx: &mut *self.tx,
            tables: self.synced,
            members: &tables.members,
            queue: &tables.queue,
            waits: self.waits,
            subscriptions: &*self.subscriptions,
            held,
            rows: 0,
        };
        let fresh = joining & !self.subscriptions.held();
        if fresh != 0 {
            apply.prepare_joining(fresh)?;
        }
        let mut kept: HashMap<Text, HashSet<RecordId>> = HashMap::new();
        // Mostly there is nothing; what this transaction has put there the table does not count.
        let has_staged = answer.staged.is_some() || !tables.blocks.is_empty();
        let staged = if has_staged {
            self.db.staged(apply.tx)?
        } else {
            Vec::new()
        };
        for (frame, slot) in &staged {
            let blocks = wire::decode_blocks(frame, &frame_limits())?;
            match slot {
                Some(slot) => {
                    if replaces {
                        for block in &blocks {
                            let keys = kept.entry(block.table.clone()).or_default();
                            keys.extend((0..block.rows()).map(|row| block.row(row).0));
                        }
                    }
                    apply.segment(&blocks, bit(*slot))?;
                }
                None => apply.blocks(&blocks, commit.joined)?,
            }
        }
        if replaces {
            // Rows that arrived with the changes since are not among the segments; they come again below.
            apply.take_away(joining, &kept)?;
            for (frame, _) in staged.iter().filter(|(_, slot)| slot.is_none()) {
                let blocks = wire::decode_blocks(frame, &frame_limits())?;
                apply.blocks(&blocks, commit.joined)?;
            }
        }
        apply.blocks(&commit.blocks, commit.joined)?;
        let rows = apply.rows;
        if has_staged {
            self.db.tables.clear_staged(self.tx, self.state)?;
        } else {
            self.state.staging = Staging::default();
        }
        self.state.cursor = Some((answer.epoch, commit.seq));
        for kept in &mut self.subscriptions.kept {
            if commit.joined & kept.bit() != 0 {
                kept.having = Having::Joined;
                kept.forget_old();
                kept.at = None;
                continue;
            }
            if kept.having == Having::Joined {
                // The position is one that it does not have.
                kept.having = Having::Stale;
            }
            if kept.having == Having::Stale {
                let at = kept.at.unwrap_or(left_at);
                kept.at = Some(at.min(left_at));
            }
        }
        self.db.drop_ended(self.tx, self.subscriptions)?;
        Ok(rows)
    }

    /// Mask of all subscriptions.
    fn known(&self) -> u64 {
        let kept = self.subscriptions.kept.iter();
        kept.fold(0, |mask, kept| mask | kept.bit())
    }
}
