//! Measures how TandemDB and others bring rows to a client and keep them up to date, in one run on the same rows, and
//! checks after every sync that the client has what the server has.
#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts are small, and positions are those of rows and columns made here"
)]

mod arguments;
mod automerge;
mod course;
mod formats;
mod loro;
mod node;
mod session;
mod sqlite;
mod subject;
mod tandem;
mod yrs;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::Result;
use bench::alloc::CountingAllocator;
use bench::report::{Better, Figure, Report, Target};
use bench::stats::Series;
use common::serialization::Format;

use crate::arguments::Arguments;
use crate::course::Course;
use crate::formats::{Formatted, Packing};
use crate::subject::{Subject, Traffic, check, timed, weighed};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const TANDEM: &str = "tandemdb";

/// Someone who takes part.
struct Contender {
    name: &'static str,
    open: fn() -> Result<Box<dyn Subject>>,
    /// Allocates with Rust's allocator, so that its memory can be counted.
    counted: bool,
}

const fn contender(name: &'static str, open: fn() -> Result<Box<dyn Subject>>) -> Contender {
    Contender {
        name,
        open,
        counted: true,
    }
}

const fn uncounted(name: &'static str, open: fn() -> Result<Box<dyn Subject>>) -> Contender {
    Contender {
        name,
        open,
        counted: false,
    }
}

const JSON_ZSTD_9: &str = "json, zstd 9";
const PARQUET: &str = "parquet, zstd";
const LORO: &str = "loro, zstd";
const YJS: &str = "yjs (yrs), zstd";
const PATCHSET: &str = "sqlite patchset, zstd";

const CONTENDERS: [Contender; 15] = [
    contender(TANDEM, tandem::Tandem::in_process),
    contender("tandemdb in use", tandem::Tandem::in_use),
    contender("tandemdb over http", tandem::Tandem::over_http),
    contender("automerge", || Ok(automerge::Automerge::open())),
    contender(LORO, || Ok(loro::Loro::open())),
    contender(YJS, || Ok(yrs::Yjs::open())),
    uncounted(PATCHSET, sqlite::Sqlite::patchset),
    uncounted("sqlite changeset, zstd", sqlite::Sqlite::changeset),
    contender("json, gzip", || {
        Ok(Formatted::open(Format::Json, Packing::Gzip))
    }),
    contender("json, zstd 3", || {
        Ok(Formatted::open(Format::Json, Packing::Zstd(3)))
    }),
    contender(JSON_ZSTD_9, || {
        Ok(Formatted::open(Format::Json, Packing::Zstd(9)))
    }),
    contender("messagepack, zstd 9", || {
        Ok(Formatted::open(Format::MsgPack, Packing::Zstd(9)))
    }),
    contender("protobuf, zstd 9", || {
        Ok(Formatted::open(Format::Protobuf, Packing::Zstd(9)))
    }),
    contender("arrow ipc, zstd 9", || {
        Ok(Formatted::open(Format::Arrow, Packing::Zstd(9)))
    }),
    contender(PARQUET, || {
        Ok(Formatted::open(Format::Parquet, Packing::Own))
    }),
];

const fn bytes(case: &'static str, rival: &'static str, bound: f64) -> Target {
    Target {
        case,
        metric: "bytes",
        rival: Some(rival),
        bound,
    }
}

const fn ours(case: &'static str, metric: &'static str, bound: f64) -> Target {
    Target {
        case,
        metric,
        rival: None,
        bound,
    }
}

