//! [`Access`]: a table as one caller may see and change it.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use common::query::{Filter, Predicate};
use common::schema::{Field, FieldType, Schema};
use common::serialization::Format;
use common::{Collection, Error, Limits, Record, RecordId, Row, Text, Value};
use percent_encoding::percent_decode_str;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use syncdb::sync::protocol::is_system;

use crate::auth::Caller;
use crate::problem::Problem;

/// A table as one caller may see and change it: some of its rows, some of its columns. What they may not see is to them as
/// if it were not there.
pub(crate) struct Access {
    pub(crate) collection: Collection,
    /// With all columns, as rows are stored.
    schema: Arc<Schema>,
    /// With the columns that may be seen.
    pub(crate) visible: Arc<Schema>,
    /// Where these are in a row.
    positions: Vec<usize>,
    /// Which rows may be seen.
    pub(crate) rows: Filter,
    predicate: Predicate,
    change: Change,
}

/// What may be changed of a table.
struct Change {
    /// Rows on which this holds, before and after.
    rows: Predicate,
    /// Columns beside the key's, by their places; `None` for all.
    columns: Option<Vec<usize>>,
}

/// No table of this name, for this caller.
pub(crate) fn no_table(name: &str) -> Problem {
    Problem::not_found(format!("there is no table `{name}`"))
}

impl Access {
    /// The table of a name.
    ///
    /// # Errors
    /// One and the same problem for a table that is not there, that belongs to the server, and of which the caller may see
    /// nothing.
    pub(crate) fn open(caller: &Caller, name: &str) -> Result<Self, Problem> {
        if is_system(name) {
            return Err(no_table(name));
        }
        let collection = caller.tenant.database().collection(name);
        Self::of(caller, collection.map_err(|_| no_table(name))?)
    }

    /// A table that is there.
    pub(crate) fn of(caller: &Caller, collection: Collection) -> Result<Self, Problem> {
        let schema = collection.schema();
        let permission = caller.permission(&schema);
        let wrong = |error: Error| {
            // A mistake of whoever runs the server; it may name what the caller is not to know.
            tracing::error!(table = %schema.name, %error, "a permission does not fit its table");
            Problem::new(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                "permission",
                "what you may see of this table cannot be found out; its permissions do not fit it",
            )
        };
        let predicate = permission.rows.compile(&schema).map_err(wrong)?;
        let write = caller.write_permission(&schema);
        let change = Change {
            rows: write.rows.compile(&schema).map_err(wrong)?,
            columns: write.columns.map(|names| {
                let places = names.iter().filter_map(|name| schema.position(name));
                places.collect()
            }),
        };
        if predicate.is_never_true() {
            return Err(no_table(&schema.name));
        }
        let is_visible = |at: usize, field: &Field| {
            let columns = permission.columns.as_ref();
            at < schema.key_columns || columns.is_none_or(|names| names.contains(&field.name))
        };
        let fields = schema.fields.iter().enumerate();
        let positions: Vec<usize> = fields
            .filter(|(at, field)| is_visible(*at, field))
            .map(|(at, _)| at)
            .collect();
        let visible = if positions.len() == schema.fields.len() {
            Arc::clone(&schema)
        } else {
            Arc::new(projected(&schema, &positions))
        };
        Ok(Self {
            collection,
            schema,
            visible,
            positions,
            rows: permission.rows,
            predicate,
            change,
        })
    }

    /// Whether the caller may see and change everything.
    pub(crate) fn is_whole(&self) -> bool {
        self.has_all_columns()
            && self.predicate.is_always_true()
            && self.change.columns.is_none()
            && self.change.rows.is_always_true()
    }

    pub(crate) fn has_all_columns(&self) -> bool {
        self.positions.len() == self.schema.fields.len()
    }

    pub(crate) fn has_all_rows(&self) -> bool {
        self.predicate.is_always_true()
    }

