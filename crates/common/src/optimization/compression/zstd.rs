//! Zstandard, by the `zstd` crate (the C library), as one frame of its own format.

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
use super::dictionary::Dictionary;
use crate::error::Result;

#[cfg(not(feature = "zstd"))]
pub(super) fn codec(_level: i32, _dictionary: Option<Arc<Dictionary>>) -> Result<Arc<dyn Codec>> {
    Err(super::codec::missing("zstd"))
}

#[cfg(feature = "zstd")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "a build without the feature answers with an error"
)]
pub(super) fn codec(level: i32, dictionary: Option<Arc<Dictionary>>) -> Result<Arc<dyn Codec>> {
    Ok(Arc::new(with::Zstd { level, dictionary }))
}

#[cfg(feature = "zstd")]
mod with {
    use std::cell::RefCell;
    use std::sync::Arc;

    use zstd::zstd_safe::{
        CCtx, DCtx, compress_bound, get_error_name, is_error_kind, zstd_sys::ZSTD_ErrorCode,
    };

    use super::super::codec::{Codec, corrupt, too_long};
    use super::super::dictionary::Dictionary;
    use super::super::{SLACK_BYTES, TAG_ZSTD};
    use crate::error::{Error, Result};

    const NAME: &str = "zstd";
    /// A context is kept for the next call on this thread when it holds less; high levels take up to 700 MB.
    const KEPT_CONTEXT_BYTES_MAX: usize = 4 << 20;

    thread_local! {
        // Making a context costs more than packing a small message.
        static PACKER: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
        static UNPACKER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    }

    pub(in super::super) struct Zstd {
        pub(in super::super) level: i32,
        pub(in super::super) dictionary: Option<Arc<Dictionary>>,
    }

    impl Codec for Zstd {
        fn tag(&self) -> u8 {
            TAG_ZSTD
        }

        fn name(&self) -> &'static str {
            NAME
        }

        fn compress(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
            let mut context = PACKER
                .with_borrow_mut(Option::take)
                .or_else(CCtx::try_create)
                .ok_or_else(no_memory)?;
            let begin = out.len();
            out.resize(begin + compress_bound(raw.len()), 0);
            let room = out.get_mut(begin..).unwrap_or_default();
            let written = match &self.dictionary {
                None => context.compress(room, raw, self.level),
                Some(dictionary) => {
                    let prepared = dictionary.encoder(self.level)?;
                    context.compress_using_cdict(room, raw, prepared.as_cdict())
                }
            };
            if context.sizeof() <= KEPT_CONTEXT_BYTES_MAX {
                PACKER.set(Some(context));
            }
            let written = written.map_err(|code| {
                Error::invalid(format!("zstd cannot pack: {}", get_error_name(code)))
            })?;
            out.truncate(begin + written);
            Ok(())
        }

        fn decompress(&self, packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<()> {
            let mut context = UNPACKER
                .with_borrow_mut(Option::take)
                .or_else(DCtx::try_create)
                .ok_or_else(no_memory)?;
            let begin = out.len();
            // In one piece, because the streaming mode sets aside a window as large as a stranger declares. The
            // room grows eightfold only after it was really filled.
            let mut room = limit.min(packed.len().saturating_add(SLACK_BYTES));
            let result = loop {
                out.resize(begin + room, 0);
                let space = out.get_mut(begin..).unwrap_or_default();
                let written = match &self.dictionary {
                    None => context.decompress(space, packed),
                    Some(dictionary) => {
                        context.decompress_using_ddict(space, packed, dictionary.decoder())
                    }
                };
                match written {
                    Ok(written) => {
                        out.truncate(begin + written);
                        break Ok(());
                    }
                    Err(code)
                        if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) =>
                    {
                        if room == limit {
                            break Err(too_long(NAME, limit));
                        }
                        room = limit.min(room.saturating_mul(8));
                    }
                    Err(code) => break Err(corrupt(NAME, get_error_name(code))),
                }
            };
            UNPACKER.set(Some(context));
            result
        }
    }

    fn no_memory() -> Error {
        Error::new(crate::ErrorKind::Io, "zstd gets no memory for a context")
    }
}
