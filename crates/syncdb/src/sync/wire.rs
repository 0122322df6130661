//! Frames: bytes to and from [`protocol`](super::protocol) types. `docs/wire-format.md` and
//! `docs/proto/sync.proto` specify them.
//!
//! A frame is one byte of [`WIRE_VERSION`] and a compression frame of `common`, whose content is one
//! Protocol Buffers message. Every decoder here takes [`Limits`], returns an error for whatever it does not
//! understand, and never takes memory on the word of a declared length. [`to_json`] and [`from_json`] translate
//! between a frame and JSON that says the same.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

mod block;
mod field;
mod fields;
mod json;
mod operations;
#[cfg(test)]
mod packed;
mod read;
mod referred;
mod scope;
mod stored;
mod write;

use std::sync::{Arc, LazyLock};

use common::optimization::compression::{CodecRegistry, Compression};
use common::{Error, Limits, Result, Text};

use super::dictionaries::{Dictionaries, TableDictionary};
use super::ledger;
use super::protocol::{Answer, Block, Request, SentDictionary, WIRE_VERSION};
use crate::payload::Level;
use fields::{Budget, Fields, put_message};

pub use json::{from_json, to_json};
pub(crate) use read::ReadRequest;
pub(crate) use stored::{mutation_value, read_outcome, write_outcome};

/// Contents of at least this many bytes are compressed.
pub const COMPRESS_BYTES_MIN: usize = 192;

/// Names of the ledger's columns: a conflict is sent as a row of it.
static LEDGER_COLUMNS: LazyLock<Vec<Text>> = LazyLock::new(|| {
    let schema = ledger::schema().map(|schema| schema.fields);
    let fields = schema.unwrap_or_default().into_iter();
    fields.map(|field| field.name).collect()
});

/// What a frame holds.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, for as long as it is read or written"
)]
pub enum Frame {
    /// What a replica says.
    Request(Request),
    /// What the server says.
    Answer(Answer),
    /// A part of a snapshot, as it lies in an answer and is kept by those who receive it.
    Blocks(Vec<Block>),
}

impl Frame {
    const fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Answer(_) => "answer",
            Self::Blocks(_) => "blocks",
        }
    }
}

/// The bytes of a frame.
///
/// # Errors
/// [`common::ErrorKind::LimitExceeded`] for a value that the format cannot hold.
pub fn encode(frame: &Frame) -> Result<Vec<u8>> {
    match frame {
        Frame::Request(request) => encode_request(request),
        Frame::Answer(answer) => encode_answer(answer),
        Frame::Blocks(blocks) => encode_blocks(blocks),
    }
}

/// Reads a frame of whatever kind.
///
/// # Errors
/// As [`decode_request`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame> {
    match read_frame(bytes, limits, &|_| None, Dictionaries::default())? {
        Read::Request(read) if read.unread => Err(unread()),
        Read::Request(read) => Ok(Frame::Request(read.request)),
        Read::Other(frame) => Ok(*frame),
    }
}

#[cold]
fn unread() -> Error {
    Error::not_found(
        "the rows of the request are packed with a shared dictionary, which is not here",
    )
}

/// A frame, and of a request what it takes to answer it.
enum Read {
    Request(Box<ReadRequest>),
    Other(Box<Frame>),
}

/// Reads a frame whose blocks may be packed with the dictionaries that a request names, or that the request had named
/// which it answers.
fn read_frame(
    bytes: &[u8],
    limits: &Limits,
    lookup: read::Lookup<'_>,
    dictionaries: Dictionaries,
) -> Result<Read> {
    let Some((version, packed)) = bytes.split_first() else {
        return Err(Error::corrupt("the frame is empty"));
    };
    if *version != WIRE_VERSION {
        return Err(Error::unsupported(format!(
            "the frame is of wire version {version}, this side speaks {WIRE_VERSION}"
        )));
    }
    let content = CodecRegistry::default().decode(packed, limits)?;
    let mut budget = Budget::new(limits);
    budget.with_dictionaries(dictionaries);
    let mut fields = Fields::of(&content);
    let mut found = None;
    while let Some((number, part)) = fields.next()? {
        let frame = match number {
            field::frame::REQUEST => read::request(part.message()?, lookup, &mut budget)
                .map(|request| Read::Request(Box::new(request)))
                .map_err(|error| error.at("request"))?,
            field::frame::ANSWER => read::answer(part.message()?, &mut budget)
                .map(|answer| Read::Other(Box::new(Frame::Answer(answer))))
                .map_err(|error| error.at("answer"))?,
            field::frame::BLOCKS => read::blocks(part.message()?, &mut budget)
                .map(|blocks| Read::Other(Box::new(Frame::Blocks(blocks))))
                .map_err(|error| error.at("blocks"))?,
            _ => continue,
        };
        fields::once(&mut found, frame)?;
    }
    found.ok_or_else(|| Error::unsupported("the frame is of a kind that this side does not know"))
}

#[cold]
fn other(found: &Frame, expected: &str) -> Error {
    Error::corrupt(format!(
        "the frame is of kind {}, expected {expected}",
        found.name()
    ))
}

/// The frame of a request.
///
/// # Errors
/// As [`encode`].
pub fn encode_request(request: &Request) -> Result<Vec<u8>> {
    encode_request_with(request, &Dictionaries::default(), Level::Fast)
}

