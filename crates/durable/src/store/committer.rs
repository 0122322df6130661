//! The thread that writes the log: what commits hand over is written and synced together.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::database::JournalEntry;
use common::{Error, ErrorKind, Result, Seq};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::folder::{failed, segment_path};
use super::options::Durability;
use crate::files::{Files, Output};
use crate::log::entry;
use crate::log::layout::{BATCH_HEAD_BYTES, BatchHead, ENTRY_BYTES_MAX, Header};
use crate::replace::replace;

/// Bytes that wait to be written at which writers wait too.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Called with the position up to which everything is safe; see [`crate::DurableDatabase::on_durable`].
pub(crate) type DurableListener = Box<dyn Fn(Option<Seq>) + Send + Sync>;

/// What writers, waiters and the committer share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something is to be done.
    work: Condvar,
    /// Something is done: a batch is written, a segment is begun, or the store has failed.
    done: Condvar,
    /// A snapshot is due, or there will be none: of a batch that only makes the log longer, nobody need be woken.
    due: Condvar,
    listeners: Mutex<Vec<DurableListener>>,
}

pub(crate) struct State {
    /// Room for the head of a batch, then entries.
    queue: Vec<u8>,
    /// Position of the first entry that waits; that of entries that change no record is the commit before them.
    queue_first: Option<Seq>,
    /// Position of the first entry that is being written.
    writing_first: Option<Seq>,
    /// Position of the last entry handed over.
    appended: Seq,
    durable: Seq,
    rotation: Option<Rotation>,
    rotated: Option<Result<(u64, u64)>>,
    is_closing: bool,
    is_closed: bool,
    failure: Option<String>,
    /// Bytes of log since the last snapshot.
    pub(crate) log_bytes: u64,
    /// `log_bytes` at which a snapshot is due.
    pub(crate) due_at: u64,
}

/// A new segment is to begin.
struct Rotation {
    /// Bytes of the queue that belong to the old one.
    at: usize,
    /// `store`, `number` and `ordinal` are filled in.
    header: Header,
}

impl Shared {
    pub(crate) fn new(seq: Seq, log_bytes: u64, due_at: u64) -> Self {
        Self {
            state: Mutex::new(State {
                queue: vec![0; BATCH_HEAD_BYTES],
                queue_first: None,
                writing_first: None,
                appended: seq,
                durable: seq,
                rotation: None,
                rotated: None,
                is_closing: false,
                is_closed: false,
                failure: None,
                log_bytes,
                due_at,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            due: Condvar::new(),
            listeners: Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The journal: takes an entry over, under the database's lock of writers.
    pub(crate) fn append(&self, entry: &JournalEntry<'_>) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            state.check()?;
            if state.is_closing {
                return Err(Error::closed(
                    "the durable database is closed; open it again to write to it",
                ));
            }
            if state.queue.len() < QUEUE_BYTES_MAX {
                break;
            }
            self.done.wait(&mut state);
        }
        let begin = state.queue.len();
        state.queue.extend_from_slice(&[0; 4]);
        let encoded = entry::encode(entry, &mut state.queue).and_then(|()| {
            let len = state.queue.len() - begin - 4;
            match u32::try_from(len) {
                Ok(bytes) if len <= ENTRY_BYTES_MAX => Ok(bytes),
                _ => Err(Error::limit_exceeded(format!(
                    "one commit or alteration takes {len} bytes in the log, and at most {ENTRY_BYTES_MAX} are \
                     allowed; write in smaller transactions"
                ))),
            }
        });
        match encoded {
            Ok(len) => {
                let place = state.queue.iter_mut().skip(begin);
                place
                    .zip(len.to_le_bytes())
                    .for_each(|(to, from)| *to = from);
            }
            Err(error) => {
                state.queue.truncate(begin);
                return Err(error);
            }
        }
        state.appended = entry.seq;
        state.queue_first.get_or_insert(entry.seq);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Returns when everything up to `seq` is safe.
    pub(crate) fn wait(&self, seq: Seq) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if !state.is_pending(seq) {
                // What is safe is safe, also in a store that has failed since.
                return if seq <= state.appended {
                    Ok(())
                } else {
                    Err(Error::invalid(format!(
                        "commit {seq} is waited for, but the last one is {}",
                        state.appended
                    )))
                };
            }
            state.check()?;
            if state.is_closed {
                return Err(Error::closed("the durable database is closed"));
            }
            self.done.wait(&mut state);
        }
    }

    pub(crate) fn is_durable(&self, seq: Seq) -> bool {
        !self.lock().is_pending(seq)
    }

    pub(crate) fn durable(&self) -> Seq {
        self.state.lock().durable
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.state.lock().check().err()
    }

    pub(crate) fn listen(&self, listener: DurableListener) {
        self.listeners.lock().push(listener);
    }

    /// Asks for a new segment that begins behind everything handed over so far; the caller holds the lock of writers.
    pub(crate) fn request_rotation(&self, header: Header) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        if state.is_closing {
            return Err(Error::closed("the durable database is closed"));
        }
        state.rotated = None;
        state.rotation = Some(Rotation {
            at: state.queue.len(),
            header,
        });
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Number of the segment that was asked for, and of its first batch.
    pub(crate) fn wait_rotated(&self) -> Result<(u64, u64)> {
        let mut state = self.state.lock();
        loop {
            if let Some(rotated) = state.rotated.take() {
                return rotated;
            }
            state.check()?;
            if state.is_closed {
                return Err(Error::closed("the durable database is closed"));
            }
            self.done.wait(&mut state);
        }
    }

    /// Waits until a snapshot is due; false when there will be none.
    pub(crate) fn wait_due(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.is_closing || state.failure.is_some() {
                return false;
            }
            if state.log_bytes >= state.due_at {
                return true;
            }
            self.due.wait(&mut state);
        }
    }

    /// Lets the committer write what there is and end.
    pub(crate) fn close(&self) {
        self.state.lock().is_closing = true;
        self.work.notify_all();
        self.done.notify_all();
        self.due.notify_all();
    }

    pub(crate) fn fail(&self, why: String) {
        let mut state = self.state.lock();
        state.failure.get_or_insert(why);
        drop(state);
        self.done.notify_all();
        self.due.notify_all();
        self.tell(None);
    }

    fn tell(&self, safe: Option<Seq>) {
        for listener in self.listeners.lock().iter() {
            listener(safe);
        }
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(why) => Err(Error::new(
                ErrorKind::Io,
                format!(
                    "the durable database refuses writes because its log failed: {why}; reads go on, what was \
                     acknowledged is safe, open it again when the cause is gone"
                ),
            )),
        }
    }

