//! [`Limit`]: a `HashMap` of rows, without commits, log, transactions or snapshots: what memory allows.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::RwLock;
use std::time::Duration;

use super::row::{Digest, Row, uuid_of};
use super::subject::{Change, Layout, Operation, Shared, Subject};
use crate::Result;

/// Rows by key; with secondary indexes also keys by region and by time of creation. Reads clone the row.
#[derive(Debug)]
pub struct Limit {
    rows: Rows,
    indexes: Option<Indexes>,
}

/// The map from keys to rows, by what a key is.
#[derive(Debug)]
enum Rows {
    ByNumber(HashMap<i64, Row>),
    ByUuid(HashMap<[u8; 16], Row>),
}

impl Rows {
    #[inline]
    fn get(&self, id: i64) -> Option<&Row> {
        match self {
            Self::ByNumber(rows) => rows.get(&id),
            Self::ByUuid(rows) => rows.get(&uuid_of(id)),
        }
    }

    #[inline]
    fn get_mut(&mut self, id: i64) -> Option<&mut Row> {
        match self {
            Self::ByNumber(rows) => rows.get_mut(&id),
            Self::ByUuid(rows) => rows.get_mut(&uuid_of(id)),
        }
    }

    #[inline]
    fn insert(&mut self, row: Row) -> Option<Row> {
        match self {
            Self::ByNumber(rows) => rows.insert(row.id, row),
            Self::ByUuid(rows) => rows.insert(uuid_of(row.id), row),
        }
    }

    #[inline]
    fn remove(&mut self, id: i64) -> Option<Row> {
        match self {
            Self::ByNumber(rows) => rows.remove(&id),
            Self::ByUuid(rows) => rows.remove(&uuid_of(id)),
        }
    }
}

#[derive(Debug, Default)]
struct Indexes {
    region: HashMap<String, Vec<i64>>,
    created: BTreeMap<i64, i64>,
}

impl Limit {
    /// An empty store.
    pub fn new(layout: Layout) -> Self {
        Self {
            rows: match layout {
                Layout::Plain | Layout::Indexed => Rows::ByNumber(HashMap::new()),
                Layout::Uuid => Rows::ByUuid(HashMap::new()),
            },
            indexes: layout.is_indexed().then(Indexes::default),
        }
    }

    fn add(&mut self, row: &Row) -> Result<()> {
        if let Some(indexes) = &mut self.indexes {
            match indexes.region.get_mut(&row.region) {
                Some(ids) => ids.push(row.id),
                None => {
                    indexes.region.insert(row.region.clone(), vec![row.id]);
                }
            }
            indexes.created.insert(row.created, row.id);
        }
        match self.rows.insert(row.clone()) {
            None => Ok(()),
            Some(_) => Err(format!("key {} exists", row.id).into()),
        }
    }

    fn change(&mut self, change: Change) -> Result<()> {
        let row = self.rows.get_mut(change.id);
        row.ok_or_else(|| missing(change.id))?.score = change.score;
        Ok(())
    }

    fn remove(&mut self, id: i64) -> Result<()> {
        let row = self.rows.remove(id).ok_or_else(|| missing(id))?;
        if let Some(indexes) = &mut self.indexes {
            if let Some(ids) = indexes.region.get_mut(&row.region)
                && let Some(position) = ids.iter().position(|other| *other == id)
            {
                ids.swap_remove(position);
            }
            indexes.created.remove(&row.created);
        }
        Ok(())
    }

    fn indexes(&self) -> Result<&Indexes> {
        self.indexes
            .as_ref()
            .ok_or_else(|| "the table was opened without indexes".into())
    }

    fn read(&self, id: i64, digest: &mut Digest) {
        // The application keeps what it read, so the row is cloned as a reader would.
        if let Some(row) = self.rows.get(id).cloned() {
            digest.add_row(&std::hint::black_box(row));
        }
    }
}

fn missing(id: i64) -> String {
    format!("no row has the key {id}")
}

impl Subject for Limit {
    fn load(&mut self, rows: &[Row]) -> Result<()> {
        self.insert(rows)
    }

    fn insert(&mut self, rows: &[Row]) -> Result<()> {
        rows.iter().try_for_each(|row| self.add(row))
    }

    fn get(&mut self, ids: &[i64]) -> Result<Digest> {
        let mut digest = Digest::default();
        for id in ids {
            self.read(*id, &mut digest);
        }
        Ok(digest)
    }

    fn update(&mut self, changes: &[Change]) -> Result<()> {
        changes.iter().try_for_each(|change| self.change(*change))
    }

    fn delete(&mut self, ids: &[i64]) -> Result<()> {
        ids.iter().try_for_each(|id| self.remove(*id))
    }

    fn by_region(&mut self, regions: &[String]) -> Result<Digest> {
        let mut digest = Digest::default();
        let indexes = self.indexes()?;
        for region in regions {
            let ids = indexes.region.get(region).map_or(&[][..], Vec::as_slice);
            let rows: Vec<Row> = ids
                .iter()
                .filter_map(|id| self.rows.get(*id).cloned())
                .collect();
            digest.add_rows(std::hint::black_box(&rows));
        }
        Ok(digest)
    }

    fn by_created(&mut self, ranges: &[Range<i64>]) -> Result<Digest> {
        let mut digest = Digest::default();
        let indexes = self.indexes()?;
        for range in ranges {
            let rows: Vec<Row> = indexes
                .created
                .range(range.clone())
                .filter_map(|(_, id)| self.rows.get(*id).cloned())
                .collect();
            digest.add_rows(std::hint::black_box(&rows));
        }
        Ok(digest)
    }

    fn transact(&mut self, groups: &[Vec<Operation>]) -> Result<()> {
        groups.iter().try_for_each(|group| self.apply(group))
    }

    fn apply(&mut self, operations: &[Operation]) -> Result<()> {
        for operation in operations {
            match operation {
                Operation::Insert(row) => self.add(row)?,
                Operation::Update(change) => self.change(*change)?,
                Operation::Delete(id) => self.remove(*id)?,
            }
        }
        Ok(())
    }

    fn roll_back(&mut self, _rows: &[Row]) -> Result<Option<Duration>> {
        Ok(None)
    }

    fn snapshot(&mut self, _ids: &[i64]) -> Result<Option<Digest>> {
        Ok(None)
    }
}

/// A [`Limit`] behind a lock that readers share, taken for each operation.
#[derive(Debug)]
pub struct SharedLimit(RwLock<Limit>);

impl SharedLimit {
    /// A store with these rows.
    ///
    /// # Errors
    /// When two rows have one key.
    pub fn new(rows: &[Row]) -> Result<Self> {
        let mut limit = Limit::new(Layout::Plain);
        limit.load(rows)?;
        Ok(Self(RwLock::new(limit)))
    }
}

impl Shared for SharedLimit {
    fn get(&self, ids: &[i64]) -> Result<Digest> {
        let mut digest = Digest::default();
        for id in ids {
            let limit = self.0.read().map_err(|_| "a thread panicked")?;
            limit.read(*id, &mut digest);
        }
        Ok(digest)
    }

    fn update(&self, changes: &[Change]) -> Result<()> {
        for change in changes {
            let mut limit = self.0.write().map_err(|_| "a thread panicked")?;
            limit.change(*change)?;
        }
        Ok(())
    }
}
