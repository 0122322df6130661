//! Which bytes a reader takes for a zlib stream.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::optimization::compression::zlib;
use common::{Error, ErrorKind, Result};

use super::Room;

/// What is inflated of bytes at most to learn whether they begin with a stream.
const LOOKED_AT_MAX: usize = 64 << 10;

/// Whether a reader that takes what begins with a stream for that stream could be misled by these bytes.
pub(super) fn starts_as_stream(data: &[u8]) -> bool {
    zlib::looks_packed(data)
        && match zlib::decompress(data, LOOKED_AT_MAX) {
            Ok(_) => true,
            // So much can be inflated that the rest is likely to be sound.
            Err(error) => error.kind() == ErrorKind::LimitExceeded,
        }
}

/// What a stream holds; none if the data are not one stream from end to end.
pub(super) fn inflated(data: &[u8], room: &mut Room) -> Result<Option<Vec<u8>>> {
    if !zlib::looks_packed(data) {
        return Ok(None);
    }
    let inflated = match zlib::decompress(data, room.0) {
        Ok(inflated) => inflated,
        Err(error) if error.kind() == ErrorKind::LimitExceeded => {
            return Err(Error::limit_exceeded(
                "texts and byte strings inflate to more than the limit (option `total_bytes_max`)",
            ));
        }
        Err(_) => return Ok(None),
    };
    // A stream ends with the checksum of what it holds: other bytes behind it do not.
    if !data.ends_with(&zlib::adler32(&inflated).to_be_bytes()) {
        return Ok(None);
    }
    room.0 = room.0.saturating_sub(inflated.len());
    Ok(Some(inflated))
}
