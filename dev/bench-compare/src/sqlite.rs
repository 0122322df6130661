//! SQLite in memory, through `rusqlite` with prepared statements.

use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bench::Result;
use bench::store::{Change, Digest, Layout, Operation, Row, Shared, Subject, id_of, uuid_of};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql, params};

const COLUMNS: &str = "name TEXT NOT NULL, email TEXT NOT NULL, region TEXT NOT NULL,
    age INTEGER NOT NULL, score REAL NOT NULL, active INTEGER NOT NULL, created INTEGER NOT NULL";
const INDEX: &str = "CREATE INDEX by_region ON people (region);
    CREATE INDEX by_created ON people (created);";
const INSERT: &str = "INSERT INTO people VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const GET: &str = "SELECT * FROM people WHERE id = ?1";
const UPDATE: &str = "UPDATE people SET score = ?2 WHERE id = ?1";
const DELETE: &str = "DELETE FROM people WHERE id = ?1";
const BY_REGION: &str = "SELECT * FROM people WHERE region = ?1";
const BY_CREATED: &str =
    "SELECT * FROM people WHERE created >= ?1 AND created < ?2 ORDER BY created";

/// A connection to a database in memory; without `BEGIN`, every statement is a transaction.
pub(crate) struct Sqlite {
    connection: Connection,
    read: Read,
    layout: Layout,
}

/// The key of a row as SQLite stores it.
enum Key {
    Number(i64),
    Uuid([u8; 16]),
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Number(id) => id.to_sql(),
            Self::Uuid(uuid) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(uuid))),
        }
    }
}

/// What a query does with a row.
type Read = fn(&rusqlite::Row<'_>, &mut Digest) -> Result<()>;

impl Sqlite {
    /// A store whose queries make a [`Row`] that the caller could keep.
    pub(crate) fn open(layout: Layout) -> Result<Box<dyn Subject>> {
        Ok(Box::new(Self::new(layout, read_owned, "")?))
    }

    /// A store whose rows lie in the tree of their keys, which has no numbers of its own.
    pub(crate) fn open_without_rowid(layout: Layout) -> Result<Box<dyn Subject>> {
        Ok(Box::new(Self::new(layout, read_owned, "WITHOUT ROWID")?))
    }

    /// A store whose queries look at the columns where they lie, which ends with the next step of the query.
    pub(crate) fn open_borrowing(layout: Layout) -> Result<Box<dyn Subject>> {
        Ok(Box::new(Self::new(layout, read_borrowed, "")?))
    }

    fn new(layout: Layout, read: Read, kind: &str) -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        // What an application sets that wants speed: nothing is synced, nobody else has the database open.
        connection.execute_batch(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;
             PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -1000000;",
        )?;
        connection.set_prepared_statement_cache_capacity(32);
        let key = match layout {
            Layout::Plain | Layout::Indexed => "INTEGER PRIMARY KEY",
            Layout::Uuid => "BLOB PRIMARY KEY NOT NULL",
        };
        let create = format!("CREATE TABLE people (id {key}, {COLUMNS}) {kind}");
        connection.execute_batch(&create)?;
        if layout.is_indexed() {
            connection.execute_batch(INDEX)?;
        }
        Ok(Self {
            connection,
            read,
            layout,
        })
    }

    #[inline]
    fn key(&self, id: i64) -> Key {
        match self.layout {
            Layout::Plain | Layout::Indexed => Key::Number(id),
            Layout::Uuid => Key::Uuid(uuid_of(id)),
        }
    }

    pub(crate) fn share(rows: &[Row]) -> Result<Box<dyn Shared>> {
        let mut sqlite = Self::new(Layout::Plain, read_owned, "")?;
        sqlite.load(rows)?;
        Ok(Box::new(SharedSqlite(Mutex::new(sqlite))))
    }

    fn in_transaction<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        let result = work()?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(result)
    }
}

fn insert(statement: &mut Statement<'_>, key: &Key, row: &Row) -> Result<()> {
    statement.execute(params![
        key,
        row.name,
        row.email,
        row.region,
        row.age,
        row.score,
        row.active,
        row.created
    ])?;
    Ok(())
}

fn must_change(changed: usize, id: i64) -> Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(format!("no row has the key {id}").into())
    }
}

/// The number of a row, whatever its key is.
fn id(row: &rusqlite::Row<'_>) -> Result<i64> {
    match row.get_ref(0)? {
        ValueRef::Blob(uuid) => Ok(id_of(uuid)),
        number => Ok(number.as_i64()?),
    }
}

fn read_owned(row: &rusqlite::Row<'_>, digest: &mut Digest) -> Result<()> {
    let row = Row {
        id: id(row)?,
        name: row.get(1)?,
        email: row.get(2)?,
        region: row.get(3)?,
        age: row.get(4)?,
        score: row.get(5)?,
        active: row.get(6)?,
        created: row.get(7)?,
    };
    digest.add_row(&std::hint::black_box(row));
    Ok(())
}

fn read_borrowed(row: &rusqlite::Row<'_>, digest: &mut Digest) -> Result<()> {
    digest.add(
        id(row)?,
        row.get_ref(1)?.as_str()?,
        row.get_ref(2)?.as_str()?,
        row.get_ref(3)?.as_str()?,
        row.get_ref(4)?.as_i64()?,
        row.get_ref(5)?.as_f64()?,
        row.get_ref(6)?.as_i64()? != 0,
        row.get_ref(7)?.as_i64()?,
    );
    Ok(())
}

