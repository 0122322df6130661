//! JSON of sync frames: never a panic, and what is accepted is a frame whose JSON reads back.
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
    let roomy = limits().total_bytes_max(64 << 20).depth_max(192);
    if let Ok(frame) = wire::from_json(data, &limits()) {
        let json = wire::to_json(&frame, &roomy).expect("what was read can be written");
        let again = wire::from_json(&json, &roomy).expect("what was written can be read");
        assert_eq!(
            wire::decode(&frame, &roomy).expect("a frame was made"),
            wire::decode(&again, &roomy).expect("a frame was made")
        );
    }
});
