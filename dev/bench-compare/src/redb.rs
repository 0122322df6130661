//! redb with its backend in memory.

use std::ops::Range;
use std::time::{Duration, Instant};

use bench::Result;
use bench::store::{Change, Digest, Layout, Operation, Row, Shared, Subject};
use redb::backends::InMemoryBackend;
use redb::{
    Database, Durability, MultimapTable, MultimapTableDefinition, ReadableDatabase, ReadableTable,
    Table, TableDefinition, WriteTransaction,
};

/// Name, email, region, age, score, active, created.
type Columns = (
    &'static str,
    &'static str,
    &'static str,
    i64,
    f64,
    bool,
    i64,
);

const PEOPLE: TableDefinition<'_, i64, Columns> = TableDefinition::new("people");
const BY_REGION: MultimapTableDefinition<'_, &str, i64> = MultimapTableDefinition::new("by_region");
const BY_CREATED: TableDefinition<'_, i64, i64> = TableDefinition::new("by_created");

/// A database in memory, with secondary indexes kept as further tables in the same transactions.
pub(crate) struct Redb {
    database: Database,
    layout: Layout,
}

/// The tables of one write transaction.
struct Tables<'txn> {
    people: Table<'txn, i64, Columns>,
    indexes: Option<Indexes<'txn>>,
}

struct Indexes<'txn> {
    region: MultimapTable<'txn, &'static str, i64>,
    created: Table<'txn, i64, i64>,
}

impl Redb {
    pub(crate) fn open(layout: Layout) -> Result<Box<dyn Subject>> {
        Ok(Box::new(Self::new(layout)?))
    }

    pub(crate) fn share(rows: &[Row]) -> Result<Box<dyn Shared>> {
        let mut redb = Self::new(Layout::Plain)?;
        redb.load(rows)?;
        Ok(Box::new(redb))
    }

    fn new(layout: Layout) -> Result<Self> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new())?;
        let redb = Self { database, layout };
        redb.in_transaction(|_| Ok(()))?;
        Ok(redb)
    }

    fn in_transaction(&self, work: impl FnOnce(&mut Tables<'_>) -> Result<()>) -> Result<()> {
        let transaction = self.begin()?;
        work(&mut Tables::open(&transaction, self.layout)?)?;
        transaction.commit()?;
        Ok(())
    }

    fn begin(&self) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        // There is no disk to wait for; without this, every commit would also write its header twice.
        transaction.set_durability(Durability::None)?;
        Ok(transaction)
    }

    fn read(&self, ids: &[i64]) -> Result<Digest> {
        let mut digest = Digest::default();
        let people = self.database.begin_read()?.open_table(PEOPLE)?;
        for id in ids {
            if let Some(columns) = people.get(id)? {
                add(&mut digest, *id, columns.value());
            }
        }
        Ok(digest)
    }

    fn change(&self, changes: &[Change]) -> Result<()> {
        for change in changes {
            self.in_transaction(|tables| tables.update(*change))?;
        }
        Ok(())
    }
}

fn add(digest: &mut Digest, id: i64, columns: (&str, &str, &str, i64, f64, bool, i64)) {
    // A row that the caller could keep, as with every other subject.
    let (name, email, region, age, score, active, created) = columns;
    let row = Row {
        id,
        name: name.to_owned(),
        email: email.to_owned(),
        region: region.to_owned(),
        age,
        score,
        active,
        created,
    };
    digest.add_row(&std::hint::black_box(row));
}

impl<'txn> Tables<'txn> {
    fn open(transaction: &'txn WriteTransaction, layout: Layout) -> Result<Self> {
        Ok(Self {
            people: transaction.open_table(PEOPLE)?,
            indexes: match layout {
                Layout::Plain => None,
                Layout::Indexed | Layout::Uuid => Some(Indexes {
                    region: transaction.open_multimap_table(BY_REGION)?,
                    created: transaction.open_table(BY_CREATED)?,
                }),
            },
        })
    }

    fn insert(&mut self, row: &Row) -> Result<()> {
        let columns = (
            row.name.as_str(),
            row.email.as_str(),
            row.region.as_str(),
            row.age,
            row.score,
            row.active,
            row.created,
        );
        if self.people.insert(row.id, columns)?.is_some() {
            return Err(format!("key {} exists", row.id).into());
        }
        if let Some(Indexes { region, created }) = &mut self.indexes {
            region.insert(row.region.as_str(), row.id)?;
            created.insert(row.created, row.id)?;
        }
        Ok(())
    }

