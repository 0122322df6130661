//! Durable single-row upserts by many threads, and opening a folder again, beside redb, fjall and SQLite.
//!
//! Every write is waited for until the engine has synced it to the disk. An engine without group commit is also run with
//! one in front of it, as a program that stands on it would write. What was acknowledged is counted after opening again.

mod engines;
mod grouped;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench::report::{Better, Report, Rounds};
use engines::{Engine, Failure, Open};

const HELP: &str = "\
Durable writes and reopening, against redb, fjall and SQLite.

Usage: cargo xtask bench durable [--seconds N] [--threads N] [--rows N] [--rounds N] [--folder F] [--json] [ENGINE...]

  --seconds N   time for each engine's writes (5)
  --threads N   threads that write (64)
  --rows N      rows that are there when the folder is opened again (1000000)
  --rounds N    turns of each engine (3)
  --folder F    where the files are, on the disk that is measured (a folder in the system's place for such)
  --json        JSON lines on standard output, the tables on standard error";

/// Keys that the threads write to, so that most writes replace a row.
const KEYS: u64 = 100_000;

/// The engine that is opened from a folder.
type Shared = Arc<dyn Engine>;

struct Options {
    seconds: u64,
    threads: u64,
    rows: u64,
    rounds: u64,
    folder: Option<String>,
    json: bool,
    engines: Vec<String>,
}

/// The options; `None` where help is asked for.
fn options() -> Result<Option<Options>, Failure> {
    let mut options = Options {
        seconds: 5,
        threads: 64,
        rows: 1_000_000,
        rounds: 3,
        folder: None,
        json: false,
        engines: Vec::new(),
    };
    // The first is the name of the benchmark.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "durable");
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} has no value\n\n{HELP}"));
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--seconds" => options.seconds = value()?.parse()?,
            "--threads" => options.threads = value()?.parse()?,
            "--rows" => options.rows = value()?.parse()?,
            "--rounds" => options.rounds = value()?.parse()?,
            "--folder" => options.folder = Some(value()?),
            "--json" => options.json = true,
            other if other.starts_with('-') => {
                return Err(format!("there is no option {other}\n\n{HELP}").into());
            }
            _ => options.engines.push(arg),
        }
    }
    if options.threads == 0 || options.rounds == 0 {
        return Err(format!("that leaves nothing to measure\n\n{HELP}").into());
    }
    Ok(Some(options))
}

/// The text of a row: 100 bytes.
fn text(number: u64) -> String {
    format!("{number:0>100}")
}

fn main() -> Result<(), Failure> {
    let Some(options) = options()? else {
        println!("{HELP}");
        return Ok(());
    };
    let wanted = |name: &str| {
        let mut engines = options.engines.iter();
        options.engines.is_empty() || engines.any(|engine| name.contains(engine.as_str()))
    };
    let mut rounds = Rounds::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (name, open) in engines::ALL.iter().filter(|(name, _)| wanted(name)) {
            let folder = folder(&options)?;
            writes(name, *open, folder.path(), &options, &mut rounds)?;
        }
        for (name, open) in engines::PLAIN.iter().filter(|(name, _)| wanted(name)) {
            let folder = folder(&options)?;
            reopen(name, *open, folder.path(), &options, &mut rounds)?;
        }
    }
    let mut report = Report::new("durable", engines::OURS, &[]);
    let figures = rounds.into_figures(|metric| match metric {
        "writes_per_second" => ("1/s", Better::Higher),
        "megabytes" => ("MB", Better::Lower),
        "open" => ("s", Better::Lower),
        _ => ("ms", Better::Lower),
    });
    figures.for_each(|figure| report.push(figure));
    report.publish(false, options.json, "")?;
    Ok(())
}

fn folder(options: &Options) -> Result<tempfile::TempDir, Failure> {
    Ok(match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    })
}

/// The key that a write of this number goes to.
const fn key(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS
}

/// Writes from all threads for some time, then looks whether everything that was acknowledged is there.
fn writes(
    name: &str,
    open: Open,
    folder: &Path,
    options: &Options,
    rounds: &mut Rounds,
) -> Result<(), Failure> {
    let engine = open(folder)?;
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let begin = Instant::now();
    let write = || -> Result<Vec<u64>, Failure> {
        let mut micros = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let begin = Instant::now();
            engine.upsert(key(number), &text(number))?;
            micros.push(u64::try_from(begin.elapsed().as_micros())?);
        }
        Ok(micros)
    };
    let mut micros = std::thread::scope(|scope| -> Result<Vec<u64>, Failure> {
        let threads: Vec<_> = (0..options.threads).map(|_| scope.spawn(write)).collect();
        std::thread::sleep(Duration::from_secs(options.seconds));
        stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(all)
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    drop(engine);
    let written: HashSet<u64> = (0..next.load(Ordering::Relaxed)).map(key).collect();
    let found = open(folder)?.count()?;
    if found != written.len() as u64 {
        let written = written.len();
        return Err(format!(
            "{name}: {found} rows after opening again, {written} were acknowledged"
        )
        .into());
    }
    micros.sort_unstable();
    let at = |share: usize| {
        let place = micros.len().saturating_sub(1) * share / 100;
        micros.get(place).map_or(0.0, |micros| *micros as f64 / 1e3)
    };
    let case = format!("upsert@{}", options.threads);
    for (metric, value) in [
        ("writes_per_second", micros.len() as f64 / seconds),
        ("p50", at(50)),
        ("p99", at(99)),
    ] {
        rounds.push(&case, metric, name, value);
    }
    Ok(())
}

/// Fills a table, then opens it again and reads it to the end, also from a snapshot where the engine makes one.
fn reopen(
    name: &str,
    open: Open,
    folder: &Path,
    options: &Options,
    rounds: &mut Rounds,
) -> Result<(), Failure> {
    let engine = open(folder)?;
    let mut next = 0;
    while next < options.rows {
        let end = (next + 1_000).min(options.rows);
        let rows: Vec<(u64, String)> = (next..end).map(|number| (number, text(number))).collect();
        engine.fill(&rows)?;
        next = end;
    }
    drop(engine);
    let mut time = |case: &str| -> Result<(), Failure> {
        let begin = Instant::now();
        let count = open(folder)?.count()?;
        let seconds = begin.elapsed().as_secs_f64();
        if count != options.rows {
            return Err(format!("{name}: {count} rows after opening again").into());
        }
        let case = format!("{case}@{}", options.rows);
        for (metric, value) in [("open", seconds), ("megabytes", megabytes(folder)?)] {
            rounds.push(&case, metric, name, value);
        }
        Ok(())
    };
    time("reopen")?;
    let engine = open(folder)?;
    if engine.snapshot()? {
        drop(engine);
        time("reopen-snapshot")?;
    }
    Ok(())
}

fn megabytes(folder: &Path) -> Result<f64, Failure> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            megabytes(&entry.path())?
        } else {
            metadata.len() as f64 / 1e6
        };
    }
    Ok(bytes)
}
