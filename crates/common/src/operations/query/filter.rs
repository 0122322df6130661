//! [`Filter`]: which rows are meant, as data.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::path::Path;
use crate::core::base::{Extension, Text, Value};
use crate::error::{Error, Result};
use crate::limits::{FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX, Limits};

/// Name of the extension type that stands for a parameter until a value is bound.
const PARAMETER: &str = "tandem.parameter";

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

impl CompareOp {
    /// Whether the operator holds between values that compare so.
    #[inline]
    pub const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }

    /// The operator that holds exactly when this one does not.
    #[must_use]
    pub const fn negated(self) -> Self {
        match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Lt => Self::Ge,
            Self::Le => Self::Gt,
            Self::Gt => Self::Le,
            Self::Ge => Self::Lt,
        }
    }

    /// The operator as the text syntax writes it.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// Which rows are meant: a tree of conditions, the same in Rust, JSON, text and Python.
///
/// **Nulls** follow SQL. A comparison with a null on either side is neither true nor false but *unknown*;
/// `not` of unknown is unknown; `and` is false if one side is false, else unknown if one is unknown; `or`
/// is true if one side is true, else unknown if one is unknown. A row is meant only when the whole tree is
/// true. So `country != 'FI'` leaves out rows without a country; say `or country is null` to have them.
/// Values of kinds that cannot be compared (only possible below columns of type `any`), and NaN, compare
/// as unknown too. Numbers compare by value: `1` equals `1.0`.
///
/// The tree has at most [`FILTER_NODES_MAX`] nodes, [`FILTER_DEPTH_MAX`] levels and [`FILTER_VALUES_MAX`]
/// listed values.
///
/// ```
/// use common::query::Filter;
/// let filter = Filter::eq("country", "FI").and(Filter::gt("population", 1000));
/// assert_eq!(filter.to_string(), "country == 'FI' and population > 1000");
/// assert_eq!(Filter::parse("country = 'FI' and population > 1000")?, filter);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Filter {
    /// Every row.
    #[default]
    True,
    /// The value at `path` compared with `value`.
    Compare {
        /// Where the value is.
        path: Path,
        /// How it is compared.
        op: CompareOp,
        /// With what.
        value: Value,
    },
    /// The value is one of these. Nothing is in an empty list; a null in the list makes every miss unknown.
    In {
        /// Where the value is.
        path: Path,
        /// The values allowed.
        values: Vec<Value>,
    },
    /// The value is from `low` to `high`, both included.
    Between {
        /// Where the value is.
        path: Path,
        /// Least value.
        low: Value,
        /// Greatest value.
        high: Value,
    },
    /// The text matches a pattern in full: `%` is any text, `_` any one character, `\` takes the next
    /// character as it is. Upper and lower case differ.
    Like {
        /// Where the text is.
        path: Path,
        /// The pattern.
        pattern: Text,
    },
    /// The text begins so.
    StartsWith {
        /// Where the text is.
        path: Path,
        /// The beginning.
        prefix: Text,
    },
    /// A list has an element equal to `value`, a text has `value` in it, or a map has `value` as a key.
    Contains {
        /// Where the list, text or map is.
        path: Path,
        /// What is looked for.
        value: Value,
    },
    /// There is no value. Always true or false, never unknown.
    IsNull {
        /// Where the value would be.
        path: Path,
    },
    /// All of these; true when empty.
    And(Vec<Filter>),
    /// Any of these; false when empty.
    Or(Vec<Filter>),
    /// The opposite; unknown stays unknown.
    Not(Box<Filter>),
    /// The application's own condition, found by name in a [`FilterRegistry`].
    Custom {
        /// Name it is registered under.
        name: Text,
        /// Where its values are.
        #[serde(default)]
        paths: Vec<Path>,
        /// What else it takes.
        #[serde(default)]
        arguments: Vec<Value>,
    },
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(path: impl Into<Path>, value: impl Into<Value>) -> Self {
            Self::Compare { path: path.into(), op: CompareOp::$op, value: value.into() }
        }
    )*};
}

impl Filter {
    comparisons! {
        /// The value equals `value`.
        eq => Eq;
        /// The value differs from `value`, and neither is null.
        ne => Ne;
        /// The value is less than `value`.
        lt => Lt;
        /// The value is `value` or less.
        le => Le;
        /// The value is greater than `value`.
        gt => Gt;
        /// The value is `value` or greater.
        ge => Ge;
    }

