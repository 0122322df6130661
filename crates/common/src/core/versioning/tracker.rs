//! [`ChangeTracker`]: the log of all changes, with readers, retention and compaction.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::change::{Change, ChangeKind, TableId};
use super::entries::Entries;
use crate::core::base::{RecordId, Seq, Text, Timestamp};
use crate::error::{Error, Result};

/// How much of the log is kept. Every commit is kept until all readers have acknowledged it, unless one
/// of these bounds says otherwise; a reader that falls below is told so and starts over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Most changes kept. Default 1,048,576.
    pub changes_max: usize,
    /// Oldest change kept, in seconds. Default 30 days.
    pub age_seconds_max: u64,
    /// Fewest changes kept even when every reader has acknowledged them, for readers that come back.
    /// Default 1,048,576, which means that only the bounds prune.
    pub changes_min: usize,
    /// Whether the log keeps the record before each change, which costs the memory of every replaced version.
    /// Default false; what a commit returns has it anyway.
    pub before: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            changes_max: 1 << 20,
            age_seconds_max: 30 * 24 * 3_600,
            changes_min: 1 << 20,
            before: false,
        }
    }
}

/// Number of a registered reader of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(u64);

#[derive(Debug, Clone)]
struct Reader {
    name: Text,
    acknowledged: Seq,
}

/// The log: changes in commit order, whole commits only.
///
/// Appending costs one push; [`ChangeTracker::since`] finds its place by binary search. The tracker takes
/// no lock: whoever owns it does.
#[derive(Debug, Clone, Default)]
pub struct ChangeTracker {
    changes: Entries,
    /// Last commit appended.
    last: Seq,
    /// Commits up to this one are gone.
    pruned: Seq,
    /// Commits up to this one were compacted.
    compacted: Seq,
    /// The record before a change is kept of commits after this one, if it is kept at all.
    before_from: Seq,
    readers: BTreeMap<ReaderId, Reader>,
    next_reader: u64,
    retention: Retention,
}

impl ChangeTracker {
    /// An empty log.
    pub fn new(retention: Retention) -> Self {
        Self {
            retention,
            ..Self::default()
        }
    }

    /// An empty log whose next commit follows `last`: how a reopened database goes on.
    pub fn starting_after(last: Seq, retention: Retention) -> Self {
        Self {
            last,
            pruned: last,
            retention,
            ..Self::default()
        }
    }

    /// Appends the changes of one commit.
    ///
    /// # Panics
    /// When a change's seq is not the one after the last commit's, or its record names another commit: a gap in
    /// the log would be a lost write.
    #[inline]
    pub fn append(&mut self, seq: Seq, changes: &[Change]) {
        assert_eq!(seq, self.last.next(), "commits are appended without gaps");
        for change in changes {
            assert_eq!(change.seq, seq, "a change carries the seq of its commit");
            assert_eq!(change.record.seq(), seq, "and so does its record");
            let before = change.before.as_ref().filter(|_| self.retention.before);
            self.changes.push(change, before);
        }
        self.last = seq;
        if self.changes.len() > self.retention.changes_max {
            self.drop_oldest(self.changes.len() - self.retention.changes_max);
        }
    }

    /// Changes of all commits after `seq`, whole commits, until at least `changes_max` are gathered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when commits after `seq` are pruned already: the reader starts over
    /// from a snapshot; [`crate::ErrorKind::Invalid`] when `seq` lies in the future.
    pub fn since(&self, seq: Seq, changes_max: usize) -> Result<Vec<Change>> {
        if seq < self.pruned {
            return Err(Error::not_found(format!(
                "the log begins after commit {}, commit {} is asked for; start over from a snapshot",
                self.pruned,
                seq.next()
            )));
        }
        if seq > self.last {
            return Err(Error::invalid(format!(
                "commit {seq} is asked for, but the last one is {}; the position is of another log",
                self.last
            )));
        }
        let start = self.changes.partition_point(|of, _| of <= seq);
        let mut found: Vec<Change> = Vec::new();
        for change in (start..self.changes.len()).filter_map(|at| self.changes.get(at)) {
            if found.len() >= changes_max && found.last().is_some_and(|l| l.seq != change.seq) {
                break;
            }
            found.push(change);
        }
        Ok(found)
    }

    /// Registers a reader that has seen everything up to `seq`; what it has not acknowledged stays, within
    /// the bounds of [`Retention`].
    pub fn register(&mut self, name: impl Into<Text>, seq: Seq) -> ReaderId {
        let id = ReaderId(self.next_reader);
        self.next_reader += 1;
        self.readers.insert(
            id,
            Reader {
                name: name.into(),
                acknowledged: seq,
            },
        );
        id
    }

    /// Forgets a reader.
    pub fn unregister(&mut self, reader: ReaderId) {
        self.readers.remove(&reader);
    }

    /// Notes that a reader has dealt with everything up to `seq`; an older position is ignored.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown reader, [`crate::ErrorKind::Invalid`] for a position
    /// beyond the last commit.
    pub fn acknowledge(&mut self, reader: ReaderId, seq: Seq) -> Result<()> {
        if seq > self.last {
            return Err(Error::invalid(format!(
                "commit {seq} is acknowledged, but the last one is {}",
                self.last
            )));
        }
        let reader = self
            .readers
            .get_mut(&reader)
            .ok_or_else(|| Error::not_found("the reader is not registered with this log"))?;
        reader.acknowledged = reader.acknowledged.max(seq);
        Ok(())
    }

