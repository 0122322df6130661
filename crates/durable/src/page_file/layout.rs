//! How a page file lies on the disk: header, roots, directory. `docs/file-format.md` specifies it.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::{Error, ErrorKind, Result};

/// Bytes before the first page.
pub(super) const HEADER_BYTES: usize = 4_096;
/// Pages begin at multiples of this, which is what the widest registers want.
pub(super) const ALIGNMENT: usize = 64;
/// Most sections of a file.
pub(super) const SECTIONS_MAX: usize = 4_096;
/// Most bytes of a name of a section.
const NAME_MAX: usize = 255;

const MAGIC: &[u8; 8] = b"TNDMPAG1";
const VERSION: u16 = 1;
/// Magic, version, flags, checksum.
const PROLOGUE_BYTES: usize = 16;
/// Where the four roots are: two copies for even generations, two for odd ones, each in a sector of its own.
pub(super) const ROOTS_AT: [usize; 4] = [512, 1_024, 1_536, 2_048];
pub(super) const ROOT_BYTES: usize = 32;

/// Where the newest directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Root {
    /// Counts the saves, from 1.
    pub(super) generation: u64,
    pub(super) directory_at: u64,
    pub(super) directory_len: u64,
    pub(super) directory_crc: u32,
}

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: u64,
    pub(super) crc: u32,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Directory {
    pub(super) meta: Vec<u8>,
    pub(super) sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    /// Bytes of each page.
    pub(super) page_bytes: u32,
    pub(super) pages: Vec<Place>,
}

impl Root {
    pub(super) fn encode(&self) -> [u8; ROOT_BYTES] {
        let mut bytes = Vec::with_capacity(ROOT_BYTES);
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.directory_at.to_le_bytes());
        bytes.extend(self.directory_len.to_le_bytes());
        bytes.extend(self.directory_crc.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let mut root = [0; ROOT_BYTES];
        root.copy_from_slice(&bytes);
        root
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut read = Read(bytes.get(..ROOT_BYTES)?);
        let root = Self {
            generation: read.u64()?,
            directory_at: read.u64()?,
            directory_len: read.u64()?,
            directory_crc: read.u32()?,
        };
        let crc = crc32fast::hash(bytes.get(..ROOT_BYTES - 4)?);
        (read.u32()? == crc && root.generation > 0).then_some(root)
    }

    /// Where the two copies of this root belong.
    pub(super) fn places(&self) -> [usize; 2] {
        let [a, b, c, d] = ROOTS_AT;
        if self.generation.is_multiple_of(2) {
            [a, b]
        } else {
            [c, d]
        }
    }

    /// Where the file ends, whatever may lie behind.
    pub(super) fn end(&self) -> u64 {
        self.directory_at.saturating_add(self.directory_len)
    }
}

/// A header with both copies of one root.
pub(super) fn header(root: &Root) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    for place in root.places() {
        bytes.resize(place, 0);
        bytes.extend(root.encode());
    }
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

/// The newest root of a file, and its directory, checked against the length of the file.
///
/// A root that was written follows a directory that was synced, so a newest root whose directory is not there is
/// damage, and no reason to go back to an older state.
pub(super) fn read(file: &[u8]) -> Result<(Root, Directory)> {
    let prologue = file.get(..PROLOGUE_BYTES).unwrap_or_default();
    if prologue.get(..MAGIC.len()) != Some(MAGIC.as_slice()) {
        return Err(corrupt("is no page file: it does not begin as one"));
    }
    let mut after = Read(prologue.get(MAGIC.len()..).unwrap_or_default());
    let (version, flags, crc) = (after.u16(), after.u16(), after.u32());
    let hashed = crc32fast::hash(prologue.get(..PROLOGUE_BYTES - 4).unwrap_or_default());
    if crc != Some(hashed) {
        return Err(corrupt(&format!(
            "the header is damaged (bytes 0 to {PROLOGUE_BYTES})"
        )));
    }
    if version != Some(VERSION) || flags != Some(0) {
        return Err(Error::unsupported(format!(
            "was written by a later version of this program (layout {}); use that version",
            version.unwrap_or_default()
        )));
    }
    let copies = ROOTS_AT
        .iter()
        .filter_map(|at| Root::decode(file.get(*at..)?));
    let root = copies
        .max_by_key(|root| root.generation)
        .ok_or_else(|| corrupt(&format!("no root is intact (those at bytes {ROOTS_AT:?})")))?;
    let (at, len) = (root.directory_at, root.directory_len);
    let bytes = range(file, at, len)
        .filter(|_| at >= HEADER_BYTES as u64)
        .ok_or_else(|| {
            corrupt(&format!(
                "was cut off: its directory is at byte {at}, beyond its end at {}",
                file.len()
            ))
        })?;
    let unreadable = |what| corrupt(&format!("the directory at byte {at} ({len} bytes) {what}"));
    if crc32fast::hash(bytes) != root.directory_crc {
        return Err(unreadable("is damaged"));
    }
    let directory = Directory::decode(bytes).ok_or_else(|| unreadable("makes no sense"))?;
    for section in &directory.sections {
        for page in &section.pages {
            let is_aligned = page.at.is_multiple_of(ALIGNMENT as u64);
            let is_inside = page.at >= HEADER_BYTES as u64
                && range(file, page.at, section.page_bytes.into()).is_some();
            if !(is_aligned && is_inside) {
                return Err(corrupt(&format!(
                    "a page of `{}` is said to be at byte {}, outside of the file",
                    section.name, page.at
                )));
            }
        }
    }
    Ok((root, directory))
}

