//! [`LiveQuery`]: a query's result that follows the log.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::diff::{Difference, differences, is_same_version};
use super::filter::FilterRegistry;
use super::order::OrderBy;
use super::path::Path;
use super::prepare::{Output, PreparedQuery};
use super::query::Query;
use super::result::ResultRow;
use crate::ErrorKind;
use crate::core::base::{Record, RecordId, Seq, Text, Value};
use crate::core::database::Database;
use crate::core::schema::Schema;
use crate::core::versioning::{Change, TableId};
use crate::error::Result;

/// Changes that are followed one by one; beyond that the query is run afresh.
const CHANGES_MAX: usize = 65_536;

/// A query's result, kept up to date from the log: [`LiveQuery::poll`] says what has changed since the last
/// time, and those differences, applied in turn to the rows from before, give the rows of a fresh run.
///
/// Rows stand in the query's order; without one, in the order of the primary key. A query of one table
/// without a limit is followed change by change. One with a limit, a join or groups is run again, but only
/// when a change concerns it. When the log no longer reaches back to the last position, the query is run
/// afresh too and the differences come out all the same.
///
/// ```
/// use common::query::{Difference, Filter, LiveQuery, Query};
/// use common::schema::{Field, FieldType, Schema};
/// use common::{row, Database};
/// let db = Database::new();
/// let notes = db.create_collection(
///     Schema::build("notes", ["id"])
///         .field(Field::new("id", FieldType::Int))
///         .field(Field::new("done", FieldType::Bool))
///         .finish()?,
/// )?;
/// notes.insert(row! { "id": 1, "done": false })?;
/// let open = Query::from("notes").filter(Filter::eq("done", false));
/// let mut open = LiveQuery::open(&db, &open)?;
/// assert_eq!(open.rows().len(), 1);
/// notes.insert(row! { "id": 2, "done": false })?;
/// notes.update(1, row! { "done": true })?;
/// let differences = open.poll()?;
/// assert!(matches!(differences[0], Difference::Added { position: 1, .. }));
/// assert!(matches!(differences[1], Difference::Removed { position: 0, .. }));
/// # Ok::<(), common::Error>(())
/// ```
pub struct LiveQuery {
    db: Database,
    prepared: PreparedQuery,
    tables: Vec<TableId>,
    seq: Seq,
    rows: Vec<ResultRow>,
    followed: Followed,
}

/// What is kept beside the rows.
enum Followed {
    /// Every record of the result, in order and by key.
    Records {
        sorted: Vec<Record>,
        by_id: HashMap<RecordId, Record, RandomState>,
    },
    /// Nothing: the query is run again.
    Rerun,
}

