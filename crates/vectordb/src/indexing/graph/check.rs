//! What must hold of any graph.

use common::Slot;

use super::{GraphIndex, level_mask, shift_of};
use crate::core::VectorRows;

impl GraphIndex {
    /// Lists name vertices of their level that are not themselves, once each and no more than there is room for; a
    /// search begins somewhere that lives, and may begin wherever a further level would have a vertex.
    ///
    /// A list may name a slot that has no vector or another by now: searches pass over it.
    ///
    /// # Panics
    /// When something of this does not hold.
    pub(crate) fn check(&self, rows: &VectorRows) {
        for (number, links) in self.levels.iter().enumerate() {
            let mask = level_mask(number);
            for slot in rows.slots().filter(|slot| slot.0 & mask == 0) {
                let list = links.of(slot.0 >> shift_of(number));
                let mut sorted = list.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), list.len(), "{slot:?} {list:?}");
                assert!(!list.contains(&slot.0) && list.len() <= links.degree());
                let mut ids = list.iter();
                assert!(
                    ids.all(|id| id & mask == 0 && *id < self.vertices),
                    "{slot:?} {list:?}"
                );
            }
        }
        assert_eq!(self.tops.is_empty(), rows.is_empty());
        assert!(self.tops.iter().all(|top| rows.contains(Slot(*top))));
        let mask = level_mask(self.levels.len());
        for slot in rows.slots().filter(|slot| slot.0 & mask == 0) {
            assert!(self.tops.contains(&slot.0), "{slot:?}");
        }
    }
}
