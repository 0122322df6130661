//! Who asks, and what they may do.
//!
//! Callers show credentials in `Authorization: Bearer ...`: a JSON Web Token of an issuer, or an [API key](ApiKeys). [`Auth`]
//! makes of them a [`Caller`]: a principal with claims, scopes and a tenant, which every handler begins with.
//! Whatever is wrong with credentials, the answer is the same. [`AuthOptions`] describes all of it.

mod api_keys;
mod jwks;
mod keys;
mod options;
mod permissions;
mod scopes;
mod template;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use common::schema::Schema;
use common::utils::time::{Clock, SystemClock};
use common::{Database, Error, Map, Result, Text, Timestamp, Value};
use syncdb::{Permission, Permissions};

pub use api_keys::{ApiKey, ApiKeyOptions, ApiKeys, NewApiKey};
use jwks::Jwks;
pub use keys::KeySet;
pub use options::{Algorithm, AuthOptions, KeyOptions};
use permissions::Decided;
pub use permissions::{Part, TablePermissions};
pub use scopes::{Scope, Scopes};
pub use template::Template;
use token::{Signed, TokenChecks, Verified};

use crate::problem::Problem;
use crate::tenant::Tenant;

/// How often it is looked whether the key is good still that a live connection uses, or that signed its token. No sleep is longer, so
/// that a clock which is set is noticed too.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Largest difference of clocks that is allowed for: more would let tokens live far beyond their end.
const SKEW_SECONDS_MAX: u32 = 300;

/// How callers show who they are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Auth {
    /// They need not: everybody may do everything. Only where nobody but this machine reaches the server.
    Open,
    /// They need not, wherever they are: something in front of the server knows them.
    OpenAnywhere,
    /// By tokens and API keys.
    Keys(Arc<Credentials>),
}

/// What credentials are checked against.
pub struct Credentials {
    tokens: Option<Tokens>,
    tenant_claim: Text,
    name_claim: Text,
    scope_claim: Text,
    clock: Arc<dyn Clock>,
}

struct Tokens {
    checks: TokenChecks,
    /// Where the keys of the configuration come from, to be read again.
    sources: Vec<KeyOptions>,
    keys: ArcSwap<KeySet>,
    jwks: Option<Jwks>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.tokens.as_ref().map(|tokens| tokens.keys.load());
        f.debug_struct("Credentials")
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

impl Auth {
    /// As the options say. Files of keys are read, and a key set that lies elsewhere is fetched: a server that knows no key would
    /// turn everybody away.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for options that contradict each other or are out of bounds, for keys that are none, and for
    /// permissions that do not read; what reading files and fetching the key set fails with.
    pub fn new(options: &AuthOptions) -> Result<Self> {
        Self::with_clock(options, Arc::new(SystemClock))
    }

    /// As [`Auth::new`], with another clock.
    ///
    /// # Errors
    /// As [`Auth::new`].
    pub fn with_clock(options: &AuthOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        options.permissions()?;
        let has_tokens = !options.keys.is_empty() || options.jwks.is_some();
        if options.open {
            if has_tokens {
                return Err(Error::invalid(
                    "auth: an open server looks at no credentials; take `open` or the keys out",
                ));
            }
            return Ok(if options.open_anywhere {
                Self::OpenAnywhere
            } else {
                Self::Open
            });
        }
        let tokens = has_tokens.then(|| Tokens::new(options, clock.now()));
        Ok(Self::Keys(Arc::new(Credentials {
            tokens: tokens.transpose()?,
            tenant_claim: options.tenant_claim.clone(),
            name_claim: options.name_claim.clone(),
            scope_claim: options.scope_claim.clone(),
            clock,
        })))
    }

    /// Checks that a server may listen there.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for an open server that others than this machine reach.
    pub fn check_address(&self, address: SocketAddr) -> Result<()> {
        if matches!(self, Self::Open) && !address.ip().is_loopback() {
            return Err(Error::invalid(format!(
                "{address}: everybody could read and change everything there; listen on 127.0.0.1, ask for credentials, or \
                 set `open_anywhere` when something in front of the server does"
            )));
        }
        Ok(())
    }