impl std::fmt::Debug for LiveQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveQuery")
            .field("query", self.prepared.query())
            .field("seq", &self.seq)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl LiveQuery {
    /// Runs the query and begins to follow it.
    ///
    /// # Errors
    /// As [`Query::run`].
    pub fn open(db: &Database, query: &Query) -> Result<Self> {
        Self::open_with(db, query, &FilterRegistry::default())
    }

    /// As [`LiveQuery::open`], with the application's conditions.
    ///
    /// # Errors
    /// As [`Query::run`].
    pub fn open_with(db: &Database, query: &Query, registry: &FilterRegistry) -> Result<Self> {
        let snapshot = db.snapshot();
        let view = snapshot.view();
        let query = with_order(query, &view.collection(&query.from)?.schema());
        let prepared = query.prepare_with(&view, registry)?;
        let shape = &prepared.shape;
        let mut tables = vec![shape.base.id()];
        tables.extend(shape.joins.iter().map(|step| step.table.id()));
        let whole = query.joins.is_empty()
            && !query.is_grouped()
            && query.limit.is_none()
            && query.offset == 0
            && query.after.is_none();
        let followed = if whole {
            Followed::Records {
                sorted: Vec::new(),
                by_id: HashMap::default(),
            }
        } else {
            Followed::Rerun
        };
        drop(snapshot);
        let mut live = Self {
            db: db.clone(),
            tables,
            seq: Seq::ZERO,
            rows: Vec::new(),
            followed,
            prepared,
        };
        live.refresh()?;
        Ok(live)
    }

    /// The rows as of the last poll.
    pub fn rows(&self) -> &[ResultRow] {
        &self.rows
    }

    /// Names of the columns.
    pub fn columns(&self) -> &Arc<[Text]> {
        &self.prepared.shape.columns
    }

    /// Position of the last commit that the rows take account of.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// What has changed since the last poll, to be applied in turn; empty when nothing has.
    ///
    /// # Errors
    /// As [`Query::run`]; the rows stay as they were then.
    pub fn poll(&mut self) -> Result<Vec<Difference>> {
        let now = self.db.seq();
        if now == self.seq {
            return Ok(Vec::new());
        }
        let changes = match self.db.changes_since(self.seq, CHANGES_MAX) {
            Ok(changes) if changes.len() < CHANGES_MAX => changes,
            Ok(_) => return self.refresh(),
            Err(error) if error.kind() == ErrorKind::NotFound => return self.refresh(),
            Err(error) => return Err(error),
        };
        let seq = changes.last().map_or(now, |change| change.seq.max(now));
        let concerned: Vec<&Change> = changes
            .iter()
            .filter(|change| self.tables.contains(&change.table))
            .collect();
        let differences = match &self.followed {
            Followed::Rerun if self.concerns(&concerned)? => return self.refresh(),
            Followed::Rerun => Vec::new(),
            Followed::Records { .. } => self.follow(&concerned)?,
        };
        self.seq = seq;
        Ok(differences)
    }

    /// Runs the query afresh and returns what differs.
    fn refresh(&mut self) -> Result<Vec<Difference>> {
        let snapshot = self.db.snapshot();
        let view = snapshot.view();
        let rows = match &mut self.followed {
            Followed::Records { sorted, by_id } => {
                let records = self.prepared.all_records(&view)?;
                *by_id = records.iter().map(|r| (r.id(), r.clone())).collect();
                *sorted = records;
                sorted.iter().map(|r| self.prepared.row_of(r)).collect()
            }
            Followed::Rerun => self.prepared.run(&view)?.rows,
        };
        let key_columns = self.identity_columns();
        let differences = differences(&self.rows, &rows, key_columns);
        self.rows = rows;
        self.seq = snapshot.seq();
        Ok(differences)
    }

    /// How many leading columns of a row tell it from all others; `None` when only the whole row does.
    fn identity_columns(&self) -> Option<usize> {
        let shape = &self.prepared.shape;
        match &shape.output {
            Output::Group(grouping) => Some(grouping.keys.len()),
            Output::All if shape.joins.is_empty() => Some(shape.base.validator().key_columns()),
            _ => None,
        }
    }

    /// Whether any of the changes can have changed the result of a query that is run again.
    fn concerns(&self, changes: &[&Change]) -> Result<bool> {
        let shape = &self.prepared.shape;
        let query = &shape.query;
        // Rows are told apart by key only where they are whole records.
        if !query.gives_records() || query.offset > 0 {
            return Ok(!changes.is_empty());
        }
        let conditions = self.prepared.conditions()?;
        let is_full = query.limit.is_some_and(|limit| self.rows.len() >= limit);
        let last = self.rows.last();
        Ok(changes.iter().any(|change| {
            let key = change.record.key();
            let was_in = self
                .rows
                .iter()
                .any(|row| row.get(..key.len()) == Some(key));
            let comes_in = change.after().is_some_and(|record| {
                let is_before_end =
                    last.is_none_or(|last| shape.order.compare(record, last.values()).is_lt());
                (!is_full || is_before_end) && conditions.base.matches(record)
            });
            was_in || comes_in
        }))
    }

    /// Takes the changes of one table into the rows.
    fn follow(&mut self, changes: &[&Change]) -> Result<Vec<Difference>> {
        let conditions = Arc::clone(self.prepared.conditions()?);
        let prepared = &self.prepared;
        let order = &prepared.shape.order;
        let Followed::Records { sorted, by_id } = &mut self.followed else {
            return Ok(Vec::new());
        };
        // Of several changes of one record only the last counts.
        let mut last: HashMap<&[Value], usize, RandomState> = HashMap::default();
        for (position, change) in changes.iter().enumerate() {
            last.insert(change.record.key(), position);
        }
        let mut found = Vec::new();
        for (position, change) in changes.iter().enumerate() {
            if last.get(change.record.key()) != Some(&position) {
                continue;
            }
            let id = change.id();
            let after = change
                .after()
                .filter(|record| conditions.base.matches(record));
            let before = match after {
                Some(after) => by_id.insert(id, after.clone()),
                None => by_id.remove(&id),
            };
            let from = before.as_ref().and_then(|before| {
                let search = |record: &Record| order.compare(record, before);
                sorted.binary_search_by(search).ok()
            });
            if let Some(from) = from {
                sorted.remove(from);
            }
            let to = after.map(|after| {
                let to = sorted.partition_point(|record| order.compare(record, after).is_lt());
                sorted.insert(to, after.clone());
                (to, prepared.row_of(after))
            });
            let old = from.and_then(|from| Some((from, self.rows.get(from)?.clone())));
            let steps = match (old, to) {
                (Some((from, before)), Some((position, row))) if from == position => {
                    // A change that the selected columns do not show is none.
                    let is_seen = !is_same_version(&before, &row);
                    let updated = is_seen.then_some(Difference::Updated {
                        position,
                        before,
                        row,
                    });
                    [updated, None]
                }
                (old, to) => [
                    old.map(|(position, row)| Difference::Removed { position, row }),
                    to.map(|(position, row)| Difference::Added { position, row }),
                ],
            };
            for step in steps.into_iter().flatten() {
                step.apply(&mut self.rows);
                found.push(step);
            }
        }
        Ok(found)
    }
}

/// The query with an order: its own, or that of the groups or of the first table's key.
fn with_order(query: &Query, schema: &Schema) -> Query {
    let mut query = query.clone();
    if query.order.is_empty() {
        query.order = if query.is_grouped() {
            let keys = query.group_by.iter().cloned();
            keys.map(OrderBy::ascending).collect()
        } else {
            let keys = schema.key_fields().iter().map(|field| {
                let column = field.name.clone();
                if query.joins.is_empty() {
                    Path::column(column)
                } else {
                    Path::column(query.from.clone()).key(column)
                }
            });
            keys.map(OrderBy::ascending).collect()
        };
    }
    query
}
