//! A server on a socket of its own, and what asks it.

use std::net::SocketAddr;
use std::sync::Arc;

use common::Database;
use serde_json::Value as Json;
use server::{App, Auth, ServeOptions, Tenant};
use syncdb::SyncServer;

use crate::described::{Exchange, described};
use crate::listening::Listening;

/// What asks a server.
pub(crate) struct Client {
    address: SocketAddr,
    agent: ureq::Agent,
    /// Credentials, where the server looks at them.
    authorization: String,
}

/// A server that stops when it is dropped.
pub(crate) struct Running {
    client: Client,
    _listening: Listening,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }
}

impl Running {
    pub(crate) fn new() -> Self {
        Self::over(Database::new())
    }

    pub(crate) fn over(database: Database) -> Self {
        let sync = Arc::new(SyncServer::new(database).unwrap());
        Self::serving(Tenant::new(Tenant::DEFAULT, sync))
    }

    pub(crate) fn serving(tenant: Tenant) -> Self {
        Self::shared(&Arc::new(tenant))
    }

    /// Of a tenant that the caller keeps.
    pub(crate) fn shared(tenant: &Arc<Tenant>) -> Self {
        Self::guarded(tenant, Auth::Open)
    }

    pub(crate) fn guarded(tenant: &Arc<Tenant>, auth: Auth) -> Self {
        let app = App::new([Arc::clone(tenant)], auth);
        let listening = Listening::start(app, ServeOptions::default());
        Self {
            client: Client::new(listening.address),
            _listening: listening,
        }
    }
}

impl std::ops::Deref for Running {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Self {
            address,
            agent: config.build().into(),
            authorization: "Bearer none".to_owned(),
        }
    }

    /// The same server, asked by who has a key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            authorization: format!("Bearer {key}"),
            ..Self::new(self.address)
        }
    }

    pub(crate) fn transport(&self) -> server::http::HttpTransport {
        server::http::HttpTransport::new(&self.url("")).unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get_as(&self, path: &str, media: &str) -> Answer {
        let request = self.agent.get(self.url(path)).header("accept", media);
        let request = request.header("authorization", &self.authorization);
        self.described("GET", path, "", answer(request.call()))
    }

    /// The same answer, held against the document.
    fn described(&self, method: &str, path: &str, sent: &str, got: Answer) -> Answer {
        let described = described(|| {
            let document = self.agent.get(self.url("/openapi.json")).call();
            answer(document).json()
        });
        described.check(&Exchange {
            method,
            path,
            sent: sent.as_bytes(),
            status: got.status,
            media: &got.media,
            got: &got.bytes,
        });
        got
    }

    pub(crate) fn get(&self, path: &str) -> Json {
        let answer = self.get_as(path, "application/json");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        let request = self.agent.delete(self.url(path));
        let request = request.header("authorization", &self.authorization);
        self.described("DELETE", path, "", answer(request.call()))
    }

    pub(crate) fn put(&self, path: &str, body: &Json) -> Answer {
        let request = self.agent.put(self.url(path));
        let request = request.header("authorization", &self.authorization);
        let body = body.to_string();
        self.described("PUT", path, &body, answer(request.send(&body)))
    }

    pub(crate) fn post_as(&self, path: &str, media: &str, body: &str) -> Answer {
        let request = self.agent.post(self.url(path)).header("accept", media);
        let request = request.header("authorization", &self.authorization);
        self.described("POST", path, body, answer(request.send(body)))
    }

    /// What a request that is in order gives.
    pub(crate) fn post(&self, path: &str, body: &Json) -> Json {
        let answer = self.post_as(path, "application/json", &body.to_string());
        assert!(
            (200..300).contains(&answer.status),
            "{path} {body}: {}",
            answer.text()
        );
        answer.json()
    }

    /// What is said of a request that is refused, with its status.
    pub(crate) fn refused(&self, path: &str, body: &str) -> (u16, String) {
        let answer = self.post_as(path, "application/json", body);
        assert_eq!(
            answer.media,
            "application/problem+json",
            "{path} {body}: {} {}",
            answer.status,
            answer.text()
        );
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        (answer.status, detail)
    }
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = response.unwrap();
    let media = response.headers().get("content-type");
    let media = media.map_or("", |media| media.to_str().unwrap()).to_owned();
    Answer {
        status: response.status().as_u16(),
        media,
        bytes: response.body_mut().read_to_vec().unwrap(),
    }
}
