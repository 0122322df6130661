//! The effort that a recall takes, found once and kept.

use common::Result;
use parking_lot::{Mutex, RwLock};

/// Efforts that are kept for one column.
const KEPT_MAX: usize = 64;
/// An effort holds until one in so many vectors has changed.
const CHANGED_SHARE: u64 = 8;

/// Efforts that were found by trying.
#[derive(Debug, Default)]
pub(crate) struct Efforts {
    known: RwLock<Vec<Known>>,
    /// Held while one is looked for: others that need it then wait for it.
    trying: Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    recall: f64,
    k: usize,
    /// Number of changes of the column when it was found.
    changes: u64,
    effort: Option<usize>,
}

impl Efforts {
    /// The effort at which an index finds this share of the `k` nearest, `None` if no effort does: what is known,
    /// or else what is found. The column has had so many changes and has so many vectors.
    pub(crate) fn get_or_find(
        &self,
        recall: f64,
        k: usize,
        changes: u64,
        rows: usize,
        find: impl FnOnce() -> Result<Option<usize>>,
    ) -> Result<Option<usize>> {
        let known = || self.get(recall, k, changes, rows);
        if let Some(known) = known() {
            return Ok(known.effort);
        }
        let _trying = self.trying.lock();
        if let Some(known) = known() {
            return Ok(known.effort);
        }
        let effort = find()?;
        self.keep(Known {
            recall,
            k,
            changes,
            effort,
        });
        Ok(effort)
    }

    /// Whether it is known, so that nothing has to be tried.
    pub(crate) fn knows(&self, recall: f64, k: usize, changes: u64, rows: usize) -> bool {
        self.get(recall, k, changes, rows).is_some()
    }

    /// What was found, if it still holds after so many changes of so many vectors.
    fn get(&self, recall: f64, k: usize, changes: u64, rows: usize) -> Option<Known> {
        let known = self.known.read();
        let known = known.iter().find(|known| known.is_for(recall, k))?;
        let since = changes.abs_diff(known.changes);
        (since * CHANGED_SHARE <= rows as u64).then_some(*known)
    }

    fn keep(&self, new: Known) {
        let mut known = self.known.write();
        known.retain(|known| !known.is_for(new.recall, new.k));
        if known.len() >= KEPT_MAX {
            known.remove(0);
        }
        known.push(new);
    }
}

impl Known {
    fn is_for(&self, recall: f64, k: usize) -> bool {
        self.k == k && self.recall.to_bits() == recall.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effort_holds_until_an_eighth_has_changed() {
        let efforts = Efforts::default();
        let new = |k| Known {
            recall: 0.9,
            k,
            changes: 1_000,
            effort: Some(32),
        };
        efforts.keep(new(10));
        let get = |recall, k, changes| efforts.get(recall, k, changes, 800)?.effort;
        assert_eq!(get(0.9, 10, 1_100), Some(32));
        // Of an older state as well.
        assert_eq!(get(0.9, 10, 900), Some(32));
        assert_eq!(get(0.9, 10, 1_101), None);
        assert_eq!(get(0.8, 10, 1_000), None);
        for k in 100..100 + KEPT_MAX {
            efforts.keep(new(k));
        }
        assert_eq!(get(0.9, 10, 1_000), None);
        assert_eq!(efforts.known.read().len(), KEPT_MAX);
    }
}
