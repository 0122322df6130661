//! Whether requests and answers are what the OpenAPI document says: every answer of these tests is held against it.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Value as Json, json};

/// The document of the server, and what was made of it so far.
pub(crate) struct Described {
    document: Json,
    /// By the place of a schema in the document.
    validators: Mutex<HashMap<String, Validator>>,
}

/// One request and what came of it.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    /// With what is behind the question mark.
    pub(crate) path: &'a str,
    pub(crate) sent: &'a [u8],
    pub(crate) status: u16,
    pub(crate) media: &'a str,
    pub(crate) got: &'a [u8],
}

/// The document of the server: one for all servers of a process.
pub(crate) fn described(read: impl FnOnce() -> Json) -> &'static Described {
    static DESCRIBED: OnceLock<Described> = OnceLock::new();
    DESCRIBED.get_or_init(|| Described {
        document: closed(read()),
        validators: Mutex::default(),
    })
}

/// The same schema, by which nothing may be there that it does not name.
fn closed(mut schema: Json) -> Json {
    match &mut schema {
        Json::Object(parts) => {
            if parts.contains_key("properties") && parts.get("type") == Some(&json!("object")) {
                parts
                    .entry("additionalProperties")
                    .or_insert(Json::Bool(false));
            }
            for part in parts.values_mut() {
                *part = closed(part.take());
            }
        }
        Json::Array(parts) => {
            for part in parts {
                *part = closed(part.take());
            }
        }
        _ => {}
    }
    schema
}

impl Described {
    /// The path of the document that a path is an instance of; one without a name in it before one with.
    fn route(&self, path: &str) -> Option<&str> {
        let path = path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        let routes = self.document["paths"].as_object()?.keys();
        let fitting = routes.filter(|route| {
            let names: Vec<&str> = route.split('/').collect();
            let mut both = names.iter().zip(&parts);
            names.len() == parts.len()
                && both.all(|(name, part)| name == part || name.starts_with('{'))
        });
        let route = fitting.min_by_key(|route| route.matches('{').count())?;
        Some(route)
    }

    /// Holds a request that was taken, and its answer, against the document.
    #[track_caller]
    pub(crate) fn check(&self, exchange: &Exchange<'_>) {
        let Exchange {
            method,
            path,
            sent,
            status,
            media,
            got,
        } = *exchange;
        let Some(route) = self.route(path) else {
            return;
        };
        let method = method.to_ascii_lowercase();
        if self.document["paths"][route].get(&method).is_none() {
            return;
        }
        let place = [
            "paths",
            &route.replace('~', "~0").replace('/', "~1"),
            &method,
        ]
        .join("/");
        let what = format!("{method} {path}");
        if media == "application/problem+json" {
            self.hold("components/schemas/Problem", got, &what);
            return;
        }
        if !(200..300).contains(&status) {
            return;
        }
        let answers = &self.document["paths"][route][&method]["responses"];
        let answer = &answers[status.to_string()];
        assert!(!answer.is_null(), "{what}: {status} is not described");
        if media == "application/json" {
            let place = format!("{place}/responses/{status}/content/application~1json/schema");
            self.hold(&place, got, &what);
        } else if !media.is_empty() {
            let known = answer["content"].get(media.split(';').next().unwrap_or(media));
            assert!(
                known.is_some(),
                "{what}: an answer of {media} is not described"
            );
        }
        if serde_json::from_slice::<Json>(sent).is_ok() {
            let place = format!("{place}/requestBody/content/application~1json/schema");
            self.hold(&place, sent, &format!("the body of {what}"));
        }
    }

    /// Holds JSON against a schema of the document.
    #[track_caller]
    fn hold(&self, place: &str, bytes: &[u8], what: &str) {
        let shown: Json = serde_json::from_slice(bytes).unwrap();
        let mut validators = self.validators.lock().unwrap();
        let validator = validators.entry(place.to_owned()).or_insert_with(|| {
            let schema = self.document.pointer(&format!("/{place}"));
            let Some(schema) = schema else {
                panic!("{what}: there is no schema at {place}");
            };
            // References lead from the root of the document.
            let schema = json!({ "allOf": [schema], "components": self.document["components"] });
            jsonschema::validator_for(&schema).unwrap()
        });
        let wrong: Vec<String> = validator
            .iter_errors(&shown)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        drop(validators);
        assert!(
            wrong.is_empty(),
            "{what} is not as described: {wrong:#?}\n{shown}"
        );
    }
}
