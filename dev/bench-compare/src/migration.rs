//! How long a migration of many rows takes, and an additive one at any size, beside SQLite in memory doing the same.
//!
//! Five mixed steps on one table: a name is split in two, a number becomes text, two columns are merged to one, a
//! column is renamed and one is added. What comes out is compared, row by row and by digest, with what a plain function makes of the
//! rows that went in; SQLite makes a new table from a query, as its documentation says, and its rows are compared too.

#![expect(
    clippy::cast_precision_loss,
    reason = "numbers of rows and bytes are below 2^53"
)]

use bench::Result;
use bench::alloc::peak_bytes_of;
use bench::clock::Stopwatch;
use bench::random::Random;
use bench::report::{Better, Figure, Report, Target};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::serialization::Format;
use common::{Collection, Database, Value};
use rusqlite::Connection;
use syncdb::Digest;
use syncdb::migration::{Lineage, Migration, OnLoss, Step, migrate};

const OURS: &str = "tandemdb";
const SQLITE: &str = "sqlite :memory:";
const COLUMNS: usize = 9;

/// Name of our subject in the report.
pub(crate) const SUBJECT: &str = OURS;

/// What the project means to reach.
pub(crate) const TARGETS: [Target; 2] = [
    Target {
        case: "five-steps",
        metric: "seconds",
        rival: None,
        bound: 1.5,
    },
    Target {
        case: "additive",
        metric: "microseconds",
        rival: None,
        bound: 1_000.0,
    },
];

fn text(name: &str) -> Field {
    Field::new(name, FieldType::Text)
}

fn int(name: &str) -> Field {
    Field::new(name, FieldType::Int)
}

fn customers() -> Result<Schema> {
    Ok(Schema::build("customers", ["id"])
        .field(int("id"))
        .field(text("name"))
        .field(text("email"))
        .field(text("phone").nullable())
        .field(text("street"))
        .field(text("town"))
        .field(int("visits"))
        .field(Field::new("spent", FieldType::Float))
        .field(text("note"))
        .index(IndexSpec::hash(["email"]))
        .finish()?)
}

fn table() -> common::Text {
    "customers".into()
}

fn five_steps() -> Migration {
    Migration::new([
        Step::SplitColumn {
            table: table(),
            column: "name".into(),
            into: vec![text("first"), text("last").nullable()],
            separator: " ".into(),
            on_loss: OnLoss::Refuse,
        },
        Step::ChangeColumn {
            table: table(),
            column: "visits".into(),
            to: text("visits"),
            on_loss: OnLoss::Refuse,
            on_loss_back: OnLoss::Refuse,
        },
        Step::MergeColumns {
            table: table(),
            columns: vec!["street".into(), "town".into()],
            into: text("address"),
            separator: ", ".into(),
            on_loss: OnLoss::Refuse,
        },
        Step::RenameColumn {
            table: table(),
            column: "phone".into(),
            to: "mobile".into(),
        },
        Step::AddColumn {
            table: table(),
            field: int("level").default_value(1),
            value: None,
        },
    ])
}

fn one_column() -> Migration {
    Migration::new([Step::AddColumn {
        table: table(),
        field: text("language").default_value("en"),
        value: None,
    }])
}

fn rows(count: usize) -> Vec<Vec<Value>> {
    const SYLLABLES: [&str; 12] = [
        "ka", "ri", "mo", "len", "sa", "to", "vi", "ne", "ur", "ja", "pe", "sol",
    ];
    let mut random = Random::new(7);
    let mut word = |syllables: usize| -> String {
        let mut pick = || SYLLABLES.get(random.below(12)).copied().unwrap_or_default();
        (0..syllables).map(|_| pick()).collect()
    };
    (0_i64..)
        .take(count)
        .map(|id| {
            let (first, last, town) = (word(2), word(3), word(3));
            let name = if id % 97 == 0 {
                first.clone()
            } else {
                format!("{first} {last}")
            };
            let note: Vec<String> = (0..6).map(|_| word(3)).collect();
            let phone = if id % 5 == 0 {
                Value::Null
            } else {
                Value::from(format!("+358 40 {id:07}"))
            };
            vec![
                Value::from(id),
                Value::from(name),
                Value::from(format!("{first}.{last}{id}@example.org")),
                phone,
                Value::from(format!("{} street {}", word(4), id % 200)),
                Value::from(town),
                Value::from(id % 1_000),
                Value::from((id % 10_000) as f64 * 0.25),
                Value::from(note.join(" ")),
            ]
        })
        .collect()
}

/// What the five steps are to make of a row.
fn expected(row: &[Value]) -> Vec<Value> {
    let text = |at: usize| row.get(at).and_then(Value::as_text).unwrap_or_default();
    let value = |at: usize| row.get(at).cloned().unwrap_or_default();
    let (first, last) = match text(1).split_once(' ') {
        Some((first, last)) => (first, Value::from(last)),
        None => (text(1), Value::Null),
    };
    let visits = row.get(6).and_then(Value::as_int).unwrap_or_default();
    vec![
        value(0),
        Value::from(first),
        last,
        value(2),
        value(3),
        Value::from(format!("{}, {}", text(4), text(5))),
        Value::from(visits.to_string()),
        value(7),
        value(8),
        Value::from(1),
    ]
}

