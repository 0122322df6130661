//! JSON text to a `Value`: never panics, and what is accepted survives being written and read again.
#![no_main]

use common::Value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let written = serde_json::to_vec(&value).expect("an accepted value can be written");
    let again: Value = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, value);
    assert_eq!(again.kind(), value.kind());
});
