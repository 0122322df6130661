//! A JSON Web Key Set: never panics, and has no more keys than it may.
#![no_main]

use libfuzzer_sys::fuzz_target;
use server::auth::KeySet;

fuzz_target!(|data: &[u8]| {
    if let Ok(keys) = KeySet::from_jwks(data, 1 << 20) {
        assert!(keys.len() <= 256);
    }
});
