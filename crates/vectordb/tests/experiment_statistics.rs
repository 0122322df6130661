//! Statistics of experiments against scipy and statsmodels, and their error rates in simulated experiments.

#![expect(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, its numbers are small, and golden data is nested"
)]

use std::ops::ControlFlow;
use std::path::Path;

use common::ErrorKind;
use proptest::prelude::*;
use serde::Deserialize;
use vectordb::experiment::{
    Arm, Bandit, Comparison, Correction, Moments, PairMoments, Posterior, SequentialOptions,
    benjamini_hochberg, bootstrap, bootstrap_watched, compare_cuped, compare_means,
    compare_proportions, compare_ratios, holm, power, sample_ratio, sample_size, sequential, weigh,
};

type Sample = [Vec<f64>; 2];

#[derive(Deserialize)]
struct Golden {
    samples: Vec<[Sample; 2]>,
    welch: Vec<[f64; 6]>,
    effects: Vec<[f64; 5]>,
    cuped: Vec<[f64; 6]>,
    ratios: Vec<[f64; 5]>,
    proportions: Vec<([u64; 2], [u64; 2], [f64; 4])>,
    large: Vec<(u64, f64, f64)>,
    counts: Vec<(Vec<u64>, Vec<f64>, [f64; 2])>,
    p_values: Vec<f64>,
    holm: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
    power: Vec<[f64; 5]>,
    sizes: Vec<[f64; 5]>,
    betas: Vec<([u64; 2], [u64; 2], [f64; 3])>,
    normals: Vec<(f64, f64, f64, f64, [f64; 3])>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../../testdata/experiments/statistics.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Equal within 1e-10, relative to numbers above 1.
#[track_caller]
fn same(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (found - expected).abs() / expected.abs().max(1.0);
        assert!(apart <= 1e-10, "number {number}: {found} for {expected}");
    }
}

fn single(sample: &Sample) -> Moments {
    sample[0].iter().copied().collect()
}

fn paired(sample: &Sample) -> PairMoments {
    let pairs = sample[0].iter().copied().zip(sample[1].iter().copied());
    pairs.collect()
}

/// The difference, the statistic, degrees of freedom if there are, p and the interval.
fn numbers(comparison: &Comparison) -> Vec<f64> {
    let [low, high] = comparison.interval.unwrap();
    let start = [comparison.difference, comparison.statistic.unwrap()];
    let end = [comparison.p_value, low, high];
    let degrees = comparison.degrees;
    start.into_iter().chain(degrees).chain(end).collect()
}

#[test]
fn comparisons_of_means_are_those_of_scipy() {
    let golden = golden();
    for (number, [a, b]) in golden.samples.iter().enumerate() {
        let comparison = compare_means(&single(a), &single(b), 0.9).unwrap();
        same(&numbers(&comparison), &golden.welch[number]);
        let lift = comparison.lift.unwrap();
        let [low, high] = lift.interval.unwrap();
        let effects = [
            comparison.cohens_d.unwrap(),
            comparison.hedges_g.unwrap(),
            lift.value,
            low,
            high,
        ];
        same(&effects, &golden.effects[number]);
        assert_eq!(comparison.corrections, [Correction::Welch]);
        if number > 0 {
            let (a, b) = (paired(a), paired(b));
            let cuped = compare_cuped(&a, &b, 0.9).unwrap();
            same(&numbers(&cuped), &golden.cuped[number - 1]);
            assert!(cuped.corrections.contains(&Correction::Cuped));
            let ratios = compare_ratios(&a, &b, 0.9).unwrap();
            same(&numbers(&ratios), &golden.ratios[number - 1]);
        }
    }
    for (n, difference, p) in golden.large {
        let sample = |mean| Moments {
            n,
            mean,
            squares: (n - 1) as f64,
        };
        let comparison = compare_means(&sample(0.0), &sample(difference), 0.9).unwrap();
        // Relative: small p-values are what is asked about.
        let apart = (comparison.p_value / p - 1.0).abs();
        assert!(
            apart < 1e-10,
            "{n} {difference}: {} for {p}",
            comparison.p_value
        );
    }
}

#[test]
fn proportions_counts_and_plans_are_those_of_statsmodels() {
    let golden = golden();
    for (a, b, expected) in golden.proportions {
        let comparison = compare_proportions(a, b, 0.9).unwrap();
        same(&numbers(&comparison)[1..], &expected);
    }
    for (counts, shares, expected) in golden.counts {
        let found = sample_ratio(&counts, &shares).unwrap();
        same(&[found.statistic, found.p_value], &expected);
        assert_eq!(found.is_mismatch, expected[1] < 0.001);
    }
    same(&holm(&golden.p_values), &golden.holm);
    same(
        &benjamini_hochberg(&golden.p_values),
        &golden.benjamini_hochberg,
    );
    for [effect, n, ratio, level, expected] in golden.power {
        same(&[power(effect, n, ratio, level).unwrap()], &[expected]);
    }
    for [effect, wanted, ratio, level, expected] in golden.sizes {
        let found = sample_size(effect, wanted, ratio, level).unwrap();
        // The other one stops its search earlier.
        assert!((found / expected - 1.0).abs() < 1e-7);
        same(&[power(effect, found, ratio, level).unwrap()], &[wanted]);
    }
}

