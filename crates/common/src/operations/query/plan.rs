//! The planner: which way to the rows costs least, and [`Plan`], which says so.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bounds::{Bounds, Constraint};
use super::compile::Node;
use super::filter::{CompareOp, Filter};
use super::order::{NullPlacement, OrderBy};
use super::prepare::{Conditions, Output, Shape};
use super::query::JoinKind;
use crate::core::base::{RecordId, Text, Value};
use crate::core::database::View;
use crate::core::schema::{FieldType, IndexKind};
use crate::core::storage::{Direction, Index, KeyRange};

/// Most look-ups that one query makes in an index for a list of values.
const LOOKUPS_MAX: usize = 4_096;
/// What reading a row through an index costs, in rows read by a scan.
const INDEX_COST: usize = 2;
/// What beginning a scan costs, in rows read by it.
const SCAN_COST: usize = 16;
/// Share of rows taken to match a condition about which nothing is known: one in this many.
const UNKNOWN_SHARE: usize = 4;

/// The way to the rows of the first table.
pub(super) enum Route {
    Nothing,
    Keys(Vec<RecordId>),
    Equal {
        index: Arc<Index>,
        keys: Vec<Vec<Value>>,
        /// Whether equality of the keys is all that the filter asks.
        covers: bool,
    },
    Range {
        index: Arc<Index>,
        range: KeyRange,
        direction: Direction,
        /// Whether the index gives the order asked for.
        in_order: bool,
    },
    Scan,
}

pub(super) struct Chosen {
    pub(super) route: Route,
    pub(super) estimated: usize,
}

impl Chosen {
    pub(super) fn is_in_order(&self) -> bool {
        matches!(self.route, Route::Range { in_order: true, .. })
    }
}

/// A way and what it costs.
struct Candidate {
    route: Route,
    /// Rows read when all are wanted; unknown at first for a range, which is counted when the others are known.
    estimated: Option<usize>,
    /// Columns whose constraints the way has used.
    used: Vec<usize>,
}

struct Planner<'a> {
    shape: &'a Shape,
    conditions: &'a Conditions,
    view: &'a View<'a>,
    /// Records in the table.
    records: usize,
}

/// Chooses the way that is estimated to cost least.
pub(super) fn choose(shape: &Shape, conditions: &Conditions, view: &View<'_>) -> Chosen {
    if conditions.bounds.impossible {
        return Chosen {
            route: Route::Nothing,
            estimated: 0,
        };
    }
    Planner {
        shape,
        conditions,
        view,
        records: view.len(&shape.base),
    }
    .choose()
}

