//! [`PreparedQuery`]: a query with its tables, columns and conditions found.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::aggregate::Aggregate;
use super::bounds::Bounds;
use super::compile::{Node, Predicate, compile};
use super::cursor::Cursor;
use super::filter::{Filter, FilterRegistry};
use super::group::Grouping;
use super::join::JoinStep;
use super::layout::{Layout, Place};
use super::order::{NullPlacement, OrderBy, SortKey, SortOrder};
use super::query::Query;
use crate::core::base::{Text, Value};
use crate::core::database::{Collection, View};
use crate::core::schema::FieldType;
use crate::core::storage::Direction;
use crate::error::{Error, Result};

/// What becomes of the rows that match.
#[derive(Debug, Clone)]
pub(super) enum Output {
    /// They are the result.
    All,
    /// These parts of them are the result.
    Select(Box<[Place]>),
    /// They are grouped.
    Group(Grouping),
}

/// What does not depend on the values of parameters.
pub(super) struct Shape {
    pub(super) query: Query,
    registry: FilterRegistry,
    pub(super) base: Collection,
    pub(super) joins: Box<[JoinStep]>,
    /// Columns of all tables.
    pub(super) layout: Layout,
    /// Number of columns of the first table.
    pub(super) base_columns: usize,
    pub(super) output: Output,
    pub(super) columns: Arc<[Text]>,
    /// Layout of the result's columns when rows are grouped.
    grouped: Option<Layout>,
    pub(super) order: SortOrder,
    /// Which table and order cursors of this query belong to.
    pub(super) fingerprint: u64,
}

/// A query with its tables, columns and conditions found: run it as often as needed, on any view of the same
/// database. It keeps no records and holds nothing up.
///
/// ```
/// use common::query::{Filter, Query};
/// use common::schema::{Field, FieldType, Schema};
/// use common::{row, Database, Value};
/// let db = Database::new();
/// let notes = db.create_collection(
///     Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int)).finish()?,
/// )?;
/// for id in 0..10 {
///     notes.insert(row! { "id": id })?;
/// }
/// let below = Query::from("notes").filter(Filter::lt("id", Filter::param("end")));
/// let below = below.prepare(&db.snapshot().view())?;
/// let three = below.bind(&[("end", Value::from(3))])?;
/// assert_eq!(three.records(&db.snapshot().view())?.len(), 3);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone)]
pub struct PreparedQuery {
    pub(super) shape: Arc<Shape>,
    /// `None` while parameters wait for their values.
    pub(super) conditions: Option<Arc<Conditions>>,
}

impl std::fmt::Debug for PreparedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shape.query.fmt(f)
    }
}

/// The compiled conditions.
pub(super) struct Conditions {
    /// What the first table's columns must satisfy.
    pub(super) base: Predicate,
    pub(super) bounds: Bounds,
    /// What else the joined row must satisfy.
    pub(super) rest: Predicate,
    pub(super) having: Predicate,
    /// The filter, for `explain`.
    pub(super) filter: Filter,
}

impl PreparedQuery {
    pub(super) fn new(query: &Query, view: &View<'_>, registry: &FilterRegistry) -> Result<Self> {
        query.check()?;
        let base = view.collection(&query.from)?;
        let schema = base.schema();
        let mut layout = Layout::of_schema(&schema);
        let base_columns = schema.fields.len();
        let mut keys: Vec<usize> = (0..schema.key_columns).collect();
        let mut joins = Vec::with_capacity(query.joins.len());
        for join in &query.joins {
            let step = JoinStep::new(join, view, &layout)
                .map_err(|error| error.at(format!("join with `{}`", join.table)))?;
            let first = layout.columns().len();
            keys.extend(first..first + step.key_columns());
            step.add_to(&mut layout);
            joins.push(step);
        }
        let (output, grouped) = output(query, &layout)?;
        let columns: Arc<[Text]> = match (&output, &grouped) {
            (Output::Select(_), _) => query
                .select
                .iter()
                .map(super::query::Selected::output_name)
                .collect(),
            (_, Some(grouped)) => grouped.columns().iter().map(|c| c.name.clone()).collect(),
            (_, None) => (0..layout.columns().len())
                .map(|column| layout.output_name(column))
                .collect(),
        };
        let order = match &grouped {
            Some(grouped) => sort_order(&query.order, grouped, 0..query.group_by.len())?,
            None => sort_order(&query.order, &layout, keys)?,
        };
        let fingerprint = if query.order.is_empty() {
            0
        } else {
            fingerprint(query)
        };
        check_cursor(query.after.as_ref(), fingerprint, &order)?;
        let shape = Shape {
            query: query.clone(),
            registry: registry.clone(),
            base,
            joins: joins.into(),
            layout,
            base_columns,
            output,
            columns,
            grouped,
            order,
            fingerprint,
        };
        let waits = query.filter.has_parameters() || query.having.has_parameters();
        let conditions = if waits {
            None
        } else {
            Some(Arc::new(shape.compile(&query.filter, &query.having)?))
        };
        Ok(Self {
            shape: Arc::new(shape),
            conditions,
        })
    }

    /// The query with [parameters](Filter::param) replaced by their values.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when one has no value, or one that does not fit its column.
    pub fn bind(&self, parameters: &[(&str, Value)]) -> Result<Self> {
        let filter = self.shape.query.filter.bind(parameters)?;
        let having = self.shape.query.having.bind(parameters)?;
        Ok(Self {
            shape: Arc::clone(&self.shape),
            conditions: Some(Arc::new(self.shape.compile(&filter, &having)?)),
        })
    }

    /// The query that was prepared.
    pub fn query(&self) -> &Query {
        &self.shape.query
    }

