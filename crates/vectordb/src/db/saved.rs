//! A [`VectorDb`] to files and back.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use common::{Error, ErrorKind, RecordId, Result};
use durable::{Access, PageFile, PagesSaved, Saved, open_pages};
use serde::{Deserialize, Serialize};

use super::VectorDb;
use super::column::Column;
use super::options::CollectionOptions;
use crate::core::image::{Image, StoredParts, corrupt};
use crate::core::{TableMeta, VectorTable};
use crate::indexing::{Index, IndexMeta};
use crate::persist::read_meta;

const FORMAT: &str = "tandemdb-vector-collections";
const VERSION: u32 = 1;

/// What a file says of all.
#[derive(Serialize, Deserialize)]
struct Meta {
    format: String,
    version: u32,
    collections: Vec<CollectionMeta>,
}

#[derive(Serialize, Deserialize)]
struct CollectionMeta {
    name: String,
    options: CollectionOptions,
    /// None for columns that are indexed again from their rows.
    columns: Vec<Option<ColumnMeta>>,
}

#[derive(Serialize, Deserialize)]
struct ColumnMeta {
    table: TableMeta,
    index: IndexMeta,
    /// Bytes of the ids of its slots, in order, as JSON.
    ids: usize,
}

/// A column as it was saved: its ids are in the order of the slots in use.
pub(super) struct SavedColumn {
    pub(super) table: VectorTable,
    pub(super) index: Index,
    pub(super) ids: Vec<RecordId>,
}

/// The columns of a collection; columns that are not there are indexed from their rows.
pub(super) type SavedColumns = Vec<Option<SavedColumn>>;

/// What [`VectorDb::save`] wrote.
#[derive(Debug)]
pub struct VectorDbSaved {
    /// The rows, vectors among them.
    pub rows: Saved,
    /// What searches need: pages that changed since the last save are written.
    pub indexes: PagesSaved,
}

impl VectorDb {
    /// Saves all rows to the file `path`, and what searches need to `path.vectors` beside it, while other threads go on.
    ///
    /// Each of the two files changes as a whole or not at all. The rows are what counts: [`VectorDb::open`] brings what
    /// it finds of indexes up to them. The second file belongs to this database until it is dropped, and saving it
    /// again writes only what changed of it.
    ///
    /// ```
    /// use common::schema::{Field, FieldType};
    /// use common::row;
    /// use vectordb::{Metric, Search, VectorDb, VectorOptions};
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("places.tdb");
    ///
    /// let db = VectorDb::new();
    /// let options = VectorOptions::new(2, Metric::Euclidean);
    /// let places = db.create_collection("places", options, [Field::new("kind", FieldType::Text)])?;
    /// places.upsert(1, [3.0, 4.0], row! { "kind": "cafe" })?;
    /// db.save(&path)?;
    /// drop((places, db));
    ///
    /// let places = VectorDb::open(&path)?.collection("places")?;
    /// assert_eq!(places.search(&Search::new([0.0, 0.0], 1))?.hits[0].distance, 5.0);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] while another writer has one of the files, [`common::ErrorKind::Io`] when the
    /// disk fails or is full. The message names the file and says whether it changed. When `path.vectors` is there and
    /// cannot be read ([`common::ErrorKind::Corrupt`]), the rows are saved, and the message says so.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<VectorDbSaved> {
        let path = path.as_ref();
        let mut file = self.file.lock();
        let beside = beside(path);
        let mut damage = None;
        if !file.as_ref().is_some_and(|file| file.is_at(&beside)) {
            *file = None;
            match PageFile::open_or_create(&beside) {
                Ok(open) => *file = Some(open),
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
                // The rows are what counts, and they do not wait for it.
                Err(error) => damage = Some(error),
            }
        }
        let rows = durable::save(self.database(), path)?;
        if let Some(error) = damage {
            return Err(error.at(format!(
                "the rows are saved to {}, but not what searches need: move {} away, and save again",
                path.display(),
                beside.display()
            )));
        }
        let (meta, image) = self.image()?;
        let Some(open) = file.as_mut() else {
            return Err(Error::closed("the file of the indexes is not open"));
        };
        let indexes = open.save(&meta, &image.sections());
        if indexes.is_err() {
            // It may not know what reached the disk: the next save opens it again.
            *file = None;
        }
        Ok(VectorDbSaved {
            rows,
            indexes: indexes?,
        })
    }

    /// Opens what [`VectorDb::save`] wrote to the file `path` and to `path.vectors`.
    ///
    /// Rows are read into memory; indexes are mapped, and need no rebuild. Each vector of a row is compared with the
    /// one that its index knows, so that an index which is older or newer than the rows, or of other rows, is brought up to
    /// them; one that is damaged is built anew.
    ///
    /// # Errors
    /// As [`durable::open`]; [`common::ErrorKind::Io`], [`common::ErrorKind::Corrupt`] or
    /// [`common::ErrorKind::Unsupported`] also when `path.vectors` is not there, is damaged where it says what the
    /// collections are, or was written by a later version. The rows are safe then: read them with [`durable::open`] and
    /// give the options of the collections again, to [`VectorDb::over`] and [`VectorDb::open_collection`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let db = Self::over(durable::open(path)?);
        for saved in SavedCollections::open(&beside(path))?.0 {
            db.open_saved(&saved.name, saved.options, saved.columns)
                .map_err(|error| error.at(beside(path).display()))?;
        }
        Ok(db)
    }

    /// Saves what searches need to the file `path`, and no rows: for a database whose rows are kept otherwise. The file
    /// belongs to this database until it is dropped, changes as a whole or not at all, and saving it again writes only
    /// what changed of it. Other threads go on meanwhile; builds of indexes are waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while another writer has the file, [`ErrorKind::Io`] when the disk fails or is full.
    pub fn save_indexes(&self, path: impl AsRef<Path>) -> Result<PagesSaved> {
        let path = path.as_ref();
        let mut file = self.file.lock();
        if !file.as_ref().is_some_and(|file| file.is_at(path)) {
            *file = None;
            let open = match PageFile::open_or_create(path) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) =>
                {
                    // All of it is made again of the rows, which are elsewhere.
                    std::fs::remove_file(path)?;
                    PageFile::open_or_create(path)
                }
                open => open,
            };
            *file = Some(open?);
        }
        let (meta, image) = self.image()?;
        let Some(open) = file.as_mut() else {
            return Err(Error::closed("the file of the indexes is not open"));
        };
        let saved = open.save(&meta, &image.sections());
        if saved.is_err() {
            *file = None;
        }
        saved
    }

    /// As [`VectorDb::open_in`], with indexes that [`VectorDb::save_indexes`] wrote to the file `path`: they are mapped,
    /// and need no build. Each vector of a row is compared with the one that its index knows, so that an index which is older
    /// or newer than the rows, or of other rows, is brought up to them. What is not in the file, or damaged there, is built
    /// from the rows; there need be no file.
    ///
    /// # Errors
    /// As [`VectorDb::open_in`].
    pub fn open_with_indexes(database: &common::Database, path: impl AsRef<Path>) -> Result<Self> {
        let saved = SavedCollections::open(path.as_ref()).unwrap_or_default();
        Self::open_remembered(database, saved)
    }

    /// All columns that can be saved.
    fn image(&self) -> Result<(Vec<u8>, Image)> {
        let mut image = Image::default();
        let mut collections = Vec::new();
        for (number, collection) in self.collections().iter().enumerate() {
            let columns = collection.with_columns(|columns| {
                let columns = columns.iter().enumerate();
                columns
                    .map(|(at, column)| {
                        image.under(format!("{number}/{at}/"));
                        save(column, &mut image)
                    })
                    .collect::<Result<Vec<_>>>()
            })?;
            collections.push(CollectionMeta {
                name: collection.name().to_owned(),
                options: collection.options().clone(),
                columns,
            });
        }
        let meta = json(&Meta {
            format: FORMAT.to_owned(),
            version: VERSION,
            collections,
        })?;
        Ok((meta, image))
    }
}