    /// The value is one of `values`.
    pub fn is_in<V: Into<Value>>(
        path: impl Into<Path>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::In {
            path: path.into(),
            values: values.into_iter().map(Into::into).collect(),
        }
    }

    /// The value is from `low` to `high`, both included.
    pub fn between(path: impl Into<Path>, low: impl Into<Value>, high: impl Into<Value>) -> Self {
        Self::Between {
            path: path.into(),
            low: low.into(),
            high: high.into(),
        }
    }

    /// The text matches a pattern with `%` and `_`; `\` takes the next character as it is.
    pub fn like(path: impl Into<Path>, pattern: impl Into<Text>) -> Self {
        Self::Like {
            path: path.into(),
            pattern: pattern.into(),
        }
    }

    /// The text begins with `prefix`.
    pub fn starts_with(path: impl Into<Path>, prefix: impl Into<Text>) -> Self {
        Self::StartsWith {
            path: path.into(),
            prefix: prefix.into(),
        }
    }

    /// A list has the element, a text the substring, a map the key.
    pub fn contains(path: impl Into<Path>, value: impl Into<Value>) -> Self {
        Self::Contains {
            path: path.into(),
            value: value.into(),
        }
    }

    /// There is no value.
    pub fn is_null(path: impl Into<Path>) -> Self {
        Self::IsNull { path: path.into() }
    }

    /// There is a value.
    pub fn is_not_null(path: impl Into<Path>) -> Self {
        Self::is_null(path).negate()
    }

