//! [`StoredPage`]: a page as it lies in a file, checked when it is first read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use common::{Error, ErrorKind, Result};

use super::layout::{self, corrupt};
use super::one_name;
use crate::files::{Files, SystemFiles};

/// How the pages of a file come into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Access {
    /// By a map of the file: opening takes milliseconds whatever the size, pages come when they are first read and
    /// are checked then, and processes share them. The file must not be changed in place by anything but
    /// [`super::PageFile`], which never changes what was written; a page that the disk cannot read ends the
    /// process, as with any map.
    #[default]
    Map,
    /// Into memory of this process, as a whole, and all of it is checked at once.
    Memory,
}

/// What [`super::PageFile::save`] wrote, read back.
#[derive(Debug)]
pub struct PageImage {
    /// Counts the saves of the file, from 1.
    pub generation: u64,
    /// What the writer says of the pages.
    pub meta: Vec<u8>,
    /// The pages by section.
    pub sections: Vec<StoredSection>,
    /// Tells whether a page was found damaged.
    pub source: PageSource,
    /// Where the file ends as of this save.
    pub(super) end: u64,
}

/// The pages of one section.
#[derive(Debug)]
pub struct StoredSection {
    /// What the writer calls it.
    pub name: String,
    /// Bytes of each page.
    pub page_bytes: usize,
    /// The pages in order.
    pub pages: Vec<StoredPage>,
}

/// One page of a file, held without copying; it stays what it is, also when the file is saved anew or replaced.
pub struct StoredPage {
    bytes: Bytes,
    crc: u32,
    at: u64,
    state: AtomicU8,
    source: PageSource,
}

const UNCHECKED: u8 = 0;
const GOOD: u8 = 1;
const DAMAGED: u8 = 2;

impl StoredPage {
    /// The bytes, aligned to 64; `None` if they are not what was written, of which the source then tells.
    ///
    /// Cost: the first time, a checksum over the page.
    #[inline]
    pub fn get(&self) -> Option<&[u8]> {
        if self.state.load(Ordering::Acquire) == GOOD {
            return Some(&self.bytes);
        }
        self.check()
    }

    #[cold]
    fn check(&self) -> Option<&[u8]> {
        if self.state.load(Ordering::Acquire) == UNCHECKED {
            let is_good = crc32fast::hash(&self.bytes) == self.crc;
            self.state
                .store(if is_good { GOOD } else { DAMAGED }, Ordering::Release);
            if !is_good {
                let place = format!("the page at byte {} is damaged", self.at);
                let _ = self.source.0.damage.set(place);
            }
        }
        (self.state.load(Ordering::Acquire) == GOOD).then_some(&*self.bytes)
    }

    /// Bytes of the page.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the page has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What it was found in, and where.
    pub(super) fn key(&self) -> (u64, u64) {
        (self.source.0.number, self.at)
    }

    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    /// The file it is of.
    pub fn source(&self) -> &PageSource {
        &self.source
    }
}

impl Clone for StoredPage {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            crc: self.crc,
            at: self.at,
            state: AtomicU8::new(self.state.load(Ordering::Acquire)),
            source: self.source.clone(),
        }
    }
}

impl fmt::Debug for StoredPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.bytes.len(), self.at)
    }
}

/// A file that pages were read from. A clone is the same file.
#[derive(Debug, Clone)]
pub struct PageSource(Arc<Source>);

#[derive(Debug)]
struct Source {
    path: PathBuf,
    /// Tells this reading of the file from all others in this process.
    number: u64,
    damage: OnceLock<String>,
}

impl PageSource {
    fn new(path: &Path) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Source {
            path: path.to_owned(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            damage: OnceLock::new(),
        }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether all pages that were read so far were whole.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for the first that was not. Whoever asked it for rows has wrong answers, and whatever
    /// was changed since is not to be trusted: open a copy of the file, or make it anew.
    pub fn check(&self) -> Result<()> {
        match self.0.damage.get() {
            None => Ok(()),
            Some(what) => Err(corrupt(what).at(self.0.path.display())),
        }
    }
}

/// Reads the file that a [`super::PageFile`] wrote, as of its last save; later saves do not show.
///
/// # Errors
/// [`ErrorKind::Io`] when there is no such file or it cannot be read, [`ErrorKind::Corrupt`] when it is no page
/// file or is damaged, [`ErrorKind::Unsupported`] when a later version wrote it. The message names the file.
pub fn open_pages(path: impl AsRef<Path>, access: Access) -> Result<PageImage> {
    open_pages_with(&SystemFiles, &one_name(path.as_ref()), access)
}

/// As [`open_pages`], from other files than those of the operating system.
///
/// # Errors
/// As [`open_pages`].
pub fn open_pages_with(files: &dyn Files, path: &Path, access: Access) -> Result<PageImage> {
    let file = match access {
        Access::Map => files.map(path),
        Access::Memory => files.read(path).map(aligned),
    };
    let file = file.map_err(|error| {
        Error::new(
            ErrorKind::Io,
            format!("{}: cannot be opened ({error})", path.display()),
        )
        .caused_by(error)
    })?;
    let image = image(&file, path).map_err(|error| error.at(path.display()))?;
    if access == Access::Memory {
        let pages = image.sections.iter().flat_map(|section| &section.pages);
        pages.for_each(|page| {
            page.get();
        });
        image.source.check()?;
    }
    Ok(image)
}

fn image(file: &Bytes, path: &Path) -> Result<PageImage> {
    let (root, directory) = layout::read(file)?;
    let source = PageSource::new(path);
    let sections = directory.sections.into_iter().map(|section| {
        let pages = section.pages.iter().map(|place| {
            let bytes = layout::range(file, place.at, section.page_bytes.into());
            StoredPage {
                bytes: file.slice_ref(bytes.unwrap_or_default()),
                crc: place.crc,
                at: place.at,
                state: AtomicU8::new(UNCHECKED),
                source: source.clone(),
            }
        });
        StoredSection {
            page_bytes: section.page_bytes as usize,
            pages: pages.collect(),
            name: section.name,
        }
    });
    Ok(PageImage {
        generation: root.generation,
        sections: sections.collect(),
        meta: directory.meta,
        source,
        end: root.end(),
    })
}

/// The same bytes, beginning at a multiple of 64.
pub(crate) fn aligned(bytes: Vec<u8>) -> Bytes {
    let len = bytes.len();
    if bytes.as_ptr().align_offset(layout::ALIGNMENT) == 0 {
        return Bytes::from(bytes);
    }
    let mut larger: Vec<u8> = Vec::with_capacity(len + layout::ALIGNMENT);
    let begin = larger.as_ptr().align_offset(layout::ALIGNMENT);
    larger.resize(begin, 0);
    larger.extend(bytes);
    Bytes::from(larger).slice(begin..)
}
