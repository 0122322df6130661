//! [`TablePermissions`]: who may see and change which rows and columns of a table, as data.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::schema::Schema;
use common::{Database, Error, Map, Result, Text};
use serde::{Deserialize, Serialize};
use syncdb::{Permission, Permissions, Principal};

use super::template::Template;

/// Who may see and change which rows and columns of one table.
///
/// What may be changed is at most what may be seen: a change outside would be answered by what is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablePermissions {
    /// The table's name.
    pub table: Text,
    /// What may be seen. Default nothing.
    #[serde(default)]
    pub read: Option<Part>,
    /// What may be changed: a row before the change and after it. Default nothing.
    #[serde(default)]
    pub write: Option<Part>,
}

/// Some rows and columns of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which rows, as a [`Template`]. Default `true`, all of them.
    #[serde(default = "all_rows")]
    pub rows: String,
    /// Which columns beside the key's. Default all.
    #[serde(default)]
    pub columns: Option<Vec<Text>>,
}

fn all_rows() -> String {
    "true".to_owned()
}

/// Permissions of all tables, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decided {
    tables: BTreeMap<Text, Table>,
}

#[derive(Debug, Clone)]
struct Table {
    read: Option<Compiled>,
    write: Option<Compiled>,
}

#[derive(Debug, Clone)]
struct Compiled {
    rows: Template,
    columns: Option<Vec<Text>>,
}

impl Decided {
    pub(super) fn new(tables: &[TablePermissions]) -> Result<Self> {
        let mut decided = Self::default();
        for table in tables {
            let at = |error: Error| error.at(format!("permissions of table `{}`", table.table));
            let compiled = |part: &Option<Part>| -> Result<Option<Compiled>> {
                part.as_ref()
                    .map(|part| {
                        Ok(Compiled {
                            rows: Template::parse(&part.rows)?,
                            columns: part.columns.clone(),
                        })
                    })
                    .transpose()
            };
            let read = compiled(&table.read).map_err(at)?;
            let write = compiled(&table.write).map_err(at)?;
            let twice = decided
                .tables
                .insert(table.table.clone(), Table { read, write });
            if twice.is_some() {
                return Err(at(Error::invalid(
                    "they are given twice; join the filters by `or`",
                )));
            }
        }
        Ok(decided)
    }

    /// Checks all against the tables of a database. A table that is not there may come later; what does not fit it
    /// then lets nobody see anything.
    pub(super) fn check(&self, db: &Database) -> Result<()> {
        for (name, table) in &self.tables {
            let Ok(collection) = db.collection(name) else {
                continue;
            };
            let schema = collection.schema();
            for (what, part) in [("read", &table.read), ("write", &table.write)] {
                if let Some(part) = part {
                    part.check(&schema).map_err(|error| {
                        error.at(format!("permissions of table `{name}`, {what}"))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// As a function of who asks and of the table; a table that is not named is nobody's.
    pub(super) fn permissions(self) -> Permissions {
        let decided = Arc::new(self);
        let changing = Arc::clone(&decided);
        let none = Map::new();
        let decide =
            move |part: Option<&Compiled>, principal: Option<&Principal>, schema: &Schema| {
                let claims = principal.map_or(&none, |principal| &principal.claims);
                part.map_or_else(Permission::none, |part| part.permission(claims, schema))
            };
        let also = decide.clone();
        Permissions::new(move |principal, schema| {
            let table = decided.tables.get(&schema.name);
            decide(
                table.and_then(|table| table.read.as_ref()),
                principal,
                schema,
            )
        })
        .writing(move |principal, schema| {
            let table = changing.tables.get(&schema.name);
            also(
                table.and_then(|table| table.write.as_ref()),
                principal,
                schema,
            )
        })
    }
}

impl Compiled {
    fn check(&self, schema: &Schema) -> Result<()> {
        self.rows.check(schema)?;
        for column in self.columns.iter().flatten() {
            schema.position_of(column)?;
        }
        Ok(())
    }

    fn permission(&self, claims: &Map, schema: &Schema) -> Permission {
        let Some(rows) = self.rows.bind(claims, schema) else {
            return Permission::none();
        };
        // A column that is gone hides nothing by being named.
        let there = |name: &Text| schema.fields.iter().any(|field| field.name == *name);
        let columns = self.columns.as_ref();
        Permission {
            rows,
            columns: columns
                .map(|names| names.iter().filter(|name| there(name)).cloned().collect()),
        }
    }
}
