//! [`RecordOp`]: the built-in operations on rows.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::cast::{cast, check_target};
use super::expression::{Expression, absent, column};
use super::operation::{OperationSpec, Transform};
use super::registry::OperationRegistry;
use crate::core::base::{Row, Text, Value};
use crate::core::schema::FieldType;
use crate::error::{Error, Result};

/// Version of every built-in operation; an operation that changes its meaning gets its own.
const VERSION: u32 = 1;

/// An operation on rows: plain data with stable names, and one door for operations of your own.
///
/// An operation that reads a column rejects a row that does not have it, so that a misspelt name is noticed;
/// [`RecordOp::Drop`], [`RecordOp::Keep`] and [`RecordOp::DefaultIfNull`] take such rows as they are.
///
/// The serde form is that of the built-in operations, `{"name": "rename", "parameters": {..}}`;
/// [`RecordOp::Custom`] has none of its own and is written through [`Transform::spec`].
///
/// ```
/// use common::operations::transform::{Expression, Pipeline, RecordOp};
/// use common::row;
/// let outcome = Pipeline::new()
///     .step("names", RecordOp::rename("pop", "population"))?
///     .step("half", RecordOp::compute("half", Expression::column("population") / 2))?
///     .apply(vec![row! { "pop": 3 }])?;
/// assert_eq!(outcome.items, [row! { "population": 3, "half": 1.5 }]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(
    tag = "name",
    content = "parameters",
    rename_all = "snake_case",
    deny_unknown_fields
)]
#[non_exhaustive]
pub enum RecordOp {
    /// Gives a column another name, which no other column has. Has an inverse.
    Rename {
        /// Its name so far.
        from: Text,
        /// Its name from now on.
        to: Text,
    },
    /// Removes columns.
    Drop {
        /// Their names.
        columns: Vec<Text>,
    },
    /// Removes all columns but these.
    Keep {
        /// The names of those that stay.
        columns: Vec<Text>,
    },
    /// Converts a column to another type, without loss or not at all; null stays null.
    Cast {
        /// Name of the column.
        column: Text,
        /// Bool, int, float, text, timestamp, date or uuid.
        to: FieldType,
    },
    /// Sets a column to a fixed value, whatever it was.
    Constant {
        /// Name of the column.
        column: Text,
        /// Its value.
        value: Value,
    },
    /// Sets a column to the value of another one.
    Copy {
        /// Name of the column that is read.
        from: Text,
        /// Name of the column that is set.
        to: Text,
    },
    /// Gives a column a value where it is null or absent.
    DefaultIfNull {
        /// Name of the column.
        column: Text,
        /// Its value there.
        value: Value,
    },
    /// Sets a column to what an expression gives.
    Compute {
        /// Name of the column that is set.
        column: Text,
        /// What it is set to.
        expression: Expression,
    },
    /// Changes the texts of columns; null stays null.
    Text {
        /// Their names.
        columns: Vec<Text>,
        /// What is done to each text.
        change: TextChange,
    },
    /// An operation of your own.
    #[serde(skip)]
    Custom(Arc<dyn Transform<Row>>),
}

/// What [`RecordOp::Text`] does to a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TextChange {
    /// Lower case, by Unicode's rules without a locale.
    Lower,
    /// Upper case, by Unicode's rules without a locale.
    Upper,
    /// Without white space at both ends.
    Trim,
}

/// Stable names of the built-in operations, as they are stored.
const NAMES: [&str; 9] = [
    "rename",
    "drop",
    "keep",
    "cast",
    "constant",
    "copy",
    "default_if_null",
    "compute",
    "text",
];

fn names<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Vec<Text> {
    columns.into_iter().map(Into::into).collect()
}

impl RecordOp {
    /// [`RecordOp::Rename`]
    pub fn rename(from: impl Into<Text>, to: impl Into<Text>) -> Self {
        Self::Rename {
            from: from.into(),
            to: to.into(),
        }
    }

