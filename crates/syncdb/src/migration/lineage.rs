//! [`Lineage`]: the chain of versions that an application's tables have had.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use common::schema::{Schema, SchemaVersion};
use common::{Error, Limits, Result, Text};
use serde::{Deserialize, Serialize};

use super::edge::{Edge, Schemas, TableEdge, check_references};
use super::script::Scripts;
use super::step::{MIGRATION_BYTES_MAX, Migration};
use crate::names::is_system;

/// Most versions of a lineage.
const VERSIONS_MAX: usize = 10_000;

/// One version of an application's tables.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its number: 1 for the first.
    pub number: u32,
    /// The schemas by name.
    pub schemas: BTreeMap<Text, Schema>,
    /// The highest number that a column of each table has had.
    highest: BTreeMap<Text, u32>,
}

/// What a lineage is made from, as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    first: Vec<Schema>,
    #[serde(default)]
    migrations: Vec<Migration>,
}

/// The chain of versions that an application's tables have had. The application carries it, so that what was written under
/// any version is read by any later one, also without a server.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use syncdb::migration::{Lineage, Migration, Step};
/// let tasks = Schema::build("tasks", ["id"])
///     .field(Field::new("id", FieldType::Int))
///     .field(Field::new("text", FieldType::Text))
///     .finish()?;
/// let lineage = Lineage::new([tasks])?.then(Migration::new([Step::RenameColumn {
///     table: "tasks".into(),
///     column: "text".into(),
///     to: "title".into(),
/// }]))?;
/// assert_eq!(lineage.latest().number, 2);
/// assert!(lineage.latest().schemas["tasks"].position("title").is_some());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lineage {
    first: Version,
    later: Vec<Version>,
    migrations: Vec<Migration>,
    edges: Vec<Arc<Edge>>,
    scripts: Scripts,
}

impl Lineage {
    /// A lineage whose first version has these tables.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a schema that does not hold by itself, a reference that leads nowhere or in a circle,
    /// or a name that belongs to sync; [`common::ErrorKind::Conflict`] for two tables of one name.
    pub fn new(schemas: impl IntoIterator<Item = Schema>) -> Result<Self> {
        let mut first = Schemas::new();
        for schema in schemas {
            schema.check()?;
            let name = schema.name.clone();
            if is_system(&name) {
                return Err(Error::invalid(format!(
                    "names that begin with `sync_` belong to sync: `{name}`"
                )));
            }
            if first.insert(name.clone(), schema).is_some() {
                return Err(Error::conflict(format!("table `{name}` is declared twice")));
            }
        }
        check_references(&first)?;
        let highest = first
            .iter()
            .map(|(name, schema)| (name.clone(), highest(schema)));
        Ok(Self {
            first: Version {
                number: 1,
                highest: highest.collect(),
                schemas: first,
            },
            later: Vec::new(),
            migrations: Vec::new(),
            edges: Vec::new(),
            scripts: Scripts::default(),
        })
    }

    /// Registers the functions that later migrations name.
    #[must_use]
    pub fn scripts(mut self, scripts: Scripts) -> Self {
        self.scripts = scripts;
        self
    }

    /// The functions that are registered.
    pub(crate) fn registered(&self) -> &Scripts {
        &self.scripts
    }

    /// Adds the next version.
    ///
    /// # Errors
    /// With the number of the step: [`common::ErrorKind::Invalid`] for one that cannot be, and why;
    /// [`common::ErrorKind::NotFound`] for a table, column, index or script that is not there;
    /// [`common::ErrorKind::Conflict`] for a name that is taken; [`common::ErrorKind::LimitExceeded`] for too many steps.
    pub fn then(mut self, migration: Migration) -> Result<Self> {
        let last = self.latest();
        let number = last.number + 1;
        if self.later.len() + 1 >= VERSIONS_MAX {
            return Err(Error::limit_exceeded(format!(
                "a lineage has at most {VERSIONS_MAX} versions"
            )));
        }
        let version = SchemaVersion(number);
        let compiled = Edge::compile(
            &last.schemas,
            &migration,
            version,
            &last.highest,
            &self.scripts,
        );
        let (edge, schemas) =
            compiled.map_err(|error| error.at(format!("migration to version {number}")))?;
        let mut numbers = last.highest.clone();
        for (name, table) in &edge.tables {
            match table {
                TableEdge::Changed(changed) => {
                    numbers.insert(name.clone(), changed.highest());
                }
                TableEdge::Added => {
                    let highest = schemas.get(name).map_or(0, highest);
                    numbers.insert(name.clone(), highest);
                }
                TableEdge::Removed => {}
            }
        }
        self.later.push(Version {
            number,
            schemas,
            highest: numbers,
        });
        self.edges.push(Arc::new(edge));
        self.migrations.push(migration);
        Ok(self)
    }

    /// The version of this number.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`], with the numbers there are.
    pub fn version(&self, number: u32) -> Result<&Version> {
        let found = match (number as usize).checked_sub(2) {
            Some(position) => self.later.get(position),
            None => Some(&self.first).filter(|first| first.number == number),
        };
        found.ok_or_else(|| {
            Error::not_found(format!(
                "version {number} is not in the lineage, which has the versions 1 to {}; is it of a newer application?",
                self.later.len() + 1
            ))
        })
    }

    /// The last version.
    pub fn latest(&self) -> &Version {
        self.later.last().unwrap_or(&self.first)
    }

    /// All versions, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The migration that leads to a version; `None` for the first.
    pub fn migration(&self, to: u32) -> Option<&Migration> {
        self.migrations.get((to as usize).checked_sub(2)?)
    }

    /// The edges from one version to a later one.
    pub(super) fn edges(&self, from: u32, to: u32) -> &[Arc<Edge>] {
        let range = (from as usize).saturating_sub(1)..(to as usize).saturating_sub(1);
        self.edges.get(range).unwrap_or_default()
    }

    /// The chain as JSON: the first schemas and the migrations. Scripts are named, not written.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when a value in it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let written = Written {
            first: self.first.schemas.values().cloned().collect(),
            migrations: self.migrations.clone(),
        };
        serde_json::to_vec(&written).map_err(|error| Error::invalid(error.to_string()))
    }

    /// Reads what [`Lineage::to_json`] wrote, or somebody by hand.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for bytes that are none, with line and column; as [`Lineage::then`];
    /// [`common::ErrorKind::LimitExceeded`].
    pub fn from_json(json: &[u8], limits: &Limits, scripts: Scripts) -> Result<Self> {
        limits.check_total(json.len())?;
        if json.len() > MIGRATION_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a lineage has at most {MIGRATION_BYTES_MAX} bytes, this one {}",
                json.len()
            )));
        }
        let written: Written = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("not a lineage: {error}")).caused_by(error))?;
        let first = Self::new(written.first)?.scripts(scripts);
        written.migrations.into_iter().try_fold(first, Self::then)
    }
}

fn highest(schema: &Schema) -> u32 {
    let numbers = schema.fields.iter().map(|field| field.id.0);
    numbers.max().unwrap_or_default()
}
