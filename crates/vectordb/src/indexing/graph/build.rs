//! Building a level: vertices are linked in batches, each against the graph that the batches before it made.
//!
//! Within a batch, threads look for neighbours in a graph that nobody changes, and links back are sorted before
//! they are applied: so the same vertices in the same order give the same graph on any number of threads
//! (Manohar et al., 2024).

use common::{Result, Slot};
use rayon::prelude::*;

use super::links::Links;
use super::prune::{Candidate, Rule};
use super::walk::{Level, Scratch};
use crate::core::VectorRows;
use crate::indexing::codes::Codes;

/// Most vertices of one batch.
const BATCH_MAX: usize = 4_096;
/// A batch is at most the linked vertices over this.
const BATCH_SHARE: usize = 8;

/// How one level is built.
pub(super) struct Builder<'a> {
    /// Which vertices live.
    pub(super) rows: &'a VectorRows,
    pub(super) codes: &'a Codes,
    pub(super) shift: u32,
    pub(super) vertices: usize,
    pub(super) rule: Rule,
    /// Candidates that are kept while the neighbours of a vertex are looked for.
    pub(super) width: usize,
    /// A vertex that is being removed, while its vector is still there.
    pub(super) without: Option<u32>,
}

/// Vertices and lists of theirs.
pub(super) type Lists = Vec<(u32, Vec<u32>)>;

