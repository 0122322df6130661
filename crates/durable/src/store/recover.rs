//! From the files of a folder to the database they hold.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::io;
use std::path::Path;

use common::database::{DatabaseOptions, ReplayEntry};
use common::limits::ROWS_MAX;
use common::serialization::read_image;
use common::storage::StorageKind;
use common::versioning::Hlc;
use common::{Database, Error, ErrorKind, Limits, Result, Seq};

use super::committer::{closed_mark, read_closed_mark};
use super::folder::{Listing, closed_path, failed, list, segment_path, snapshot_path};
use crate::files::Files;
use crate::log::segment::{Segment, Tail};

/// What opening a durable database found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Position of the snapshot that was read; 0 without one.
    pub snapshot: Seq,
    /// Position of the database.
    pub seq: Seq,
    /// Entries of the log that were carried out after it.
    pub entries: u64,
    /// Bytes at the end of the log that a power cut or a kill had left half written, and that were cut off. Nobody had
    /// been told that they were safe.
    pub torn_bytes: u64,
    /// Whether the last program that had the database closed it.
    pub was_closed: bool,
}

/// A database that was read, and where its log ends. Nothing was written yet.
pub(crate) struct Recovered {
    pub(crate) database: Database,
    pub(crate) recovery: Recovery,
    pub(crate) listing: Listing,
    /// The last segment; none in a folder that holds no database.
    pub(crate) last: Option<Last>,
    /// Each segment that is part of the database, with the position at its beginning.
    pub(crate) segments: Vec<(u64, Seq)>,
    /// Bytes of log after the snapshot.
    pub(crate) log_bytes: u64,
    pub(crate) snapshot_bytes: u64,
}

/// The last segment of a log.
pub(crate) struct Last {
    pub(crate) number: u64,
    pub(crate) segment: Segment,
}

/// Limits of a program that reads its own files: each part is still checked against the bytes that are there.
pub(crate) fn own_limits() -> Limits {
    Limits::default()
        .total_bytes_max(usize::MAX)
        .bytes_max(usize::MAX)
        .elements_max(usize::MAX)
        .rows_max(usize::try_from(ROWS_MAX).unwrap_or(usize::MAX))
}

/// Reads the database of a folder.
///
/// # Errors
/// As [`crate::DurableDatabase::open`].
pub(crate) fn read(
    files: &dyn Files,
    folder: &Path,
    options: &DatabaseOptions,
) -> Result<Recovered> {
    let listing = list(files, folder)?;
    let database = Database::with(options.clone());
    let mut recovered = Recovered {
        database,
        recovery: Recovery::default(),
        listing,
        last: None,
        segments: Vec::new(),
        log_bytes: 0,
        snapshot_bytes: 0,
    };
    recovered.fill(files, folder)?;
    recovered.recovery.seq = recovered.database.seq();
    Ok(recovered)
}

impl Recovered {
    fn fill(&mut self, files: &dyn Files, folder: &Path) -> Result<()> {
        let limits = own_limits();
        let snapshot = self.listing.snapshots.last().copied();
        let Some(first) = snapshot.or_else(|| self.listing.segments.first().copied()) else {
            return Ok(());
        };
        let end = self.listing.segments.last().copied().unwrap_or_default();
        for number in first..=end.max(first) {
            if self.listing.segments.binary_search(&number).is_err() {
                return Err(Error::corrupt(format!(
                    "{}: this part of the log is missing; restore the folder from a backup",
                    segment_path(folder, number).display()
                )));
            }
        }
        let mut segment = read_segment(files, folder, first, &limits)?;
        if let Some(number) = snapshot {
            self.load_snapshot(files, folder, number, &segment)?;
            self.load_past(files, folder, number, &segment, &limits)?;
        } else if first != 1 || segment.header.seq != Seq(0) {
            return Err(Error::corrupt(format!(
                "{}: the snapshot that this part of the log follows is missing; restore the folder from a backup",
                segment_path(folder, first).display()
            )));
        }
        let mut number = first;
        loop {
            let path = segment_path(folder, number);
            self.check_order(&path, number, &segment)?;
            check_whole(&path, &segment, number == end)?;
            self.database.clock().resume(segment.header.stamp);
            replay(&path, &segment, &limits, &mut |entry| {
                self.recovery.entries += 1;
                self.database.replay(entry)
            })?;
            self.segments.push((number, segment.header.seq));
            self.log_bytes += segment.end as u64;
            if number == end {
                break;
            }
            number += 1;
            let (next, store) = (segment.next, segment.header.store);
            segment = read_segment(files, folder, number, &limits)?;
            if segment.header.ordinal != next || segment.header.store != store {
                return Err(Error::corrupt(format!(
                    "{}: byte 0: this part of the log does not follow the one before",
                    segment_path(folder, number).display()
                )));
            }
        }
        self.recovery.torn_bytes = segment.torn_bytes() as u64;
        let last = Last { number, segment };
        self.check_closed(files, folder, &last)?;
        self.last = Some(last);
        Ok(())
    }

