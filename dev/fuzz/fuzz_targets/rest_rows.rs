//! The body of an insertion, or of a change of a row: never panics, and when it is refused nothing is written.
#![no_main]

#[path = "shared/routes.rs"]
mod routes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    routes::check("POST", "/v1/tables/notes/rows", data, true);
    routes::check("PUT", "/v1/tables/notes/rows/7", data, true);
    routes::check("PATCH", "/v1/tables/notes/rows/1", data, true);
});
