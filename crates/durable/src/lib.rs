//! Files that hold databases: written whole or not at all, read back checked.
//!
//! [`save`] puts an image of a database into one file and [`open`] reads it back. [`DatabaseFile`] is for
//! programs that read, change and write: it keeps other writers out from the first step to the last.
//!
//! [`PageFile`] holds what changes in places and is too large to be written whole each time: vectors and their
//! indexes. It is opened by a map.
//!
//! [`DurableDatabase`] keeps a database in memory in a folder: a log on disk of every change, and snapshots. [`verify`],
//! [`repair`] and [`restore`] are for what went wrong, [`Backups`] for a folder of backups by name.
//!
//! What a crash, a full disk or a failing device can do to a file is tested through one seam, [`Files`].

mod database_file;
mod files;
mod lock;
mod log;
mod page_file;
mod replace;
mod store;

pub use database_file::{DatabaseFile, Saved, open, open_with, save, save_with};
pub use files::{Files, Output, SystemFiles};
pub use lock::WriterLock;
pub use page_file::{
    Access, Page, PageFile, PageImage, PageSection, PageSource, PagesSaved, StoredPage,
    StoredSection, open_pages, open_pages_with,
};
pub use replace::{replace, replace_with};
pub use store::{
    Backup, Backups, Durability, DurableDatabase, DurableOptions, HeldCheckpoints, Recovery,
    Repaired, Until, check_name, repair, repair_with, restore, restore_with, verify, verify_with,
};
