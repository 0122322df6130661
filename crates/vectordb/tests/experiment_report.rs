//! Exposures and outcomes through the tables of a database, and the report made of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "a test fails by panicking, and its numbers are exact"
)]

use common::{Database, ErrorKind, Timestamp};
use vectordb::experiment::{
    AnalysisOptions, Assignment, Experiment, ExperimentLog, Metric, Moments, Reason, Report,
    analyse, compare_means,
};

fn options() -> AnalysisOptions {
    AnalysisOptions::default()
}

fn log() -> ExperimentLog {
    ExperimentLog::open(&Database::new()).unwrap()
}

fn given(experiment: &Experiment, unit: &str, variant: &str) -> Assignment {
    let experiment = experiment.clone().assign_unit(unit, variant);
    experiment
        .compile(None)
        .unwrap()
        .explain(unit, &[], None)
        .unwrap()
}

#[test]
fn the_first_exposure_counts_and_a_second_variant_is_reported() {
    let (log, experiment) = (log(), Experiment::new("e", ["a", "b"]));
    for (unit, variant, at) in [
        ("u", "b", 20),
        ("u", "a", 10),
        ("u", "a", 30),
        ("v", "b", 5),
        ("v", "b", 3),
        ("v", "b", 9),
        ("w", "a", 1),
        ("w", "b", 2),
    ] {
        log.expose(&given(&experiment, unit, variant), Timestamp(at))
            .unwrap();
    }
    let other = Experiment::new("other", ["a", "b"]);
    log.expose(&given(&other, "x", "a"), Timestamp(0)).unwrap();
    let exposures = log.exposures("e").unwrap();
    let of = |unit: &str| {
        let exposure = &exposures[unit];
        (
            exposure.variant.as_str(),
            exposure.at.0,
            exposure.is_crossed,
        )
    };
    assert_eq!((of("u"), of("v")), (("a", 10, true), ("b", 3, false)));
    assert_eq!((of("w"), exposures.len()), (("a", 1, true), 3));
    let report = analyse(&log, &experiment, &[Metric::Mean("m".into())], options()).unwrap();
    assert_eq!((report.counts, report.crossed), (vec![2, 1], 2));
}

#[test]
fn a_kept_assignment_outlives_a_change_of_shares_and_a_reopened_log() {
    let database = Database::new();
    let log = ExperimentLog::open(&database).unwrap();
    let experiment = Experiment::new("e", ["a", "b"]);
    let plan = experiment.compile(None).unwrap();
    let first: Vec<Assignment> = (0..50)
        .map(|unit| log.assign(&plan, &unit.to_string(), &[]).unwrap())
        .collect();
    let forced = experiment
        .clone()
        .assign_unit("tester", "b")
        .compile(None)
        .unwrap();
    assert_eq!(
        log.assign(&forced, "tester", &[]).unwrap().reason,
        Reason::Override
    );
    assert_eq!(
        log.assign(&plan, "tester", &[]).unwrap().reason,
        Reason::Hash
    );
    let log = ExperimentLog::open(&database).unwrap();
    let turned = experiment.weights([0.0, 1.0]).compile(None).unwrap();
    for before in &first {
        let after = log.assign(&turned, &before.unit, &[]).unwrap();
        assert_eq!(
            (after.variant, after.reason),
            (before.variant.clone(), Reason::Sticky)
        );
    }
    assert_eq!(
        log.assign(&turned, "new", &[]).unwrap().variant.unwrap(),
        "b"
    );
}

