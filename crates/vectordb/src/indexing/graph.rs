//! [`GraphIndex`]: approximate search along the links of a navigable graph.

mod beam;
mod build;
mod bundles;
#[cfg(any(test, shuttle))]
mod check;
mod connect;
mod landmarks;
mod links;
mod options;
mod prune;
mod reach;
mod search;
mod stored;
#[cfg(test)]
mod tests;
mod update;
mod walk;

use std::sync::Arc;

use common::{Error, ErrorKind, Result, Slot};

use self::beam::VERTICES_MAX;
use self::build::{Builder, Lists};
use self::bundles::Bundles;
use self::links::Links;
pub use self::options::{GraphOptions, Layout};
use self::prune::Rule;
pub(crate) use self::stored::GraphMeta;
use self::walk::{Level, Scratch};
use super::codes::Codes;
use super::progress::{Progress, report};
use crate::core::distance::Metric;
use crate::core::{Line, SlotSet, VectorRows};
use rayon::prelude::*;

/// Each level has one vertex of two to the power of this of the level below.
const LEVEL_SHIFT: u32 = 5;
/// Bits that tell the vertices apart of whom one is of the next level.
const GROUP_MASK: u64 = (1 << LEVEL_SHIFT) - 1;
/// Vertices whose neighbours are coded before the codes are written.
const BUNDLED_AT_ONCE: usize = 4_096;
/// More vectors than this whose codes seem farther than they are make a graph outgrown.
const MISFITS_MAX: usize = 128;
/// For so many candidates of a search, one is kept on coarser levels.
const ENTRY_SHARE: usize = 32;
/// The highest level has at most so many vertices of whom one stands for all.
const TOPS_MAX: usize = 128;

/// A navigable graph over the vectors of a table.
///
/// Every vector is a vertex; one of each 32 slots is a vertex of a coarser graph as well, and so on, so that a search
/// begins near its goal. A clone costs a few reference counts and never changes.
#[derive(Debug, Clone)]
pub(crate) struct GraphIndex {
    options: Arc<GraphOptions>,
    metric: Metric,
    codes: Codes,
    /// From the finest level, which has all vertices.
    levels: Vec<Links>,
    bundles: Option<Bundles>,
    /// Vertices where searches begin: all that a level above the last would have.
    tops: Arc<Vec<u32>>,
    /// Vertices where searches of the finest level begin as well.
    landmarks: Arc<Vec<u32>>,
    /// Vertices whose codes seem farther than they are: compared with every query.
    misfits: Arc<Vec<u32>>,
    /// Vertices have numbers below this.
    vertices: u32,
    /// Updates since all lists were looked at.
    updates: usize,
}

impl GraphIndex {
    /// Checks that there is such a graph for a metric.
    ///
    /// # Errors
    /// [`common::ErrorKind::Unsupported`] if not.
    pub(crate) fn supports(layout: Layout, metric: Metric) -> Result<()> {
        match (layout, metric) {
            (
                Layout::Fast,
                Metric::Manhattan | Metric::Chebyshev | Metric::Hamming | Metric::Jaccard,
            ) => Err(Error::unsupported(format!(
                "the fast layout of a graph index has no {metric} distance; use the compact one, or another metric"
            ))),
            _ => Ok(()),
        }
    }

