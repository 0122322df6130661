//! Cutting a stream of items into batches bounded by count and by bytes.

use std::iter::FusedIterator;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::Limits;

/// What to do with an item that exceeds the byte bound by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oversized {
    /// It travels alone, in a batch above the bound.
    #[default]
    Alone,
    /// The iteration ends with an error that names its position.
    Refuse,
}

/// How large a batch may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchOptions {
    /// Most items in one batch. Default 1,000.
    pub items_max: NonZeroUsize,
    /// Most bytes in one batch, as the caller measures them. Default 1 MiB.
    pub bytes_max: NonZeroUsize,
    /// What to do with an item above `bytes_max`. Default: it travels alone.
    pub oversized: Oversized,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            items_max: NonZeroUsize::MIN.saturating_add(999),
            bytes_max: NonZeroUsize::MIN.saturating_add((1 << 20) - 1),
            oversized: Oversized::Alone,
        }
    }
}

impl BatchOptions {
    /// The largest batches that a decoder with these limits accepts; what it would not accept is refused.
    pub fn within(limits: &Limits) -> Self {
        Self {
            items_max: NonZeroUsize::new(limits.rows_max).unwrap_or(NonZeroUsize::MIN),
            bytes_max: NonZeroUsize::new(limits.total_bytes_max).unwrap_or(NonZeroUsize::MIN),
            oversized: Oversized::Refuse,
        }
    }

    /// Sets [`BatchOptions::items_max`].
    #[must_use]
    pub fn items_max(mut self, items: NonZeroUsize) -> Self {
        self.items_max = items;
        self
    }

    /// Sets [`BatchOptions::bytes_max`].
    #[must_use]
    pub fn bytes_max(mut self, bytes: NonZeroUsize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Sets [`BatchOptions::oversized`].
    #[must_use]
    pub fn oversized(mut self, oversized: Oversized) -> Self {
        self.oversized = oversized;
        self
    }
}

/// Items that travel together, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<T> {
    /// At least one item.
    pub items: Vec<T>,
    /// Their bytes, as the caller measured them.
    pub bytes: usize,
}

/// Cuts `items` into batches, each as long as the options allow. `size` measures one item in bytes.
///
/// Lazy: it holds one batch and one item at a time.
///
/// ```
/// use std::num::NonZeroUsize;
/// use common::optimization::batch::{BatchOptions, batches};
/// let options = BatchOptions::default().bytes_max(NonZeroUsize::new(10).unwrap());
/// let words = ["four", "five", "six", "thirteen letters", "one"];
/// let cut: Vec<Vec<&str>> =
///     batches(words, options, |word| word.len()).map(|batch| batch.unwrap().items).collect();
/// assert_eq!(cut, [vec!["four", "five"], vec!["six"], vec!["thirteen letters"], vec!["one"]]);
/// ```
pub fn batches<I, F>(items: I, options: BatchOptions, size: F) -> Batches<I::IntoIter, F>
where
    I: IntoIterator,
    F: FnMut(&I::Item) -> usize,
{
    Batches {
        items: items.into_iter(),
        size,
        options,
        waiting: None,
        position: 0,
        ended: false,
    }
}

/// The iterator of [`batches`].
///
/// It yields an error of kind [`crate::ErrorKind::LimitExceeded`] for an oversized item under [`Oversized::Refuse`],
/// after the batch before it, and then ends.
#[derive(Debug, Clone)]
pub struct Batches<I: Iterator, F> {
    items: I,
    size: F,
    options: BatchOptions,
    /// Read already, but did not fit the batch before.
    waiting: Option<(I::Item, usize)>,
    position: usize,
    ended: bool,
}

impl<I, F> Batches<I, F>
where
    I: Iterator,
    F: FnMut(&I::Item) -> usize,
{
    fn pull(&mut self) -> Option<(I::Item, usize)> {
        self.waiting.take().or_else(|| {
            let item = self.items.next()?;
            self.position += 1;
            let bytes = (self.size)(&item);
            Some((item, bytes))
        })
    }
}

