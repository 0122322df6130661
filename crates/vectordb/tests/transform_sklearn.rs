//! Transformations against scikit-learn: what `testdata/make_transforms.py` wrote down.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use vectordb::transform::{Matrix, Norm, Normalizer, Scaler, ScalerFit, Scaling};

const FILE: &[u8] = include_bytes!("../../../testdata/transforms.jsonl.zst");

/// The cases of one kind; no kind is without any.
fn cases(kind: &str) -> Vec<Value> {
    let text = zstd::decode_all(FILE).unwrap();
    let lines = text.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
    let all = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let found: Vec<Value> = all.filter(|case| case["kind"] == kind).collect();
    assert!(!found.is_empty(), "{kind}");
    found
}

fn wide(bits: &Value) -> Vec<f64> {
    let digits = bits.as_str().unwrap().as_bytes().chunks(16);
    digits
        .map(|d| u64::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
        .map(f64::from_bits)
        .collect()
}

fn narrow(bits: &Value) -> Vec<f32> {
    let digits = bits.as_str().unwrap().as_bytes().chunks(8);
    digits
        .map(|d| u32::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
        .map(f32::from_bits)
        .collect()
}

/// The training data of a case: of its own, or one of those with a name.
fn sample(case: &Value) -> (Vec<f64>, usize) {
    let all = cases("sample");
    let of = all
        .iter()
        .find(|s| s["name"] == case["sample"])
        .unwrap_or(case);
    (wide(&of["fit"]), count(&of["columns"]))
}

fn count(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn options<T: serde::de::DeserializeOwned>(case: &Value) -> T {
    serde_json::from_value(case["options"].clone()).unwrap()
}

/// Equal to the bit; any NaN equals any.
#[track_caller]
fn same(found: &[f64], expected: &[f64], case: &Value) {
    assert_eq!(found.len(), expected.len());
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        let equal = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert!(
            equal,
            "{at}: {a:?} for {b:?} in {} {} {}",
            case["kind"], case["sample"], case["options"]
        );
    }
}

#[track_caller]
fn same_f32(found: &[f32], expected: &[f32], case: &Value) {
    let widen = |numbers: &[f32]| numbers.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    same(&widen(found), &widen(expected), case);
}

#[test]
fn scalers_fit_transform_and_invert_to_the_bit() {
    for case in cases("scale") {
        let (fit, columns) = sample(&case);
        let scaling: Scaling = options(&case);
        let scaler = Scaler::fit(scaling, Matrix::new(&fit, columns).unwrap()).unwrap();
        same(scaler.scale(), &wide(&case["scale"]), &case);
        if !matches!(scaling, Scaling::Standard { centre: false, .. }) {
            same(scaler.offset(), &wide(&case["offset"]), &case);
        }
        let mut rows = wide(&case["rows"]);
        scaler.transform(&mut rows).unwrap();
        same(&rows, &wide(&case["out"]), &case);
        scaler.inverse(&mut rows).unwrap();
        same(&rows, &wide(&case["inverse"]), &case);
    }
}

#[test]
fn single_precision_is_fitted_in_double_and_stays_single() {
    for case in cases("scale_f32") {
        let (fit, columns) = sample(&case);
        #[expect(clippy::cast_possible_truncation, reason = "what the script does too")]
        let fit: Vec<f32> = fit.into_iter().map(|x| x as f32).collect();
        let scaler = Scaler::fit(options(&case), Matrix::new(&fit, columns).unwrap()).unwrap();
        let mut rows = narrow(&case["rows"]);
        scaler.transform(&mut rows).unwrap();
        same_f32(&rows, &narrow(&case["out"]), &case);
    }
}

#[test]
fn batches_are_combined_to_the_bit() {
    for case in cases("partial") {
        let (rows, columns) = sample(&case);
        let mut fit = ScalerFit::new(Scaling::STANDARD, columns).unwrap();
        for batch in rows.chunks(count(&case["batch"]) * columns) {
            fit.partial_fit(Matrix::new(batch, columns).unwrap())
                .unwrap();
        }
        let scaler = fit.finish().unwrap();
        same(scaler.offset(), &wide(&case["offset"]), &case);
        same(scaler.scale(), &wide(&case["scale"]), &case);
    }
}

#[test]
fn rows_are_normalised_to_the_bit() {
    let normalizer = |case: &Value| {
        let norm: Norm = serde_json::from_value(case["norm"].clone()).unwrap();
        Normalizer::new(norm, count(&case["columns"]))
    };
    for case in cases("norm") {
        let mut rows = wide(&case["rows"]);
        normalizer(&case).transform(&mut rows).unwrap();
        same(&rows, &wide(&case["out"]), &case);
    }
    for case in cases("norm_f32") {
        let mut rows = narrow(&case["rows"]);
        normalizer(&case).transform(&mut rows).unwrap();
        same_f32(&rows, &narrow(&case["out"]), &case);
    }
}
