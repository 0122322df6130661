//! JSON of experiments and of assignments: never a panic, and what is accepted compiles, assigns and reads back as it was.
#![no_main]

use common::Limits;
use libfuzzer_sys::fuzz_target;
use vectordb::experiment::{Assignment, Experiment};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().total_bytes_max(1 << 20);
    if let Ok(experiment) = Experiment::from_json(data, &limits) {
        let json = experiment.to_json().expect("what was read can be written");
        let again = Experiment::from_json(&json, &Limits::default()).expect("and read again");
        assert_eq!(again, experiment);
        if let Ok(plan) = experiment.compile(None) {
            let variants = plan
                .assign_all(&["1", "ü", ""])
                .expect("there is no target");
            for variant in variants {
                assert!(variant == u8::MAX || usize::from(variant) < experiment.variants.len());
            }
            assert_eq!(plan.change_to(&plan).expect("the same hash").moves, 0.0);
        }
    }
    if let Ok(assignment) = Assignment::from_json(data, &limits) {
        let json = assignment.to_json().expect("what was read can be written");
        assert_eq!(
            Assignment::from_json(&json, &limits).expect("and read again"),
            assignment
        );
    }
});
