//! [`Tandem`]: the store that all of this is about, with its change log on.

use std::ops::{Bound, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::database::{Collection, Database, DatabaseOptions};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::storage::{Direction, Index, KeyRange};
use common::versioning::Retention;
use common::{Record, Timestamp, Value, ValueInput};
use uuid::Uuid;

use super::row::{Digest, Row, id_of, uuid_of};
use super::subject::{Change, Layout, Operation, Shared, Subject};
use crate::Result;

/// Position of the column `score`.
const SCORE: usize = 5;

/// How the application names columns when it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// By position, resolved once: what a prepared statement does.
    Positions,
    /// By name, in every row.
    Names,
}

/// A table in memory, each write with its own commit in the log.
#[derive(Clone)]
pub struct Tandem {
    database: Database,
    people: Collection,
    naming: Naming,
    layout: Layout,
    region: Option<Arc<Index>>,
    created: Option<Arc<Index>>,
}

impl Tandem {
    /// An empty store that is given values by position.
    ///
    /// # Errors
    /// When the schema is refused.
    pub fn open(layout: Layout) -> Result<Self> {
        Self::with(layout, Naming::Positions, Retention::default())
    }

    /// An empty store that is given rows with the names of their columns.
    ///
    /// # Errors
    /// When the schema is refused.
    pub fn open_named(layout: Layout) -> Result<Self> {
        Self::with(layout, Naming::Names, Retention::default())
    }

    /// An empty store whose log keeps nothing, to tell what the log costs.
    ///
    /// # Errors
    /// When the schema is refused.
    pub fn open_without_log(layout: Layout) -> Result<Self> {
        let retention = Retention {
            changes_max: 0,
            changes_min: 0,
            ..Retention::default()
        };
        Self::with(layout, Naming::Positions, retention)
    }

    fn with(layout: Layout, naming: Naming, retention: Retention) -> Result<Self> {
        let key = match layout {
            Layout::Plain | Layout::Indexed => FieldType::Int,
            Layout::Uuid => FieldType::Uuid,
        };
        let mut schema = Schema::build("people", ["id"])
            .field(Field::new("id", key))
            .field(Field::new("name", FieldType::Text))
            .field(Field::new("email", FieldType::Text))
            .field(Field::new("region", FieldType::Text))
            .field(Field::new("age", FieldType::Int))
            .field(Field::new("score", FieldType::Float))
            .field(Field::new("active", FieldType::Bool))
            .field(Field::new("created", FieldType::Timestamp));
        if layout.is_indexed() {
            schema = schema
                .index(IndexSpec::hash(["region"]))
                .index(IndexSpec::ordered(["created"]));
        }
        let database = Database::with(DatabaseOptions {
            retention,
            ..DatabaseOptions::default()
        });
        let people = database.create_collection(schema.finish()?)?;
        let index = |name: &str| {
            let indexes = people.indexes();
            let found = indexes.iter().find(|index| index.spec().name == name);
            found.cloned()
        };
        Ok(Self {
            region: index("region"),
            created: index("created"),
            database,
            people,
            naming,
            layout,
        })
    }

    /// The key of a row.
    #[inline]
    fn key(&self, id: i64) -> Value {
        match self.layout {
            Layout::Plain | Layout::Indexed => Value::from(id),
            Layout::Uuid => Value::Uuid(Uuid::from_bytes(uuid_of(id))),
        }
    }
}

#[inline]
fn values(key: Value, row: &Row) -> [ValueInput<'_>; 8] {
    [
        ValueInput::from(key),
        ValueInput::from(&row.name),
        ValueInput::from(&row.email),
        ValueInput::from(&row.region),
        ValueInput::from(row.age),
        ValueInput::from(row.score),
        ValueInput::from(row.active),
        ValueInput::from(Timestamp(row.created)),
    ]
}

fn named(key: Value, row: &Row) -> common::Row {
    let names = [
        "id", "name", "email", "region", "age", "score", "active", "created",
    ];
    let values = values(key, row).map(ValueInput::into_value);
    names.into_iter().zip(values).collect()
}

fn score(change: Change) -> [(usize, Value); 1] {
    [(SCORE, Value::from(change.score))]
}

/// Adds a record; a column of another type than the schema's would show as a wrong answer.
fn add(digest: &mut Digest, record: &Record) {
    let [
        id,
        name,
        email,
        region,
        age,
        score,
        active,
        Value::Timestamp(created),
    ] = record.values()
    else {
        return;
    };
    let id = match id {
        Value::Uuid(uuid) => id_of(uuid.as_bytes()),
        id => id.as_int().unwrap_or_default(),
    };
    digest.add(
        id,
        name.as_text().unwrap_or_default(),
        email.as_text().unwrap_or_default(),
        region.as_text().unwrap_or_default(),
        age.as_int().unwrap_or_default(),
        score.as_float().unwrap_or_default(),
        active.as_bool().unwrap_or_default(),
        created.0,
    );
}

