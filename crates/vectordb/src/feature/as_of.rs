//! [`AsOf`]: up to when a read sees, and [`Status`]: what came of it for one entity or value.

use common::{Seq, Timestamp};
use serde::{Deserialize, Serialize};

use super::events::RowRef;

/// Up to when a read sees events. All three bounds are inclusive.
///
/// An event has two times: when it happened and when the store came to know of it. A model that is trained on what
/// happened before a label, but became known after it, learns from the future: [`AsOf::at`] bounds both.
///
/// ```
/// use common::{Seq, Timestamp};
/// use vectordb::feature::AsOf;
/// let noon = Timestamp(43_200_000_000);
/// assert_eq!(AsOf::at(noon).known, noon);
/// assert_eq!(AsOf::event(noon).known, Timestamp(i64::MAX), "late data counts");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// Latest time at which an event may have happened; what times to live are measured from.
    pub event: Timestamp,
    /// Latest time at which it may have become known.
    pub known: Timestamp,
    /// Last commit that may have written it: what makes a read the same for ever.
    pub seq: Seq,
}

impl AsOf {
    /// What was known at a time of what had happened by then.
    pub const fn at(time: Timestamp) -> Self {
        Self {
            event: time,
            known: time,
            seq: Seq(u64::MAX),
        }
    }

    /// What has happened by a time, whenever it became known.
    pub const fn event(time: Timestamp) -> Self {
        Self {
            event: time,
            known: Timestamp(i64::MAX),
            seq: Seq(u64::MAX),
        }
    }

    /// The latest of all events, future ones included; none of them expires.
    pub const fn latest() -> Self {
        Self::event(Timestamp(i64::MAX))
    }

    /// The same of what was known at a time.
    pub const fn known(mut self, time: Timestamp) -> Self {
        self.known = time;
        self
    }

    /// The same of what was committed up to a position.
    pub const fn seq(mut self, seq: Seq) -> Self {
        self.seq = seq;
        self
    }

    #[inline]
    pub(super) fn sees(self, row: RowRef<'_>) -> bool {
        row.event() <= self.event.0 && row.known() <= self.known.0 && row.seq() <= self.seq
    }
}

/// What a read found for an entity, or for one of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// A value that is not older than its time to live.
    Present,
    /// The last event has no value for it, or says that the entity was deleted.
    Missing,
    /// The last event is older than the time to live.
    Expired,
    /// No event of this entity, as of then.
    Unknown,
    /// The transformation of a batch refuses the values: a text or time that is none of those that it knows.
    Refused,
    /// Not read, because the deadline of a batch came first.
    Unread,
}

impl Status {
    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Unread => "unread",
        }
    }
}
