//! [`Report`]: figures as JSON lines for machines and as tables for people.

mod markdown;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::machine::Machine;
use crate::stats::Series;

/// Whether more or less of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More, as with operations per second.
    Higher,
    /// Less, as with bytes per row.
    Lower,
}

/// One figure of one subject in one case.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The question, with its size, as in `get@100000`.
    pub case: String,
    /// Who was measured.
    pub subject: String,
    /// What was measured, as in `operations_per_second`.
    pub metric: &'static str,
    /// Unit of the values.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Left out of the table, because it only says how far the others can be trusted.
    pub detail: bool,
    /// One value for each round.
    pub series: Series,
}

impl Figure {
    /// A figure of which less is better, as of times.
    pub fn lower(
        case: impl Into<String>,
        subject: impl Into<String>,
        metric: &'static str,
        unit: &'static str,
        series: Series,
    ) -> Self {
        Self {
            case: case.into(),
            subject: subject.into(),
            metric,
            unit,
            better: Better::Lower,
            detail: false,
            series,
        }
    }
}

/// What is measured in turns: by case, metric and subject, one value a round.
#[derive(Debug, Default)]
pub struct Rounds(BTreeMap<(String, &'static str, String), Vec<f64>>);

impl Rounds {
    /// The value of a round.
    pub fn push(&mut self, case: &str, metric: &'static str, subject: &str, value: f64) {
        let place = (case.to_owned(), metric, subject.to_owned());
        self.0.entry(place).or_default().push(value);
    }

    /// A figure of each; `unit` says of a metric what it is counted in, and which way is better.
    pub fn into_figures(
        self,
        unit: impl Fn(&str) -> (&'static str, Better),
    ) -> impl Iterator<Item = Figure> {
        self.0
            .into_iter()
            .map(move |((case, metric, subject), values)| {
                let (unit, better) = unit(metric);
                let series: Series = values.into_iter().collect();
                Figure {
                    better,
                    ..Figure::lower(case, subject, metric, unit, series)
                }
            })
    }
}

/// What the project means to reach in a case.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The case, without its size where it holds at every size.
    pub case: &'static str,
    /// The metric.
    pub metric: &'static str,
    /// The subject that we are compared with; `None` where our own value is the question.
    pub rival: Option<&'static str>,
    /// Where higher is better, our value is at least this many times the rival's, or at least this; where
    /// lower is better, at most.
    pub bound: f64,
}

/// All figures of a run.
#[derive(Debug)]
pub struct Report {
    bench: &'static str,
    ours: &'static str,
    machine: Machine,
    targets: Vec<Target>,
    figures: Vec<Figure>,
}

/// A line of JSON: one value with everything needed to find it again.
#[derive(Serialize)]
struct Line<'a, V> {
    bench: &'a str,
    case: &'a str,
    subject: &'a str,
    metric: &'a str,
    value: V,
    unit: &'a str,
}

impl Report {
    /// A report of the benchmark `bench`, in which the subject `ours` is compared with the others.
    pub fn new(bench: &'static str, ours: &'static str, targets: &[Target]) -> Self {
        Self {
            bench,
            ours,
            machine: Machine::here(),
            targets: targets.to_vec(),
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn push(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// All figures so far.
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// Writes the machine, then for each figure its median, its spread between quartiles and its rounds.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        for (metric, value) in self.machine.facts() {
            self.line(out, "machine", "host", metric, value, "text")?;
        }
        for figure in &self.figures {
            let (case, subject) = (figure.case.as_str(), figure.subject.as_str());
            let median = figure.series.median();
            self.line(out, case, subject, figure.metric, median, figure.unit)?;
            if let [_, _, ..] = figure.series.values() {
                let metric = format!("{}.spread", figure.metric);
                let spread = figure.series.spread();
                self.line(out, case, subject, &metric, spread, "share of the median")?;
                let metric = format!("{}.rounds", figure.metric);
                let rounds = figure.series.values();
                self.line(out, case, subject, &metric, rounds, figure.unit)?;
            }
        }
        Ok(())
    }

    fn line<V: Serialize>(
        &self,
        out: &mut dyn Write,
        case: &str,
        subject: &str,
        metric: &str,
        value: V,
        unit: &str,
    ) -> io::Result<()> {
        let line = Line {
            bench: self.bench,
            case,
            subject,
            metric,
            value,
            unit,
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)
    }

    /// Writes one line for each figure: the median, the spread, and how many times the subject's figure ours
    /// is, with the target where there is one.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}: {}", self.bench, self.machine)?;
        let mut last = (String::new(), "");
        for figure in self.figures.iter().filter(|figure| !figure.detail) {
            if last != (figure.case.clone(), figure.metric) {
                last = (figure.case.clone(), figure.metric);
                writeln!(
                    out,
                    "\n{} [{}, {}]",
                    figure.case, figure.metric, figure.unit
                )?;
            }
            writeln!(
                out,
                "  {:<28} {:>14} {:>7}  {}",
                figure.subject,
                number(figure.series.median()),
                format!("±{:.0}%", figure.series.spread() * 50.0),
                self.comparison(figure)
            )?;
        }
        Ok(())
    }

    /// Writes the report where it was asked for: Markdown and JSON lines on standard output, and the table there if
    /// neither was, else on standard error. `before` stands above the table. Returns the sentences of missed targets, which
    /// are below it.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn publish(&self, markdown: bool, json: bool, before: &str) -> io::Result<Vec<String>> {
        if markdown {
            self.write_markdown(&mut io::stdout())?;
        }
        if json {
            self.write_json(&mut io::stdout())?;
        }
        let mut table: Box<dyn Write> = if json || markdown {
            Box::new(io::stderr())
        } else {
            Box::new(io::stdout())
        };
        if !before.is_empty() {
            writeln!(table, "{before}")?;
        }
        self.write_table(&mut table)?;
        let missed = self.missed();
        writeln!(table, "\n{} targets missed", missed.len())?;
        for sentence in &missed {
            writeln!(table, "  {sentence}")?;
        }
        Ok(missed)
    }

    /// Targets that this run missed, one sentence each.
    pub fn missed(&self) -> Vec<String> {
        self.figures
            .iter()
            .filter_map(|figure| self.verdict(figure).filter(|verdict| !verdict.met))
            .map(|verdict| verdict.sentence)
            .collect()
    }

    /// Our figure as a multiple of this one, when there is one of ours beside it.
    fn ratio(&self, figure: &Figure) -> Option<f64> {
        let ours = self.figures.iter().find(|other| {
            other.subject == self.ours && other.case == figure.case && other.metric == figure.metric
        })?;
        Some(ours.series.ratio(&figure.series))
    }

    fn verdict(&self, figure: &Figure) -> Option<Verdict> {
        let target = self.targets.iter().find(|target| {
            (figure.case == target.case || figure.case.split('@').next() == Some(target.case))
                && figure.metric == target.metric
                && figure.subject == target.rival.unwrap_or(self.ours)
        })?;
        let (value, against) = match target.rival {
            Some(rival) => (self.ratio(figure)?, format!(" times that of {rival}")),
            None => (figure.series.median(), String::new()),
        };
        let (met, bound) = match figure.better {
            Better::Higher => (value >= target.bound, "at least"),
            Better::Lower => (value <= target.bound, "at most"),
        };
        let demand = format!("{bound} {}", target.bound);
        let sentence = format!(
            "{}: {} of {} is {value:.2}{against}, the target is {demand}",
            figure.case, figure.metric, self.ours
        );
        Some(Verdict {
            met,
            demand,
            sentence,
        })
    }

    fn comparison(&self, figure: &Figure) -> String {
        let ratio = self.ratio(figure).filter(|_| figure.subject != self.ours);
        let ratio = ratio.filter(|ratio| ratio.is_finite());
        let ratio = ratio.map(|ratio| format!("{} x {ratio:.2}", self.ours));
        let target = self.verdict(figure).map(|verdict| {
            let met = if verdict.met { "met" } else { "MISSED" };
            format!("target {}: {met}", verdict.demand)
        });
        let parts: Vec<String> = ratio.into_iter().chain(target).collect();
        parts.join(", ")
    }
}

