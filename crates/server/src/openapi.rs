//! [`Group`]: routes with what is to be known about them, from which both the router and the OpenAPI document are made. There
//! is no other way for a route into the router, so neither can have what the other has not.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, RawPathParamsRejection};
use axum::extract::{Extension, RawPathParams, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::{Map, Value as Json, json};

use crate::auth::{Caller, Scope};
use crate::call::{Handler, Parts, Place, answer};
use crate::negotiate::{JSON, PROTOBUF};
use crate::problem::PROBLEM_JSON;
use crate::routes;
use crate::schemas;
use crate::state::Server;

/// The version of the document: that of the paths, which begin with `/v1`.
const VERSION: &str = "1.0.0";

/// Routes that belong together.
pub(crate) struct Group {
    tag: &'static str,
    routes: Vec<Route>,
}

struct Route {
    method: Method,
    path: &'static str,
    handler: MethodRouter<Server>,
    operation: Operation,
}

impl Group {
    pub(crate) const fn new(tag: &'static str) -> Self {
        Self {
            tag,
            routes: Vec::new(),
        }
    }

    /// A route whose handler may wait for the database.
    #[must_use]
    pub(crate) fn route(
        self,
        method: Method,
        path: &'static str,
        handler: Handler,
        operation: Operation,
    ) -> Self {
        let place = operation.place;
        let handler = on(
            filter(&method),
            move |caller: Extension<Caller>,
                  server: State<Server>,
                  method: Method,
                  uri: Uri,
                  parameters: Result<RawPathParams, RawPathParamsRejection>,
                  headers: HeaderMap,
                  body: Result<Bytes, BytesRejection>| {
                let parts = Parts {
                    caller,
                    server,
                    method,
                    uri,
                    parameters,
                    headers,
                    body,
                };
                answer(handler, place, parts)
            },
        );
        self.route_async(method, path, handler, operation)
    }

    /// A route whose handler is asynchronous.
    #[must_use]
    pub(crate) fn route_async(
        mut self,
        method: Method,
        path: &'static str,
        handler: MethodRouter<Server>,
        operation: Operation,
    ) -> Self {
        self.routes.push(Route {
            method,
            path,
            handler,
            operation,
        });
        self
    }

    /// What there is, and what it needs.
    pub(crate) fn table(&self) -> impl Iterator<Item = routes::Route> + '_ {
        self.routes.iter().map(|route| routes::Route {
            method: route.method.clone(),
            path: route.path,
            needs: route.operation.needs,
        })
    }

    /// Puts the routes into a router, and what is known of them into a document.
    pub(crate) fn add_to(
        self,
        mut router: Router<Server>,
        document: &mut Document,
    ) -> Router<Server> {
        document.tags.push(self.tag);
        for route in self.routes {
            let method = route.method.as_str().to_ascii_lowercase();
            let operation = route.operation.into_json(self.tag, route.path);
            let item = document.paths.entry(route.path).or_default();
            item.insert(method, operation);
            router = router.route(route.path, route.handler);
        }
        router
    }
}

/// The filter that lets one method through; `GET` takes `HEAD` along.
pub(crate) fn filter(method: &Method) -> MethodFilter {
    match MethodFilter::try_from(method.clone()) {
        Ok(filter) => filter,
        // Only methods of the application's own are none.
        Err(_) => MethodFilter::TRACE,
    }
}

/// The OpenAPI document in the making.
#[derive(Default)]
pub(crate) struct Document {
    tags: Vec<&'static str>,
    paths: BTreeMap<&'static str, Map<String, Json>>,
}

impl Document {
    pub(crate) fn to_json(&self) -> Json {
        let tags = self.tags.iter().map(|tag| json!({ "name": tag }));
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "TandemDB",
                "version": VERSION,
                "description": "Tables of rows over HTTP, and their sync. Errors are problem details after RFC 9457.",
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            },
            "tags": tags.collect::<Vec<_>>(),
            "paths": self.paths,
            "components": {
                "schemas": schemas::all(),
                "securitySchemes": {
                    "bearer": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "A JSON Web Token or an API key; the names beside it are the scopes that it needs",
                    },
                },
            },
        })
    }
}

/// A schema of the document by its name.
pub(crate) fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What is said of a body of JSON.
fn content(schema: Json) -> Json {
    Json::Object(Map::from_iter([("schema".to_owned(), schema)]))
}

/// What is to be known about a route.
pub(crate) struct Operation {
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Json>,
    body: Map<String, Json>,
    needs_body: bool,
    answers: BTreeMap<u16, Json>,
    /// The scope that credentials need; `None` for what everybody may ask.
    needs: Option<Scope>,
    place: Place,
}