    /// Whether the caller may see a row.
    pub(crate) fn sees(&self, values: &[Value]) -> bool {
        self.predicate.matches(values)
    }

    /// Whether the caller may make of one row another; of none, a new one; none of one that is there.
    pub(crate) fn may_change(&self, before: Option<&[Value]>, after: Option<&[Value]>) -> bool {
        let row = |values: Option<&[Value]>| values.is_none_or(|row| self.change.rows.matches(row));
        let (Some(columns), Some(after)) = (&self.change.columns, after) else {
            return row(before) && row(after);
        };
        let is_same = |at: usize, value: &Value| match before {
            Some(before) => before.get(at) == Some(value),
            None => {
                let field = self.schema.fields.get(at);
                let default = field.and_then(|field| field.default.as_ref());
                default.map_or(value.is_null(), |default| default == value)
            }
        };
        let mut others = after.iter().enumerate().skip(self.schema.key_columns);
        row(before)
            && row(Some(after))
            && others.all(|(at, value)| columns.contains(&at) || is_same(at, value))
    }

    /// A record with the columns that may be seen.
    pub(crate) fn shown(&self, record: &Record) -> Record {
        if self.has_all_columns() {
            return record.clone();
        }
        let values = self.positions.iter().filter_map(|at| record.get(*at));
        Record::new(
            record.metadata(),
            record.key_columns(),
            values.cloned().collect::<Vec<_>>(),
        )
    }

    /// The columns beside the key's that may be seen, with their places in a row.
    pub(crate) fn settable(&self) -> impl Iterator<Item = (usize, &Field)> {
        let fields = self.positions.iter().copied().zip(&self.visible.fields);
        fields.filter(|(at, _)| *at >= self.schema.key_columns)
    }

    /// No column of this name, for this caller.
    pub(crate) fn no_column(&self, name: &str) -> Problem {
        let names = self.visible.fields.iter().map(|field| field.name.as_str());
        Problem::invalid(format!(
            "`{}` has no column `{name}`; its columns are {}",
            self.schema.name,
            names.collect::<Vec<_>>().join(", ")
        ))
    }

