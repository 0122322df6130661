//! [`VectorDb`]: collections of vectors with metadata. Here, and nowhere else, ids become slots and slots ids.

mod collection;
mod follower;
mod search;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::schema::{Field, FieldType, Rule, Schema};
use common::{Database, Error, Result, Text};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

pub use self::collection::VectorCollection;
pub use self::search::{Found, Hit, Search};
use crate::core::check_dimension;
use crate::core::distance::Metric;
use crate::indexing::{Index, IndexOptions};

/// Name of the key column of collections that [`VectorDb::create_collection`] makes.
pub const ID_COLUMN: &str = "id";
/// Name of the vector column of collections that [`VectorDb::create_collection`] makes.
pub const VECTOR_COLUMN: &str = "vector";

/// What the vectors of a collection are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorOptions {
    /// Number of elements of each vector: 1 to [`VECTOR_DIMENSION_MAX`](common::limits::VECTOR_DIMENSION_MAX).
    pub dimension: usize,
    /// How far two vectors are from each other. It decides how they are stored: [`Metric::element`].
    pub metric: Metric,
    /// Type of the ids. Default: integers.
    pub key: FieldType,
    /// Name of the column that holds the vectors. Default: `vector`.
    pub column: Text,
    /// What finds the nearest vectors. Default: a scan of all, which is always right.
    #[serde(default)]
    pub index: IndexOptions,
}

impl VectorOptions {
    /// Vectors of `dimension` elements, compared by `metric`, with integers as ids.
    pub fn new(dimension: usize, metric: Metric) -> Self {
        Self {
            dimension,
            metric,
            key: FieldType::Int,
            column: VECTOR_COLUMN.into(),
            index: IndexOptions::Exact,
        }
    }

    /// Sets the type of the ids.
    #[must_use]
    pub fn key(mut self, key: FieldType) -> Self {
        self.key = key;
        self
    }

    /// Sets the name of the column that holds the vectors.
    #[must_use]
    pub fn column(mut self, column: impl Into<Text>) -> Self {
        self.column = column.into();
        self
    }

    /// Sets what finds the nearest vectors.
    #[must_use]
    pub fn index(mut self, index: IndexOptions) -> Self {
        self.index = index;
        self
    }

    /// The type of the vector column.
    fn vector_type(&self) -> Result<FieldType> {
        check_dimension(self.dimension)?;
        Ok(FieldType::Vector {
            element: self.metric.element(),
            dimension: u32::try_from(self.dimension).ok(),
        })
    }
}

/// Collections of vectors with metadata, kept in a [`Database`].
///
/// A handle; clones share everything. The database may hold other tables too, and rows of a vector collection
/// may be written through it directly, as sync does: the index reads the log before each search.
#[derive(Clone, Default)]
pub struct VectorDb {
    database: Database,
    collections: Arc<RwLock<BTreeMap<Text, VectorCollection>>>,
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
        }
    }

    /// The database underneath.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Creates an empty collection with the given columns of metadata, beside the columns `id` and, unless
    /// the options name it otherwise, `vector`.
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] when there is a table of this name,
    /// [`common::ErrorKind::Invalid`] for dimension 0 and for columns that make no schema,
    /// [`common::ErrorKind::LimitExceeded`] above [`VECTOR_DIMENSION_MAX`](common::limits::VECTOR_DIMENSION_MAX) dimensions; as [`Index::build`] for the
    /// index.
    ///
    /// [`Index::build`]: crate::Index::build
    pub fn create_collection(
        &self,
        name: impl Into<Text>,
        options: VectorOptions,
        metadata: impl IntoIterator<Item = Field>,
    ) -> Result<VectorCollection> {
        let name = name.into();
        // Before the table is there: it would stay behind.
        Index::new(&options.index, options.metric)?;
        let vector = Field::new(options.column.clone(), options.vector_type()?).rule(Rule::Finite);
        let mut schema = Schema::build(name.clone(), [ID_COLUMN])
            .field(Field::new(ID_COLUMN, options.key.clone()))
            .field(vector);
        for field in metadata {
            schema = schema.field(field);
        }
        self.database.create_collection(schema.finish()?)?;
        self.open_collection(&name, options)
    }

    /// Indexes the vectors of a table that the database has, and keeps the index up to date from then on.
    ///
    /// Cost: one pass over the table.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is no such table,
    /// [`common::ErrorKind::Invalid`] when it has no column of such vectors.
    pub fn open_collection(&self, name: &str, options: VectorOptions) -> Result<VectorCollection> {
        let table = self.database.collection(name)?;
        let schema = table.schema();
        let position = schema.position_of(&options.column)?;
        let expected = options.vector_type()?;
        match schema.fields.get(position) {
            Some(field) if field.ty == expected => {}
            _ => {
                return Err(Error::invalid(format!(
                    "column `{}` of `{name}` does not hold {expected}",
                    options.column
                )));
            }
        }
        let collection = VectorCollection::open(&self.database, table, options, position)?;
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
        Ok(())
    }
}

impl std::fmt::Debug for VectorDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.collections.read().values())
            .finish()
    }
}
