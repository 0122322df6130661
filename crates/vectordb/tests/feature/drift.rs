//! Profiles and drift against their definitions, and numbers of `SciPy`.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "a test fails by panicking, and its counts are small"
)]

use common::schema::{Field, FieldType};
use common::{Timestamp, Value, row};
use proptest::prelude::*;
use vectordb::feature::{AsOf, Drift, ViewDefinition};

/// From the definitions: quantiles by counting, shares by filtering.
fn naive(before: &[f64], now: &[f64]) -> (f64, f64) {
    let mut old: Vec<f64> = before.iter().copied().filter(|x| !x.is_nan()).collect();
    let new: Vec<f64> = now.iter().copied().filter(|x| !x.is_nan()).collect();
    old.sort_by(f64::total_cmp);
    let below = |values: &[f64], x: f64| {
        values.iter().filter(|y| **y <= x).count() as f64 / values.len() as f64
    };
    let mut edges = vec![f64::NEG_INFINITY];
    for tenth in 1..10 {
        let place = f64::from(tenth) / 10.0 * (old.len() - 1) as f64;
        let (low, high) = (old[place.floor() as usize], old[place.ceil() as usize]);
        edges.push(low + (high - low) * place.fract());
    }
    edges.push(f64::INFINITY);
    edges.dedup();
    let mut stability = 0.0;
    for pair in edges.windows(2) {
        let share = |values: &[f64]| {
            let inside = values
                .iter()
                .filter(|x| **x > pair[0] && **x <= pair[1])
                .count();
            (inside as f64 / values.len() as f64).max(1e-4)
        };
        let (p, q) = (share(&old), share(&new));
        stability += (q - p) * (q / p).ln();
    }
    let all = old.iter().chain(&new);
    let distance = all
        .map(|x| (below(&old, *x) - below(&new, *x)).abs())
        .fold(0.0, f64::max);
    (stability, distance)
}

proptest! {
    #[test]
    fn measures_are_what_they_are_defined_as(
        before in proptest::collection::vec(prop_oneof![4 => -3..3_i32, 1 => Just(99)], 2..40),
        now in proptest::collection::vec(prop_oneof![4 => -5..2_i32, 1 => Just(99)], 2..40),
    ) {
        let numbers = |values: &[i32]| -> Vec<f64> {
            values.iter().map(|x| if *x == 99 { f64::NAN } else { f64::from(*x) / 4.0 }).collect()
        };
        let (before, now) = (numbers(&before), numbers(&now));
        let drift = Drift::of_numbers("x", &before, &now);
        let missing = |values: &[f64]| values.iter().filter(|x| x.is_nan()).count() as f64 / values.len() as f64;
        prop_assert_eq!(drift.missing, [missing(&before), missing(&now)]);
        if before.iter().any(|x| !x.is_nan()) && now.iter().any(|x| !x.is_nan()) {
            let (stability, distance) = naive(&before, &now);
            prop_assert!((drift.stability - stability).abs() < 1e-12, "{} {}", drift.stability, stability);
            prop_assert!((drift.distance.unwrap() - distance).abs() < 1e-12);
        } else {
            prop_assert_eq!(drift.distance, None);
        }
        prop_assert!(Drift::of_numbers("x", &before, &before).stability.abs() < 1e-12);
    }
}

#[test]
fn numbers_of_scipy_are_met() {
    // scipy.stats.ks_2samp([1, 2, 3, 4, 5], [2, 2, 4, 8, 9, 9]).statistic
    let drift = Drift::of_numbers(
        "x",
        &[1.0, 2.0, 3.0, 4.0, 5.0],
        &[2.0, 2.0, 4.0, 8.0, 9.0, 9.0],
    );
    assert!((drift.distance.unwrap() - 0.5).abs() < 1e-12, "{drift:?}");
    // scipy.spatial.distance.jensenshannon([3, 1, 0], [1, 2, 3], base=2) ** 2
    let old = [Some("a"), Some("a"), Some("a"), Some("b"), None];
    let new = [
        Some("a"),
        Some("b"),
        Some("b"),
        Some("c"),
        Some("c"),
        Some("c"),
    ];
    let drift = Drift::of_texts("t", &old, &new);
    assert!(
        (drift.divergence.unwrap() - 0.399_124_177_322_115_9).abs() < 1e-12,
        "{drift:?}"
    );
    assert_eq!(drift.missing, [0.2, 0.0]);
}

#[test]
fn a_view_tells_what_its_features_are_like_and_how_far_they_moved() {
    let store = crate::store();
    let definition = ViewDefinition::new("view", "user")
        .floats(["x"])
        .feature(Field::new("kind", FieldType::Text).nullable())
        .ttl_seconds(10);
    let view = store.create_view(definition).unwrap();
    for user in 0..40_i64 {
        let x = user as f64;
        view.upsert(
            user,
            Timestamp(0),
            row! { "x": x, "kind": if user < 30 { "a" } else { "b" } },
        )
        .unwrap();
        if user < 20 {
            let kind = if user == 0 {
                Value::Null
            } else {
                Value::from("c")
            };
            view.upsert(
                user,
                Timestamp(5_000_000),
                row! { "x": x + 100.0, "kind": kind },
            )
            .unwrap();
        }
    }
    let (first, second) = (AsOf::event(Timestamp(1)), AsOf::event(Timestamp(5_000_000)));
    let profile = view.profile(first).unwrap();
    let x = profile[0].numbers.unwrap();
    assert_eq!(
        (profile[0].present, x.mean, x.quartiles),
        (40, 19.5, [0.0, 9.75, 19.5, 29.25, 39.0])
    );
    assert!((x.deviation.unwrap() - 11.690_451_944_500_122).abs() < 1e-12);
    assert_eq!(profile[1].texts, [("a".into(), 30), ("b".into(), 10)]);
    let later = view.profile(AsOf::event(Timestamp(12_000_000))).unwrap();
    assert_eq!(
        (later[1].present, later[1].missing, later[1].expired),
        (19, 1, 20)
    );

    let drift = view.drift(first, second).unwrap();
    assert_eq!((drift[0].distance, drift[0].is_major()), (Some(0.5), true));
    assert!((drift[0].shift.unwrap() - 50.0 / 11.690_451_944_500_122).abs() < 1e-12);
    assert_eq!(drift[1].missing, [0.0, 1.0 / 40.0]);
    assert!(!view.drift(first, first).unwrap()[0].is_major());
}
