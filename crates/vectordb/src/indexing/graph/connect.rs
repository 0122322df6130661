//! That links lead from where searches begin to every vertex, and back.
//!
//! Vertices that only name each other are an island: each is named by some list, and no search gets to it. Updates look only
//! at the lists around them and cannot see that; so all lists are looked at now and then.

use super::build::{Builder, Lists};
use super::links::Links;
use super::walk::{Level, Scratch};
use super::{GraphIndex, is_of_level};
use crate::core::VectorRows;
use common::Slot;

/// In a graph of at most so many vertices, all lists are looked at after each update.
pub(super) const SMALL: usize = 1_024;
/// In a greater one, after as many updates as it has vertices over this.
const SHARE: usize = 64;
/// Whoever loses a place to another may be cut off by that: looked at again so many times.
const ROUNDS: usize = 4;

impl GraphIndex {
    /// Counts an update, and connects the levels after enough of them; `without` is a vertex that is being removed, and
    /// `changed` gets the lists of the finest level that change.
    pub(super) fn connect_after_update(
        &mut self,
        rows: &VectorRows,
        without: Option<u32>,
        changed: &mut Lists,
    ) {
        self.updates += 1;
        let wait = match rows.len() {
            0..=SMALL => 1,
            more => more / SHARE,
        };
        if self.updates < wait {
            return;
        }
        self.updates = 0;
        let Some(root) = self.tops.first().copied() else {
            return;
        };
        let mut levels = std::mem::take(&mut self.levels);
        for (number, links) in levels.iter_mut().enumerate() {
            let members = rows.slots().map(|slot| slot.0);
            let members = members.filter(|id| is_of_level(*id, number) && Some(*id) != without);
            let members: Vec<u32> = members.collect();
            let builder = Builder {
                without,
                ..self.builder(rows, number)
            };
            let mut coarser = Lists::new();
            let lists = if number == 0 {
                &mut *changed
            } else {
                &mut coarser
            };
            builder.connect(links, root, &members, lists);
        }
        self.levels = levels;
    }
}

impl Builder<'_> {
    /// Sees to it that links lead from a root to every member of a level, and from every member to the root.
    ///
    /// Cost: a look at every list, and a search for each part that is cut off.
    pub(super) fn connect(
        &self,
        links: &mut Links,
        root: u32,
        members: &[u32],
        changed: &mut Lists,
    ) {
        for _ in 0..ROUNDS {
            let is_displaced = self.lead_from(links, root, members, changed);
            if !(self.lead_back(links, root, members, changed) || is_displaced) {
                return;
            }
        }
    }

    /// Leads from the root to every member; whether one lost a place for it that it may have needed.
    fn lead_from(
        &self,
        links: &mut Links,
        root: u32,
        members: &[u32],
        changed: &mut Lists,
    ) -> bool {
        let mut is_reached = self.marks(members, root);
        self.spread(links, root, &mut is_reached);
        let mut scratch = Scratch::default();
        let mut is_displaced = false;
        for member in members {
            if is_reached.get(self.place(*member)) != Some(&false) {
                continue;
            }
            let near = self.near(links, root, *member, &mut scratch);
            is_displaced |= !self.name_by(links, &near, *member, changed);
            if let Some(mark) = is_reached.get_mut(self.place(*member)) {
                *mark = true;
            }
            self.spread(links, *member, &mut is_reached);
        }
        is_displaced
    }

    /// Leads from every member to the root; whether one lost a place for it that it may have needed.
    fn lead_back(
        &self,
        links: &mut Links,
        root: u32,
        members: &[u32],
        changed: &mut Lists,
    ) -> bool {
        let mut gets_back = self.marks(members, root);
        self.spread_back(links, members, &mut gets_back);
        let mut scratch = Scratch::default();
        let mut is_displaced = false;
        for member in members {
            let gets = |id: u32| gets_back.get(self.place(id)) == Some(&true);
            if gets(*member) {
                continue;
            }
            let mut near = self.near(links, root, *member, &mut scratch).into_iter();
            let near = near.find(|id| gets(*id)).unwrap_or(root);
            is_displaced |= !self.name_by(links, &[*member], near, changed);
            if let Some(mark) = gets_back.get_mut(self.place(*member)) {
                *mark = true;
            }
            self.spread_back(links, members, &mut gets_back);
        }
        is_displaced
    }

    /// Where the list of a vertex is.
    pub(super) fn place(&self, vertex: u32) -> usize {
        (vertex >> self.shift) as usize
    }

    /// A mark for each place, of which the root's is set.
    fn marks(&self, members: &[u32], root: u32) -> Vec<bool> {
        let places = members.iter().map(|member| self.place(*member) + 1).max();
        let mut marks = vec![false; places.unwrap_or(0)];
        if let Some(mark) = marks.get_mut(self.place(root)) {
            *mark = true;
        }
        marks
    }

    /// Marks whom links lead to.
    fn spread(&self, links: &Links, from: u32, is_reached: &mut [bool]) {
        let mut waiting = vec![from];
        while let Some(vertex) = waiting.pop() {
            for id in links.of(vertex >> self.shift) {
                if let Some(mark) = is_reached.get_mut(self.place(*id))
                    && !*mark
                    && self.is_live(*id)
                {
                    *mark = true;
                    waiting.push(*id);
                }
            }
        }
    }

    /// Marks who leads to one that is marked.
    fn spread_back(&self, links: &Links, members: &[u32], gets_back: &mut [bool]) {
        let mut is_done = false;
        while !is_done {
            is_done = true;
            for member in members {
                let gets = |id: &u32| gets_back.get(self.place(*id)) == Some(&true);
                if !gets(member)
                    && links
                        .of(member >> self.shift)
                        .iter()
                        .any(|id| gets(id) && self.is_live(*id))
                    && let Some(mark) = gets_back.get_mut(self.place(*member))
                {
                    *mark = true;
                    is_done = false;
                }
            }
        }
    }

    /// The vertices nearest to one that links lead to from the root, the nearest first.
    fn near(&self, links: &Links, root: u32, vertex: u32, scratch: &mut Scratch) -> Vec<u32> {
        let level = Level {
            links,
            shift: self.shift,
            codes: self.codes,
            vertices: self.vertices,
        };
        level.search(self.codes.row(Slot(vertex)), &[root], self.width, scratch);
        let found = scratch.beam.iter().map(|(_, id)| id);
        found
            .filter(|id| *id != vertex && self.is_live(*id))
            .collect()
    }
}
