//! [`VectorReader`]: the rows of a file of vectors, one after another.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use common::limits::ROWS_MAX;
use common::schema::Field;
use common::serialization::parquet::Batches;
use common::{Error, ErrorKind, Limits, Result, Value};

use super::VectorFormat;
use super::element::Element;
use super::parquet::{BATCH_ROWS, Vectors};
use super::rows::Rows;

/// Bytes of a file that are asked for at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A file of vectors that is read from its first row to its last.
///
/// It is an iterator of vectors; [`VectorReader::read`] gives their metadata too and copies nothing. After an error,
/// nothing more comes.
///
/// ```
/// use import::vectors::{VectorFormat, VectorReader};
/// // Two rows of two bytes, each after its dimension.
/// let file = vec![2, 0, 0, 0, 7, 8, 2, 0, 0, 0, 9, 255];
/// let reader = VectorReader::from_bytes(VectorFormat::Bvecs, file, &common::Limits::default())?;
/// let vectors: Vec<Vec<f32>> = reader.collect::<common::Result<_>>()?;
/// assert_eq!(vectors, [[7.0, 8.0], [9.0, 255.0]]);
/// # Ok::<(), common::Error>(())
/// ```
pub struct VectorReader {
    format: VectorFormat,
    source: Source,
    limits: Limits,
    read: u64,
    is_done: bool,
    vector: Vec<f32>,
    ints: Vec<i32>,
    metadata: Vec<Value>,
}

enum Source {
    Rows(Rows),
    Parquet(Box<Vectors>),
}

/// A row of a file of vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VectorRow<'a> {
    /// Its number, from 0.
    pub number: u64,
    /// Its vector; every element is finite.
    pub vector: &'a [f32],
    /// The values of [`VectorReader::metadata`].
    pub metadata: &'a [Value],
}

impl VectorReader {
    /// Opens the file `path`, whose name ends as [`VectorFormat::of`] says; all but Parquet also with `.gz` after it.
    /// `column` is the column of vectors of a Parquet file: the only one of lists of numbers if not given.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Invalid`] when it is no such file,
    /// [`ErrorKind::Corrupt`] when it is no Parquet file. The message names the file.
    pub fn open(path: &Path, column: Option<&str>) -> Result<Self> {
        // The user's own file: as many rows as a table can have.
        let limits = Limits::default().rows_max(usize::try_from(ROWS_MAX).unwrap_or(usize::MAX));
        let format = VectorFormat::of(path)?;
        let place = |error: Error| error.at(path.display());
        let file = File::open(path).map_err(|error| place(Error::from(error)))?;
        let about = file.metadata().map_err(|error| place(Error::from(error)))?;
        if about.is_dir() {
            let message = "it is a folder; give the path of a file";
            return Err(place(Error::new(ErrorKind::Io, message)));
        }
        let source = match (format, super::super::ending(path).1) {
            (VectorFormat::Parquet, true) => Err(Error::invalid(
                "a Parquet file is read from its end and packed inside; unpack it",
            )),
            (VectorFormat::Parquet, false) => parquet(file, column, &limits),
            (_, packed) => {
                let input: Box<dyn Read + Send> = if packed {
                    let file = BufReader::with_capacity(BUFFER_BYTES, file);
                    Box::new(flate2::bufread::MultiGzDecoder::new(file))
                } else {
                    Box::new(file)
                };
                let input = BufReader::with_capacity(BUFFER_BYTES, input);
                // What a pipe holds is not known before it ends.
                let length = (!packed && about.is_file()).then_some(about.len());
                Rows::open(format, Box::new(input), length).map(Source::Rows)
            }
        };
        Ok(Self::new(format, source.map_err(place)?, limits))
    }

    /// Reads bytes as a file of that format.
    ///
    /// # Errors
    /// As [`VectorReader::open`]; [`ErrorKind::LimitExceeded`] for a Parquet file beyond `limits`.
    pub fn from_bytes(format: VectorFormat, bytes: Vec<u8>, limits: &Limits) -> Result<Self> {
        let length = bytes.len() as u64;
        let source = match format {
            VectorFormat::Parquet => parquet(bytes::Bytes::from(bytes), None, limits)?,
            _ => Source::Rows(Rows::open(
                format,
                Box::new(Cursor::new(bytes)),
                Some(length),
            )?),
        };
        Ok(Self::new(format, source, limits.clone()))
    }

