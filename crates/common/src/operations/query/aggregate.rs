//! Aggregates: one value from many rows.

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use super::path::Path;
use crate::core::base::{Text, Value};
use crate::core::schema::FieldType;
use crate::error::{Error, Result};

/// How many values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AggregateFunction {
    /// Number of rows or, with a path, of values that are not null.
    Count,
    /// Number of different values that are not null.
    CountDistinct,
    /// Sum of the numbers: exact for integers, compensated for floats; null of none.
    Sum,
    /// Least value; null of none.
    Min,
    /// Greatest value; null of none. NaN is greater than every number.
    Max,
    /// Sum divided by count, as a float; null of none.
    Avg,
}

impl AggregateFunction {
    /// The function's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::CountDistinct => "count_distinct",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
        }
    }
}

/// One aggregate of a query. Nulls take no part, as in SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Aggregate {
    /// How the values become one.
    pub function: AggregateFunction,
    /// Which values; only [`AggregateFunction::Count`] goes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// Name of the result's column.
    pub name: Text,
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident => $function:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(path: impl Into<Path>) -> Self {
            Self::new(AggregateFunction::$function, path.into())
        }
    )*};
}

impl Aggregate {
    /// Number of rows, named `count`.
    pub fn count() -> Self {
        Self {
            function: AggregateFunction::Count,
            path: None,
            name: "count".into(),
        }
    }

    functions! {
        /// Number of values that are not null, named `count(path)`.
        count_of => Count;
        /// Number of different values that are not null, named `count_distinct(path)`.
        count_distinct => CountDistinct;
        /// Sum, named `sum(path)`.
        sum => Sum;
        /// Least value, named `min(path)`.
        min => Min;
        /// Greatest value, named `max(path)`.
        max => Max;
        /// Mean, named `avg(path)`.
        avg => Avg;
    }

    fn new(function: AggregateFunction, path: Path) -> Self {
        Self {
            function,
            name: format!("{}({path})", function.name()).into(),
            path: Some(path),
        }
    }

    /// Names the result's column.
    #[must_use]
    pub fn named(mut self, name: impl Into<Text>) -> Self {
        self.name = name.into();
        self
    }

    /// The type of the result over values of type `ty`; an error when the function has no meaning there.
    pub(super) fn result_type(&self, ty: &FieldType) -> Result<FieldType> {
        match (self.function, ty) {
            (AggregateFunction::Count | AggregateFunction::CountDistinct, _) => Ok(FieldType::Int),
            (AggregateFunction::Min | AggregateFunction::Max, ty) => Ok(ty.clone()),
            (AggregateFunction::Sum, ty @ (FieldType::Int | FieldType::Float | FieldType::Any)) => {
                Ok(ty.clone())
            }
            (AggregateFunction::Avg, FieldType::Int | FieldType::Float | FieldType::Any) => {
                Ok(FieldType::Float)
            }
            (function, ty) => Err(Error::invalid(format!(
                "`{}` is {ty}; `{}` is for numbers",
                self.path.as_ref().map(Path::to_string).unwrap_or_default(),
                function.name()
            ))),
        }
    }
}

/// What an aggregate has gathered so far.
#[derive(Debug)]
pub(super) enum Accumulator {
    Count(i64),
    Distinct(HashSet<Value, foldhash::fast::RandomState>),
    Sum(Sum),
    Avg(Sum),
    Min(Option<Value>),
    Max(Option<Value>),
}

/// A sum of numbers: integers exactly, floats with Neumaier's compensation.
#[derive(Debug, Default)]
pub(super) struct Sum {
    count: u64,
    ints: i128,
    floats: f64,
    /// What rounding took from `floats`.
    lost: f64,
    has_float: bool,
}

impl Sum {
    fn add(&mut self, value: &Value) {
        match value {
            // 2^64 values of 64 bits fit 128 bits.
            Value::Int(int) => self.ints += i128::from(*int),
            Value::Float(float) => {
                self.has_float = true;
                self.add_float(*float);
            }
            _ => return,
        }
        self.count += 1;
    }

    fn add_float(&mut self, float: f64) {
        let sum = self.floats + float;
        self.lost += if self.floats.abs() >= float.abs() {
            (self.floats - sum) + float
        } else {
            (float - sum) + self.floats
        };
        self.floats = sum;
    }

    /// The sum as a float.
    #[expect(clippy::cast_precision_loss, reason = "the result is a float")]
    fn float(&self) -> f64 {
        let mut sum = Self {
            floats: self.floats,
            lost: self.lost,
            ..Self::default()
        };
        sum.add_float(self.ints as f64);
        // An overflow or NaN has no compensation.
        if sum.floats.is_finite() {
            sum.floats + sum.lost
        } else {
            sum.floats
        }
    }
}

