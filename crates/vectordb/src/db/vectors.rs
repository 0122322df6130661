//! [`Vectors`]: the vectors of one row on their way in.

use common::{Error, Result, Row, Text, Value, Vector};

use super::options::CollectionOptions;
use crate::core::floats;
use crate::indexing::in_order;

/// The vectors of one row: one without a name for a collection that has one, or several by name.
///
/// ```
/// use vectordb::Vectors;
/// let alone: Vectors = [0.5, 1.0].into();
/// let named = Vectors::new().dense("image", [0.5, 1.0]).dense("text", [1.0, 0.0, 0.0]);
/// # let _ = (alone, named);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Vectors(Vec<(Option<Text>, Given)>);

#[derive(Debug, Clone)]
enum Given {
    Dense(Vec<f32>),
    Sparse(Vec<(u32, f32)>),
}

impl Vectors {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dense vector for a column.
    #[must_use]
    pub fn dense(mut self, column: impl Into<Text>, vector: impl Into<Vec<f32>>) -> Self {
        self.0
            .push((Some(column.into()), Given::Dense(vector.into())));
        self
    }

    /// Adds a sparse vector for a column: positions, each once and in any order, with their weights.
    #[must_use]
    pub fn sparse(
        mut self,
        column: impl Into<Text>,
        elements: impl IntoIterator<Item = (u32, f32)>,
    ) -> Self {
        let elements = elements.into_iter().collect();
        self.0.push((Some(column.into()), Given::Sparse(elements)));
        self
    }

    /// Adds a vector for a column as rows hold them: of any dense elements, or sparse.
    #[must_use]
    pub fn value(self, column: impl Into<Text>, vector: &Vector) -> Self {
        match (vector, floats(vector)) {
            (_, Some(dense)) => self.dense(column, dense.into_owned()),
            (
                Vector::Sparse {
                    indices, values, ..
                },
                None,
            ) => {
                let elements = indices.iter().copied().zip(values.iter().copied());
                self.sparse(column, elements)
            }
            // Vectors are dense or sparse.
            _ => self,
        }
    }

    /// Adds the vectors to a row, checked.
    pub(super) fn put(self, options: &CollectionOptions, row: &mut Row) -> Result<()> {
        for (name, given) in self.0 {
            let (column, value) = match given {
                Given::Dense(vector) => {
                    let options = options.vectors_of(name.as_deref())?;
                    options
                        .metric
                        .prepare(&vector, options.dimension)
                        .and_then(|prepared| options.precision.check(&prepared))
                        .map_err(|error| match &name {
                            Some(name) => error.at(format!("vector `{name}`")),
                            None => error,
                        })?;
                    (options.column.clone(), options.metric.column_value(vector)?)
                }
                Given::Sparse(elements) => {
                    let options = options.sparse_of(name.as_deref())?;
                    let elements = in_order(elements, options.dimension)
                        .map_err(|error| error.at(format!("vector `{}`", options.column)))?;
                    let (indices, values): (Vec<u32>, Vec<f32>) = elements.into_iter().unzip();
                    let vector = Vector::sparse(options.dimension, indices, values)?;
                    (options.column.clone(), vector)
                }
            };
            if row.get(&column).is_some() {
                return Err(Error::invalid(format!("vector `{column}` is given twice")));
            }
            row.set(column, Value::from(value));
        }
        Ok(())
    }
}

impl<V: Into<Vec<f32>>> From<V> for Vectors {
    /// The vector of a collection that has one.
    fn from(vector: V) -> Self {
        Self(vec![(None, Given::Dense(vector.into()))])
    }
}