impl Planner<'_> {
    fn choose(&self) -> Chosen {
        if let Some(keys) = self.primary_keys() {
            return Chosen {
                estimated: keys.len(),
                route: Route::Keys(keys),
            };
        }
        let scan = Candidate {
            route: Route::Scan,
            estimated: Some(self.records),
            used: Vec::new(),
        };
        let mut candidates = vec![scan];
        for index in self.view.indexes(&self.shape.base).iter() {
            candidates.extend(self.candidate(index));
        }
        let known = candidates
            .iter()
            .filter_map(|candidate| candidate.estimated);
        let mut matching = known.min().unwrap_or(self.records);
        for candidate in &mut candidates {
            if candidate.estimated.is_none() {
                let counted = self.count(&candidate.route, matching);
                matching = matching.min(counted);
                candidate.estimated = Some(counted);
            }
        }
        let best = candidates
            .into_iter()
            .min_by_key(|candidate| self.cost(candidate, matching));
        match best {
            Some(best) => Chosen {
                estimated: best.estimated.unwrap_or(self.records),
                route: best.route,
            },
            None => Chosen {
                route: Route::Scan,
                estimated: self.records,
            },
        }
    }

    /// Entries in a range, counted only as far as it can matter; all records beyond that.
    ///
    /// A range longer than the best way known is not taken for its length, beyond a part of the table a scan
    /// is as good, and with a limit only a short range changes anything: counting must not cost more than the
    /// query.
    fn count(&self, route: &Route, best: usize) -> usize {
        const LIMITED: usize = 1_024;
        let Route::Range { index, range, .. } = route else {
            return self.records;
        };
        let is_whole = range.prefix.is_empty()
            && matches!(range.lower, Bound::Unbounded)
            && matches!(range.upper, Bound::Unbounded);
        if is_whole {
            return self.records;
        }
        let limited = self.shape.rows_wanted().saturating_mul(8).max(LIMITED);
        let enough = (self.records / INDEX_COST).min(best).min(limited) + 1;
        match self.view.estimate(index, range, enough) {
            counted if counted >= enough => self.records,
            counted => counted,
        }
    }

    /// All primary keys that can match, when they are few enough to look up.
    fn primary_keys(&self) -> Option<Vec<RecordId>> {
        let key_columns = self.shape.base.validator().key_columns();
        let (keys, used) = combinations(&self.conditions.bounds, 0..key_columns);
        let few = keys.len() <= self.records.saturating_mul(2).max(16);
        (used == key_columns && few).then(|| keys.into_iter().map(RecordId::composite).collect())
    }

    /// What an index can do for the query.
    fn candidate(&self, index: &Arc<Index>) -> Option<Candidate> {
        let bounds = &self.conditions.bounds;
        let columns = index.columns();
        let (mut keys, used) = combinations(bounds, columns.iter().copied());
        let is_ordered = index.spec().kind == IndexKind::Ordered;
        if used < columns.len() && !is_ordered {
            return None;
        }
        let mut used_columns: Vec<usize> = columns.iter().take(used).copied().collect();
        if used == columns.len() || keys.len() > 1 {
            let estimate = |key: &Vec<Value>| {
                let range = KeyRange::prefix(key.clone());
                self.view.estimate(index, &range, self.records)
            };
            return Some(Candidate {
                estimated: Some(keys.iter().map(estimate).sum()),
                route: Route::Equal {
                    covers: used == columns.len() && self.covers(columns),
                    index: Arc::clone(index),
                    keys,
                },
                used: used_columns,
            });
        }
        let next = columns.get(used).copied();
        let mut constraint = next
            .and_then(|column| bounds.get(column))
            .filter(|constraint| constraint.is_range())
            .cloned()
            .unwrap_or(Constraint::NONE);
        let direction = self.direction_in_order(columns.get(used..).unwrap_or_default());
        if used == 0 && direction.is_none() && !constraint.is_range() {
            return None;
        }
        if let (Some(column), Some(direction)) = (next, direction) {
            self.begin_after_cursor(column, direction, &mut constraint);
        }
        if constraint.is_range() {
            used_columns.extend(next);
        }
        let range = KeyRange {
            prefix: keys.pop().unwrap_or_default(),
            lower: constraint.lower,
            upper: constraint.upper,
        };
        Some(Candidate {
            estimated: None,
            route: Route::Range {
                index: Arc::clone(index),
                range,
                direction: direction.unwrap_or_default(),
                in_order: direction.is_some(),
            },
            used: used_columns,
        })
    }

    /// In which direction the index gives the order asked for, its leading columns being constant.
    fn direction_in_order(&self, columns: &[usize]) -> Option<Direction> {
        let order = &self.shape.order;
        let plain = matches!(self.shape.output, Output::All | Output::Select(_));
        if order.asked == 0 || !plain || !self.shape.joins.is_empty() {
            return None;
        }
        let bounds = &self.conditions.bounds;
        let key_columns = self.shape.base.validator().key_columns();
        let is_constant = |column: usize| {
            let points = bounds.get(column).and_then(|c| c.points.as_ref());
            points.is_some_and(|points| points.len() == 1)
        };
        // A sequence up to the column that makes it unique; what follows decides nothing.
        let decisive = |sequence: &mut dyn Iterator<Item = (usize, Direction)>| {
            let mut decisive: Vec<(usize, Direction)> = Vec::new();
            for (column, direction) in sequence {
                let has = |column: usize| decisive.iter().any(|(known, _)| *known == column);
                if (0..key_columns).all(|key| has(key) || is_constant(key)) {
                    break;
                }
                if !has(column) && !is_constant(column) {
                    decisive.push((column, direction));
                }
            }
            decisive
        };
        let mut wanted = Vec::with_capacity(order.keys.len());
        for key in &order.keys {
            if key.nulls != NullPlacement::Least {
                return None;
            }
            wanted.push((key.at.whole()?, key.direction));
        }
        let wanted = decisive(&mut wanted.into_iter());
        let direction = wanted.first()?.1;
        // Ties in an index stand in the order of the primary key.
        let by_index = columns.iter().map(|column| (*column, direction));
        let by_key = (0..key_columns).map(|column| (column, Direction::Ascending));
        (decisive(&mut by_index.chain(by_key)) == wanted).then_some(direction)
    }

    /// Rows before the cursor need not be read.
    fn begin_after_cursor(&self, column: usize, direction: Direction, range: &mut Constraint) {
        let order = &self.shape.order;
        let position = order
            .keys
            .iter()
            .position(|key| key.at.whole() == Some(column));
        let value = self
            .shape
            .after()
            .zip(position)
            .and_then(|(after, at)| after.get(at));
        if let Some(value) = value {
            let value = Bound::Included(value.clone());
            range.narrow(match direction {
                Direction::Ascending => Constraint::range(value, Bound::Unbounded),
                Direction::Descending => Constraint::range(Bound::Unbounded, value),
            });
        }
    }

    /// Whether the filter says nothing but that these columns equal the keys.
    fn covers(&self, columns: &[usize]) -> bool {
        let is_equality = |node: &Node| match node {
            Node::Int {
                column,
                op: CompareOp::Eq,
                ..
            }
            | Node::TextEqual { column, .. } => columns.contains(column),
            Node::Compare {
                at,
                op: CompareOp::Eq,
                ..
            } => at.whole().is_some_and(|column| {
                let ty = self.shape.layout.columns().get(column).map(|c| &c.ty);
                // There, numbers of different kinds are equal without being one key.
                columns.contains(&column) && ty.is_some_and(|ty| *ty != FieldType::Any)
            }),
            _ => false,
        };
        parts(self.conditions.base.node()).iter().all(is_equality)
    }

    /// What a way costs, in rows read by a scan.
    fn cost(&self, candidate: &Candidate, matching: usize) -> usize {
        let order = &self.shape.order;
        let wanted = self.shape.rows_wanted();
        let all = candidate.estimated.unwrap_or(self.records);
        let (rows, cost) = match &candidate.route {
            Route::Scan => (all, all.saturating_add(SCAN_COST)),
            Route::Range { in_order: true, .. } => {
                let rows = self.rows_until(wanted, all, &candidate.used, matching);
                return rows.saturating_mul(INDEX_COST);
            }
            Route::Equal { keys, .. } => (all, all.saturating_mul(INDEX_COST) + keys.len()),
            // A little more than equality: keys are compared by order.
            _ => (all, all.saturating_mul(INDEX_COST) + all / 8 + 2),
        };
        if order.asked == 0 {
            return cost;
        }
        // Sorting all rows compares each about log n times, keeping the best few about once.
        let comparisons = if wanted < rows {
            1
        } else {
            rows.max(2).ilog2() as usize
        };
        cost.saturating_add(rows.saturating_mul(comparisons) / 4)
    }

    /// Rows that a way in order reads until it has the rows wanted.
    fn rows_until(&self, wanted: usize, all: usize, used: &[usize], matching: usize) -> usize {
        let rest = parts(self.conditions.base.node())
            .iter()
            .filter(|part| {
                let mut within = true;
                part.columns(&mut |column| within &= used.contains(&column));
                !within
            })
            .count();
        if rest == 0 {
            return wanted.min(all);
        }
        let matching = if matching < all {
            matching
        } else {
            all / UNKNOWN_SHARE
        };
        wanted
            .saturating_mul(all)
            .checked_div(matching)
            .unwrap_or(all)
            .min(all)
    }
}

