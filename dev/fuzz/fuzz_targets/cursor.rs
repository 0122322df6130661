//! A token to a cursor: never panics, and an accepted one writes a token that reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::decoders::cursor(data));
