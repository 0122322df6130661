//! What the vectors of a collection are: [`VectorOptions`], [`SparseOptions`] and [`CollectionOptions`].

use std::sync::Arc;

use common::schema::FieldType;
use common::{Error, Result, Text, VectorElement};
use serde::{Deserialize, Serialize};

use super::VECTOR_COLUMN;
use super::column::ColumnOptions;
use crate::core::distance::Metric;
use crate::core::{Precision, check_dimension};
use crate::indexing::IndexOptions;

/// Most threads that one search or build runs on.
const THREADS_MAX: usize = 1_024;

/// What the vectors of a column are, how they are kept and what finds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VectorOptions {
    /// Number of elements of each vector: 1 to
    /// [`VECTOR_DIMENSION_MAX`](common::limits::VECTOR_DIMENSION_MAX).
    pub dimension: usize,
    /// How far two vectors are from each other.
    pub metric: Metric,
    /// Type of the ids of a collection that has these vectors alone. Default: integers.
    #[serde(default = "integers")]
    pub key: FieldType,
    /// Name of the column that holds the vectors. Default: `vector`.
    #[serde(default = "vector_column")]
    pub column: Text,
    /// What finds the nearest vectors. Default: a scan of all, which is always right.
    #[serde(default)]
    pub index: IndexOptions,
    /// How the vectors are kept for searching; rows keep them as they were given. Default: bits for metrics that compare
    /// bits, 32-bit floats for all others.
    #[serde(default)]
    pub precision: Precision,
    /// Most threads, 1 to 1,024, that scan for one search, that answer many searches at once, and that build an
    /// index whose own options say nothing of it. Default: one for one search, all cores for the others.
    #[serde(default)]
    pub threads: Option<usize>,
}

fn integers() -> FieldType {
    FieldType::Int
}

fn vector_column() -> Text {
    VECTOR_COLUMN.into()
}

impl VectorOptions {
    /// Vectors of `dimension` elements, compared by `metric`, with integers as ids.
    pub fn new(dimension: usize, metric: Metric) -> Self {
        Self {
            dimension,
            metric,
            key: integers(),
            column: vector_column(),
            index: IndexOptions::Exact,
            precision: metric.precision(),
            threads: None,
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

    /// Sets how the vectors are kept for searching.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets the number of threads: see [`VectorOptions::threads`].
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The type of the vector column.
    pub(super) fn field_type(&self) -> Result<FieldType> {
        if let Some(threads @ (0 | 1_025..)) = self.threads {
            return Err(Error::invalid(format!(
                "`threads` of vectors is 1 to {THREADS_MAX}, not {threads}"
            )));
        }
        check_dimension(self.dimension)?;
        self.metric.check(self.precision)?;
        Ok(FieldType::Vector {
            element: self.metric.element(),
            dimension: u32::try_from(self.dimension).ok(),
        })
    }
}

/// What the sparse vectors of a column are: found by inner product, through an index of their positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparseOptions {
    /// Name of the column that holds them.
    pub column: Text,
    /// Number of positions. Default: all 2^32 but the last.
    #[serde(default = "all_positions")]
    pub dimension: u32,
}

const fn all_positions() -> u32 {
    u32::MAX
}

impl SparseOptions {
    /// Sparse vectors of any positions.
    pub fn new(column: impl Into<Text>) -> Self {
        Self {
            column: column.into(),
            dimension: all_positions(),
        }
    }

    /// Sets the number of positions.
    #[must_use]
    pub fn dimension(mut self, dimension: u32) -> Self {
        self.dimension = dimension;
        self
    }
}

/// Columns of vectors of a collection: at least one, each with its own options.
///
/// One [`VectorOptions`] alone serves as such: its rows all have that vector. Where there are several columns, a row
/// may lack any of them, and is not found by searches on what it lacks.
///
/// ```
/// use vectordb::{CollectionOptions, Metric, Search, VectorDb, VectorOptions, Vectors};
/// let db = VectorDb::new();
/// let options = CollectionOptions::new()
///     .vectors(VectorOptions::new(2, Metric::Cosine).column("text"))
///     .vectors(VectorOptions::new(3, Metric::Euclidean).column("image"));
/// let things = db.create_collection("things", options, [])?;
/// let both = Vectors::new().dense("text", [1.0, 0.0]).dense("image", [0.5, 0.5, 0.5]);
/// things.upsert(1, both, common::row! {})?;
/// things.upsert(2, Vectors::new().dense("image", [0.1, 0.5, 0.5]), common::row! {})?;
/// let found = things.search(&Search::new([0.0, 0.5, 0.5], 2).on("image"))?;
/// assert_eq!(found.hits[0].id, 2.into());
/// assert_eq!(things.search(&Search::new([1.0, 0.0], 2).on("text"))?.hits.len(), 1);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionOptions {
    /// Type of the ids. Default: integers.
    #[serde(default = "integers")]
    pub key: FieldType,
    /// Columns of dense vectors.
    #[serde(default)]
    pub vectors: Vec<VectorOptions>,
    /// Columns of sparse vectors.
    #[serde(default)]
    pub sparse: Vec<SparseOptions>,
}

