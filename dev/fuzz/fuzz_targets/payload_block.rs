//! Payload blocks: never a panic, and what is accepted survives being packed and read again.
#![no_main]

use common::Limits;
use libfuzzer_sys::fuzz_target;
use syncdb::payload::{Block, Column, Level, SharedDictionary, pack, unpack_all};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default()
        .total_bytes_max(4 << 20)
        .bytes_max(1 << 20)
        .rows_max(20_000);
    // A shared dictionary is the other thing that comes from outside.
    if data.starts_with(b"TPD1") {
        if let Ok(read) = SharedDictionary::read(data, &limits) {
            assert_eq!(read.content(), data);
        }
        return;
    }
    let Ok(block) = Block::open(data, &limits, None) else {
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
});