impl<I, F> Iterator for Batches<I, F>
where
    I: Iterator,
    F: FnMut(&I::Item) -> usize,
{
    type Item = Result<Batch<I::Item>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let bytes_max = self.options.bytes_max.get();
        let mut batch = Batch {
            items: Vec::new(),
            bytes: 0,
        };
        while batch.items.len() < self.options.items_max.get() {
            let Some((item, bytes)) = self.pull() else {
                self.ended = true;
                break;
            };
            let fits = batch
                .bytes
                .checked_add(bytes)
                .is_some_and(|sum| sum <= bytes_max);
            if !fits && !batch.items.is_empty() {
                self.waiting = Some((item, bytes));
                break;
            }
            if bytes > bytes_max && self.options.oversized == Oversized::Refuse {
                self.ended = true;
                return Some(Err(Error::limit_exceeded(format!(
                    "item {} has {bytes} bytes, a batch has at most {bytes_max} (option `bytes_max`)",
                    self.position
                ))));
            }
            batch.bytes = batch.bytes.saturating_add(bytes);
            batch.items.push(item);
        }
        (!batch.items.is_empty()).then_some(Ok(batch))
    }
}

impl<I, F> FusedIterator for Batches<I, F>
where
    I: Iterator,
    F: FnMut(&I::Item) -> usize,
{
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(items: usize, bytes: usize, oversized: Oversized) -> BatchOptions {
        BatchOptions {
            items_max: NonZeroUsize::new(items).unwrap(),
            bytes_max: NonZeroUsize::new(bytes).unwrap(),
            oversized,
        }
    }

    #[test]
    fn an_oversized_item_is_named_after_the_batch_before_it() {
        let mut cut = batches([3, 3, 11, 1], options(9, 10, Oversized::Refuse), |size| {
            *size
        });
        assert_eq!(
            cut.next().unwrap().unwrap(),
            Batch {
                items: vec![3, 3],
                bytes: 6
            }
        );
        let error = cut.next().unwrap().unwrap_err();
        assert_eq!(
            error.message(),
            "item 3 has 11 bytes, a batch has at most 10 (option `bytes_max`)"
        );
        assert!(cut.next().is_none() && cut.next().is_none());
    }

    #[test]
    fn sizes_that_overflow_are_oversized() {
        let cut: Vec<_> = batches(
            [1, usize::MAX, usize::MAX],
            options(9, 10, Oversized::Alone),
            |size| *size,
        )
        .map(|batch| batch.unwrap().items.len())
        .collect();
        assert_eq!(cut, [1, 1, 1]);
        let within = BatchOptions::within(&Limits::default().rows_max(0).total_bytes_max(7));
        assert_eq!((within.items_max.get(), within.bytes_max.get()), (1, 7));
    }

    proptest! {
        #[test]
        fn batches_hold_everything_in_order_and_are_as_long_as_allowed(
            sizes in prop::collection::vec(0_usize..30, 0..60),
            items_max in 1_usize..8,
            bytes_max in 1_usize..40,
        ) {
            let cut: Vec<Batch<usize>> =
                batches(sizes.clone(), options(items_max, bytes_max, Oversized::Alone), |size| *size)
                    .map(|batch| batch.unwrap())
                    .collect();
            let joined: Vec<usize> = cut.iter().flat_map(|batch| batch.items.clone()).collect();
            prop_assert_eq!(joined, sizes);
            for batch in &cut {
                prop_assert!(!batch.items.is_empty() && batch.items.len() <= items_max);
                prop_assert_eq!(batch.bytes, batch.items.iter().sum::<usize>());
                prop_assert!(batch.bytes <= bytes_max || batch.items.len() == 1);
            }
            for pair in cut.windows(2) {
                let full = pair[0].items.len() == items_max;
                prop_assert!(full || pair[0].bytes + pair[1].items[0] > bytes_max);
            }
        }
    }
}
