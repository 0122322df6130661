//! [`Waiting`]: what the scheduler has to know of what waits at a replica.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use common::Timestamp;
use serde::{Deserialize, Serialize};

use super::priority::{Priority, Urgency, between, earlier, later};

/// Longest time before a deadline at which what waits is due.
const LEAD_MAX: Duration = Duration::from_mins(1);
/// What may wait no longer than this is not kept back at all on a network that comes and goes.
const SHORT_WAIT: Duration = Duration::from_mins(5);
/// How long a write that need not wait waits for those right behind it.
pub(crate) const LINGER: Duration = Duration::from_millis(250);
/// Most times of one priority that are kept apart.
const TIMES_MAX: usize = 256;
/// A clock that runs behind what waits by more than this has been set back.
const SET_BACK: Duration = Duration::from_mins(2);

/// What waits at a replica: mutations that the server has not answered, and deferred operations.
///
/// [`SyncDb::waiting`](crate::SyncDb::waiting) counts it. Hosts with a queue of their own add what stands there by
/// [`Waiting::add`].
///
/// ```
/// use common::Timestamp;
/// use syncdb::power::{Priority, Urgency, Waiting};
/// let mut waiting = Waiting::default();
/// assert!(waiting.is_empty());
/// waiting.add(Timestamp(1_000_000), Urgency::from(Priority::Low));
/// assert_eq!(waiting.oldest_of(Priority::Low), Some(Timestamp(1_000_000)));
/// assert_eq!(waiting.oldest_of(Priority::High), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Waiting {
    /// How many operations wait.
    pub operations: u64,
    /// When those of each priority were written, the most urgent first.
    written: [BTreeSet<Timestamp>; 5],
    /// Deadlines of their own, and when that which has them was written.
    deadlines: BTreeSet<(Timestamp, Timestamp)>,
}

/// Whether a network will be there when a deadline comes, as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It has held so far: what waits leaves shortly before its deadline.
    Holds,
    /// It comes and goes: what waits leaves early, while it is there.
    ComesAndGoes,
}

impl Trust {
    /// For how long something that may wait for `wait` is kept back.
    ///
    /// On a network that holds, until half of its time is left, at most a minute, so that there is time to try again. On
    /// one that comes and goes, a short wait is not used at all, since any gap is longer; of a long one less than a half
    /// is, so that a gap may last as long as what is left.
    fn keeps_back(self, wait: Duration) -> Duration {
        match self {
            Self::Holds => wait.saturating_sub(LEAD_MAX.min(wait / 2)),
            Self::ComesAndGoes if wait <= SHORT_WAIT => LINGER.min(wait / 2),
            Self::ComesAndGoes => wait / 20 * 9,
        }
    }
}

impl Waiting {
    /// Adds something that was written at `made`.
    pub fn add(&mut self, made: Timestamp, urgency: Urgency) {
        self.operations += 1;
        let at = usize::from(urgency.priority.number() - 1);
        if let Some(written) = self.written.get_mut(at) {
            note(written, made);
        }
        if let Some(deadline) = urgency.deadline {
            note(&mut self.deadlines, (deadline, made));
        }
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.operations == 0
    }

    fn written(&self, priority: Priority) -> Option<&BTreeSet<Timestamp>> {
        self.written.get(usize::from(priority.number() - 1))
    }

    /// When the oldest of a priority was written.
    pub fn oldest_of(&self, priority: Priority) -> Option<Timestamp> {
        self.written(priority)?.first().copied()
    }

    /// When the newest of a priority was written.
    pub fn latest_of(&self, priority: Priority) -> Option<Timestamp> {
        self.written(priority)?.last().copied()
    }

    /// When the first of those with a deadline of their own is due.
    pub fn first_due(&self) -> Option<Timestamp> {
        self.own_dues(Trust::Holds).min()
    }

    fn own_dues(&self, trust: Trust) -> impl Iterator<Item = Timestamp> {
        self.deadlines.iter().map(move |(deadline, made)| {
            // A deadline that lies before the writing is due at once.
            let first = *made.min(deadline);
            later(first, trust.keeps_back(between(*made, *deadline)))
        })
    }

    /// Whether something urgent waits.
    pub fn is_urgent(&self) -> bool {
        self.oldest_of(Priority::Critical).is_some()
    }

