//! The cases with one thread, and [`run`], which runs all.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use super::plan::Plan;
use super::readers;
use super::row::{Digest, Row, Table};
use super::subject::{Change, Contender, Layout, Operation, Subject};
use crate::Result;
use crate::alloc::live_bytes_of;
use crate::clock::{Elapsed, Stopwatch};
use crate::random::Random;
use crate::report::{Better, Figure, Report};
use crate::stats::Series;

/// Operations in a round, whatever the size of the table.
const GETS: usize = 200_000;
const UPDATES: usize = 100_000;
const DELETES: usize = 50_000;
const QUERIES: usize = 2_000;
const RANGES: usize = 2_000;
const GROUPS: usize = 3_000;
const SNAPSHOTS: usize = 20_000;
/// Cases of a filled table. Reads first: a subject that only takes part in those never sees the writes.
const LOADED: [&str; 8] = [
    "get",
    "region",
    "created",
    "snapshot",
    "update",
    "delete",
    "transaction",
    "rollback",
];
const LOADED_UUID: [&str; 3] = ["get-uuid", "update-uuid", "delete-uuid"];
/// Rows written before a rollback, and how many rollbacks a round times.
const ROLLBACKS: [(usize, usize); 4] = [(10, 200), (100, 100), (1_000, 20), (10_000, 3)];
/// Inserted, updated and deleted in a transaction of ten.
const GROUP: (i64, usize, i64) = (3, 4, 3);
/// A subject that took longer than this is not asked again in the same case.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the cases of `plan` with all contenders and adds what was measured to `report`.
///
/// # Errors
/// When a store reports an error, or two stores read different rows.
pub fn run(
    plan: &Plan,
    contenders: &[Contender],
    report: &mut Report,
    progress: &mut dyn Write,
) -> Result<()> {
    let contenders: Vec<Contender> = contenders
        .iter()
        .filter(|contender| plan.has_subject(contender.name))
        .copied()
        .collect();
    for &size in &plan.sizes {
        let table = Table::new(size);
        let rows: Vec<Row> = table.rows(0..table.len()).collect();
        let mut bench = Bench {
            plan,
            contenders: &contenders,
            table,
            rows: &rows,
            report,
            progress,
        };
        bench.insert("insert", Layout::Plain)?;
        bench.insert("insert-indexed", Layout::Indexed)?;
        bench.loaded_cases(&LOADED, Layout::Indexed)?;
        bench.insert("insert-uuid", Layout::Uuid)?;
        bench.loaded_cases(&LOADED_UUID, Layout::Uuid)?;
        readers::run(plan, &contenders, &rows, bench.report, bench.progress)?;
        bench.memory()?;
    }
    Ok(())
}

struct Bench<'a> {
    plan: &'a Plan,
    contenders: &'a [Contender],
    table: Table,
    rows: &'a [Row],
    report: &'a mut Report,
    progress: &'a mut dyn Write,
}

/// A filled store and who it belongs to.
struct Loaded {
    name: &'static str,
    subject: Box<dyn Subject>,
}