    /// The application's condition `name` over the values at `paths`.
    pub fn custom<P: Into<Path>, V: Into<Value>>(
        name: impl Into<Text>,
        paths: impl IntoIterator<Item = P>,
        arguments: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::Custom {
            name: name.into(),
            paths: paths.into_iter().map(Into::into).collect(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// A place for a value that is [bound](Filter::bind) later; written `$name` in text.
    ///
    /// ```
    /// use common::query::Filter;
    /// use common::Value;
    /// let wanted = Filter::eq("country", Filter::param("country"));
    /// let bound = wanted.bind(&[("country", Value::from("FI"))])?;
    /// assert_eq!(bound, Filter::eq("country", "FI"));
    /// # Ok::<(), common::Error>(())
    /// ```
    pub fn param(name: impl AsRef<str>) -> Value {
        Value::from(Extension {
            name: PARAMETER.into(),
            bytes: name.as_ref().as_bytes().into(),
        })
    }

    /// This and also `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, other) => other,
            (this, Self::True) => this,
            (Self::And(mut all), other) => {
                all.push(other);
                Self::And(all)
            }
            (this, other) => Self::And(vec![this, other]),
        }
    }

    /// This or else `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut any) => {
                any.push(other);
                Self::Or(any)
            }
            this => Self::Or(vec![this, other]),
        }
    }

    /// The opposite; unknown stays unknown.
    #[must_use]
    pub fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Decodes the JSON form and checks it against the limits.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the bytes are no filter, [`crate::ErrorKind::LimitExceeded`] beyond a limit.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self> {
        limits.check_total(json.len())?;
        let filter: Self = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("not a filter: {error}")).caused_by(error))?;
        filter.check()?;
        Ok(filter)
    }

    /// Checks the tree's size: compiling does it, a decoder does it before anything else.
    ///
    /// # Errors
    /// [`crate::ErrorKind::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        let (mut nodes, mut values) = (0, 0);
        self.measure(1, &mut nodes, &mut values)
    }

    fn measure(&self, depth: usize, nodes: &mut usize, values: &mut usize) -> Result<()> {
        *nodes += 1;
        *values += match self {
            Self::In { values, .. } => values.len(),
            Self::Custom {
                paths, arguments, ..
            } => paths.len() + arguments.len(),
            _ => 0,
        };
        for (what, found, limit) in [
            ("levels", depth, FILTER_DEPTH_MAX),
            ("conditions", *nodes, FILTER_NODES_MAX),
            ("listed values", *values, FILTER_VALUES_MAX),
        ] {
            if found > limit {
                return Err(Error::limit_exceeded(format!(
                    "a filter has at most {limit} {what}, this one has more"
                )));
            }
        }
        match self {
            Self::And(all) | Self::Or(all) => all
                .iter()
                .try_for_each(|part| part.measure(depth + 1, nodes, values)),
            Self::Not(part) => part.measure(depth + 1, nodes, values),
            _ => Ok(()),
        }
    }

    /// The filter with every [parameter](Filter::param) replaced by its value; the last of a name counts.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when a parameter has no value.
    pub fn bind(&self, parameters: &[(&str, Value)]) -> Result<Self> {
        let mut bound = self.clone();
        bound.replace(&mut |value| {
            let Some(name) = parameter_name(value) else {
                return Ok(());
            };
            match parameters.iter().rev().find(|(known, _)| *known == name) {
                Some((_, found)) => {
                    *value = found.clone();
                    Ok(())
                }
                None => Err(unbound(name)),
            }
        })?;
        Ok(bound)
    }

    /// The filter with other names for its columns.
    #[must_use]
    pub fn map_columns(mut self, name: &dyn Fn(&Text) -> Text) -> Self {
        self.rename(name);
        self
    }

    fn rename(&mut self, name: &dyn Fn(&Text) -> Text) {
        match self {
            Self::Compare { path, .. }
            | Self::In { path, .. }
            | Self::Between { path, .. }
            | Self::Like { path, .. }
            | Self::StartsWith { path, .. }
            | Self::Contains { path, .. }
            | Self::IsNull { path } => path.column = name(&path.column),
            Self::Custom { paths, .. } => {
                for path in paths {
                    path.column = name(&path.column);
                }
            }
            Self::And(all) | Self::Or(all) => all.iter_mut().for_each(|part| part.rename(name)),
            Self::Not(part) => part.rename(name),
            Self::True => {}
        }
    }

    /// Whether a parameter waits for its value.
    pub fn has_parameters(&self) -> bool {
        let is_parameter = |value: &Value| parameter_name(value).is_some();
        match self {
            Self::Compare { value, .. } | Self::Contains { value, .. } => is_parameter(value),
            Self::In { values, .. } => values.iter().any(is_parameter),
            Self::Between { low, high, .. } => is_parameter(low) || is_parameter(high),
            Self::Custom { arguments, .. } => arguments.iter().any(is_parameter),
            Self::And(all) | Self::Or(all) => all.iter().any(Self::has_parameters),
            Self::Not(part) => part.has_parameters(),
            Self::True | Self::Like { .. } | Self::StartsWith { .. } | Self::IsNull { .. } => false,
        }
    }

    fn replace(&mut self, change: &mut dyn FnMut(&mut Value) -> Result<()>) -> Result<()> {
        match self {
            Self::Compare { value, .. } | Self::Contains { value, .. } => change(value),
            Self::In { values, .. } => values.iter_mut().try_for_each(change),
            Self::Between { low, high, .. } => {
                change(low)?;
                change(high)
            }
            Self::Custom { arguments, .. } => arguments.iter_mut().try_for_each(change),
            Self::And(all) | Self::Or(all) => all.iter_mut().try_for_each(|p| p.replace(change)),
            Self::Not(part) => part.replace(change),
            Self::True | Self::Like { .. } | Self::StartsWith { .. } | Self::IsNull { .. } => {
                Ok(())
            }
        }
    }
}

/// The name of the parameter that a value stands for.
pub(super) fn parameter_name(value: &Value) -> Option<&str> {
    match value {
        Value::Extension(ext) if ext.name == PARAMETER => std::str::from_utf8(&ext.bytes).ok(),
        _ => None,
    }
}

pub(super) fn unbound(name: &str) -> Error {
    Error::invalid(format!("parameter `${name}` has no value; bind one"))
}

impl std::ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        self.negate()
    }
}

/// The application's condition: the values at its paths and its arguments come in, true, false or unknown
/// (`None`) comes out. It depends on nothing else, because plans and live queries reuse answers.
pub type CustomFilter = Arc<dyn Fn(&[&Value], &[Value]) -> Option<bool> + Send + Sync>;

