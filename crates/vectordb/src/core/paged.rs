//! [`Paged`]: a long array that readers hold on to while it changes.

use std::sync::Arc;

/// A long array in pages of equal length, copied on write.
///
/// A clone costs one reference count and never changes. Whoever writes copies the one page that is written,
/// and only if a clone still holds it; so neither do readers wait for writers nor writers for readers.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    pages: Arc<Vec<Arc<[T]>>>,
    page_len: usize,
}

impl<T: Clone + Default> Paged<T> {
    /// An empty array in pages of `page_len` elements, at least one.
    pub fn new(page_len: usize) -> Self {
        Self {
            pages: Arc::default(),
            page_len: page_len.max(1),
        }
    }

    /// Number of elements; those never set are the default.
    pub fn len(&self) -> usize {
        self.pages.len() * self.page_len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// All pages in order.
    pub fn pages(&self) -> &[Arc<[T]>] {
        &self.pages
    }

    /// The element at a position.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at / self.page_len)?.get(at % self.page_len)
    }

    /// The page that holds a position, to write to, and where in it the position is; pages up to it come into
    /// being.
    pub fn page_mut(&mut self, at: usize) -> (&mut [T], usize) {
        let number = at / self.page_len;
        let pages = Arc::make_mut(&mut self.pages);
        while pages.len() <= number {
            pages.push(std::iter::repeat_n(T::default(), self.page_len).collect());
        }
        let page: &mut [T] = match pages.get_mut(number) {
            Some(page) => Arc::make_mut(page),
            None => &mut [],
        };
        (page, at % self.page_len)
    }

    /// Sets the element at a position.
    pub fn set(&mut self, at: usize, value: T) {
        let (page, at) = self.page_mut(at);
        if let Some(place) = page.get_mut(at) {
            *place = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut numbers = Paged::new(4);
        (0..10).for_each(|i| numbers.set(i, i + 1));
        let before = numbers.clone();
        numbers.set(5, 0);
        numbers.set(40, 41);
        assert_eq!((before.get(5), numbers.get(5)), (Some(&6), Some(&0)));
        assert_eq!((before.len(), numbers.len()), (12, 44));
        assert_eq!((numbers.get(39), numbers.get(40)), (Some(&0), Some(&41)));
        assert_eq!(before.get(40), None);
        // The page that nobody wrote to is shared, not copied.
        assert!(Arc::ptr_eq(&before.pages()[0], &numbers.pages()[0]));
        assert!(!Arc::ptr_eq(&before.pages()[1], &numbers.pages()[1]));
    }
}
