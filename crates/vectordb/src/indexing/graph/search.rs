//! Searches of a graph: on codes of one byte a dimension, or on the bundled codes of one bit.

use std::cell::RefCell;
use std::collections::VecDeque;

use common::Slot;

use super::GraphIndex;
use super::bundles::{Bundles, estimate};
use super::links::Links;
use super::walk::{Level, Scratch};
use crate::core::distance::prefetch;
use crate::core::{Line, SlotSet};
use crate::indexing::index::Neighbour;
use crate::indexing::quantize::BLOCK;
use crate::indexing::request::{Request, Work, rerank};

/// Candidates that are ranked anew by full vectors, for each neighbour asked for.
const RERANKED: usize = 2;
/// As many rows that pass a filter, for each candidate kept and each neighbour it may have, are scanned and not
/// searched: the filter then hides most of the graph.
const SCANNED: usize = 3;
/// Codes that are fetched ahead of the one that is compared.
const AHEAD: usize = 4;
/// Candidates that are ranked anew beside twice as many as otherwise, where codes are scanned.
const MORE_SCANNED: usize = 32;
/// Candidates that are ranked anew beside, of a query outside the range of the codes.
const MORE_OUTSIDE: usize = 32;
/// Where at least this share passes a filter, each vertex has enough neighbours that pass: the graph of these is
/// searched by bundles, somewhat wider.
const SHARE_BUNDLED: f64 = 0.4;
/// Rows that pass a filter from which a search begins as well.
const SEEDS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What a search of the finest level begins with.
struct Start<'a> {
    links: &'a Links,
    /// The query, as the codes can say it.
    query: &'a [f32],
    code: &'a [Line],
    entries: Vec<u32>,
    /// Candidates that are kept on the way.
    width: usize,
    /// Candidates that are wanted in the end.
    keep: usize,
}

