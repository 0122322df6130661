//! What every decoder promises, one function each: fuzz targets feed them arbitrary bytes, plain tests replay
//! the corpus through them.
//!
//! A function returns quietly for bytes that the decoder refuses and panics when a promise is broken: what was
//! accepted must encode, decode again, and be the same.

mod packed;
mod query;

use common::serialization::{Format, decode_schema, encode_schema};
use common::{Error, Limits};

use crate::values::identical;

pub use packed::{compression_frame, integers, text_cells};
pub use query::{cursor, filter_json, filter_text, query_json};

/// Limits under which decoders are fuzzed: small, so that going past them shows.
pub fn limits() -> Limits {
    Limits::default()
        .total_bytes_max(8 << 20)
        .bytes_max(1 << 20)
}

/// Panics when `done` failed: the message says which promise was broken.
fn must<T>(done: Result<T, Error>, promise: &str) -> T {
    match done {
        Ok(value) => value,
        Err(error) => panic!("{promise}: {error}"),
    }
}

/// Decodes, encodes, decodes again.
fn value(format: &Format, bytes: &[u8]) {
    let limits = limits();
    let Ok(first) = format.decode_value(bytes, &limits) else {
        return;
    };
    let mut canonical = Vec::new();
    must(
        format.encode_value(&first, &mut canonical),
        "what was decoded encodes",
    );
    // The canonical form may be longer than what was read, the value is no larger.
    let roomy = limits.total_bytes_max(64 << 20);
    let second = must(
        format.decode_value(&canonical, &roomy),
        "what was encoded decodes",
    );
    assert!(
        identical(&first, &second),
        "decoding {format} twice differs: {first:?} and {second:?}"
    );
    let mut again = Vec::new();
    must(
        format.encode_value(&second, &mut again),
        "what was decoded encodes",
    );
    assert_eq!(canonical, again, "the canonical form of {format} is one");
}

/// JSON values.
pub fn json(bytes: &[u8]) {
    value(&Format::Json, bytes);
}

/// MessagePack values.
pub fn msgpack(bytes: &[u8]) {
    value(&Format::MsgPack, bytes);
}

/// Schemas as JSON.
///
/// # Panics
/// When a promise is broken.
pub fn schema_json(bytes: &[u8]) {
    let limits = limits();
    let Ok(first) = decode_schema(bytes, &limits) else {
        return;
    };
    let canonical = must(encode_schema(&first), "a schema encodes");
    let roomy = limits.total_bytes_max(64 << 20);
    let second = must(
        decode_schema(&canonical, &roomy),
        "what was encoded decodes",
    );
    assert_eq!(first, second, "decoding a schema twice differs");
    let again = must(encode_schema(&second), "a schema encodes");
    assert_eq!(canonical, again, "the canonical form of a schema is one");
}
