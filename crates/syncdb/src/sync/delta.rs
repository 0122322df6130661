//! [`Delta`]: what a mutation does to a column's value, instead of replacing it whatever it was.

use std::collections::BTreeSet;
use std::fmt;

use common::{Error, Result, Value};

/// A change of one column that is relative to the value it meets.
///
/// Increments, and additions to and removals from a set, give the same result in whatever order they arrive, so
/// they never conflict and are never made into absolute values on their way. Integers add up exactly; the sum of
/// floats depends on the order in its last bits.
///
/// ```
/// use common::Value;
/// use syncdb::Delta;
/// let by = Delta::Increment(Value::from(-2));
/// assert_eq!(by.apply(&Value::from(5))?, Value::from(3));
/// let tag = Delta::Elements { add: vec![Value::from("b")], remove: vec![Value::from("c")] };
/// let tags = Value::from(vec![Value::from("c"), Value::from("a")]);
/// assert_eq!(tag.apply(&tags)?, Value::from(vec![Value::from("a"), Value::from("b")]));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Adds a number; to null, as to zero.
    Increment(Value),
    /// Adds elements to a list that is a set, and takes others away. None is in both.
    Elements {
        /// What is to be in it.
        add: Vec<Value>,
        /// What is not to be in it.
        remove: Vec<Value>,
    },
    /// Puts a value in the place of another, for strategies that look at what both sides started from.
    Replace {
        /// What the column held.
        base: Value,
        /// What it is to hold.
        value: Value,
    },
}

impl Delta {
    /// The value that comes of it.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when a number is added to what is none, when the sum leaves the range of
    /// integers, and when elements are added to what is no list.
    pub fn apply(&self, value: &Value) -> Result<Value> {
        match self {
            Self::Increment(by) => add(value, by),
            Self::Elements { add, remove } => {
                let mut elements = elements(value)?;
                for element in remove {
                    elements.remove(element);
                }
                elements.extend(add.iter().cloned());
                Ok(Value::List(elements.into_iter().collect()))
            }
            Self::Replace { value, .. } => Ok(value.clone()),
        }
    }

    /// The difference between two numbers, as an increment; null is zero.
    ///
    /// # Errors
    /// As [`Delta::apply`].
    pub fn between_numbers(before: &Value, after: &Value) -> Result<Self> {
        let negative = match before {
            Value::Null => Value::Int(0),
            Value::Int(before) => Value::Int(before.checked_neg().ok_or_else(too_large)?),
            Value::Float(before) => Value::Float(-before),
            other => return Err(no_number(other)),
        };
        add(after, &negative).map(Self::Increment)
    }

    /// The difference between two sets.
    ///
    /// # Errors
    /// As [`Delta::apply`].
    pub fn between_sets(before: &Value, after: &Value) -> Result<Self> {
        let (before, after) = (elements(before)?, elements(after)?);
        Ok(Self::Elements {
            add: after.difference(&before).cloned().collect(),
            remove: before.difference(&after).cloned().collect(),
        })
    }

    /// As a value, for the tables of a replica.
    pub(crate) fn to_value(&self) -> Value {
        let list = |values: &[Value]| Value::List(values.into());
        Value::from(match self {
            Self::Increment(by) => vec![Value::Int(0), by.clone()],
            Self::Elements { add, remove } => vec![Value::Int(1), list(add), list(remove)],
            Self::Replace { base, value } => vec![Value::Int(2), base.clone(), value.clone()],
        })
    }

