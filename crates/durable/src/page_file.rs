//! [`PageFile`]: pages that change now and then, in a file of which each save writes those that changed.
//!
//! Pages are written behind all that is there, then a directory of all pages, then, when these are on the disk, the
//! root that names the directory. So a crash at any point leaves the state of the save before, and readers never see a
//! byte change under them. When more of the file is stale than in use, a save writes it anew.

mod layout;
mod map;
mod stored;

use std::fmt;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Error, ErrorKind, Result};
use hashbrown::HashMap;

use self::layout::{ALIGNMENT, Directory, HEADER_BYTES, Place, Root, Section};
pub(crate) use self::map::map;
pub(crate) use self::stored::aligned;
pub use self::stored::{
    Access, PageImage, PageSource, StoredPage, StoredSection, open_pages, open_pages_with,
};
use crate::files::{Files, SystemFiles};
use crate::lock::WriterLock;
use crate::replace::{WRITE_BYTES, folder_of, replace_with};

/// A file is written anew when so many times what is in use is stale; smaller files, when this many bytes are.
const STALE_SHARE: u64 = 1;
const STALE_MIN: u64 = 1 << 20;
/// While writing anew fails, a file grows until so many times what is in use is stale.
const STALE_SHARE_MAX: u64 = 4;

/// A page to be saved.
#[derive(Debug, Clone, Copy)]
pub enum Page<'a> {
    /// A page in memory. The same version, unless it is 0, means the same bytes throughout the life of the process.
    Fresh {
        /// What it holds.
        bytes: &'a [u8],
        /// A number that no other content ever had in this process; 0 if that is not known.
        version: u64,
    },
    /// A page that was read from a file, perhaps from this one.
    Stored(&'a StoredPage),
}

/// Pages to be saved, all of one length.
#[derive(Debug, Clone)]
pub struct PageSection<'a> {
    /// What [`StoredSection::name`] will be: at most 255 bytes.
    pub name: String,
    /// The pages in order.
    pub pages: Vec<Page<'a>>,
}

/// What a save wrote.
#[derive(Debug)]
pub struct PagesSaved {
    /// Counts the saves of the file, from 1.
    pub generation: u64,
    /// Pages that the file names now.
    pub pages: usize,
    /// Pages that had to be written, the others being there already.
    pub written: usize,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Size of the file in bytes, stale pages included.
    pub file_bytes: u64,
    /// Why a file with many stale pages could not be written anew, if it could not: it is whole, but larger than it need
    /// be, and saves fail when four of five bytes are stale.
    pub overgrown: Option<Error>,
}

/// What is in a file, for its one writer. Held until dropped, other writers are kept out.
///
/// ```
/// use durable::{Access, Page, PageFile, PageSection, open_pages};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("numbers.pages");
/// let mut file = PageFile::open_or_create(&path)?;
/// let pages = [[1_u8; 64], [2; 64]];
/// let fresh = |at: usize, version| Page::Fresh { bytes: &pages[at], version };
/// let section = PageSection { name: "rows".into(), pages: vec![fresh(0, 1), fresh(1, 2)] };
/// assert_eq!(file.save(b"about them", &[section.clone()])?.written, 2);
/// assert_eq!(file.save(b"about them", &[section])?.written, 0, "all are there");
///
/// let image = open_pages(&path, Access::Map)?;
/// assert_eq!(image.sections[0].pages[1].get(), Some([2; 64].as_slice()));
/// # Ok::<(), common::Error>(())
/// ```
pub struct PageFile {
    files: Arc<dyn Files>,
    path: PathBuf,
    state: Option<State>,
    /// Whether a root may be on the disk or not: nobody may write on from here.
    is_uncertain: bool,
    lock: Option<WriterLock>,
}

/// What the file holds as of the last save.
#[derive(Debug, Clone, Default)]
struct State {
    generation: u64,
    end: u64,
    places: Places,
}

/// Where the pages are, by what tells them from others.
type Places = HashMap<Key, Place, foldhash::fast::RandomState>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Version(u64),
    /// A reading of a file, and the place in it.
    Stored(u64, u64),
}

