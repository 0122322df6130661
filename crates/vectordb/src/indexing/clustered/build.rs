//! Building an index of all vectors of a table.

use std::sync::Arc;

use common::{Result, Slot};

use super::centres::Centres;
use super::frame::Frame;
use super::kmeans;
use super::lists::{Code, Lists};
use super::panels::{BATCH, Panels};
use super::parallel::{self, Account};
use super::{ClusteredIndex, ClusteredOptions, Shared, rank_of};
use crate::core::VectorRows;
use crate::core::distance::Metric;
use crate::indexing::progress::Progress;
use crate::indexing::quantize::Random;

/// Vectors that a thread takes at a time.
const PART: usize = 16 * BATCH;

/// The list of a vector, and its code.
type Coded = (u32, Option<Code>);

impl ClusteredIndex {
    /// Builds an index of all vectors of a table. The same options and rows give the same index, whatever the number of
    /// threads; on another kind of machine, last digits may differ.
    ///
    /// Cost: for `n` vectors of `d` dimensions and `c` clusters, about `(n + 320 c) c d` multiplications, and the memory
    /// of `40 c` vectors.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for options out of bounds, [`common::ErrorKind::Unsupported`] for a metric that
    /// is no matter of inner products, [`common::ErrorKind::Closed`] when `progress` cancels.
    pub(crate) fn build(
        options: &ClusteredOptions,
        metric: Metric,
        rows: &VectorRows,
        progress: Progress<'_>,
    ) -> Result<Self> {
        options.validate()?;
        let rank = rank_of(metric)?;
        let threads = parallel::threads(options.threads);
        let slots: Vec<Slot> = rows.slots().collect();
        let clusters = options.clusters_of(slots.len());
        let mut random = Random::new(options.seed);
        let wanted = clusters * kmeans::SAMPLE_PER_CLUSTER;
        let sample: Vec<Slot> = kmeans::draw(slots.len(), wanted, &mut random)
            .into_iter()
            .filter_map(|at| slots.get(at).copied())
            .collect();
        // Progress is that of vectors; a round over the sample counts as many as it has.
        let account = Account::new(progress, slots.len() + kmeans::ROUNDS * sample.len());
        account.advance(0)?;
        let frame = Frame::new(rows, &sample, rank, &mut random);
        let padded = frame.padded();
        let centres = if sample.is_empty() {
            vec![0.0; padded]
        } else {
            let vectors = framed(&frame, rows, &sample, threads)?;
            kmeans::centres(&vectors, padded, clusters, &mut random, threads, &account)?
        };
        let panels = Panels::new(padded, &centres);
        let shared = Shared {
            frame,
            rank,
            bits: options.bits,
            centres: Centres::new(padded, rank, &centres),
        };
        let lists = fill(&shared, &panels, rows, &slots, threads, &account)?;
        Ok(Self {
            shared: Arc::new(shared),
            lists,
        })
    }
}

/// The vectors of some slots in the frame, one after another.
fn framed(frame: &Frame, rows: &VectorRows, slots: &[Slot], threads: usize) -> Result<Vec<f32>> {
    let dimension = frame.padded();
    let mut vectors = vec![0.0; slots.len() * dimension];
    let parts = slots.chunks(PART).zip(vectors.chunks_mut(PART * dimension));
    parallel::for_each(threads, parts, |(slots, vectors)| {
        for (slot, vector) in slots.iter().zip(vectors.chunks_exact_mut(dimension)) {
            frame.apply(&rows.floats(*slot).unwrap_or_default(), vector);
        }
        Ok(())
    })?;
    Ok(vectors)
}

/// Codes all vectors and puts them into their lists, in the order of slots.
fn fill(
    shared: &Shared,
    panels: &Panels,
    rows: &VectorRows,
    slots: &[Slot],
    threads: usize,
    account: &Account<'_>,
) -> Result<Lists> {
    let mut coded: Vec<Coded> = vec![(0, None); slots.len()];
    let parts = slots.chunks(PART).zip(coded.chunks_mut(PART));
    parallel::for_each(threads, parts, |(slots, coded)| {
        let vectors = framed(&shared.frame, rows, slots, 1)?;
        let dimension = shared.frame.padded();
        let mut nearest = vec![0; slots.len()];
        panels.nearest(&vectors, &mut nearest);
        let lists = nearest.into_iter().zip(vectors.chunks_exact(dimension));
        for ((list, vector), coded) in lists.zip(coded) {
            *coded = (list, Some(shared.encode(vector, shared.centres.get(list))));
        }
        account.advance(slots.len())
    })?;
    // List by list, so that the blocks of one lie one after another.
    let mut order: Vec<(u32, usize)> = (0..coded.len())
        .filter_map(|at| Some((coded.get(at)?.0, at)))
        .collect();
    order.sort_unstable();
    let mut lists = Lists::new(shared.frame.padded(), shared.bits);
    for (list, at) in order {
        if let (Some(slot), Some((_, Some(code)))) = (slots.get(at), coded.get(at)) {
            lists.push(list, *slot, code);
        }
    }
    Ok(lists)
}
