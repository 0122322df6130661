//! Reads users' files as `import` does, and shows on the terminal how far that has come.

use std::path::Path;

use common::{Error, ErrorKind, Result};
use import::{Loaded, Options};

use crate::terminal::Progress;

/// Reads a file.
pub(crate) fn load(path: &Path, options: &Options) -> Result<Loaded> {
    let progress = Progress::rows(&format!("reading {}", path.display()));
    import::load(path, options, &mut |rows| progress.tick(rows))
}

/// Reads a file that comes with the program, packed with gzip.
pub(crate) fn load_packed(name: &str, packed: &[u8], options: &Options) -> Result<Loaded> {
    let progress = Progress::rows(&format!("reading {name}"));
    import::load_packed(name, packed, options, &mut |rows| progress.tick(rows))
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| missing(path, error))
}

/// Why a file is not read, and what to do.
pub(crate) fn missing(path: &Path, error: std::io::Error) -> Error {
    let what = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; check the path",
        std::io::ErrorKind::PermissionDenied => "reading it is not allowed; check its rights",
        _ => "it cannot be read",
    };
    Error::new(
        ErrorKind::Io,
        format!("{}: {what} ({error})", path.display()),
    )
    .caused_by(error)
}
