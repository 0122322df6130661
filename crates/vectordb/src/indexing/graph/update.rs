//! One vertex more, one less: in place, so that a graph needs no rebuild and no rest.

use std::sync::Arc;

use common::Slot;

use super::beam::VERTICES_MAX;
use super::build::{Builder, Lists};
use super::landmarks::LANDMARKS_MAX;
use super::links::Links;
use super::prune::Candidate;
use super::walk::{Level, Scratch};
use super::{GraphIndex, TOPS_MAX, is_of_level, shift_of};
use crate::core::VectorRows;

/// More vertices where searches begin than this become a level.
pub(super) const TOPS_GROWN: usize = 4 * TOPS_MAX;
/// How many of the neighbours of a removed vertex one that led to it gets in its place, before pruning.
const SUBSTITUTES: usize = 3;
/// How many vertices get one that the removed vertex led to as a neighbour, before pruning.
const LEADERS: usize = 1;
/// Candidates that are kept on coarser levels on the way to where an update begins.
const DESCENT_WIDTH: usize = 16;
/// How many times as far as an update begins is too far for a search.
const FARTHER: f64 = 1.4;

impl GraphIndex {
    /// Adds the vector of a slot. A slot that is in the graph is removed first.
    ///
    /// Cost: a search with [`super::GraphOptions::build_candidates`], and the choice among the neighbours of each
    /// of its neighbours.
    pub(crate) fn insert(&mut self, rows: &VectorRows, slot: Slot) {
        let mut vector = vec![0.0; rows.dimension()];
        let vertex = slot.0;
        if vertex >= VERTICES_MAX || !rows.decode(slot, &mut vector) {
            return;
        }
        self.codes.set(slot, &vector);
        if !self.codes.fits(&vector) && !self.misfits.contains(&vertex) {
            Arc::make_mut(&mut self.misfits).push(vertex);
        }
        self.vertices = self.vertices.max(vertex + 1);
        let mut scratch = Scratch::default();
        let mut changed = Vec::new();
        let mut is_apart = false;
        let entries = self.entries(rows, vertex, &mut scratch);
        let mut levels = std::mem::take(&mut self.levels);
        for (number, links) in levels.iter_mut().enumerate() {
            if !is_of_level(vertex, number) {
                break;
            }
            links.set(vertex >> shift_of(number), &[]);
            if let Some(entry) = entries.get(number) {
                let builder = self.builder(rows, number);
                let new = builder.link_one(links, vertex, *entry, &mut scratch);
                if number == 0 {
                    changed = new;
                    is_apart = builder.is_apart(links, vertex, self.apart());
                }
            }
        }
        self.levels = levels;
        if is_apart && self.landmarks.len() < LANDMARKS_MAX {
            Arc::make_mut(&mut self.landmarks).push(vertex);
        }
        let is_top = is_of_level(vertex, self.levels.len());
        if (is_top || self.tops.is_empty()) && !self.tops.contains(&vertex) {
            Arc::make_mut(&mut self.tops).push(vertex);
        }
        if self.tops.len() > TOPS_GROWN {
            self.raise(rows);
        }
        self.connect_after_update(rows, None, &mut changed);
        self.bundle_anew(rows, &changed);
    }

    /// Where a search for a vertex begins on each level; empty if there is nowhere to begin.
    ///
    /// An update looks more widely than a search may: a vertex that is linked to others than its nearest stays so. Where
    /// a search would have begun much farther away, it gets a landmark.
    fn entries(&mut self, rows: &VectorRows, vertex: u32, scratch: &mut Scratch) -> Vec<u32> {
        if self.tops.is_empty() {
            return Vec::new();
        }
        let code = self.codes.row(Slot(vertex));
        let distance = |id: u32| self.codes.distance(code, self.codes.row(Slot(id)));
        // A list that is named still may be of a slot that waits for its next vector: it leads nowhere.
        let leads = |id: u32| {
            self.levels
                .first()
                .is_some_and(|links| !links.of(id).is_empty())
        };
        let is_other = |id: &u32| *id != vertex && rows.contains(Slot(*id)) && leads(*id);
        let narrow = self.entry(code);
        let is_far = |near: u32, factor: f64| {
            !is_other(&narrow) || f64::from(distance(near)) * factor < f64::from(distance(narrow))
        };
        let mut found: Vec<u32> = self.tops.iter().copied().collect();
        let mut entries = vec![narrow; self.levels.len()];
        for (number, links) in self.levels.iter().enumerate().rev() {
            let others = found.iter().copied().filter(is_other);
            if let Some(nearest) = others.min_by_key(|id| (distance(*id), *id))
                && let Some(entry) = entries.get_mut(number)
                && (number > 0 || is_far(nearest, 1.0))
            {
                *entry = nearest;
            }
            if number > 0 {
                let level = Level {
                    links,
                    shift: shift_of(number),
                    codes: &self.codes,
                    vertices: self.vertices as usize,
                };
                level.search(code, &found, DESCENT_WIDTH, scratch);
                found = scratch.beam.iter().map(|(_, id)| id).collect();
            }
        }
        let farther = if self.has_squares() {
            FARTHER * FARTHER
        } else {
            FARTHER
        };
        if let Some(near) = entries.first().copied()
            && narrow != vertex
            && is_far(near, farther)
            && self.landmarks.len() < LANDMARKS_MAX
            && !self.landmarks.contains(&near)
        {
            Arc::make_mut(&mut self.landmarks).push(near);
        }
        entries
    }

