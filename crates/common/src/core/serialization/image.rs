//! The snapshot image: a whole database as one run of bytes that notices every change to itself.
//!
//! The layout is in `docs/file-format.md`. A writer is fed chunk by chunk and holds one block at a time; a
//! reader checks each section before it looks inside, and the whole at the end.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::io::Write;

use super::guard::Guard;
use super::json::{decode_schema, encode_schema};
use super::record::{encode_record, metadata};
use super::{msgpack, rows};
use crate::core::base::{Metadata, Record, Seq};
use crate::core::schema::Schema;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{COLLECTIONS_MAX, Limits, ROWS_MAX};

/// First bytes of every image.
pub const MAGIC: [u8; 8] = *b"TNDMIMG1";
/// Version of the layout that this library writes, and the only one it reads.
pub const VERSION: u16 = 1;

/// Bytes of encoded rows at which a block is closed; a single larger row makes a larger block.
const BLOCK_BYTES: usize = 256 << 10;
/// Bytes in front of the first section, checksum included.
const HEADER_BYTES: usize = 24;
/// Bytes in front of the payload of a section: kind, number, length.
const SECTION_HEAD_BYTES: usize = 9;

/// What a section holds; the number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// The schema of a table, to which the rows that follow belong.
    Schema = 1,
    /// Rows of the table last named.
    Rows = 2,
    /// Counts and the checksum of the whole; nothing follows.
    End = 255,
}

/// What an image held.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Position of the last commit that is in the image.
    pub seq: Seq,
    /// Every table with its rows, in the order in which they were written.
    pub tables: Vec<(Schema, Vec<Record>)>,
}

/// Writes an image, table by table and chunk by chunk.
///
/// Holds at most one block of rows, about 256 KiB; what lies behind `out` decides whether the bytes are
/// buffered, compressed or synced.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::serialization::{ImageWriter, read_image};
/// use common::{Limits, Metadata, Record, Seq, Value};
///
/// let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// let metadata = Metadata { seq: Seq(9), revision: 1, ..Metadata::default() };
/// let city = Record::new(metadata, 1, vec![Value::from(7)]);
///
/// let mut writer = ImageWriter::new(Vec::new(), Seq(12))?;
/// writer.table(&schema)?;
/// writer.rows(&[city.clone()])?;
/// let mut bytes = writer.finish()?;
///
/// let image = read_image(&bytes, &Limits::default())?;
/// assert_eq!(image.seq, Seq(12));
/// assert_eq!(image.tables, [(schema, vec![city])]);
///
/// bytes[40] ^= 1;
/// assert!(read_image(&bytes, &Limits::default()).is_err());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug)]
pub struct ImageWriter<W> {
    out: W,
    /// Over everything written so far except the checksums of sections: over those too, it would depend on
    /// their lengths only, because a block followed by its own CRC always leaves the same remainder.
    whole: crc32fast::Hasher,
    table: Option<Table>,
    block: Block,
    sections: u32,
    tables: u32,
    rows: u64,
}

/// The table being written.
#[derive(Debug)]
struct Table {
    schema: Schema,
    rows: usize,
}

/// Rows that wait to be written.
#[derive(Debug, Default)]
struct Block {
    rows: usize,
    bytes: Vec<u8>,
}

