//! Reads a user's file as rows of named, typed cells: CSV, JSON lines, Parquet or Arrow.
//!
//! ```
//! let options = import::Options {
//!     table: "cities".to_owned(),
//!     ..import::Options::default()
//! };
//! let file = b"id,name\n1,Oulu\n2,Turku\nx,Kemi\n".to_vec();
//! let loaded = import::load_bytes("cities.csv", file, &options, &mut |_| ()).unwrap();
//! assert_eq!(loaded.rows.len(), 2);
//! assert_eq!(loaded.schema.fields[1].name.as_str(), "name");
//! let refusal = &loaded.refusals[0];
//! assert_eq!((refusal.line, refusal.column.as_deref()), (4, Some("id")));
//! ```
//!
//! A file is read twice: once to find out what its columns hold, unless a schema says so, and once to turn
//! every cell into a value. What cannot be read is a [`Refusal`] with line, column and reason; the caller
//! decides whether one refusal stops everything.
//!
//! Files of [`vectors`] are read row by row instead: they have one column, of one type, and may be large.

mod cell;
mod columns;
mod csv;
#[doc(hidden)]
pub mod hostile;
mod infer;
mod jsonl;
mod load;
mod typed;
pub mod vectors;

use std::fmt;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;

use ::common::schema::FieldType;
use ::common::{Error, ErrorKind, Result, Value};

pub use cell::text_to_value;
pub use columns::{Columns, Wanted, load_columns, value_to_type};
pub use load::{Loaded, Options, Progress, load, load_bytes, load_packed};

/// Most bytes of one unpacked input file: 4 GiB.
const INPUT_BYTES_MAX: u64 = 4 << 30;

/// One cell as the file gives it.
#[derive(Debug, Clone, Copy)]
enum Cell<'a> {
    /// The row leaves the column out.
    Missing,
    /// A cell of a text file.
    Text(&'a str),
    /// A cell of a text file with nothing between quotes, where that is told from nothing at all.
    Quoted,
    /// A value of a JSON object.
    Json(&'a serde_json::Value),
    /// A value that has its type already.
    Typed(&'a Value),
}

/// A part of the file that cannot become a row, and why.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Line of the file where the row begins, from 1; for Parquet and Arrow the row's number.
    pub line: u64,
    /// The column, when one cell is at fault.
    pub column: Option<String>,
    /// What was found and what was expected.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Refusal {
    fn row(line: u64, message: impl Into<String>) -> Self {
        Self {
            line,
            column: None,
            message: message.into(),
            remedy: None,
        }
    }

    fn cell(line: u64, column: &str, message: impl Into<String>) -> Self {
        Self {
            column: Some(column.to_owned()),
            ..Self::row(line, message)
        }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// What a visitor of rows gets: the line on which the row begins, and its cells in the order of
/// [`Source::columns`], or why there are none.
type Visit<'v> = &'v mut dyn FnMut(u64, Result<&[Cell<'_>], Refusal>) -> ControlFlow<()>;

/// A file that can be read row by row, more than once.
trait Source {
    /// Names of the columns.
    fn columns(&self) -> &[String];

    /// Types of the columns, of a file that says so.
    fn types(&self) -> Option<Vec<FieldType>> {
        None
    }

    /// Shows every row to `visit` until it breaks.
    fn each(&self, visit: Visit<'_>) -> Result<()>;
}

/// The kinds of file that can be read, by the end of their name.
const ENDINGS: [&str; 7] = [
    "csv", "tsv", "jsonl", "ndjson", "parquet", "arrow", "feather",
];

/// Whether the name ends as files do that [`load()`] reads.
pub fn is_readable(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).0.as_str())
}

/// The end of the file's name in lower case without `.gz`, and whether it had that.
fn ending(path: &Path) -> (String, bool) {
    let lower = |path: &Path| {
        let ending = path.extension().unwrap_or_default();
        ending.to_string_lossy().to_lowercase()
    };
    match lower(path).as_str() {
        "gz" => (lower(Path::new(path.file_stem().unwrap_or_default())), true),
        other => (other.to_owned(), false),
    }
}

/// The name of the file without folder and endings: what a table is called that nobody named.
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn open(path: &Path, options: &Options) -> Result<Box<dyn Source>> {
    let (ending, packed) = ending(path);
    check_ending(path, &ending)?;
    let bytes = read(path, packed)?;
    open_bytes(path, &ending, bytes, options)
}

fn check_ending(path: &Path, ending: &str) -> Result<()> {
    if ENDINGS.contains(&ending) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{}: unknown kind of file; files that can be read end in .csv, .tsv, .jsonl, .ndjson, \
         .parquet, .arrow or .feather, also with .gz after it",
        path.display()
    )))
}

/// A text file that comes with the program.
fn open_packed(path: &Path, packed: &[u8], options: &Options) -> Result<Box<dyn Source>> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut bytes)?;
    open_bytes(path, &ending(path).0, bytes, options)
}

fn open_bytes(
    path: &Path,
    ending: &str,
    bytes: Vec<u8>,
    options: &Options,
) -> Result<Box<dyn Source>> {
    let source: Result<Box<dyn Source>> = match ending {
        "csv" | "tsv" => csv::open(bytes, options, ending == "tsv").map(|s| Box::new(s) as _),
        "parquet" => typed::open_parquet(&bytes, options).map(|s| Box::new(s) as _),
        "arrow" | "feather" => typed::open_arrow(&bytes, options).map(|s| Box::new(s) as _),
        _ => jsonl::open(&bytes).map(|s| Box::new(s) as _),
    };
    source.map_err(|error| error.at(path.display()))
}

fn read(path: &Path, packed: bool) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, packed, error))?;
    if packed {
        let unpacked = flate2::read::MultiGzDecoder::new(std::io::BufReader::new(file));
        read_all(path, packed, unpacked)
    } else {
        read_all(path, packed, file)
    }
}

/// The content of a file that is packed with gzip.
fn unpack(path: &Path, packed: &[u8]) -> Result<Vec<u8>> {
    read_all(path, true, flate2::read::MultiGzDecoder::new(packed))
}

fn read_all(path: &Path, packed: bool, from: impl std::io::Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, packed, error))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Error::limit_exceeded(format!(
            "{}: is larger than 4 GiB unpacked; split it",
            path.display()
        )));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, packed: bool, error: std::io::Error) -> Error {
    let remedy = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; check the path",
        std::io::ErrorKind::PermissionDenied => "reading it is not allowed; check its rights",
        std::io::ErrorKind::IsADirectory => "it is a folder; give the path of a file",
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData if packed => {
            "it is not packed with gzip; unpack it, or leave `.gz` out of its name"
        }
        _ => "it cannot be read",
    };
    Error::new(
        ErrorKind::Io,
        format!("{}: {remedy} ({error})", path.display()),
    )
    .caused_by(error)
}
