//! Frames of the sync protocol: never a panic, and what is accepted survives being written and read again.
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
    if let Ok(first) = wire::decode_request(data, &limits()) {
        let bytes = wire::encode_request(&first).expect("what was read can be written");
        let second = wire::decode_request(&bytes, &roomy).expect("what was written can be read");
        assert_eq!(first, second);
    }
    if let Ok(first) = wire::decode_answer(data, &limits()) {
        let bytes = wire::encode_answer(&first).expect("what was read can be written");
        let second = wire::decode_answer(&bytes, &roomy).expect("what was written can be read");
        assert_eq!(first, second);
    }
    if let Ok(first) = wire::decode_blocks(data, &limits()) {
        let bytes = wire::encode_blocks(&first).expect("what was read can be written");
        let second = wire::decode_blocks(&bytes, &roomy).expect("what was written can be read");
        assert_eq!(first, second);
    }
});
