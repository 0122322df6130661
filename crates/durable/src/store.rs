//! [`DurableDatabase`]: a database in memory, and the folder that brings it back.

mod backups;
mod checkpoint;
mod committer;
mod folder;
mod options;
mod recover;
mod repair;
mod restore;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Instant;

use common::database::DatabaseOptions;
use common::utils::id_generator::IdGenerator;
use common::{Database, Error, Result, Seq};
use parking_lot::{Mutex, MutexGuard};

use self::checkpoint::Checkpointer;
use self::committer::{Shared, Writer, closed_mark, salt};
use self::folder::{closed_path, failed, segment_path};
use self::recover::{Last, next_stamp, settle};
use crate::database_file::Saved;
use crate::files::{Files, SystemFiles};
use crate::lock::WriterLock;
use crate::log::layout::Header;
use crate::replace::{folder_of, replace};

pub use backups::{Backup, Backups, check_name};
pub use options::{Durability, DurableOptions};
pub use recover::Recovery;
pub use repair::{Repaired, repair, repair_with, verify, verify_with};
pub use restore::{Until, restore, restore_with};

/// A database that a folder keeps: all of it is in memory, and every change goes into a log on disk before it counts.
///
/// The folder holds a snapshot and the log since then, in files with checksums that `docs/file-format.md` describes.
/// Changes made through any handle to [`DurableDatabase::database`] are handed to a thread that writes and syncs them
/// together; [`DurableDatabase::wait`] returns when that is done, so an answer that leaves after it tells of nothing
/// that a power cut could take back. When the log reaches [`DurableOptions::checkpoint_bytes`], a snapshot is made beside
/// the writers, and the log before it is removed, as far as the log in memory keeps none of it.
///
/// After a failed write or sync the store refuses all further writes: what the disk holds is not known. Reads go on,
/// and opening the folder again finds everything that was waited for.
///
/// ```
/// use common::row;
/// use common::schema::{Field, FieldType, Schema};
/// use durable::{DurableDatabase, DurableOptions};
/// let folder = tempfile::tempdir()?;
///
/// let store = DurableDatabase::open(folder.path(), DurableOptions::default())?;
/// let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// let committed = store.database().create_collection(schema)?.insert(row! { "id": 7 })?;
/// store.wait(committed.seq)?;
/// drop(store);
///
/// let store = DurableDatabase::open(folder.path(), DurableOptions::default())?;
/// assert_eq!(store.database().collection("cities")?.len(), 1);
/// assert_eq!(store.database().changes_since(common::Seq(0), 10)?.len(), 1);
/// store.close()?;
/// # Ok::<(), common::Error>(())
/// ```
pub struct DurableDatabase {
    database: Database,
    shared: Arc<Shared>,
    checkpointer: Arc<Checkpointer>,
    recovery: Recovery,
    threads: Mutex<Option<Threads>>,
    /// Gone once it is closed; what still writes in another thread has it meanwhile.
    lock: Mutex<Option<Arc<WriterLock>>>,
}

/// No snapshot and no backup is made for as long as it lives; see [`DurableDatabase::hold_checkpoints`].
#[must_use]
pub struct HeldCheckpoints<'a> {
    _segments: MutexGuard<'a, BTreeMap<u64, Seq>>,
}

impl fmt::Debug for HeldCheckpoints<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldCheckpoints").finish_non_exhaustive()
    }
}

struct Threads {
    committer: JoinHandle<Option<Writer>>,
    checkpointer: JoinHandle<()>,
}