impl Subject for Tandem {
    fn load(&mut self, rows: &[Row]) -> Result<()> {
        // Each with its own commit: the log of a table that was filled at once would be no shorter.
        self.insert(rows)
    }

    fn insert(&mut self, rows: &[Row]) -> Result<()> {
        match self.naming {
            Naming::Positions => {
                for row in rows {
                    self.people
                        .insert_from(&mut values(self.key(row.id), row))?;
                }
            }
            Naming::Names => {
                for row in rows {
                    self.people.insert(named(self.key(row.id), row))?;
                }
            }
        }
        Ok(())
    }

    fn get(&mut self, ids: &[i64]) -> Result<Digest> {
        Shared::get(self, ids)
    }

    fn update(&mut self, changes: &[Change]) -> Result<()> {
        Shared::update(self, changes)
    }

    fn delete(&mut self, ids: &[i64]) -> Result<()> {
        for id in ids {
            self.people.delete(self.key(*id))?;
        }
        Ok(())
    }

    fn by_region(&mut self, regions: &[String]) -> Result<Digest> {
        let index = self.region.as_ref().ok_or("there is no index by region")?;
        let mut digest = Digest::default();
        for region in regions {
            let snapshot = self.database.snapshot();
            let key = [Value::from(region.as_str())];
            let records = snapshot.view().equal(&self.people, index, &key)?;
            for record in &records {
                add(&mut digest, record);
            }
        }
        Ok(digest)
    }

    fn by_created(&mut self, ranges: &[Range<i64>]) -> Result<Digest> {
        let index = self.created.as_ref().ok_or("there is no index by time")?;
        let mut digest = Digest::default();
        for range in ranges {
            let snapshot = self.database.snapshot();
            let time = |micros| Value::Timestamp(Timestamp(micros));
            let range = KeyRange::between(
                Bound::Included(time(range.start)),
                Bound::Excluded(time(range.end)),
            );
            let ascending = Direction::Ascending;
            let view = snapshot.view();
            let records = view.range(&self.people, index, &range, ascending, None)?;
            for record in &records {
                add(&mut digest, record);
            }
        }
        Ok(digest)
    }

    fn apply(&mut self, operations: &[Operation]) -> Result<()> {
        for operation in operations {
            match operation {
                Operation::Insert(row) => self
                    .people
                    .insert_from(&mut values(self.key(row.id), row))?,
                Operation::Update(change) => self
                    .people
                    .update_values(self.key(change.id), score(*change))?,
                Operation::Delete(id) => self.people.delete(self.key(*id))?,
            };
        }
        Ok(())
    }

    fn transact(&mut self, groups: &[Vec<Operation>]) -> Result<()> {
        let people = &self.people;
        for group in groups {
            let mut transaction = self.database.begin();
            for operation in group {
                match operation {
                    Operation::Insert(row) => {
                        transaction.insert_from(people, &mut values(self.key(row.id), row))?;
                    }
                    Operation::Update(change) => {
                        transaction.update_values(people, self.key(change.id), score(*change))?;
                    }
                    Operation::Delete(id) => transaction.delete(people, self.key(*id))?,
                }
            }
            transaction.commit()?;
        }
        Ok(())
    }

    fn roll_back(&mut self, rows: &[Row]) -> Result<Option<Duration>> {
        let mut transaction = self.database.begin();
        for row in rows {
            transaction.insert_from(&self.people, &mut values(self.key(row.id), row))?;
        }
        let start = Instant::now();
        transaction.rollback();
        Ok(Some(start.elapsed()))
    }

    fn snapshot(&mut self, ids: &[i64]) -> Result<Option<Digest>> {
        let mut digest = Digest::default();
        for id in ids {
            let snapshot = self.database.snapshot();
            if let Some(record) = snapshot.get(&self.people, self.key(*id))? {
                add(&mut digest, &record);
            }
        }
        Ok(Some(digest))
    }
}

impl Shared for Tandem {
    fn get(&self, ids: &[i64]) -> Result<Digest> {
        let mut digest = Digest::default();
        for id in ids {
            if let Some(record) = self.people.get(self.key(*id)) {
                add(&mut digest, &record);
            }
        }
        Ok(digest)
    }

    fn update(&self, changes: &[Change]) -> Result<()> {
        match self.naming {
            Naming::Positions => {
                for change in changes {
                    self.people
                        .update_values(self.key(change.id), score(*change))?;
                }
            }
            Naming::Names => {
                for change in changes {
                    let row = common::Row::new().with("score", change.score);
                    self.people.update(self.key(change.id), row)?;
                }
            }
        }
        Ok(())
    }
}
