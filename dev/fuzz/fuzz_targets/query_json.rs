//! JSON to a query: never panics, neither read nor run on a small database.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::decoders::query_json(data));
