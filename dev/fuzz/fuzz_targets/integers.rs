//! Packed integers and bitmaps: see `testkit::decoders::integers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::decoders::integers(data));
