//! [`DataSet`]: base vectors and queries, in files that every subject reads.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bench::Result;

use crate::synthetic;

/// How near two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// The Euclidean distance.
    L2,
    /// The angle; vectors are given with length 1, where it orders as the Euclidean distance does.
    Cosine,
}

impl Metric {
    pub(crate) fn named(name: &str) -> Result<Self> {
        match name {
            "l2" => Ok(Self::L2),
            "cosine" => Ok(Self::Cosine),
            other => Err(format!("there is no metric `{other}`").into()),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Cosine => "cosine",
        }
    }
}

/// Base vectors and queries that are not among them.
pub(crate) struct DataSet {
    pub(crate) name: &'static str,
    pub(crate) metric: Metric,
    pub(crate) dimension: usize,
    pub(crate) base: Vec<f32>,
    pub(crate) queries: Vec<f32>,
    pub(crate) base_path: PathBuf,
    pub(crate) queries_path: PathBuf,
}

const SEED: u64 = 2026;
const MILLION: usize = 1_000_000;
const MILLION_QUERIES: usize = 1_000;
const QUICK: usize = 10_000;
const QUICK_QUERIES: usize = 200;

impl DataSet {
    /// Reads or makes the data called `name` and writes them into `folder` for the subjects.
    pub(crate) fn open(
        name: &'static str,
        mnist: &Path,
        folder: &Path,
        quick: bool,
        threads: usize,
    ) -> Result<Self> {
        let metric = if name == "mnist-cosine" {
            Metric::Cosine
        } else {
            Metric::L2
        };
        let (dimension, mut base, mut queries) = if name == "million" {
            let count = if quick { QUICK } else { MILLION };
            let base = synthetic::vectors(SEED, 0, count, threads);
            let queries = synthetic::vectors(SEED, 1, MILLION_QUERIES, threads);
            (synthetic::DIMENSION, base, queries)
        } else {
            let (dimension, base) = read_npy(&mnist.join("mnist784_base_u8.npy"))?;
            let (_, queries) = read_npy(&mnist.join("mnist784_query_u8.npy"))?;
            (dimension, base, queries)
        };
        if quick {
            base.truncate(QUICK * dimension);
            queries.truncate(QUICK_QUERIES * dimension);
        }
        if metric == Metric::Cosine {
            for vector in base.chunks_exact_mut(dimension) {
                normalise(vector);
            }
            for vector in queries.chunks_exact_mut(dimension) {
                normalise(vector);
            }
        }
        let rows = base.len() / dimension;
        let base_path = folder.join(format!("{name}-{rows}.base.f32"));
        let queries_path = folder.join(format!("{name}-{rows}.queries.f32"));
        fs::create_dir_all(folder)?;
        write_floats(&base_path, &base)?;
        write_floats(&queries_path, &queries)?;
        Ok(Self {
            name,
            metric,
            dimension,
            base,
            queries,
            base_path,
            queries_path,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.base.len() / self.dimension
    }

    pub(crate) fn query_count(&self) -> usize {
        self.queries.len() / self.dimension
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.base[row * self.dimension..(row + 1) * self.dimension]
    }

    pub(crate) fn query(&self, query: usize) -> &[f32] {
        &self.queries[query * self.dimension..(query + 1) * self.dimension]
    }
}

fn normalise(vector: &mut [f32]) {
    let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let length = squares.sqrt();
    if length > 0.0 {
        for x in vector {
            *x = (f64::from(*x) / length) as f32;
        }
    }
}

/// Reads a NumPy file of whole rows of bytes: their length and, as floats, all of them.
fn read_npy(path: &Path) -> Result<(usize, Vec<f32>)> {
    let bytes = fs::read(path).map_err(|error| {
        format!(
            "{}: {error}\nMNIST is read from there; name another folder with --data FOLDER, or choose --case million, \
             which needs no data",
            path.display()
        )
    })?;
    let malformed = || format!("{} is no NumPy file of rows of bytes", path.display());
    let length = match bytes.get(..12).ok_or_else(malformed)? {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            10 + usize::from(u16::from_le_bytes([*a, *b]))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d] => {
            12 + u32::from_le_bytes([*a, *b, *c, *d]) as usize
        }
        _ => return Err(malformed().into()),
    };
    let (header, numbers) = bytes.split_at_checked(length).ok_or_else(malformed)?;
    let header = String::from_utf8_lossy(header);
    if !header.contains("'|u1'") || header.contains("'fortran_order': True") {
        return Err(malformed().into());
    }
    let shape = header
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let (shape, _) = shape.ok_or_else(malformed)?;
    let dimension = shape
        .split(',')
        .nth(1)
        .and_then(|part| part.trim().parse().ok());
    let dimension = dimension.filter(|d| *d > 0).ok_or_else(malformed)?;
    Ok((
        dimension,
        numbers.iter().map(|byte| f32::from(*byte)).collect(),
    ))
}

pub(crate) fn read_floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let numbers = bytes.as_chunks().0.iter();
    Ok(numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn write_floats(path: &Path, numbers: &[f32]) -> Result<()> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    for number in numbers {
        out.write_all(&number.to_le_bytes())?;
    }
    Ok(out.flush()?)
}
