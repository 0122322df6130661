//! TandemDB's own indexes. The one file that knows their interface.

use bench::Result;
use common::Slot;
use vectordb::core::{SlotSet, VectorTable};
use vectordb::{ClusteredOptions, GraphOptions, Index, IndexOptions, Layout, unwatched};

use crate::data::Metric;
use crate::protocol::Hello;
use crate::subject::Subject;

/// Exact search: the only one that is no curve.
pub(crate) const EXACT: &str = "tandemdb exact";
const COMPACT: &str = "tandemdb compact";
const FAST: &str = "tandemdb fast";
const CLUSTERED: &str = "tandemdb clustered";
/// Subjects that can be asked for.
pub(crate) const NAMES: [&str; 4] = [EXACT, COMPACT, FAST, CLUSTERED];

pub(crate) fn open(name: &str) -> Option<Box<dyn Subject>> {
    let kind = NAMES.into_iter().find(|known| *known == name)?;
    Some(Box::new(Ours {
        kind,
        metric: vectordb::Metric::SquaredEuclidean,
        effort: 1,
        built: None,
        filters: Vec::new(),
    }))
}

struct Ours {
    kind: &'static str,
    metric: vectordb::Metric,
    effort: usize,
    built: Option<(VectorTable, Index)>,
    filters: Vec<SlotSet>,
}

impl Ours {
    fn options(&self, threads: usize) -> IndexOptions {
        let graph = |layout| {
            IndexOptions::Graph(GraphOptions {
                threads: Some(threads),
                ..GraphOptions::new(layout)
            })
        };
        match self.kind {
            COMPACT => graph(Layout::Compact),
            FAST => graph(Layout::Fast),
            CLUSTERED => {
                let options = ClusteredOptions::default();
                IndexOptions::Clustered(match threads.try_into() {
                    Ok(threads) => options.threads(threads),
                    Err(_) => options,
                })
            }
            _ => IndexOptions::Exact,
        }
    }

    fn nearest(
        &self,
        query: &[f32],
        k: usize,
        filter: Option<&SlotSet>,
        found: &mut Vec<u32>,
    ) -> Result<()> {
        let (table, index) = self.built.as_ref().ok_or("not built")?;
        let query = self.metric.prepare_query(query, query.len())?;
        let nearest = index.nearest(table.rows(), &query, k, Some(self.effort), filter)?;
        found.extend(nearest.iter().map(|neighbour| neighbour.slot.0));
        Ok(())
    }
}

impl Subject for Ours {
    fn hello(&self) -> Hello {
        Hello {
            version: "this commit".to_owned(),
            efforts: match self.kind {
                EXACT => vec![1],
                CLUSTERED => vec![1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256],
                FAST => vec![
                    10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 112, 160, 224, 320, 448,
                    640,
                ],
                _ => vec![
                    10, 12, 14, 17, 20, 24, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640,
                ],
            },
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
        self.metric = match metric {
            Metric::L2 => vectordb::Metric::SquaredEuclidean,
            Metric::Cosine => vectordb::Metric::Cosine,
        };
        let mut table = VectorTable::new(dimension);
        for row in base.chunks_exact(dimension) {
            table.push(row).ok_or("the table is full")?;
        }
        let options = self.options(threads);
        let index = Index::build(&options, self.metric, table.rows(), &unwatched)?;
        self.built = Some((table, index));
        Ok(())
    }

    fn set(&mut self, effort: usize) {
        self.effort = effort;
    }

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Result<()> {
        self.nearest(query, k, None, found)
    }

    fn allow(&mut self, masks: &[Vec<u8>]) -> Result<()> {
        let set = |mask: &Vec<u8>| -> SlotSet {
            let passing = (0_u32..).zip(mask).filter(|(_, passes)| **passes != 0);
            passing.map(|(row, _)| Slot(row)).collect()
        };
        self.filters = masks.iter().map(set).collect();
        Ok(())
    }

    fn search_allowed(
        &mut self,
        query: &[f32],
        k: usize,
        mask: usize,
        found: &mut Vec<u32>,
    ) -> Result<()> {
        self.nearest(query, k, self.filters.get(mask), found)
    }

    fn remove(&mut self, rows: &[u32]) -> Result<()> {
        let (table, index) = self.built.as_mut().ok_or("not built")?;
        for row in rows {
            index.remove(table.rows(), Slot(*row));
            table.remove(Slot(*row));
        }
        Ok(())
    }

    fn insert(&mut self, rows: &[u32], vectors: &[f32], _threads: usize) -> Result<()> {
        let (table, index) = self.built.as_mut().ok_or("not built")?;
        let dimension = table.rows().dimension();
        // Slots come back the latest first: so each row gets its own again.
        for (row, vector) in rows.iter().zip(vectors.chunks_exact(dimension)).rev() {
            let slot = table.push(vector).ok_or("the table is full")?;
            if slot.0 != *row {
                return Err(format!("row {row} came back as {}", slot.0).into());
            }
            index.insert(table.rows(), slot);
        }
        Ok(())
    }
}
