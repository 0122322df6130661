//! A disk that fails under a server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durable::{DurableDatabase, DurableOptions, Files, Output, SystemFiles};
use serde_json::json;
use server::{ServeOptions, Tenant};
use syncdb::SyncServerOptions;

use crate::support::run_tenant;

/// The system's files, on a disk that is full from a moment on.
#[derive(Clone, Default)]
struct Filling(Arc<AtomicBool>);

struct Written(Box<dyn Output>, Filling);

impl Filling {
    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.check()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Written {
    fn sync(&mut self) -> io::Result<()> {
        self.1.check()?;
        self.0.sync()
    }
}

impl Files for Filling {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        SystemFiles.read(path)
    }

    fn open_at(&self, path: &Path, at: u64) -> io::Result<Box<dyn Output>> {
        let out = SystemFiles.open_at(path, at)?;
        Ok(Box::new(Written(out, self.clone())))
    }

    fn create(&self, path: &Path, like: &Path) -> io::Result<Box<dyn Output>> {
        let out = SystemFiles.create(path, like)?;
        Ok(Box::new(Written(out, self.clone())))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        SystemFiles.truncate(path, len)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        SystemFiles.create_folder(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        SystemFiles.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        SystemFiles.sync_folder(folder)
    }
}

#[test]
fn on_a_full_disk_writes_are_refused_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Filling::default();
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    let store = DurableDatabase::open_with(files, folder.path(), DurableOptions::default());
    let store = Arc::new(store.unwrap());
    let tenant = Tenant::durable("default", store, SyncServerOptions::default()).unwrap();
    let running = run_tenant(tenant, ServeOptions::default());
    let schema = json!({ "name": "t", "fields": [{ "name": "id", "type": "int" }] });
    running.json("POST", "/v1/tables", &schema).ok(201);
    let insert = |id: i32| running.json("POST", "/v1/tables/t/rows", &json!({ "id": id }));
    insert(1).ok(201);
    disk.0.store(true, Ordering::Release);
    // The one that finds out, and those after it.
    for id in 2..5 {
        let why = insert(id).problem(503);
        assert!(why.contains("refuses writes"), "{why}");
    }
    running.get("/v1/tables/t/rows/1").ok(200);
    let found = running.json("POST", "/v1/tables/t/query", &json!({ "where": "id == 1" }));
    assert_eq!(found.ok(200)["rows"].as_array().unwrap().len(), 1);
    // A replica would keep what may be gone tomorrow.
    running.send("POST", "/v1/sync", &[], b"x").problem(503);
    drop(running);
    // Opened again with room on the disk, everything that was answered is there.
    let again = durable::open(folder.path()).unwrap();
    let rows = again.collection("t").unwrap();
    assert!(rows.get(1).is_some() && rows.get(4).is_none());
}