fn parts(node: &Node) -> &[Node] {
    match node {
        Node::Always => &[],
        Node::All(parts) => parts,
        node => std::slice::from_ref(node),
    }
}

/// All combinations of the values possible in the leading columns that have such, and how many columns
/// these are.
fn combinations(
    bounds: &Bounds,
    columns: impl IntoIterator<Item = usize>,
) -> (Vec<Vec<Value>>, usize) {
    let mut keys: Vec<Vec<Value>> = vec![Vec::new()];
    let mut used = 0;
    for column in columns {
        let Some(points) = bounds.get(column).and_then(|c| c.points.as_deref()) else {
            break;
        };
        if keys.len().saturating_mul(points.len()) > LOOKUPS_MAX {
            break;
        }
        if let ([key], [value]) = (keys.as_mut_slice(), points) {
            key.push(value.clone());
        } else {
            keys = keys
                .iter()
                .flat_map(|key| {
                    points.iter().map(|value| {
                        let mut key = key.clone();
                        key.push(value.clone());
                        key
                    })
                })
                .collect();
        }
        used += 1;
    }
    (keys, used)
}

/// The way to the rows of the first table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Access {
    /// The filter contradicts itself; nothing is read.
    Nothing,
    /// Look-ups by primary key.
    Key {
        /// How many.
        keys: usize,
    },
    /// Look-ups in an index by equality.
    IndexEqual {
        /// Name of the index.
        index: Text,
        /// Its columns that are looked up.
        columns: Vec<Text>,
        /// How many look-ups.
        keys: usize,
    },
    /// A range of an ordered index.
    IndexRange {
        /// Name of the index.
        index: Text,
        /// What holds of its columns, as text.
        range: Vec<String>,
        /// Which way it is read.
        direction: Direction,
        /// Whether it gives the order asked for, so that nothing is sorted.
        in_order: bool,
    },
    /// Every row of the table.
    Scan,
}

