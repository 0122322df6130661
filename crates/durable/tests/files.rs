//! The same on the files of this machine: rights are kept, leftovers go, one writer at a time.

use std::fs;

use common::ErrorKind;
use durable::{SystemFiles, WriterLock, replace};

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/data.tdb");
    let error = replace(&SystemFiles, &path, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(
        error.message().starts_with(&path.display().to_string()),
        "{error}"
    );
    let error = WriterLock::acquire(&path).unwrap_err();
    assert!(error.message().contains(".data.tdb.lock"), "{error}");
}

#[test]
fn a_path_without_a_file_name_is_refused() {
    let error = replace(&SystemFiles, "/".as_ref(), b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[cfg(unix)]
#[test]
fn rights_of_the_old_file_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.tdb");
    fs::write(&path, b"old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    replace(&SystemFiles, &path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn leftovers_of_killed_writers_go_with_the_next_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.tdb");
    fs::write(folder.path().join(".data.tdb.new-77-0"), b"half").unwrap();
    replace(&SystemFiles, &path, b"new").unwrap();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn the_second_writer_is_told_who_is_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.tdb");
    let lock = WriterLock::acquire(&path).unwrap();
    let error = WriterLock::acquire(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let expected = format!(
        "{}: is being written by process {}; wait until it has finished, or choose another file",
        path.display(),
        std::process::id()
    );
    assert_eq!(error.message(), expected);
    drop(lock);
    WriterLock::acquire(&path).unwrap();
}