impl DurableDatabase {
    /// Opens the database of a folder, or begins one in a folder that holds none. Files of others in the folder are left alone.
    ///
    /// Reading takes about as long as reading the files twice. What a kill or a power cut left half written at the end
    /// of the log is cut off; [`DurableDatabase::recovery`] says how much that was.
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] while another process has the folder; [`common::ErrorKind::Io`] when the disk fails;
    /// [`common::ErrorKind::Corrupt`], naming file and byte, when something is damaged or missing that was safe on the disk
    /// before; [`common::ErrorKind::Unsupported`] when a later version wrote it.
    pub fn open(folder: impl AsRef<Path>, options: DurableOptions) -> Result<Self> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder)
            .map_err(|error| failed(error, folder, "the folder cannot be made"))?;
        let folder = std::fs::canonicalize(folder)
            .map_err(|error| failed(error, folder, "the folder cannot be read"))?;
        let lock = lock(&folder)?;
        Self::begin(Arc::new(SystemFiles), &folder, options, Some(lock))
    }

    /// As [`DurableDatabase::open`], on other files than those of the operating system, and without a lock.
    ///
    /// # Errors
    /// As [`DurableDatabase::open`].
    pub fn open_with(
        files: Arc<dyn Files>,
        folder: &Path,
        options: DurableOptions,
    ) -> Result<Self> {
        Self::begin(files, folder, options, None)
    }

    fn begin(
        files: Arc<dyn Files>,
        folder: &Path,
        options: DurableOptions,
        lock: Option<WriterLock>,
    ) -> Result<Self> {
        files
            .create_folder(folder)
            .map_err(|error| failed(error, folder, "the folder cannot be made"))?;
        let recovered = recover::read(&*files, folder, &options.database)?;
        settle(&*files, folder, &recovered)?;
        let mut segments: BTreeMap<u64, Seq> = recovered.segments.iter().copied().collect();
        let (header, ordinal, at) = match &recovered.last {
            Some(Last { segment, .. }) => {
                (segment.header.clone(), segment.next, segment.end as u64)
            }
            None => {
                let header = Header {
                    store: *IdGenerator::system().uuid_v4().as_bytes(),
                    number: 1,
                    ordinal: 1,
                    seq: Seq(0),
                    stamp: next_stamp(&recovered.database),
                    pruned: Seq(0),
                    ordered: Vec::new(),
                };
                let bytes = header.encode();
                replace(&*files, &segment_path(folder, 1), &bytes)?;
                let around = folder_of(folder);
                files
                    .sync_folder(around)
                    .map_err(|error| failed(error, around, "the folder cannot be synced"))?;
                segments.insert(1, Seq(0));
                (header, 1, bytes.len() as u64)
            }
        };
        let path = segment_path(folder, header.number);
        let out = files
            .open_at(&path, at)
            .map_err(|error| failed(error, &path, "the log cannot be opened"))?;
        let due_at = options.checkpoint_bytes.max(recovered.snapshot_bytes / 2);
        let database = recovered.database;
        let shared = Arc::new(Shared::new(database.seq(), recovered.log_bytes, due_at));
        let journal = Arc::clone(&shared);
        database.set_journal(Box::new(move |entry| journal.append(entry)))?;
        let checkpointer = Arc::new(Checkpointer {
            files: Arc::clone(&files),
            folder: folder.to_owned(),
            archive: options.archive,
            store: header.store,
            database: database.clone(),
            shared: Arc::clone(&shared),
            checkpoint_bytes: options.checkpoint_bytes,
            segments: Mutex::new(segments),
            archived: AtomicU64::new(0),
            last_error: Mutex::new(None),
        });
        let writer = Writer {
            files,
            folder: folder.to_owned(),
            durability: options.durability,
            store: header.store,
            number: header.number,
            salt: salt(&header.encode()),
            out,
            at,
            ordinal,
            synced: ordinal - 1,
            synced_at: Instant::now(),
        };
        Ok(Self {
            threads: Mutex::new(Some(start(writer, &shared, &checkpointer)?)),
            database,
            shared,
            checkpointer,
            recovery: recovered.recovery,
            lock: Mutex::new(lock.map(Arc::new)),
        })
    }

    /// The database, to read and to change. Handles to it that outlive this store read what it held, and refuse writes.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What was found when the folder was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// What tells this database from all others, made by chance when its folder was begun. What [`restore`] makes is another database
    /// than the one that was backed up.
    pub fn id(&self) -> [u8; 16] {
        self.checkpointer.store
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.checkpointer.folder
    }

    /// Returns when every change up to the commit `seq`, and to tables until now, is as safe as [`Durability`] says: at
    /// once when it is already. Any number of threads that wait share one sync.
    ///
    /// # Errors
    /// [`common::ErrorKind::Io`] when the log has failed, after which the change may be found or not when the folder is
    /// opened again; [`common::ErrorKind::Closed`] after [`DurableDatabase::close`]; [`common::ErrorKind::Invalid`] for a commit that was not made.
    pub fn wait(&self, seq: Seq) -> Result<()> {
        self.shared.wait(seq)
    }

    /// Whether [`DurableDatabase::wait`] for `seq` would return at once.
    pub fn is_durable(&self, seq: Seq) -> bool {
        self.shared.is_durable(seq)
    }

    /// Position up to which every commit is on the disk.
    pub fn durable_seq(&self) -> Seq {
        self.shared.durable()
    }

    /// Calls `listener` on the thread that writes the log, whenever what is waited for may have become safe and when the log has
    /// failed: with the position up to which everything is as safe as [`Durability`] says, or `None` when nothing will become so any
    /// more. A change to tables made in the meantime may stand at that position too: [`DurableDatabase::is_durable`] knows. The listener
    /// must not wait for this store.
    pub fn on_durable(&self, listener: impl Fn(Option<Seq>) + Send + Sync + 'static) {
        self.shared.listen(Box::new(listener));
    }

    /// Why writes are refused, when the log has failed.
    pub fn failure(&self) -> Option<Error> {
        self.shared.failure()
    }

    /// Why the last snapshot could not be made, when it could not; writes go on meanwhile, and so does the log's growth.
    pub fn checkpoint_failure(&self) -> Option<Error> {
        let error = self.checkpointer.last_error.lock();
        error
            .as_ref()
            .map(|error| Error::new(error.kind(), error.message().to_owned()))
    }

    /// Makes a snapshot beside running writers, then removes the log that is not needed any more. Not to be called within a
    /// transaction. An alteration that rebuilds a table is refused meanwhile: see [`DurableDatabase::hold_checkpoints`].
    ///
    /// # Errors
    /// [`common::ErrorKind::Io`] when the disk fails or is full: the log stays and writes go on, unless the log itself has failed;
    /// [`common::ErrorKind::Closed`] after [`DurableDatabase::close`].
    pub fn checkpoint(&self) -> Result<Saved> {
        let _lock = self.while_open()?;
        self.checkpointer.checkpoint()
    }

    /// Waits until a snapshot or a backup that is being made is finished, and lets none begin for as long as what is returned
    /// lives: for alterations that rebuild a table. Writers go on, and so does the log's growth. A snapshot or a backup that the
    /// same thread asks for meanwhile would wait for itself.
    ///
    /// ```
    /// # use common::{Seq, ValueInput, row};
    /// # use common::database::Alteration;
    /// # use common::schema::{Field, FieldType, Schema};
    /// # use durable::{DurableDatabase, DurableOptions};
    /// # let folder = tempfile::tempdir()?;
    /// # let store = DurableDatabase::open(folder.path(), DurableOptions::default())?;
    /// # let schema = |version| {
    /// #     let id = Field::new("id", FieldType::Int);
    /// #     Schema::build("cities", ["id"]).field(id).version(version).finish()
    /// # };
    /// # store.database().create_collection(schema(1)?)?.insert(row! { "id": 7 })?;
    /// let held = store.hold_checkpoints();
    /// store.database().alter(vec![Alteration::Rebuild {
    ///     schema: schema(2)?,
    ///     row: Box::new(|record, values| {
    ///         values.extend(record.iter().cloned().map(ValueInput::from));
    ///         Ok(())
    ///     }),
    ///     derivation: None,
    /// }])?;
    /// drop(held);
    /// # assert_eq!(store.checkpoint()?.seq, store.database().seq());
    /// # Ok::<(), common::Error>(())
    /// ```
    pub fn hold_checkpoints(&self) -> HeldCheckpoints<'_> {
        HeldCheckpoints {
            _segments: self.checkpointer.segments.lock(),
        }
    }

    /// Writes a consistent copy into the folder `to` beside running writers. It holds a database like any other:
    /// [`DurableDatabase::open`] opens it, and [`restore`] brings it to a later commit.
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] when `to` holds a database; [`common::ErrorKind::Io`] when a disk fails or is full;
    /// [`common::ErrorKind::Closed`] after [`DurableDatabase::close`].
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Saved> {
        let _lock = self.while_open()?;
        self.checkpointer.backup(to.as_ref())
    }

    /// Keeps other processes out of the folder for as long as the answer is held.
    fn while_open(&self) -> Result<Option<Arc<WriterLock>>> {
        if self.threads.lock().is_none() {
            return Err(Error::closed(format!(
                "{}: the store is closed; open it again",
                self.folder().display()
            )));
        }
        Ok(self.lock.lock().clone())
    }

    /// Writes and syncs everything, and notes where the log ended. The database refuses writes from then on, and the
    /// folder is free for another process. Dropping the store does the same, without a word of failures.
    ///
    /// # Errors
    /// [`common::ErrorKind::Io`] when the log has failed, now or before.
    pub fn close(&self) -> Result<()> {
        let mut threads = self.threads.lock();
        let Some(Threads {
            committer,
            checkpointer,
        }) = threads.take()
        else {
            return self.shared.failure().map_or(Ok(()), Err);
        };
        self.shared.close();
        let writer = committer.join().ok().flatten();
        // It has nothing to say: its failures are kept.
        let _ = checkpointer.join();
        let closed = match writer {
            Some(writer) => {
                let mark = closed_mark(writer.number, writer.ordinal, writer.at);
                replace(&*writer.files, &closed_path(&writer.folder), &mark)
            }
            None => Err(self
                .shared
                .failure()
                .unwrap_or_else(|| Error::closed("the log has failed"))),
        };
        *self.lock.lock() = None;
        closed
    }
}

