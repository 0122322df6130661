//! `tandem demo`: both roads on real data, measured while they are walked.

mod child;
mod data;
mod features;
mod queries;
mod report;
mod search;
mod sync;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use common::{Error, Result};
use serde::Serialize;

use crate::terminal::{Paint, is_coloured, output};

/// See both roads at work on real data: rows that sync between processes, vectors and features that are served
///
/// Starts a server and two replicas as processes of their own on the loopback interface, edits on both replicas
/// while they are apart, lets them sync and converge; asks questions and shows how they are answered; finds the
/// nearest neighbours of handwritten digits; serves features of the cities and makes a training set of them twice.
/// Everything that is reported is measured in this run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem demo\n  \
    tandem demo --json\n  \
    tandem demo --cities my-cities.csv --digits my-digits.csv\n\n\
    The data comes with the program: cities and countries of GeoNames (CC BY 4.0), and the UCI handwritten \
    digits (CC BY 4.0); see testdata/README.md.")]
pub(crate) struct Demo {
    /// Print the facts as one JSON object
    #[arg(long)]
    json: bool,
    /// Other cities: CSV with the columns id, name, country, population and perhaps admin1, latitude, longitude,
    /// timezone
    #[arg(long, value_name = "FILE")]
    cities: Option<PathBuf>,
    /// Other vectors: CSV without a header, numbers and then a label
    #[arg(long, value_name = "FILE")]
    digits: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Summary {
    sync: SyncSummary,
    search: SearchSummary,
    features: FeatureSummary,
    seconds: f64,
}

#[derive(Serialize)]
struct SyncSummary {
    converged: bool,
    rows: u64,
    initial_bytes: u64,
    incremental_bytes: u64,
    json_bytes: u64,
    conflicts: usize,
}

#[derive(Serialize)]
struct SearchSummary {
    vectors: usize,
    dimension: usize,
    recall_at_10: f64,
    label_accuracy: f64,
}

#[derive(Serialize)]
struct FeatureSummary {
    entities: usize,
    events: usize,
    numbers: usize,
    agrees: bool,
    training_set_is_same: bool,
    units: u64,
    units_moved: usize,
}

impl Demo {
    pub(crate) fn run(self) -> Result<()> {
        let start = Instant::now();
        let world = data::world(self.cities.as_deref())?;
        let digits = data::digits(self.digits.as_deref())?;
        let sync = sync::run(&world)?;
        let queries = queries::run(&world)?;
        let search = search::run(&digits)?;
        let features = features::run(&world)?;
        let seconds = start.elapsed().as_secs_f64();

        let mut out = output();
        if self.json {
            let summary = Summary {
                sync: SyncSummary {
                    converged: sync.converged,
                    rows: sync.rows,
                    initial_bytes: sync.initial.bytes_up + sync.initial.bytes_down,
                    incremental_bytes: sync.incremental_bytes(),
                    json_bytes: sync.json_bytes,
                    conflicts: sync.conflicts.len(),
                },
                search: SearchSummary {
                    vectors: search.vectors,
                    dimension: search.dimension,
                    recall_at_10: search.recall,
                    label_accuracy: search.accuracy,
                },
                features: FeatureSummary {
                    entities: features.cities,
                    events: features.events,
                    numbers: features.numbers,
                    agrees: features.agrees,
                    training_set_is_same: features.is_same,
                    units: features.units,
                    units_moved: features.moved,
                },
                seconds,
            };
            let text = serde_json::to_string(&summary)
                .map_err(|error| Error::invalid(error.to_string()))?;
            writeln!(out, "{text}")?;
        } else {
            report::print(
                &mut out,
                &sync,
                &queries,
                &search,
                &features,
                seconds,
                Paint(is_coloured()),
            )?;
        }
        let mistake = |what| format!("{what}; this is a mistake of ours, please report it");
        if !sync.converged {
            return Err(Error::corrupt(mistake("the replicas did not converge")));
        }
        if !(features.agrees && features.is_same) {
            return Err(Error::corrupt(mistake(
                "features were served that are not those of the table",
            )));
        }
        Ok(())
    }
}