/// A collection as it was saved.
struct SavedCollection {
    name: String,
    options: CollectionOptions,
    columns: SavedColumns,
}

/// The collections of a file.
#[derive(Default)]
pub(super) struct SavedCollections(Vec<SavedCollection>);

impl SavedCollections {
    /// What is in the file; what of a column cannot be read is left out.
    fn open(path: &Path) -> Result<Self> {
        let image = open_pages(path, Access::Map)?;
        let meta: Meta =
            read_meta(&image, FORMAT, VERSION).map_err(|error| error.at(path.display()))?;
        let mut parts = StoredParts::new(image);
        let mut all = Vec::new();
        for (number, collection) in meta.collections.into_iter().enumerate() {
            let columns = collection.columns.iter().enumerate().map(|(at, column)| {
                parts.under(format!("{number}/{at}/"));
                // The rows have it all: what cannot be read is made again.
                load(column.as_ref()?, &mut parts).ok()
            });
            all.push(SavedCollection {
                columns: columns.collect(),
                name: collection.name,
                options: collection.options,
            });
        }
        Ok(Self(all))
    }

    /// The columns of a collection, if it was saved with these options.
    pub(super) fn take(&mut self, name: &str, options: &CollectionOptions) -> SavedColumns {
        let is_it = |saved: &SavedCollection| saved.name == name && saved.options == *options;
        let at = self.0.iter().position(is_it);
        at.map(|at| self.0.swap_remove(at).columns)
            .unwrap_or_default()
    }
}

fn save(column: &Column, image: &mut Image) -> Result<Option<ColumnMeta>> {
    let Some((table, index, ids)) = column.resumable() else {
        return Ok(None);
    };
    let ids = json(&ids)?;
    image.put_values("ids", &ids);
    Ok(Some(ColumnMeta {
        table: table.save(image),
        index: index.save(image),
        ids: ids.len(),
    }))
}

fn load(meta: &ColumnMeta, parts: &mut StoredParts) -> Result<SavedColumn> {
    let ids: Vec<u8> = parts.values("ids", meta.ids)?;
    let ids = serde_json::from_slice(&ids).map_err(|_| corrupt("the ids are none"))?;
    let table = VectorTable::load(&meta.table, parts)?;
    let index = Index::load(&meta.index, table.rows(), parts)?;
    Ok(SavedColumn { table, index, ids })
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::invalid(format!("something that cannot be saved: {error}")))
}

/// The file of the indexes.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".vectors");
    name.into()
}
