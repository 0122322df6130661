//! What must hold of any graph.

use common::Slot;

use super::connect::SMALL;
use super::{GraphIndex, is_of_level, shift_of};
use crate::core::{SlotSet, VectorRows};

impl GraphIndex {
    /// Lists name vertices of their level that are not themselves, once each and no more than there is room for; every
    /// vertex is named, and in a small graph led to from wherever a search begins; a search begins somewhere that lives,
    /// and may begin wherever a further level would have a vertex.
    ///
    /// A list may name a slot that has no vector or another by now: searches pass over it.
    ///
    /// # Panics
    /// When something of this does not hold.
    pub(crate) fn check(&self, rows: &VectorRows) {
        for (number, links) in self.levels.iter().enumerate() {
            let is_here = |id: u32| is_of_level(id, number);
            for slot in rows.slots().filter(|slot| is_here(slot.0)) {
                let list = links.of(slot.0 >> shift_of(number));
                let mut sorted = list.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), list.len(), "{slot:?} {list:?}");
                assert!(!list.contains(&slot.0) && list.len() <= links.degree());
                let mut ids = list.iter();
                assert!(
                    ids.all(|id| is_here(*id) && *id < self.vertices),
                    "{slot:?} {list:?}"
                );
            }
        }
        if let (Some(links), true) = (self.levels.first(), rows.len() > 1) {
            let named: SlotSet = (rows.slots())
                .flat_map(|slot| links.of(slot.0))
                .map(|id| Slot(*id))
                .collect();
            let mut slots = rows.slots();
            assert_eq!(
                slots.find(|slot| !named.contains(*slot)),
                None,
                "no list names it"
            );
        }
        if let (Some(links), Some(root), true) =
            (self.levels.first(), self.tops.first(), rows.len() <= SMALL)
        {
            let mut led_to: SlotSet = std::iter::once(Slot(*root)).collect();
            let mut waiting = vec![*root];
            while let Some(vertex) = waiting.pop() {
                for id in links.of(vertex) {
                    if rows.contains(Slot(*id)) && led_to.insert(Slot(*id)) {
                        waiting.push(*id);
                    }
                }
            }
            let cut_off = rows.slots().find(|slot| !led_to.contains(*slot));
            assert_eq!(cut_off, None, "no way from {root}");
            let mut gets_back: SlotSet = std::iter::once(Slot(*root)).collect();
            let mut before = 0;
            while gets_back.len() > before {
                before = gets_back.len();
                for slot in rows.slots() {
                    let mut list = links.of(slot.0).iter().map(|id| Slot(*id));
                    if list.any(|id| rows.contains(id) && gets_back.contains(id)) {
                        gets_back.insert(slot);
                    }
                }
            }
            let cut_off = rows.slots().find(|slot| !gets_back.contains(*slot));
            assert_eq!(cut_off, None, "no way back to {root}");
        }
        let mut misfits = self.misfits.as_ref().clone();
        misfits.sort_unstable();
        assert_eq!(
            misfits,
            self.codes.misfits(rows),
            "compared with every query"
        );
        assert_eq!(self.tops.is_empty(), rows.is_empty());
        let last = self.levels.len().saturating_sub(1);
        let mut tops = self.tops.iter();
        assert!(tops.all(|top| rows.contains(Slot(*top)) && is_of_level(*top, last)));
        let mut landmarks = self.landmarks.iter();
        assert!(landmarks.all(|id| rows.contains(Slot(*id))));
        let above = self.levels.len();
        for slot in rows.slots().filter(|slot| is_of_level(slot.0, above)) {
            assert!(self.tops.contains(&slot.0), "{slot:?}");
        }
    }
}
