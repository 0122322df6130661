//! Transformations against scikit-learn: what `testdata/make_transforms.py` wrote down.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use vectordb::transform::{
    Binner, ColumnPlan, Cycle, DatePart, DateParts, Encoder, Encoding, Filling, Hasher, Imputer,
    Matrix, MissingText, Norm, Normalizer, Polynomial, Power, QuantileMap, RoutePlan, Scaler,
    ScalerFit, Scaling, Smoothing, SourcePlan, StepPlan, Steps, Unknown,
};

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

#[track_caller]
fn near(found: &[f64], expected: &[f64], bound: f64, case: &Value) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        let error = (a - b).abs();
        assert!(
            error <= bound * b.abs().max(1.0) || a.is_nan() && b.is_nan(),
            "{a:?} for {b:?} in {}",
            case["kind"]
        );
    }
}

#[test]
fn missing_numbers_are_filled_and_marked() {
    for case in cases("impute") {
        let (fit, columns) = sample(&case);
        let imputer = Imputer::fit(options(&case), Matrix::new(&fit, columns).unwrap()).unwrap();
        let mut made = Vec::new();
        for row in wide(&case["rows"]).chunks_mut(columns) {
            let mut marks = vec![0.0; columns];
            imputer.indicate(row, &mut marks).unwrap();
            imputer.transform(row).unwrap();
            made.extend_from_slice(row);
            made.extend(marks);
        }
        if case["options"] == "mean" {
            near(&made, &wide(&case["out"]), 1e-12, &case);
        } else {
            same(&made, &wide(&case["out"]), &case);
        }
    }
}

#[test]
fn numbers_fall_into_the_same_bins() {
    for case in cases("bin") {
        let (fit, columns) = sample(&case);
        let matrix = Matrix::new(&fit, columns).unwrap();
        let binner = Binner::fit(options(&case), count(&case["bins"]), matrix).unwrap();
        for (found, expected) in binner.edges().iter().zip(case["edges"].as_array().unwrap()) {
            same(found, &wide(expected), &case);
        }
        let mut rows = wide(&case["rows"]);
        binner.transform(&mut rows).unwrap();
        same(&rows, &wide(&case["out"]), &case);
        binner.inverse(&mut rows).unwrap();
        same(&rows, &wide(&case["inverse"]), &case);
    }
}

#[test]
fn ranks_are_the_same() {
    for case in cases("quantile") {
        let (fit, columns) = sample(&case);
        let matrix = Matrix::new(&fit, columns).unwrap();
        let map = QuantileMap::fit(count(&case["quantiles"]), matrix).unwrap();
        let mut rows = wide(&case["rows"]);
        map.transform(&mut rows).unwrap();
        near(&rows, &wide(&case["out"]), 1e-12, &case);
        map.inverse(&mut rows).unwrap();
        near(&rows, &wide(&case["inverse"]), 1e-12, &case);
    }
}

#[test]
fn powers_agree_given_the_exponents_and_find_these() {
    for case in cases("power") {
        let (fit, columns) = sample(&case);
        let fitted = Power::fit(options(&case), Matrix::new(&fit, columns).unwrap()).unwrap();
        let lambdas = wide(&case["lambdas"]);
        near(fitted.lambdas(), &lambdas, 1e-6, &case);
        let power = Power::with_lambdas(options(&case), lambdas).unwrap();
        let mut rows = wide(&case["rows"]);
        power.transform(&mut rows).unwrap();
        near(&rows, &wide(&case["out"]), 1e-12, &case);
        power.inverse(&mut rows).unwrap();
        near(&rows, &wide(&case["inverse"]), 1e-12, &case);
    }
}

#[test]
fn products_come_in_the_same_order() {
    for case in cases("polynomial") {
        let columns = count(&case["columns"]);
        let only = case["interaction_only"].as_bool().unwrap();
        let polynomial = Polynomial::new(columns, count(&case["degree"]), only).unwrap();
        let mut made = Vec::new();
        for row in wide(&case["rows"]).chunks(columns) {
            let mut out = vec![0.0; polynomial.outputs()];
            polynomial.transform_row(row, &mut out).unwrap();
            made.extend(out);
        }
        near(&made, &wide(&case["out"]), 1e-12, &case);
        let inputs: Vec<String> = (0..columns).map(|at| format!("x{at}")).collect();
        assert_eq!(Value::from(polynomial.names(&inputs)), case["names"]);
    }
}

fn texts(value: &Value) -> Vec<Option<&str>> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_str)
        .collect()
}

fn encoded(encoder: &Encoder, case: &Value) -> Vec<f64> {
    let mut made = Vec::new();
    for text in texts(&case["rows"]) {
        let mut out = vec![0.0; encoder.outputs()];
        encoder.transform(text, &mut out).unwrap();
        if text != Some("never seen") && !case["smooth"].is_number() && !case["smooth"].is_string()
        {
            assert_eq!(encoder.inverse(&out), text);
        }
        made.extend(out);
    }
    made
}