/// How rows of a joined table are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JoinAccess {
    /// By primary key, once for each row.
    Key,
    /// By an index, once for each row.
    Index {
        /// Name of the index.
        index: Text,
    },
    /// By a hash table built from the whole other table.
    Hash,
}

/// One joined table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinPlan {
    /// Name of the table.
    pub table: Text,
    /// What becomes of rows without a partner.
    pub kind: JoinKind,
    /// How partners are found.
    pub access: JoinAccess,
}

/// How rows are put in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SortPlan {
    /// No order was asked for.
    None,
    /// They come in order.
    ByAccess,
    /// The first rows are kept in memory while all are read.
    Top {
        /// How many.
        rows: usize,
    },
    /// All rows are gathered and sorted.
    All,
}

/// How a query is run, as data; displays as a few lines of text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the first table.
    pub table: Text,
    /// The way to its rows.
    pub access: Access,
    /// Estimated number of rows read there.
    pub estimated: usize,
    /// The condition that each row is checked against.
    pub filter: Filter,
    /// Tables put beside, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<JoinPlan>,
    /// Whether rows are grouped or aggregated.
    pub grouped: bool,
    /// How rows are put in order.
    pub sort: SortPlan,
    /// The order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<OrderBy>,
}

impl Plan {
    pub(super) fn new(
        shape: &Shape,
        conditions: &Conditions,
        view: &View<'_>,
        chosen: &Chosen,
    ) -> Self {
        let name = |column: &usize| shape.layout.output_name(*column);
        let access = match &chosen.route {
            Route::Nothing => Access::Nothing,
            Route::Keys(keys) => Access::Key { keys: keys.len() },
            Route::Equal { index, keys, .. } => Access::IndexEqual {
                index: index.spec().name.clone(),
                columns: index
                    .columns()
                    .iter()
                    .take(keys.first().map_or(0, Vec::len))
                    .map(name)
                    .collect(),
                keys: keys.len(),
            },
            Route::Range {
                index,
                range,
                direction,
                in_order,
            } => Access::IndexRange {
                index: index.spec().name.clone(),
                range: describe(range, &index.columns().iter().map(name).collect::<Vec<_>>()),
                direction: *direction,
                in_order: *in_order,
            },
            Route::Scan => Access::Scan,
        };
        let wanted = shape.rows_wanted();
        Self {
            table: shape.query.from.clone(),
            access,
            estimated: chosen.estimated,
            filter: conditions.filter.clone(),
            joins: shape
                .joins
                .iter()
                .map(|step| JoinPlan {
                    table: step.table.name().into(),
                    kind: step.kind,
                    access: step.access(view),
                })
                .collect(),
            grouped: matches!(shape.output, Output::Group(_)),
            sort: if shape.order.asked == 0 {
                SortPlan::None
            } else if chosen.is_in_order() {
                SortPlan::ByAccess
            } else if wanted < usize::MAX {
                SortPlan::Top { rows: wanted }
            } else {
                SortPlan::All
            },
            order: shape.query.order.clone(),
        }
    }
}

