//! [`Pages`]: cache lines in pages that readers hold on to while they change, in memory or in a file.

use std::iter::repeat_n;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Pod;
use durable::{PageSection, StoredPage};

use super::rows::{LINE_BYTES, Line};

/// Cache lines in pages of equal length, copied on write; those never written are zero.
///
/// A clone costs one reference count and never changes. Whoever writes copies the one page that is written, and only
/// if a clone or a file still holds it.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pages: Arc<Vec<Page>>,
    /// Lines of a page.
    page_len: usize,
}

#[derive(Debug, Clone)]
enum Page {
    Owned {
        lines: Arc<[Line]>,
        /// Another with every change, and never one that another page had.
        version: u64,
    },
    /// A damaged one has no lines.
    Stored(StoredPage),
}

impl Page {
    #[inline]
    fn lines(&self) -> &[Line] {
        match self {
            Self::Owned { lines, .. } => lines,
            Self::Stored(page) => page.get().map(bytemuck::cast_slice).unwrap_or_default(),
        }
    }

    fn new(lines: Arc<[Line]>) -> Self {
        Self::Owned {
            lines,
            version: next_version(),
        }
    }
}

fn next_version() -> u64 {
    static VERSION: AtomicU64 = AtomicU64::new(1);
    VERSION.fetch_add(1, Ordering::Relaxed)
}

impl Pages {
    /// No lines, in pages of `page_len`, at least one.
    pub(crate) fn new(page_len: usize) -> Self {
        Self {
            pages: Arc::default(),
            page_len: page_len.max(1),
        }
    }

    /// The pages of a file, of this many lines each; `None` if one has another length.
    pub(crate) fn stored(page_len: usize, pages: Vec<StoredPage>) -> Option<Self> {
        let fits = |page: &StoredPage| page.len() == page_len * LINE_BYTES;
        pages.iter().all(fits).then(|| Self {
            pages: Arc::new(pages.into_iter().map(Page::Stored).collect()),
            page_len,
        })
    }

    /// The pages, to be saved to a file.
    pub(crate) fn section(&self, name: String) -> PageSection<'_> {
        let pages = self.pages.iter().map(|page| match page {
            Page::Owned { lines, version } => durable::Page::Fresh {
                bytes: bytemuck::cast_slice(lines),
                version: *version,
            },
            Page::Stored(page) => durable::Page::Stored(page),
        });
        PageSection {
            name,
            pages: pages.collect(),
        }
    }

    /// Number of lines.
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * self.page_len
    }

    /// Number of pages.
    pub(crate) fn count(&self) -> usize {
        self.pages.len()
    }

    /// A page by its number.
    #[inline]
    pub(crate) fn page(&self, number: usize) -> Option<&[Line]> {
        self.pages.get(number).map(Page::lines)
    }

    /// All pages in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[Line]> {
        self.pages.iter().map(Page::lines)
    }

    /// The page that holds a line, to write to, and where in it the line is; pages up to it come into being.
    pub(crate) fn page_mut(&mut self, at: usize) -> (&mut [Line], usize) {
        let number = at / self.page_len;
        let pages = Arc::make_mut(&mut self.pages);
        while pages.len() <= number {
            pages.push(Page::new(
                repeat_n(Line::default(), self.page_len).collect(),
            ));
        }
        let Some(page) = pages.get_mut(number) else {
            return (&mut [], 0);
        };
        if let Page::Stored(stored) = page {
            let mut lines = vec![Line::default(); self.page_len];
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut lines);
            if let Some(stored) = stored.get() {
                bytes.copy_from_slice(stored);
            }
            *page = Page::new(lines.into());
        }
        match page {
            Page::Owned { lines, version } => {
                *version = next_version();
                (Arc::make_mut(lines), at % self.page_len)
            }
            Page::Stored(_) => (&mut [], 0),
        }
    }
}

/// Values of a plain type in [`Pages`]; those never set are zero.
#[derive(Debug, Clone)]
pub(crate) struct Packed<T> {
    pages: Pages,
    values: PhantomData<T>,
}

impl<T: Pod> Packed<T> {
    const PER_LINE: usize = LINE_BYTES / size_of::<T>();

    /// No values, in pages of `lines` lines.
    pub(crate) fn new(lines: usize) -> Self {
        Self::of(Pages::new(lines))
    }

    /// The values in some pages.
    pub(crate) fn of(pages: Pages) -> Self {
        Self {
            pages,
            values: PhantomData,
        }
    }

    /// What the values lie in.
    pub(crate) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * Self::PER_LINE
    }

    /// The value at a position.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        let per_page = self.pages.page_len * Self::PER_LINE;
        let page: &[T] = bytemuck::cast_slice(self.pages.page(at / per_page)?);
        page.get(at % per_page)
    }

    /// All values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages
            .iter()
            .flat_map(|page| bytemuck::cast_slice::<Line, T>(page))
    }

    /// The value at a position, to write to.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        let (page, line) = self.pages.page_mut(at / Self::PER_LINE);
        let page: &mut [T] = bytemuck::cast_slice_mut(page);
        page.get_mut(line * Self::PER_LINE + at % Self::PER_LINE)
    }

    /// Sets the value at a position.
    pub(crate) fn set(&mut self, at: usize, value: T) {
        if let Some(place) = self.get_mut(at) {
            *place = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(pages: &Pages) -> Vec<u64> {
        let section = pages.section(String::new());
        let versions = section.pages.iter().map(|page| match page {
            durable::Page::Fresh { version, .. } => *version,
            durable::Page::Stored(_) => 0,
        });
        versions.collect()
    }

    #[test]
    fn a_clone_keeps_what_it_saw_and_versions_tell_what_changed() {
        let mut numbers: Packed<u32> = Packed::new(1);
        (0..40)
            .zip(1..)
            .for_each(|(at, number)| numbers.set(at, number));
        let before = numbers.clone();
        numbers.set(20, 0);
        numbers.set(100, 101);
        assert_eq!((before.get(20), numbers.get(20)), (Some(&21), Some(&0)));
        assert_eq!((before.len(), numbers.len()), (48, 112));
        assert_eq!((numbers.get(99), numbers.get(100)), (Some(&0), Some(&101)));
        assert_eq!((before.get(100), before.iter().count()), (None, 48));
        let (old, new) = (versions(before.pages()), versions(numbers.pages()));
        assert_eq!((old[0], old[2]), (new[0], new[2]));
        assert_ne!(old[1], new[1]);
        // A page that nobody else holds has another version after a write as well.
        let old = new;
        numbers.set(20, 5);
        let new = versions(numbers.pages());
        assert_ne!(old[1], new[1]);
        let mut all = [old, new].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8, "none is given twice");
    }
}
