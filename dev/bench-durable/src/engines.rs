//! The engines, each behind the same few calls.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::schema::{Field, FieldType, Schema};
use common::{Collection, Value, ValueInput};
use durable::{DurableDatabase, DurableOptions};
use fjall::{KeyspaceCreateOptions, PersistMode};
use redb::{
    ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};

use crate::Shared;
use crate::grouped::Grouped;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Open = fn(&Path) -> Result<Shared, Failure>;

/// An engine with one table.
pub(crate) trait Engine: Send + Sync {
    /// Writes one row, and returns when it is on the disk.
    fn upsert(&self, key: u64, text: &str) -> Result<(), Failure> {
        self.fill(&[(key, text.to_owned())])
    }

    /// Writes rows in one transaction, and returns when they are on the disk.
    fn fill(&self, rows: &[(u64, String)]) -> Result<(), Failure>;

    /// Reads all rows, and counts them.
    fn count(&self) -> Result<u64, Failure>;

    /// Makes a snapshot, if the engine has such.
    fn snapshot(&self) -> Result<bool, Failure> {
        Ok(false)
    }
}

/// What we are called.
pub(crate) const OURS: &str = "tandemdb";

/// All, those without group commit also with one in front of them.
pub(crate) const ALL: [(&str, Open); 6] = [
    (OURS, tandem),
    ("redb", redb),
    ("redb, grouped", |folder| {
        Ok(Arc::new(Grouped::new(redb(folder)?)))
    }),
    ("fjall", fjall),
    ("fjall, grouped", |folder| {
        Ok(Arc::new(Grouped::new(fjall(folder)?)))
    }),
    ("sqlite, WAL, FULL", sqlite),
];

/// Each once.
pub(crate) const PLAIN: [(&str, Open); 4] = [
    (OURS, tandem),
    ("redb", redb),
    ("fjall", fjall),
    ("sqlite, WAL, FULL", sqlite),
];

struct Tandem {
    store: DurableDatabase,
    table: Collection,
}

fn tandem(folder: &Path) -> Result<Shared, Failure> {
    // Snapshots are made when they are asked for.
    let options = DurableOptions::default().checkpoint_bytes(u64::MAX);
    let store = DurableDatabase::open(folder, options)?;
    let schema = Schema::build("rows", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()?;
    let table = store.database().open_collection(schema)?;
    Ok(Arc::new(Tandem { store, table }))
}

impl Engine for Tandem {
    fn fill(&self, rows: &[(u64, String)]) -> Result<(), Failure> {
        let mut transaction = self.store.database().begin();
        for (key, text) in rows {
            let values = [ValueInput::from(key.cast_signed()), ValueInput::from(text)];
            transaction.upsert_values(&self.table, values)?;
        }
        let seq = transaction.commit()?.seq;
        Ok(self.store.wait(seq)?)
    }

    fn count(&self) -> Result<u64, Failure> {
        let snapshot = self.store.database().snapshot();
        let mut count = 0;
        snapshot.view().scan(&self.table, &mut |records| {
            let whole = records
                .iter()
                .filter(|r| matches!(r.get(1), Some(Value::Text(_))));
            count += whole.count() as u64;
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    fn snapshot(&self) -> Result<bool, Failure> {
        self.store.checkpoint()?;
        Ok(true)
    }
}

const REDB: TableDefinition<'_, u64, &str> = TableDefinition::new("rows");

struct Redb(redb::Database);

fn redb(folder: &Path) -> Result<Shared, Failure> {
    let database = redb::Database::create(folder.join("redb"))?;
    let transaction = database.begin_write()?;
    transaction.open_table(REDB)?;
    transaction.commit()?;
    Ok(Arc::new(Redb(database)))
}

impl Engine for Redb {
    fn fill(&self, rows: &[(u64, String)]) -> Result<(), Failure> {
        // Its default syncs at every commit.
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(REDB)?;
            for (key, text) in rows {
                table.insert(key, text.as_str())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn count(&self) -> Result<u64, Failure> {
        let table = self.0.begin_read()?.open_table(REDB)?;
        let mut count = 0;
        for row in table.iter()? {
            count += u64::from(!row?.1.value().is_empty());
        }
        if count != table.len()? {
            return Err("rows without text".into());
        }
        Ok(count)
    }
}

struct Fjall {
    database: fjall::Database,
    rows: fjall::Keyspace,
}

fn fjall(folder: &Path) -> Result<Shared, Failure> {
    let database = fjall::Database::builder(folder.join("fjall")).open()?;
    let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
    Ok(Arc::new(Fjall { database, rows }))
}

impl Engine for Fjall {
    fn fill(&self, rows: &[(u64, String)]) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for (key, text) in rows {
            batch.insert(&self.rows, key.to_be_bytes(), text.as_bytes());
        }
        batch.commit()?;
        // Its default does not sync.
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn count(&self) -> Result<u64, Failure> {
        let mut count = 0;
        for row in self.rows.iter() {
            count += u64::from(!row.value()?.is_empty());
        }
        Ok(count)
    }
}

struct Sqlite(Mutex<rusqlite::Connection>);

fn sqlite(folder: &Path) -> Result<Shared, Failure> {
    let connection = rusqlite::Connection::open(folder.join("sqlite"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL);",
    )?;
    Ok(Arc::new(Sqlite(Mutex::new(connection))))
}

impl Engine for Sqlite {
    fn fill(&self, rows: &[(u64, String)]) -> Result<(), Failure> {
        let mut connection = self.0.lock().map_err(|_| "a thread panicked")?;
        let transaction = connection.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2)")?;
            for (key, text) in rows {
                insert.execute((key.cast_signed(), text))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn count(&self) -> Result<u64, Failure> {
        let connection = self.0.lock().map_err(|_| "a thread panicked")?;
        let mut select = connection.prepare("SELECT text FROM rows")?;
        let mut rows = select.query(())?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += u64::from(!row.get_ref(0)?.as_str()?.is_empty());
        }
        Ok(count)
    }
}
