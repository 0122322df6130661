//! What a server held is there when it comes back: the same answers to the bit, and no index built again.

use std::path::Path;
use std::sync::Arc;

use common::Database;
use common::utils::id_generator::{Rng as _, SeededRng};
use serde_json::{Value as Json, json};
use server::Tenant;
use syncdb::SyncServer;

use crate::running::Running;

/// A tenant over what a folder holds; the rows that are in memory are saved by the caller.
fn tenant(folder: &Path) -> (Database, Tenant) {
    let rows = folder.join("rows.tdb");
    let database = if rows.exists() {
        durable::open(&rows).unwrap()
    } else {
        Database::new()
    };
    let sync = Arc::new(SyncServer::new(database.clone()).unwrap());
    let tenant = Tenant::new(Tenant::DEFAULT, sync).with_indexes(folder.join("indexes"));
    (database, tenant)
}

fn vector(rng: &mut SeededRng) -> [f32; 16] {
    [(); 16].map(|()| {
        let mut bytes = [0; 2];
        rng.fill(&mut bytes);
        f32::from(i16::from_le_bytes(bytes)) / 1_024.0
    })
}

fn fill(server: &Running, rows: i64, rng: &mut SeededRng) {
    let points: Vec<Json> = (0..rows)
        .map(|id| json!({ "id": id, "vector": vector(rng), "note": format!("note {id}") }))
        .collect();
    for some in points.chunks(1_000) {
        server.post("/v1/vectors/places/points", &json!({ "points": some }));
    }
}

/// Answers as they are sent, but for the commit that they are of.
fn answers(server: &Running, seed: u64) -> Vec<String> {
    let mut rng = SeededRng::new(seed);
    (0..30)
        .map(|_| {
            let asked = json!({ "vector": vector(&mut rng), "k": 10 });
            let found = server.post("/v1/vectors/places/search", &asked);
            found["hits"].to_string()
        })
        .collect()
}

fn create(server: &Running, index: &Json) {
    server.post(
        "/v1/vectors",
        &json!({ "name": "places", "metadata": [{ "name": "note", "type": "text" }],
                 "vectors": [{ "dimension": 16, "metric": "euclidean", "index": index }] }),
    );
}

