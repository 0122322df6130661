//! An Arrow stream: never more than an error, and what is accepted survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The decoder makes errors of the panics in the library below it, so the hook that stops at once has to go;
// a panic that gets as far as here still stops the run.
fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| ())),
    |data: &[u8]| testkit::decoders::arrow(data)
);