    fn load_snapshot(
        &mut self,
        files: &dyn Files,
        folder: &Path,
        number: u64,
        segment: &Segment,
    ) -> Result<()> {
        let path = snapshot_path(folder, number);
        let bytes = files
            .map(&path)
            .map_err(|error| failed(error, &path, "the snapshot cannot be read"))?;
        let image = read_image(&bytes, &own_limits()).map_err(|error| error.at(path.display()))?;
        self.snapshot_bytes = bytes.len() as u64;
        if image.seq != segment.header.seq {
            return Err(Error::corrupt(format!(
                "{}: it is of commit {}, and its log begins at commit {}",
                path.display(),
                image.seq,
                segment.header.seq
            )));
        }
        for (schema, records) in image.tables {
            let ordered = segment.header.ordered.contains(&schema.name);
            let kind = if ordered {
                StorageKind::Ordered
            } else {
                StorageKind::Hash
            };
            let table = self.database.create_collection_in(schema, kind);
            table
                .and_then(|table| self.database.load(&table, &records))
                .map_err(|error| error.at(path.display()))?;
        }
        self.database.resume_at(image.seq)?;
        self.recovery.snapshot = image.seq;
        Ok(())
    }

    /// Fills the log in memory from the segments before the snapshot that are still there.
    fn load_past(
        &mut self,
        files: &dyn Files,
        folder: &Path,
        number: u64,
        segment: &Segment,
        limits: &Limits,
    ) -> Result<()> {
        let mut past = Vec::new();
        let mut next = (segment.header.ordinal, segment.header.store);
        for before in (1..number).rev() {
            if self.listing.segments.binary_search(&before).is_err() {
                break;
            }
            let path = segment_path(folder, before);
            let segment = read_segment(files, folder, before, limits)?;
            check_whole(&path, &segment, false)?;
            // A part that was to be removed, and came back with a power cut.
            if (segment.next, segment.header.store) != next {
                break;
            }
            next = (segment.header.ordinal, segment.header.store);
            past.push((path, before, segment));
        }
        past.reverse();
        let Some((_, _, oldest)) = past.first() else {
            return Ok(());
        };
        let pruned = segment.header.pruned;
        let after = oldest.header.seq.max(pruned);
        let first = past
            .iter()
            .map(|(_, number, segment)| (*number, segment.header.seq));
        self.segments.extend(first);
        let mut entries = past.iter().flat_map(|(path, _, segment)| {
            let wanted = move |(at, entry): (usize, Result<ReplayEntry>)| {
                let place = |error: Error| error.at(format!("{}: byte {at}", path.display()));
                match entry {
                    Ok(entry) if entry.seq <= after => None,
                    entry => Some(entry.map_err(place)),
                }
            };
            segment.entries(limits).filter_map(wanted)
        });
        self.database
            .load_log(after, &mut entries)
            .map_err(|error| error.at(folder.display()))
    }

