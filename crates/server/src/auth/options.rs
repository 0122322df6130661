//! [`AuthOptions`]: how callers show who they are and what they may do, as the section `[auth]` of `tandem.toml` says.

use common::Text;
use serde::{Deserialize, Serialize};

use super::permissions::TablePermissions;

/// How callers show who they are, and what they may do. The section `[auth]` of `tandem.toml`.
///
/// Without any of it, callers need an API key: see [`ApiKeys`](super::ApiKeys).
///
/// ```
/// use server::auth::{Algorithm, Auth, AuthOptions};
/// let options: AuthOptions = toml::from_str(r#"
///     issuer = "https://id.example.org"
///     audience = "tandem"
///
///     [[keys]]
///     id = "2026-11"
///     algorithm = "HS256"
///     secret = "at least 32 bytes, from a generator"
///
///     [[permissions]]
///     table = "tasks"
///     read = { rows = "owner == claims.sub or region in claims.regions" }
///     write = { rows = "owner == claims.sub", columns = ["title", "done", "owner", "region"] }
/// "#).unwrap();
/// assert_eq!(options.keys[0].algorithm, Algorithm::Hs256);
/// assert_eq!(options.clock_skew_seconds, 5);
/// Auth::new(&options)?;
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthOptions {
    /// Whether everybody may do everything, without credentials. Default false. Only for a server that listens on a
    /// loopback address, unless [`AuthOptions::open_anywhere`].
    pub open: bool,
    /// Whether an open server may listen where others reach it. Default false.
    pub open_anywhere: bool,
    /// What the claim `iss` of a token has to be. Needed for tokens.
    pub issuer: Option<String>,
    /// What has to be among the claim `aud` of a token. Needed for tokens.
    pub audience: Option<String>,
    /// By how many seconds the clock of who issues tokens may differ from the server's. Default 5, at most 300.
    pub clock_skew_seconds: u32,
    /// Most bytes of a token. Default 8,192.
    pub token_bytes_max: usize,
    /// The claim with the principal's name; a token without it is refused. Default `sub`.
    pub name_claim: Text,
    /// The claim with the tenant's name; a token without it is of the tenant `default`. Default `tenant`.
    pub tenant_claim: Text,
    /// The claim with the scopes: a list, or names with spaces between. A token without it has `read` and `write`.
    /// Default `scope`.
    pub scope_claim: Text,
    /// The keys that tokens are signed with.
    pub keys: Vec<KeyOptions>,
    /// Where further keys are: a JSON Web Key Set in a file, or at an `http://` or `https://` address; plain `http` for a loopback
    /// address only.
    pub jwks: Option<String>,
    /// Seconds that pass at least before the key set is read again because a token names a key that is not in it.
    /// Default 30.
    pub jwks_refresh_seconds: u32,
    /// Seconds after which the key set is read again in any case, so that a key that was taken out of it is not
    /// believed for ever. Default 600.
    pub jwks_age_seconds_max: u32,
    /// Seconds that reading the key set may take. Default 5.
    pub jwks_timeout_seconds: u32,
    /// Most bytes of the key set. Default 256 KiB.
    pub jwks_bytes_max: usize,
    /// A file with the certificates, as PEM, that the one at an `https://` address has to be signed by. Default: those that
    /// the system trusts.
    pub jwks_authorities_file: Option<String>,
    /// Who may see and change what. With any, a table that is not named is nobody's; with none, whoever has credentials
    /// may see and change all rows of their tenant, as their scopes say.
    pub permissions: Vec<TablePermissions>,
    /// Most entries of the audit; the oldest make room. Default 100,000.
    pub audit_entries_max: usize,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            open: false,
            open_anywhere: false,
            issuer: None,
            audience: None,
            clock_skew_seconds: 5,
            token_bytes_max: 8_192,
            name_claim: "sub".into(),
            tenant_claim: "tenant".into(),
            scope_claim: "scope".into(),
            keys: Vec::new(),
            jwks: None,
            jwks_refresh_seconds: 30,
            jwks_age_seconds_max: 600,
            jwks_timeout_seconds: 5,
            jwks_bytes_max: 256 << 10,
            jwks_authorities_file: None,
            permissions: Vec::new(),
            audit_entries_max: 100_000,
        }
    }
}

impl AuthOptions {
    /// Tokens of an issuer for an audience, signed with these keys; all else as it is when nothing is said.
    pub fn tokens(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        keys: impl IntoIterator<Item = KeyOptions>,
    ) -> Self {
        Self {
            issuer: Some(issuer.into()),
            audience: Some(audience.into()),
            keys: keys.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl KeyOptions {
    /// A shared secret of HS256.
    pub fn shared(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            secret: Some(secret.into()),
            ..Self::without_key(id, Algorithm::Hs256)
        }
    }

    /// A public key of another algorithm, as PEM.
    pub fn public(id: impl Into<String>, algorithm: Algorithm, pem: impl Into<String>) -> Self {
        Self {
            public_key: Some(pem.into()),
            ..Self::without_key(id, algorithm)
        }
    }

    fn without_key(id: impl Into<String>, algorithm: Algorithm) -> Self {
        Self {
            id: id.into(),
            algorithm,
            secret: None,
            secret_file: None,
            public_key: None,
            public_key_file: None,
        }
    }
}

/// A key that tokens are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyOptions {
    /// What tokens call it in `kid`.
    pub id: String,
    /// The only algorithm that it is good for, whatever a token says.
    pub algorithm: Algorithm,
    /// The shared secret of HS256, at least 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A file whose content, but for white space at its end, is the shared secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<String>,
    /// The public key of the other algorithms, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// A file with the public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<String>,
}

/// Without the secret.
impl std::fmt::Debug for KeyOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyOptions")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: the same secret signs and checks.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256, 2,048 to 8,192 bits.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    pub(super) const fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}
