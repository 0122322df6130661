//! What lies in the folder of a database: names of files, and which of them are ours.

use std::io;
use std::path::{Path, PathBuf};

use common::{Error, ErrorKind, Result};

use crate::files::Files;

/// The files of a database by number, and leftovers of writers that were killed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) snapshots: Vec<u64>,
    pub(crate) segments: Vec<u64>,
    pub(crate) leftovers: Vec<PathBuf>,
    /// Whether the last program that had the database closed it.
    pub(crate) has_closed: bool,
}

/// The log's segment of a number.
pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("log-{number:016}"))
}

/// The snapshot that the segment of a number follows.
pub(crate) fn snapshot_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("snapshot-{number:016}.tdb"))
}

/// What a program leaves that closes the database.
pub(crate) fn closed_path(folder: &Path) -> PathBuf {
    folder.join("closed")
}

/// Lists a folder. Files of others are passed over.
pub(crate) fn list(files: &dyn Files, folder: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let found = files
        .list(folder)
        .map_err(|error| failed(error, folder, "the folder cannot be read"))?;
    for path in found {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let number = |text: &str| match text.len() {
            16 => text.parse().ok(),
            _ => None,
        };
        if let Some(number) = name.strip_prefix("log-").and_then(number) {
            listing.segments.push(number);
        } else if let Some(number) = name
            .strip_prefix("snapshot-")
            .and_then(|name| name.strip_suffix(".tdb"))
            .and_then(number)
        {
            listing.snapshots.push(number);
        } else if name == "closed" {
            listing.has_closed = true;
        } else if name.contains(".new-")
            && [".log-", ".snapshot-", ".closed"]
                .iter()
                .any(|ours| name.starts_with(ours))
        {
            listing.leftovers.push(path);
        }
    }
    listing.segments.sort_unstable();
    listing.snapshots.sort_unstable();
    Ok(listing)
}

/// An error of the operating system at a path.
pub(crate) fn failed(error: io::Error, path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("{}: {what} ({error})", path.display()),
    )
    .caused_by(error)
}
