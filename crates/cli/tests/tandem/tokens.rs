//! Tokens of users, as an issuer signs them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{SystemTime, UNIX_EPOCH};

/// What tokens are signed with.
pub(crate) const SECRET: &str = "the first secret, of more than 32 bytes";

/// A token that is good for an hour, signed with a secret as the key `k1`; of a tenant, when one is given.
pub(crate) fn token(secret: &str, tenant: Option<&str>) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = serde_json::json!({
        "sub": "alice", "iss": "https://id.example", "aud": "tandem", "scope": "read write admin",
        "exp": since.as_secs() + 3_600,
    });
    if let Some(tenant) = tenant {
        let all = claims.as_object_mut().unwrap();
        all.insert("tenant".into(), tenant.into());
    }
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some("k1".into());
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()).unwrap();
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}
