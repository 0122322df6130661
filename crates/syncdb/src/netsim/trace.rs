//! The trace of a network: what happened when, for people, and as a number to compare two runs by.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use common::Text;

/// What happened to a message or a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TraceKind {
    /// A message was sent.
    Sent,
    /// A message arrived.
    Delivered,
    /// A message was lost by chance or on purpose.
    Lost,
    /// A message met a partition or an outage.
    Blocked,
    /// A message goes twice.
    Duplicated,
    /// A message was held back.
    Reordered,
    /// A message ended early.
    Cut,
    /// A message has a wrong bit.
    Damaged,
    /// A node woke.
    Woke,
    /// Something that the host noted.
    Note,
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEntry {
    /// When, since the beginning.
    pub at: Duration,
    /// What.
    pub kind: TraceKind,
    /// Name of the node that sent, woke or is spoken of.
    pub from: Text,
    /// Name of the node that receives; empty when there is none.
    pub to: Text,
    /// Number of bytes.
    pub bytes: usize,
    /// The message's tag, or what [`Network::wake`](super::Network::wake) was given.
    pub tag: u64,
    /// What the host noted.
    pub note: Text,
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_secs_f64();
        write!(f, "{at:>12.6} s  {:<12}", self.from.as_str())?;
        match self.kind {
            TraceKind::Note => write!(f, " {}", self.note),
            TraceKind::Woke => write!(f, " wakes ({})", self.tag),
            kind => {
                let what = match kind {
                    TraceKind::Sent => "sends",
                    TraceKind::Delivered => "arrives",
                    TraceKind::Lost => "is lost",
                    TraceKind::Blocked => "is blocked",
                    TraceKind::Duplicated => "goes twice",
                    TraceKind::Reordered => "is held back",
                    TraceKind::Cut => "is cut",
                    TraceKind::Damaged => "is damaged",
                    TraceKind::Woke | TraceKind::Note => "",
                };
                write!(
                    f,
                    " -> {:<12} #{} {what}, {} B",
                    self.to.as_str(),
                    self.tag,
                    self.bytes
                )
            }
        }
    }
}

/// The last lines, and a number over all of them.
#[derive(Debug)]
pub(super) struct Trace {
    entries: VecDeque<TraceEntry>,
    entries_max: usize,
    fingerprint: u64,
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            entries_max: 0,
            // The offset basis of FNV-1a.
            fingerprint: 0xCBF2_9CE4_8422_2325,
        }
    }

    pub(super) const fn keeps(&self) -> bool {
        self.entries_max > 0
    }

    pub(super) fn keep(&mut self, entries_max: usize) {
        self.entries_max = entries_max;
        while self.entries.len() > entries_max {
            self.entries.pop_front();
        }
    }

    /// Takes words into the number (FNV-1a over whole words).
    pub(super) fn mix(&mut self, words: &[u64]) {
        for word in words {
            self.fingerprint = (self.fingerprint ^ word)
                .wrapping_mul(0x0000_0100_0000_01B3)
                .rotate_left(29);
        }
    }

    pub(super) fn mix_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(&[u64::from_le_bytes(*word)]);
        }
        for byte in rest {
            self.mix(&[u64::from(*byte)]);
        }
    }

    pub(super) fn push(&mut self, entry: TraceEntry) {
        if self.entries.len() >= self.entries_max {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(super) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(super) fn entries(&self) -> Vec<TraceEntry> {
        self.entries.iter().cloned().collect()
    }
}
