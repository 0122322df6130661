//! The log on disk: what happened to a database since a snapshot of it, in segments of batches of entries.
//!
//! The layout is in `docs/file-format.md`. A batch is what one sync of the disk made durable: it is there as a whole or
//! not at all. Batches are numbered through all segments, and each says up to which batch the disk had been synced when
//! it was written: with that, a reader tells a write that the power cut short from damage to what was safe.

pub(crate) mod entry;
pub(crate) mod layout;
pub(crate) mod segment;
