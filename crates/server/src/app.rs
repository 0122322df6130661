//! [`App`]: what a server serves, to whom.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use common::Text;
use syncdb::SyncServer;

use crate::auth::{Auth, Caller, Tenants};
use crate::hangup::Hangups;
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

    /// Has the log of every tenant know of what was written beside it, as [`SyncServer::account_for_direct_writes`] does.
    ///
    /// # Errors
    /// As that, of the first tenant where it fails.
    pub fn account_for_direct_writes(&self) -> common::Result<()> {
        self.tenants()
            .try_for_each(|tenant| tenant.sync().account_for_direct_writes())
    }

    /// Checks that the server may listen there.
    ///
    /// # Errors
    /// As [`Auth::check_address`].
    pub fn check_address(&self, address: SocketAddr) -> common::Result<()> {
        self.inner.auth.check_address(address)
    }

    /// Reads the keys that tokens are checked with anew, whenever the process is told to. It never ends.
    pub(crate) async fn reload_keys(self) {
        let mut hangups = Hangups::new();
        loop {
            hangups.next().await;
            let inner = Arc::clone(&self.inner);
            match tokio::task::spawn_blocking(move || inner.auth.reload()).await {
                Ok(Ok(true)) => tracing::info!("the keys of tokens were read anew"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "keys of tokens stay as they were"),
                Err(_) => tracing::warn!("the keys of tokens cannot be read"),
            }
        }
    }

    /// Who asks, by the head of a request. A tenant that is not there looks like one that the caller is not of.
    ///
    /// # Errors
    /// 401, whatever is wrong.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if !self.inner.auth.is_slow(headers) {
            return self.inner.auth.identify(headers, &*self.inner);
        }
        let (inner, headers) = (Arc::clone(&self.inner), headers.clone());
        let known = tokio::task::spawn_blocking(move || inner.auth.identify(&headers, &*inner));
        known.await.unwrap_or_else(|_| Err(Problem::unauthorized()))
    }
}

impl Tenants for Inner {
    fn named(&self, name: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(name).cloned()
    }

    fn find(&self, is_it: &mut dyn FnMut(&Arc<Tenant>) -> bool) {
        let _ = self.tenants.values().any(is_it);
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
