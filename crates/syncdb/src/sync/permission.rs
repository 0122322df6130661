//! [`Permission`]: which rows and columns of a table somebody may see and change; [`Principal`]: who that is.

use std::fmt;
use std::sync::Arc;

use common::query::Filter;
use common::schema::Schema;
use common::{Map, Text, Value};

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

    /// What both allow.
    #[must_use]
    pub(crate) fn both(self, other: Self) -> Self {
        let columns = match (self.columns, other.columns) {
            (Some(own), Some(allowed)) => Some(
                own.into_iter()
                    .filter(|name| allowed.contains(name))
                    .collect(),
            ),
            (own, allowed) => own.or(allowed),
        };
        let rows = match self.rows {
            Filter::True => other.rows,
            own => own.and(other.rows),
        };
        Self { rows, columns }
    }
}

/// On whose behalf a replica speaks, as whoever authenticated them says.
///
/// ```
/// use common::Value;
/// use syncdb::Principal;
/// let alice = Principal::new("alice").claim("region", "north").read_only();
/// assert_eq!(alice.claims.get("region"), Some(&Value::from("north")));
/// assert!(!alice.may_write);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Their name: the ledger shows it, and a replica belongs to who pushed from it first.
    pub name: Text,
    /// What else is known of them, by name.
    pub claims: Arc<Map>,
    /// Whether they may change anything at all. Default true.
    pub may_write: bool,
    /// Whether [`Permissions`] are not asked, because they see everything: administrators. Default false.
    pub sees_everything: bool,
}

impl Principal {
    /// Somebody of whom nothing is known but the name.
    pub fn new(name: impl Into<Text>) -> Self {
        Self {
            name: name.into(),
            claims: Arc::default(),
            may_write: true,
            sees_everything: false,
        }
    }

    /// Adds a claim.
    #[must_use]
    pub fn claim(mut self, name: impl Into<Text>, value: impl Into<Value>) -> Self {
        Arc::make_mut(&mut self.claims).insert(name.into(), value.into());
        self
    }

    /// Somebody who changes nothing.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.may_write = false;
        self
    }
}

impl From<Text> for Principal {
    fn from(name: Text) -> Self {
        Self::new(name)
    }
}

impl From<&str> for Principal {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// What the application lets a principal do with a table: a pure function of both. It is asked in every exchange, so a
/// right that was taken away is gone with the next one: the rows leave the replica.
///
/// What may be seen may be changed, unless [`Permissions::writing`] says less.
///
/// ```
/// use common::query::Filter;
/// use syncdb::{Permission, Permissions};
/// let permissions = Permissions::new(|principal, table| match table.name.as_str() {
///     "tasks" => match principal {
///         Some(principal) => Permission::rows(Filter::eq("owner", principal.name.clone())),
///         None => Permission::none(),
///     },
///     "catalogue" => Permission::all().columns(["title", "price"]),
///     _ => Permission::none(),
/// })
/// .writing(|_, table| match table.name.as_str() {
///     "tasks" => Permission::all(),
///     _ => Permission::none(),
/// });
/// # drop(permissions);
/// ```
#[derive(Clone)]
pub struct Permissions {
    seeing: Arc<Decide>,
    changing: Option<Arc<Decide>>,
}

type Decide = dyn Fn(Option<&Principal>, &Schema) -> Permission + Send + Sync;

impl Permissions {
    /// A policy that asks this function.
    pub fn new(
        rule: impl Fn(Option<&Principal>, &Schema) -> Permission + Send + Sync + 'static,
    ) -> Self {
        Self {
            seeing: Arc::new(rule),
            changing: None,
        }
    }

    /// Asks this function as well what may be changed. A change has to be within both: who changes a row that they do not
    /// see would be told of it by the conflict.
    #[must_use]
    pub fn writing(
        mut self,
        rule: impl Fn(Option<&Principal>, &Schema) -> Permission + Send + Sync + 'static,
    ) -> Self {
        self.changing = Some(Arc::new(rule));
        self
    }

    /// What the principal may see of a table.
    pub fn permission(&self, principal: Option<&Principal>, table: &Schema) -> Permission {
        if principal.is_some_and(|principal| principal.sees_everything) {
            return Permission::all();
        }
        (self.seeing)(principal, table)
    }

    /// What the principal may change of a table.
    pub fn write_permission(&self, principal: Option<&Principal>, table: &Schema) -> Permission {
        if principal.is_some_and(|principal| !principal.may_write) {
            return Permission::none();
        }
        let seen = self.permission(principal, table);
        let is_asked = principal.is_none_or(|principal| !principal.sees_everything);
        match self.changing.as_ref().filter(|_| is_asked) {
            Some(changing) => seen.both(changing(principal, table)),
            None => seen,
        }
    }
}

/// Everybody everything, but that who may not write does not.
impl Default for Permissions {
    fn default() -> Self {
        Self::new(|_, _| Permission::all())
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permissions")
    }
}
