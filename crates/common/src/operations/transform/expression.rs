//! [`Expression`]: a value computed from the columns of a row.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops;

use serde::{Deserialize, Serialize};

use crate::core::base::{Row, Text, Value};
use crate::error::{Error, Result};

/// Deepest nesting of one expression.
pub const EXPRESSION_DEPTH_MAX: usize = 64;

/// A value computed from the columns of a row: a small tree, plain data.
///
/// Null in any operand gives null. Integers stay integers under `+`, `-`, `*`, the remainder, the minimum
/// and the maximum, and a result that does not fit 64 bits is an error; a division is always of floats. A
/// float result that is not finite is an error unless an operand was not finite already.
///
/// ```
/// use common::operations::transform::Expression;
/// use common::{row, Value};
/// let column = |name: &str| Expression::column(name);
/// let density = column("population") / (column("area") * 0.01);
/// assert_eq!(density.evaluate(&row! { "population": 30, "area": 200 })?, Value::from(15.0));
/// assert_eq!(density.evaluate(&row! { "population": 30, "area": Value::Null })?, Value::Null);
/// assert!(density.evaluate(&row! { "population": 30, "area": 0 }).is_err());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expression {
    /// The value of a column, which the row must have.
    Column(Text),
    /// A fixed value.
    Literal(Value),
    /// `-a`.
    Negate(Box<Self>),
    /// `a` without its sign.
    Absolute(Box<Self>),
    /// Square root of `a`, which is not negative.
    SquareRoot(Box<Self>),
    /// Natural logarithm of `a`, which is positive.
    Logarithm(Box<Self>),
    /// `a + b`.
    Add(Box<[Self; 2]>),
    /// `a - b`.
    Subtract(Box<[Self; 2]>),
    /// `a * b`.
    Multiply(Box<[Self; 2]>),
    /// `a / b`, in floats; `b` is not zero.
    Divide(Box<[Self; 2]>),
    /// What the Euclidean division of `a` by `b` leaves: never negative; `b` is not zero.
    Remainder(Box<[Self; 2]>),
    /// The lesser of `a` and `b`.
    Minimum(Box<[Self; 2]>),
    /// The greater of `a` and `b`.
    Maximum(Box<[Self; 2]>),
    /// Texts one after another.
    Concatenate(Vec<Self>),
}

impl Expression {
    /// The value of a column.
    pub fn column(name: impl Into<Text>) -> Self {
        Self::Column(name.into())
    }

    /// A fixed value.
    pub fn literal(value: impl Into<Value>) -> Self {
        Self::Literal(value.into())
    }

    /// The value of this expression for one row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for a column that the row does not have;
    /// [`crate::ErrorKind::Invalid`] for an operand of the wrong kind and a result that is no number;
    /// [`crate::ErrorKind::LimitExceeded`] beyond [`EXPRESSION_DEPTH_MAX`].
    pub fn evaluate(&self, row: &Row) -> Result<Value> {
        self.value(row, EXPRESSION_DEPTH_MAX).map(Cow::into_owned)
    }

    /// The columns that it reads, sorted by name. Those below [`EXPRESSION_DEPTH_MAX`] are left out.
    pub fn columns(&self) -> BTreeSet<Text> {
        let mut columns = BTreeSet::new();
        self.gather(&mut columns, EXPRESSION_DEPTH_MAX);
        columns
    }

    fn gather(&self, columns: &mut BTreeSet<Text>, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        match self {
            Self::Column(name) => {
                columns.insert(name.clone());
            }
            Self::Literal(_) => {}
            Self::Negate(a) | Self::Absolute(a) | Self::SquareRoot(a) | Self::Logarithm(a) => {
                a.gather(columns, depth);
            }
            Self::Add(both)
            | Self::Subtract(both)
            | Self::Multiply(both)
            | Self::Divide(both)
            | Self::Remainder(both)
            | Self::Minimum(both)
            | Self::Maximum(both) => both.iter().for_each(|e| e.gather(columns, depth)),
            Self::Concatenate(all) => all.iter().for_each(|e| e.gather(columns, depth)),
        }
    }

    /// Checks the depth, so that a stored expression fails when it is read and not when it runs.
    pub(super) fn check(&self) -> Result<()> {
        self.check_depth(EXPRESSION_DEPTH_MAX)
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        let depth = below(depth)?;
        match self {
            Self::Column(_) | Self::Literal(_) => Ok(()),
            Self::Negate(a) | Self::Absolute(a) | Self::SquareRoot(a) | Self::Logarithm(a) => {
                a.check_depth(depth)
            }
            Self::Add(both)
            | Self::Subtract(both)
            | Self::Multiply(both)
            | Self::Divide(both)
            | Self::Remainder(both)
            | Self::Minimum(both)
            | Self::Maximum(both) => both.iter().try_for_each(|e| e.check_depth(depth)),
            Self::Concatenate(all) => all.iter().try_for_each(|e| e.check_depth(depth)),
        }
    }