    /// [`RecordOp::Drop`]
    pub fn drop<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self::Drop {
            columns: names(columns),
        }
    }

    /// [`RecordOp::Keep`]
    pub fn keep<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self::Keep {
            columns: names(columns),
        }
    }

    /// [`RecordOp::Cast`]
    pub fn cast(column: impl Into<Text>, to: FieldType) -> Self {
        Self::Cast {
            column: column.into(),
            to,
        }
    }

    /// [`RecordOp::Constant`]
    pub fn constant(column: impl Into<Text>, value: impl Into<Value>) -> Self {
        Self::Constant {
            column: column.into(),
            value: value.into(),
        }
    }

    /// [`RecordOp::Copy`]
    pub fn copy(from: impl Into<Text>, to: impl Into<Text>) -> Self {
        Self::Copy {
            from: from.into(),
            to: to.into(),
        }
    }

    /// [`RecordOp::DefaultIfNull`]
    pub fn default_if_null(column: impl Into<Text>, value: impl Into<Value>) -> Self {
        Self::DefaultIfNull {
            column: column.into(),
            value: value.into(),
        }
    }

    /// [`RecordOp::Compute`]
    pub fn compute(column: impl Into<Text>, expression: Expression) -> Self {
        Self::Compute {
            column: column.into(),
            expression,
        }
    }

    /// [`RecordOp::Text`] with [`TextChange::Lower`]
    pub fn lower<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self::Text {
            columns: names(columns),
            change: TextChange::Lower,
        }
    }

    /// [`RecordOp::Text`] with [`TextChange::Upper`]
    pub fn upper<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self::Text {
            columns: names(columns),
            change: TextChange::Upper,
        }
    }

    /// [`RecordOp::Text`] with [`TextChange::Trim`]
    pub fn trim<N: Into<Text>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self::Text {
            columns: names(columns),
            change: TextChange::Trim,
        }
    }

    /// [`RecordOp::Custom`]
    pub fn custom(operation: impl Transform<Row> + 'static) -> Self {
        Self::Custom(Arc::new(operation))
    }

    /// A registry of the built-in operations, to which you may add your own.
    pub fn registry() -> OperationRegistry<Row> {
        let mut registry = OperationRegistry::new();
        for name in NAMES {
            // The names are distinct, so none is taken.
            let _ = registry.register(name, |spec| Ok(Arc::new(Self::from_spec(spec)?)));
        }
        registry
    }

    /// The built-in operation that was written down.
    fn from_spec(spec: &OperationSpec) -> Result<Self> {
        if spec.version != VERSION {
            return Err(Error::unsupported(format!(
                "operation `{}` is known in version {VERSION}, not {}",
                spec.name, spec.version
            )));
        }
        let place = format!("parameters of `{}`", spec.name);
        let invalid = |error: serde_json::Error| {
            Error::invalid(error.to_string())
                .at(&place)
                .caused_by(error)
        };
        let json = serde_json::to_value(&spec.parameters).map_err(invalid)?;
        let operation: Self =
            serde_json::from_value(serde_json::json!({"name": spec.name, "parameters": json}))
                .map_err(invalid)?;
        operation.check().map_err(|error| error.at(&place))?;
        Ok(operation)
    }

    /// Checks what can be wrong with an operation whatever the rows.
    fn check(&self) -> Result<()> {
        match self {
            Self::Cast { to, .. } => check_target(to),
            Self::Compute { expression, .. } => expression.check(),
            _ => Ok(()),
        }
    }

    /// The serde form of a built-in operation as a value; null for a custom one.
    fn form(&self) -> Value {
        // Plain data with text keys, which JSON can always express.
        serde_json::to_value(self)
            .and_then(serde_json::from_value)
            .unwrap_or_default()
    }

    fn apply_to(&self, row: &mut Row) -> Result<()> {
        match self {
            Self::Rename { from, to } => {
                if !row.rename(from, to.clone()) {
                    column(row, from)?;
                    return Err(Error::conflict(format!(
                        "`{from}` cannot become `{to}`, which the row has already; drop or rename it first"
                    )));
                }
            }
            Self::Drop { columns } => row.retain(|name, _| !columns.contains(name)),
            Self::Keep { columns } => row.retain(|name, _| columns.contains(name)),
            Self::Cast { column: name, to } => {
                let value = cast(column(row, name)?, to)
                    .map_err(|error| error.at(format!("column `{name}`")))?;
                row.set(name.clone(), value);
            }
            Self::Constant { column, value } => row.set(column.clone(), value.clone()),
            Self::Copy { from, to } => {
                let value = column(row, from)?.clone();
                row.set(to.clone(), value);
            }
            Self::DefaultIfNull { column, value } => {
                if row.get(column).is_none_or(Value::is_null) {
                    row.set(column.clone(), value.clone());
                }
            }
            Self::Compute { column, expression } => {
                let value = expression
                    .evaluate(row)
                    .map_err(|error| error.at(format!("column `{column}`")))?;
                row.set(column.clone(), value);
            }
            Self::Text { columns, change } => {
                for name in columns {
                    let Some(value) = row.get_mut(name) else {
                        return Err(absent(row, name));
                    };
                    change
                        .apply(value)
                        .map_err(|error| error.at(format!("column `{name}`")))?;
                }
            }
            // Applied to the whole batch by the caller.
            Self::Custom(_) => {}
        }
        Ok(())
    }
}

