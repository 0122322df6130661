//! [`Step`]: one change of the schemas, as data.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fmt;

use common::schema::{Field, IndexSpec, Schema};
use common::transform::Expression;
use common::{Error, Limits, Result, Text, Value};
use serde::{Deserialize, Serialize};

/// Most steps of one migration.
pub const STEPS_MAX: usize = 1_000;
/// Most bytes of a migration as JSON.
pub const MIGRATION_BYTES_MAX: usize = 4 << 20;

/// What becomes of a value that does not fit the column that it goes to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OnLoss {
    /// The migration is refused, or the write, with the row and the reason.
    #[default]
    Refuse,
    /// It becomes null.
    Null,
    /// It becomes this value.
    Value(Value),
    /// It becomes the nearest value that fits: a number the end of the range, a text its beginning. What has no nearest value
    /// is refused.
    Clamp,
}

/// One change of the schemas. Columns are named as they are when the step's turn has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Step {
    /// A new table.
    AddTable {
        /// Its schema; its version is that of the migration.
        schema: Schema,
    },
    /// A table goes.
    RemoveTable {
        /// Name of the table.
        table: Text,
    },
    /// A new column behind the others.
    AddColumn {
        /// Name of the table.
        table: Text,
        /// The column; left at number 0, it is given the next.
        field: Field,
        /// Its value in the rows there are. Without one, the field's default, or null.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// A column goes.
    RemoveColumn {
        /// Name of the table.
        table: Text,
        /// Name of the column.
        column: Text,
        /// What the column holds for those who still have it, in rows that were written without it. Without one, the field's
        /// default, or null, or nothing of its type: false, 0, the empty text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead: Option<Value>,
    },
    /// A column has another name.
    RenameColumn {
        /// Name of the table.
        table: Text,
        /// Name of the column.
        column: Text,
        /// Its name from now on.
        to: Text,
    },
    /// A column has another type, other rules, other bounds, or is optional or required now: widened or narrowed.
    ChangeColumn {
        /// Name of the table.
        table: Text,
        /// Name of the column.
        column: Text,
        /// The column from now on; left at number 0, it is given the next.
        to: Field,
        /// What becomes of old values that do not fit the new column.
        #[serde(default)]
        on_loss: OnLoss,
        /// What becomes of new values that do not fit the old column, for those who still have it.
        #[serde(default)]
        on_loss_back: OnLoss,
    },
    /// A text column becomes several, at each separator; the last one takes the rest.
    SplitColumn {
        /// Name of the table.
        table: Text,
        /// Name of the column, which goes.
        column: Text,
        /// The columns that come.
        into: Vec<Field>,
        /// What stands between them.
        separator: Text,
        /// What becomes of parts that do not fit.
        #[serde(default)]
        on_loss: OnLoss,
    },
    /// Several columns become one text; those that are null are left out.
    MergeColumns {
        /// Name of the table.
        table: Text,
        /// Names of the columns, which go.
        columns: Vec<Text>,
        /// The column that comes.
        into: Field,
        /// What stands between them.
        separator: Text,
        /// What becomes of parts that do not fit, on the way back.
        #[serde(default)]
        on_loss: OnLoss,
    },
    /// A new column that is computed from others whenever they change.
    ComputeColumn {
        /// Name of the table.
        table: Text,
        /// The column that comes.
        field: Field,
        /// How it is computed.
        from: Expression,
        /// What becomes of rows for which it cannot be computed.
        #[serde(default)]
        on_loss: OnLoss,
    },
    /// Columns become others by a function of the application.
    Script {
        /// Name of the table.
        table: Text,
        /// Names of the columns that it reads.
        columns: Vec<Text>,
        /// The columns that come.
        into: Vec<Field>,
        /// Whether those that it reads stay.
        #[serde(default)]
        keep: bool,
        /// Name of the function among the [`Scripts`](super::Scripts).
        function: Text,
    },
    /// A new secondary index.
    AddIndex {
        /// Name of the table.
        table: Text,
        /// The index.
        index: IndexSpec,
    },
    /// A secondary index goes.
    RemoveIndex {
        /// Name of the table.
        table: Text,
        /// Name of the index.
        index: Text,
    },
    /// The primary key is made of other columns; rows are copied.
    ChangeKey {
        /// Name of the table.
        table: Text,
        /// Names of the key's columns from now on.
        key: Vec<Text>,
    },
}

