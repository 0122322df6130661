//! Runs a prepared query along the way that the planner chose.

use std::ops::{ControlFlow, Deref};

use super::cursor::Cursor;
use super::group::Groups;
use super::join::{JoinStep, Partners};
use super::layout::Place;
use super::order::{SortOrder, TopRows};
use super::plan::{Chosen, Plan, Route, choose};
use super::prepare::{Conditions, Output, PreparedQuery, Shape};
use super::query::JoinKind;
use super::result::{QueryResult, ResultRow};
use crate::core::base::{Record, Value};
use crate::core::database::View;
use crate::error::{Error, Result};
use crate::limits::QUERY_JOINED_ROWS_MAX;

/// Rows first read from an index in order when only some are wanted; each further read takes four times as many.
const FIRST_READ: usize = 64;

/// What takes rows until it has enough.
type Visit<'a, R> = &'a mut dyn FnMut(R) -> Result<ControlFlow<()>>;

impl Shape {
    /// Rows needed at most, before the offset is cut off; in an order one more, which tells whether more follow.
    pub(super) fn rows_wanted(&self) -> usize {
        match self.query.limit {
            None => usize::MAX,
            Some(limit) => limit
                .saturating_add(self.query.offset)
                .saturating_add(usize::from(self.order.asked > 0)),
        }
    }

    /// Cuts a page out of the rows, and says where the next one begins.
    fn page<R: Deref<Target = [Value]>>(&self, mut rows: Vec<R>) -> (Vec<R>, Option<Cursor>) {
        if self.query.offset > 0 {
            rows.drain(..self.query.offset.min(rows.len()));
        }
        let Some(limit) = self.query.limit else {
            return (rows, None);
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let cursor = match rows.last() {
            Some(last) if more && self.order.asked > 0 => Some(Cursor {
                fingerprint: self.fingerprint,
                values: self.order.values(last),
            }),
            _ => None,
        };
        (rows, cursor)
    }
}

/// Gathers rows: those after the cursor, the first ones in order.
struct Gather<'a, R> {
    order: &'a SortOrder,
    after: Option<&'a [Value]>,
    wanted: usize,
    rows: Gathered<'a, R>,
}

enum Gathered<'a, R> {
    /// As they come.
    AsIs(Vec<R>),
    /// The first ones in order.
    Top(TopRows<'a, R>),
}

impl<'a, R: Deref<Target = [Value]>> Gather<'a, R> {
    fn new(shape: &'a Shape, comes_in_order: bool) -> Self {
        let wanted = shape.rows_wanted();
        let as_is = comes_in_order || shape.order.asked == 0;
        Self {
            order: &shape.order,
            after: shape.after(),
            wanted,
            rows: if as_is {
                Gathered::AsIs(Vec::new())
            } else {
                Gathered::Top(TopRows::new(&shape.order, wanted))
            },
        }
    }

    fn push(&mut self, row: R) -> ControlFlow<()> {
        if self
            .after
            .is_some_and(|after| self.order.compare_to(&row, after).is_le())
        {
            return ControlFlow::Continue(());
        }
        match &mut self.rows {
            Gathered::AsIs(rows) => {
                if rows.len() < self.wanted {
                    rows.push(row);
                }
                if rows.len() >= self.wanted {
                    return ControlFlow::Break(());
                }
            }
            Gathered::Top(rows) => rows.push(row),
        }
        ControlFlow::Continue(())
    }

    fn finish(self) -> Vec<R> {
        match self.rows {
            Gathered::AsIs(rows) => rows,
            Gathered::Top(rows) => rows.finish(),
        }
    }
}

/// One run of a prepared query.
struct Run<'a> {
    shape: &'a Shape,
    conditions: &'a Conditions,
    view: &'a View<'a>,
    chosen: Chosen,
    scanned: usize,
}

