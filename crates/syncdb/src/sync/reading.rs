//! The server's side of a pull: what a replica is to be sent next, cut into answers, so that it becomes visible in one
//! commit.
//!
//! A replica is sent, in this order: the scope that joins next (its rows, the difference to the scope that it had
//! instead, or sums over ranges to be compared with what it has), the changes since, when they are too many for an
//! answer, and at last, in the answer that commits all of it, the changes up to now. The rows of a scope need not all
//! be of one commit: the changes since the earliest of them follow, and they carry whole rows.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::optimization::caching::{Cache, CacheOptions, SharedCache};
use common::utils::time::ManualClock;
use common::versioning::ChangeKind;
use common::{Database, Limits, Result, Seq, Snapshot};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::digest::Digest;
use super::increment::{Audience, Delta};
use super::pinned::Pinned;
use super::planted::{self, Bug};
use super::protocol::{
    ANSWER_BYTES_TARGET, Commit, Epoch, FRAME_BYTES_MAX, HASHES_MAX, RangeAnswer, RangeQuestion,
    RangeReply, Request, ScopeId, Staged,
};
use super::scope::{Compiled, ScopeSet, State};
use super::token::{Step, Token};
use super::wire::encode_blocks;

/// Most memory that the changed rows of one answer take; more are staged in parts.
const ANSWER_MEMORY_MAX: usize = FRAME_BYTES_MAX / 4;
/// A pinned scope is sent again while the database is at most this many commits beyond it.
const REUSE_COMMITS_MAX: u64 = 1_000;
/// Scopes that are pinned at a time.
const PINNED_MAX: usize = 8;
/// Long changes that are kept between answers.
const DELTAS_MAX: usize = 2;
/// Changes to fewer rows than this are never answered by sending everything anew.
const LOG_ROWS_MIN: usize = 8_192;
/// Most bytes of encoded segments that are kept.
const SEGMENT_BYTES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((64 << 20) - 1);
/// Digests of scopes that are kept up to date.
const DIGESTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// Which segment: scope, the scope that it is a difference to, commit, position of the first row.
type SegmentKey = (ScopeId, Option<ScopeId>, Seq, usize);

/// A segment's frame, and the position at which the next begins.
type Segment = (Arc<[u8]>, usize);

/// Which long changes: scopes, and the commits that they lie between.
type DeltaKey = ([u8; 16], Seq, Seq);

/// What a server keeps ready for its readers, none of it by replica.
pub(crate) struct Stock {
    pins: Mutex<VecDeque<Arc<Pinned>>>,
    segments: SharedCache<SegmentKey, Segment>,
    deltas: Mutex<VecDeque<(DeltaKey, Arc<Delta>)>>,
    digests: SharedCache<ScopeId, (Seq, Digest)>,
    /// Rows sent because ranges differed.
    pub(crate) rows_repaired: AtomicU64,
    /// Comparisons of ranges that were begun.
    pub(crate) repairs: AtomicU64,
}

impl Default for Stock {
    fn default() -> Self {
        // Nothing here expires, so no clock is asked.
        let clock = || Arc::new(ManualClock::new(0));
        let options = CacheOptions::default();
        let segments = options.clone().bytes_max(SEGMENT_BYTES_MAX);
        let digests = options.entries_max(DIGESTS_MAX);
        Self {
            pins: Mutex::default(),
            segments: SharedCache::new(Cache::new(segments, clock(), |_, (frame, _): &Segment| {
                128 + frame.len()
            })),
            deltas: Mutex::default(),
            digests: SharedCache::new(Cache::new(digests, clock(), |_, _| 64)),
            rows_repaired: AtomicU64::new(0),
            repairs: AtomicU64::new(0),
        }
    }
}

