//! [`Events`]: what is known of the entities of one view, a row of numbers for each event.

use common::{Error, Metadata, Record, RecordId, Result, Seq, Timestamp, Value};

use foldhash::HashMap;

use crate::core::distance::prefetch;

use super::as_of::{AsOf, Status};
use super::cell::{Kind, MISSING, Texts, cell_of};
use super::directory::{Directory, Entry, Key, NONE};
use super::history::{History, Stamp};
use super::materialised::Materialised;
use super::pages::Pages;

/// Words of a row before its values: what tells whether a read sees it, on one cache line or two.
const EVENT: usize = 0;
const KNOWN: usize = 1;
const SEQ: usize = 2;
/// From the highest bit: whether the event is a deletion, 31 bits of revision, the number of the entity. Zero in rows that
/// are free.
const OWNER: usize = 3;
pub(super) const VALUES: usize = 4;
/// Words of a row behind its values: when it was first written.
const BEHIND: usize = 1;

/// Words that may lie in the cache of a core: 1 MiB.
const CACHE_WORDS: usize = 1 << 17;

const DELETED: u64 = 1 << 63;
const REVISION_MAX: u32 = (1 << 31) - 1;

/// How rows lie: what columns the table has.
pub(super) struct Layout {
    /// Columns of an entity's key. The times of event and knowledge follow, whether it is a deletion, and the features.
    pub(super) keys: usize,
    pub(super) kinds: Box<[Kind]>,
}

impl Layout {
    const fn stride(&self) -> usize {
        VALUES + self.kinds.len() + BEHIND
    }
}

/// Events by entity, each a row of words: its times, its values as floats, and what the table keeps beside every record.
///
/// The events of one entity are in order of event time and then of the time when they became known; of an entity with one
/// event nothing is kept but its row.
pub(super) struct Events {
    layout: Layout,
    directory: Directory,
    /// By entity: the number of its history, or [`NONE`] where it has one event.
    entities: Vec<u32>,
    histories: Vec<History>,
    free_histories: Vec<u32>,
    pages: Pages<u64>,
    /// Rows handed out so far, free ones included.
    rows: u32,
    free_rows: Vec<u32>,
    len: usize,
    /// By feature; those of numbers stay empty.
    texts: Vec<Texts>,
    /// When rows that were written more than once were so last; events hardly are.
    updated: HashMap<u32, Timestamp>,
    /// Latest time of knowledge.
    known_last: i64,
    /// By number; none where one was given up.
    pub(super) materialised: Vec<Option<Materialised>>,
}

/// The words of one row.
#[derive(Clone, Copy)]
pub(super) struct RowRef<'a> {
    words: &'a [u64],
}

impl<'a> RowRef<'a> {
    #[inline]
    fn word(self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or_default()
    }

    #[inline]
    #[expect(clippy::cast_possible_wrap, reason = "all bits of it")]
    pub(super) fn event(self) -> i64 {
        self.word(EVENT) as i64
    }

    #[inline]
    #[expect(clippy::cast_possible_wrap, reason = "all bits of it")]
    pub(super) fn known(self) -> i64 {
        self.word(KNOWN) as i64
    }

    #[inline]
    pub(super) fn seq(self) -> Seq {
        Seq(self.word(SEQ))
    }

    /// Whether the event says that the entity is no more.
    #[inline]
    pub(super) fn is_deletion(self) -> bool {
        self.word(OWNER) & DELETED != 0
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn entity(self) -> u32 {
        self.word(OWNER) as u32
    }

    fn is_free(self) -> bool {
        self.word(OWNER) == 0
    }

    /// A row that is materialised: what comes before the values, and what they were transformed to.
    #[inline]
    pub(super) const fn of_materialised(words: &'a [u64]) -> Self {
        Self { words }
    }

    /// What comes before the values.
    pub(super) fn head(self) -> &'a [u64] {
        self.words.get(..VALUES).unwrap_or_default()
    }

