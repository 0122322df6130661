//! Codecs (bytes to bytes), the frame that carries their output, and building blocks for integers.
//!
//! [`Compression`] is what a caller chooses; [`Compression::encode`] writes a frame that says how it was made;
//! [`CodecRegistry::decode`] reads any frame whose codec and dictionary it knows. A stranger adds a codec by
//! implementing [`Codec`], giving it to [`Compression::Custom`] on one side and
//! [registering](CodecRegistry::register) it on the other.
//!
//! # Frame
//!
//! | bytes | what |
//! |---|---|
//! | 1 | tag of the codec: 0 none, 1 LZ4, 2 Zstandard, 128 to 255 strangers' |
//! | 1 | flags: bit 0 set when a dictionary id follows; the others are 0 |
//! | 0 or 4 | id of the dictionary, little-endian |
//! | 1 to 10 | length of the raw bytes, LEB128 in its shortest form |
//! | 4 | CRC-32 (IEEE) of the raw bytes, little-endian |
//! | rest | what the codec wrote |
//!
//! The frame does not hold its own length: what carries it does. A codec's output that is not smaller than
//! the raw bytes is thrown away and the frame stores the raw bytes with tag 0, so a frame never
//! exceeds them by more than [`FRAME_OVERHEAD_MAX`].
//!
//! # Hostile frames
//!
//! The declared length is checked against [`Limits::total_bytes_max`](crate::Limits::total_bytes_max) first, and is
//! a bound, never an order to allocate: at most the received length and 64 KiB are set aside before a codec has
//! produced anything; from there on memory grows by a constant factor of what was really produced.

pub mod integers;

mod codec;
mod dictionary;
mod frame;
mod lz4;
mod registry;
#[cfg(feature = "zlib")]
pub mod zlib;
mod zstd;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::utils::validation::check_in_range;

pub use codec::Codec;
pub use dictionary::{DICTIONARY_BYTES_MAX, Dictionary, train_dictionary};
pub use frame::{FRAME_OVERHEAD_MAX, FrameHeader};
pub use registry::CodecRegistry;

/// Tag of [`Compression::None`].
pub const TAG_NONE: u8 = 0;
/// Tag of [`Compression::Lz4`].
pub const TAG_LZ4: u8 = 1;
/// Tag of [`Compression::Zstd`].
pub const TAG_ZSTD: u8 = 2;
/// Lowest tag that a stranger's codec may have.
pub const TAG_CUSTOM_MIN: u8 = 128;
/// Lowest and highest Zstandard level: negative levels are faster than 1 and pack less.
pub const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = -7..=22;
/// The Zstandard level when nobody chose one.
pub const ZSTD_LEVEL_DEFAULT: i32 = 3;

/// Bytes set aside before a codec has shown that it produces more, beyond the received length.
pub(crate) const SLACK_BYTES: usize = 64 << 10;

/// How bytes are made smaller. The tags are stable: they stand in files and on the wire.
///
/// As text, for flags and options: `none`, `lz4`, `zstd`, `zstd:19`.
///
/// ```
/// use common::Limits;
/// use common::optimization::compression::{CodecRegistry, Compression};
/// let raw = b"the same again, the same again, the same again".repeat(100);
/// let frame = Compression::None.encode(&raw).unwrap();
/// let known = CodecRegistry::default();
/// assert_eq!(known.decode(&frame, &Limits::default()).unwrap(), raw);
/// ```
#[derive(Clone, Default)]
pub enum Compression {
    /// The bytes as they are. Tag 0.
    #[default]
    None,
    /// LZ4 blocks of 64 KiB: fast both ways, packs little. Tag 1, feature `lz4`.
    Lz4,
    /// Zstandard. Tag 2, feature `zstd`.
    Zstd {
        /// How hard it tries, -7 to 22; 3 is the usual one.
        level: i32,
        /// Bytes that both sides know and that resemble the data; pays below about 100 KB.
        dictionary: Option<Arc<Dictionary>>,
    },
    /// A stranger's codec. Its tag is 128 or more.
    Custom(Arc<dyn Codec>),
}