/// How a figure stands to its target.
struct Verdict {
    met: bool,
    demand: String,
    sentence: String,
}

/// A number as a person reads it: three digits that count, thousands apart.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn report() -> Report {
        let target = Target {
            case: "get",
            metric: "rate",
            rival: Some("other"),
            bound: 4.0,
        };
        let mut report = Report::new("core", "ours", &[target]);
        for (subject, values) in [("ours", [6.0, 9.0, 30.0]), ("other", [3.0, 3.0, 3.0])] {
            report.push(Figure {
                case: "get@1000".to_owned(),
                subject: subject.to_owned(),
                metric: "rate",
                unit: "1/s",
                better: Better::Higher,
                detail: false,
                series: values.into_iter().collect(),
            });
        }
        report
    }

    #[test]
    fn a_table_says_which_targets_were_missed() {
        let mut table = Vec::new();
        report().write_table(&mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        assert!(
            table.contains("ours x 3.00, target at least 4: MISSED"),
            "{table}"
        );
        assert_eq!(report().missed().len(), 1);
    }

    #[test]
    fn every_line_is_one_json_object_with_the_same_names() {
        let mut json = Vec::new();
        report().write_json(&mut json).unwrap();
        let json = String::from_utf8(json).unwrap();
        let mut medians = 0;
        for line in json.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            for name in ["bench", "case", "subject", "metric", "value", "unit"] {
                assert!(value.get(name).is_some(), "{line}");
            }
            medians += usize::from(value["metric"] == "rate");
        }
        assert_eq!(medians, 2);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1_234_567.8), "1 234 568");
        assert_eq!(number(999.0), "999");
        assert_eq!(number(2.345), "2.35");
        assert_eq!(number(-1_000.0), "-1 000");
    }
}
