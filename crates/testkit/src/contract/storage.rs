//! The contract of a [`Storage`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::storage::{Storage, Write};
use common::{Metadata, Record, RecordId, Seq, Slot, Value};

fn record(key: i64, text: &str, seq: u64) -> Record {
    let metadata = Metadata {
        seq: Seq(seq),
        revision: 1,
        ..Metadata::default()
    };
    Record::new(metadata, 1, vec![Value::from(key), Value::from(text)])
}

fn put(key: i64, text: &str, seq: u64) -> Write {
    Write::Put(record(key, text, seq))
}

fn remove(key: i64) -> Write {
    Write::Remove(RecordId::from(key))
}

fn apply(storage: &dyn Storage, writes: &[Write]) -> Vec<Slot> {
    let mut slots = Vec::new();
    storage.apply(writes, &mut slots).unwrap_or_else(|error| {
        panic!(
            "`{}` refused writes that it must accept: {error}",
            storage.name()
        )
    });
    assert_eq!(
        slots.len(),
        writes.len(),
        "`apply` gives one slot for each write"
    );
    slots
}

/// What a scan visits, in its order.
fn scanned(storage: &dyn Storage) -> Vec<(Slot, Record)> {
    let mut found = Vec::new();
    let scanned = storage.scan(&mut |records| {
        found.extend(records.iter().map(|(slot, record)| (*slot, record.clone())));
        ControlFlow::Continue(())
    });
    assert!(scanned.is_ok(), "a scan of a healthy storage succeeds");
    found
}

fn contents(storage: &dyn Storage) -> BTreeMap<RecordId, (Slot, Record)> {
    let mut found = BTreeMap::new();
    for (slot, record) in scanned(storage) {
        let id = record.id();
        let earlier = found.insert(id.clone(), (slot, record));
        assert!(
            earlier.is_none(),
            "a scan visits each record once, {id} came twice"
        );
    }
    found
}

/// Checks that a storage keeps the promises of [`Storage`]; `open` makes an empty one each time.
///
/// # Panics
/// With the promise that is broken.
pub fn storage(open: impl Fn() -> Box<dyn Storage>) {
    reads_what_was_written(&*open());
    keeps_and_reuses_slots(&*open());
    applies_all_or_nothing(&*open());
    scans_stop_when_told(&*open());
    readers_see_whole_records(&*open());
    agrees_with_a_map(&*open());
}

fn reads_what_was_written(storage: &dyn Storage) {
    assert!(
        storage.is_empty() && contents(storage).is_empty(),
        "`open` gives an empty storage"
    );
    assert!(
        matches!(storage.get(&[Value::from(1)]), Ok(None)),
        "nothing is found in it"
    );
    let slots = apply(storage, &[put(1, "a", 1), put(2, "b", 1)]);
    assert_ne!(slots.first(), slots.last(), "two records have two slots");
    let (slot, found) = match storage.get(&[Value::from(2)]) {
        Ok(Some(found)) => found,
        other => panic!("a record that was put is found, got {other:?}"),
    };
    assert_eq!(
        Some(&slot),
        slots.last(),
        "`get` and `apply` agree on the slot"
    );
    assert_eq!(
        found,
        record(2, "b", 1),
        "the record comes back as it was, metadata included"
    );
    assert_eq!(storage.len(), 2, "`len` counts records");
    let mut records = Vec::new();
    let mut wanted = slots;
    wanted.push(Slot(u32::MAX - 1));
    assert!(
        storage.read(&wanted, &mut records).is_ok(),
        "an unknown slot is no failure"
    );
    assert_eq!(records.len(), 2, "slots without a record are left out");
}

fn keeps_and_reuses_slots(storage: &dyn Storage) {
    let before = apply(storage, &[put(1, "a", 1)]);
    let after = apply(storage, &[put(1, "longer than before", 2)]);
    assert_eq!(before, after, "a replaced record keeps its slot");
    assert_eq!(
        apply(storage, &[remove(1)]),
        before,
        "a removed record's slot is given"
    );
    assert_eq!(storage.len(), 0, "a removed record is gone");
    let mut records = Vec::new();
    assert!(
        storage.read(&before, &mut records).is_ok() && records.is_empty(),
        "also by its slot"
    );
    let one = storage.apply_one(put(3, "c", 3));
    assert!(
        one.is_ok(),
        "`apply_one` does what `apply` does with one write"
    );
    assert_eq!(contents(storage).len(), 1);
}