const TARGETS: [Target; 12] = [
    bytes("increment-350", LORO, 0.70),
    bytes("increment-350", YJS, 0.70),
    bytes("increment-350", PATCHSET, 0.70),
    bytes("initial", PARQUET, 0.75),
    bytes("initial", JSON_ZSTD_9, 0.64),
    ours("initial@10MB", "milliseconds", 200.0),
    ours("initial@100MB", "milliseconds", 2_500.0),
    ours("nothing-new", "bytes", 300.0),
    ours("nothing-new", "round_trips", 1.0),
    ours("nothing-new", "milliseconds", 1.0),
    ours("increment-350", "milliseconds", 5.0),
    ours("increment-350", "round_trips", 1.0),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when the message cannot be written either.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    if arguments.help {
        io::stdout().write_all(arguments::HELP.as_bytes())?;
        return Ok(());
    }
    let mut report = Report::new("sync", TANDEM, &TARGETS);
    let mut notes = Vec::new();
    let mut slow: BTreeMap<&str, u64> = BTreeMap::new();
    for &megabytes in &arguments.megabytes {
        let course = Course::of(megabytes)?;
        writeln!(
            io::stderr(),
            "{megabytes} MB: {} bytes of JSON; 350 changed rows are {}",
            course.json_bytes,
            course.increment_json
        )?;
        let rounds = arguments
            .rounds
            .unwrap_or(if megabytes > 10 { 1 } else { 5 });
        let mut figures = Figures::default();
        let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
        // Round 0 weighs and checks; the others are timed, by turns.
        for round in 0..=rounds {
            for contender in &CONTENDERS {
                if !arguments.wants(contender.name) {
                    continue;
                }
                if let Some(seconds) = slow.get(contender.name)
                    && *seconds > arguments.patience
                {
                    if round == 0 {
                        notes.push(format!(
                            "{} was not run at {megabytes} MB: the size before took {seconds} s",
                            contender.name
                        ));
                    }
                    continue;
                }
                let begun = Instant::now();
                figures
                    .round(contender, &course, round)
                    .map_err(|error| format!("{} at {megabytes} MB: {error}", contender.name))?;
                let took = begun.elapsed().as_secs();
                writeln!(
                    io::stderr(),
                    "  round {round}: {}, {took} s",
                    contender.name
                )?;
                if round == 0 {
                    taken.insert(contender.name, took);
                }
            }
        }
        if arguments.with_node {
            notes.extend(node::run(&course, megabytes, &mut figures)?);
        }
        slow.extend(taken);
        figures.report(megabytes, &mut report);
    }
    let mut table: Box<dyn io::Write> = if arguments.json {
        report.write_json(&mut io::stdout())?;
        Box::new(io::stderr())
    } else {
        Box::new(io::stdout())
    };
    report.write_table(&mut table)?;
    for note in notes {
        writeln!(table, "\n{note}")?;
    }
    let missed = report.missed();
    writeln!(table, "\n{} targets missed", missed.len())?;
    for sentence in missed {
        writeln!(table, "  {sentence}")?;
    }
    Ok(())
}

/// What was measured at one size, by case, metric and subject, in the order in which they came.
#[derive(Default)]
struct Figures {
    order: Vec<(&'static str, &'static str, String)>,
    values: BTreeMap<(&'static str, &'static str, String), Series>,
}

const METRICS: [(&str, &str, bool); 5] = [
    ("bytes", "bytes both ways", false),
    ("round_trips", "1", true),
    ("milliseconds", "ms on the wall", false),
    ("processor_milliseconds", "ms of both sides", true),
    ("peak_bytes", "bytes beyond what there was before", false),
];

impl Figures {
    fn push(&mut self, case: &'static str, metric: &'static str, subject: &str, value: f64) {
        let key = (case, metric, subject.to_owned());
        let series = self.values.entry(key.clone()).or_insert_with(|| {
            self.order.push(key);
            Series::default()
        });
        series.push(value);
    }

    fn traffic(&mut self, case: &'static str, subject: &str, traffic: Traffic) {
        self.push(case, "bytes", subject, (traffic.up + traffic.down) as f64);
        self.push(case, "round_trips", subject, traffic.round_trips as f64);
    }

    fn times(&mut self, case: &'static str, subject: &str, wall: Duration, processor: Duration) {
        self.push(case, "milliseconds", subject, wall.as_secs_f64() * 1e3);
        self.push(
            case,
            "processor_milliseconds",
            subject,
            processor.as_secs_f64() * 1e3,
        );
    }

    /// One subject from the first sync to the last.
    fn round(&mut self, contender: &Contender, course: &Course, round: usize) -> Result<()> {
        let mut subject = (contender.open)()?;
        subject.publish(&course.data)?;
        let name = contender.name;
        let mut before = &course.data;
        let first = std::iter::once(("initial", None, &course.data));
        let steps = course.steps.iter();
        let steps = steps.map(|step| (step.case, step.change.as_ref(), &step.after));
        for (case, change, after) in first.chain(steps) {
            if let Some(change) = change {
                subject.change(before, change)?;
            }
            if round == 0 {
                let (traffic, peak) = weighed(subject.as_mut())?;
                self.traffic(case, name, traffic);
                if contender.counted {
                    self.push(case, "peak_bytes", name, peak as f64);
                }
                check(subject.as_ref(), after).map_err(|error| format!("{case}: {error}"))?;
            } else {
                let measured = timed(subject.as_mut())?;
                self.times(case, name, measured.wall, measured.processor);
            }
            before = after;
        }
        Ok(())
    }

    fn report(self, megabytes: usize, report: &mut Report) {
        let position = |wanted: &str| METRICS.iter().position(|(name, ..)| *name == wanted);
        let mut cases: Vec<&str> = Vec::new();
        for (case, ..) in &self.order {
            if !cases.contains(case) {
                cases.push(case);
            }
        }
        let case_position = |wanted: &str| cases.iter().position(|case| *case == wanted);
        let mut keys = self.order.clone();
        keys.sort_by_key(|(case, metric, _)| (case_position(case), position(metric)));
        for key in keys {
            let Some(series) = self.values.get(&key) else {
                continue;
            };
            let (case, metric, subject) = key;
            let at = position(metric).unwrap_or_default();
            let (metric, unit, detail) = METRICS[at];
            report.push(Figure {
                case: format!("{case}@{megabytes}MB"),
                subject,
                metric,
                unit,
                better: Better::Lower,
                detail,
                series: series.clone(),
            });
        }
    }
}