#[test]
fn verdicts_are_those_of_adaptive_quadrature() {
    let golden = golden();
    let check = |one: Posterior, two: Posterior, expected: &[f64]| {
        let found = weigh(&[one, two]).unwrap();
        let losses = [found[0].expected_loss, found[1].expected_loss];
        same(&[found[0].best, losses[0], losses[1]], expected);
        same(&[found[0].best + found[1].best], &[1.0]);
    };
    for (a, b, expected) in golden.betas {
        let of = |data| Posterior::of_proportion(data, [1.0, 1.0]).unwrap();
        check(of(a), of(b), &expected);
    }
    for (mean, deviation, other, spread, expected) in golden.normals {
        let one = Posterior::Normal { mean, deviation };
        let two = Posterior::Normal {
            mean: other,
            deviation: spread,
        };
        check(one, two, &expected);
    }
}

#[test]
fn samples_that_say_nothing_give_a_result_and_no_error() {
    let of = |values: &[f64]| values.iter().copied().collect::<Moments>();
    for (a, b) in [
        (of(&[]), of(&[])),
        (of(&[1.0]), of(&[2.0])),
        (of(&[1.0]), of(&[2.0, 3.0])),
        (of(&[1.0, 1.0]), of(&[2.0, 2.0])),
        (of(&[0.0; 9]), of(&[0.0; 9])),
    ] {
        let comparison = compare_means(&a, &b, 0.95).unwrap();
        assert_eq!((comparison.p_value, comparison.interval), (1.0, None));
        assert!(comparison.corrections.contains(&Correction::NoVariance));
        assert_eq!(comparison.lift.is_none(), a.mean == 0.0);
        let look = sequential(&comparison, SequentialOptions::default()).unwrap();
        assert_eq!((look.p_value, look.interval), (1.0, None));
        let json = serde_json::to_string(&comparison).unwrap();
        assert_eq!(
            serde_json::from_str::<Comparison>(&json).unwrap(),
            comparison
        );
    }
    let zero = compare_means(&of(&[-1.0, 1.0]), &of(&[1.0, 2.0]), 0.95).unwrap();
    assert_eq!(
        zero.corrections,
        [Correction::Welch, Correction::ZeroBaseline]
    );
    let few = sequential(&zero, SequentialOptions::default()).unwrap();
    assert_eq!((few.p_value, few.interval), (1.0, None));
    assert_eq!(holm(&[f64::NAN, 0.01]), [1.0, 0.02]);
    let none = compare_proportions([0, 0], [0, 0], 0.95).unwrap();
    assert_eq!(none.p_value, 1.0);
    let flat: PairMoments = [(1.0, 5.0), (2.0, 5.0)].into_iter().collect();
    let plain = compare_cuped(&flat, &flat, 0.95).unwrap();
    assert!(plain.corrections.contains(&Correction::CupedWithoutEffect));
    assert_eq!(sample_ratio(&[0, 0], &[0.5, 0.5]).unwrap().p_value, 1.0);
    assert!(sample_ratio(&[5, 5], &[1.0, 0.0]).unwrap().is_mismatch);
    let unlikely = sample_ratio(&[5_000, 5_300], &[0.5, 0.5]).unwrap();
    assert!(unlikely.p_value < 0.004 && !unlikely.is_mismatch);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let fine: Moments = [1.0, 2.0].into_iter().collect();
    let infinite: Moments = [1.0, f64::INFINITY].into_iter().collect();
    assert!(compare_means(&fine, &infinite, 0.95).is_err());
    assert!(compare_means(&fine, &fine, 1.0).is_err());
    assert!(compare_proportions([0, 2], [1, 1], 0.95).is_err());
    let error = compare_ratios(&PairMoments::default(), &PairMoments::default(), 0.95).unwrap_err();
    assert!(error.to_string().contains("denominator"), "{error}");
    assert!(sample_ratio(&[1], &[0.5, 0.5]).is_err());
    assert!(power(f64::NAN, 1.0, 1.0, 0.05).is_err());
    let error = sample_size(0.0, 0.8, 1.0, 0.05).unwrap_err();
    assert!(error.to_string().contains("effect of 0"), "{error}");
    assert!(Posterior::of_proportion([1, 1], [0.5, 1.0]).is_err());
    assert!(Posterior::of_mean(&Moments::default(), None).is_err());
    assert!(Posterior::of_mean(&fine, Some([0.0, 0.0])).is_err());
    assert!(bootstrap(&[], &[1.0], 0.95, 10, 0).is_err());
    assert!(bootstrap(&[1.0], &[1.0], 0.95, 1_000_001, 0).is_err());
    let arms = [Arm::default(); 2];
    assert!(Bandit::new(0).epsilon_greedy(&arms, 1.5).is_err());
    let comparison = compare_means(&fine, &fine, 0.95).unwrap();
    let unplanned = SequentialOptions {
        units_planned: 0,
        ..SequentialOptions::default()
    };
    assert!(sequential(&comparison, unplanned).is_err());
    assert!(Bandit::new(0).thompson(&[]).is_err());
}

