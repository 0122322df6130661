//! How a view comes to have another definition, with its events.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::database::Alteration;
use common::schema::{Rule, RuleRegistry, Schema, Validator};
use common::storage::{Storage as _, StorageKind};
use common::{Error, ErrorKind, Record, Result, Text, Value, row};

use super::definition::{Entity, ViewDefinition};
use super::storage::EventStorage;
use super::store::{FeatureStore, to_json};
use super::view::{FeatureView, Inner as ViewInner, view_node};

/// A view that is to come, or to become another one.
pub(super) struct Planned {
    definition: ViewDefinition,
    entity: Entity,
    version: u32,
    schema: Schema,
    before: Option<FeatureView>,
    /// Where it stands among definitions that are applied together.
    place: Option<usize>,
}

impl Planned {
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    pub(super) const fn alters(&self) -> bool {
        self.before.is_some()
    }

    fn at(&self, error: Error) -> Error {
        match self.place {
            Some(place) => error.at(format!("views[{place}]")),
            None => error,
        }
    }
}

impl FeatureStore {
    /// Takes over the table of a saved view.
    pub(super) fn adopt(&self, definition: ViewDefinition, version: u32) -> Result<FeatureView> {
        let table = self.inner.database.collection(&definition.table())?;
        let entity = self.entity(&definition.entity)?;
        let schema = definition.schema(&entity, version)?;
        if table.schema().fields != schema.fields {
            return Err(Error::corrupt(format!(
                "table `{}` has other columns than version {version} of its feature view",
                table.name()
            )));
        }
        let storage = self.lay_out(&schema)?;
        self.handle(definition, entity, version, storage)
    }

    /// Has the events of a table lie as rows of a matrix: a thing of memory, which no file and no log knows of.
    fn lay_out(&self, schema: &Schema) -> Result<Arc<EventStorage>> {
        let storage = Arc::new(EventStorage::new(schema)?);
        let database = &self.inner.database;
        database.lay_out(&schema.name, Arc::clone(&storage) as Arc<_>)?;
        // Takes note of what is known of the events that came along.
        storage.fill(&[])?;
        Ok(storage)
    }