/// The frame of a request, whose rows are packed with the dictionaries that it names: these. As hard as `level` says.
pub(crate) fn encode_request_with(
    request: &Request,
    dictionaries: &Dictionaries,
    level: Level,
) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    put_message(field::frame::REQUEST, &mut content, |out| {
        write::request(request, dictionaries, level, out)
    })?;
    pack(&content, level.compression())
}

/// Reads the frame of a request with the dictionaries that `lookup` has.
pub(crate) fn decode_request_with(
    bytes: &[u8],
    limits: &Limits,
    lookup: read::Lookup<'_>,
) -> Result<ReadRequest> {
    match read_frame(bytes, limits, lookup, Dictionaries::default())? {
        Read::Request(read) => Ok(*read),
        Read::Other(found) => Err(other(&found, "request")),
    }
}

/// Reads the frame of a request.
///
/// # Errors
/// [`common::ErrorKind::NotFound`] for one whose rows are packed with a shared dictionary;
/// [`common::ErrorKind::Corrupt`] for bytes that are none, [`common::ErrorKind::LimitExceeded`] beyond
/// `limits`, [`common::ErrorKind::Unsupported`] for another version of the format.
pub fn decode_request(bytes: &[u8], limits: &Limits) -> Result<Request> {
    match decode(bytes, limits)? {
        Frame::Request(request) => Ok(request),
        found => Err(other(&found, "request")),
    }
}

/// The frame of an answer.
///
/// # Errors
/// As [`encode`].
pub fn encode_answer(answer: &Answer) -> Result<Vec<u8>> {
    encode_answer_with(answer, &Dictionaries::default())
}

/// The frame of an answer, whose blocks may be packed with these dictionaries of the request.
pub(crate) fn encode_answer_with(answer: &Answer, dictionaries: &Dictionaries) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    put_message(field::frame::ANSWER, &mut content, |out| {
        write::answer(answer, dictionaries, out)
    })?;
    // What is staged is packed already.
    let packed = answer
        .staged
        .iter()
        .flat_map(|s| s.segments.iter().chain(&s.changes));
    let packed: usize = packed.map(|frame| frame.len()).sum();
    let compresses = packed < content.len() / 2;
    pack(
        &content,
        if compresses {
            Level::Fast.compression()
        } else {
            Compression::None
        },
    )
}

/// Reads the frame of an answer.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_answer(bytes: &[u8], limits: &Limits) -> Result<Answer> {
    decode_answer_with(bytes, limits, &Dictionaries::default())
}

/// Reads the frame of an answer to a request that named these dictionaries.
pub(crate) fn decode_answer_with(
    bytes: &[u8],
    limits: &Limits,
    dictionaries: &Dictionaries,
) -> Result<Answer> {
    match read_frame(bytes, limits, &|_| None, dictionaries.clone())? {
        Read::Other(found) => match *found {
            Frame::Answer(answer) => Ok(answer),
            found => Err(other(&found, "answer")),
        },
        Read::Request(read) => Err(other(&Frame::Request(read.request), "answer")),
    }
}

/// Reads a request that names these dictionaries, or the answer to a request that names them in this order, and writes it
/// again: for those who look at frames whose blocks are packed with shared dictionaries, and for checks of the two directions
/// against each other. Bytes that were written by this function come out as they are.
///
/// ```
/// use common::{ErrorKind, Limits};
/// use syncdb::sync::wire::rewrite_with;
/// let error = rewrite_with(b"no frame", &Limits::default(), &[]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// ```
///
/// # Errors
/// As [`decode_request`]; also for a dictionary that cannot be read.
pub fn rewrite_with(
    bytes: &[u8],
    limits: &Limits,
    dictionaries: &[SentDictionary],
) -> Result<Vec<u8>> {
    let read = |sent: &SentDictionary| TableDictionary::read(sent.clone(), limits).map(Arc::new);
    let known: Vec<Arc<TableDictionary>> = dictionaries.iter().map(read).collect::<Result<_>>()?;
    let lookup = |id| known.iter().find(|known| known.id == id).cloned();
    let named = Dictionaries::new(known.iter().cloned().map(Some).collect());
    match read_frame(bytes, limits, &lookup, named.clone())? {
        Read::Request(read) if read.unread => Err(unread()),
        Read::Request(read) => encode_request_with(&read.request, &read.dictionaries, Level::Fast),
        Read::Other(frame) => match *frame {
            Frame::Answer(answer) => encode_answer_with(&answer, &named),
            frame => encode(&frame),
        },
    }
}

/// The frame of a snapshot's blocks.
///
/// # Errors
/// As [`encode`].
pub fn encode_blocks(blocks: &[Block]) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    put_message(field::frame::BLOCKS, &mut content, |out| {
        write::blocks(field::blocks::BLOCKS, blocks, block::Packing::Snapshot, out)
    })?;
    // The blocks are packed one by one.
    pack(&content, Compression::None)
}

/// Reads the frame of a snapshot's blocks.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_blocks(bytes: &[u8], limits: &Limits) -> Result<Vec<Block>> {
    match decode(bytes, limits)? {
        Frame::Blocks(blocks) => Ok(blocks),
        found => Err(other(&found, "blocks")),
    }
}

fn pack(content: &[u8], compression: Compression) -> Result<Vec<u8>> {
    let compression = if content.len() >= COMPRESS_BYTES_MIN {
        compression
    } else {
        Compression::None
    };
    let mut frame = vec![WIRE_VERSION];
    compression.encode_into(content, &mut frame)?;
    Ok(frame)
}
