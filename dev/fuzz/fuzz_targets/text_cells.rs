//! Text cells, times and ids: see `testkit::decoders::text_cells`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::decoders::text_cells(data));
