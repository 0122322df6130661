//! [`FeatureStore`]: entities, views and tags of one database.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use common::database::Alteration;
use common::schema::{Field, FieldType, Schema};
use common::utils::validation::check_name;
use common::{
    Collection, Database, Error, ErrorKind, Record, RecordId, Result, Text, Transaction, Value, row,
};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::as_of::AsOf;
use super::definition::{Entity, ViewDefinition};
use super::retrieval::RetrievalBuilder;
use super::training;
use super::view::FeatureView;
use crate::lineage::Lineage;

/// Table of entities: `name` (the key), `definition` as JSON.
const ENTITIES: &str = "feature_entities";
/// Table of views: `name` and `version` (the key), `definition` as JSON; the last version is the one in use.
const VIEWS: &str = "feature_views";
/// Table of tags: `name` (the key), `as_of` as JSON.
const TAGS: &str = "feature_tags";
/// Table of fitted transformers: `name` and `version` (the key), `transformer` as JSON, `created_at`.
const TRANSFORMERS: &str = "feature_transformers";

/// Entities, feature views and named points in time, in tables of a database.
///
/// Each view is a table of events, which is logged, synced and saved as any other. Its rows lie as rows of a matrix, so
/// that a read of many features of an entity is a copy; every event stays, so that a read as of any time is the same
/// copy after a binary search.
///
/// A handle; clones share everything. Open one for a database, before anything else writes to its views.
///
/// ```
/// use common::schema::FieldType;
/// use common::{Database, Timestamp};
/// use vectordb::feature::{AsOf, Entity, FeatureBatch, FeatureStore, OnInvalid, ViewDefinition};
/// let store = FeatureStore::open(&Database::new())?;
/// store.create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))?;
/// let rides = store.create_view(ViewDefinition::new("rides", "user").floats(["fare", "km"]))?;
/// let batch = FeatureBatch::new(&[1, 2], Timestamp(5)).floats("fare", &[9.5, 7.0]).floats("km", &[3.0, 2.0]);
/// rides.ingest(&batch, OnInvalid::Refuse)?;
/// let retrieval = store.retrieval().features("rides", ["km", "fare"]).prepare()?;
/// let mut out = [0.0; 2];
/// retrieval.get(2, AsOf::latest(), &mut out)?;
/// assert_eq!(out, [2.0, 7.0]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone)]
pub struct FeatureStore {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) database: Database,
    pub(super) entities: Collection,
    pub(super) definitions: Collection,
    pub(super) tags: Collection,
    pub(super) training_sets: Collection,
    pub(super) transformers: Collection,
    pub(super) lineage: Lineage,
    pub(super) views: RwLock<BTreeMap<Text, FeatureView>>,
    /// Held while views come, change and go.
    pub(super) definitions_lock: Mutex<()>,
}

impl FeatureStore {
    /// The store of a database; its tables are made if they are not there.
    ///
    /// Cost: views that were saved are read once.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when a table of one of its names has other columns, [`ErrorKind::Corrupt`] when a saved
    /// definition makes no sense.
    pub fn open(database: &Database) -> Result<Self> {
        let text = |name| Field::new(name, FieldType::Text);
        let entities = Schema::build(ENTITIES, ["name"])
            .field(text("name"))
            .field(text("definition"));
        let views = Schema::build(VIEWS, ["name", "version"])
            .field(text("name"))
            .field(Field::new("version", FieldType::Int))
            .field(text("definition"))
            .field(Field::new("created_at", FieldType::Timestamp));
        let tags = Schema::build(TAGS, ["name"])
            .field(text("name"))
            .field(text("as_of"));
        let transformers = Schema::build(TRANSFORMERS, ["name", "version"])
            .field(text("name"))
            .field(text("version"))
            .field(text("transformer"))
            .field(Field::new("created_at", FieldType::Timestamp));
        let store = Self {
            inner: Arc::new(Inner {
                entities: database.open_collection(entities.finish()?)?,
                definitions: database.open_collection(views.finish()?)?,
                tags: database.open_collection(tags.finish()?)?,
                training_sets: database.open_collection(training::schema()?)?,
                transformers: database.open_collection(transformers.finish()?)?,
                lineage: Lineage::open(database)?,
                database: database.clone(),
                views: RwLock::default(),
                definitions_lock: Mutex::new(()),
            }),
        };
        for (definition, version) in store.saved_views()? {
            let view = store.adopt(definition, version)?;
            let name = view.name().into();
            store.inner.views.write().insert(name, view);
        }
        Ok(store)
    }

    /// The tables of a store, beside those of its views: see [`ViewDefinition::table`].
    pub const TABLES: [&'static str; 7] = [
        ENTITIES,
        VIEWS,
        TAGS,
        TRANSFORMERS,
        training::TRAINING_SETS,
        crate::lineage::NODES,
        crate::lineage::EDGES,
    ];

