//! [`Catalogue`]: the versions of the application's tables that a server serves side by side, each as its clients know it.
//!
//! The rows are there once, with the columns of all versions: see [`Course`]. A version sees the columns that it has, under its
//! names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use common::query::Filter;
use common::schema::{Field, FieldId, Schema, SchemaId};
use common::versioning::ColumnSet;
use common::{Collection, Database, Error, Result, Seq, Text, Value};
use parking_lot::Mutex;

use super::ledger::LedgerEntry;
use super::permission::Permission;
use super::policy::Policy;
use super::protocol::{Action, Op, Request, SchemaSetId, is_system};
use super::system::{schema_set, user_tables};
use crate::migration::{Course, Flow};
use crate::names::{is_apart, renamed};

/// A table as the clients of one version know it.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) collection: Collection,
    pub(crate) view: Arc<View>,
}

/// How the clients of one version know a table.
#[derive(Debug)]
pub(crate) struct View {
    /// The schema as they have it.
    pub(crate) own: Arc<Schema>,
    /// The same with every column at its place in the rows; those of other versions under names that nobody gives.
    pub(crate) placed: Arc<Schema>,
    /// Places of the columns that they have.
    pub(crate) columns: ColumnSet,
}

impl View {
    /// Of a table that has one version.
    fn plain(schema: Arc<Schema>) -> Self {
        Self {
            columns: ColumnSet::all(schema.fields.len()),
            placed: Arc::clone(&schema),
            own: schema,
        }
    }

    fn new(own: &Schema, rows: &Schema) -> Self {
        let mut columns = ColumnSet::EMPTY;
        let fields = rows.fields.iter().enumerate().map(|(at, field)| {
            match own.fields.iter().find(|own| own.id == field.id) {
                Some(own) => {
                    columns.insert(at);
                    own.clone()
                }
                None => Field {
                    name: Text::new(format!("~{}", field.id.0)),
                    ..field.clone()
                },
            }
        });
        let placed = Schema {
            fields: fields.collect(),
            indexes: Vec::new(),
            references: Vec::new(),
            ..own.clone()
        };
        Self {
            own: Arc::new(own.clone()),
            placed: Arc::new(placed),
            columns,
        }
    }
}

/// Since when a table has the columns that came by a deployment, and which columns follow from each other.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    since: BTreeMap<FieldId, Seq>,
    relatives: BTreeMap<FieldId, BTreeSet<FieldId>>,
}

impl Ages {
    pub(crate) fn new(course: &Course, since: BTreeMap<FieldId, Seq>) -> Self {
        let columns = since.keys().map(|id| (*id, course.relatives(*id)));
        Self {
            relatives: columns.collect(),
            since,
        }
    }

    /// The commit with which a column came; `None` for one that was there from the beginning.
    pub(crate) fn since(&self, id: FieldId) -> Option<Seq> {
        self.since.get(&id).copied()
    }

    /// The columns that it follows from or leads to.
    pub(crate) fn relatives(&self, id: FieldId) -> &BTreeSet<FieldId> {
        static NONE: BTreeSet<FieldId> = BTreeSet::new();
        self.relatives.get(&id).unwrap_or(&NONE)
    }
}

impl Past {
    /// Whether some version has had this column.
    pub(crate) fn has(&self, id: FieldId) -> bool {
        self.versions.iter().any(|(_, has)| has.contains(&id))
    }
}

/// What a server knows of the versions that it serves.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) versions: Versions,
    /// For each version that is accepted, its tables by name.
    views: BTreeMap<u32, BTreeMap<Text, Arc<View>>>,
    /// How the columns of the versions follow from each other.
    flows: BTreeMap<Text, (Arc<Course>, Flow)>,
    /// The same with versions that are accepted no more, for what was written under them.
    past: BTreeMap<Text, Past>,
    ages: BTreeMap<Text, Ages>,
    /// The set of schemas that each version is known by.
    ids: OnceLock<BTreeMap<u32, SchemaSetId>>,
    /// What was asked for last: both are hashes of all that schemas say, and every request asks for them.
    schema_ids: Mutex<BTreeMap<Text, (Arc<Schema>, SchemaId)>>,
    set_of_tables: Mutex<Option<(Vec<Arc<Schema>>, SchemaSetId)>>,
}

/// A table over all versions that the lineage has of it with the key that it has.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) course: Arc<Course>,
    /// The same, where the columns that are still accepted have the places that they have in rows.
    pub(crate) flow: Flow,
    /// The columns of each version beside the key's.
    pub(crate) versions: Vec<(u32, BTreeSet<FieldId>)>,
}

