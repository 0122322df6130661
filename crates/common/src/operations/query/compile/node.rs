//! [`Node`]: the compiled form of a filter.

use std::cmp::Ordering;
use std::fmt;

use super::pattern::Pattern;
use crate::core::base::{Text, Value};
use crate::operations::query::filter::{CompareOp, CustomFilter};
use crate::operations::query::layout::Place;

/// One compiled condition: true or not, with `not` already pushed into it.
#[derive(Clone)]
pub(in crate::operations::query) enum Node {
    Always,
    Never,
    /// A whole column of integers against an integer.
    Int {
        column: usize,
        op: CompareOp,
        value: i64,
    },
    /// A whole column equal to a text.
    TextEqual {
        column: usize,
        value: Text,
    },
    Compare {
        at: Place,
        op: CompareOp,
        value: Value,
    },
    In {
        at: Place,
        set: ValueSet,
        negated: bool,
    },
    Like {
        at: Place,
        pattern: Pattern,
        negated: bool,
    },
    StartsWith {
        at: Place,
        prefix: Text,
        negated: bool,
    },
    Contains {
        at: Place,
        value: Value,
        negated: bool,
    },
    IsNull {
        at: Place,
        negated: bool,
    },
    Custom {
        name: Text,
        condition: CustomFilter,
        places: Box<[Place]>,
        arguments: Box<[Value]>,
        negated: bool,
    },
    All(Box<[Node]>),
    Any(Box<[Node]>),
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Never => f.write_str("never"),
            Self::Int { column, op, value } => write!(f, "#{column} {} {value}", op.symbol()),
            Self::TextEqual { column, value } => write!(f, "#{column} == {value:?}"),
            Self::Compare { at, op, value } => write!(f, "{at:?} {} {value:?}", op.symbol()),
            Self::In { at, set, negated } => write!(f, "{at:?} in {set:?} ^ {negated}"),
            Self::Like {
                at,
                pattern,
                negated,
            } => {
                write!(f, "{at:?} like {pattern:?} ^ {negated}")
            }
            Self::StartsWith {
                at,
                prefix,
                negated,
            } => {
                write!(f, "{at:?} starts {prefix:?} ^ {negated}")
            }
            Self::Contains { at, value, negated } => {
                write!(f, "{at:?} contains {value:?} ^ {negated}")
            }
            Self::IsNull { at, negated } => write!(f, "{at:?} is null ^ {negated}"),
            Self::Custom { name, negated, .. } => write!(f, "{name}(..) ^ {negated}"),
            Self::All(parts) => f.debug_tuple("all").field(parts).finish(),
            Self::Any(parts) => f.debug_tuple("any").field(parts).finish(),
        }
    }
}

impl Node {
    pub(super) const fn constant(value: bool) -> Self {
        if value { Self::Always } else { Self::Never }
    }

    /// All of the parts, flattened and without constants.
    pub(in crate::operations::query) fn all(parts: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Always => {}
                Self::Never => return Self::Never,
                Self::All(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        match flat.len() {
            0 => Self::Always,
            1 => flat.pop().unwrap_or(Self::Always),
            _ => Self::All(flat.into()),
        }
    }

    /// Any of the parts, flattened and without constants.
    pub(super) fn any(parts: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Never => {}
                Self::Always => return Self::Always,
                Self::Any(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        match flat.len() {
            0 => Self::Never,
            1 => flat.pop().unwrap_or(Self::Never),
            _ => Self::Any(flat.into()),
        }
    }

    /// Whether the condition is true of the row; unknown is not.
    #[inline]
    pub(in crate::operations::query) fn is_true(&self, row: &[Value]) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Int { column, op, value } => match row.get(*column) {
                Some(Value::Int(found)) => op.holds(found.cmp(value)),
                _ => false,
            },
            Self::TextEqual { column, value } => match row.get(*column) {
                Some(Value::Text(found)) => found == value,
                _ => false,
            },
            Self::Compare { at, op, value } => at
                .of(row)
                .compare(value)
                .is_some_and(|ordering| op.holds(ordering)),
            Self::All(parts) => parts.iter().all(|part| part.is_true(row)),
            Self::Any(parts) => parts.iter().any(|part| part.is_true(row)),
            other => other.outcome(row),
        }
    }

