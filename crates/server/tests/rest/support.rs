//! A server in this process, and requests to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use common::schema::{Field, FieldType, IndexSpec, Rule, Schema};
use common::{Database, row};
use serde_json::Value as Json;
use server::{App, Auth, ServeOptions, Tenant};
use syncdb::{SyncServer, SyncServerOptions};

use crate::described::{Exchange, described};
use crate::listening::Listening;

pub(crate) struct Running {
    listening: Listening,
    pub(crate) server: Arc<SyncServer>,
    agent: ureq::Agent,
}

impl std::ops::Deref for Running {
    type Target = Listening;

    fn deref(&self) -> &Listening {
        &self.listening
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The answer is a problem of this status; its sentence.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], status);
        json["detail"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Json {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }
}

/// `notes`: 5 rows, even ones are `me`'s. `secret` is a column that some may not see.
pub(crate) fn notes() -> Database {
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("owner", FieldType::Text).default_value("me"))
        .field(Field::new("text", FieldType::Text).rule(Rule::length(1, 1_000)))
        .field(Field::new("at", FieldType::Timestamp).nullable())
        .field(Field::new("secret", FieldType::Text).default_value("none"))
        .field(Field::new("slug", FieldType::Text).nullable())
        .index(IndexSpec::hash(["slug"]).unique());
    let notes = db.create_collection(notes.finish().unwrap()).unwrap();
    for id in 0..5 {
        let owner = if id % 2 == 0 { "me" } else { "you" };
        let (text, slug) = (format!("note {id}"), format!("s{id}"));
        let secret = format!("canary {id}");
        let row = row! { "id": id, "owner": owner, "text": text, "secret": secret, "slug": slug };
        notes.insert(row).unwrap();
    }
    db
}

pub(crate) fn run() -> Running {
    run_with(
        notes(),
        SyncServerOptions::default(),
        ServeOptions::default(),
    )
}

pub(crate) fn run_with(db: Database, sync: SyncServerOptions, options: ServeOptions) -> Running {
    let server = Arc::new(SyncServer::with(db, sync).unwrap());
    let tenant = Tenant::new(Tenant::DEFAULT, server);
    run_tenant(tenant, options)
}

pub(crate) fn run_tenant(tenant: Tenant, options: ServeOptions) -> Running {
    let server = Arc::clone(tenant.sync());
    let listening = Listening::start(App::new([tenant], Auth::Open), options);
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_mins(1)))
        .max_redirects(0)
        .build();
    Running {
        listening,
        server,
        agent: agent.into(),
    }
}

impl Running {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        sent: &[u8],
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = if sent.is_empty() && method == "GET" {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(sent).unwrap())
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let body = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_vec()
            .unwrap();
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
        };
        let is_packed = !answer.header("content-encoding").is_empty();
        if path != "/openapi.json" && !is_packed {
            let sent = if headers.iter().any(|(name, _)| *name == "content-encoding") {
                b""
            } else {
                sent
            };
            described(|| self.get("/openapi.json").json()).check(&Exchange {
                method,
                path,
                sent,
                status: answer.status,
                media: answer.header("content-type"),
                got: &answer.body,
            });
        }
        answer
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &Json) -> Answer {
        let body = body.to_string();
        self.send(
            method,
            path,
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    /// Sends bytes and reads until the server closes the connection.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let _ = stream.write_all(request);
        read_to_end(&mut stream)
    }

    /// Lets the server come to its end.
    pub(crate) fn end(self) {
        drop(self.listening);
    }
}

/// Reads until the other side closes the connection, which it has to.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            // A machine that stands still for a moment ends a wait that has a limit.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("the server left the connection open: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
