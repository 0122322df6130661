//! Reads users' files as `import` does, and shows on the terminal how far that has come.

use std::path::Path;

use common::Result;
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