/// The application's conditions by name: the door for filters that this library does not have.
///
/// ```
/// use common::query::{Filter, FilterRegistry};
/// use common::schema::{Field, FieldType, Schema};
/// use common::Value;
/// let schema = Schema::build("pairs", ["n"]).field(Field::new("n", FieldType::Int)).finish()?;
/// let mut registry = FilterRegistry::default();
/// registry.register("even", |values, _| values.first()?.as_int().map(|n| n % 2 == 0));
/// let predicate = Filter::parse("even(n)")?.compile_with(&schema, &registry)?;
/// assert!(predicate.matches(&[Value::from(4)]));
/// assert!(!predicate.matches(&[Value::from(5)]));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct FilterRegistry(BTreeMap<Text, CustomFilter>);

impl FilterRegistry {
    /// Registers a condition under a name, in place of an earlier one of that name.
    pub fn register(
        &mut self,
        name: impl Into<Text>,
        condition: impl Fn(&[&Value], &[Value]) -> Option<bool> + Send + Sync + 'static,
    ) {
        self.0.insert(name.into(), Arc::new(condition));
    }

    /// The condition of this name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] with the names there are.
    pub fn get(&self, name: &str) -> Result<&CustomFilter> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(Text::as_str).collect();
            Error::not_found(format!(
                "no condition `{name}` is registered; registered are: {}",
                known.join(", ")
            ))
        })
    }
}

impl fmt::Debug for FilterRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn limits_hold_at_the_limit_and_fail_one_past_it() {
        let deep = |levels: usize| (1..levels).fold(Filter::True, |inner, _| !inner);
        assert!(deep(FILTER_DEPTH_MAX).check().is_ok());
        let error = deep(FILTER_DEPTH_MAX + 1).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);

        let wide = |nodes: usize| Filter::And(vec![Filter::True; nodes - 1]);
        assert!(wide(FILTER_NODES_MAX).check().is_ok());
        assert!(wide(FILTER_NODES_MAX + 1).check().is_err());

        let long = |values: usize| Filter::is_in("a", vec![1; values]);
        assert!(long(FILTER_VALUES_MAX).check().is_ok());
        assert!(long(FILTER_VALUES_MAX + 1).check().is_err());
    }

    #[test]
    fn json_form_is_stable() {
        let filter = Filter::eq("address.city", "Oulu")
            .and(Filter::is_in("n", [1, 2]))
            .and(!Filter::is_null("tags[0]"))
            .and(Filter::Or(vec![
                Filter::between("n", 1, 2.5),
                Filter::like("t", "a%"),
                Filter::starts_with("t", "b"),
                Filter::contains("tags", "x"),
                Filter::custom("near", ["place"], [5]),
                Filter::True,
            ]));
        let json = serde_json::to_string(&filter).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"and":[{"compare":{"path":"address.city","op":"eq","value":"Oulu"}},"#,
                r#"{"in":{"path":"n","values":[1,2]}},{"not":{"is_null":{"path":"tags[0]"}}},"#,
                r#"{"or":[{"between":{"path":"n","low":1,"high":2.5}},{"like":{"path":"t","pattern":"a%"}},"#,
                r#"{"starts_with":{"path":"t","prefix":"b"}},{"contains":{"path":"tags","value":"x"}},"#,
                r#"{"custom":{"name":"near","paths":["place"],"arguments":[5]}},"true"]}]}"#
            )
        );
        let limits = Limits::default();
        assert_eq!(Filter::from_json(json.as_bytes(), &limits).unwrap(), filter);
        let deepest = (1..FILTER_DEPTH_MAX).fold(Filter::eq("a", vec![Value::from(1)]), |f, _| {
            Filter::And(vec![f])
        });
        let json = serde_json::to_vec(&deepest).unwrap();
        assert_eq!(Filter::from_json(&json, &limits).unwrap(), deepest);
        let error = Filter::from_json(&json, &limits.total_bytes_max(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_parameter_needs_a_value() {
        let filter = Filter::between("n", Filter::param("low"), 9);
        assert!(filter.has_parameters());
        let error = filter.bind(&[("high", Value::from(1))]).unwrap_err();
        assert_eq!(error.message(), "parameter `$low` has no value; bind one");
        let bound = filter.bind(&[("low", Value::from(1))]).unwrap();
        assert_eq!(bound, Filter::between("n", 1, 9));
        assert!(!bound.has_parameters());
    }
}
