//! A disk in memory that records what is done to it, works out what a power cut may leave, and fails where it is told to.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use durable::{Files, Output};

/// What a disk is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create(PathBuf, usize),
    Write(usize, usize, Vec<u8>),
    Sync(usize),
    /// A sync that failed: what was written and not synced before is shown as written, and never reaches the disk.
    FailedSync(usize),
    Truncate(usize, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncFolder,
    /// A step of the script begins.
    Started(usize),
    /// A step of the script was waited for.
    Acked(usize),
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The device fails.
    Io,
    /// There is no room.
    Full,
    /// Half of what is written arrives, then there is no room; a call that writes nothing fails.
    Short,
}

pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;
type Names = BTreeMap<PathBuf, usize>;

#[derive(Default)]
pub(crate) struct State {
    names: Names,
    inodes: Vec<Vec<u8>>,
    pub(crate) ops: Vec<Op>,
    pub(crate) calls: usize,
    pub(crate) fault: Option<(usize, Fault)>,
    /// Every call fails from now on.
    pub(crate) is_full: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

struct Out {
    disk: Disk,
    inode: usize,
    at: usize,
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl State {
    /// Counts a call that may fail.
    fn call(&mut self) -> Result<(), Fault> {
        self.calls += 1;
        match self.fault {
            Some((at, fault)) if at == self.calls => Err(fault),
            _ if self.is_full => Err(Fault::Full),
            _ => Ok(()),
        }
    }

    fn plain(&mut self) -> io::Result<()> {
        self.call().map_err(|fault| match fault {
            Fault::Io => io::Error::other("the device fails"),
            Fault::Full | Fault::Short => io::ErrorKind::StorageFull.into(),
        })
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk {
    pub(crate) fn of(image: &Image) -> Self {
        let mut state = State::default();
        for (path, content) in image {
            state.names.insert(path.clone(), state.inodes.len());
            state.inodes.push(content.clone());
        }
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What is on the disk for who does not cut the power.
    pub(crate) fn image(&self) -> Image {
        let state = self.state();
        let names = state.names.iter();
        names
            .map(|(path, inode)| (path.clone(), state.inodes[*inode].clone()))
            .collect()
    }

    pub(crate) fn note(&self, op: Op) {
        self.state().ops.push(op);
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let taken = match state.call() {
            Ok(()) => bytes.len(),
            Err(Fault::Short) => bytes.len() / 2,
            Err(Fault::Io) => return Err(io::Error::other("the device fails")),
            Err(Fault::Full) => return Err(io::ErrorKind::StorageFull.into()),
        };
        if taken < bytes.len() {
            state.is_full = true;
        }
        put(&mut state.inodes[self.inode], self.at, &bytes[..taken]);
        let op = Op::Write(self.inode, self.at, bytes[..taken].to_vec());
        state.ops.push(op);
        self.at += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Out {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let synced = state.plain();
        state.ops.push(match synced {
            Ok(()) => Op::Sync(self.inode),
            Err(_) => Op::FailedSync(self.inode),
        });
        synced
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.plain()?;
        let inode = state.inode(path)?;
        Ok(state.inodes[inode].clone())
    }

    fn open_at(&self, path: &Path, at: u64) -> io::Result<Box<dyn Output>> {
        let mut state = self.state();
        state.plain()?;
        let inode = state.inode(path)?;
        Ok(Box::new(Out {
            disk: self.clone(),
            inode,
            at: usize::try_from(at).unwrap(),
        }))
    }

    fn create(&self, path: &Path, _like: &Path) -> io::Result<Box<dyn Output>> {
        let mut state = self.state();
        state.plain()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Vec::new());
        state.names.insert(path.to_owned(), inode);
        state.ops.push(Op::Create(path.to_owned(), inode));
        Ok(Box::new(Out {
            disk: self.clone(),
            inode,
            at: 0,
        }))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.plain()?;
        let inode = state.inode(path)?;
        let len = usize::try_from(len).unwrap();
        state.inodes[inode].truncate(len);
        state.ops.push(Op::Truncate(inode, len));
        Ok(())
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        self.state().plain()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain()?;
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        state.ops.push(Op::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain()?;
        state.inode(path)?;
        state.names.remove(path);
        state.ops.push(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut state = self.state();
        state.plain()?;
        let inside = |path: &&PathBuf| path.parent() == Some(folder);
        Ok(state.names.keys().filter(inside).cloned().collect())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain()?;
        state.ops.push(Op::SyncFolder);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Inode {
    synced: Vec<u8>,
    /// Writes since then.
    pending: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    fn with(&self, keep: impl Fn(usize) -> bool, last: Option<usize>) -> Vec<u8> {
        let mut content = self.synced.clone();
        for (i, (at, bytes)) in self.pending.iter().enumerate().filter(|(i, _)| keep(*i)) {
            let is_last = i + 1 == self.pending.len();
            let len = last.filter(|_| is_last).unwrap_or(bytes.len());
            put(&mut content, *at, &bytes[..len]);
        }
        content
    }

    /// With the last write's sectors in place but for one.
    fn with_hole(&self, hole: usize) -> Vec<u8> {
        let mut content = self.with(|_| true, None);
        let before = self.with(|i| i + 1 < self.pending.len(), None);
        if let Some((at, bytes)) = self.pending.last() {
            let from = at + hole * 512;
            let end = (from + 512).min(at + bytes.len());
            for (i, byte) in content.iter_mut().enumerate().take(end).skip(from) {
                *byte = before.get(i).copied().unwrap_or(0);
            }
        }
        content
    }
}

/// Follows recorded operations, and knows what a power cut after each of them may leave.
#[derive(Clone, Default)]
pub(crate) struct Player {
    inodes: Vec<Inode>,
    names: Names,
    synced_names: Names,
    /// Names after each change since the folder was synced.
    between: Vec<Names>,
    pub(crate) acked: usize,
    pub(crate) started: usize,
}

impl Player {
    pub(crate) fn of(image: &Image) -> Self {
        let mut player = Self::default();
        for (path, content) in image {
            player.names.insert(path.clone(), player.inodes.len());
            player.inodes.push(Inode {
                synced: content.clone(),
                pending: Vec::new(),
            });
        }
        player.synced_names = player.names.clone();
        player
    }

    pub(crate) fn play(&mut self, op: &Op) {
        match op {
            Op::Create(path, inode) => {
                self.inodes.resize(inode + 1, Inode::default());
                self.names.insert(path.clone(), *inode);
                self.between.push(self.names.clone());
            }
            Op::Write(inode, at, bytes) => self.inodes[*inode].pending.push((*at, bytes.clone())),
            Op::Sync(inode) => {
                let inode = &mut self.inodes[*inode];
                inode.synced = inode.with(|_| true, None);
                inode.pending.clear();
            }
            Op::FailedSync(inode) => self.inodes[*inode].pending.clear(),
            Op::Truncate(inode, len) => {
                let inode = &mut self.inodes[*inode];
                inode.synced = inode.with(|_| true, None);
                inode.synced.truncate(*len);
                inode.pending.clear();
            }
            Op::Rename(from, to) => {
                let inode = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), inode);
                self.between.push(self.names.clone());
            }
            Op::Remove(path) => {
                self.names.remove(path);
                self.between.push(self.names.clone());
            }
            Op::SyncFolder => {
                self.synced_names = self.names.clone();
                self.between.clear();
            }
            Op::Started(step) => self.started = *step,
            Op::Acked(step) => self.acked = *step,
        }
    }

    fn image(&self, names: &Names, content: impl Fn(usize, &Inode) -> Vec<u8>) -> Image {
        let names = names.iter();
        names
            .map(|(path, inode)| (path.clone(), content(*inode, &self.inodes[*inode])))
            .collect()
    }

    /// All contents that a power cut may leave now.
    pub(crate) fn images(&self) -> Vec<Image> {
        let nothing = |_: usize, inode: &Inode| inode.synced.clone();
        let all = |_: usize, inode: &Inode| inode.with(|_| true, None);
        let mut images = vec![
            self.image(&self.synced_names, nothing),
            self.image(&self.synced_names, all),
            self.image(&self.names, nothing),
            self.image(&self.names, all),
        ];
        for names in &self.between {
            images.push(self.image(names, nothing));
            images.push(self.image(names, all));
        }
        for (dropped, inode) in self.inodes.iter().enumerate() {
            for write in 0..inode.pending.len() {
                images.push(self.image(&self.names, |of, inode| {
                    inode.with(|i| of != dropped || i != write, None)
                }));
            }
            let len = inode.pending.last().map_or(0, |(_, bytes)| bytes.len());
            // At sectors of 512 bytes, and within the smallest writes too.
            let cuts = (1..len).step_by(512).chain((0..len).step_by(len / 4 + 1));
            for cut in cuts {
                images.push(self.image(&self.names, |of, inode| {
                    inode.with(|_| true, (of == dropped).then_some(cut))
                }));
            }
            for hole in 0..len.div_ceil(512) {
                images.push(self.image(&self.names, |of, inode| {
                    if of == dropped {
                        inode.with_hole(hole)
                    } else {
                        inode.with(|_| true, None)
                    }
                }));
            }
        }
        images
    }
}

pub(crate) fn fingerprint(image: &Image) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.hash(&mut hasher);
    hasher.finish()
}
