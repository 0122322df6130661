//! [`OperationRegistry`]: operations by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::operation::{OperationSpec, Transform};
use crate::core::base::Text;
use crate::error::{Error, Result};

/// Makes an operation from its version and parameters.
type Make<T> = Arc<dyn Fn(&OperationSpec) -> Result<Arc<dyn Transform<T>>> + Send + Sync>;

/// Finds operations on items of type `T` by name: how a stored pipeline becomes one that runs, and the door
/// through which an application adds operations of its own.
///
/// ```
/// use common::operations::transform::{Batch, OperationRegistry, OperationSpec, Transform};
/// use common::{Error, Result, Value};
/// use std::sync::Arc;
///
/// struct Plus(i64);
/// impl Transform<i64> for Plus {
///     fn name(&self) -> &str { "acme.plus" }
///     fn parameters(&self) -> Value { self.0.into() }
///     fn apply(&self, batch: &mut Batch<i64>) -> Result<()> {
///         batch.items_mut().iter_mut().for_each(|n| *n = n.wrapping_add(self.0));
///         Ok(())
///     }
/// }
/// let mut registry = OperationRegistry::new();
/// registry.register("acme.plus", |spec| {
///     let n = spec.parameters.as_int().ok_or_else(|| Error::invalid("acme.plus takes an integer"))?;
///     Ok(Arc::new(Plus(n)))
/// })?;
/// let found = registry.build(&Plus(5).spec())?;
/// assert_eq!(found.spec(), Plus(5).spec());
/// # Ok::<(), Error>(())
/// ```
pub struct OperationRegistry<T> {
    makers: BTreeMap<Text, Make<T>>,
}

impl<T> OperationRegistry<T> {
    /// A registry that knows no operation.
    pub const fn new() -> Self {
        Self {
            makers: BTreeMap::new(),
        }
    }

    /// Registers what makes operations of this name.
    ///
    /// `make` is given the version that was stored and returns [`crate::ErrorKind::Unsupported`] for one that
    /// it does not know.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the name is taken: a stored pipeline must not change its meaning.
    pub fn register(
        &mut self,
        name: impl Into<Text>,
        make: impl Fn(&OperationSpec) -> Result<Arc<dyn Transform<T>>> + Send + Sync + 'static,
    ) -> Result<()> {
        let name = name.into();
        if self.makers.contains_key(&name) {
            return Err(Error::conflict(format!(
                "an operation named `{name}` is registered already"
            )));
        }
        self.makers.insert(name, Arc::new(make));
        Ok(())
    }

    /// The operation that was written down.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] when no operation of this name or version is known,
    /// [`crate::ErrorKind::Invalid`] when the parameters are not its own.
    pub fn build(&self, spec: &OperationSpec) -> Result<Arc<dyn Transform<T>>> {
        match self.makers.get(&spec.name) {
            Some(make) => make(spec),
            None => {
                let known: Vec<&str> = self.names().map(Text::as_str).collect();
                Err(Error::new(
                    crate::ErrorKind::Unsupported,
                    format!(
                        "no operation is registered as `{}`; there are {}",
                        spec.name,
                        known.join(", ")
                    ),
                ))
            }
        }
    }

    /// Names of all operations, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Text> {
        self.makers.keys()
    }
}

impl<T> Default for OperationRegistry<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for OperationRegistry<T> {
    fn clone(&self) -> Self {
        Self {
            makers: self.makers.clone(),
        }
    }
}

impl<T> fmt::Debug for OperationRegistry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.makers.keys()).finish()
    }
}
