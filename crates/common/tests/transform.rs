//! Transformations: every built-in operation against a naive model and the contract, hostile rows, stored
//! forms, and statistics merged from parts.

use std::sync::Arc;

use common::operations::transform::{
    Batch, Expression, Moments, OperationSpec, Pipeline, PipelineSpec, RecordOp, Transform,
};
use common::schema::FieldType;
use common::{ErrorKind, Map, Result, Row, Value, row};
use proptest::prelude::*;

fn built_in() -> Vec<RecordOp> {
    let column = |name: &str| Expression::column(name);
    vec![
        RecordOp::rename("a", "renamed"),
        RecordOp::rename("a", "a"),
        RecordOp::drop(["a", "nowhere"]),
        RecordOp::keep(["b", "nowhere"]),
        RecordOp::cast("a", FieldType::Int),
        RecordOp::cast("a", FieldType::Float),
        RecordOp::cast("b", FieldType::Text),
        RecordOp::cast("b", FieldType::Timestamp),
        RecordOp::constant("c", Value::Null),
        RecordOp::constant("a", f64::NAN),
        RecordOp::copy("a", "b"),
        RecordOp::copy("a", "z"),
        RecordOp::default_if_null("a", 1.0),
        RecordOp::compute("sum", column("a") + column("b")),
        RecordOp::compute("a", -(column("a") * 2 - 0.5) % 7),
        RecordOp::compute("t", Expression::Concatenate(vec![column("a"), "-".into()])),
        RecordOp::lower(["a", "b"]),
        RecordOp::upper(["b"]),
        RecordOp::trim(["a"]),
    ]
}

/// Rows of two columns with every kind of value that an operation might stumble over.
fn samples() -> Vec<Row> {
    let values = [
        Value::Null,
        Value::from(true),
        Value::from(0),
        Value::from(i64::MIN),
        Value::from(i64::MAX),
        Value::from(-0.0),
        Value::from(f64::NAN),
        Value::from(f64::NEG_INFINITY),
        Value::from(f64::MAX),
        Value::from(5e-324),
        Value::from(""),
        Value::from(" Ünï İ\u{2028}ß "),
        Value::from("12"),
        Value::from("1e400"),
        Value::from(vec![0_u8, 255]),
        Value::from(vec![Value::Null]),
        Value::from(vec![1.0_f32, f32::NAN]),
        Value::from(Map::new()),
    ];
    let mut rows = vec![Row::new(), row! { "b": 1 }, row! { "renamed": 1, "a": 2 }];
    for a in &values {
        for b in &values {
            rows.push(row! { "a": a.clone(), "b": b.clone() });
        }
    }
    rows
}

#[test]
fn built_in_operations_keep_the_contract() {
    let registry = RecordOp::registry();
    for operation in built_in() {
        testkit::contract::transform(&operation, &samples(), Row::eq, Some(&registry));
    }
}

#[test]
fn stored_forms_do_not_change() {
    let pipeline = built_in()
        .into_iter()
        .enumerate()
        .try_fold(Pipeline::new(), |pipeline, (i, operation)| {
            pipeline.step(format!("{i}"), operation)
        })
        .unwrap();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/files/v1/pipeline.json"
    );
    let json = serde_json::to_string_pretty(&pipeline.describe()).unwrap() + "\n";
    if std::env::var_os("TANDEMDB_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &json).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        json, golden,
        "a stored pipeline must read the same for ever"
    );
    let spec: PipelineSpec = serde_json::from_str(&golden).unwrap();
    let again = Pipeline::build(&spec, &RecordOp::registry()).unwrap();
    assert_eq!(again.describe(), pipeline.describe());
}

