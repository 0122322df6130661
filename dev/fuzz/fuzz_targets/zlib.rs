//! Streams of zlib: read or refused, never longer than allowed, and what was read survives being packed and read again.
#![no_main]

use common::optimization::compression::zlib;

const LIMIT: usize = 1 << 20;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(raw) = zlib::decompress(data, LIMIT) else {
        return;
    };
    assert!(raw.len() <= LIMIT && zlib::looks_packed(data));
    let packed = zlib::compress(&raw, zlib::Level::DEFAULT);
    let again = zlib::decompress(&packed, raw.len()).expect("what was packed is read");
    assert_eq!(again, raw);
});
