//! [`verify`] and [`repair`]: what is wrong with a folder, and what can be saved.

use std::path::{Path, PathBuf};

use common::database::DatabaseOptions;
use common::{Error, ErrorKind, Result};

use super::folder::{closed_path, failed, list, segment_path};
use super::lock;
use super::recover::{self, Recovery, own_limits, read_segment};
use crate::files::{Files, SystemFiles};
use crate::log::segment::Segment;
use crate::replace::replace;

/// What [`repair`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What opening the folder finds now.
    pub recovery: Recovery,
    /// Files beside the log that hold what was cut off.
    pub kept: Vec<PathBuf>,
    /// Bytes of log that were cut off.
    pub cut_bytes: u64,
}

/// Reads everything in the folder of a durable database, as opening it does, and changes nothing.
///
/// # Errors
/// As [`crate::DurableDatabase::open`]; [`ErrorKind::NotFound`] when the folder holds no database.
pub fn verify(folder: impl AsRef<Path>) -> Result<Recovery> {
    let folder = folder.as_ref();
    check_folder(folder)?;
    let _lock = lock(folder)?;
    verify_with(&SystemFiles, folder)
}

/// As [`verify`], on other files than those of the operating system, and without a lock.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(files: &dyn Files, folder: &Path) -> Result<Recovery> {
    let recovered = recover::read(files, folder, &DatabaseOptions::default())?;
    match recovered.last {
        Some(_) => Ok(recovered.recovery),
        None => Err(no_database(folder)),
    }
}

/// Cuts a damaged log at its last whole entry, so that the folder can be opened again: what was written after the damage
/// is lost to the database. The bytes that are cut off are kept in files beside the log.
///
/// A folder that is whole is left as it is.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when the damage is elsewhere than in the log, and only a backup helps; otherwise as [`verify`].
pub fn repair(folder: impl AsRef<Path>) -> Result<Repaired> {
    let folder = folder.as_ref();
    check_folder(folder)?;
    let _lock = lock(folder)?;
    repair_with(&SystemFiles, folder)
}

/// As [`repair`], on other files than those of the operating system, and without a lock.
///
/// # Errors
/// As [`repair`].
pub fn repair_with(files: &dyn Files, folder: &Path) -> Result<Repaired> {
    let mut repaired = Repaired {
        recovery: Recovery::default(),
        kept: Vec::new(),
        cut_bytes: 0,
    };
    match verify_with(files, folder) {
        Ok(recovery) => {
            repaired.recovery = recovery;
            return Ok(repaired);
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {}
        Err(error) => return Err(error),
    }
    let listing = list(files, folder)?;
    let limits = own_limits();
    let first = listing.snapshots.last().or(listing.segments.first());
    let Some(&first) = first else {
        return Err(no_database(folder));
    };
    let last = listing.segments.last().copied().unwrap_or_default();
    let mut cut_at = None;
    let mut next = None;
    for number in first..=last {
        let path = segment_path(folder, number);
        let segment = match read_segment(files, folder, number, &limits) {
            Ok(segment) => segment,
            Err(error) if number == first => return Err(error),
            Err(_) => {
                cut_at = Some((number, None));
                break;
            }
        };
        if next.is_some_and(|next| next != (segment.header.ordinal, segment.header.store)) {
            cut_at = Some((number, None));
            break;
        }
        let end = segment.end;
        if end < segment.bytes().len() {
            keep(files, &path, end, &segment, &mut repaired)?;
            cut_at = Some((number + 1, Some((path, end))));
            break;
        }
        next = Some((segment.next, segment.header.store));
    }
    let closed = closed_path(folder);
    if listing.has_closed {
        files
            .remove(&closed)
            .map_err(|error| failed(error, &closed, "cannot be removed"))?;
    }
    if let Some((from, cut)) = cut_at {
        for number in (from..=last).rev() {
            let path = segment_path(folder, number);
            if listing.segments.binary_search(&number).is_err() {
                continue;
            }
            let to = path.with_extension("damaged");
            files
                .rename(&path, &to)
                .map_err(|error| failed(error, &path, "cannot be moved aside"))?;
            repaired.kept.push(to);
        }
        files
            .sync_folder(folder)
            .map_err(|error| failed(error, folder, "the folder cannot be synced"))?;
        if let Some((path, end)) = cut {
            files
                .truncate(&path, end as u64)
                .map_err(|error| failed(error, &path, "cannot be cut"))?;
        }
    }
    repaired.recovery = verify_with(files, folder)?;
    Ok(repaired)
}

fn keep(
    files: &dyn Files,
    path: &Path,
    end: usize,
    segment: &Segment,
    repaired: &mut Repaired,
) -> Result<()> {
    let bytes = segment.bytes().get(end..).unwrap_or_default();
    repaired.cut_bytes += bytes.len() as u64;
    let to = path.with_extension(format!("damaged-{end}"));
    replace(files, &to, bytes)?;
    repaired.kept.push(to);
    Ok(())
}

fn check_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        Ok(())
    } else {
        Err(no_database(folder))
    }
}

pub(super) fn no_database(folder: &Path) -> Error {
    Error::not_found(format!(
        "{}: there is no durable database in this folder; check the path",
        folder.display()
    ))
}
