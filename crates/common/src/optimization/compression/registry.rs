//! [`CodecRegistry`]: the codecs and dictionaries that a reader of frames knows.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::codec::{Codec, check_custom};
use super::dictionary::Dictionary;
use super::frame::FrameHeader;
use super::{Compression, TAG_CUSTOM_MIN, TAG_LZ4, TAG_NONE, TAG_ZSTD};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

/// Reads frames. Knows the built-in codecs from the start; strangers' codecs and dictionaries are added.
///
/// ```
/// use common::{ErrorKind, Limits};
/// use common::optimization::compression::CodecRegistry;
/// // Tag 200 is some stranger's codec that nobody registered here.
/// let error = CodecRegistry::default().decode(&[200, 0, 0, 0, 0, 0, 0], &Limits::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// ```
#[derive(Clone, Default)]
pub struct CodecRegistry {
    custom: BTreeMap<u8, Arc<dyn Codec>>,
    dictionaries: BTreeMap<u32, Arc<Dictionary>>,
}

impl CodecRegistry {
    /// Adds a stranger's codec.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when its tag is below 128; [`crate::ErrorKind::Conflict`] when the tag or the name is taken.
    pub fn register(&mut self, codec: Arc<dyn Codec>) -> Result<()> {
        check_custom(&*codec)?;
        let built_in = [Compression::None, Compression::Lz4, Compression::zstd()];
        if built_in.iter().any(|known| known.name() == codec.name()) {
            return Err(Error::conflict(format!(
                "`{}` is the name of a built-in codec",
                codec.name()
            )));
        }
        let taken = self
            .custom
            .values()
            .find(|known| known.tag() == codec.tag() || known.name() == codec.name());
        if let Some(known) = taken {
            return Err(Error::conflict(format!(
                "codec `{}` with tag {} collides with `{}`, which has tag {}",
                codec.name(),
                codec.tag(),
                known.name(),
                known.tag()
            )));
        }
        self.custom.insert(codec.tag(), codec);
        Ok(())
    }

    /// Adds a dictionary and returns its id. Adding the same one again changes nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when another dictionary has the same id.
    pub fn add_dictionary(&mut self, dictionary: Arc<Dictionary>) -> Result<u32> {
        let id = dictionary.id();
        match self.dictionaries.get(&id) {
            Some(known) if *known == dictionary => {}
            Some(_) => {
                return Err(Error::conflict(format!(
                    "another dictionary has the id {id:#010x} already"
                )));
            }
            None => {
                self.dictionaries.insert(id, dictionary);
            }
        }
        Ok(id)
    }

    /// The dictionary of this id, when it was added.
    pub fn dictionary(&self, id: u32) -> Option<&Arc<Dictionary>> {
        self.dictionaries.get(&id)
    }

    /// Unpacks one frame, which fills `frame` to its end.
    ///
    /// # Errors
    /// As [`FrameHeader::parse`]; [`crate::ErrorKind::Unsupported`] when the codec is unknown or not compiled in;
    /// [`crate::ErrorKind::NotFound`] when the dictionary is unknown; [`crate::ErrorKind::Corrupt`] when the packed bytes
    /// do not unpack to the declared length and checksum.
    pub fn decode(&self, frame: &[u8], limits: &Limits) -> Result<Vec<u8>> {
        let header = FrameHeader::parse(frame, limits)?;
        let codec = self.codec_of(&header)?;
        let mut raw = Vec::new();
        codec
            .decompress(header.packed, header.raw_bytes, &mut raw)
            .map_err(|error| match error.kind() {
                ErrorKind::LimitExceeded => {
                    let declared = header.raw_bytes;
                    Error::corrupt(format!(
                        "compressed frame declares {declared} bytes and holds more"
                    ))
                    .caused_by(error)
                }
                _ => error.at("compressed frame"),
            })?;
        header.verify(&raw)?;
        Ok(raw)
    }

    fn codec_of(&self, header: &FrameHeader<'_>) -> Result<Arc<dyn Codec>> {
        let dictionary = match header.dictionary {
            None => None,
            Some(_) if header.tag != TAG_ZSTD => {
                return Err(Error::corrupt(format!(
                    "compressed frame names a dictionary, but the codec with tag {} has none",
                    header.tag
                )));
            }
            Some(id) => Some(self.dictionaries.get(&id).cloned().ok_or_else(|| {
                Error::not_found(format!(
                    "compressed frame needs the dictionary {id:#010x}: add it first"
                ))
            })?),
        };
        match header.tag {
            TAG_NONE => Compression::None.codec(),
            TAG_LZ4 => Compression::Lz4.codec(),
            // The level is the writer's business; a reader's may be any.
            TAG_ZSTD => Compression::Zstd {
                level: super::ZSTD_LEVEL_DEFAULT,
                dictionary,
            }
            .codec(),
            tag => self.custom.get(&tag).cloned().ok_or_else(|| {
                Error::unsupported(if tag < TAG_CUSTOM_MIN {
                    format!(
                        "compressed frame has tag {tag}, which a later version must have written"
                    )
                } else {
                    format!("compressed frame has tag {tag}: register the codec of this tag")
                })
            }),
        }
    }
}

impl fmt::Debug for CodecRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecRegistry")
            .field(
                "custom",
                &self
                    .custom
                    .values()
                    .map(|codec| codec.name())
                    .collect::<Vec<_>>(),
            )
            .field(
                "dictionaries",
                &self.dictionaries.values().collect::<Vec<_>>(),
            )
            .finish()
    }
}
