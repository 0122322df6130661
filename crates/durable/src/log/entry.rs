//! One entry of the log as bytes, and back.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::database::{ChangeReplay, JournalEntry, ReplayEntry, TableEntry, TableReplay};
use common::limits::{COLLECTIONS_MAX, COLUMNS_MAX, NAME_BYTES_MAX};
use common::schema::Schema;
use common::serialization::{decode_record, decode_schema, encode_record, encode_schema};
use common::storage::StorageKind;
use common::versioning::{ChangeKind, ColumnSet, Hlc};
use common::{Error, Limits, Record, Result, Seq, Text};

/// What happens to a table; the number is stored.
mod tag {
    pub(super) const CREATED: u8 = 1;
    pub(super) const CREATED_ORDERED: u8 = 2;
    pub(super) const DROPPED: u8 = 3;
    pub(super) const ALTERED: u8 = 4;
    pub(super) const REBUILT: u8 = 5;
    pub(super) const INDEX_CREATED: u8 = 6;
    pub(super) const INDEX_DROPPED: u8 = 7;
}

/// Appends a number of up to 64 bits, seven in a byte, the lowest first.
pub(crate) fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

fn text(text: &str, out: &mut Vec<u8>) {
    put(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn schema(schema: &Schema, out: &mut Vec<u8>) -> Result<()> {
    let bytes = encode_schema(schema)?;
    put(bytes.len() as u64, out);
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Appends an entry.
///
/// # Errors
/// What a value of a record or a schema cannot be written for.
pub(crate) fn encode(entry: &JournalEntry<'_>, out: &mut Vec<u8>) -> Result<()> {
    put(entry.seq.0, out);
    put(entry.stamp.0, out);
    put(entry.tables.len() as u64, out);
    for table in entry.tables {
        encode_table(table, out)?;
    }
    put(entry.changes.len() as u64, out);
    let mut last: Option<&Text> = None;
    for (table, change) in entry.changes {
        let kind = match change.kind {
            ChangeKind::Insert => 0,
            ChangeKind::Update => 1,
            ChangeKind::Delete => 2,
        };
        // The table is named where it is another one than that of the change before.
        let named = last != Some(*table);
        out.push(kind | u8::from(named) << 2);
        if named {
            text(table, out);
            last = Some(*table);
        }
        if change.kind == ChangeKind::Update {
            put(change.columns.len() as u64, out);
            let mut next = 0;
            for column in change.columns.iter() {
                put((column - next) as u64, out);
                next = column + 1;
            }
        }
        record(&change.record, out)?;
    }
    Ok(())
}

fn encode_table(table: &TableEntry<'_>, out: &mut Vec<u8>) -> Result<()> {
    match table {
        TableEntry::Created { schema: of, kind } => {
            out.push(match kind {
                StorageKind::Ordered => tag::CREATED_ORDERED,
                StorageKind::Hash => tag::CREATED,
                _ => {
                    return Err(Error::unsupported("a storage of the application's own"));
                }
            });
            schema(of, out)?;
        }
        TableEntry::Dropped { table } => {
            out.push(tag::DROPPED);
            text(table, out);
        }
        TableEntry::Altered {
            schema: of,
            rows: None,
        } => {
            out.push(tag::ALTERED);
            schema(of, out)?;
        }
        TableEntry::Altered {
            schema: of,
            rows: Some(rows),
        } => {
            out.push(tag::REBUILT);
            schema(of, out)?;
            put(rows.len() as u64, out);
            rows.each(&mut |row| record(row, out))?;
        }
        TableEntry::IndexCreated { schema: of, index } => {
            out.push(tag::INDEX_CREATED);
            schema(of, out)?;
            text(index, out);
        }
        TableEntry::IndexDropped { table, index } => {
            out.push(tag::INDEX_DROPPED);
            text(table, out);
            text(index, out);
        }
    }
    Ok(())
}

fn record(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    put(record.key_columns() as u64, out);
    encode_record(record, out)
}

/// Reads an entry.
///
/// # Errors
/// [`common::ErrorKind::Corrupt`] for anything but an entry, [`common::ErrorKind::LimitExceeded`] beyond `limits`.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<ReplayEntry> {
    let mut cursor = Cursor::new(bytes, limits);
    let seq = Seq(cursor.number()?);
    let stamp = Hlc(cursor.number()?);
    let count = cursor.count(2 * COLLECTIONS_MAX)?;
    let mut tables = Vec::new();
    for _ in 0..count {
        tables.push(decode_table(&mut cursor)?);
    }
    // Each change has a byte at least.
    let count = cursor.count(usize::MAX)?;
    let mut changes = Vec::new();
    let mut table = None;
    for _ in 0..count {
        let [head] = cursor.fixed()?;
        if head & 4 != 0 {
            table = Some(cursor.text()?);
        }
        let (Some(table), 0) = (&table, head & !7) else {
            return Err(Error::corrupt("a change names no table"));
        };
        let (kind, columns) = match head & 3 {
            0 => (ChangeKind::Insert, None),
            1 => (ChangeKind::Update, Some(cursor.columns()?)),
            2 => (ChangeKind::Delete, Some(ColumnSet::EMPTY)),
            _ => return Err(Error::corrupt("a change of no kind")),
        };
        let record = cursor.record()?;
        changes.push(ChangeReplay {
            table: table.clone(),
            kind,
            columns: columns.unwrap_or_else(|| ColumnSet::all(record.len())),
            record,
        });
    }
    if !cursor.is_empty() {
        return Err(Error::corrupt("bytes follow the last change"));
    }
    Ok(ReplayEntry {
        seq,
        stamp,
        tables,
        changes,
    })
}

fn decode_table(cursor: &mut Cursor<'_>) -> Result<TableReplay> {
    let [found] = cursor.fixed()?;
    Ok(match found {
        tag::CREATED | tag::CREATED_ORDERED => TableReplay::Created {
            schema: cursor.schema()?,
            ordered: found == tag::CREATED_ORDERED,
        },
        tag::DROPPED => TableReplay::Dropped {
            table: cursor.text()?,
        },
        tag::ALTERED => TableReplay::Altered {
            schema: cursor.schema()?,
            rows: None,
        },
        tag::REBUILT => {
            let schema = cursor.schema()?;
            let count = cursor.count(usize::MAX)?;
            let mut rows = Vec::new();
            for _ in 0..count {
                rows.push(cursor.record()?);
            }
            TableReplay::Altered {
                schema,
                rows: Some(rows),
            }
        }
        tag::INDEX_CREATED => TableReplay::IndexCreated {
            schema: cursor.schema()?,
            index: cursor.text()?,
        },
        tag::INDEX_DROPPED => TableReplay::IndexDropped {
            table: cursor.text()?,
            index: cursor.text()?,
        },
        other => {
            return Err(Error::corrupt(format!(
                "what happens to a table is {other}"
            )));
        }
    })
}

/// Bytes that are read from the front.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    len: usize,
    limits: &'a Limits,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8], limits: &'a Limits) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
            limits,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes read so far.
    pub(crate) const fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((part, rest)) = self.rest.split_at_checked(len) else {
            return Err(Error::corrupt(format!(
                "{len} bytes are announced at byte {}, and {} are there",
                self.position(),
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(part)
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        // `take` gives as many bytes as asked for.
        self.take(N).map(|part| part.try_into().unwrap_or([0; N]))
    }

    /// A number that [`put`] appended.
    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                // One form for each number.
                if byte == 0 && shift > 0 {
                    break;
                }
                return Ok(number);
            }
        }
        Err(Error::corrupt(format!(
            "no number ends at byte {}",
            self.position()
        )))
    }

    /// A count of things that follow, of which each takes a byte at least.
    fn count(&mut self, most: usize) -> Result<usize> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > most.min(self.rest.len()) {
            return Err(Error::corrupt(format!(
                "{count} parts are announced at byte {}",
                self.position()
            )));
        }
        Ok(count)
    }

    pub(crate) fn text(&mut self) -> Result<Text> {
        let len = self.count(NAME_BYTES_MAX)?;
        let at = self.position();
        let text = std::str::from_utf8(self.take(len)?)
            .map_err(|_| Error::corrupt(format!("the name at byte {at} is not UTF-8")))?;
        Ok(Text::from(text))
    }

    fn schema(&mut self) -> Result<Schema> {
        let len = self.count(usize::MAX)?;
        let bytes = self.take(len)?;
        decode_schema(bytes, self.limits)
    }

    fn columns(&mut self) -> Result<ColumnSet> {
        let count = self.count(COLUMNS_MAX)?;
        let mut columns = ColumnSet::EMPTY;
        let mut next = 0;
        for _ in 0..count {
            let skipped = usize::try_from(self.number()?).unwrap_or(usize::MAX);
            let column = skipped.saturating_add(next);
            if column >= COLUMNS_MAX {
                return Err(Error::corrupt(format!("there is no column {column}")));
            }
            columns.insert(column);
            next = column + 1;
        }
        Ok(columns)
    }

    fn record(&mut self) -> Result<Record> {
        let key_columns = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let (record, rest) = decode_record(self.rest, key_columns, self.limits)?;
        self.rest = rest;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use common::database::Alteration;
    use common::schema::{Field, FieldType, IndexSpec};
    use common::storage::Fill;
    use common::{Database, ErrorKind, Row, Value, row};
    use proptest::prelude::*;

    use super::*;

    /// A database, and its journal as bytes.
    fn journaled() -> (Database, Arc<Mutex<Vec<Vec<u8>>>>) {
        let (database, written) = (Database::new(), Arc::new(Mutex::new(Vec::new())));
        let journal = Arc::clone(&written);
        let tell = move |entry: &JournalEntry<'_>| {
            let mut bytes = Vec::new();
            encode(entry, &mut bytes)?;
            journal.lock().unwrap().push(bytes);
            Ok(())
        };
        database.set_journal(Box::new(tell)).unwrap();
        (database, written)
    }

    fn schema(columns: usize) -> Schema {
        let mut schema = Schema::build("t", ["id"]).field(Field::new("id", FieldType::Int));
        for column in 1..columns {
            let field = Field::new(format!("c{column}"), FieldType::Any).nullable();
            schema = schema.field(field);
        }
        schema
            .version(u32::try_from(columns).unwrap())
            .finish()
            .unwrap()
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::from(&bytes[..])),
            prop::collection::vec(any::<i64>().prop_map(Value::from), 0..4).prop_map(Value::from),
        ]
    }

    /// Key, whether it is deleted, the columns with their values.
    type Step = (i64, bool, Vec<(usize, Value)>);

    fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
        let column = (1_usize..70, value());
        let step = (0..6_i64, any::<bool>(), prop::collection::vec(column, 0..4));
        prop::collection::vec(prop::collection::vec(step, 1..4), 1..8)
    }

    proptest! {
        #[test]
        fn what_is_written_down_comes_back(steps in steps(), columns in 2_usize..70) {
            let (database, written) = journaled();
            database.create_collection(schema(columns)).unwrap();
            for (number, step) in steps.iter().enumerate() {
                let table = database.collection("t").unwrap();
                let has = table.schema().fields.len();
                database.transaction(|tx| {
                    for (key, deletes, cells) in step {
                        let cells = cells.iter().filter(|(column, _)| *column < has);
                        let mut row = Row::new();
                        for (column, value) in cells {
                            row.set(format!("c{column}"), value.clone());
                        }
                        if *deletes {
                            let _ = tx.delete(&table, *key);
                        } else if tx.update(&table, *key, row.clone()).is_err() {
                            tx.insert(&table, row.with("id", *key))?;
                        }
                    }
                    Ok(())
                }).unwrap();
                if number == 2 {
                    table.create_index(IndexSpec::ordered(["c1"])).unwrap();
                }
                if number == 4 {
                    let mut wider = schema(columns + 1);
                    wider.indexes = table.schema().indexes.clone();
                    let fills = vec![Fill::Value(Value::from(7))];
                    let extend = Alteration::Extend { schema: wider, fills, derivation: None };
                    database.alter(vec![extend]).unwrap();
                }
            }
            let (again, rewritten) = (Database::new(), Mutex::new(Vec::new()));
            for bytes in written.lock().unwrap().iter() {
                let entry = decode(bytes, &Limits::default()).unwrap();
                again.replay(entry).unwrap();
                rewritten.lock().unwrap().push(bytes.len());
                let cut = &bytes[..bytes.len() - 1];
                prop_assert!(decode(cut, &Limits::default()).is_err());
            }
            prop_assert_eq!(again.seq(), database.seq());
            let (from, _) = again.log_extent();
            let [known, found] = [&database, &again].map(|db| {
                let mut changes = db.changes_since(from, usize::MAX).unwrap();
                for change in &mut changes {
                    change.before = None;
                }
                changes
            });
            prop_assert_eq!(known, found);
            let [known, found] = [&database, &again].map(|db| db.collection("t").unwrap());
            prop_assert_eq!(known.schema(), found.schema());
            prop_assert_eq!(known.len(), found.len());
            for key in 0..6 {
                prop_assert_eq!(known.get(key), found.get(key));
            }
        }

        #[test]
        fn numbers_have_one_form(number: u64) {
            let mut bytes = Vec::new();
            put(number, &mut bytes);
            let limits = Limits::default();
            let mut cursor = Cursor::new(&bytes, &limits);
            prop_assert_eq!(cursor.number().unwrap(), number);
            prop_assert!(cursor.is_empty());
            let last = bytes.pop().unwrap();
            bytes.extend([last | 0x80, 0]);
            prop_assert!(Cursor::new(&bytes, &limits).number().is_err());
        }
    }

    #[test]
    fn what_the_journal_refuses_does_not_happen() {
        let database = Database::new();
        database
            .set_journal(Box::new(|entry| match entry.seq.0 {
                0 | 1 => Ok(()),
                _ => Err(Error::closed("no room")),
            }))
            .unwrap();
        let table = database.create_collection(schema(3)).unwrap();
        table.insert(row! { "id": 1 }).unwrap();
        let refused = [
            table.insert(row! { "id": 2 }).map(drop),
            table.update(1, row! { "c1": 5 }).map(drop),
            table.delete(1).map(drop),
        ];
        assert!(refused.iter().all(Result::is_err));
        assert_eq!((table.len(), database.seq()), (1, Seq(1)));
        assert_eq!(database.changes_since(Seq(0), 9).unwrap().len(), 1);
        let own = database.replay(decode(&[1, 0, 0, 0], &Limits::default()).unwrap());
        assert_eq!(own.unwrap_err().kind(), ErrorKind::Conflict);
    }
}
