//! Snapshots beside running writers: after them the log before is not needed to open the database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::database::Snapshot;
use common::schema::Schema;
use common::storage::StorageKind;
use common::{Collection, Database, Error, Result, Seq};
use parking_lot::Mutex;

use super::committer::Shared;
use super::folder::{failed, list, segment_path, snapshot_path};
use super::recover::next_stamp;
use crate::database_file::{Saved, tables_of, write_image};
use crate::files::Files;
use crate::log::layout::Header;
use crate::replace::replace;

/// Makes snapshots of one database, one at a time.
pub(crate) struct Checkpointer {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) folder: PathBuf,
    pub(crate) archive: Option<PathBuf>,
    pub(crate) store: [u8; 16],
    pub(crate) database: Database,
    pub(crate) shared: Arc<Shared>,
    pub(crate) checkpoint_bytes: u64,
    /// Segments that are there, with the position at the beginning of each. The lock is held while a snapshot
    /// or a backup is made.
    pub(crate) segments: Mutex<BTreeMap<u64, Seq>>,
    /// Segments before this one are in the archive.
    pub(crate) archived: AtomicU64,
    pub(crate) last_error: Mutex<Option<Error>>,
}

/// A state of the database at the beginning of a segment.
struct Point {
    number: u64,
    header: Header,
    snapshot: Snapshot,
    tables: Vec<(Collection, Schema)>,
}

impl Checkpointer {
    /// Makes a snapshot, then removes what it makes superfluous.
    pub(crate) fn checkpoint(&self) -> Result<Saved> {
        let mut segments = self.segments.lock();
        let result = self.checkpoint_locked(&mut segments);
        if result.is_err() {
            // The next attempt comes when there is more to gain from it.
            let mut state = self.shared.lock();
            state.due_at = state.log_bytes.saturating_add(self.checkpoint_bytes);
        }
        *self.last_error.lock() = result
            .as_ref()
            .err()
            .map(|error| Error::new(error.kind(), error.message().to_owned()));
        result
    }

    fn checkpoint_locked(&self, segments: &mut BTreeMap<u64, Seq>) -> Result<Saved> {
        let point = self.rotate(segments)?;
        let log_bytes = self.shared.lock().log_bytes;
        let path = snapshot_path(&self.folder, point.number);
        let saved = write_image(&*self.files, &path, &point.snapshot, &point.tables)?;
        {
            let mut state = self.shared.lock();
            state.log_bytes = state.log_bytes.saturating_sub(log_bytes);
            state.due_at = self.checkpoint_bytes.max(saved.bytes / 2);
        }
        self.archive(segments, point.number)?;
        self.remove(segments, point.number)?;
        Ok(saved)
    }

    /// Writes a consistent copy into another folder, which holds a database then.
    pub(crate) fn backup(&self, to: &Path) -> Result<Saved> {
        self.files
            .create_folder(to)
            .map_err(|error| failed(error, to, "the folder cannot be made"))?;
        let there = list(&*self.files, to)?;
        if !there.segments.is_empty() || !there.snapshots.is_empty() {
            return Err(Error::conflict(format!(
                "{}: holds a database already; choose an empty folder",
                to.display()
            )));
        }
        let mut segments = self.segments.lock();
        let point = self.rotate(&mut segments)?;
        self.archive(&segments, point.number)?;
        // The lock is held to the end: whoever holds snapshots back waits for this one too.
        let header = point.header.encode();
        replace(&*self.files, &segment_path(to, point.number), &header)?;
        let path = snapshot_path(to, point.number);
        write_image(&*self.files, &path, &point.snapshot, &point.tables)
    }

    /// Lets a new segment begin, and gives the state at its beginning.
    fn rotate(&self, segments: &mut BTreeMap<u64, Seq>) -> Result<Point> {
        let transaction = self.database.begin();
        let snapshot = self.database.snapshot();
        let tables = tables_of(&self.database);
        let is_ordered = |table: &Collection| matches!(table.storage_kind(), StorageKind::Ordered);
        let ordered = tables.iter().filter(|(table, _)| is_ordered(table));
        let mut header = Header {
            store: self.store,
            number: 0,
            ordinal: 0,
            seq: snapshot.seq(),
            stamp: next_stamp(&self.database),
            pruned: self.database.log_extent().0,
            ordered: ordered.map(|(table, _)| table.name().into()).collect(),
        };
        self.shared.request_rotation(header.clone())?;
        drop(transaction);
        let (number, ordinal) = self.shared.wait_rotated()?;
        segments.insert(number, snapshot.seq());
        header.number = number;
        header.ordinal = ordinal;
        Ok(Point {
            number,
            header,
            snapshot,
            tables,
        })
    }

    /// Copies all segments before `number` into the archive, where they are not there yet.
    fn archive(&self, segments: &BTreeMap<u64, Seq>, number: u64) -> Result<()> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        self.files
            .create_folder(archive)
            .map_err(|error| failed(error, archive, "the archive cannot be made"))?;
        let there = list(&*self.files, archive)?.segments;
        let done = self.archived.load(Ordering::Relaxed);
        for before in segments.range(done..number).map(|(number, _)| *number) {
            let (from, to) = (
                segment_path(&self.folder, before),
                segment_path(archive, before),
            );
            let bytes = self
                .files
                .read(&from)
                .map_err(|error| failed(error, &from, "cannot be read for the archive"))?;
            if there.binary_search(&before).is_ok() {
                let known = self
                    .files
                    .read(&to)
                    .map_err(|error| failed(error, &to, "cannot be read"))?;
                if known != bytes {
                    return Err(Error::conflict(format!(
                        "{}: the archive holds the log of another database; give each database an archive of its own",
                        to.display()
                    )));
                }
            } else {
                replace(&*self.files, &to, &bytes)?;
            }
        }
        self.archived.store(number, Ordering::Relaxed);
        Ok(())
    }

    /// Removes snapshots before `number`, and segments of which the log in memory keeps nothing.
    fn remove(&self, segments: &mut BTreeMap<u64, Seq>, number: u64) -> Result<()> {
        let mut is_changed = false;
        for old in list(&*self.files, &self.folder)?.snapshots {
            if old < number {
                let path = snapshot_path(&self.folder, old);
                self.files
                    .remove(&path)
                    .map_err(|error| failed(error, &path, "cannot be removed"))?;
                is_changed = true;
            }
        }
        let pruned = self.database.log_extent().0;
        while let Some((&old, _)) = segments.first_key_value() {
            let end = segments.range(old + 1..).next().map(|(_, seq)| *seq);
            if old >= number || end.is_none_or(|end| end > pruned) {
                break;
            }
            let path = segment_path(&self.folder, old);
            self.files
                .remove(&path)
                .map_err(|error| failed(error, &path, "cannot be removed"))?;
            segments.remove(&old);
            is_changed = true;
        }
        if is_changed {
            self.files
                .sync_folder(&self.folder)
                .map_err(|error| failed(error, &self.folder, "the folder cannot be synced"))?;
        }
        Ok(())
    }
}
