//! A token: never panics, and is good only when it was signed here. The input is a token, or the head and claims of one that is
//! signed rightly, so that what is behind the signature is reached.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use server::auth::{Auth, AuthOptions, KeyOptions};

const SECRET: &str = "a secret of the fuzzer that is longer than 32 bytes";

static AUTH: LazyLock<Auth> = LazyLock::new(|| {
    let options = AuthOptions::tokens("me", "you", [KeyOptions::shared("k", SECRET)]);
    Auth::new(&options).expect("the options are right")
});

fuzz_target!(|data: &[u8]| {
    if let Ok(token) = std::str::from_utf8(data) {
        assert!(AUTH.claims_of(token).is_none(), "nobody signed this");
    }
    let (head, claims) = match data.split_first() {
        Some((0, claims)) => (br#"{"alg":"HS256","kid":"k"}"#.as_slice(), claims),
        _ => data.split_at(data.len() / 2),
    };
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()).expect("a secret");
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    if let Ok(signature) = signature
        && let Some(claims) = AUTH.claims_of(&format!("{message}.{signature}"))
    {
        assert!(
            ["iss", "aud", "exp"]
                .iter()
                .all(|name| claims.contains_key(*name))
        );
    }
});
