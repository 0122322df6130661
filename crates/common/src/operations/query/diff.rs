//! [`Difference`]: how one result becomes the next.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::result::ResultRow;
use crate::core::base::Value;

/// One step from one result to the next. Positions are those at the moment of the step: after the steps
/// before it, before the steps after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A row came in.
    Added {
        /// Where it stands now.
        position: usize,
        /// The row.
        row: ResultRow,
    },
    /// A row left. A row that moves is removed and added.
    Removed {
        /// Where it stood.
        position: usize,
        /// The row.
        row: ResultRow,
    },
    /// A row has other values and stands where it stood.
    Updated {
        /// Where it stands.
        position: usize,
        /// The row before.
        before: ResultRow,
        /// The row now.
        row: ResultRow,
    },
}

impl Difference {
    /// Takes the step; a position outside the rows, which only rows of another result can have, is left out.
    pub fn apply(&self, rows: &mut Vec<ResultRow>) {
        match self {
            Self::Added { position, row } => {
                if *position <= rows.len() {
                    rows.insert(*position, row.clone());
                }
            }
            Self::Removed { position, .. } => {
                if *position < rows.len() {
                    rows.remove(*position);
                }
            }
            Self::Updated { position, row, .. } => {
                if let Some(place) = rows.get_mut(*position) {
                    *place = row.clone();
                }
            }
        }
    }
}

/// What tells a row from all others: its leading values, and which one of several equal rows it is.
type Identity<'a> = (&'a [Value], usize);

fn identities(rows: &[ResultRow], columns: Option<usize>) -> Vec<Identity<'_>> {
    let mut seen: HashMap<&[Value], usize, RandomState> = HashMap::default();
    rows.iter()
        .map(|row| {
            let values = row.get(..columns.unwrap_or(row.len())).unwrap_or(row);
            let count = seen.entry(values).or_insert(0);
            *count += 1;
            (values, *count)
        })
        .collect()
}

/// The steps from `old` to `new`. Rows are the same row when their first `identity_columns` values are equal
/// (all values when `None`). Few steps where rows were only added, removed or updated.
pub(super) fn differences(
    old: &[ResultRow],
    new: &[ResultRow],
    identity_columns: Option<usize>,
) -> Vec<Difference> {
    let old_ids = identities(old, identity_columns);
    let new_ids = identities(new, identity_columns);
    let wanted: HashSet<Identity<'_>, RandomState> = new_ids.iter().copied().collect();
    let mut steps = Vec::new();
    // Rows that are gone, from the end, so that the positions before them stay.
    let mut working: Vec<(Identity<'_>, &ResultRow)> = Vec::with_capacity(new.len());
    let mut gone = Vec::new();
    for (position, (id, row)) in old_ids.into_iter().zip(old).enumerate() {
        if wanted.contains(&id) {
            working.push((id, row));
        } else {
            gone.push((position, row));
        }
    }
    steps.extend(
        gone.into_iter()
            .rev()
            .map(|(position, row)| Difference::Removed {
                position,
                row: row.clone(),
            }),
    );
    let mut present: HashSet<Identity<'_>, RandomState> =
        working.iter().map(|(id, _)| *id).collect();
    for (position, (id, row)) in new_ids.into_iter().zip(new).enumerate() {
        let is_here = |at: usize, working: &[(Identity<'_>, &ResultRow)]| {
            working.get(at).is_some_and(|(known, _)| *known == id)
        };
        // The row that stands here has moved further down: taken out now, it is added where it belongs.
        if !is_here(position, &working) && is_here(position + 1, &working) {
            let (moved, before) = working.remove(position);
            present.remove(&moved);
            steps.push(Difference::Removed {
                position,
                row: before.clone(),
            });
        }
        if is_here(position, &working) {
            let before = working.get(position).map(|(_, row)| (*row).clone());
            if let Some(before) = before.filter(|before| !is_same_version(before, row)) {
                steps.push(Difference::Updated {
                    position,
                    before,
                    row: row.clone(),
                });
            }
            continue;
        }
        if present.contains(&id)
            && let Some(from) = working.iter().position(|(known, _)| *known == id)
        {
            let (_, before) = working.remove(from);
            steps.push(Difference::Removed {
                position: from,
                row: before.clone(),
            });
        }
        working.insert(position, (id, row));
        present.insert(id);
        steps.push(Difference::Added {
            position,
            row: row.clone(),
        });
    }
    steps
}

/// Whether two rows are the same also in what records carry beside their values.
pub(super) fn is_same_version(a: &ResultRow, b: &ResultRow) -> bool {
    match (a, b) {
        (ResultRow::Record(a), ResultRow::Record(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(values: &[(u8, u8)]) -> Vec<ResultRow> {
        let row = |(a, b): &(u8, u8)| ResultRow::Values([Value::from(*a), Value::from(*b)].into());
        values.iter().map(row).collect()
    }

    #[test]
    fn simple_changes_take_one_step_each() {
        let old = rows(&[(1, 0), (2, 0), (3, 0), (4, 0)]);
        let new = rows(&[(2, 0), (3, 9), (4, 0), (5, 0)]);
        let steps = differences(&old, &new, Some(1));
        assert!(matches!(
            steps.as_slice(),
            [
                Difference::Removed { position: 0, .. },
                Difference::Updated { position: 1, .. },
                Difference::Added { position: 3, .. }
            ]
        ));
        let new = rows(&[(2, 0), (3, 0), (4, 0), (1, 0)]);
        assert_eq!(differences(&old, &new, Some(1)).len(), 2, "one row moved");
    }

    proptest! {
        #[test]
        fn steps_lead_from_old_to_new(
            old in proptest::collection::vec((0..6_u8, 0..3_u8), 0..8),
            new in proptest::collection::vec((0..6_u8, 0..3_u8), 0..8),
            by_key in any::<bool>(),
        ) {
            let (mut working, new) = (rows(&old), rows(&new));
            for step in differences(&working.clone(), &new, by_key.then_some(1)) {
                if let Difference::Removed { position, row } = &step {
                    prop_assert_eq!(&working[*position], row);
                }
                step.apply(&mut working);
            }
            prop_assert_eq!(working, new);
        }
    }
}
