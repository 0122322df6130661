//! [`Run`]: one set of data, all subjects on it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bench::Result;
use bench::report::{Better, Figure};
use bench::stats::Series;

use crate::arguments::{Arguments, root};
use crate::chart;
use crate::child::{self, Child};
use crate::curve::{self, Curve, Point, RECALL_ENOUGH, RECALLS};
use crate::data::DataSet;
use crate::grouped;
use crate::ours;
use crate::protocol::{Command, Figures, Search};
use crate::truth::{K, Truth};

/// Everything that the cases of one set of data need.
pub(crate) struct Run<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) data: &'a DataSet,
    pub(crate) truth: &'a Truth,
    pub(crate) folder: &'a Path,
    pub(crate) threads: usize,
    pub(crate) figures: &'a mut Vec<Figure>,
    pub(crate) notes: &'a mut Vec<String>,
}

/// A subject that is ready to search.
pub(crate) struct Ready {
    pub(crate) child: Child,
    pub(crate) curve: Curve,
}

impl Run<'_> {
    pub(crate) fn all(&mut self) -> Result<()> {
        let mut ready = self.start()?;
        self.curves(&mut ready)?;
        self.save()?;
        self.questions(&mut ready)
    }

    /// Keeps the figures so far: the whole run takes hours.
    pub(crate) fn save(&self) -> Result<()> {
        let mut lines = Vec::new();
        grouped(self.figures).write_json(&mut lines)?;
        Ok(fs::write(self.folder.join("figures-so-far.jsonl"), lines)?)
    }

    pub(crate) fn rounds(&self) -> usize {
        let usual = if self.arguments.quick { 1 } else { 3 };
        self.arguments.rounds.unwrap_or(usual)
    }

    /// Starts all subjects that are wanted and lets them build their indexes, one after another.
    fn start(&mut self) -> Result<Vec<Ready>> {
        let needs_exact = self.arguments.asks("exact") || self.arguments.asks("filter");
        let mut ready = Vec::new();
        for name in child::names() {
            if !self.arguments.wants(name) || (child::is_exact(name) && !needs_exact) {
                continue;
            }
            let cores: Vec<usize> = (0..self.threads).collect();
            match self.build(name, cores) {
                Ok((child, figures)) => {
                    self.built(name, &figures);
                    ready.push(Ready {
                        child,
                        curve: Curve {
                            subject: name,
                            points: Vec::new(),
                        },
                    });
                }
                Err(error) => self.leave_out(name, error.as_ref())?,
            }
        }
        Ok(ready)
    }

    /// A process of a subject with its index.
    pub(crate) fn build(&self, name: &'static str, cores: Vec<usize>) -> Result<(Child, Figures)> {
        let mut child = Child::start(name, self.folder)?;
        child.tell(&Command::Load {
            core: self.arguments.core,
            dimension: self.data.dimension,
            metric: self.data.metric.name().to_owned(),
            base: self.data.base_path.clone(),
            queries: self.data.queries_path.clone(),
        })?;
        let threads = cores.len();
        let figures = child.tell(&Command::Build { cores })?;
        writeln!(
            io::stderr(),
            "  {name} ({}): built in {:.1} s on {threads} threads, {:.1} s of processor time",
            child.hello.version,
            figures.seconds,
            figures.processor_seconds
        )?;
        Ok((child, figures))
    }

    fn built(&mut self, name: &str, figures: &Figures) {
        let per_vector = figures.bytes as f64 / self.data.rows() as f64;
        let vectors = (self.data.dimension * size_of::<f32>()) as f64;
        let case = self.case("memory");
        self.figure(
            &case,
            name,
            "bytes_per_vector",
            "B",
            Better::Lower,
            per_vector,
        );
        self.figure(
            &case,
            name,
            "bytes_beside_vector",
            "B",
            Better::Lower,
            per_vector - vectors,
        );
        let case = self.case(&format!("build-{}", self.threads));
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

    pub(crate) fn leave_out(
        &mut self,
        name: &str,
        error: &(dyn std::error::Error + Send + Sync),
    ) -> Result<()> {
        let note = format!("{name} on {}: {error}", self.data.name);
        writeln!(io::stderr(), "  left out: {note}")?;
        self.notes.push(note);
        Ok(())
    }

    /// Searches all queries, and which share of the true neighbours came back.
    pub(crate) fn search(&self, child: &mut Child, effort: usize) -> Result<(Figures, f64)> {
        let search = self.search_of(self.data.query_count(), effort);
        let figures = child.tell(&Command::Search(search))?;
        let queries: Vec<usize> = (0..self.data.query_count()).collect();
        let recall = self.truth.recall(self.data, &queries, &self.answers()?)?;
        Ok((figures, recall))
    }

    pub(crate) fn search_of(&self, count: usize, effort: usize) -> Search {
        Search {
            count,
            k: K,
            effort,
            out: self.answers_path(),
        }
    }

    fn answers_path(&self) -> PathBuf {
        self.folder.join("answers.u32")
    }

    pub(crate) fn answers(&self) -> Result<Vec<u32>> {
        let bytes = fs::read(self.answers_path())?;
        Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| u32::from_le_bytes(*b))
            .collect())
    }

    /// Takes the points of all curves, subject by subject in turns, beginning with another one in each round.
    fn curves(&mut self, ready: &mut Vec<Ready>) -> Result<()> {
        let is_curve = self.arguments.asks(self.data.name);
        let asks = |case| self.arguments.asks(case);
        // The other questions need to know which effort has which recall.
        if !is_curve && !asks("latency") && !asks("churn") {
            return Ok(());
        }
        let rounds = if is_curve { self.rounds() } else { 1 };
        for round in 0..rounds {
            writeln!(io::stderr(), "  round {} of {rounds}", round + 1)?;
            let mut failed = Vec::new();
            for turn in 0..ready.len() {
                let at = (turn + round) % ready.len();
                let subject = &mut ready[at];
                if child::is_exact(subject.child.name) {
                    continue;
                }
                if let Err(error) = self.points(subject, round) {
                    self.leave_out(subject.child.name, error.as_ref())?;
                    failed.push(subject.child.name);
                }
            }
            ready.retain(|subject| !failed.contains(&subject.child.name));
        }
        let curves = ready
            .iter()
            .filter(|subject| !subject.curve.points.is_empty());
        let curves: Vec<Curve> = curves.map(|subject| subject.curve.clone()).collect();
        if is_curve {
            self.report_curves(&curves)?;
        }
        Ok(())
    }

    fn points(&self, subject: &mut Ready, round: usize) -> Result<()> {
        if round == 0 {
            for effort in subject.child.hello.efforts.clone() {
                let (figures, recall) = self.search(&mut subject.child, effort)?;
                let rate = std::iter::once(self.rate(&figures)).collect();
                subject.curve.points.push(Point {
                    effort,
                    recall,
                    rate,
                });
                if recall >= RECALL_ENOUGH {
                    break;
                }
            }
            return Ok(());
        }
        for point in &mut subject.curve.points {
            let (figures, _) = self.search(&mut subject.child, point.effort)?;
            point.rate.push(self.rate(&figures));
        }
        Ok(())
    }

    /// Queries a second of processor time: one thread that waits for nothing.
    fn rate(&self, figures: &Figures) -> f64 {
        self.data.query_count() as f64 / figures.processor_seconds
    }

    fn report_curves(&mut self, curves: &[Curve]) -> Result<()> {
        let own: Vec<&str> = ours::NAMES.into_iter().collect();
        let name = self.data.name;
        let mut out = io::stderr();
        writeln!(
            out,
            "\n{name}: queries a second of processor time, and ours as multiples"
        )?;
        curve::write_table(&mut out, curves, &own)?;
        for (recall, metric) in RECALLS {
            for curve in curves {
                if let Some(series) = curve.at(recall).into_series() {
                    self.figures.push(Figure {
                        case: self.data.name.to_owned(),
                        subject: curve.subject.to_owned(),
                        metric,
                        unit: "1/s",
                        better: Better::Higher,
                        detail: false,
                        series,
                    });
                }
            }
        }
        for curve in curves {
            for point in &curve.points {
                let case = format!("{}@effort-{}", self.data.name, point.effort);
                self.detail(&case, curve.subject, "recall", "share", one(point.recall));
                let rate = point.rate.clone();
                self.detail(&case, curve.subject, "queries_per_second", "1/s", rate);
            }
        }
        if self.arguments.chart {
            let name = format!("docs/ann-{}.svg", self.data.name);
            let title = format!(
                "{}: {} vectors of {} dimensions, {}",
                self.data.name,
                self.data.rows(),
                self.data.dimension,
                self.data.metric.name()
            );
            chart::draw(&root().join(&name), &title, curves, &own)?;
            writeln!(io::stderr(), "  drawn: {name}")?;
        }
        Ok(())
    }

    pub(crate) fn case(&self, name: &str) -> String {
        format!("{name}@{}", self.data.name)
    }

    pub(crate) fn figure(
        &mut self,
        case: &str,
        subject: &str,
        metric: &'static str,
        unit: &'static str,
        better: Better,
        value: impl Into<Value>,
    ) {
        self.figures.push(Figure {
            case: case.to_owned(),
            subject: subject.to_owned(),
            metric,
            unit,
            better,
            detail: false,
            series: value.into().0,
        });
    }

    pub(crate) fn detail(
        &mut self,
        case: &str,
        subject: &str,
        metric: &'static str,
        unit: &'static str,
        series: Series,
    ) {
        self.figures.push(Figure {
            case: case.to_owned(),
            subject: subject.to_owned(),
            metric,
            unit,
            better: Better::Higher,
            detail: true,
            series,
        });
    }
}

/// One measurement or several.
pub(crate) struct Value(Series);

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(one(value))
    }
}

impl From<Series> for Value {
    fn from(series: Series) -> Self {
        Self(series)
    }
}

pub(crate) fn one(value: f64) -> Series {
    std::iter::once(value).collect()
}
