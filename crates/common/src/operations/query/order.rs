//! Order of results: sort keys, ties, and the best rows in bounded memory.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::layout::Place;
use super::path::Path;
use crate::core::base::Value;
use crate::core::storage::Direction;

/// Where nulls stand in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullPlacement {
    /// As the least of all values: first when ascending, last when descending.
    #[default]
    Least,
    /// Before everything.
    First,
    /// After everything.
    Last,
}

/// One column of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderBy {
    /// Which value is ordered by.
    pub path: Path,
    /// Which way.
    #[serde(default)]
    pub direction: Direction,
    /// Where nulls stand.
    #[serde(default)]
    pub nulls: NullPlacement,
}

impl OrderBy {
    /// Least first.
    pub fn ascending(path: impl Into<Path>) -> Self {
        Self {
            path: path.into(),
            direction: Direction::Ascending,
            nulls: NullPlacement::Least,
        }
    }

    /// Greatest first.
    pub fn descending(path: impl Into<Path>) -> Self {
        Self {
            direction: Direction::Descending,
            ..Self::ascending(path)
        }
    }

    /// Nulls before everything.
    #[must_use]
    pub fn nulls_first(self) -> Self {
        Self {
            nulls: NullPlacement::First,
            ..self
        }
    }

    /// Nulls after everything.
    #[must_use]
    pub fn nulls_last(self) -> Self {
        Self {
            nulls: NullPlacement::Last,
            ..self
        }
    }
}

/// One resolved column of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SortKey {
    pub(super) at: Place,
    pub(super) direction: Direction,
    pub(super) nulls: NullPlacement,
}

impl SortKey {
    /// Compares two values of this key in the order's direction.
    #[inline]
    pub(super) fn compare(&self, a: &Value, b: &Value) -> Ordering {
        match (self.nulls, a.is_null(), b.is_null()) {
            (NullPlacement::First, a, b) if a || b => b.cmp(&a),
            (NullPlacement::Last, a, b) if a || b => a.cmp(&b),
            _ => match self.direction {
                Direction::Ascending => a.cmp(b),
                Direction::Descending => b.cmp(a),
            },
        }
    }
}

/// A total order of rows: the keys asked for, then the key columns, which no two rows share.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SortOrder {
    pub(super) keys: Vec<SortKey>,
    /// How many of the keys were asked for; the others break ties.
    pub(super) asked: usize,
}

impl SortOrder {
    #[inline]
    pub(super) fn compare(&self, a: &[Value], b: &[Value]) -> Ordering {
        for key in &self.keys {
            let ordering = key.compare(key.at.of(a), key.at.of(b));
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    }

    /// Compares a row with the values of the keys of another row.
    pub(super) fn compare_to(&self, row: &[Value], values: &[Value]) -> Ordering {
        self.keys
            .iter()
            .zip(values)
            .map(|(key, value)| key.compare(key.at.of(row), value))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// The values of the keys in a row.
    pub(super) fn values(&self, row: &[Value]) -> Vec<Value> {
        self.keys.iter().map(|key| key.at.of(row).clone()).collect()
    }
}

/// Keeps the first `count` rows of an order in memory for twice as many.
///
/// Rows are gathered and, when twice `count` are there, the better half is kept: time linear in the rows
/// seen, and after the first cut most rows fail one comparison with the worst row kept.
pub(super) struct TopRows<'a, R> {
    order: &'a SortOrder,
    count: usize,
    rows: Vec<R>,
    /// Whether `rows[count - 1]` is the worst row of a finished cut, which new rows must beat.
    is_cut: bool,
}

impl<'a, R: std::ops::Deref<Target = [Value]>> TopRows<'a, R> {
    pub(super) fn new(order: &'a SortOrder, count: usize) -> Self {
        Self {
            order,
            count,
            rows: Vec::new(),
            is_cut: false,
        }
    }

    pub(super) fn push(&mut self, row: R) {
        if self.count == 0 {
            return;
        }
        if self.is_cut
            && let Some(worst) = self.rows.get(self.count - 1)
            && self.order.compare(&row, worst).is_ge()
        {
            return;
        }
        self.rows.push(row);
        if self.rows.len() >= self.count.saturating_mul(2) {
            let order = self.order;
            self.rows
                .select_nth_unstable_by(self.count - 1, |a, b| order.compare(a, b));
            self.rows.truncate(self.count);
            self.is_cut = true;
        }
    }

    /// The rows in order.
    pub(super) fn finish(mut self) -> Vec<R> {
        let order = self.order;
        self.rows.sort_unstable_by(|a, b| order.compare(a, b));
        self.rows.truncate(self.count);
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(direction: Direction, nulls: NullPlacement) -> SortOrder {
        let key = |column, direction, nulls| SortKey {
            at: Place::column(column),
            direction,
            nulls,
        };
        SortOrder {
            keys: vec![
                key(0, direction, nulls),
                key(1, direction, NullPlacement::Least),
            ],
            asked: 1,
        }
    }

    #[test]
    fn nulls_stand_where_they_are_told() {
        let sorted = |direction, nulls| {
            let order = order(direction, nulls);
            let mut values = vec![Value::from(2), Value::Null, Value::from(1)];
            values.sort_by(|a, b| order.keys[0].compare(a, b));
            format!("{values:?}")
        };
        let (up, down) = (Direction::Ascending, Direction::Descending);
        assert_eq!(sorted(up, NullPlacement::Least), "[null, 1, 2]");
        assert_eq!(sorted(down, NullPlacement::Least), "[2, 1, null]");
        assert_eq!(sorted(up, NullPlacement::Last), "[1, 2, null]");
        assert_eq!(sorted(down, NullPlacement::First), "[null, 2, 1]");
    }

    proptest! {
        #[test]
        fn top_rows_are_the_beginning_of_all_rows_sorted(
            values in proptest::collection::vec(proptest::option::of(0..5_i64), 0..60),
            count in 0..12_usize,
            down in any::<bool>(),
        ) {
            let direction = if down { Direction::Descending } else { Direction::Ascending };
            let order = order(direction, NullPlacement::Last);
            let rows: Vec<Vec<Value>> = values
                .into_iter()
                .zip(0_i64..)
                .map(|(v, i)| vec![v.map_or(Value::Null, Value::from), Value::from(i)])
                .collect();
            let mut top = TopRows::new(&order, count);
            for row in &rows {
                top.push(row.clone());
            }
            let mut expected = rows;
            expected.sort_by(|a, b| order.compare(a, b));
            expected.truncate(count);
            prop_assert_eq!(top.finish(), expected);
        }
    }
}
