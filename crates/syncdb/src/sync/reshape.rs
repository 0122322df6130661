//! Brings a replica's tables to other schemas, in one commit: those that the server announces, or those of the version that its
//! application carries.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::database::Alteration;
use common::query::Filter;
use common::schema::{Field, FieldId, Schema};
use common::storage::{Fill, StorageKind};
use common::versioning::ReplicaId;
use common::{Database, Error, Record, Result, Text, Transaction, Value, ValueInput};

use super::policy::Policy;
use super::protocol::Want;
use super::subscription::{Having, Subscriptions};
use super::system::{ReplicaTables, State, Synced, SyncedTables, replica_schema, schema_row};
use crate::migration::{Course, Lineage, Misfit, Version, union_of};
use crate::names::renamed;

/// From the tables that are here to others.
pub(super) struct Reshape<'a> {
    pub(super) db: &'a Database,
    pub(super) tables: &'a ReplicaTables,
    pub(super) synced: &'a SyncedTables,
    pub(super) schemas: &'a [Schema],
    pub(super) policies: &'a BTreeMap<Text, Policy>,
    /// The chain that leads from the one to the other, with the version of what is here and of what is to be.
    pub(super) lineage: Option<(&'a Lineage, u32, u32)>,
    /// What is kept: columns that nobody wants stay null.
    pub(super) subscriptions: &'a Subscriptions,
}

/// What is to be done.
pub(super) struct Work {
    pub(super) alterations: Vec<Alteration<'static>>,
    /// Whether a table that is here gets another shape.
    pub(super) reshaped: bool,
    /// Whether all tables keep their keys, so that rows are still known by them.
    pub(super) same_keys: bool,
}

