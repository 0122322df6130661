//! JSON text to fitted steps and columns: never panics, and what is accepted survives being written and read again, and
//! transforms.
#![no_main]

use common::limits::Limits;
use libfuzzer_sys::fuzz_target;
use vectordb::transform::{ColumnTransformer, Matrix, Steps, Transformer};

fuzz_target!(|text: &str| {
    let limits = Limits::default();
    let either = Steps::from_json(text, &limits).is_ok()
        || ColumnTransformer::from_json(text, &limits).is_ok();
    assert_eq!(Transformer::from_json(text, &limits).is_ok(), either);
    if let Ok(steps) = Steps::from_json(text, &limits) {
        let written = steps.to_json().expect("accepted steps can be written");
        let again = Steps::from_json(&written, &limits).expect("what was written can be read");
        assert_eq!(again, steps);
        if steps.columns() <= 1000 && steps.outputs() <= 10_000 {
            let row = vec![0.5; steps.columns()];
            let row = Matrix::new(&row, steps.columns()).expect("a whole row");
            let mut out = vec![0.0; steps.outputs()];
            steps
                .transform(row, &mut out)
                .expect("a row of the right width is transformed");
            // Not every step has an inverse.
            let out = Matrix::new(&out, steps.outputs()).expect("a whole row");
            let _ = steps.inverse(out, &mut vec![0.0; steps.columns()]);
        }
    }
    if let Ok(columns) = ColumnTransformer::from_json(text, &limits) {
        let written = columns.to_json().expect("accepted columns can be written");
        let again =
            ColumnTransformer::from_json(&written, &limits).expect("what was written can be read");
        assert_eq!(again, columns);
        if columns.outputs() <= 10_000 {
            let numbers = vec![0.5; columns.numbers().len()];
            let texts = vec![None; columns.texts().len()];
            let mut alone = vec![0.0; columns.outputs()];
            let one = columns.transform_row(&numbers, &texts, &mut alone).is_ok();
            let slices: Vec<&[Option<&str>]> = texts.chunks(1).collect();
            let matrix = Matrix::new(&numbers, numbers.len()).unwrap_or(Matrix::empty(1));
            let mut out = vec![0.0; columns.outputs()];
            assert_eq!(one, columns.transform(matrix, &slices, &mut out).is_ok());
            assert_eq!(columns.output_names().len(), out.len());
            let bits = |all: &[f64]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(!one || bits(&alone) == bits(&out));
            let _ = columns.inverse(Matrix::new(&out, out.len()).expect("a whole row"));
        }
    }
});
