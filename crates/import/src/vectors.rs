//! Files of vectors: `.fvecs`, `.bvecs`, `.ivecs`, `.npy` and Parquet, read and written row by row.
//!
//! ```
//! use import::vectors::{Element, VectorFormat, VectorReader, VectorWriter};
//!
//! let mut file = Vec::new();
//! let mut writer = VectorWriter::new(&mut file, VectorFormat::Npy, Element::F32, 3, 2)?;
//! writer.write(&[0.5, 1.0, 2.0])?;
//! writer.write(&[3.0, 4.0, 5.0])?;
//! writer.finish()?;
//!
//! let mut reader = VectorReader::from_bytes(VectorFormat::Npy, file, &common::Limits::default())?;
//! assert_eq!((reader.rows(), reader.dimension()), (Some(2), Some(3)));
//! let row = reader.read()?.expect("the first of two rows");
//! assert_eq!(row.vector, [0.5, 1.0, 2.0]);
//! # Ok::<(), common::Error>(())
//! ```
//!
//! | ending | elements | rows |
//! |---|---|---|
//! | `.fvecs`, `.bvecs`, `.ivecs` | 32-bit floats; bytes; 32-bit integers | the dimension in 32 bits before each, as SIFT1M has them |
//! | `.npy` | `f2`, `f4`, `f8`, `i1`, `u1`, `i4` | an array of two axes in C order, of NumPy's format 1.0 to 3.0 |
//! | `.parquet` | floats of 16, 32, 64 bits; integers of 8 and 32 bits, bytes | a column of lists; the other columns are metadata |
//!
//! All numbers are little-endian. A vector's elements become 32-bit floats: wider floats are rounded, integers must
//! be exactly such a float, and all must be finite. In memory is one row, of Parquet one page of each column and
//! one batch of rows.

mod element;
#[doc(hidden)]
pub mod hostile;
mod npy;
mod parquet;
mod reader;
mod rows;
mod table;
mod writer;

use std::fmt;
use std::path::Path;

use common::{Error, Result};

pub use element::Element;
pub use reader::{VectorReader, VectorRow};
pub use table::{TableOptions, insert, table_schema};
pub use writer::VectorWriter;

/// Kinds of file that hold vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorFormat {
    /// TEXMEX rows of 32-bit floats.
    Fvecs,
    /// TEXMEX rows of bytes.
    Bvecs,
    /// TEXMEX rows of 32-bit integers: mostly the true neighbours of queries.
    Ivecs,
    /// A NumPy array of two axes.
    Npy,
    /// A Parquet file with a column of lists.
    Parquet,
}

impl VectorFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Fvecs,
        Self::Bvecs,
        Self::Ivecs,
        Self::Npy,
        Self::Parquet,
    ];

    /// How names of such files end, without the dot.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Fvecs => "fvecs",
            Self::Bvecs => "bvecs",
            Self::Ivecs => "ivecs",
            Self::Npy => "npy",
            Self::Parquet => "parquet",
        }
    }

    /// The format that a file's name ends in; `.gz` after it does not count.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for any other name, with those that there are.
    pub fn of(path: &Path) -> Result<Self> {
        let (ending, _) = super::ending(path);
        let found = Self::ALL
            .into_iter()
            .find(|format| format.ending() == ending);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "{}: unknown kind of file; files of vectors end in .fvecs, .bvecs, .ivecs, .npy or .parquet",
                path.display()
            ))
        })
    }

    /// The elements of its rows, of a format that has but one type of them.
    pub const fn element(self) -> Option<Element> {
        match self {
            Self::Fvecs => Some(Element::F32),
            Self::Bvecs => Some(Element::U8),
            Self::Ivecs => Some(Element::I32),
            Self::Npy | Self::Parquet => None,
        }
    }
}

impl fmt::Display for VectorFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ending())
    }
}
