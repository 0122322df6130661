//! Frames of the sync protocol: never a panic, and what is accepted survives being written and read again, as bytes
//! and as JSON.
#![no_main]

use common::Limits;
use libfuzzer_sys::fuzz_target;
use syncdb::sync::wire;

/// Limits under which frames are fuzzed: small, so that going past them shows.
fn limits() -> Limits {
    Limits::default()
        .total_bytes_max(8 << 20)
        .bytes_max(1 << 20)
}

fuzz_target!(|data: &[u8]| {
    // What was read may take more bytes once it is written in full.
    let roomy = limits().total_bytes_max(64 << 20);
    if let Ok(first) = wire::decode(data, &limits()) {
        let bytes = wire::encode(&first).expect("what was read can be written");
        let second = wire::decode(&bytes, &roomy).expect("what was written can be read");
        assert_eq!(first, second);
        let json = wire::to_json(&bytes, &roomy).expect("what was read can be shown");
        let bytes = wire::from_json(&json, &roomy).expect("what was shown can be read");
        let third = wire::decode(&bytes, &roomy).expect("what was written can be read");
        assert_eq!(first, third);
    }
});