    fn update(&mut self, change: Change) -> Result<()> {
        // The columns lie in a page that the insertion replaces, so they are copied out first.
        let (name, email, region, age, active, created) = {
            let columns = self.people.get(change.id)?;
            let columns = columns.ok_or_else(|| missing(change.id))?;
            let (name, email, region, age, _, active, created) = columns.value();
            let (name, email) = (name.to_owned(), email.to_owned());
            (name, email, region.to_owned(), age, active, created)
        };
        let columns = (
            name.as_str(),
            email.as_str(),
            region.as_str(),
            age,
            change.score,
            active,
            created,
        );
        self.people.insert(change.id, columns)?;
        Ok(())
    }

    fn delete(&mut self, id: i64) -> Result<()> {
        let removed = self.people.remove(id)?;
        let removed = removed.ok_or_else(|| missing(id))?;
        if let Some(Indexes { region, created }) = &mut self.indexes {
            let columns = removed.value();
            region.remove(columns.2, id)?;
            created.remove(columns.6)?;
        }
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Insert(row) => self.insert(row),
            Operation::Update(change) => self.update(*change),
            Operation::Delete(id) => self.delete(*id),
        }
    }
}

fn missing(id: i64) -> String {
    format!("no row has the key {id}")
}

impl Subject for Redb {
    fn load(&mut self, rows: &[Row]) -> Result<()> {
        self.in_transaction(|tables| rows.iter().try_for_each(|row| tables.insert(row)))
    }

    fn insert(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            self.in_transaction(|tables| tables.insert(row))?;
        }
        Ok(())
    }

    fn get(&mut self, ids: &[i64]) -> Result<Digest> {
        self.read(ids)
    }

    fn update(&mut self, changes: &[Change]) -> Result<()> {
        self.change(changes)
    }

    fn delete(&mut self, ids: &[i64]) -> Result<()> {
        for id in ids {
            self.in_transaction(|tables| tables.delete(*id))?;
        }
        Ok(())
    }

    fn by_region(&mut self, regions: &[String]) -> Result<Digest> {
        let mut digest = Digest::default();
        let transaction = self.database.begin_read()?;
        let people = transaction.open_table(PEOPLE)?;
        let index = transaction.open_multimap_table(BY_REGION)?;
        for region in regions {
            for id in index.get(region.as_str())? {
                let id = id?.value();
                if let Some(columns) = people.get(id)? {
                    add(&mut digest, id, columns.value());
                }
            }
        }
        Ok(digest)
    }

    fn by_created(&mut self, ranges: &[Range<i64>]) -> Result<Digest> {
        let mut digest = Digest::default();
        let transaction = self.database.begin_read()?;
        let people = transaction.open_table(PEOPLE)?;
        let index = transaction.open_table(BY_CREATED)?;
        for range in ranges {
            for entry in index.range(range.clone())? {
                let id = entry?.1.value();
                if let Some(columns) = people.get(id)? {
                    add(&mut digest, id, columns.value());
                }
            }
        }
        Ok(digest)
    }

    fn apply(&mut self, operations: &[Operation]) -> Result<()> {
        for operation in operations {
            self.in_transaction(|tables| tables.apply(operation))?;
        }
        Ok(())
    }

    fn transact(&mut self, groups: &[Vec<Operation>]) -> Result<()> {
        for group in groups {
            self.in_transaction(|tables| {
                group
                    .iter()
                    .try_for_each(|operation| tables.apply(operation))
            })?;
        }
        Ok(())
    }

    fn roll_back(&mut self, rows: &[Row]) -> Result<Option<Duration>> {
        let transaction = self.begin()?;
        {
            let mut tables = Tables::open(&transaction, self.layout)?;
            rows.iter().try_for_each(|row| tables.insert(row))?;
        }
        let start = Instant::now();
        transaction.abort()?;
        Ok(Some(start.elapsed()))
    }

    fn snapshot(&mut self, ids: &[i64]) -> Result<Option<Digest>> {
        let mut digest = Digest::default();
        for id in ids {
            let people = self.database.begin_read()?.open_table(PEOPLE)?;
            if let Some(columns) = people.get(id)? {
                add(&mut digest, *id, columns.value());
            }
        }
        Ok(Some(digest))
    }
}

impl Shared for Redb {
    /// One read transaction for the batch, as redb recommends.
    fn get(&self, ids: &[i64]) -> Result<Digest> {
        self.read(ids)
    }

    fn update(&self, changes: &[Change]) -> Result<()> {
        self.change(changes)
    }
}
