//! A feature store: what is known of entities, when it happened and when it became known, read as of any time.
//!
//! A [`FeatureView`] is a table of events of one [`Entity`]: each has a time, and a value for each feature of the
//! [`ViewDefinition`]. Nothing is overwritten, so that training reads what was known when a label was set, while serving
//! reads the latest; both by the same code. A [`Retrieval`] reads many features of many entities into one matrix.
//!
//! `docs/features.md` is the guide.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/features.md")]
struct Guide;

mod as_of;
mod batch;
mod cell;
mod definition;
mod definitions;
mod directory;
mod drift;
mod events;
mod evolve;
mod history;
mod materialised;
mod origin;
mod pages;
mod retrieval;
mod selection;
mod storage;
mod store;
mod training;
mod transformation;
mod view;

pub use as_of::{AsOf, Status};
pub use batch::{Column, FeatureBatch, Ingested, Keys, OnInvalid, Times};
pub use definition::{
    DELETED_COLUMN, EVENT_COLUMN, Entity, EntityKey, KNOWN_COLUMN, ViewDefinition,
};
pub use definitions::{Applied, AppliedEntity, AppliedView, Change, Definitions};
pub use directory::Key;
pub use drift::{Drift, FeatureProfile, NumberProfile};
pub use events::EventBytes;
pub use origin::Origin;
pub use retrieval::{BatchOptions, BatchReport, KnownAt, Order, Retrieval, RetrievalBuilder};
pub use store::FeatureStore;
pub use training::{TrainingRows, TrainingSet};
pub use view::{FeatureRow, FeatureView};
