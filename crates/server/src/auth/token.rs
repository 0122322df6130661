//! JSON Web Tokens: checked against a key, an issuer, an audience and the time.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::sync::Arc;

use common::{Map, Value};
use jsonwebtoken::Validation;

use super::keys::TokenKey;
use super::options::AuthOptions;

/// What a token has to say.
#[derive(Debug, Clone)]
pub(crate) struct TokenChecks {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) skew_seconds: i64,
    pub(super) bytes_max: usize,
}

/// What is known of a token before its signature is checked: which key it says it is signed with.
pub(crate) struct Unverified<'t> {
    token: &'t str,
    pub(crate) key_id: Option<String>,
}

/// A token that was checked.
pub(crate) struct Verified {
    pub(crate) claims: Map,
    /// Seconds since 1970.
    pub(crate) expires: i64,
    pub(crate) signed: Signed,
}

/// The key that signed a token, and its id where the token names one.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) key_id: Option<String>,
    pub(crate) key: Arc<TokenKey>,
}

impl TokenChecks {
    /// What the options want; `None` where they say nothing of tokens.
    pub(super) fn of(options: &AuthOptions) -> Option<Self> {
        Some(Self {
            issuer: options.issuer.clone()?,
            audience: options.audience.clone()?,
            skew_seconds: options.clock_skew_seconds.into(),
            bytes_max: options.token_bytes_max,
        })
    }

    /// Looks at a token's head.
    pub(crate) fn look<'t>(&self, token: &'t str) -> Option<Unverified<'t>> {
        if token.len() > self.bytes_max {
            return None;
        }
        let head = jsonwebtoken::decode_header(token).ok()?;
        // Extensions that have to be understood are not (RFC 7515, section 4.1.11).
        let critical = head_of(token)?.get("crit").is_some();
        (!critical).then_some(Unverified {
            token,
            key_id: head.kid,
        })
    }

    /// The claims of a token that this key signed, for this server, at this time; why not is nobody's business.
    pub(crate) fn verify(
        &self,
        token: &Unverified<'_>,
        key: &Arc<TokenKey>,
        now_seconds: i64,
    ) -> Option<Verified> {
        // The algorithm is the key's: what the token says has to agree with it.
        let mut validation = Validation::new(key.algorithm.of_library());
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        // The time is checked below, by a clock that comes in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let read = jsonwebtoken::decode::<Map>(token.token, &key.key, &validation);
        let claims = read.ok()?.claims;
        let expires = seconds(claims.get("exp")?)?;
        if now_seconds >= expires.saturating_add(self.skew_seconds) {
            return None;
        }
        for not_before in ["nbf", "iat"] {
            if let Some(time) = claims.get(not_before)
                && seconds(time)? > now_seconds.saturating_add(self.skew_seconds)
            {
                return None;
            }
        }
        let signed = Signed {
            key_id: token.key_id.clone(),
            key: Arc::clone(key),
        };
        Some(Verified {
            claims,
            expires,
            signed,
        })
    }
}

/// The head as JSON.
fn head_of(token: &str) -> Option<serde_json::Value> {
    use base64::Engine as _;
    let head = token.split('.').next()?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head);
    serde_json::from_slice(&json.ok()?).ok()
}

/// A time of a token: seconds since 1970, perhaps with a fraction, which is dropped.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is out of range becomes the end of the range"
)]
fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Int(seconds) => Some(*seconds),
        Value::Float(seconds) if seconds.is_finite() => Some(*seconds as i64),
        _ => None,
    }
}
