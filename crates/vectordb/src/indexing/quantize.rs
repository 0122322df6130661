//! Short codes of vectors, and estimates of distances from them: RaBitQ (Gao & Long, SIGMOD 2024) with FastScan.
//!
//! A vector goes three steps:
//!
//! 1. [`Rotation`] turns it, with its query, in space: distances stay, and every dimension comes to say as much
//!    as any other.
//! 2. [`rabitq::encode`] keeps one bit of each dimension, relative to a centre, and three numbers ([`Factors`]).
//! 3. [`Query::estimate`] reads a block of 32 codes at once and answers 32 distances, each with the least that
//!    the true one is likely to be.
//!
//! Where that is not enough, [`extended`] keeps more bits of each dimension and refines single estimates.
//!
//! Blocks are slices of cache lines ([`block_lines`]) that lie wherever their owner wants them: in the list of a
//! cluster, or beside a vertex of a graph with the codes of its neighbours.

pub(crate) mod extended;
mod fastscan;
pub(crate) mod rabitq;
mod random;
mod rotation;

pub(crate) use extended::Refiner;
pub(crate) use fastscan::{BLOCK, Estimates};
pub(crate) use rabitq::{Factors, Position, Query, Rank, block_lines};
pub(crate) use random::Random;
pub(crate) use rotation::Rotation;