    /// The database underneath.
    pub fn database(&self) -> &Database {
        &self.inner.database
    }

    /// As of now: what has happened by now, by the database's clock.
    pub fn now(&self) -> AsOf {
        AsOf::event(self.inner.database.clock().now())
    }

    /// Adds an entity. The same again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it makes no sense, [`ErrorKind::Conflict`] when there is another of its name.
    pub fn create_entity(&self, entity: &Entity) -> Result<()> {
        if self.is_new_entity(entity)? {
            let mut transaction = self.inner.database.begin();
            self.insert_entity(&mut transaction, entity)?;
            transaction.commit()?;
        }
        Ok(())
    }

    /// Whether an entity that makes sense is to be added.
    pub(super) fn is_new_entity(&self, entity: &Entity) -> Result<bool> {
        entity.check()?;
        match self.entity(&entity.name) {
            Ok(known) if known == *entity => Ok(false),
            Ok(_) => Err(Error::conflict(format!(
                "there is another entity `{}`: its views would lose their keys",
                entity.name
            ))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    pub(super) fn insert_entity(
        &self,
        transaction: &mut Transaction<'_>,
        entity: &Entity,
    ) -> Result<()> {
        let row = row! { "name": entity.name.clone(), "definition": to_json(entity)? };
        transaction.insert(&self.inner.entities, row).map(drop)
    }

    /// The entity of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with the names there are.
    pub fn entity(&self, name: &str) -> Result<Entity> {
        match self.inner.entities.try_get(name)? {
            Some(record) => from_json(&record, 1),
            None => {
                let known = self.entities()?;
                let names: Vec<&str> = known.iter().map(|entity| entity.name.as_str()).collect();
                Err(absent("entity", name, &names))
            }
        }
    }

    /// All entities by name.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when a stored one makes no sense.
    pub fn entities(&self) -> Result<Vec<Entity>> {
        let mut entities: Vec<Entity> =
            self.read(&self.inner.entities, |record| from_json(record, 1))?;
        entities.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entities)
    }

    /// Adds a view.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it makes no sense, [`ErrorKind::NotFound`] when its entity is not there,
    /// [`ErrorKind::Conflict`] when there is one of its name.
    pub fn create_view(&self, definition: ViewDefinition) -> Result<FeatureView> {
        let _definitions = self.inner.definitions_lock.lock();
        if self.inner.views.read().contains_key(&definition.name) {
            return Err(Error::conflict(format!(
                "there is a feature view `{}` already; alter it",
                definition.name
            )));
        }
        self.define(definition)
    }

    /// Gives a view another definition, as its next version: features may come, at any place, and go, and rules,
    /// descriptions and the time to live may change. Events are kept; features that come are missing in them, or have
    /// their default.
    ///
    /// Handles and retrievals of before say that they are out of date.
    ///
    /// Cost: the events are copied in memory.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a view that is not there; [`ErrorKind::Invalid`] for another entity, a feature of
    /// another type, and values that break the new rules. Nothing is changed then.
    pub fn alter_view(&self, definition: ViewDefinition) -> Result<FeatureView> {
        let _definitions = self.inner.definitions_lock.lock();
        // Only one that is there is altered.
        self.view(&definition.name)?;
        self.define(definition)
    }

    /// Has a view be defined so; the caller holds the lock of definitions.
    fn define(&self, definition: ViewDefinition) -> Result<FeatureView> {
        let name = definition.name.clone();
        if let Some(planned) = self.plan(definition, &[], None)? {
            self.carry_out(&[], vec![planned])?;
        }
        self.view(&name)
    }

    /// Removes a view with all its events. Its definitions stay, for lineage.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a view that is not there.
    pub fn drop_view(&self, name: &str) -> Result<()> {
        let _definitions = self.inner.definitions_lock.lock();
        let view = self.view(name)?;
        let table = view.definition().table();
        self.inner
            .database
            .alter(vec![Alteration::Drop { table }])?;
        view.inner.storage.set_replaced();
        self.inner.views.write().remove(name);
        Ok(())
    }

    /// The view of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with the names there are.
    pub fn view(&self, name: &str) -> Result<FeatureView> {
        let views = self.inner.views.read();
        views.get(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = views.keys().map(Text::as_str).collect();
            absent("feature view", name, &names)
        })
    }

    /// All views by name.
    pub fn views(&self) -> Vec<FeatureView> {
        self.inner.views.read().values().cloned().collect()
    }

    /// What a version of a view was defined as, also of one that is no more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there was no such version.
    pub fn definition(&self, view: &str, version: u32) -> Result<ViewDefinition> {
        let key = RecordId::composite([Value::from(view), Value::from(i64::from(version))]);
        match self.inner.definitions.try_get(key)? {
            Some(record) => from_json(&record, 2),
            None => Err(Error::not_found(format!(
                "feature view `{view}` has no version {version}; it has {:?}",
                self.versions(view)?
            ))),
        }
    }

    /// Numbers of a view's versions in order.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn versions(&self, view: &str) -> Result<Vec<u32>> {
        let mut versions = self.read(&self.inner.definitions, |record| {
            let is_of = record.first().and_then(Value::as_text) == Some(view);
            Ok(if is_of { version_of(record) } else { 0 })
        })?;
        versions.retain(|version| *version > 0);
        versions.sort_unstable();
        Ok(versions)
    }

