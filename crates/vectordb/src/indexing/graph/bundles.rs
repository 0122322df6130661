//! [`Bundles`]: with each vertex, codes of one bit a dimension for all its neighbours, which one pass estimates the
//! distances of (Gou et al., SIGMOD 2025).

use std::sync::Arc;

use common::{Result, Slot};

use super::links::Links;
use super::options::GraphOptions;
use crate::core::image::{Image, StoredParts, corrupt};
use crate::core::{LINE_BYTES, Line, Rows, VectorRows};
use crate::indexing::codes::Codes;
use crate::indexing::quantize::rabitq::{block_lines, clear, encode, get, set, unset};
use crate::indexing::quantize::{BLOCK, Estimates, Position, Query, Rank, Rotation};

/// Bits of a code where vectors have fewer dimensions: at 64 bits the estimates are too coarse to tell near neighbours
/// of a group from its other members.
const BITS_LEAST: usize = 256;

/// Codes of the neighbours of each vertex, relative to the vertex, in blocks of 32.
#[derive(Debug, Clone)]
pub(super) struct Bundles {
    frame: Arc<Frame>,
    /// By vertex: as many blocks as the neighbours need.
    blocks: Rows,
}

/// How vectors lie before they are coded: about their mean, in the steps of the byte codes, and turned at random.
#[derive(Debug)]
struct Frame {
    rotation: Rotation,
    mean: Vec<f32>,
    /// Steps in one unit: distances are those of the byte codes, and numbers neither tiny nor huge.
    per_unit: f32,
}

impl Frame {
    fn place(&self, vector: &[f32], out: &mut [f32]) {
        let places = vector.iter().zip(&self.mean);
        let centred: Vec<f32> = places.map(|(v, m)| (v - m) * self.per_unit).collect();
        self.rotation.apply(&centred, out);
    }
}

impl Bundles {
    /// No codes yet, for vectors like those of a table.
    pub(super) fn new(rows: &VectorRows, codes: &Codes, degree: usize, seed: u64) -> Self {
        Self::of(mean(rows), codes, degree, BITS_LEAST, seed)
    }

    /// No codes yet, of so many bits or more, for vectors about a mean.
    fn of(mean: Vec<f32>, codes: &Codes, degree: usize, bits_least: usize, seed: u64) -> Self {
        let rotation = Rotation::into_at_least(mean.len(), bits_least, seed);
        let lines = degree / BLOCK * block_lines(rotation.padded());
        Self {
            blocks: Rows::new(lines * LINE_BYTES),
            frame: Arc::new(Frame {
                rotation,
                mean,
                per_unit: codes.per_unit(),
            }),
        }
    }

    /// Bits of a code.
    pub(super) fn bits(&self) -> usize {
        self.frame.rotation.padded()
    }

    pub(super) fn save(&self, image: &mut Image) {
        image.put("bundles/blocks", self.blocks.lines());
        image.put_values("bundles/mean", &self.frame.mean);
    }

    /// The bundles of so many vertices, with codes of so many bits; one a dimension in files of before it was kept.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] for parts that do not belong together.
    pub(super) fn load(
        dimension: usize,
        codes: &Codes,
        options: &GraphOptions,
        bits: Option<usize>,
        count: usize,
        parts: &mut StoredParts,
    ) -> Result<Self> {
        let bits = bits.unwrap_or(1);
        if bits > BITS_LEAST.max(dimension.next_multiple_of(64)) {
            return Err(corrupt("the codes of neighbours have more bits than any"));
        }
        let mean = parts.values("bundles/mean", dimension)?;
        let fresh = Self::of(mean, codes, options.degree, bits, options.seed);
        let blocks = parts.rows("bundles/blocks", &fresh.blocks, count)?;
        Ok(Self { blocks, ..fresh })
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.bytes()
    }

    /// The query that blocks are compared with.
    pub(super) fn query(&self, vector: &[f32], query: &mut Query) {
        let mut placed = vec![0.0; self.bits()];
        self.frame.place(vector, &mut placed);
        query.fill(&placed);
    }

    /// The blocks of a vertex.
    #[inline]
    pub(super) fn lines(&self, vertex: u32) -> &[Line] {
        self.blocks.row(Slot(vertex)).unwrap_or_default()
    }

    /// The blocks of a vertex, one after another.
    #[inline]
    pub(super) fn blocks(&self, vertex: u32) -> impl Iterator<Item = &[Line]> {
        self.lines(vertex).chunks_exact(block_lines(self.bits()))
    }

