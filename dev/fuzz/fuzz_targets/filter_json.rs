//! JSON to a filter: never panics, prints as text that reads back, and finds the same rows planned or not.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::decoders::filter_json(data));
