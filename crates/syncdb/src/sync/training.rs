//! [`Shelf`]: the shared dictionaries of a server: when one is trained, which are kept, who is given one.
//!
//! A dictionary costs its bytes once and saves some with every row that travels afterwards. Each row that travels to or
//! from a replica without one is counted with what it would have saved; when that comes to what the dictionary costs,
//! the replica is given it. So whoever syncs rarely never pays, and nobody pays more than twice the least.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use common::optimization::compression::Compression;
use common::schema::{Field, FieldType, Schema};
use common::versioning::ReplicaId;
use common::{Collection, Database, Limits, Record, RecordId, Result, Seq, Text, Value};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::dictionaries::{self, TableDictionary, id_of, id_value};
use super::protocol::{Action, Answer, DICTIONARY_BYTES_MAX, Request, SentDictionary};
use super::system::{damaged, number, read_number, user_tables};
use crate::payload::{Column, DictionaryId, Level, Shared, SharedDictionary, pack};

/// Rows that are learned from and measured on.
const SAMPLE_ROWS: usize = 4_000;
/// Rows of a batch in the sample: neighbours, as an increment has them.
const BATCH_ROWS: usize = 24;
/// One batch in so many is not learned from but measured on.
const MEASURED_OF: usize = 5;
/// Bounds of the part for texts, of which an eighth of the sample is taken.
const TEXT_BYTES: (usize, usize) = (4 << 10, 32 << 10);
/// Versions of one table's dictionary that are kept for replicas that have an older one.
const VERSIONS_KEPT: usize = 3;
/// Replicas and tables that a count is kept for.
const COUNTS_MAX: usize = 100_000;

/// A dictionary that was trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrainedDictionary {
    /// Name of the table.
    pub table: Text,
    /// Its identity, in hexadecimal.
    pub id: String,
    /// Its bytes as they travel, compressed.
    pub bytes: usize,
    /// What 1,000 whole rows take less with it, in bytes.
    pub saved_per_thousand: u64,
}

/// One version of one table's dictionary.
struct Kept {
    sent: SentDictionary,
    /// `None` when what was learned was not worth its bytes.
    dictionary: Option<Arc<TableDictionary>>,
    /// Greater for later ones.
    version: u64,
    /// What the table was when it was trained.
    schema: [u8; 16],
    rows: usize,
    seq: Seq,
    /// Bytes that 1,000 rows save.
    saved: u64,
    /// Bytes that it takes to send.
    cost: usize,
}

impl Kept {
    fn to_row(&self) -> Vec<Value> {
        let mut row = dictionaries::to_row(&self.sent).to_vec();
        row.extend([
            number(self.version),
            Value::from(self.schema.as_slice()),
            number(self.rows as u64),
            number(self.seq.0),
            number(self.saved),
        ]);
        row
    }

    fn read(row: &[Value]) -> Result<Self> {
        let sent = dictionaries::from_row(row)?;
        let schema = row.get(6).and_then(Value::as_bytes);
        let (dictionary, cost) = if sent.content.is_empty() {
            (None, 0)
        } else {
            let cost = compressed(&sent.content)?;
            let read = TableDictionary::read(sent.clone(), &Limits::default())?;
            (Some(Arc::new(read)), cost)
        };
        Ok(Self {
            sent,
            dictionary,
            cost,
            version: read_number(row, 5)?,
            schema: schema
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| damaged(6))?,
            rows: usize::try_from(read_number(row, 7)?).unwrap_or(usize::MAX),
            seq: Seq(read_number(row, 8)?),
            saved: read_number(row, 9)?,
        })
    }

    /// Whether the table has become another one since.
    fn is_outdated(&self, table: &Collection, seq: Seq) -> bool {
        let rows = table.len();
        let commits = usize::try_from(seq.0.saturating_sub(self.seq.0)).unwrap_or(usize::MAX);
        self.schema != table.schema().schema_id().0
            || rows > self.rows.saturating_mul(2)
            || rows < self.rows / 2
            || commits > self.rows.max(1_000)
    }
}

