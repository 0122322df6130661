//! [`ApiKeys`]: keys that a tenant gives to programs, in a table of its database.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::query::{OrderBy, Query};
use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::{Rng, SystemRng};
use common::{
    Collection, Database, Error, Map, Record, Result, Text, Timestamp, Transaction, Value,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use syncdb::Principal;

use super::scopes::{Scope, Scopes};

/// What every key begins with, so that scanners find keys that were published by mistake.
const PREFIX: &str = "tdk_";
const TABLE: &str = "sync_api_keys";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// Longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// Most claims of a key.
const CLAIMS_MAX: usize = 64;
/// Most keys of a tenant; those that were revoked make room.
const KEYS_MAX: usize = 10_000;
/// How exactly it is known when a key was last used: not every request writes.
const LAST_USE_MICROS: i64 = 60_000_000;

/// Keys that a tenant gives to programs: random, shown once, stored as a hash, with scopes, claims and an end.
///
/// They are rows of the table `sync_api_keys` of the tenant's own database, so they are as durable as the rest, go into its
/// backups, and say nothing to other tenants. The table is made with the first key.
///
/// A key has 256 random bits. Of such a secret one SHA-256 is the right hash: slow hashes protect what people
/// choose, which can be guessed; 256 random bits cannot, and a slow hash in every request would be a way to stop the server.
///
/// ```
/// use common::{Collection, Database, Timestamp};
/// use server::auth::{ApiKeyOptions, ApiKeys, Scope};
/// let keys = ApiKeys::new(Database::new());
/// let options = ApiKeyOptions::new("nightly report", [Scope::Read]);
/// let created = keys.create(&options, None, Timestamp(0))?;
/// assert!(created.secret.starts_with("tdk_"));
/// assert!(keys.check(&created.secret, Timestamp(1)).is_some());
/// keys.revoke(&created.key.id, Timestamp(2))?;
/// assert!(keys.check(&created.secret, Timestamp(3)).is_none());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ApiKeys {
    db: Database,
}

/// What a new key is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyOptions {
    /// What it is for, 1 to 200 bytes.
    pub name: Text,
    /// What it covers; at least one.
    pub scopes: Scopes,
    /// From when on it is refused, in JSON as in `2027-01-31T00:00:00Z`. Default never.
    #[serde(default, with = "crate::rfc3339::option")]
    pub expires: Option<Timestamp>,
    /// What permissions are told of who uses it; without `sub`, that is the name. At most 64.
    #[serde(default)]
    pub claims: BTreeMap<Text, Value>,
}

impl ApiKeyOptions {
    /// A key without end and without claims.
    pub fn new(name: impl Into<Text>, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self {
            name: name.into(),
            scopes: scopes.into_iter().collect(),
            expires: None,
            claims: BTreeMap::new(),
        }
    }
}

/// What is known of a key; not the key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiKey {
    /// Its name among keys, which is no secret: 16 hexadecimal digits.
    pub id: Text,
    /// What it is for.
    pub name: Text,
    /// What it covers.
    pub scopes: Scopes,
    /// What permissions are told of who uses it.
    pub claims: Map,
    /// When it was made.
    #[serde(with = "crate::rfc3339")]
    pub created: Timestamp,
    /// By whom.
    pub created_by: Option<Text>,
    /// From when on it is refused.
    #[serde(with = "crate::rfc3339::option")]
    pub expires: Option<Timestamp>,
    /// Since when it is refused.
    #[serde(with = "crate::rfc3339::option")]
    pub revoked: Option<Timestamp>,
    /// When it was last used, to a minute.
    #[serde(with = "crate::rfc3339::option")]
    pub last_used: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it is good at a time.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }

    /// On whose behalf who has it speaks.
    pub(crate) fn principal(&self) -> Principal {
        let mut principal = Principal::new(format!("{}{}", ApiKeys::PRINCIPAL, self.id));
        for (name, value) in &self.claims {
            principal = principal.claim(name.clone(), value.clone());
        }
        if !self.claims.contains_key("sub") {
            principal = principal.claim("sub", Value::Text(self.name.clone()));
        }
        principal
    }
}

/// A new key: the only time that its secret is there.
#[derive(Clone, Serialize)]
pub struct NewApiKey {
    /// What callers send as `Authorization: Bearer ...`.
    pub secret: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub key: ApiKey,
}

