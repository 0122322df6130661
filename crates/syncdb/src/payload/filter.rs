//! Filters on a block: which rows are meant, and those rows, without reading more columns than that takes.
//!
//! A condition on one column is decided from its statistics where they suffice. Otherwise the column is read, and the
//! condition is evaluated once for each distinct text or identifier, or on plain integers, and never on columns that
//! the filter does not name. What `common` says about nulls and kinds holds, because it is `common` that evaluates a
//! condition on a value: here conditions are only spread over rows.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use common::query::{CompareOp, Filter, FilterRegistry, Predicate};
use common::schema::Schema;
use common::{Result, Text, Value, ValueKind};
use uuid::Uuid;

use super::block::Block;
use super::column::{Column, Data, Texts};
use super::statistics::Statistics;
use super::stream::Source;
use super::{nested, texts, uuids};

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const UNKNOWN: u8 = 2;

impl Block<'_> {
    /// The rows that a filter means, ascending. The block has all columns of `schema`, in its order.
    ///
    /// Equal to reading everything and asking [`Filter::compile`]'s predicate row by row; columns that the filter does
    /// not name stay packed.
    ///
    /// ```
    /// use common::query::Filter;
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{Limits, Value};
    /// use syncdb::payload::{Block, Column, Level, pack};
    /// let schema = Schema::build("tasks", ["id"])
    ///     .field(Field::new("id", FieldType::Int))
    ///     .field(Field::new("state", FieldType::Text))
    ///     .finish()?;
    /// let ids: Vec<Value> = (0..1_000).map(Value::from).collect();
    /// let states: Vec<Value> = (0..1_000).map(|i| ["open", "done"][i % 2].into()).collect();
    /// let columns = [&ids, &states].map(|values| Column::from_values(values));
    /// let bytes = pack(&columns, Level::Balanced, None)?;
    /// let block = Block::open(&bytes, &Limits::default(), None)?;
    /// let rows = block.filter(&Filter::eq("state", "done").and(Filter::lt("id", 6)), &schema)?;
    /// assert_eq!(rows, [1, 3, 5]);
    /// let ids = block.columns_at(&rows, &[0])?;
    /// assert_eq!(ids[0].to_values(), [1, 3, 5].map(Value::from));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Filter::compile`] and [`Block::column`].
    pub fn filter(&self, filter: &Filter, schema: &Schema) -> Result<Vec<u32>> {
        self.filter_with(filter, schema, &FilterRegistry::default())
    }

    /// As [`Block::filter`], with the application's conditions.
    ///
    /// # Errors
    /// As [`Filter::compile_with`] and [`Block::column`].
    pub fn filter_with(
        &self,
        filter: &Filter,
        schema: &Schema,
        registry: &FilterRegistry,
    ) -> Result<Vec<u32>> {
        let whole = filter.compile_with(schema, registry)?;
        if whole.is_never_true() {
            return Ok(Vec::new());
        }
        let evaluation = Evaluation {
            block: self,
            schema,
            registry,
        };
        let truth = evaluation.truth(filter)?;
        Ok((0_u32..)
            .zip(truth)
            .filter(|(_, truth)| *truth == TRUE)
            .map(|(row, _)| row)
            .collect())
    }

    /// Some rows of some columns, in the order asked for; rows past the last are left out.
    ///
    /// # Errors
    /// As [`Block::column`].
    pub fn columns_at(&self, rows: &[u32], columns: &[usize]) -> Result<Vec<Column>> {
        columns
            .iter()
            .map(|column| Ok(self.column(*column)?.at(rows)))
            .collect()
    }
}

struct Evaluation<'a> {
    block: &'a Block<'a>,
    schema: &'a Schema,
    registry: &'a FilterRegistry,
}

/// A condition that says of one value whether it is true, false or unknown.
struct Condition {
    holds: Predicate,
    fails: Predicate,
    row: Vec<Value>,
    column: usize,
}

impl Condition {
    fn of(&mut self, value: Value) -> u8 {
        if let Some(place) = self.row.get_mut(self.column) {
            *place = value;
        }
        self.truth()
    }

    fn truth(&self) -> u8 {
        if self.holds.matches(&self.row) {
            TRUE
        } else if self.fails.matches(&self.row) {
            FALSE
        } else {
            UNKNOWN
        }
    }
}

