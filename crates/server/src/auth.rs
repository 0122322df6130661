//! Who asks, and what they may do.

use std::sync::Arc;

use axum::http::HeaderMap;
use common::{Text, Timestamp};

use crate::problem::Problem;
use crate::tenant::Tenant;

/// How callers show who they are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Auth {
    /// They need not: everybody may do everything.
    Open,
}

impl Auth {
    /// Who asks, by the head of a request.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "callers that must show who they are can fail to"
    )]
    pub(crate) fn principal(&self, _headers: &HeaderMap) -> Result<Principal, Problem> {
        match self {
            Self::Open => Ok(Principal {
                name: None,
                tenant: Tenant::DEFAULT.into(),
            }),
        }
    }
}

/// Somebody who was identified.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// Their name, where they gave one.
    pub(crate) name: Option<Text>,
    /// The tenant they belong to.
    pub(crate) tenant: Text,
}

/// Who asks, and the tenant they ask: what every handler begins with.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) tenant: Arc<Tenant>,
}

impl Caller {
    /// When their credentials are good no more; `None` for never, as where nobody need show any.
    pub(crate) const fn expires_at(&self) -> Option<Timestamp> {
        None
    }
}
