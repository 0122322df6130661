//! Assignment of experiments: the published algorithms against what their SDK computes, shares, ramps, independence.

#![expect(
    clippy::unwrap_used,
    clippy::type_complexity,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, its numbers are small or exact, and golden data is nested"
)]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use common::query::Filter;
use common::schema::{Field, FieldType, Schema};
use common::{ErrorKind, Limits, Value};
use serde::Deserialize;
use vectordb::experiment::{
    Algorithm, Assignment, Experiment, Holdout, NO_VARIANT, Reason, Slice, check_exclusive,
    growthbook,
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/experiments")
        .join(name)
}

type Split = (usize, f64, Option<Vec<f64>>);

/// How many units; a soak sets the number.
fn units_or(usual: u64) -> Vec<u64> {
    let units = std::env::var("TANDEM_UNITS").map_or(usual, |units| units.parse().unwrap());
    (0..units).collect()
}

#[expect(
    clippy::print_stdout,
    reason = "what `cargo xtask soak experiments` shows"
)]
fn show(what: &str, units: usize, found: &str) {
    println!("{what}: {units} units, {found}");
}

#[derive(Deserialize)]
struct Golden {
    units: Vec<String>,
    fnv1a32: Vec<u32>,
    hashes: Vec<(String, u8, Vec<u32>)>,
    ranges: Vec<(usize, f64, Option<Vec<f64>>, Vec<[f64; 2]>)>,
    namespaces: Vec<(String, f64, f64, Vec<bool>)>,
    assigned: Vec<(u8, usize, f64, Option<Vec<f64>>, Vec<i32>)>,
}

fn version(number: u8) -> Algorithm {
    if number == 1 {
        Algorithm::GrowthbookV1
    } else {
        Algorithm::GrowthbookV2
    }
}

