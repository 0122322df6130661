//! [`Backups`]: a folder of backups, each a folder with a name of its own.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::fs;
use std::path::{Path, PathBuf};

use common::{Error, Limits, Result, Seq, Text, Timestamp};
use parking_lot::Mutex;

use super::folder::{Listing, failed, list, segment_path};
use super::{DurableDatabase, lock};
use crate::files::{Files as _, SystemFiles};
use crate::log::layout::Header;

/// Longest name of a backup, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// What the folders of unfinished work are called, behind a dot and the name: no backup's name begins with a dot.
const MAKING: &str = ".making";
const REMOVING: &str = ".removing";

/// A folder that holds backups by name: each is a folder in it, with a database like any other.
///
/// Names are such that [`check_name`] takes, so none leads out of the folder, whoever gives it. A backup has its name once it is whole and on the disk; what a
/// killed program left of one is removed with the next. The folder is made with the first backup.
///
/// ```
/// use common::row;
/// use common::schema::{Field, FieldType, Schema};
/// use durable::{Backups, DurableDatabase, DurableOptions};
/// let folder = tempfile::tempdir()?;
///
/// let store = DurableDatabase::open(folder.path().join("data"), DurableOptions::default())?;
/// let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// store.database().create_collection(schema)?.insert(row! { "id": 7 })?;
///
/// let backups = Backups::new(folder.path().join("backups"));
/// let made = backups.create(&store, "monday")?;
/// assert_eq!(made.seq, Some(store.database().seq()));
/// assert_eq!(backups.list()?, [made]);
/// assert!(backups.create(&store, "../elsewhere").is_err());
///
/// let again = DurableDatabase::open(folder.path().join("backups/monday"), DurableOptions::default())?;
/// assert_eq!(again.database().collection("cities")?.len(), 1);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    /// Held while one is made or removed.
    changing: Mutex<()>,
}

/// What is known of a backup without reading its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// Its name, which is that of its folder.
    pub name: Text,
    /// The commit that it was made at; `None` when its log is damaged, of which [`crate::verify`] says more.
    pub seq: Option<Seq>,
    /// When it was made; `None` as above.
    pub time: Option<Timestamp>,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Backups {
    /// The backups in a folder, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            changing: Mutex::new(()),
        }
    }

    /// Makes a backup beside running writers, as [`DurableDatabase::backup`] does.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a name that is none; [`common::ErrorKind::Conflict`] when there is a backup of that name, or while another
    /// one is made or removed; [`common::ErrorKind::Io`] when the disk fails or is full: nothing of it is left then.
    pub fn create(&self, store: &DurableDatabase, name: &str) -> Result<Backup> {
        check_name(name)?;
        let _changing = self.change()?;
        SystemFiles
            .create_folder(&self.folder)
            .map_err(|error| failed(error, &self.folder, "the folder cannot be made"))?;
        self.remove_leftovers();
        let path = self.folder.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Error::conflict(format!(
                "there is a backup `{name}` already; choose another name, or delete it first"
            )));
        }
        let making = self.hidden(name, MAKING);
        let moved = store.backup(&making).and_then(|_| {
            fs::rename(&making, &path)
                .map_err(|error| failed(error, &path, "the backup cannot get its name"))
        });
        if let Err(error) = moved {
            // Where that fails as well, the next one tries again.
            let _ = fs::remove_dir_all(&making);
            return Err(error);
        }
        self.sync()?;
        self.look(name)?.ok_or_else(|| unknown(name))
    }

    /// All of them, by name. Other files and folders are passed over, and so are links.
    ///
    /// # Errors
    /// [`common::ErrorKind::Io`] when the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Backup>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(failed(
                    error,
                    &self.folder,
                    "the folder of backups cannot be read",
                ));
            }
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry =
                entry.map_err(|error| failed(error, &self.folder, "the folder cannot be read"))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if check_name(&name).is_ok()
                && let Some(backup) = self.look(&name)?
            {
                all.push(backup);
            }
        }
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a name that is none; [`common::ErrorKind::NotFound`] when there is no backup of that name;
    /// [`common::ErrorKind::Io`] when it cannot be read.
    pub fn get(&self, name: &str) -> Result<Backup> {
        check_name(name)?;
        self.look(name)?.ok_or_else(|| unknown(name))
    }

    /// Removes a backup.
    ///
    /// # Errors
    /// As [`Backups::get`]; [`common::ErrorKind::Conflict`] while a program has it open, or another one is made or removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.get(name)?;
        let _changing = self.change()?;
        let path = self.folder.join(name);
        let in_use = lock(&path)?;
        let removing = self.hidden(name, REMOVING);
        // In one step, so that no half of it is ever taken for a backup.
        let _ = fs::remove_dir_all(&removing);
        fs::rename(&path, &removing)
            .map_err(|error| failed(error, &path, "the backup cannot be removed"))?;
        self.sync()?;
        drop(in_use);
        fs::remove_dir_all(&removing)
            .map_err(|error| failed(error, &removing, "the backup cannot be removed"))
    }

    fn change(&self) -> Result<parking_lot::MutexGuard<'_, ()>> {
        self.changing.try_lock().ok_or_else(|| {
            Error::conflict("another backup is being made or deleted; try again when that is done")
        })
    }

    /// A path that no backup has.
    fn hidden(&self, name: &str, suffix: &str) -> PathBuf {
        self.folder.join(format!(".{name}{suffix}"))
    }

    fn sync(&self) -> Result<()> {
        SystemFiles
            .sync_folder(&self.folder)
            .map_err(|error| failed(error, &self.folder, "the folder cannot be synced"))
    }

    /// What is known of a backup; `None` where there is none.
    fn look(&self, name: &str) -> Result<Option<Backup>> {
        let path = self.folder.join(name);
        // A link could lead anywhere.
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            return Ok(None);
        }
        let Listing {
            segments,
            snapshots,
            ..
        } = list(&SystemFiles, &path)?;
        let Some(number) = segments.first().filter(|_| !snapshots.is_empty()) else {
            return Ok(None);
        };
        let header = SystemFiles.read(&segment_path(&path, *number));
        let header = header.map_err(|error| failed(error, &path, "cannot be read"))?;
        let header = Header::decode(&header, &Limits::default());
        let header = header.ok().map(|(header, ..)| header);
        Ok(Some(Backup {
            name: name.into(),
            seq: header.as_ref().map(|header| header.seq),
            time: header.map(|header| Timestamp::from_millis(header.stamp.millis())),
            bytes: size(&path)?,
        }))
    }

    /// Removes what killed programs left. Failure is no error: leftovers cost space only.
    fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_ours = name.to_str().and_then(|name| {
                let name = name.strip_prefix('.')?;
                name.strip_suffix(MAKING)
                    .or_else(|| name.strip_suffix(REMOVING))
            });
            if is_ours.is_some_and(|name| check_name(name).is_ok()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> Result<u64> {
    let size = || -> std::io::Result<u64> {
        fs::read_dir(folder)?
            .map(|entry| entry?.metadata().map(|found| found.len()))
            .sum()
    };
    size().map_err(|error| failed(error, folder, "the folder cannot be read"))
}

/// Checks that a text is the name of a folder in another one, and leads nowhere else: 1 to 100 bytes of ASCII letters, digits, `-`, `_` and
/// `.`, of which the first is a letter or a digit. Names of [`Backups`] are such, and so are those of a server's tenants.
///
/// ```
/// assert!(durable::check_name("monday_2.1").is_ok());
/// assert!(durable::check_name("../monday").is_err());
/// ```
///
/// # Errors
/// [`common::ErrorKind::Invalid`] for another text, which is not repeated in the message.
pub fn check_name(name: &str) -> Result<()> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_known) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a name has 1 to {NAME_BYTES_MAX} of these: letters A to Z, digits, `-`, `_` and `.`; it begins with a letter or a digit"
    )))
}

