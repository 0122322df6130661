//! [`Files`]: the few things this crate asks of a file system, so that tests can make each of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::page_file::{aligned, map};

/// A file being written.
pub trait Output: Write + Send {
    /// Returns when everything written so far survives a power cut.
    ///
    /// # Errors
    /// What the operating system reports; what was written since the last success may be lost.
    fn sync(&mut self) -> io::Result<()>;

    /// As [`Output::sync`], without what only describes the file: its times.
    ///
    /// # Errors
    /// As [`Output::sync`].
    fn sync_data(&mut self) -> io::Result<()> {
        self.sync()
    }
}

/// What this crate needs of a file system.
///
/// Implemented outside this crate to inject faults, or to keep files elsewhere than on a disk. Most programs
/// use [`SystemFiles`].
pub trait Files: Send + Sync {
    /// The whole content of a file.
    ///
    /// # Errors
    /// What the operating system reports.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The whole content of a file without reading it before it is used, if there is a way; it begins at a multiple of
    /// 64 in memory.
    ///
    /// # Errors
    /// What the operating system reports.
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.read(path).map(aligned)
    }

    /// An existing file, to be written to from a position on; what lies behind what is written stays.
    ///
    /// # Errors
    /// What the operating system reports.
    fn open_at(&self, path: &Path, at: u64) -> io::Result<Box<dyn Output>>;

    /// Begins a new file, readable by those who may read `like`, when that exists.
    ///
    /// # Errors
    /// What the operating system reports; in particular when `path` exists.
    fn create(&self, path: &Path, like: &Path) -> io::Result<Box<dyn Output>>;

    /// Shortens a file to its first `len` bytes, which survives a power cut when this returns.
    ///
    /// # Errors
    /// What the operating system reports.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Makes a folder and those around it, where they are missing.
    ///
    /// # Errors
    /// What the operating system reports.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file the name `to`, in place of the file that has it now, in one step.
    ///
    /// # Errors
    /// What the operating system reports; nothing has changed then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// All files of a folder.
    ///
    /// # Errors
    /// What the operating system reports.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Returns when names given and taken in `folder` survive a power cut.
    ///
    /// # Errors
    /// What the operating system reports.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The files of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFiles;

impl Output for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}

impl Files for SystemFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        map(path)
    }

    fn open_at(&self, path: &Path, at: u64) -> io::Result<Box<dyn Output>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Box::new(file))
    }

    fn create(&self, path: &Path, like: &Path) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        if let Ok(metadata) = fs::metadata(like) {
            file.set_permissions(metadata.permissions())?;
        }
        Ok(Box::new(file))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // Other systems have no call for this; they order the change of names themselves.
        if cfg!(unix) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}