#[test]
fn growthbook_is_reproduced() {
    let golden: Golden =
        serde_json::from_slice(&std::fs::read(data("growthbook.json")).unwrap()).unwrap();
    let units = &golden.units;
    let hashes: Vec<u32> = units.iter().map(|unit| growthbook::fnv1a32(unit)).collect();
    assert_eq!(hashes, golden.fnv1a32);
    for (salt, number, expected) in &golden.hashes {
        let buckets = units.iter().map(|unit| version(*number).bucket(salt, unit));
        assert_eq!(&buckets.collect::<Vec<_>>(), expected, "{salt} {number}");
    }
    for (variants, coverage, weights, expected) in &golden.ranges {
        let ranges = growthbook::bucket_ranges(*variants, *coverage, weights.as_deref());
        assert_eq!(&ranges, expected);
    }
    for (name, from, to, expected) in &golden.namespaces {
        let found = units
            .iter()
            .map(|unit| growthbook::in_namespace(unit, name, *from, *to));
        assert_eq!(&found.collect::<Vec<_>>(), expected);
    }
    for (number, variants, coverage, weights, expected) in golden.assigned {
        let names = (0..variants).map(|i| i.to_string());
        let mut experiment = Experiment::new("exp é", names)
            .algorithm(version(number))
            .coverage(coverage)
            .slice(Slice::new("ns", 0.1, 0.9));
        experiment.weights = weights;
        let found = experiment.compile(None).unwrap().assign_all(units).unwrap();
        let found = found.into_iter().map(|variant| match variant {
            NO_VARIANT => -1,
            variant => i32::from(variant),
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{experiment:?}");
    }
}

fn splits() -> Vec<Split> {
    vec![
        (2, 1.0, None),
        (3, 0.5, None),
        (2, 1.0, Some(vec![0.9, 0.1])),
        (5, 0.37, Some(vec![0.1, 0.15, 0.2, 0.25, 0.3])),
        (100, 1.0, None),
    ]
}

/// The chi-square statistic of counts against expected ones, and its degrees of freedom.
fn chi_square(found: &[f64], expected: &[f64]) -> [f64; 2] {
    let cells = found
        .iter()
        .zip(expected)
        .filter(|(_, expected)| **expected > 0.0);
    let terms: Vec<f64> = cells.map(|(o, e)| (o - e) * (o - e) / e).collect();
    [terms.iter().sum(), (terms.len() - 1) as f64]
}

fn told([statistic, freedom]: [f64; 2]) -> String {
    format!("chi-square {statistic:.1} with {freedom} degrees of freedom")
}

/// Whether a chi-square statistic is within five of its standard deviations.
fn is_likely([statistic, freedom]: [f64; 2]) -> bool {
    statistic - freedom < 5.0 * (2.0 * freedom).sqrt()
}

#[test]
fn shares_are_as_asked() {
    let ids = units_or(1_000_000);
    let units = ids.len() as f64;
    for algorithm in [Algorithm::Xxh3, Algorithm::GrowthbookV2] {
        for (variants, coverage, weights) in splits() {
            let mut experiment = Experiment::new("shares", (0..variants).map(|i| i.to_string()))
                .algorithm(algorithm)
                .coverage(coverage);
            experiment.weights.clone_from(&weights);
            let plan = experiment.compile(None).unwrap();
            let mut counts = vec![0.0; variants + 1];
            for variant in plan.assign_numbers(&ids).unwrap() {
                counts[usize::from(variant).min(variants)] += 1.0;
            }
            let mut expected: Vec<f64> = experiment.shares().unwrap();
            for share in &mut expected {
                *share *= coverage * units;
            }
            expected.push((1.0 - coverage) * units);
            let found = chi_square(&counts, &expected);
            let name = algorithm.name();
            let what = format!("{variants} variants, {weights:?}, coverage {coverage}, {name}");
            show(&what, ids.len(), &told(found));
            // The published hash of 32 bits has 10,000 buckets that are not equally large.
            assert!(is_likely(found), "{what}: {found:?}");
        }
    }
}

#[test]
fn layers_and_experiments_are_independent() {
    let ids = units_or(400_000);
    let assign = |name: &str, layer: &str| {
        let experiment = Experiment::new(name, ["a", "b", "c"]);
        let experiment = experiment.slice(Slice::new(layer, 0.0, 0.5));
        let plan = experiment.compile(None).unwrap();
        plan.assign_numbers(&ids).unwrap()
    };
    let (one, two) = (assign("one", "left"), assign("two", "right"));
    let mut table = HashMap::new();
    for pair in one.iter().zip(&two) {
        *table.entry(pair).or_insert(0.0) += 1.0;
    }
    let sizes = |variant: u8| {
        if variant == NO_VARIANT {
            0.5
        } else {
            0.5 / 3.0
        }
    };
    let (counts, expected): (Vec<f64>, Vec<f64>) = table
        .iter()
        .map(|((a, b), count)| (*count, ids.len() as f64 * sizes(**a) * sizes(**b)))
        .unzip();
    assert_eq!(counts.len(), 16);
    let found = chi_square(&counts, &expected);
    show("two layers", ids.len(), &told(found));
    assert!(is_likely(found), "{found:?}");
}

#[test]
fn a_number_and_its_text_are_the_same_unit() {
    let numbers = [0, 7, 10, 65_536, u64::MAX];
    for algorithm in [Algorithm::Xxh3, Algorithm::GrowthbookV2] {
        let experiment = Experiment::new("numbers", (0..200).map(|i| i.to_string()));
        let plan = experiment.algorithm(algorithm).compile(None).unwrap();
        let texts = plan.assign_all(&numbers.map(|n| n.to_string())).unwrap();
        assert_eq!(plan.assign_numbers(&numbers).unwrap(), texts);
        assert_eq!(
            numbers.map(|n| plan.assign_number(n, &[]).unwrap()),
            texts[..]
        );
    }
}

#[test]
fn slices_of_a_layer_exclude_each_other_and_leave_nobody_out() {
    let ids: Vec<u64> = (0..20_000).collect();
    for algorithm in [Algorithm::Xxh3, Algorithm::GrowthbookV1] {
        let slice = |name: &str, from, to| {
            Experiment::new(name, ["a", "b"])
                .algorithm(algorithm)
                .slice(Slice::new("layer", from, to))
        };
        let (one, two) = (slice("one", 0.0, 0.3), slice("two", 0.3, 1.0));
        check_exclusive(&[one.clone(), two.clone()]).unwrap();
        let assign = |e: &Experiment| e.compile(None).unwrap().assign_numbers(&ids).unwrap();
        for ((a, b), id) in assign(&one).iter().zip(assign(&two)).zip(&ids) {
            assert_ne!(*a == NO_VARIANT, b == NO_VARIANT);
            if algorithm == Algorithm::GrowthbookV1 {
                let held = growthbook::in_namespace(&id.to_string(), "layer", 0.0, 0.3);
                assert_eq!(held, *a != NO_VARIANT);
            }
        }
        let error = check_exclusive(&[one, slice("three", 0.2, 0.4)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

#[test]
fn a_ramp_moves_nobody() {
    for algorithm in [
        Algorithm::Xxh3,
        Algorithm::GrowthbookV1,
        Algorithm::GrowthbookV2,
    ] {
        let at = |coverage| {
            let experiment = Experiment::new("ramp", ["a", "b", "c"]).weights([0.5, 0.3, 0.2]);
            experiment
                .algorithm(algorithm)
                .coverage(coverage)
                .compile(None)
                .unwrap()
        };
        let (mut before, ids) = (at(0.1), units_or(50_000));
        for step in 2..=5 {
            let after = at(f64::from(step) / 10.0);
            let change = before.change_to(&after).unwrap();
            assert!(change.enters > 0.09 && change.leaves == 0.0 && change.moves == 0.0);
            let pairs = before.assign_numbers(&ids).unwrap();
            let mut entered = 0;
            for (old, new) in pairs.iter().zip(after.assign_numbers(&ids).unwrap()) {
                assert!(*old == NO_VARIANT || *old == new);
                entered += usize::from(*old != new);
            }
            let what = format!("ramp to {step}0 % by {}", algorithm.name());
            show(&what, ids.len(), &format!("{entered} enter, 0 move"));
            before = after;
        }
        let other = Experiment::new("ramp", ["a", "b", "c"]).weights([0.1, 0.7, 0.2]);
        let other = other.algorithm(algorithm).compile(None).unwrap();
        assert!(
            before.change_to(&other).unwrap().moves > 0.0,
            "it can see a move"
        );
    }
}

#[test]
fn every_way_out_has_its_reason() {
    let schema = Schema::build("users", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("country", FieldType::Text).nullable())
        .finish()
        .unwrap();
    let all = Experiment::new("reasons", ["a", "b"]).target(Filter::eq("country", "PT"));
    let with = |experiment: Experiment, unit: &str, country: &str| {
        let plan = experiment.compile(Some(&schema)).unwrap();
        let attributes = [Value::from(1), Value::from(country)];
        let assignment = plan.explain(unit, &attributes, None).unwrap();
        let number = plan.assign(unit, &attributes).unwrap();
        assert_eq!(assignment.variant.is_none(), number == NO_VARIANT);
        assignment.reason
    };
    assert_eq!(with(all.clone(), "u", "PT"), Reason::Hash);
    assert_eq!(with(all.clone(), "u", "ES"), Reason::Target);
    assert_eq!(with(all.clone(), "", "PT"), Reason::NoUnit);
    let held = all.clone().holdout(Holdout::new("2026", 1.0));
    assert_eq!(with(held.clone(), "u", "PT"), Reason::Holdout);
    assert_eq!(
        with(held.assign_unit("u", "b"), "u", "ES"),
        Reason::Override
    );
    let elsewhere = all.clone().slice(Slice::new("layer", 0.0, 0.0));
    assert_eq!(with(elsewhere, "u", "PT"), Reason::Layer);
    assert_eq!(with(all.clone().coverage(0.0), "u", "PT"), Reason::Coverage);
    let plan = all.compile(Some(&schema)).unwrap();
    assert_eq!(
        plan.assign("u", &[]).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(all.compile(None).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_batch_decides_as_each_unit_alone() {
    let schema = Schema::build("users", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("country", FieldType::Text).nullable());
    let schema = schema.finish().unwrap();
    let experiment = Experiment::new("batch", ["a", "b"])
        .coverage(0.5)
        .slice(Slice::new("layer", 0.0, 0.5))
        .holdout(Holdout::new("2026", 0.2))
        .target(Filter::eq("country", "PT"))
        .assign_unit("7", "b");
    let plan = experiment.compile(Some(&schema)).unwrap();
    let countries = [Value::from("PT"), Value::from("ES"), Value::Null];
    let attributes: Vec<[Value; 2]> = (0..200)
        .zip(countries.iter().cycle())
        .map(|(id, country)| [Value::from(id), country.clone()])
        .collect();
    let mut units: Vec<String> = (0..200).map(|id| id.to_string()).collect();
    units[9].clear();
    let decisions = plan.decide_all(units.iter().zip(&attributes)).unwrap();
    let mut reasons = HashSet::new();
    for ((unit, attributes), decision) in units.iter().zip(&attributes).zip(&decisions) {
        let alone = plan.explain(unit, attributes, None).unwrap();
        let name = experiment.variants.get(usize::from(decision.variant));
        assert_eq!(
            (name, decision.reason),
            (alone.variant.as_ref(), alone.reason)
        );
        reasons.insert(decision.reason);
    }
    assert_eq!(reasons.len(), 7, "all but a kept one: {reasons:?}");
    let short = [("u", &attributes[0][..]), ("v", &attributes[1][..1])];
    let error = plan.decide_all(short).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("unit `v`"), "{error}");
}

#[test]
fn a_stored_assignment_is_kept_as_long_as_its_variant_exists() {
    let plan = Experiment::new("sticky", ["a", "b"]).compile(None).unwrap();
    let first = plan.explain("u", &[], None).unwrap();
    let turned = Experiment::new("sticky", ["a", "b"])
        .salt("another")
        .coverage(0.0);
    let kept = turned
        .compile(None)
        .unwrap()
        .explain("u", &[], Some(&first))
        .unwrap();
    assert_eq!(
        (kept.variant, kept.reason),
        (first.variant.clone(), Reason::Sticky)
    );
    assert_eq!(kept.salt, "sticky", "it says by what it was assigned");
    let gone = Experiment::new("sticky", ["c", "d"]).compile(None).unwrap();
    let anew = gone.explain("u", &[], Some(&first)).unwrap();
    assert_eq!(anew.reason, Reason::Hash);
    let error = plan.explain("v", &[], Some(&first)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn the_json_form_is_as_it_was() {
    let limits = Limits::default();
    let golden: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(data("definitions.json")).unwrap()).unwrap();
    let experiment = Experiment::new("button", ["grey", "green"])
        .salt("s")
        .weights([0.75, 0.25])
        .coverage(0.5)
        .slice(Slice::new("layer", 0.25, 0.5))
        .holdout(Holdout::new("2026", 0.05))
        .target(Filter::eq("country", "PT"))
        .assign_unit("tester", "green");
    let smallest = Experiment::from_json(br#"{"name":"e","variants":["a","b"]}"#, &limits);
    assert_eq!(smallest.unwrap(), Experiment::new("e", ["a", "b"]));
    let bytes = serde_json::to_vec(&golden[0]).unwrap();
    assert_eq!(Experiment::from_json(&bytes, &limits).unwrap(), experiment);
    let now: serde_json::Value = serde_json::from_slice(&experiment.to_json().unwrap()).unwrap();
    assert_eq!(now, golden[0]);
    let plan = Experiment::new("button", ["grey", "green"])
        .compile(None)
        .unwrap();
    let assignment = plan.explain("user-1", &[], None).unwrap();
    let bytes = serde_json::to_vec(&golden[1]).unwrap();
    assert_eq!(Assignment::from_json(&bytes, &limits).unwrap(), assignment);
    let now: serde_json::Value = serde_json::from_slice(&assignment.to_json().unwrap()).unwrap();
    assert_eq!(now, golden[1]);
}

#[test]
fn definitions_without_sense_are_refused() {
    let two = || Experiment::new("e", ["a", "b"]);
    let many = |n: usize| Experiment::new("e", (0..n).map(|i| i.to_string()));
    assert!(many(255).check().is_ok());
    assert_eq!(two().coverage(0.0).shares().unwrap(), [0.5, 0.5]);
    let empty = two().ranges([[0.5, 0.5], [1.0, 1.0]]);
    assert_eq!(empty.shares().unwrap_err().kind(), ErrorKind::Invalid);
    for (bad, kind) in [
        (Experiment::new("", ["a", "b"]), ErrorKind::Invalid),
        (Experiment::new("e", ["a"]), ErrorKind::Invalid),
        (Experiment::new("e", ["a", "a"]), ErrorKind::Invalid),
        (many(256), ErrorKind::LimitExceeded),
        (two().coverage(1.5), ErrorKind::Invalid),
        (two().coverage(f64::NAN), ErrorKind::Invalid),
        (two().weights([1.0]), ErrorKind::Invalid),
        (two().weights([0.5, 0.4]), ErrorKind::Invalid),
        (two().weights([1.5, -0.5]), ErrorKind::Invalid),
        (two().ranges([[0.0, 0.5]]), ErrorKind::Invalid),
        (two().ranges([[0.0, 0.5], [0.4, 1.0]]), ErrorKind::Invalid),
        (two().ranges([[0.5, 0.0], [0.5, 1.0]]), ErrorKind::Invalid),
        (two().slice(Slice::new("l", 0.5, 0.2)), ErrorKind::Invalid),
        (two().holdout(Holdout::new("h", 2.0)), ErrorKind::Invalid),
        (two().assign_unit("u", "c"), ErrorKind::NotFound),
    ] {
        assert_eq!(bad.check().unwrap_err().kind(), kind, "{bad:?}");
    }
    let json = br#"{"name":"e","variants":["a","b"]}"#;
    let exact = Limits::default().total_bytes_max(json.len());
    assert!(Experiment::from_json(json, &exact).is_ok());
    let small = Limits::default().total_bytes_max(json.len() - 1);
    let error = Experiment::from_json(json, &small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let error = Assignment::from_json(b"{}", &exact).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let limited = |json: &[u8], limits: &Limits| {
        let error = Experiment::from_json(json, limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    };
    let json = two().assign_unit("u", "a").assign_unit("v", "a").to_json();
    let two_overrides = json.unwrap();
    limited(&two_overrides, &Limits::default().elements_max(1));
    assert!(Experiment::from_json(&two_overrides, &Limits::default().elements_max(2)).is_ok());
    let plan = two().compile(None).unwrap();
    let json = plan.explain("unit", &[], None).unwrap().to_json().unwrap();
    assert!(Assignment::from_json(&json, &Limits::default().bytes_max(4)).is_ok());
    let error = Assignment::from_json(&json, &Limits::default().bytes_max(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let deep = (0..1_000).fold(Filter::eq("a", 1), |deep, _| deep.negate());
    let error = two().target(deep).check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}
