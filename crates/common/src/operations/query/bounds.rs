//! What a predicate says about single columns: the values or the range that an index can look up.
//!
//! Bounds are necessary, not sufficient: a row that is meant lies within them, a row within them still has
//! to match the predicate. They follow the total order of [`Value`], in which indexes keep their keys.

use std::ops::Bound;

use super::compile::Node;
use super::filter::CompareOp;
use super::layout::{Layout, Place};
use crate::core::base::Value;
use crate::core::schema::FieldType;

/// What is known of one column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constraint {
    /// The only values possible, sorted, none twice.
    pub(super) points: Option<Vec<Value>>,
    /// Least value possible.
    pub(super) lower: Bound<Value>,
    /// Greatest value possible.
    pub(super) upper: Bound<Value>,
}

/// What is known of each column; columns that are not here may have any value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Bounds {
    columns: Vec<(usize, Constraint)>,
    /// Whether no row can match.
    pub(super) impossible: bool,
}

impl Constraint {
    pub(super) const NONE: Self = Self {
        points: None,
        lower: Bound::Unbounded,
        upper: Bound::Unbounded,
    };

    fn points(mut points: Vec<Value>) -> Self {
        points.sort_unstable();
        points.dedup();
        Self {
            points: Some(points),
            ..Self::NONE
        }
    }

    pub(super) fn range(lower: Bound<Value>, upper: Bound<Value>) -> Self {
        Self {
            points: None,
            lower,
            upper,
        }
    }

    pub(super) fn is_range(&self) -> bool {
        self.points.is_none() && *self != Self::NONE
    }

    /// Both hold.
    pub(super) fn narrow(&mut self, other: Self) {
        self.points = match (self.points.take(), other.points) {
            (Some(mut ours), Some(theirs)) => {
                ours.retain(|value| theirs.binary_search(value).is_ok());
                Some(ours)
            }
            (ours, theirs) => ours.or(theirs),
        };
        if is_tighter(&other.lower, &self.lower, std::cmp::Ordering::Greater) {
            self.lower = other.lower;
        }
        if is_tighter(&other.upper, &self.upper, std::cmp::Ordering::Less) {
            self.upper = other.upper;
        }
        let (lower, upper) = (self.lower.as_ref(), self.upper.as_ref());
        if let Some(points) = &mut self.points {
            points.retain(|value| (lower, upper).contains_value(value));
        }
    }

    fn is_empty(&self) -> bool {
        if let Some(points) = &self.points {
            return points.is_empty();
        }
        match (&self.lower, &self.upper) {
            (Bound::Included(low), Bound::Included(high)) => low > high,
            (
                Bound::Included(low) | Bound::Excluded(low),
                Bound::Included(high) | Bound::Excluded(high),
            ) => low >= high,
            _ => false,
        }
    }
}

trait ContainsValue {
    fn contains_value(&self, value: &Value) -> bool;
}

impl ContainsValue for (Bound<&Value>, Bound<&Value>) {
    fn contains_value(&self, value: &Value) -> bool {
        std::ops::RangeBounds::<Value>::contains(self, value)
    }
}

fn is_tighter(new: &Bound<Value>, old: &Bound<Value>, side: std::cmp::Ordering) -> bool {
    match (new, old) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (
            Bound::Included(new_value) | Bound::Excluded(new_value),
            Bound::Included(old_value) | Bound::Excluded(old_value),
        ) => {
            let ordering = new_value.cmp(old_value);
            ordering == side
                || (ordering.is_eq()
                    && matches!((new, old), (Bound::Excluded(_), Bound::Included(_))))
        }
    }
}

impl Bounds {
    /// What follows from the condition being true.
    pub(super) fn of(node: &Node, layout: &Layout) -> Self {
        let mut bounds = Self::default();
        bounds.add(node, layout);
        bounds.impossible |= bounds.columns.iter().any(|(_, c)| c.is_empty());
        bounds
    }

