//! The body of a transaction: never panics, and all of it is written or nothing.
#![no_main]

#[path = "shared/routes.rs"]
mod routes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    routes::check("POST", "/v1/transaction", data, true);
});