    fn check_order(&self, path: &Path, number: u64, segment: &Segment) -> Result<()> {
        let (header, seq) = (&segment.header, self.database.seq());
        if header.number == number && header.seq == seq {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{}: byte 0: this is part {} of the log from commit {}, where part {number} from commit {seq} is expected",
            path.display(),
            header.number,
            header.seq
        )))
    }

    /// A log that was closed ends where it was closed.
    fn check_closed(&mut self, files: &dyn Files, folder: &Path, last: &Last) -> Result<()> {
        if !self.listing.has_closed {
            return Ok(());
        }
        let path = closed_path(folder);
        let mark = match files.read(&path) {
            Ok(mark) => mark,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error, &path, "cannot be read")),
        };
        // Without a mark that can be read, the log is read as after a kill.
        let Some([number, ordinal, at]) = read_closed_mark(&mark) else {
            return Ok(());
        };
        let segment = &last.segment;
        if closed_mark(last.number, segment.next, segment.end as u64) != mark {
            return Err(Error::corrupt(format!(
                "{}: byte {}: the log ends before batch {}; it was closed behind batch {} at byte {at} of part {number}. \
                 Restore it from a backup, or cut it here with `tandem repair`",
                segment_path(folder, last.number).display(),
                segment.end,
                segment.next,
                ordinal.saturating_sub(1)
            )));
        }
        self.recovery.was_closed = true;
        Ok(())
    }
}

pub(crate) fn read_segment(
    files: &dyn Files,
    folder: &Path,
    number: u64,
    limits: &Limits,
) -> Result<Segment> {
    let path = segment_path(folder, number);
    let bytes = files
        .read(&path)
        .map_err(|error| failed(error, &path, "this part of the log cannot be read"))?;
    Segment::read(bytes, limits).map_err(|error| error.at(path.display()))
}

/// Only the end of the last segment can be torn.
pub(crate) fn check_whole(path: &Path, segment: &Segment, is_last: bool) -> Result<()> {
    if segment.tail == Tail::None || (segment.tail == Tail::Torn && is_last) {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{}: byte {}: batch {} of the log is damaged, and was safe on the disk before. Restore the folder from a \
         backup, or cut the log here with `tandem repair`",
        path.display(),
        segment.end,
        segment.next
    )))
}

pub(crate) fn replay(
    path: &Path,
    segment: &Segment,
    limits: &Limits,
    each: &mut dyn FnMut(ReplayEntry) -> Result<()>,
) -> Result<()> {
    for (at, entry) in segment.entries(limits) {
        entry.and_then(&mut *each).map_err(|error| {
            let place = format!("{}: byte {at}", path.display());
            match error.kind() {
                ErrorKind::Unsupported | ErrorKind::LimitExceeded | ErrorKind::Corrupt => {
                    error.at(place)
                }
                _ => Error::corrupt(error.to_string()).at(place),
            }
        })?;
    }
    Ok(())
}

/// Makes what was read the end of the log on the disk: cuts off what is torn, and writes again what may be in the memory
/// of the operating system only.
pub(crate) fn settle(files: &dyn Files, folder: &Path, recovered: &Recovered) -> Result<()> {
    let Some(Last { number, segment }) = &recovered.last else {
        return Ok(());
    };
    let path = segment_path(folder, *number);
    if segment.tail != Tail::None {
        files
            .truncate(&path, segment.end as u64)
            .map_err(|error| failed(error, &path, "the torn end cannot be cut off"))?;
    }
    // After a sync that failed, the operating system may show what the disk never got.
    if !segment.unsynced().is_empty() && !recovered.recovery.was_closed {
        let written = files
            .open_at(&path, segment.unsynced_at as u64)
            .and_then(|mut out| {
                out.write_all(segment.unsynced())?;
                out.sync()
            });
        written.map_err(|error| failed(error, &path, "the end of the log cannot be synced"))?;
    }
    let closed = closed_path(folder);
    let removed = recovered
        .listing
        .leftovers
        .iter()
        .chain(recovered.listing.has_closed.then_some(&closed));
    let mut is_changed = false;
    for path in removed {
        match files.remove(path) {
            Ok(()) => is_changed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if *path == closed => {
                return Err(failed(error, path, "cannot be removed"));
            }
            // Leftovers cost space only.
            Err(_) => {}
        }
    }
    if is_changed {
        files
            .sync_folder(folder)
            .map_err(|error| failed(error, folder, "the folder cannot be synced"))?;
    }
    Ok(())
}

/// A stamp beyond all that the database gave.
pub(crate) fn next_stamp(database: &Database) -> Hlc {
    database.clock().tick()
}
