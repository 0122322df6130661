//! Values and tables as bytes: [`Format`] and what stands behind it, schemas as JSON, the snapshot image.
//!
//! | format | values | rows | use it for |
//! |---|---|---|---|
//! | [`Format::Json`] | yes | one object a line | people, HTTP, other languages |
//! | [`Format::MsgPack`] | yes | by position | compact and quick, the default between programs |
//! | [`Format::Protobuf`] | yes | by position | consumers that hold `docs/proto/value.proto` |
//! | [`Format::Arrow`] | no | record batches | data frames, analytics in memory |
//! | [`Format::Parquet`] | no | column chunks | files that other tools read |
//! | [`Format::Custom`] | yes | as it likes | a format of the application: implement [`Encoding`] |
//!
//! Every decoder takes [`Limits`](crate::Limits), refuses what lies beyond them while it reads, and returns an
//! error for any input it does not understand. Equal values have equal bytes, with one exception: `-0.0` and
//! `0.0` are equal, but each keeps its sign. Every NaN is written as the one quiet NaN without payload.
//!
//! A decoder accepts somewhat more than its encoder writes, as each module's doc lists. What it accepts always
//! reads back: decoding, encoding and decoding again gives the same value.

#[cfg(feature = "arrow")]
pub mod arrow;
mod format;
mod guard;
mod registry;
mod rows;

#[cfg(feature = "msgpack")]
pub mod image;
pub mod json;
#[cfg(feature = "msgpack")]
pub mod msgpack;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "protobuf")]
pub mod protobuf;
#[cfg(feature = "msgpack")]
mod record;

pub use format::{CUSTOM_TAG_MIN, Encoding, Format};
#[cfg(feature = "msgpack")]
pub use image::{Image, ImageWriter, read_image};
pub use json::{decode_schema, encode_schema};
#[cfg(feature = "msgpack")]
pub use record::{decode_record, encode_record};
pub use registry::FormatRegistry;
