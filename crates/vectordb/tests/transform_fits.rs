//! Fits in parts: batches in any sizes, merged, against one fit of all rows; parts that cannot be are refused.

use common::ErrorKind;
use proptest::prelude::*;
use vectordb::transform::{
    Binning, ColumnFit, ColumnPlan, DatePart, DateParts, Encoding, Filling, Matrix, MissingText,
    Norm, PowerFamily, RoutePlan, Scaling, Smoothing, SourcePlan, StepPlan, Steps, StepsFit,
    Unknown,
};

const ENCODE: SourcePlan = SourcePlan::Encode {
    encoding: Encoding::OneHot,
    unknown: Unknown::Ignore,
    missing: MissingText::Ignore,
};

/// Plans of steps that can be fitted in parts.
fn plans() -> Vec<Vec<StepPlan>> {
    use StepPlan::{Clip, Impute, ImputeAndMark, Log1p, Normalize, Polynomial, Scale};
    let robust = Scaling::Robust {
        lower: 25.0,
        upper: 75.0,
    };
    let clip = Clip {
        low: -20.0,
        high: 50.0,
    };
    let products = Polynomial {
        degree: 2,
        interaction_only: false,
    };
    vec![
        vec![],
        vec![clip, Log1p, Normalize(Norm::L2)],
        vec![Scale(Scaling::STANDARD)],
        vec![clip, Scale(robust), Normalize(Norm::Max)],
        vec![Impute(Filling::Mean)],
        vec![products, ImputeAndMark(Filling::Median), Log1p],
        vec![Impute(Filling::Mean), Scale(Scaling::STANDARD)],
        vec![Impute(Filling::Median), Scale(Scaling::MIN_MAX), products],
        vec![Impute(Filling::MostFrequent), Scale(Scaling::MaxAbs)],
        vec![Impute(Filling::Mean), clip, Log1p, Scale(Scaling::STANDARD)],
        vec![Impute(Filling::Median), Log1p, Scale(robust)],
        vec![
            Impute(Filling::Constant(3.0)),
            products,
            Scale(Scaling::STANDARD),
        ],
    ]
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        assert!(
            same || (a - b).abs() <= 1e-9 * (1.0 + b.abs()),
            "{at}: {a} for {b}"
        );
    }
}

/// Rows of two numbers with gaps, and how many of them are in each part.
fn rows() -> impl Strategy<Value = (Vec<f64>, Vec<usize>)> {
    let number =
        prop_oneof![6 => -100.0..100.0, 2 => (-3..9_i32).prop_map(f64::from), 2 => Just(f64::NAN)];
    let rows = prop::collection::vec(number, 0..40).prop_map(|mut numbers| {
        numbers.truncate(numbers.len() / 2 * 2);
        // A value for every column, beyond -1 for logarithms.
        numbers.extend([1.0, 2.0, 4.0, 8.0]);
        numbers
    });
    (rows, prop::collection::vec(0..9_usize, 0..6))
}

/// The rows from one to another, for each part.
fn cut(rows: usize, sizes: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    let mut parts = Vec::new();
    for size in sizes.iter().copied().chain([rows]) {
        let end = (start + size).min(rows);
        parts.push(start..end);
        start = end;
    }
    parts
}

