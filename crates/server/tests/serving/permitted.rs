//! Callers who may see and change some of it.

use std::sync::Arc;

use common::schema::{Field, FieldType};
use common::{Database, Timestamp, row};
use serde_json::{Value as Json, json};
use server::auth::{ApiKeyOptions, AuthOptions, Part, Scope, TablePermissions};
use server::{Auth, Tenant};
use syncdb::{SyncServer, SyncServerOptions};
use vectordb::feature::{Entity, FeatureBatch, FeatureStore, OnInvalid, ViewDefinition};
use vectordb::{Metric, VectorDb, VectorOptions};

use crate::running::{Client, Running};

fn part(rows: &str, columns: Option<&[&str]>) -> Part {
    let columns = columns.map(|columns| columns.iter().map(|name| (*name).into()).collect());
    Part {
        rows: rows.to_owned(),
        columns,
    }
}

struct Site {
    server: Running,
    tenant: Arc<Tenant>,
}

impl Site {
    /// Rows of two owners, in a collection that each sees their own of, but for `secret`; one view that all may read.
    fn new() -> Self {
        let database = Database::new();
        let vectors = VectorDb::open_in(&database).unwrap();
        let text = |name| Field::new(name, FieldType::Text);
        let places = VectorOptions::new(1, Metric::Euclidean);
        let places = vectors
            .create_collection("places", places, [text("owner"), text("secret").nullable()])
            .unwrap();
        for (id, owner) in [(1_u8, "ann"), (2, "bob"), (3, "ann"), (4, "bob")] {
            let row = row! { "owner": owner, "secret": format!("canary of {owner}") };
            places.upsert(i64::from(id), [f32::from(id)], row).unwrap();
        }
        let store = FeatureStore::open(&database).unwrap();
        let user = Entity::new("user", [("user_id", FieldType::Int)]);
        store.create_entity(&user).unwrap();
        for name in ["open", "closed"] {
            let view = ViewDefinition::new(name, "user").floats(["x"]);
            let view = store.create_view(view).unwrap();
            let batch = FeatureBatch::new(&[1], Timestamp(5)).floats("x", &[1.5]);
            view.ingest(&batch, OnInvalid::Refuse).unwrap();
        }
        drop((vectors, store));
        let own = || part("owner == claims.sub", Some(&["owner", "vector"]));
        let options = AuthOptions {
            permissions: vec![
                TablePermissions {
                    table: "places".into(),
                    read: Some(own()),
                    write: Some(own()),
                },
                TablePermissions {
                    table: "features_open".into(),
                    read: Some(part("true", None)),
                    write: None,
                },
            ],
            ..AuthOptions::default()
        };
        let permissions = options.permissions().unwrap().unwrap();
        let sync = SyncServerOptions::default().permissions(permissions);
        let sync = Arc::new(SyncServer::with(database, sync).unwrap());
        let tenant = Arc::new(Tenant::new(Tenant::DEFAULT, sync));
        let server = Running::guarded(&tenant, Auth::new(&options).unwrap());
        Self { server, tenant }
    }

    fn client(&self, name: &str, scopes: &[Scope]) -> Client {
        let options = ApiKeyOptions::new(name, scopes.iter().copied());
        let keys = self.tenant.api_keys();
        let key = keys.create(&options, None, Timestamp(0)).unwrap();
        self.server.with_key(&key.secret)
    }
}

fn ids(hits: &Json) -> Vec<i64> {
    let hits = hits.as_array().unwrap().iter();
    hits.map(|hit| hit["id"].as_i64().unwrap()).collect()
}