    /// Position of the first entry that is not safe yet.
    fn pending(&self) -> Option<Seq> {
        self.writing_first.or(self.queue_first)
    }

    /// Whether something at or before `seq` is not safe yet.
    fn is_pending(&self, seq: Seq) -> bool {
        self.pending().is_some_and(|first| first <= seq)
    }

    /// Position up to which everything is safe.
    fn safe(&self) -> Seq {
        let pending = self.pending().map(|first| Seq(first.0.saturating_sub(1)));
        pending.unwrap_or(self.appended)
    }
}

/// The end of the log.
pub(crate) struct Writer {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) folder: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) store: [u8; 16],
    pub(crate) number: u64,
    pub(crate) salt: u32,
    pub(crate) out: Box<dyn Output>,
    /// Bytes of the segment.
    pub(crate) at: u64,
    /// Number of the next batch.
    pub(crate) ordinal: u64,
    pub(crate) synced: u64,
    pub(crate) synced_at: Instant,
}

impl Writer {
    /// Writes until the store is closed or fails; gives the writer back for what is to be done last.
    pub(crate) fn run(mut self, shared: &Shared) -> Option<Self> {
        let mut spare = Vec::new();
        loop {
            let mut state = shared.state.lock();
            while state.queue.len() == BATCH_HEAD_BYTES
                && state.rotation.is_none()
                && !state.is_closing
            {
                match self.rest() {
                    None => shared.work.wait(&mut state),
                    Some(rest) => {
                        if shared.work.wait_for(&mut state, rest).timed_out() {
                            break;
                        }
                    }
                }
            }
            let at = state.rotation.as_ref().map_or(state.queue.len(), |r| r.at);
            spare.clear();
            spare.resize(BATCH_HEAD_BYTES, 0);
            if at < state.queue.len() {
                spare.extend_from_slice(state.queue.get(at..).unwrap_or_default());
                state.queue.truncate(at);
            }
            let rotation = state.rotation.take();
            let mut batch = std::mem::replace(&mut state.queue, std::mem::take(&mut spare));
            let last = rotation.as_ref().map_or(state.appended, |r| r.header.seq);
            state.writing_first = state.queue_first.take();
            if state.queue.len() > BATCH_HEAD_BYTES {
                state.queue_first = Some(last);
            }
            let is_last = state.is_closing && state.queue.len() == BATCH_HEAD_BYTES;
            drop(state);

            let is_synced = match self.write(&mut batch, rotation.is_some() || is_last) {
                Ok(is_synced) => is_synced,
                Err(error) => {
                    shared.fail(error.message().to_owned());
                    return None;
                }
            };
            let written = (batch.len() - BATCH_HEAD_BYTES) as u64;
            spare = batch;
            let rotated = match rotation.map(|rotation| self.rotate(rotation.header)) {
                None => None,
                Some(Ok(result)) => Some(result),
                Some(Err(error)) => {
                    shared.fail(error.message().to_owned());
                    return None;
                }
            };
            let mut state = shared.state.lock();
            state.writing_first = None;
            state.log_bytes += written;
            if is_synced {
                state.durable = last;
            }
            if let Some(result) = rotated {
                state.rotated = Some(result);
            }
            state.is_closed = is_last;
            let safe = state.safe();
            let is_due = state.log_bytes >= state.due_at;
            drop(state);
            shared.done.notify_all();
            if is_due {
                shared.due.notify_all();
            }
            shared.tell(Some(safe));
            if is_last {
                return Some(self);
            }
        }
    }