    /// Begins a read of features that is planned once and then made often.
    pub fn retrieval(&self) -> RetrievalBuilder {
        RetrievalBuilder::new(self.clone())
    }

    /// Names a point in time: reads as of it see what is there now, whatever is written later.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when there is such a tag, [`ErrorKind::Invalid`] for a name that is none.
    pub fn tag(&self, name: &str) -> Result<AsOf> {
        check_name("tag", name)?;
        let now = self.inner.database.clock().now();
        let as_of = AsOf::event(now).seq(self.inner.database.seq());
        let row = row! { "name": name, "as_of": to_json(&as_of)? };
        match self.inner.tags.insert(row) {
            Ok(_) => Ok(as_of),
            Err(error) if error.kind() == ErrorKind::Conflict => Err(Error::conflict(format!(
                "there is a tag `{name}` already; a tag does not move"
            ))),
            Err(error) => Err(error),
        }
    }

    /// The point in time that a tag names.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with the tags there are.
    pub fn tagged(&self, name: &str) -> Result<AsOf> {
        match self.inner.tags.try_get(name)? {
            Some(record) => from_json(&record, 1),
            None => {
                let tags = self.tags()?;
                let names: Vec<&str> = tags.iter().map(|(name, _)| name.as_str()).collect();
                Err(absent("tag", name, &names))
            }
        }
    }

    /// All tags by name.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when a stored one makes no sense.
    pub fn tags(&self) -> Result<Vec<(Text, AsOf)>> {
        let mut tags = self.read(&self.inner.tags, |record| {
            let name = record.first().and_then(Value::as_text).unwrap_or_default();
            Ok((Text::from(name), from_json(record, 1)?))
        })?;
        tags.sort_by(|a: &(Text, AsOf), b| a.0.cmp(&b.0));
        Ok(tags)
    }

    pub(super) fn training_sets(&self) -> &Collection {
        &self.inner.training_sets
    }

    pub(super) fn read<T>(
        &self,
        table: &Collection,
        mut each: impl FnMut(&Record) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let mut failure = None;
        self.inner
            .database
            .snapshot()
            .view()
            .scan(table, &mut |records| {
                for record in records {
                    match each(record) {
                        Ok(one) => found.push(one),
                        Err(error) => {
                            failure = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                }
                ControlFlow::Continue(())
            })?;
        failure.map_or(Ok(found), Err)
    }

    /// The last version of each view that was not dropped.
    fn saved_views(&self) -> Result<Vec<(ViewDefinition, u32)>> {
        let mut last: BTreeMap<Text, Record> = BTreeMap::new();
        self.read(&self.inner.definitions, |record| {
            let name = record.first().and_then(Value::as_text).unwrap_or_default();
            let newer = last
                .get(name)
                .is_none_or(|known| version_of(known) < version_of(record));
            if newer {
                last.insert(name.into(), record.clone());
            }
            Ok(())
        })?;
        let tables = &self.inner.database;
        last.into_values()
            .map(|record| {
                Ok((
                    from_json::<ViewDefinition>(&record, 2)?,
                    version_of(&record),
                ))
            })
            // One that was dropped has definitions still.
            .filter(|view| {
                view.as_ref()
                    .map_or(true, |(view, _)| tables.collection(&view.table()).is_ok())
            })
            .collect()
    }
}

fn version_of(record: &Record) -> u32 {
    let version = record.get(1).and_then(Value::as_int).unwrap_or_default();
    u32::try_from(version).unwrap_or_default()
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::invalid(format!("it cannot be written as JSON: {error}")))
}

pub(super) fn from_json<T: DeserializeOwned>(record: &Record, column: usize) -> Result<T> {
    let json = record
        .get(column)
        .and_then(Value::as_text)
        .unwrap_or_default();
    serde_json::from_str(json).map_err(|error| {
        Error::corrupt(format!(
            "what is stored under {} makes no sense: {error}",
            record.id()
        ))
    })
}

fn absent(what: &str, name: &str, known: &[&str]) -> Error {
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    Error::not_found(format!("there is no {what} `{name}`; there is {known}"))
}

impl std::fmt::Debug for FeatureStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeatureStore")
            .field("views", &self.views())
            .finish_non_exhaustive()
    }
}
