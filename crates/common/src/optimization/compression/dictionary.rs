//! [`Dictionary`]: bytes that both sides know, so that small messages need not repeat them.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fmt;

use crate::error::{Error, Result};
use crate::limits::Limits;

/// Largest dictionary, in bytes. Zstandard's own default is 110 KiB; larger ones rarely pay.
pub const DICTIONARY_BYTES_MAX: usize = 1 << 20;

/// A Zstandard dictionary, trained ([`train_dictionary`]) or any bytes that resemble the data.
///
/// Its id is the CRC-32 of its bytes, so two sides that hold the same bytes agree on the id without asking.
/// Prepared once here for reading and once per level for writing; share it by `Arc`.
pub struct Dictionary {
    id: u32,
    bytes: Vec<u8>,
    #[cfg(feature = "zstd")]
    prepared: with::Prepared,
}

impl Dictionary {
    /// Prepares `bytes` as a dictionary.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when there are none; [`crate::ErrorKind::LimitExceeded`] above
    /// [`DICTIONARY_BYTES_MAX`] or [`Limits::bytes_max`]; [`crate::ErrorKind::Corrupt`] when they begin as a trained
    /// dictionary and do not go on as one.
    pub fn new(bytes: impl Into<Vec<u8>>, limits: &Limits) -> Result<Self> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(Error::invalid("a dictionary has at least one byte"));
        }
        limits.check_bytes(bytes.len())?;
        if bytes.len() > DICTIONARY_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a dictionary has at most {DICTIONARY_BYTES_MAX} bytes, this one {}",
                bytes.len()
            )));
        }
        Ok(Self {
            id: crc32fast::hash(&bytes),
            #[cfg(feature = "zstd")]
            prepared: with::Prepared::new(&bytes)?,
            bytes,
        })
    }

    /// What frames name it by: the CRC-32 of its bytes.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its bytes, to be stored or sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[cfg(feature = "zstd")]
    pub(super) fn encoder(&self, level: i32) -> Result<with::Encoder> {
        self.prepared.encoder(&self.bytes, level)
    }

    #[cfg(feature = "zstd")]
    pub(super) fn decoder(&self) -> &zstd::dict::DDict<'static> {
        self.prepared.decoder()
    }
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Dictionary {}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dictionary {:#010x} of {} bytes",
            self.id,
            self.bytes.len()
        )
    }
}

/// Learns a dictionary of at most `bytes_max` bytes from samples of the data.
///
/// Give it many small messages of the kind to come, a hundred times `bytes_max` in all; it copies them once.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when the samples are too few or too short to learn from, or `bytes_max` is
/// outside 256 to [`DICTIONARY_BYTES_MAX`]; [`crate::ErrorKind::Unsupported`] without the feature `zstd`.
#[cfg(feature = "zstd")]
pub fn train_dictionary<S: AsRef<[u8]>>(samples: &[S], bytes_max: usize) -> Result<Dictionary> {
    crate::utils::validation::check_in_range(
        "size of a dictionary",
        bytes_max,
        256..=DICTIONARY_BYTES_MAX,
    )?;
    let bytes = zstd::dict::from_samples(samples, bytes_max).map_err(|cause| {
        Error::invalid(format!(
            "{} sample(s) of {} bytes in all teach no dictionary of {bytes_max} bytes: give more or longer ones",
            samples.len(),
            samples.iter().map(|sample| sample.as_ref().len()).sum::<usize>()
        ))
        .caused_by(cause)
    })?;
    Dictionary::new(bytes, &Limits::default())
}

/// Learns a dictionary; this build has no `zstd` and refuses.
///
/// # Errors
/// Always [`crate::ErrorKind::Unsupported`].
#[cfg(not(feature = "zstd"))]
pub fn train_dictionary<S: AsRef<[u8]>>(_samples: &[S], _bytes_max: usize) -> Result<Dictionary> {
    Err(super::codec::missing("zstd"))
}

#[cfg(feature = "zstd")]
mod with {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use zstd::dict::{DDict, DecoderDictionary, EncoderDictionary};

    use crate::error::{Error, Result};

    pub(in super::super) type Encoder = Arc<EncoderDictionary<'static>>;

    pub(super) struct Prepared {
        decoder: DecoderDictionary<'static>,
        /// One for each level that was asked for: at most 30, usually one.
        encoders: Mutex<Vec<(i32, Encoder)>>,
    }

    impl Prepared {
        pub(super) fn new(bytes: &[u8]) -> Result<Self> {
            let decoder = DecoderDictionary::try_copy(bytes).map_err(|cause| {
                Error::corrupt("these bytes are a damaged dictionary").caused_by(cause)
            })?;
            Ok(Self {
                decoder,
                encoders: Mutex::default(),
            })
        }

        pub(super) fn decoder(&self) -> &DDict<'static> {
            self.decoder.as_ddict()
        }

        pub(super) fn encoder(&self, bytes: &[u8], level: i32) -> Result<Encoder> {
            let mut encoders = self.encoders.lock();
            if let Some((_, encoder)) = encoders.iter().find(|(known, _)| *known == level) {
                return Ok(encoder.clone());
            }
            let encoder = EncoderDictionary::try_copy(bytes, level).map_err(|cause| {
                Error::corrupt("these bytes are a damaged dictionary").caused_by(cause)
            })?;
            let encoder = Arc::new(encoder);
            encoders.push((level, encoder.clone()));
            Ok(encoder)
        }
    }
}