    fn new(format: VectorFormat, source: Source, limits: Limits) -> Self {
        Self {
            format,
            source,
            limits,
            read: 0,
            is_done: false,
            vector: Vec::new(),
            ints: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// The kind of file.
    pub fn format(&self) -> VectorFormat {
        self.format
    }

    /// What the elements are in the file.
    pub fn element(&self) -> Element {
        match &self.source {
            Source::Rows(rows) => rows.element(),
            Source::Parquet(vectors) => vectors.element(),
        }
    }

    /// Number of elements of each vector; `None` if the file has no rows and does not say.
    pub fn dimension(&self) -> Option<usize> {
        match &self.source {
            Source::Rows(rows) => rows.dimension(),
            Source::Parquet(vectors) => vectors.dimension(),
        }
    }

    /// How many rows the file says that it has, by its header or its length: `None` of a TEXMEX file that is packed
    /// or cut off.
    pub fn rows(&self) -> Option<u64> {
        match &self.source {
            Source::Rows(rows) => rows.declared(),
            Source::Parquet(vectors) => Some(vectors.rows()),
        }
    }

    /// The columns beside the vectors, of a Parquet file.
    pub fn metadata(&self) -> &[Field] {
        match &self.source {
            Source::Rows(_) => &[],
            Source::Parquet(vectors) => vectors.metadata(),
        }
    }

    /// The next row; `None` after the last one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with the row's number and, where they matter, element and position in the file: the file
    /// is cut off, a row has another dimension, an element is not finite or no 32-bit float.
    /// [`ErrorKind::LimitExceeded`] for more rows than the limits allow; [`ErrorKind::Io`].
    pub fn read(&mut self) -> Result<Option<VectorRow<'_>>> {
        let number = self.read;
        let read = self.advance(|reader| match &mut reader.source {
            Source::Rows(rows) => {
                let element = rows.element();
                match rows.next()? {
                    None => Ok(false),
                    Some(bytes) => element
                        .decode(bytes, &mut reader.vector)
                        .map(|()| true)
                        .map_err(|error| error.at(format!("row {number}"))),
                }
            }
            Source::Parquet(vectors) => vectors.next(&mut reader.vector, &mut reader.metadata),
        })?;
        Ok(read.then_some(VectorRow {
            number,
            vector: &self.vector,
            metadata: &self.metadata,
        }))
    }

    /// The next row as integers, of a file that has such elements: the neighbours of a query, for instance.
    ///
    /// # Errors
    /// As [`VectorReader::read`]; [`ErrorKind::Invalid`] for a file of floats.
    pub fn read_ints(&mut self) -> Result<Option<&[i32]>> {
        let read = self.advance(|reader| match &mut reader.source {
            Source::Rows(rows) => {
                let element = rows.element();
                match rows.next()? {
                    None => Ok(false),
                    Some(bytes) => element.decode_ints(bytes, &mut reader.ints).map(|()| true),
                }
            }
            Source::Parquet(vectors) => vectors.next_ints(&mut reader.ints),
        })?;
        Ok(read.then_some(&self.ints))
    }

    fn advance(&mut self, next: impl FnOnce(&mut Self) -> Result<bool>) -> Result<bool> {
        if self.is_done {
            return Ok(false);
        }
        // Until it has gone well.
        self.is_done = true;
        if !next(self)? {
            return Ok(false);
        }
        self.read += 1;
        self.limits
            .check_rows(usize::try_from(self.read).unwrap_or(usize::MAX))?;
        self.is_done = false;
        Ok(true)
    }
}

fn parquet<R>(file: R, column: Option<&str>, limits: &Limits) -> Result<Source>
where
    R: parquet::file::reader::ChunkReader + 'static,
{
    let batches = Batches::open(file, BATCH_ROWS, limits)?;
    let vectors = Vectors::open(batches, column, limits)?;
    Ok(Source::Parquet(Box::new(vectors)))
}

impl Iterator for VectorReader {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(row) => row.map(|row| Ok(row.vector.to_vec())),
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::fmt::Debug for VectorReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VectorReader")
            .field("format", &self.format)
            .field("element", &self.element())
            .field("dimension", &self.dimension())
            .field("rows", &self.rows())
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}
