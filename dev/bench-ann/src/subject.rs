//! [`Subject`]: a library that Rust can call, and the loop that serves it in a process of its own.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use bench::Result;
use bench::clock::process_time;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::data::{Metric, read_floats};
use crate::protocol::{Command, Figures, Hello, Search};
use crate::{ours, rust_rivals};

/// What a library must do to take part.
pub(crate) trait Subject {
    fn hello(&self) -> Hello;

    /// Makes the index of `base`, rows of `dimension` numbers; vectors of the metric cosine have length 1.
    fn build(
        &mut self,
        base: &[f32],
        dimension: usize,
        metric: Metric,
        threads: usize,
    ) -> Result<()>;

    /// Takes the effort of the searches that follow.
    fn set(&mut self, effort: usize);

    /// Adds the numbers of the `k` nearest rows.
    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Result<()>;

    /// Makes filters of masks, one byte a row; not timed.
    fn allow(&mut self, _masks: &[Vec<u8>]) -> Result<()> {
        Err("has no filters".into())
    }

    /// As `search`, among the rows of one of the masks.
    fn search_allowed(
        &mut self,
        _query: &[f32],
        _k: usize,
        _mask: usize,
        _found: &mut Vec<u32>,
    ) -> Result<()> {
        Err("has no filters".into())
    }

    /// Removes rows by number.
    fn remove(&mut self, _rows: &[u32]) -> Result<()> {
        Err("has no updates".into())
    }

    /// Brings removed rows back; `vectors` has one after another.
    fn insert(&mut self, _rows: &[u32], _vectors: &[f32], _threads: usize) -> Result<()> {
        Err("has no updates".into())
    }
}

/// A subject that is served by this program.
pub(crate) fn open(name: &str) -> Option<Box<dyn Subject>> {
    ours::open(name).or_else(|| rust_rivals::open(name))
}

/// Serves a subject on standard input and output until there are no more commands.
pub(crate) fn serve(name: &str) -> Result<()> {
    let subject = open(name).ok_or_else(|| format!("there is no subject `{name}`"))?;
    let mut server = Server {
        name: name.to_owned(),
        subject,
        loaded: None,
        masks: 0,
    };
    for line in io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|command| server.answer(command))
            .unwrap_or_else(|error| serde_json::json!({"error": error.to_string()}));
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

struct Loaded {
    core: usize,
    dimension: usize,
    metric: Metric,
    base: std::path::PathBuf,
    queries: Vec<f32>,
}

struct Server {
    name: String,
    subject: Box<dyn Subject>,
    loaded: Option<Loaded>,
    masks: usize,
}

impl Server {
    fn answer(&mut self, command: Command) -> Result<serde_json::Value> {
        let figures = match command {
            Command::Hello => return Ok(serde_json::to_value(self.subject.hello())?),
            Command::Load {
                core,
                dimension,
                metric,
                base,
                queries,
            } => {
                pin(&[core])?;
                self.loaded = Some(Loaded {
                    core,
                    dimension,
                    metric: Metric::named(&metric)?,
                    base,
                    queries: read_floats(&queries)?,
                });
                Figures::default()
            }
            Command::Build { cores } => self.build(&cores)?,
            Command::Search(search) => self.search(&search, false)?,
            Command::Each(search) => self.search(&search, true)?,
            Command::Allow { masks } => {
                let loaded = self.loaded.as_ref().ok_or("nothing is loaded")?;
                let rows = fs::metadata(&loaded.base)?.len() as usize / (4 * loaded.dimension);
                let masks = fs::read(masks)?;
                let masks: Vec<Vec<u8>> = masks.chunks(rows).map(<[u8]>::to_vec).collect();
                self.masks = masks.len();
                self.subject.allow(&masks)?;
                Figures::default()
            }
            Command::Filtered(search) => self.filtered(&search)?,
            Command::Churn { rows, cores } => self.churn(&rows, &cores)?,
        };
        Ok(serde_json::to_value(figures)?)
    }

