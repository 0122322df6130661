//! [`Allowed`]: a collection as far as a caller may see and change it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use common::query::{Filter, Predicate};
use common::schema::{Field, Schema};
use common::{Error, Record, Result, Text};
use serde_json::value::RawValue;
use syncdb::Permission;
use vectordb::VectorCollection;

use super::super::serving::{Encoder, filter_of};
use crate::auth::Caller;
use crate::problem::Problem;

/// A collection as far as a caller may see and change it.
pub(super) struct Allowed {
    pub(super) collection: VectorCollection,
    pub(super) schema: Arc<Schema>,
    permission: Permission,
}

impl Allowed {
    pub(super) fn new(caller: &Caller, collection: VectorCollection) -> Self {
        let schema = collection.schema();
        Self {
            permission: caller.permission(&schema),
            collection,
            schema,
        }
    }

    /// As far as the caller may change it, and see it: what may not be seen may not be changed either.
    pub(super) fn to_write(caller: &Caller, collection: VectorCollection) -> Self {
        let mut allowed = Self::new(caller, collection);
        let write = caller.write_permission(&allowed.schema);
        let read = std::mem::replace(&mut allowed.permission, Permission::all());
        allowed.permission = Permission {
            rows: match (read.rows, write.rows) {
                (rows, Filter::True) | (Filter::True, rows) => rows,
                (read, write) => read.and(write),
            },
            columns: match (read.columns, write.columns) {
                (Some(read), Some(write)) => {
                    Some(read.into_iter().filter(|c| write.contains(c)).collect())
                }
                (columns, None) | (None, columns) => columns,
            },
        };
        allowed
    }

    /// Whether the caller may see and change a column.
    pub(super) fn shows(&self, column: &str) -> bool {
        let keys = self.schema.key_fields();
        match &self.permission.columns {
            None => true,
            Some(columns) => {
                columns.iter().any(|known| *known == *column)
                    || keys.iter().any(|key| key.name == *column)
            }
        }
    }

    /// Whether the caller may see and change all columns.
    pub(super) const fn shows_all_columns(&self) -> bool {
        self.permission.columns.is_none()
    }

    /// Checks that the caller may use a column.
    pub(super) fn check_column(&self, column: &str) -> std::result::Result<(), Problem> {
        if self.shows(column) {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "column `{column}` of `{}` is not for you to use",
            self.schema.name
        )))
    }

    /// Checks that the caller may do what touches all rows and columns.
    pub(super) fn require_all(&self) -> std::result::Result<(), Problem> {
        if self.permission == Permission::all() {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "only who may change all of `{}` may do that",
            self.schema.name
        )))
    }

    /// Which rows are meant: those that are asked for and allowed.
    pub(super) fn filter(
        &self,
        asked: Option<&RawValue>,
    ) -> std::result::Result<Option<Filter>, Problem> {
        let rows = match &self.permission.rows {
            Filter::True => None,
            rows => Some(rows.clone()),
        };
        let Some(asked) = asked else { return Ok(rows) };
        let asked = filter_of(asked)?;
        for column in columns_of(&asked) {
            self.check_column(&column)?;
        }
        // A column that there is not is wrong in the request, and no missing page.
        let fits = asked.compile(&self.schema);
        fits.map_err(|error| Problem::in_body(&error).at("filter"))?;
        Ok(Some(match rows {
            Some(rows) => rows.and(asked),
            None => asked,
        }))
    }

    /// Tells which rows the caller may see and change; none where all.
    pub(super) fn predicate(&self) -> Result<Option<Predicate>> {
        match &self.permission.rows {
            Filter::True => Ok(None),
            rows => rows.compile(&self.schema).map(Some),
        }
    }

    /// The columns that are asked for, or all metadata that the caller may see.
    pub(super) fn select(
        &self,
        asked: Option<&Vec<Text>>,
    ) -> std::result::Result<Vec<Text>, Problem> {
        if let Some(asked) = asked {
            for (at, column) in asked.iter().enumerate() {
                self.schema
                    .position_of(column)
                    .map_err(|error| Problem::in_body(&error).at(format!("select[{at}]")))?;
                self.check_column(column)?;
                if asked.iter().take(at).any(|before| before == column) {
                    return Err(Error::invalid(format!(
                        "select[{at}]: `{column}` is selected already"
                    ))
                    .into());
                }
            }
            return Ok(asked.clone());
        }
        let options = self.collection.options();
        let metadata = self.schema.fields.iter().skip(self.schema.key_columns);
        let metadata = metadata.filter(|field| {
            options.columns().all(|column| *column != field.name) && self.shows(&field.name)
        });
        Ok(metadata.map(|field| field.name.clone()).collect())
    }

    /// What writes rows of some columns.
    pub(super) fn encoder(&self, columns: &[Text]) -> Encoder {
        let fields = columns.iter().filter_map(|column| {
            let at = self.schema.position(column)?;
            self.schema.fields.get(at).cloned()
        });
        Encoder::new(fields.collect())
    }

    /// What writes keys.
    pub(super) fn id_encoder(&self) -> Encoder {
        Encoder::new(self.schema.key_fields().to_vec())
    }

    /// The key columns, by themselves.
    pub(super) fn key_fields(&self) -> &[Field] {
        self.schema.key_fields()
    }

    /// Number of rows that the caller may see, of those that pass a filter.
    pub(super) fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        match filter {
            Some(filter) => self.collection.count_matching(filter),
            None => match &self.permission.rows {
                Filter::True => Ok(self.collection.count()),
                rows => self.collection.count_matching(rows),
            },
        }
    }

    /// Values of some columns of a record.
    pub(super) fn values(&self, record: &Record, columns: &[Text]) -> Vec<common::Value> {
        let at = |column: &Text| self.schema.position(column);
        let value = |column| record.get(at(column)?).cloned();
        columns
            .iter()
            .map(|column| value(column).unwrap_or_default())
            .collect()
    }
}

/// The columns that a filter looks at.
fn columns_of(filter: &Filter) -> BTreeSet<Text> {
    let columns = RefCell::new(BTreeSet::new());
    let _ = filter.clone().map_columns(&|column| {
        columns.borrow_mut().insert(column.clone());
        column.clone()
    });
    columns.into_inner()
}
