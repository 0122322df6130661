//! T40: a log of more than 4 GiB, whose offsets do not fit 32 bits, comes back as it was, and goes on.
//!
//! `TANDEMDB_LOG_BYTES` sets how long it is: less in the gate, and more than 4 GiB in `cargo xtask soak large`.
#![expect(clippy::unwrap_used, reason = "a test stops at a surprise")]

use std::path::Path;
use std::time::Instant;

use common::row;
use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::{Rng as _, SeededRng};
use durable::{Durability, DurableDatabase, DurableOptions};

const ROW_BYTES: usize = 1 << 20;
const ROWS: u64 = 16;

fn log_bytes() -> u64 {
    let said = std::env::var("TANDEMDB_LOG_BYTES").ok();
    said.map_or(64 << 20, |bytes| bytes.parse().unwrap())
}

fn open(folder: &Path) -> DurableDatabase {
    // One segment, and all of it is to be read again.
    let mut options = DurableOptions::default()
        .durability(Durability::None)
        .checkpoint_bytes(u64::MAX);
    options.database.retention.changes_max = 4;
    DurableDatabase::open(folder, options).unwrap()
}

/// What row `id` holds after so many writes.
fn content(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; ROW_BYTES];
    SeededRng::new(number).fill(&mut bytes);
    bytes
}

/// Writes rows one after the other, each again and again; returns the number of the next write.
fn write(store: &DurableDatabase, from: u64, until: u64) -> u64 {
    let schema = Schema::build("t", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("bytes", FieldType::Bytes));
    let table = store.database().open_collection(schema.finish().unwrap());
    let table = table.unwrap();
    for number in from..until {
        let id = (number % ROWS).cast_signed();
        let row = row! { "id": id, "bytes": content(number) };
        table.upsert(row).unwrap();
    }
    store.wait(store.database().seq()).unwrap();
    until
}

fn check(store: &DurableDatabase, written: u64) {
    let table = store.database().collection("t").unwrap();
    for number in written - ROWS..written {
        let found = table.get((number % ROWS).cast_signed()).unwrap();
        let bytes = found.values().get(1).and_then(common::Value::as_bytes);
        assert!(
            bytes == Some(content(number).as_slice()),
            "write {number} of {written}"
        );
    }
}

fn longest_file(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    let bytes = files.map(|file| file.unwrap().metadata().unwrap().len());
    bytes.max().unwrap()
}

#[test]
fn t40_a_log_beyond_four_gibibytes_comes_back_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = log_bytes();
    let store = open(folder.path());
    let mut written = write(&store, 0, wanted / ROW_BYTES as u64 + ROWS);
    store.close().unwrap();
    drop(store);
    let bytes = longest_file(folder.path());
    assert!(bytes > wanted, "{bytes}");
    let begun = Instant::now();
    let store = open(folder.path());
    let seconds = begun.elapsed().as_secs_f64();
    check(&store, written);
    // Behind what is there.
    written = write(&store, written, written + ROWS);
    store.close().unwrap();
    drop(store);
    assert!(longest_file(folder.path()) > bytes);
    let store = open(folder.path());
    check(&store, written);
    store.close().unwrap();
    drop(store);
    let found = durable::verify(folder.path()).unwrap();
    assert_eq!(found.torn_bytes, 0);
    println!(r#"SOAK {{"log_bytes":{bytes},"writes":{written},"open_seconds":{seconds:.1}}}"#);
}
