//! [`migrate`]: a database's tables as of one version become those of another, in one commit.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::database::Alteration;
use common::schema::{Field, FieldType, Schema};
use common::storage::{Fill, StorageKind};
use common::{
    Collection, Database, Error, ErrorKind, Record, Result, Text, Transaction, Value, Violation,
};
use serde::Serialize;

use super::dry_run::{DryRun, dry_run};
use super::edge::{Changed, TableEdge};
use super::lineage::{Lineage, Version};
use super::program::Program;
use super::step::Migration;
use crate::names::user_tables;

/// Rows that a refusal names.
pub const ROWS_NAMED_MAX: usize = 20;
const HISTORY: &str = "sync_lineage";
/// The table that tells a replica's database from others.
const REPLICA: &str = "sync_state";

/// How a table comes from one version to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is new.
    Create,
    /// It goes with its rows.
    Drop,
    /// Its rows stay as they are: names, rules or indexes change, or columns come behind the others.
    InPlace,
    /// Each row is made anew.
    Rebuild,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MigrationReport {
    /// The version before.
    pub from: u32,
    /// The version after.
    pub to: u32,
    /// What became of each table that is not as before.
    pub tables: BTreeMap<Text, TableMigration>,
}

/// What a migration did to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableMigration {
    /// How.
    pub way: Way,
    /// Number of its rows.
    pub rows: u64,
    /// Number of values that others stand in the place of, because they did not fit.
    pub lossy: u64,
}

/// What is to be done to a table.
pub(super) enum Work {
    Create(Schema),
    Drop,
    InPlace(Schema, Vec<Value>),
    Rebuild(Schema, Program),
}

impl Work {
    pub(super) const fn way(&self) -> Way {
        match self {
            Self::Create(_) => Way::Create,
            Self::Drop => Way::Drop,
            Self::InPlace(..) => Way::InPlace,
            Self::Rebuild(..) => Way::Rebuild,
        }
    }
}

/// The version of the lineage that a database's tables are of: the one it was migrated to last, or else the latest whose
/// columns it has.
///
/// # Errors
/// [`ErrorKind::NotFound`] when it is of a version that the lineage has not, or of none.
pub fn version_of(db: &Database, lineage: &Lineage) -> Result<u32> {
    if let Ok(history) = db.collection(HISTORY)
        && let Some(last) = last_of(&history)?
    {
        let number = u32::try_from(read_int(&last, 2)?).unwrap_or(u32::MAX);
        lineage.version(number)?;
        return Ok(number);
    }
    let tables = user_tables(db);
    let is_of = |version: &Version, with_indexes: bool| {
        version.schemas.len() == tables.len()
            && tables.iter().all(|table| {
                let (schema, known) = (table.schema(), version.schemas.get(table.name()));
                known.is_some_and(|known| {
                    has_columns(&schema, known)
                        && (!with_indexes || schema.indexes == known.indexes)
                })
            })
    };
    let find = |with_indexes: bool| {
        let mut versions = lineage.versions().rev();
        versions.find(|version| is_of(version, with_indexes))
    };
    let found = find(true).or_else(|| find(false));
    found.map(|version| version.number).ok_or_else(|| {
        let names: Vec<&str> = tables.iter().map(Collection::name).collect();
        Error::not_found(format!(
            "the database's tables [{}] are not those of any version of the lineage, so there is no way from them; was it \
             written by another application?",
            names.join(", ")
        ))
    })
}

fn has_columns(schema: &Schema, known: &Schema) -> bool {
    let columns = |schema: &Schema| {
        let fields = schema.fields.iter();
        fields
            .map(|field| (field.id, field.name.clone(), field.ty.clone()))
            .collect::<Vec<_>>()
    };
    schema.key_columns == known.key_columns && columns(schema) == columns(known)
}

