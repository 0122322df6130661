//! Brings a server's tables to the versions that it is to serve: the columns of all of them side by side.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use common::database::{Alteration, Derivation};
use common::schema::{Field, FieldId, FieldType, Schema};
use common::storage::{Fill, StorageKind};
use common::{
    Collection, Database, Error, ErrorKind, Limits, Record, Result, Seq, Text, Value, ValueInput,
    Violation,
};

use super::catalogue::{Ages, Catalogue, Past, Versions};
use super::system::{damaged, number, open, read_number, user_tables};
use crate::migration::{
    Course, Flow, Lineage, Misfit, ROWS_NAMED_MAX, Scripts, union_of, version_of,
};

const STATE: &str = "sync_versions";
/// The row of it that says what the tables are.
const KEY: &str = "tables";

/// Which versions of the application's tables a server serves.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The chain of versions.
    pub lineage: Lineage,
    /// Replicas of this version and later are served; default 1, the first.
    pub served_from: u32,
    /// What replicas of earlier versions had still to send is taken from this version on; default as `served_from`.
    pub accepted_from: u32,
    /// The version of those replicas that carry no lineage, and of whoever writes at the server; default the lineage's latest.
    pub current: u32,
}

impl Serving {
    /// All versions of a lineage, of which the latest is current.
    pub fn new(lineage: Lineage) -> Self {
        Self {
            current: lineage.latest().number,
            lineage,
            served_from: 1,
            accepted_from: 1,
        }
    }

    /// Serves replicas of this version and later only. What earlier ones have still to send is not taken either, until
    /// [`Serving::accepted_from`] says otherwise.
    #[must_use]
    pub const fn served_from(mut self, version: u32) -> Self {
        self.served_from = version;
        self.accepted_from = version;
        self
    }

    /// Takes what replicas of this version and later have still to send, also where they are not served any more: the grace
    /// in which the last of them come by.
    #[must_use]
    pub const fn accepted_from(mut self, version: u32) -> Self {
        self.accepted_from = version;
        self
    }

    /// Sets which version is current: an earlier one to roll a deployment back. Replicas that are further stay so.
    #[must_use]
    pub const fn current(mut self, version: u32) -> Self {
        self.current = version;
        self
    }

    fn check(&self) -> Result<Versions> {
        let latest = self.lineage.latest().number;
        let Self {
            served_from,
            accepted_from,
            current,
            ..
        } = *self;
        if 1 <= accepted_from
            && accepted_from <= served_from
            && served_from <= current
            && current <= latest
        {
            return Ok(Versions {
                accepted_from,
                served_from,
                current,
                latest,
            });
        }
        Err(Error::invalid(format!(
            "a server takes mutations from one version on ({accepted_from}), serves rows from that or a later one on \
             ({served_from}), has a current one of those ({current}), and knows the lineage's latest ({latest}); they are to be in \
             this order, from 1"
        )))
    }
}

/// What a database was served as the last time.
///
/// # Errors
/// [`ErrorKind::NotFound`] when its lineage has functions of the application.
pub(crate) fn as_before(db: &Database) -> Result<Option<Serving>> {
    let Ok(state) = db.collection(STATE) else {
        return Ok(None);
    };
    let Some(record) = state.try_get(KEY)? else {
        return Ok(None);
    };
    let json = record.get(1).and_then(Value::as_bytes);
    let json = json.ok_or_else(|| damaged(1))?;
    let lineage = Lineage::from_json(json, &Limits::default(), Scripts::default());
    let lineage = lineage.map_err(|error| {
        error.at("the lineage that the database is served with, and that the server is to be given")
    })?;
    let version = |position: usize| {
        let number = read_number(&record, position)?;
        u32::try_from(number).map_err(|_| damaged(position))
    };
    Ok(Some(Serving {
        lineage,
        current: version(2)?,
        served_from: version(4)?,
        accepted_from: version(5)?,
    }))
}