    /// The claims of a token, if a caller with it would be known now: for a program that serves other things to the same users.
    /// It may take as long as fetching keys takes. Always `None` where no tokens are taken.
    pub fn claims_of(&self, token: &str) -> Option<Map> {
        let Self::Keys(credentials) = self else {
            return None;
        };
        let tokens = credentials.tokens.as_ref()?;
        let verified = tokens.verify(token, credentials.clock.now())?;
        Some(verified.claims)
    }

    /// Reads the files of keys and the key set anew. It may take as long as fetching takes. Where one of them fails, its keys of
    /// before are good still. Returns whether there was anything to read.
    ///
    /// # Errors
    /// What reading the first of those fails with.
    pub(crate) fn reload(&self) -> Result<bool> {
        let Self::Keys(credentials) = self else {
            return Ok(false);
        };
        let Some(tokens) = &credentials.tokens else {
            return Ok(false);
        };
        let keys = keys_of(&tokens.sources).map(|keys| tokens.keys.store(Arc::new(keys)));
        let remote = match &tokens.jwks {
            Some(jwks) => jwks.refresh(credentials.clock.now()),
            None => Ok(()),
        };
        keys.and(remote).map(|()| true)
    }

    /// What a tenant's credentials say; `None` when they are no good. It may take as long as fetching keys takes.
    pub(crate) fn identify(
        &self,
        headers: &HeaderMap,
        tenants: &dyn Tenants,
    ) -> std::result::Result<Caller, Problem> {
        let Self::Keys(credentials) = self else {
            let tenant = tenants.named(Tenant::DEFAULT);
            let tenant = tenant.ok_or_else(Problem::unauthorized)?;
            return Ok(Caller::anybody(tenant));
        };
        let caller = bearer(headers).and_then(|shown| credentials.caller(shown, tenants));
        caller.ok_or_else(Problem::unauthorized)
    }

    /// Whether it takes longer than a moment to identify who sent this: keys have to be fetched.
    pub(crate) fn is_slow(&self, headers: &HeaderMap) -> bool {
        let Self::Keys(credentials) = self else {
            return false;
        };
        let Some((tokens, jwks)) = credentials.remote() else {
            return false;
        };
        let now = credentials.clock.now();
        if jwks.is_old(now) {
            return true;
        }
        let shown = bearer(headers).filter(|shown| !ApiKeys::is_key(shown));
        let unknown = shown.and_then(|shown| tokens.checks.look(shown));
        unknown.is_some_and(|token| jwks.may_refresh(now) && !tokens.knows(token.key_id.as_deref()))
    }
}

/// The tenants of a server, as identifying needs them.
pub(crate) trait Tenants {
    fn named(&self, name: &str) -> Option<Arc<Tenant>>;
    fn find(&self, is_it: &mut dyn FnMut(&Arc<Tenant>) -> bool);
}

impl AuthOptions {
    /// The permissions, for [`SyncServerOptions::permissions`](syncdb::SyncServerOptions::permissions); `None` when none are given.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a row filter that does not read, and for a table that is named twice.
    pub fn permissions(&self) -> Result<Option<Permissions>> {
        if self.permissions.is_empty() {
            return Ok(None);
        }
        Ok(Some(Decided::new(&self.permissions)?.permissions()))
    }

    /// Checks the permissions against the tables of a database, before it is served.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] for a column that is not there, [`common::ErrorKind::Invalid`] for a value of another type than
    /// its column's, with the table and the place.
    pub fn check_permissions(&self, db: &Database) -> Result<()> {
        Decided::new(&self.permissions)?.check(db)
    }
}

impl Tokens {
    fn new(options: &AuthOptions, now: i64) -> Result<Self> {
        let checks = TokenChecks::of(options).ok_or_else(|| {
            Error::invalid(
                "auth: tokens are checked against `issuer` and `audience`; give both, or tokens made for another \
                 server would be good here",
            )
        })?;
        if options.clock_skew_seconds > SKEW_SECONDS_MAX {
            return Err(Error::invalid(format!(
                "auth: `clock_skew_seconds` is at most {SKEW_SECONDS_MAX}, and tokens live so much longer"
            )));
        }
        let jwks = options.jwks.as_deref();
        let jwks = jwks
            .map(|location| Jwks::new(location, options))
            .transpose()?;
        if let Some(jwks) = &jwks {
            jwks.refresh(now)
                .map_err(|error| error.at("auth: key set"))?;
        }
        Ok(Self {
            checks,
            keys: ArcSwap::from_pointee(keys_of(&options.keys)?),
            sources: options.keys.clone(),
            jwks,
        })
    }