impl<W: Write> ImageWriter<W> {
    /// Begins an image of the state after the commit `seq`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when `out` fails.
    pub fn new(mut out: W, seq: Seq) -> Result<Self> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        // Flags: none are defined.
        header.extend_from_slice(&[0; 2]);
        header.extend_from_slice(&seq.0.to_le_bytes());
        let mut whole = crc32fast::Hasher::new();
        whole.update(&header);
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        out.write_all(&header)?;
        Ok(Self {
            out,
            whole,
            table: None,
            block: Block::default(),
            sections: 0,
            tables: 0,
            rows: 0,
        })
    }

    /// Begins a table; the rows that follow are its rows.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] beyond [`COLLECTIONS_MAX`] tables, [`ErrorKind::Io`] when the output fails.
    pub fn table(&mut self, schema: &Schema) -> Result<()> {
        self.close_block()?;
        if self.tables as usize >= COLLECTIONS_MAX {
            return Err(Error::limit_exceeded(format!(
                "an image has at most {COLLECTIONS_MAX} tables"
            )));
        }
        self.tables += 1;
        self.section(Kind::Schema, &encode_schema(schema)?)?;
        self.table = Some(Table {
            schema: schema.clone(),
            rows: 0,
        });
        Ok(())
    }

    /// Adds rows of the table last begun.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when no table has been begun or a record does not fit its schema,
    /// [`ErrorKind::Io`] when the output fails.
    pub fn rows(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            self.row(record)?;
            if self.block.bytes.len() >= BLOCK_BYTES {
                self.close_block()?;
            }
        }
        Ok(())
    }

    fn row(&mut self, record: &Record) -> Result<()> {
        let Some(Table { schema, rows: row }) = &mut self.table else {
            return Err(Error::invalid(
                "rows of an image follow the schema of their table",
            ));
        };
        rows::check(schema, *row, record)?;
        if record.key_columns() != schema.key_columns {
            let columns = record.key_columns();
            let error = Error::invalid(format!("has {columns} key columns"));
            return Err(rows::at_row(error, schema, *row));
        }
        let before = self.block.bytes.len();
        if let Err(error) = encode_record(record, &mut self.block.bytes) {
            // Half a row would make the block unreadable for a caller who goes on.
            self.block.bytes.truncate(before);
            return Err(rows::at_row(error, schema, *row));
        }
        *row += 1;
        self.block.rows += 1;
        self.rows += 1;
        Ok(())
    }

    fn close_block(&mut self) -> Result<()> {
        if self.block.rows > 0 {
            let block = std::mem::take(&mut self.block);
            let mut payload = Vec::with_capacity(block.bytes.len() + 5);
            msgpack::array(block.rows, &mut payload)?;
            payload.extend_from_slice(&block.bytes);
            self.section(Kind::Rows, &payload)?;
        }
        Ok(())
    }

    fn section(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        let len = u32::try_from(payload.len()).map_err(|_| {
            Error::limit_exceeded(format!(
                "a section of an image has at most {} bytes, this one {}",
                u32::MAX,
                payload.len()
            ))
        })?;
        let mut head = [0; SECTION_HEAD_BYTES];
        let parts = [kind as u8]
            .into_iter()
            .chain(self.sections.to_le_bytes())
            .chain(len.to_le_bytes());
        head.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        let mut checksum = crc32fast::Hasher::new();
        for part in [&head[..], payload] {
            checksum.update(part);
            self.whole.update(part);
            self.out.write_all(part)?;
        }
        self.out.write_all(&checksum.finalize().to_le_bytes())?;
        self.sections += 1;
        Ok(())
    }

    /// Writes the end, flushes, and gives back the output. Without the end, an image does not read.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the output fails.
    pub fn finish(mut self) -> Result<W> {
        self.close_block()?;
        let mut payload = Vec::with_capacity(16);
        payload.extend_from_slice(&self.tables.to_le_bytes());
        payload.extend_from_slice(&self.rows.to_le_bytes());
        payload.extend_from_slice(&self.whole.clone().finalize().to_le_bytes());
        self.section(Kind::End, &payload)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads an image.
///
/// The limits for strangers are tight for a large database: its own program raises `total_bytes_max`, which
/// bounds the image as well as what it becomes in memory.
///
/// # Errors
/// [`ErrorKind::Corrupt`], naming section and offset, for anything but an image exactly as it was written;
/// [`ErrorKind::Unsupported`] for a later version of the layout; [`ErrorKind::LimitExceeded`] beyond `limits`.
pub fn read_image(bytes: &[u8], limits: &Limits) -> Result<Image> {
    Reader {
        bytes,
        at: 0,
        number: 0,
        whole: crc32fast::Hasher::new(),
    }
    .image(limits)
    .map_err(|error| error.at("image"))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u32,
    whole: crc32fast::Hasher,
}

impl<'a> Reader<'a> {
    #[cold]
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupt(format!(
            "section {} at offset {}: {what}",
            self.number, self.at
        ))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.get(..len) {
            Some(part) => {
                self.at += len;
                Ok(part)
            }
            None => Err(self.error(format!("{len} bytes expected, {} left", rest.len()))),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        // `take` gives as many bytes as asked for.
        self.take(N).map(|part| part.try_into().unwrap_or([0; N]))
    }

    fn u32(&mut self) -> Result<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    fn header(&mut self) -> Result<Seq> {
        let from = self.bytes;
        let place = |error: Error| error.at("header");
        if self.fixed().map_err(place)? != MAGIC {
            return Err(Error::corrupt(
                "header at offset 0: these bytes are no TandemDB image",
            ));
        }
        let version = u16::from_le_bytes(self.fixed().map_err(place)?);
        let flags = u16::from_le_bytes(self.fixed().map_err(place)?);
        let seq = u64::from_le_bytes(self.fixed().map_err(place)?);
        let head = from.get(..self.at).unwrap_or_default();
        self.whole.update(head);
        let checksum = self.u32().map_err(place)?;
        if differs(checksum, crc32fast::hash(head)) {
            return Err(Error::corrupt(
                "header at offset 0: checksum does not match",
            ));
        }
        if version != VERSION || flags != 0 {
            return Err(Error::unsupported(format!(
                "the image has version {version} and flags {flags:#x}; this program reads version {VERSION}"
            )));
        }
        Ok(Seq(seq))
    }

    /// The next section, its checksum verified.
    fn section(&mut self) -> Result<(Kind, &'a [u8])> {
        let from = self.at;
        let [kind] = self.fixed()?;
        let number = self.u32()?;
        let len = self.u32()?;
        let payload = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        let covered = self.bytes.get(from..self.at).unwrap_or_default();
        let checksum = self.u32()?;
        let end = self.at;
        self.at = from;
        if differs(checksum, crc32fast::hash(covered)) {
            return Err(self.error("checksum does not match"));
        }
        if number != self.number {
            return Err(self.error(format!("numbered {number}: sections are missing or moved")));
        }
        let kind = match kind {
            1 => Kind::Schema,
            2 => Kind::Rows,
            255 => Kind::End,
            other => return Err(self.error(format!("unknown kind {other}"))),
        };
        if kind != Kind::End {
            self.whole.update(covered);
        }
        self.at = end;
        Ok((kind, payload))
    }

    fn image(mut self, limits: &Limits) -> Result<Image> {
        let mut guard = Guard::new(limits, self.bytes)?;
        let seq = self.header()?;
        let mut tables: Vec<(Schema, Vec<Record>)> = Vec::new();
        loop {
            let from = self.at;
            let (kind, payload) = self.section()?;
            let end = std::mem::replace(&mut self.at, from);
            match kind {
                Kind::Schema => {
                    let schema = decode_schema(payload, limits).map_err(|e| self.place(e))?;
                    if tables.len() >= COLLECTIONS_MAX {
                        return Err(self.error(format!("more than {COLLECTIONS_MAX} tables")));
                    }
                    if tables.iter().any(|(known, _)| known.name == schema.name) {
                        return Err(self.error(format!("table `{}` comes twice", schema.name)));
                    }
                    tables.push((schema, Vec::new()));
                }
                Kind::Rows => {
                    let Some((schema, records)) = tables.last_mut() else {
                        return Err(self.error("rows come before any schema"));
                    };
                    guard = read_rows(payload, guard, schema, records)
                        .map_err(|error| self.place(error))?;
                }
                Kind::End => {
                    self.check_end(payload, &tables)?;
                    self.at = end;
                    if self.at != self.bytes.len() {
                        return Err(self.error("bytes follow the end"));
                    }
                    return Ok(Image { seq, tables });
                }
            }
            self.at = end;
            self.number += 1;
        }
    }

    fn check_end(&self, payload: &[u8], tables: &[(Schema, Vec<Record>)]) -> Result<()> {
        let rows: usize = tables.iter().map(|(_, records)| records.len()).sum();
        let mut expected = Vec::with_capacity(16);
        expected.extend((tables.len() as u64).to_le_bytes().into_iter().take(4));
        expected.extend((rows as u64).to_le_bytes());
        expected.extend(self.whole.clone().finalize().to_le_bytes());
        let same = payload == expected || (cfg!(fuzzing) && payload.len() == expected.len());
        if same {
            Ok(())
        } else {
            Err(self.error("counts or the checksum of the whole do not match"))
        }
    }

    /// What a decoder found wrong inside a section is a damaged image, unless a limit was reached.
    #[cold]
    fn place(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::LimitExceeded | ErrorKind::Unsupported => {
                error.at(format!("section {} at offset {}", self.number, self.at))
            }
            _ => self.error(error),
        }
    }
}

