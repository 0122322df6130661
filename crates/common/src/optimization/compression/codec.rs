//! [`Codec`], and the one that changes nothing.

use super::{TAG_CUSTOM_MIN, TAG_NONE};
use crate::error::{Error, Result};

/// Implemented outside this crate when bytes have a shape that the built-in codecs do not see.
///
/// A codec is told to write into a vector that already holds something: it appends, and touches nothing before.
/// It holds no state between calls and is called from several threads. `testkit::contract::codec` checks the
/// laws that the frame relies on.
pub trait Codec: Send + Sync {
    /// The number that stands in every frame, for ever: 128 to 255. Numbers below are the built-in codecs'.
    fn tag(&self) -> u8;

    /// A short name for people, the same for ever.
    fn name(&self) -> &str;

    /// Appends the packed form of `raw` to `out`. Any bytes can be packed, also none.
    ///
    /// # Errors
    /// A codec may refuse bytes that are not of its shape with [`crate::ErrorKind::Invalid`].
    fn compress(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// Appends the raw form of `packed` to `out`: at most `limit` bytes.
    ///
    /// `packed` comes from a stranger. `limit` is not a promise: a codec that sets memory aside does so in
    /// proportion to what it received or has already written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when `packed` cannot be its output; [`crate::ErrorKind::LimitExceeded`] when the
    /// raw form is longer than `limit`.
    fn decompress(&self, packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<()>;
}

/// Copies.
pub(super) struct Stored;

impl Codec for Stored {
    fn tag(&self) -> u8 {
        TAG_NONE
    }

    fn name(&self) -> &'static str {
        "none"
    }

    fn compress(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(raw);
        Ok(())
    }

    fn decompress(&self, packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<()> {
        if packed.len() > limit {
            return Err(too_long(self.name(), limit));
        }
        out.extend_from_slice(packed);
        Ok(())
    }
}

pub(super) fn check_custom(codec: &dyn Codec) -> Result<()> {
    if codec.tag() < TAG_CUSTOM_MIN {
        return Err(Error::invalid(format!(
            "codec `{}` has tag {}: tags below {TAG_CUSTOM_MIN} belong to the built-in codecs",
            codec.name(),
            codec.tag()
        )));
    }
    Ok(())
}

#[cold]
pub(super) fn too_long(codec: &str, limit: usize) -> Error {
    Error::limit_exceeded(format!(
        "{codec}: the data inflates to more than {limit} bytes"
    ))
}

#[cold]
#[cfg_attr(
    not(any(feature = "lz4", feature = "zstd")),
    expect(dead_code, reason = "only those two are left out of a build")
)]
pub(super) fn corrupt(codec: &str, why: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("{codec}: {why}"))
}

#[cold]
#[cfg_attr(
    all(feature = "lz4", feature = "zstd"),
    expect(dead_code, reason = "this build has both")
)]
pub(super) fn missing(feature: &str) -> Error {
    Error::unsupported(format!(
        "this build has no `{feature}`: compile with the cargo feature `{feature}`"
    ))
}
