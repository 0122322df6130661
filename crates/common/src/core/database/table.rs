//! [`Table`]: what a [`super::Collection`] handle points to.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::alteration::Derivation;
use super::history::History;
use crate::core::base::{Record, Seq, Slot, Text, Value};
use crate::core::schema::{IndexSpec, RuleRegistry, Schema, Validator};
use crate::core::storage::{ExtendedStorage, Fill, Index, Storage, StorageKind};
use crate::core::versioning::{Change, ChangeKind, ColumnSet, TableId};
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
    pub(super) history: Arc<History>,
    /// The storage once more, when the table has got columns since records were written.
    pub(super) extended: Option<Arc<ExtendedStorage>>,
    /// Sets columns that follow from others, whenever a row is written.
    pub(super) derivation: Option<Derivation>,
    pub(super) dropped: AtomicBool,
    /// Another table has taken its place, with the same name and number.
    pub(super) altered: AtomicBool,
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
            history: Arc::new(History::new(kept_aside)),
            extended: None,
            derivation: None,
            dropped: AtomicBool::new(false),
            altered: AtomicBool::new(false),
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
            return Err(self.not_alive());
        }
        Ok(())
    }

    #[cold]
    fn not_alive(&self) -> Error {
        Error::closed(if self.altered.load(Ordering::Relaxed) {
            format!(
                "table `{}` was altered since this handle to it was taken; take it anew from the database",
                self.name
            )
        } else {
            format!("table `{}` was dropped", self.name)
        })
    }

    /// The table as it goes on with another schema, whose columns are those of now and one more for each fill. Rows,
    /// indexes that stay the same, and what snapshots need are shared with the table as it is.
    pub(super) fn extended(
        &self,
        schema: Schema,
        fills: &[Fill],
        derivation: Option<Derivation>,
        rules: &RuleRegistry,
    ) -> Result<Self> {
        let extended = match &self.extended {
            Some(extended) if fills.is_empty() => Some(Arc::clone(extended)),
            Some(extended) => Some(Arc::new(extended.extended(fills))),
            None if fills.is_empty() => None,
            None => Some(Arc::new(ExtendedStorage::new(
                Arc::clone(&self.storage),
                self.validator.len(),
                fills.to_vec(),
            ))),
        };
        let storage = match &extended {
            Some(extended) => Arc::clone(extended) as Arc<dyn Storage>,
            None => Arc::clone(&self.storage),
        };
        let known = self.indexes();
        let mut fresh = Vec::new();
        let mut indexes = Vec::with_capacity(schema.indexes.len());
        for spec in &schema.indexes {
            let index = new_index(&schema, spec.clone())?;
            let same = known
                .iter()
                .find(|known| known.spec() == index.spec() && known.columns() == index.columns());
            indexes.push(if let Some(same) = same {
                Arc::clone(same)
            } else {
                let index = Arc::new(index);
                fresh.push(Arc::clone(&index));
                index
            });
        }
        let table = Self {
            id: self.id,
            name: self.name.clone(),
            validator: schema.compile(rules)?,
            storage,
            kind: self.kind.clone(),
            has_unique: AtomicBool::new(schema.indexes.iter().any(|spec| spec.unique)),
            has_references: !schema.references.is_empty(),
            indexes: RwLock::new(indexes.into()),
            schema: RwLock::new(Arc::new(schema)),
            history: Arc::clone(&self.history),
            extended,
            derivation,
            dropped: AtomicBool::new(false),
            altered: AtomicBool::new(false),
        };
        for index in fresh {
            table.fill(&index)?;
            if index.spec().unique {
                table.check_unique(&index)?;
            }
        }
        Ok(table)
    }

    /// A record with all columns that the table has.
    pub(super) fn whole(&self, record: Record) -> Record {
        let extended = self.extended.as_ref();
        let widened = extended.and_then(|extended| extended.widened(&record));
        widened.unwrap_or(record)
    }

    /// A change with all columns that the table has, as if it had had them then.
    pub(super) fn whole_change(&self, change: &mut Change) {
        let Some(extended) = &self.extended else {
            return;
        };
        if let Some(before) = &mut change.before
            && let Some(widened) = extended.widened(before)
        {
            *before = widened;
        }
        if change.kind != ChangeKind::Delete
            && let Some(widened) = extended.widened(&change.record)
        {
            if change.kind == ChangeKind::Insert {
                change.columns = ColumnSet::all(widened.len());
            }
            for (position, from) in extended.computed(change.record.len()) {
                if from.iter().any(|from| change.columns.contains(*from)) {
                    change.columns.insert(position);
                }
            }
            change.record = widened;
        }
    }

    /// The record of this key that was current at `at`, if it has been replaced since.
    pub(super) fn past(&self, key: &[Value], at: Seq) -> Option<Record> {
        self.history.get(key, at).map(|record| self.whole(record))
    }

    /// All records that were current at `at` and have been replaced since, with the slots they had.
    pub(super) fn pasts(&self, at: Seq) -> Vec<(Slot, Record)> {
        let mut pasts = self.history.visible(at);
        if self.extended.is_some() {
            for (_, record) in &mut pasts {
                *record = self.whole(record.clone());
            }
        }
        pasts
    }

    /// Enters all current records into an index.
    pub(super) fn fill(&self, index: &Index) -> Result<()> {
        self.storage.scan(&mut |records: &[(Slot, Record)]| {
            for (slot, record) in records {
                index.replace(*slot, None, Some(record));
            }
            ControlFlow::Continue(())
        })
    }

    /// Builds an index and puts it to use, unless `before` fails, which is given the schema with the index; the caller
    /// holds the writer's lock.
    pub(super) fn create_index(
        &self,
        spec: IndexSpec,
        before: impl FnOnce(&Schema) -> Result<()>,
    ) -> Result<()> {
        let schema = self.schema();
        let mut changed = Schema::clone(&schema);
        changed.indexes.push(spec.clone());
        changed.check()?;
        let index = new_index(&schema, spec)?;
        self.fill(&index)?;
        if index.spec().unique {
            self.check_unique(&index)?;
        }
        before(&changed)?;
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

    /// Takes an index out of use, unless `first` fails; the caller holds the writer's lock.
    pub(super) fn drop_index(&self, name: &str, first: impl FnOnce() -> Result<()>) -> Result<()> {
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
        first()?;
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

    pub(super) fn check_unique(&self, index: &Index) -> Result<()> {
        let mut duplicate = None;
        let mut slots = Vec::new();
        self.storage.scan(&mut |records: &[(Slot, Record)]| {
            for (_, record) in records {
                let key = index.key(record);
                slots.clear();
                index.equal(key.values(), &mut slots);
                if slots.len() > 1 && !key.values().iter().any(Value::is_null) {
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
