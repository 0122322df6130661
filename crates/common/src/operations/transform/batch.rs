//! [`Batch`]: items on their way through a pipeline.

use crate::error::{Error, Result};

/// Items on their way through a pipeline, each of which remembers where it came from.
///
/// A batch only shrinks: no operation adds items, so every item that comes out has exactly one origin, which
/// is what lineage and per-item reports stand on.
///
/// ```
/// use common::operations::transform::Batch;
/// let mut batch = Batch::new(vec![1, 2, 3, 4]);
/// batch.retain(|n| n % 2 == 0);
/// batch.items_mut().iter_mut().for_each(|n| *n *= 10);
/// assert_eq!((batch.items(), batch.origins()), (&[20, 40][..], &[1, 3][..]));
/// ```
#[derive(Debug)]
pub struct Batch<T> {
    items: Vec<T>,
    origins: Vec<usize>,
    /// Origins of items taken out with a reason, in the order in which that happened.
    rejected: Vec<(usize, Error)>,
}

impl<T> Batch<T> {
    /// A batch whose items originate in their positions here.
    pub fn new(items: Vec<T>) -> Self {
        Self {
            origins: (0..items.len()).collect(),
            items,
            rejected: Vec::new(),
        }
    }

    /// The items that are still in.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The items that are still in, to change in place: for operations that cannot fail.
    ///
    /// Keep their order: an origin belongs to a position.
    pub fn items_mut(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// For each item that is still in, its position in the batch that the pipeline was given; ascending.
    pub fn origins(&self) -> &[usize] {
        &self.origins
    }

    /// Number of items that are still in.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item is left.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Changes each item; one for which `change` fails is taken out and reported with the error.
    pub fn for_each(&mut self, mut change: impl FnMut(&mut T) -> Result<()>) {
        let mut failed = Vec::new();
        for (at, (item, origin)) in self.items.iter_mut().zip(&self.origins).enumerate() {
            if let Err(error) = change(item) {
                failed.push(at);
                self.rejected.push((*origin, error));
            }
        }
        if !failed.is_empty() {
            self.remove(&failed);
        }
    }

    /// Takes out the items that do not satisfy `keep`, without a report: they are not wanted, not wrong.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let out: Vec<usize> = (0..)
            .zip(&self.items)
            .filter(|(_, item)| !keep(item))
            .map(|(at, _)| at)
            .collect();
        self.remove(&out);
    }

    /// Takes out the items at these positions, which ascend.
    fn remove(&mut self, positions: &[usize]) {
        fn remove_from<V>(list: &mut Vec<V>, positions: &[usize]) {
            let mut positions = positions.iter().peekable();
            let mut at = 0;
            list.retain(|_| {
                let stays = positions.next_if(|out| **out == at).is_none();
                at += 1;
                stays
            });
        }
        remove_from(&mut self.items, positions);
        remove_from(&mut self.origins, positions);
    }

    /// Number of rejections so far.
    pub(super) fn rejections(&self) -> usize {
        self.rejected.len()
    }

    pub(super) fn into_parts(self) -> (Vec<T>, Vec<usize>, Vec<(usize, Error)>) {
        (self.items, self.origins, self.rejected)
    }
}
