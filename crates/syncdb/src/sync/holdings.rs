//! [`Holdings`]: which rows of a replica its scopes cover, and what they add up to.

use std::collections::HashMap;
use std::ops::ControlFlow;

use common::versioning::{ChangeKind, TableId};
use common::{Collection, Database, Error, ErrorKind, Record, RecordId, Result, Seq, Text, View};

use super::apply::noted;
use super::digest::{Digest, RowHasher};
use super::pinned::{Own, short};
use super::planted::{self, Bug};
use super::protocol::Bound;
use super::queue;
use super::references::Keys;
use super::subscription::{Kept, Subscriptions};
use super::system::{Synced, SyncedTables, read_list, read_number, read_text};

/// Changes of the log that are read at a time.
const READ_CHANGES: usize = 8_192;

/// The rows of a replica as of one commit.
pub(crate) struct Holdings<'a> {
    pub(crate) db: &'a Database,
    pub(crate) view: View<'a>,
    pub(crate) members: &'a Collection,
    pub(crate) synced: &'a SyncedTables,
    pub(crate) subscriptions: &'a Subscriptions,
    /// The scopes that are asked about.
    pub(crate) scopes: &'a [&'a Kept],
}

/// One table, and the scopes asked about that have rows of it.
struct Table<'a> {
    synced: &'a Synced,
    is_noted: bool,
    /// Position among the scopes, bit, hasher.
    scopes: Vec<(usize, u64, RowHasher)>,
}

/// What a row was, before the first of some changes.
#[derive(Default)]
struct Before {
    /// Set once a change of the row was met: it may not have been there.
    row: Option<Vec<Record>>,
    mask: Option<u64>,
}