    fn build(&mut self, cores: &[usize]) -> Result<Figures> {
        let loaded = self.loaded.as_ref().ok_or("nothing is loaded")?;
        self.subject = open(&self.name).ok_or("gone")?;
        let base = read_floats(&loaded.base)?;
        let before = resident();
        pin(cores)?;
        let (wall, processor) = (Instant::now(), process_time());
        self.subject
            .build(&base, loaded.dimension, loaded.metric, cores.len())?;
        let figures = Figures {
            seconds: wall.elapsed().as_secs_f64(),
            processor_seconds: since(processor),
            bytes: resident() - before,
            ..Figures::default()
        };
        pin(&[loaded.core])?;
        Ok(figures)
    }

    fn search(&mut self, search: &Search, each: bool) -> Result<Figures> {
        let loaded = self.loaded.as_ref().ok_or("nothing is loaded")?;
        let subject = &mut self.subject;
        subject.set(search.effort);
        let queries = || loaded.queries.chunks_exact(loaded.dimension);
        let mut found = Vec::new();
        // So that caches and lazily made scratch space are those of a search that goes on.
        for query in queries().take((search.count / 20).max(1)) {
            subject.search(query, search.k, &mut found)?;
        }
        found.clear();
        let mut nanoseconds = Vec::new();
        let (wall, processor) = (Instant::now(), process_time());
        for (at, query) in queries().take(search.count).enumerate() {
            let begun = each.then(Instant::now);
            subject.search(query, search.k, &mut found)?;
            nanoseconds.extend(begun.map(|begun| begun.elapsed().as_nanos() as u64));
            found.resize((at + 1) * search.k, u32::MAX);
        }
        let figures = Figures {
            seconds: wall.elapsed().as_secs_f64(),
            processor_seconds: since(processor),
            nanoseconds,
            ..Figures::default()
        };
        write_ids(&search.out, &found)?;
        Ok(figures)
    }

    fn filtered(&mut self, search: &Search) -> Result<Figures> {
        let loaded = self.loaded.as_ref().ok_or("nothing is loaded")?;
        self.subject.set(search.effort);
        let share = search.count / self.masks.max(1);
        let mut found = Vec::new();
        let (wall, processor) = (Instant::now(), process_time());
        let queries = loaded.queries.chunks_exact(loaded.dimension);
        for (at, query) in queries.take(share * self.masks).enumerate() {
            self.subject
                .search_allowed(query, search.k, at / share, &mut found)?;
            found.resize((at + 1) * search.k, u32::MAX);
        }
        let figures = Figures {
            seconds: wall.elapsed().as_secs_f64(),
            processor_seconds: since(processor),
            ..Figures::default()
        };
        write_ids(&search.out, &found)?;
        Ok(figures)
    }

    fn churn(&mut self, rows: &Path, cores: &[usize]) -> Result<Figures> {
        let loaded = self.loaded.as_ref().ok_or("nothing is loaded")?;
        let rows: Vec<u32> = fs::read(rows)?
            .as_chunks()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect();
        let base = read_floats(&loaded.base)?;
        let mut vectors = Vec::new();
        for row in &rows {
            let begin = *row as usize * loaded.dimension;
            vectors.extend_from_slice(&base[begin..begin + loaded.dimension]);
        }
        drop(base);
        pin(cores)?;
        let begun = Instant::now();
        self.subject.remove(&rows)?;
        let removal_seconds = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        self.subject.insert(&rows, &vectors, cores.len())?;
        let insertion_seconds = begun.elapsed().as_secs_f64();
        pin(&[loaded.core])?;
        Ok(Figures {
            removal_seconds,
            insertion_seconds,
            ..Figures::default()
        })
    }
}

fn since(processor: Duration) -> f64 {
    process_time().saturating_sub(processor).as_secs_f64()
}

fn write_ids(path: &Path, ids: &[u32]) -> Result<()> {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    Ok(fs::write(path, bytes)?)
}

/// Keeps every thread of this process on these cores; threads that they start inherit it.
fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    for task in fs::read_dir("/proc/self/task")? {
        let id = task?.file_name().to_string_lossy().parse()?;
        // A thread that has ended meanwhile needs no core.
        let _ = sched_setaffinity(Pid::from_raw(id), &set);
    }
    Ok(())
}

/// Bytes of this process's own memory; files that are mapped do not count.
fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0_i64) * 1024
}