proptest! {
    #[test]
    fn steps_fitted_in_parts_are_those_of_one_fit((rows, sizes) in rows(), merged in any::<bool>()) {
        let all = Matrix::new(&rows, 2).unwrap();
        for plan in plans() {
            let whole = Steps::fit(&plan, all).unwrap();
            let mut fit = StepsFit::new(&plan, 2).unwrap();
            for part in cut(all.rows(), &sizes) {
                let part = Matrix::new(&rows[part.start * 2..part.end * 2], 2).unwrap();
                if merged {
                    let mut other = StepsFit::new(&plan, 2).unwrap();
                    other.partial_fit(part).unwrap();
                    fit.merge(&other).unwrap();
                } else {
                    fit.partial_fit(part).unwrap();
                }
            }
            let fitted = fit.finish().unwrap();
            prop_assert_eq!(fitted.outputs(), whole.outputs());
            let mut expected = vec![0.0; all.rows() * whole.outputs()];
            let mut made = expected.clone();
            whole.transform(all, &mut expected).unwrap();
            fitted.transform(all, &mut made).unwrap();
            close(&made, &expected);
        }
    }

    #[test]
    fn columns_fitted_in_parts_are_those_of_one_fit((rows, sizes) in rows(), merged in any::<bool>()) {
        let texts: Vec<Option<&str>> = (rows.chunks(2))
            .map(|row| match row[0] {
                x if x.is_nan() => None,
                x if x < 0.0 => Some("low"),
                x if x > 50.0 => Some("high"),
                _ => Some("middle"),
            })
            .collect();
        let mut plan = ColumnPlan::new(["a", "b"], ["c"])
            .route(RoutePlan::new("place", ["c"], ENCODE).then(StepPlan::Normalize(Norm::L1)))
            .route(RoutePlan::new("hash", ["c"], SourcePlan::Hash { buckets: 3, signed: true }))
            .route(RoutePlan::new(
                "time",
                ["b"],
                SourcePlan::Dates(DateParts::new([DatePart::Minute]).unwrap()),
            ));
        for (at, steps) in plans().into_iter().enumerate() {
            // Columns that are neighbours, and others.
            let columns = if at % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
            let route = RoutePlan { steps, ..RoutePlan::new(format!("r{at}"), columns, SourcePlan::Numbers) };
            plan = plan.route(route);
        }
        let all = Matrix::new(&rows, 2).unwrap();
        let whole = plan.fit(all, &[&texts]).unwrap();
        let mut fit = ColumnFit::new(&plan).unwrap();
        for part in cut(all.rows(), &sizes) {
            let numbers = Matrix::new(&rows[part.start * 2..part.end * 2], 2).unwrap();
            let texts: &[&[Option<&str>]] = &[&texts[part]];
            if merged {
                let mut other = ColumnFit::new(&plan).unwrap();
                other.partial_fit(numbers, texts).unwrap();
                fit.merge(&other).unwrap();
            } else {
                fit.partial_fit(numbers, texts).unwrap();
            }
        }
        let fitted = fit.finish().unwrap();
        prop_assert_eq!(fitted.output_names(), whole.output_names());
        let mut expected = vec![0.0; all.rows() * whole.outputs()];
        let mut made = expected.clone();
        whole.transform(all, &[&texts], &mut expected).unwrap();
        fitted.transform(all, &[&texts], &mut made).unwrap();
        close(&made, &expected);
    }
}

#[test]
fn one_batch_of_one_step_is_the_whole_fit_to_the_bit() {
    let rows = [0.1, 7.0, 0.7, -3.0, 1e9, 0.3];
    let rows = Matrix::new(&rows, 2).unwrap();
    for step in [
        StepPlan::Scale(Scaling::STANDARD),
        StepPlan::Impute(Filling::Mean),
    ] {
        let mut fit = StepsFit::new(&[step], 2).unwrap();
        fit.partial_fit(rows).unwrap();
        assert_eq!(fit.finish().unwrap(), Steps::fit(&[step], rows).unwrap());
    }
}

