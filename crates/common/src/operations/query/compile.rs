//! Compiles a [`Filter`] over a schema into a [`Predicate`].
//!
//! A row is meant only when the tree is *true*, so the compiled form knows two outcomes: `not` is pushed
//! down to the conditions (De Morgan's laws hold in three-valued logic), and each condition has a form that
//! is true exactly when the condition is true, and a negated form that is true exactly when it is false.

mod node;
mod pattern;

pub(super) use node::Node;
use node::ValueSet;
pub(super) use pattern::Pattern;

use super::coerce::{coerce, not_for};
use super::filter::{CompareOp, Filter, FilterRegistry};
use super::layout::{Layout, Place};
use super::path::Path;
use crate::core::base::Value;
use crate::core::schema::{FieldType, Schema};
use crate::error::{Error, Result};

/// A filter compiled for one schema.
///
/// A comparison of a whole column costs a few nanoseconds a row; conditions are tried in the order in which
/// they were written.
#[derive(Debug, Clone)]
pub struct Predicate {
    node: Node,
}

impl Predicate {
    /// Whether the row (values in storage order) is meant.
    #[inline]
    pub fn matches(&self, row: &[Value]) -> bool {
        self.node.is_true(row)
    }

    /// Whether every row is meant, so that nothing needs to be checked.
    pub fn is_always_true(&self) -> bool {
        matches!(self.node, Node::Always)
    }

    /// Whether no row can be meant.
    pub fn is_never_true(&self) -> bool {
        matches!(self.node, Node::Never)
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn from_node(node: Node) -> Self {
        Self { node }
    }
}

impl Filter {
    /// Compiles the filter for a schema: finds columns, fits literals to their types.
    ///
    /// ```
    /// use common::query::Filter;
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::Value;
    /// let schema = Schema::build("events", ["id"])
    ///     .field(Field::new("id", FieldType::Int))
    ///     .field(Field::new("day", FieldType::Date).nullable())
    ///     .finish()?;
    /// let recent = Filter::parse("day >= '2026-01-01'")?.compile(&schema)?;
    /// assert!(recent.matches(&[Value::from(1), Value::Date(common::Date(30_000))]));
    /// assert!(!recent.matches(&[Value::from(2), Value::Null]));
    /// let error = Filter::eq("day", 7).compile(&schema).unwrap_err();
    /// assert_eq!(error.message(), "`day` is date, which does not compare with int 7");
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown column or condition, with those there are;
    /// [`crate::ErrorKind::Invalid`] when a literal or condition does not fit its column's type or a
    /// parameter has no value; [`crate::ErrorKind::LimitExceeded`] for too large a tree.
    pub fn compile(&self, schema: &Schema) -> Result<Predicate> {
        self.compile_with(schema, &FilterRegistry::default())
    }

    /// As [`Filter::compile`], with the application's conditions.
    ///
    /// # Errors
    /// As [`Filter::compile`].
    pub fn compile_with(&self, schema: &Schema, registry: &FilterRegistry) -> Result<Predicate> {
        compile(self, &Layout::of_schema(schema), registry)
    }
}

pub(super) fn compile(
    filter: &Filter,
    layout: &Layout,
    registry: &FilterRegistry,
) -> Result<Predicate> {
    filter.check()?;
    let compiler = Compiler { layout, registry };
    compiler.node(filter, false).map(Predicate::from_node)
}

struct Compiler<'a> {
    layout: &'a Layout,
    registry: &'a FilterRegistry,
}

