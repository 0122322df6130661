//! Compressed frames: see `testkit::decoders::compression_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::decoders::compression_frame(data));