    /// The blocks that a vertex with these neighbours has.
    pub(super) fn coded(
        &self,
        rows: &VectorRows,
        codes: &Codes,
        links: &Links,
        vertex: u32,
    ) -> Vec<Line> {
        let mut written = vec![Line::default(); self.blocks.stride()];
        let padded = self.bits();
        let mut centre = vec![0.0; padded];
        let mut placed = vec![0.0; padded];
        let mut bits = vec![0; padded / 64];
        let mut vector = vec![0.0; rows.dimension()];
        for block in written.chunks_exact_mut(block_lines(padded)) {
            clear(block);
        }
        if !rows.decode(Slot(vertex), &mut vector) {
            return written;
        }
        self.frame.place(&vector, &mut centre);
        let lift = codes.lift_squared(&vector);
        let blocks = written.chunks_exact_mut(block_lines(padded));
        for (block, neighbours) in blocks.zip(links.of(vertex).chunks(BLOCK)) {
            for (lane, neighbour) in neighbours.iter().enumerate() {
                if rows.decode(Slot(*neighbour), &mut vector) {
                    self.frame.place(&vector, &mut placed);
                    let mut factors = encode(&placed, &centre, Rank::Squared, &mut bits);
                    // A query has nothing of the added dimensions: only their squares tell in its distance.
                    factors.add += codes.lift_squared(&vector) - lift;
                    set(block, lane, &bits, factors);
                }
            }
        }
        written
    }

    /// Brings the blocks of a vertex up to its neighbours, from those it had before: codes of neighbours that stay
    /// are moved to their places, others are made.
    pub(super) fn follow(
        &mut self,
        rows: &VectorRows,
        codes: &Codes,
        links: &Links,
        vertex: u32,
        before: &[u32],
    ) {
        let padded = self.bits();
        let old = self.lines(vertex).to_vec();
        let old_blocks = |lane: usize| old.chunks_exact(block_lines(padded)).nth(lane / BLOCK);
        let mut vector = vec![0.0; rows.dimension()];
        let mut bits = vec![0; padded / 64];
        let mut placed = vec![0.0; padded];
        let mut own: Option<(Vec<f32>, f32)> = None;
        let frame = Arc::clone(&self.frame);
        let blocks = self.blocks.row_mut(Slot(vertex));
        let mut blocks = blocks.chunks_exact_mut(block_lines(padded));
        let now = links.of(vertex);
        for first in (0..links.degree()).step_by(BLOCK) {
            let Some(block) = blocks.next() else { break };
            for lane in 0..BLOCK {
                let at = first + lane;
                let (new, old) = (now.get(at), before.get(at));
                let Some(neighbour) = new else {
                    unset(block, lane);
                    continue;
                };
                if new == old {
                    continue;
                }
                let known = before.iter().position(|id| id == neighbour);
                if let Some((known, old)) = known.and_then(|at| Some((at, old_blocks(at)?))) {
                    let factors = get(old, known % BLOCK, &mut bits);
                    set(block, lane, &bits, factors);
                    continue;
                }
                let (centre, lift) = own.get_or_insert_with(|| {
                    let mut centre = vec![0.0; padded];
                    rows.decode(Slot(vertex), &mut vector);
                    frame.place(&vector, &mut centre);
                    (centre, codes.lift_squared(&vector))
                });
                if rows.decode(Slot(*neighbour), &mut vector) {
                    frame.place(&vector, &mut placed);
                    let mut factors = encode(&placed, centre, Rank::Squared, &mut bits);
                    factors.add += codes.lift_squared(&vector) - *lift;
                    set(block, lane, &bits, factors);
                } else {
                    unset(block, lane);
                }
            }
        }
    }

    pub(super) fn set(&mut self, vertex: u32, lines: &[Line]) {
        self.blocks.row_mut(Slot(vertex)).copy_from_slice(lines);
    }
}

/// Estimates of one block: each neighbour that may be nearer than the bound, with its estimated distance.
#[inline]
pub(super) fn estimate<'a>(
    query: &Query,
    block: &[Line],
    neighbours: &'a [u32],
    distance: f32,
    bound: f32,
    estimates: &'a mut Estimates,
) -> impl Iterator<Item = (f32, u32)> + 'a {
    let mut mask = query.estimate(block, Position::squared(distance), bound, estimates);
    let estimates = &*estimates;
    std::iter::from_fn(move || {
        loop {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask.checked_sub(1)?;
            let (Some(neighbour), Some(distance)) =
                (neighbours.get(lane), estimates.distance.get(lane))
            else {
                continue;
            };
            return Some((*distance, *neighbour));
        }
    })
}

/// The mean of a table's vectors.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a mean of 32-bit floats is one"
)]
fn mean(rows: &VectorRows) -> Vec<f32> {
    let mut sums = vec![0.0_f64; rows.dimension()];
    rows.for_each(|_, row| {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    });
    let count = rows.len().max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}
