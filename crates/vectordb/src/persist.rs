//! [`IndexFile`]: a table of vectors and its index in a file.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::path::Path;

use common::{Error, ErrorKind, Result};
use durable::{Access, PageFile, PageImage, PagesSaved, open_pages};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core::image::{Image, StoredParts, corrupt};
use crate::core::{TableMeta, VectorTable};
use crate::indexing::{Index, IndexMeta};

const FORMAT: &str = "tandemdb-vectors";
const VERSION: u32 = 1;
/// More than what a file says beside its pages ever takes.
const META_BYTES_MAX: usize = 16 << 20;

/// What a file says of all.
#[derive(Serialize, Deserialize)]
struct Meta {
    format: String,
    version: u32,
    table: TableMeta,
    index: IndexMeta,
}

/// A table of vectors and its index in a file, for its one writer: other writers are kept out until it is dropped.
///
/// A save writes the pages that changed since the last one, and is there as a whole or not at all, whenever the power
/// goes. Opening maps the file, so that it takes milliseconds whatever the size; vectors come when a search needs them, and are
/// checked then. What is in the file is specified in `docs/file-format.md`.
///
/// ```
/// use vectordb::core::VectorTable;
/// use vectordb::{Access, GraphOptions, Index, IndexFile, IndexOptions, Metric, unwatched};
/// let mut table = VectorTable::new(2);
/// for i in 0..3_000_i16 {
///     table.push(&[f32::from(i % 60), f32::from(i / 60)]);
/// }
/// let options = IndexOptions::Graph(GraphOptions::default());
/// let mut index = Index::build(&options, Metric::Euclidean, table.rows(), &unwatched)?;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("grid.vectors");
/// let mut file = IndexFile::open_or_create(&path)?;
/// let first = file.save(&table, &index)?;
/// let second = file.save(&table, &index)?;
/// assert!(second.written < first.written, "nothing large changed");
/// if let Some(slot) = table.push(&[7.2, 30.2]) {
///     index.insert(table.rows(), slot);
/// }
/// file.save(&table, &index)?;
///
/// let (table, index) = IndexFile::open(&path, Access::Map)?;
/// let query = Metric::Euclidean.prepare_query(&[7.2, 30.2], 2)?;
/// let nearest = index.nearest(table.rows(), &query, 1, None, None)?;
/// assert_eq!((table.rows().len(), nearest[0].distance), (3_001, 0.0));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug)]
pub struct IndexFile {
    file: PageFile,
}

impl IndexFile {
    /// Opens the file `path` to save to it; it comes into being with the first save.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while another writer has the file; as [`IndexFile::open`] when there is a file that
    /// cannot be read.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self {
            file: PageFile::open_or_create(path)?,
        })
    }

    /// What is in the file; `None` before the first save. Saving it again writes only what was changed.
    ///
    /// # Errors
    /// As [`IndexFile::open`].
    pub fn read(&mut self) -> Result<Option<(VectorTable, Index)>> {
        let image = self.file.image()?;
        image
            .map(|image| load(image).map_err(|error| error.at(self.file.path().display())))
            .transpose()
    }

    /// Makes the file hold a table and its index, or leaves it as it was.
    ///
    /// Cost: the pages, of 256 KiB, that changed since they were last saved or read, and waiting twice for the disk;
    /// now and then, all pages.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the disk fails or is full, [`ErrorKind::Corrupt`] when pages of another file that the
    /// table lies in are damaged.
    pub fn save(&mut self, table: &VectorTable, index: &Index) -> Result<PagesSaved> {
        table.rows().check()?;
        let mut image = Image::default();
        let meta = Meta {
            format: FORMAT.to_owned(),
            version: VERSION,
            table: table.save(&mut image),
            index: index.save(&mut image),
        };
        let meta = serde_json::to_vec(&meta)
            .map_err(|error| Error::invalid(format!("options that cannot be saved: {error}")))?;
        self.file.save(&meta, &image.sections())
    }

    /// Opens a file to search in it, as of its last save; later saves do not show.
    ///
    /// Cost: of [`Access::Map`], milliseconds; of [`Access::Memory`], reading the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when there is no such file or it cannot be read, [`ErrorKind::Corrupt`] when it is no index
    /// file or is damaged, [`ErrorKind::Unsupported`] when a later version wrote it. The message names the file.
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<(VectorTable, Index)> {
        let path = path.as_ref();
        load(open_pages(path, access)?).map_err(|error| error.at(path.display()))
    }
}

fn load(image: PageImage) -> Result<(VectorTable, Index)> {
    let meta: Meta = read_meta(&image, FORMAT, VERSION)?;
    let mut parts = StoredParts::new(image);
    let table = VectorTable::load(&meta.table, &mut parts)?;
    let index = Index::load(&meta.index, table.rows(), &mut parts).map_err(|error| {
        // Options out of their bounds are no fault of whoever opens the file.
        match error.kind() {
            ErrorKind::Corrupt => error,
            _ => corrupt(error.to_string()),
        }
    })?;
    parts.source().check()?;
    Ok((table, index))
}

/// What a file says beside its pages, if it is of this format and version.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if it is of another format or makes no sense, [`ErrorKind::Unsupported`] if it is of another
/// version.
pub(crate) fn read_meta<T: DeserializeOwned>(
    image: &PageImage,
    format: &str,
    version: u32,
) -> Result<T> {
    let other = || corrupt(format!("holds pages, but not those of {format}"));
    if image.meta.len() > META_BYTES_MAX {
        return Err(corrupt("says more of itself than such a file does"));
    }
    let meta: serde_json::Value = serde_json::from_slice(&image.meta).map_err(|_| other())?;
    if meta.get("format").and_then(|given| given.as_str()) != Some(format) {
        return Err(other());
    }
    let given = meta.get("version").and_then(serde_json::Value::as_u64);
    if given != Some(u64::from(version)) {
        return Err(Error::unsupported(format!(
            "was written by a later version of this program ({format} {}); use that version",
            given.unwrap_or_default()
        )));
    }
    serde_json::from_value(meta)
        .map_err(|error| corrupt(format!("says of itself what makes no sense: {error}")))
}