/// Brings the tables to what is to be served, in one commit. Columns that are added touch no row.
///
/// # Errors
/// [`ErrorKind::Conflict`] for a lineage that is another one than the tables have had; [`ErrorKind::NotFound`] for tables of no
/// version of it; [`ErrorKind::Invalid`] with the rows that do not fit a column which is computed from others;
/// [`ErrorKind::Unsupported`] for versions with another key.
pub(crate) fn deploy(db: &Database, mut serving: Serving) -> Result<Catalogue> {
    let state = open(db, state_schema()?)?;
    let known = Known::read(&state, &serving.lineage)?;
    if let Some(known) = &known {
        serving.lineage = known.lineage.clone();
    }
    let versions = serving.check()?;
    let lineage = &serving.lineage;
    let range = versions.accepted_from..=versions.latest;
    let from = match &known {
        Some(known) => known.current,
        None if user_tables(db).is_empty() => 0,
        None => version_of(db, lineage)?,
    };
    let mut schemas = BTreeMap::new();
    for number in range.clone() {
        schemas.insert(number, lineage.version(number)?.schemas.clone());
    }
    let names: BTreeSet<&Text> = schemas.values().flat_map(BTreeMap::keys).collect();
    let mut tx = db.begin();
    let mut rows = BTreeMap::new();
    let mut alterations = Vec::new();
    let mut ages: BTreeMap<Text, BTreeMap<FieldId, Seq>> = BTreeMap::new();
    for name in names {
        let now = current_of(&schemas, versions.current, name);
        let (number, Some(now)) = now else { continue };
        let course = Course::of(lineage, name, *range.start(), *range.end())?;
        let course = Arc::new(course);
        let way = way(lineage, name, &course, from, &range)?;
        let table = Table {
            course: &course,
            way: &way,
            number,
            now,
            from,
        };
        let schema = table.alterations(db, &mut alterations)?;
        let mut since = known
            .as_ref()
            .map_or_else(BTreeMap::new, |known| known.since(name));
        since.retain(|id, _| schema.fields.iter().any(|field| field.id == *id));
        if let Ok(there) = db.collection(name) {
            let there = there.schema();
            let is_new = |field: &&Field| !there.fields.iter().any(|known| known.id == field.id);
            let came = schema.fields.iter().filter(is_new);
            since.extend(came.map(|field| (field.id, tx.seq())));
        }
        ages.insert(name.clone(), since);
        rows.insert(name.clone(), (Arc::new(schema), course));
    }
    // Tables that the lineage does not speak of are the application's own business.
    let was = |name: &str| {
        lineage
            .versions()
            .any(|version| version.schemas.contains_key(name))
    };
    for table in user_tables(db) {
        if !rows.contains_key(table.name()) && was(table.name()) {
            alterations.push(Alteration::Drop {
                table: Text::new(table.name()),
            });
        }
    }
    let row = [
        Value::from(KEY),
        Value::from(lineage.to_json()?),
        Value::from(versions.current),
        write_ages(&ages),
        Value::from(versions.served_from),
        Value::from(versions.accepted_from),
    ];
    let same = tx.get(&state, KEY)?.is_some_and(|known| *known == row);
    if !same {
        tx.upsert_values(&state, row)?;
    }
    if !same || !alterations.is_empty() {
        tx.commit_altered(alterations)?;
    }
    let past = rows.iter().filter_map(|(name, (schema, _))| {
        let past = past(lineage, name, schema, versions.latest)?;
        Some((name.clone(), past))
    });
    let past = past.collect();
    let ages = ages.into_iter().filter_map(|(name, since)| {
        let (_, course) = rows.get(&name)?;
        Some((name, Ages::new(course, since)))
    });
    let ages = ages.collect();
    Ok(Catalogue::new(versions, &schemas, &rows, past, ages))
}

/// A table as the current version has it, or the last one that had it; with the number of that.
fn current_of<'a>(
    schemas: &'a BTreeMap<u32, BTreeMap<Text, Schema>>,
    current: u32,
    name: &str,
) -> (u32, Option<&'a Schema>) {
    let of = |number: u32| schemas.get(&number)?.get(name);
    if let Some(schema) = of(current) {
        return (current, Some(schema));
    }
    let mut has = schemas.keys().rev().copied();
    let last = has.find(|number| of(*number).is_some());
    last.map_or((0, None), |number| (number, of(number)))
}

/// The course of a table from the version on that its rows are of, which may be one before those that are accepted.
fn way(
    lineage: &Lineage,
    name: &str,
    course: &Arc<Course>,
    from: u32,
    accepted: &RangeInclusive<u32>,
) -> Result<Arc<Course>> {
    if from == 0 || from >= *accepted.start() {
        return Ok(Arc::clone(course));
    }
    let way = Course::of(lineage, name, from, *accepted.end());
    way.map(Arc::new).map_err(|_| {
        Error::unsupported(format!(
            "table `{name}` gets another key between version {from}, which the database is of, and version {}; bring the database \
             there by a migration before it is served",
            accepted.start()
        ))
    })
}

/// A table as far back as it has had the key that it has.
fn past(lineage: &Lineage, name: &str, rows: &Schema, latest: u32) -> Option<Past> {
    let (first, course) = (1..=latest).find_map(|first| {
        let course = Course::of(lineage, name, first, latest).ok()?;
        Some((first, Arc::new(course)))
    })?;
    if course.is_constant() {
        return None;
    }
    let has = lineage
        .versions()
        .skip_while(|version| version.number < first);
    let has = has.filter_map(|version| {
        let schema = version.schemas.get(name)?;
        let columns = schema.fields.iter().skip(schema.key_columns);
        Some((version.number, columns.map(|field| field.id).collect()))
    });
    Some(Past {
        flow: course.laid_out(rows),
        versions: has.collect(),
        course,
    })
}