impl CollectionOptions {
    /// No column yet, and integers as ids.
    pub fn new() -> Self {
        Self {
            key: integers(),
            vectors: Vec::new(),
            sparse: Vec::new(),
        }
    }

    /// Sets the type of the ids.
    #[must_use]
    pub fn key(mut self, key: FieldType) -> Self {
        self.key = key;
        self
    }

    /// Adds a column of dense vectors.
    #[must_use]
    pub fn vectors(mut self, options: VectorOptions) -> Self {
        self.vectors.push(options);
        self
    }

    /// Adds a column of sparse vectors.
    #[must_use]
    pub fn sparse(mut self, options: SparseOptions) -> Self {
        self.sparse.push(options);
        self
    }

    /// Names of the vector columns.
    pub fn columns(&self) -> impl Iterator<Item = &Text> {
        let dense = self.vectors.iter().map(|options| &options.column);
        dense.chain(self.sparse.iter().map(|options| &options.column))
    }

    /// The options of each column, in the order of [`CollectionOptions::columns`].
    pub(super) fn by_column(&self) -> Vec<ColumnOptions> {
        let dense = self.vectors.iter().cloned().map(Arc::new);
        let sparse = self.sparse.iter().cloned().map(Arc::new);
        let dense = dense.map(ColumnOptions::Dense);
        dense.chain(sparse.map(ColumnOptions::Sparse)).collect()
    }

    /// The options of the dense vectors of this name; without one, of the only ones.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there are none of this name, [`common::ErrorKind::Invalid`] when none
    /// is given although there are several; with the names there are.
    pub fn vectors_of(&self, name: Option<&str>) -> Result<&VectorOptions> {
        let columns = self.vectors.iter().map(|options| &options.column);
        let at = self.position(name, columns, "dense ")?;
        self.vectors
            .get(at)
            .ok_or_else(|| self.unknown("dense ", ""))
    }

    /// The options of the sparse vectors of this name; without one, of the only ones.
    ///
    /// # Errors
    /// As [`CollectionOptions::vectors_of`].
    pub fn sparse_of(&self, name: Option<&str>) -> Result<&SparseOptions> {
        let columns = self.sparse.iter().map(|options| &options.column);
        let at = self.position(name, columns, "sparse ")?;
        self.sparse
            .get(at)
            .ok_or_else(|| self.unknown("sparse ", ""))
    }

    /// Number of the column of this name; without one, of the only one.
    pub(super) fn column_of(&self, name: Option<&str>) -> Result<usize> {
        self.position(name, self.columns(), "")
    }

    /// Where a name is among the columns of a kind.
    fn position<'a>(
        &'a self,
        name: Option<&str>,
        mut columns: impl Iterator<Item = &'a Text>,
        kind: &str,
    ) -> Result<usize> {
        if let Some(name) = name {
            let at = columns.position(|column| *column == *name);
            return at.ok_or_else(|| self.unknown(kind, name));
        }
        match (columns.next(), columns.next()) {
            (Some(_), None) => Ok(0),
            _ => Err(Error::invalid(format!(
                "say which {kind}vectors are meant; there are: {}",
                self.names()
            ))),
        }
    }

    fn unknown(&self, kind: &str, name: &str) -> Error {
        Error::not_found(format!(
            "no {kind}vectors are named `{name}`; there are: {}",
            self.names()
        ))
    }

    /// Names and types of the vector columns.
    pub(super) fn fields(&self) -> Result<Vec<(Text, FieldType)>> {
        let dense = self.vectors.iter().map(|options| {
            let ty = options
                .field_type()
                .map_err(|error| error.at(format!("vectors `{}`", options.column)))?;
            Ok((options.column.clone(), ty))
        });
        let other = |options: &&VectorOptions| ![&integers(), &self.key].contains(&&options.key);
        if let Some(options) = self.vectors.iter().find(other) {
            return Err(Error::invalid(format!(
                "the ids of the collection are {}, those of its vectors `{}` {}; set the type for the collection",
                self.key, options.column, options.key
            )));
        }
        let sparse = self.sparse.iter().map(|options| {
            let ty = FieldType::Vector {
                element: VectorElement::Sparse,
                dimension: Some(options.dimension),
            };
            Ok((options.column.clone(), ty))
        });
        let fields = dense.chain(sparse).collect::<Result<Vec<_>>>()?;
        if fields.is_empty() {
            return Err(Error::invalid(
                "a collection has at least one column of vectors; add it to its options",
            ));
        }
        Ok(fields)
    }

    /// The names, for messages.
    pub(super) fn names(&self) -> String {
        let dense = self.vectors.iter().map(|o| format!("`{}`", o.column));
        let sparse = self
            .sparse
            .iter()
            .map(|o| format!("`{}` (sparse)", o.column));
        dense.chain(sparse).collect::<Vec<String>>().join(", ")
    }
}

impl Default for CollectionOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<VectorOptions> for CollectionOptions {
    fn from(options: VectorOptions) -> Self {
        Self::new().key(options.key.clone()).vectors(options)
    }
}
