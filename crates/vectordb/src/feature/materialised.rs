//! [`Materialised`]: rows of a view that are transformed when they are written, so that reads only copy them.

use common::Result;

use super::events::{RowRef, VALUES};
use super::pages::Pages;
use super::selection::Selection;
use crate::transform::{Matrix, Steps};

/// Transformed rows by number of row.
pub(super) struct Materialised {
    selection: Selection,
    steps: Steps,
    /// What comes before the values of an event, and the transformed ones, so that a read visits one place in memory.
    rows: Pages<u64>,
    /// Values before they are transformed.
    raw: Vec<f64>,
}

impl Materialised {
    pub(super) fn new(selection: Selection, steps: Steps) -> Self {
        Self {
            rows: Pages::new(VALUES + steps.outputs()),
            raw: vec![0.0; selection.columns()],
            selection,
            steps,
        }
    }

    /// Transforms the values of a row.
    pub(super) fn write(&mut self, row: u32, source: RowRef<'_>) -> Result<()> {
        self.selection.gather(source.values(), &mut self.raw);
        let matrix = Matrix::new(&self.raw, self.selection.columns())?;
        let (head, values) = self.rows.row_mut(row).split_at_mut(VALUES);
        head.copy_from_slice(source.head());
        self.steps
            .transform(matrix, bytemuck::cast_slice_mut(values))
    }

    pub(super) fn clear(&mut self, row: u32) {
        self.rows.row_mut(row).fill(0);
    }

    #[inline]
    pub(super) fn row(&self, row: u32) -> RowRef<'_> {
        RowRef::of_materialised(self.rows.row(row))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes()
    }
}
