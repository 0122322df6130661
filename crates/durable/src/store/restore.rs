//! [`restore`]: a backup, brought to a later commit by the log.

use std::path::{Path, PathBuf};

use common::database::DatabaseOptions;
use common::storage::StorageKind;
use common::utils::id_generator::IdGenerator;
use common::{Error, Result, Seq, Timestamp};

use super::folder::{failed, list, segment_path, snapshot_path};
use super::recover::{self, check_whole, next_stamp, own_limits, read_segment};
use crate::database_file::save_with;
use crate::files::{Files, SystemFiles};
use crate::log::layout::Header;
use crate::log::segment::Segment;
use crate::replace::replace;

/// How far [`restore`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the end of the log.
    End,
    /// To this commit.
    Seq(Seq),
    /// To the last commit whose stamp is not after this time.
    Time(Timestamp),
}

/// Makes a database in the folder `to` from a backup and the segments of the log in the folders `logs`: archives, or
/// the folder of the database itself. Returns the position it was brought to.
///
/// The log in memory of the new database begins with it, and its own log is that of another database than the one that was backed up.
///
/// # Errors
/// [`common::ErrorKind::NotFound`] when `backup` holds no database; [`common::ErrorKind::Conflict`] when `to` holds one;
/// [`common::ErrorKind::Invalid`] when the log does not reach that far; [`common::ErrorKind::Corrupt`] for damaged files.
pub fn restore(
    backup: impl AsRef<Path>,
    logs: &[PathBuf],
    to: impl AsRef<Path>,
    until: Until,
) -> Result<Seq> {
    restore_with(&SystemFiles, backup.as_ref(), logs, to.as_ref(), until)
}

/// As [`restore`], on other files than those of the operating system.
///
/// # Errors
/// As [`restore`].
pub fn restore_with(
    files: &dyn Files,
    backup: &Path,
    logs: &[PathBuf],
    to: &Path,
    until: Until,
) -> Result<Seq> {
    let recovered = recover::read(files, backup, &DatabaseOptions::default())?;
    let Some(last) = recovered.last else {
        return Err(Error::not_found(format!(
            "{}: there is no backup in this folder; check the path",
            backup.display()
        )));
    };
    files
        .create_folder(to)
        .map_err(|error| failed(error, to, "the folder cannot be made"))?;
    let there = list(files, to)?;
    if !there.segments.is_empty() || !there.snapshots.is_empty() {
        return Err(Error::conflict(format!(
            "{}: holds a database already; choose an empty folder",
            to.display()
        )));
    }
    let database = recovered.database;
    if let Until::Seq(seq) = until
        && seq < database.seq()
    {
        return Err(Error::invalid(format!(
            "the backup is of commit {}; take an older one to go to commit {seq}",
            database.seq()
        )));
    }
    let limits = own_limits();
    let (mut number, store) = (last.number, last.segment.header.store);
    // The backup may have been opened, and have a log of its own since.
    let mut known = last.segment.entries(&limits).count();
    let mut ordinal = last.segment.header.ordinal;
    while let Some((path, segment)) = find(files, logs, number)? {
        if (segment.header.store, segment.header.ordinal) != (store, ordinal) {
            return Err(Error::corrupt(format!(
                "{}: byte 0: this part of the log does not follow the backup; give the log of the same database",
                path.display()
            )));
        }
        let is_last = find(files, logs, number + 1)?.is_none();
        check_whole(&path, &segment, is_last)?;
        let mut is_done = false;
        for (at, entry) in segment.entries(&limits).skip(known) {
            let place = |error: Error| error.at(format!("{}: byte {at}", path.display()));
            let entry = entry.map_err(place)?;
            is_done = match until {
                Until::End => false,
                Until::Seq(seq) => entry.seq > seq,
                Until::Time(time) => entry.stamp.millis() > time.as_millis(),
            };
            if is_done {
                break;
            }
            database.replay(entry).map_err(place)?;
        }
        if is_done {
            break;
        }
        known = 0;
        ordinal = segment.next;
        number += 1;
    }
    if let Until::Seq(seq) = until
        && seq > database.seq()
    {
        return Err(Error::invalid(format!(
            "the log ends at commit {}, and commit {seq} is asked for",
            database.seq()
        )));
    }
    let tables = database.collections();
    let ordered = tables
        .iter()
        .filter(|table| matches!(table.storage_kind(), StorageKind::Ordered));
    let header = Header {
        store: *IdGenerator::system().uuid_v4().as_bytes(),
        number: 1,
        ordinal: 1,
        seq: database.seq(),
        stamp: next_stamp(&database),
        pruned: database.seq(),
        ordered: ordered.map(|table| table.name().into()).collect(),
    };
    replace(files, &segment_path(to, 1), &header.encode())?;
    save_with(files, &database, &snapshot_path(to, 1))?;
    Ok(database.seq())
}

/// The segment of a number, of the folders that have it the longest.
fn find(files: &dyn Files, logs: &[PathBuf], number: u64) -> Result<Option<(PathBuf, Segment)>> {
    let mut found: Option<(PathBuf, Segment)> = None;
    for folder in logs {
        if !list(files, folder)?.segments.contains(&number) {
            continue;
        }
        let segment = read_segment(files, folder, number, &own_limits())?;
        if found
            .as_ref()
            .is_none_or(|(_, known)| known.end < segment.end)
        {
            found = Some((segment_path(folder, number), segment));
        }
    }
    Ok(found)
}