fn state_schema() -> Result<Schema> {
    Schema::build(STATE, ["name"])
        .field(Field::new("name", FieldType::Text))
        .field(Field::new("lineage", FieldType::Any))
        .field(Field::new("current", FieldType::Int))
        .field(Field::new("since", FieldType::Any))
        .field(Field::new("served_from", FieldType::Int))
        .field(Field::new("accepted_from", FieldType::Int))
        .finish()
}

/// For each table, the columns that came by a deployment with the commit with which they came.
fn write_ages(ages: &BTreeMap<Text, BTreeMap<FieldId, Seq>>) -> Value {
    let tables = ages.iter().map(|(name, since)| {
        let columns = since
            .iter()
            .flat_map(|(id, seq)| [Value::from(id.0), number(seq.0)]);
        Value::from(vec![
            Value::Text(name.clone()),
            Value::List(columns.collect()),
        ])
    });
    Value::List(tables.collect())
}

fn read_ages(value: &Value) -> Option<BTreeMap<Text, BTreeMap<FieldId, Seq>>> {
    let tables = value.as_list()?.iter().map(|table| {
        let [name, columns] = table.as_list()? else {
            return None;
        };
        let pairs = columns.as_list()?.chunks(2).map(|pair| {
            let [id, seq] = pair else { return None };
            let id = u32::try_from(id.as_int()?).ok()?;
            Some((FieldId(id), Seq(seq.as_int()?.cast_unsigned())))
        });
        Some((Text::new(name.as_text()?), pairs.collect::<Option<_>>()?))
    });
    tables.collect()
}

/// What the tables are.
struct Known {
    /// The longer of the lineage that they have had and the one that is given.
    lineage: Lineage,
    /// The version that was current.
    current: u32,
    since: BTreeMap<Text, BTreeMap<FieldId, Seq>>,
}

impl Known {
    fn since(&self, table: &str) -> BTreeMap<FieldId, Seq> {
        self.since.get(table).cloned().unwrap_or_default()
    }

    fn read(state: &Collection, given: &Lineage) -> Result<Option<Self>> {
        let Some(record) = state.try_get(KEY)? else {
            return Ok(None);
        };
        let json = record.get(1).and_then(Value::as_bytes);
        let json = json.ok_or_else(|| damaged(1))?;
        let current = u32::try_from(read_number(&record, 2)?).map_err(|_| damaged(2))?;
        let chain = |json: &[u8]| -> Result<(serde_json::Value, Vec<serde_json::Value>)> {
            let mut read: serde_json::Value =
                serde_json::from_slice(json).map_err(|_| damaged(1))?;
            let first = read.get_mut("first").map(serde_json::Value::take);
            let steps = read.get_mut("migrations").map(serde_json::Value::take);
            let steps = match steps {
                Some(serde_json::Value::Array(steps)) => steps,
                _ => Vec::new(),
            };
            Ok((first.unwrap_or_default(), steps))
        };
        let (first, steps) = chain(json)?;
        let (given_first, given_steps) = chain(&given.to_json()?)?;
        if first != given_first
            || !(steps.starts_with(&given_steps) || given_steps.starts_with(&steps))
        {
            return Err(Error::conflict(
                "the tables have had another lineage than the one given: a lineage is only ever made longer, so that what was \
                 written under any version is understood; is it of another application?",
            ));
        }
        let lineage = if given_steps.len() >= steps.len() {
            given.clone()
        } else {
            // An application of before: the tables have columns that it does not know, and keeps in step.
            let scripts = given.registered().clone();
            Lineage::from_json(json, &Limits::default(), scripts).map_err(|error| {
                error.at("the lineage that the tables have had, which is longer than the one given")
            })?
        };
        let since = record
            .get(3)
            .and_then(read_ages)
            .ok_or_else(|| damaged(3))?;
        Ok(Some(Self {
            lineage,
            current,
            since,
        }))
    }
}

/// One table on its way.
struct Table<'a> {
    course: &'a Arc<Course>,
    /// The same from the version on that the rows are of.
    way: &'a Arc<Course>,
    /// The version that names the columns.
    number: u32,
    now: &'a Schema,
    /// The version that the rows are of.
    from: u32,
}

