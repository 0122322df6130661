//! The body of a question: never panics, and writes nothing.
#![no_main]

#[path = "shared/routes.rs"]
mod routes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    routes::check("POST", "/v1/tables/notes/query", data, false);
});