fn open(rows: &[Vec<Value>]) -> Result<(Database, Lineage)> {
    let db = Database::new();
    let schema = customers()?;
    let lineage = Lineage::new([schema.clone()])?;
    let table = db.create_collection(schema)?;
    for chunk in rows.chunks(10_000) {
        db.transaction(|tx| {
            chunk
                .iter()
                .try_for_each(|row| tx.insert_values(&table, row.iter().cloned()).map(drop))
        })?;
    }
    // As in use: what all readers have seen is not kept.
    db.prune_log_to(db.seq());
    Ok((db, lineage))
}

fn digest(db: &Database) -> Result<Digest> {
    let snapshot = db.snapshot();
    Ok(Digest::of(snapshot.view(), &[db.collection("customers")?])?)
}

fn check(migrated: &Collection, rows: &[Vec<Value>]) -> Result<()> {
    let snapshot = migrated.database().snapshot();
    for row in rows {
        let id = row.first().and_then(Value::as_int).unwrap_or_default();
        let found = snapshot.get(migrated, id)?;
        if found.as_deref() != Some(&*expected(row)) {
            return Err(format!("row {id} came out as {found:?}").into());
        }
    }
    if migrated.len() == rows.len() {
        Ok(())
    } else {
        Err(format!("{} rows came out of {}", migrated.len(), rows.len()).into())
    }
}

/// The digest of the rows as they are to come out, in a table made for that.
fn expected_digest(schema: &Schema, rows: &[Vec<Value>]) -> Result<Digest> {
    let db = Database::new();
    let table = db.create_collection(schema.clone())?;
    for chunk in rows.chunks(10_000) {
        db.transaction(|tx| {
            let mut made = chunk.iter().map(|row| expected(row));
            made.try_for_each(|row| tx.insert_values(&table, row).map(drop))
        })?;
    }
    digest(&db)
}

fn push(report: &mut Report, case: &str, subject: &str, metric: &'static str, values: &[f64]) {
    let unit = match metric {
        "seconds" | "seconds_wall" => "s",
        "microseconds" => "µs",
        "megabytes" => "MB",
        _ => "bytes a row",
    };
    report.push(Figure {
        case: case.to_owned(),
        subject: subject.to_owned(),
        metric,
        unit,
        better: Better::Lower,
        detail: metric == "megabytes",
        series: values.iter().copied().collect(),
    });
}

/// Runs everything: five steps on the largest size, one column at every size.
pub(crate) fn run(sizes: &[usize], rounds: usize, report: &mut Report) -> Result<()> {
    let largest = sizes.iter().copied().max().unwrap_or(500_000);
    for size in sizes {
        let rows = rows(*size);
        let mut took = Vec::new();
        for _ in 0..rounds {
            let (db, lineage) = open(&rows)?;
            let lineage = lineage.then(one_column())?;
            let stopwatch = Stopwatch::start();
            migrate(&db, &lineage, 2, &mut |_, _, _| true)?;
            took.push(stopwatch.elapsed().processor.as_secs_f64() * 1e6);
            let table = db.collection("customers")?;
            let last = table
                .get(i64::try_from(*size)? - 1)
                .and_then(|row| row.get(COLUMNS).cloned());
            if last != Some(Value::from("en")) {
                return Err(format!("the new column holds {last:?}").into());
            }
        }
        push(
            report,
            &format!("additive@{size}"),
            OURS,
            "microseconds",
            &took,
        );
        let sqlite = (0..rounds)
            .map(|_| sqlite_additive(&rows))
            .collect::<Result<Vec<_>>>()?;
        push(
            report,
            &format!("additive@{size}"),
            SQLITE,
            "microseconds",
            &sqlite,
        );
    }
    five(
        &rows(largest),
        &format!("five-steps@{largest}"),
        rounds,
        report,
    )
}

fn five(rows: &[Vec<Value>], case: &str, rounds: usize, report: &mut Report) -> Result<()> {
    let (mut processor, mut wall, mut peak) = (Vec::new(), Vec::new(), Vec::new());
    let mut sum = None;
    for _ in 0..rounds {
        let (db, lineage) = open(rows)?;
        let lineage = lineage.then(five_steps())?;
        let mut elapsed = None;
        let (done, bytes) = peak_bytes_of(|| {
            let stopwatch = Stopwatch::start();
            let done = migrate(&db, &lineage, 2, &mut |_, _, _| true);
            elapsed = Some(stopwatch.elapsed());
            done
        });
        done?;
        let elapsed = elapsed.unwrap_or_default();
        processor.push(elapsed.processor.as_secs_f64());
        wall.push(elapsed.wall.as_secs_f64());
        peak.push(bytes as f64 / rows.len() as f64);
        let migrated = db.collection("customers")?;
        check(&migrated, rows)?;
        let expected = match sum {
            Some(sum) => sum,
            None => *sum.insert(expected_digest(&migrated.schema(), rows)?),
        };
        if digest(&db)? != expected {
            return Err("the digest of the rows is not that of the rows as they are to be".into());
        }
    }
    push(report, case, OURS, "seconds", &processor);
    push(report, case, OURS, "seconds_wall", &wall);
    push(report, case, OURS, "bytes_per_row_beside", &peak);
    let sqlite = (0..rounds)
        .map(|_| sqlite_five(rows))
        .collect::<Result<Vec<_>>>()?;
    push(report, case, SQLITE, "seconds", &sqlite);
    let bytes = json_bytes(rows)?;
    push(report, case, OURS, "megabytes", &[bytes as f64 / 1e6]);
    Ok(())
}