impl Reshape<'_> {
    pub(super) fn plan(&self) -> Result<Work> {
        let mut work = Work {
            alterations: Vec::new(),
            reshaped: false,
            same_keys: true,
        };
        for schema in self.schemas {
            match self.synced.by_name.get(&schema.name) {
                Some(known) if known.schema == *schema => {}
                Some(known) => {
                    work.reshaped = true;
                    let same_key = key_of(&known.schema).eq(key_of(schema));
                    work.same_keys &= same_key;
                    if same_key {
                        work.alterations.push(self.reshaped(known, schema)?);
                    } else {
                        work.alterations
                            .extend([drop_of(&schema.name), create(schema)]);
                    }
                }
                None => {
                    if let Ok(local) = self.db.collection(&schema.name) {
                        if !local.is_empty() {
                            return Err(Error::conflict(format!(
                                "table `{}` of the server has the name of a local table with {} rows; rename that one",
                                schema.name,
                                local.len()
                            )));
                        }
                        work.alterations.push(drop_of(&schema.name));
                    }
                    work.alterations.push(create(schema));
                }
            }
        }
        let gone = self.gone().map(|name| drop_of(name));
        work.alterations.extend(gone);
        Ok(work)
    }

    /// Tables that are here and are no more.
    fn gone(&self) -> impl Iterator<Item = &Text> {
        let stays = |name: &Text| self.schemas.iter().any(|schema| schema.name == *name);
        self.synced.by_name.keys().filter(move |name| !stays(name))
    }

    /// A table with the columns that it has and is to have; the others are made from them as far as the lineage says how, and
    /// else are null until they come.
    fn reshaped(&self, known: &Synced, schema: &Schema) -> Result<Alteration<'static>> {
        let here = &known.schema.fields;
        let relaxed = replica_schema(schema);
        let same = |(a, b): (&Field, &Field)| a.id == b.id && a.ty == b.ty;
        let fields = schema.fields.iter();
        let wants: Vec<bool> = fields.map(|field| self.wants(schema, field)).collect();
        let wanted = move |at: usize| wants.get(at).copied().unwrap_or(true);
        let begins = here.len() <= schema.fields.len() && here.iter().zip(&schema.fields).all(same);
        let course = match self.lineage {
            None => None,
            Some((lineage, from, to)) => {
                let name = &schema.name;
                let course = Course::of(lineage, name, from.min(to), from.max(to))?;
                Some((Arc::new(course), from))
            }
        };
        if begins {
            // No row is touched.
            let places = here.len()..schema.fields.len();
            let fills: Vec<Fill> = match &course {
                None => places.map(|_| Fill::Value(Value::Null)).collect(),
                Some((course, from)) => {
                    let flow = course.laid_out(&relaxed);
                    let fill = |at: usize| {
                        if wanted(at) {
                            flow.fill(at, here.len(), *from).0
                        } else {
                            Fill::Value(Value::Null)
                        }
                    };
                    places.map(fill).collect()
                }
            };
            return Ok(Alteration::Extend {
                schema: relaxed,
                fills,
                derivation: None,
            });
        }
        // First the columns of both, then those that are wanted.
        let whole = match &course {
            Some((course, _)) => union_of(course, schema, Some(&known.schema)),
            None => known.schema.clone(),
        };
        let flow = course.map(|(course, from)| (course.laid_out(&whole), from));
        let place = |id: FieldId| whole.fields.iter().position(|field| field.id == id);
        let is_same = |field: &Field| {
            let known = here.iter().find(|known| known.id == field.id);
            known.is_none_or(|known| known.ty == field.ty)
        };
        let is_here = |field: &Field| here.iter().any(|known| known.id == field.id);
        let fields = schema.fields.iter().enumerate();
        let places: Vec<Option<usize>> = fields
            .map(|(at, field)| {
                let is_kept = is_same(field) && (is_here(field) || wanted(at));
                place(field.id).filter(|_| is_kept)
            })
            .collect();
        let (columns, width) = (here.len(), whole.fields.len());
        let row = move |record: &Record, made: &mut Vec<ValueInput<'_>>| {
            let mut row = record.to_vec();
            row.resize(width, Value::Null);
            if let Some((flow, from)) = &flow {
                flow.complete(&mut row, &|at| at < columns, *from, Misfit::Null)?;
            }
            let value = |at: &Option<usize>| at.and_then(|at| row.get(at)).cloned();
            made.extend(
                places
                    .iter()
                    .map(|at| ValueInput::from(value(at).unwrap_or_default())),
            );
            Ok(())
        };
        Ok(Alteration::Rebuild {
            schema: relaxed,
            row: Box::new(row),
            derivation: None,
        })
    }

    /// Whether some subscription wants a column, by the name that it is to have.
    fn wants(&self, schema: &Schema, field: &Field) -> bool {
        let kept = self.subscriptions.kept.iter();
        let mut about = kept.filter(|kept| kept.is_about(&schema.name));
        about.any(|kept| {
            let columns = self.renamed(&kept.want).columns;
            columns.is_none_or(|names| names.contains(&field.name))
        })
    }

    /// Writes down what the tables are to be.
    pub(super) fn write_schemas(&self, tx: &mut Transaction<'_>) -> Result<()> {
        for name in self.gone() {
            tx.delete(&self.tables.schemas, name.clone())?;
        }
        for schema in self.schemas {
            let policy = self.policies.get(&schema.name);
            tx.upsert_values(&self.tables.schemas, schema_row(schema, policy)?)?;
        }
        Ok(())
    }

    /// The schemas of the tables that are here.
    pub(super) fn schemas_here(&self) -> Vec<&Schema> {
        let tables = self.synced.by_name.values();
        tables.map(|table| &table.schema).collect()
    }

    /// What is wanted of a table, with the names that its columns are to have.
    pub(super) fn renamed(&self, want: &Want) -> Want {
        let schemas = want.table.as_ref().and_then(|name| {
            let to = self.schemas.iter().find(|schema| schema.name == *name)?;
            Some((&self.synced.by_name.get(name)?.schema, to))
        });
        let Some((from, to)) = schemas else {
            return want.clone();
        };
        let rename = |column: &Text| renamed(from, to, column).unwrap_or_else(|| column.clone());
        Want {
            table: want.table.clone(),
            filter: match &want.filter {
                Filter::True => Filter::True,
                filter => filter.clone().map_columns(&rename),
            },
            columns: want
                .columns
                .as_ref()
                .map(|names| names.iter().map(rename).collect()),
        }
    }
}

fn key_of(schema: &Schema) -> impl Iterator<Item = FieldId> {
    schema.key_fields().iter().map(|field| field.id)
}

fn create(schema: &Schema) -> Alteration<'static> {
    Alteration::Create {
        schema: replica_schema(schema),
        kind: StorageKind::default(),
    }
}

