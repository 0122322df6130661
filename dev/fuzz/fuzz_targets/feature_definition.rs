//! JSON of entities and feature views: never a panic, and what is accepted reads back as it was and, where a store takes
//! it, is there unchanged.
#![no_main]

use common::{Database, Limits};
use libfuzzer_sys::fuzz_target;
use vectordb::feature::{Change, Definitions, FeatureStore};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().total_bytes_max(1 << 16);
    let Ok(definitions) = Definitions::from_json(data, &limits) else {
        return;
    };
    let json = definitions.to_json().expect("what was read can be written");
    let again = Definitions::from_json(&json, &Limits::default()).expect("and read again");
    assert_eq!(again, definitions);
    let database = Database::new();
    let store = FeatureStore::open(&database).expect("an empty database takes a store");
    if store.apply(&definitions).is_ok() {
        let applied = store.apply(&definitions).expect("the same again");
        assert!(
            applied
                .views
                .iter()
                .all(|view| view.change == Change::Unchanged)
        );
        drop(store);
        let store = FeatureStore::open(&database).expect("what was applied opens");
        for view in &definitions.views {
            assert_eq!(
                store.view(&view.name).expect("it was applied").definition(),
                view
            );
        }
    }
});