impl PreparedQuery {
    fn start<'a>(&'a self, view: &'a View<'a>) -> Result<Run<'a>> {
        let conditions = self.conditions()?;
        Ok(Run {
            shape: &self.shape,
            conditions,
            view,
            chosen: choose(&self.shape, conditions, view),
            scanned: 0,
        })
    }

    /// Runs the query.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] while parameters wait for values; [`crate::ErrorKind::LimitExceeded`]
    /// when an integer sum overflows.
    pub fn run(&self, view: &View<'_>) -> Result<QueryResult> {
        let mut run = self.start(view)?;
        let plan = Plan::new(run.shape, run.conditions, view, &run.chosen);
        let (rows, cursor) = run.result()?;
        Ok(QueryResult {
            columns: std::sync::Arc::clone(&self.shape.columns),
            returned: rows.len(),
            rows,
            cursor,
            plan,
            scanned: run.scanned,
        })
    }

    /// Runs a query whose rows are records as stored and returns just these, without copying them.
    ///
    /// # Errors
    /// As [`PreparedQuery::run`]; [`crate::ErrorKind::Invalid`] for a query with joins, selected columns or
    /// groups.
    pub fn records(&self, view: &View<'_>) -> Result<Vec<Record>> {
        if !self.shape.query.gives_records() {
            return Err(Error::invalid(
                "a query with joins, selected columns or groups gives no records; use `run`",
            ));
        }
        let mut run = self.start(view)?;
        Ok(run.records()?.0)
    }

    /// The records behind the rows of a query of one table, whatever columns are selected.
    pub(super) fn all_records(&self, view: &View<'_>) -> Result<Vec<Record>> {
        Ok(self.start(view)?.records()?.0)
    }

    /// The row that a record gives.
    pub(super) fn row_of(&self, record: &Record) -> ResultRow {
        match &self.shape.output {
            Output::Select(places) => select(places, record),
            Output::All | Output::Group(_) => ResultRow::Record(record.clone()),
        }
    }

    /// How the query would be run now.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] while parameters wait for values.
    pub fn explain(&self, view: &View<'_>) -> Result<Plan> {
        let run = self.start(view)?;
        Ok(Plan::new(run.shape, run.conditions, view, &run.chosen))
    }
}

impl Run<'_> {
    fn result(&mut self) -> Result<(Vec<ResultRow>, Option<Cursor>)> {
        let shape = self.shape;
        let values = |row: Vec<Value>| ResultRow::Values(row.into());
        match &shape.output {
            Output::Group(grouping) => {
                let mut groups = Groups::new(grouping);
                if shape.joins.is_empty() {
                    self.base_rows(usize::MAX, &mut |record| {
                        groups.add(&record);
                        Ok(ControlFlow::Continue(()))
                    })?;
                } else {
                    self.joined_rows(&mut |row| {
                        groups.add(&row);
                        Ok(ControlFlow::Continue(()))
                    })?;
                }
                let mut gather = Gather::new(shape, false);
                for row in groups.finish()? {
                    if self.conditions.having.matches(&row) && gather.push(row).is_break() {
                        break;
                    }
                }
                let (rows, cursor) = shape.page(gather.finish());
                Ok((rows.into_iter().map(values).collect(), cursor))
            }
            output if shape.joins.is_empty() => {
                let (records, cursor) = self.records()?;
                let rows = match output {
                    Output::Select(places) => {
                        records.iter().map(|row| select(places, row)).collect()
                    }
                    _ => records.into_iter().map(ResultRow::Record).collect(),
                };
                Ok((rows, cursor))
            }
            output => {
                let mut gather = Gather::new(shape, false);
                if gather.wanted > 0 {
                    self.joined_rows(&mut |row| Ok(gather.push(row)))?;
                }
                let (rows, cursor) = shape.page(gather.finish());
                let rows = match output {
                    Output::Select(places) => rows.iter().map(|row| select(places, row)).collect(),
                    _ => rows.into_iter().map(values).collect(),
                };
                Ok((rows, cursor))
            }
        }
    }

    /// The records of a query of one table without groups.
    fn records(&mut self) -> Result<(Vec<Record>, Option<Cursor>)> {
        let shape = self.shape;
        let as_is =
            shape.order.asked == 0 && shape.query.limit.is_none() && shape.query.offset == 0;
        // The shortest way: what the index gives is the result.
        if let (
            true,
            Route::Equal {
                index,
                keys,
                covers,
            },
        ) = (as_is, &self.chosen.route)
            && let [key] = keys.as_slice()
        {
            let mut records = self.view.equal(&shape.base, index, key)?;
            self.scanned += records.len();
            if !covers {
                records.retain(|record| self.conditions.base.matches(record));
            }
            return Ok((records, None));
        }
        let in_order = self.chosen.is_in_order();
        let mut gather = Gather::new(shape, in_order);
        let wanted = gather.wanted;
        if wanted > 0 {
            self.base_rows(wanted, &mut |record| Ok(gather.push(record)))?;
        }
        Ok(shape.page(gather.finish()))
    }

    /// Visits the rows of the first table that match what is asked of them.
    fn base_rows(&mut self, wanted: usize, visit: Visit<'_, Record>) -> Result<()> {
        let (view, shape) = (self.view, self.shape);
        let predicate = &self.conditions.base;
        let check_all = predicate.is_always_true();
        let scanned = &mut self.scanned;
        let mut accept = |record: Record| -> Result<ControlFlow<()>> {
            *scanned += 1;
            if check_all || predicate.matches(&record) {
                visit(record)
            } else {
                Ok(ControlFlow::Continue(()))
            }
        };
        match &self.chosen.route {
            Route::Nothing => {}
            Route::Keys(keys) => {
                for key in keys {
                    if let Some(record) = view.get(&shape.base, key)?
                        && accept(record)?.is_break()
                    {
                        break;
                    }
                }
            }
            Route::Equal { index, keys, .. } => {
                for key in keys {
                    for record in view.equal(&shape.base, index, key)? {
                        if accept(record)?.is_break() {
                            return Ok(());
                        }
                    }
                }
            }
            Route::Range {
                index,
                range,
                direction,
                ..
            } => {
                // What was read before is read again, which a factor of four keeps to a third of the whole.
                let mut most = (wanted < usize::MAX).then(|| wanted.max(FIRST_READ));
                let mut done = 0;
                loop {
                    let records = view.range(&shape.base, index, range, *direction, most)?;
                    let found = records.len();
                    for record in records.into_iter().skip(done) {
                        if accept(record)?.is_break() {
                            return Ok(());
                        }
                    }
                    match &mut most {
                        Some(most) if found >= *most => {
                            done = found;
                            *most = most.saturating_mul(4);
                        }
                        _ => break,
                    }
                }
            }
            Route::Scan => {
                let mut failed = None;
                view.scan(&shape.base, &mut |records| {
                    for record in records {
                        // Only what matches is worth a reference count.
                        if check_all || predicate.matches(record) {
                            match visit(record.clone()) {
                                Ok(ControlFlow::Continue(())) => {}
                                Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
                                Err(error) => {
                                    failed = Some(error);
                                    return ControlFlow::Break(());
                                }
                            }
                        }
                    }
                    *scanned += records.len();
                    ControlFlow::Continue(())
                })?;
                return failed.map_or(Ok(()), Err);
            }
        }
        Ok(())
    }

    /// Visits the joined rows that match.
    fn joined_rows(&mut self, visit: Visit<'_, Vec<Value>>) -> Result<()> {
        let (view, shape, conditions) = (self.view, self.shape, self.conditions);
        let mut scanned = 0;
        let steps: Vec<(&JoinStep, Partners)> = shape
            .joins
            .iter()
            .map(|step| Ok((step, step.partners(view, &mut scanned)?)))
            .collect::<Result<_>>()?;
        let mut joined = 0;
        let mut matching = |row: Vec<Value>| -> Result<ControlFlow<()>> {
            joined += 1;
            if joined > QUERY_JOINED_ROWS_MAX {
                return Err(too_many_joined());
            }
            if conditions.rest.matches(&row) {
                visit(row)
            } else {
                Ok(ControlFlow::Continue(()))
            }
        };
        self.base_rows(usize::MAX, &mut |record| {
            expand(view, &steps, record.to_vec(), &mut scanned, &mut matching)
        })?;
        self.scanned += scanned;
        Ok(())
    }
}

