//! [`save`] and [`open`]: a whole database in one file.

use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::database::Snapshot;
use common::limits::ROWS_MAX;
use common::schema::Schema;
use common::serialization::{ImageWriter, read_image};
use common::{Collection, Database, Error, ErrorKind, Limits, Record, Result, Seq};

use crate::files::{Files, SystemFiles};
use crate::lock::WriterLock;
use crate::replace::replace_with;

/// What [`save`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Position of the last commit in the file.
    pub seq: Seq,
    /// Size of the file, in bytes.
    pub bytes: u64,
}

/// Writes a consistent state of `database` to the file `path`, while other threads go on writing to it.
///
/// The file changes as a whole or not at all, as [`crate::replace()`] describes. Needs no more memory than one
/// block of rows, and the time to write all of them. The log is not part of the file.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{Database, row};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("cities.tdb");
///
/// let db = Database::new();
/// let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// db.create_collection(schema)?.insert(row! { "id": 7 })?;
/// durable::save(&db, &path)?;
///
/// let again = durable::open(&path)?;
/// assert_eq!(again.collection("cities")?.len(), 1);
/// assert_eq!(again.seq(), db.seq());
/// # Ok::<(), common::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Conflict`] while another writer has the file, [`ErrorKind::Io`] when the disk fails or is full.
/// The message names the file and says whether it changed.
pub fn save(database: &Database, path: impl AsRef<Path>) -> Result<Saved> {
    let path = resolve(path.as_ref());
    let _lock = WriterLock::acquire(&path)?;
    save_with(&SystemFiles, database, &path)
}

/// As [`save`], on other files than those of the operating system, and without a lock.
///
/// # Errors
/// As [`save`].
pub fn save_with(files: &dyn Files, database: &Database, path: &Path) -> Result<Saved> {
    let snapshot = database.snapshot();
    let tables = tables_of(database);
    write_image(files, path, &snapshot, &tables)
}

/// The tables of a database, each with its schema of now.
pub(crate) fn tables_of(database: &Database) -> Vec<(Collection, Schema)> {
    let tables = database.collections().into_iter().map(|table| {
        let mut schema = table.schema().as_ref().clone();
        // Indexes come and go after the schema was declared.
        let indexes = table.indexes();
        schema.indexes = indexes.iter().map(|index| index.spec().clone()).collect();
        (table, schema)
    });
    tables.collect()
}

/// Writes what a snapshot sees of these tables, by these schemas.
pub(crate) fn write_image(
    files: &dyn Files,
    path: &Path,
    snapshot: &Snapshot,
    tables: &[(Collection, Schema)],
) -> Result<Saved> {
    let view = snapshot.view();
    let bytes = replace_with(files, path, |out| {
        let mut image = ImageWriter::new(Counted { out, bytes: 0 }, snapshot.seq())?;
        for (table, schema) in tables {
            image.table(schema)?;
            let columns = schema.fields.len();
            let mut failure = None;
            view.scan(table, &mut |records| {
                let written = if records.iter().all(|record| record.len() == columns) {
                    image.rows(records)
                } else {
                    // The table has got columns since, and was settled.
                    let cut: Vec<Record> = records.iter().map(|r| cut(r, columns)).collect();
                    image.rows(&cut)
                };
                match written {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            failure.map_or(Ok(()), Err)?;
        }
        Ok(image.finish()?.bytes)
    })?;
    Ok(Saved {
        seq: snapshot.seq(),
        bytes,
    })
}

/// The first columns of a record.
fn cut(record: &Record, columns: usize) -> Record {
    let values = record.values().iter().take(columns).cloned();
    Record::new(record.metadata(), record.key_columns(), values)
}

/// Counts what passes through.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads the database that [`save`] wrote to the file `path`. Every byte is checked; writers of the file are
/// not disturbed and do not disturb.
///
/// Of a folder, reads the database that a [`crate::DurableDatabase`] keeps there, with its log, and changes nothing. While a program
/// has it open, what is read is a moment old, and reading fails when a snapshot takes the place of what is being read: read again.
///
/// # Errors
/// [`ErrorKind::Io`] when there is no such file or it cannot be read, [`ErrorKind::Corrupt`] when it is no
/// database or is damaged, [`ErrorKind::Unsupported`] when a later version wrote it. The message names the file.
pub fn open(path: impl AsRef<Path>) -> Result<Database> {
    let path = path.as_ref();
    if path.is_dir() {
        return crate::store::read(&SystemFiles, path);
    }
    open_with(&SystemFiles, path)
}

/// As [`open`], from other files than those of the operating system.
///
/// # Errors
/// As [`open`].
pub fn open_with(files: &dyn Files, path: &Path) -> Result<Database> {
    let bytes = files.read(path).map_err(|error| unreadable(path, error))?;
    read(&bytes).map_err(|error| error.at(path.display()))
}

fn read(bytes: &[u8]) -> Result<Database> {
    // The file is as large as it is: what bounds a stranger's message does not apply to it, and what
    // a block declares is still checked against the bytes that are there.
    let limits = Limits::default()
        .total_bytes_max(usize::MAX)
        .rows_max(usize::try_from(ROWS_MAX).unwrap_or(usize::MAX));
    let image = read_image(bytes, &limits)?;
    let database = Database::new();
    for (schema, records) in image.tables {
        let collection = database.create_collection(schema)?;
        database.load(&collection, &records)?;
    }
    database.resume_at(image.seq)?;
    Ok(database)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "there is no such database file; check the path",
        io::ErrorKind::PermissionDenied => "reading the database file is not allowed",
        io::ErrorKind::IsADirectory => "is a folder, not a database file",
        _ => "the database file cannot be read",
    };
    Error::new(
        ErrorKind::Io,
        format!("{}: {what} ({error})", path.display()),
    )
    .caused_by(error)
}

/// The file behind a symbolic link: renaming over the link itself would leave the file as it is.
fn resolve(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A database and the file it lives in, with other writers kept out until this is dropped.
///
/// Changes reach the file with [`DatabaseFile::save`] only.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use durable::DatabaseFile;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("cities.tdb");
/// let file = DatabaseFile::open_or_create(&path)?;
/// let schema = Schema::build("cities", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// file.database().create_collection(schema)?;
/// file.save()?;
/// assert!(DatabaseFile::open_or_create(&path).is_err(), "one writer at a time");
/// assert_eq!(durable::open(&path)?.collections().len(), 1, "but any number of readers");
/// # Ok::<(), common::Error>(())
/// ```
pub struct DatabaseFile {
    path: PathBuf,
    database: Database,
    existed: bool,
    _lock: WriterLock,
}

impl fmt::Debug for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl DatabaseFile {
    /// Opens the database in the file `path`, or begins an empty one when there is no such file. The file
    /// itself comes into being with the first [`DatabaseFile::save`].
    ///
    /// # Errors
    /// As [`open`]; also [`ErrorKind::Conflict`] while another writer has the file.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = resolve(path.as_ref());
        let lock = WriterLock::acquire(&path)?;
        let existed = path.exists();
        let database = if existed {
            open(&path)?
        } else {
            Database::new()
        };
        Ok(Self {
            path,
            database,
            existed,
            _lock: lock,
        })
    }

    /// The database, to read and to change.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where the file is, symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was a file when this was opened.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Writes the present state to the file.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save(&self) -> Result<Saved> {
        save_with(&SystemFiles, &self.database, &self.path)
    }
}
