//! [`Polynomial`]: products of columns as columns of their own.

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use super::check::width;
use super::matrix::Float;

/// Most columns that a polynomial makes.
pub const PRODUCTS_MAX: usize = 65_536;

/// Adds the products of up to `degree` columns, in scikit-learn's order: by degree, then by column.
///
/// ```
/// use vectordb::transform::Polynomial;
/// let polynomial = Polynomial::new(2, 2, false)?;
/// let mut out = [0.0; 5];
/// polynomial.transform_row(&[3.0, 5.0], &mut out)?;
/// assert_eq!(out, [3.0, 5.0, 9.0, 15.0, 25.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    columns: usize,
    degree: usize,
    interaction_only: bool,
}

impl Polynomial {
    /// Of `columns` columns; with `interaction_only` no column is multiplied with itself.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] without columns or degree, and when there would be more than
    /// [`PRODUCTS_MAX`] columns.
    pub fn new(columns: usize, degree: usize, interaction_only: bool) -> Result<Self> {
        let polynomial = Self {
            columns,
            degree,
            interaction_only,
        };
        polynomial.check()?;
        Ok(polynomial)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let fine = self.columns > 0 && (1..=16).contains(&self.degree);
        if fine && self.count().is_some() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a polynomial of degree {} of {} columns: the degree is 1 to 16, and it makes at most {PRODUCTS_MAX} columns",
            self.degree, self.columns
        )))
    }

    /// How many columns it takes.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// How many columns it makes.
    pub fn outputs(&self) -> usize {
        self.count().unwrap_or_default()
    }

    /// Combinations of up to `degree` columns, with or without repetition, unless there are too many.
    fn count(&self) -> Option<usize> {
        let (mut all, mut of_degree) = (0_usize, 1_usize);
        for degree in 1..=self.degree {
            let choices = if self.interaction_only {
                (self.columns + 1).saturating_sub(degree)
            } else {
                self.columns.checked_add(degree - 1)?
            };
            of_degree = of_degree.checked_mul(choices)? / degree;
            all = all
                .checked_add(of_degree)
                .filter(|all| *all <= PRODUCTS_MAX)?;
        }
        Some(all)
    }

    /// Writes one row with its products into `out`; allocates nothing.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `row` has not [`Polynomial::columns`] numbers or `out` not
    /// [`Polynomial::outputs`].
    #[expect(private_bounds, reason = "f32 and f64, and nothing else")]
    pub fn transform_row<T: Float>(&self, row: &[T], out: &mut [T]) -> Result<()> {
        width("the row", row.len(), self.columns)?;
        width("the output", out.len(), self.outputs())?;
        let mut at = 0;
        for degree in 1..=self.degree {
            self.products(row, out, &mut at, (0, None), degree);
        }
        Ok(())
    }

    /// Writes the products of `left` more columns, from the column `first` on, with `product`.
    fn products<T: Float>(
        &self,
        row: &[T],
        out: &mut [T],
        at: &mut usize,
        (first, product): (usize, Option<T>),
        left: usize,
    ) {
        for (column, x) in row.iter().enumerate().skip(first) {
            let product = product.map_or(*x, |product| product * *x);
            if left > 1 {
                let next = column + usize::from(self.interaction_only);
                self.products(row, out, at, (next, Some(product)), left - 1);
            } else if let Some(place) = out.get_mut(*at) {
                *place = product;
                *at += 1;
            }
        }
    }

    /// Names of the columns made, from those of the columns taken, as scikit-learn writes them: `a`, `a^2`, `a b`.
    pub fn names(&self, inputs: &[String]) -> Vec<String> {
        let mut all = Vec::with_capacity(self.outputs());
        let mut last = vec![Vec::new()];
        for _ in 0..self.degree {
            let longer = last.iter().flat_map(|columns: &Vec<usize>| {
                let next = |last: &usize| last + usize::from(self.interaction_only);
                let first = columns.last().map_or(0, next);
                (first..inputs.len()).map(|column| [&columns[..], &[column]].concat())
            });
            last = longer.collect();
            all.extend(last.iter().map(|columns| product_name(columns, inputs)));
        }
        all
    }
}

fn product_name(columns: &[usize], inputs: &[String]) -> String {
    let factors = columns.chunk_by(|a, b| a == b);
    let factors = factors.filter_map(|same| Some((inputs.get(*same.first()?)?, same.len())));
    let factors = factors.map(|(name, power)| match power {
        1 => name.clone(),
        power => format!("{name}^{power}"),
    });
    factors.collect::<Vec<String>>().join(" ")
}