#[test]
fn a_table_of_another_shape_is_no_log() {
    use common::schema::{Field, FieldType, Schema};
    let database = Database::new();
    let schema =
        Schema::build("experiment_outcomes", ["id"]).field(Field::new("id", FieldType::Int));
    database
        .create_collection(schema.finish().unwrap())
        .unwrap();
    let error = ExperimentLog::open(&database).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

/// 300 units of which each brings numbers that follow from its own, before and after its exposure.
fn filled(experiment: &Experiment) -> (ExperimentLog, Vec<Moments>) {
    let log = log();
    let plan = experiment.compile(None).unwrap();
    let mut expected = vec![Moments::default(); 3];
    for number in 0..300_u32 {
        let unit = number.to_string();
        let assignment = log.assign(&plan, &unit, &[]).unwrap();
        let variant = usize::from(plan.assign(&unit, &[]).unwrap());
        log.expose(&assignment, Timestamp(100)).unwrap();
        let base = f64::from(number % 17);
        let value = base + f64::from(number % 5) + f64::from(u8::try_from(variant).unwrap());
        let add = |event: &str, metric: &str, at, value| {
            let event = format!("{event}{unit}");
            log.record(&event, &unit, metric, Timestamp(at), value)
                .unwrap();
        };
        add("before", "revenue", 99, base);
        add("first", "revenue", 100, value - 0.5);
        add("second", "revenue", 101, 0.5);
        add("second", "revenue", 101, 0.5);
        add("visits", "visits", 150, f64::from(1 + number % 3));
        if number % 4 == 0 {
            add("order", "orders", 150, 1.0);
        }
        expected[variant].push(value);
    }
    (log, expected)
}

fn metrics() -> Vec<Metric> {
    vec![
        Metric::Mean("revenue".into()),
        Metric::Cuped("revenue".into()),
        Metric::Proportion("orders".into()),
        Metric::Ratio {
            numerator: "revenue".into(),
            denominator: "visits".into(),
        },
        Metric::Ratio {
            numerator: "revenue".into(),
            denominator: "nothing".into(),
        },
    ]
}

#[test]
fn a_report_is_that_of_its_rows() {
    let experiment = Experiment::new("e", ["a", "b", "c<|>"]);
    let (log, expected) = filled(&experiment);
    log.record("x", "stranger", "revenue", Timestamp(150), 1e9)
        .unwrap();
    let report = analyse(&log, &experiment, &metrics(), options()).unwrap();
    let counts: Vec<u64> = expected.iter().map(|moments| moments.n).collect();
    assert_eq!(report.counts, counts);
    assert!(!report.sample_ratio.is_mismatch);
    let means = &report.metrics[0].variants;
    for (variant, moments) in means.iter().zip(&expected[1..]) {
        let found = variant.comparison.as_ref().unwrap();
        let direct = compare_means(&expected[0], moments, 0.95).unwrap();
        assert!((found.p_value - direct.p_value).abs() < 1e-12);
        assert!((found.difference - direct.difference).abs() < 1e-12);
        assert!(variant.adjusted_p_value.unwrap() >= found.p_value);
        assert!(variant.sequential.unwrap().p_value >= found.p_value);
    }
    assert_eq!(report.metrics[1].control_verdict, None);
    let again = analyse(&log, &experiment, &metrics(), options()).unwrap();
    assert_eq!(again, report, "to the last bit");
    let error = |metric: usize| {
        let comparison = report.metrics[metric].variants[0].comparison.as_ref();
        comparison.unwrap().standard_error.unwrap()
    };
    assert!(
        error(1) < error(0) / 2.0,
        "what was known before explains most"
    );
    let ratio = report.metrics[3].variants[0].comparison.as_ref().unwrap();
    assert!(ratio.variant.mean > 3.0 && ratio.variant.mean < 8.0);
    assert_eq!(report.metrics[4].variants[0].comparison, None);
    let verdicts = &report.metrics[2];
    let orders = verdicts.variants[0].comparison.as_ref().unwrap();
    let all = |metric: &str| {
        let found = analyse(&log, &experiment, &[Metric::Mean(metric.into())], options());
        found.unwrap().metrics[0].variants[0]
            .comparison
            .clone()
            .unwrap()
    };
    assert!(
        (orders.difference - all("orders").difference).abs() < 1e-12,
        "one each"
    );
    let best = verdicts
        .variants
        .iter()
        .map(|v| v.verdict.unwrap().best)
        .sum::<f64>();
    assert!((best + verdicts.control_verdict.unwrap().best - 1.0).abs() < 1e-10);

    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let markdown = report.to_markdown();
    assert!(markdown.contains("## revenue (CUPED)") && markdown.contains("c&lt;&#124;&gt;"));
    assert!(markdown.contains("Corrections: welch, cuped, holm."));
    let columns = markdown.lines().filter(|line| line.starts_with("| b |"));
    assert!(columns.skip(1).all(|line| line.matches('|').count() == 14));
    let svg = report.to_svg();
    assert_eq!(svg.matches("<circle").count(), 8);
    assert!(svg.contains("c&lt;&#124;&gt;") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn an_experiment_that_nobody_met_has_a_report() {
    let experiment = Experiment::new("e", ["a", "b"]);
    let report = analyse(&log(), &experiment, &metrics(), options()).unwrap();
    assert_eq!(report.counts, [0, 0]);
    assert_eq!(
        report.metrics[0].variants[0]
            .comparison
            .as_ref()
            .unwrap()
            .p_value,
        1.0
    );
    assert!(report.to_markdown().contains("Sample ratio: as meant"));
    assert!(report.to_svg().contains("<circle") && !report.to_svg().contains("NaN"));
    let mut sure = options();
    sure.confidence = 1.0;
    for (metrics, options) in [(vec![], options()), (metrics().split_off(4), sure)] {
        let error = analyse(&log(), &experiment, &metrics, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let error = log().record("x", "u", "", Timestamp(0), 1.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn variants_that_the_definition_lost_are_strangers_and_a_mismatch_is_told() {
    let (log, before) = (log(), Experiment::new("e", ["a", "b", "c"]));
    for unit in 0..60 {
        let variant = if unit < 50 { "a" } else { "c" };
        let exposed = given(&before, &unit.to_string(), variant);
        log.expose(&exposed, Timestamp(0)).unwrap();
    }
    let now = Experiment::new("e", ["a", "b"]);
    let report = analyse(&log, &now, &[Metric::Mean("m".into())], options()).unwrap();
    assert_eq!((&*report.counts, report.strangers), (&[50, 0][..], 10));
    assert!(report.to_markdown().contains("**mismatch"));
}

#[test]
fn an_analysis_reads_its_own_rows_by_indexes() {
    use common::query::{Filter, Query};
    let log = log();
    let snapshot = log.database().snapshot();
    for (table, column) in [
        ("experiment_exposures", "experiment"),
        ("experiment_outcomes", "metric"),
    ] {
        let query = Query::from(table).filter(Filter::eq(column, "e"));
        let plan = query.explain(&snapshot.view()).unwrap();
        assert!(plan.to_string().contains("index"), "{plan}");
    }
}
