//! LZ4 in blocks, by `lz4_flex` in its mode without unsafe code.
//!
//! The payload is a sequence of blocks, each for 64 KiB of raw bytes (the last for the rest): the packed length as
//! LEB128, then one LZ4 block. Blocks of fixed size, and not the LZ4 frame format, because a reader then never
//! has to set aside more than one block on the word of a stranger, and small messages are spared 15 bytes.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::sync::Arc;

use super::codec::Codec;
use crate::error::Result;

#[cfg(not(feature = "lz4"))]
pub(super) fn codec() -> Result<Arc<dyn Codec>> {
    Err(super::codec::missing("lz4"))
}

#[cfg(feature = "lz4")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "a build without the feature answers with an error"
)]
pub(super) fn codec() -> Result<Arc<dyn Codec>> {
    Ok(Arc::new(with::Lz4))
}

#[cfg(feature = "lz4")]
mod with {
    use lz4_flex::block::{
        DecompressError, compress_into, decompress_into, get_maximum_output_size,
    };

    use super::super::codec::{Codec, corrupt, too_long};
    use super::super::integers::{read_varint, write_varint};
    use super::super::{SLACK_BYTES, TAG_LZ4};
    use crate::error::{Error, Result};

    const BLOCK_BYTES: usize = SLACK_BYTES;
    const NAME: &str = "lz4";

    pub(in super::super) struct Lz4;

    impl Codec for Lz4 {
        fn tag(&self) -> u8 {
            TAG_LZ4
        }

        fn name(&self) -> &'static str {
            NAME
        }

        fn compress(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
            let mut block = vec![0; get_maximum_output_size(raw.len().min(BLOCK_BYTES))];
            for chunk in raw.chunks(BLOCK_BYTES) {
                let written = compress_into(chunk, &mut block).map_err(|cause| {
                    Error::invalid("lz4 cannot pack this block").caused_by(cause)
                })?;
                write_varint(written as u64, out);
                out.extend_from_slice(block.get(..written).unwrap_or_default());
            }
            Ok(())
        }

        fn decompress(&self, packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<()> {
            let begin = out.len();
            let mut rest = packed;
            let mut last_was_full = true;
            while !rest.is_empty() {
                if !last_was_full {
                    return Err(corrupt(NAME, "a block follows one that is not full"));
                }
                let length = read_varint(&mut rest)?;
                let Some((block, after)) = usize::try_from(length)
                    .ok()
                    .and_then(|length| rest.split_at_checked(length))
                else {
                    return Err(corrupt(
                        NAME,
                        format_args!(
                            "a block of {length} bytes is declared, {} are left",
                            rest.len()
                        ),
                    ));
                };
                rest = after;
                let end = out.len();
                let room = (limit - (end - begin)).min(BLOCK_BYTES);
                out.resize(end + room, 0);
                let written = decompress_into(block, out.get_mut(end..).unwrap_or_default())
                    .map_err(|cause| match cause {
                        DecompressError::OutputTooSmall { .. } if room < BLOCK_BYTES => {
                            too_long(NAME, limit)
                        }
                        cause => corrupt(NAME, "a block does not unpack").caused_by(cause),
                    })?;
                out.truncate(end + written);
                last_was_full = written == BLOCK_BYTES;
            }
            Ok(())
        }
    }
}