    /// Drops what no reader needs and what is beyond the bounds, and returns the number of changes dropped.
    /// `now` is the time that ages are measured from.
    pub fn prune(&mut self, now: Timestamp) -> usize {
        let acknowledged = self
            .readers
            .values()
            .map(|reader| reader.acknowledged)
            .min()
            .unwrap_or(self.last);
        let oldest = now
            .as_millis()
            .saturating_sub_unsigned(self.retention.age_seconds_max.saturating_mul(1_000));
        let by_age = self
            .changes
            .partition_point(|_, stamp| stamp.millis() < oldest);
        let by_readers = self
            .changes
            .partition_point(|seq, _| seq <= acknowledged)
            .min(
                self.changes
                    .len()
                    .saturating_sub(self.retention.changes_min),
            );
        let by_count = self
            .changes
            .len()
            .saturating_sub(self.retention.changes_max);
        self.drop_oldest(by_age.max(by_readers).max(by_count))
    }

    /// Drops at least `count` changes, to the end of the commit that the last of them belongs to.
    fn drop_oldest(&mut self, count: usize) -> usize {
        let Some(seq) = count.checked_sub(1).and_then(|i| self.changes.seq(i)) else {
            return 0;
        };
        let mut dropped = count;
        while self.changes.seq(dropped) == Some(seq) {
            dropped += 1;
        }
        self.changes.drop_first(dropped);
        self.pruned = self.pruned.max(seq);
        dropped
    }

    /// Drops all commits up to `seq`, whatever readers and bounds say, and returns the number of changes dropped:
    /// for an owner of the log that keeps account of its readers itself.
    pub fn prune_to(&mut self, seq: Seq) -> usize {
        let seq = seq.min(self.last);
        let dropped = self.changes.partition_point(|of, _| of <= seq);
        self.changes.drop_first(dropped);
        self.pruned = self.pruned.max(seq);
        dropped
    }

    /// Keeps the record before each change from now on; see [`Retention::before`]. Returns the commit after which it is kept:
    /// the last one, or an earlier one when it was kept already.
    pub const fn keep_before(&mut self) -> Seq {
        if !self.retention.before {
            self.retention.before = true;
            self.before_from = self.last;
        }
        self.before_from
    }

    /// Notes that no record before a change is kept so far.
    pub(crate) const fn forget_before(&mut self) {
        self.before_from = self.last;
    }

    /// Number of changes of commits after `seq`, as far as they are kept.
    pub fn count_after(&self, seq: Seq) -> usize {
        let before = self.changes.partition_point(|of, _| of <= seq);
        self.changes.len() - before
    }

    /// Keeps only the last change of each record among commits up to `seq`, with the columns of all that it
    /// replaces; a record inserted and deleted in that span leaves only the deletion. Returns the number of
    /// changes dropped. A reader gets the same final state as without compaction, in fewer changes, though
    /// no longer each commit as a whole: only compact below the position that live readers need.
    pub fn compact(&mut self, seq: Seq) -> usize {
        let end = self.changes.partition_point(|of, _| of <= seq);
        let mut latest: HashMap<(TableId, RecordId), Change> = HashMap::new();
        for change in (0..end).filter_map(|at| self.changes.get(at)) {
            let key = (change.table, change.id());
            let merged = match latest.remove(&key) {
                None => change,
                Some(earlier) => merge(earlier, change),
            };
            latest.insert(key, merged);
        }
        let mut kept: Vec<Change> = latest.into_values().collect();
        // Order inside one commit shows to readers, so it must not depend on hashing.
        kept.sort_by(|a, b| {
            (a.seq, a.table)
                .cmp(&(b.seq, b.table))
                .then_with(|| a.record.key().cmp(b.record.key()))
        });
        let dropped = end - kept.len();
        self.compacted = self.compacted.max(seq.min(self.last));
        let rest = (end..self.changes.len()).filter_map(|at| self.changes.get(at));
        let mut changes = Entries::default();
        for change in kept.into_iter().chain(rest) {
            changes.push(&change, change.before.as_ref());
        }
        self.changes = changes;
        dropped
    }

    /// How much is kept.
    pub const fn retention(&self) -> &Retention {
        &self.retention
    }

    /// Last commit appended.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// Commits up to this one are gone.
    pub const fn pruned(&self) -> Seq {
        self.pruned
    }

    /// Commits up to this one were compacted: the record before a change of theirs is the one before all that
    /// the change stands for.
    pub const fn compacted(&self) -> Seq {
        self.compacted
    }

    /// Number of changes kept.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether no change is kept.
    pub fn is_empty(&self) -> bool {
        self.changes.len() == 0
    }

    /// Name and acknowledged position of each reader, in the order of registration.
    pub fn readers(&self) -> impl Iterator<Item = (ReaderId, &Text, Seq)> {
        self.readers
            .iter()
            .map(|(id, reader)| (*id, &reader.name, reader.acknowledged))
    }
}

/// One change with the effect of two, one after the other.
fn merge(earlier: Change, later: Change) -> Change {
    let kind = match (earlier.kind, later.kind) {
        (_, ChangeKind::Delete) => ChangeKind::Delete,
        (ChangeKind::Insert, _) => ChangeKind::Insert,
        // Deleted and inserted again: to a reader that has the old record, an update.
        (ChangeKind::Delete | ChangeKind::Update, _) => ChangeKind::Update,
    };
    Change {
        kind,
        columns: match later.kind {
            ChangeKind::Delete => later.columns.clone(),
            ChangeKind::Insert | ChangeKind::Update => earlier.columns.union(&later.columns),
        },
        before: earlier.before,
        ..later
    }
}
