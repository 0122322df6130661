//! [`Scripts`]: functions of the application that a migration names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use common::{Error, Result, Text, Value};

/// From the values of some columns to those of others.
type Function = dyn Fn(&[Value]) -> Result<Vec<Value>> + Send + Sync;

/// What a step of the kind [`Step::Script`](super::Step::Script) does. Like every lens it is pure: the same on every machine, whenever it is asked.
#[derive(Clone)]
pub struct Script {
    pub(super) forward: Arc<Function>,
    pub(super) backward: Option<Arc<Function>>,
}

impl Script {
    /// A script that makes new columns of old ones, and cannot be turned round: what it makes for those who have the old
    /// columns, when a new one is written, is nothing.
    pub fn new(forward: impl Fn(&[Value]) -> Result<Vec<Value>> + Send + Sync + 'static) -> Self {
        Self {
            forward: Arc::new(forward),
            backward: None,
        }
    }

    /// Adds the way back, from the new columns to the old ones.
    #[must_use]
    pub fn backward(
        mut self,
        backward: impl Fn(&[Value]) -> Result<Vec<Value>> + Send + Sync + 'static,
    ) -> Self {
        self.backward = Some(Arc::new(backward));
        self
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = if self.backward.is_some() { 2 } else { 1 };
        write!(f, "Script({ways} ways)")
    }
}

/// The functions that migrations name.
///
/// ```
/// use common::Value;
/// use syncdb::migration::{Script, Scripts};
/// let cents = |row: &[Value]| Ok(vec![Value::from(row[0].as_int().unwrap_or(0) * 100)]);
/// let scripts = Scripts::default().with("cents", Script::new(cents));
/// assert!(scripts.find("cents").is_ok());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scripts(BTreeMap<Text, Script>);

impl Scripts {
    /// Adds a function under a name.
    #[must_use]
    pub fn with(mut self, name: impl Into<Text>, script: Script) -> Self {
        self.0.insert(name.into(), script);
        self
    }

    /// The function of this name.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`], with the names there are.
    pub fn find(&self, name: &str) -> Result<&Script> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(Text::as_str).collect();
            Error::not_found(format!(
                "no script `{name}` is registered; registered are [{}]",
                known.join(", ")
            ))
        })
    }
}