#[cold]
fn too_many_joined() -> Error {
    Error::limit_exceeded(format!(
        "the join has more than {QUERY_JOINED_ROWS_MAX} rows before it is filtered; join on columns that \
         differ more, or filter the first table"
    ))
}

fn select(places: &[Place], row: &[Value]) -> ResultRow {
    ResultRow::Values(places.iter().map(|at| at.of(row).clone()).collect())
}

/// Puts the partners of the first step beside the row, then those of the other steps.
fn expand(
    view: &View<'_>,
    steps: &[(&JoinStep, Partners)],
    row: Vec<Value>,
    scanned: &mut usize,
    visit: Visit<'_, Vec<Value>>,
) -> Result<ControlFlow<()>> {
    let Some(((step, partners), rest)) = steps.split_first() else {
        return visit(row);
    };
    // Gathered first: finding further partners needs `scanned` and `visit` for itself.
    let mut found: Vec<Vec<Value>> = Vec::new();
    step.find(view, partners, &row, scanned, &mut |partner| {
        let mut joined = Vec::with_capacity(row.len() + partner.len());
        joined.extend_from_slice(&row);
        joined.extend_from_slice(partner);
        found.push(joined);
    })?;
    if found.is_empty() && step.kind == JoinKind::Left {
        let mut alone = row;
        alone.resize(alone.len() + step.columns(), Value::Null);
        found.push(alone);
    }
    for joined in found {
        if expand(view, rest, joined, scanned, visit)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
