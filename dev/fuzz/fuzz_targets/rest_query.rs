//! The body of a question: never panics, and writes nothing.
#![no_main]

#[path = "shared/routes.rs"]
mod routes;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static ROUTES: RefCell<routes::Routes> = RefCell::new(routes::Routes::new());
}

fuzz_target!(|data: &[u8]| {
    ROUTES.with_borrow_mut(|routes| {
        routes.check("POST", "/v1/tables/notes/query", data, false);
    });
});