#[test]
fn a_prior_is_weighed_by_its_precision() {
    // Precision 4 / 4 of the sample, 1 / 0.25 of the prior.
    let sample = Moments {
        n: 4,
        mean: 2.0,
        squares: 12.0,
    };
    let of = |prior| Posterior::of_mean(&sample, prior).unwrap();
    let Posterior::Normal { mean, deviation } = of(Some([1.0, 0.5])) else {
        panic!("a normal posterior");
    };
    same(&[mean, deviation], &[1.2, 0.2_f64.sqrt()]);
    let alone = Posterior::Normal {
        mean: 2.0,
        deviation: 1.0,
    };
    assert_eq!(of(None), alone);
}

#[test]
fn hedges_g_of_many_units_is_that_of_the_gamma_function() {
    // Gamma functions with 50 digits, for 1,000 degrees of freedom.
    let half = |mean| Moments {
        n: 501,
        mean,
        squares: 500.0,
    };
    let comparison = compare_means(&half(0.0), &half(1.0), 0.95).unwrap();
    same(&[comparison.cohens_d.unwrap()], &[1.0]);
    let g = comparison.hedges_g.unwrap();
    assert!((g / 0.999_249_781_179_716_4 - 1.0).abs() < 1e-14, "{g}");
}

/// Numbers that follow from a seed, nearly normal.
struct Numbers(u64);

impl Numbers {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn skewed(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what `cargo xtask soak experiments` shows"
)]
fn show(what: &str) {
    println!("{what}");
}

/// How many simulated experiments without an effect; a soak sets the number.
fn experiments() -> u64 {
    std::env::var("TANDEM_EXPERIMENTS").map_or(500, |number| number.parse().unwrap())
}

#[test]
fn looking_all_the_time_raises_no_more_false_alarms_than_the_level() {
    let options = SequentialOptions::default();
    let (mut alarms, mut naive) = (0_u64, 0_u64);
    for seed in 0..experiments() {
        let mut numbers = Numbers(seed << 32);
        let (mut a, mut b) = (Moments::default(), Moments::default());
        let (mut alarm, mut fixed) = (false, false);
        for units in 1..=2_000 {
            a.push(numbers.skewed());
            b.push(numbers.skewed());
            if units >= options.units_min && units % 10 == 0 {
                let comparison = compare_means(&a, &b, 0.95).unwrap();
                fixed |= comparison.p_value < options.level;
                let look = sequential(&comparison, options).unwrap();
                let [low, high] = look.interval.unwrap();
                assert_eq!(look.p_value < options.level, low > 0.0 || high < 0.0);
                alarm |= look.p_value < options.level;
            }
        }
        alarms += u64::from(alarm);
        naive += u64::from(fixed);
    }
    let total = experiments() as f64;
    show(&format!(
        "195 looks at each of {total} experiments without effect: {alarms} false alarms, {naive} by p-values of one look"
    ));
    assert!(
        alarms as f64 <= options.level * total,
        "{alarms} of {total}"
    );
    assert!(
        naive as f64 > 0.15 * total,
        "the simulation can see false alarms"
    );
}

#[test]
fn one_look_raises_as_many_false_alarms_as_it_says() {
    let total = experiments() * 4;
    let mut alarms = [0.0; 4];
    for seed in 0..total {
        let mut numbers = Numbers(seed << 32 | 1);
        let mut pairs = || -> PairMoments {
            let pair = |_| {
                let before = numbers.uniform();
                (before + numbers.uniform(), before + 1.0)
            };
            (0..200).map(pair).collect()
        };
        let (a, b) = (pairs(), pairs());
        let mut successes = || {
            [
                2_000,
                (0..2_000).filter(|_| numbers.uniform() < 0.3).count() as u64,
            ]
        };
        let proportions = compare_proportions(successes(), successes(), 0.95);
        for (place, comparison) in alarms.iter_mut().zip([
            compare_means(&a.first, &b.first, 0.95),
            compare_cuped(&a, &b, 0.95),
            compare_ratios(&a, &b, 0.95),
            proportions,
        ]) {
            *place += f64::from(u8::from(comparison.unwrap().p_value < 0.05));
        }
    }
    show(&format!(
        "one look at each of {total} experiments without effect: false alarms of means, CUPED, ratios, proportions: {alarms:?}"
    ));
    let total = total as f64;
    // Four deviations of the binomial distribution.
    let slack = 4.0 * (0.05 * 0.95 / total).sqrt();
    for alarms in alarms {
        assert!((alarms / total - 0.05).abs() < slack, "{alarms} of {total}");
    }
}