fn query(
    statement: &mut Statement<'_>,
    parameters: impl rusqlite::Params,
    read: Read,
    digest: &mut Digest,
) -> Result<()> {
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        read(row, digest)?;
    }
    Ok(())
}

impl Subject for Sqlite {
    fn load(&mut self, rows: &[Row]) -> Result<()> {
        self.in_transaction(|| self.add(rows))
    }

    fn insert(&mut self, rows: &[Row]) -> Result<()> {
        self.add(rows)
    }

    fn get(&mut self, ids: &[i64]) -> Result<Digest> {
        let mut digest = Digest::default();
        let mut statement = self.connection.prepare_cached(GET)?;
        for id in ids {
            query(&mut statement, [self.key(*id)], self.read, &mut digest)?;
        }
        Ok(digest)
    }

    fn update(&mut self, changes: &[Change]) -> Result<()> {
        let mut statement = self.connection.prepare_cached(UPDATE)?;
        for change in changes {
            must_change(
                statement.execute(params![self.key(change.id), change.score])?,
                change.id,
            )?;
        }
        Ok(())
    }

    fn delete(&mut self, ids: &[i64]) -> Result<()> {
        let mut statement = self.connection.prepare_cached(DELETE)?;
        for id in ids {
            must_change(statement.execute([self.key(*id)])?, *id)?;
        }
        Ok(())
    }

    fn by_region(&mut self, regions: &[String]) -> Result<Digest> {
        let mut digest = Digest::default();
        let mut statement = self.connection.prepare_cached(BY_REGION)?;
        for region in regions {
            query(&mut statement, [region], self.read, &mut digest)?;
        }
        Ok(digest)
    }

    fn by_created(&mut self, ranges: &[Range<i64>]) -> Result<Digest> {
        let mut digest = Digest::default();
        let mut statement = self.connection.prepare_cached(BY_CREATED)?;
        for range in ranges {
            query(
                &mut statement,
                [range.start, range.end],
                self.read,
                &mut digest,
            )?;
        }
        Ok(digest)
    }

    fn apply(&mut self, operations: &[Operation]) -> Result<()> {
        let mut inserting = self.connection.prepare_cached(INSERT)?;
        let mut updating = self.connection.prepare_cached(UPDATE)?;
        let mut deleting = self.connection.prepare_cached(DELETE)?;
        for operation in operations {
            match operation {
                Operation::Insert(row) => insert(&mut inserting, &self.key(row.id), row)?,
                Operation::Update(change) => must_change(
                    updating.execute(params![self.key(change.id), change.score])?,
                    change.id,
                )?,
                Operation::Delete(id) => must_change(deleting.execute([self.key(*id)])?, *id)?,
            }
        }
        Ok(())
    }

    fn transact(&mut self, groups: &[Vec<Operation>]) -> Result<()> {
        for group in groups {
            self.connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
            self.apply(group)?;
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    fn roll_back(&mut self, rows: &[Row]) -> Result<Option<Duration>> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        self.add(rows)?;
        let mut rollback = self.connection.prepare_cached("ROLLBACK")?;
        let start = Instant::now();
        rollback.execute([])?;
        Ok(Some(start.elapsed()))
    }

    /// A read transaction: consistent, but it keeps writers out while it lasts.
    fn snapshot(&mut self, ids: &[i64]) -> Result<Option<Digest>> {
        let mut digest = Digest::default();
        let mut begin = self.connection.prepare_cached("BEGIN")?;
        let mut get = self.connection.prepare_cached(GET)?;
        let mut commit = self.connection.prepare_cached("COMMIT")?;
        for id in ids {
            begin.execute([])?;
            query(&mut get, [self.key(*id)], self.read, &mut digest)?;
            commit.execute([])?;
        }
        Ok(Some(digest))
    }

    /// The pages of the database; SQLite allocates outside of this program's heap.
    fn foreign_bytes(&self) -> Result<Option<u64>> {
        let pragma = |name: &str| -> Result<u64> {
            let value: i64 = self
                .connection
                .pragma_query_value(None, name, |row| row.get(0))?;
            Ok(u64::try_from(value)?)
        };
        Ok(Some(pragma("page_count")? * pragma("page_size")?))
    }
}

impl Sqlite {
    fn add(&self, rows: &[Row]) -> Result<()> {
        let mut statement = self.connection.prepare_cached(INSERT)?;
        rows.iter()
            .try_for_each(|row| insert(&mut statement, &self.key(row.id), row))
    }
}

/// One connection behind a lock, taken for each operation: a database in memory has no second connection
/// that could read while the first one writes.
struct SharedSqlite(Mutex<Sqlite>);

impl Shared for SharedSqlite {
    fn get(&self, ids: &[i64]) -> Result<Digest> {
        let mut digest = Digest::default();
        for id in ids {
            let sqlite = self.0.lock().map_err(|_| "a thread panicked")?;
            let mut statement = sqlite.connection.prepare_cached(GET)?;
            query(&mut statement, [sqlite.key(*id)], sqlite.read, &mut digest)?;
        }
        Ok(digest)
    }

    fn update(&self, changes: &[Change]) -> Result<()> {
        for change in changes {
            let mut sqlite = self.0.lock().map_err(|_| "a thread panicked")?;
            sqlite.update(&[*change])?;
        }
        Ok(())
    }
}