#[test]
fn what_cannot_be_fitted_in_parts_is_refused_with_its_place() {
    let scale = StepPlan::Scale(Scaling::STANDARD);
    let impute = StepPlan::Impute(Filling::Mean);
    let products = StepPlan::Polynomial {
        degree: 2,
        interaction_only: true,
    };
    let uniform = StepPlan::Bin {
        binning: Binning::Uniform,
        bins: 3,
    };
    for (plan, says) in [
        (
            vec![scale, impute],
            "step 1: it learns from what step 0 makes of all rows",
        ),
        (
            vec![scale, StepPlan::Log1p, scale],
            "step 2: it learns from what step 0",
        ),
        (
            vec![impute, products, scale],
            "step 2: it learns from what step 1",
        ),
        (
            vec![StepPlan::ImputeAndMark(Filling::Mean), scale],
            "step 1: it learns from what step 0",
        ),
        (
            vec![impute, impute],
            "step 1: an earlier step leaves nothing to impute",
        ),
        (
            vec![StepPlan::Log1p, StepPlan::Quantile(5)],
            "step 1: it has no fit by batches",
        ),
        (vec![uniform], "step 0: it has no fit by batches"),
        (
            vec![StepPlan::Power(PowerFamily::YeoJohnson)],
            "step 0: it has no fit by batches",
        ),
    ] {
        let error = StepsFit::new(&plan, 2).unwrap_err();
        assert!(error.to_string().contains(says), "{plan:?}: {error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let plan = ColumnPlan {
            routes: vec![RoutePlan {
                steps: plan,
                ..RoutePlan::new("r", ["a", "b"], SourcePlan::Numbers)
            }],
            ..ColumnPlan::new(["a", "b"], [""; 0])
        };
        let error = ColumnFit::new(&plan).unwrap_err().to_string();
        assert!(
            error.contains("route \"r\"") && error.contains(says),
            "{error}"
        );
    }
    let by_target = SourcePlan::EncodeTarget {
        smoothing: Smoothing::Auto,
        unknown: Unknown::Ignore,
        missing: MissingText::Ignore,
    };
    for (route, says) in [
        (
            RoutePlan::new("r", ["c"], by_target),
            "encoding by a target has no fit by batches",
        ),
        (
            RoutePlan::new("r", ["c"], ENCODE).then(scale),
            "step 0: it learns from columns",
        ),
        (
            RoutePlan::new("r", ["d"], ENCODE),
            "there is no column \"d\"",
        ),
    ] {
        let plan = ColumnPlan::new([""; 0], ["c"]).route(route);
        let error = ColumnFit::new(&plan).unwrap_err().to_string();
        assert!(
            error.contains("route \"r\"") && error.contains(says),
            "{error}"
        );
    }
}

#[test]
fn a_batch_that_one_route_refuses_is_taken_in_by_none() {
    let strict = SourcePlan::Encode {
        encoding: Encoding::Ordinal,
        unknown: Unknown::Refuse,
        missing: MissingText::Refuse,
    };
    let scaled =
        RoutePlan::new("n", ["a"], SourcePlan::Numbers).then(StepPlan::Scale(Scaling::STANDARD));
    let plan = ColumnPlan::new(["a"], ["c"])
        .route(scaled)
        .route(RoutePlan::new("t", ["c"], strict));
    let mut fit = ColumnFit::new(&plan).unwrap();
    let good = Matrix::new(&[1.0, 3.0], 1).unwrap();
    fit.partial_fit(good, &[&[Some("x"), Some("y")]]).unwrap();
    let before = fit.clone();
    let error = fit.partial_fit(good, &[&[Some("z"), None]]).unwrap_err();
    assert!(error.to_string().contains("route \"t\""), "{error}");
    let infinite = Matrix::new(&[1.0, f64::INFINITY], 1).unwrap();
    let error = fit
        .partial_fit(infinite, &[&[Some("z"), Some("z")]])
        .unwrap_err();
    assert!(
        error.to_string().contains("row 1, column 0 is infinite"),
        "{error}"
    );
    assert!(fit.partial_fit(good, &[]).is_err());
    assert_eq!(fit, before);
    let other = ColumnFit::new(&ColumnPlan::new(["a"], ["c"])).unwrap();
    assert!(
        fit.merge(&other)
            .unwrap_err()
            .to_string()
            .contains("different plans")
    );
    assert_eq!(
        fit.finish().unwrap(),
        plan.fit(good, &[&[Some("x"), Some("y")]]).unwrap()
    );
    assert!(other.finish().unwrap_err().to_string().contains("no route"));
}
