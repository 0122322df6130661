//! [`Matrix`]: numbers of a batch, row after row, borrowed.

use std::ops::Range;

use common::{Error, Result};

use super::sums::squares;

/// Numbers of `rows` x `columns`, row after row, borrowed from the caller; NaN is a missing value.
///
/// A row begins `stride` elements after the one before, so that some columns of a wider table are a matrix
/// too. A copy of this is a few words.
///
/// ```
/// use vectordb::transform::Matrix;
/// let table = [1.0, 2.0, 30.0, 4.0, 5.0, 60.0];
/// let first_two = Matrix::with_stride(&table, 2, 2, 3)?;
/// assert_eq!(first_two.row(1), [4.0, 5.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A matrix of `columns` columns that fills `data`.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `columns` is zero or `data` ends within a row.
    pub fn new(data: &'a [T], columns: usize) -> Result<Self> {
        if columns == 0 || !data.len().is_multiple_of(columns) {
            return Err(Error::invalid(format!(
                "{} numbers are no whole rows of {columns} columns",
                data.len()
            )));
        }
        Self::with_stride(data, data.len() / columns, columns, columns)
    }

    /// A matrix whose rows begin `stride` elements apart.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when there is no column, when rows overlap, or when `data` is too short.
    pub fn with_stride(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Result<Self> {
        if columns == 0 || stride < columns {
            return Err(Error::invalid(format!(
                "a matrix of {columns} columns cannot have rows {stride} elements apart"
            )));
        }
        let needed = match rows.checked_sub(1) {
            None => Some(0),
            Some(before) => before
                .checked_mul(stride)
                .and_then(|start| start.checked_add(columns)),
        };
        if needed.is_none_or(|needed| needed > data.len()) {
            return Err(Error::invalid(format!(
                "{rows} rows of {columns} columns, {stride} apart, need more than the {} numbers given",
                data.len()
            )));
        }
        Ok(Self {
            data,
            rows,
            columns,
            stride,
        })
    }

    /// Rows without a column: what goes with columns that are texts alone.
    pub const fn empty(rows: usize) -> Self {
        Self {
            data: &[],
            rows,
            columns: 0,
            stride: 1,
        }
    }

    /// One row.
    pub(crate) const fn of_row(row: &'a [T]) -> Self {
        Self {
            data: row,
            rows: 1,
            columns: row.len(),
            stride: if row.is_empty() { 1 } else { row.len() },
        }
    }

    /// Some rows and some columns beside each other; what is out of bounds is left out.
    pub(crate) fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let start = rows.start * self.stride + columns.start;
        Self {
            data: self.data.get(start..).unwrap_or_default(),
            rows: rows.len().min(self.rows.saturating_sub(rows.start)),
            columns: columns.len(),
            stride: self.stride,
        }
    }

    /// How many rows there are.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns there are.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// The numbers of one row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "checked at construction; documented to panic"
    )]
    pub fn row(&self, row: usize) -> &'a [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        &self.data[row * self.stride..][..self.columns]
    }

    /// The rows in order; none of rows without a column.
    pub fn iter(&self) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let Self {
            data,
            columns,
            stride,
            rows,
        } = *self;
        data.chunks(stride)
            .take(rows)
            .filter_map(move |row| row.get(..columns))
    }
}

/// Refuses infinities, by row and column; a NaN is a missing value and passes.
pub(crate) fn refuse_infinite<T: Float>(matrix: Matrix<'_, T>) -> Result<()> {
    for (row, numbers) in matrix.iter().enumerate() {
        if let Some(column) = numbers.iter().position(|x| x.wide().is_infinite()) {
            return Err(Error::invalid(format!(
                "row {row}, column {column} is infinite: replace it by a number, or by NaN if it is missing"
            )));
        }
    }
    Ok(())
}

/// What a matrix may be made of: arithmetic happens in the width of the elements, fits in 64 bits.
pub(crate) trait Float:
    Copy
    + Default
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
{
    /// The distance from 1 to the next number.
    const UNIT: f64;
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
    fn magnitude(self) -> Self;
    fn root(self) -> Self;
    /// The sum of squares, in NumPy's order.
    fn squares(values: &[Self]) -> Self;
}

impl Float for f64 {
    const UNIT: f64 = f64::EPSILON;
    #[inline]
    fn magnitude(self) -> Self {
        self.abs()
    }
    #[inline]
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline]
    fn squares(values: &[Self]) -> Self {
        squares::<Self, 2>(values)
    }
    #[inline]
    fn wide(self) -> f64 {
        self
    }
    #[inline]
    fn narrow(value: f64) -> Self {
        value
    }
}

impl Float for f32 {
    const UNIT: f64 = f32::EPSILON as f64;
    #[inline]
    fn magnitude(self) -> Self {
        self.abs()
    }
    #[inline]
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline]
    fn squares(values: &[Self]) -> Self {
        squares::<Self, 4>(values)
    }
    #[inline]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest")]
    fn narrow(value: f64) -> Self {
        value as Self
    }
}
