//! [`Encoder`]: categories as numbers; [`EncoderFit`]: what batches say of them.

mod categories;
mod few;
mod fit;

use common::{Error, Result};
use serde::{Deserialize, Serialize};

use self::categories::Categories;
use super::check::{finite, width};
pub use fit::EncoderFit;

/// Most categories of one column.
pub const CATEGORIES_MAX: usize = 1 << 20;

/// What becomes of a category that the fit has not seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The row is refused.
    #[default]
    Refuse,
    /// Zeros when one-hot, -1 when ordinal, the mean of all when by target.
    Ignore,
    /// A missing number (NaN).
    Missing,
}

/// What becomes of a missing text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingText {
    /// The row is refused, in the fit too.
    #[default]
    Refuse,
    /// It is left out of the fit, and then as a category that was not seen and is ignored.
    Ignore,
    /// It becomes a missing number (NaN), and is left out of the fit.
    Missing,
}

/// How a category is written in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// One column for each category, with a 1 in its own.
    OneHot,
    /// Its number in the order of the categories.
    Ordinal,
}

/// A column of texts as numbers, by what was fitted; categories are in the order of their code points.
///
/// A look-up is one in a hash table, a perfect one where there are at most 32 categories, and nothing is allocated.
///
/// ```
/// use vectordb::transform::{Encoder, Encoding, MissingText, Unknown};
/// let kinds = [Some("cafe"), Some("bank"), None];
/// let encoder = Encoder::fit(Encoding::OneHot, &kinds, Unknown::Ignore, MissingText::Ignore)?;
/// let mut out = [0.0; 2];
/// encoder.transform(Some("cafe"), &mut out)?;
/// assert_eq!(out, [0.0, 1.0]);
/// encoder.transform(Some("zoo"), &mut out)?;
/// assert_eq!(out, [0.0, 0.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    categories: Categories,
    numbers: Numbers,
    unknown: Unknown,
    missing: MissingText,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Numbers {
    OneHot,
    Ordinal,
    Target { means: Vec<f64>, mean: f64 },
}

/// How much the mean of all weighs in the mean of a category.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Smoothing {
    /// By the variances within the category and of all: the empirical Bayes estimate.
    Auto,
    /// As that many rows.
    Rows(f64),
}

impl Encoder {
    /// Finds the categories of a column.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a missing text if those are refused (by row), and for no category;
    /// [`common::ErrorKind::LimitExceeded`] above [`CATEGORIES_MAX`].
    pub fn fit(
        encoding: Encoding,
        texts: &[Option<&str>],
        unknown: Unknown,
        missing: MissingText,
    ) -> Result<Self> {
        let mut fit = EncoderFit::new(missing);
        fit.partial_fit(texts)?;
        fit.finish(encoding, unknown)
    }

    /// Finds the categories of a column and the smoothed mean of `target` for each, within 1e-12 of
    /// scikit-learn's `TargetEncoder.fit` for a continuous target.
    ///
    /// Rows that are encoded with a fit of themselves know a part of their own target: split them first, and
    /// encode each part with a fit of the others.
    ///
    /// # Errors
    /// As [`Encoder::fit`]; also for targets that are not finite, of another number, or a negative smoothing.
    pub fn fit_target(
        texts: &[Option<&str>],
        target: &[f64],
        smoothing: Smoothing,
        unknown: Unknown,
        missing: MissingText,
    ) -> Result<Self> {
        width("the target", target.len(), texts.len())?;
        if let Some(row) = target.iter().position(|y| !y.is_finite()) {
            return Err(Error::invalid(format!(
                "the target of row {row} is not finite"
            )));
        }
        if let Smoothing::Rows(rows) = smoothing
            && !(rows >= 0.0 && rows.is_finite())
        {
            return Err(Error::invalid(format!("a smoothing by {rows} rows")));
        }
        let mut fit = EncoderFit::new(missing);
        fit.partial_fit(texts)?;
        let categories = fit.categories();
        let of = |text: &str| categories.find(text);
        let mut sums = vec![(0.0, 0.0); categories.names().len()];
        for (text, y) in texts.iter().zip(target) {
            if let Some(sum) = text.and_then(of).and_then(|at| sums.get_mut(at)) {
                *sum = (sum.0 + 1.0, sum.1 + y);
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts beyond 2^53 are out of reach"
        )]
        let rows = target.len() as f64;
        let mean = target.iter().sum::<f64>() / rows;
        let variance = target.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / rows;
        let mut squares = vec![0.0; categories.names().len()];
        for (text, y) in texts.iter().zip(target) {
            let at = text.and_then(of);
            let sum = at.and_then(|at| Some((sums.get(at)?, squares.get_mut(at)?)));
            if let Some(((count, sum), squares)) = sum {
                let distance = y - sum / count;
                *squares += distance * distance;
            }
        }
        let means = sums
            .iter()
            .zip(&squares)
            .map(|((count, sum), squares)| match smoothing {
                Smoothing::Rows(rows) => (sum + rows * mean) / (count + rows),
                Smoothing::Auto if variance == 0.0 => mean,
                Smoothing::Auto => {
                    let share = variance * count / (variance * count + squares / count);
                    share * (sum / count) + (1.0 - share) * mean
                }
            });
        let means = means.collect();
        Self {
            categories,
            numbers: Numbers::Target { means, mean },
            unknown,
            missing,
        }
        .checked()
    }

