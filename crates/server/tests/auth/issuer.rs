//! Who issues tokens: keys of every algorithm, and tokens right and wrong.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Signing, EncodingKey, Header};
use serde_json::{Value as Json, json};
use server::auth::{Algorithm, KeyOptions};

pub(crate) const ISSUER: &str = "https://id.example.org";
pub(crate) const AUDIENCE: &str = "tandem";
pub(crate) const SECRET: &str = "a secret of the test that is longer than 32 bytes";

/// A key pair that tokens are signed with.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    private: EncodingKey,
    /// As configuration takes it.
    pub(crate) public: String,
}

fn pem(what: &str, der: &[u8]) -> String {
    let lines: Vec<u8> = STANDARD.encode(der).into_bytes();
    let lines: Vec<&str> = lines
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {what}-----\n{}\n-----END {what}-----\n",
        lines.join("\n")
    )
}

fn public_pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    pem("PUBLIC KEY", key.as_der().unwrap().as_ref())
}

/// RSA keys take long to make.
static RSA: LazyLock<(String, String)> = LazyLock::new(|| {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    (
        pem("PRIVATE KEY", private.as_ref()),
        public_pem(pair.public_key()),
    )
});

impl Signer {
    pub(crate) fn new(id: &str, algorithm: Algorithm) -> Self {
        let (private, public) = match algorithm {
            Algorithm::Hs256 => {
                let private = EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
                (private, SECRET.to_owned())
            }
            Algorithm::Rs256 => {
                let private = EncodingKey::from_rsa_pem(RSA.0.as_bytes()).unwrap();
                (private, RSA.1.clone())
            }
            Algorithm::Es256 => {
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new()).unwrap();
                let public = EcdsaKeyPair::from_pkcs8(kind, pair.as_ref()).unwrap();
                let private = pem("PRIVATE KEY", pair.as_ref());
                let private = EncodingKey::from_ec_pem(private.as_bytes()).unwrap();
                (private, public_pem(public.public_key()))
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
                let public = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pair.as_ref()).unwrap();
                let private = pem("PRIVATE KEY", pair.as_ref());
                let private = EncodingKey::from_ed_pem(private.as_bytes()).unwrap();
                (private, public_pem(public.public_key()))
            }
        };
        Self {
            id: id.to_owned(),
            algorithm,
            private,
            public,
        }
    }

    pub(crate) fn options(&self) -> KeyOptions {
        match self.algorithm {
            Algorithm::Hs256 => KeyOptions::shared(&self.id, &self.public),
            algorithm => KeyOptions::public(&self.id, algorithm, &self.public),
        }
    }

    fn signing(&self) -> Signing {
        match self.algorithm {
            Algorithm::Hs256 => Signing::HS256,
            Algorithm::Rs256 => Signing::RS256,
            Algorithm::Es256 => Signing::ES256,
            Algorithm::EdDsa => Signing::EdDSA,
        }
    }

    /// The public key as an element of a key set.
    pub(crate) fn jwk(&self) -> Json {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.signing()).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token with exactly these claims.
    pub(crate) fn sign(&self, claims: &Json) -> String {
        let mut header = Header::new(self.signing());
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }

    /// A token that is good for an hour, with these claims beside the usual ones.
    pub(crate) fn token(&self, name: &str, more: Json) -> String {
        self.sign(&claims(name, more))
    }
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// The claims of a token that is good for an hour; a null takes a claim away.
pub(crate) fn claims(name: &str, more: Json) -> Json {
    let mut claims = json!({
        "sub": name, "iss": ISSUER, "aud": AUDIENCE, "exp": now() + 3_600, "scope": "read write admin",
    });
    let Json::Object(more) = more else {
        panic!("claims are an object");
    };
    for (name, value) in more {
        let all = claims.as_object_mut().unwrap();
        match value {
            Json::Null => drop(all.remove(&name)),
            value => drop(all.insert(name, value)),
        }
    }
    claims
}

/// A token whose parts are what they are said to be.
pub(crate) fn forged(header: &Json, claims: &Json, signature: &[u8]) -> String {
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    format!(
        "{}.{}.{}",
        part(header),
        part(claims),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

/// A token signed by HMAC with some bytes as the secret, such as another algorithm's public key.
pub(crate) fn signed_with(secret: &[u8], key_id: &str, claims: &Json) -> String {
    let mut header = Header::new(Signing::HS256);
    header.kid = Some(key_id.to_owned());
    let key = EncodingKey::from_secret(secret).unwrap();
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}
