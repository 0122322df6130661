//! Lineage: which sources, definitions, transformations and runs a value, a training set or a model came from.
//!
//! A [`LineageNode`] is one thing in one version, and never changes; an edge leads from what was used to what was made of
//! it. A [`FeatureStore`](crate::feature::FeatureStore) writes nodes by itself, in the commit that they tell of: for
//! definitions of views, for runs that bring events in, for transformations that it keeps, and for training sets.
//! Applications add their own: models, dashboards, files.

mod export;
mod graph;

pub(crate) use graph::{EDGES, NODES};
pub use graph::{Lineage, LineageNode, NodeKind, Related};
