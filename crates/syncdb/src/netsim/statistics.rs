//! [`Statistics`]: how many messages and bytes a link has carried, and what became of them.

use serde::Serialize;

/// What was sent over a link in one direction, and what became of it.
///
/// Every message sent is delivered once or more, lost, or still under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that arrived, each copy by itself.
    pub delivered: u64,
    /// Messages that did not arrive: by chance, in an outage, by a partition, or on purpose.
    pub lost: u64,
    /// Messages that were sent once more on the way.
    pub duplicated: u64,
    /// Messages that were held back so that others could pass them.
    pub reordered: u64,
    /// Messages that ended early.
    pub cut: u64,
    /// Messages with a wrong bit.
    pub damaged: u64,
    /// Bytes of the messages that were sent.
    pub bytes_sent: u64,
    /// Bytes of the messages that arrived.
    pub bytes_delivered: u64,
}

impl Statistics {
    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.cut += other.cut;
        self.damaged += other.damaged;
        self.bytes_sent += other.bytes_sent;
        self.bytes_delivered += other.bytes_delivered;
    }
}
