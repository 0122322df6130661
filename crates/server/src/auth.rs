//! Who asks, and what they may do.

use std::sync::Arc;

use axum::http::HeaderMap;
use common::Text;
use common::schema::Schema;
use syncdb::Permission;

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
                may_alter_tables: true,
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
    /// Whether they may create, alter and drop tables.
    pub(crate) may_alter_tables: bool,
}

/// Who asks, and the tenant they ask: what every handler begins with.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) tenant: Arc<Tenant>,
}

impl Caller {
    /// What they may see and change of a table: what the tenant's server lets replicas of theirs see and change as well.
    pub(crate) fn permission(&self, table: &Schema) -> Permission {
        let name = self.principal.name.as_ref();
        self.tenant.sync().permission(name, table)
    }
}