#[test]
fn searches_and_reads_find_what_the_caller_may_see() {
    let site = Site::new();
    let ann = site.client("ann", &[Scope::Read]);
    let search = |asked: &Json| ann.post("/v1/vectors/places/search", asked);
    let found = search(&json!({ "vector": [2.1], "k": 10 }));
    assert_eq!(ids(&found["hits"]), [3, 1]);
    assert_eq!(found["hits"][0]["row"], json!({ "owner": "ann" }));
    // Whatever is asked for, it is asked of these rows.
    let either = json!({ "vector": [2.1], "k": 10, "filter": "owner == 'bob' or owner == 'ann'" });
    assert_eq!(ids(&search(&either)["hits"]), [3, 1]);
    assert_eq!(ids(&search(&json!({ "like": 1, "k": 5 }))["hits"]), [3]);
    let batch = json!({ "searches": [{ "vector": [2.1], "k": 10 }] });
    let batch = ann.post("/v1/vectors/places/search/batch", &batch);
    assert_eq!(ids(&batch["results"][0]["hits"]), [3, 1]);
    let hybrid = json!({ "k": 9, "parts": [{ "vector": [2.1], "k": 10 }] });
    let hybrid = ann.post("/v1/vectors/places/search/hybrid", &hybrid);
    assert_eq!(ids(&hybrid["hits"]).len(), 2);
    let page = ann.post("/v1/vectors/places/points/scroll", &json!({}));
    assert_eq!(ids(&page["points"]), [1, 3]);
    assert_eq!(
        ann.post("/v1/vectors/places/points/count", &json!({}))["count"],
        2
    );
    let got = ann.post("/v1/vectors/places/points/get", &json!({ "ids": [1, 2] }));
    assert_eq!(
        (&got["points"][0]["id"], &got["points"][1]),
        (&json!(1), &Json::Null)
    );
    assert_eq!(ann.get("/v1/vectors/places")["count"], 2);

    // A row of another looks like none, and a column that is not for the caller is refused wherever it is named.
    let hidden = ann.refused("/v1/vectors/places/search", r#"{"like": 2, "k": 1}"#);
    let absent = ann.refused("/v1/vectors/places/search", r#"{"like": 9, "k": 1}"#);
    assert_eq!((hidden.0, hidden.1.replace('2', "9")), absent);
    for body in [
        r#"{"vector": [1], "k": 1, "filter": "secret == 'canary of ann'"}"#,
        r#"{"vector": [1], "k": 1, "select": ["secret"]}"#,
    ] {
        let (status, says) = ann.refused("/v1/vectors/places/search", body);
        assert_eq!(status, 403, "{says}");
        assert!(
            says.contains("secret") && !says.contains("canary"),
            "{says}"
        );
    }
    for path in [
        "/v1/vectors/places/points",
        "/v1/vectors/places/points/delete",
        "/v1/vectors",
    ] {
        assert_eq!(ann.refused(path, "{}").0, 403, "{path}: a key that reads");
    }
    assert_eq!(
        site.server.refused("/v1/vectors/places/search", "{}").0,
        401
    );
    let explain = r#"{"vector": [1], "k": 1}"#;
    assert_eq!(
        ann.refused("/v1/vectors/places/search/explain", explain).0,
        403
    );
}

#[test]
fn writes_stay_within_what_the_caller_may_change() {
    let site = Site::new();
    let ann = site.client("ann", &[Scope::Read, Scope::Write]);
    let path = "/v1/vectors/places/points";
    let database = site.tenant.database();
    let table = database.collection("places").unwrap();
    let secret = table.get(1).unwrap()[3].clone();
    let state = || {
        (1..=9)
            .map(|id| table.get(id).map(|row| row.seq()))
            .collect::<Vec<_>>()
    };
    let before = state();
    for (body, why) in [
        (
            r#"{"points": [{"id": 9, "vector": [1], "owner": "bob"}]}"#,
            "gives a row away",
        ),
        (
            r#"{"points": [{"id": 2, "vector": [1], "owner": "ann"}]}"#,
            "takes a row",
        ),
        (
            r#"{"points": [{"id": 1, "vector": [1], "owner": "bob"}]}"#,
            "gives her own away",
        ),
        (
            r#"{"points": [{"id": 1, "vector": [1], "owner": "ann", "secret": "x"}]}"#,
            "a hidden column",
        ),
        (
            r#"{"points": [{"id": 8, "vector": [1], "owner": "ann"}, {"id": 2, "vector": [1], "owner": "ann"}]}"#,
            "all or none",
        ),
    ] {
        let (status, says) = ann.refused(path, body);
        assert_eq!(status, 403, "{why}: {says}");
        assert_eq!(state(), before, "{why}");
    }
    let points = json!({ "points": [{ "id": 1, "vector": [7], "owner": "ann" }, { "id": 8, "vector": [8], "owner": "ann" }] });
    assert_eq!(ann.post(path, &points)["changed"], 2);
    assert_eq!(table.get(1).unwrap()[3], secret, "what is hidden stays");
    let delete =
        |body: Json| ann.post("/v1/vectors/places/points/delete", &body)["changed"].clone();
    assert_eq!(delete(json!({ "ids": [2, 8] })), 1);
    assert_eq!(
        delete(json!({ "filter": "owner == 'bob' or owner == 'ann'" })),
        2
    );
    assert_eq!(table.len(), 2);
    assert_eq!(ann.delete("/v1/vectors/places").status, 403);
    assert_eq!(ann.refused("/v1/vectors/places/rebuild", "{}").0, 403);
    let other = r#"{"name": "mine", "vectors": [{"dimension": 1, "metric": "dot"}]}"#;
    assert_eq!(ann.refused("/v1/vectors", other).0, 403);
}

#[test]
fn features_are_for_who_may_see_all_of_their_table() {
    let site = Site::new();
    let ann = site.client("ann", &[Scope::Read, Scope::Write]);
    let retrieve = |view: &str| json!({ "features": [{ "view": view }], "keys": [1] });
    let rows = ann.post("/v1/features/retrieve", &retrieve("open"));
    assert_eq!(rows["rows"], json!([[1.5]]));
    let closed = retrieve("closed").to_string();
    assert_eq!(ann.refused("/v1/features/retrieve", &closed).0, 403);
    for (path, body) in [
        ("/v1/features/views/closed/get", r#"{"keys": [1]}"#),
        ("/v1/features/views/closed/history", r#"{"key": 1}"#),
        (
            "/v1/features/views/open/events",
            r#"{"events": [{"user_id": 1, "event_time": 0}]}"#,
        ),
        ("/v1/features/views/open/forget", r#"{"keys": [1]}"#),
        ("/v1/features/tags", r#"{"name": "t"}"#),
        (
            "/v1/features/why",
            r#"{"view": "open", "feature": "x", "key": 1}"#,
        ),
        ("/v1/transformers", r#"{"name": "t", "steps": []}"#),
        ("/v1/experiments/outcomes", r#"{"outcomes": []}"#),
        ("/v1/experiments/e/assign", r#"{"units": []}"#),
    ] {
        assert_eq!(ann.refused(path, body).0, 403, "{path}");
    }
    for path in [
        "/v1/features",
        "/v1/features/lineage",
        "/v1/transformers",
        "/v1/experiments",
    ] {
        assert_eq!(ann.get_as(path, "").status, 403, "{path}");
    }
}
