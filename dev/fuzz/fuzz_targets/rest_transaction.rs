//! The body of a transaction: never panics, and all of it is written or nothing.
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
        routes.check("POST", "/v1/transaction", data, true);
    });
});
