//! [`Field`]: one column, and [`FieldType`]: what it may hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rule::Rule;
use crate::core::base::{Text, Value, VectorElement};

/// Stable number of a column inside its table: it survives renames and is never given twice.
///
/// 0 means "not numbered yet"; [`super::Schema::build`] numbers such fields.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FieldId(pub u32);

/// What the values of a column are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldType {
    /// True or false.
    Bool,
    /// Signed 64-bit integers.
    Int,
    /// 64-bit floats; an integer that a float holds exactly is accepted and converted.
    Float,
    /// Unicode text.
    Text,
    /// Byte strings.
    Bytes,
    /// Points in time.
    Timestamp,
    /// Calendar days.
    Date,
    /// 128-bit identifiers.
    Uuid,
    /// Lists whose elements are all of one type.
    List(Box<FieldType>),
    /// Maps from text to values, all of one type.
    Map(Box<FieldType>),
    /// Vectors of one element type and, unless `None`, one dimension.
    Vector {
        /// Type of the elements.
        element: VectorElement,
        /// Number of elements; any when `None`.
        dimension: Option<u32>,
    },
    /// Values of the application's type of this name.
    Extension(Text),
    /// Values of any type.
    Any,
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Text => f.write_str("text"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Date => f.write_str("date"),
            Self::Uuid => f.write_str("uuid"),
            Self::List(inner) => write!(f, "list of {inner}"),
            Self::Map(inner) => write!(f, "map of {inner}"),
            Self::Vector {
                element,
                dimension: Some(dimension),
            } => {
                write!(f, "{element:?} vector of {dimension}")
            }
            Self::Vector {
                element,
                dimension: None,
            } => write!(f, "{element:?} vector"),
            Self::Extension(name) => f.write_str(name),
            Self::Any => f.write_str("any"),
        }
    }
}

/// One column of a schema.
///
/// ```
/// use common::schema::{Field, FieldType, Rule};
/// let population = Field::new("population", FieldType::Int).rule(Rule::at_least(0)).default_value(0);
/// assert!(!population.nullable);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Stable number; left at 0, the schema gives one.
    #[serde(default)]
    pub id: FieldId,
    /// Name, unique in the schema.
    pub name: Text,
    /// What the values are.
    #[serde(rename = "type")]
    pub ty: FieldType,
    /// Whether null is a value of this column.
    #[serde(default)]
    pub nullable: bool,
    /// The value of a row that leaves the column out. Without one, a nullable column takes null and any
    /// other column is required.
    // A default of null says the same as none, so it is not written: equal schemas keep equal ids.
    #[serde(default, skip_serializing_if = "is_none_or_null")]
    pub default: Option<Value>,
    /// Further rules, all of which hold for every value that is not null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn is_none_or_null(default: &Option<Value>) -> bool {
    default.as_ref().is_none_or(Value::is_null)
}

impl Field {
    /// A required column without rules.
    pub fn new(name: impl Into<Text>, ty: FieldType) -> Self {
        Self {
            id: FieldId::default(),
            name: name.into(),
            ty,
            nullable: false,
            default: None,
            rules: Vec::new(),
        }
    }

    /// Fixes the stable number; needed only when a schema is written down by hand for a later version.
    #[must_use]
    pub fn id(mut self, id: u32) -> Self {
        self.id = FieldId(id);
        self
    }

    /// Allows null.
    #[must_use]
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Sets the value of rows that leave the column out.
    #[must_use]
    pub fn default_value(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// Adds a rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Whether a row must give this column a value.
    pub const fn is_required(&self) -> bool {
        self.default.is_none() && !self.nullable
    }
}