impl Page<'_> {
    fn key(&self) -> Option<Key> {
        match self {
            Self::Fresh { version: 0, .. } => None,
            Self::Fresh { version, .. } => Some(Key::Version(*version)),
            Self::Stored(page) => {
                let (number, at) = page.key();
                Some(Key::Stored(number, at))
            }
        }
    }

    fn bytes(&self) -> Result<&[u8]> {
        match self {
            Self::Fresh { bytes, .. } => Ok(bytes),
            Self::Stored(page) => page.get().ok_or_else(|| {
                let damage = page.source().check();
                damage
                    .err()
                    .unwrap_or_else(|| layout::corrupt("a damaged page"))
            }),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Fresh { bytes, .. } => bytes.len(),
            Self::Stored(page) => page.len(),
        }
    }
}

impl fmt::Debug for PageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageFile")
            .field("path", &self.path)
            .field("is_locked", &self.lock.is_some())
            .finish_non_exhaustive()
    }
}

impl PageFile {
    /// Opens the file `path` to save to it; it comes into being with the first save.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while another writer has the file; as [`open_pages`] when there is a file that cannot
    /// be read.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = one_name(path.as_ref());
        let lock = WriterLock::acquire(&path)?;
        let mut file = Self::open_or_create_with(Arc::new(SystemFiles), &path)?;
        file.lock = Some(lock);
        Ok(file)
    }

    /// As [`PageFile::open_or_create`], on other files than those of the operating system, and without a lock.
    ///
    /// # Errors
    /// As [`PageFile::open_or_create`].
    pub fn open_or_create_with(files: Arc<dyn Files>, path: &Path) -> Result<Self> {
        let mut file = Self {
            files,
            path: path.to_owned(),
            state: None,
            is_uncertain: false,
            lock: None,
        };
        file.image()?;
        Ok(file)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is a way to the file.
    pub fn is_at(&self, path: &Path) -> bool {
        one_name(path) == self.path
    }

    /// What is in the file, by a map of it; `None` before the first save. Saving pages of this image again writes
    /// none of them.
    ///
    /// # Errors
    /// As [`open_pages`].
    pub fn image(&mut self) -> Result<Option<PageImage>> {
        let image = match open_pages_with(&*self.files, &self.path, Access::Map) {
            Ok(image) => image,
            Err(error) if error.kind() == ErrorKind::Io && !self.exists() => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = self.state.get_or_insert_default();
        state.generation = image.generation;
        state.end = image.end;
        for page in image.sections.iter().flat_map(|section| &section.pages) {
            let (number, at) = page.key();
            let place = Place {
                at,
                crc: page.crc(),
            };
            state.places.insert(Key::Stored(number, at), place);
        }
        Ok(Some(image))
    }

    fn exists(&self) -> bool {
        let folder = folder_of(&self.path);
        let found = self.files.list(folder).unwrap_or_default();
        found
            .iter()
            .any(|path| path.file_name() == self.path.file_name())
    }

    /// Makes the file hold these pages, and survive a power cut, or leaves it as it was.
    ///
    /// Cost: the pages that changed since they were last saved or read, a directory of 12 bytes for each page, and
    /// two waits for the disk; now and then, all pages.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the disk fails or is full, [`ErrorKind::Corrupt`] when a page of another file is
    /// damaged, [`ErrorKind::Invalid`] for pages of different lengths in one section, [`ErrorKind::LimitExceeded`]
    /// for too many sections.
    pub fn save(&mut self, meta: &[u8], sections: &[PageSection<'_>]) -> Result<PagesSaved> {
        self.try_save(meta, sections)
            .map_err(|error| error.at(self.path.display()))
    }

    fn try_save(&mut self, meta: &[u8], sections: &[PageSection<'_>]) -> Result<PagesSaved> {
        if self.is_uncertain {
            return Err(Error::new(
                ErrorKind::Io,
                "an earlier save could not tell whether it reached the disk; open the file again",
            ));
        }
        check(sections)?;
        let Some(state) = self.state.clone() else {
            return self.write_all(1, meta, sections);
        };
        let used = used(sections);
        let known = Known::new(&state.places, &self.path);
        let fresh = fresh(sections, &known);
        let unused = (state.end + fresh).saturating_sub(used);
        let generation = state.generation + 1;
        let mut overgrown = None;
        if unused > (STALE_SHARE * used).max(STALE_MIN) {
            match self.write_all(generation, meta, sections) {
                Ok(saved) => return Ok(saved),
                Err(error) if error.kind() != ErrorKind::Io || self.is_uncertain => {
                    return Err(error);
                }
                Err(error) if unused > (STALE_SHARE_MAX * used).max(STALE_MIN) => {
                    return Err(error.at("more than four fifths of the file are stale"));
                }
                Err(error) => overgrown = Some(error),
            }
        }
        let saved = self.append(&state, meta, sections)?;
        Ok(PagesSaved { overgrown, ..saved })
    }

    /// Writes what is not yet there behind all that is.
    fn append(
        &mut self,
        state: &State,
        meta: &[u8],
        sections: &[PageSection<'_>],
    ) -> Result<PagesSaved> {
        let begin = state.end.next_multiple_of(ALIGNMENT as u64);
        let known = Known::new(&state.places, &self.path);
        let plan = Plan::new(begin, sections, &known)?;
        let unchanged = |error| {
            failed(
                error,
                "cannot write the new pages; the file holds what it held",
            )
        };
        let out = self.files.open_at(&self.path, begin).map_err(unchanged)?;
        let mut out = BufWriter::with_capacity(WRITE_BYTES, out);
        let mut counted = Counted {
            out: &mut out,
            at: begin,
        };
        plan.write(&mut counted, sections)?;
        let (directory, root) = plan.finish(state.generation + 1, meta, counted.at)?;
        counted.write_all(&directory).map_err(unchanged)?;
        let end = counted.at;
        let mut out = out
            .into_inner()
            .map_err(|error| unchanged(error.into_error()))?;
        out.sync().map_err(unchanged)?;

        // From here on the new state may be on the disk.
        self.is_uncertain = true;
        let unknown = |error| {
            failed(
                error,
                "cannot write the root: the file holds what it held or what it was to hold; open it again",
            )
        };
        for (copy, place) in root.places().into_iter().enumerate() {
            let mut out = self
                .files
                .open_at(&self.path, place as u64)
                .map_err(unknown)?;
            out.write_all(&root.encode()).map_err(unknown)?;
            // The second copy is for damage, not for crashes: it need not be waited for.
            if copy == 0 {
                out.sync().map_err(unknown)?;
            }
        }
        self.is_uncertain = false;
        Ok(self.now(plan, root, begin, end))
    }

    /// Writes everything to a new file that takes the place of the old one.
    fn write_all(
        &mut self,
        generation: u64,
        meta: &[u8],
        sections: &[PageSection<'_>],
    ) -> Result<PagesSaved> {
        let begin = HEADER_BYTES as u64;
        let none = Places::default();
        let plan = Plan::new(begin, sections, &Known::new(&none, &self.path))?;
        let pages_end = plan.end;
        let (directory, root) = plan.finish(generation, meta, pages_end)?;
        let written = replace_with(&*self.files, &self.path, |out| {
            out.write_all(&layout::header(&root)).map_err(Error::from)?;
            let mut counted = Counted { out, at: begin };
            plan.write(&mut counted, sections)?;
            counted.write_all(&directory).map_err(Error::from)?;
            Ok(counted.at)
        });
        let end = match written {
            Ok(end) => end,
            Err(error) => {
                // If only the last step failed, the new file is in place, but a power cut could bring the old one back.
                let there = open_pages_with(&*self.files, &self.path, Access::Map);
                self.is_uncertain = there.is_ok_and(|image| image.generation == generation);
                return Err(error);
            }
        };
        Ok(self.now(plan, root, 0, end))
    }

    fn now(&mut self, plan: Plan, root: Root, begin: u64, end: u64) -> PagesSaved {
        let saved = PagesSaved {
            generation: root.generation,
            pages: plan.pages,
            written: plan.written,
            written_bytes: end - begin,
            file_bytes: end,
            overgrown: None,
        };
        self.state = Some(State {
            generation: root.generation,
            end,
            places: plan.places,
        });
        saved
    }
}

/// The one name that a file has under all ways to it, also before it comes into being.
pub(super) fn one_name(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| {
        let folder = std::fs::canonicalize(folder_of(path));
        match (folder, path.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            _ => path.to_owned(),
        }
    })
}

fn check(sections: &[PageSection<'_>]) -> Result<()> {
    for section in sections {
        let len = section.pages.first().map_or(0, Page::len);
        if section.pages.iter().any(|page| page.len() != len) {
            return Err(Error::invalid(format!(
                "the pages of section `{}` have different lengths",
                section.name
            )));
        }
    }
    Ok(())
}

/// Bytes of all pages.
fn used(sections: &[PageSection<'_>]) -> u64 {
    let pages = sections.iter().flat_map(|section| &section.pages);
    pages.map(|page| page.len() as u64).sum()
}

/// Bytes of the pages that are not yet there.
fn fresh(sections: &[PageSection<'_>], known: &Known<'_>) -> u64 {
    let pages = sections.iter().flat_map(|section| &section.pages);
    let fresh = pages.filter(|page| known.place(page).is_none());
    fresh.map(|page| page.len() as u64).sum()
}

/// What the file has.
struct Known<'a> {
    places: &'a Places,
    /// The checksums of pages by where they are.
    crcs: HashMap<u64, u32, foldhash::fast::RandomState>,
    path: &'a Path,
}

impl<'a> Known<'a> {
    fn new(places: &'a Places, path: &'a Path) -> Self {
        Self {
            places,
            crcs: places.values().map(|place| (place.at, place.crc)).collect(),
            path,
        }
    }

    /// Where a page is in the file, if it is there.
    fn place(&self, page: &Page<'_>) -> Option<Place> {
        let place = page.key().and_then(|key| self.places.get(&key)).copied();
        place.or_else(|| match page {
            // Whoever opened the file to read it has another name for the page, which lies where it lay.
            Page::Stored(page) if page.source().path() == self.path => {
                let (_, at) = page.key();
                let crc = page.crc();
                (self.crcs.get(&at) == Some(&crc)).then_some(Place { at, crc })
            }
            _ => None,
        })
    }
}

fn failed(error: std::io::Error, what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{what} ({error})")).caused_by(error)
}

/// Where all pages will be, and which of them are to be written.
struct Plan {
    sections: Vec<Section>,
    places: Places,
    /// Where the pages that are written end; they lie in the order of the sections.
    end: u64,
    pages: usize,
    written: usize,
    /// For each page, in order, whether it is written.
    is_written: Vec<bool>,
}

impl Plan {
    fn new(begin: u64, sections: &[PageSection<'_>], known: &Known<'_>) -> Result<Self> {
        let mut plan = Self {
            sections: Vec::new(),
            places: Places::default(),
            end: begin,
            pages: 0,
            written: 0,
            is_written: Vec::new(),
        };
        for section in sections {
            let len = section.pages.first().map_or(0, Page::len);
            let page_bytes =
                u32::try_from(len).map_err(|_| Error::limit_exceeded("a page of 4 GiB or more"))?;
            let mut pages = Vec::with_capacity(section.pages.len());
            for page in &section.pages {
                let key = page.key();
                let twice = key.and_then(|key| plan.places.get(&key)).copied();
                let (place, is_written) = match twice.or_else(|| known.place(page)) {
                    Some(place) => (place, false),
                    None => (plan.place(page)?, true),
                };
                plan.is_written.push(is_written);
                if let Some(key) = key {
                    plan.places.insert(key, place);
                }
                pages.push(place);
            }
            plan.pages += pages.len();
            plan.sections.push(Section {
                name: section.name.clone(),
                page_bytes,
                pages,
            });
        }
        Ok(plan)
    }

    fn place(&mut self, page: &Page<'_>) -> Result<Place> {
        let at = self.end;
        self.written += 1;
        self.end = (at + page.len() as u64).next_multiple_of(ALIGNMENT as u64);
        Ok(Place {
            at,
            crc: crc32fast::hash(page.bytes()?),
        })
    }

    fn write(&self, out: &mut Counted<'_>, sections: &[PageSection<'_>]) -> Result<()> {
        let pages = sections.iter().flat_map(|section| &section.pages);
        for (page, _) in pages.zip(&self.is_written).filter(|(_, written)| **written) {
            out.write_all(page.bytes()?).map_err(Error::from)?;
            while !out.at.is_multiple_of(ALIGNMENT as u64) {
                out.write_all(&[0]).map_err(Error::from)?;
            }
        }
        debug_assert_eq!(out.at, self.end);
        Ok(())
    }

    fn finish(&self, generation: u64, meta: &[u8], directory_at: u64) -> Result<(Vec<u8>, Root)> {
        let directory = Directory {
            meta: meta.to_vec(),
            sections: self.sections.clone(),
        };
        let bytes = directory.encode()?;
        let root = Root {
            generation,
            directory_at,
            directory_len: bytes.len() as u64,
            directory_crc: crc32fast::hash(&bytes),
        };
        Ok((bytes, root))
    }
}

/// Knows where it writes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    at: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