    pub(super) fn conditions(&self) -> Result<&Arc<Conditions>> {
        self.conditions.as_ref().ok_or_else(|| {
            Error::invalid("the query has parameters without values; bind them first")
        })
    }
}

impl Shape {
    fn compile(&self, filter: &Filter, having: &Filter) -> Result<Conditions> {
        let predicate = compile(filter, &self.layout, &self.registry)?;
        let (base, rest) = if self.joins.is_empty() {
            (predicate, Predicate::from_node(Node::Always))
        } else {
            split(&predicate, self.base_columns)
        };
        let having = match &self.grouped {
            Some(grouped) => {
                compile(having, grouped, &self.registry).map_err(|error| error.at("having"))?
            }
            None => Predicate::from_node(Node::Always),
        };
        Ok(Conditions {
            bounds: Bounds::of(base.node(), &self.layout),
            base,
            rest,
            having,
            filter: filter.clone(),
        })
    }

    /// The values after which the result begins.
    pub(super) fn after(&self) -> Option<&[Value]> {
        self.query.after.as_ref().map(|cursor| &*cursor.values)
    }
}

/// Parts of a conjunction that only need the first `columns` columns, and the others. Rows of the first
/// table can be left out before an inner or left join without changing the result.
fn split(predicate: &Predicate, columns: usize) -> (Predicate, Predicate) {
    let parts = match predicate.node() {
        Node::All(parts) => parts.to_vec(),
        node => vec![node.clone()],
    };
    let (base, rest): (Vec<Node>, Vec<Node>) = parts.into_iter().partition(|part| {
        let mut within = true;
        part.columns(&mut |column| within &= column < columns);
        within
    });
    (
        Predicate::from_node(Node::all(base)),
        Predicate::from_node(Node::all(rest)),
    )
}

fn output(query: &Query, layout: &Layout) -> Result<(Output, Option<Layout>)> {
    if !query.is_grouped() {
        if query.having != Filter::True {
            return Err(Error::invalid(
                "`having` needs aggregates or grouping; use `filter` for rows",
            ));
        }
        if query.select.is_empty() {
            return Ok((Output::All, None));
        }
        let places: Result<Box<[Place]>> = query
            .select
            .iter()
            .map(|selected| layout.resolve(&selected.path))
            .collect();
        return Ok((Output::Select(places?), None));
    }
    if !query.select.is_empty() {
        return Err(Error::invalid(
            "columns are selected or aggregated, not both; group by the columns wanted",
        ));
    }
    let mut names: Vec<(Text, FieldType)> = Vec::new();
    let mut keys = Vec::with_capacity(query.group_by.len());
    for path in &query.group_by {
        let place = layout.resolve(path)?;
        let name = if path.parts.is_empty() {
            path.column.clone()
        } else {
            Text::from(path.to_string())
        };
        names.push((name, layout.type_of(&place)));
        keys.push(place);
    }
    let mut aggregates: Vec<(Aggregate, Option<Place>)> = Vec::new();
    for aggregate in &query.aggregates {
        let place = match &aggregate.path {
            Some(path) => Some(layout.resolve(path)?),
            None if aggregate.function == super::AggregateFunction::Count => None,
            None => {
                return Err(Error::invalid(format!(
                    "aggregate `{}` has no path; only `count` goes without",
                    aggregate.name
                )));
            }
        };
        let ty = match &place {
            Some(place) => layout.type_of(place),
            None => FieldType::Int,
        };
        names.push((aggregate.name.clone(), aggregate.result_type(&ty)?));
        aggregates.push((aggregate.clone(), place));
    }
    for (i, (name, _)) in names.iter().enumerate() {
        if names.iter().take(i).any(|(other, _)| other == name) {
            return Err(Error::invalid(format!(
                "the result has two columns `{name}`; name one differently"
            )));
        }
    }
    let mut grouped = Layout::default();
    grouped.add_columns("result".into(), names);
    Ok((Output::Group(Grouping { keys, aggregates }), Some(grouped)))
}

fn sort_order(
    order: &[OrderBy],
    layout: &Layout,
    ties: impl IntoIterator<Item = usize>,
) -> Result<SortOrder> {
    let mut keys: Vec<SortKey> = Vec::with_capacity(order.len() + 1);
    for by in order {
        keys.push(SortKey {
            at: layout.resolve(&by.path)?,
            direction: by.direction,
            nulls: by.nulls,
        });
    }
    let asked = keys.len();
    if asked > 0 {
        for column in ties {
            if !keys.iter().any(|key| key.at.whole() == Some(column)) {
                keys.push(SortKey {
                    at: Place::column(column),
                    direction: Direction::Ascending,
                    nulls: NullPlacement::Least,
                });
            }
        }
    }
    Ok(SortOrder { keys, asked })
}

fn fingerprint(query: &Query) -> u64 {
    let joined: Vec<_> = query
        .joins
        .iter()
        .map(|j| (&j.table, &j.alias, &j.on))
        .collect();
    let what = (&query.from, joined, &query.group_by, &query.order);
    // Names, paths and enums: JSON has a form for all of them.
    let json = serde_json::to_vec(&what).unwrap_or_default();
    let digest = Sha256::digest(&json);
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn check_cursor(after: Option<&Cursor>, fingerprint: u64, order: &SortOrder) -> Result<()> {
    let Some(cursor) = after else {
        return Ok(());
    };
    if order.asked == 0 {
        return Err(Error::invalid(
            "a query continues after a cursor only in an order; add `order_by`",
        ));
    }
    if cursor.fingerprint != fingerprint || cursor.values.len() != order.keys.len() {
        return Err(Error::invalid(
            "the cursor belongs to a query of another table or order; begin again without one",
        ));
    }
    Ok(())
}
