//! What the benchmark and the process of a subject say to each other: JSON lines; numbers in bulk travel in files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a subject is told; `rivals.py` understands the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Say who you are: answered by [`Hello`].
    Hello,
    /// Read the queries, and know where the base lies; stay on one core from now on.
    Load {
        core: usize,
        dimension: usize,
        metric: String,
        base: PathBuf,
        queries: PathBuf,
    },
    /// Make the index anew with one thread a core: answered by [`Figures`] with `bytes`.
    Build { cores: Vec<usize> },
    /// All of the first `count` queries, as fast as you can on one thread.
    Search(Search),
    /// The same, one call a query: [`Figures`] with `nanoseconds`.
    Each(Search),
    /// Make filters of these masks, one byte a row.
    Allow { masks: PathBuf },
    /// The first queries among the rows of the first mask, the next among those of the second, and so on.
    Filtered(Search),
    /// Remove these rows, then bring them back.
    Churn { rows: PathBuf, cores: Vec<usize> },
}

/// A search for the `k` nearest, whose answers go to a file: `k` row numbers of 32 bits a query, `u32::MAX` for none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Search {
    pub(crate) count: usize,
    pub(crate) k: usize,
    pub(crate) effort: usize,
    pub(crate) out: PathBuf,
}

/// Who a subject is and what it can.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: String,
    /// What its points of a curve are: more effort, more recall.
    pub(crate) efforts: Vec<usize>,
    pub(crate) filters: bool,
    pub(crate) updates: bool,
}

/// What a command took.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) processor_seconds: f64,
    /// By which the process's own memory grew.
    pub(crate) bytes: i64,
    pub(crate) nanoseconds: Vec<u64>,
    pub(crate) removal_seconds: f64,
    pub(crate) insertion_seconds: f64,
}