    pub(super) fn get(&self, column: usize) -> Option<&Constraint> {
        self.columns
            .iter()
            .find(|(position, _)| *position == column)
            .map(|(_, constraint)| constraint)
    }

    fn add(&mut self, node: &Node, layout: &Layout) {
        match node {
            Node::Never => self.impossible = true,
            Node::All(parts) => parts.iter().for_each(|part| self.add(part, layout)),
            node => {
                if let Some((column, constraint)) = constraint(node, layout) {
                    self.narrow(column, constraint);
                }
            }
        }
    }

    /// Adds what else is known of a column.
    pub(super) fn narrow(&mut self, column: usize, constraint: Constraint) {
        match self.columns.iter_mut().find(|(known, _)| *known == column) {
            Some((_, known)) => known.narrow(constraint),
            None => self.columns.push((column, constraint)),
        }
    }
}

fn constraint(node: &Node, layout: &Layout) -> Option<(usize, Constraint)> {
    let ty = |column: usize| layout.columns().get(column).map(|column| &column.ty);
    match node {
        Node::Int { column, op, value } => {
            Some((*column, comparison(*op, Value::Int(*value), true)))
        }
        Node::TextEqual { column, value } => Some((
            *column,
            Constraint::points(vec![Value::Text(value.clone())]),
        )),
        Node::Compare { at, op, value } => {
            let column = at.whole()?;
            let (value, exact) = key_form(ty(column)?, value)?;
            Some((column, comparison(*op, value, exact)))
        }
        Node::In {
            at,
            set,
            negated: false,
        } => {
            let column = at.whole()?;
            let ty = ty(column)?;
            let mut points = Vec::with_capacity(set.values().len());
            for value in set.values() {
                // A value without an exact form equals no stored one.
                if let (value, true) = key_form(ty, value)? {
                    points.push(value);
                }
            }
            Some((column, Constraint::points(points)))
        }
        Node::StartsWith {
            at,
            prefix,
            negated: false,
        } => prefixed(at, prefix),
        Node::Like {
            at,
            pattern,
            negated: false,
        } => prefixed(at, &pattern.prefix()),
        Node::IsNull { at, negated } => {
            let column = at.whole()?;
            let constraint = if *negated {
                Constraint::range(Bound::Excluded(Value::Null), Bound::Unbounded)
            } else {
                Constraint::points(vec![Value::Null])
            };
            Some((column, constraint))
        }
        Node::Any(parts) => {
            let mut points = Vec::new();
            let mut only = None;
            for part in parts {
                let (column, constraint) = constraint(part, layout)?;
                if *only.get_or_insert(column) != column {
                    return None;
                }
                points.extend(constraint.points?);
            }
            Some((only?, Constraint::points(points)))
        }
        _ => None,
    }
}

fn comparison(op: CompareOp, value: Value, exact: bool) -> Constraint {
    // Nulls come first in the total order and match no comparison.
    let first = Bound::Excluded(Value::Null);
    match op {
        CompareOp::Eq if exact => Constraint::points(vec![value]),
        CompareOp::Eq => Constraint::points(Vec::new()),
        CompareOp::Ne => Constraint::range(first, Bound::Unbounded),
        // A rounded bound stays included: rows at it are checked anyway.
        CompareOp::Lt if exact => Constraint::range(first, Bound::Excluded(value)),
        CompareOp::Lt | CompareOp::Le => Constraint::range(first, Bound::Included(value)),
        CompareOp::Gt if exact => Constraint::range(Bound::Excluded(value), Bound::Unbounded),
        CompareOp::Gt | CompareOp::Ge => {
            Constraint::range(Bound::Included(value), Bound::Unbounded)
        }
    }
}

