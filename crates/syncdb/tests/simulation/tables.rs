//! The tables of a simulation, and how values carry the number of the write that made them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, IndexSpec, Schema, SchemaBuilder};
use common::serialization::{ImageWriter, read_image};
use common::utils::time::Clock;
use common::versioning::Retention;
use common::{Database, Limits, Record, Seq, Value, row};

use super::plan::{Config, Kind};
use super::tasks;

/// Notes that are never deleted.
pub(crate) const KEPT: i64 = 8;
/// Accounts of each client, and what is in each at first.
pub(crate) const ACCOUNTS: i64 = 4;
pub(crate) const AMOUNT: i64 = 100;
/// Keys of the table `slots`.
pub(crate) const SLOTS: i64 = 5;
/// Numbers that all add to.
pub(crate) const TALLIES: i64 = 2;
/// Names that may be taken.
pub(crate) const NAMES: u64 = 25;
/// Position of the first free column of `notes`, after the key and the flag.
pub(crate) const FREE: usize = 2;
/// The tables whose values carry numbers of writes.
pub(crate) const TRACKED: [&str; 5] = ["notes", "names", "slots", "tasks", "drafts"];
/// The number of the first write: below are values that carry none.
pub(crate) const FIRST_TOKEN: u64 = 1_000;

pub(crate) fn column(position: usize) -> String {
    match position {
        1 => "flag".to_owned(),
        free => format!("c{}", free - FREE),
    }
}

fn int(name: &str) -> Field {
    Field::new(name, FieldType::Int).default_value(0)
}

fn schemas(config: &Config) -> Vec<Schema> {
    let begin = |name: &str| Schema::build(name, ["id"]).field(Field::new("id", FieldType::Int));
    let mut notes = begin("notes").field(int("flag"));
    for (position, kind) in config.columns.iter().enumerate() {
        let (kind, default) = match kind {
            Kind::Int => (FieldType::Int, Value::Int(0)),
            Kind::Text => (FieldType::Text, Value::from("")),
            Kind::Float => (FieldType::Float, Value::Float(0.0)),
            Kind::Bytes => (FieldType::Bytes, Value::Bytes(Arc::from([]))),
            Kind::Any => (FieldType::Any, Value::from(Vec::<Value>::new())),
        };
        let name = column(FREE + position);
        notes = notes.field(Field::new(name, kind).default_value(default));
    }
    let built = [
        notes,
        begin("accounts").field(int("owner")).field(int("amount")),
        begin("beats")
            .field(int("n"))
            .field(Field::new("seen", FieldType::Any)),
        begin("names")
            .field(Field::new("handle", FieldType::Text))
            .field(int("token"))
            .index(IndexSpec::hash(["handle"]).unique()),
        begin("tallies").field(int("n")),
        begin("slots")
            .field(int("token"))
            .field(Field::new("text", FieldType::Text)),
    ];
    let more = config.features.iter().flat_map(|_| tasks::schemas());
    let finish = |schema: SchemaBuilder| schema.finish().unwrap();
    built.into_iter().chain(more).map(finish).collect()
}

pub(crate) fn options(clock: Arc<dyn Clock>, changes_max: usize) -> DatabaseOptions {
    DatabaseOptions {
        clock,
        retention: Retention {
            changes_max,
            ..Retention::default()
        },
        ..DatabaseOptions::default()
    }
}

/// The server's database as every seed begins.
pub(crate) fn server_database(config: &Config, clock: Arc<dyn Clock>) -> Database {
    let db = Database::with(options(clock, config.log_changes));
    db.resume_at(Seq(config.first_seq)).unwrap();
    for schema in schemas(config) {
        db.create_collection(schema).unwrap();
    }
    let [notes, accounts, tallies] =
        ["notes", "accounts", "tallies"].map(|name| db.collection(name).unwrap());
    db.transaction(|tx| {
        for id in 0..KEPT {
            tx.insert(&notes, row! { "id": id })?;
        }
        for id in 0..TALLIES {
            tx.insert(&tallies, row! { "id": id })?;
        }
        for id in 0..config.rows {
            // Beyond every key that a client makes.
            tx.insert(&notes, row! { "id": (1_i64 << 40) + id })?;
        }
        for owner in 0..i64::try_from(config.clients).unwrap() {
            for number in 0..ACCOUNTS {
                let id = owner * ACCOUNTS + number;
                let new = row! { "id": id, "owner": owner, "amount": AMOUNT };
                tx.insert(&accounts, new)?;
            }
        }
        Ok(())
    })
    .unwrap();
    if let Some(features) = &config.features {
        tasks::fill(&db, features).unwrap();
    }
    db
}