impl TextChange {
    fn apply(self, value: &mut Value) -> Result<()> {
        let changed = match value {
            Value::Text(text) => match self {
                Self::Lower => Text::from(text.to_lowercase()),
                Self::Upper => Text::from(text.to_uppercase()),
                Self::Trim => Text::from(text.trim()),
            },
            Value::Null => return Ok(()),
            other => {
                return Err(Error::invalid(format!(
                    "{} {other:?} is no text",
                    other.kind()
                )));
            }
        };
        *value = Value::Text(changed);
        Ok(())
    }
}

impl Transform<Row> for RecordOp {
    fn name(&self) -> &str {
        match self {
            Self::Rename { .. } => "rename",
            Self::Drop { .. } => "drop",
            Self::Keep { .. } => "keep",
            Self::Cast { .. } => "cast",
            Self::Constant { .. } => "constant",
            Self::Copy { .. } => "copy",
            Self::DefaultIfNull { .. } => "default_if_null",
            Self::Compute { .. } => "compute",
            Self::Text { .. } => "text",
            Self::Custom(operation) => operation.name(),
        }
    }

    fn version(&self) -> u32 {
        match self {
            Self::Custom(operation) => operation.version(),
            _ => VERSION,
        }
    }

    fn parameters(&self) -> Value {
        if let Self::Custom(operation) = self {
            return operation.parameters();
        }
        let form = self.form();
        let parameters = form.as_map().and_then(|map| map.get("parameters"));
        parameters.cloned().unwrap_or_default()
    }

    fn apply(&self, batch: &mut Batch<Row>) -> Result<()> {
        if let Self::Custom(operation) = self {
            return operation.apply(batch);
        }
        self.check()?;
        batch.for_each(|row| self.apply_to(row));
        Ok(())
    }

    fn inverse(&self) -> Option<Arc<dyn Transform<Row>>> {
        match self {
            Self::Rename { from, to } => Some(Arc::new(Self::rename(to.clone(), from.clone()))),
            Self::Custom(operation) => operation.inverse(),
            _ => None,
        }
    }
}

/// Equal when name, version and parameters are.
impl PartialEq for RecordOp {
    fn eq(&self, other: &Self) -> bool {
        self.spec() == other.spec()
    }
}

impl fmt::Debug for RecordOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.name(), self.parameters())
    }
}