/// Measurements of a case by subject and metric, kept in the order in which they first came.
#[derive(Default)]
struct Sheet(Vec<(&'static str, Metric, Series)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Metric {
    name: &'static str,
    unit: &'static str,
    better: Better,
}

const RATE: Metric = Metric {
    name: "operations_per_second",
    unit: "1/s of processor time",
    better: Better::Higher,
};
/// Below 1, other processes took the processor while the round ran.
const SHARE: Metric = Metric {
    name: "processor_share",
    unit: "processor time / wall time",
    better: Better::Higher,
};
const ALONE: Metric = Metric {
    name: "cost_against_alone",
    unit: "time together / time alone",
    better: Better::Lower,
};
const ROLLBACK: Metric = Metric {
    name: "nanoseconds_per_row",
    unit: "ns for each row written",
    better: Better::Lower,
};
const SNAPSHOT: Metric = Metric {
    name: "microseconds",
    unit: "us to open and read one row",
    better: Better::Lower,
};
const MEMORY: Metric = Metric {
    name: "bytes_per_row",
    unit: "B",
    better: Better::Lower,
};

impl Sheet {
    fn push(&mut self, subject: &'static str, metric: Metric, value: f64) {
        let known = self
            .0
            .iter_mut()
            .find(|(name, known, _)| *name == subject && *known == metric);
        match known {
            Some((_, _, series)) => series.push(value),
            None => self
                .0
                .push((subject, metric, [value].into_iter().collect())),
        }
    }

    fn push_rate(&mut self, subject: &'static str, operations: usize, elapsed: Elapsed) {
        let seconds = elapsed.processor.as_secs_f64();
        self.push(subject, RATE, count(operations) / seconds);
        let share = seconds / elapsed.wall.as_secs_f64();
        self.push(subject, SHARE, share);
    }

    fn into_figures(self, case: &str) -> impl Iterator<Item = Figure> {
        self.0
            .into_iter()
            .map(move |(subject, metric, series)| Figure {
                case: case.to_owned(),
                subject: subject.to_owned(),
                metric: metric.name,
                unit: metric.unit,
                better: metric.better,
                detail: metric == SHARE,
                series,
            })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of operations")]
fn count(operations: usize) -> f64 {
    operations as f64
}

/// Remembers the first answer of a round and compares the others with it.
#[derive(Default)]
struct Answer(Option<(&'static str, Digest)>);

impl Answer {
    fn check(&mut self, case: &str, subject: &'static str, digest: Digest) -> Result<()> {
        match self.0 {
            None => self.0 = Some((subject, digest)),
            Some((_, first)) if first == digest => {}
            Some((name, first)) => {
                return Err(format!(
                    "{case}: `{subject}` read {digest:?}, but `{name}` read {first:?}"
                )
                .into());
            }
        }
        Ok(())
    }
}

impl Bench<'_> {
    fn case(&self, name: &str) -> String {
        format!("{name}@{}", self.table.len())
    }

    fn finish(&mut self, name: &str, mut sheet: Sheet) -> Result<()> {
        // The table lists figure by figure, whoever came first in the first round.
        let order = |name: &str| self.contenders.iter().position(|c| c.name == name);
        let mut metrics: Vec<&'static str> = Vec::new();
        for (_, metric, _) in &sheet.0 {
            if !metrics.contains(&metric.name) {
                metrics.push(metric.name);
            }
        }
        sheet.0.sort_by_key(|(subject, metric, _)| {
            let metric = metrics.iter().position(|name| *name == metric.name);
            (metric, order(subject))
        });
        writeln!(self.progress, "{}", self.case(name))?;
        let case = self.case(name);
        sheet
            .into_figures(&case)
            .for_each(|figure| self.report.push(figure));
        Ok(())
    }

    /// Who takes part, beginning with another one in every round.
    fn turns(&self, case: &str, round: usize) -> Vec<Contender> {
        let mut turns: Vec<Contender> = self
            .contenders
            .iter()
            .filter(|contender| contender.takes_part(case))
            .copied()
            .collect();
        let len = turns.len().max(1);
        turns.rotate_left(round % len);
        turns
    }

    fn insert(&mut self, name: &'static str, layout: Layout) -> Result<()> {
        if !self.plan.has_case(name) {
            return Ok(());
        }
        let mut sheet = Sheet::default();
        let mut slow: Vec<&str> = Vec::new();
        let sample = self.ids(name, 0, 10_000.min(self.rows.len()));
        for round in 0..self.plan.rounds {
            let mut answer = Answer::default();
            for contender in self.turns(name, round) {
                if slow.contains(&contender.name) {
                    continue;
                }
                let mut subject = (contender.open)(layout)?;
                let stopwatch = Stopwatch::start();
                subject.insert(self.rows)?;
                let elapsed = stopwatch.elapsed();
                sheet.push_rate(contender.name, self.rows.len(), elapsed);
                answer.check(name, contender.name, subject.get(&sample)?)?;
                if elapsed.wall > PATIENCE {
                    slow.push(contender.name);
                }
            }
        }
        self.finish(name, sheet)
    }

    fn loaded_cases(&mut self, names: &[&'static str], layout: Layout) -> Result<()> {
        if !names.iter().any(|name| self.plan.has_case(name)) {
            return Ok(());
        }
        let mut loaded = BTreeMap::new();
        for contender in self.contenders {
            if !names.iter().any(|name| contender.takes_part(name)) {
                continue;
            }
            let mut subject = (contender.open)(layout)?;
            subject.load(self.rows)?;
            // Three rows beyond the table, which the first group of operations deletes.
            subject.insert(&self.beyond(0))?;
            let name = contender.name;
            loaded.insert(name, Loaded { name, subject });
        }
        for name in names {
            if self.plan.has_case(name) {
                self.loaded_case(name, &mut loaded)?;
            }
        }
        Ok(())
    }

    fn loaded_case(
        &mut self,
        name: &'static str,
        loaded: &mut BTreeMap<&'static str, Loaded>,
    ) -> Result<()> {
        let mut sheet = Sheet::default();
        for round in 0..self.plan.rounds {
            let mut answer = Answer::default();
            for contender in self.turns(name, round) {
                let Some(loaded) = loaded.get_mut(contender.name) else {
                    continue;
                };
                let digest = self.turn(name, round, loaded, &mut sheet)?;
                if let Some(digest) = digest {
                    answer.check(name, contender.name, digest)?;
                }
            }
        }
        self.finish(name, sheet)
    }

    /// One subject's turn in one round; returns what it read, or what its rows are after it wrote.
    fn turn(
        &self,
        name: &'static str,
        round: usize,
        loaded: &mut Loaded,
        sheet: &mut Sheet,
    ) -> Result<Option<Digest>> {
        let subject = loaded.subject.as_mut();
        let name_of = loaded.name;
        let limit = self.rows.len();
        match name.trim_end_matches("-uuid") {
            "get" => {
                let ids = self.ids(name, round, GETS.min(limit * 2));
                let stopwatch = Stopwatch::start();
                let digest = subject.get(&ids)?;
                sheet.push_rate(name_of, ids.len(), stopwatch.elapsed());
                Ok(Some(digest))
            }
            "update" => {
                let changes = self.changes(name, round, UPDATES.min(limit));
                let stopwatch = Stopwatch::start();
                subject.update(&changes)?;
                sheet.push_rate(name_of, changes.len(), stopwatch.elapsed());
                let ids: Vec<i64> = changes.iter().map(|change| change.id).collect();
                subject.get(&ids).map(Some)
            }
            "delete" => {
                let ids = self.distinct_ids(name, round, DELETES.min(limit / 2));
                let rows: Vec<Row> = ids.iter().map(|id| self.table.row(*id)).collect();
                let stopwatch = Stopwatch::start();
                subject.delete(&ids)?;
                sheet.push_rate(name_of, ids.len(), stopwatch.elapsed());
                if subject.get(&ids)?.rows != 0 {
                    return Err(format!("delete: `{name_of}` still has deleted rows").into());
                }
                // The deleted rows come back with their first score, in every store.
                subject.transact(&[rows.into_iter().map(Operation::Insert).collect()])?;
                subject.get(&ids).map(Some)
            }
            "region" => {
                let mut random = self.random(name, round);
                let regions = usize::try_from(self.table.regions())?;
                let regions: Vec<String> = (0..QUERIES)
                    .map(|_| i64::try_from(random.below(regions)).map(Table::region))
                    .collect::<std::result::Result<_, _>>()?;
                let stopwatch = Stopwatch::start();
                let digest = subject.by_region(&regions)?;
                sheet.push_rate(name_of, regions.len(), stopwatch.elapsed());
                Ok(Some(digest))
            }
            "created" => {
                let mut random = self.random(name, round);
                let mut ranges = Vec::with_capacity(RANGES);
                for _ in 0..RANGES {
                    let first = random.below(limit.saturating_sub(100).max(1));
                    ranges.push(Table::created(i64::try_from(first)?, 100));
                }
                let stopwatch = Stopwatch::start();
                let digest = subject.by_created(&ranges)?;
                sheet.push_rate(name_of, ranges.len(), stopwatch.elapsed());
                Ok(Some(digest))
            }
            "transaction" => self.transaction(round, loaded, sheet).map(Some),
            "rollback" => {
                self.rollback(loaded, sheet)?;
                loaded.subject.get(&self.ids(name, round, 1_000)).map(Some)
            }
            _ => {
                let ids = self.ids(name, round, SNAPSHOTS);
                let stopwatch = Stopwatch::start();
                let digest = subject.snapshot(&ids)?;
                let elapsed = stopwatch.elapsed();
                if digest.is_some() {
                    let micros = elapsed.processor.as_secs_f64() * 1e6 / count(ids.len());
                    sheet.push(name_of, SNAPSHOT, micros);
                }
                Ok(digest)
            }
        }
    }

    /// Ten operations one by one, then ten such operations in one transaction; leaves the number of rows.
    fn transaction(&self, round: usize, loaded: &mut Loaded, sheet: &mut Sheet) -> Result<Digest> {
        let groups = self.groups(round);
        let half = groups.len() / 2;
        let (alone, together) = groups.split_at(half);
        let alone = alone.concat();
        let stopwatch = Stopwatch::start();
        loaded.subject.apply(&alone)?;
        let time_alone = stopwatch.elapsed();
        let stopwatch = Stopwatch::start();
        loaded.subject.transact(together)?;
        let time_together = stopwatch.elapsed();
        sheet.push_rate(loaded.name, half, time_together);
        let quotient = time_together.processor.as_secs_f64() / time_alone.processor.as_secs_f64();
        sheet.push(loaded.name, ALONE, quotient);
        // Back to the rows before: the last group's are there, the first three are not.
        let last = i64::try_from(groups.len())?;
        let ids: Vec<i64> = self.beyond(last).iter().map(|row| row.id).collect();
        let digest = loaded.subject.get(&ids)?;
        loaded.subject.delete(&ids)?;
        loaded.subject.insert(&self.beyond(0))?;
        let touched: Vec<i64> = groups
            .iter()
            .flatten()
            .filter_map(|operation| match operation {
                Operation::Update(change) => Some(change.id),
                Operation::Insert(_) | Operation::Delete(_) => None,
            })
            .collect();
        if digest.rows != u64::try_from(ids.len())? {
            return Err(format!("transaction: `{}` lost rows", loaded.name).into());
        }
        loaded.subject.get(&touched)
    }

    fn rollback(&self, loaded: &mut Loaded, sheet: &mut Sheet) -> Result<()> {
        for (written, times) in ROLLBACKS {
            let first = self.table.len() + 1_000;
            let last = first + i64::try_from(written)?;
            let rows: Vec<Row> = self.table.rows(first..last).collect();
            let mut series = Series::default();
            for _ in 0..times {
                if let Some(time) = loaded.subject.roll_back(&rows)? {
                    series.push(time.as_secs_f64() * 1e9 / count(written));
                }
            }
            if loaded.subject.get(&[first])?.rows != 0 {
                return Err(format!("rollback: `{}` kept rows", loaded.name).into());
            }
            if !series.values().is_empty() {
                let metric = Metric {
                    name: match written {
                        10 => "nanoseconds_per_row_of_10",
                        100 => "nanoseconds_per_row_of_100",
                        1_000 => "nanoseconds_per_row_of_1000",
                        _ => "nanoseconds_per_row_of_10000",
                    },
                    ..ROLLBACK
                };
                sheet.push(loaded.name, metric, series.median());
            }
        }
        Ok(())
    }

    /// Bytes that live after every row was inserted with its own commit.
    fn memory(&mut self) -> Result<()> {
        if !self.plan.has_case("memory") {
            return Ok(());
        }
        for (name, layout) in [
            ("memory", Layout::Plain),
            ("memory-indexed", Layout::Indexed),
        ] {
            let mut sheet = Sheet::default();
            for contender in self.turns("memory", 0) {
                let (subject, bytes) = live_bytes_of(|| -> Result<Box<dyn Subject>> {
                    let mut subject = (contender.open)(layout)?;
                    subject.insert(self.rows)?;
                    Ok(subject)
                });
                let bytes = subject?.foreign_bytes()?.unwrap_or(bytes);
                let per_row = count(usize::try_from(bytes)?) / count(self.rows.len());
                sheet.push(contender.name, MEMORY, per_row);
            }
            self.finish(name, sheet)?;
        }
        Ok(())
    }

    fn random(&self, name: &str, round: usize) -> Random {
        let seed = name
            .bytes()
            .fold(self.rows.len() as u64, |seed, byte| {
                seed.wrapping_mul(31).wrapping_add(u64::from(byte))
            })
            .wrapping_add((round as u64) << 32);
        Random::new(seed)
    }

    /// Keys of rows there are, some of them several times.
    fn ids(&self, name: &str, round: usize, count: usize) -> Vec<i64> {
        let mut random = self.random(name, round);
        let rows = self.rows.len();
        (0..count)
            .filter_map(|_| i64::try_from(random.below(rows)).ok())
            .collect()
    }

    fn distinct_ids(&self, name: &str, round: usize, count: usize) -> Vec<i64> {
        let mut ids: Vec<i64> = (0..self.table.len()).collect();
        let mut random = self.random(name, round);
        let len = ids.len();
        for i in 0..count {
            ids.swap(i, i + random.below(len - i));
        }
        ids.truncate(count);
        ids
    }

    fn changes(&self, name: &str, round: usize, count: usize) -> Vec<Change> {
        let mut random = self.random("score", round);
        self.ids(name, round, count)
            .into_iter()
            .map(|id| Change {
                id,
                score: f64::from((random.bits() >> 40) as u32),
            })
            .collect()
    }

    /// The rows beyond the table that the group before group `number` inserted.
    fn beyond(&self, number: i64) -> Vec<Row> {
        let first = self.table.len() + number * GROUP.0;
        self.table.rows(first..first + GROUP.0).collect()
    }

    /// Groups of ten operations: each inserts three rows, changes four and deletes the three rows that the
    /// group before it inserted.
    fn groups(&self, round: usize) -> Vec<Vec<Operation>> {
        let count = GROUPS.min(self.rows.len() / 10).max(2) * 2;
        let mut changes = self
            .changes("transaction", round, count * GROUP.1)
            .into_iter();
        let mut groups = Vec::with_capacity(count);
        let mut before: Vec<i64> = self.beyond(0).iter().map(|row| row.id).collect();
        for number in 1.. {
            if groups.len() == count {
                break;
            }
            let rows = self.beyond(number);
            let inserted: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let mut group: Vec<Operation> = rows.into_iter().map(Operation::Insert).collect();
            group.extend(changes.by_ref().take(GROUP.1).map(Operation::Update));
            group.extend(before.into_iter().map(Operation::Delete));
            before = inserted;
            groups.push(group);
        }
        groups
    }
}