fn compressed(bytes: &[u8]) -> Result<usize> {
    let mut out = Vec::new();
    Compression::zstd().codec()?.compress(bytes, &mut out)?;
    Ok(out.len())
}

/// The dictionaries that a server has, in memory and in its table `sync_dictionaries`.
pub(crate) struct Shelf {
    table: Collection,
    kept: RwLock<Vec<Arc<Kept>>>,
    /// Bytes, in thousandths, that a replica could have saved with the dictionary of a table.
    missed: Mutex<HashMap<(ReplicaId, Text), u64>>,
    training: Mutex<()>,
    /// Tables of fewer rows are left alone.
    rows_min: usize,
}

impl Shelf {
    pub(crate) fn open(db: &Database, rows_min: usize) -> Result<Self> {
        let int = |name: &str| Field::new(name, FieldType::Int);
        let more = vec![
            int("version"),
            Field::new("schema", FieldType::Any),
            int("rows"),
            int("seq"),
            int("saved"),
        ];
        let table = dictionaries::open(db, &["table", "id"], more)?;
        // One that is damaged is as good as none: it is trained again.
        let rows = dictionaries::rows(db, &table)?;
        let kept = rows.iter().filter_map(|row| Kept::read(row).ok());
        Ok(Self {
            kept: RwLock::new(kept.map(Arc::new).collect()),
            table,
            missed: Mutex::default(),
            training: Mutex::default(),
            rows_min,
        })
    }

    /// The dictionary of an identity.
    pub(crate) fn find(&self, id: DictionaryId) -> Option<Arc<TableDictionary>> {
        let kept = self.kept.read();
        let mut all = kept.iter().filter_map(|kept| kept.dictionary.as_ref());
        all.find(|dictionary| dictionary.id == id).cloned()
    }

    fn newest(&self, table: &str) -> Option<Arc<Kept>> {
        let kept = self.kept.read();
        let of_table = kept.iter().filter(|kept| kept.sent.table == *table);
        of_table.max_by_key(|kept| kept.version).cloned()
    }

    /// The dictionaries that pay for a replica from now on, going by what the exchange carried.
    pub(crate) fn offer(
        &self,
        request: &Request,
        answer: &Answer,
        may_see: impl Fn(&str) -> bool,
    ) -> Vec<SentDictionary> {
        if self.kept.read().is_empty() {
            return Vec::new();
        }
        // Cells of rows by table.
        let mut cells: BTreeMap<&Text, u64> = BTreeMap::new();
        let commit = answer.commit.iter().flat_map(|commit| &commit.blocks);
        for block in answer.truth.iter().chain(commit) {
            let count = block.rows().saturating_mul(block.columns.len());
            *cells.entry(&block.table).or_default() += count as u64;
        }
        for op in request.mutations.iter().flat_map(|mutation| &mutation.ops) {
            let values = match &op.action {
                Action::Insert(values) | Action::Update(values) => values.len(),
                Action::Deltas(deltas) => deltas.len(),
                Action::Delete | Action::Revert { .. } => 0,
            };
            let count = op.key.values().len() + values;
            *cells.entry(&op.table).or_default() += count as u64;
        }
        let mut given = Vec::new();
        let mut missed = self.missed.lock();
        for (table, cells) in cells {
            let Some(newest) = self.newest(table) else {
                continue;
            };
            let Some(dictionary) = &newest.dictionary else {
                continue;
            };
            if request.dictionaries.contains(&dictionary.id) || !may_see(table) {
                continue;
            }
            let columns =
                dictionary.sent.fields.len() as u64 + u64::from(dictionary.sent.key_columns);
            let mut saved = cells.saturating_mul(newest.saved) / columns.max(1);
            let has_older = request.dictionaries.iter().any(|id| {
                let found = self.find(*id);
                found.is_some_and(|found| found.sent.table == *table)
            });
            if has_older {
                // An older one saves most of it.
                saved /= 4;
            }
            if missed.len() >= COUNTS_MAX {
                missed.clear();
            }
            let count = missed
                .entry((request.replica.clone(), table.clone()))
                .or_default();
            *count = count.saturating_add(saved);
            let cost = newest.cost as u64 * 1_000;
            if *count >= cost {
                // Should the answer be lost, it is earned once more.
                *count = 0;
                given.push(dictionary.sent.clone());
            }
        }
        given
    }

