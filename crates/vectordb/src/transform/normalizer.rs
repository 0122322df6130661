//! [`Normalizer`]: rows of length 1.

use common::Result;
use serde::{Deserialize, Serialize};

use super::check::width;
use super::matrix::Float;
use super::sums::pairwise;

/// Which length a row is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The sum of the magnitudes.
    L1,
    /// The Euclidean length.
    L2,
    /// The greatest magnitude.
    Max,
}

/// Divides each row by its length; a row of zeros stays as it is. There is nothing to fit.
///
/// Bit-equal to scikit-learn's on x86-64: sums are made in NumPy's order there. A row with a missing value has no
/// length: all of it becomes missing.
///
/// ```
/// use vectordb::transform::{Norm, Normalizer};
/// let mut row = [3.0, 4.0];
/// Normalizer::new(Norm::L2, 2).transform(&mut row)?;
/// assert_eq!(row, [0.6, 0.8]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalizer {
    norm: Norm,
    columns: usize,
}

impl Normalizer {
    /// Of rows of `columns` numbers.
    pub const fn new(norm: Norm, columns: usize) -> Self {
        Self { norm, columns }
    }

    /// How many numbers a row has.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Normalises whole rows in place, one or many; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `rows` ends within a row.
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform<T: Float>(&self, rows: &mut [T]) -> Result<()> {
        let columns = self.columns.max(1);
        width("a row", rows.len() % columns, 0)?;
        for row in rows.chunks_exact_mut(columns) {
            let length = match self.norm {
                Norm::L1 => pairwise(row, T::magnitude),
                Norm::L2 => T::root(T::squares(row)),
                Norm::Max => row.iter().fold(T::default(), |max, x| {
                    let x = x.magnitude();
                    if x > max || x.wide().is_nan() { x } else { max }
                }),
            };
            // What is this small is taken for zero, as scikit-learn does.
            if length.wide() < 10.0 * T::UNIT {
                continue;
            }
            for x in row {
                *x = *x / length;
            }
        }
        Ok(())
    }
}
