//! [`Table`]: what a [`super::Collection`] handle points to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::history::History;
use crate::core::base::{Record, Slot, Text};
use crate::core::schema::{IndexSpec, RuleRegistry, Schema, Validator};
use crate::core::storage::{Index, Storage, StorageKind};
use crate::core::versioning::TableId;
use crate::error::{Error, Result};

/// One table: its schema, its records, its indexes.
pub(super) struct Table {
    pub(super) id: TableId,
    pub(super) name: Text,
    pub(super) schema: RwLock<Arc<Schema>>,
    pub(super) validator: Validator,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) kind: StorageKind,
    pub(super) indexes: RwLock<Arc<[Arc<Index>]>>,
    /// Whether any index refuses duplicates, so that most commits need not look.
    pub(super) has_unique: AtomicBool,
    pub(super) has_references: bool,
    pub(super) history: History,
    pub(super) dropped: AtomicBool,
}

impl Table {
    pub(super) fn new(
        id: TableId,
        schema: Schema,
        kind: StorageKind,
        rules: &RuleRegistry,
        kept_aside: Arc<AtomicUsize>,
    ) -> Result<Self> {
        let validator = schema.compile(rules)?;
        let indexes = schema
            .indexes
            .iter()
            .map(|spec| new_index(&schema, spec.clone()).map(Arc::new))
            .collect::<Result<Arc<[_]>>>()?;
        let table = Self {
            id,
            name: schema.name.clone(),
            validator,
            storage: kind.open(),
            kind,
            has_unique: AtomicBool::new(schema.indexes.iter().any(|spec| spec.unique)),
            has_references: !schema.references.is_empty(),
            indexes: RwLock::new(indexes),
            schema: RwLock::new(Arc::new(schema)),
            history: History::new(kept_aside),
            dropped: AtomicBool::new(false),
        };
        // A storage of the application's own may bring records along.
        for index in table.indexes().iter() {
            table.fill(index)?;
        }
        Ok(table)
    }

    pub(super) fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.schema.read())
    }

    pub(super) fn indexes(&self) -> Arc<[Arc<Index>]> {
        Arc::clone(&self.indexes.read())
    }

    pub(super) fn check_alive(&self) -> Result<()> {
        if self.dropped.load(Ordering::Relaxed) {
            Err(Error::closed(format!("table `{}` was dropped", self.name)))
        } else {
            Ok(())
        }
    }

    /// Enters all current records into an index.
    fn fill(&self, index: &Index) -> Result<()> {
        self.storage.scan(&mut |records: &[(Slot, Record)]| {
            for (slot, record) in records {
                index.replace(*slot, None, Some(record));
            }
            ControlFlow::Continue(())
        })
    }

    /// Builds an index and puts it to use; the caller holds the writer's lock.
    pub(super) fn create_index(&self, spec: IndexSpec) -> Result<()> {
        let schema = self.schema();
        let mut changed = Schema::clone(&schema);
        changed.indexes.push(spec.clone());
        changed.check()?;
        let index = new_index(&schema, spec)?;
        self.fill(&index)?;
        if index.spec().unique {
            self.check_unique(&index)?;
        }
        let unique = index.spec().unique;
        let indexes: Arc<[_]> = self
            .indexes()
            .iter()
            .cloned()
            .chain([Arc::new(index)])
            .collect();
        *self.indexes.write() = indexes;
        *self.schema.write() = Arc::new(changed);
        self.has_unique.fetch_or(unique, Ordering::Relaxed);
        Ok(())
    }

    /// Takes an index out of use; the caller holds the writer's lock.
    pub(super) fn drop_index(&self, name: &str) -> Result<()> {
        let mut changed = Schema::clone(&self.schema());
        let before = changed.indexes.len();
        changed.indexes.retain(|spec| spec.name != name);
        if changed.indexes.len() == before {
            let known: Vec<&str> = changed
                .indexes
                .iter()
                .map(|spec| spec.name.as_str())
                .collect();
            return Err(Error::not_found(format!(
                "table `{}` has no index `{name}`; its indexes are [{}]",
                self.name,
                known.join(", ")
            )));
        }
        let kept: Arc<[_]> = self
            .indexes()
            .iter()
            .filter(|index| index.spec().name != name)
            .cloned()
            .collect();
        self.has_unique.store(
            kept.iter().any(|index| index.spec().unique),
            Ordering::Relaxed,
        );
        *self.indexes.write() = kept;
        *self.schema.write() = Arc::new(changed);
        Ok(())
    }

    fn check_unique(&self, index: &Index) -> Result<()> {
        let mut duplicate = None;
        let mut slots = Vec::new();
        self.storage.scan(&mut |records: &[(Slot, Record)]| {
            for (_, record) in records {
                let key = index.key(record);
                slots.clear();
                index.equal(key.values(), &mut slots);
                if slots.len() > 1 && !key.values().iter().any(crate::Value::is_null) {
                    duplicate = Some((key, record.id()));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        match duplicate {
            None => Ok(()),
            Some((key, id)) => Err(Error::conflict(format!(
                "index `{}` cannot be unique: row {id} of `{}` shares its value {key} with another",
                index.spec().name,
                self.name
            ))),
        }
    }
}

fn new_index(schema: &Schema, spec: IndexSpec) -> Result<Index> {
    let columns = spec
        .columns
        .iter()
        .map(|column| schema.position_of(column))
        .collect::<Result<Box<[usize]>>>()?;
    Ok(Index::new(spec, columns))
}
