//! [`Floats`]: numbers that lie on cache lines.

use std::ops::Deref;

use super::rows::{LINE_BYTES, Line};

/// Floats of a query on whole cache lines, followed by zeros to the width of the widest row that stores its
/// dimension, so that kernels of every [`Precision`](super::Precision) find a float for each element of a row.
#[derive(Debug, Clone)]
pub(crate) struct Floats {
    lines: Vec<Line>,
    /// Floats that are seen as a slice: the dimension, padded as rows of 32-bit floats are.
    padded: usize,
}

impl Floats {
    /// The values, padded.
    pub(crate) fn new(values: &[f32]) -> Self {
        // A row of bytes ends in a scale of four bytes, on whole lines of bytes: lines of floats are a quarter.
        let wide = (values.len() + size_of::<f32>()).next_multiple_of(LINE_BYTES);
        let per_line = LINE_BYTES / size_of::<f32>();
        let mut lines = vec![Line::default(); wide / per_line];
        let floats: &mut [f32] = bytemuck::cast_slice_mut(&mut lines);
        for (float, value) in floats.iter_mut().zip(values) {
            *float = *value;
        }
        Self {
            lines,
            padded: values.len().next_multiple_of(per_line),
        }
    }

    /// All lines there are, padding included: what kernels over rows take.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let floats: &[f32] = bytemuck::cast_slice(&self.lines);
        floats.get(..self.padded).unwrap_or_default()
    }
}