impl Compiler<'_> {
    /// The form of `filter` that is true when the filter is true or, `negated`, when it is false.
    fn node(&self, filter: &Filter, negated: bool) -> Result<Node> {
        match filter {
            Filter::True => Ok(Node::constant(!negated)),
            Filter::Not(part) => self.node(part, !negated),
            Filter::And(parts) => self.parts(parts, negated, !negated),
            Filter::Or(parts) => self.parts(parts, negated, negated),
            Filter::Compare { path, op, value } => {
                let op = if negated { op.negated() } else { *op };
                let (at, ty) = self.resolve(path)?;
                let value = coerce(path, &ty, value)?;
                Ok(compare(at, &ty, op, value))
            }
            Filter::Between { path, low, high } => {
                let (at, ty) = self.resolve(path)?;
                let low = coerce(path, &ty, low)?;
                let high = coerce(path, &ty, high)?;
                Ok(if negated {
                    Node::any(vec![
                        compare(at.clone(), &ty, CompareOp::Lt, low),
                        compare(at, &ty, CompareOp::Gt, high),
                    ])
                } else {
                    Node::all(vec![
                        compare(at.clone(), &ty, CompareOp::Ge, low),
                        compare(at, &ty, CompareOp::Le, high),
                    ])
                })
            }
            Filter::In { path, values } => {
                let (at, ty) = self.resolve(path)?;
                let values: Result<Vec<Value>> =
                    values.iter().map(|v| coerce(path, &ty, v)).collect();
                let values = values?;
                if values.is_empty() {
                    return Ok(Node::constant(negated));
                }
                Ok(Node::In {
                    at,
                    set: ValueSet::new(values),
                    negated,
                })
            }
            Filter::Like { path, pattern } => {
                let at = self.text(path, "like")?;
                let pattern = Pattern::new(pattern).map_err(|error| error.at(path))?;
                Ok(match pattern.literal() {
                    Some(text) if !negated => compare(at, &FieldType::Text, CompareOp::Eq, text),
                    _ => Node::Like {
                        at,
                        pattern,
                        negated,
                    },
                })
            }
            Filter::StartsWith { path, prefix } => Ok(Node::StartsWith {
                at: self.text(path, "starts with")?,
                prefix: prefix.clone(),
                negated,
            }),
            Filter::Contains { path, value } => {
                let (at, ty) = self.resolve(path)?;
                let element = match &ty {
                    FieldType::List(inner) => (**inner).clone(),
                    FieldType::Text | FieldType::Map(_) => FieldType::Text,
                    FieldType::Any => FieldType::Any,
                    other => {
                        return Err(not_for(path, other, "contains", "lists, text and maps"));
                    }
                };
                let value = coerce(path, &element, value)?;
                Ok(Node::Contains { at, value, negated })
            }
            Filter::IsNull { path } => {
                let (at, _) = self.resolve(path)?;
                Ok(Node::IsNull { at, negated })
            }
            Filter::Custom {
                name,
                paths,
                arguments,
            } => {
                let condition = self.registry.get(name)?.clone();
                let places: Result<Box<[Place]>> =
                    paths.iter().map(|p| self.layout.resolve(p)).collect();
                let arguments: Result<Box<[Value]>> = arguments
                    .iter()
                    .map(|v| coerce(&Path::column(name.clone()), &FieldType::Any, v))
                    .collect();
                Ok(Node::Custom {
                    name: name.clone(),
                    condition,
                    places: places?,
                    arguments: arguments?,
                    negated,
                })
            }
        }
    }

    fn parts(&self, parts: &[Filter], negated: bool, all: bool) -> Result<Node> {
        let parts: Result<Vec<Node>> = parts.iter().map(|p| self.node(p, negated)).collect();
        Ok(if all {
            Node::all(parts?)
        } else {
            Node::any(parts?)
        })
    }

    fn resolve(&self, path: &Path) -> Result<(Place, FieldType)> {
        let place = self.layout.resolve(path)?;
        let ty = self.layout.type_of(&place);
        Ok((place, ty))
    }

    fn text(&self, path: &Path, condition: &str) -> Result<Place> {
        match self.resolve(path)? {
            (at, FieldType::Text | FieldType::Any) => Ok(at),
            (_, other) => Err(not_for(path, &other, condition, "text")),
        }
    }
}

/// A comparison in its fastest form.
fn compare(at: Place, ty: &FieldType, op: CompareOp, value: Value) -> Node {
    match (ty, value) {
        (_, Value::Null) => Node::Never,
        (FieldType::Int, Value::Float(float)) => int_against_float(at, op, float),
        (FieldType::Int, Value::Int(value)) => match at.whole() {
            Some(column) => Node::Int { column, op, value },
            None => Node::Compare {
                at,
                op,
                value: Value::Int(value),
            },
        },
        (_, Value::Float(float)) if float.is_nan() => Node::Never,
        (FieldType::Text, Value::Text(value)) if op == CompareOp::Eq && at.parts.is_empty() => {
            Node::TextEqual {
                column: at.column,
                value,
            }
        }
        (_, value) => Node::Compare { at, op, value },
    }
}

/// Integers against a float, as integers against an integer: exact, and fit for an index.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked first"
)]
fn int_against_float(at: Place, op: CompareOp, float: f64) -> Node {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let (not_null, never) = (
        Node::IsNull {
            at: at.clone(),
            negated: true,
        },
        Node::Never,
    );
    if float.is_nan() {
        return never;
    }
    if float >= LIMIT {
        return match op {
            CompareOp::Lt | CompareOp::Le | CompareOp::Ne => not_null,
            CompareOp::Gt | CompareOp::Ge | CompareOp::Eq => never,
        };
    }
    if float < -LIMIT {
        return match op {
            CompareOp::Gt | CompareOp::Ge | CompareOp::Ne => not_null,
            CompareOp::Lt | CompareOp::Le | CompareOp::Eq => never,
        };
    }
    let below = float.floor();
    let whole = below as i64;
    let (op, value) = if below.total_cmp(&float).is_eq() || float == 0.0 {
        (op, whole)
    } else {
        match op {
            CompareOp::Eq => return never,
            CompareOp::Ne => return not_null,
            // Between two integers: below the float means up to the one below it.
            CompareOp::Lt | CompareOp::Le => (CompareOp::Le, whole),
            CompareOp::Gt | CompareOp::Ge => (CompareOp::Gt, whole),
        }
    };
    compare(at, &FieldType::Int, op, Value::Int(value))
}

/// A pattern that ends in the middle of an escape.
pub(super) fn open_escape() -> Error {
    Error::invalid(
        "a pattern does not end with a single `\\`; write `\\\\` for the character itself",
    )
}

#[cfg(test)]
mod tests;