impl Compression {
    /// Zstandard at its usual level, without a dictionary.
    pub const fn zstd() -> Self {
        Self::Zstd {
            level: ZSTD_LEVEL_DEFAULT,
            dictionary: None,
        }
    }

    /// The stable number of the codec.
    pub fn tag(&self) -> u8 {
        match self {
            Self::None => TAG_NONE,
            Self::Lz4 => TAG_LZ4,
            Self::Zstd { .. } => TAG_ZSTD,
            Self::Custom(codec) => codec.tag(),
        }
    }

    /// The codec's name.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd { .. } => "zstd",
            Self::Custom(codec) => codec.name(),
        }
    }

    /// Whether this build can do it: LZ4 and Zstandard are cargo features.
    pub fn is_available(&self) -> bool {
        self.codec().is_ok()
    }

    /// The codec behind the choice, without the frame around its output.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] when the feature is not compiled in; [`crate::ErrorKind::Invalid`] when the
    /// Zstandard level is out of range, or a stranger's tag is below 128.
    pub fn codec(&self) -> Result<Arc<dyn Codec>> {
        match self {
            Self::None => Ok(Arc::new(codec::Stored)),
            Self::Lz4 => lz4::codec(),
            Self::Zstd { level, dictionary } => {
                check_in_range("zstd level", *level, ZSTD_LEVELS)?;
                zstd::codec(*level, dictionary.clone())
            }
            Self::Custom(codec) => {
                codec::check_custom(&**codec)?;
                Ok(codec.clone())
            }
        }
    }

    /// Packs `raw` into a frame.
    ///
    /// # Errors
    /// As [`Compression::codec`], and whatever a stranger's codec refuses.
    pub fn encode(&self, raw: &[u8]) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        self.encode_into(raw, &mut frame)?;
        Ok(frame)
    }

    /// Appends the frame of `raw` to `out`; on an error, `out` is as it was.
    ///
    /// # Errors
    /// As [`Compression::encode`].
    pub fn encode_into(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let begin = out.len();
        let written = frame::write(self, raw, out);
        if written.is_err() {
            out.truncate(begin);
        }
        written
    }

    /// The dictionary that a reader needs to have.
    pub fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        match self {
            Self::Zstd { dictionary, .. } => dictionary.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.dictionary() {
            Some(dictionary) => write!(f, " with {dictionary:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zstd { level, .. } if *level != ZSTD_LEVEL_DEFAULT => write!(f, "zstd:{level}"),
            other => f.write_str(other.name()),
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "lz4" => Ok(Self::Lz4),
            None if text == "zstd" => Ok(Self::zstd()),
            Some(("zstd", level)) => {
                let level = level.parse().map_err(|cause: std::num::ParseIntError| {
                    Error::invalid(format!("zstd level {level:?} is not a whole number"))
                        .caused_by(cause)
                })?;
                check_in_range("zstd level", level, ZSTD_LEVELS)?;
                Ok(Self::Zstd {
                    level,
                    dictionary: None,
                })
            }
            _ => Err(Error::invalid(format!(
                "{text:?} is no compression: expected none, lz4, zstd or zstd:LEVEL"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_every_built_in_choice() {
        for text in ["none", "lz4", "zstd", "zstd:-7", "zstd:22"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        for text in ["", "zstd:", "zstd:23", "zstd:-8", "zstd:x", "lz4:1", "gzip"] {
            assert!(text.parse::<Compression>().is_err(), "{text:?}");
        }
        let beyond = Compression::Zstd {
            level: 23,
            dictionary: None,
        };
        assert_eq!(
            beyond.codec().err().unwrap().kind(),
            crate::ErrorKind::Invalid
        );
    }
}