impl Accumulator {
    pub(super) fn new(function: AggregateFunction) -> Self {
        match function {
            AggregateFunction::Count => Self::Count(0),
            AggregateFunction::CountDistinct => Self::Distinct(HashSet::default()),
            AggregateFunction::Sum => Self::Sum(Sum::default()),
            AggregateFunction::Avg => Self::Avg(Sum::default()),
            AggregateFunction::Min => Self::Min(None),
            AggregateFunction::Max => Self::Max(None),
        }
    }

    /// Counts a row whatever is in it.
    pub(super) fn add_row(&mut self) {
        if let Self::Count(count) = self {
            *count += 1;
        }
    }

    pub(super) fn add(&mut self, value: &Value) {
        if value.is_null() {
            return;
        }
        match self {
            Self::Count(count) => *count += 1,
            Self::Distinct(values) => {
                if !values.contains(value) {
                    values.insert(value.clone());
                }
            }
            Self::Sum(sum) | Self::Avg(sum) => sum.add(value),
            Self::Min(least) => {
                if least.as_ref().is_none_or(|least| value < least) {
                    *least = Some(value.clone());
                }
            }
            Self::Max(greatest) => {
                if greatest.as_ref().is_none_or(|greatest| value > greatest) {
                    *greatest = Some(value.clone());
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
    pub(super) fn finish(self, aggregate: &Aggregate) -> Result<Value> {
        Ok(match self {
            Self::Count(count) => Value::Int(count),
            Self::Distinct(values) => Value::Int(i64::try_from(values.len()).unwrap_or(i64::MAX)),
            Self::Sum(sum) | Self::Avg(sum) if sum.count == 0 => Value::Null,
            Self::Sum(sum) if sum.has_float => Value::Float(sum.float()),
            Self::Sum(sum) => match i64::try_from(sum.ints) {
                Ok(sum) => Value::Int(sum),
                Err(_) => {
                    return Err(Error::limit_exceeded(format!(
                        "`{}` is {}, which does not fit 64 bits; take `avg` times `count` for a \
                         float",
                        aggregate.name, sum.ints
                    )));
                }
            },
            Self::Avg(sum) => Value::Float(sum.float() / sum.count as f64),
            Self::Min(value) | Self::Max(value) => value.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn run(aggregate: &Aggregate, values: &[Value]) -> Result<Value> {
        let mut accumulator = Accumulator::new(aggregate.function);
        for value in values {
            accumulator.add(value);
        }
        accumulator.finish(aggregate)
    }

    #[test]
    fn integer_sums_are_exact_and_say_when_they_overflow() {
        let sum = Aggregate::sum("n");
        let values = [Value::from(i64::MAX), Value::from(1), Value::from(-1)];
        assert_eq!(run(&sum, &values).unwrap(), Value::from(i64::MAX));
        let error = run(&sum, &values[..2]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(
            error.message(),
            "`sum(n)` is 9223372036854775808, which does not fit 64 bits; take `avg` times `count` for a float"
        );
        let avg = run(&Aggregate::avg("n"), &values[..2]).unwrap();
        assert_eq!(avg, Value::from(4_611_686_018_427_387_904.0));
    }

    #[test]
    fn float_sums_keep_what_rounding_would_lose() {
        let values: Vec<Value> = [1.0, 1e100, 1.0, -1e100].map(Value::from).into();
        assert_eq!(
            run(&Aggregate::sum("x"), &values).unwrap(),
            Value::from(2.0)
        );
        let values: Vec<Value> = [f64::INFINITY, 1.0].map(Value::from).into();
        let infinite = run(&Aggregate::sum("x"), &values).unwrap();
        assert_eq!(infinite, Value::from(f64::INFINITY));
    }

    #[test]
    fn nulls_take_no_part() {
        let values = [Value::Null, Value::from(2), Value::from(2), Value::from(1)];
        let check = |aggregate: Aggregate, expected: Value| {
            assert_eq!(
                run(&aggregate, &values).unwrap(),
                expected,
                "{}",
                aggregate.name
            );
            let none = run(&aggregate, &values[..1]).unwrap();
            let is_count = matches!(expected, Value::Int(2 | 3)) && aggregate.name.starts_with('c');
            assert_eq!(
                none,
                if is_count {
                    Value::from(0)
                } else {
                    Value::Null
                }
            );
        };
        check(Aggregate::count_of("n"), Value::from(3));
        check(Aggregate::count_distinct("n"), Value::from(2));
        check(Aggregate::min("n"), Value::from(1));
        check(Aggregate::max("n"), Value::from(2));
        check(Aggregate::sum("n"), Value::from(5));
        check(Aggregate::avg("n"), Value::from(5.0 / 3.0));
        let error = Aggregate::sum("t")
            .result_type(&FieldType::Text)
            .unwrap_err();
        assert_eq!(error.message(), "`t` is text; `sum` is for numbers");
    }
}
