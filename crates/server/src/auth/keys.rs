//! [`KeySet`]: the keys that tokens are signed with, from configuration and from JSON Web Key Sets.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Error, Result};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use serde_json::Value as Json;

use super::options::{Algorithm, KeyOptions};

/// Most keys of a key set.
const KEYS_MAX: usize = 256;
/// Longest id of a key, in bytes.
const KEY_ID_BYTES_MAX: usize = 256;
/// A shorter secret can be found by trying (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// The crypto library checks no RSA key below this many bits.
const RSA_BYTES_MIN: usize = 2_048 / 8;

/// A key, and the one algorithm that it is good for.
pub(crate) struct TokenKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
    /// As it was given, which tells two keys of one id apart.
    text: String,
}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.text == other.text
    }
}

/// Without the key.
impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Keys by their ids.
///
/// ```
/// use server::auth::KeySet;
/// let keys = KeySet::from_jwks(br#"{ "keys": [{
///     "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
/// }] }"#, 1_000)?;
/// assert_eq!(keys.len(), 1);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct KeySet {
    keys: BTreeMap<String, Arc<TokenKey>>,
}

impl KeySet {
    /// The keys of a JSON Web Key Set (RFC 7517) that tokens can be signed with: RSA, P-256 and Ed25519. Keys of other kinds
    /// or for other uses are left out, so that an issuer can add them; so are shared secrets, which have no place where
    /// public keys are.
    ///
    /// # Errors
    /// [`common::ErrorKind::LimitExceeded`] for more bytes than `bytes_max`, more than 256 keys, or an id of more than
    /// 256 bytes; [`common::ErrorKind::Invalid`] for what is no key set, and for two keys of one id.
    pub fn from_jwks(json: &[u8], bytes_max: usize) -> Result<Self> {
        if json.len() > bytes_max {
            return Err(Error::limit_exceeded(format!(
                "a key set has at most {bytes_max} bytes, this one has {}",
                json.len()
            )));
        }
        let set: Json = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("not a JSON Web Key Set: {error}")))?;
        let found = set
            .get("keys")
            .and_then(Json::as_array)
            .ok_or_else(|| Error::invalid("not a JSON Web Key Set: there is no list `keys`"))?;
        if found.len() > KEYS_MAX {
            return Err(Error::limit_exceeded(format!(
                "a key set has at most {KEYS_MAX} keys, this one has {}",
                found.len()
            )));
        }
        let mut keys = Self::default();
        for jwk in found {
            let Some((id, key)) = token_key(jwk) else {
                continue;
            };
            keys.add(id, key)?;
        }
        Ok(keys)
    }

    /// The keys of the configuration; files are read now.
    pub(super) fn from_options(options: &[KeyOptions]) -> Result<Self> {
        let mut keys = Self::default();
        for options in options {
            let at = |error: Error| error.at(format!("key `{}`", options.id));
            let key = from_option(options).map_err(at)?;
            keys.add(options.id.clone(), key)?;
        }
        Ok(keys)
    }

    fn add(&mut self, id: String, key: TokenKey) -> Result<()> {
        if id.len() > KEY_ID_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the id of a key has at most {KEY_ID_BYTES_MAX} bytes"
            )));
        }
        // Which of the two a token means would depend on their order.
        if self.keys.contains_key(&id) {
            return Err(Error::invalid(format!(
                "two keys have the id `{id}`; give each its own"
            )));
        }
        self.keys.insert(id, Arc::new(key));
        Ok(())
    }

    /// The key of an id; without one, the only key there is.
    pub(crate) fn find(&self, id: Option<&str>) -> Option<&Arc<TokenKey>> {
        match id {
            Some(id) => self.keys.get(id),
            None if self.keys.len() == 1 => self.keys.values().next(),
            None => None,
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Without what is in the keys.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

/// A key of a key set, if tokens can be signed with it.
fn token_key(json: &Json) -> Option<(String, TokenKey)> {
    let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
    if matches!(&jwk.common.public_key_use, Some(used) if *used != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, said) = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            // Four characters of base64 are three bytes.
            if key.n.len().saturating_mul(3) / 4 < RSA_BYTES_MIN {
                return None;
            }
            (Algorithm::Rs256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|named| named != said) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let id = jwk.common.key_id.unwrap_or_default();
    let text = json.to_string();
    let key = TokenKey {
        algorithm,
        key,
        text,
    };
    Some((id, key))
}

fn from_option(options: &KeyOptions) -> Result<TokenKey> {
    let algorithm = options.algorithm;
    let KeyOptions {
        secret,
        secret_file,
        public_key,
        public_key_file,
        ..
    } = options;
    let is_shared = algorithm == Algorithm::Hs256;
    if [secret, secret_file].iter().any(|given| given.is_some()) != is_shared
        || [public_key, public_key_file]
            .iter()
            .any(|given| given.is_some())
            == is_shared
    {
        return Err(Error::invalid(
            "HS256 takes `secret` or `secret_file`, the other algorithms `public_key` or `public_key_file`",
        ));
    }
    let (inline, file) = if is_shared {
        (secret, secret_file)
    } else {
        (public_key, public_key_file)
    };
    let text = match (inline, file) {
        (Some(text), None) => text.clone(),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| Error::from(error).at(path))?;
            text.trim_end().to_owned()
        }
        _ => {
            return Err(Error::invalid(
                "give the key itself or the file that it is in, one of the two",
            ));
        }
    };
    let pem = text.as_bytes();
    let key = match algorithm {
        Algorithm::Hs256 if pem.len() < SECRET_BYTES_MIN => {
            return Err(Error::invalid(format!(
                "a secret has at least {SECRET_BYTES_MIN} bytes, this one has {}; make one with `openssl rand -base64 32`",
                pem.len()
            )));
        }
        Algorithm::Hs256 => DecodingKey::from_secret(pem),
        Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
        Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
    };
    let key = key.map_err(|error| {
        Error::invalid(format!(
            "not a public key in PEM for this algorithm: {error}"
        ))
    })?;
    Ok(TokenKey {
        algorithm,
        key,
        text,
    })
}