    /// Trains what is due, and forgets what is for no table any more.
    pub(crate) fn train(&self, db: &Database) -> Result<Vec<TrainedDictionary>> {
        let _one_at_a_time = self.training.lock();
        let tables = user_tables(db);
        let mut trained = Vec::new();
        let is_there = |name: &str| tables.iter().any(|table| *table.name() == *name);
        let without_table: Vec<Arc<Kept>> = {
            let kept = self.kept.read();
            let gone = kept.iter().filter(|kept| !is_there(&kept.sent.table));
            gone.cloned().collect()
        };
        self.forget(db, &without_table)?;
        for table in &tables {
            let newest = self.newest(table.name());
            let is_due = newest
                .as_ref()
                .is_none_or(|newest| newest.is_outdated(table, db.seq()));
            if table.len() < self.rows_min || !is_due {
                continue;
            }
            trained.extend(self.train_table(db, table, newest.as_deref())?);
        }
        Ok(trained)
    }

    fn train_table(
        &self,
        db: &Database,
        table: &Collection,
        before: Option<&Kept>,
    ) -> Result<Option<TrainedDictionary>> {
        let schema = table.schema();
        let (learned, measured) = sample(db, table)?;
        if learned.is_empty() || measured.is_empty() {
            // It was emptied meanwhile.
            return Ok(None);
        }
        let shared = SharedDictionary::train(&columns(&schema, &learned), text_bytes(&learned))?;
        let (plain, packed) = measure(&schema, &measured, &shared)?;
        let key_columns = u32::try_from(schema.key_columns).unwrap_or(u32::MAX);
        let fields = schema.fields.iter().skip(schema.key_columns);
        let mut sent = SentDictionary {
            table: schema.name.clone(),
            key_columns,
            fields: fields.map(|field| field.id).collect(),
            content: shared.content().into(),
        };
        let rows: usize = measured.iter().map(Vec::len).sum();
        let saved_in = |bytes: usize| {
            (plain.saturating_sub(bytes) as u64).saturating_mul(1_000) / (rows as u64).max(1)
        };
        let mut saved = saved_in(packed);
        // Less than a tenth is not worth a place at every replica.
        let is_worth = packed < plain / 10 * 9 && sent.content.len() <= DICTIONARY_BYTES_MAX;
        let mut renewed = true;
        if let Some(known) = before.and_then(|before| before.dictionary.as_ref())
            && known.sent.fields == sent.fields
        {
            // What replicas have already is worth more than what is a little better.
            let (_, with_known) = measure(&schema, &measured, &known.shared)?;
            if with_known <= packed / 20 * 21 {
                sent = known.sent.clone();
                saved = saved_in(with_known);
                renewed = false;
            }
        }
        if renewed && !is_worth {
            sent.content = Arc::from([]);
            saved = 0;
        }
        let kept = Kept {
            version: before.map_or(0, |before| before.version + u64::from(renewed)),
            schema: schema.schema_id().0,
            rows: table.len(),
            seq: db.seq(),
            saved,
            cost: compressed(&sent.content)?,
            dictionary: if sent.content.is_empty() {
                None
            } else {
                let read = TableDictionary::read(sent.clone(), &Limits::default())?;
                Some(Arc::new(read))
            },
            sent,
        };
        let found = kept.dictionary.as_ref().filter(|_| renewed);
        let found = found.map(|dictionary| TrainedDictionary {
            table: kept.sent.table.clone(),
            id: dictionary.id.to_string(),
            bytes: kept.cost,
            saved_per_thousand: kept.saved,
        });
        self.keep(db, kept)?;
        Ok(found)
    }

