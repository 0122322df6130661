//! Measures TandemDB's vector indexes beside other libraries for nearest neighbours, in one run on the same vectors, and
//! checks every answer against exact search.
//!
//! Each subject is a process of its own that takes its turn; see `protocol.rs` for what it is told.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts fit 32 bits and floats, and positions are those of vectors made or read here"
)]

mod arguments;
mod chart;
mod child;
mod curve;
mod data;
mod ours;
mod protocol;
mod questions;
mod run;
mod rust_rivals;
mod subject;
mod synthetic;
mod truth;

use std::io::{self, Write as _};
use std::process::ExitCode;

use bench::Result;
use bench::report::{Figure, Report};

use crate::arguments::Arguments;
use crate::data::DataSet;
use crate::run::Run;
use crate::truth::Truth;

/// Whose figures the others are set against in the report.
const OURS: &str = "tandemdb fast";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match (arguments.next().as_deref(), arguments.next()) {
        (Some(child::SERVE), Some(name)) => subject::serve(&name),
        _ => bench(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when the message cannot be written either.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    if arguments.help {
        io::stdout().write_all(arguments::HELP.as_bytes())?;
        return Ok(());
    }
    if arguments.list {
        for name in child::names() {
            writeln!(io::stdout(), "{name}")?;
        }
        return Ok(());
    }
    let folder = arguments::root().join("target/bench-ann/data");
    let threads = std::thread::available_parallelism()?.get();
    let mut figures = Vec::new();
    let mut notes = Vec::new();
    for name in arguments.data_sets() {
        writeln!(io::stderr(), "{name}: vectors and their true neighbours")?;
        let data = DataSet::open(name, &arguments.data, &folder, arguments.quick, threads)?;
        let truth = Truth::of(&data, &folder, threads)?;
        writeln!(
            io::stderr(),
            "{name}: {} vectors of {} dimensions, {} queries",
            data.rows(),
            data.dimension,
            data.query_count()
        )?;
        let mut run = Run {
            arguments: &arguments,
            data: &data,
            truth: &truth,
            folder: &folder,
            threads,
            figures: &mut figures,
            notes: &mut notes,
        };
        run.all()?;
    }
    let report = grouped(&figures);
    report.write_table(&mut io::stderr())?;
    for note in &notes {
        writeln!(io::stderr(), "\nnote: {note}")?;
    }
    if arguments.json {
        report.write_json(&mut io::stdout())?;
    }
    Ok(())
}

/// Figures as they came, but those of one case and metric together.
fn grouped(figures: &[Figure]) -> Report {
    let mut order: Vec<(&str, &str)> = Vec::new();
    for figure in figures {
        let key = (figure.case.as_str(), figure.metric);
        if !order.contains(&key) {
            order.push(key);
        }
    }
    let mut report = Report::new("ann", OURS, &[]);
    for (case, metric) in order {
        let is_key = |figure: &&Figure| figure.case == case && figure.metric == metric;
        for figure in figures.iter().filter(is_key) {
            report.push(figure.clone());
        }
    }
    report
}
