//! [`map`]: a file as memory.

#![allow(unsafe_code, reason = "a map is of a file that others could change")]

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

/// The bytes of a file, which come when they are read.
pub(crate) fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        // There are no maps of nothing.
        return Ok(Bytes::new());
    }
    // SAFETY: the bytes must not change while they are borrowed. Writers of page files never change what a root names;
    // what others do to the file is excluded by what `Access::Map` says, and no value of a byte is invalid: whoever reads
    // them checks them, so that a change is at worst another content.
    let map = unsafe { memmap2::Mmap::map(&file) }?;
    Ok(Bytes::from_owner(map))
}