impl Operation {
    pub(crate) fn new(id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            parameters: Vec::new(),
            body: Map::new(),
            needs_body: true,
            answers: BTreeMap::new(),
            needs: Some(Scope::Read),
            place: Place::default(),
        }
    }

    /// Everybody may ask, whoever they are.
    #[must_use]
    pub(crate) const fn public(mut self) -> Self {
        self.needs = None;
        self
    }

    /// Credentials need this scope for it, and not only `read`.
    #[must_use]
    pub(crate) const fn needs(mut self, scope: Scope) -> Self {
        self.needs = Some(scope);
        self
    }

    /// It is a write of few rows, which takes turns with others.
    #[must_use]
    pub(crate) const fn in_turn(mut self) -> Self {
        self.place.in_turn = true;
        self
    }

    /// It takes microseconds, however large the tables are.
    #[must_use]
    pub(crate) const fn short(mut self) -> Self {
        self.place.is_short = true;
        self
    }

    /// A header that may be sent.
    #[must_use]
    pub(crate) fn header(self, name: &str, description: &str) -> Self {
        self.parameter("header", name, description, false)
    }

    /// A part behind the question mark that may be sent.
    #[must_use]
    pub(crate) fn query(self, name: &str, description: &str) -> Self {
        self.parameter("query", name, description, false)
    }

    /// A part behind the question mark that has to be sent.
    #[must_use]
    pub(crate) fn needs_query(self, name: &str, description: &str) -> Self {
        self.parameter("query", name, description, true)
    }

    fn parameter(mut self, place: &str, name: &str, description: &str, required: bool) -> Self {
        self.parameters.push(json!({
            "in": place,
            "name": name,
            "description": description,
            "required": required,
            "schema": { "type": "string" },
        }));
        self
    }

    /// A body of JSON.
    #[must_use]
    pub(crate) fn takes(mut self, schema: Json) -> Self {
        self.body.insert(JSON.to_owned(), content(schema));
        self
    }

    /// A body of JSON that need not be there.
    #[must_use]
    pub(crate) fn may_take(self, schema: Json) -> Self {
        Self {
            needs_body: false,
            ..self.takes(schema)
        }
    }

    /// A body of rows as Protocol Buffers.
    #[must_use]
    pub(crate) fn takes_protobuf(self) -> Self {
        self.takes_bytes(PROTOBUF)
    }

    /// A body of bytes.
    #[must_use]
    pub(crate) fn takes_bytes(mut self, media: &str) -> Self {
        self.body.insert(media.to_owned(), json!({}));
        self
    }

    /// An answer of JSON.
    #[must_use]
    pub(crate) fn gives(self, status: u16, description: &str, schema: Json) -> Self {
        let content = json!({ JSON: content(schema) });
        self.answer(
            status,
            json!({ "description": description, "content": content }),
        )
    }

    /// An answer of another media type.
    #[must_use]
    pub(crate) fn gives_media(self, status: u16, description: &str, media: &str) -> Self {
        let content = json!({ media: {} });
        self.answer(
            status,
            json!({ "description": description, "content": content }),
        )
    }

    /// An answer without a body.
    #[must_use]
    pub(crate) fn gives_nothing(self, status: u16, description: &str) -> Self {
        self.answer(status, json!({ "description": description }))
    }

    fn answer(mut self, status: u16, answer: Json) -> Self {
        self.answers.insert(status, answer);
        self
    }

    /// The answers so far with a body come as Protocol Buffers as well.
    #[must_use]
    pub(crate) fn gives_protobuf(self) -> Self {
        self.also_gives(PROTOBUF)
    }

    /// The answers so far with a body come in another media type as well.
    #[must_use]
    pub(crate) fn also_gives(mut self, media: &str) -> Self {
        let contents = self
            .answers
            .values_mut()
            .filter_map(|answer| answer.get_mut("content")?.as_object_mut());
        for content in contents {
            content.insert(media.to_owned(), json!({}));
        }
        self
    }

    #[expect(clippy::indexing_slicing, reason = "the object is made here")]
    fn into_json(mut self, tag: &str, path: &str) -> Json {
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            let description = match name {
                "table" => "Name of the table",
                "key" => "The row's key; of several columns, with commas between them",
                _ => "Part of the path",
            };
            self = self.parameter("path", name, description, true);
        }
        let answers = self.answers.into_iter();
        let mut responses: Map<String, Json> = answers
            .map(|(status, answer)| (status.to_string(), answer))
            .collect();
        if self.needs.is_some() {
            let content = json!({ PROBLEM_JSON: { "schema": reference("Problem") } });
            let problem = json!({ "description": "What went wrong", "content": content });
            responses.insert("default".to_owned(), problem);
        }
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [tag],
            "parameters": self.parameters,
            "responses": responses,
        });
        if let Some(scope) = self.needs {
            operation["security"] = json!([{ "bearer": [scope.name()] }]);
        }
        if !self.body.is_empty() {
            operation["requestBody"] = json!({ "required": self.needs_body, "content": self.body });
        }
        operation
    }
}

#[cfg(test)]
mod tests {
    /// What keeps the document true: nobody adds a route but through a group.
    #[test]
    fn no_route_goes_past_the_groups() {
        let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut read = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let adds = [
                    "router.route(",
                    "Router::new().route(",
                    ".route_service(",
                    ".nest(",
                ];
                let found = adds
                    .iter()
                    .map(|adds| text.matches(adds).count())
                    .sum::<usize>();
                // Here: one that adds, and these four words.
                let own = if path.ends_with("openapi.rs") { 5 } else { 0 };
                assert_eq!(found, own, "{}", path.display());
                read += 1;
            }
        }
        assert!(read > 10);
    }
}
