//! [`Transform`]: what an operation is, and [`OperationSpec`]: an operation written down.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use crate::core::base::{Text, Value};
use crate::error::Result;

/// Implemented outside this crate when a pipeline needs an operation that the library does not have.
///
/// An operation works on a whole batch, so that dynamic dispatch is paid once per batch. It obeys four laws,
/// which `testkit::contract::transform` checks:
///
/// 1. The name, version and parameters say everything: two operations that agree in them do the same.
/// 2. It is deterministic, and what becomes of an item does not depend on the other items of its batch, so
///    that a batch can be cut and spread over threads. What is learned from data is a parameter.
/// 3. An item that it cannot take is rejected with the reason, through [`Batch::for_each`]; it never panics.
/// 4. The inverse, if there is one, brings back every item that was accepted.
///
/// ```
/// use common::operations::transform::{Batch, Pipeline, Transform};
/// use common::{Error, Result, Value};
///
/// struct Reciprocal;
/// impl Transform<f64> for Reciprocal {
///     fn name(&self) -> &str { "acme.reciprocal" }
///     fn apply(&self, batch: &mut Batch<f64>) -> Result<()> {
///         batch.for_each(|x| {
///             if *x == 0.0 { return Err(Error::invalid("0 has no reciprocal")); }
///             *x = x.recip();
///             Ok(())
///         });
///         Ok(())
///     }
/// }
/// let outcome = Pipeline::new().step("flip", Reciprocal)?.apply(vec![4.0, 0.0, 0.5])?;
/// assert_eq!(outcome.items, [0.25, 2.0]);
/// assert_eq!(outcome.rejected[0].to_string(), "item 1, step `flip`: 0 has no reciprocal");
/// # Ok::<(), Error>(())
/// ```
pub trait Transform<T>: Send + Sync {
    /// Stable name, stored in lineage; names of your own begin with a word of yours and a dot.
    fn name(&self) -> &str;

    /// Raised whenever the same parameters begin to mean something else. 1 unless overridden.
    fn version(&self) -> u32 {
        1
    }

    /// Everything that sets this operation apart from others of its name: usually a map, null if nothing.
    fn parameters(&self) -> Value {
        Value::Null
    }

    /// Changes the items of the batch in place, and takes out those that it cannot take.
    ///
    /// # Errors
    /// When the step as a whole cannot run, whatever the items; one bad item is a rejection instead.
    fn apply(&self, batch: &mut Batch<T>) -> Result<()>;

    /// The operation that undoes this one, if there is one.
    fn inverse(&self) -> Option<Arc<dyn Transform<T>>> {
        None
    }

    /// This operation written down.
    fn spec(&self) -> OperationSpec {
        OperationSpec {
            name: self.name().into(),
            version: self.version(),
            parameters: self.parameters(),
        }
    }
}

impl<T, O: Transform<T> + ?Sized> Transform<T> for Arc<O> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn version(&self) -> u32 {
        (**self).version()
    }

    fn parameters(&self) -> Value {
        (**self).parameters()
    }

    fn apply(&self, batch: &mut Batch<T>) -> Result<()> {
        (**self).apply(batch)
    }

    fn inverse(&self) -> Option<Arc<dyn Transform<T>>> {
        (**self).inverse()
    }
}

/// An operation written down: enough to find it again, through an
/// [`OperationRegistry`](super::OperationRegistry), and to do the same once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSpec {
    /// Stable name of the operation.
    pub name: Text,
    /// Which meaning of the parameters this is.
    pub version: u32,
    /// Everything else.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
}
