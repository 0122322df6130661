//! `tandem vectors`: files of vectors, and tables that hold them.

mod convert;
mod export;
mod import;
mod info;

use std::path::Path;

use ::import::vectors::{Element, VectorFormat, VectorReader, VectorWriter};
use clap::{Args, Subcommand};
use common::{Error, Result};
use durable::{SystemFiles, replace_with};

use crate::source::missing;
use crate::terminal::Progress;

/// Import, export, convert and look at files of vectors
///
/// The files are those of SIFT1M and its like (.fvecs, .bvecs, .ivecs), NumPy's arrays of two axes (.npy), and
/// Parquet with a column of lists (.parquet). All but Parquet may be packed (.gz).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem vectors info base.fvecs --check\n  \
    tandem vectors import base.fvecs --table sift\n  \
    tandem vectors import notes.parquet --table notes --key id --from embedding\n  \
    tandem vectors export notes.npy --table notes --element f16\n  \
    tandem vectors convert base.bvecs base.npy --element u8")]
pub(crate) struct Vectors {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Info(info::Info),
    Import(import::Import),
    Export(export::Export),
    Convert(convert::Convert),
}

impl Vectors {
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::Info(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Convert(command) => command.run(),
        }
    }
}

fn open(path: &Path, column: Option<&str>) -> Result<VectorReader> {
    // A name that says nothing is told before a file that is not there.
    VectorFormat::of(path)?;
    std::fs::File::open(path).map_err(|error| missing(path, error))?;
    VectorReader::open(path, column)
}

/// A count of rows towards the number that the file says that it has.
fn progress(what: &str, rows: Option<u64>) -> Progress {
    match rows.and_then(|rows| usize::try_from(rows).ok()) {
        Some(rows) => Progress::rows_of(what, rows),
        None => Progress::rows(what),
    }
}

fn element(name: &str) -> Result<Element, String> {
    Element::named(name).ok_or_else(|| {
        let names = Element::ALL.map(Element::name).join(", ");
        format!("elements are {names}")
    })
}

/// A file that is about to be written: its format, and its elements, which are `given`, those of the format, or
/// 32-bit floats.
fn target(path: &Path, given: Option<Element>) -> Result<(VectorFormat, Element)> {
    let format = VectorFormat::of(path)?;
    if path.extension().is_some_and(|ending| ending == "gz") {
        return Err(Error::invalid(format!(
            "{}: files are written unpacked; leave `.gz` out of the name",
            path.display()
        )));
    }
    let element = given.or(format.element()).unwrap_or(Element::F32);
    Ok((format, element))
}

/// Puts the vectors that `next` gives into a file, which changes as a whole or not at all.
fn write(
    path: &Path,
    (format, element): (VectorFormat, Element),
    dimension: usize,
    rows: u64,
    next: impl FnOnce(&mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()>,
) -> Result<()> {
    replace_with(&SystemFiles, path, |out| {
        let mut writer = VectorWriter::new(out, format, element, dimension, rows)?;
        next(&mut |vector| writer.write(vector))?;
        writer.finish()
    })
}
