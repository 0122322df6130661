//! The questions beside the curves: filters, churn, exact search, latency, time to build.

use std::fs;
use std::io::{self, Write as _};

use bench::Result;
use bench::random::Random;
use bench::report::Better;
use bench::stats::Series;

use crate::child;
use crate::curve::{Curve, Point};
use crate::protocol::{Command, Figures};
use crate::run::{Ready, Run, one};
use crate::truth::{self, K, Truth};

/// Where latency, filters and churn are measured.
const RECALL: f64 = 0.95;
/// Queries given together to exact search, as a caller with a batch does.
const BATCH: usize = 100;
/// Rows from which on building on one thread, and churn, take hours.
const LARGE: usize = 200_000;
/// A filtered search whose library knows no better climbs here.
const EFFORTS: [usize; 7] = [10, 14, 40, 112, 320, 900, 2_500];
const SEED: u64 = 7;

/// How the rows that pass a filter lie to the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Anyhow.
    Random,
    /// Near the query: those nearest to the query that is most like it.
    Near,
    /// Far: those farthest from the query.
    Far,
}

impl Run<'_> {
    pub(crate) fn questions(&mut self, ready: &mut [Ready]) -> Result<()> {
        if self.arguments.asks("latency") {
            self.latency(ready)?;
        }
        if self.arguments.asks("exact") {
            self.exact(ready)?;
        }
        self.save()?;
        if self.arguments.asks("filter") {
            self.filter(ready)?;
            self.save()?;
        }
        let is_large = self.data.rows() > LARGE;
        for (case, step) in [
            (
                "build",
                Self::build_on_one as fn(&mut Self, &mut [Ready]) -> Result<()>,
            ),
            ("churn", Self::churn),
        ] {
            match (self.arguments.asks(case), is_large) {
                (true, false) => {
                    step(self, ready)?;
                    self.save()?;
                }
                (true, true) => self.notes.push(format!(
                    "{case} on {}: only up to {LARGE} vectors",
                    self.data.name
                )),
                (false, _) => {}
            }
        }
        Ok(())
    }

    /// One query a call.
    fn latency(&mut self, ready: &mut [Ready]) -> Result<()> {
        writeln!(io::stderr(), "  latency of single queries")?;
        let case = self.case("latency");
        let mut halves: Vec<(Series, Series)> = vec![Default::default(); ready.len()];
        for _ in 0..self.rounds() {
            for (subject, (half, most)) in ready.iter_mut().zip(&mut halves) {
                let Some(point) = subject.curve.effort_for(RECALL) else {
                    continue;
                };
                let search = self.search_of(self.data.query_count(), point.effort);
                let mut times = subject.child.tell(&Command::Each(search))?.nanoseconds;
                times.sort_unstable();
                half.push(microseconds(&times, 0.50));
                most.push(microseconds(&times, 0.99));
            }
        }
        for (subject, (half, most)) in ready.iter().zip(halves) {
            let Some(point) = subject.curve.effort_for(RECALL) else {
                continue;
            };
            let (name, recall) = (subject.child.name, point.recall);
            self.detail(&case, name, "recall", "share", one(recall));
            self.figure(&case, name, "p50", "us", Better::Lower, half);
            self.figure(&case, name, "p99", "us", Better::Lower, most);
        }
        Ok(())
    }

    /// Every row compared: one query a call, and many in one.
    fn exact(&mut self, ready: &mut [Ready]) -> Result<()> {
        writeln!(io::stderr(), "  exact search")?;
        let case = self.case("exact");
        let count = BATCH.min(self.data.query_count());
        let queries: Vec<usize> = (0..count).collect();
        let mut rates: Vec<(Series, Series)> = vec![Default::default(); ready.len()];
        for _ in 0..self.rounds() {
            for (subject, (single, batch)) in ready.iter_mut().zip(&mut rates) {
                if !child::is_exact(subject.child.name) {
                    continue;
                }
                let search = self.search_of(count, 1);
                let rate = |figures: &Figures| count as f64 / figures.processor_seconds;
                single.push(rate(&subject.child.tell(&Command::Each(search.clone()))?));
                batch.push(rate(&subject.child.tell(&Command::Search(search))?));
                let recall = self.truth.recall(self.data, &queries, &self.answers()?)?;
                if recall < 1.0 {
                    let name = subject.child.name;
                    return Err(format!("{name} is not exact: recall {recall}").into());
                }
            }
        }
        for (subject, (single, batch)) in ready.iter().zip(rates) {
            let name = subject.child.name;
            if child::is_exact(name) {
                let metric = "single_queries_per_second";
                self.figure(&case, name, metric, "1/s", Better::Higher, single);
                let metric = "batched_queries_per_second";
                self.figure(&case, name, metric, "1/s", Better::Higher, batch);
            }
        }
        Ok(())
    }

    /// Building on one thread; on all of them it was measured at the beginning.
    fn build_on_one(&mut self, ready: &mut [Ready]) -> Result<()> {
        writeln!(io::stderr(), "  building on one thread")?;
        let case = self.case("build-1");
        for subject in ready {
            let name = subject.child.name;
            match self.build(name, vec![self.arguments.core]) {
                Ok((_, figures)) => {
                    self.figure(&case, name, "seconds", "s", Better::Lower, figures.seconds);
                    let processor = figures.processor_seconds;
                    self.figure(
                        &case,
                        name,
                        "processor_seconds",
                        "s",
                        Better::Lower,
                        processor,
                    );
                }
                Err(error) => self.leave_out(name, error.as_ref())?,
            }
        }
        Ok(())
    }

    /// Half of the rows go and come back, again and again; the rows are the same in the end.
    fn churn(&mut self, ready: &mut [Ready]) -> Result<()> {
        let rounds = if self.arguments.quick { 2 } else { 10 };
        let case = self.case("churn");
        let path = self.folder.join("churn.u32");
        for subject in ready {
            let name = subject.child.name;
            if !subject.child.hello.updates {
                continue;
            }
            writeln!(io::stderr(), "  churn: {name}")?;
            let Some(point) = subject.curve.effort_for(RECALL).cloned() else {
                continue;
            };
            let (mut removals, mut insertions) = (Series::default(), Series::default());
            let mut random = Random::new(SEED);
            let mut step = || -> Result<()> {
                for round in 1..=rounds {
                    writeln!(io::stderr(), "    round {round} of {rounds}")?;
                    let rows = half(self.data.rows(), &mut random);
                    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
                    fs::write(&path, bytes)?;
                    let figures = subject.child.tell(&Command::Churn {
                        rows: path.clone(),
                        cores: (0..self.threads).collect(),
                    })?;
                    removals.push(rows.len() as f64 / figures.removal_seconds);
                    insertions.push(rows.len() as f64 / figures.insertion_seconds);
                }
                Ok(())
            };
            if let Err(error) = step() {
                self.leave_out(&format!("{name}, churn"), error.as_ref())?;
                continue;
            }
            let (figures, recall) = self.search(&mut subject.child, point.effort)?;
            let rate = self.data.query_count() as f64 / figures.processor_seconds;
            self.figure(
                &case,
                name,
                "recall_lost",
                "share",
                Better::Lower,
                point.recall - recall,
            );
            let share = rate / point.rate.median();
            self.figure(&case, name, "rate_kept", "times", Better::Higher, share);
            self.figure(
                &case,
                name,
                "removals_per_second",
                "1/s",
                Better::Higher,
                removals,
            );
            let metric = "insertions_per_second";
            self.figure(&case, name, metric, "1/s", Better::Higher, insertions);
            self.detail(&case, name, "recall_fresh", "share", one(point.recall));
            self.detail(&case, name, "recall", "share", one(recall));
        }
        Ok(())
    }

    /// Searches among the rows that pass a filter.
    fn filter(&mut self, ready: &mut [Ready]) -> Result<()> {
        let shares: &[f64] = if self.arguments.quick {
            &[0.01, 0.5]
        } else {
            &[0.001, 0.01, 0.1, 0.5]
        };
        for share in shares {
            for lie in [Lie::Random, Lie::Near, Lie::Far] {
                let percent = share * 100.0;
                let name = match lie {
                    Lie::Random => format!("filter-{percent}%"),
                    Lie::Near => format!("filter-{percent}%-near"),
                    Lie::Far => format!("filter-{percent}%-far"),
                };
                writeln!(io::stderr(), "  {name}")?;
                self.filtered(ready, &name, *share, lie)?;
            }
        }
        Ok(())
    }

    fn filtered(&mut self, ready: &mut [Ready], name: &str, share: f64, lie: Lie) -> Result<()> {
        // A mask that lies near or far belongs to one query; a random one to many.
        let (masks, each) = match (lie, self.arguments.quick) {
            (Lie::Random, false) => (5, 20),
            (Lie::Random, true) => (2, 10),
            (_, false) => (40, 1),
            (_, true) => (10, 1),
        };
        let count = masks * each;
        let masks: Vec<Vec<u8>> = (0..masks).map(|mask| self.mask(mask, share, lie)).collect();
        let path = self.folder.join("masks.u8");
        fs::write(&path, masks.concat())?;
        let queries: Vec<usize> = (0..count).collect();
        let truth = Truth::search(self.data, &queries, self.threads, |place, row| {
            masks[place / each][row] != 0
        });
        let case = self.case(name);
        for subject in ready {
            if !subject.child.hello.filters {
                continue;
            }
            let allow = Command::Allow {
                masks: path.clone(),
            };
            let subject_name = subject.child.name;
            let mut curve = Curve {
                subject: subject_name,
                points: Vec::new(),
            };
            let mut step = || -> Result<()> {
                subject.child.tell(&allow)?;
                let efforts: &[usize] = if child::is_exact(subject_name) {
                    &[1]
                } else {
                    &EFFORTS
                };
                for effort in efforts {
                    let search = self.search_of(count, *effort);
                    let figures = subject.child.tell(&Command::Filtered(search))?;
                    let recall = truth.recall(self.data, &queries, &self.answers()?)?;
                    let rate = one(count as f64 / figures.processor_seconds);
                    let effort = *effort;
                    curve.points.push(Point {
                        effort,
                        recall,
                        rate,
                    });
                    if recall >= RECALL {
                        break;
                    }
                }
                Ok(())
            };
            if let Err(error) = step() {
                self.leave_out(&format!("{subject_name}, {name}"), error.as_ref())?;
                continue;
            }
            if let Some(rate) = curve.at(RECALL).into_series() {
                let metric = "queries_per_second_at_0.95";
                self.figure(&case, subject_name, metric, "1/s", Better::Higher, rate);
            }
            let most = curve
                .points
                .iter()
                .map(|point| point.recall)
                .fold(0.0, f64::max);
            self.figure(
                &case,
                subject_name,
                "recall_most",
                "share",
                Better::Higher,
                most,
            );
        }
        Ok(())
    }

    /// One byte a row: whether it passes.
    fn mask(&self, number: usize, share: f64, lie: Lie) -> Vec<u8> {
        let rows = self.data.rows();
        let wanted = wanted(rows, share);
        let mut mask = vec![0; rows];
        if lie == Lie::Random {
            let mut random = Random::new(SEED + number as u64);
            let mut left = wanted;
            while left > 0 {
                let row = random.below(rows);
                left -= usize::from(mask[row] == 0);
                mask[row] = 1;
            }
            return mask;
        }
        let query = self.data.query(number);
        let anchor = match lie {
            Lie::Near => {
                let others = (0..self.data.query_count()).filter(|other| *other != number);
                let distance = |other: &usize| truth::exact(query, self.data.query(*other));
                let nearest = others.min_by(|a, b| distance(a).total_cmp(&distance(b)));
                self.data.query(nearest.unwrap_or(number))
            }
            Lie::Random | Lie::Far => query,
        };
        let distances = (0..rows).map(|row| (truth::exact(anchor, self.data.row(row)), row));
        let mut distances: Vec<(f64, usize)> = distances.collect();
        distances.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        if lie == Lie::Far {
            distances.reverse();
        }
        for (_, row) in distances.iter().take(wanted) {
            mask[*row] = 1;
        }
        mask
    }
}

#[expect(clippy::cast_sign_loss, reason = "a share of rows is a number of rows")]
fn wanted(rows: usize, share: f64) -> usize {
    ((rows as f64 * share) as usize).max(K)
}

fn half(rows: usize, random: &mut Random) -> Vec<u32> {
    let mut all: Vec<u32> = (0..rows as u32).collect();
    for at in 0..rows / 2 {
        let other = at + random.below(rows - at);
        all.swap(at, other);
    }
    all.truncate(rows / 2);
    all
}

#[expect(clippy::cast_sign_loss, reason = "a position among measurements")]
fn microseconds(sorted: &[u64], share: f64) -> f64 {
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).map_or(f64::NAN, |time| *time as f64 / 1e3)
}
