//! Libraries with bindings for Rust: usearch, `hnsw_rs` and instant-distance.

use std::thread;

use bench::Result;
use hnsw_rs::anndists::dist::{DistL2, Distance as _};
use hnsw_rs::prelude::Hnsw;
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use crate::data::Metric;
use crate::protocol::Hello;
use crate::subject::Subject;

pub(crate) const NAMES: [&str; 4] = ["usearch", "usearch bf16", "hnsw_rs", "instant-distance"];

/// Neighbours of a vertex at the lowest level, the same for every graph.
pub(crate) const DEGREE: usize = 32;
/// Candidates kept while a graph is built, the same for every graph.
pub(crate) const WIDTH: usize = 200;
pub(crate) const EFFORTS: [usize; 15] = [
    10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 900, 1280,
];

pub(crate) fn open(name: &str) -> Option<Box<dyn Subject>> {
    let usearch = |scalar| Usearch {
        scalar,
        index: None,
        masks: Vec::new(),
    };
    match name {
        "usearch" => Some(Box::new(usearch(ScalarKind::F32))),
        "usearch bf16" => Some(Box::new(usearch(ScalarKind::BF16))),
        "hnsw_rs" => Some(Box::new(HnswRs {
            index: None,
            effort: 0,
            masks: Vec::new(),
        })),
        "instant-distance" => Some(Box::new(InstantDistance::default())),
        _ => None,
    }
}

struct Usearch {
    scalar: ScalarKind,
    index: Option<Index>,
    masks: Vec<Vec<u8>>,
}

impl Usearch {
    fn index(&self) -> Result<&Index> {
        Ok(self.index.as_ref().ok_or("not built")?)
    }

    fn add(&self, rows: &[u32], vectors: &[f32], threads: usize) -> Result<()> {
        let index = self.index()?;
        let dimension = index.dimensions();
        let share = rows.len().div_ceil(threads.max(1)).max(1);
        let shares = rows.chunks(share).zip(vectors.chunks(share * dimension));
        thread::scope(|scope| {
            let workers: Vec<_> = shares
                .map(|(rows, vectors)| {
                    scope.spawn(move || {
                        let mut pairs = rows.iter().zip(vectors.chunks_exact(dimension));
                        pairs.try_for_each(|(row, vector)| {
                            let added = index.add(u64::from(*row), vector);
                            added.map_err(|error| error.to_string())
                        })
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err("a thread panicked".into()))
            })
        })?;
        Ok(())
    }
}

impl Subject for Usearch {
    fn hello(&self) -> Hello {
        Hello {
            version: format!(
                "{}, uses {}",
                usearch::version(),
                usearch::hardware_acceleration_available()
            ),
            efforts: EFFORTS.to_vec(),
            filters: true,
            updates: true,
        }
    }

    fn build(
        &mut self,
        base: &[f32],
        dimension: usize,
        metric: Metric,
        threads: usize,
    ) -> Result<()> {
        let index = Index::new(&IndexOptions {
            dimensions: dimension,
            metric: match metric {
                Metric::L2 => MetricKind::L2sq,
                Metric::Cosine => MetricKind::IP,
            },
            quantization: self.scalar,
            connectivity: DEGREE / 2,
            expansion_add: WIDTH,
            expansion_search: 64,
            multi: false,
        })?;
        let rows: Vec<u32> = (0..).take(base.len() / dimension).collect();
        index.reserve_capacity_and_threads(rows.len(), threads)?;
        self.index = Some(index);
        self.add(&rows, base, threads)
    }

    fn set(&mut self, effort: usize) {
        if let Some(index) = &self.index {
            index.change_expansion_search(effort);
        }
    }

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Result<()> {
        let matches = self.index()?.search(query, k)?;
        found.extend(matches.keys.iter().map(|key| *key as u32));
        Ok(())
    }

    fn allow(&mut self, masks: &[Vec<u8>]) -> Result<()> {
        self.masks = masks.to_vec();
        Ok(())
    }

    fn search_allowed(
        &mut self,
        query: &[f32],
        k: usize,
        mask: usize,
        found: &mut Vec<u32>,
    ) -> Result<()> {
        let mask = &self.masks[mask];
        let matches = self
            .index()?
            .filtered_search(query, k, |key| mask[key as usize] != 0)?;
        found.extend(matches.keys.iter().map(|key| *key as u32));
        Ok(())
    }