fn drop_of(name: &Text) -> Alteration<'static> {
    Alteration::Drop {
        table: name.clone(),
    }
}

/// Checks that the server's tables are those of the version that the application is of.
pub(super) fn check_pinned(synced: &SyncedTables, schemas: &[Schema], version: u32) -> Result<()> {
    let differs = |schema: &&Schema| {
        let known = synced.by_name.get(&schema.name);
        known.is_none_or(|known| known.schema != **schema)
    };
    let missing = || {
        let has = |name: &Text| schemas.iter().any(|schema| schema.name == *name);
        synced.by_name.keys().find(|name| !has(name))
    };
    let name = schemas.iter().find(differs).map(|schema| &schema.name);
    let Some(name) = name.or_else(missing) else {
        return Ok(());
    };
    Err(Error::conflict(format!(
        "table `{name}` of the server is not as version {version} of the application's tables has it, so nothing was exchanged; \
         does the server serve another lineage, or none?"
    )))
}

/// Brings a replica's tables to the latest version of the lineage that its application carries.
pub(super) fn upgrade(
    db: &Database,
    name: &ReplicaId,
    tables: &ReplicaTables,
    lineage: &Lineage,
) -> Result<()> {
    let synced = SyncedTables::load(db, &tables.schemas)?;
    let mut tx = db.begin();
    let mut state = State::read(&tx, &tables.state, name)?;
    let latest = lineage.latest();
    let from = if state.version != 0 {
        lineage.version(state.version)?;
        state.version
    } else if synced.by_name.is_empty() {
        0
    } else {
        version_here(&synced, lineage)?
    };
    if from == latest.number && state.pinned {
        return Ok(());
    }
    let schemas: Vec<Schema> = latest.schemas.values().cloned().collect();
    let policies = schemas.iter().filter_map(|schema| {
        let known = synced.by_name.get(&schema.name)?;
        let policy = known
            .policy
            .renamed(&|column| renamed(&known.schema, schema, column));
        (policy != Policy::default()).then(|| (schema.name.clone(), policy))
    });
    let policies = policies.collect();
    let mut subscriptions = Subscriptions::read(tx.view(), &tables.subscriptions)?;
    let before = subscriptions.clone();
    let reshape = Reshape {
        db,
        tables,
        subscriptions: &before,
        synced: &synced,
        schemas: &schemas,
        policies: &policies,
        lineage: (from != 0).then_some((lineage, from, latest.number)),
    };
    let work = reshape.plan()?;
    if from != 0 && from != latest.number {
        tables.clear_staged(&mut tx, &mut state)?;
        // What waits stands as it was written: an edit under this version is one of its own.
        state.sent = state.next - 1;
        let here = reshape.schemas_here();
        subscriptions.of_another_version(from, &|want| reshape.renamed(want), &here);
        if !work.same_keys {
            for kept in &mut subscriptions.kept {
                kept.having = Having::Nothing;
                kept.forget_old();
            }
        }
        subscriptions.write(&mut tx, &tables.subscriptions)?;
    }
    state.version = latest.number;
    state.pinned = true;
    state.write(&mut tx, &tables.state)?;
    reshape.write_schemas(&mut tx)?;
    tx.commit_altered(work.alterations).map(drop)
}

/// The version whose tables are here.
fn version_here(synced: &SyncedTables, lineage: &Lineage) -> Result<u32> {
    let same = |version: &&Version| {
        version.schemas.len() == synced.by_name.len()
            && version.schemas.iter().all(|(name, schema)| {
                let known = synced.by_name.get(name);
                known.is_some_and(|known| same_columns(&known.schema, schema))
            })
    };
    let found = lineage.versions().rev().find(same);
    found.map(|version| version.number).ok_or_else(|| {
        Error::not_found(
            "the replica's tables are those of no version of the lineage, so there is no way from them; were they written by another \
             application? Opened without a lineage, the replica can still send what waits",
        )
    })
}

fn same_columns(a: &Schema, b: &Schema) -> bool {
    let column = |field: &Field| (field.id, field.name.clone(), field.ty.clone());
    a.key_columns == b.key_columns && a.fields.iter().map(column).eq(b.fields.iter().map(column))
}