fn applies_all_or_nothing(storage: &dyn Storage) {
    apply(storage, &[put(1, "a", 1), put(2, "b", 1)]);
    let before = contents(storage);
    let mut slots = Vec::new();
    let failing = [
        put(1, "changed", 2),
        remove(2),
        put(3, "new", 2),
        remove(99),
    ];
    let result = storage.apply(&failing, &mut slots);
    assert!(result.is_err(), "removing a key that is not there fails");
    assert!(slots.is_empty(), "a failed `apply` gives no slots");
    let after = contents(storage);
    let rows = |contents: &BTreeMap<RecordId, (Slot, Record)>| -> Vec<Record> {
        contents
            .values()
            .map(|(_, record)| record.clone())
            .collect()
    };
    assert_eq!(
        rows(&before),
        rows(&after),
        "a failed `apply` changes nothing"
    );
    assert_eq!(storage.len(), 2, "and `len` says so");
}

fn scans_stop_when_told(storage: &dyn Storage) {
    let writes: Vec<Write> = (0..1_000).map(|key| put(key, "x", 1)).collect();
    apply(storage, &writes);
    let mut chunks = 0;
    let scanned = storage.scan(&mut |_| {
        chunks += 1;
        ControlFlow::Break(())
    });
    assert!(scanned.is_ok());
    assert_eq!(chunks, 1, "a scan that is told to stop calls no more");
}

/// Readers on other threads see old or new records, whole, and those that stay, always.
fn readers_see_whole_records(storage: &dyn Storage) {
    let writes: Vec<Write> = (0..200).map(|key| put(key, "generation 0", 1)).collect();
    apply(storage, &writes);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut rounds = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) || rounds == 0 {
                        rounds += 1;
                        let found = scanned(storage);
                        let staying = found.iter().map(|(_, record)| record.id());
                        let staying = staying.filter(|id| *id < RecordId::from(100));
                        let mut staying: Vec<RecordId> = staying.collect();
                        staying.sort();
                        staying.dedup();
                        // Records that go and come again meanwhile may be seen twice, or not at all.
                        let visits = found.iter().filter(|(_, r)| r.id() < RecordId::from(100));
                        assert_eq!(
                            (staying.len(), visits.count()),
                            (100, 100),
                            "a record that stays is in every scan, once"
                        );
                        for (_, record) in &found {
                            let text = record.get(1).and_then(Value::as_text).unwrap_or_default();
                            let expected = format!("generation {}", record.seq().0 - 1);
                            assert_eq!(text, expected, "no record is torn");
                        }
                    }
                })
            })
            .collect();
        for generation in 1..40_u64 {
            let text = format!("generation {generation}");
            for key in 0..100 {
                apply(storage, &[put(key, &text, generation + 1)]);
            }
            let moving: Vec<Write> = (100..200).map(remove).collect();
            apply(storage, &moving);
            let moving: Vec<Write> = (100..200)
                .map(|key| put(key, &text, generation + 1))
                .collect();
            apply(storage, &moving);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().is_ok(), "a reader saw what it must not see");
        }
    });
}

fn agrees_with_a_map(storage: &dyn Storage) {
    // A small generator of its own keeps the run the same everywhere.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut model: BTreeMap<RecordId, Record> = BTreeMap::new();
    for seq in 1..2_000 {
        let key = i64::try_from(next(60)).unwrap_or_default();
        let id = RecordId::from(key);
        if next(3) == 0 && model.contains_key(&id) {
            apply(storage, &[remove(key)]);
            model.remove(&id);
        } else {
            let text = format!("value {}", next(1_000));
            apply(storage, &[put(key, &text, seq)]);
            model.insert(id, record(key, &text, seq));
        }
    }
    let found: Vec<Record> = contents(storage)
        .into_values()
        .map(|(_, record)| record)
        .collect();
    assert!(
        found.iter().eq(model.values()),
        "after 2,000 writes it holds what a map holds"
    );
    assert_eq!(storage.len(), model.len());
}