#[test]
fn a_bootstrap_agrees_with_the_t_interval_and_repeats_itself() {
    let mut numbers = Numbers(3);
    let mut sample =
        |mean: f64| -> Vec<f64> { (0..400).map(|_| mean + numbers.uniform()).collect() };
    let (a, b) = (sample(0.0), sample(0.1));
    let found = bootstrap(&a, &b, 0.9, 4_000, 5).unwrap();
    assert_eq!(found, bootstrap(&a, &b, 0.9, 4_000, 5).unwrap());
    let moments = |sample: Vec<f64>| sample.into_iter().collect::<Moments>();
    let expected = compare_means(&moments(a), &moments(b), 0.9).unwrap();
    let width = 2.0 * expected.standard_error.unwrap();
    for (found, expected) in found.iter().zip(expected.interval.unwrap()) {
        assert!((found - expected).abs() < 0.05 * width);
    }
}

#[test]
fn a_bootstrap_ends_when_it_is_told_to() {
    let sample = [1.0, 2.0, 4.0];
    let mut told = Vec::new();
    let found = bootstrap_watched(&sample, &sample, 0.9, 50, 5, &mut |done| {
        told.push(done);
        ControlFlow::Continue(())
    });
    assert_eq!(
        found.unwrap(),
        bootstrap(&sample, &sample, 0.9, 50, 5).unwrap()
    );
    assert_eq!(told, (0..50).collect::<Vec<_>>());
    let mut left = 7;
    let cancelled = bootstrap_watched(&sample, &sample, 0.9, 50, 5, &mut |_| {
        left -= 1;
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let error = cancelled.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("6 of 50 resamples"), "{error}");
}

#[test]
fn bandits_choose_as_the_posteriors_say() {
    let arms = [[2, 4], [5, 3], [1, 1]];
    let of = |[successes, failures]: [u64; 2]| {
        Posterior::of_proportion([successes + failures, successes], [1.0, 1.0])
    };
    let expected = weigh(&arms.map(|arm| of(arm).unwrap())).unwrap();
    let arms = arms.map(|[successes, failures]| Arm {
        successes,
        failures,
    });
    let bandit = Bandit::new(11);
    let mut counts = [[0.0; 3]; 2];
    for _ in 0..20_000 {
        counts[0][bandit.thompson(&arms).unwrap()] += 1.0;
        counts[1][bandit.epsilon_greedy(&arms, 0.3).unwrap()] += 1.0;
    }
    for (arm, verdict) in expected.iter().enumerate() {
        assert!(
            (counts[0][arm] / 20_000.0 - verdict.best).abs() < 0.02,
            "{counts:?}"
        );
        let greedy = if arm == 1 { 0.8 } else { 0.1 };
        assert!(
            (counts[1][arm] / 20_000.0 - greedy).abs() < 0.02,
            "{counts:?}"
        );
    }
    let untried = [arms[1], Arm::default()];
    assert_eq!(bandit.epsilon_greedy(&untried, 0.0).unwrap(), 1);
}

proptest! {
    #[test]
    fn merged_moments_are_those_of_all_values(
        pairs in prop::collection::vec((-1e6_f64..1e6, -1e3_f64..1e3), 0..80),
        cuts in prop::collection::vec(0_usize..80, 0..4),
    ) {
        let whole: PairMoments = pairs.iter().copied().collect();
        let mut merged = PairMoments::default();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut rest = pairs.as_slice();
        for cut in cuts {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            merged.merge(&part.iter().copied().collect());
            rest = after;
        }
        merged.merge(&rest.iter().copied().collect());
        prop_assert_eq!(merged.first.n, whole.first.n);
        let close = |a: f64, b: f64, scale: f64| (a - b).abs() <= 1e-9 * scale;
        prop_assert!(close(merged.first.mean, whole.first.mean, 1e6));
        prop_assert!(close(merged.first.squares, whole.first.squares, 1e14));
        prop_assert!(close(merged.products, whole.products, 1e11));
        let sums = pairs.iter().fold((0.0, 0.0), |(sum, squares), (x, _)| (sum + x, squares + x * x));
        let from_sums = Moments::from_sums(whole.first.n, sums.0, sums.1);
        prop_assert!(close(from_sums.squares, whole.first.squares, 1e14));
    }
}
