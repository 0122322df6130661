//! [`History`]: the events of one entity in order of time.

use crate::core::distance::prefetch;

/// Events of which all times are asked for at once.
const EVENTS_AHEAD: usize = 512;

/// Where an event stands among those of its entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) event: i64,
    pub(super) known: i64,
    pub(super) row: u32,
}

/// Events by time of event and then of knowledge. The times of events lie side by side, so that a search among them
/// visits few lines.
#[derive(Debug, Default)]
pub(super) struct History {
    events: Vec<i64>,
    /// Time of knowledge and row of each.
    rest: Vec<(i64, u32)>,
}

impl History {
    pub(super) const fn len(&self) -> usize {
        self.events.len()
    }

    /// Row of the last event.
    pub(super) fn last(&self) -> Option<u32> {
        self.rest.last().map(|(_, row)| *row)
    }

    /// Puts an event in order, and returns its place.
    pub(super) fn insert(&mut self, stamp: Stamp) -> usize {
        let (Ok(at) | Err(at)) = self.place(stamp.event, stamp.known);
        self.events.insert(at, stamp.event);
        self.rest.insert(at, (stamp.known, stamp.row));
        at
    }

    pub(super) fn remove(&mut self, row: u32) {
        if let Some(at) = self.rest.iter().position(|(_, known)| *known == row) {
            self.events.remove(at);
            self.rest.remove(at);
        }
    }

    /// The row of the event with these times.
    pub(super) fn find(&self, event: i64, known: i64) -> Option<u32> {
        let at = self.place(event, known).ok()?;
        self.rest.get(at).map(|(_, row)| *row)
    }

    /// The place of the event with these times, or where it would be.
    fn place(&self, event: i64, known: i64) -> Result<usize, usize> {
        let from = self.events.partition_point(|other| *other < event);
        let same = self
            .events
            .iter()
            .skip(from)
            .take_while(|other| **other == event)
            .count();
        let same = self.rest.get(from..from + same).unwrap_or_default();
        let found = same.binary_search_by_key(&known, |(other, _)| *other);
        found.map(|at| from + at).map_err(|at| from + at)
    }

    /// Rows in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = u32> {
        self.rest.iter().map(|(_, row)| *row)
    }

    /// Rows of events that happened by a time and were known by another, from the last one back.
    #[inline]
    pub(super) fn before(&self, event: i64, known: i64) -> impl Iterator<Item = u32> {
        let end = self.events.partition_point(|other| *other <= event);
        let before = self.rest.get(..end).unwrap_or_default().iter().rev();
        before
            .filter(move |(other, _)| *other <= known)
            .map(|(_, row)| *row)
    }

    /// Asks memory for what a search visits.
    #[inline]
    pub(super) fn prefetch(&self) {
        if self.events.len() <= EVENTS_AHEAD {
            prefetch(&self.events);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.events.capacity() * size_of::<i64>() + self.rest.capacity() * size_of::<(i64, u32)>()
    }
}