/// Which versions there are; all 0 without a lineage.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Versions {
    /// Mutations are taken from this one on.
    pub(crate) accepted_from: u32,
    /// Rows are given from this one on.
    pub(crate) served_from: u32,
    /// The one of those who do not say.
    pub(crate) current: u32,
    pub(crate) latest: u32,
}

/// How a request's version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Under which it is served.
    pub(crate) version: u32,
    /// Under which its mutations were made.
    pub(crate) written: u32,
    /// It may still push, and is given nothing.
    pub(crate) is_retired: bool,
}

impl Catalogue {
    /// Whether it has versions: without a deployment there are the tables as they are, and no other.
    pub(crate) fn serves_versions(&self) -> bool {
        !self.views.is_empty()
    }

    pub(crate) fn new(
        versions: Versions,
        schemas: &BTreeMap<u32, BTreeMap<Text, Schema>>,
        rows: &BTreeMap<Text, (Arc<Schema>, Arc<Course>)>,
        past: BTreeMap<Text, Past>,
        ages: BTreeMap<Text, Ages>,
    ) -> Self {
        let views = schemas.iter().map(|(version, tables)| {
            let tables = tables.iter().filter_map(|(name, own)| {
                let (rows, _) = rows.get(name)?;
                Some((name.clone(), Arc::new(View::new(own, rows))))
            });
            (*version, tables.collect())
        });
        let flows = rows.iter().map(|(name, (schema, course))| {
            let flow = course.laid_out(schema);
            (name.clone(), (Arc::clone(course), flow))
        });
        Self {
            versions,
            views: views.collect(),
            flows: flows.collect(),
            past,
            ages,
            ids: OnceLock::new(),
            schema_ids: Mutex::default(),
            set_of_tables: Mutex::default(),
        }
    }

    /// Whether there is a lineage.
    pub(crate) fn has_versions(&self) -> bool {
        self.versions.latest != 0
    }

    /// How a request is to be served.
    ///
    /// # Errors
    /// [`common::ErrorKind::Unsupported`] for a version that is not accepted any more, or not known yet.
    pub(crate) fn standing(
        &self,
        db: &Database,
        policies: &BTreeMap<Text, Policy>,
        request: &Request,
    ) -> Result<Standing> {
        let Versions {
            accepted_from,
            served_from,
            current,
            latest,
        } = self.versions;
        if !self.has_versions() {
            return Ok(Standing {
                version: 0,
                written: 0,
                is_retired: false,
            });
        }
        let version = request.version;
        if version == 0 {
            let ids = self.ids(db, policies);
            let written = ids.iter().rev().find(|(_, id)| **id == request.schemas);
            return Ok(Standing {
                version: current,
                written: written.map_or(current, |(version, _)| *version),
                is_retired: false,
            });
        }
        if version > latest {
            return Err(Error::unsupported(format!(
                "the replica is of version {version} of the application's tables, and this server knows versions up to {latest}; \
                 nothing is lost: sync again when the server has been brought to version {version}"
            )));
        }
        if version < accepted_from {
            return Err(Error::unsupported(format!(
                "the replica is of version {version} of the application's tables, and this server takes versions from \
                 {accepted_from} on; nothing is lost: update the application, and what waits is sent then"
            )));
        }
        Ok(Standing {
            version,
            written: version,
            is_retired: version < served_from,
        })
    }

    fn ids(&self, db: &Database, policies: &BTreeMap<Text, Policy>) -> &BTreeMap<u32, SchemaSetId> {
        self.ids.get_or_init(|| {
            let versions = self.views.keys().map(|version| {
                let policies = self.policies(*version, policies);
                (*version, schema_set(&self.schemas(db, *version), &policies))
            });
            versions.collect()
        })
    }

    /// The schemas and policies of a version, when they are others than those of this identity.
    pub(crate) fn unless(
        &self,
        known: SchemaSetId,
        db: &Database,
        version: u32,
        policies: &BTreeMap<Text, Policy>,
    ) -> Option<(Vec<Schema>, BTreeMap<Text, Policy>)> {
        let id = match self.ids(db, policies).get(&version) {
            Some(id) => *id,
            None => self.set_of_tables(db, version, policies),
        };
        if id == known {
            return None;
        }
        let schemas = self.schemas(db, version);
        let mut policies = self.policies(version, policies);
        policies.retain(|name, _| schemas.iter().any(|schema| schema.name == *name));
        Some((schemas, policies))
    }