    /// The numbers of a row that is materialised.
    #[inline]
    pub(super) fn transformed(self) -> &'a [f64] {
        bytemuck::cast_slice(self.words.get(VALUES..).unwrap_or_default())
    }

    /// The values, NaN where one is missing.
    #[inline]
    pub(super) fn values(self) -> &'a [f64] {
        let values = self.words.get(VALUES..self.words.len() - BEHIND);
        bytemuck::cast_slice(values.unwrap_or_default())
    }

    #[expect(clippy::cast_possible_wrap, reason = "all bits of it")]
    fn created(self) -> Timestamp {
        let created = self.words.last().copied();
        Timestamp(created.unwrap_or_default() as i64)
    }

    fn revision(self) -> u32 {
        u32::try_from((self.word(OWNER) & !DELETED) >> 32).unwrap_or_default()
    }
}

/// Bytes that a view takes in memory, by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBytes {
    /// Rows of values with their times and metadata, rows for events to come included.
    pub rows: usize,
    /// What finds rows by entity and time.
    pub index: usize,
    /// Texts and their numbers.
    pub texts: usize,
    /// Rows that are transformed already.
    pub materialised: usize,
}

impl Events {
    pub(super) fn new(layout: Layout, directory: Directory) -> Self {
        Self {
            pages: Pages::new(layout.stride()),
            texts: layout.kinds.iter().map(|_| Texts::default()).collect(),
            layout,
            directory,
            entities: Vec::new(),
            histories: Vec::new(),
            free_histories: Vec::new(),
            rows: 0,
            free_rows: Vec::new(),
            len: 0,
            updated: HashMap::default(),
            known_last: i64::MIN,
            materialised: Vec::new(),
        }
    }

    /// Number of events.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Number of entities.
    pub(super) fn entities(&self) -> usize {
        self.directory.len()
    }

    /// The latest time at which an event became known.
    pub(super) const fn known_last(&self) -> i64 {
        self.known_last
    }

    /// Rows that there are or were.
    pub(super) const fn rows(&self) -> u32 {
        self.rows
    }

    /// The texts of each feature.
    pub(super) fn texts(&self) -> &[Texts] {
        &self.texts
    }

