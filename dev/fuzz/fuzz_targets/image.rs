//! A snapshot image; its checksums are not looked at here: never more than an error, and what is accepted survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| testkit::decoders::image(data));
