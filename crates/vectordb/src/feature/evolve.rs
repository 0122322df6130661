//! How a view comes to have another definition, with its events.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::database::Alteration;
use common::schema::{Rule, RuleRegistry, Schema, Validator};
use common::storage::{Storage as _, StorageKind};
use common::{Error, Record, Result, Text, Value, row};

use super::definition::{Entity, ViewDefinition};
use super::storage::EventStorage;
use super::store::{FeatureStore, to_json};
use super::view::{FeatureView, Inner as ViewInner, view_node};

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

    /// Makes the table of a view, with the events of the view whose place it takes.
    pub(super) fn replace(
        &self,
        definition: ViewDefinition,
        version: u32,
        before: Option<&FeatureView>,
    ) -> Result<FeatureView> {
        let entity = self.entity(&definition.entity)?;
        let schema = definition.schema(&entity, version)?;
        // From here on nobody writes.
        let mut transaction = self.inner.database.begin();
        let mut alterations = Vec::new();
        let (kind, copied) = match before {
            Some(before) => {
                let storage = Arc::new(EventStorage::new(&schema)?);
                copy(before, &definition, &schema, &storage)?;
                let table = schema.name.clone();
                alterations.push(Alteration::Drop { table });
                (
                    StorageKind::Custom(Arc::clone(&storage) as Arc<_>),
                    Some(storage),
                )
            }
            // The database makes it, as it would from a file, and it is laid out when it is there.
            None => (StorageKind::Hash, None),
        };
        let now = self.inner.database.clock().now();
        let row = row! {
            "name": definition.name.clone(), "version": i64::from(version), "definition": to_json(&definition)?,
            "created_at": now,
        };
        transaction.insert(&self.inner.definitions, row)?;
        let parents: Vec<Text> = before.iter().map(|view| view.lineage_node().id()).collect();
        let node = view_node(&definition, version);
        self.inner
            .lineage
            .record_in(&mut transaction, &node, &parents)?;
        let layout = schema.clone();
        alterations.push(Alteration::Create { schema, kind });
        transaction.commit_altered(alterations)?;
        let storage = match copied {
            Some(storage) => storage,
            None => self.lay_out(&layout)?,
        };
        if let Some(before) = before {
            before.inner.storage.set_replaced();
        }
        let view = self.handle(definition, entity, version, storage)?;
        let name = view.name().into();
        self.inner.views.write().insert(name, view.clone());
        Ok(view)
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
