//! [`ColumnTransformer::inverse`]: back from numbers to the columns that they were made of.

use common::{Error, Result};

use super::ColumnTransformer;
use super::route::{Route, Source};
use crate::transform::check::width;
use crate::transform::{Encoder, Matrix};

/// Columns that were found again, borrowing texts from the encoders.
#[derive(Debug, Clone, PartialEq)]
pub struct Original<'a> {
    /// The numbers, row after row; NaN for columns that no route takes.
    pub numbers: Vec<f64>,
    /// The texts, one column after another; [`None`] for columns that no route takes, and where the numbers stand for no
    /// category.
    pub texts: Vec<Vec<Option<&'a str>>>,
}

impl ColumnTransformer {
    /// Undoes [`ColumnTransformer::transform`] up to rounding, as far as it can be undone: see
    /// [`Steps::inverse`](crate::transform::Steps::inverse) and [`Encoder::inverse`](crate::transform::Encoder::inverse).
    ///
    /// A column that is on several routes is taken from the first of them.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when a route that is needed has no inverse (with its name, and that of the step),
    /// and for rows of another width.
    pub fn inverse(&self, rows: Matrix<'_, f64>) -> Result<Original<'_>> {
        width("a row", rows.columns(), self.outputs)?;
        let mut original = Original {
            numbers: vec![f64::NAN; rows.rows() * self.numbers.len()],
            texts: vec![vec![None; rows.rows()]; self.texts.len()],
        };
        let mut done = (
            vec![false; self.numbers.len()],
            vec![false; self.texts.len()],
        );
        for route in &self.routes {
            let done = if route.takes_texts() {
                &mut done.1
            } else {
                &mut done.0
            };
            // Which of its columns nobody has given back before.
            let open: Vec<bool> = (route.positions().iter())
                .map(|at| {
                    done.get_mut(*at)
                        .is_some_and(|done| !std::mem::replace(done, true))
                })
                .collect();
            if open.contains(&true) {
                let stride = self.numbers.len();
                route
                    .invert(rows, &open, stride, &mut original)
                    .map_err(|e| e.at(format!("route {:?}", route.name)))?;
            }
        }
        Ok(original)
    }
}

impl Route {
    fn invert<'a>(
        &'a self,
        rows: Matrix<'_, f64>,
        open: &[bool],
        stride: usize,
        original: &mut Original<'a>,
    ) -> Result<()> {
        let columns = self.steps.columns();
        let mut read = vec![0.0; rows.rows() * columns];
        let made = rows.part(0..rows.rows(), self.out.clone());
        self.steps.inverse(made, &mut read)?;
        let places: Vec<(usize, bool)> = (self.positions().iter().copied())
            .zip(open.iter().copied())
            .collect();
        match &self.source {
            Source::Numbers => {
                let rows = original.numbers.chunks_exact_mut(stride.max(1));
                for (to, from) in rows.zip(read.chunks_exact(columns)) {
                    for ((at, open), x) in places.iter().zip(from) {
                        if let Some(to) = to.get_mut(*at).filter(|_| *open) {
                            *to = *x;
                        }
                    }
                }
                Ok(())
            }
            Source::Encode(encoders) => {
                if encoders.iter().any(Encoder::is_by_target) {
                    return Err(Error::invalid(
                        "the encoding by a target has no inverse: categories may have the same mean",
                    ));
                }
                for (row, from) in read.chunks_exact(columns).enumerate() {
                    let mut rest = from;
                    for (encoder, (at, open)) in encoders.iter().zip(&places) {
                        let (numbers, after) = rest.split_at(encoder.outputs().min(rest.len()));
                        rest = after;
                        let column = original.texts.get_mut(*at).filter(|_| *open);
                        if let Some(to) = column.and_then(|column| column.get_mut(row)) {
                            *to = encoder.inverse(numbers);
                        }
                    }
                }
                Ok(())
            }
            Source::Hash(_) => Err(Error::invalid(
                "hashing has no inverse: several texts meet in a bucket",
            )),
            Source::Dates(_) => Err(Error::invalid(
                "the parts of a time have no inverse: route the time itself as well, before them",
            )),
        }
    }
}