    /// Time until the disk is to be synced, if there is something to sync.
    fn rest(&self) -> Option<Duration> {
        match self.durability {
            Durability::Every(every) if self.synced + 1 < self.ordinal => {
                Some(every.saturating_sub(self.synced_at.elapsed()))
            }
            _ => None,
        }
    }

    /// Writes a batch, if it has entries, and syncs when it is time; whether all is on the disk.
    fn write(&mut self, batch: &mut [u8], must_sync: bool) -> Result<bool> {
        let path = || segment_path(&self.folder, self.number);
        if batch.len() > BATCH_HEAD_BYTES {
            let (head, entries) = batch.split_at_mut(BATCH_HEAD_BYTES);
            let found = BatchHead::encode(self.salt, self.ordinal, self.synced, entries)?;
            head.copy_from_slice(&found);
            self.out
                .write_all(batch)
                .map_err(|error| failed(error, &path(), "cannot write to the log"))?;
            self.at += batch.len() as u64;
            self.ordinal += 1;
        }
        let is_due = match self.durability {
            Durability::EveryCommit => true,
            Durability::Every(every) => self.synced_at.elapsed() >= every,
            Durability::None => false,
        };
        if !must_sync && !is_due {
            return Ok(false);
        }
        if self.synced + 1 < self.ordinal {
            self.out
                .sync_data()
                .map_err(|error| failed(error, &path(), "cannot sync the log to the disk"))?;
            self.synced = self.ordinal - 1;
        }
        self.synced_at = Instant::now();
        Ok(true)
    }

    /// Begins a new segment. The inner error is one after which the old segment goes on.
    fn rotate(&mut self, mut header: Header) -> Result<Result<(u64, u64)>> {
        header.store = self.store;
        header.number = self.number + 1;
        header.ordinal = self.ordinal;
        let path = segment_path(&self.folder, header.number);
        let bytes = header.encode();
        if let Err(error) = replace(&*self.files, &path, &bytes) {
            // If only the last step failed, the new segment may be there or not after a power cut.
            return match self.files.read(&path) {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Err(error)),
                _ => Err(error),
            };
        }
        self.out = self
            .files
            .open_at(&path, bytes.len() as u64)
            .map_err(|error| failed(error, &path, "cannot open the new segment of the log"))?;
        self.number = header.number;
        self.at = bytes.len() as u64;
        self.salt = salt(&bytes);
        Ok(Ok((self.number, self.ordinal)))
    }
}

/// The checksum that ends a header.
pub(crate) fn salt(header: &[u8]) -> u32 {
    let checksum = header.last_chunk().copied().unwrap_or_default();
    u32::from_le_bytes(checksum)
}

/// What [`closed_path`](super::folder::closed_path) holds: where the log ended when the database was closed.
pub(crate) fn closed_mark(number: u64, ordinal: u64, at: u64) -> Vec<u8> {
    let mut mark = b"TNDMEND1".to_vec();
    for part in [number, ordinal, at] {
        mark.extend_from_slice(&part.to_le_bytes());
    }
    mark.extend_from_slice(&crc32fast::hash(&mark).to_le_bytes());
    mark
}

/// The number of the segment, the number of the next batch and the bytes of the segment, if the mark is whole.
pub(crate) fn read_closed_mark(mark: &[u8]) -> Option<[u64; 3]> {
    let part = |at: usize| {
        let bytes = mark.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let [number, ordinal, at] = [part(8)?, part(16)?, part(24)?];
    (closed_mark(number, ordinal, at) == mark).then_some([number, ordinal, at])
}