    /// The graph of the vectors of a table.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for options out of their bounds, [`common::ErrorKind::Closed`] when
    /// cancelled, [`common::ErrorKind::LimitExceeded`] for more than 2^31 slots.
    pub(crate) fn build(
        options: &GraphOptions,
        metric: Metric,
        rows: &VectorRows,
        progress: Progress<'_>,
    ) -> Result<Self> {
        options.check()?;
        let threads = options.threads.unwrap_or(0);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| {
                Error::new(
                    ErrorKind::Io,
                    format!("no threads to build an index with: {error}"),
                )
            })?;
        pool.install(|| Self::build_here(options, metric, rows, progress))
    }

    fn build_here(
        options: &GraphOptions,
        metric: Metric,
        rows: &VectorRows,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let members: Vec<u32> = rows.slots().map(|slot| slot.0).collect();
        let vertices = members.last().map_or(0, |last| last + 1);
        if vertices > VERTICES_MAX {
            return Err(Error::limit_exceeded(
                "a graph index holds at most 2^31 vectors",
            ));
        }
        let mut codes = Codes::learn(metric, rows);
        codes.set_all(rows);
        let misfits = codes.misfits(rows);
        let mut graph = Self {
            options: Arc::new(options.clone()),
            metric,
            codes,
            levels: Vec::new(),
            bundles: None,
            tops: Arc::default(),
            landmarks: Arc::default(),
            misfits: Arc::new(misfits),
            vertices,
            updates: 0,
        };
        graph.build_levels(rows, &members, progress)?;
        if options.layout == Layout::Fast {
            graph.bundle(rows, &members);
        }
        Ok(graph)
    }

    /// Whether so many vectors are unlike those that the codes were learned from that the graph should be built anew.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.misfits.len() > MISFITS_MAX
    }

    /// Brings the codes of neighbours up to lists that changed; those are given as they were.
    fn bundle_anew(&mut self, rows: &VectorRows, changed: &Lists) {
        if let (Some(bundles), Some(links)) = (&mut self.bundles, self.levels.first()) {
            for (vertex, before) in changed {
                bundles.follow(rows, &self.codes, links, *vertex, before);
            }
        }
    }

    /// Codes the neighbours of all vertices.
    fn bundle(&mut self, rows: &VectorRows, members: &[u32]) {
        let Some(links) = self.levels.first() else {
            return;
        };
        let mut bundles = Bundles::new(rows, &self.codes, self.options.degree, self.options.seed);
        for chunk in members.chunks(BUNDLED_AT_ONCE) {
            let coded: Vec<(u32, Vec<Line>)> = chunk
                .par_iter()
                .map(|vertex| (*vertex, bundles.coded(rows, &self.codes, links, *vertex)))
                .collect();
            for (vertex, lines) in &coded {
                bundles.set(*vertex, lines);
            }
        }
        self.bundles = Some(bundles);
    }

    fn build_levels(
        &mut self,
        rows: &VectorRows,
        members: &[u32],
        progress: Progress<'_>,
    ) -> Result<()> {
        let all = members.len();
        let mut levels: Vec<Vec<u32>> = vec![members.to_vec()];
        while let Some(last) = levels.last()
            && last.len() > TOPS_MAX
        {
            let number = levels.len();
            let next = last.iter().copied().filter(|id| is_of_level(*id, number));
            levels.push(next.collect());
        }
        // What stands above the last level.
        let mut tops = match levels.len() {
            1 => Vec::new(),
            _ => levels.pop().unwrap_or_default(),
        };
        if tops.is_empty() {
            let last = levels.last().into_iter().flatten();
            tops = last.copied().take(TOPS_MAX).collect();
        }
        self.tops = Arc::new(tops);

        let mut done = 0;
        let mut above: Vec<Links> = Vec::new();
        for (number, members) in levels.iter().enumerate().rev() {
            let seeds = match levels.get(number + 1) {
                Some(seeds) => seeds.clone(),
                None => self.tops.as_ref().clone(),
            };
            if number == 0 {
                let entry = |vertex: u32| self.descend(self.codes.row(Slot(vertex)), &above, 1);
                self.landmarks = Arc::new(self.choose_landmarks(rows, &entry));
            }
            let links = self.build_level(rows, number, members, &seeds, &above, &mut |more| {
                if number == 0 {
                    done += more;
                }
                report(progress, done.min(all), all)
            })?;
            above.insert(0, links);
        }
        self.levels = above;
        Ok(())
    }

    /// Builds one level; `above` are those above it, the next first, and `seeds` the vertices of that.
    fn build_level(
        &self,
        rows: &VectorRows,
        number: usize,
        members: &[u32],
        seeds: &[u32],
        above: &[Links],
        report: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Links> {
        let builder = self.builder(rows, number);
        let mut links = Links::new(self.options.degree * 3 / 2);
        for member in members {
            links.set(member >> builder.shift, &[]);
        }
        match above.first() {
            // The seeds' links among each other are the graph that the others are linked to.
            Some(upper) => {
                for seed in seeds {
                    let list = upper.of(seed >> shift_of(number + 1));
                    links.set(seed >> builder.shift, list);
                }
            }
            None => {
                for seed in seeds {
                    let others: Vec<u32> = seeds.iter().copied().filter(|id| id != seed).collect();
                    links.set(seed >> builder.shift, &builder.pruned(*seed, &others));
                }
            }
        }
        let is_seed: SlotSet = seeds.iter().copied().map(Slot).collect();
        let mut order: Vec<u32> = members
            .iter()
            .copied()
            .filter(|id| !is_seed.contains(Slot(*id)))
            .collect();
        let seed = self.options.seed;
        order.sort_by_cached_key(|id| mix(u64::from(*id) ^ seed));
        let code = |vertex: u32| self.codes.row(Slot(vertex));
        let entry = |vertex: u32| self.descend(code(vertex), above, number + 1);
        let landmarks: &[u32] = if number == 0 { &self.landmarks } else { &[] };
        builder.link_all(&mut links, seeds.len(), landmarks, &entry, &mut |_| Ok(()))?;
        let entry = |vertex: u32| self.nearest_of(code(vertex), entry(vertex), landmarks);
        builder.link_all(&mut links, seeds.len(), &order, &entry, report)?;
        builder.link_all(&mut links, members.len(), seeds, &entry, report)?;
        let mut links = builder.trimmed(&links, members);
        builder.lead_to_all(&mut links, members);
        if let Some(root) = seeds.first() {
            builder.connect(&mut links, *root, members, &mut Lists::new());
        }
        Ok(links)
    }

    fn builder<'a>(&'a self, rows: &'a VectorRows, number: usize) -> Builder<'a> {
        Builder {
            rows,
            codes: &self.codes,
            shift: shift_of(number),
            vertices: self.vertices as usize,
            rule: Rule {
                degree: self.options.degree,
                spread: if self.has_squares() {
                    self.options.spread * self.options.spread
                } else {
                    self.options.spread
                },
                fills: self.options.layout == Layout::Fast,
            },
            width: self.options.build_candidates,
            without: None,
        }
    }

    /// Whether distances of codes are squares of what the metric measures.
    fn has_squares(&self) -> bool {
        !matches!(
            self.metric,
            Metric::Manhattan | Metric::Chebyshev | Metric::Hamming | Metric::Jaccard
        )
    }

    /// Where a search of the finest level begins.
    fn entry(&self, query: &[Line]) -> u32 {
        let above = self.levels.get(1..).unwrap_or_default();
        self.nearest_of(query, self.descend(query, above, 1), &self.landmarks)
    }

    /// Where else a search of the finest level begins that keeps so many candidates: a descent ends in the wrong one of
    /// several groups now and then, and who keeps many can afford more than one.
    fn other_entries(&self, query: &[Line], effort: usize, scratch: &mut Scratch) -> Vec<u32> {
        let width = effort / ENTRY_SHARE;
        if width < 2 || self.levels.len() < 2 {
            return Vec::new();
        }
        let mut found: Vec<u32> = self.tops.as_ref().clone();
        for (number, links) in self.levels.iter().enumerate().skip(1).rev() {
            let level = Level {
                links,
                shift: shift_of(number),
                codes: &self.codes,
                vertices: self.vertices as usize,
            };
            level.search(query, &found, width, scratch);
            found = scratch.beam.iter().map(|(_, id)| id).collect();
        }
        found
    }

    /// The nearest of one vertex and others.
    fn nearest_of(&self, query: &[Line], one: u32, others: &[u32]) -> u32 {
        if others.is_empty() {
            return one;
        }
        let distance = |id: u32| self.codes.distance(query, self.codes.row(Slot(id)));
        let all = others.iter().copied().chain([one]);
        all.min_by_key(|id| (distance(*id), *id)).unwrap_or(one)
    }

    /// Where a search on the level below `levels` begins: the result of a descent through these, of which the
    /// first is the level of this number.
    fn descend(&self, query: &[Line], levels: &[Links], number: usize) -> u32 {
        let nearest = self
            .tops
            .iter()
            .map(|top| (self.codes.distance(query, self.codes.row(Slot(*top))), *top))
            .min();
        let mut entry = nearest.map_or(0, |(_, top)| top);
        for (i, links) in levels.iter().enumerate().rev() {
            let level = Level {
                links,
                shift: shift_of(number + i),
                codes: &self.codes,
                vertices: self.vertices as usize,
            };
            entry = level.descend(query, entry);
        }
        entry
    }
}

