//! [`WriterLock`]: one writer per file, across processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use common::{Error, ErrorKind, Result};

use crate::replace::beside;

/// The right to write one file, held until dropped; the operating system takes it back from a process that dies.
///
/// It is a lock on the empty-looking file `.NAME.lock` beside the file, which holds the process number of the
/// last writer and is never removed: removing it would let two writers lock two different files of that name.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("data.tdb");
/// let lock = durable::WriterLock::acquire(&path)?;
/// assert!(durable::WriterLock::acquire(&path).is_err());
/// drop(lock);
/// assert!(durable::WriterLock::acquire(&path).is_ok());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug)]
pub struct WriterLock {
    // Closing the file is what releases the lock.
    _file: File,
}

impl WriterLock {
    /// Takes the lock of `path` without waiting.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when another writer has it, [`ErrorKind::Io`] when the folder cannot be
    /// written to.
    pub fn acquire(path: &Path) -> Result<Self> {
        let lock = beside(path, ".lock")?;
        let io = |e: std::io::Error| {
            Error::new(
                ErrorKind::Io,
                format!("{}: cannot use the lock file ({e})", lock.display()),
            )
            .caused_by(e)
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut file)),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // The number only makes the message of the next writer better, so a failure is no failure.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn in_use(path: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let holder = match file.take(20).read_to_string(&mut holder) {
        Ok(1..) => format!("process {holder}"),
        _ => "another process".to_owned(),
    };
    Error::conflict(format!(
        "{}: is being written by {holder}; wait until it has finished, or choose another file",
        path.display()
    ))
}