impl Evaluation<'_> {
    /// The filter's truth for each row.
    fn truth(&self, filter: &Filter) -> Result<Vec<u8>> {
        let rows = self.block.rows();
        match filter {
            Filter::True => Ok(vec![TRUE; rows]),
            Filter::Not(part) => {
                let mut truth = self.truth(part)?;
                for truth in &mut truth {
                    *truth = match *truth {
                        UNKNOWN => UNKNOWN,
                        other => TRUE - other,
                    };
                }
                Ok(truth)
            }
            Filter::And(parts) => {
                let mut all = vec![TRUE; rows];
                for part in parts {
                    // What is false already stays so, whatever the other conditions say.
                    if all.iter().all(|truth| *truth == FALSE) {
                        break;
                    }
                    for (all, part) in all.iter_mut().zip(self.truth(part)?) {
                        *all = match (*all, part) {
                            (FALSE, _) | (_, FALSE) => FALSE,
                            (UNKNOWN, _) | (_, UNKNOWN) => UNKNOWN,
                            _ => TRUE,
                        };
                    }
                }
                Ok(all)
            }
            Filter::Or(parts) => {
                let mut any = vec![FALSE; rows];
                for part in parts {
                    for (any, part) in any.iter_mut().zip(self.truth(part)?) {
                        *any = match (*any, part) {
                            (TRUE, _) | (_, TRUE) => TRUE,
                            (UNKNOWN, _) | (_, UNKNOWN) => UNKNOWN,
                            _ => FALSE,
                        };
                    }
                }
                Ok(any)
            }
            leaf => self.leaf(leaf),
        }
    }

    fn leaf(&self, leaf: &Filter) -> Result<Vec<u8>> {
        let mut columns = BTreeSet::new();
        let mut name = |path: &common::query::Path| -> Result<()> {
            columns.insert(self.schema.position_of(&path.column)?);
            Ok(())
        };
        match leaf {
            Filter::Compare { path, .. }
            | Filter::In { path, .. }
            | Filter::Between { path, .. }
            | Filter::Like { path, .. }
            | Filter::StartsWith { path, .. }
            | Filter::Contains { path, .. }
            | Filter::IsNull { path } => name(path)?,
            Filter::Custom { paths, .. } => paths.iter().try_for_each(name)?,
            _ => {}
        }
        let condition = Condition {
            holds: leaf.compile_with(self.schema, self.registry)?,
            fails: Filter::Not(Box::new(leaf.clone())).compile_with(self.schema, self.registry)?,
            row: vec![Value::Null; self.schema.fields.len()],
            column: columns.first().copied().unwrap_or_default(),
        };
        match columns.len() {
            1 => self.on_column(leaf, condition),
            _ => self.on_columns(&columns, condition),
        }
    }

    /// A condition on several columns, or on none.
    fn on_columns(&self, columns: &BTreeSet<usize>, mut condition: Condition) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        for column in columns {
            read.push((*column, self.block.column(*column)?.to_values().into_iter()));
        }
        let truth = (0..self.block.rows()).map(|_| {
            for (column, values) in &mut read {
                if let Some(place) = condition.row.get_mut(*column) {
                    *place = values.next().unwrap_or_default();
                }
            }
            condition.truth()
        });
        Ok(truth.collect())
    }

    fn on_column(&self, leaf: &Filter, mut condition: Condition) -> Result<Vec<u8>> {
        let (rows, column) = (self.block.rows(), condition.column);
        let of_null = condition.of(Value::Null);
        if let Some(statistics) = self.block.statistics(column) {
            if statistics.nulls == rows {
                return Ok(vec![of_null; rows]);
            }
            if is_excluded(leaf, statistics) {
                if statistics.nulls == 0 {
                    return Ok(vec![FALSE; rows]);
                }
                return self.block.at_column(column, |source| {
                    let start = nested::start(rows, source)?;
                    Ok(spread(vec![FALSE; start.count], start.present, of_null))
                });
            }
        }
        self.block.at_column(column, |source| {
            let start = nested::start(rows, source)?;
            let there = match leaf {
                Filter::IsNull { path } if path.parts.is_empty() => vec![FALSE; start.count],
                _ => present(leaf, &mut condition, &start, source)?,
            };
            Ok(spread(there, start.present, of_null))
        })
    }
}

