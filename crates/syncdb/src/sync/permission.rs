//! [`Permission`]: which rows and columns of a table somebody may see and change.

use std::fmt;
use std::sync::Arc;

use common::Text;
use common::query::Filter;
use common::schema::Schema;

/// Which rows and columns of a table somebody may see and change.
#[derive(Debug, Clone, PartialEq)]
pub struct Permission {
    /// Which rows: those on which this holds, before a change and after it.
    pub rows: Filter,
    /// Which columns beside the key's; `None` for all.
    pub columns: Option<Vec<Text>>,
}

impl Permission {
    /// Everything.
    pub const fn all() -> Self {
        Self {
            rows: Filter::True,
            columns: None,
        }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self::rows(Filter::Not(Box::new(Filter::True)))
    }

    /// All columns of the rows on which a filter holds.
    pub const fn rows(rows: Filter) -> Self {
        Self {
            rows,
            columns: None,
        }
    }

    /// Only these columns, and the key's.
    #[must_use]
    pub fn columns<N: Into<Text>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }
}

/// What the application lets a principal do with a table: a pure function of both. It is asked in every exchange, so a
/// right that was taken away is gone with the next one: the rows leave the replica.
///
/// ```
/// use common::query::Filter;
/// use syncdb::{Permission, Permissions};
/// let permissions = Permissions::new(|principal, table| match table.name.as_str() {
///     "tasks" => match principal {
///         Some(name) => Permission::rows(Filter::eq("owner", name.clone())),
///         None => Permission::none(),
///     },
///     "catalogue" => Permission::all().columns(["title", "price"]),
///     _ => Permission::none(),
/// });
/// # drop(permissions);
/// ```
#[derive(Clone)]
pub struct Permissions(Arc<Decide>);

type Decide = dyn Fn(Option<&Text>, &Schema) -> Permission + Send + Sync;

impl Permissions {
    /// A policy that asks this function.
    pub fn new(
        rule: impl Fn(Option<&Text>, &Schema) -> Permission + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(rule))
    }

    /// What the principal may see and change of a table.
    pub fn permission(&self, principal: Option<&Text>, table: &Schema) -> Permission {
        (self.0)(principal, table)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permissions")
    }
}