fn unknown(name: &str) -> Error {
    Error::not_found(format!("there is no backup `{name}`"))
}

#[cfg(test)]
mod tests {
    use common::ErrorKind;

    use super::*;
    use crate::DurableOptions;

    fn store(folder: &Path) -> DurableDatabase {
        DurableDatabase::open(folder, DurableOptions::default()).unwrap()
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let store = store(&place.path().join("data"));
        let backups = Backups::new(place.path().join("backups"));
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        let names = [
            "", ".", "..", "../x", "/tmp/x", "a/b", "a\\b", "a\0", ".hidden", "-x", "ä", "a b",
            "C:x", &long,
        ];
        for name in names {
            let refused = [
                backups.create(&store, name).unwrap_err(),
                backups.get(name).unwrap_err(),
                backups.remove(name).unwrap_err(),
            ];
            for error in refused {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}: {error}");
            }
        }
        assert!(!backups.folder.exists());
        let longest = "a".repeat(NAME_BYTES_MAX);
        for name in ["x", "2026-11-30T08.30", "7_.", &longest] {
            backups.create(&store, name).unwrap();
        }
        assert_eq!(backups.list().unwrap().len(), 4);
    }

    #[test]
    fn what_a_killed_program_left_is_no_backup_and_goes_with_the_next() {
        let place = tempfile::tempdir().unwrap();
        let store = store(&place.path().join("data"));
        let backups = Backups::new(place.path().join("backups"));
        for left in [".monday.making", ".sunday.removing", "empty"] {
            fs::create_dir_all(backups.folder.join(left)).unwrap();
        }
        fs::write(backups.folder.join("file"), "of somebody else").unwrap();
        assert_eq!(backups.list().unwrap(), []);
        backups.create(&store, "monday").unwrap();
        let again = backups.create(&store, "monday").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Conflict, "{again}");
        let entries = fs::read_dir(&backups.folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["empty", "file", "monday"]);
        // Neither is a backup, so neither can be removed.
        for other in ["empty", "file"] {
            let error = backups.remove(other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
    }

    #[test]
    fn a_backup_in_use_stays_and_a_damaged_one_can_be_removed() {
        let place = tempfile::tempdir().unwrap();
        let store = store(&place.path().join("data"));
        let backups = Backups::new(place.path().join("backups"));
        let made = backups.create(&store, "monday").unwrap();
        assert!(made.bytes > 0 && made.time.is_some(), "{made:?}");
        let path = backups.folder.join("monday");
        let open = self::store(&path);
        let error = backups.remove("monday").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        drop(open);
        let segment = list(&SystemFiles, &path).unwrap().segments[0];
        fs::write(segment_path(&path, segment), "damaged").unwrap();
        assert_eq!(backups.get("monday").unwrap().seq, None);
        backups.remove("monday").unwrap();
        assert_eq!(backups.list().unwrap(), []);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let store = store(&place.path().join("data"));
        let backups = Backups::new(place.path().join("backups"));
        backups.create(&store, "monday").unwrap();
        store.backup(place.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(place.path().join("elsewhere"), backups.folder.join("link"))
            .unwrap();
        assert_eq!(backups.list().unwrap().len(), 1);
        assert_eq!(
            backups.remove("link").unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert!(place.path().join("elsewhere").exists());
    }
}