#[test]
fn wrong_descriptions_are_refused() {
    let registry = RecordOp::registry();
    let kind = |name: &str, version: u32, parameters: &str| {
        let spec = OperationSpec {
            name: name.into(),
            version,
            parameters: serde_json::from_str(parameters).unwrap(),
        };
        registry.build(&spec).err().map(|error| error.kind())
    };
    assert_eq!(kind("drop", 1, r#"{"columns":["a"]}"#), None);
    assert_eq!(
        kind("drop", 2, r#"{"columns":["a"]}"#),
        Some(ErrorKind::Unsupported)
    );
    assert_eq!(kind("explode", 1, "null"), Some(ErrorKind::Unsupported));
    for (name, parameters) in [
        ("drop", "null"),
        ("drop", r#"{"columns":"a"}"#),
        ("drop", r#"{"columns":["a"],"also":1}"#),
        ("cast", r#"{"column":"a","to":"complex"}"#),
        ("cast", r#"{"column":"a","to":"bytes"}"#),
        ("compute", r#"{"column":"a","expression":{"power":[]}}"#),
        (
            "compute",
            r#"{"column":"a","expression":{"add":[{"column":"a"}]}}"#,
        ),
    ] {
        assert_eq!(
            kind(name, 1, parameters),
            Some(ErrorKind::Invalid),
            "{name} {parameters}"
        );
    }
    let deep = format!(
        r#"{{"column":"a","expression":{}{{"column":"a"}}{}}}"#,
        r#"{"negate":"#.repeat(64),
        "}".repeat(64)
    );
    assert_eq!(kind("compute", 1, &deep), Some(ErrorKind::LimitExceeded));
}

#[test]
fn a_report_names_the_step_and_the_item_that_was_given() {
    let pipeline = Pipeline::new()
        .step("positive", Positive)
        .unwrap()
        .step("number", RecordOp::cast("a", FieldType::Int))
        .unwrap()
        .step("name", RecordOp::rename("a", "b"))
        .unwrap();
    let outcome = pipeline
        .apply(vec![
            row! { "a": "x" },
            row! { "a": "-5" },
            row! { "a": "1" },
            row! { "a": "2", "b": 0 },
            row! {},
            row! { "a": "3" },
        ])
        .unwrap();
    assert_eq!(outcome.items, [row! { "b": 1 }, row! { "b": 3 }]);
    assert_eq!(outcome.origins, [2, 5]);
    let report: Vec<_> = outcome
        .rejected
        .iter()
        .map(|r| (r.item, r.step.as_str(), r.error.kind()))
        .collect();
    assert_eq!(
        report,
        [
            (0, "number", ErrorKind::Invalid),
            (4, "number", ErrorKind::NotFound),
            (3, "name", ErrorKind::Conflict),
        ]
    );
    assert!(outcome.rejected[0].to_string().contains("column `a`"));
}

/// Leaves out rows whose text begins with a minus sign, without a word.
struct Positive;

impl Transform<Row> for Positive {
    fn name(&self) -> &'static str {
        "test.positive"
    }

    fn apply(&self, batch: &mut Batch<Row>) -> Result<()> {
        batch.retain(|row| {
            row.get("a")
                .and_then(Value::as_text)
                .is_none_or(|text| !text.starts_with('-'))
        });
        Ok(())
    }
}

/// Cannot run at all.
struct Broken;

impl Transform<Row> for Broken {
    fn name(&self) -> &'static str {
        "test.broken"
    }

    fn apply(&self, _: &mut Batch<Row>) -> Result<()> {
        Err(common::Error::closed("the model is not loaded"))
    }
}

#[test]
fn a_step_that_cannot_run_is_named() {
    let pipeline = Pipeline::new()
        .step("model", RecordOp::custom(Broken))
        .unwrap();
    let error = pipeline.apply(vec![row! {}]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(
        error.to_string(),
        "step `model` (test.broken 1): the model is not loaded"
    );
    assert!(pipeline.inverse().is_none());
}

#[test]
fn steps_have_names_of_their_own() {
    let step = |pipeline: Pipeline<Row>, name: &str| pipeline.step(name, Positive);
    let one = step(Pipeline::new(), "a").unwrap();
    assert_eq!(
        step(one.clone(), "a").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(
        step(one.clone(), "").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert!(step(one.clone(), &"n".repeat(128)).is_ok());
    assert_eq!(
        step(one.clone(), &"n".repeat(129)).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    let full = (1..1_024)
        .try_fold(one, |p, i| step(p, &i.to_string()))
        .unwrap();
    assert_eq!(full.len(), 1_024);
    assert_eq!(
        step(full, "b").unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
}

#[test]
fn a_name_is_registered_once() {
    let mut registry = RecordOp::registry();
    assert_eq!(registry.names().count(), 9);
    let taken = registry.register("drop", |_| Ok(Arc::new(Positive)));
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Conflict);
    registry
        .register("test.positive", |_| Ok(Arc::new(Positive)))
        .unwrap();
    assert!(registry.build(&Positive.spec()).is_ok());
}

proptest! {
    /// A batch after any sequence of removals is what filtering a list of pairs gives.
    #[test]
    fn a_batch_is_a_filtered_list(
        values in prop::collection::vec(0_u8..8, 0..40),
        steps in prop::collection::vec((0_u8..8, any::<bool>()), 0..6),
    ) {
        let mut batch = Batch::new(values.clone());
        let mut model: Vec<(usize, u8)> = values.into_iter().enumerate().collect();
        for (out, reject) in steps {
            if reject {
                batch.for_each(|v| {
                    if *v == out { return Err(common::Error::invalid("out")); }
                    *v = (*v + 1) % 8;
                    Ok(())
                });
                model.retain(|(_, v)| *v != out);
                for (_, v) in &mut model {
                    *v = (*v + 1) % 8;
                }
            } else {
                batch.retain(|v| *v != out);
                model.retain(|(_, v)| *v != out);
            }
            let (origins, items): (Vec<_>, Vec<_>) = model.iter().copied().unzip();
            prop_assert_eq!(batch.items(), &items[..]);
            prop_assert_eq!(batch.origins(), &origins[..]);
        }
    }

    /// Any expression of integers agrees with 128-bit arithmetic, or fails where that leaves 64 bits.
    #[test]
    fn integer_arithmetic_is_exact_or_refused(a in any::<i64>(), b in any::<i64>()) {
        let row = row! { "a": a, "b": b };
        let (x, y) = (Expression::column("a"), Expression::column("b"));
        let (wide_a, wide_b) = (i128::from(a), i128::from(b));
        for (expression, exact) in [
            (x.clone() + y.clone(), Some(wide_a + wide_b)),
            (x.clone() - y.clone(), Some(wide_a - wide_b)),
            (x.clone() * y.clone(), Some(wide_a * wide_b)),
            (x % y, wide_a.checked_rem_euclid(wide_b)),
        ] {
            let expect = exact.and_then(|value| i64::try_from(value).ok()).map(Value::Int);
            // i64::MIN % -1 is 0 by mathematics and an overflow by machine; refusing it is allowed.
            if (a, b) == (i64::MIN, -1) { continue; }
            prop_assert_eq!(expression.evaluate(&row).ok(), expect, "{:?}", expression);
        }
    }

    /// Merging the moments of parts gives the moments of the whole: within 1e-12 of a naive two-pass
    /// computation, relative to the spread of the numbers, however the parts are cut.
    #[test]
    fn merged_parts_equal_the_whole(
        values in prop::collection::vec(-1e3..1e3_f64, 1..2_000),
        scale in prop::sample::select(vec![1e-145, 1e-3, 1.0, 1e6, 1e145]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        single in any::<bool>(),
    ) {
        let values: Vec<f64> = values.into_iter().map(|v| v * scale).collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len())).collect();
        ends.push(values.len());
        ends.sort_unstable();
        let mut merged = Moments::new();
        let mut begin = 0;
        for end in ends {
            let mut part = Moments::new();
            if single {
                part = values[begin..end].iter().copied().collect();
            } else {
                part.extend(&values[begin..end]);
            }
            merged.merge(&part);
            begin = end;
        }
        let (mean, variance) = two_pass(&values);
        let spread = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        prop_assert_eq!(merged.count(), values.len() as u64);
        prop_assert!((merged.mean().unwrap() - mean).abs() <= 1e-12 * spread);
        prop_assert!((merged.variance().unwrap() - variance).abs() <= 1e-12 * variance.max(f64::MIN_POSITIVE));
        prop_assert_eq!(merged.min(), values.iter().copied().reduce(f64::min));
        prop_assert_eq!(merged.max(), values.iter().copied().reduce(f64::max));
    }

    /// Values that have no mean are counted and change nothing else, wherever they stand.
    #[test]
    fn what_is_not_finite_is_skipped(
        mut values in prop::collection::vec(-10.0..10.0_f64, 0..600),
        odd in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY])), 0..4),
    ) {
        let plain: Moments = values.iter().copied().collect();
        for (at, value) in &odd {
            let at = at.index(values.len() + 1);
            values.insert(at, *value);
        }
        let single: Moments = values.iter().copied().collect();
        let mut chunks = Moments::new();
        chunks.extend(&values);
        for moments in [single, chunks] {
            prop_assert_eq!(moments.skipped(), odd.len() as u64);
            prop_assert_eq!(moments.count(), plain.count());
            prop_assert_eq!(moments.min(), plain.min());
            if let (Some(a), Some(b)) = (moments.variance(), plain.variance()) {
                prop_assert!((a - b).abs() <= 1e-12 * b.max(1e-12));
            }
        }
    }
}

/// Breaks one law of the contract at a time.
#[derive(Clone, Copy)]
enum Lawless {
    CountsItsCompany,
    InverseForgets,
    ParametersUntold,
}

impl Transform<i64> for Lawless {
    fn name(&self) -> &'static str {
        "test.lawless"
    }

    fn apply(&self, batch: &mut Batch<i64>) -> Result<()> {
        let add = match self {
            Self::CountsItsCompany => i64::try_from(batch.len()).unwrap_or_default(),
            Self::InverseForgets => 1,
            Self::ParametersUntold => 2,
        };
        for n in batch.items_mut() {
            *n += add;
        }
        Ok(())
    }

    fn inverse(&self) -> Option<Arc<dyn Transform<i64>>> {
        matches!(self, Self::InverseForgets).then(|| Arc::new(*self) as _)
    }
}

fn check_lawless(operation: Lawless) {
    let mut registry = common::operations::transform::OperationRegistry::new();
    let fresh = registry.register("test.lawless", |_| Ok(Arc::new(Lawless::InverseForgets)));
    assert!(fresh.is_ok());
    testkit::contract::transform(&operation, &[1, 2], i64::eq, Some(&registry));
}

#[test]
#[should_panic(expected = "item by item")]
fn the_contract_notices_company() {
    check_lawless(Lawless::CountsItsCompany);
}

#[test]
#[should_panic(expected = "the inverse brings 1 back")]
fn the_contract_notices_a_wrong_inverse() {
    check_lawless(Lawless::InverseForgets);
}

#[test]
#[should_panic(expected = "built from its description, it does the same")]
fn the_contract_notices_untold_parameters() {
    check_lawless(Lawless::ParametersUntold);
}

fn two_pass(values: &[f64]) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand values")]
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    // The second term takes out what rounding the mean left (Björck).
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let rest: f64 = values.iter().map(|v| v - mean).sum();
    (mean, (squares - rest * rest / n) / n)
}

#[test]
fn moments_survive_cancellation_and_overflow() {
    // The sum of squares of these is 1e18 n; what is left of a variance of 22.5 would be noise.
    let shifted: Vec<f64> = [4.0, 7.0, 13.0, 16.0]
        .iter()
        .cycle()
        .take(40_000)
        .map(|v| v + 1e9)
        .collect();
    let mut moments = Moments::new();
    moments.extend(&shifted);
    assert!((moments.variance().unwrap() - 22.5).abs() < 22.5e-9);
    let single: Moments = shifted.iter().copied().collect();
    assert!((single.variance().unwrap() - 22.5).abs() < 22.5e-6);

    // Distances beyond the range of floats: an infinite variance is right, a wrong mean is not.
    for push in [true, false] {
        let mut far = Moments::new();
        let values = [f64::MAX, -f64::MAX, f64::MAX, -f64::MAX];
        if push {
            far = values.into_iter().collect();
        } else {
            for value in values {
                far.merge(&[value].into_iter().collect());
            }
        }
        assert!(far.mean().unwrap().abs() <= f64::MAX * 1e-15, "{far:?}");
        assert_eq!(far.variance(), Some(f64::INFINITY));
    }
    let mut large = Moments::new();
    large.extend(&[f64::MAX; 600]);
    assert!((large.mean().unwrap() / f64::MAX - 1.0).abs() < 1e-12);

    assert_eq!(Moments::new().mean(), None);
    assert_eq!(Moments::new().min(), None);
    let one: Moments = [3.0].into_iter().collect();
    assert_eq!((one.variance(), one.sample_variance()), (Some(0.0), None));
    let json = serde_json::to_string(&moments).unwrap();
    assert_eq!(serde_json::from_str::<Moments>(&json).unwrap(), moments);
}
