//! Groups: one row for all rows with equal values.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::aggregate::{Accumulator, Aggregate};
use super::layout::Place;
use crate::core::base::Value;
use crate::error::Result;

/// What rows are grouped by and what is computed of each group.
#[derive(Debug, Clone)]
pub(super) struct Grouping {
    pub(super) keys: Vec<Place>,
    pub(super) aggregates: Vec<(Aggregate, Option<Place>)>,
}

/// The groups so far, in the order of their first rows.
pub(super) struct Groups<'a> {
    grouping: &'a Grouping,
    found: Vec<Group>,
    positions: HashTable<usize>,
    hasher: RandomState,
}

struct Group {
    key: Vec<Value>,
    accumulators: Vec<Accumulator>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(grouping: &'a Grouping) -> Self {
        let mut groups = Self {
            grouping,
            found: Vec::new(),
            positions: HashTable::new(),
            hasher: RandomState::default(),
        };
        // Without grouping there is one row, also of nothing.
        if grouping.keys.is_empty() {
            let group = groups.group(&[]);
            groups.found.push(group);
        }
        groups
    }

    fn group(&self, row: &[Value]) -> Group {
        Group {
            key: self
                .grouping
                .keys
                .iter()
                .map(|at| at.of(row).clone())
                .collect(),
            accumulators: self
                .grouping
                .aggregates
                .iter()
                .map(|(aggregate, _)| Accumulator::new(aggregate.function))
                .collect(),
        }
    }

    pub(super) fn add(&mut self, row: &[Value]) {
        let position = self.position(row);
        let Some(group) = self.found.get_mut(position) else {
            return;
        };
        for ((_, place), accumulator) in
            self.grouping.aggregates.iter().zip(&mut group.accumulators)
        {
            match place {
                Some(place) => accumulator.add(place.of(row)),
                None => accumulator.add_row(),
            }
        }
    }

    /// Where the row's group is; the key is copied only for a new one.
    fn position(&mut self, row: &[Value]) -> usize {
        let keys = &self.grouping.keys;
        if keys.is_empty() {
            return 0;
        }
        let mut hasher = self.hasher.build_hasher();
        for at in keys {
            at.of(row).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let is_same = |position: &usize| {
            self.found.get(*position).is_some_and(|group| {
                keys.iter()
                    .zip(&group.key)
                    .all(|(at, value)| at.of(row) == value)
            })
        };
        if let Some(position) = self.positions.find(hash, is_same) {
            return *position;
        }
        let position = self.found.len();
        let group = self.group(row);
        self.found.push(group);
        let (groups, build) = (&self.found, &self.hasher);
        self.positions.insert_unique(hash, position, |position| {
            let mut hasher = build.build_hasher();
            if let Some(group) = groups.get(*position) {
                group.key.iter().for_each(|value| value.hash(&mut hasher));
            }
            hasher.finish()
        });
        position
    }

    /// The groups as rows: their keys, then their aggregates.
    pub(super) fn finish(self) -> Result<Vec<Vec<Value>>> {
        let aggregates = &self.grouping.aggregates;
        self.found
            .into_iter()
            .map(|group| {
                let mut row = group.key;
                for (accumulator, (aggregate, _)) in group.accumulators.into_iter().zip(aggregates)
                {
                    row.push(accumulator.finish(aggregate)?);
                }
                Ok(row)
            })
            .collect()
    }
}