    fn outcome(&self, row: &[Value]) -> bool {
        let (outcome, negated) = match self {
            Self::In { at, set, negated } => (set.has(at.of(row)), negated),
            Self::Like {
                at,
                pattern,
                negated,
            } => (at.of(row).as_text().map(|t| pattern.matches(t)), negated),
            Self::StartsWith {
                at,
                prefix,
                negated,
            } => {
                let text = at.of(row).as_text();
                (text.map(|t| t.starts_with(prefix.as_str())), negated)
            }
            Self::Contains { at, value, negated } => (contains(at.of(row), value), negated),
            Self::IsNull { at, negated } => (Some(at.of(row).is_null()), negated),
            Self::Custom {
                condition,
                places,
                arguments,
                negated,
                ..
            } => {
                let values: Vec<&Value> = places.iter().map(|at| at.of(row)).collect();
                (condition(&values, arguments), negated)
            }
            // The other kinds are answered by `is_true`.
            _ => (None, &false),
        };
        outcome == Some(!negated)
    }

    /// Calls `visit` with every column that the condition reads.
    pub(in crate::operations::query) fn columns(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Always | Self::Never => {}
            Self::Int { column, .. } | Self::TextEqual { column, .. } => visit(*column),
            Self::Compare { at, .. }
            | Self::In { at, .. }
            | Self::Like { at, .. }
            | Self::StartsWith { at, .. }
            | Self::Contains { at, .. }
            | Self::IsNull { at, .. } => visit(at.column),
            Self::Custom { places, .. } => places.iter().for_each(|at| visit(at.column)),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.columns(visit));
            }
        }
    }
}

/// `contains`: unknown when either is null or the container is none.
fn contains(container: &Value, value: &Value) -> Option<bool> {
    match (container, value) {
        (_, Value::Null) => None,
        (Value::List(items), value) => Some(
            items
                .iter()
                .any(|item| item.compare(value) == Some(Ordering::Equal)),
        ),
        (Value::Text(text), Value::Text(part)) => Some(text.contains(part.as_str())),
        (Value::Map(map), Value::Text(key)) => Some(map.contains_key(key)),
        _ => None,
    }
}

/// The values of an `in`, sorted when they are all of one class.
#[derive(Debug, Clone)]
pub(in crate::operations::query) struct ValueSet {
    values: Box<[Value]>,
    /// Whether all values compare with each other, so that they are sorted and can be searched.
    sorted: bool,
    /// Whether a null or NaN is listed, so that a miss is unknown.
    has_unknown: bool,
}

impl ValueSet {
    pub(super) fn new(values: Vec<Value>) -> Self {
        let count = values.len();
        let mut values: Vec<Value> = values
            .into_iter()
            .filter(|value| value.compare(value).is_some())
            .collect();
        let has_unknown = values.len() < count;
        values.sort_unstable();
        values.dedup();
        // The total order puts the kinds one after another and numbers in one class.
        let sorted = match (values.first(), values.last()) {
            (Some(first), Some(last)) => first.compare(last).is_some(),
            _ => true,
        };
        Self {
            values: values.into(),
            sorted,
            has_unknown,
        }
    }

    /// The values that can be found, none twice.
    pub(in crate::operations::query) fn values(&self) -> &[Value] {
        &self.values
    }

    fn has(&self, value: &Value) -> Option<bool> {
        if value.is_null() {
            return None;
        }
        let (found, comparable) = if self.sorted {
            let comparable = self
                .values
                .first()
                .is_none_or(|v| v.compare(value).is_some());
            let search = |v: &Value| v.compare(value).unwrap_or(Ordering::Less);
            (
                comparable && self.values.binary_search_by(search).is_ok(),
                comparable,
            )
        } else {
            let mut comparable = true;
            let found = self.values.iter().any(|v| match v.compare(value) {
                Some(ordering) => ordering.is_eq(),
                None => {
                    comparable = false;
                    false
                }
            });
            (found, comparable)
        };
        if found {
            Some(true)
        } else if self.has_unknown || !comparable {
            None
        } else {
            Some(false)
        }
    }
}