impl Builder<'_> {
    fn level<'l>(&'l self, links: &'l Links) -> Level<'l> {
        Level {
            links,
            shift: self.shift,
            codes: self.codes,
            vertices: self.vertices,
        }
    }

    /// Links vertices one batch after another, in the order given; `linked` says how many the level had before.
    pub(super) fn link_all(
        &self,
        links: &mut Links,
        mut linked: usize,
        order: &[u32],
        entry: &(impl Fn(u32) -> u32 + Sync),
        report: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let mut rest = order;
        while !rest.is_empty() {
            let size = (linked / BATCH_SHARE).clamp(1, BATCH_MAX).min(rest.len());
            let (batch, after) = rest.split_at(size);
            self.link(links, batch, entry);
            rest = after;
            linked += size;
            report(size)?;
        }
        Ok(())
    }

    /// Links the vertices of one batch: they get neighbours, and become neighbours of those.
    fn link(&self, links: &mut Links, batch: &[u32], entry: &(impl Fn(u32) -> u32 + Sync)) {
        let level = self.level(links);
        let lists: Lists = batch
            .par_iter()
            .map_init(Scratch::default, |scratch, vertex| {
                let chosen = self.neighbours(&level, *vertex, entry(*vertex), scratch);
                (*vertex, chosen)
            })
            .collect();
        for (vertex, chosen) in &lists {
            links.set(vertex >> self.shift, chosen);
        }
        let pairs = back(&lists);
        let groups: Vec<&[(u32, u32)]> = pairs.chunk_by(|a, b| a.0 == b.0).collect();
        let frozen = &*links;
        let lists: Lists = groups
            .par_iter()
            .filter_map(|group| self.joined(frozen, group))
            .collect();
        for (vertex, list) in &lists {
            links.set(vertex >> self.shift, list);
        }
    }

    /// Links one vertex, on this thread; returns the vertices whose lists changed, with the lists they had.
    pub(super) fn link_one(
        &self,
        links: &mut Links,
        vertex: u32,
        entry: u32,
        scratch: &mut Scratch,
    ) -> Lists {
        let chosen = self.neighbours(&self.level(links), vertex, entry, scratch);
        links.set(vertex >> self.shift, &chosen);
        let mut changed = vec![(vertex, Vec::new())];
        for neighbour in chosen {
            self.join_one(links, neighbour, vertex, &mut changed);
        }
        self.lead_to_dropped(links, &[], &mut changed);
        changed
    }

    /// Gives a vertex one neighbour more.
    pub(super) fn join_one(&self, links: &mut Links, vertex: u32, new: u32, changed: &mut Lists) {
        if let Some((vertex, list)) = self.joined(links, &[(vertex, new)]) {
            self.replace(links, vertex, &list, changed);
        }
    }

    /// Gives a vertex another list, and keeps the one it had. Those that stay keep their places.
    pub(super) fn replace(
        &self,
        links: &mut Links,
        vertex: u32,
        list: &[u32],
        changed: &mut Lists,
    ) {
        let before = links.of(vertex >> self.shift).to_vec();
        let mut new = list.iter().copied().filter(|id| !before.contains(id));
        let mut placed: Vec<u32> = Vec::with_capacity(list.len());
        for id in before.iter().take(list.len()) {
            if list.contains(id) {
                placed.push(*id);
            } else {
                placed.extend(new.next());
            }
        }
        placed.extend(new);
        let beyond = before.iter().skip(list.len());
        placed.extend(beyond.filter(|id| list.contains(id)));
        // A list out of a file may name one twice.
        placed.truncate(links.degree());
        links.set(vertex >> self.shift, &placed);
        if !changed.iter().any(|(known, _)| *known == vertex) {
            changed.push((vertex, before));
        }
    }

    /// The neighbours that a vertex should have.
    fn neighbours(
        &self,
        level: &Level<'_>,
        vertex: u32,
        entry: u32,
        scratch: &mut Scratch,
    ) -> Vec<u32> {
        let query = self.codes.row(Slot(vertex));
        level.search(query, &[entry], self.width, scratch);
        // A vertex that is linked anew keeps those of its neighbours that are still worth it.
        let known = level.neighbours(vertex).iter();
        let mut candidates: Vec<Candidate> = scratch
            .beam
            .iter()
            .chain(known.map(|id| (self.distance(vertex, *id), *id)))
            .filter(|(_, id)| *id != vertex && self.is_live(*id))
            .collect();
        candidates.sort_unstable_by_key(|candidate| order(vertex, *candidate));
        candidates.dedup();
        let mut chosen = Vec::with_capacity(self.rule.degree);
        self.rule.choose(self.codes, &candidates, &mut chosen);
        chosen
    }

    /// The list of a vertex with new neighbours, pairs of it and each of them; nothing if it has them all.
    pub(super) fn joined(&self, links: &Links, new: &[(u32, u32)]) -> Option<(u32, Vec<u32>)> {
        let vertex = new.first()?.0;
        let known = links.of(vertex >> self.shift);
        let live = known.iter().copied().filter(|id| self.is_live(*id));
        let mut list: Vec<u32> = live.collect();
        list.extend(
            new.iter()
                .map(|(_, new)| *new)
                .filter(|new| !known.contains(new)),
        );
        if list == known {
            return None;
        }
        if list.len() > links.degree() {
            list = self.pruned(vertex, &list);
        }
        Some((vertex, list))
    }

    /// The best of too many neighbours.
    pub(super) fn pruned(&self, vertex: u32, list: &[u32]) -> Vec<u32> {
        let mut candidates: Vec<Candidate> = list
            .iter()
            .map(|id| (self.distance(vertex, *id), *id))
            .collect();
        candidates.sort_unstable_by_key(|candidate| order(vertex, *candidate));
        let mut chosen = Vec::with_capacity(self.rule.degree);
        self.rule.choose(self.codes, &candidates, &mut chosen);
        chosen
    }

    /// Whether a vertex has a vector: lists may name some that no longer do.
    pub(super) fn is_live(&self, vertex: u32) -> bool {
        self.rows.contains(Slot(vertex)) && Some(vertex) != self.without
    }

    pub(super) fn distance(&self, a: u32, b: u32) -> u32 {
        self.codes
            .distance(self.codes.row(Slot(a)), self.codes.row(Slot(b)))
    }

    /// The same lists, in room for no more than the rule's degree.
    pub(super) fn trimmed(&self, links: &Links, members: &[u32]) -> Links {
        let mut trimmed = Links::new(self.rule.degree);
        let lists: Lists = members
            .par_iter()
            .map(|vertex| {
                let list = links.of(vertex >> self.shift);
                let list = if list.len() > self.rule.degree {
                    self.pruned(*vertex, list)
                } else {
                    list.to_vec()
                };
                (*vertex, list)
            })
            .collect();
        for (vertex, list) in &lists {
            trimmed.set(vertex >> self.shift, list);
        }
        trimmed
    }
}

/// For each neighbour that a list names, the neighbour and whose list it is, in order.
fn back(lists: &Lists) -> Vec<(u32, u32)> {
    let mut pairs: Vec<(u32, u32)> = lists
        .iter()
        .flat_map(|(vertex, chosen)| chosen.iter().map(|neighbour| (*neighbour, *vertex)))
        .collect();
    pairs.sort_unstable();
    pairs
}

/// The nearest first, and of those at the same distance others for each vertex: of many equal vectors, not all
/// should have the same neighbours.
fn order(vertex: u32, candidate: Candidate) -> (u32, u32) {
    (
        candidate.0,
        (candidate.1 ^ vertex).wrapping_mul(0x9e37_79b1),
    )
}