    fn remove(&mut self, rows: &[u32]) -> Result<()> {
        let index = self.index()?;
        for row in rows {
            index.remove(u64::from(*row))?;
        }
        Ok(())
    }

    fn insert(&mut self, rows: &[u32], vectors: &[f32], threads: usize) -> Result<()> {
        self.add(rows, vectors, threads)
    }
}

struct HnswRs {
    index: Option<Hnsw<'static, f32, DistL2>>,
    effort: usize,
    masks: Vec<Vec<u8>>,
}

impl Subject for HnswRs {
    fn hello(&self) -> Hello {
        Hello {
            version: "0.3.5 with simdeez".to_owned(),
            efforts: EFFORTS.to_vec(),
            filters: true,
            updates: false,
        }
    }

    fn build(
        &mut self,
        base: &[f32],
        dimension: usize,
        _metric: Metric,
        threads: usize,
    ) -> Result<()> {
        let rows = base.len() / dimension;
        let mut index = Hnsw::new(DEGREE / 2, rows, 16, WIDTH, DistL2);
        let vectors: Vec<(&[f32], usize)> = base.chunks_exact(dimension).zip(0..).collect();
        if threads > 1 {
            index.parallel_insert_slice(&vectors);
        } else {
            for vector in vectors {
                index.insert_slice(vector);
            }
        }
        index.set_searching_mode(true);
        self.index = Some(index);
        Ok(())
    }

    fn set(&mut self, effort: usize) {
        self.effort = effort;
    }

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Result<()> {
        let index = self.index.as_ref().ok_or("not built")?;
        let neighbours = index.search(query, k, self.effort);
        found.extend(neighbours.iter().map(|neighbour| neighbour.d_id as u32));
        Ok(())
    }

    fn allow(&mut self, masks: &[Vec<u8>]) -> Result<()> {
        self.masks = masks.to_vec();
        Ok(())
    }

    fn search_allowed(
        &mut self,
        query: &[f32],
        k: usize,
        mask: usize,
        found: &mut Vec<u32>,
    ) -> Result<()> {
        let index = self.index.as_ref().ok_or("not built")?;
        let mask = &self.masks[mask];
        let allowed = |row: &usize| mask[*row] != 0;
        let neighbours = index.search_filter(query, k, self.effort, Some(&allowed));
        found.extend(neighbours.iter().map(|neighbour| neighbour.d_id as u32));
        Ok(())
    }
}

/// The distance is the caller's in this library: here that of `hnsw_rs`.
#[derive(Clone)]
struct Point(Vec<f32>);

impl instant_distance::Point for Point {
    fn distance(&self, other: &Self) -> f32 {
        DistL2.eval(&self.0, &other.0)
    }
}

/// Its effort is fixed when the index is built, so that its curve is one point; its degree is too.
#[derive(Default)]
struct InstantDistance {
    index: Option<instant_distance::HnswMap<Point, u32>>,
    scratch: instant_distance::Search,
}

const FIXED_EFFORT: usize = 100;

impl Subject for InstantDistance {
    fn hello(&self) -> Hello {
        Hello {
            version: "0.6.1, distance of hnsw_rs".to_owned(),
            efforts: vec![FIXED_EFFORT],
            filters: false,
            updates: false,
        }
    }

    fn build(
        &mut self,
        base: &[f32],
        dimension: usize,
        _metric: Metric,
        _threads: usize,
    ) -> Result<()> {
        let points: Vec<Point> = base
            .chunks_exact(dimension)
            .map(|row| Point(row.to_vec()))
            .collect();
        let rows = (0..).take(points.len()).collect();
        let builder = instant_distance::Builder::default();
        let builder = builder
            .ef_construction(WIDTH)
            .ef_search(FIXED_EFFORT)
            .seed(1);
        self.index = Some(builder.build(points, rows));
        Ok(())
    }

    fn set(&mut self, _effort: usize) {}

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Result<()> {
        let index = self.index.as_ref().ok_or("not built")?;
        let items = index.search(&Point(query.to_vec()), &mut self.scratch);
        found.extend(items.take(k).map(|item| *item.value));
        Ok(())
    }
}