fn last_of(history: &Collection) -> Result<Option<Record>> {
    let mut last: Option<Record> = None;
    let snapshot = history.database().snapshot();
    snapshot.view().scan(history, &mut |records| {
        for record in records {
            if last.as_ref().is_none_or(|last| last.key() < record.key()) {
                last = Some(record.clone());
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(last)
}

fn read_int(record: &Record, position: usize) -> Result<i64> {
    record.get(position).and_then(Value::as_int).ok_or_else(|| {
        Error::corrupt(format!(
            "table `{HISTORY}` was written by something else: column {position} of a row is no number"
        ))
    })
}

/// A replica's rows are of the version that its server knows it by, so they do not change behind its back.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a database that a replica has written its state to.
pub(super) fn refuse_replica(db: &Database) -> Result<()> {
    if db.collection(REPLICA).is_err() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "the database is a replica's (it has the table `{REPLICA}`): a replica is brought to another version when it is \
         opened with its lineage, not by migrating its tables"
    )))
}

/// What is to be done, by table.
pub(super) fn works(
    db: &Database,
    lineage: &Lineage,
    from: u32,
    to: u32,
) -> Result<BTreeMap<Text, Work>> {
    let (before, after) = (lineage.version(from)?, lineage.version(to)?);
    let is_back = to < from;
    let edges = lineage.edges(from.min(to), from.max(to));
    let mut works = BTreeMap::new();
    for name in before.schemas.keys() {
        let Some(end) = after.schemas.get(name) else {
            works.insert(name.clone(), Work::Drop);
            continue;
        };
        let changes = edges.iter().filter_map(|edge| match edge.tables.get(name) {
            Some(TableEdge::Changed(changed)) => Some(&**changed),
            _ => None,
        });
        let changes: Vec<&Changed> = changes.collect();
        if changes.is_empty() {
            continue;
        }
        let start = db.collection(name)?.schema();
        let program = if is_back {
            Program::backward(&start, &changes, end)
        } else {
            Program::forward(&start, &changes, end)
        };
        let program = program.map_err(|error| error.at(format!("table `{name}`")))?;
        let same_key = start.key_columns == end.key_columns;
        let work = match program.constants().filter(|_| same_key) {
            Some(values) => Work::InPlace(end.clone(), values),
            None => Work::Rebuild(end.clone(), program),
        };
        works.insert(name.clone(), work);
    }
    for (name, schema) in &after.schemas {
        if !before.schemas.contains_key(name) {
            works.insert(name.clone(), Work::Create(schema.clone()));
        }
    }
    Ok(works)
}

/// Brings a database's tables to a version of the lineage, forward or back: all tables in one commit, or, when a row is in
/// the way, nothing. `progress` is told the table, the number of its rows that are done and of all, every 4,096 rows of a
/// table whose rows are made anew; when it returns `false`, nothing is changed.
///
/// A table of which columns are added behind the others, or renamed, keeps its rows as they are: that costs the same at any
/// size. The rows of other tables that change are made anew, about a microsecond each, in memory beside the old ones; the log
/// begins anew then. Going back, columns that were removed hold what the step said.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{row, Database, Value};
/// use syncdb::migration::{migrate, Lineage, Migration, Step};
/// let people = Schema::build("people", ["id"])
///     .field(Field::new("id", FieldType::Int))
///     .field(Field::new("name", FieldType::Text))
///     .finish()?;
/// let db = Database::new();
/// db.create_collection(people.clone())?.insert(row! { "id": 1, "name": "Aino Korhonen" })?;
/// let text = |name: &str| Field::new(name, FieldType::Text);
/// let lineage = Lineage::new([people])?.then(Migration::new([Step::SplitColumn {
///     table: "people".into(),
///     column: "name".into(),
///     into: vec![text("first"), text("last")],
///     separator: " ".into(),
///     on_loss: Default::default(),
/// }]))?;
/// let report = migrate(&db, &lineage, 2, &mut |_, _, _| true)?;
/// assert_eq!(report.tables["people"].rows, 1);
/// let row = db.collection("people")?.get(1).unwrap();
/// assert_eq!(row.values(), [Value::from(1), "Aino".into(), "Korhonen".into()]);
/// migrate(&db, &lineage, 1, &mut |_, _, _| true)?;
/// assert_eq!(db.collection("people")?.get(1).unwrap()[1], Value::from("Aino Korhonen"));
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::NotFound`] for a version that the lineage has not; [`ErrorKind::Invalid`] with the first
/// [`ROWS_NAMED_MAX`] values that do not fit, each with table, key, column and reason; [`ErrorKind::Conflict`] when two rows would have one
/// key or break a unique index, while a snapshot of the database is open, and when `progress` said no;
/// [`ErrorKind::Unsupported`] for a replica's database. Nothing is changed then.
pub fn migrate(
    db: &Database,
    lineage: &Lineage,
    to: u32,
    progress: &mut dyn FnMut(&str, u64, u64) -> bool,
) -> Result<MigrationReport> {
    refuse_replica(db)?;
    let from = version_of(db, lineage)?;
    if from == to {
        return Ok(MigrationReport::begin(db, from, to, &BTreeMap::new()));
    }
    let works = works(db, lineage, from, to)?;
    let mut report = MigrationReport::begin(db, from, to, &works);
    let history = history(db)?;
    let mut tx = db.begin();
    remember(&mut tx, &history, from, to)?;
    match run(db, tx, &works, &mut report, progress) {
        Ok(()) => Ok(report),
        Err(Failed::Row) => Err(refusal(dry_run(db, lineage, to, ROWS_NAMED_MAX)?)),
        Err(Failed::Other(error)) => Err(error),
    }
}

/// Alters the tables of a database that are of no lineage, by the steps of one migration: all of them in one commit, or, when
/// a row is in the way, nothing. What it costs and does to the rows is as with [`migrate`].
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{row, Database, Value};
/// use syncdb::migration::{alter, Migration, Step};
/// let db = Database::new();
/// let tasks = Schema::build("tasks", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// db.create_collection(tasks)?.insert(row! { "id": 1 })?;
/// let report = alter(&db, Migration::new([Step::AddColumn {
///     table: "tasks".into(),
///     field: Field::new("done", FieldType::Bool).default_value(false),
///     value: None,
/// }]))?;
/// assert_eq!(report.tables["tasks"].rows, 1);
/// assert_eq!(db.collection("tasks")?.get(1).unwrap()[1], Value::from(false));
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// As [`migrate`]; [`ErrorKind::Conflict`] for a database whose tables were migrated by a lineage: extend that.
pub fn alter(db: &Database, migration: Migration) -> Result<MigrationReport> {
    refuse_replica(db)?;
    if db
        .collection(HISTORY)
        .is_ok_and(|history| !history.is_empty())
    {
        return Err(Error::conflict(
            "the tables of this database are of a lineage: add the migration to it, and run that",
        ));
    }
    let tables = user_tables(db).into_iter();
    let schemas = tables.map(|table| table.schema().as_ref().clone());
    let lineage = Lineage::new(schemas)?.then(migration)?;
    let (from, to) = (1, 2);
    let works = works(db, &lineage, from, to)?;
    let mut report = MigrationReport::begin(db, from, to, &works);
    match run(db, db.begin(), &works, &mut report, &mut |_, _, _| true) {
        Ok(()) => Ok(report),
        Err(Failed::Row) => Err(refusal(dry_run(db, &lineage, to, ROWS_NAMED_MAX)?)),
        Err(Failed::Other(error)) => Err(error),
    }
}

impl MigrationReport {
    /// What is going to be done, with the number of rows as of now.
    fn begin(db: &Database, from: u32, to: u32, works: &BTreeMap<Text, Work>) -> Self {
        let tables = works.iter().map(|(name, work)| {
            let rows = db.collection(name).map_or(0, |table| table.len() as u64);
            let table = TableMigration {
                way: work.way(),
                rows,
                lossy: 0,
            };
            (name.clone(), table)
        });
        Self {
            from,
            to,
            tables: tables.collect(),
        }
    }
}

/// Why a migration did not take place.
enum Failed {
    /// A row does not fit.
    Row,
    Other(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Writes down that a migration was done.
fn remember(tx: &mut Transaction<'_>, history: &Collection, from: u32, to: u32) -> Result<()> {
    let next = last_of(history)?.map_or(Ok(1), |last| read_int(&last, 0).map(|n| n + 1))?;
    let row = [
        Value::from(next),
        Value::from(from),
        Value::from(to),
        Value::Timestamp(history.database().clock().now()),
    ];
    tx.insert_values(history, row).map(drop)
}

fn run(
    db: &Database,
    tx: Transaction<'_>,
    works: &BTreeMap<Text, Work>,
    report: &mut MigrationReport,
    progress: &mut dyn FnMut(&str, u64, u64) -> bool,
) -> ::core::result::Result<(), Failed> {
    // Tables are made one after another, so one mark for all is enough.
    let refused = std::cell::Cell::new(false);
    let progress = std::cell::RefCell::new(progress);
    let lossy: BTreeMap<&Text, std::cell::Cell<u64>> = works
        .keys()
        .map(|name| (name, std::cell::Cell::new(0)))
        .collect();
    let mut alterations = Vec::with_capacity(works.len());
    for (name, work) in works {
        alterations.push(match work {
            Work::Create(schema) => Alteration::Create {
                schema: schema.clone(),
                kind: StorageKind::default(),
            },
            Work::Drop => Alteration::Drop {
                table: name.clone(),
            },
            Work::InPlace(schema, values) => Alteration::Extend {
                schema: schema.clone(),
                fills: values.iter().cloned().map(Fill::Value).collect(),
                derivation: None,
            },
            Work::Rebuild(schema, program) => {
                let all = db.collection(name)?.len() as u64;
                let (refused, progress) = (&refused, &progress);
                let lossy = lossy.get(name);
                let mut done = 0_u64;
                Alteration::Rebuild {
                    schema: schema.clone(),
                    row: Box::new(move |record, values| {
                        let made = program.run(record, values, &mut |lost| {
                            if lost.after.is_none() {
                                refused.set(true);
                            }
                            if let Some(lossy) = lossy {
                                lossy.set(lossy.get() + 1);
                            }
                        });
                        done += 1;
                        if done.is_multiple_of(4_096) || done == all {
                            let go_on = (progress.borrow_mut())(name, done, all);
                            if !go_on {
                                return Err(Error::conflict(format!(
                                    "the migration was stopped at row {done} of {all} of `{name}`; nothing was changed"
                                )));
                            }
                        }
                        made
                    }),
                    derivation: None,
                }
            }
        });
    }
    let altered = tx.commit_altered(alterations);
    match altered {
        Ok(_) => {
            for (name, table) in &mut report.tables {
                table.lossy = lossy.get(name).map_or(0, std::cell::Cell::get);
            }
            Ok(())
        }
        Err(_) if refused.get() => Err(Failed::Row),
        Err(error) => Err(Failed::Other(error)),
    }
}

fn refusal(found: DryRun) -> Error {
    let mut violations = Vec::new();
    let mut refused = 0;
    for (name, table) in found.tables {
        refused += table.refused;
        let in_the_way = table.samples.into_iter().filter(|s| s.after.is_none());
        violations.extend(in_the_way.map(|sample| Violation {
            path: format!("{name}({}).{}", sample.key, sample.column),
            rule: "fits".into(),
            message: format!("{:?}: {}", sample.before, sample.why),
        }));
    }
    violations.truncate(ROWS_NAMED_MAX);
    let subject = format!(
        "the migration from version {} to {}, which {refused} values do not fit",
        found.from, found.to
    );
    Error::violations_of(ErrorKind::Invalid, &subject, violations)
}

/// The table of migrations that were done.
fn history(db: &Database) -> Result<Collection> {
    if let Ok(found) = db.collection(HISTORY) {
        return Ok(found);
    }
    let int = |name: &str| Field::new(name, FieldType::Int);
    let schema = Schema::build(HISTORY, ["number"])
        .field(int("number"))
        .field(int("from"))
        .field(int("to"))
        .field(Field::new("at", FieldType::Timestamp))
        .finish()?;
    db.create_collection(schema)
}