impl Stock {
    /// The digest of a scope at a snapshot: kept up to date by the log, or made by a pass over the tables.
    pub(crate) fn digest(
        &self,
        db: &Database,
        snapshot: &Snapshot,
        scope: &Compiled,
    ) -> Result<Digest> {
        let now = snapshot.seq();
        if let Some((at, digest)) = self.digests.get(&scope.id)
            && at <= now
            && let Some(digest) = advance(db, scope, digest, at, now)?
        {
            self.digests.insert(scope.id, (now, digest));
            return Ok(digest);
        }
        let mut digest = Digest::default();
        for table in &scope.tables {
            let mut hasher = table.hasher();
            snapshot.view().scan(&table.collection, &mut |records| {
                for record in records.iter().filter(|record| table.covers(record)) {
                    digest.add(hasher.hash(record));
                }
                ControlFlow::Continue(())
            })?;
        }
        self.digests.insert(scope.id, (now, digest));
        Ok(digest)
    }

    fn pin(
        &self,
        snapshot: &Snapshot,
        log_start: Seq,
        scope: &Arc<Compiled>,
        old: Option<&Compiled>,
        wanted: Option<Seq>,
    ) -> Result<Arc<Pinned>> {
        {
            let mut pins = self.pins.lock();
            // Behind the log's start, a pinned scope leads nowhere.
            pins.retain(|pin| pin.seq >= log_start && pin.seq <= snapshot.seq());
            let fits = |pin: &Arc<Pinned>| {
                let recent = snapshot.seq().0 - pin.seq.0 <= REUSE_COMMITS_MAX;
                wanted.map_or(recent, |wanted| pin.seq == wanted) && pin.is_of(scope, old)
            };
            if let Some(position) = pins.iter().rposition(fits)
                && let Some(pin) = pins.remove(position)
            {
                pins.push_back(Arc::clone(&pin));
                return Ok(pin);
            }
        }
        let made = Pinned::make(snapshot.view(), snapshot.seq(), Arc::clone(scope), old)?;
        let made = Arc::new(made);
        let mut pins = self.pins.lock();
        pins.push_back(Arc::clone(&made));
        while pins.len() > PINNED_MAX {
            pins.pop_front();
        }
        Ok(made)
    }

    fn segment(
        &self,
        pin: &Pinned,
        scope: &Compiled,
        old: Option<&Compiled>,
        begin: usize,
    ) -> Result<Segment> {
        let key = (scope.id, old.map(|old| old.id), pin.seq, begin);
        self.segments.get_or_insert_with(key, |_| {
            let (blocks, end) = pin.segment(begin);
            Ok((encode_blocks(&blocks)?.into(), end))
        })
    }

    fn delta(
        &self,
        db: &Database,
        scopes: [u8; 16],
        from: Seq,
        to: Seq,
        audience: &Audience<'_>,
    ) -> Result<Arc<Delta>> {
        let key = (scopes, from, to);
        if let Some((_, delta)) = self.deltas.lock().iter().find(|(known, _)| *known == key) {
            return Ok(Arc::clone(delta));
        }
        let delta = Arc::new(Delta::read(db, from, to, audience)?);
        let mut deltas = self.deltas.lock();
        deltas.push_back((key, Arc::clone(&delta)));
        while deltas.len() > DELTAS_MAX {
            deltas.pop_front();
        }
        Ok(delta)
    }

    /// Number of pinned rows and of bytes in cached segments.
    pub(crate) fn extent(&self) -> (usize, usize) {
        let rows = self.pins.lock().iter().map(|pin| pin.len()).sum();
        (rows, self.segments.bytes())
    }
}

/// A digest some commits later, when the log tells.
fn advance(
    db: &Database,
    scope: &Compiled,
    mut digest: Digest,
    mut at: Seq,
    to: Seq,
) -> Result<Option<Digest>> {
    let mut hashers: std::collections::HashMap<_, _> = scope
        .tables
        .iter()
        .map(|table| (table.collection.id(), (table, table.hasher())))
        .collect();
    if at < to && at < db.log_compacted() {
        return Ok(None);
    }
    while at < to {
        let changes = match db.changes_since(at, 8_192) {
            Ok(changes) => changes,
            Err(error) if error.kind() == common::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(last) = changes.last() else { break };
        at = last.seq;
        for change in changes.iter().filter(|change| change.seq <= to) {
            let Some((table, hasher)) = hashers.get_mut(&change.table) else {
                continue;
            };
            match &change.before {
                Some(before) if table.covers(before) => digest.remove(hasher.hash(before)),
                None if change.kind != ChangeKind::Insert => return Ok(None),
                _ => {}
            }
            if let Some(after) = change.after().filter(|after| table.covers(after)) {
                digest.add(hasher.hash(after));
            }
        }
    }
    Ok(Some(digest))
}

/// One reading: what an answer is made from.
pub(crate) struct Reading<'a> {
    pub(crate) db: &'a Database,
    pub(crate) stock: &'a Stock,
    pub(crate) limits: &'a Limits,
    pub(crate) epoch: Epoch,
    pub(crate) snapshot: &'a Snapshot,
    /// Changes after this commit are in the log, with what was before them.
    pub(crate) log_start: Seq,
    /// The replica's position, when it holds.
    pub(crate) cursor: Option<Seq>,
    pub(crate) own: &'a HashSet<Seq>,
}

