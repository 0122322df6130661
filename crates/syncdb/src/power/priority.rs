//! [`Priority`] and [`Urgency`]: how long what was written may wait.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use common::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

/// How soon something has to leave. The most urgent is the least.
///
/// How long each may wait is in the [`Waits`](super::Waits) of the profile in force.
///
/// ```
/// use syncdb::power::Priority;
/// assert!(Priority::Critical < Priority::Maintenance);
/// assert_eq!("high".parse::<Priority>()?, Priority::High);
/// assert_eq!(Priority::from_number(3), Some(Priority::Medium));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Urgent: leaves within a second in every profile, as long as there is a network.
    Critical,
    /// Somebody waits for it elsewhere.
    High,
    /// The usual edit.
    #[default]
    Medium,
    /// Nobody waits for it.
    Low,
    /// What could as well be done tomorrow.
    Maintenance,
}

impl Priority {
    /// All priorities, the most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Critical,
        Self::High,
        Self::Medium,
        Self::Low,
        Self::Maintenance,
    ];

    /// The priority's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Maintenance => "maintenance",
        }
    }

    /// 1 for the most urgent to 5.
    pub const fn number(self) -> u8 {
        match self {
            Self::Critical => 1,
            Self::High => 2,
            Self::Medium => 3,
            Self::Low => 4,
            Self::Maintenance => 5,
        }
    }

    /// The priority of a number from 1 to 5.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| i64::from(priority.number()) == number)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Priority {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|known| known.name() == text);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} is no priority: expected critical, high, medium, low or maintenance"
            ))
        })
    }
}

/// How soon one mutation, or one deferred operation, has to leave.
///
/// ```
/// use common::Timestamp;
/// use std::time::Duration;
/// use syncdb::power::{Priority, Urgency};
/// let meeting = Timestamp::from_millis(1_700_000_000_000);
/// let urgency = Urgency::from(Priority::Low).by(meeting);
/// assert_eq!(urgency.deadline, Some(meeting));
/// let both = urgency.merge(Urgency::from(Priority::High));
/// assert_eq!((both.priority, both.deadline), (Priority::High, Some(meeting)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Urgency {
    /// Its priority, from which a deadline follows.
    pub priority: Priority,
    /// A deadline of its own, when that is the earlier one.
    pub deadline: Option<Timestamp>,
}

impl Urgency {
    /// Sets the deadline.
    pub const fn by(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the deadline to `wait` after `now`.
    pub fn within(self, now: Timestamp, wait: Duration) -> Self {
        self.by(later(now, wait))
    }

    /// What is at least as urgent as both.
    pub fn merge(self, other: Self) -> Self {
        Self {
            priority: self.priority.min(other.priority),
            deadline: match (self.deadline, other.deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }
}

impl From<Priority> for Urgency {
    fn from(priority: Priority) -> Self {
        Self {
            priority,
            deadline: None,
        }
    }
}

/// `time` after `wait`, or the end of time.
pub(crate) fn later(time: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp(time.0.saturating_add(micros))
}

/// `time` before `wait`, or the beginning of time.
pub(crate) fn earlier(time: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    Timestamp(time.0.saturating_sub(micros))
}

/// Time from `earlier` to `later`; nothing when it is the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    let micros = later.0.saturating_sub(earlier.0);
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_their_priority() {
        for priority in Priority::ALL {
            assert_eq!(priority.name().parse::<Priority>().unwrap(), priority);
            let number = i64::from(priority.number());
            assert_eq!(Priority::from_number(number), Some(priority));
        }
        assert_eq!(Priority::from_number(0), None);
        assert!(
            "urgent"
                .parse::<Priority>()
                .unwrap_err()
                .to_string()
                .contains("critical")
        );
    }

    #[test]
    fn times_end_where_they_end() {
        assert_eq!(later(Timestamp(i64::MAX), Duration::MAX).0, i64::MAX);
        assert_eq!(between(Timestamp(5), Timestamp(3)), Duration::ZERO);
    }
}