    /// When the newest of all was written.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.written
            .iter()
            .filter_map(|of| of.last())
            .max()
            .copied()
    }

    /// When the first of all was written, or has its deadline.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        let written = self.written.iter().filter_map(|of| of.first());
        let deadlines = self.deadlines.first().map(|(deadline, _)| deadline);
        written.chain(deadlines).min().copied()
    }

    /// When what waits has to be sent so that it arrives before its deadline, the first such time after `after`; `waits` says
    /// how long each priority may wait. What is urgent does not count: it leaves at once.
    pub(crate) fn due_after(
        &self,
        after: Timestamp,
        trust: Trust,
        waits: impl Fn(Priority) -> Duration,
    ) -> Option<Timestamp> {
        let may_wait = Priority::ALL.into_iter().skip(1);
        let by_priority = may_wait.filter_map(|priority| {
            let kept = trust.keeps_back(waits(priority));
            // All of a priority are kept back for as long.
            let written = earlier(after, kept);
            let mut beyond = self
                .written(priority)?
                .range((Bound::Excluded(written), Bound::Unbounded));
            beyond.next().map(|made| later(*made, kept))
        });
        let own = self.own_dues(trust).filter(|due| *due > after);
        by_priority.chain(own).min()
    }

    /// Whether the clock runs behind what waits.
    pub(crate) fn is_set_back(&self, now: Timestamp) -> bool {
        self.newest()
            .is_some_and(|newest| between(now, newest) > SET_BACK)
    }
}

/// Notes a time. Of many, the first and the last are kept: when what lies between them is due is known a little less well, and
/// it leaves with either.
fn note<T: Ord + Copy>(times: &mut BTreeSet<T>, time: T) {
    times.insert(time);
    if times.len() > TIMES_MAX
        && let Some(middle) = times.iter().nth(TIMES_MAX / 2).copied()
    {
        times.remove(&middle);
    }
}

/// When something was written and how soon it has to leave, as a queue keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Claim {
    pub(crate) made: Timestamp,
    pub(crate) urgency: Urgency,
}

impl Claim {
    /// What is at least as urgent as both.
    pub(crate) fn merge(self, other: Self) -> Self {
        Self {
            made: self.made.min(other.made),
            urgency: self.urgency.merge(other.urgency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn minute(_: Priority) -> Duration {
        Duration::from_mins(1)
    }

    #[test]
    fn what_waits_is_due_before_its_deadline_by_half_of_its_time_and_at_most_a_minute() {
        let start = Timestamp(i64::MIN);
        let mut waiting = Waiting::default();
        waiting.add(Timestamp(0), Priority::High.into());
        assert_eq!(
            waiting.due_after(start, Trust::Holds, minute),
            Some(Timestamp(30 * SECOND))
        );
        let hour = Timestamp(3_600 * SECOND);
        let mut waiting = Waiting::default();
        waiting.add(Timestamp(0), Urgency::default().by(hour));
        let long = |_| Duration::from_secs(10_000);
        assert_eq!(
            waiting.due_after(start, Trust::Holds, long),
            Some(Timestamp(3_540 * SECOND))
        );
        // A deadline that lies before the writing is due at once.
        let mut waiting = Waiting::default();
        waiting.add(hour, Urgency::default().by(Timestamp(5)));
        assert_eq!(
            waiting.due_after(start, Trust::Holds, long),
            Some(Timestamp(5))
        );
    }

    #[test]
    fn what_is_stuck_does_not_hide_when_the_next_is_due() {
        let mut waiting = Waiting::default();
        for second in [0, 100, 200] {
            waiting.add(Timestamp(second * SECOND), Priority::High.into());
        }
        for (after, due) in [(0, 30), (30, 130), (129, 130), (150, 230)] {
            let found = waiting.due_after(Timestamp(after * SECOND), Trust::Holds, minute);
            assert_eq!(found, Some(Timestamp(due * SECOND)));
        }
        assert_eq!(
            waiting.due_after(Timestamp(230 * SECOND), Trust::Holds, minute),
            None
        );
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed() {
        let mut waiting = Waiting::default();
        let now = Timestamp(1_000 * SECOND);
        assert!(!waiting.is_set_back(now));
        waiting.add(now, Priority::Low.into());
        assert!(!waiting.is_set_back(Timestamp(now.0 - 120 * SECOND)));
        assert!(waiting.is_set_back(Timestamp(now.0 - 121 * SECOND)));
    }

    #[test]
    fn of_many_times_the_first_and_the_last_are_kept() {
        let mut waiting = Waiting::default();
        for at in 0..10_000 {
            waiting.add(Timestamp(at), Priority::Low.into());
        }
        assert_eq!(waiting.operations, 10_000);
        assert_eq!(waiting.oldest_of(Priority::Low), Some(Timestamp(0)));
        assert_eq!(waiting.latest_of(Priority::Low), Some(Timestamp(9_999)));
        assert!(waiting.written(Priority::Low).unwrap().len() <= TIMES_MAX);
    }

    #[test]
    fn the_earliest_counts_whatever_the_order() {
        let entries = [(5, Priority::Low), (3, Priority::Low), (9, Priority::High)];
        let mut sum = Waiting::default();
        let mut other = Waiting::default();
        for (made, priority) in entries {
            sum.add(Timestamp(made), priority.into());
        }
        for (made, priority) in entries.into_iter().rev() {
            other.add(Timestamp(made), priority.into());
        }
        assert_eq!(sum, other);
        assert_eq!(sum.oldest_of(Priority::Low), Some(Timestamp(3)));
        assert_eq!(sum.operations, 3);
        assert!(!sum.is_urgent());
    }
}
