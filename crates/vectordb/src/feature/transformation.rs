//! [`Transformation`]: a transformer with the places of its columns among the features that are read.

use common::{Error, ErrorKind, Result, Text};

use super::cell::Kind;
use super::selection::Selection;
use crate::transform::{ColumnTransformer, Matrix, Steps, Transformer};

/// A feature that is read: its name and that of its view, and what its values are.
#[derive(Debug, Clone)]
pub(super) struct Feature {
    pub(super) view: Text,
    pub(super) name: Text,
    pub(super) kind: Kind,
}

/// What becomes of a row of features.
#[derive(Debug, Clone)]
pub(super) enum Transformation {
    /// All of them, which are numbers.
    Steps(Steps),
    /// Those that it names.
    Columns {
        transformer: Box<ColumnTransformer>,
        /// Where its columns of numbers are, in its order.
        numbers: Selection,
        /// Likewise of texts.
        texts: Box<[usize]>,
        /// Whether there may be a row that it refuses.
        is_strict: bool,
    },
}

impl Transformation {
    pub(super) fn new(transformer: Transformer, features: &[Feature]) -> Result<Self> {
        let columns = match transformer {
            Transformer::Columns(columns) => columns,
            Transformer::Steps(steps) if steps.columns() == features.len() => {
                refuse_texts(features)?;
                return Ok(Self::Steps(steps));
            }
            Transformer::Steps(steps) => {
                return Err(Error::invalid(format!(
                    "the steps take {} columns, but {} features are read",
                    steps.columns(),
                    features.len()
                )));
            }
        };
        let mut is_strict = columns.may_refuse();
        for name in columns.times() {
            match features.iter().find(|feature| feature.name == *name) {
                Some(feature) if feature.kind == Kind::Date => {
                    return Err(Error::invalid(format!(
                        "feature `{name}` is a date, which is read as a number of days, but parts are taken of \
                         microseconds: declare it as a timestamp"
                    )));
                }
                // Any number may be one of another year than those that there are.
                Some(feature) => is_strict |= feature.kind != Kind::Timestamp,
                None => {}
            }
        }
        let place = |name: &String, is_text: bool| place(features, name, is_text);
        let numbers = columns.numbers().iter().map(|name| place(name, false));
        let texts = columns.texts().iter().map(|name| place(name, true));
        Ok(Self::Columns {
            numbers: Selection::new(&numbers.collect::<Result<Vec<_>>>()?),
            texts: texts.collect::<Result<_>>()?,
            is_strict,
            transformer: columns,
        })
    }

    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Steps(steps) => steps.outputs(),
            Self::Columns { transformer, .. } => transformer.outputs(),
        }
    }

    /// Whether there may be a row that is refused.
    pub(super) const fn is_strict(&self) -> bool {
        match self {
            Self::Steps(_) => false,
            Self::Columns { is_strict, .. } => *is_strict,
        }
    }

    /// Whether features that are texts go in.
    pub(super) fn takes_texts(&self) -> bool {
        matches!(self, Self::Columns { texts, .. } if !texts.is_empty())
    }

    /// Transforms the cells of a row; `text` gives that of a feature by its place and cell.
    #[inline]
    pub(super) fn apply<'t>(
        &self,
        cells: &[f64],
        text: impl Fn(usize, f64) -> Option<&'t str>,
        out: &mut [f64],
    ) -> Result<()> {
        match self {
            Self::Steps(steps) => steps.transform(Matrix::new(cells, cells.len())?, out),
            Self::Columns {
                transformer,
                numbers,
                texts,
                ..
            } => {
                let cell = |place: usize| cells.get(place).copied().unwrap_or(f64::NAN);
                let texts = texts.iter().map(|place| text(*place, cell(*place)));
                let texts: Vec<Option<&str>> = texts.collect();
                if let Some(numbers) = numbers.slice(cells) {
                    return transformer.transform_row(numbers, &texts, out);
                }
                let mut gathered = vec![0.0; numbers.columns()];
                numbers.gather(cells, &mut gathered);
                transformer.transform_row(&gathered, &texts, out)
            }
        }
    }

    pub(super) fn to_transformer(&self) -> Transformer {
        match self {
            Self::Steps(steps) => steps.clone().into(),
            Self::Columns { transformer, .. } => Transformer::Columns(transformer.clone()),
        }
    }
}

/// Refuses features that are no numbers.
pub(super) fn refuse_texts(features: &[Feature]) -> Result<()> {
    match features.iter().find(|feature| feature.kind == Kind::Text) {
        None => Ok(()),
        Some(feature) => Err(Error::invalid(format!(
            "feature `{}` of view `{}` is text, but a row is numbers: encode it by a `ColumnTransformer`, or read it \
             by `FeatureView::get`",
            feature.name, feature.view
        ))),
    }
}

/// Where the column of a transformer is among the features.
fn place(features: &[Feature], name: &str, is_text: bool) -> Result<usize> {
    let mut places = (features.iter().enumerate()).filter(|(_, feature)| feature.name == *name);
    let (Some((place, feature)), other) = (places.next(), places.next()) else {
        let names: Vec<&str> = features
            .iter()
            .map(|feature| feature.name.as_str())
            .collect();
        return Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "the transformer takes column `{name}`, which is no feature that is read; those are {}",
                names.join(", ")
            ),
        ));
    };
    if other.is_some() {
        return Err(Error::invalid(format!(
            "the transformer takes column `{name}`, but two features of that name are read"
        )));
    }
    match (feature.kind == Kind::Text, is_text) {
        (true, false) => Err(Error::invalid(format!(
            "feature `{name}` is text, but the transformer takes it as a number"
        ))),
        (false, true) => Err(Error::invalid(format!(
            "feature `{name}` is a number, but the transformer takes it as text"
        ))),
        _ => Ok(place),
    }
}
