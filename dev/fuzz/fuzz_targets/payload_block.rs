//! Payload blocks: never a panic, and what is accepted survives being packed and read again.
#![no_main]

use std::sync::LazyLock;

use common::Limits;
use libfuzzer_sys::fuzz_target;
use syncdb::payload::{Block, Column, Level, Shared, SharedDictionary, pack, unpack_all};

static KNOWN: LazyLock<SharedDictionary> = LazyLock::new(|| {
    let content = include_bytes!("../corpus/payload_block/dictionary.bin");
    SharedDictionary::read(content, &Limits::default()).expect("it was trained")
});

/// One that also knows what follows what in texts.
static FOLLOWERS: LazyLock<SharedDictionary> = LazyLock::new(|| {
    let content = include_bytes!("../corpus/payload_block/followers_dictionary.bin");
    SharedDictionary::read(content, &Limits::default()).expect("it was trained")
});

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default()
        .total_bytes_max(4 << 20)
        .bytes_max(1 << 20)
        .rows_max(20_000);
    // A shared dictionary is the other thing that comes from outside.
    if data.starts_with(b"TPD1") {
        if let Ok(read) = SharedDictionary::read(data, &limits) {
            assert_eq!(read.content(), data);
            // Whatever it expects of values, others come back as well.
            let numbers = (0..9).map(common::Value::from).collect::<Vec<_>>();
            let texts = ["a", "open", "waiting", ""].map(common::Value::from);
            for values in [&numbers[..], &texts[..]] {
                let shared = Some(Shared::new(&read));
                let block = pack(&[Column::from_values(values)], Level::Fast, shared);
                let block = block.expect("any values can be packed");
                let opened = Block::open(&block, &Limits::default(), shared);
                let opened = opened.expect("what was packed can be opened");
                let column = opened.column(0).expect("what was packed can be read");
                assert_eq!(column.to_values(), values);
            }
        }
        return;
    }
    check(data, &limits, &KNOWN);
    check(data, &limits, &FOLLOWERS);
});

/// A block that needs a dictionary gets `known`.
fn check(data: &[u8], limits: &Limits, known: &SharedDictionary) {
    let mut data = data.to_vec();
    if data.first().is_some_and(|first| first & 1 == 1)
        && let Some(id) = data.get_mut(1..5)
    {
        id.copy_from_slice(&known.id().0);
    }
    let Ok(block) = Block::open(&data, limits, Some(Shared::new(known))) else {
        return;
    };
    for column in 0..block.columns().min(4) {
        let _ = block.column(column);
    }
    if let Ok(columns) = block.decode() {
        let values: Vec<_> = columns.iter().map(Column::to_values).collect();
        let again: Vec<Column> = values.iter().map(|v| Column::from_values(v)).collect();
        let bytes = pack(&again, Level::Fast, None).expect("what was read can be packed");
        let roomy = Limits::default();
        let second = unpack_all(&bytes, &roomy, None).expect("what was packed can be read");
        for (first, second) in values.iter().zip(&second) {
            assert_eq!(first, &second.to_values());
        }
    }
}
