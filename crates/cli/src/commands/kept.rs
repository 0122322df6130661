//! [`Kept`]: where a database is kept: in a folder, or in a file.

use std::fmt::Display;
use std::io::{Write as _, stderr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use common::{Database, Result, Seq};
use durable::{DatabaseFile, DurableDatabase, DurableOptions};

/// Where a database is kept.
pub(super) enum Kept {
    /// On the disk with every commit.
    Folder(Arc<DurableDatabase>),
    /// In memory, and in the file when it is written.
    File(Box<File>),
}

/// A file, and the commit up to which it has everything.
pub(super) struct File {
    file: DatabaseFile,
    written: Mutex<Option<Seq>>,
}

impl File {
    fn open(path: &Path) -> Result<Self> {
        let file = DatabaseFile::open_or_create(path)?;
        let written = file.existed().then(|| file.database().seq());
        Ok(Self {
            file,
            written: Mutex::new(written),
        })
    }

    /// Writes it, if something has changed.
    fn write(&self) -> Result<()> {
        let seq = self.file.database().seq();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written != Some(seq) {
            self.file.save()?;
            *written = Some(seq);
        }
        Ok(())
    }
}

impl Kept {
    /// Opens the database at a path: a file that is there, or a folder, which is made where there is none.
    pub(super) fn at(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Self::file(path);
        }
        let store = DurableDatabase::open(path, DurableOptions::default())?;
        Ok(Self::Folder(Arc::new(store)))
    }

    /// Opens the database in a folder, which is made where there is none, and says what was found there.
    pub(super) fn folder(folder: &Path, options: DurableOptions) -> Result<Self> {
        let store = DurableDatabase::open(folder, options)?;
        let found = store.recovery();
        if found.torn_bytes > 0 {
            tell(format_args!(
                "{}: {} bytes at the end of the log were half written and were cut off; nobody had been told that they \
                 were safe",
                folder.display(),
                found.torn_bytes
            ));
        } else if !found.was_closed && found.seq.0 > 0 {
            tell(format_args!(
                "{}: the last server did not come to its end; the database is as of commit {}",
                folder.display(),
                found.seq
            ));
        }
        Ok(Self::Folder(Arc::new(store)))
    }

    /// Opens the database in a file, which is made where there is none.
    pub(super) fn file(path: &Path) -> Result<Self> {
        Ok(Self::File(Box::new(File::open(path)?)))
    }

    pub(super) fn database(&self) -> &Database {
        match self {
            Self::Folder(store) => store.database(),
            Self::File(file) => file.file.database(),
        }
    }

    /// Keeps everything until now.
    pub(super) fn keep(&self) -> Result<()> {
        match self {
            Self::Folder(store) => store.wait(store.database().seq()),
            Self::File(file) => file.write(),
        }
    }

    /// Waits until everything until now is on the disk, where it gets there by itself.
    pub(super) fn settle(&self) -> Result<()> {
        match self {
            Self::Folder(store) => store.wait(store.database().seq()),
            Self::File(_) => Ok(()),
        }
    }

    /// Ends it, and says where everything is.
    pub(super) fn end(self) -> Result<String> {
        match self {
            Self::Folder(store) => {
                let (seq, folder) = (store.database().seq(), store.folder().display().to_string());
                store.close()?;
                Ok(format!("closed {folder} at commit {seq}"))
            }
            Self::File(file) => {
                let saved = file.file.save()?;
                let path = file.file.path().display();
                Ok(format!("saved {} bytes to {path}", saved.bytes))
            }
        }
    }
}

/// Says something beside the output. Who closed it does not want to know.
fn tell(what: impl Display) {
    let _ = writeln!(stderr(), "{what}");
}