/// Whether a checksum is wrong. A fuzzer would never guess one, so what lies behind is opened to it.
fn differs(found: u32, expected: u32) -> bool {
    found != expected && !cfg!(fuzzing)
}

/// Reads one block of rows; the guard goes in and comes out, so that blocks count together.
fn read_rows<'a>(
    payload: &'a [u8],
    guard: Guard<'a>,
    schema: &Schema,
    records: &mut Vec<Record>,
) -> Result<Guard<'a>> {
    let mut reader = msgpack::Reader::with(payload, guard);
    let count = reader.array()?;
    for _ in 0..count {
        let row = records.len();
        if records.len() as u64 >= ROWS_MAX {
            return Err(Error::limit_exceeded(format!(
                "a table has at most {ROWS_MAX} rows"
            )));
        }
        let metadata = metadata(&mut reader)?;
        let values =
            reader
                .cells(schema)
                .map_err(|(error, column)| match schema.fields.get(column) {
                    Some(field) => rows::at(error, schema, row, &field.name),
                    None => rows::at_row(error, schema, row),
                })?;
        rows::check(schema, row, &values)?;
        reader.guard().spend(size_of::<Metadata>() + 24)?;
        records.push(Record::new(metadata, schema.key_columns, values));
    }
    reader.end()?;
    Ok(reader.into_guard())
}
