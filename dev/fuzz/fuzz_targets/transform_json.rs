//! JSON text to fitted steps: never panics, and what is accepted survives being written and read again, and transforms.
#![no_main]

use common::limits::Limits;
use libfuzzer_sys::fuzz_target;
use vectordb::transform::{Matrix, Steps};

fuzz_target!(|text: &str| {
    let limits = Limits::default();
    let Ok(steps) = Steps::from_json(text, &limits) else {
        return;
    };
    let written = steps.to_json().expect("accepted steps can be written");
    let again = Steps::from_json(&written, &limits).expect("what was written can be read");
    assert_eq!(again, steps);
    if steps.columns() > 1000 || steps.outputs() > 10_000 {
        return;
    }
    let row = vec![0.5; steps.columns()];
    let row = Matrix::new(&row, steps.columns()).expect("a whole row");
    let mut out = vec![0.0; steps.outputs()];
    steps
        .transform(row, &mut out)
        .expect("a row of the right width is transformed");
});
