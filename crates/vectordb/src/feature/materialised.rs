//! [`Materialised`]: rows of a view that are transformed when they are written, so that reads only copy them.

use common::Result;

use super::pages::Pages;
use super::selection::Selection;
use crate::transform::{Matrix, Steps};

/// Transformed rows by number of row.
pub(super) struct Materialised {
    selection: Selection,
    steps: Steps,
    rows: Pages<f64>,
    /// Values before they are transformed.
    raw: Vec<f64>,
}

impl Materialised {
    pub(super) fn new(selection: Selection, steps: Steps) -> Self {
        Self {
            rows: Pages::new(steps.outputs()),
            raw: vec![0.0; selection.columns()],
            selection,
            steps,
        }
    }

    /// Transforms the values of a row.
    pub(super) fn write(&mut self, row: u32, values: &[f64]) -> Result<()> {
        self.selection.gather(values, &mut self.raw);
        let matrix = Matrix::new(&self.raw, self.selection.columns())?;
        self.steps.transform(matrix, self.rows.row_mut(row))
    }

    pub(super) fn clear(&mut self, row: u32) {
        self.rows.row_mut(row).fill(0.0);
    }

    #[inline]
    pub(super) fn row(&self, row: u32) -> &[f64] {
        self.rows.row(row)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes()
    }
}