/// Lets the numbers of mutations begin as late as the log.
pub(crate) fn advance_numbers(config: &Config, db: &Database) {
    let clients = db.collection("sync_clients").unwrap();
    for client in (0..config.clients).filter(|_| config.first_seq > 0) {
        let last = config.first_seq.cast_signed() + 90;
        let row = row! { "replica": name(client), "last": last, "acknowledged": last };
        clients.insert(row).unwrap();
    }
}

pub(crate) fn name(client: usize) -> String {
    format!("client-{client}")
}

/// A value that carries `token`, of the kind of a column; `size` varies how large it is.
pub(crate) fn value(kind: Kind, token: u64, size: u64) -> Value {
    let filler = usize::try_from(if size.is_multiple_of(16) {
        size % 997
    } else {
        size % 23
    });
    let filler = filler.unwrap();
    match kind {
        Kind::Int => Value::Int(token.cast_signed()),
        Kind::Float => Value::Float(f64::from(u32::try_from(token).unwrap())),
        Kind::Text => Value::from(format!("t{token}:{}", "abcdefgh".repeat(filler / 8))),
        Kind::Bytes => {
            let mut bytes = token.to_le_bytes().to_vec();
            bytes.resize(8 + filler, 7);
            Value::from(&*bytes)
        }
        Kind::Any => Value::from(vec![
            Value::Int(token.cast_signed()),
            Value::from(size.is_multiple_of(2)),
        ]),
    }
}

/// The number that a value carries; 0 for none.
pub(crate) fn token(value: &Value) -> u64 {
    let found = match value {
        Value::Int(token) => Some(token.cast_unsigned()),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "made of a u32"
        )]
        Value::Float(token) => Some(*token as u64),
        Value::Text(text) => text
            .strip_prefix('t')
            .and_then(|rest| rest.split_once(':'))
            .and_then(|(token, _)| token.parse().ok()),
        Value::Bytes(bytes) => bytes.first_chunk().map(|first| u64::from_le_bytes(*first)),
        Value::List(list) => list.first().and_then(Value::as_int).map(i64::cast_unsigned),
        _ => None,
    };
    found.filter(|token| *token >= FIRST_TOKEN).unwrap_or(0)
}

/// All records of a table, by key; none when there is no table.
pub(crate) fn rows(db: &Database, table: &str) -> BTreeMap<i64, Record> {
    let mut found = BTreeMap::new();
    let Ok(table) = db.collection(table) else {
        return found;
    };
    let snapshot = db.snapshot();
    snapshot
        .view()
        .scan(&table, &mut |records| {
            let keyed = records.iter().map(|r| (r[0].as_int().unwrap(), r.clone()));
            found.extend(keyed);
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

/// All records of a table, of whatever key; none when there is no table.
pub(crate) fn all(db: &Database, table: &str) -> Vec<Record> {
    let mut found = Vec::new();
    if let Ok(table) = db.collection(table) {
        let mut keep = |records: &[Record]| {
            found.extend_from_slice(records);
            ControlFlow::Continue(())
        };
        db.snapshot().view().scan(&table, &mut keep).unwrap();
    }
    found
}

/// Number of records of a table; 0 when there is no table.
pub(crate) fn count(db: &Database, table: &str) -> usize {
    db.collection(table).map_or(0, |table| table.len())
}

/// A database as bytes, as it would be saved to a file.
pub(crate) fn image(db: &Database) -> Vec<u8> {
    let snapshot = db.snapshot();
    let mut writer = ImageWriter::new(Vec::new(), snapshot.seq()).unwrap();
    for table in db.collections() {
        let mut schema = table.schema().as_ref().clone();
        schema.indexes = table.indexes().iter().map(|i| i.spec().clone()).collect();
        writer.table(&schema).unwrap();
        snapshot
            .view()
            .scan(&table, &mut |records| {
                writer.rows(records).unwrap();
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    let mut bytes = writer.finish().unwrap();
    bytes.flush().unwrap();
    bytes
}

/// The database that was saved as `bytes`, with an empty log.
pub(crate) fn open(bytes: &[u8], options: DatabaseOptions) -> Database {
    let limits = Limits::default().total_bytes_max(usize::MAX);
    let image = read_image(bytes, &limits).unwrap();
    let db = Database::with(options);
    for (schema, records) in image.tables {
        let table = db.create_collection(schema).unwrap();
        db.load(&table, &records).unwrap();
    }
    db.resume_at(image.seq).unwrap();
    db
}