/// The truth for each value that is there.
fn present(
    leaf: &Filter,
    condition: &mut Condition,
    start: &nested::Start,
    source: &mut Source<'_>,
) -> Result<Vec<u8>> {
    const TEXT: u8 = ValueKind::Text as u8;
    const UUID: u8 = ValueKind::Uuid as u8;
    let of_text = |condition: &mut Condition, texts: &Texts| -> Vec<u8> {
        let value = |text| condition.of(Value::Text(Text::new(text)));
        texts.iter().map(value).collect()
    };
    let of_uuid = |condition: &mut Condition, values: &[u128]| -> Vec<u8> {
        let value = |value: &u128| condition.of(Value::Uuid(Uuid::from_u128(*value)));
        values.iter().map(value).collect()
    };
    Ok(match start.kind {
        TEXT => match texts::read(start.count, source)? {
            texts::Form::Plain(texts) => of_text(condition, &texts),
            texts::Form::Coded(distinct, codes) => coded(&of_text(condition, &distinct), &codes),
        },
        UUID => match uuids::read(start.count, source)? {
            uuids::Form::Plain(values) => of_uuid(condition, &values),
            uuids::Form::Coded(distinct, codes) => coded(&of_uuid(condition, &distinct), &codes),
        },
        kind => {
            let data = nested::rest(kind, start.count, source)?;
            let wanted = wanted(leaf, kind);
            match (&data, wanted) {
                (
                    Data::Int(values) | Data::Timestamp(values) | Data::Date(values),
                    Some((range, inside)),
                ) => values
                    .iter()
                    .map(|value| u8::from(range.contains(value) == inside))
                    .collect(),
                _ => {
                    let column = Column {
                        rows: start.count,
                        present: None,
                        data,
                    };
                    let values = column.to_values().into_iter();
                    values.map(|value| condition.of(value)).collect()
                }
            }
        }
    })
}

fn coded(of_distinct: &[u8], codes: &[i64]) -> Vec<u8> {
    let truth = |code: &i64| {
        let code = usize::try_from(*code).unwrap_or(usize::MAX);
        of_distinct.get(code).copied().unwrap_or(UNKNOWN)
    };
    codes.iter().map(truth).collect()
}

/// Puts the truth of nulls between that of values.
fn spread(there: Vec<u8>, present: Option<Vec<bool>>, of_null: u8) -> Vec<u8> {
    let Some(present) = present else {
        return there;
    };
    let mut there = there.into_iter();
    let truth = present.into_iter().map(|present| {
        if present {
            there.next().unwrap_or(UNKNOWN)
        } else {
            of_null
        }
    });
    truth.collect()
}

/// The integer in a value of this kind of column.
fn integer(kind: u8, value: &Value) -> Option<i64> {
    if value.kind() as u8 != kind {
        return None;
    }
    match value {
        Value::Int(value) => Some(*value),
        Value::Timestamp(value) => Some(value.0),
        Value::Date(value) => Some(value.0.into()),
        _ => None,
    }
}

/// The integers that a condition on a column of integers, times or days is true for: a range, and whether those inside
/// it are meant or those outside.
fn wanted(leaf: &Filter, kind: u8) -> Option<(RangeInclusive<i64>, bool)> {
    const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;
    Some(match leaf {
        Filter::Compare { path, op, value } if path.parts.is_empty() => {
            let value = integer(kind, value)?;
            match op {
                CompareOp::Eq => (value..=value, true),
                CompareOp::Ne => (value..=value, false),
                CompareOp::Le => (i64::MIN..=value, true),
                CompareOp::Gt => (i64::MIN..=value, false),
                CompareOp::Ge => (value..=i64::MAX, true),
                CompareOp::Lt => (value..=i64::MAX, false),
            }
        }
        Filter::Between { path, low, high } if path.parts.is_empty() => {
            let (low, high) = (integer(kind, low)?, integer(kind, high)?);
            if low <= high {
                (low..=high, true)
            } else {
                (ALL, false)
            }
        }
        _ => return None,
    })
}

