//! A schema as JSON: never more than an error, and what is accepted survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::decoders::schema_json(data));