    fn knows(&self, id: Option<&str>) -> bool {
        let remote = self.jwks.as_ref().map(Jwks::keys);
        self.keys.load().find(id).is_some() || remote.is_some_and(|keys| keys.find(id).is_some())
    }

    /// Whether a key is still among those that tokens may be signed with.
    fn has(&self, signed: &Signed) -> bool {
        let id = signed.key_id.as_deref();
        if let Some(key) = self.keys.load().find(id) {
            return *key == signed.key;
        }
        let remote = self.jwks.as_ref().map(Jwks::keys);
        remote.is_some_and(|keys| keys.find(id) == Some(&signed.key))
    }

    fn verify(&self, token: &str, now: i64) -> Option<Verified> {
        let token = self.checks.look(token)?;
        let id = token.key_id.as_deref();
        let seconds = now.div_euclid(1_000_000);
        if let Some(key) = self.keys.load().find(id) {
            return self.checks.verify(&token, key, seconds);
        }
        let jwks = self.jwks.as_ref()?;
        let is_unknown = jwks.keys().find(id).is_none();
        if jwks.is_old(now) || (is_unknown && jwks.may_refresh(now)) {
            // Where that fails, the keys of before are good still.
            let _ = jwks.refresh(now);
        }
        let keys = jwks.keys();
        self.checks.verify(&token, keys.find(id)?, seconds)
    }
}

/// The keys of the configuration; files are read now.
fn keys_of(sources: &[KeyOptions]) -> Result<KeySet> {
    KeySet::from_options(sources).map_err(|error| error.at("auth"))
}

impl Credentials {
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now())
    }

    fn remote(&self) -> Option<(&Tokens, &Jwks)> {
        let tokens = self.tokens.as_ref()?;
        Some((tokens, tokens.jwks.as_ref()?))
    }

    fn caller(self: &Arc<Self>, shown: &str, tenants: &dyn Tenants) -> Option<Caller> {
        if ApiKeys::is_key(shown) {
            return self.caller_by_key(shown, tenants);
        }
        let now = self.clock.now();
        let tokens = self.tokens.as_ref()?;
        let Verified {
            claims,
            expires,
            signed,
        } = tokens.verify(shown, now)?;
        let name = Text::new(claims.get(&self.name_claim)?.as_text()?);
        // Nobody is called as a key is.
        if name.is_empty() || name.starts_with(ApiKeys::PRINCIPAL) {
            return None;
        }
        let scopes = match claims.get(&self.scope_claim) {
            None => Scopes::from_iter([Scope::Read, Scope::Write]),
            Some(Value::Text(words)) => Scopes::known_of(words.split_whitespace()),
            Some(Value::List(words)) => Scopes::known_of(words.iter().filter_map(Value::as_text)),
            Some(_) => return None,
        };
        let tenant = match claims.get(&self.tenant_claim) {
            None => tenants.named(Tenant::DEFAULT),
            Some(tenant) => tenants.named(tenant.as_text()?),
        }?;
        let skew = tokens.checks.skew_seconds;
        let until = expires.saturating_add(skew).saturating_mul(1_000_000);
        let principal = Principal::new(name, claims, scopes);
        Some(Caller {
            principal,
            tenant,
            good: Good::Until {
                time: Timestamp(until),
                by: Proof::Token(signed),
                credentials: Arc::clone(self),
            },
        })
    }

    fn caller_by_key(self: &Arc<Self>, shown: &str, tenants: &dyn Tenants) -> Option<Caller> {
        let now = self.now();
        let mut found = None;
        tenants.find(&mut |tenant| {
            let key = tenant.api_keys().check(shown, now);
            let is_it = key.is_some();
            found = key.map(|key| (Arc::clone(tenant), key));
            is_it
        });
        let (tenant, key) = found?;
        if ApiKeys::is_to_be_noted(&key, now) {
            let (keys, id) = (tenant.api_keys().clone(), key.id.clone());
            // Whoever asks need not wait for it, and gets their answer where it cannot be written.
            let note = move || drop(keys.note_use(&id, now));
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(note)),
                Err(_) => note(),
            }
        }
        let who = key.principal();
        let principal = Principal::of(who, key.scopes);
        Some(Caller {
            principal,
            tenant,
            good: Good::Until {
                time: key.expires.unwrap_or(Timestamp(i64::MAX)),
                by: Proof::ApiKey(key.id),
                credentials: Arc::clone(self),
            },
        })
    }
}