    /// The delta that [`Delta::to_value`] was given for.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        match value.as_list()? {
            [Value::Int(0), by] => Some(Self::Increment(by.clone())),
            [Value::Int(1), add, remove] => Some(Self::Elements {
                add: add.as_list()?.to_vec(),
                remove: remove.as_list()?.to_vec(),
            }),
            [Value::Int(2), base, value] => Some(Self::Replace {
                base: base.clone(),
                value: value.clone(),
            }),
            _ => None,
        }
    }

    /// Bytes of memory that the values in it take.
    pub(crate) fn heap_bytes(&self) -> usize {
        let sum = |values: &[Value]| -> usize { values.iter().map(|v| 32 + v.heap_bytes()).sum() };
        match self {
            Self::Increment(by) => 32 + by.heap_bytes(),
            Self::Elements { add, remove } => sum(add) + sum(remove),
            Self::Replace { base, value } => 64 + base.heap_bytes() + value.heap_bytes(),
        }
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Increment(by) => write!(f, "+ {by}"),
            Self::Elements { add, remove } => {
                let mut separator = "";
                for (sign, elements) in [('+', add), ('-', remove)] {
                    for element in elements {
                        write!(f, "{separator}{sign} {element:?}")?;
                        separator = ", ";
                    }
                }
                Ok(())
            }
            Self::Replace { value, .. } => write!(f, "= {value:?}"),
        }
    }
}

/// A list as a set: its elements in order, each once. That is how a set is stored, so that equal sets are equal
/// values.
pub(crate) fn canonical_set(value: &Value) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    Ok(Value::List(elements(value)?.into_iter().collect()))
}

pub(crate) fn elements(value: &Value) -> Result<BTreeSet<Value>> {
    match value {
        Value::Null => Ok(BTreeSet::new()),
        Value::List(items) => Ok(items.iter().cloned().collect()),
        other => Err(Error::invalid(format!(
            "a set is kept in a column of lists, not of {}",
            other.kind().name()
        ))),
    }
}

fn add(value: &Value, by: &Value) -> Result<Value> {
    let sum = match (value, by) {
        (Value::Null, by @ (Value::Int(_) | Value::Float(_))) => by.clone(),
        (Value::Int(value), Value::Int(by)) => {
            Value::Int(value.checked_add(*by).ok_or_else(too_large)?)
        }
        (Value::Float(value), Value::Float(by)) => Value::Float(value + by),
        #[expect(clippy::cast_precision_loss, reason = "a column of floats is one")]
        (Value::Float(value), Value::Int(by)) => Value::Float(value + *by as f64),
        #[expect(
            clippy::cast_precision_loss,
            reason = "only a column of any type lets both in"
        )]
        (Value::Int(value), Value::Float(by)) => Value::Float(*value as f64 + by),
        (Value::Int(_) | Value::Float(_) | Value::Null, other) | (other, _) => {
            return Err(no_number(other));
        }
    };
    Ok(sum)
}

#[cold]
fn too_large() -> Error {
    Error::invalid("the sum is beyond the integers of 64 bits")
}

#[cold]
fn no_number(value: &Value) -> Error {
    Error::invalid(format!(
        "a counter holds numbers, not {}",
        value.kind().name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_zero_and_the_empty_set() {
        assert_eq!(
            Delta::Increment(Value::from(2))
                .apply(&Value::Null)
                .unwrap(),
            Value::from(2)
        );
        let add = Delta::Elements {
            add: vec![Value::from(1)],
            remove: vec![Value::from(2)],
        };
        assert_eq!(
            add.apply(&Value::Null).unwrap(),
            Value::from(vec![Value::from(1)])
        );
    }

    #[test]
    fn a_sum_beyond_the_range_is_refused_and_not_wrapped() {
        let by = Delta::Increment(Value::from(1));
        assert!(by.apply(&Value::from(i64::MAX)).is_err());
        assert!(Delta::between_numbers(&Value::from(i64::MIN), &Value::from(0)).is_err());
        assert!(by.apply(&Value::from("text")).is_err());
        assert!(
            Delta::Increment(Value::from("text"))
                .apply(&Value::from(1))
                .is_err()
        );
    }

    #[test]
    fn differences_lead_from_one_value_to_the_other() {
        let (a, b) = (Value::from(7), Value::from(-4));
        assert_eq!(
            Delta::between_numbers(&a, &b).unwrap().apply(&a).unwrap(),
            b
        );
        let set =
            |items: &[i64]| Value::from(items.iter().map(|i| Value::from(*i)).collect::<Vec<_>>());
        let (a, b) = (set(&[1, 2, 3]), set(&[2, 5]));
        assert_eq!(Delta::between_sets(&a, &b).unwrap().apply(&a).unwrap(), b);
    }
}
