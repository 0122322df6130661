//! Transformations of numbers and categories, fitted once and kept as data.
//!
//! A fit reads columns of training data; what it finds is a value that transforms rows of the same columns, one
//! or many, and that is written as JSON with every bit of its numbers. Names and arithmetic are those of
//! scikit-learn 1.9.
//!
//! Missing is NaN among numbers, [`None`] among texts. Fits leave missing values out and refuse infinite ones.

mod check;
mod matrix;
mod normalizer;
mod quantiles;
mod scaler;
mod sums;

pub use matrix::Matrix;
pub use normalizer::{Norm, Normalizer};
pub use scaler::{Arithmetic, Scaler, ScalerFit, Scaling};
