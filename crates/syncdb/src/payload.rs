//! Rows of one table in few bytes: by column, each packed by a codec that is chosen by looking at its values.
//!
//! [`pack`] makes a *block* of [`Column`]s, [`Block::open`] reads one. `docs/payload-format.md` specifies the bytes.
//! Whatever goes in comes out, bit for bit: NaNs with their payloads, `-0.0`, integers at both ends, texts of any
//! length, any mixture of types in a column.
//!
//! What makes blocks small, in this order: times, numbers and codes become sequences of integers, which are stored as
//! steps, in runs, in as many bits as they need, or with a statistical model (pco); floats that are decimal fractions
//! become integers; texts that repeat become codes; numbers are taken out of texts such as `user-000123`; identifiers
//! lose the bits that are the same in all; the rest is packed with Zstandard. Blocks of a few rows are packed with a
//! [`SharedDictionary`], which both sides have.
//!
//! A block answers questions while it is packed: [`Block::statistics`] bounds each column, and [`Block::filter`] finds
//! the rows that a filter means by looking at distinct values and numbers of the columns it names, and at no others.

mod block;
mod coder;
mod column;
mod filter;
mod floats;
mod ints;
mod model;
mod modelled;
mod nested;
mod numbers;
mod shared;
mod statistics;
mod stream;
mod texts;
mod tokens;
pub mod typed;
mod uuids;

use std::fmt;
use std::str::FromStr;

use common::optimization::compression::Compression;
use common::{Error, Result};
use serde::{Deserialize, Serialize};

pub(crate) use block::pack_for_frame;
pub use block::{Block, dictionary_of, pack, unpack_all};
pub use column::{ByteStrings, Column, Data, Texts};
pub use shared::{DictionaryId, SHARED_BYTES_MAX, Shared, SharedDictionary};
pub use statistics::{Bounds, Statistics};

use stream::corrupt;

/// How hard packing tries. Every level reads back the same, and reading takes about as long.
///
/// `docs/benchmarks.md` has bytes and rates of each.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Columns in as few bits as their range needs, and no compression: for a link faster than the processor.
    None,
    /// Everything but what takes long: for live changes.
    Fast,
    /// What pays for rows that are packed once and sent to many.
    #[default]
    Balanced,
    /// As small as it gets, at a fiftieth of the speed: for rows that are stored, or links that cost money.
    Small,
}

impl Level {
    /// All levels, the fastest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Fast, Self::Balanced, Self::Small];

    /// The level's name, as flags and options write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fast => "fast",
            Self::Balanced => "balanced",
            Self::Small => "small",
        }
    }

    const fn zstd_level(self) -> Option<i32> {
        match self {
            Self::None => None,
            Self::Fast => Some(3),
            Self::Balanced => Some(9),
            Self::Small => Some(19),
        }
    }

    /// How a frame is compressed that carries blocks of this level.
    pub(crate) const fn compression(self) -> Compression {
        match self.zstd_level() {
            None => Compression::None,
            Some(level) => Compression::Zstd {
                level,
                dictionary: None,
            },
        }
    }

    const fn pco_level(self) -> usize {
        match self {
            Self::None | Self::Fast => 5,
            Self::Balanced => 8,
            Self::Small => 10,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|level| level.name() == text);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} is no level: expected none, fast, balanced or small"
            ))
        })
    }
}
