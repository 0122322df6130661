//! `tandem vectors convert`: from one kind of file to another, row by row.

use std::io::Write as _;
use std::path::PathBuf;

use ::import::vectors::Element;
use clap::Args;
use common::{Error, Result};

use super::{element, open, progress, target, write};
use crate::terminal::output;

/// Write the vectors of a file as another kind of file, with a row of them in memory at a time
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// The file to read: .fvecs, .bvecs, .ivecs, .npy or .parquet
    source: PathBuf,
    /// The file to write; one that exists is replaced as a whole, or stays as it was
    target: PathBuf,
    /// Column of the vectors of a Parquet file; the only one of lists of numbers if not given
    #[arg(long, value_name = "COLUMN")]
    from: Option<String>,
    /// Elements of a .npy file: f16, f32, f64, i8, u8 or i32; f32 if not given
    #[arg(long, value_parser = element)]
    element: Option<Element>,
    /// Write the first so many rows only
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
}

impl Convert {
    pub(crate) fn run(self) -> Result<()> {
        let to = target(&self.target, self.element)?;
        let mut reader = open(&self.source, self.from.as_deref())?;
        let place = |error: Error| error.at(self.source.display());
        let (Some(dimension), Some(rows)) = (reader.dimension(), reader.rows()) else {
            return Err(place(Error::invalid(
                "how many rows it has is not known before all are read: it is empty, packed or cut off; unpack it",
            )));
        };
        let rows = self.limit.unwrap_or(rows).min(rows);
        let bar = progress(&format!("writing {}", self.target.display()), Some(rows));
        write(&self.target, to, dimension, rows, |write| {
            for done in 1..=rows {
                // One that declares more rows than it has fails when all are written.
                let Some(row) = reader.read().map_err(place)? else {
                    break;
                };
                write(row.vector)?;
                bar.tick(usize::try_from(done).unwrap_or(usize::MAX));
            }
            Ok(())
        })?;
        let mut out = output();
        writeln!(
            out,
            "{rows} vectors of dimension {dimension} written to {}",
            self.target.display()
        )?;
        Ok(())
    }
}
