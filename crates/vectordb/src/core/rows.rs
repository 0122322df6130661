//! [`Rows`]: rows of bytes by slot, aligned to cache lines, that readers hold on to while they change.

use bytemuck::{Pod, Zeroable};
use common::Slot;
use durable::StoredPage;

use super::pages::Pages;

/// Bytes that one page should have: large enough that scanning runs at the memory's speed, small enough that
/// copying a page because a search still reads it costs microseconds.
const PAGE_BYTES: usize = 256 << 10;

/// Bytes of a cache line, and of the widest vector register.
pub const LINE_BYTES: usize = 64;

/// One cache line, aligned as one.
#[derive(Debug, Clone, Copy, Pod, Zeroable, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line(pub [u8; LINE_BYTES]);

impl Default for Line {
    fn default() -> Self {
        Self([0; LINE_BYTES])
    }
}

/// Rows of the same number of cache lines by slot; rows never written are zero.
///
/// A clone costs one reference count and never changes; whoever writes copies the page that is written, if a clone
/// still holds it.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Lines of a row.
    stride: usize,
    /// A page holds two to the power of this many rows.
    page_shift: u32,
    lines: Pages,
}

impl Rows {
    /// No rows, each of `bytes` bytes rounded up to whole lines, at least one.
    pub fn new(bytes: usize) -> Self {
        let stride = bytes.div_ceil(LINE_BYTES).max(1);
        let rows = (PAGE_BYTES / LINE_BYTES / stride).max(1);
        let page_shift = rows.ilog2();
        Self {
            stride,
            page_shift,
            lines: Pages::new(stride << page_shift),
        }
    }

    /// What the rows lie in.
    pub(crate) fn lines(&self) -> &Pages {
        &self.lines
    }

    /// Rows like these that lie in pages of a file; `None` if the pages have another length.
    pub(crate) fn stored(&self, pages: Vec<StoredPage>) -> Option<Self> {
        let lines = Pages::stored(self.stride << self.page_shift, pages)?;
        Some(Self { lines, ..*self })
    }

    /// Number of rows that the pages have room for.
    pub(crate) fn capacity(&self) -> usize {
        self.lines.count() << self.page_shift
    }

    /// Lines of a row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Number of rows of a page: the rows of slots `page * rows_per_page ..` lie one after another.
    pub fn rows_per_page(&self) -> usize {
        1 << self.page_shift
    }

    /// The pages in order, each of [`Rows::rows_per_page`] rows.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = &[Line]> {
        self.lines.iter()
    }

    /// A page by its number.
    pub fn page(&self, number: usize) -> Option<&[Line]> {
        self.lines.page(number)
    }

    /// Bytes that the rows take.
    pub fn bytes(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }

    /// The row of a slot; `None` beyond the last page.
    #[inline]
    pub fn row(&self, slot: Slot) -> Option<&[Line]> {
        let slot = slot.0 as usize;
        let begin = (slot & (self.rows_per_page() - 1)) * self.stride;
        let page = self.lines.page(slot >> self.page_shift)?;
        page.get(begin..begin + self.stride)
    }

    /// The row of a slot, to write to; rows up to it come into being.
    pub fn row_mut(&mut self, slot: Slot) -> &mut [Line] {
        let stride = self.stride;
        let (page, at) = self.lines.page_mut(slot.0 as usize * stride);
        page.get_mut(at..at + stride).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_on_lines_and_a_clone_keeps_what_it_saw() {
        for bytes in [0, 1, 64, 65, 4_096, 20_000] {
            let mut rows = Rows::new(bytes);
            assert_eq!(rows.stride(), bytes.div_ceil(64).max(1));
            assert_eq!(rows.row(Slot(0)), None);
            for slot in (0..3_000_u32).step_by(if bytes > 65 { 500 } else { 7 }) {
                let last = rows.row_mut(Slot(slot)).last_mut().expect("a line");
                last.0[63] = (slot % 251) as u8;
            }
            let before = rows.clone();
            rows.row_mut(Slot(500))[0].0[1] = 9;
            assert_eq!(before.row(Slot(500)).map(|row| row[0].0[1]), Some(0));
            let row = rows.row(Slot(500)).expect("a row");
            assert_eq!((row[0].0[1], row.as_ptr().align_offset(64)), (9, 0));
            assert_eq!(row.len(), rows.stride());
            let first = rows.pages().next().expect("a page");
            assert_eq!(first.len(), rows.rows_per_page() * rows.stride());
        }
    }
}