/// A vertex of this level has its list at its slot over two to the power of this.
#[expect(clippy::cast_possible_truncation, reason = "a handful of levels")]
fn shift_of(number: usize) -> u32 {
    number as u32 * LEVEL_SHIFT
}

/// Whether a vertex is of a level: one of each 32 slots is of the first, one of each 32 of these of the second, and
/// so on.
///
/// Which one is as good as random, for slots may follow a pattern: of vectors that come from some sources in turn,
/// every 32nd may be of the same few.
fn is_of_level(vertex: u32, number: usize) -> bool {
    (0..number).all(|below| {
        let place = |number| vertex.checked_shr(shift_of(number)).unwrap_or(0);
        let (own, group) = (place(below), place(below + 1));
        let chosen = mix(u64::from(group) << u32::BITS | u64::from(shift_of(below)));
        u64::from(own) & GROUP_MASK == chosen & GROUP_MASK
    })
}

/// Bits that depend on every bit of a number (the finaliser of Steele et al., OOPSLA 2014).
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl GraphIndex {
    /// Bytes of each part.
    pub(crate) fn bytes(&self) -> [(&'static str, usize); 4] {
        let links = |levels: Option<&[Links]>| {
            let levels = levels.unwrap_or_default().iter();
            levels.map(Links::bytes).sum()
        };
        [
            ("codes", self.codes.bytes()),
            ("links", links(self.levels.get(..1))),
            ("coarser levels", links(self.levels.get(1..))),
            ("bundles", self.bundles.as_ref().map_or(0, Bundles::bytes)),
        ]
    }
}