pub(super) fn range(file: &[u8], at: u64, len: u64) -> Option<&[u8]> {
    let at = usize::try_from(at).ok()?;
    let end = at.checked_add(usize::try_from(len).ok()?)?;
    file.get(at..end)
}

pub(super) fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}

impl Directory {
    /// The bytes of the directory.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for more than a directory can name.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let count = |len: usize| {
            u32::try_from(len)
                .map_err(|_| Error::limit_exceeded("a page file of more than 2^32 parts"))
        };
        let mut bytes = Vec::new();
        bytes.extend(count(self.meta.len())?.to_le_bytes());
        bytes.extend(&self.meta);
        if self.sections.len() > SECTIONS_MAX {
            return Err(Error::limit_exceeded(format!(
                "a page file has at most {SECTIONS_MAX} sections, not {}",
                self.sections.len()
            )));
        }
        bytes.extend(count(self.sections.len())?.to_le_bytes());
        for section in &self.sections {
            let name = u8::try_from(section.name.len()).map_err(|_| {
                Error::limit_exceeded(format!("a name of a section has at most {NAME_MAX} bytes"))
            })?;
            bytes.push(name);
            bytes.extend(section.name.as_bytes());
            bytes.extend(section.page_bytes.to_le_bytes());
            bytes.extend(count(section.pages.len())?.to_le_bytes());
            for page in &section.pages {
                bytes.extend(page.at.to_le_bytes());
                bytes.extend(page.crc.to_le_bytes());
            }
        }
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut read = Read(bytes);
        let meta_len = usize::try_from(read.u32()?).ok()?;
        let meta = read.take(meta_len)?.to_vec();
        let count = usize::try_from(read.u32()?).ok()?;
        if count > SECTIONS_MAX {
            return None;
        }
        let mut sections = Vec::new();
        for _ in 0..count {
            let [name_len] = *read.take(1)?.as_array()?;
            let name = str::from_utf8(read.take(name_len.into())?).ok()?.to_owned();
            let page_bytes = read.u32()?;
            let pages = usize::try_from(read.u32()?).ok()?;
            let places = read.take(pages.checked_mul(12)?)?;
            let pages = places
                .chunks_exact(12)
                .filter_map(|place| {
                    let mut read = Read(place);
                    Some(Place {
                        at: read.u64()?,
                        crc: read.u32()?,
                    })
                })
                .collect();
            sections.push(Section {
                name,
                page_bytes,
                pages,
            });
        }
        read.0.is_empty().then_some(Self { meta, sections })
    }
}

/// Bytes that are still to be read.
struct Read<'a>(&'a [u8]);

impl<'a> Read<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.as_array().copied().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.as_array().copied().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.as_array().copied().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_reads_back_and_no_cut_of_it_does() {
        let directory = Directory {
            meta: b"{}".to_vec(),
            sections: vec![
                Section {
                    name: "rows".into(),
                    page_bytes: 64,
                    pages: vec![Place { at: 4_096, crc: 7 }, Place { at: 8_192, crc: 9 }],
                },
                Section {
                    name: "none".into(),
                    page_bytes: 0,
                    pages: vec![],
                },
            ],
        };
        let bytes = directory.encode().unwrap();
        assert_eq!(Directory::decode(&bytes), Some(directory));
        for len in 0..bytes.len() {
            assert_eq!(Directory::decode(&bytes[..len]), None);
        }
        // A count that the bytes do not bear out is refused before anything is made for it.
        let huge = [
            &0_u32.to_le_bytes()[..],
            &1_u32.to_le_bytes(),
            &[0],
            &[0xff; 8],
        ]
        .concat();
        assert_eq!(Directory::decode(&huge), None);
    }
}
