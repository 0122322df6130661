//! [`replace`]: a file's content changes as a whole or not at all.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Error, ErrorKind, Result};

use crate::files::Files;

/// Bytes per write call: large enough to be fast, small enough that a full disk is met at many places.
pub(crate) const WRITE_BYTES: usize = 1 << 20;

/// Puts `content` into the file `path`, so that a reader sees the old content or the new, never a mixture,
/// whatever fails and whenever the power goes.
///
/// The content goes to a temporary file in the same folder, which is synced and renamed over the old one;
/// then the folder is synced. Temporary files that earlier, killed writers left are removed. The caller keeps
/// other writers out (see [`crate::WriterLock`]); readers need nothing.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("note");
/// durable::replace(&durable::SystemFiles, &path, b"one")?;
/// durable::replace(&durable::SystemFiles, &path, b"two")?;
/// assert_eq!(std::fs::read(&path)?, b"two");
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Io`], naming the step. The old content is still there, unless the message says that only the
/// last step failed, after which the new content is in place but could be lost in a power cut.
pub fn replace(files: &dyn Files, path: &Path, content: &[u8]) -> Result<()> {
    replace_with(files, path, |out| {
        content
            .chunks(WRITE_BYTES)
            .try_for_each(|chunk| out.write_all(chunk))
            .map_err(Error::from)
    })
}

/// As [`replace`], with content that `fill` writes piece by piece; its result is passed on.
///
/// # Errors
/// As [`replace`]; also what `fill` fails with, after which the old content is still there.
pub fn replace_with<T>(
    files: &dyn Files,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let folder = folder_of(path);
    remove_leftovers(files, path, folder);
    let temporary = temporary_name(path)?;
    let filled = match write_new(files, &temporary, path, fill) {
        Ok(filled) => filled,
        Err(error) => {
            // The disk may be full: leave no half file behind. That it cannot be removed matters less
            // than why it could not be written, and the next writer removes it.
            let _ = files.remove(&temporary);
            return Err(error.at(path.display()));
        }
    };
    files.sync_folder(folder).map_err(|error| {
        failed(
            error,
            "the new content is in place, but the folder could not be synced, so a power cut could \
             bring the old content back; save again",
        )
        .at(path.display())
    })?;
    Ok(filled)
}

fn write_new<T>(
    files: &dyn Files,
    temporary: &Path,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let unchanged = |step: &str| format!("could not {step}; the file is as it was before");
    let write = unchanged("write the new content beside it");
    let output = files
        .create(temporary, path)
        .map_err(|e| failed(e, &unchanged("create a temporary file beside it")))?;
    let mut buffered = BufWriter::with_capacity(WRITE_BYTES, output);
    let filled = fill(&mut buffered).map_err(|error| match error.kind() {
        ErrorKind::Io => Error::new(ErrorKind::Io, format!("{write} ({error})")).caused_by(error),
        _ => error,
    })?;
    let mut output = buffered
        .into_inner()
        .map_err(|error| failed(error.into_error(), &write))?;
    output.flush().map_err(|error| failed(error, &write))?;
    output
        .sync()
        .map_err(|e| failed(e, &unchanged("sync the new content to the disk")))?;
    drop(output);
    files
        .rename(temporary, path)
        .map_err(|e| failed(e, &unchanged("put the new content in place")))?;
    Ok(filled)
}

fn failed(error: io::Error, what: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{what} ({error})")).caused_by(error)
}

/// The folder that holds `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The path of a hidden file beside `path`: a dot, its name, and `suffix`.
pub(crate) fn beside(path: &Path, suffix: &str) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        Error::invalid(format!(
            "`{}` names a folder; give the path of a file",
            path.display()
        ))
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(suffix);
    Ok(folder_of(path).join(hidden))
}

fn temporary_name(path: &Path) -> Result<PathBuf> {
    // Threads of one process differ by the count, processes by their number.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    beside(path, &format!(".new-{}-{count}", std::process::id()))
}

/// Removes what killed writers of this file left behind. Failure is not an error: leftovers cost space only.
fn remove_leftovers(files: &dyn Files, path: &Path, folder: &Path) {
    let Ok(prefix) = beside(path, ".new-") else {
        return;
    };
    let prefix = prefix.as_os_str().as_encoded_bytes();
    for found in files.list(folder).unwrap_or_default() {
        if found.as_os_str().as_encoded_bytes().starts_with(prefix) {
            let _ = files.remove(&found);
        }
    }
}
