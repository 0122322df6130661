//! The bodies of searches for vectors, of one, many and several as one ranking: never panic, and write nothing.
#![no_main]

#[path = "shared/routes.rs"]
mod routes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for path in ["search", "search/batch", "search/hybrid", "search/explain"] {
        routes::check("POST", &format!("/v1/vectors/places/{path}"), data, false);
    }
});
