//! Fitted steps as data: fused as by themselves, written and read with every bit, nonsense refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::ErrorKind;
use common::limits::Limits;
use proptest::prelude::*;
use vectordb::transform::{
    Binner, Binning, Encoder, EncoderFit, Encoding, Filling, Imputer, ImputerFit, Matrix,
    MissingText, Norm, Normalizer, Polynomial, Power, PowerFamily, QuantileMap, Scaler, ScalerFit,
    Scaling, Smoothing, Step, Steps, Unknown,
};

const GOLDEN: &str = include_str!("../../../testdata/golden/transform_steps.json");
const COLUMNS: usize = 3;

/// One of each kind of step.
fn steps(fit: &[f64]) -> Steps {
    let matrix = Matrix::new(fit, COLUMNS).unwrap();
    let scaler = |scaling| Scaler::fit(scaling, matrix).unwrap();
    let imputer = |filling| Imputer::fit(filling, matrix).unwrap();
    let order = vec![
        Step::Impute(imputer(Filling::Median)),
        Step::Clip {
            low: -1e6,
            high: 1e6,
        },
        Step::Scale(scaler(Scaling::STANDARD)),
        Step::Scale(scaler(Scaling::MIN_MAX)),
        Step::Scale(scaler(Scaling::MaxAbs)),
        Step::Scale(scaler(Scaling::ROBUST)),
        Step::Power(Power::fit(PowerFamily::YeoJohnson, matrix).unwrap()),
        Step::Log1p,
        Step::ImputeAndMark(imputer(Filling::Constant(-0.0))),
        Step::Normalize(Normalizer::new(Norm::L2, 2 * COLUMNS)),
        Step::Polynomial(Polynomial::new(2 * COLUMNS, 2, false).unwrap()),
    ];
    Steps::new(COLUMNS, order).unwrap()
}

fn numbers(rows: usize) -> Vec<f64> {
    let all = 0..rows * COLUMNS;
    all.map(|at| (f64::from(u32::try_from(at).unwrap()) * 0.7).sin() * 20.0 + 1.0 / 3.0)
        .collect()
}

#[test]
fn many_rows_become_what_each_becomes_alone() {
    let data = numbers(2000);
    let matrix = Matrix::new(&data, COLUMNS).unwrap();
    let narrow = Steps::new(
        COLUMNS,
        vec![
            Step::Scale(Scaler::fit(Scaling::STANDARD, matrix).unwrap()),
            Step::Quantile(QuantileMap::fit(10, matrix).unwrap()),
            Step::Bin(Binner::fit(Binning::Quantile, 4, matrix).unwrap()),
        ],
    )
    .unwrap();
    for steps in [narrow, steps(&data)] {
        let mut all = vec![0.0; matrix.rows() * steps.outputs()];
        steps.transform(matrix, &mut all).unwrap();
        for (row, together) in matrix.iter().zip(all.chunks(steps.outputs())) {
            let mut alone = vec![0.0; steps.outputs()];
            let row = Matrix::new(row, COLUMNS).unwrap();
            steps.transform(row, &mut alone).unwrap();
            assert_eq!(alone, together);
        }
    }
}