    fn value<'a>(&'a self, row: &'a Row, depth: usize) -> Result<Cow<'a, Value>> {
        let depth = below(depth)?;
        let unary = |a: &'a Self, operation: fn(Number) -> Option<Number>, name| {
            let a = a.value(row, depth)?;
            apply(&[&a], |numbers| match numbers {
                [a] => operation(*a),
                _ => None,
            })
            .ok_or_else(|| Error::invalid(format!("{name} of {:?} is no number", &*a)))
        };
        let binary =
            |[a, b]: &'a [Self; 2], operation: fn(Number, Number) -> Option<Number>, symbol| {
                let (a, b) = (a.value(row, depth)?, b.value(row, depth)?);
                apply(&[&a, &b], |numbers| match numbers {
                    [a, b] => operation(*a, *b),
                    _ => None,
                })
                .ok_or_else(|| Error::invalid(format!("{:?} {symbol} {:?} is no number", &*a, &*b)))
            };
        let value = match self {
            Self::Column(name) => return column(row, name).map(Cow::Borrowed),
            Self::Literal(value) => return Ok(Cow::Borrowed(value)),
            Self::Negate(a) => unary(a, Number::negate, "the negative")?,
            Self::Absolute(a) => unary(a, Number::absolute, "the absolute value")?,
            Self::SquareRoot(a) => unary(a, |a| Some(Number::Float(a.float().sqrt())), "the root")?,
            Self::Logarithm(a) => {
                unary(a, |a| Some(Number::Float(a.float().ln())), "the logarithm")?
            }
            Self::Add(both) => binary(both, |a, b| a.with(b, i64::checked_add, |a, b| a + b), "+")?,
            Self::Subtract(both) => {
                binary(both, |a, b| a.with(b, i64::checked_sub, |a, b| a - b), "-")?
            }
            Self::Multiply(both) => {
                binary(both, |a, b| a.with(b, i64::checked_mul, |a, b| a * b), "*")?
            }
            Self::Divide(both) => {
                binary(both, |a, b| Some(Number::Float(a.float() / b.float())), "/")?
            }
            Self::Remainder(both) => binary(
                both,
                |a, b| a.with(b, i64::checked_rem_euclid, f64::rem_euclid),
                "modulo",
            )?,
            Self::Minimum(both) => {
                binary(both, |a, b| a.with(b, |a, b| Some(a.min(b)), lesser), "min")?
            }
            Self::Maximum(both) => binary(
                both,
                |a, b| a.with(b, |a, b| Some(a.max(b)), |a, b| -lesser(-a, -b)),
                "max",
            )?,
            Self::Concatenate(all) => concatenate(all, row, depth)?,
        };
        Ok(Cow::Owned(value))
    }
}

/// The column's value, or an error that lists the columns there are.
pub(super) fn column<'a>(row: &'a Row, name: &str) -> Result<&'a Value> {
    row.get(name).ok_or_else(|| absent(row, name))
}

#[cold]
pub(super) fn absent(row: &Row, name: &str) -> Error {
    let known: Vec<&str> = row.iter().map(|(known, _)| known.as_str()).collect();
    Error::not_found(format!(
        "the row has no column `{name}`; its columns are {}",
        known.join(", ")
    ))
}

fn below(depth: usize) -> Result<usize> {
    depth.checked_sub(1).ok_or_else(|| {
        Error::limit_exceeded(format!(
            "an expression is nested at most {EXPRESSION_DEPTH_MAX} deep"
        ))
    })
}

fn concatenate(all: &[Expression], row: &Row, depth: usize) -> Result<Value> {
    let mut text = String::new();
    for part in all {
        match &*part.value(row, depth)? {
            Value::Text(part) => text.push_str(part),
            Value::Null => return Ok(Value::Null),
            other => {
                return Err(Error::invalid(format!(
                    "only texts are concatenated, not {} {other:?}; cast it to text first",
                    other.kind()
                )));
            }
        }
    }
    Ok(Value::from(text))
}

