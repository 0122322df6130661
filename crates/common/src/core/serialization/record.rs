//! One record after another, metadata included, without a schema: what a log of changes is made of.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use super::guard::Guard;
use super::msgpack::{self, Reader};
use crate::core::base::{Metadata, Record, Seq, Timestamp};
use crate::error::{Error, Result};
use crate::limits::{COLUMNS_MAX, KEY_COLUMNS_MAX, Limits};

/// Appends a record: commit, times and revision, then the values, all as MessagePack. The number of key columns is not
/// part of it.
///
/// ```
/// use common::serialization::{decode_record, encode_record};
/// use common::{Limits, Metadata, Record, Value};
/// let record = Record::new(Metadata::default(), 1, vec![Value::from(7), Value::from("Oulu")]);
/// let mut bytes = Vec::new();
/// encode_record(&record, &mut bytes)?;
/// bytes.push(9);
/// let limits = Limits::default();
/// let (again, rest) = decode_record(&bytes, 1, &limits)?;
/// assert_eq!((again, rest), (record, &[9_u8][..]));
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] for a value of 4 GiB or more.
pub fn encode_record(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    let Metadata {
        seq,
        created,
        updated,
        revision,
    } = record.metadata();
    msgpack::unsigned(seq.0, out)?;
    msgpack::integer(created.0, out)?;
    msgpack::integer(updated.0, out)?;
    msgpack::unsigned(revision.into(), out)?;
    msgpack::cells(record, out)
}

/// Reads the record that [`encode_record`] appended, of which the first `key_columns` values are the key; also gives what follows it.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] for anything else; [`crate::ErrorKind::LimitExceeded`] beyond `limits`.
pub fn decode_record<'a>(
    bytes: &'a [u8],
    key_columns: usize,
    limits: &'a Limits,
) -> Result<(Record, &'a [u8])> {
    let mut reader = Reader::with(bytes, Guard::new(limits, &[])?);
    let metadata = metadata(&mut reader)?;
    let count = reader.array()?;
    if !(1..=KEY_COLUMNS_MAX).contains(&key_columns)
        || !(key_columns..=COLUMNS_MAX).contains(&count)
    {
        return Err(Error::corrupt(format!(
            "{count} values of which {key_columns} are the key are no record"
        )));
    }
    let values = reader.values(count)?;
    Ok((
        Record::new(metadata, key_columns, values),
        reader.into_rest(),
    ))
}

/// Reads when and where a record was written.
pub(super) fn metadata(reader: &mut Reader<'_>) -> Result<Metadata> {
    Ok(Metadata {
        seq: Seq(reader.unsigned()?),
        created: Timestamp(reader.integer()?),
        updated: Timestamp(reader.integer()?),
        revision: u32::try_from(reader.unsigned()?)
            .map_err(|_| Error::corrupt("a revision fits 32 bits"))?,
    })
}
