//! Measures TandemDB beside other stores in one run, and checks that all of them give the same answers.

mod arguments;
mod migration;
mod payload;
mod redb;
mod sqlite;

use std::io::{self, Write as _};
use std::process::ExitCode;

use bench::alloc::CountingAllocator;
use bench::report::{Report, Target};
use bench::store::{self, Contender, Layout, Limit, SharedLimit, Subject as _, Tandem};

use crate::arguments::{Arguments, Bench};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const TANDEM: &str = "tandemdb";
const SQLITE: &str = "sqlite :memory:";
const SQLITE_BORROWING: &str = "sqlite, rows not kept";
const SQLITE_WITHOUT_ROWID: &str = "sqlite, without rowid";
const REDB: &str = "redb in memory";
const LIMIT: &str = "limit: HashMap";

/// The cases whose keys are numbers: the tables of redb have a type for their keys.
const NUMBERED: &[&str] = &[
    "insert",
    "insert-indexed",
    "get",
    "region",
    "created",
    "snapshot",
    "update",
    "delete",
    "transaction",
    "rollback",
    "readers-1",
    "readers-2",
    "readers-1-writer",
    "readers-2-writer",
    "memory",
];

const CONTENDERS: [Contender; 8] = [
    Contender {
        name: TANDEM,
        open: |layout| Ok(Box::new(Tandem::open(layout)?)),
        share: Some(|rows| {
            let mut tandem = Tandem::open(Layout::Plain)?;
            tandem.load(rows)?;
            Ok(Box::new(tandem))
        }),
        only: &[],
    },
    Contender {
        name: "tandemdb, columns by name",
        open: |layout| Ok(Box::new(Tandem::open_named(layout)?)),
        share: None,
        only: &["insert", "update"],
    },
    Contender {
        name: "tandemdb, nothing logged",
        open: |layout| Ok(Box::new(Tandem::open_without_log(layout)?)),
        share: None,
        only: &["insert", "insert-indexed", "memory"],
    },
    Contender {
        name: SQLITE,
        open: sqlite::Sqlite::open,
        share: Some(sqlite::Sqlite::share),
        only: &[],
    },
    Contender {
        name: SQLITE_BORROWING,
        open: sqlite::Sqlite::open_borrowing,
        share: None,
        only: &["get", "region", "created"],
    },
    Contender {
        name: SQLITE_WITHOUT_ROWID,
        open: sqlite::Sqlite::open_without_rowid,
        share: None,
        only: &["insert-uuid", "get-uuid", "update-uuid", "delete-uuid"],
    },
    Contender {
        name: REDB,
        open: redb::Redb::open,
        share: Some(redb::Redb::share),
        only: NUMBERED,
    },
    Contender {
        name: LIMIT,
        open: |layout| Ok(Box::new(Limit::new(layout))),
        share: Some(|rows| Ok(Box::new(SharedLimit::new(rows)?))),
        only: &[],
    },
];

const fn rate(case: &'static str, rival: &'static str, bound: f64) -> Target {
    Target {
        case,
        metric: "operations_per_second",
        rival: Some(rival),
        bound,
    }
}

const TARGETS: [Target; 17] = [
    rate("insert", SQLITE, 4.0),
    rate("insert", LIMIT, 0.5),
    rate("get", SQLITE, 4.0),
    rate("get", LIMIT, 0.8),
    rate("update", SQLITE, 5.0),
    rate("region", SQLITE, 5.0),
    rate("region", LIMIT, 0.5),
    rate("created", SQLITE, 3.0),
    rate("insert-uuid", SQLITE, 4.0),
    rate("insert-uuid", LIMIT, 0.5),
    rate("get-uuid", SQLITE, 4.0),
    rate("get-uuid", LIMIT, 0.8),
    rate("update-uuid", SQLITE, 5.0),
    Target {
        case: "transaction",
        metric: "cost_against_alone",
        rival: None,
        bound: 1.5,
    },
    Target {
        case: "snapshot",
        metric: "microseconds",
        rival: None,
        bound: 10.0,
    },
    Target {
        case: "memory",
        metric: "bytes_per_row",
        rival: Some(LIMIT),
        bound: 1.5,
    },
    Target {
        case: "memory-indexed",
        metric: "bytes_per_row",
        rival: Some(LIMIT),
        bound: 1.5,
    },
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

fn run() -> bench::Result<()> {
    let names: Vec<&str> = CONTENDERS.iter().map(|contender| contender.name).collect();
    let arguments = Arguments::parse(std::env::args().skip(1), &names)?;
    if arguments.help {
        io::stdout().write_all(arguments::HELP.as_bytes())?;
        return Ok(());
    }
    let report = match arguments.bench {
        Bench::Core => {
            let mut report = Report::new("core", TANDEM, &TARGETS);
            store::run(&arguments.plan, &CONTENDERS, &mut report, &mut io::stderr())?;
            report
        }
        Bench::Payload => {
            let mut report = Report::new("payload", payload::SUBJECT, &payload::TARGETS);
            payload::run(arguments.json_bytes, arguments.plan.rounds, &mut report)?;
            report
        }
        Bench::Migration => {
            let mut report = Report::new("migration", migration::SUBJECT, &migration::TARGETS);
            migration::run(&arguments.plan.sizes, arguments.plan.rounds, &mut report)?;
            report
        }
    };
    report.publish(arguments.markdown, arguments.json, "")?;
    Ok(())
}