    /// Makes a level of the vertices where searches begin, which have become many.
    pub(super) fn raise(&mut self, rows: &VectorRows) {
        let number = self.levels.len();
        let of_level = |number| {
            let tops = self.tops.iter().copied();
            tops.filter(|id| is_of_level(*id, number))
                .collect::<Vec<u32>>()
        };
        let (members, mut seeds) = (of_level(number), of_level(number + 1));
        if seeds.is_empty() {
            seeds = members.iter().copied().take(TOPS_MAX).collect();
        }
        self.tops = Arc::new(seeds.clone());
        // Only the one who watches progress could cancel, and nobody does.
        if let Ok(links) = self.build_level(rows, number, &members, &seeds, &[], &mut |_| Ok(())) {
            self.levels.push(links);
        }
    }

    /// Takes a vertex out of the graph, before its slot is given to another vector; its neighbours are linked to
    /// each other in its place.
    pub(crate) fn remove(&mut self, rows: &VectorRows, slot: Slot) {
        let vertex = slot.0;
        if vertex >= self.vertices {
            return;
        }
        let mut scratch = Scratch::default();
        let mut changed = Vec::new();
        let mut substitute = None;
        let entries = self.entries(rows, vertex, &mut scratch);
        let mut levels = std::mem::take(&mut self.levels);
        for ((number, links), entry) in levels.iter_mut().enumerate().zip(entries) {
            if !is_of_level(vertex, number) {
                break;
            }
            let new = self.unlink(rows, number, links, vertex, entry, &mut scratch);
            if number == 0 {
                substitute = new.iter().map(|(id, _)| *id).find(|id| *id != vertex);
                changed = new;
            }
        }
        self.levels = levels;
        if let Some(at) = self.misfits.iter().position(|id| *id == vertex) {
            Arc::make_mut(&mut self.misfits).swap_remove(at);
        }
        if let Some(at) = self.landmarks.iter().position(|id| *id == vertex) {
            let landmarks = Arc::make_mut(&mut self.landmarks);
            landmarks.swap_remove(at);
            let other = substitute.filter(|id| rows.contains(Slot(*id)) && !landmarks.contains(id));
            landmarks.extend(other);
        }
        if let Some(at) = self.tops.iter().position(|top| *top == vertex) {
            Arc::make_mut(&mut self.tops).swap_remove(at);
            if self.tops.is_empty() {
                self.begin_elsewhere(rows, vertex);
            }
        }
        self.connect_after_update(rows, Some(vertex), &mut changed);
        self.bundle_anew(rows, &changed);
    }

    /// Finds other vertices where searches begin, when the last of these goes: on the highest level that has any.
    fn begin_elsewhere(&mut self, rows: &VectorRows, without: u32) {
        loop {
            let last = self.levels.len().saturating_sub(1);
            let others = rows.slots().map(|slot| slot.0);
            let others = others.filter(|id| *id != without && is_of_level(*id, last));
            self.tops = Arc::new(others.take(TOPS_MAX).collect());
            if !self.tops.is_empty() || last == 0 {
                return;
            }
            self.levels.pop();
        }
    }

    /// Takes a vertex out of one level; returns the vertices whose lists changed, with those they had.
    fn unlink(
        &self,
        rows: &VectorRows,
        number: usize,
        links: &mut Links,
        vertex: u32,
        entry: u32,
        scratch: &mut Scratch,
    ) -> Lists {
        let builder = Builder {
            without: Some(vertex),
            ..self.builder(rows, number)
        };
        let level = Level {
            links,
            shift: builder.shift,
            codes: &self.codes,
            vertices: self.vertices as usize,
        };
        level.search(
            self.codes.row(Slot(vertex)),
            &[entry],
            builder.width,
            scratch,
        );
        let mut near: Vec<u32> = scratch.beam.iter().map(|(_, id)| id).collect();
        near.extend(level.neighbours(vertex));
        near.retain(|id| *id != vertex && builder.is_live(*id));
        near.sort_unstable();
        near.dedup();
        let out = level.neighbours(vertex).iter().copied();
        let out: Vec<u32> = out.filter(|id| builder.is_live(*id)).collect();

        let mut changed: Lists = vec![(vertex, Vec::new())];
        let mut lists: Lists = Vec::new();
        // Whoever named the vertex gets the nearest of those it led to.
        for id in &near {
            let known = level.neighbours(*id);
            if known.contains(&vertex) {
                let mut list: Vec<u32> = known.iter().copied().filter(|n| *n != vertex).collect();
                let others = out.iter().filter(|n| *n != id && !known.contains(n));
                list.extend(builder.nearest(*id, others, SUBSTITUTES));
                lists.push((*id, list));
            }
        }
        links.set(vertex >> builder.shift, &[]);
        for (id, list) in lists {
            let list = if list.len() > links.degree() {
                builder.pruned(id, &list)
            } else {
                list
            };
            builder.replace(links, id, &list, &mut changed);
        }
        // Whoever the vertex led to is led to by others.
        for id in &out {
            let others = near.iter().filter(|n| *n != id);
            for other in builder.nearest(*id, others, LEADERS) {
                builder.join_one(links, other, *id, &mut changed);
            }
        }
        builder.lead_to_dropped(links, &out, &mut changed);
        changed
    }
}

impl Builder<'_> {
    /// Those of some vertices that are nearest to one.
    fn nearest<'v>(
        &self,
        vertex: u32,
        others: impl Iterator<Item = &'v u32>,
        count: usize,
    ) -> Vec<u32> {
        let mut all: Vec<Candidate> = others.map(|id| (self.distance(vertex, *id), *id)).collect();
        if all.len() > count {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        all.into_iter().map(|(_, id)| id).collect()
    }
}
