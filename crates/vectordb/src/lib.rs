//! Vectors with metadata: nearest-neighbour search, filtered by metadata, over a TandemDB database.
//!
//! A vector is a column of an ordinary collection, so it is validated, logged, synced and saved with the
//! rest of its row; the vector index is a reader of the change log and needs no care of its own.
//!
//! ```
//! use common::schema::{Field, FieldType};
//! use common::query::Filter;
//! use common::row;
//! use vectordb::{Metric, Search, VectorDb, VectorOptions};
//!
//! let db = VectorDb::new();
//! let options = VectorOptions::new(2, Metric::Euclidean);
//! let places = db.create_collection("places", options, [Field::new("kind", FieldType::Text)])?;
//! places.upsert(1, [0.0, 0.0], row! { "kind": "cafe" })?;
//! places.upsert(2, [3.0, 4.0], row! { "kind": "cafe" })?;
//! places.upsert(3, [0.1, 0.0], row! { "kind": "bank" })?;
//! let found = places.search(&Search::new([0.0, 0.0], 2).filter(Filter::eq("kind", "cafe")))?;
//! assert_eq!(found.hits[1].id, 2.into());
//! assert_eq!(found.hits[1].distance, 5.0);
//! # Ok::<(), common::Error>(())
//! ```

pub mod core;
mod db;
pub mod evaluate;
pub mod experiment;
pub mod feature;
mod indexing;
pub mod lineage;
mod persist;
pub mod transform;

pub use crate::core::distance::Metric;
pub use crate::db::{
    CollectionOptions, Found, Fused, FusedHit, Fusion, Hit, Hybrid, ID_COLUMN, Page, Place, Scroll,
    Search, SparseOptions, Target, VECTOR_COLUMN, VectorCollection, VectorDb, VectorDbSaved,
    VectorOptions, Vectors,
};
pub use crate::indexing::{
    Additions, ClusteredOptions, Diversity, DoubleVectors, Effort, Explanation, GraphOptions,
    Index, IndexOptions, IndexedTable, Layout, Method, Neighbour, Progress, SEARCH_K_MAX, Scan,
    ScanCodes, SparseIndex, Wanted, Work, unwatched,
};
pub use crate::persist::IndexFile;
pub use durable::{Access, PagesSaved};