    fn checked(self) -> Result<Self> {
        self.check()?;
        Ok(self)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let categories = self.categories.names();
        if categories.is_empty() {
            return Err(Error::invalid(
                "there is no category: every text is missing",
            ));
        }
        if categories.len() > CATEGORIES_MAX {
            return Err(Error::limit_exceeded(format!(
                "{} categories, but the limit is {CATEGORIES_MAX}: hash the texts instead",
                categories.len()
            )));
        }
        if let Some([a, b]) = categories.array_windows().find(|[a, b]| a >= b) {
            return Err(Error::invalid(format!(
                "category {b:?} does not come after {a:?}"
            )));
        }
        if let Numbers::Target { means, mean } = &self.numbers {
            width("the means", means.len(), categories.len())?;
            finite("means", means)?;
            finite("mean", &[*mean])?;
        }
        Ok(())
    }

    /// The categories in order.
    pub fn categories(&self) -> &[String] {
        self.categories.names()
    }

    /// Whether there are texts, or missing ones, that it refuses.
    pub(super) fn may_refuse(&self) -> bool {
        self.unknown == Unknown::Refuse || self.missing == MissingText::Refuse
    }

    /// How many numbers a text becomes.
    pub fn outputs(&self) -> usize {
        match self.numbers {
            Numbers::OneHot => self.categories().len(),
            Numbers::Ordinal | Numbers::Target { .. } => 1,
        }
    }

    /// Writes the numbers of one text into `out`.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when `out` has not [`Encoder::outputs`] numbers, and for a text that is
    /// refused.
    #[inline]
    pub fn transform(&self, text: Option<&str>, out: &mut [f64]) -> Result<()> {
        width("the output", out.len(), self.outputs())?;
        let Some(at) = text.and_then(|text| self.categories.find(text)) else {
            out.fill(self.without_category(text)?);
            return Ok(());
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 2^20 categories")]
        match &self.numbers {
            Numbers::OneHot => {
                out.fill(0.0);
                if let Some(one) = out.get_mut(at) {
                    *one = 1.0;
                }
            }
            Numbers::Ordinal => out.fill(at as f64),
            Numbers::Target { means, mean } => out.fill(means.get(at).copied().unwrap_or(*mean)),
        }
        Ok(())
    }

    /// The number, or each of the numbers, of a text that is missing or none of the categories.
    fn without_category(&self, text: Option<&str>) -> Result<f64> {
        let is_ignored = match text {
            None => match self.missing {
                MissingText::Refuse => return Err(Error::invalid("a text is missing")),
                MissingText::Ignore => true,
                MissingText::Missing => false,
            },
            Some(text) => match self.unknown {
                Unknown::Refuse => {
                    return Err(Error::invalid(format!(
                        "{text:?} is none of the {} categories of the fit",
                        self.categories().len()
                    )));
                }
                Unknown::Ignore => true,
                Unknown::Missing => false,
            },
        };
        if !is_ignored {
            return Ok(f64::NAN);
        }
        Ok(match &self.numbers {
            Numbers::OneHot => 0.0,
            Numbers::Ordinal => -1.0,
            Numbers::Target { mean, .. } => *mean,
        })
    }

    /// The text that numbers stand for: of the 1 in one-hot columns, of the number when ordinal; [`None`] for any
    /// other numbers, and always by target, because several categories may have the same mean.
    pub fn inverse(&self, numbers: &[f64]) -> Option<&str> {
        let at = match (&self.numbers, numbers) {
            (Numbers::OneHot, _) => numbers
                .iter()
                .position(|x| x.to_bits() == 1_f64.to_bits())?,
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "compared after the way back"
            )]
            (Numbers::Ordinal, [x]) => {
                Some(*x as usize).filter(|at| (*at as f64).to_bits() == x.to_bits())?
            }
            _ => return None,
        };
        self.categories().get(at).map(String::as_str)
    }

    /// Whether texts become means, from which there is no way back.
    pub(crate) const fn is_by_target(&self) -> bool {
        matches!(self.numbers, Numbers::Target { .. })
    }

    /// Names of the numbers, from that of the column, as scikit-learn makes them: `column_category` when one-hot.
    pub fn names(&self, column: &str) -> Vec<String> {
        match self.numbers {
            Numbers::OneHot => {
                let categories = self.categories().iter();
                categories.map(|c| format!("{column}_{c}")).collect()
            }
            Numbers::Ordinal | Numbers::Target { .. } => vec![column.to_owned()],
        }
    }
}