fn describe(range: &KeyRange, columns: &[Text]) -> Vec<String> {
    let mut parts = Vec::new();
    for (column, value) in columns.iter().zip(&range.prefix) {
        parts.push(Filter::eq(column.clone(), value.clone()).to_string());
    }
    if let Some(column) = columns.get(range.prefix.len()) {
        let column = || column.clone();
        match &range.lower {
            // What every comparison implies.
            Bound::Unbounded | Bound::Excluded(Value::Null) => {}
            Bound::Included(value) => parts.push(Filter::ge(column(), value.clone()).to_string()),
            Bound::Excluded(value) => parts.push(Filter::gt(column(), value.clone()).to_string()),
        }
        match &range.upper {
            Bound::Unbounded => {}
            Bound::Included(value) => parts.push(Filter::le(column(), value.clone()).to_string()),
            Bound::Excluded(value) => parts.push(Filter::lt(column(), value.clone()).to_string()),
        }
    }
    parts
}

const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "ascending",
        Direction::Descending => "descending",
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(f, "{}: ", self.table)?;
        match &self.access {
            Access::Nothing => f.write_str("nothing, the filter contradicts itself")?,
            Access::Key { keys } => write!(f, "primary key, {keys} key{}", plural(*keys))?,
            Access::IndexEqual {
                index,
                columns,
                keys,
            } => write!(
                f,
                "index {index} ({}), {keys} key{}",
                columns.join(", "),
                plural(*keys)
            )?,
            Access::IndexRange {
                index,
                range,
                direction,
                ..
            } => {
                write!(f, "index {index}")?;
                if !range.is_empty() {
                    write!(f, ", {}", range.join(" and "))?;
                }
                write!(f, ", {}", direction_name(*direction))?;
            }
            Access::Scan => f.write_str("scan")?,
        }
        if !matches!(self.access, Access::Nothing | Access::Key { .. }) {
            write!(
                f,
                ", about {} row{}",
                self.estimated,
                plural(self.estimated)
            )?;
        }
        if self.filter != Filter::True {
            write!(f, "\n  filter: {}", self.filter)?;
        }
        for join in &self.joins {
            let kind = match join.kind {
                JoinKind::Inner => "join",
                JoinKind::Left => "left join",
            };
            write!(f, "\n  {kind}: {} by ", join.table)?;
            match &join.access {
                JoinAccess::Key => f.write_str("primary key")?,
                JoinAccess::Index { index } => write!(f, "index {index}")?,
                JoinAccess::Hash => f.write_str("hash table")?,
            }
        }
        if self.grouped {
            f.write_str("\n  group")?;
        }
        let order = || -> String {
            let by = self
                .order
                .iter()
                .map(|by| format!("{} {}", by.path, direction_name(by.direction)));
            by.collect::<Vec<_>>().join(", ")
        };
        match &self.sort {
            SortPlan::None => Ok(()),
            SortPlan::ByAccess => write!(f, "\n  in order: {}", order()),
            SortPlan::Top { rows } => write!(f, "\n  keep the first {rows}: {}", order()),
            SortPlan::All => write!(f, "\n  sort: {}", order()),
        }
    }
}