#[test]
fn rows_become_the_same_in_place_from_a_wider_table_and_one_by_one() {
    let data = numbers(700);
    let matrix = Matrix::new(&data, COLUMNS).unwrap();
    let scale = |scaling| Step::Scale(Scaler::fit(scaling, matrix).unwrap());
    let fill = Step::Impute(Imputer::fit(Filling::Mean, matrix).unwrap());
    let clip = Step::Clip {
        low: -0.5,
        high: 0.5,
    };
    for order in [
        vec![],
        vec![scale(Scaling::STANDARD)],
        vec![clip.clone(), scale(Scaling::MIN_MAX)],
        vec![Step::Log1p, fill.clone(), scale(Scaling::ROBUST), clip],
        vec![fill, Step::Normalize(Normalizer::new(Norm::L2, COLUMNS))],
    ] {
        let steps = Steps::new(COLUMNS, order).unwrap();
        let mut expected = data.clone();
        for row in expected.chunks_mut(COLUMNS) {
            let alone = |step: &Step| Steps::new(COLUMNS, vec![step.clone()]).unwrap();
            for step in steps.steps() {
                alone(step).transform_in_place(row).unwrap();
            }
        }
        let bits = |all: &[f64]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let expected = bits(&expected);

        let mut in_place = data.clone();
        steps.transform_in_place(&mut in_place).unwrap();
        assert_eq!(bits(&in_place), expected);

        let wider: Vec<f64> = (data.chunks(COLUMNS))
            .flat_map(|row| [row, &[7.0, f64::NAN]].concat())
            .collect();
        let wider = Matrix::with_stride(&wider, 700, COLUMNS, COLUMNS + 2).unwrap();
        let mut out = vec![0.0; data.len()];
        steps.transform(wider, &mut out).unwrap();
        assert_eq!(bits(&out), expected);

        let rows = out.chunks_mut(COLUMNS).zip(data.chunks(COLUMNS));
        rows.for_each(|(to, row)| steps.transform_row(row, to).unwrap());
        assert_eq!(bits(&out), expected);
    }
}

