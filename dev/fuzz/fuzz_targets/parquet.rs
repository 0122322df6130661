//! A Parquet file, rows and schema: never more than an error, and what is accepted survives being written and
//! read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    // The library below panics on some input; those panics are caught and made errors, so they do not end the
    // run here either. One that is not caught still does.
    init: std::panic::set_hook(Box::new(|_| {})),
    |data: &[u8]| {
        let limits = testkit::decoders::limits();
        let _ = common::serialization::parquet::infer(data, "kinds", &["id"], &limits);
        testkit::decoders::parquet(data);
    }
);
