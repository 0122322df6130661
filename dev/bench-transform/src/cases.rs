//! The questions.

use serde::Serialize;

use crate::data::{CATEGORIES, COLUMNS, ROWS, TEXT_ROWS};

/// What is done to each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    Standard,
    MinMax,
    /// Imputation by means, standard scaling, L2 normalisation.
    Pipeline,
    OneHot,
}

/// One question.
#[derive(Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    pub(crate) rows: usize,
    /// How far an answer may be from scikit-learn's; 0 means in no bit.
    #[serde(skip)]
    pub(crate) error_max: f64,
}

pub(crate) const CASES: [Case; 6] = [
    case("standard-100000x100", Work::Standard, ROWS, 0.0),
    case("standard-1x100", Work::Standard, 1, 0.0),
    case("min-max-100000x100", Work::MinMax, ROWS, 0.0),
    // Means of columns with holes are summed in another order.
    case("impute-scale-l2-100000x100", Work::Pipeline, ROWS, 1e-12),
    case("one-hot-1000x100", Work::OneHot, TEXT_ROWS, 0.0),
    case("one-hot-1x100", Work::OneHot, 1, 0.0),
];

const fn case(name: &'static str, work: Work, rows: usize, error_max: f64) -> Case {
    Case {
        name,
        work,
        rows,
        error_max,
    }
}

impl Case {
    /// Numbers that go in, for cases of numbers.
    pub(crate) const fn numbers(&self) -> usize {
        self.rows * COLUMNS
    }

    /// Numbers that come out.
    pub(crate) const fn outputs(&self) -> usize {
        match self.work {
            Work::OneHot => self.rows * COLUMNS * CATEGORIES,
            _ => self.rows * COLUMNS,
        }
    }
}