/// Whether the bounds alone say that the condition is false for every value.
fn is_excluded(leaf: &Filter, statistics: &Statistics) -> bool {
    let Some(bounds) = &statistics.bounds else {
        return false;
    };
    // Kinds that differ are left to the compiler of filters, which may convert literals.
    let comparable = |value: &Value| {
        let numbers = [ValueKind::Int, ValueKind::Float];
        let (a, b) = (value.kind(), bounds.least.kind());
        a == b || numbers.contains(&a) && numbers.contains(&b)
    };
    let below = |value: &Value| value.compare(&bounds.least) == Some(Ordering::Less);
    let above = |value: &Value| match (&bounds.most, value) {
        (Value::Text(most), Value::Text(text)) if bounds.most_is_cut => {
            text.as_str() > most.as_str() && !text.starts_with(most.as_str())
        }
        (most, value) => value.compare(most) == Some(Ordering::Greater),
    };
    match leaf {
        Filter::Compare { path, op, value } if path.parts.is_empty() && comparable(value) => {
            match op {
                CompareOp::Eq => below(value) || above(value),
                CompareOp::Lt => {
                    below(value) || value.compare(&bounds.least) == Some(Ordering::Equal)
                }
                CompareOp::Le => below(value),
                CompareOp::Ge => above(value),
                CompareOp::Gt => {
                    above(value)
                        || !bounds.most_is_cut
                            && value.compare(&bounds.most) == Some(Ordering::Equal)
                }
                CompareOp::Ne => false,
            }
        }
        Filter::Between { path, low, high }
            if path.parts.is_empty() && comparable(low) && comparable(high) =>
        {
            below(high) || above(low)
        }
        Filter::In { path, values } if path.parts.is_empty() => values
            .iter()
            .all(|value| comparable(value) && (below(value) || above(value))),
        _ => false,
    }
}

impl Column {
    /// The values of some rows, in the order asked for; rows past the last are left out.
    #[must_use]
    pub fn at(&self, rows: &[u32]) -> Self {
        let rows = rows.iter().map(|row| *row as usize);
        let Some(present) = &self.present else {
            let rows: Vec<usize> = rows.filter(|row| *row < self.rows).collect();
            return Self {
                rows: rows.len(),
                present: None,
                data: self.data.at(&rows),
            };
        };
        // The position of each row's value among those that are there.
        let mut count = 0;
        let rank: Vec<usize> = present
            .iter()
            .map(|present| {
                count += usize::from(*present);
                count
            })
            .collect();
        let kept: Vec<bool> = rows
            .clone()
            .filter_map(|row| present.get(row).copied())
            .collect();
        let there: Vec<usize> = rows
            .filter(|row| present.get(*row) == Some(&true))
            .filter_map(|row| rank.get(row)?.checked_sub(1))
            .collect();
        let rows = kept.len();
        if there.is_empty() {
            return Self {
                rows,
                present: (rows > 0).then_some(kept),
                data: Data::Null,
            };
        }
        Self {
            rows,
            present: (there.len() < rows).then_some(kept),
            data: self.data.at(&there),
        }
    }
}

impl Data {
    fn at(&self, positions: &[usize]) -> Self {
        fn pick<T: Copy>(values: &[T], positions: &[usize]) -> Vec<T> {
            let value = |at: &usize| values.get(*at).copied();
            positions.iter().filter_map(value).collect()
        }
        match self {
            Self::Null => Self::Null,
            Self::Bool(values) => Self::Bool(pick(values, positions)),
            Self::Int(values) => Self::Int(pick(values, positions)),
            Self::Float(values) => Self::Float(pick(values, positions)),
            Self::Timestamp(values) => Self::Timestamp(pick(values, positions)),
            Self::Date(values) => Self::Date(pick(values, positions)),
            Self::Uuid(values) => Self::Uuid(pick(values, positions)),
            Self::Text(texts) => {
                let text = |at: &usize| texts.get(*at);
                Self::Text(positions.iter().filter_map(text).collect())
            }
            // Values that nest are few to a row; they go by way of `Value`.
            nested => {
                let all = Column {
                    rows: nested.len(),
                    present: None,
                    data: nested.clone(),
                };
                let all = all.to_values();
                let picked: Vec<&Value> = positions.iter().filter_map(|at| all.get(*at)).collect();
                Column::from_refs(&picked).data
            }
        }
    }
}