/// The credentials of a request; `None` where there are none, or several.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credentials.trim())
}

/// Somebody who was identified.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// Their name, where they gave one.
    pub(crate) name: Option<Text>,
    /// On whose behalf replicas speak; `None` for anybody.
    pub(crate) who: Option<syncdb::Principal>,
    /// What their credentials cover.
    pub(crate) scopes: Scopes,
}

impl Principal {
    fn new(name: Text, claims: Map, scopes: Scopes) -> Self {
        let mut who = syncdb::Principal::new(name);
        who.claims = Arc::new(claims);
        Self::of(who, scopes)
    }

    fn of(mut who: syncdb::Principal, scopes: Scopes) -> Self {
        who.may_write = scopes.has(Scope::Write);
        who.sees_everything = scopes.has(Scope::Admin);
        Self {
            name: Some(who.name.clone()),
            who: Some(who),
            scopes,
        }
    }
}

/// How long credentials are good.
#[derive(Debug, Clone)]
enum Good {
    Always,
    Until {
        /// When they are good no more, the difference of clocks included.
        time: Timestamp,
        by: Proof,
        credentials: Arc<Credentials>,
    },
}

/// What makes credentials good, and may go before their time is over.
#[derive(Debug, Clone)]
enum Proof {
    /// The key that signed a token, which may be taken out.
    Token(Signed),
    /// An API key by its id, which may be revoked.
    ApiKey(Text),
}

/// Who asks, and the tenant they ask: what every handler begins with.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) principal: Principal,
    pub(crate) tenant: Arc<Tenant>,
    good: Good,
}

impl Caller {
    fn anybody(tenant: Arc<Tenant>) -> Self {
        Self {
            principal: Principal {
                name: None,
                who: None,
                scopes: Scopes::all(),
            },
            tenant,
            good: Good::Always,
        }
    }

    /// What they may see of a table.
    pub fn permission(&self, table: &Schema) -> Permission {
        let sync = self.tenant.sync();
        sync.permission(self.principal.who.as_ref(), table)
    }

    /// What they may change of a table: a row before the change and after it.
    pub fn write_permission(&self, table: &Schema) -> Permission {
        let sync = self.tenant.sync();
        sync.write_permission(self.principal.who.as_ref(), table)
    }

    /// Whether their credentials cover such requests.
    pub fn has(&self, scope: Scope) -> bool {
        self.principal.scopes.has(scope)
    }

    /// When their credentials are good no more, as far as is known now: an API key may be revoked before, and the key that signed a
    /// token taken out. `None` for never.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.good {
            Good::Until { time, .. } if time.0 != i64::MAX => Some(*time),
            _ => None,
        }
    }

    /// Whether their credentials are good still.
    pub fn is_good(&self) -> bool {
        match &self.good {
            Good::Always => true,
            Good::Until {
                time,
                by,
                credentials,
            } => {
                let now = credentials.now();
                now < *time
                    && match by {
                        Proof::Token(signed) => {
                            let tokens = credentials.tokens.as_ref();
                            tokens.is_some_and(|tokens| tokens.has(signed))
                        }
                        Proof::ApiKey(id) => self.tenant.api_keys().is_good(id, now),
                    }
            }
        }
    }

    /// Ready when their credentials are good no more: at once when they expire, within 5 s when an API key is revoked or the key that
    /// signed a token is taken out. What lasts longer than a request waits for it, and closes.
    pub async fn until_invalid(&self) {
        while self.is_good() {
            let Good::Until {
                time, credentials, ..
            } = &self.good
            else {
                return std::future::pending().await;
            };
            let left = time.0.saturating_sub(credentials.now().0).max(0);
            let left = Duration::from_micros(left.unsigned_abs());
            tokio::time::sleep(left.min(LOOK_EVERY).max(Duration::from_millis(1))).await;
        }
    }
}