/// Without the secret.
impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApiKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl ApiKeys {
    /// What the names of principals begin with that keys speak for.
    pub(crate) const PRINCIPAL: &str = "key:";

    /// The keys in a database.
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    /// Whether these credentials have the form of a key.
    pub(crate) fn is_key(credentials: &str) -> bool {
        credentials.starts_with(PREFIX)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a name or claims out of bounds, without scopes, or with an end that has passed;
    /// [`common::ErrorKind::LimitExceeded`] beyond 10,000 keys; what the database fails with.
    pub fn create(
        &self,
        options: &ApiKeyOptions,
        by: Option<&Text>,
        now: Timestamp,
    ) -> Result<NewApiKey> {
        let length = options.name.len();
        if length == 0 || length > NAME_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the name of a key has 1 to {NAME_BYTES_MAX} bytes, this one has {length}"
            )));
        }
        if options.scopes == Scopes::default() {
            return Err(Error::invalid(
                "a key without scopes is good for nothing: give it read, write or admin",
            ));
        }
        if options.claims.len() > CLAIMS_MAX {
            return Err(Error::invalid(format!(
                "a key has at most {CLAIMS_MAX} claims"
            )));
        }
        if options.expires.is_some_and(|expires| expires <= now) {
            return Err(Error::invalid("the end of the key has passed already"));
        }
        let table = self.db.open_collection(schema()?)?;
        if table.len() >= KEYS_MAX {
            self.forget_revoked(&table)?;
        }
        if table.len() >= KEYS_MAX {
            return Err(Error::limit_exceeded(format!(
                "there are {KEYS_MAX} keys that are good; revoke some"
            )));
        }
        let mut random = [0; ID_BYTES + SECRET_BYTES];
        SystemRng.fill(&mut random);
        let (id, secret) = random.split_at(ID_BYTES);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let key = ApiKey {
            id: Text::new(id),
            name: options.name.clone(),
            scopes: options.scopes,
            claims: options.claims.clone(),
            created: now,
            created_by: by.cloned(),
            expires: options.expires,
            revoked: None,
            last_used: None,
        };
        table.insert_values(key.to_values(&hash(&secret)))?;
        Ok(NewApiKey { secret, key })
    }

    /// The key, if it is one and good at this time. That it was used is noted, at most once a minute.
    pub fn check(&self, secret: &str, now: Timestamp) -> Option<ApiKey> {
        let id = secret.strip_prefix(PREFIX)?.get(..ID_BYTES * 2)?;
        let found = self.record(id);
        let stored = found.as_ref().and_then(|record| record.get(2)?.as_bytes());
        // Without a key of that id as long as with one.
        let stored = stored.unwrap_or(&[0; 32]);
        let is_same: bool = hash(secret).as_slice().ct_eq(stored).into();
        let key = ApiKey::from_values(&found?)?;
        if !is_same || !key.is_good(now) {
            return None;
        }
        Some(key)
    }

    /// Whether a key is good still.
    pub(crate) fn is_good(&self, id: &str, now: Timestamp) -> bool {
        let key = self
            .record(id)
            .and_then(|record| ApiKey::from_values(&record));
        key.is_some_and(|key| key.is_good(now))
    }

    /// Whether it should be noted that the key is used.
    pub(crate) fn is_to_be_noted(key: &ApiKey, now: Timestamp) -> bool {
        let noted = |last: Timestamp| now.0.saturating_sub(last.0) < LAST_USE_MICROS;
        !key.last_used.is_some_and(noted)
    }

    /// Notes that a key is used.
    ///
    /// # Errors
    /// What the database fails with.
    pub(crate) fn note_use(&self, id: &str, now: Timestamp) -> Result<()> {
        let table = self.db.collection(TABLE)?;
        let mut tx = self.db.begin();
        let known = tx.get(&table, id)?;
        let key = known.and_then(|record| ApiKey::from_values(&record));
        if key.is_some_and(|key| Self::is_to_be_noted(&key, now)) {
            tx.update_values(&table, id, [(LAST_USED, Value::Timestamp(now))])?;
            tx.commit()?;
        }
        Ok(())
    }

    /// Refuses a key from now on; one that was revoked before stays as it is.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`]; what the database fails with.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<ApiKey> {
        let unknown = || Error::not_found(format!("there is no key `{id}`"));
        let table = self.db.collection(TABLE).map_err(|_| unknown())?;
        let mut tx: Transaction<'_> = self.db.begin();
        let record = tx.get(&table, id)?.ok_or_else(unknown)?;
        let mut key = ApiKey::from_values(&record).ok_or_else(damaged)?;
        if key.revoked.is_none() {
            key.revoked = Some(now);
            tx.update_values(&table, id, [(REVOKED, Value::Timestamp(now))])?;
            tx.commit()?;
        }
        Ok(key)
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table was written by somebody else; what the database fails with.
    pub fn list(&self) -> Result<Vec<ApiKey>> {
        if self.db.collection(TABLE).is_err() {
            return Ok(Vec::new());
        }
        let query = Query::from(TABLE).order_by(OrderBy::ascending("created"));
        let records = query.records(&self.db.snapshot().view())?;
        let keys = records
            .iter()
            .map(|record| ApiKey::from_values(record).ok_or_else(damaged));
        keys.collect()
    }

    /// Makes the first key, with all scopes, unless there is one already that administers: what a server prints when it
    /// begins, because nobody could use it otherwise.
    ///
    /// # Errors
    /// As [`ApiKeys::create`].
    pub fn create_first(&self, now: Timestamp) -> Result<Option<NewApiKey>> {
        let keys = self.list()?;
        if keys
            .iter()
            .any(|key| key.is_good(now) && key.scopes.has(Scope::Admin))
        {
            return Ok(None);
        }
        let all = [Scope::Read, Scope::Write, Scope::Admin];
        self.create(&ApiKeyOptions::new("first", all), None, now)
            .map(Some)
    }

    fn forget_revoked(&self, table: &Collection) -> Result<()> {
        let mut tx = self.db.begin();
        for key in self.list()?.iter().filter(|key| key.revoked.is_some()) {
            tx.delete(table, key.id.as_str())?;
        }
        tx.commit().map(drop)
    }

    fn record(&self, id: &str) -> Option<Record> {
        self.db.collection(TABLE).ok()?.get(id)
    }
}