impl Table<'_> {
    /// The schema of the rows; adds what is to be done for it.
    fn alterations(
        &self,
        db: &Database,
        alterations: &mut Vec<Alteration<'static>>,
    ) -> Result<Schema> {
        let there = db.collection(&self.now.name).ok();
        let Some(table) = there else {
            let schema = union_of(self.course, self.now, None);
            let flow = self.course.laid_out(&schema);
            alterations.push(Alteration::Create {
                schema: schema.clone(),
                kind: StorageKind::default(),
            });
            let derivation = self.derivation(&schema, &flow);
            alterations.extend(derivation.map(|derivation| Alteration::Extend {
                schema: schema.clone(),
                fills: Vec::new(),
                derivation: Some(derivation),
            }));
            return Ok(schema);
        };
        let there = table.schema();
        let has = |field: &Field| self.course.columns().iter().any(|own| own.id == field.id);
        if !there.fields.iter().all(has) {
            return Ok(self.rebuild(&there, alterations));
        }
        let schema = union_of(self.course, self.now, Some(&there));
        let derivation = self.derivation(&schema, &self.course.laid_out(&schema));
        if *there == schema && derivation.is_none() {
            return Ok(schema);
        }
        let flow = self.way.laid_out(&schema);
        let before = there.fields.len();
        let fills = (before..schema.fields.len()).map(|place| flow.fill(place, before, self.from));
        let (fills, may_lose): (Vec<Fill>, Vec<bool>) = fills.unzip();
        if may_lose.contains(&true) {
            self.check(&table, &flow, schema.fields.len())?;
        }
        alterations.push(Alteration::Extend {
            schema: schema.clone(),
            fills,
            derivation,
        });
        Ok(schema)
    }

    /// Makes the rows anew without the columns that no version has any more.
    fn rebuild(&self, there: &Schema, alterations: &mut Vec<Alteration<'static>>) -> Schema {
        let schema = union_of(self.course, self.now, None);
        let derivation = self.derivation(&schema, &self.course.laid_out(&schema));
        let whole = union_of(self.way, self.now, Some(there));
        let flow = self.way.laid_out(&whole);
        let place = |field: &Field| whole.fields.iter().position(|known| known.id == field.id);
        let places: Vec<Option<usize>> = schema.fields.iter().map(place).collect();
        let (from, columns, width) = (self.from, there.fields.len(), whole.fields.len());
        let row = move |record: &Record, made: &mut Vec<ValueInput<'_>>| {
            let mut row = record.to_vec();
            row.resize(width, Value::Null);
            flow.complete(&mut row, &|at| at < columns, from, Misfit::Refuse)?;
            let value = |at: &Option<usize>| at.and_then(|at| row.get(at)).cloned();
            made.extend(
                places
                    .iter()
                    .map(|at| ValueInput::from(value(at).unwrap_or_default())),
            );
            Ok(())
        };
        alterations.push(Alteration::Rebuild {
            schema: schema.clone(),
            row: Box::new(row),
            derivation,
        });
        schema
    }

    /// Finds the rows that do not fit a column which is to be computed.
    fn check(&self, table: &Collection, flow: &Flow, columns: usize) -> Result<()> {
        let mut violations = Vec::new();
        let mut count = 0_usize;
        let snapshot = table.database().snapshot();
        snapshot.view().scan(table, &mut |records| {
            for record in records {
                let mut row = record.to_vec();
                let before = row.len();
                row.resize(columns, Value::Null);
                let given = |at: usize| at < before;
                let made = flow.complete(&mut row, &given, self.from, Misfit::Refuse);
                if let Err(refused) = made {
                    count += 1;
                    if violations.len() < ROWS_NAMED_MAX {
                        violations.push(Violation {
                            path: format!("{}({}).{}", table.name(), record.id(), refused.column),
                            rule: "fits".into(),
                            message: format!("{:?}: {}", refused.before, refused.why),
                        });
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        if count == 0 {
            return Ok(());
        }
        let subject = format!(
            "version {} of table `{}`, which {count} rows do not fit",
            self.number,
            table.name()
        );
        Err(Error::violations_of(
            ErrorKind::Invalid,
            &subject,
            violations,
        ))
    }

    /// What keeps the columns of other versions in step with what is written at the server.
    fn derivation(&self, schema: &Schema, flow: &Flow) -> Option<Derivation> {
        if schema.fields.len() == self.now.fields.len() {
            let linked = self
                .now
                .fields
                .iter()
                .any(|field| self.course.relatives(field.id).len() > 1);
            if !linked {
                return None;
            }
        }
        let own = |field: &Field| self.now.fields.iter().any(|own| own.id == field.id);
        let own: Vec<bool> = schema.fields.iter().map(own).collect();
        let (flow, number) = (flow.clone(), self.number);
        Some(Derivation::new(move |before, row| {
            match before {
                Some(before) => {
                    let now = row.to_vec();
                    let written = |at: usize| before.get(at) != now.get(at);
                    flow.derive(before, row, &written)?;
                }
                None => {
                    let now = row.to_vec();
                    let given = |at: usize| {
                        own.get(at).copied().unwrap_or_default()
                            || now.get(at).is_some_and(|value| !value.is_null())
                    };
                    flow.complete(row, &given, number, Misfit::Refuse)?;
                }
            }
            Ok(())
        }))
    }
}
