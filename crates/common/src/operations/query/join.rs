//! Joins: rows of another table beside the rows so far.

use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::HashMap;

use super::layout::{Layout, Place};
use super::plan::JoinAccess;
use super::query::{Join, JoinKind};
use crate::core::base::{Record, RecordId, Text, Value};
use crate::core::database::{Collection, View};
use crate::core::schema::{FieldType, IndexKind, Schema};
use crate::core::storage::Index;
use crate::error::{Error, Result};

/// One join with its table and columns found.
pub(super) struct JoinStep {
    pub(super) table: Collection,
    name: Text,
    schema: Arc<Schema>,
    pub(super) kind: JoinKind,
    /// Where the values are in the rows so far, one for each of `right`.
    left: Vec<Place>,
    /// Positions of the columns of the other table.
    right: Vec<usize>,
}

/// How partners are found, chosen when the query runs.
pub(super) enum Partners {
    /// By primary key: for each key column, which pair gives it.
    Key(Vec<usize>),
    /// By an index: for each of its leading columns, which pair gives it.
    Index(Arc<Index>, Vec<usize>),
    /// By a hash table over the whole other table.
    Hash(HashMap<RecordId, Vec<Record>, foldhash::fast::RandomState>),
}

impl JoinStep {
    pub(super) fn new(join: &Join, view: &View<'_>, layout: &Layout) -> Result<Self> {
        let table = view.collection(&join.table)?;
        let schema = table.schema();
        if join.on.is_empty() {
            return Err(Error::invalid("a join has at least one pair of columns"));
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (path, column) in &join.on {
            let place = layout.resolve(path)?;
            let position = schema.position_of(column)?;
            let ours = layout.type_of(&place);
            let theirs = schema.fields.get(position).map(|field| &field.ty);
            let number = |ty: &FieldType| matches!(ty, FieldType::Int | FieldType::Float);
            if let Some(theirs) = theirs
                && ours != *theirs
                && ours != FieldType::Any
                && *theirs != FieldType::Any
                && !(number(&ours) && number(theirs))
            {
                return Err(Error::invalid(format!(
                    "`{path}` is {ours}, which does not compare with {theirs} column `{column}`"
                )));
            }
            left.push(place);
            right.push(position);
        }
        Ok(Self {
            name: join.alias.clone().unwrap_or_else(|| join.table.clone()),
            table,
            schema,
            kind: join.kind,
            left,
            right,
        })
    }

    pub(super) fn key_columns(&self) -> usize {
        self.schema.key_columns
    }

    pub(super) fn columns(&self) -> usize {
        self.schema.fields.len()
    }

    pub(super) fn add_to(&self, layout: &mut Layout) {
        layout.add(self.name.clone(), &self.schema);
    }

    fn type_of(&self, column: usize) -> Option<&FieldType> {
        self.schema.fields.get(column).map(|field| &field.ty)
    }

    /// Which pair gives each of `columns`, when every pair is used and no column is of mixed types.
    fn pairs_for(&self, columns: impl Iterator<Item = usize>) -> Option<Vec<usize>> {
        let mut pairs = Vec::new();
        for column in columns {
            if self.type_of(column) == Some(&FieldType::Any) {
                return None;
            }
            match self.right.iter().position(|right| *right == column) {
                Some(pair) => pairs.push(pair),
                None => break,
            }
        }
        Some(pairs)
    }

    /// How partners are found, without building anything.
    fn choose(&self, view: &View<'_>) -> Option<Partners> {
        let all = |pairs: &Vec<usize>| {
            pairs.len() == self.right.len() && (0..self.right.len()).all(|p| pairs.contains(&p))
        };
        if self.right.len() == self.schema.key_columns
            && let Some(pairs) = self.pairs_for(0..self.schema.key_columns)
            && all(&pairs)
        {
            return Some(Partners::Key(pairs));
        }
        view.indexes(&self.table).iter().find_map(|index| {
            let pairs = self.pairs_for(index.columns().iter().copied())?;
            let fits = match index.spec().kind {
                IndexKind::Hash => pairs.len() == index.columns().len(),
                IndexKind::Ordered => true,
            };
            (fits && all(&pairs)).then(|| Partners::Index(Arc::clone(index), pairs))
        })
    }

    pub(super) fn access(&self, view: &View<'_>) -> JoinAccess {
        match self.choose(view) {
            Some(Partners::Key(_)) => JoinAccess::Key,
            Some(Partners::Index(index, _)) => JoinAccess::Index {
                index: index.spec().name.clone(),
            },
            _ => JoinAccess::Hash,
        }
    }

    /// Chooses how partners are found and builds what that needs.
    pub(super) fn partners(&self, view: &View<'_>, scanned: &mut usize) -> Result<Partners> {
        if let Some(partners) = self.choose(view) {
            return Ok(partners);
        }
        let mut by_key: HashMap<RecordId, Vec<Record>, foldhash::fast::RandomState> =
            HashMap::default();
        view.scan(&self.table, &mut |records| {
            *scanned += records.len();
            for record in records {
                let values: Option<Vec<Value>> = self
                    .right
                    .iter()
                    .map(|column| self.key_form(*column, record.get(*column)?))
                    .collect();
                if let Some(values) = values {
                    let key = RecordId::composite(values);
                    by_key.entry(key).or_default().push(record.clone());
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(Partners::Hash(by_key))
    }

    /// The value as the column stores it, `None` when it equals nothing there.
    #[expect(clippy::cast_precision_loss, reason = "checked by casting back")]
    #[expect(clippy::cast_possible_truncation, reason = "checked by casting back")]
    fn key_form(&self, column: usize, value: &Value) -> Option<Value> {
        let whole = |float: f64| {
            let int = float as i64;
            (value.compare(&Value::Int(int))? == std::cmp::Ordering::Equal)
                .then_some(Value::Int(int))
        };
        match (self.type_of(column)?, value) {
            (_, Value::Null) => None,
            (_, Value::Float(float)) if float.is_nan() => None,
            (FieldType::Int, Value::Float(float)) => whole(*float),
            (FieldType::Float, Value::Int(int)) => {
                let float = *int as f64;
                (float as i128 == i128::from(*int)).then_some(Value::Float(float))
            }
            // Equal numbers take one form on both sides.
            (FieldType::Any, Value::Float(float)) => {
                Some(whole(*float).unwrap_or_else(|| value.clone()))
            }
            (_, value) => Some(value.clone()),
        }
    }

    /// Calls `visit` with each partner of a row.
    pub(super) fn find(
        &self,
        view: &View<'_>,
        partners: &Partners,
        row: &[Value],
        scanned: &mut usize,
        visit: &mut dyn FnMut(&[Value]),
    ) -> Result<()> {
        let values: Option<Vec<Value>> = self
            .left
            .iter()
            .zip(&self.right)
            .map(|(left, right)| self.key_form(*right, left.of(row)))
            .collect();
        let Some(values) = values else {
            return Ok(());
        };
        let in_order = |pairs: &[usize]| -> Vec<Value> {
            pairs
                .iter()
                .filter_map(|pair| values.get(*pair).cloned())
                .collect()
        };
        let found: Vec<Record>;
        let records: &[Record] = match partners {
            Partners::Key(pairs) => {
                let id = RecordId::composite(in_order(pairs));
                found = view.get(&self.table, &id)?.into_iter().collect();
                *scanned += found.len();
                &found
            }
            Partners::Index(index, pairs) => {
                found = view.equal(&self.table, index, &in_order(pairs))?;
                *scanned += found.len();
                &found
            }
            Partners::Hash(by_key) => by_key
                .get(&RecordId::composite(values))
                .map(Vec::as_slice)
                .unwrap_or_default(),
        };
        for record in records {
            visit(record);
        }
        Ok(())
    }
}
