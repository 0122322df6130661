//! Where everything is in a segment: the header of the file, the head of each batch.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::limits::{COLLECTIONS_MAX, NAME_BYTES_MAX};
use common::versioning::Hlc;
use common::{Error, Limits, Result, Seq, Text};

use super::entry::{Cursor, put};

/// First bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"TNDMLOG1";
/// Version of the layout that this library writes, and the only one it reads.
const VERSION: u16 = 1;
/// Bytes in front of the first batch when no table is named; at least these are in every segment.
const HEADER_BYTES: usize = 76;
/// First bytes of every batch.
const BATCH_MAGIC: [u8; 4] = *b"TLB1";
/// Bytes in front of the entries of a batch.
pub(crate) const BATCH_HEAD_BYTES: usize = 32;
/// Most bytes of one entry.
pub(crate) const ENTRY_BYTES_MAX: usize = 1 << 30;

/// What a segment says of itself, and of the database at its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which database the log is of, so that logs of two are not taken for one.
    pub(crate) store: [u8; 16],
    /// Number of the segment, which is also in its name.
    pub(crate) number: u64,
    /// Number of its first batch.
    pub(crate) ordinal: u64,
    /// Position of the database at its beginning.
    pub(crate) seq: Seq,
    /// A stamp beyond all before.
    pub(crate) stamp: Hlc,
    /// Up to where the log in memory was pruned.
    pub(crate) pruned: Seq,
    /// Tables whose records are kept in the order of their keys.
    pub(crate) ordered: Vec<Text>,
}

impl Header {
    /// The header as bytes; the last four are its checksum.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut names = Vec::new();
        for name in &self.ordered {
            put(name.len() as u64, &mut names);
            names.extend_from_slice(name.as_bytes());
        }
        let mut out = Vec::with_capacity(HEADER_BYTES + names.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        // Flags: none are defined.
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.store);
        for number in [
            self.number,
            self.ordinal,
            self.seq.0,
            self.stamp.0,
            self.pruned.0,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        // At most 4,096 names of at most 128 bytes.
        let len = u32::try_from(names.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&names);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// Reads a header; also gives its length and its checksum.
    pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Self, usize, u32)> {
        if bytes.get(..8) != Some(&MAGIC[..]) {
            return Err(Error::corrupt(
                "byte 0: these bytes are no log of a TandemDB database",
            ));
        }
        let mut cursor = Cursor::new(bytes, limits);
        cursor.take(8)?;
        let version = u16::from_le_bytes(cursor.fixed()?);
        let flags = u16::from_le_bytes(cursor.fixed()?);
        let store = cursor.fixed()?;
        let mut number = || cursor.fixed().map(u64::from_le_bytes);
        let (number, ordinal, seq, stamp, pruned) =
            (number()?, number()?, number()?, number()?, number()?);
        let len = usize::try_from(u32::from_le_bytes(cursor.fixed()?)).unwrap_or(usize::MAX);
        if len > COLLECTIONS_MAX * (NAME_BYTES_MAX + 2) {
            return Err(Error::corrupt("byte 68: more names than there are tables"));
        }
        let names = cursor.take(len)?;
        let covered = cursor.position();
        let checksum = u32::from_le_bytes(cursor.fixed()?);
        let end = cursor.position();
        if differs(
            checksum,
            crc32fast::hash(bytes.get(..covered).unwrap_or_default()),
        ) {
            return Err(Error::corrupt(
                "byte 0: the checksum of the header does not match",
            ));
        }
        if version != VERSION || flags != 0 {
            return Err(Error::unsupported(format!(
                "the log has version {version} and flags {flags:#x}; this program reads version {VERSION}"
            )));
        }
        let mut names = Cursor::new(names, limits);
        let mut ordered = Vec::new();
        while !names.is_empty() {
            ordered.push(names.text()?);
        }
        let header = Self {
            store,
            number,
            ordinal,
            seq: Seq(seq),
            stamp: Hlc(stamp),
            pruned: Seq(pruned),
            ordered,
        };
        Ok((header, end, checksum))
    }
}

/// What stands in front of the entries of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHead {
    /// Number of the batch: one more than that before it.
    pub(crate) ordinal: u64,
    /// Batches up to this one were on the disk when this one was written.
    pub(crate) synced: u64,
    /// Bytes of its entries.
    pub(crate) len: usize,
    /// Checksum of its entries.
    crc: u32,
}

impl BatchHead {
    /// The head of a batch; `salt` is the checksum of the segment's header.
    pub(crate) fn encode(
        salt: u32,
        ordinal: u64,
        synced: u64,
        entries: &[u8],
    ) -> Result<[u8; BATCH_HEAD_BYTES]> {
        let len = u32::try_from(entries.len())
            .map_err(|_| Error::limit_exceeded("a batch of 4 GiB or more"))?;
        let mut head = [0; BATCH_HEAD_BYTES];
        let parts = BATCH_MAGIC
            .into_iter()
            .chain(ordinal.to_le_bytes())
            .chain(synced.to_le_bytes())
            .chain(len.to_le_bytes())
            .chain(crc32fast::hash(entries).to_le_bytes());
        head.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        let crc = salted(salt, head.get(..28).unwrap_or_default());
        head.iter_mut()
            .skip(28)
            .zip(crc.to_le_bytes())
            .for_each(|(to, from)| *to = from);
        Ok(head)
    }

    /// The head at the beginning of `bytes`, if there is one.
    pub(crate) fn decode(salt: u32, bytes: &[u8]) -> Option<Self> {
        let limits = Limits::default();
        let mut cursor = Cursor::new(bytes.get(..BATCH_HEAD_BYTES)?, &limits);
        if cursor.fixed().ok()? != BATCH_MAGIC {
            return None;
        }
        let ordinal = u64::from_le_bytes(cursor.fixed().ok()?);
        let synced = u64::from_le_bytes(cursor.fixed().ok()?);
        let len = u32::from_le_bytes(cursor.fixed().ok()?);
        let crc = u32::from_le_bytes(cursor.fixed().ok()?);
        let checksum = u32::from_le_bytes(cursor.fixed().ok()?);
        if differs(checksum, salted(salt, bytes.get(..28)?)) {
            return None;
        }
        Some(Self {
            ordinal,
            synced,
            len: usize::try_from(len).ok()?,
            crc,
        })
    }

    /// The entries, when all of them are there as they were written.
    pub(crate) fn entries<'a>(&self, behind: &'a [u8]) -> Option<&'a [u8]> {
        let entries = behind.get(..self.len)?;
        (!differs(self.crc, crc32fast::hash(entries))).then_some(entries)
    }
}

fn salted(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Whether a checksum is wrong. A fuzzer would never guess one, so what lies behind is opened to it.
fn differs(found: u32, expected: u32) -> bool {
    found != expected && !cfg!(fuzzing)
}
