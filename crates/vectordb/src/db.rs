//! [`VectorDb`]: collections of vectors with metadata. Here, and nowhere else, ids become slots and slots ids.

mod answer;
mod batch;
mod builder;
mod catalogue;
mod collection;
mod column;
mod dense;
mod follower;
mod hybrid;
mod options;
mod read;
mod run;
mod saved;
mod search;
mod vectors;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::schema::{Field, Rule, Schema};
use common::{Collection, Database, Error, Result, Text};
use durable::PageFile;
use parking_lot::{Mutex, RwLock};

pub use self::collection::VectorCollection;
pub use self::hybrid::{Fused, FusedHit, Fusion, Hybrid, Place};
pub use self::options::{CollectionOptions, SparseOptions, VectorOptions};
pub use self::read::{Page, Scroll};
use self::saved::SavedColumns;
pub use self::saved::VectorDbSaved;
pub use self::search::{Found, Hit, Search, Target};
pub use self::vectors::Vectors;
use crate::indexing::Index;

/// Name of the key column of collections that [`VectorDb::create_collection`] makes.
pub const ID_COLUMN: &str = "id";
/// Name of the vector column of collections that [`VectorDb::create_collection`] makes.
pub const VECTOR_COLUMN: &str = "vector";

/// Collections of vectors with metadata, kept in a [`Database`].
///
/// A handle; clones share everything. The database may hold other tables too, and rows of a vector collection
/// may be written through it directly, as sync does: the index reads the log before each search.
#[derive(Clone, Default)]
pub struct VectorDb {
    database: Database,
    collections: Arc<RwLock<BTreeMap<Text, VectorCollection>>>,
    /// Where the indexes were saved last, which knows what is there.
    file: Arc<Mutex<Option<PageFile>>>,
    /// Where the collections are remembered, if they are: see [`VectorDb::open_in`].
    catalogue: Option<Collection>,
}

impl VectorDb {
    /// An empty database in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Vector collections in a database that exists: [`VectorDb::open_collection`] indexes its tables.
    pub fn over(database: Database) -> Self {
        Self {
            database,
            collections: Arc::default(),
            file: Arc::default(),
            catalogue: None,
        }
    }

    /// The table in which [`VectorDb::open_in`] remembers collections.
    pub const TABLE: &'static str = catalogue::CATALOGUE;

    /// The database underneath.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Creates an empty collection with the given columns of metadata, beside the column `id` and the columns of
    /// vectors: one named `vector` unless the options say otherwise, or those of [`CollectionOptions`].
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] when there is a table of this name,
    /// [`common::ErrorKind::Invalid`] for dimension 0 and for columns that make no schema,
    /// [`common::ErrorKind::LimitExceeded`] above [`common::limits::VECTOR_DIMENSION_MAX`] dimensions; as
    /// [`Index::build`] for the index.
    ///
    /// [`Index::build`]: crate::Index::build
    pub fn create_collection(
        &self,
        name: impl Into<Text>,
        options: impl Into<CollectionOptions>,
        metadata: impl IntoIterator<Item = Field>,
    ) -> Result<VectorCollection> {
        let (name, options) = (name.into(), options.into());
        // Before the table is there: it would stay behind.
        for vectors in &options.vectors {
            Index::new(&vectors.index, vectors.metric)?;
        }
        let mut schema = Schema::build(name.clone(), [ID_COLUMN])
            .field(Field::new(ID_COLUMN, options.key.clone()));
        let columns = options.fields()?;
        let are_several = columns.len() > 1;
        for (column, ty) in columns {
            let field = Field::new(column, ty).rule(Rule::Finite);
            schema = schema.field(if are_several { field.nullable() } else { field });
        }
        for field in metadata {
            schema = schema.field(field);
        }
        let schema = schema.finish()?;
        if self.database.collection(&name).is_ok() {
            return Err(Error::conflict(format!(
                "there is a table `{name}` already"
            )));
        }
        self.remember(&name, &options)?;
        self.database.create_collection(schema)?;
        self.open_saved(&name, options, SavedColumns::new())
    }

    /// Indexes the vectors of a table that the database has, and keeps the index up to date from then on.
    ///
    /// Cost: one pass over the table, and the build of its indexes.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such table or no such column,
    /// [`common::ErrorKind::Invalid`] when a column does not hold such vectors.
    pub fn open_collection(
        &self,
        name: &str,
        options: impl Into<CollectionOptions>,
    ) -> Result<VectorCollection> {
        let options = options.into();
        let collection = self.open_saved(name, options.clone(), SavedColumns::new())?;
        self.remember(name, &options)?;
        Ok(collection)
    }

    /// Indexes the vectors of a table, from what was saved of them as far as it is still right.
    fn open_saved(
        &self,
        name: &str,
        options: CollectionOptions,
        saved: SavedColumns,
    ) -> Result<VectorCollection> {
        let table = self.database.collection(name)?;
        let schema = table.schema();
        let mut positions = Vec::new();
        for (column, expected) in options.fields()? {
            let position = schema.position_of(&column)?;
            match schema.fields.get(position) {
                Some(field) if field.ty == expected => positions.push(position),
                _ => {
                    return Err(Error::invalid(format!(
                        "column `{column}` of `{name}` does not hold {expected}"
                    )));
                }
            }
        }
        let collection = VectorCollection::open(&self.database, table, options, positions, saved)?;
        let mut collections = self.collections.write();
        collections.insert(name.into(), collection.clone());
        Ok(collection)
    }

    /// The vector collection of this name.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`], with the names there are.
    pub fn collection(&self, name: &str) -> Result<VectorCollection> {
        let collections = self.collections.read();
        collections.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = collections.keys().map(Text::as_str).collect();
            Error::not_found(format!(
                "no vector collection is named `{name}`; there are: {}",
                known.join(", ")
            ))
        })
    }

    /// All vector collections, sorted by name.
    pub fn collections(&self) -> Vec<VectorCollection> {
        self.collections.read().values().cloned().collect()
    }

    /// Removes a collection with its rows and its index.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is none of this name; otherwise as
    /// [`Database::drop_collection`].
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        let collection = self.collection(name)?;
        self.database.drop_collection(name)?;
        collection.close();
        self.collections.write().remove(name);
        self.forget(name)
    }
}

impl std::fmt::Debug for VectorDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.collections.read().values())
            .finish()
    }
}