#[test]
fn t31_answers_are_the_same_to_the_bit_after_a_restart_without_a_build() {
    for index in [
        json!({ "kind": "exact" }),
        json!({ "kind": "graph" }),
        json!({ "kind": "clustered" }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = SeededRng::new(3);
        let before = {
            let (database, tenant) = tenant(folder.path());
            let tenant = Arc::new(tenant);
            let server = Running::shared(&tenant);
            create(&server, &index);
            fill(&server, 3_000, &mut rng);
            // Waits for the build, so that both sides answer by the index.
            tenant.save_indexes().unwrap();
            durable::save(&database, folder.path().join("rows.tdb")).unwrap();
            assert!(index["kind"] == "exact" || server.get("/v1/vectors/places")["builds"] != 0);
            answers(&server, 5)
        };
        let (_, tenant) = tenant(folder.path());
        let server = Running::serving(tenant);
        assert_eq!(answers(&server, 5), before, "{index}");
        assert_eq!(server.get("/v1/vectors/places")["builds"], 0, "{index}");
        // And it goes on.
        let point =
            json!({ "points": [{ "id": 90_000, "vector": vec![0.25; 16], "note": "new" }] });
        server.post("/v1/vectors/places/points", &point);
        let found = server.post(
            "/v1/vectors/places/search",
            &json!({ "vector": vec![0.25; 16], "k": 1 }),
        );
        assert_eq!(found["hits"][0]["id"], 90_000);
    }
}

#[test]
fn indexes_that_are_older_than_the_rows_are_brought_up_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = SeededRng::new(9);
    {
        let (database, tenant) = tenant(folder.path());
        let tenant = Arc::new(tenant);
        let server = Running::shared(&tenant);
        create(&server, &json!({ "kind": "graph" }));
        fill(&server, 3_000, &mut rng);
        tenant.save_indexes().unwrap();
        // After that: a row more, a row less, a row elsewhere.
        let points = json!({ "points": [
            { "id": 70_000, "vector": vec![9.0; 16], "note": "more" },
            { "id": 5, "vector": vec![-9.0; 16], "note": "elsewhere" },
        ] });
        server.post("/v1/vectors/places/points", &points);
        server.post("/v1/vectors/places/points/delete", &json!({ "ids": [6] }));
        durable::save(&database, folder.path().join("rows.tdb")).unwrap();
    }
    let (_, tenant) = tenant(folder.path());
    let server = Running::serving(tenant);
    let nearest = |vector: Vec<f32>| {
        let found = server.post(
            "/v1/vectors/places/search",
            &json!({ "vector": vector, "k": 1 }),
        );
        (
            found["hits"][0]["id"].clone(),
            found["hits"][0]["distance"].clone(),
        )
    };
    assert_eq!(nearest(vec![9.0; 16]), (json!(70_000), json!(0.0)));
    assert_eq!(nearest(vec![-9.0; 16]), (json!(5), json!(0.0)));
    let all = server.post(
        "/v1/vectors/places/search",
        &json!({ "vector": vec![0.0; 16], "k": 4_000, "within": 1e9 }),
    );
    let hits = all["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 3_000);
    assert!(hits.iter().all(|hit| hit["id"] != 6));
    assert_eq!(server.get("/v1/vectors/places")["builds"], 0);
}

#[test]
fn a_damaged_file_of_indexes_costs_a_build_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = SeededRng::new(4);
    let before = {
        let (database, tenant) = tenant(folder.path());
        let tenant = Arc::new(tenant);
        let server = Running::shared(&tenant);
        create(&server, &json!({ "kind": "graph" }));
        fill(&server, 2_500, &mut rng);
        tenant.save_indexes().unwrap();
        durable::save(&database, folder.path().join("rows.tdb")).unwrap();
        answers(&server, 6)
    };
    let path = folder.path().join("indexes");
    let whole = std::fs::read(&path).unwrap();
    for damage in ["cut", "bits", "gone"] {
        let mut bytes = whole.clone();
        match damage {
            "cut" => bytes.truncate(whole.len() / 2),
            "bits" => bytes
                .iter_mut()
                .skip(4_096)
                .step_by(997)
                .for_each(|byte| *byte ^= 0x10),
            _ => {}
        }
        std::fs::write(&path, &bytes).unwrap();
        if damage == "gone" {
            std::fs::remove_file(&path).unwrap();
        }
        let (_, tenant) = tenant(folder.path());
        let tenant = Arc::new(tenant);
        let server = Running::shared(&tenant);
        assert_eq!(answers(&server, 6).len(), before.len());
        assert_ne!(server.get("/v1/vectors/places")["builds"], 0, "{damage}");
        tenant.save_indexes().unwrap();
    }
}

#[test]
fn features_and_experiments_come_back_with_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let retrieve = json!({ "features": [{ "view": "rides" }], "keys": [1, 2], "as_of": { "event": "2026-03-01T00:00:00Z" } });
    let before = {
        let (database, tenant) = tenant(folder.path());
        let server = Running::serving(tenant);
        let definitions = json!({
            "entities": [{ "name": "user", "keys": [{ "name": "user_id", "type": "int" }] }],
            "views": [{ "name": "rides", "entity": "user",
                        "features": [{ "name": "fare", "type": "float", "nullable": true }] }] });
        server.put("/v1/features/definitions", &definitions);
        let events = json!({ "events": [{ "user_id": 1, "event_time": 5, "fare": 0.1 }] });
        server.post("/v1/features/views/rides/events", &events);
        let experiment = json!({ "experiment": { "name": "e", "variants": ["a", "b"] } });
        server.put("/v1/experiments/e", &experiment);
        durable::save(&database, folder.path().join("rows.tdb")).unwrap();
        server.post("/v1/features/retrieve", &retrieve)
    };
    for _ in 0..3 {
        let (database, tenant) = tenant(folder.path());
        let server = Running::serving(tenant);
        assert_eq!(server.post("/v1/features/retrieve", &retrieve), before);
        assert_eq!(
            server.get("/v1/experiments/e")["experiment"]["variants"],
            json!(["a", "b"])
        );
        durable::save(&database, folder.path().join("rows.tdb")).unwrap();
    }
}
