//! [`Pages`]: rows of equal length by number, in pages that stay where they are when more come.

/// Elements of a page: 256 KiB of 8 bytes each.
const PAGE_ELEMENTS: usize = 32 << 10;

/// Rows of `stride` elements; a page has a power of 2 of them.
pub(super) struct Pages<T> {
    boxes: Vec<Box<[T]>>,
    stride: usize,
    bits: u32,
}

impl<T: Copy + Default> Pages<T> {
    pub(super) fn new(stride: usize) -> Self {
        Self {
            boxes: Vec::new(),
            stride,
            bits: (PAGE_ELEMENTS / stride.max(1)).max(1).ilog2(),
        }
    }

    /// The elements of a row; none where no row is.
    #[inline]
    pub(super) fn row(&self, row: u32) -> &[T] {
        let (page, at) = self.place(row);
        let page = self.boxes.get(page);
        page.and_then(|page| page.get(at..at + self.stride))
            .unwrap_or_default()
    }

    /// The elements of a row, for which there is room from now on.
    pub(super) fn row_mut(&mut self, row: u32) -> &mut [T] {
        let (page, at) = self.place(row);
        while self.boxes.len() <= page {
            let elements = self.stride << self.bits;
            self.boxes
                .push(vec![T::default(); elements].into_boxed_slice());
        }
        let page = self.boxes.get_mut(page);
        page.and_then(|page| page.get_mut(at..at + self.stride))
            .unwrap_or_default()
    }

    #[inline]
    const fn place(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        let within = row & ((1 << self.bits) - 1);
        (row >> self.bits, within * self.stride)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.boxes.len() * (self.stride << self.bits) * size_of::<T>()
    }
}
