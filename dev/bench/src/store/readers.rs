//! The cases with several threads: readers alone, and readers beside a writer.

use std::io::Write;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::row::Row;
use super::subject::{Change, Contender, Shared};
use crate::Result;
use crate::clock::thread_time;
use crate::random::Random;
use crate::report::{Better, Figure, Report};
use crate::stats::Series;

/// How long the threads of one turn run.
const TURN: Duration = Duration::from_millis(400);
/// Gets between two looks at the clock.
const BATCH: usize = 500;
/// Updates between two looks at the clock.
const WRITES: usize = 50;

const CASES: [(&str, usize, bool); 4] = [
    ("readers-1", 1, false),
    ("readers-2", 2, false),
    ("readers-1-writer", 1, true),
    ("readers-2-writer", 2, true),
];

/// What one turn showed, each per second; `gets_by_processor` per second of the readers' processor time.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    gets: f64,
    gets_by_processor: f64,
    updates: f64,
}

#[derive(Default)]
struct Rounds {
    gets: Series,
    gets_by_processor: Series,
    updates: Series,
}

pub(super) fn run(
    plan: &Plan,
    contenders: &[Contender],
    rows: &[Row],
    report: &mut Report,
    progress: &mut dyn Write,
) -> Result<()> {
    if !CASES.iter().any(|(name, ..)| plan.has_case(name)) {
        return Ok(());
    }
    let mut stores = Vec::new();
    for contender in contenders {
        if let Some(share) = contender.share {
            stores.push((contender.name, share(rows)?));
        }
    }
    for (name, readers, writer) in CASES {
        if !plan.has_case(name) {
            continue;
        }
        let mut rounds: Vec<Rounds> = stores.iter().map(|_| Rounds::default()).collect();
        for round in 0..plan.rounds {
            for ((_, store), rounds) in stores.iter().zip(&mut rounds) {
                let turn = turn(store.as_ref(), rows.len(), readers, writer, round as u64)?;
                rounds.gets.push(turn.gets);
                rounds.gets_by_processor.push(turn.gets_by_processor);
                rounds.updates.push(turn.updates);
            }
        }
        let case = format!("{name}@{}", rows.len());
        writeln!(progress, "{case}")?;
        let names = || stores.iter().map(|(name, _)| *name);
        let mut push = |metric, unit, series: fn(&Rounds) -> &Series| {
            for (subject, rounds) in names().zip(&rounds) {
                report.push(Figure {
                    case: case.clone(),
                    subject: subject.to_owned(),
                    metric,
                    unit,
                    better: Better::Higher,
                    detail: false,
                    series: series(rounds).clone(),
                });
            }
        };
        push("gets_per_second", "1/s, all readers", |r| &r.gets);
        push(
            "gets_per_processor_second",
            "1/s of the readers' processor time",
            |r| &r.gets_by_processor,
        );
        if writer {
            push("updates_per_second", "1/s, each with its own commit", |r| {
                &r.updates
            });
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a number of operations")]
fn turn(store: &dyn Shared, rows: usize, readers: usize, writer: bool, round: u64) -> Result<Turn> {
    let stop = AtomicBool::new(false);
    let start = Barrier::new(readers + usize::from(writer) + 1);
    thread::scope(|scope| {
        let (stop, start) = (&stop, &start);
        let reading: Vec<_> = (0..readers)
            .map(|reader| {
                scope.spawn(move || read(store, rows, round << 8 | reader as u64, start, stop))
            })
            .collect();
        let writing =
            writer.then(|| scope.spawn(move || write(store, rows, round << 8 | 255, start, stop)));
        start.wait();
        let started = Instant::now();
        thread::sleep(TURN);
        stop.store(true, Relaxed);
        let (mut gets, mut processor) = (0, 0.0);
        for reader in reading {
            let (read, time) = reader.join().map_err(|_| "a reader panicked")??;
            gets += read;
            processor += time.as_secs_f64();
        }
        let updates = match writing {
            Some(writer) => writer.join().map_err(|_| "the writer panicked")??,
            None => 0,
        };
        let seconds = started.elapsed().as_secs_f64();
        Ok(Turn {
            gets: gets as f64 / seconds,
            gets_by_processor: gets as f64 / processor,
            updates: updates as f64 / seconds,
        })
    })
}

fn read(
    store: &dyn Shared,
    rows: usize,
    seed: u64,
    start: &Barrier,
    stop: &AtomicBool,
) -> Result<(u64, Duration)> {
    let mut random = Random::new(seed);
    let mut ids = vec![0; BATCH];
    let mut gets = 0;
    start.wait();
    let before = thread_time();
    while !stop.load(Relaxed) {
        for id in &mut ids {
            *id = i64::try_from(random.below(rows))?;
        }
        let digest = store.get(&ids)?;
        if digest.rows != ids.len() as u64 {
            return Err(format!("{} of {} rows were found", digest.rows, ids.len()).into());
        }
        gets += digest.rows;
    }
    Ok((gets, thread_time().saturating_sub(before)))
}

fn write(
    store: &dyn Shared,
    rows: usize,
    seed: u64,
    start: &Barrier,
    stop: &AtomicBool,
) -> Result<u64> {
    let mut random = Random::new(seed);
    let mut changes = Vec::with_capacity(WRITES);
    let mut updates = 0;
    start.wait();
    while !stop.load(Relaxed) {
        changes.clear();
        for _ in 0..WRITES {
            changes.push(Change {
                id: i64::try_from(random.below(rows))?,
                score: f64::from((random.bits() >> 40) as u32),
            });
        }
        store.update(&changes)?;
        updates += WRITES as u64;
    }
    Ok(updates)
}
