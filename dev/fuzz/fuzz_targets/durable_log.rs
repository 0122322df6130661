//! A segment of the log of a durable database; its checksums are not looked at here: never more than an error, and never more
//! memory than the bytes are large.
#![no_main]

use std::io;
use std::path::{Path, PathBuf};

use durable::{Files, Output, verify_with};
use libfuzzer_sys::fuzz_target;

/// A folder with one file, which is read only.
struct OneFile<'a>(&'a [u8]);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl Files for OneFile<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path.ends_with("log-0000000000000001") {
            Ok(self.0.to_vec())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn open_at(&self, _: &Path, _: u64) -> io::Result<Box<dyn Output>> {
        refused()
    }

    fn create(&self, _: &Path, _: &Path) -> io::Result<Box<dyn Output>> {
        refused()
    }

    fn truncate(&self, _: &Path, _: u64) -> io::Result<()> {
        refused()
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(vec![folder.join("log-0000000000000001")])
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        refused()
    }
}

fuzz_target!(|data: &[u8]| {
    let _ = verify_with(&OneFile(data), Path::new("folder"));
});
