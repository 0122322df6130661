//! [`Waiting`]: what the scheduler has to know of what waits at a replica.

use std::time::Duration;

use common::Timestamp;
use serde::{Deserialize, Serialize};

use super::priority::{Priority, Urgency, between, later};

/// Longest time before a deadline at which what waits is due.
const LEAD_MAX: Duration = Duration::from_mins(1);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Waiting {
    /// How many operations wait.
    pub operations: u64,
    /// When the oldest of each priority was written, the most urgent first.
    pub oldest: [Option<Timestamp>; 5],
    /// When the first of those with a deadline of their own is due.
    pub due: Option<Timestamp>,
    /// When the newest of each priority was written, the most urgent first.
    pub latest: [Option<Timestamp>; 5],
    /// Of the newest with a deadline of its own: when it was written, and when it is due.
    pub latest_due: Option<(Timestamp, Timestamp)>,
}

impl Waiting {
    /// Adds something that was written at `made`.
    pub fn add(&mut self, made: Timestamp, urgency: Urgency) {
        self.operations += 1;
        let at = usize::from(urgency.priority.number() - 1);
        if let Some(oldest) = self.oldest.get_mut(at) {
            *oldest = Some(oldest.map_or(made, |known| known.min(made)));
        }
        if let Some(deadline) = urgency.deadline {
            let due = due(made, deadline);
            self.due = Some(self.due.map_or(due, |known| known.min(due)));
            // Of several that were written at once, the first that is due.
            self.latest_due = match self.latest_due {
                Some((known, at)) if known == made => Some((made, at.min(due))),
                known => known.max(Some((made, due))),
            };
        }
        if let Some(latest) = self.latest.get_mut(at) {
            *latest = (*latest).max(Some(made));
        }
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// When the oldest of a priority was written.
    pub fn oldest_of(&self, priority: Priority) -> Option<Timestamp> {
        let at = usize::from(priority.number() - 1);
        self.oldest.get(at).copied().flatten()
    }

    /// Whether something urgent waits.
    pub fn is_urgent(&self) -> bool {
        self.oldest_of(Priority::Critical).is_some()
    }

    /// When the newest of a priority was written.
    pub fn latest_of(&self, priority: Priority) -> Option<Timestamp> {
        let at = usize::from(priority.number() - 1);
        self.latest.get(at).copied().flatten()
    }

    /// When the oldest of all was written.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.oldest.iter().copied().flatten().min()
    }

    /// When the newest of all was written.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.latest.iter().copied().flatten().max()
    }

    /// When the first of all was written, or is due.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.oldest.iter().copied().flatten().chain(self.due).min()
    }

    /// When what waits has to be sent so that it arrives before its deadline; `waits` says how long each priority may wait.
    /// What is urgent does not count: it leaves at once.
    pub(crate) fn due(
        &self,
        now: Timestamp,
        waits: impl Fn(Priority) -> Duration,
    ) -> Option<Timestamp> {
        if self
            .newest()
            .is_some_and(|latest| between(now, latest) > SET_BACK)
        {
            // No time that was noted means anything any more.
            return Some(now);
        }
        let may_wait = Priority::ALL.into_iter().skip(1);
        let by_priority = may_wait.filter_map(|priority| {
            let made = self.oldest_of(priority)?;
            Some(due(made, later(made, waits(priority))))
        });
        by_priority.chain(self.due).min()
    }
}

/// When to send what was written at `made`: before its deadline by half of its time, at most a minute, so that there is time to
/// try again.
pub(crate) fn due(made: Timestamp, deadline: Timestamp) -> Timestamp {
    let lead = LEAD_MAX.min(between(made, deadline) / 2);
    let micros = i64::try_from(lead.as_micros()).unwrap_or(i64::MAX);
    Timestamp(deadline.0.saturating_sub(micros))
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
        let mut waiting = Waiting::default();
        waiting.add(Timestamp(0), Priority::High.into());
        assert_eq!(
            waiting.due(Timestamp(0), minute),
            Some(Timestamp(30 * SECOND))
        );
        let hour = Timestamp(3_600 * SECOND);
        let mut waiting = Waiting::default();
        waiting.add(Timestamp(0), Urgency::default().by(hour));
        let long = |_| Duration::from_secs(10_000);
        assert_eq!(
            waiting.due(Timestamp(0), long),
            Some(Timestamp(3_540 * SECOND))
        );
        // A deadline that lies before the writing is due at once.
        let mut waiting = Waiting::default();
        waiting.add(hour, Urgency::default().by(Timestamp(5)));
        assert_eq!(waiting.due(hour, long), Some(Timestamp(5)));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_everything_due() {
        let mut waiting = Waiting::default();
        let now = Timestamp(1_000 * SECOND);
        waiting.add(now, Priority::Low.into());
        assert!(waiting.due(now, minute) > Some(now));
        let back = Timestamp(now.0 - 121 * SECOND);
        assert_eq!(waiting.due(back, minute), Some(back));
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