impl Reading<'_> {
    /// What to stage, and what to commit.
    pub(crate) fn read(
        &self,
        request: &Request,
        mut set: ScopeSet,
    ) -> Result<(Option<Staged>, Option<Commit>)> {
        let token = Token::decode(&request.token, self.limits).filter(|token| {
            token.epoch == self.epoch
                && token.from >= self.log_start
                && token.from <= self.snapshot.seq()
        });
        let anew = match &token {
            Some(token) => token.anew,
            None => self.costs_more_by_log(&set)?,
        };
        if anew {
            for scope in &mut set.scopes {
                scope.state = State::New;
            }
        }
        let scopes = identity(&set);
        let token = token.filter(|token| token.scopes == scopes);
        let mut staged = Staged {
            joining: set.next().map(|scope| scope.slot),
            replaces: set
                .next()
                .is_some_and(|scope| matches!(scope.state, State::New)),
            restart: token.is_none() && !request.token.is_empty(),
            ..Staged::default()
        };
        let plan = Plan {
            reading: self,
            set: &set,
            scopes,
            anew,
        };
        let (from, step) = match token {
            Some(token) => (token.from, Some(token.step)),
            None => plan.begin(&mut staged)?,
        };
        let commit = plan.go_on(request, from, step, &mut staged)?;
        let says = staged.restart
            || staged.joining.is_some()
            || !staged.token.is_empty()
            || !staged.changes.is_empty();
        Ok((says.then_some(staged), commit))
    }

    /// Whether the changes since the replica's position are more rows than there are, because many were deleted.
    fn costs_more_by_log(&self, set: &ScopeSet) -> Result<bool> {
        let Some(cursor) = self.cursor else {
            return Ok(false);
        };
        let rows = set.scopes.iter().filter(|scope| scope.is_joined());
        let rows: usize = rows.map(|scope| scope.compiled.rows_max()).sum();
        // Most of the log may be about tables that sync keeps for itself.
        if rows == 0 || self.db.count_after(cursor) <= LOG_ROWS_MIN.max(rows) {
            return Ok(false);
        }
        let audience = Audience {
            set,
            joined: set.joined(),
            joining: 0,
            own: self.own,
        };
        let changed = Delta::read(self.db, cursor, self.snapshot.seq(), &audience)?.len();
        Ok(changed > LOG_ROWS_MIN.max(rows))
    }
}

/// Identity of the scopes and of how they stand.
fn identity(set: &ScopeSet) -> [u8; 16] {
    let mut hash = Sha256::new();
    for scope in &set.scopes {
        hash.update(scope.slot.to_le_bytes());
        hash.update(scope.compiled.id.0);
        match &scope.state {
            State::New => hash.update([0]),
            State::Joined => hash.update([1]),
            State::Stale => hash.update([2]),
            State::Changed(old) => {
                hash.update([3]);
                hash.update(old.id.0);
            }
        }
    }
    let hash = hash.finalize();
    hash.first_chunk::<16>().copied().unwrap_or_default()
}

/// How a reading goes on.
struct Plan<'a> {
    reading: &'a Reading<'a>,
    set: &'a ScopeSet,
    scopes: [u8; 16],
    anew: bool,
}

