//! Frames as JSON: the same facts, for people, logs and programs that have no Protocol Buffers.
//!
//! Names are those of `docs/proto/sync.proto` where the messages are the same. Rows stand as values, in the form
//! that `common::serialization::json` gives each kind; numbers of 64 bits without sign are text, as programs that
//! hold numbers in 64-bit floats would round them. Keys ascend, so equal frames have equal JSON.

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
mod scope_read;
mod scope_write;
mod write;

use common::serialization::Format;
use common::{Error, Limits, Result, Value};

use super::{decode, encode};
use crate::sync::protocol::WIRE_VERSION;

/// The JSON of a frame.
///
/// ```
/// use common::Database;
/// use syncdb::sync::protocol::frame_limits;
/// use syncdb::sync::wire::{from_json, to_json};
/// use syncdb::SyncDb;
/// let phone = SyncDb::client("phone")?;
/// let frame = phone.session()?.next_message()?.expect("a session begins with a request");
/// let json = to_json(&frame, &frame_limits())?;
/// assert!(String::from_utf8_lossy(&json).contains(r#""replica":"phone""#));
/// assert_eq!(from_json(&json, &frame_limits())?, frame);
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// As [`decode_request`](super::decode_request).
pub fn to_json(frame: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let json = write::frame(&decode(frame, limits)?, limits)?;
    let mut out = Vec::new();
    Format::Json.encode_value(&json, &mut out)?;
    Ok(out)
}

/// The frame that JSON stands for. Keys that a later version may add are ignored.
///
/// # Errors
/// [`common::ErrorKind::Corrupt`] for JSON that is no frame, [`common::ErrorKind::LimitExceeded`] beyond
/// `limits`, [`common::ErrorKind::Unsupported`] for another version of the format.
pub fn from_json(json: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    // The envelope nests around the values.
    let deeper = limits
        .clone()
        .depth_max(limits.depth_max.saturating_add(16));
    let value = Format::Json.decode_value(json, &deeper)?;
    let frame = read::frame(&value, limits)?;
    encode(&frame)
}

/// The version that stands in the JSON of every frame.
fn version() -> Value {
    Value::from(WIRE_VERSION)
}

fn check_version(found: &Value) -> Result<()> {
    if *found == version() {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "the frame is of wire version {found:?}, this side speaks {WIRE_VERSION}"
    )))
}
