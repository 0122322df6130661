//! A model disk: it keeps what was written apart from what was synced, fails at a call of a test's choice, and knows
//! every content that a restart may find.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use durable::{Files, Output};

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// The call fails, nothing of it is done, and the program goes on.
    Error,
    /// A write puts half of its bytes down, then the disk is full; other calls fail.
    Half,
    /// The power goes just before the call.
    PowerCut,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Inode {
    synced: Vec<u8>,
    written: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        put(&mut self.written, at, bytes);
        self.unsynced.push((at, bytes.to_vec()));
    }

    /// What a restart may find: none of the unsynced writes, all of them, the first half and half of a write, or the
    /// second half.
    fn after_power_cut(&self, part: usize) -> Self {
        let mut content = self.synced.clone();
        let count = self.unsynced.len();
        let kept = [0..0, 0..count, 0..count / 2, count / 2..count];
        for (at, bytes) in &self.unsynced[kept[part].clone()] {
            put(&mut content, *at, bytes);
        }
        if let (2, Some((at, bytes))) = (part, self.unsynced.get(count / 2)) {
            put(&mut content, *at, &bytes[..bytes.len() / 2]);
        }
        Self {
            synced: content.clone(),
            written: content,
            unsynced: Vec::new(),
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

#[derive(Debug, Clone)]
pub(crate) enum NameChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

pub(crate) type Names = BTreeMap<PathBuf, usize>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) inodes: Vec<Inode>,
    pub(crate) names: Names,
    pub(crate) synced_names: Names,
    pub(crate) unsynced: Vec<NameChange>,
    pub(crate) calls: usize,
    pub(crate) fault: Option<(usize, Fault)>,
    pub(crate) dead: bool,
    /// Whether there is no room for further files.
    pub(crate) refuses_new_files: bool,
}

#[derive(Clone, Default)]
pub(crate) struct ModelFiles(Arc<Mutex<Disk>>);

struct ModelOutput {
    files: ModelFiles,
    inode: usize,
    at: usize,
}

fn apply(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Create(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
    }
}

impl Disk {
    fn call(&mut self) -> io::Result<Option<Fault>> {
        if self.dead {
            return Err(io::Error::other("power cut"));
        }
        self.calls += 1;
        match self.fault {
            Some((at, Fault::PowerCut)) if at == self.calls => {
                self.dead = true;
                Err(io::Error::other("power cut"))
            }
            Some((at, fault)) if at == self.calls => Ok(Some(fault)),
            _ => Ok(None),
        }
    }

    fn plain_call(&mut self) -> io::Result<()> {
        match self.call()? {
            None => Ok(()),
            Some(_) => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }

    fn change_names(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.unsynced.push(change);
    }

    /// Every disk that a restart may find: any number of the latest name changes lost, and of bytes not
    /// synced some there.
    pub(crate) fn after_power_cut(&self) -> Vec<Disk> {
        let mut disks = Vec::new();
        for kept in 0..=self.unsynced.len() {
            let mut names = self.synced_names.clone();
            self.unsynced[..kept]
                .iter()
                .for_each(|change| apply(&mut names, change));
            for part in 0..4 {
                let inodes = self.inodes.iter();
                let inodes = inodes.map(|inode| inode.after_power_cut(part)).collect();
                disks.push(Disk {
                    inodes,
                    names: names.clone(),
                    synced_names: names.clone(),
                    ..Disk::default()
                });
            }
        }
        disks
    }
}

impl ModelFiles {
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    pub(crate) fn of(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }
}

impl Write for ModelOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.files.disk();
        let fault = disk.call()?;
        let inode = &mut disk.inodes[self.inode];
        match fault {
            None => inode.write(self.at, bytes),
            Some(fault) => {
                if fault == Fault::Half {
                    inode.write(self.at, &bytes[..bytes.len() / 2]);
                }
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
        }
        self.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for ModelOutput {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.files.disk();
        disk.plain_call()?;
        let inode = &mut disk.inodes[self.inode];
        inode.synced = inode.written.clone();
        inode.unsynced.clear();
        Ok(())
    }
}

impl Files for ModelFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let disk = self.disk();
        let inode = disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(disk.inodes[*inode].written.clone())
    }

    fn create(&self, path: &Path, _like: &Path) -> io::Result<Box<dyn Output>> {
        let mut disk = self.disk();
        disk.plain_call()?;
        if disk.refuses_new_files {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = disk.inodes.len();
        disk.inodes.push(Inode::default());
        disk.change_names(NameChange::Create(path.to_owned(), inode));
        Ok(Box::new(ModelOutput {
            files: self.clone(),
            inode,
            at: 0,
        }))
    }

    fn open_at(&self, path: &Path, at: u64) -> io::Result<Box<dyn Output>> {
        let mut disk = self.disk();
        disk.plain_call()?;
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(ModelOutput {
            files: self.clone(),
            inode,
            at: usize::try_from(at).map_err(io::Error::other)?,
        }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.plain_call()?;
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let inode = &mut disk.inodes[inode];
        inode
            .written
            .truncate(usize::try_from(len).map_err(io::Error::other)?);
        inode.synced = inode.written.clone();
        inode.unsynced.clear();
        Ok(())
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        self.disk().plain_call()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.plain_call()?;
        disk.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.plain_call()?;
        disk.change_names(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut disk = self.disk();
        disk.plain_call()?;
        let inside = |path: &&PathBuf| path.parent() == Some(folder);
        Ok(disk.names.keys().filter(inside).cloned().collect())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.plain_call()?;
        disk.synced_names = disk.names.clone();
        disk.unsynced.clear();
        Ok(())
    }
}
