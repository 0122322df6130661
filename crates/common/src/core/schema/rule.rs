//! [`Rule`]: what a column's values must satisfy beyond their type.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::base::{Text, Value};

/// A check written by the application, found by its name in a [`RuleRegistry`].
///
/// Returns what is wrong with the value, or `None` when nothing is, and the same for the same value on every thread:
/// `testkit::contract::rule` runs these promises against a rule.
pub type CustomRule = Arc<dyn Fn(&Value) -> Option<String> + Send + Sync>;

/// One rule for the values of a column; null passes every rule, nullability is the field's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// Between two values, both included; `None` leaves that side open.
    Range {
        /// Least value allowed.
        min: Option<Value>,
        /// Greatest value allowed.
        max: Option<Value>,
    },
    /// Number of characters of text, bytes of a byte string, or elements of a list, map or vector.
    Length {
        /// Least length allowed.
        min: usize,
        /// Greatest length allowed.
        max: usize,
    },
    /// Text that matches a regular expression in full.
    Pattern(String),
    /// One of these values.
    OneOf(Vec<Value>),
    /// A number, or vector elements, neither NaN nor infinite.
    Finite,
    /// The check registered under this name; a schema that names an unknown check does not compile.
    Custom(Text),
}

impl Rule {
    /// Values from `min` to `max`, both included.
    pub fn between(min: impl Into<Value>, max: impl Into<Value>) -> Self {
        Self::Range {
            min: Some(min.into()),
            max: Some(max.into()),
        }
    }

    /// Values of `min` or more.
    pub fn at_least(min: impl Into<Value>) -> Self {
        Self::Range {
            min: Some(min.into()),
            max: None,
        }
    }

    /// Values of `max` or less.
    pub fn at_most(max: impl Into<Value>) -> Self {
        Self::Range {
            min: None,
            max: Some(max.into()),
        }
    }

    /// Lengths from `min` to `max`, both included.
    pub const fn length(min: usize, max: usize) -> Self {
        Self::Length { min, max }
    }

    /// Text that matches `pattern` from beginning to end.
    pub fn pattern(pattern: impl Into<String>) -> Self {
        Self::Pattern(pattern.into())
    }

    /// One of `values`.
    pub fn one_of<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::OneOf(values.into_iter().map(Into::into).collect())
    }

    /// The rule's name, as violations give it.
    pub fn name(&self) -> &str {
        match self {
            Self::Range { .. } => "range",
            Self::Length { .. } => "length",
            Self::Pattern(_) => "pattern",
            Self::OneOf(_) => "one_of",
            Self::Finite => "finite",
            Self::Custom(name) => name,
        }
    }
}

/// The application's own checks by name: the door for rules that this library does not have.
///
/// ```
/// use common::schema::{Field, FieldType, Rule, RuleRegistry, Schema};
/// use common::{row, Value};
/// let mut rules = RuleRegistry::default();
/// rules.register("even", |value: &Value| match value.as_int() {
///     Some(n) if n % 2 == 0 => None,
///     _ => Some(format!("{value} is not even")),
/// });
/// let schema = Schema::build("pairs", ["n"])
///     .field(Field::new("n", FieldType::Int).rule(Rule::Custom("even".into())))
///     .finish()?;
/// let validator = schema.compile(&rules)?;
/// assert!(validator.values(row! { "n": 4 }).is_ok());
/// assert_eq!(validator.values(row! { "n": 5 }).unwrap_err().violations()[0].rule, "even");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct RuleRegistry(BTreeMap<Text, CustomRule>);

impl RuleRegistry {
    /// Registers a check under a name, in place of an earlier one of that name.
    pub fn register(
        &mut self,
        name: impl Into<Text>,
        check: impl Fn(&Value) -> Option<String> + Send + Sync + 'static,
    ) {
        self.0.insert(name.into(), Arc::new(check));
    }

    /// The check of this name.
    pub fn get(&self, name: &str) -> Option<&CustomRule> {
        self.0.get(name)
    }

    /// Names of all checks, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Text> {
        self.0.keys()
    }
}

impl fmt::Debug for RuleRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