impl Step {
    /// Name of the table that the step is about.
    pub fn table(&self) -> &Text {
        match self {
            Self::AddTable { schema } => &schema.name,
            Self::RemoveTable { table }
            | Self::AddColumn { table, .. }
            | Self::RemoveColumn { table, .. }
            | Self::RenameColumn { table, .. }
            | Self::ChangeColumn { table, .. }
            | Self::SplitColumn { table, .. }
            | Self::MergeColumns { table, .. }
            | Self::ComputeColumn { table, .. }
            | Self::Script { table, .. }
            | Self::AddIndex { table, .. }
            | Self::RemoveIndex { table, .. }
            | Self::ChangeKey { table, .. } => table,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |fields: &[Field]| {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            names.join("`, `")
        };
        let listed = |names: &[Text]| {
            let names: Vec<&str> = names.iter().map(Text::as_str).collect();
            names.join("`, `")
        };
        match self {
            Self::AddTable { schema } => write!(f, "add table `{}`", schema.name),
            Self::RemoveTable { table } => write!(f, "remove table `{table}`"),
            Self::AddColumn { table, field, .. } => {
                write!(f, "add column `{}` to `{table}`", field.name)
            }
            Self::RemoveColumn { table, column, .. } => {
                write!(f, "remove column `{column}` from `{table}`")
            }
            Self::RenameColumn { table, column, to } => {
                write!(f, "rename column `{column}` of `{table}` to `{to}`")
            }
            Self::ChangeColumn {
                table, column, to, ..
            } => {
                let null = if to.nullable { " or null" } else { "" };
                write!(
                    f,
                    "change column `{column}` of `{table}` to {}{null}",
                    to.ty
                )
            }
            Self::SplitColumn {
                table,
                column,
                into,
                ..
            } => write!(
                f,
                "split column `{column}` of `{table}` into `{}`",
                names(into)
            ),
            Self::MergeColumns {
                table,
                columns,
                into,
                ..
            } => write!(
                f,
                "merge columns `{}` of `{table}` into `{}`",
                listed(columns),
                into.name
            ),
            Self::ComputeColumn { table, field, .. } => {
                write!(f, "compute column `{}` of `{table}`", field.name)
            }
            Self::Script {
                table,
                into,
                function,
                ..
            } => write!(
                f,
                "make columns `{}` of `{table}` by script `{function}`",
                names(into)
            ),
            Self::AddIndex { table, index } => write!(f, "add index `{}` to `{table}`", index.name),
            Self::RemoveIndex { table, index } => {
                write!(f, "remove index `{index}` from `{table}`")
            }
            Self::ChangeKey { table, key } => {
                write!(f, "change the key of `{table}` to `{}`", listed(key))
            }
        }
    }
}

/// The way from one version of an application's tables to the next.
///
/// ```
/// use common::Limits;
/// use syncdb::migration::Migration;
/// let json = br#"{"steps": [
///     {"add_column": {"table": "tasks", "field": {"name": "due", "type": "date", "nullable": true}}},
///     {"rename_column": {"table": "tasks", "column": "text", "to": "title"}}
/// ]}"#;
/// let migration = Migration::from_json(json, &Limits::default())?;
/// assert_eq!(migration.steps[1].to_string(), "rename column `text` of `tasks` to `title`");
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// What changes, in order.
    pub steps: Vec<Step>,
}

impl Migration {
    /// A migration of these steps.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
        }
    }

    /// Reads a migration.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when the bytes are none, with line and column;
    /// [`common::ErrorKind::LimitExceeded`] beyond [`MIGRATION_BYTES_MAX`], [`STEPS_MAX`] or a limit given.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self> {
        limits.check_total(json.len())?;
        if json.len() > MIGRATION_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a migration has at most {MIGRATION_BYTES_MAX} bytes, this one {}",
                json.len()
            )));
        }
        let migration: Self = serde_json::from_slice(json).map_err(|error| {
            Error::invalid(format!("not a migration: {error}")).caused_by(error)
        })?;
        migration.check()?;
        Ok(migration)
    }

    /// Checks the number of steps.
    pub(super) fn check(&self) -> Result<()> {
        if self.steps.len() > STEPS_MAX {
            return Err(Error::limit_exceeded(format!(
                "a migration has at most {STEPS_MAX} steps, this one {}",
                self.steps.len()
            )));
        }
        Ok(())
    }
}