    /// The columns that a JSON object names, with their values.
    ///
    /// # Errors
    /// A problem that names the column that is not there, or whose value is not of its type.
    pub(crate) fn given(&self, json: &[u8]) -> Result<Row, Problem> {
        #[expect(
            clippy::zero_sized_map_values,
            reason = "the names alone, as serde reads them"
        )]
        let names: BTreeMap<Cow<'_, str>, IgnoredAny> =
            serde_json::from_slice(json).map_err(|error| {
                let name = &self.schema.name;
                Problem::invalid(format!("not a row of `{name}` as a JSON object: {error}"))
            })?;
        let position = |name: &str| self.visible.position(name);
        let unknown = names.keys().find(|name| position(name).is_none());
        if let Some(name) = unknown {
            return Err(self.no_column(name));
        }
        let mut positions: Vec<usize> = names.keys().filter_map(|name| position(name)).collect();
        positions.sort_unstable();
        let chosen = projected(&self.visible, &positions);
        let rows = Format::Json.decode_rows(&chosen, json, &body_limits());
        let rows = rows.map_err(|error| Problem::in_body(&error))?;
        let values = rows.into_iter().flatten();
        let fields = chosen.fields.into_iter().map(|field| field.name);
        Ok(fields.zip(values).collect())
    }

    /// Rows with all their columns, as Protocol Buffers.
    ///
    /// # Errors
    /// A problem for bytes that are no rows of the table as the caller sees it.
    pub(crate) fn given_whole(&self, bytes: &[u8]) -> Result<Vec<Row>, Problem> {
        let rows = Format::Protobuf.decode_rows(&self.visible, bytes, &body_limits());
        let rows = rows.map_err(|error| Problem::in_body(&error))?;
        let names = self.visible.fields.iter().map(|field| &field.name);
        let row = |values: Vec<Value>| names.clone().cloned().zip(values).collect();
        Ok(rows.into_iter().map(row).collect())
    }

    /// The key that a row names in full.
    ///
    /// # Errors
    /// A problem that names the column that is missing.
    pub(crate) fn key_of(&self, row: &Row) -> Result<RecordId, Problem> {
        let fields = self.schema.key_fields().iter();
        let values = fields.map(|field| {
            row.get(&field.name).cloned().ok_or_else(|| {
                Problem::invalid(format!(
                    "key column `{}` of `{}` is missing",
                    field.name, self.schema.name
                ))
            })
        });
        let values = values.collect::<Result<Vec<Value>, Problem>>()?;
        Ok(RecordId::composite(values))
    }

    /// A key as it stands at the end of a path: the text of its value, or of its values with commas between them, which in
    /// a text are written `%2C`.
    ///
    /// # Errors
    /// A problem that names the column whose value it is not.
    pub(crate) fn key_in_path(&self, path: &str) -> Result<RecordId, Problem> {
        let raw = path.rsplit('/').next().unwrap_or_default();
        let fields = self.schema.key_fields();
        let parts: Vec<&str> = match fields.len() {
            1 => vec![raw],
            _ => raw.split(',').collect(),
        };
        if parts.len() != fields.len() {
            return Err(Problem::invalid(format!(
                "the key of `{}` has {} columns, the path names {}; write the values with commas between them",
                self.schema.name,
                fields.len(),
                parts.len()
            )));
        }
        let mut json = vec![b'{'];
        for (field, part) in fields.iter().zip(parts) {
            let text = percent_decode_str(part).decode_utf8().map_err(|_| {
                Problem::invalid(format!("key column `{}` is not UTF-8", field.name))
            })?;
            if json.len() > 1 {
                json.push(b',');
            }
            let member = format!(
                "{}:{}",
                Json::from(field.name.as_str()),
                literal(&text, &field.ty)
            );
            json.extend_from_slice(member.as_bytes());
        }
        json.push(b'}');
        let given = self
            .given(&json)
            .map_err(|problem| problem.at(format!("the key `{raw}` in the path")))?;
        self.key_of(&given)
    }

    /// No row under a key, for this caller.
    pub(crate) fn no_row(&self, id: &RecordId) -> Problem {
        Problem::not_found(format!(
            "`{}` has no row with the key {id}",
            self.schema.name
        ))
    }
}

/// Text of a path as JSON says it in a column of a type. What it is not falls to whoever reads that.
fn literal(text: &str, ty: &FieldType) -> Json {
    let plain = matches!(
        ty,
        FieldType::Bool | FieldType::Int | FieldType::Float | FieldType::Any
    );
    let scalar = serde_json::from_str(text).ok();
    let scalar = scalar.filter(|json: &Json| plain && !json.is_array() && !json.is_object());
    scalar.unwrap_or_else(|| Json::from(text))
}

/// Limits under which a body is read: it is in memory already, so its size bounds the rest.
pub(crate) fn body_limits() -> Limits {
    Limits::default().rows_max(crate::limits::OPERATIONS_MAX)
}

/// The schema of some of a table's columns.
pub(crate) fn projected(schema: &Schema, positions: &[usize]) -> Schema {
    if positions.len() == schema.fields.len() {
        return schema.clone();
    }
    let fields = positions.iter().filter_map(|at| schema.fields.get(*at));
    let fields: Vec<Field> = fields.cloned().collect();
    let has = |columns: &[Text]| columns.iter().all(|c| fields.iter().any(|f| f.name == *c));
    Schema {
        name: schema.name.clone(),
        version: schema.version,
        key_columns: schema.key_columns.min(fields.len()),
        indexes: schema
            .indexes
            .iter()
            .filter(|index| has(&index.columns))
            .cloned()
            .collect(),
        references: schema
            .references
            .iter()
            .filter(|r| has(&r.columns))
            .cloned()
            .collect(),
        fields,
    }
}
