//! [`App`]: what a server serves, to whom.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use common::Text;
use syncdb::SyncServer;

use crate::auth::{Auth, Caller};
use crate::problem::Problem;
use crate::tenant::Tenant;

/// What a server serves, to whom: one database for each tenant, and how callers show who they are.
///
/// From a [`SyncServer`] comes an app of one tenant that everybody may use: for tests, and for processes whose
/// callers are themselves.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    tenants: BTreeMap<Text, Arc<Tenant>>,
    auth: Auth,
}

impl App {
    /// Tenants by name, and how callers are known.
    pub fn new(tenants: impl IntoIterator<Item = impl Into<Arc<Tenant>>>, auth: Auth) -> Self {
        let tenants = tenants
            .into_iter()
            .map(Into::<Arc<Tenant>>::into)
            .map(|tenant| (tenant.name().clone(), tenant))
            .collect();
        Self {
            inner: Arc::new(Inner { tenants, auth }),
        }
    }

    /// All tenants, by name.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = Arc<Tenant>> + '_ {
        self.inner.tenants.values().cloned()
    }

    /// Who asks, by the head of a request.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let principal = self.inner.auth.principal(headers)?;
        let tenant = self.inner.tenants.get(&principal.tenant);
        // A tenant that is not there looks like one that the caller is not of.
        let tenant = tenant.cloned().ok_or_else(Problem::unauthorized)?;
        Ok(Caller { principal, tenant })
    }
}

impl From<Arc<SyncServer>> for App {
    fn from(sync: Arc<SyncServer>) -> Self {
        Self::new([Tenant::new(Tenant::DEFAULT, sync)], Auth::Open)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenants: Vec<&Text> = self.inner.tenants.keys().collect();
        f.debug_struct("App")
            .field("tenants", &tenants)
            .finish_non_exhaustive()
    }
}
