//! Bodies at the paths of a server without a socket: no body panics, fails inside, or changes something when it is refused.

use std::cell::RefCell;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use common::schema::{Field, FieldType, IndexSpec, Rule, Schema};
use common::{Database, row};
use server::{App, ServeOptions, service};
use syncdb::SyncServer;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Requests after which the database is made anew, so that its log stays short.
const REQUESTS_MAX: usize = 2_000;
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

thread_local! {
    static ROUTES: RefCell<Routes> = RefCell::new(Routes::new());
}

/// Sends a body. One that is refused has changed nothing; where nothing is to be written, no other one has either.
pub fn check(method: &str, path: &str, body: &[u8], writes: bool) {
    ROUTES.with_borrow_mut(|routes| routes.check(method, path, body, writes));
}

/// A server with a table of rows and a collection of vectors.
struct Routes {
    runtime: Runtime,
    service: axum::Router,
    server: Arc<SyncServer>,
    requests: usize,
}

impl Routes {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let db = Database::new();
        let schema = Schema::build("notes", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("text", FieldType::Text).rule(Rule::length(1, 100)))
            .field(Field::new("at", FieldType::Timestamp).nullable())
            .field(Field::new("share", FieldType::Float).nullable())
            .field(Field::new("more", FieldType::Any).nullable())
            .index(IndexSpec::ordered(["text"]))
            .finish();
        let notes = db
            .create_collection(schema.expect("a schema"))
            .expect("a table");
        for id in 0..3 {
            let text = format!("note {id}");
            notes
                .insert(row! { "id": id, "text": text })
                .expect("a row");
        }
        let server = Arc::new(SyncServer::new(db).expect("a server"));
        let service = {
            let _inside = runtime.enter();
            service(App::from(Arc::clone(&server)), ServeOptions::default())
        };
        let mut routes = Self {
            runtime,
            service,
            server,
            requests: 0,
        };
        let places = br#"{"name": "places", "vectors": [{"dimension": 2, "metric": "euclidean"}],
            "sparse": [{"column": "words"}], "metadata": [{"name": "kind", "type": "text", "nullable": true}]}"#;
        assert_eq!(
            routes.send("POST", "/v1/vectors", places),
            StatusCode::CREATED
        );
        let points = br#"{"points": [{"id": 1, "vector": [0, 1]}, {"id": 2, "vector": [3, 4], "kind": "cafe"}]}"#;
        assert_eq!(
            routes.send("POST", "/v1/vectors/places/points", points),
            StatusCode::OK
        );
        routes
    }

    /// The status of the answer to a body of JSON.
    fn send(&mut self, method: &str, path: &str, body: &[u8]) -> StatusCode {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        let service = self.service.clone();
        let (status, media, body) = self.runtime.block_on(async move {
            let answer = service.oneshot(request).await.expect("an answer");
            let media = answer.headers().get(header::CONTENT_TYPE).cloned();
            let status = answer.status();
            let body = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await;
            (status, media, body.expect("a body"))
        });
        assert!(
            !status.is_server_error(),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        if status.is_client_error() {
            let media = media.expect("a media type");
            assert_eq!(media, "application/problem+json");
            let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
            assert_eq!(problem["status"], status.as_u16());
        }
        status
    }

    fn check(&mut self, method: &str, path: &str, body: &[u8], writes: bool) {
        let before = self.server.database().seq();
        let status = self.send(method, path, body);
        let is_same = before == self.server.database().seq();
        assert!(
            is_same || (writes && status.is_success()),
            "{status} and something was written"
        );
        self.requests += 1;
        if self.requests > REQUESTS_MAX || !is_same {
            *self = Self::new();
        }
    }
}