impl<'a> Holdings<'a> {
    fn tables(&self) -> Vec<Table<'a>> {
        let held = self.subscriptions.held();
        let tables = self.synced.by_name.iter().map(|(name, synced)| {
            let about = self.scopes.iter().enumerate();
            let about = about.filter(|(_, kept)| kept.is_about(name));
            let scopes = about.map(|(position, kept)| {
                let schema = &synced.schema;
                let hasher = match kept.fields(name) {
                    None => RowHasher::whole(schema),
                    Some(fields) => {
                        let positions = schema.key_columns..schema.fields.len();
                        RowHasher::new(
                            schema,
                            positions.filter(|at| {
                                let field = schema.fields.get(*at);
                                field.is_some_and(|field| fields.contains(&field.id))
                            }),
                        )
                    }
                };
                (position, kept.bit(), hasher)
            });
            Table {
                synced,
                is_noted: self.subscriptions.about(held, name).count() > 1,
                scopes: scopes.collect(),
            }
        });
        tables.filter(|table| !table.scopes.is_empty()).collect()
    }

    /// The digest of each scope, by a pass over the tables, and on the way the keys of all rows in them with their hashes.
    pub(crate) fn count(&self, with_keys: bool) -> Result<(Vec<Digest>, HashMap<TableId, Keys>)> {
        let mut digests = vec![Digest::default(); self.scopes.len()];
        let mut all = HashMap::new();
        for mut table in self.tables() {
            let masks = self.masks_of(&table)?;
            let mut keys = Keys::default();
            self.view.scan(&table.synced.collection, &mut |records| {
                for record in records {
                    let mask = mask_of(masks.as_ref(), record);
                    let mut hash_of_key = None;
                    for (position, bit, hasher) in &mut table.scopes {
                        let counts = mask & *bit != 0;
                        let asks_key = with_keys && hash_of_key.is_none();
                        let hash = if asks_key {
                            let (hash, key) = hasher.hash_with_key(record);
                            hash_of_key = Some(key);
                            hash
                        } else if counts {
                            hasher.hash(record)
                        } else {
                            continue;
                        };
                        if let Some(digest) = digests.get_mut(*position).filter(|_| counts) {
                            digest.add(hash);
                        }
                    }
                    if let Some(hash) = hash_of_key {
                        keys.insert(hash, record.id());
                    }
                }
                ControlFlow::Continue(())
            })?;
            if with_keys {
                all.insert(table.synced.collection.id(), keys);
            }
        }
        Ok((digests, all))
    }

    /// All rows in order, with their hashes. A row to which something was added that the server has not answered gets a hash
    /// that no row has: it may come to what the server has by chance, and what lies under it would stay as it is.
    pub(crate) fn rows(&self, queue: &Collection) -> Result<Own> {
        let relative = queue::added_to(self.view, queue)?;
        let mut rows = Vec::new();
        self.each(&mut |_, table, record, hash| {
            let row = (table.clone(), record.id());
            let hash = if relative.contains(&row) { !hash } else { hash };
            let (table, key) = row;
            rows.push((Bound { table, key }, short(hash)));
        })?;
        Ok(Own::new(rows))
    }

    fn each(&self, visit: &mut dyn FnMut(usize, &Text, &Record, u128)) -> Result<()> {
        for mut table in self.tables() {
            let name = &table.synced.schema.name;
            let masks = self.masks_of(&table)?;
            self.view.scan(&table.synced.collection, &mut |records| {
                for record in records {
                    let mask = mask_of(masks.as_ref(), record);
                    for (position, bit, hasher) in &mut table.scopes {
                        if mask & *bit != 0 {
                            visit(*position, name, record, hasher.hash(record));
                        }
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    /// The scopes of each row, where they are noted.
    fn masks_of(&self, table: &Table<'_>) -> Result<Option<HashMap<RecordId, u64>>> {
        let noted = table.is_noted.then_some(&table.synced.schema.name);
        noted.map(|name| self.masks(name)).transpose()
    }

    fn masks(&self, table: &str) -> Result<HashMap<RecordId, u64>> {
        let mut masks = HashMap::new();
        let mut failed = None;
        self.view.scan(self.members, &mut |records| {
            for record in records {
                match member(record) {
                    Ok((of, key, mask)) if of == table => drop(masks.insert(key, mask)),
                    Ok(_) => {}
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(masks), Err)
    }

    /// The digests as of `to`, from those as of `at` and the log between; `None` when the log does not tell.
    pub(crate) fn advance(
        &self,
        mut at: Seq,
        to: Seq,
        known: &[Digest],
    ) -> Result<Option<Vec<Digest>>> {
        if at < to && at < self.db.log_compacted() {
            return Ok(None);
        }
        let mut tables = self.tables();
        let numbers: HashMap<TableId, usize> = tables
            .iter()
            .enumerate()
            .map(|(number, table)| (table.synced.collection.id(), number))
            .collect();
        let names: HashMap<Text, usize> = tables
            .iter()
            .enumerate()
            .map(|(number, table)| (table.synced.schema.name.clone(), number))
            .collect();
        let mut touched: HashMap<(usize, RecordId), Before> = HashMap::new();
        while at < to {
            let changes = match self.db.changes_since(at, READ_CHANGES) {
                Ok(changes) => changes,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let Some(last) = changes.last() else { break };
            at = last.seq;
            for change in changes.into_iter().filter(|change| change.seq <= to) {
                if change.before.is_none() && change.kind != ChangeKind::Insert {
                    return Ok(None);
                }
                if let Some(number) = numbers.get(&change.table) {
                    let before = touched.entry((*number, change.id())).or_default();
                    before
                        .row
                        .get_or_insert_with(|| change.before.into_iter().collect());
                } else if change.table == self.members.id() {
                    let record = change.before.as_ref().unwrap_or(&change.record);
                    let (table, key, mask) = member(record)?;
                    let mask = if change.before.is_some() { mask } else { 0 };
                    if let Some(number) = names.get(&table) {
                        let before = touched.entry((*number, key)).or_default();
                        before.mask.get_or_insert(mask);
                    }
                }
            }
        }
        let mut digests = known.to_vec();
        for ((number, key), before) in touched {
            let Some(table) = tables.get_mut(number) else {
                continue;
            };
            let now = self.view.get(&table.synced.collection, &key)?;
            let mask_now = if table.is_noted {
                noted(self.view, self.members, &table.synced.schema.name, &key)?
            } else {
                u64::MAX
            };
            let mask_before = before.mask.filter(|_| table.is_noted).unwrap_or(mask_now);
            let row_before = match &before.row {
                Some(row) => row.first(),
                None => now.as_ref(),
            };
            if planted::has(Bug::DigestNotUpdated) && row_before.is_some() && now.is_some() {
                continue;
            }
            for (position, bit, hasher) in &mut table.scopes {
                let Some(digest) = digests.get_mut(*position) else {
                    continue;
                };
                if let Some(row) = row_before.filter(|_| mask_before & *bit != 0) {
                    digest.remove(hasher.hash(row));
                }
                if let Some(row) = now.as_ref().filter(|_| mask_now & *bit != 0) {
                    digest.add(hasher.hash(row));
                }
            }
        }
        Ok(Some(digests))
    }
}

/// The scopes of a row; all of them where nothing is noted.
fn mask_of(masks: Option<&HashMap<RecordId, u64>>, record: &Record) -> u64 {
    masks.map_or(u64::MAX, |masks| {
        masks.get(&record.id()).copied().unwrap_or(0)
    })
}

/// What a row of `sync_members` says: table, key, mask.
fn member(record: &Record) -> Result<(Text, RecordId, u64)> {
    let read = || -> Result<(Text, RecordId, u64)> {
        let key = RecordId::from(read_list(record, 1)?);
        Ok((read_text(record, 0)?, key, read_number(record, 2)?))
    };
    read().map_err(|error: Error| error.at("sync_members"))
}