    /// The row of this number, which was handed out.
    #[inline]
    pub(super) fn row(&self, row: u32) -> RowRef<'_> {
        RowRef {
            words: self.pages.row(row),
        }
    }

    /// Asks memory for a row, or for what was materialised of it, if there are so many that it hardly lies in a cache.
    #[inline]
    pub(super) fn prefetch(&self, row: u32, materialised: Option<usize>) {
        if self.rows as usize * self.layout.stride() <= CACHE_WORDS {
            return;
        }
        let words = self.row(row).words;
        match materialised.and_then(|number| self.materialised.get(number)) {
            Some(Some(materialised)) => prefetch(materialised.row(row).words),
            _ => prefetch(words),
        }
    }

    #[inline]
    pub(super) fn find(&self, key: Key<'_>) -> Option<Entry> {
        self.directory.find(key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.directory.entries()
    }

    /// The row that was the latest of an entity as of a time, with what becomes of it by a time to live in microseconds;
    /// none if there was no row. Of rows that are materialised, what they were transformed to.
    #[inline]
    pub(super) fn as_of<'e>(
        &'e self,
        ready: Option<&'e Materialised>,
        entry: Entry,
        as_of: AsOf,
        ttl: i64,
    ) -> Option<(RowRef<'e>, Status)> {
        let row = |row| ready.map_or_else(|| self.row(row), |ready| ready.row(row));
        let mut found = row(entry.latest);
        if !as_of.sees(found) {
            found = match self.earlier(entry.entity, as_of) {
                NONE => return None,
                earlier => row(earlier),
            };
        }
        let status = if found.is_deletion() {
            Status::Missing
        } else if as_of.event.0.saturating_sub(found.event()) > ttl && as_of.event.0 != i64::MAX {
            Status::Expired
        } else {
            Status::Present
        };
        Some((found, status))
    }

    #[cold]
    fn earlier(&self, entity: u32, as_of: AsOf) -> u32 {
        let history = self.history(entity).into_iter();
        let mut before = history.flat_map(|history| history.before(as_of.event.0, as_of.known.0));
        before
            .find(|row| as_of.sees(self.row(*row)))
            .unwrap_or(NONE)
    }

    /// The row that a read as of a time sees, if no commit bounds it; [`NONE`] if there is none. Unlike
    /// [`Events::as_of`] it does not look at the latest row first: for reads of the past.
    #[inline]
    pub(super) fn candidate(&self, entry: Entry, as_of: AsOf) -> u32 {
        match self.history(entry.entity) {
            Some(history) => history
                .before(as_of.event.0, as_of.known.0)
                .next()
                .unwrap_or(NONE),
            None => entry.latest,
        }
    }

    /// Asks memory for what [`Events::candidate`] visits.
    #[inline]
    pub(super) fn prefetch_history(&self, entry: Entry) {
        if let Some(history) = self.history(entry.entity) {
            history.prefetch();
        }
    }

    #[inline]
    fn history(&self, entity: u32) -> Option<&History> {
        let history = *self.entities.get(entity as usize)?;
        self.histories.get(history as usize)
    }

    /// Rows of all events of an entity, in order.
    pub(super) fn rows_of(&self, entry: Entry) -> Vec<u32> {
        match self.history(entry.entity) {
            Some(history) => history.rows().collect(),
            None => vec![entry.latest],
        }
    }

    /// The row of an entity's event with these times, if there is one.
    fn at(&self, entry: Entry, event: i64, known: i64) -> Option<u32> {
        match self.history(entry.entity) {
            Some(history) => history.find(event, known),
            None => {
                let row = self.row(entry.latest);
                (row.event() == event && row.known() == known).then_some(entry.latest)
            }
        }
    }

    /// Keys of all entities, in no order.
    pub(super) fn keys(&self) -> Vec<RecordId> {
        let mut values = Vec::with_capacity(self.layout.keys);
        let entries = self.directory.entries();
        let keys = entries.map(|entry| {
            values.clear();
            self.directory.push_key(entry.entity, &mut values);
            RecordId::from(&values[..])
        });
        keys.collect()
    }

    /// Keeps a record, and returns the number of its row.
    pub(super) fn put(&mut self, record: &Record) -> Result<u32> {
        let (key, event, known, rest) = self.parts(record)?;
        let key = Key::Values(key);
        let found = self.find(key);
        if let Some(entry) = found
            && let Some(row) = self.at(entry, event, known)
        {
            self.give_texts_back(row);
            self.write(row, entry.entity, (event, known), rest, record.metadata())?;
            return Ok(row);
        }
        let row = self.new_row()?;
        let entity = match found {
            Some(entry) => entry.entity,
            None => self.add_entity(key, row)?,
        };
        self.write(row, entity, (event, known), rest, record.metadata())?;
        if let Some(entry) = found {
            self.insert(key, entry, Stamp { event, known, row })?;
        }
        self.known_last = self.known_last.max(known);
        self.len += 1;
        Ok(row)
    }

    /// Forgets the event of a key, and returns the number that its row had.
    pub(super) fn remove(&mut self, id: &[Value]) -> Result<u32> {
        let missing = || Error::not_found(format!("no event has the key {}", RecordId::from(id)));
        let (key, event, known) = self.key_of(id).ok_or_else(missing)?;
        let entry = self.find(key).ok_or_else(missing)?;
        let row = self.at(entry, event, known).ok_or_else(missing)?;
        let number = self.entities.get(entry.entity as usize).copied();
        match number.and_then(|number| self.histories.get_mut(number as usize)) {
            None => self.directory.remove(key),
            Some(history) => {
                history.remove(row);
                let latest = history.last().unwrap_or(NONE);
                if history.len() == 1 {
                    *history = History::default();
                    self.free_histories.extend(number);
                    put_at(&mut self.entities, entry.entity, NONE);
                }
                self.directory.set_latest(key, latest);
            }
        }
        self.give_texts_back(row);
        // Nothing of it stays in memory: it may have been deleted for somebody's privacy.
        self.pages.row_mut(row).fill(0);
        for materialised in self.materialised.iter_mut().flatten() {
            materialised.clear(row);
        }
        self.updated.remove(&row);
        self.free_rows.push(row);
        self.len -= 1;
        Ok(row)
    }

    /// Takes the key of a record apart.
    pub(super) fn key_of<'k>(&self, id: &'k [Value]) -> Option<(Key<'k>, i64, i64)> {
        match id.split_at_checked(self.layout.keys)? {
            (key, [Value::Timestamp(event), Value::Timestamp(known)]) => {
                Some((Key::Values(key), event.0, known.0))
            }
            _ => None,
        }
    }

    /// The row of the record with this key.
    pub(super) fn slot_of(&self, id: &[Value]) -> Option<u32> {
        let (key, event, known) = self.key_of(id)?;
        self.at(self.find(key)?, event, known)
    }

    /// The record of a row, if the row is in use.
    pub(super) fn record(&self, row: u32) -> Option<Record> {
        if row >= self.rows {
            return None;
        }
        let found = self.row(row);
        if found.is_free() {
            return None;
        }
        let mut values = Vec::with_capacity(self.layout.keys + 3 + self.layout.kinds.len());
        self.directory.push_key(found.entity(), &mut values);
        values.push(Value::Timestamp(Timestamp(found.event())));
        values.push(Value::Timestamp(Timestamp(found.known())));
        values.push(Value::Bool(found.is_deletion()));
        values.extend((0..self.layout.kinds.len()).map(|feature| self.value(found, feature)));
        let key_columns = self.layout.keys + 2;
        let created = found.created();
        let metadata = Metadata {
            seq: found.seq(),
            created,
            updated: self.updated.get(&row).copied().unwrap_or(created),
            revision: found.revision(),
        };
        Some(Record::new(metadata, key_columns, values))
    }

    /// The text of a cell of a feature, if there is one.
    pub(super) fn text(&self, feature: usize, cell: f64) -> Option<&str> {
        self.texts.get(feature)?.of_cell(cell)
    }

    /// The value of a feature in a row.
    pub(super) fn value(&self, row: RowRef<'_>, feature: usize) -> Value {
        let cell = row.values().get(feature).copied().unwrap_or(MISSING);
        match self.layout.kinds.get(feature) {
            Some(Kind::Text) => self.text(feature, cell).map_or(Value::Null, Value::from),
            Some(kind) => kind.value(cell),
            None => Value::Null,
        }
    }

    /// Bytes by part.
    pub(super) fn heap_bytes(&self) -> EventBytes {
        let histories: usize = self.histories.iter().map(History::heap_bytes).sum();
        EventBytes {
            rows: self.pages.heap_bytes(),
            index: self.directory.heap_bytes()
                + self.entities.capacity() * size_of::<u32>()
                + histories
                + self.histories.capacity() * size_of::<History>(),
            texts: self.texts.iter().map(Texts::heap_bytes).sum(),
            materialised: self
                .materialised
                .iter()
                .flatten()
                .map(Materialised::heap_bytes)
                .sum(),
        }
    }

    fn give_texts_back(&mut self, row: u32) {
        for (feature, kind) in self.layout.kinds.iter().enumerate() {
            if *kind == Kind::Text {
                let cell = self.row(row).values().get(feature).copied();
                if let (Some(cell), Some(texts)) = (cell, self.texts.get_mut(feature)) {
                    texts.give_back(cell);
                }
            }
        }
    }

    /// Takes apart: key of the entity, times of event and knowledge, and the columns behind them.
    fn parts<'r>(&self, record: &'r Record) -> Result<(&'r [Value], i64, i64, &'r [Value])> {
        let other = || Error::invalid("a record of other columns than the view has");
        let (key, rest) = record
            .split_at_checked(self.layout.keys)
            .ok_or_else(other)?;
        match rest {
            [Value::Timestamp(event), Value::Timestamp(known), rest @ ..]
                if rest.len() == self.layout.kinds.len() + 1 =>
            {
                Ok((key, event.0, known.0, rest))
            }
            _ => Err(other()),
        }
    }

    fn new_row(&mut self) -> Result<u32> {
        if let Some(row) = self.free_rows.pop() {
            return Ok(row);
        }
        let row = self.rows;
        if row == NONE {
            return Err(Error::limit_exceeded("a view has at most 2^32 - 1 events"));
        }
        self.rows += 1;
        Ok(row)
    }

    fn add_entity(&mut self, key: Key<'_>, row: u32) -> Result<u32> {
        let entity = self.directory.add(key, row)?;
        put_at(&mut self.entities, entity, NONE);
        Ok(entity)
    }

    #[expect(clippy::cast_sign_loss, reason = "all bits of them")]
    fn write(
        &mut self,
        row: u32,
        entity: u32,
        (event, known): (i64, i64),
        rest: &[Value],
        metadata: Metadata,
    ) -> Result<()> {
        let words = self.pages.row_mut(row);
        let Some((head, words)) = words.split_at_mut_checked(VALUES) else {
            return Err(Error::corrupt("a row that lies nowhere"));
        };
        let (cells, behind) = words.split_at_mut(self.layout.kinds.len());
        let (deleted, values) = match rest {
            [Value::Bool(deleted), values @ ..] => (*deleted, values),
            _ => {
                return Err(Error::invalid(
                    "a record that does not say whether it is a deletion",
                ));
            }
        };
        for ((cell, value), texts) in cells.iter_mut().zip(values).zip(&mut self.texts) {
            let number = match value {
                Value::Text(text) => texts.take(text)?,
                value => cell_of(value),
            };
            *cell = number.to_bits();
        }
        let revision = u64::from(metadata.revision.clamp(1, REVISION_MAX));
        head.copy_from_slice(&[
            event as u64,
            known as u64,
            metadata.seq.0,
            if deleted { DELETED } else { 0 } | revision << 32 | u64::from(entity),
        ]);
        behind.copy_from_slice(&[metadata.created.0 as u64]);
        if metadata.updated == metadata.created {
            self.updated.remove(&row);
        } else {
            self.updated.insert(row, metadata.updated);
        }
        let values = RowRef {
            words: self.pages.row(row),
        };
        for materialised in self.materialised.iter_mut().flatten() {
            materialised.write(row, values, &self.texts)?;
        }
        Ok(())
    }

    /// Puts a row in order among those of an entity that has some.
    fn insert(&mut self, key: Key<'_>, entry: Entry, stamp: Stamp) -> Result<()> {
        let mut number = self
            .entities
            .get(entry.entity as usize)
            .copied()
            .unwrap_or(NONE);
        if number == NONE {
            let latest = self.row(entry.latest);
            let first = Stamp {
                event: latest.event(),
                known: latest.known(),
                row: entry.latest,
            };
            number = match self.free_histories.pop() {
                Some(number) => number,
                None => {
                    self.histories.push(History::default());
                    // No more than there are entities.
                    u32::try_from(self.histories.len() - 1).unwrap_or(NONE)
                }
            };
            if let Some(history) = self.histories.get_mut(number as usize) {
                history.insert(first);
            }
            put_at(&mut self.entities, entry.entity, number);
        }
        let Some(history) = self.histories.get_mut(number as usize) else {
            return Err(Error::corrupt("a history that is not there"));
        };
        let at = history.insert(stamp);
        if at + 1 == history.len() {
            self.directory.set_latest(key, stamp.row);
        }
        Ok(())
    }
}

/// Sets an element, or adds it behind the last.
fn put_at(numbers: &mut Vec<u32>, at: u32, number: u32) {
    match numbers.get_mut(at as usize) {
        Some(place) => *place = number,
        None => numbers.push(number),
    }
}