impl GraphIndex {
    /// The nearest vectors, and what finding them took; `effort` is the number of candidates that are kept.
    pub(crate) fn search(&self, request: &Request<'_>, effort: usize) -> (Vec<Neighbour>, Work) {
        let mut work = Work::default();
        let (Some(links), false) = (self.levels.first(), self.tops.is_empty()) else {
            return (Vec::new(), work);
        };
        let query = self.codes.fitted(request.vector());
        let code = self.codes.query(&query);
        let rows = request.rows;
        let wanted = request
            .k
            .min(request.filter.map_or(rows.len(), SlotSet::len));
        let width = effort.min(rows.len()).max(wanted);
        // Codes move a query that lies outside to the border, and order what is there a little otherwise.
        let more = if self.codes.covers(&query) {
            0
        } else {
            MORE_OUTSIDE
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let mut entries = vec![self.entry(&code)];
            entries.extend(self.other_entries(&code, width, scratch));
            let start = Start {
                links,
                query: &query,
                code: &code,
                entries,
                width,
                keep: wanted.saturating_mul(RERANKED).saturating_add(more),
            };
            let mut candidates = self.candidates(request, &start, scratch, &mut work);
            self.add_misfits(request, &mut candidates);
            let found = rerank(request, &candidates, &mut work);
            if found.len() >= wanted {
                return (found, work);
            }
            // Some are out of the graph's reach, as among hundreds of equal vectors.
            let mut all = match request.filter {
                Some(filter) => self.scanned(filter.iter(), &start, scratch, &mut work),
                None => self.scanned(rows.slots(), &start, scratch, &mut work),
            };
            self.add_misfits(request, &mut all);
            (rerank(request, &all, &mut work), work)
        })
    }

    /// Adds what codes cannot rank to the candidates that they ranked best.
    fn add_misfits(&self, request: &Request<'_>, candidates: &mut Vec<Slot>) {
        let ranked = candidates.len();
        for misfit in self.misfits.iter().map(|id| Slot(*id)) {
            let is_new = !candidates.iter().take(ranked).any(|slot| *slot == misfit);
            if is_new && request.accepts(misfit) {
                candidates.push(misfit);
            }
        }
    }

    fn candidates(
        &self,
        request: &Request<'_>,
        start: &Start<'_>,
        scratch: &mut Scratch,
        work: &mut Work,
    ) -> Vec<Slot> {
        let level = Level {
            links: start.links,
            shift: 0,
            codes: &self.codes,
            vertices: self.vertices as usize,
        };
        let Some(filter) = request.filter else {
            if let Some(bundles) = &self.bundles {
                return self.bundled(bundles, request, start, scratch, work);
            }
            work.compared += level.search(start.code, &start.entries, start.width, scratch);
            return nearest(scratch, start.keep);
        };
        if filter.len() <= start.width.saturating_mul(start.links.degree() * SCANNED) {
            return self.scanned(filter.iter(), start, scratch, work);
        }
        let share = share(filter.len(), request.rows.len());
        if let (Some(bundles), true) = (&self.bundles, share >= SHARE_BUNDLED) {
            let wider = Start {
                width: scaled(start.width, share.sqrt().recip()),
                entries: start.entries.clone(),
                ..*start
            };
            let candidates = self.bundled(bundles, request, &wider, scratch, work);
            // Where far fewer pass than elsewhere, the nearest that do are not near the query.
            if candidates.len() >= (start.width / 2).min(start.keep) {
                return candidates;
            }
        }
        let mut entries = start.entries.clone();
        entries.extend(seeds(filter, self.vertices));
        work.compared += level.search_within(start.code, &entries, start.width, filter, scratch);
        nearest(scratch, start.keep)
    }

    /// The codes of some rows, one after another.
    fn scanned(
        &self,
        slots: impl Iterator<Item = Slot>,
        start: &Start<'_>,
        scratch: &mut Scratch,
        work: &mut Work,
    ) -> Vec<Slot> {
        // A scan costs so much that comparing some more is next to nothing.
        let keep = start.keep.saturating_mul(2).saturating_add(MORE_SCANNED);
        scratch.beam.begin(keep);
        let mut ahead = VecDeque::with_capacity(AHEAD + 1);
        let mut compare = |slot: Slot| {
            let code = self.codes.row(slot);
            if !code.is_empty() {
                let distance = self.codes.distance(start.code, code);
                scratch.beam.offer(distance, slot.0);
                work.compared += 1;
            }
        };
        for slot in slots {
            prefetch(self.codes.row(slot));
            ahead.push_back(slot);
            if ahead.len() > AHEAD {
                ahead.pop_front().into_iter().for_each(&mut compare);
            }
        }
        ahead.into_iter().for_each(compare);
        nearest(scratch, keep)
    }

    /// A search on bundles: the vertex with the least estimate is expanded, which tells its own distance from its
    /// code and estimates those of all its neighbours.
    fn bundled(
        &self,
        bundles: &Bundles,
        request: &Request<'_>,
        start: &Start<'_>,
        scratch: &mut Scratch,
        work: &mut Work,
    ) -> Vec<Slot> {
        let Scratch {
            beam,
            visited,
            query,
            estimates,
            ..
        } = scratch;
        bundles.query(start.query, query);
        beam.begin(start.width);
        visited.begin(self.vertices as usize);
        for entry in &start.entries {
            if visited.insert(*entry) {
                beam.offer(0, *entry);
            }
        }
        let mut best: Vec<(u32, u32)> = Vec::with_capacity(start.keep.min(start.width) + 1);
        while let Some(vertex) = beam.expand() {
            if let Some(next) = beam.peek() {
                prefetch(self.codes.row(Slot(next)));
                prefetch(start.links.lines(next));
                prefetch(bundles.lines(next));
            }
            let near = self
                .codes
                .distance(start.code, self.codes.row(Slot(vertex)));
            if request.accepts(Slot(vertex)) {
                keep(&mut best, (near, vertex), start.keep);
            }
            #[expect(clippy::cast_precision_loss, reason = "estimates are coarser")]
            let distance = near as f32;
            let bound = beam.bound_float();
            let blocks = bundles.blocks(vertex);
            for (block, neighbours) in blocks.zip(start.links.of(vertex).chunks(BLOCK)) {
                work.compared += neighbours.len();
                for (distance, neighbour) in
                    estimate(query, block, neighbours, distance, bound, estimates)
                {
                    if distance < bound
                        && request.accepts(Slot(neighbour))
                        && visited.insert(neighbour)
                    {
                        beam.offer(distance.max(0.0).to_bits(), neighbour);
                    }
                }
            }
        }
        best.iter().map(|(_, id)| Slot(*id)).collect()
    }
}

/// Keeps the nearest few in order.
fn keep(best: &mut Vec<(u32, u32)>, new: (u32, u32), count: usize) {
    if best.len() >= count {
        match best.last() {
            Some(last) if new < *last => best.pop(),
            _ => return,
        };
    }
    let at = best.partition_point(|known| *known < new);
    best.insert(at, new);
}

fn nearest(scratch: &Scratch, keep: usize) -> Vec<Slot> {
    scratch
        .beam
        .iter()
        .take(keep)
        .map(|(_, id)| Slot(id))
        .collect()
}

/// Some of the rows that pass a filter, from all over the table.
fn seeds(filter: &SlotSet, vertices: u32) -> impl Iterator<Item = u32> {
    filter
        .spread(SEEDS)
        .map(|slot| slot.0)
        .filter(move |id| *id < vertices)
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: usize, all: usize) -> f64 {
    part as f64 / all.max(1) as f64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a width, which saturates"
)]
fn scaled(width: usize, by: f64) -> usize {
    (width as f64 * by).ceil() as usize
}
