//! An experiment from its definition to its report: `cargo run --release -p tandemdb-vectordb --example experiment -- UNITS`
//! (20,000 by default) prints the report, and how long assignments take.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program that prints figures to look at"
)]

use std::time::Instant;

use common::{Database, Error, Timestamp};
use vectordb::experiment::{
    Algorithm, AnalysisOptions, Experiment, ExperimentLog, Metric, NO_VARIANT, analyse,
};

const BATCH: u64 = 1_000_000;

fn main() -> common::Result<()> {
    let units: u64 = match std::env::args().nth(1) {
        None => 20_000,
        Some(word) => word.parse().map_err(|error| {
            Error::invalid(format!("`{word}` is no number of units")).caused_by(error)
        })?,
    };
    let experiment = Experiment::new("button", ["grey", "green"]).coverage(0.5);
    let plan = experiment.compile(None)?;
    let log = ExperimentLog::open(&Database::new())?;
    for unit in 0..units {
        let name = unit.to_string();
        let assignment = plan.explain(&name, &[], None)?;
        log.expose(&assignment, Timestamp(0))?;
        // Another hash stands in for what people do: green brings one order in eight, grey one in ten.
        let chance = if assignment.variant.as_deref() == Some("green") {
            125_000
        } else {
            100_000
        };
        if Algorithm::Xxh3.bucket("what people do", &name) < chance {
            let value = 10.0 + (unit % 40) as f64;
            log.record(&name, &name, "orders", Timestamp(1), value)?;
        }
    }
    let metrics = [
        Metric::Proportion("orders".into()),
        Metric::Mean("orders".into()),
    ];
    let report = analyse(&log, &experiment, &metrics, AnalysisOptions::default())?;
    println!("{}", report.to_markdown());

    let numbers: Vec<u64> = (0..BATCH).collect();
    let texts: Vec<String> = numbers
        .iter()
        .map(|number| format!("user-{number}"))
        .collect();
    for algorithm in [
        Algorithm::Xxh3,
        Algorithm::GrowthbookV1,
        Algorithm::GrowthbookV2,
    ] {
        let plan = experiment.clone().algorithm(algorithm).compile(None)?;
        let begin = Instant::now();
        let of_numbers = plan.assign_numbers(&numbers)?;
        let first = begin.elapsed().as_secs_f64();
        let of_texts = plan.assign_all(&texts)?;
        let second = begin.elapsed().as_secs_f64() - first;
        let mut taking_part = 0;
        let begin = Instant::now();
        for text in &texts {
            taking_part += usize::from(plan.assign(text, &[])? != NO_VARIANT);
        }
        let single = begin.elapsed().as_secs_f64() / BATCH as f64 * 1e9;
        let rate = |seconds: f64| BATCH as f64 / seconds / 1e6;
        assert_eq!(
            taking_part,
            of_texts
                .iter()
                .filter(|variant| **variant != NO_VARIANT)
                .count()
        );
        println!(
            "{}: {:.1} million numbers and {:.1} million texts a second, {single:.1} ns one at a time ({} take part)",
            algorithm.name(),
            rate(first),
            rate(second),
            of_numbers
                .iter()
                .filter(|variant| **variant != NO_VARIANT)
                .count(),
        );
    }
    Ok(())
}
