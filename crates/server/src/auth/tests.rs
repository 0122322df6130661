use std::collections::BTreeMap;
use std::future::Future as _;
use std::task::{Context, Poll, Waker};

use axum::http::HeaderValue;
use base64::Engine as _;
use common::utils::time::ManualClock;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use syncdb::SyncServer;

use super::*;

const SECRET: &str = "a secret of the test that is longer than 32 bytes";
const BEGIN: i64 = 1_700_000_000;

struct One(BTreeMap<Text, Arc<Tenant>>);

impl Tenants for One {
    fn named(&self, name: &str) -> Option<Arc<Tenant>> {
        self.0.get(name).cloned()
    }

    fn find(&self, is_it: &mut dyn FnMut(&Arc<Tenant>) -> bool) {
        let _ = self.0.values().any(is_it);
    }
}

fn setting() -> (Auth, Arc<ManualClock>, One) {
    let clock = Arc::new(ManualClock::new(BEGIN * 1_000_000));
    let options = AuthOptions::tokens("me", "you", [KeyOptions::shared("k", SECRET)]);
    let auth = Auth::with_clock(&options, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let server = Arc::new(SyncServer::new(Database::new()).unwrap());
    let tenant = Arc::new(Tenant::new(Tenant::DEFAULT, server));
    (
        auth,
        clock,
        One(BTreeMap::from([(tenant.name().clone(), tenant)])),
    )
}

fn show(credentials: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {credentials}")).unwrap();
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

fn token(expires: i64) -> String {
    let claims = json!({ "sub": "alice", "iss": "me", "aud": "you", "exp": expires });
    let key = EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

fn is_ready(caller: &Caller) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.unwrap();
    let _entered = runtime.enter();
    let mut context = Context::from_waker(Waker::noop());
    let until = std::pin::pin!(caller.until_invalid());
    until.poll(&mut context) == Poll::Ready(())
}

#[test]
fn a_caller_is_good_until_the_token_expires_and_clocks_may_differ() {
    let (auth, clock, tenants) = setting();
    let caller = auth.identify(&show(&token(BEGIN + 60)), &tenants).unwrap();
    assert_eq!(
        caller.expires_at(),
        Some(Timestamp((BEGIN + 65) * 1_000_000))
    );
    assert!(caller.has(Scope::Write) && !caller.has(Scope::Admin));
    clock.set((BEGIN + 65) * 1_000_000 - 1);
    assert!(caller.is_good() && !is_ready(&caller));
    // As for a request of that moment.
    assert!(auth.identify(&show(&token(BEGIN + 60)), &tenants).is_ok());
    clock.set((BEGIN + 65) * 1_000_000);
    assert!(!caller.is_good() && is_ready(&caller));
    assert!(auth.identify(&show(&token(BEGIN + 60)), &tenants).is_err());
}

#[test]
fn who_waits_is_woken_at_the_end() {
    let (auth, clock, tenants) = setting();
    let caller = auth.identify(&show(&token(BEGIN)), &tenants).unwrap();
    clock.set((BEGIN + 5) * 1_000_000 - 20_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let moved = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            clock.set((BEGIN + 5) * 1_000_000);
        };
        tokio::join!(caller.until_invalid(), moved);
    });
}

#[test]
fn a_caller_with_a_key_is_good_until_it_is_revoked() {
    let (auth, clock, tenants) = setting();
    let tenant = tenants.named(Tenant::DEFAULT).unwrap();
    let options = ApiKeyOptions::new("x", [Scope::Read]);
    let made = tenant
        .api_keys()
        .create(&options, None, Timestamp(0))
        .unwrap();
    let caller = auth.identify(&show(&made.secret), &tenants).unwrap();
    assert_eq!(caller.expires_at(), None);
    clock.advance(Duration::from_secs(1_000_000));
    assert!(caller.is_good() && !is_ready(&caller));
    tenant
        .api_keys()
        .revoke(&made.key.id, Timestamp(1))
        .unwrap();
    assert!(!caller.is_good() && is_ready(&caller));
}

#[test]
fn anybody_is_good_for_ever_at_an_open_server() {
    let (_, _, tenants) = setting();
    let caller = Auth::Open.identify(&HeaderMap::new(), &tenants).unwrap();
    assert!(caller.is_good() && caller.has(Scope::Admin) && !is_ready(&caller));
    assert_eq!(caller.expires_at(), None);
}

#[test]
fn a_header_that_has_to_be_understood_and_is_not_is_refused() {
    let (auth, _, tenants) = setting();
    let right = token(BEGIN + 60);
    let mut parts = right.split('.');
    let (_, claims) = (parts.next(), parts.next().unwrap());
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let head_part = engine.encode(r#"{"alg":"HS256","typ":"JWT","crit":["b64"]}"#);
    let message = format!("{head_part}.{claims}");
    let key = EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, Header::default().alg).unwrap();
    let token = format!("{message}.{signature}");
    assert!(auth.identify(&show(&token), &tenants).is_err());
}
