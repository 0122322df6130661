//! [`Links`]: which vectors are neighbours in the graph.

use common::{Result, Slot};

use crate::core::image::{Image, StoredParts};
use crate::core::{LINE_BYTES, Line, Rows};

/// No neighbour: what fills the end of a list.
const NONE: u32 = u32::MAX;

/// Lists of at most so many neighbours, by number of the vertex. A list is set before any other names its vertex.
#[derive(Debug, Clone)]
pub(super) struct Links {
    degree: usize,
    rows: Rows,
}

impl Links {
    pub(super) fn new(degree: usize) -> Self {
        Self {
            degree,
            rows: Rows::new(degree * size_of::<u32>()),
        }
    }

    pub(super) fn save(&self, name: String, image: &mut Image) {
        image.put(name, self.rows.lines());
    }

    /// Lists for so many vertices.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] if there are none such.
    pub(super) fn load(
        degree: usize,
        name: &str,
        count: usize,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let fresh = Self::new(degree);
        let rows = parts.rows(name, &fresh.rows, count)?;
        Ok(Self { rows, ..fresh })
    }

    pub(super) fn degree(&self) -> usize {
        self.degree
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The neighbours of a vertex, in the order in which they were set.
    #[inline]
    pub(super) fn of(&self, vertex: u32) -> &[u32] {
        let list: &[u32] = bytemuck::cast_slice(self.lines(vertex));
        let list = list.get(..self.degree).unwrap_or_default();
        match list.last() {
            Some(&NONE) => {
                let len = list.partition_point(|id| *id != NONE);
                list.get(..len).unwrap_or_default()
            }
            _ => list,
        }
    }

    /// The lines that hold the list of a vertex, for prefetching.
    #[inline]
    pub(super) fn lines(&self, vertex: u32) -> &[Line] {
        self.rows.row(Slot(vertex)).unwrap_or_default()
    }

    pub(super) fn set(&mut self, vertex: u32, neighbours: &[u32]) {
        debug_assert!(neighbours.len() <= self.degree);
        let list: &mut [u32] = bytemuck::cast_slice_mut(self.rows.row_mut(Slot(vertex)));
        let given = neighbours.iter().copied().chain(std::iter::repeat(NONE));
        for (place, id) in list.iter_mut().zip(given) {
            *place = id;
        }
    }
}

const _: () = assert!(LINE_BYTES.is_multiple_of(size_of::<u32>()));
