//! JSON of migrations and of lineages: never a panic, and what is accepted reads back as it was.
#![no_main]

use common::Limits;
use libfuzzer_sys::fuzz_target;
use syncdb::migration::{Lineage, Migration, Scripts, plan};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().total_bytes_max(1 << 20);
    if let Ok(migration) = Migration::from_json(data, &limits) {
        for step in &migration.steps {
            assert!(!step.to_string().is_empty());
        }
    }
    if let Ok(lineage) = Lineage::from_json(data, &limits, Scripts::default()) {
        let json = lineage.to_json().expect("what was read can be written");
        let roomy = Limits::default();
        let again = Lineage::from_json(&json, &roomy, Scripts::default()).expect("and read again");
        assert_eq!(again.latest().schemas, lineage.latest().schemas);
        let schemas = |lineage: &Lineage| {
            lineage
                .latest()
                .schemas
                .values()
                .cloned()
                .collect::<Vec<_>>()
        };
        let first: Vec<_> = lineage
            .version(1)
            .expect("there is a first")
            .schemas
            .values()
            .cloned()
            .collect();
        assert!(
            plan(&schemas(&lineage), &schemas(&again)).steps.is_empty(),
            "nothing is different"
        );
        // Whatever lies between two versions, it is described.
        let _ = plan(&first, &schemas(&lineage)).to_string();
    }
});
