//! Kernels against the textbook formula in 64-bit floats, and the limits of each metric.

use common::ErrorKind;
use proptest::prelude::*;
use vectordb::Metric;
use vectordb::core::distance::scalar::LANES;
use vectordb::evaluate;

/// The tolerance that the kernels' documentation states.
fn tolerance(dimension: usize, terms: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
    let steps = (dimension / LANES + 8) as f64;
    steps * 2.0_f64.powi(-23) * terms
}

fn padded(v: &[f32]) -> Vec<f32> {
    let mut v = v.to_vec();
    v.resize(v.len().next_multiple_of(LANES), 0.0);
    v
}

fn check(a: &[f32], b: &[f32]) {
    for metric in Metric::ALL {
        let prepared = |v: &[f32]| -> Vec<f32> {
            if metric.compares_bits() {
                metric.prepare(v, v.len()).expect("finite")
            } else {
                v.to_vec()
            }
        };
        let (a, b) = (&prepared(a)[..], &prepared(b)[..]);
        let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let (expect, terms) = match metric {
            Metric::Euclidean | Metric::SquaredEuclidean | Metric::Cosine => {
                let d = evaluate::distance(Metric::SquaredEuclidean, a, b);
                (d, d)
            }
            Metric::Dot => (
                evaluate::distance(metric, a, b),
                pairs().map(|(a, b)| (a * b).abs()).sum(),
            ),
            _ => {
                let d = evaluate::distance(metric, a, b);
                (d, d)
            }
        };
        let found = f64::from(metric.kernel()(&padded(a), &padded(b)));
        assert!(
            (found - expect).abs() <= tolerance(a.len(), terms),
            "{metric} over {}: {found} is not {expect}",
            a.len()
        );
    }
}

proptest! {
    #[test]
    fn kernels_agree_with_the_formula(
        pairs in prop::collection::vec((-1e3..1e3_f32, -1e3..1e3_f32), 1..200),
        scale in prop::sample::select(vec![1e-9_f32, 1.0, 1e9]),
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().map(|(a, b)| (a * scale, b * scale)).unzip();
        check(&a, &b);
    }

    /// Reported distances, in 64 bits, agree with the formula on the vectors as given.
    #[test]
    fn reported_distances_agree_with_the_formula(
        pairs in prop::collection::vec((-1e3..1e3_f32, 1.0..1e3_f32), 1..100),
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        prop_assume!(a.iter().any(|v| v.abs() > 1e-3));
        for metric in Metric::ALL {
            let (x, y) = (metric.prepare(&a, a.len()).unwrap(), metric.prepare(&b, b.len()).unwrap());
            let (found, expect) = (metric.distance(&x, &y), evaluate::distance(metric, &a, &b));
            // Cosine: rows are normalised in 32 bits; everything else is the same sum.
            let most = if metric == Metric::Cosine { 1e-6 } else { 1e-12 * expect.abs().max(1e6) };
            prop_assert!((found - expect).abs() <= most, "{}: {} {}", metric, found, expect);
        }
    }
}

#[test]
fn ten_thousand_dimensions_are_accurate() {
    let wave = |phase: f32| -> Vec<f32> {
        (0_u16..10_000)
            .map(|i| (f32::from(i) * 0.37 + phase).sin() + 0.5)
            .collect()
    };
    check(&wave(0.0), &wave(1.0));
}

#[test]
fn names_are_stable() {
    let names = [
        "euclidean",
        "squared_euclidean",
        "cosine",
        "dot",
        "manhattan",
        "chebyshev",
        "hamming",
        "jaccard",
    ];
    assert_eq!(Metric::ALL.map(Metric::name), names);
    for metric in Metric::ALL {
        assert_eq!(Metric::from_name(metric.name()).unwrap(), metric);
        let json = serde_json::to_string(&metric).unwrap();
        assert_eq!(json, format!("{:?}", metric.name()));
    }
    assert_eq!(
        Metric::from_name("l2").unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn size_is_limited_where_32_bits_end() {
    for (metric, fits, too_large) in [
        (Metric::Euclidean, 9.2e18_f32, 9.3e18_f32),
        (Metric::SquaredEuclidean, -9.2e18, -9.3e18),
        (Metric::Dot, 9.2e18, 9.3e18),
        (Metric::Manhattan, 1.7e38, 1.8e38),
        (Metric::Chebyshev, -1.7e38, -1.8e38),
    ] {
        let farthest = [
            metric.prepare(&[fits], 1).unwrap(),
            metric.prepare(&[-fits], 1).unwrap(),
        ];
        let [a, b] = farthest.map(|v| padded(&v));
        assert!(metric.kernel()(&a, &b).is_finite(), "{metric}");
        let error = metric.prepare(&[too_large], 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{metric}");
    }
    // Cosine compares directions: no size is too large or too small.
    for size in [f32::MAX, 1e30, 1e-30, f32::from_bits(1)] {
        let unit = Metric::Cosine.prepare(&[size, size], 2).unwrap();
        assert!((unit[0] - 0.5_f32.sqrt()).abs() < 1e-7, "{size}");
    }
}