#[test]
fn categories_become_the_same_numbers() {
    for (kind, encoding) in [
        ("one_hot", Encoding::OneHot),
        ("ordinal", Encoding::Ordinal),
    ] {
        for case in cases(kind) {
            let fit = texts(&case["fit"]);
            let encoder =
                Encoder::fit(encoding, &fit, Unknown::Ignore, MissingText::Refuse).unwrap();
            same(&encoded(&encoder, &case), &wide(&case["out"]), &case);
        }
    }
    for case in cases("target") {
        let smoothing = case["smooth"]
            .as_f64()
            .map_or(Smoothing::Auto, Smoothing::Rows);
        let (fit, target) = (texts(&case["fit"]), wide(&case["target"]));
        let encoder = Encoder::fit_target(
            &fit,
            &target,
            smoothing,
            Unknown::Ignore,
            MissingText::Refuse,
        )
        .unwrap();
        near(&encoded(&encoder, &case), &wide(&case["out"]), 1e-12, &case);
    }
}

#[test]
fn texts_are_hashed_into_the_same_buckets() {
    for case in cases("hash") {
        let hasher =
            Hasher::new(count(&case["buckets"]), case["signed"].as_bool().unwrap()).unwrap();
        let mut made = Vec::new();
        for row in case["rows"].as_array().unwrap() {
            let mut out = vec![0.0; hasher.outputs()];
            hasher
                .transform(texts(row).into_iter().flatten(), &mut out)
                .unwrap();
            made.extend(out);
        }
        near(&made, &wide(&case["out"]), 0.0, &case);
    }
}

#[test]
fn steps_of_single_precision_stay_single() {
    for case in cases("pipeline_f32") {
        let (fit, columns) = sample(&case);
        let plan = [
            StepPlan::Impute(Filling::Constant(-1.5)),
            StepPlan::Scale(Scaling::STANDARD),
            StepPlan::Normalize(Norm::L2),
        ];
        let steps = Steps::fit(&plan, Matrix::new(&fit, columns).unwrap()).unwrap();
        let rows = narrow(&case["rows"]);
        let mut out = vec![0.0; rows.len()];
        steps
            .transform(Matrix::new(&rows, columns).unwrap(), &mut out)
            .unwrap();
        same_f32(&out, &narrow(&case["out"]), &case);
    }
}

#[test]
fn columns_take_their_routes() {
    let encode = |encoding| SourcePlan::Encode {
        encoding,
        unknown: Unknown::Ignore,
        missing: MissingText::Refuse,
    };
    let median = StepPlan::Impute(Filling::Median);
    let square = StepPlan::Polynomial {
        degree: 2,
        interaction_only: false,
    };
    let numbers = SourcePlan::Numbers;
    let plan = ColumnPlan::new(["a", "b", "c", "d", "e"], ["city", "home"])
        .route(
            RoutePlan::new("scaled", ["b", "c", "d"], numbers.clone())
                .then(median)
                .then(StepPlan::Scale(Scaling::STANDARD)),
        )
        .route(RoutePlan::new(
            "hot",
            ["home", "city"],
            encode(Encoding::OneHot),
        ))
        .route(
            RoutePlan::new("products", ["e", "a"], numbers.clone())
                .then(median)
                .then(square),
        )
        .route(
            RoutePlan::new("order", ["city"], encode(Encoding::Ordinal))
                .then(StepPlan::Scale(Scaling::MIN_MAX)),
        )
        .route(RoutePlan::new("pass", ["a", "b"], numbers));
    for case in cases("columns") {
        let numbers = wide(&case["numbers"]);
        let numbers = Matrix::new(&numbers, 5).unwrap();
        let rows: Vec<_> = case["texts"]
            .as_array()
            .unwrap()
            .iter()
            .map(texts)
            .collect();
        let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<_>>();
        let (city, home) = (column(0), column(1));
        let fitted = plan.fit(numbers, &[&city, &home]).unwrap();
        assert_eq!(Value::from(fitted.output_names()), case["names"]);
        let mut out = vec![0.0; numbers.rows() * fitted.outputs()];
        fitted
            .transform(numbers, &[&city, &home], &mut out)
            .unwrap();
        near(&out, &wide(&case["out"]), 1e-12, &case);
    }
}

#[test]
fn times_have_the_parts_of_pythons_calendar() {
    let cycles = [
        Cycle::Month,
        Cycle::Day,
        Cycle::Weekday,
        Cycle::Hour,
        Cycle::Minute,
        Cycle::DayOfYear,
    ];
    let parts = [
        DatePart::Year,
        DatePart::Month,
        DatePart::Day,
        DatePart::Weekday,
        DatePart::Hour,
        DatePart::Minute,
        DatePart::DayOfYear,
        DatePart::IsWeekend,
    ];
    let turned = cycles
        .into_iter()
        .flat_map(|c| [DatePart::Sine(c), DatePart::Cosine(c)]);
    let utc = DateParts::new(parts.into_iter().chain(turned)).unwrap();
    for case in cases("dates") {
        let minutes = i32::try_from(case["offset"].as_i64().unwrap()).unwrap();
        let dates = utc.clone().with_offset(minutes).unwrap();
        let mut made = Vec::new();
        for time in wide(&case["times"]) {
            let mut out = vec![0.0; dates.outputs()];
            dates.transform(time, &mut out).unwrap();
            made.extend(out);
        }
        near(&made, &wide(&case["out"]), 1e-15, &case);
    }
}
