//! Whatever fails, and whenever the power goes, a file holds its old content or its new content.
//!
//! A model disk keeps what was written apart from what was synced. The test stops [`durable::replace`] at each
//! of its calls, works out every content the disk may show after a restart, and reads each of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at a surprise"
)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, Record, row};
use durable::{Files, Output, open_with, replace, save_with};

const FILE: &str = "folder/data.tdb";

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The call fails, nothing of it is done, and the program goes on.
    Error,
    /// A write puts half of its bytes down, then the disk is full; other calls fail.
    Half,
    /// The power goes just before the call.
    PowerCut,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    synced: Vec<u8>,
    written: Vec<u8>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

#[derive(Debug, Clone, Default)]
struct Disk {
    inodes: Vec<Inode>,
    names: Names,
    synced_names: Names,
    unsynced: Vec<NameChange>,
    calls: usize,
    fault: Option<(usize, Fault)>,
    dead: bool,
}

#[derive(Clone, Default)]
struct ModelFiles(Arc<Mutex<Disk>>);

struct ModelOutput(ModelFiles, usize);

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
    /// synced all, half or none there.
    fn after_power_cut(&self) -> Vec<Disk> {
        let mut disks = Vec::new();
        for kept in 0..=self.unsynced.len() {
            let mut names = self.synced_names.clone();
            self.unsynced[..kept]
                .iter()
                .for_each(|change| apply(&mut names, change));
            for part in [0, 1, 2] {
                let inodes = self
                    .inodes
                    .iter()
                    .map(|inode| {
                        let new = inode.written.len() - inode.synced.len();
                        let content = inode.written[..inode.synced.len() + new * part / 2].to_vec();
                        Inode {
                            synced: content.clone(),
                            written: content,
                        }
                    })
                    .collect();
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
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    fn of(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }
}

impl Write for ModelOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.disk();
        let fault = disk.call()?;
        let inode = &mut disk.inodes[self.1];
        match fault {
            None => inode.written.extend_from_slice(bytes),
            Some(fault) => {
                if fault == Fault::Half {
                    inode.written.extend_from_slice(&bytes[..bytes.len() / 2]);
                }
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for ModelOutput {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.plain_call()?;
        let inode = &mut disk.inodes[self.1];
        inode.synced = inode.written.clone();
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
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = disk.inodes.len();
        disk.inodes.push(Inode::default());
        disk.change_names(NameChange::Create(path.to_owned(), inode));
        Ok(Box::new(ModelOutput(self.clone(), inode)))
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

/// Contents larger than one write call, so that writing has a middle.
fn contents() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    (
        vec![b'o'; 1_500_000],
        vec![b'n'; 3_000_000],
        b"third".to_vec(),
    )
}

fn disk_with(content: &[u8]) -> Disk {
    let files = ModelFiles::default();
    replace(&files, Path::new(FILE), content).unwrap();
    let disk = files.disk().clone();
    Disk { calls: 0, ..disk }
}

/// Calls that one undisturbed replacement makes.
fn calls_of_a_replacement(start: &Disk, content: &[u8]) -> usize {
    let files = ModelFiles::of(start.clone());
    replace(&files, Path::new(FILE), content).unwrap();
    files.disk().calls
}

#[test]
fn after_every_failed_call_the_file_is_old_or_new_and_can_be_replaced_again() {
    let (old, new, third) = contents();
    let start = disk_with(&old);
    let calls = calls_of_a_replacement(&start, &new);
    assert!(
        calls >= 7,
        "list, create, 3 writes, sync, rename, sync: {calls}"
    );
    let mut refused = 0;
    for at in 1..=calls {
        for fault in [Fault::Error, Fault::Half] {
            let files = ModelFiles::of(Disk {
                fault: Some((at, fault)),
                ..start.clone()
            });
            let result = replace(&files, Path::new(FILE), &new);
            let found = files.read(Path::new(FILE)).unwrap();
            match &result {
                Ok(()) => assert_eq!(found, new, "success means the new content, call {at}"),
                Err(error) if error.message().contains("as it was before") => {
                    refused += 1;
                    assert_eq!(found, old, "call {at}: {error}");
                }
                Err(error) => assert_eq!(found, new, "call {at}: {error}"),
            }
            assert_eq!(files.disk().names.len(), 1, "left behind, call {at}");
            replace(&files, Path::new(FILE), &third).unwrap();
            assert_eq!(files.read(Path::new(FILE)).unwrap(), third);
        }
    }
    assert_eq!(
        refused,
        2 * (calls - 2),
        "all but the listing and the last sync"
    );
}

#[test]
fn after_a_power_cut_at_every_call_the_file_is_old_or_new() {
    let (old, new, third) = contents();
    let start = disk_with(&old);
    let calls = calls_of_a_replacement(&start, &new);
    let mut seen = [0, 0];
    for at in 1..=calls + 1 {
        let files = ModelFiles::of(Disk {
            fault: Some((at, Fault::PowerCut)),
            ..start.clone()
        });
        let done = replace(&files, Path::new(FILE), &new).is_ok();
        assert_eq!(done, at > calls);
        for disk in files.disk().after_power_cut() {
            let files = ModelFiles::of(disk);
            let found = files.read(Path::new(FILE)).expect("there is always a file");
            let is_new = found == new;
            assert!(is_new || found == old, "a mixture after call {at}");
            assert!(is_new || !done, "acknowledged, then lost");
            seen[usize::from(is_new)] += 1;
            replace(&files, Path::new(FILE), &third).unwrap();
            assert_eq!(files.disk().names.len(), 1, "leftovers are removed");
        }
    }
    assert!(
        seen.iter().all(|times| *times > 0),
        "both outcomes were met: {seen:?}"
    );
}

#[test]
fn files_of_others_beside_it_are_left_alone() {
    let files = ModelFiles::of(disk_with(b"one"));
    for other in [
        "folder/.other.tdb.new-1-1",
        "folder/data.tdb.new-1-1",
        "folder/.data.tdb.lock",
    ] {
        files.create(Path::new(other), Path::new(FILE)).unwrap();
    }
    files
        .create(Path::new("folder/.data.tdb.new-1-1"), Path::new(FILE))
        .unwrap();
    replace(&files, Path::new(FILE), b"two").unwrap();
    assert_eq!(files.disk().names.len(), 4);
}

fn database(rows: i64) -> Database {
    let database = Database::new();
    let schema = Schema::build("cities", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .index(IndexSpec::hash(["name"]))
        .finish()
        .unwrap();
    let cities = database.create_collection(schema).unwrap();
    for id in 0..rows {
        cities
            .insert(row! { "id": id, "name": format!("city {id}") })
            .unwrap();
    }
    database
}

fn ids(database: &Database) -> Vec<i64> {
    let cities = database.collection("cities").unwrap();
    let mut ids = Vec::new();
    let snapshot = database.snapshot();
    let mut collect = |records: &[Record]| {
        ids.extend(records.iter().map(|record| record[0].as_int().unwrap()));
        ControlFlow::Continue(())
    };
    snapshot.view().scan(&cities, &mut collect).unwrap();
    ids.sort_unstable();
    ids
}

#[test]
fn a_saved_database_opens_whatever_fails_while_it_is_saved_again() {
    let path = Path::new(FILE);
    let (old, new) = (database(3), database(5));
    let files = ModelFiles::default();
    save_with(&files, &old, path).unwrap();
    let start = Disk {
        calls: 0,
        ..files.disk().clone()
    };
    let mut seen = [0, 0];
    for at in 1.. {
        let mut refused = 0;
        for fault in [Fault::Error, Fault::Half, Fault::PowerCut] {
            let files = ModelFiles::of(Disk {
                fault: Some((at, fault)),
                ..start.clone()
            });
            refused += usize::from(save_with(&files, &new, path).is_err());
            let disks = match fault {
                Fault::PowerCut => files.disk().after_power_cut(),
                _ => vec![files.disk().clone()],
            };
            for disk in disks {
                let found = ids(&open_with(&ModelFiles::of(disk), path).unwrap());
                assert!(found == ids(&old) || found == ids(&new), "{found:?}");
                seen[usize::from(found == ids(&new))] += 1;
            }
        }
        // The first call is the listing, which may fail without harm.
        if refused == 0 && at > 1 {
            break;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}