const REVOKED: usize = 8;
const LAST_USED: usize = 9;

fn schema() -> Result<Schema> {
    let text = |name: &str| Field::new(name, FieldType::Text);
    let time = |name: &str| Field::new(name, FieldType::Timestamp).nullable();
    Schema::build(TABLE, ["id"])
        .field(text("id"))
        .field(text("name"))
        .field(Field::new("hash", FieldType::Bytes))
        .field(text("scopes"))
        .field(Field::new(
            "claims",
            FieldType::Map(Box::new(FieldType::Any)),
        ))
        .field(Field::new("created", FieldType::Timestamp))
        .field(text("created_by").nullable())
        .field(time("expires"))
        .field(time("revoked"))
        .field(time("last_used"))
        .finish()
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn damaged() -> Error {
    Error::corrupt(format!("table `{TABLE}` was not written by this server"))
}

impl ApiKey {
    fn to_values(&self, hash: &[u8]) -> [Value; 10] {
        [
            Value::Text(self.id.clone()),
            Value::Text(self.name.clone()),
            Value::from(hash),
            Value::from(self.scopes.to_string().as_str()),
            Value::Map(self.claims.clone().into()),
            Value::Timestamp(self.created),
            Value::from(self.created_by.clone()),
            Value::from(self.expires.map(Value::Timestamp)),
            Value::from(self.revoked.map(Value::Timestamp)),
            Value::from(self.last_used.map(Value::Timestamp)),
        ]
    }

    fn from_values(values: &[Value]) -> Option<Self> {
        let [
            id,
            name,
            _,
            scopes,
            claims,
            created,
            by,
            expires,
            revoked,
            used,
        ] = values
        else {
            return None;
        };
        let time = |value: &Value| match value {
            Value::Timestamp(time) => Some(*time),
            _ => None,
        };
        Some(Self {
            id: Text::new(id.as_text()?),
            name: Text::new(name.as_text()?),
            scopes: scopes.as_text()?.parse().ok()?,
            claims: match claims {
                Value::Map(claims) => (**claims).clone(),
                _ => return None,
            },
            created: time(created)?,
            created_by: by.as_text().map(Text::new),
            expires: time(expires),
            revoked: time(revoked),
            last_used: time(used),
        })
    }
}
