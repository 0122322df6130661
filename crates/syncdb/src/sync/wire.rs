//! Frames: bytes to and from [`protocol`](super::protocol) types. `docs/wire-format.md` specifies them.
//!
//! A frame is one byte of [`WIRE_VERSION`] and a compression frame of `common`, whose content is one
//! MessagePack value. Every decoder here takes [`Limits`], returns an error for whatever it does not
//! understand, and never takes memory on the word of a declared length.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod read;
mod write;

use common::optimization::compression::{CodecRegistry, Compression};
use common::serialization::Format;
use common::{Error, Limits, Result, Value};

use super::protocol::{Answer, Block, Request, WIRE_VERSION};

/// Bodies of at least this many bytes are compressed.
pub const COMPRESS_BYTES_MIN: usize = 192;

/// What a frame is, the first element of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum FrameKind {
    Request = 1,
    Answer = 2,
    Blocks = 3,
}

/// The frame of a request.
///
/// # Errors
/// [`common::ErrorKind::LimitExceeded`] for a value that the format cannot hold.
pub fn encode_request(request: &Request) -> Result<Vec<u8>> {
    encode(FrameKind::Request, write::request(request))
}

/// Reads the frame of a request.
///
/// # Errors
/// [`common::ErrorKind::Corrupt`] for bytes that are none, [`common::ErrorKind::LimitExceeded`] beyond
/// `limits`, [`common::ErrorKind::Unsupported`] for another version of the format.
pub fn decode_request(bytes: &[u8], limits: &Limits) -> Result<Request> {
    let body = decode(bytes, FrameKind::Request, limits)?;
    read::request(&body).map_err(|error| error.at("request"))
}

/// The frame of an answer.
///
/// # Errors
/// As [`encode_request`].
pub fn encode_answer(answer: &Answer) -> Result<Vec<u8>> {
    encode(FrameKind::Answer, write::answer(answer)?)
}

/// Reads the frame of an answer.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_answer(bytes: &[u8], limits: &Limits) -> Result<Answer> {
    let body = decode(bytes, FrameKind::Answer, limits)?;
    read::answer(&body, limits).map_err(|error| error.at("answer"))
}

/// The frame of a snapshot's blocks.
///
/// # Errors
/// As [`encode_request`].
pub fn encode_blocks(blocks: &[Block]) -> Result<Vec<u8>> {
    encode(FrameKind::Blocks, vec![write::blocks(blocks)])
}

/// Reads the frame of a snapshot's blocks.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_blocks(bytes: &[u8], limits: &Limits) -> Result<Vec<Block>> {
    let body = decode(bytes, FrameKind::Blocks, limits)?;
    read::snapshot_blocks(&body).map_err(|error| error.at("blocks"))
}

fn encode(kind: FrameKind, mut body: Vec<Value>) -> Result<Vec<u8>> {
    body.insert(0, Value::from(kind as u8));
    let mut raw = Vec::new();
    Format::MsgPack.encode_value(&Value::from(body), &mut raw)?;
    let compression = if raw.len() >= COMPRESS_BYTES_MIN {
        Compression::zstd()
    } else {
        Compression::None
    };
    let mut frame = vec![WIRE_VERSION];
    compression.encode_into(&raw, &mut frame)?;
    Ok(frame)
}

/// The elements of a frame's body after the kind.
fn decode(bytes: &[u8], kind: FrameKind, limits: &Limits) -> Result<Vec<Value>> {
    let Some((version, packed)) = bytes.split_first() else {
        return Err(Error::corrupt("the frame is empty"));
    };
    if *version != WIRE_VERSION {
        return Err(Error::unsupported(format!(
            "the frame is of wire version {version}, this side speaks {WIRE_VERSION}"
        )));
    }
    let raw = CodecRegistry::default().decode(packed, limits)?;
    let body = Format::MsgPack.decode_value(&raw, limits)?;
    match body.as_list() {
        Some([found, rest @ ..]) if found.as_int() == Some(i64::from(kind as u8)) => {
            Ok(rest.to_vec())
        }
        Some([found, ..]) => Err(Error::corrupt(format!(
            "the frame is of kind {found:?}, expected {} ({kind:?})",
            kind as u8
        ))),
        _ => Err(Error::corrupt("a frame's body is a list with its kind")),
    }
}

pub(crate) use read::outcome as read_outcome;
pub(crate) use write::{mutation_value, outcome as write_outcome};