    /// What is to become of a view that is to be defined so: nothing if it is so already. The caller holds the lock of
    /// definitions.
    pub(super) fn plan(
        &self,
        definition: ViewDefinition,
        new: &[&Entity],
        place: Option<usize>,
    ) -> Result<Option<Planned>> {
        let before = match self.view(&definition.name) {
            Ok(view) if view.definition() == &definition => return Ok(None),
            Ok(view) if view.definition().entity != definition.entity => {
                return Err(Error::invalid(format!(
                    "feature view `{}` is of entity `{}`; make another view for `{}`",
                    definition.name,
                    view.entity().name,
                    definition.entity
                )));
            }
            Ok(view) => Some(view),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let entity = match new.iter().find(|entity| entity.name == definition.entity) {
            Some(entity) => (*entity).clone(),
            None => self.entity(&definition.entity)?,
        };
        let last = self.versions(&definition.name)?.last().copied();
        let version = last.map_or(1, |last| last + 1);
        Ok(Some(Planned {
            schema: definition.schema(&entity, version)?,
            definition,
            entity,
            version,
            before,
            place,
        }))
    }

    /// Adds entities, and makes the tables of views with the events of those whose place they take: all in one commit, or
    /// nothing.
    pub(super) fn carry_out(
        &self,
        entities: &[&Entity],
        planned: Vec<Planned>,
    ) -> Result<Vec<FeatureView>> {
        // From here on nobody writes.
        let mut transaction = self.inner.database.begin();
        let now = self.inner.database.clock().now();
        for entity in entities {
            self.insert_entity(&mut transaction, entity)?;
        }
        let mut alterations = Vec::new();
        let mut copied = Vec::with_capacity(planned.len());
        for view in &planned {
            let (schema, definition) = (&view.schema, &view.definition);
            let place = |error| view.at(error);
            checks_of(schema).map_err(place)?;
            let kind = match &view.before {
                Some(before) => {
                    let storage = Arc::new(EventStorage::new(schema).map_err(place)?);
                    copy(before, definition, schema, &storage).map_err(place)?;
                    let table = schema.name.clone();
                    alterations.push(Alteration::Drop { table });
                    copied.push(Some(Arc::clone(&storage)));
                    StorageKind::Custom(storage as Arc<_>)
                }
                // The database makes it, as it would from a file, and it is laid out when it is there.
                None => {
                    EventStorage::new(schema).map_err(place)?;
                    copied.push(None);
                    StorageKind::Hash
                }
            };
            let row = row! {
                "name": definition.name.clone(), "version": i64::from(view.version),
                "definition": to_json(definition)?, "created_at": now,
            };
            transaction.insert(&self.inner.definitions, row)?;
            let before = view.before.iter();
            let parents: Vec<Text> = before.map(|view| view.lineage_node().id()).collect();
            let node = view_node(definition, view.version);
            self.inner
                .lineage
                .record_in(&mut transaction, &node, &parents)?;
            let schema = schema.clone();
            alterations.push(Alteration::Create { schema, kind });
        }
        transaction.commit_altered(alterations)?;
        let mut views = Vec::with_capacity(planned.len());
        for (view, copied) in planned.into_iter().zip(copied) {
            let storage = match copied {
                Some(storage) => storage,
                None => self.lay_out(&view.schema)?,
            };
            if let Some(before) = view.before {
                before.inner.storage.set_replaced();
            }
            let view = self.handle(view.definition, view.entity, view.version, storage)?;
            let name = view.name().into();
            self.inner.views.write().insert(name, view.clone());
            views.push(view);
        }
        Ok(views)
    }

    fn handle(
        &self,
        definition: ViewDefinition,
        entity: Entity,
        version: u32,
        storage: Arc<EventStorage>,
    ) -> Result<FeatureView> {
        let inner = ViewInner {
            table: self.inner.database.collection(&definition.table())?,
            required: required(&definition),
            definition,
            entity,
            version,
            database: self.inner.database.clone(),
            storage,
            lineage: self.inner.lineage.clone(),
        };
        Ok(FeatureView {
            inner: Arc::new(inner),
        })
    }
}

/// Copies the events of a view under another definition of it, checked.
fn copy(
    before: &FeatureView,
    definition: &ViewDefinition,
    schema: &Schema,
    storage: &EventStorage,
) -> Result<()> {
    let old = before.definition();
    let mut sources = Vec::with_capacity(definition.features.len());
    for feature in &definition.features {
        let source = old
            .features
            .iter()
            .position(|field| field.name == feature.name);
        if let Some(known) = source.and_then(|source| old.features.get(source))
            && known.ty != feature.ty
        {
            return Err(Error::invalid(format!(
                "feature `{}` of view `{}` is of type {}, and cannot become {}: add it under another name",
                feature.name, definition.name, known.ty, feature.ty
            )));
        }
        sources.push(source);
    }
    let validator = checks_of(schema)?;
    let own = before.columns_before();
    let mut failure = None;
    before.inner.storage.scan(&mut |records| {
        for (_, record) in records {
            let (start, values) = record.split_at_checked(own).unwrap_or_default();
            let is_deletion = start.last() == Some(&Value::Bool(true));
            let fields = definition.features.iter().zip(&sources);
            let values = fields.map(|(field, source)| match source {
                Some(source) => values.get(*source).cloned().unwrap_or_default(),
                None if is_deletion => Value::Null,
                None => field.default.clone().unwrap_or_default(),
            });
            let values: Vec<Value> = start.iter().cloned().chain(values).collect();
            let copied = validator
                .check(&values)
                .and_then(|()| {
                    let record = Record::new(record.metadata(), record.key_columns(), values);
                    storage.fill(&[record])
                })
                .map_err(|error| error.at(format!("event {}", record.id())));
            if let Err(error) = copied {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    failure.map_or(Ok(()), Err)
}

/// The rules of a schema, but for those of the application's own.
fn checks_of(schema: &Schema) -> Result<Validator> {
    let mut schema = schema.clone();
    for field in &mut schema.fields {
        field.rules.retain(|rule| !matches!(rule, Rule::Custom(_)));
    }
    schema.compile(&RuleRegistry::default())
}

/// Numbers of the features that may not be missing.
fn required(definition: &ViewDefinition) -> Vec<usize> {
    let features = definition.features.iter().enumerate();
    let required = features.filter(|(_, field)| !field.nullable);
    required.map(|(feature, _)| feature).collect()
}
