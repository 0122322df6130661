//! [`Materialised`]: rows of a view that are transformed when they are written, so that reads only copy them.

use common::Result;

use super::cell::Texts;
use super::events::{RowRef, VALUES};
use super::pages::Pages;
use super::selection::Selection;
use super::transformation::Transformation;

/// Transformed rows by number of row.
pub(super) struct Materialised {
    selection: Selection,
    transformation: Transformation,
    /// What comes before the values of an event, and the transformed ones, so that a read visits one place in memory.
    rows: Pages<u64>,
    /// Values before they are transformed.
    raw: Vec<f64>,
}

impl Materialised {
    pub(super) fn new(selection: Selection, transformation: Transformation) -> Self {
        Self {
            rows: Pages::new(VALUES + transformation.outputs()),
            raw: vec![0.0; selection.columns()],
            selection,
            transformation,
        }
    }

    /// Transforms the values of a row, of which `texts` has those of each feature of the view.
    pub(super) fn write(&mut self, row: u32, source: RowRef<'_>, texts: &[Texts]) -> Result<()> {
        self.selection.gather(source.values(), &mut self.raw);
        let text = |place, cell| texts.get(self.selection.position(place)?)?.of_cell(cell);
        let (head, values) = self.rows.row_mut(row).split_at_mut(VALUES);
        head.copy_from_slice(source.head());
        self.transformation
            .apply(&self.raw, text, bytemuck::cast_slice_mut(values))
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
