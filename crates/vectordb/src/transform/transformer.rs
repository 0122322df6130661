//! [`Transformer`]: fitted steps or fitted columns, for what takes either.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::limits::Limits;
use common::{Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ColumnTransformer, Steps};

/// What a row of columns becomes: numbers through [`Steps`], or named columns of several kinds through a
/// [`ColumnTransformer`].
///
/// ```
/// use common::limits::Limits;
/// use vectordb::transform::{Step, Steps, Transformer};
/// let transformer = Transformer::from(Steps::new(2, vec![Step::Log1p])?);
/// assert_eq!(Transformer::from_json(&transformer.to_json()?, &Limits::default())?, transformer);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Transformer {
    /// Numbers, all through the same steps.
    Steps(Steps),
    /// Named columns, each on its route.
    Columns(Box<ColumnTransformer>),
}

impl From<Steps> for Transformer {
    fn from(steps: Steps) -> Self {
        Self::Steps(steps)
    }
}

impl From<ColumnTransformer> for Transformer {
    fn from(columns: ColumnTransformer) -> Self {
        Self::Columns(Box::new(columns))
    }
}

/// What only the form of columns has.
#[derive(Deserialize)]
struct Form {
    routes: Option<IgnoredAny>,
}

impl Transformer {
    /// How many numbers a row becomes.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Steps(steps) => steps.outputs(),
            Self::Columns(columns) => columns.outputs(),
        }
    }

    /// As [`Steps::to_json`] or [`ColumnTransformer::to_json`].
    ///
    /// # Errors
    /// As these.
    pub fn to_json(&self) -> Result<String> {
        match self {
            Self::Steps(steps) => steps.to_json(),
            Self::Columns(columns) => columns.to_json(),
        }
    }

    /// Reads either form.
    ///
    /// # Errors
    /// As [`Steps::from_json`] and [`ColumnTransformer::from_json`].
    pub fn from_json(text: &str, limits: &Limits) -> Result<Self> {
        limits.check_total(text.len())?;
        let form: Form = serde_json::from_str(text).map_err(|e| {
            Error::corrupt(format!("this is no fitted transformation: {e}")).caused_by(e)
        })?;
        if form.routes.is_some() {
            return Ok(ColumnTransformer::from_json(text, limits)?.into());
        }
        Ok(Steps::from_json(text, limits)?.into())
    }

    /// A name for exactly this transformation: 32 hexadecimal digits, the first half of the SHA-256 of its JSON.
    ///
    /// # Errors
    /// As [`Transformer::to_json`].
    pub fn version(&self) -> Result<String> {
        match self {
            Self::Steps(steps) => steps.version(),
            Self::Columns(columns) => columns.version(),
        }
    }
}