impl Plan<'_> {
    fn pin(&self, wanted: Option<Seq>) -> Result<Option<Arc<Pinned>>> {
        let Reading {
            stock,
            snapshot,
            log_start,
            ..
        } = *self.reading;
        let Some(scope) = self.set.next() else {
            return Ok(None);
        };
        stock
            .pin(
                snapshot,
                log_start,
                &scope.compiled,
                old(&scope.state),
                wanted,
            )
            .map(Some)
    }

    /// The first step, and the commit after which changes have to follow.
    fn begin(&self, staged: &mut Staged) -> Result<(Seq, Option<Step>)> {
        let reading = self.reading;
        let cursor = reading.cursor.filter(|_| !self.anew);
        let Some(pin) = self.pin(None)? else {
            return Ok((cursor.unwrap_or(reading.snapshot.seq()), None));
        };
        staged.restart = true;
        let seq = pin.seq;
        let from = cursor.map_or(seq, |cursor| cursor.min(seq));
        let step = match self.set.next().map(|scope| &scope.state) {
            Some(State::Stale) => {
                reading.stock.repairs.fetch_add(1, Ordering::Relaxed);
                Step::Ranges { seq }
            }
            _ => Step::Rows {
                seq,
                next: 0,
                after: None,
            },
        };
        Ok((from, Some(step)))
    }

    /// Fills `staged` from `step` on. Returns the commit when there is nothing more to stage.
    fn go_on(
        &self,
        request: &Request,
        mut from: Seq,
        mut step: Option<Step>,
        staged: &mut Staged,
    ) -> Result<Option<Commit>> {
        let mut bytes = 0;
        loop {
            let rest = match step {
                Some(Step::Rows { seq, next, after }) => {
                    self.rows(seq, next, after.as_ref(), staged, &mut bytes)?
                }
                Some(Step::Ranges { seq }) => self.ranges(seq, request, staged)?,
                Some(Step::Changes { to, next }) => {
                    let rest = self.changes(from, to, next, staged, &mut bytes)?;
                    if rest.is_none() {
                        from = to;
                    }
                    rest
                }
                None => match self.commit(from, bytes)? {
                    Ok(commit) => return Ok(Some(commit)),
                    Err(longer) => {
                        step = Some(longer);
                        continue;
                    }
                },
            };
            let Some(rest) = rest else {
                step = None;
                continue;
            };
            let token = Token {
                epoch: self.reading.epoch,
                scopes: self.scopes,
                anew: self.anew,
                from,
                step: rest,
            };
            staged.token = token.encode()?;
            return Ok(None);
        }
    }

    fn rows(
        &self,
        seq: Seq,
        next: u64,
        after: Option<&super::protocol::Bound>,
        staged: &mut Staged,
        bytes: &mut usize,
    ) -> Result<Option<Step>> {
        let Some(scope) = self.set.next() else {
            return Ok(None);
        };
        let Some(pin) = self.pin(Some(seq))? else {
            return Ok(None);
        };
        // Pinned anew, the rows are of a later commit, and the last one sent tells where to go on.
        let mut at = if pin.seq == seq {
            usize::try_from(next).unwrap_or(usize::MAX).min(pin.len())
        } else {
            pin.position(after)
        };
        while at < pin.len() {
            if *bytes >= ANSWER_BYTES_TARGET {
                return Ok(Some(Step::Rows {
                    seq: pin.seq,
                    next: at as u64,
                    after: pin.bound(at),
                }));
            }
            let (frame, end) =
                self.reading
                    .stock
                    .segment(&pin, &scope.compiled, old(&scope.state), at)?;
            *bytes += frame.len();
            staged.segments.push(frame);
            at = end;
        }
        Ok(None)
    }

    fn ranges(&self, seq: Seq, request: &Request, staged: &mut Staged) -> Result<Option<Step>> {
        let Some(pin) = self.pin(Some(seq))? else {
            return Ok(None);
        };
        // Begun again, questions are about something else, and an answer to none of them begins the comparison.
        let questions = request.ranges.as_deref().filter(|_| !staged.restart);
        let all = [RangeQuestion {
            range: super::protocol::Range::default(),
            rows: None,
        }];
        let questions = match questions {
            Some([]) => return Ok(None),
            Some(questions) => questions,
            None => all.as_slice(),
        };
        let mut answer = RangeAnswer::default();
        let mut bytes = 0;
        for question in questions {
            if bytes >= ANSWER_BYTES_TARGET {
                break;
            }
            let reply = match &question.rows {
                None => {
                    bytes += 512;
                    RangeReply::Parts(pin.split(&question.range))
                }
                Some(hashes) => {
                    let hashes = hashes.get(..HASHES_MAX).unwrap_or(hashes);
                    let (blocks, unknown) = pin.missing(&question.range, hashes);
                    bytes += 16 + 4 * unknown.len();
                    if !blocks.is_empty() {
                        let rows: usize = blocks.iter().map(super::protocol::Block::rows).sum();
                        let repaired = &self.reading.stock.rows_repaired;
                        repaired.fetch_add(rows as u64, Ordering::Relaxed);
                        let frame: Arc<[u8]> = encode_blocks(&blocks)?.into();
                        bytes += frame.len();
                        staged.segments.push(frame);
                    }
                    RangeReply::Unknown(unknown)
                }
            };
            answer.answers.push(reply);
        }
        staged.ranges = Some(answer);
        Ok(Some(Step::Ranges { seq: pin.seq }))
    }

    fn audience<'b>(&'b self, own: &'b HashSet<Seq>) -> Audience<'b> {
        Audience {
            set: self.set,
            joined: self.set.joined(),
            joining: self.set.next().map_or(0, super::scope::ActiveScope::bit),
            own,
        }
    }

    fn changes(
        &self,
        from: Seq,
        to: Seq,
        next: u64,
        staged: &mut Staged,
        bytes: &mut usize,
    ) -> Result<Option<Step>> {
        let Reading { db, stock, .. } = *self.reading;
        // Parts of a long delta go to the replica in several exchanges, so what is its own is in it like the rest.
        let none = HashSet::new();
        let delta = stock.delta(db, self.scopes, from, to, &self.audience(&none))?;
        let mut at = usize::try_from(next).unwrap_or(usize::MAX).min(delta.len());
        while at < delta.len() {
            if *bytes >= ANSWER_BYTES_TARGET {
                let next = at as u64;
                return Ok(Some(Step::Changes { to, next }));
            }
            let (blocks, end) = delta.segment(at);
            let frame: Arc<[u8]> = encode_blocks(&blocks)?.into();
            *bytes += frame.len();
            staged.changes.push(frame);
            at = end;
        }
        Ok(None)
    }

    /// The commit up to now, or the step that stages what is too much for it.
    fn commit(&self, from: Seq, bytes: usize) -> Result<::core::result::Result<Commit, Step>> {
        let Reading {
            db,
            stock,
            snapshot,
            own,
            ..
        } = *self.reading;
        let now = snapshot.seq();
        // What was staged may be older than a commit of the replica's own, and covers what the replica has of it.
        let none = HashSet::new();
        let nothing_staged = self.set.next().is_none() && self.reading.cursor == Some(from);
        let audience = self.audience(if nothing_staged { own } else { &none });
        let delta = Delta::read(db, from, now, &audience)?;
        if delta.memory > ANSWER_MEMORY_MAX || (bytes > 0 && delta.memory > ANSWER_BYTES_TARGET) {
            return Ok(Err(Step::Changes { to: now, next: 0 }));
        }
        let joined = audience.joined | audience.joining;
        let scopes = self.set.scopes.iter().filter(|s| s.bit() & joined != 0);
        let digests = scopes.map(|scope| {
            let digest = stock.digest(db, snapshot, &scope.compiled)?;
            Ok((scope.slot, digest))
        });
        let now = if planted::has(Bug::GapInSeq) && now.0.is_multiple_of(3) {
            now.next()
        } else {
            now
        };
        Ok(Ok(Commit {
            seq: now,
            blocks: delta.blocks(),
            joined,
            grants: self.set.grants(joined),
            digests: digests.collect::<Result<_>>()?,
            referred: Vec::new(),
            keys: 0,
        }))
    }
}

fn old(state: &State) -> Option<&Compiled> {
    match state {
        State::Changed(old) => Some(old),
        State::Joined | State::New | State::Stale => None,
    }
}