#[test]
fn what_has_no_inverse_is_named() {
    let ask = |order| {
        let steps = Steps::new(1, order).unwrap();
        let error = steps.inverse(Matrix::new(&[9.0], 1).unwrap(), &mut [0.0]);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    let fit = Matrix::new(&[1.0, 5.0], 1).unwrap();
    let fill = Step::Impute(Imputer::fit(Filling::Mean, fit).unwrap());
    let norm = Step::Normalize(Normalizer::new(Norm::L2, 1));
    let bins = Step::Bin(Binner::fit(Binning::Uniform, 4, fit).unwrap());
    let clip = Step::Clip {
        low: 0.0,
        high: 1.0,
    };
    assert!(ask(vec![fill, Step::Log1p]).starts_with("step 0, impute: it has no inverse"));
    assert!(ask(vec![Step::Log1p, norm]).starts_with("step 1, normalize: it has no inverse"));
    assert!(ask(vec![clip]).starts_with("step 0, clip: it has no inverse"));
    assert!(ask(vec![bins]).contains("row 0, column 0 is 9, which is none of its 4 intervals"));
}

#[test]
fn steps_of_an_earlier_day_are_read() {
    let golden = Steps::from_json(GOLDEN, &Limits::default()).unwrap();
    assert_eq!(golden.to_json().unwrap(), GOLDEN.trim_end());
    assert_eq!(
        golden.version().unwrap(),
        "7b3b14ffb16f2c551b3dd60bb6e04190"
    );
}

#[test]
fn nonsense_is_refused() {
    let read = |text: &str| {
        Steps::from_json(text, &Limits::default())
            .unwrap_err()
            .kind()
    };
    let of = |steps: &str| read(&format!(r#"{{"schema":1,"columns":1,"steps":[{steps}]}}"#));
    assert_eq!(read(""), ErrorKind::Corrupt);
    assert_eq!(read(r#"{"schema":2}"#), ErrorKind::Unsupported);
    assert_eq!(
        read(r#"{"schema":1,"columns":0,"steps":[]}"#),
        ErrorKind::Corrupt
    );
    assert_eq!(
        read(r#"{"schema":1,"columns":99999999,"steps":[]}"#),
        ErrorKind::LimitExceeded
    );
    for step in [
        r#"{"scale":{"scaling":"max_abs","offset":[0],"scale":[0]}}"#,
        r#"{"scale":{"scaling":"max_abs","offset":[0],"scale":[1,2]}}"#,
        r#"{"scale":{"scaling":"max_abs","offset":[1e999],"scale":[1]}}"#,
        r#"{"bin":{"binning":"uniform","edges":[[2,1]]}}"#,
        r#"{"quantile":{"quantiles":[[1]]}}"#,
        r#"{"polynomial":{"columns":1,"degree":99,"interaction_only":false}}"#,
        r#"{"clip":{"low":2,"high":1}}"#,
        r#"{"normalize":{"norm":"l2","columns":2}}"#,
        r#"{"impute":{"filling":"mean","values":[null]}}"#,
        r#""reticulate""#,
    ] {
        assert_eq!(of(step), ErrorKind::Corrupt, "{step}");
    }
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let fit = |data: &[f64]| {
        let error = Scaler::fit(Scaling::STANDARD, Matrix::new(data, 2).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    assert!(fit(&[1.0, 2.0, f64::INFINITY, 4.0]).starts_with("row 1, column 0 is infinite"));
    assert!(fit(&[1.0, f64::NAN]).starts_with("column 1 has no value"));
    assert!(fit(&[]).starts_with("column 0 has no value"));
    let matrix = Matrix::new(&[1.0, 0.0], 1).unwrap();
    let error = Power::fit(PowerFamily::BoxCox, matrix).unwrap_err();
    assert!(error.to_string().starts_with("column 0 has the value 0"));
}

#[test]
fn texts_without_a_category_follow_the_policy() {
    let ask = |text, unknown, missing| {
        let texts = [Some("a"), Some("b"), Some("a")];
        let smoothing = Smoothing::Rows(0.0);
        let ordinal = Encoder::fit(Encoding::Ordinal, &texts, unknown, missing).unwrap();
        let target =
            Encoder::fit_target(&texts, &[1.0, 4.0, 4.0], smoothing, unknown, missing).unwrap();
        let mut out = [7.0; 2];
        let (first, second) = out.split_at_mut(1);
        let done = ordinal
            .transform(text, first)
            .and(target.transform(text, second));
        done.map(|()| out).map_err(|e| e.kind())
    };
    let (refused, ignored) = (Err(ErrorKind::Invalid), Ok([-1.0, 3.0]));
    assert_eq!(
        ask(Some("c"), Unknown::Refuse, MissingText::Ignore),
        refused
    );
    assert_eq!(
        ask(Some("c"), Unknown::Ignore, MissingText::Refuse),
        ignored
    );
    assert_eq!(ask(None, Unknown::Ignore, MissingText::Refuse), refused);
    assert_eq!(ask(None, Unknown::Refuse, MissingText::Ignore), ignored);
    let missing = |made: Result<[f64; 2], _>| made.unwrap().iter().all(|x| x.is_nan());
    assert!(missing(ask(
        Some("c"),
        Unknown::Missing,
        MissingText::Refuse
    )));
    assert!(missing(ask(None, Unknown::Refuse, MissingText::Missing)));
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![6 => -1e9..1e9, 1 => Just(f64::NAN), 1 => Just(0.1), 1 => -1e-9..1e-9]
}

fn table() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(number(), COLUMNS..90).prop_map(|mut data| {
        data.truncate(data.len() / COLUMNS * COLUMNS);
        // No column is without a value.
        data.extend([1.0, 2.0, 3.0]);
        data
    })
}

proptest! {
    #[test]
    fn written_steps_are_read_bit_by_bit(data in table()) {
        let steps = steps(&data);
        let text = steps.to_json().unwrap();
        let again = Steps::from_json(&text, &Limits::default()).unwrap();
        prop_assert_eq!(again.to_json().unwrap(), text);
        prop_assert_eq!(again.version().unwrap(), steps.version().unwrap());
        prop_assert_eq!(again, steps);
    }

    #[test]
    fn merged_fits_are_one_fit(data in table(), at in 0_usize..30) {
        let (left, right) = data.split_at((at * COLUMNS).min(data.len()));
        for scaling in [Scaling::STANDARD, Scaling::MIN_MAX, Scaling::MaxAbs, Scaling::ROBUST] {
            let fit = |data: &[f64]| {
                let mut fit = ScalerFit::new(scaling, COLUMNS).unwrap();
                fit.partial_fit(Matrix::new(data, COLUMNS).unwrap()).unwrap();
                fit
            };
            let mut merged = fit(left);
            merged.merge(&fit(right)).unwrap();
            let whole = fit(&data);
            prop_assert_eq!(merged.counts(), whole.counts());
            let (merged, whole) = (merged.finish().unwrap(), whole.finish().unwrap());
            let largest = data.iter().fold(1.0_f64, |max, x| max.max(x.abs()));
            for (a, b) in merged.offset().iter().zip(whole.offset()) {
                prop_assert!((a - b).abs() <= 1e-12 * largest.max(b.abs()), "{} {}", a, b);
            }
        }
    }

    #[test]
    fn merged_imputers_and_categories_are_one_fit(data in table(), at in 0_usize..30) {
        let (left, right) = data.split_at((at * COLUMNS).min(data.len()));
        for filling in [Filling::Mean, Filling::Median, Filling::MostFrequent, Filling::Constant(2.5)] {
            let fit = |data: &[f64]| {
                let mut fit = ImputerFit::new(filling, COLUMNS).unwrap();
                fit.partial_fit(Matrix::new(data, COLUMNS).unwrap()).unwrap();
                fit
            };
            let mut merged = fit(left);
            merged.merge(&fit(right)).unwrap();
            let (merged, whole) = (merged.finish().unwrap(), fit(&data).finish().unwrap());
            let largest = data.iter().fold(1.0_f64, |max, x| max.max(x.abs()));
            let bound = if filling == Filling::Mean { 1e-12 * largest } else { 0.0 };
            for (a, b) in merged.values().iter().zip(whole.values()) {
                prop_assert!((a - b).abs() <= bound, "{} {}", a, b);
            }
        }
        let texts: Vec<String> = data.iter().map(|x| format!("{:.0}", x % 7.0)).collect();
        let texts: Vec<Option<&str>> = texts.iter().map(|t| Some(t.as_str()).filter(|t| *t != "NaN")).collect();
        let fit = |texts: &[Option<&str>]| {
            let mut fit = EncoderFit::new(MissingText::Ignore);
            fit.partial_fit(texts).unwrap();
            fit
        };
        let (left, right) = texts.split_at(at.min(texts.len()));
        let mut merged = fit(left);
        merged.merge(&fit(right)).unwrap();
        for (category, count) in merged.counts() {
            let seen = texts.iter().filter(|t| **t == Some(category)).count();
            prop_assert_eq!(count, seen as u64);
        }
        prop_assert_eq!(merged, fit(&texts));
    }

    #[test]
    fn steps_lead_back(data in table()) {
        let data: Vec<f64> = data.iter().map(|x| x % 8.0).collect();
        let matrix = Matrix::new(&data, COLUMNS).unwrap();
        let order = vec![
            Step::ImputeAndMark(Imputer::fit(Filling::Median, matrix).unwrap()),
            Step::Power(Power::with_lambdas(PowerFamily::YeoJohnson, vec![0.5; 2 * COLUMNS]).unwrap()),
            Step::Power(Power::with_lambdas(PowerFamily::YeoJohnson, vec![2.0; 2 * COLUMNS]).unwrap()),
            Step::Polynomial(Polynomial::new(2 * COLUMNS, 2, true).unwrap()),
        ];
        let mut steps = Steps::new(COLUMNS, order).unwrap();
        let mut made = vec![0.0; matrix.rows() * steps.outputs()];
        steps.transform(matrix, &mut made).unwrap();
        let scaler = Scaler::fit(Scaling::MIN_MAX, Matrix::new(&made, steps.outputs()).unwrap()).unwrap();
        let order = [steps.steps(), &[Step::Scale(scaler), Step::Log1p]].concat();
        steps = Steps::new(COLUMNS, order).unwrap();
        steps.transform(matrix, &mut made).unwrap();
        let mut back = vec![0.0; data.len()];
        steps.inverse(Matrix::new(&made, steps.outputs()).unwrap(), &mut back).unwrap();
        for (a, b) in back.iter().zip(&data) {
            prop_assert!(a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * b.abs().max(1.0), "{} {}", a, b);
        }
    }
}
