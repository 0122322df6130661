//! [`Format`]: how values and tables become bytes, and [`Encoding`]: the door for formats of the application.

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
use std::sync::Arc;

use super::rows;
use crate::core::base::{Record, Value};
use crate::core::schema::Schema;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Lowest tag of a format of the application; lower ones belong to this library.
pub const CUSTOM_TAG_MIN: u8 = 128;

/// Turns values and tables into bytes and back.
///
/// Implemented outside this crate when an application speaks a format that is not built in. Name and tag are
/// stored and sent, so they never change once data exists; two functions for values are enough, tables are
/// then written as one list of rows. An encoding for tables only answers values with
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and writes rows itself.
///
/// A decoder is handed bytes from strangers: it never panics, allocates no more than it was sent, and obeys the
/// limits. `testkit::contract::format` runs these promises against an implementation.
///
/// ```
/// use std::sync::Arc;
/// use common::serialization::{Encoding, Format, FormatRegistry};
/// use common::{Error, Limits, Result, Value};
///
/// /// Holds integers, as decimal digits.
/// struct Digits;
///
/// impl Encoding for Digits {
///     fn name(&self) -> &str {
///         "digits"
///     }
///     fn tag(&self) -> u8 {
///         200
///     }
///     fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
///         let int = value.as_int().ok_or_else(|| Error::unsupported("digits hold integers only"))?;
///         out.extend_from_slice(int.to_string().as_bytes());
///         Ok(())
///     }
///     fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
///         limits.check_bytes(bytes.len())?;
///         let text = std::str::from_utf8(bytes).map_err(|e| Error::corrupt(e.to_string()))?;
///         text.parse::<i64>().map(Value::from).map_err(|e| Error::corrupt(e.to_string()))
///     }
/// }
///
/// let mut formats = FormatRegistry::default();
/// formats.register(Arc::new(Digits))?;
/// let mut bytes = Vec::new();
/// formats.by_name("digits")?.encode_value(&Value::from(42), &mut bytes)?;
/// assert_eq!(bytes, b"42");
/// assert_eq!(formats.by_tag(200)?.decode_value(&bytes, &Limits::default())?, Value::from(42));
/// # Ok::<(), common::Error>(())
/// ```
pub trait Encoding: Send + Sync {
    /// Name by which the format is found, unique in a registry: `json`, `com.example.cbor`.
    fn name(&self) -> &str;

    /// Number by which the format is found, unique in a registry, [`CUSTOM_TAG_MIN`] or above.
    fn tag(&self) -> u8;

    /// Appends one value to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a value that the format cannot hold; `out`
    /// may then end in a part of it.
    fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()>;

    /// Reads one value, which takes up all of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) or [`ErrorKind::Invalid`](crate::ErrorKind::Invalid)
    /// for bytes that are no value, [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) beyond
    /// `limits`.
    fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value>;

    /// Appends rows of one table to `out`; metadata such as the commit's position is not part of them.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with row number and column, for a record that does
    /// not fit `schema`; else as [`Encoding::encode_value`].
    fn encode_rows(&self, schema: &Schema, records: &[Record], out: &mut Vec<u8>) -> Result<()> {
        self.encode_value(&rows::to_value(schema, records)?, out)
    }

    /// Reads the rows of one table, each with its values in storage order.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with row number and column, for a row that does not
    /// fit `schema`; else as [`Encoding::decode_value`].
    fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        rows::from_value(schema, &self.decode_value(bytes, limits)?, limits)
    }
}

/// How values and tables become bytes. The tag is what files and messages store.
///
/// Variants exist whatever is compiled in: using one whose cargo feature is missing gives
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::serialization::Format;
/// use common::{Limits, Metadata, Record, Value};
///
/// let schema = Schema::build("cities", ["id"])
///     .field(Field::new("id", FieldType::Int))
///     .field(Field::new("founded", FieldType::Date).nullable())
///     .finish()?;
/// let oulu = Record::new(Metadata::default(), 1, vec![Value::from(7), Value::Date(common::Date(-133_282))]);
///
/// let mut bytes = Vec::new();
/// Format::Json.encode_rows(&schema, &[oulu.clone()], &mut bytes)?;
/// assert_eq!(String::from_utf8_lossy(&bytes), "{\"id\":7,\"founded\":\"1605-02-01\"}\n");
/// assert_eq!(Format::Json.decode_rows(&schema, &bytes, &Limits::default())?, [oulu.values()]);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Format {
    /// JSON text; rows are one object a line. Tag 1.
    Json,
    /// MessagePack, cargo feature `msgpack`. Tag 2.
    MsgPack,
    /// Protocol Buffers, cargo feature `protobuf`. Tag 3.
    Protobuf,
    /// An Arrow IPC stream, tables only, cargo feature `arrow`. Tag 4.
    Arrow,
    /// A Parquet file, tables only, cargo feature `parquet`. Tag 5.
    Parquet,
    /// A format of the application, with its own tag.
    Custom(Arc<dyn Encoding>),
}