/// The literal in the representation that the column stores, and whether it is exactly the same value;
/// `None` when an index order says nothing about it.
#[expect(clippy::cast_precision_loss, reason = "inexactness is reported")]
#[expect(clippy::cast_possible_truncation, reason = "checked by casting back")]
fn key_form(ty: &FieldType, value: &Value) -> Option<(Value, bool)> {
    match (ty, value) {
        (FieldType::Float, Value::Int(int)) => {
            let float = *int as f64;
            Some((Value::Float(float), float as i128 == i128::from(*int)))
        }
        (FieldType::Int, Value::Float(float)) => {
            let int = *float as i64;
            let exact = value.compare(&Value::Int(int)) == Some(std::cmp::Ordering::Equal);
            Some((Value::Int(int), exact))
        }
        // There, `1` and `1.0` are two keys.
        (FieldType::Any, Value::Int(_) | Value::Float(_)) => None,
        (_, value) => Some((value.clone(), true)),
    }
}

/// Texts that begin with `prefix`.
fn prefixed(at: &Place, prefix: &str) -> Option<(usize, Constraint)> {
    let column = at.whole()?;
    if prefix.is_empty() {
        return None;
    }
    let upper = match after_prefix(prefix) {
        Some(end) => Bound::Excluded(Value::from(end)),
        None => Bound::Unbounded,
    };
    Some((
        column,
        Constraint::range(Bound::Included(Value::from(prefix)), upper),
    ))
}

/// The least text greater than every text that begins with `prefix`.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The next character, over the gap of the surrogates.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::schema::{Field, Schema};
    use crate::operations::query::compile::compile;
    use crate::operations::query::filter::{Filter, FilterRegistry};

    fn bounds(text: &str) -> Bounds {
        let schema = Schema::build("t", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("f", FieldType::Float).nullable())
            .field(Field::new("t", FieldType::Text).nullable())
            .field(Field::new("a", FieldType::Any).nullable())
            .finish()
            .unwrap();
        let layout = Layout::of_schema(&schema);
        let filter = Filter::parse(text).unwrap();
        let predicate = compile(&filter, &layout, &FilterRegistry::default()).unwrap();
        Bounds::of(predicate.node(), &layout)
    }

    #[test]
    fn equality_range_and_prefix_are_found() {
        let check = |text: &str, column: usize, expected: &str| {
            let bounds = bounds(text);
            let found = bounds.get(column).map(|c| match &c.points {
                Some(points) => format!("{points:?}"),
                None => format!("{:?} {:?}", c.lower, c.upper),
            });
            assert_eq!(found.as_deref().unwrap_or(""), expected, "{text}");
        };
        check("id == 5", 0, "[5]");
        check("id == 5.0 and f > 1", 0, "[5]");
        check("id == 5.0 and f > 1", 1, "Excluded(1.0) Unbounded");
        check("id in (3, 1, 2.5, null)", 0, "[1, 3]");
        check("id == 1 or id == 3 or id in (5)", 0, "[1, 3, 5]");
        check("id == 1 or f == 3", 0, "");
        check("not (id < 3 or id >= 7)", 0, "Included(3) Excluded(7)");
        check("id > 2.5 and id < 9", 0, "Excluded(2) Excluded(9)");
        check(
            "f < 9007199254740993",
            1,
            "Excluded(null) Included(9007199254740992.0)",
        );
        check(
            "t like 'Ou%' and t != 'x'",
            2,
            "Included(\"Ou\") Excluded(\"Ov\")",
        );
        check(
            "t starts with 'a\u{10ffff}'",
            2,
            &format!("Included({:?}) Excluded(\"b\")", "a\u{10ffff}"),
        );
        check("t is null", 2, "[null]");
        check("a == 1", 3, "");
        check("a == 'x'", 3, "[\"x\"]");
        check("not id in (1)", 0, "");
    }

    #[test]
    fn contradictions_are_found() {
        for text in [
            "id == 5 and id == 6",
            "id > 5 and id < 5",
            "id >= 5 and id < 5",
            "id in (1, 2) and id > 2",
            "id == 2.5",
            "f == 9007199254740993",
            "not true",
            "t == null",
            "id in ()",
        ] {
            assert!(bounds(text).impossible, "{text}");
        }
        assert!(!bounds("id >= 5 and id <= 5").impossible);
    }
}