    fn keep(&self, db: &Database, fresh: Kept) -> Result<()> {
        let id = id_of(&fresh.sent);
        let mut tx = db.begin();
        tx.upsert_values(&self.table, fresh.to_row())?;
        tx.commit()?;
        let mut versions = {
            let mut kept = self.kept.write();
            kept.retain(|known| id_of(&known.sent) != id);
            let table = fresh.sent.table.clone();
            kept.push(Arc::new(fresh));
            let versions = kept.iter().filter(|known| known.sent.table == table);
            versions.cloned().collect::<Vec<_>>()
        };
        versions.sort_by_key(|known| std::cmp::Reverse(known.version));
        versions.drain(..versions.len().min(VERSIONS_KEPT));
        self.forget(db, &versions)
    }

    fn forget(&self, db: &Database, gone: &[Arc<Kept>]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut tx = db.begin();
        for kept in gone {
            let table = Value::Text(kept.sent.table.clone());
            let key = RecordId::composite([table, id_value(id_of(&kept.sent))]);
            tx.delete(&self.table, key)?;
        }
        tx.commit()?;
        let mut kept = self.kept.write();
        kept.retain(|known| !gone.iter().any(|gone| Arc::ptr_eq(gone, known)));
        Ok(())
    }
}

/// Batches of neighbouring rows from all over the table: those to learn from, and those to measure on.
fn sample(db: &Database, table: &Collection) -> Result<(Vec<Record>, Vec<Vec<Record>>)> {
    let batches = table.len().div_ceil(BATCH_ROWS);
    let step = batches.div_ceil(SAMPLE_ROWS / BATCH_ROWS).max(1);
    let (mut learned, mut measured): (Vec<Record>, Vec<Vec<Record>>) = (Vec::new(), Vec::new());
    let (mut at, mut taken) = (0_usize, 0_usize);
    db.snapshot().view().scan(table, &mut |records| {
        for record in records {
            let (batch, begins) = (at / BATCH_ROWS, at.is_multiple_of(BATCH_ROWS));
            at += 1;
            if !batch.is_multiple_of(step) {
                continue;
            }
            taken += usize::from(begins);
            if !taken.is_multiple_of(MEASURED_OF) {
                learned.push(record.clone());
            } else if begins {
                measured.push(vec![record.clone()]);
            } else if let Some(batch) = measured.last_mut() {
                batch.push(record.clone());
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok((learned, measured))
}

fn columns(schema: &Schema, records: &[Record]) -> Vec<Column> {
    let column = |position: usize| {
        let values = records.iter().map(|record| record.get(position));
        let values: Vec<&Value> = values.map(|value| value.unwrap_or(&Value::Null)).collect();
        Column::from_refs(&values)
    };
    (0..schema.fields.len()).map(column).collect()
}

fn text_bytes(records: &[Record]) -> usize {
    let texts = records.iter().flat_map(|record| record.iter());
    let bytes: usize = texts.map(Value::heap_bytes).sum();
    (bytes / 8).clamp(TEXT_BYTES.0, TEXT_BYTES.1)
}

/// Bytes of batches without a dictionary and with one.
fn measure(
    schema: &Schema,
    batches: &[Vec<Record>],
    shared: &SharedDictionary,
) -> Result<(usize, usize)> {
    let (mut plain, mut packed) = (0, 0);
    for batch in batches {
        let columns = columns(schema, batch);
        plain += pack(&columns, Level::Fast, None)?.len();
        packed += pack(&columns, Level::Fast, Some(Shared::new(shared)))?.len();
    }
    Ok((plain, packed))
}