    /// The identity of the tables as they are, where they have one version.
    fn set_of_tables(
        &self,
        db: &Database,
        version: u32,
        policies: &BTreeMap<Text, Policy>,
    ) -> SchemaSetId {
        let tables = self.tables(db, version).into_iter();
        let now: Vec<Arc<Schema>> = tables.map(|table| Arc::clone(&table.view.own)).collect();
        let mut last = self.set_of_tables.lock();
        if let Some((then, id)) = &*last
            && then.len() == now.len()
            && then.iter().zip(&now).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return *id;
        }
        let schemas: Vec<Schema> = now.iter().map(|schema| (**schema).clone()).collect();
        let id = schema_set(&schemas, policies);
        *last = Some((now, id));
        id
    }

    /// As [`Schema::schema_id`].
    pub(crate) fn schema_id(&self, schema: &Arc<Schema>) -> SchemaId {
        let mut known = self.schema_ids.lock();
        if let Some((same, id)) = known.get(&schema.name)
            && Arc::ptr_eq(same, schema)
        {
            return *id;
        }
        let id = schema.schema_id();
        known.insert(schema.name.clone(), (Arc::clone(schema), id));
        id
    }

    /// The tables of a version, by name.
    pub(crate) fn tables(&self, db: &Database, version: u32) -> Vec<Served> {
        let Some(views) = self.views.get(&version) else {
            return user_tables(db).into_iter().map(plain).collect();
        };
        let tables = views.iter().filter_map(|(name, view)| {
            Some(Served {
                collection: db.collection(name).ok()?,
                view: Arc::clone(view),
            })
        });
        tables.collect()
    }

    /// The table of this name in a version.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`].
    pub(crate) fn table(&self, db: &Database, version: u32, name: &str) -> Result<Served> {
        if is_system(name) || is_apart(db, name) {
            return Err(Error::not_found(format!(
                "the server has no table `{name}`"
            )));
        }
        let Some(views) = self.views.get(&version) else {
            return db.collection(name).map(plain);
        };
        let view = views.get(name).ok_or_else(|| {
            Error::not_found(format!(
                "version {version} of the application's tables has no table `{name}`"
            ))
        })?;
        Ok(Served {
            collection: db.collection(name)?,
            view: Arc::clone(view),
        })
    }

    /// The table of this name as the current version has it, or the last one that had it.
    pub(crate) fn current(&self, db: &Database, name: &str) -> Result<Served> {
        let here = self.views.get(&self.versions.current);
        let version = match here.filter(|views| views.contains_key(name)) {
            Some(_) => self.versions.current,
            None => {
                let mut has = self.views.iter().rev();
                let last = has.find(|(_, views)| views.contains_key(name));
                last.map_or(self.versions.current, |(version, _)| *version)
            }
        };
        self.table(db, version, name)
    }

    /// The table of this name in every version that is accepted.
    pub(crate) fn in_all(&self, db: &Database, name: &str) -> Vec<Served> {
        if !self.has_versions() {
            return self.table(db, 0, name).into_iter().collect();
        }
        let versions = self.views.keys();
        let tables = versions.filter_map(|version| self.table(db, *version, name).ok());
        tables.collect()
    }

    /// The schemas of a version.
    pub(crate) fn schemas(&self, db: &Database, version: u32) -> Vec<Schema> {
        let tables = self.tables(db, version).into_iter();
        tables.map(|table| (*table.view.own).clone()).collect()
    }

    /// How the columns of all versions that a table ever had follow from each other.
    pub(crate) fn past(&self, table: &str) -> Option<&Past> {
        self.past.get(table)
    }

    /// Since when a table has the columns that came by a deployment.
    pub(crate) fn ages(&self, table: &str) -> Option<&Ages> {
        self.ages.get(table)
    }

    /// How the columns of a table's versions follow from each other, where any do.
    pub(crate) fn flow(&self, table: &str) -> Option<&Flow> {
        let (course, flow) = self.flows.get(table)?;
        course.has_lenses().then_some(flow)
    }

    /// The version under which a row was made with these columns: that of the request, unless they are just those of another,
    /// or it does not have them all.
    pub(crate) fn written_under(
        &self,
        table: &str,
        columns: &[(FieldId, Value)],
        requested: u32,
    ) -> u32 {
        let Some(past) = self.past(table) else {
            return requested;
        };
        let said: BTreeSet<FieldId> = columns.iter().map(|(id, _)| *id).collect();
        let find = |fits: &dyn Fn(&BTreeSet<FieldId>) -> bool| {
            let mut versions = past.versions.iter().rev();
            let requested = past
                .versions
                .iter()
                .find(|(version, _)| *version == requested);
            requested
                .filter(|(_, has)| fits(has))
                .or_else(|| versions.find(|(_, has)| fits(has)))
        };
        let found = find(&|has| *has == said).or_else(|| find(&|has| has.is_superset(&said)));
        found.map_or(requested, |(version, _)| *version)
    }

    /// What an update says that was made under a version which is accepted no more, of the columns that are there; `None` where
    /// all of them are.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] when what was written does not say what others hold.
    pub(crate) fn lifted(&self, op: &Op, rows: &Schema) -> Result<Option<Vec<(FieldId, Value)>>> {
        let (Action::Insert(columns) | Action::Update(columns)) = &op.action else {
            return Ok(None);
        };
        let is_here = |id: FieldId| rows.fields.iter().any(|field| field.id == id);
        match self.past(&op.table) {
            Some(past) if !columns.iter().all(|(id, _)| is_here(*id)) => {
                past.course.lifted(columns, &is_here).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The policies of a version's tables, by its names; they are declared by the current ones.
    pub(crate) fn policies(
        &self,
        version: u32,
        policies: &BTreeMap<Text, Policy>,
    ) -> BTreeMap<Text, Policy> {
        let current = self.views.get(&self.versions.current);
        let (Some(views), Some(current)) = (self.views.get(&version), current) else {
            return policies.clone();
        };
        let of_table = policies.iter().filter_map(|(name, policy)| {
            let view = views.get(name)?;
            let policy = match current.get(name) {
                Some(current) if version != self.versions.current => {
                    policy.renamed(&|column| renamed(&current.own, &view.own, column))
                }
                _ => policy.clone(),
            };
            (policy != Policy::default()).then(|| (name.clone(), policy))
        });
        of_table.collect()
    }

    /// Gives an entry of the ledger, which speaks of the current version, the names of another.
    pub(crate) fn translate(&self, version: u32, entry: &mut LedgerEntry) {
        let Some(column) = &mut entry.column else {
            return;
        };
        let Some(view) = self.views.get(&version).and_then(|v| v.get(&entry.table)) else {
            return;
        };
        let Some((_, flow)) = self.flows.get(&entry.table) else {
            return;
        };
        if let Some(at) = flow.position(column)
            && let Some(field) = view.placed.fields.get(at)
            && view.columns.contains(at)
        {
            column.clone_from(&field.name);
        }
    }

    /// A permission, which speaks of the current version, in the words of another. What follows from columns that are
    /// permitted is permitted with them, and only then.
    pub(crate) fn permission_in(
        &self,
        current: &View,
        view: &View,
        permission: Permission,
    ) -> Permission {
        let name = &view.own.name;
        let placed = |schema: &Schema, at: usize| schema.fields.get(at).map(|f| f.name.clone());
        let rename = |column: &Text| {
            let at = current.placed.position(column);
            at.and_then(|at| placed(&view.placed, at))
                .unwrap_or_else(|| column.clone())
        };
        let columns = permission.columns.map(|allowed| {
            let ids: BTreeSet<FieldId> = current
                .own
                .fields
                .iter()
                .filter(|field| allowed.contains(&field.name))
                .map(|field| field.id)
                .collect();
            let is_current = |id: &FieldId| current.own.fields.iter().any(|f| f.id == *id);
            let course = self.flows.get(name).map(|(course, _)| course);
            let may = |id: FieldId| {
                let relatives = course
                    .map(|course| course.relatives(id))
                    .unwrap_or_default();
                let mut now = relatives.iter().filter(|id| is_current(id)).peekable();
                ids.contains(&id)
                    || (!is_current(&id) && now.peek().is_some() && now.all(|id| ids.contains(id)))
            };
            let own = view.own.fields.iter().filter(|field| may(field.id));
            own.map(|field| field.name.clone()).collect()
        });
        let rows = match permission.rows {
            Filter::True => Filter::True,
            rows => rows.map_columns(&rename),
        };
        Permission { rows, columns }
    }
}

fn plain(collection: Collection) -> Served {
    Served {
        view: Arc::new(View::plain(collection.schema())),
        collection,
    }
}
