//! A segment that is read: its batches, and where they end.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::database::ReplayEntry;
use common::{Limits, Result};

use super::entry::{self, Cursor};
use super::layout::{BATCH_HEAD_BYTES, BatchHead, Header};

/// The bytes of a segment with what they say.
pub(crate) struct Segment {
    bytes: Vec<u8>,
    pub(crate) header: Header,
    /// Checksum of the header, which goes into those of the batches.
    pub(crate) salt: u32,
    /// Where the first batch begins.
    begin: usize,
    /// Where the last whole batch ends.
    pub(crate) end: usize,
    /// Number of the batch that would come next.
    pub(crate) next: u64,
    /// Batches up to this one were on the disk for certain.
    pub(crate) synced: u64,
    /// Where the first batch begins that is not known to have been on the disk.
    pub(crate) unsynced_at: usize,
    pub(crate) tail: Tail,
}

/// What comes behind the last whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    None,
    /// Part of what was being written when the power went: nobody was told that it is safe.
    Torn,
    /// What had been on the disk, and is damaged.
    Damaged,
}

impl Segment {
    /// Finds the batches in the bytes of a segment.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the header is damaged; damage behind it is told by [`Segment::tail`].
    pub(crate) fn read(bytes: Vec<u8>, limits: &Limits) -> Result<Self> {
        let (header, begin, salt) = Header::decode(&bytes, limits)?;
        let mut segment = Self {
            begin,
            end: begin,
            next: header.ordinal,
            synced: header.ordinal.saturating_sub(1),
            unsynced_at: begin,
            tail: Tail::None,
            bytes,
            header,
            salt,
        };
        let mut ends = Vec::new();
        while let Some((head, _)) = batch_at(&segment.bytes, salt, segment.end) {
            // A batch that is told to have been on the disk before it was written is no batch.
            if head.ordinal != segment.next || head.synced >= head.ordinal {
                break;
            }
            ends.push((head.ordinal, segment.end));
            segment.synced = segment.synced.max(head.synced);
            segment.end += BATCH_HEAD_BYTES + head.len;
            segment.next += 1;
        }
        let unsynced = ends.iter().find(|(ordinal, _)| *ordinal > segment.synced);
        segment.unsynced_at = unsynced.map_or(segment.end, |(_, at)| *at);
        if segment.end < segment.bytes.len() {
            segment.tail = segment.classify();
        }
        Ok(segment)
    }

    /// Looks for a later batch that was written when this one was on the disk already.
    fn classify(&self) -> Tail {
        let expected = self.next;
        if self.synced >= expected {
            return Tail::Damaged;
        }
        let from = self.end + 1;
        let behind = self.bytes.len().saturating_sub(from + BATCH_HEAD_BYTES - 1);
        let vouches = (from..from + behind).any(|at| {
            self.bytes.get(at) == Some(&b'T')
                && batch_at(&self.bytes, self.salt, at)
                    .is_some_and(|(head, _)| head.ordinal > expected && head.synced >= expected)
        });
        if vouches { Tail::Damaged } else { Tail::Torn }
    }

    /// All bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of batches that may be in the memory of the operating system only.
    pub(crate) fn unsynced(&self) -> &[u8] {
        self.bytes
            .get(self.unsynced_at..self.end)
            .unwrap_or_default()
    }

    /// Bytes behind the last whole batch.
    pub(crate) fn torn_bytes(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// The entries in order, each with the byte at which it begins.
    pub(crate) fn entries<'a>(
        &'a self,
        limits: &'a Limits,
    ) -> impl Iterator<Item = (usize, Result<ReplayEntry>)> + 'a {
        let mut at = self.begin;
        let mut left = 0;
        std::iter::from_fn(move || {
            while left == 0 {
                if at >= self.end {
                    return None;
                }
                let head = BatchHead::decode(self.salt, self.bytes.get(at..)?)?;
                at += BATCH_HEAD_BYTES;
                left = head.len;
            }
            let begin = at;
            let batch = self.bytes.get(at..at + left).unwrap_or_default();
            let mut cursor = Cursor::new(batch, limits);
            let bytes = cursor.fixed().map(u32::from_le_bytes).and_then(|len| {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                cursor.take(len)
            });
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => {
                    at = self.end;
                    left = 0;
                    return Some((begin, Err(error)));
                }
            };
            at += cursor.position();
            left -= cursor.position();
            Some((begin, entry::decode(bytes, limits)))
        })
    }
}

/// The batch that begins at a byte, if one does and is whole.
fn batch_at(bytes: &[u8], salt: u32, at: usize) -> Option<(BatchHead, &[u8])> {
    let head = BatchHead::decode(salt, bytes.get(at..)?)?;
    let entries = head.entries(bytes.get(at + BATCH_HEAD_BYTES..)?)?;
    Some((head, entries))
}