impl Drop for DurableDatabase {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _ = self.close();
    }
}

impl fmt::Debug for DurableDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableDatabase")
            .field("folder", &self.checkpointer.folder)
            .field("durable_seq", &self.durable_seq())
            .finish_non_exhaustive()
    }
}

/// Reads the database of a folder and changes nothing.
pub(crate) fn read(files: &dyn Files, folder: &Path) -> Result<Database> {
    let recovered = recover::read(files, folder, &DatabaseOptions::default())?;
    match recovered.last {
        Some(_) => Ok(recovered.database),
        None => Err(repair::no_database(folder)),
    }
}

/// Keeps other processes out of a folder.
fn lock(folder: &Path) -> Result<WriterLock> {
    WriterLock::acquire(&folder.join("database"))
}

fn start(
    writer: Writer,
    shared: &Arc<Shared>,
    checkpointer: &Arc<Checkpointer>,
) -> Result<Threads> {
    let spawn_failed = |error: std::io::Error| {
        Error::new(
            common::ErrorKind::Io,
            format!("no thread for the log can be started ({error})"),
        )
        .caused_by(error)
    };
    let of_committer = Arc::clone(shared);
    let committer = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            let run = AssertUnwindSafe(|| writer.run(&of_committer));
            catch_unwind(run).unwrap_or_else(|_| {
                of_committer.fail("the thread that writes it has stopped".to_owned());
                None
            })
        })
        .map_err(spawn_failed)?;
    let (shared, checkpointer) = (Arc::clone(shared), Arc::clone(checkpointer));
    let checkpointer = std::thread::Builder::new()
        .name("checkpoint".to_owned())
        .spawn(move || {
            while shared.wait_due() {
                // Its failure is kept, and the next attempt comes later.
                let _ = checkpointer.checkpoint();
            }
        })
        .map_err(spawn_failed)?;
    Ok(Threads {
        committer,
        checkpointer,
    })
}
