//! Searches on codes over one level of the graph.

use common::Slot;

use super::beam::{Beam, Visited};
use super::links::Links;
use crate::core::distance::prefetch;
use crate::core::{Line, SlotSet};
use crate::indexing::codes::Codes;
use crate::indexing::quantize::{Estimates, Query};

/// Codes that are fetched ahead of the one that is compared.
const AHEAD: usize = 4;

/// Neighbours of which a filter is asked at once.
const PART: usize = 32;
/// The neighbours of neighbours are looked at until one in so many places of a list has a vertex that passes.
const ENOUGH_SHARE: usize = 2;

/// What a search needs and need not be allocated anew.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) beam: Beam,
    pub(super) visited: Visited,
    pub(super) fresh: Vec<u32>,
    pub(super) query: Query,
    pub(super) estimates: Estimates,
}

/// One level of the graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level<'a> {
    pub(super) links: &'a Links,
    /// A vertex of the level has its list at its number over two to the power of this.
    pub(super) shift: u32,
    pub(super) codes: &'a Codes,
    /// Vertices have numbers below this.
    pub(super) vertices: usize,
}

impl Level<'_> {
    pub(super) fn neighbours(&self, vertex: u32) -> &[u32] {
        self.links.of(vertex >> self.shift)
    }

    /// Collects the `width` nearest vertices in the scratch's beam, starting from entries; returns the number
    /// of vertices that were compared.
    pub(super) fn search(
        &self,
        query: &[Line],
        entries: &[u32],
        width: usize,
        scratch: &mut Scratch,
    ) -> usize {
        let Scratch {
            beam,
            visited,
            fresh,
            ..
        } = scratch;
        beam.begin(width);
        visited.begin(self.vertices);
        let mut compared = 0;
        fresh.clear();
        fresh.extend(entries.iter().filter(|entry| visited.insert(**entry)));
        loop {
            compared += fresh.len();
            for vertex in fresh.iter().take(AHEAD) {
                prefetch(self.codes.row(Slot(*vertex)));
            }
            for (i, vertex) in fresh.iter().enumerate() {
                if let Some(ahead) = fresh.get(i + AHEAD) {
                    prefetch(self.codes.row(Slot(*ahead)));
                }
                let code = self.codes.row(Slot(*vertex));
                beam.offer(self.codes.distance(query, code), *vertex);
            }
            let Some(vertex) = beam.expand() else {
                return compared;
            };
            if let Some(next) = beam.peek() {
                prefetch(self.links.lines(next >> self.shift));
            }
            fresh.clear();
            let neighbours = self.neighbours(vertex).iter();
            fresh.extend(neighbours.filter(|neighbour| visited.insert(**neighbour)));
        }
    }

    /// As [`Level::search`] among the vertices that a filter lets pass: where too few neighbours pass, also the
    /// neighbours of those that do not are looked at (Patel et al., SIGMOD 2024).
    pub(super) fn search_within(
        &self,
        query: &[Line],
        entries: &[u32],
        width: usize,
        filter: &SlotSet,
        scratch: &mut Scratch,
    ) -> usize {
        let Scratch {
            beam,
            visited,
            fresh,
            ..
        } = scratch;
        beam.begin(width);
        visited.begin(self.vertices);
        let mut compared = 0;
        fresh.clear();
        let enough = self.links.degree() / ENOUGH_SHARE;
        let mut start = Vec::from(entries);
        loop {
            for vertex in start.drain(..) {
                let own = self.neighbours(vertex);
                for part in own.chunks(PART) {
                    let passing = chosen(part, filter.mask(part));
                    fresh.extend(passing.filter(|id| visited.insert(*id)));
                }
                for part in own.chunks(PART) {
                    let mut others = chosen(part, !filter.mask(part)).peekable();
                    while fresh.len() < enough
                        && let Some(other) = others.next()
                    {
                        if let Some(next) = others.peek() {
                            prefetch(self.links.lines(next >> self.shift));
                        }
                        if visited.insert(other) {
                            for next in self.neighbours(other).chunks(PART) {
                                let passing = filter.mask(next);
                                fresh
                                    .extend(chosen(next, passing).filter(|id| visited.insert(*id)));
                            }
                        }
                    }
                }
            }
            compared += fresh.len();
            for vertex in fresh.iter().take(AHEAD) {
                prefetch(self.codes.row(Slot(*vertex)));
            }
            for (i, vertex) in fresh.iter().enumerate() {
                if let Some(ahead) = fresh.get(i + AHEAD) {
                    prefetch(self.codes.row(Slot(*ahead)));
                }
                let code = self.codes.row(Slot(*vertex));
                beam.offer(self.codes.distance(query, code), *vertex);
            }
            fresh.clear();
            match beam.expand() {
                Some(vertex) => start.push(vertex),
                None => return compared,
            }
        }
    }

    /// The vertex that no neighbour is nearer than, reached from an entry.
    pub(super) fn descend(&self, query: &[Line], entry: u32) -> u32 {
        let distance = |vertex| self.codes.distance(query, self.codes.row(Slot(vertex)));
        let mut nearest = (distance(entry), entry);
        loop {
            let neighbours = self.neighbours(nearest.1);
            for neighbour in neighbours {
                prefetch(self.codes.row(Slot(*neighbour)));
            }
            let best = neighbours
                .iter()
                .map(|vertex| (distance(*vertex), *vertex))
                .min();
            match best {
                Some(best) if best < nearest => nearest = best,
                _ => return nearest.1,
            }
        }
    }
}

/// Those of at most 32 vertices whose bit is set.
#[inline]
fn chosen(vertices: &[u32], mut mask: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = mask.trailing_zeros() as usize;
        mask &= mask.checked_sub(1)?;
        vertices.get(place).copied()
    })
}