/// NaN if either is NaN, unlike [`f64::min`], which hides it.
fn lesser(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

/// Runs arithmetic on operands that are all numbers; null when any is null, `None` when any is something
/// else or the result is no number.
fn apply(operands: &[&Value], operation: impl Fn(&[Number]) -> Option<Number>) -> Option<Value> {
    if operands.iter().any(|operand| operand.is_null()) {
        return Some(Value::Null);
    }
    let mut numbers = [Number::Int(0); 2];
    for (number, operand) in numbers.iter_mut().zip(operands) {
        *number = match operand {
            Value::Int(value) => Number::Int(*value),
            Value::Float(value) => Number::Float(*value),
            _ => return None,
        };
    }
    let numbers = numbers.get(..operands.len())?;
    match operation(numbers)? {
        Number::Int(value) => Some(Value::Int(value)),
        Number::Float(value)
            if value.is_finite() || numbers.iter().any(|n| !n.float().is_finite()) =>
        {
            Some(Value::Float(value))
        }
        Number::Float(_) => None,
    }
}

impl Number {
    #[expect(
        clippy::cast_precision_loss,
        reason = "arithmetic with a float rounds, as everywhere"
    )]
    const fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    fn with(
        self,
        other: Self,
        ints: fn(i64, i64) -> Option<i64>,
        floats: fn(f64, f64) -> f64,
    ) -> Option<Self> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => ints(a, b).map(Self::Int),
            (a, b) => Some(Self::Float(floats(a.float(), b.float()))),
        }
    }

    fn negate(self) -> Option<Self> {
        match self {
            Self::Int(value) => value.checked_neg().map(Self::Int),
            Self::Float(value) => Some(Self::Float(-value)),
        }
    }

    fn absolute(self) -> Option<Self> {
        match self {
            Self::Int(value) => value.checked_abs().map(Self::Int),
            Self::Float(value) => Some(Self::Float(value.abs())),
        }
    }
}

impl<V: Into<Value>> From<V> for Expression {
    fn from(value: V) -> Self {
        Self::Literal(value.into())
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $variant:ident;)*) => {$(
        impl<R: Into<Expression>> ops::$trait<R> for Expression {
            type Output = Self;

            fn $method(self, right: R) -> Self {
                Self::$variant(Box::new([self, right.into()]))
            }
        }
    )*};
}

operators! {
    Add add Add;
    Sub sub Subtract;
    Mul mul Multiply;
    Div div Divide;
    Rem rem Remainder;
}

impl ops::Neg for Expression {
    type Output = Self;

    fn neg(self) -> Self {
        Self::Negate(Box::new(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, row};

    fn c(name: &str) -> Expression {
        Expression::column(name)
    }

    #[test]
    fn numbers_keep_their_kind_and_never_wrap() {
        let row = row! { "i": 7, "j": -2, "big": i64::MAX, "f": 0.5, "zero": 0, "t": "x" };
        let value = |e: Expression| e.evaluate(&row);
        let same = |e: Expression, expect: Value| {
            let found = value(e).unwrap();
            assert_eq!((found.kind(), &found), (expect.kind(), &expect));
        };
        same(c("i") + c("j"), 5.into());
        same(c("i") * c("f"), 3.5.into());
        same(c("i") / c("j"), (-3.5).into());
        same(c("j") % c("i"), 5.into());
        same(-c("j"), 2.into());
        same(
            Expression::Minimum(Box::new([c("i"), c("f")])),
            Value::from(0.5),
        );
        same(
            Expression::Maximum(Box::new([c("i"), c("j")])),
            Value::from(7),
        );
        same(
            Expression::SquareRoot(Box::new(c("i") + 2)),
            Value::from(3.0),
        );
        for bad in [
            c("big") + 1,
            c("i") / c("zero"),
            c("i") % c("zero"),
            c("i") % 0.0,
            c("t") + 1,
            Expression::Logarithm(Box::new(c("zero"))),
            Expression::SquareRoot(Box::new(c("j"))),
            Expression::literal(f64::MAX) * 2.0,
            -Expression::literal(i64::MIN),
            Expression::Concatenate(vec![c("t"), c("i")]),
        ] {
            assert_eq!(
                value(bad.clone()).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{bad:?}"
            );
        }
        assert_eq!(value(c("nowhere")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_not_finite_stays_visible() {
        let row = row! { "nan": f64::NAN, "inf": f64::INFINITY, "one": 1 };
        for (e, expect) in [
            (c("nan") + 1, f64::NAN),
            (c("inf") - c("inf"), f64::NAN),
            (c("one") / c("inf"), 0.0),
            (
                Expression::Minimum(Box::new([c("one"), c("nan")])),
                f64::NAN,
            ),
            (
                Expression::Maximum(Box::new([c("nan"), c("one")])),
                f64::NAN,
            ),
            (
                Expression::Maximum(Box::new([c("inf"), c("one")])),
                f64::INFINITY,
            ),
        ] {
            assert_eq!(e.evaluate(&row).unwrap(), Value::from(expect), "{e:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| (1..n).fold(Expression::literal(1), |e, _| -e);
        let row = Row::new();
        assert!(deep(EXPRESSION_DEPTH_MAX).evaluate(&row).is_ok());
        assert!(deep(EXPRESSION_DEPTH_MAX).check().is_ok());
        let error = deep(EXPRESSION_DEPTH_MAX + 1).evaluate(&row).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert!(deep(EXPRESSION_DEPTH_MAX + 1).check().is_err());
    }
}
