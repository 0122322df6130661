//! Transformations of numbers and categories, fitted once and kept as data.
//!
//! A fit reads columns of training data; what it finds is a value that transforms rows of the same columns, one
//! or many, and that is written as JSON with every bit of its numbers. Names and arithmetic are those of
//! scikit-learn 1.9.
//!
//! Missing is NaN among numbers, [`None`] among texts. Fits leave missing values out and refuse infinite ones. Named columns
//! of several kinds go through a [`ColumnTransformer`]; `docs/transformations.md` shows how.

mod binner;
mod check;
mod columns;
mod dates;
mod encoder;
mod hasher;
mod imputer;
mod matrix;
mod normalizer;
mod polynomial;
mod power;
mod quantile;
mod quantiles;
mod rows;
mod scaler;
mod steps;
mod sums;
mod transformer;
mod written;

pub use binner::{BINS_MAX, Binner, Binning};
pub use columns::{
    COLUMNS_SCHEMA, ColumnFit, ColumnPlan, ColumnTransformer, OUTPUTS_MAX, Original, RoutePlan,
    SourcePlan,
};
pub use dates::{Cycle, DatePart, DateParts};
pub use encoder::{CATEGORIES_MAX, Encoder, EncoderFit, Encoding, MissingText, Smoothing, Unknown};
pub use hasher::{BUCKETS_MAX, Hasher};
pub use imputer::{Filling, Imputer, ImputerFit};
pub use matrix::Matrix;
pub use normalizer::{Norm, Normalizer};
pub use polynomial::{PRODUCTS_MAX, Polynomial};
pub use power::{Power, PowerFamily};
pub use quantile::{QUANTILES_MAX, QuantileMap};
pub use scaler::{Scaler, ScalerFit, Scaling, WeightedFit};
pub use steps::{STEPS_SCHEMA, Step, StepPlan, Steps, StepsFit};
pub use transformer::Transformer;
