//! TandemDB's own indexes. The one file that knows their interface.
//!
//! Only exact search so far, through the database; the names of the others are reserved in [`PLANNED`].

use bench::Result;
use common::{Row, Value};
use vectordb::{Search, VectorCollection, VectorDb, VectorOptions};

use crate::data::Metric;
use crate::protocol::Hello;
use crate::subject::Subject;

/// Exact search: the only one that is no curve.
pub(crate) const EXACT: &str = "tandemdb exact";
/// Subjects that can be asked for.
pub(crate) const NAMES: [&str; 1] = [EXACT];
/// Subjects that the indexes to come will have.
pub(crate) const PLANNED: [&str; 3] = ["tandemdb fast", "tandemdb compact", "tandemdb clustered"];

pub(crate) fn open(name: &str) -> Option<Box<dyn Subject>> {
    (name == EXACT).then(|| Box::new(Exact { collection: None }) as Box<dyn Subject>)
}

struct Exact {
    collection: Option<VectorCollection>,
}

/// Rows of one commit.
const BATCH: usize = 10_000;

impl Subject for Exact {
    fn hello(&self) -> Hello {
        Hello {
            version: "this commit".to_owned(),
            efforts: vec![1],
            filters: false,
            updates: false,
        }
    }

    fn build(
        &mut self,
        base: &[f32],
        dimension: usize,
        metric: Metric,
        _threads: usize,
    ) -> Result<()> {
        let metric = match metric {
            Metric::L2 => vectordb::Metric::SquaredEuclidean,
            Metric::Cosine => vectordb::Metric::Cosine,
        };
        let options = VectorOptions::new(dimension, metric);
        let collection = VectorDb::new().create_collection("vectors", options, [])?;
        let rows: Vec<(i64, &[f32])> = (0..).zip(base.chunks_exact(dimension)).collect();
        for rows in rows.chunks(BATCH) {
            let rows = rows.iter().map(|(id, row)| (*id, row.to_vec(), Row::new()));
            collection.upsert_all(rows)?;
        }
        self.collection = Some(collection);
        Ok(())
    }

    fn set(&mut self, _effort: usize) {}

    fn search(&mut self, query: &[f32], k: usize, found: &mut Vec<u32>) -> Result<()> {
        let collection = self.collection.as_ref().ok_or("not built")?;
        for hit in collection.search(&Search::new(query, k))?.hits {
            let [Value::Int(id)] = hit.id.values() else {
                return Err("an id is no number".into());
            };
            found.push(u32::try_from(*id)?);
        }
        Ok(())
    }
}