/// Bytes of the rows as JSON lines: an object with the names of the columns for each row.
fn json_bytes(rows: &[Vec<Value>]) -> Result<usize> {
    let schema = customers()?;
    let mut bytes = 0;
    let mut line = Vec::new();
    for row in rows {
        line.clear();
        for (field, value) in schema.fields.iter().zip(row) {
            line.push(if line.is_empty() { b'{' } else { b',' });
            Format::Json.encode_value(&Value::from(field.name.as_str()), &mut line)?;
            line.push(b':');
            Format::Json.encode_value(value, &mut line)?;
        }
        line.extend(b"}\n");
        bytes += line.len();
    }
    Ok(bytes)
}

fn sqlite_open(rows: &[Vec<Value>]) -> Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, phone TEXT, street TEXT NOT NULL,
         town TEXT NOT NULL, visits INTEGER NOT NULL, spent REAL NOT NULL, note TEXT NOT NULL);
         CREATE INDEX by_email ON customers (email); BEGIN",
    )?;
    {
        let mut insert =
            connection.prepare("INSERT INTO customers VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?;
        for row in rows {
            let values = row.iter().map(|value| match value {
                Value::Int(value) => rusqlite::types::Value::Integer(*value),
                Value::Float(value) => rusqlite::types::Value::Real(*value),
                Value::Text(text) => rusqlite::types::Value::Text(text.to_string()),
                _ => rusqlite::types::Value::Null,
            });
            insert.execute(rusqlite::params_from_iter(values))?;
        }
    }
    connection.execute_batch("COMMIT")?;
    Ok(connection)
}

fn sqlite_additive(rows: &[Vec<Value>]) -> Result<f64> {
    let connection = sqlite_open(rows)?;
    let stopwatch = Stopwatch::start();
    connection
        .execute_batch("ALTER TABLE customers ADD COLUMN language TEXT NOT NULL DEFAULT 'en'")?;
    Ok(stopwatch.elapsed().processor.as_secs_f64() * 1e6)
}

fn sqlite_five(rows: &[Vec<Value>]) -> Result<f64> {
    let connection = sqlite_open(rows)?;
    let stopwatch = Stopwatch::start();
    connection.execute_batch(
        "BEGIN;
         CREATE TABLE made (id INTEGER PRIMARY KEY, first TEXT NOT NULL, last TEXT, email TEXT NOT NULL, mobile TEXT,
             address TEXT NOT NULL, visits TEXT NOT NULL, spent REAL NOT NULL, note TEXT NOT NULL, level INTEGER NOT NULL DEFAULT 1);
         INSERT INTO made SELECT id,
             CASE instr(name, ' ') WHEN 0 THEN name ELSE substr(name, 1, instr(name, ' ') - 1) END,
             CASE instr(name, ' ') WHEN 0 THEN NULL ELSE substr(name, instr(name, ' ') + 1) END,
             email, phone, street || ', ' || town, CAST(visits AS TEXT), spent, note, 1 FROM customers;
         DROP TABLE customers;
         ALTER TABLE made RENAME TO customers;
         CREATE INDEX by_email ON customers (email);
         COMMIT",
    )?;
    let seconds = stopwatch.elapsed().processor.as_secs_f64();
    let mut select = connection.prepare("SELECT * FROM customers WHERE id = ?1")?;
    for row in rows {
        let id = row.first().and_then(Value::as_int).unwrap_or_default();
        let same = select.query_row([id], |found| {
            let mut same = true;
            for (at, expected) in expected(row).iter().enumerate() {
                let found: rusqlite::types::Value = found.get(at)?;
                same &= match (expected, found) {
                    (Value::Int(a), rusqlite::types::Value::Integer(b)) => *a == b,
                    (Value::Float(a), rusqlite::types::Value::Real(b)) => {
                        a.to_bits() == b.to_bits()
                    }
                    (Value::Text(a), rusqlite::types::Value::Text(b)) => a.as_str() == b,
                    (Value::Null, rusqlite::types::Value::Null) => true,
                    _ => false,
                };
            }
            Ok(same)
        })?;
        if !same {
            return Err(format!("row {id} came out of SQLite otherwise").into());
        }
    }
    Ok(seconds)
}
