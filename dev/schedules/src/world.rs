//! A small collection that is indexed by a graph, and what must hold of every search and of the end.

use std::collections::BTreeSet;

use common::query::Filter;
use common::schema::{Field, FieldType};
use common::{Row, Seq, Value, row};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Mutex};
use vectordb::{
    GraphOptions, IndexOptions, Layout, Metric, Search, VectorCollection, VectorDb, VectorOptions,
};

/// Rows at the beginning: enough for a graph, as collections are built here.
pub const ROWS: i64 = 20;
const DIMENSION: usize = 4;
/// More than there will ever be.
const ALL: usize = 100;

/// A collection, and which ids are certainly there or certainly gone.
#[derive(Clone)]
pub struct World {
    pub db: VectorDb,
    pub things: VectorCollection,
    pub present: Arc<Mutex<BTreeSet<i64>>>,
    pub gone: Arc<Mutex<BTreeSet<i64>>>,
}

pub fn options() -> VectorOptions {
    let layout = if thread_rng().gen_bool(0.5) {
        Layout::Compact
    } else {
        Layout::Fast
    };
    let graph = GraphOptions {
        layout,
        degree: 32,
        threads: Some(1),
        ..GraphOptions::default()
    };
    VectorOptions::new(DIMENSION, Metric::Euclidean).index(IndexOptions::Graph(graph))
}

/// The vector of a version of a row: different for each.
pub fn vector(id: i64, version: i64) -> Vec<f32> {
    [id, 5 * version, id * 7 % 11, id * 3 % 5]
        .map(|v| v as f32)
        .to_vec()
}

pub fn tag(id: i64, version: i64) -> Row {
    row! { "tag": 100 * id + version }
}

fn from_tag(row: &Row) -> (i64, i64) {
    let tag = row
        .get("tag")
        .and_then(Value::as_int)
        .expect("every row has a tag");
    (tag / 100, tag % 100)
}

impl World {
    pub fn new() -> Self {
        let db = VectorDb::new();
        let note = Field::new("note", FieldType::Int).nullable();
        let fields = [Field::new("tag", FieldType::Int), note];
        let things = db.create_collection("things", options(), fields).unwrap();
        let world = Self {
            db,
            things,
            present: Arc::default(),
            gone: Arc::default(),
        };
        world.add_all(0..ROWS);
        world
    }

    pub fn add(&self, id: i64) {
        self.things.upsert(id, vector(id, 0), tag(id, 0)).unwrap();
        self.present.lock().unwrap().insert(id);
    }

    pub fn add_all(&self, ids: std::ops::Range<i64>) {
        let rows = ids.clone().map(|id| (id, vector(id, 0), tag(id, 0)));
        self.things.upsert_all(rows).unwrap();
        self.present.lock().unwrap().extend(ids);
    }

    /// Removes a row that nobody adds again.
    pub fn delete(&self, id: i64) {
        self.present.lock().unwrap().remove(&id);
        self.things.delete(id).unwrap();
        self.gone.lock().unwrap().insert(id);
    }

    /// Searches twice, and holds what was found against what is known to be there; which commit was seen.
    pub fn search(&self, filter: bool) -> Seq {
        // Whoever removes a row says so before, whoever adds one afterwards: so read what is gone first.
        let gone = self.gone.lock().unwrap().clone();
        let before = self.present.lock().unwrap().clone();
        let query = vector(7, 1);
        let mut search = Search::new(query.clone(), ALL);
        if filter {
            search = search.filter(Filter::ge("tag", 0));
        }
        let found = self.things.search(&search).unwrap();
        // A row that was there all the while: nobody has said that it goes.
        let after = self.present.lock().unwrap().clone();
        let mut ids = BTreeSet::new();
        for hit in &found.hits {
            let id = hit.id.values()[0].as_int().unwrap();
            assert!(ids.insert(id), "{id} is found twice");
            assert!(!gone.contains(&id), "{id} was deleted before the search");
            let (tagged, version) = from_tag(&hit.row);
            assert_eq!(tagged, id, "the row of another id");
            let pairs = vector(id, version).into_iter().zip(&query);
            let expect = pairs
                .map(|(a, b)| f64::from(a - b).powi(2))
                .sum::<f64>()
                .sqrt();
            assert!(
                (hit.distance - expect).abs() < 1e-6,
                "{hit:?} has the vector of another version"
            );
        }
        for id in before.intersection(&after) {
            assert!(ids.contains(id), "{id} is not found");
        }
        assert!(found.hits.is_sorted_by(|a, b| a.distance <= b.distance));
        found.seq
    }

    /// What must hold of the index whoever writes: it follows, then its parts belong together.
    pub fn check_index(&self) {
        self.things.check_index();
    }

    /// What must hold once nobody writes: every row finds itself, and nothing else is found.
    pub fn check(&self) {
        self.search(false);
        self.things.check_index();
        let mut count = 0;
        for id in 0..ALL as i64 {
            let Some(vector) = self.things.vector(id) else {
                assert!(!self.present.lock().unwrap().contains(&id), "{id} is lost");
                continue;
            };
            count += 1;
            let found = self.things.search(&Search::new(vector, 1)).unwrap();
            assert_eq!(found.hits[0].id, id.into(), "{id} does not find itself");
            assert_eq!(found.hits[0].distance, 0.0);
        }
        assert_eq!(count, self.things.count());
        let all = self.things.search(&Search::new(vector(0, 0), ALL)).unwrap();
        assert_eq!(all.hits.len(), count);
    }
}
