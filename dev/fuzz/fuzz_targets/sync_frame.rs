//! Frames of the sync protocol, also such whose blocks are packed with a shared dictionary: never a panic, and what is
//! accepted survives being written and read again, as bytes and as JSON.
#![no_main]

use std::sync::LazyLock;

use common::Limits;
use common::optimization::compression::Compression;
use common::schema::FieldId;
use libfuzzer_sys::fuzz_target;
use syncdb::sync::protocol::{SentDictionary, WIRE_VERSION};
use syncdb::sync::wire;

/// The dictionary that packed seeds name.
static KNOWN: LazyLock<[SentDictionary; 1]> = LazyLock::new(|| {
    [SentDictionary {
        table: "tasks".into(),
        key_columns: 1,
        fields: vec![FieldId(7)],
        content: include_bytes!("../corpus/sync_frame/dictionary.bin")
            .as_slice()
            .into(),
    }]
});

/// Limits under which frames are fuzzed: small, so that going past them shows.
fn limits() -> Limits {
    Limits::default()
        .total_bytes_max(8 << 20)
        .bytes_max(1 << 20)
}

fn check(frame: &[u8]) {
    // What was read may take more bytes once it is written in full.
    let roomy = limits().total_bytes_max(64 << 20);
    if let Ok(first) = wire::rewrite_with(frame, &limits(), &*KNOWN) {
        let second = wire::rewrite_with(&first, &roomy, &*KNOWN);
        assert_eq!(first, second.expect("what was written can be read"));
    }
    if let Ok(first) = wire::decode(frame, &limits()) {
        let bytes = wire::encode(&first).expect("what was read can be written");
        let second = wire::decode(&bytes, &roomy).expect("what was written can be read");
        assert_eq!(first, second);
        let json = wire::to_json(&bytes, &roomy).expect("what was read can be shown");
        let bytes = wire::from_json(&json, &roomy).expect("what was shown can be read");
        let third = wire::decode(&bytes, &roomy).expect("what was written can be read");
        assert_eq!(first, third);
    }
}

fuzz_target!(|data: &[u8]| {
    check(data);
    // A checksum is nothing that a fuzzer finds, so the same as the content of a sound frame.
    let mut frame = vec![WIRE_VERSION];
    let framed = Compression::None.encode_into(data, &mut frame);
    framed.expect("any bytes can be framed");
    check(&frame);
});