impl Format {
    /// Every format of this library, compiled in or not, in the order of their tags.
    pub const BUILT_IN: [Self; 5] = [
        Self::Json,
        Self::MsgPack,
        Self::Protobuf,
        Self::Arrow,
        Self::Parquet,
    ];

    /// The number that files and messages store.
    pub fn tag(&self) -> u8 {
        match self {
            Self::Json => 1,
            Self::MsgPack => 2,
            Self::Protobuf => 3,
            Self::Arrow => 4,
            Self::Parquet => 5,
            Self::Custom(encoding) => encoding.tag(),
        }
    }

    /// The name that people and configuration use.
    pub fn name(&self) -> &str {
        match self {
            Self::Json => "json",
            Self::MsgPack => "msgpack",
            Self::Protobuf => "protobuf",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Custom(encoding) => encoding.name(),
        }
    }

    /// What does the work.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the format's cargo feature is missing.
    pub fn encoding(&self) -> Result<&dyn Encoding> {
        match self {
            Self::Json => Ok(&super::json::Json),
            #[cfg(feature = "msgpack")]
            Self::MsgPack => Ok(&super::msgpack::MsgPack),
            #[cfg(feature = "protobuf")]
            Self::Protobuf => Ok(&super::protobuf::Protobuf),
            #[cfg(feature = "arrow")]
            Self::Arrow => Ok(&super::arrow::Arrow),
            #[cfg(feature = "parquet")]
            Self::Parquet => Ok(&super::parquet::Parquet),
            Self::Custom(encoding) => Ok(&**encoding),
            #[cfg(not(all(feature = "msgpack", feature = "protobuf", feature = "parquet")))]
            missing => Err(Error::unsupported(format!(
                "format {0} is not compiled in; build with cargo feature `{0}`",
                missing.name()
            ))),
        }
    }

    /// Appends one value to `out`.
    ///
    /// # Errors
    /// As [`Encoding::encode_value`] and [`Format::encoding`].
    pub fn encode_value(&self, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        let done = self.encoding()?.encode_value(value, out);
        done.map_err(|error| self.place(error))
    }

    /// Reads one value, which takes up all of `bytes`.
    ///
    /// # Errors
    /// As [`Encoding::decode_value`] and [`Format::encoding`].
    pub fn decode_value(&self, bytes: &[u8], limits: &Limits) -> Result<Value> {
        let done = self.encoding()?.decode_value(bytes, limits);
        done.map_err(|error| self.place(error))
    }

    /// Appends rows of one table to `out`.
    ///
    /// # Errors
    /// As [`Encoding::encode_rows`] and [`Format::encoding`].
    pub fn encode_rows(
        &self,
        schema: &Schema,
        records: &[Record],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let done = self.encoding()?.encode_rows(schema, records, out);
        done.map_err(|error| self.place(error))
    }

    /// Reads the rows of one table, each with its values in storage order.
    ///
    /// The types of the values are checked against `schema`, its rules are not: those are for
    /// [`Validator`](crate::schema::Validator) to check when the rows are written to a table.
    ///
    /// # Errors
    /// As [`Encoding::decode_rows`] and [`Format::encoding`].
    pub fn decode_rows(
        &self,
        schema: &Schema,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Vec<Vec<Value>>> {
        let done = self.encoding()?.decode_rows(schema, bytes, limits);
        done.map_err(|error| self.place(error))
    }

    #[cold]
    fn place(&self, error: Error) -> Error {
        error.at(self.name())
    }
}

/// Equal when the tags are.
impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.tag() == other.tag()
    }
}

impl Eq for Format {}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tag {})", self.name(), self.tag())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
