//! A server with two tenants on a real socket, and those who ask it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use common::schema::{Field, FieldType, Schema};
use common::{Database, Error, Result, Seq, row};
use serde_json::Value as Json;
use server::auth::{Algorithm, ApiKeyOptions, AuthOptions, KeyOptions, Scope};
use server::{App, Auth, ServeOptions, Tenant};
use syncdb::{SyncServer, SyncServerOptions, Transport};

use crate::described::{Exchange, described};
use crate::issuer::{AUDIENCE, ISSUER, Signer};
use crate::listening::Listening;

/// What no byte of an answer to the other tenant may hold.
pub(crate) const CANARY: &str = "canary-of-the-other";

pub(crate) struct Site {
    listening: Listening,
    /// By name: `default` and `other`.
    pub(crate) servers: Vec<Arc<SyncServer>>,
    pub(crate) tenants: Vec<server::auth::ApiKeys>,
    pub(crate) signer: Signer,
}

impl std::ops::Deref for Site {
    type Target = Listening;

    fn deref(&self) -> &Listening {
        &self.listening
    }
}

/// Tokens of one key.
pub(crate) fn options(keys: Vec<KeyOptions>) -> AuthOptions {
    AuthOptions::tokens(ISSUER, AUDIENCE, keys)
}

/// Notes: whose, what, where.
pub(crate) fn notes() -> Database {
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("owner", FieldType::Text))
        .field(Field::new("region", FieldType::Text))
        .field(Field::new("text", FieldType::Text).default_value(""))
        .field(Field::new("price", FieldType::Int).default_value(0))
        .finish()
        .unwrap();
    db.create_collection(notes).unwrap();
    db
}

impl Site {
    /// With tokens signed by HS256.
    pub(crate) fn new() -> Self {
        let signer = Signer::new("k1", Algorithm::Hs256);
        let options = options(vec![signer.options()]);
        Self::with(&options, signer, [notes(), notes()])
    }

    pub(crate) fn with(options: &AuthOptions, signer: Signer, databases: [Database; 2]) -> Self {
        let auth = Auth::new(options).unwrap();
        Self::with_auth(options, auth, signer, databases)
    }

    pub(crate) fn with_auth(
        options: &AuthOptions,
        auth: Auth,
        signer: Signer,
        databases: [Database; 2],
    ) -> Self {
        let mut servers = Vec::new();
        let mut tenants = Vec::new();
        for (name, db) in [Tenant::DEFAULT, "other"].into_iter().zip(databases) {
            options.check_permissions(&db).unwrap();
            let sync = SyncServerOptions {
                permissions: options.permissions().unwrap(),
                ..SyncServerOptions::default()
            };
            let server = Arc::new(SyncServer::with(db, sync).unwrap());
            servers.push(Arc::clone(&server));
            tenants.push(Tenant::new(name, server));
        }
        let keys = tenants.iter().map(|tenant| tenant.api_keys().clone());
        let keys = keys.collect();
        let app = App::new(tenants, auth);
        Self {
            listening: Listening::start(app, ServeOptions::default()),
            servers,
            tenants: keys,
            signer,
        }
    }

    /// A key of the first tenant (0) or the other (1).
    pub(crate) fn key(&self, tenant: usize, scopes: &[Scope]) -> String {
        let options = ApiKeyOptions::new("test", scopes.iter().copied());
        let db = self.servers[tenant].database();
        let created = self.tenants[tenant].create(&options, None, db.clock().now());
        created.unwrap().secret
    }

    pub(crate) fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Answer {
        let answer = ask(self.address, method, path, token, body.as_bytes());
        let described = described(|| ask(self.address, "GET", "/openapi.json", None, b"").json());
        described.check(&Exchange {
            method,
            path,
            sent: body.as_bytes(),
            status: answer.status,
            media: answer.media(),
            got: &answer.body,
        });
        answer
    }

    /// As who has these credentials.
    pub(crate) fn transport(&self, token: &str) -> impl Transport + use<> {
        let (address, token) = (self.address, token.to_owned());
        move |request: &[u8]| -> Result<Vec<u8>> {
            let answer = ask(address, "POST", "/v1/sync", Some(&token), request);
            match answer.status {
                200 => Ok(answer.body),
                status => Err(Error::invalid(format!("{status}: {}", answer.text()))),
            }
        }
    }

    /// Where the logs of both tenants are.
    pub(crate) fn seqs(&self) -> Vec<Seq> {
        let servers = self.servers.iter();
        servers.map(|server| server.database().seq()).collect()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn media(&self) -> &str {
        let mut lines = self.head.lines();
        let media = lines.find_map(|line| line.strip_prefix("content-type: "));
        media.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// One request on a connection of its own.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> Answer {
    let credentials = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{credentials}content-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let body = bytes.split_off(end.unwrap() + 4);
    let head = String::from_utf8(bytes).unwrap();
    let status = head.get(9..12).unwrap().parse().unwrap();
    Answer { status, head, body }
}

/// Rows of both: their own word in each.
pub(crate) fn fill(db: &Database, word: &str) {
    let notes = db.collection("notes").unwrap();
    for id in 0..40 {
        let owner = ["alice", "ben"][id % 2];
        let region = ["north", "south", "west"][id % 3];
        let id = i64::try_from(id).unwrap();
        notes
            .insert(row! { "id": id, "owner": owner, "region": region, "text": word, "price": id })
            .unwrap();
    }
}
