//! Collections, points and searches, against a plain model of them.

use std::collections::BTreeMap;

use common::utils::id_generator::{Rng as _, SeededRng};
use serde_json::{Value as Json, json};

use crate::running::Running;

/// What a collection holds, as a map.
type Model = BTreeMap<i64, ([f32; 4], i64)>;

fn number(rng: &mut SeededRng) -> f32 {
    let mut bytes = [0; 2];
    rng.fill(&mut bytes);
    f32::from(i16::from_le_bytes(bytes)) / 1_024.0
}

fn below(rng: &mut SeededRng, most: i64) -> i64 {
    let mut bytes = [0; 4];
    rng.fill(&mut bytes);
    i64::from(u32::from_le_bytes(bytes)) % most
}

fn vector(rng: &mut SeededRng) -> [f32; 4] {
    [(); 4].map(|()| number(rng))
}

fn places(server: &Running, index: &Json) {
    let made = server.post(
        "/v1/vectors",
        &json!({
            "name": "places",
            "vectors": [{ "dimension": 4, "metric": "squared_euclidean", "index": index }],
            "metadata": [{ "name": "kind", "type": "int" }, { "name": "note", "type": "text", "nullable": true }],
        }),
    );
    assert_eq!(made["count"], 0);
}

/// Ids of the nearest rows by comparing all, ties by id.
fn nearest(
    model: &Model,
    query: [f32; 4],
    k: usize,
    passes: impl Fn(i64, i64) -> bool,
) -> Vec<(i64, f64)> {
    let mut all: Vec<(i64, f64)> = model
        .iter()
        .filter(|(id, (_, kind))| passes(**id, *kind))
        .map(|(id, (vector, _))| {
            let squares = vector.iter().zip(query).map(|(a, b)| {
                let difference = f64::from(*a) - f64::from(b);
                difference * difference
            });
            (*id, squares.sum())
        })
        .collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
}

fn hits(answer: &Json) -> Vec<(i64, f64)> {
    let hits = answer["hits"].as_array().unwrap().iter();
    hits.map(|hit| {
        (
            hit["id"].as_i64().unwrap(),
            hit["distance"].as_f64().unwrap(),
        )
    })
    .collect()
}

#[test]
fn searches_find_what_comparing_all_rows_finds() {
    let server = Running::new();
    places(&server, &json!({ "kind": "exact" }));
    let mut rng = SeededRng::new(7);
    let mut model = Model::new();
    for round in 0..40 {
        let points: BTreeMap<i64, Json> = (0..20)
            .map(|_| {
                let (id, vector, kind) =
                    (below(&mut rng, 300), vector(&mut rng), below(&mut rng, 5));
                model.insert(id, (vector, kind));
                (id, json!({ "id": id, "vector": vector, "kind": kind }))
            })
            .collect();
        let points: Vec<&Json> = points.values().collect();
        server.post("/v1/vectors/places/points", &json!({ "points": points }));
        let gone: Vec<i64> = (0..3).map(|_| below(&mut rng, 300)).collect();
        server.post("/v1/vectors/places/points/delete", &json!({ "ids": gone }));
        for id in &gone {
            model.remove(id);
        }
        if round % 10 == 9 {
            server.post(
                "/v1/vectors/places/points/delete",
                &json!({ "filter": "kind == 4" }),
            );
            model.retain(|_, (_, kind)| *kind != 4);
        }
        let query = vector(&mut rng);
        let asked = json!({ "vector": query, "k": 7, "filter": "kind in (0, 1, 2)" });
        let found = server.post("/v1/vectors/places/search", &asked);
        assert_eq!(hits(&found), nearest(&model, query, 7, |_, kind| kind < 3));
        // Of a row: all but the row itself.
        let like = *model.keys().next().unwrap();
        let found = server.post(
            "/v1/vectors/places/search",
            &json!({ "like": like, "k": 3 }),
        );
        let of = model[&like].0;
        assert_eq!(hits(&found), nearest(&model, of, 3, |id, _| id != like));
        // No farther than a distance.
        let found = server.post(
            "/v1/vectors/places/search",
            &json!({ "vector": query, "k": 400, "within": 300.0 }),
        );
        let mut near = nearest(&model, query, 400, |_, _| true);
        near.retain(|(_, distance)| *distance <= 300.0);
        assert_eq!(hits(&found), near);
    }
    let count = server.post("/v1/vectors/places/points/count", &json!({}));
    assert_eq!(count["count"], model.len());
    let zeros = model.values().filter(|(_, kind)| *kind == 0).count();
    let count = server.post(
        "/v1/vectors/places/points/count",
        &json!({ "filter": "kind == 0" }),
    );
    assert_eq!(count["count"], zeros);
    // A page after another gives each row once.
    let (mut seen, mut after) = (Vec::new(), Json::Null);
    loop {
        let mut asked = json!({ "limit": 17, "select": ["kind", "vector"] });
        if !after.is_null() {
            asked["after"] = after;
        }
        let page = server.post("/v1/vectors/places/points/scroll", &asked);
        for point in page["points"].as_array().unwrap() {
            let id = point["id"].as_i64().unwrap();
            let (vector, kind) = &model[&id];
            assert_eq!(point["row"], json!({ "kind": kind, "vector": vector }));
            seen.push(id);
        }
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(seen, model.keys().copied().collect::<Vec<_>>());
}

#[test]
fn many_searches_answer_as_each_by_itself() {
    let server = Running::new();
    places(&server, &json!({ "kind": "graph" }));
    let mut rng = SeededRng::new(11);
    for batch in 0..3 {
        let points = (0..1_000).map(|at| {
            json!({ "id": batch * 1_000 + at, "vector": vector(&mut rng), "kind": at % 7, "note": "n" })
        });
        let points: Vec<Json> = points.collect();
        server.post("/v1/vectors/places/points", &json!({ "points": points }));
    }
    // The rows are found while the index of them is built, and after.
    while server.get("/v1/vectors/places")["builds"] == 0 {}
    let searches: Vec<Json> = (0..9)
        .map(|at| {
            let mut asked = json!({ "vector": vector(&mut rng), "k": 5, "effort": 3_000 });
            if at % 3 == 1 {
                asked["filter"] = json!("kind == 3");
            }
            if at % 3 == 2 {
                asked["select"] = json!(["note"]);
            }
            asked
        })
        .collect();
    let together = server.post(
        "/v1/vectors/places/search/batch",
        &json!({ "searches": searches }),
    );
    for (at, asked) in searches.iter().enumerate() {
        let alone = server.post("/v1/vectors/places/search", asked);
        assert_eq!(together["results"][at]["hits"], alone["hits"], "{asked}");
        assert_eq!(alone["hits"].as_array().unwrap().len(), 5);
    }
    let how = server.post("/v1/vectors/places/search/explain", &searches[1]);
    assert_eq!(how["rows"], 3_000);
    assert_eq!(how["matched"], 429);
    let diverse =
        json!({ "vector": [0, 0, 0, 0], "k": 5, "diverse": { "lambda": 0.5, "candidates": 50 } });
    let diverse = server.post("/v1/vectors/places/search", &diverse);
    assert_eq!(diverse["hits"].as_array().unwrap().len(), 5);
    let recall = json!({ "vector": [0, 0, 0, 0], "k": 5, "recall": 0.99 });
    let recall = server.post("/v1/vectors/places/search", &recall);
    assert_eq!(recall["hits"].as_array().unwrap().len(), 5);
    // Other options of the index: the same rows.
    let tuned = server.post(
        "/v1/vectors/places/rebuild",
        &json!({ "vectors": [{ "index": { "kind": "clustered" } }] }),
    );
    assert_eq!(tuned["vectors"][0]["index"]["kind"], "clustered");
    let mut all = searches[0].clone();
    all["within"] = json!(1e9);
    all["k"] = json!(3_000);
    all.as_object_mut().unwrap().remove("effort");
    let found = server.post("/v1/vectors/places/search", &all);
    assert_eq!(found["hits"].as_array().unwrap().len(), 3_000);
}

#[test]
fn named_and_sparse_vectors_are_searched_together() {
    let server = Running::new();
    server.post(
        "/v1/vectors",
        &json!({
            "name": "texts", "key": "text",
            "vectors": [{ "column": "meaning", "dimension": 2, "metric": "cosine" },
                        { "column": "image", "dimension": 3, "metric": "euclidean" }],
            "sparse": [{ "column": "words" }],
        }),
    );
    let words =
        |position: u32| json!({ "dimension": u32::MAX, "indices": [position], "values": [1.0] });
    server.post(
        "/v1/vectors/texts/points",
        &json!({ "points": [
            { "id": "a", "meaning": [1.0, 0.0], "words": words(5) },
            { "id": "b", "meaning": [0.8, 0.6], "words": words(9), "image": [1.0, 2.0, 3.0] },
            { "id": "c", "meaning": [0.0, 1.0], "words": words(9) },
        ] }),
    );
    let asked = json!({ "k": 2, "parts": [
        { "vector": [0.9, 0.1], "on": "meaning", "k": 10 },
        { "sparse": { "indices": [9], "values": [1.0] }, "on": "words", "k": 10 },
    ] });
    let fused = server.post("/v1/vectors/texts/search/hybrid", &asked);
    assert_eq!(fused["hits"][0]["id"], "b");
    assert_eq!(fused["hits"][0]["places"][0]["rank"], 2);
    let image = json!({ "vector": [1.0, 2.0, 3.0], "on": "image", "k": 5, "select": ["words"] });
    let found = server.post("/v1/vectors/texts/search", &image);
    assert_eq!(
        found["hits"].as_array().unwrap().len(),
        1,
        "others have no image"
    );
    assert_eq!(found["hits"][0]["row"]["words"]["indices"], json!([9]));
    let got = server.post(
        "/v1/vectors/texts/points/get",
        &json!({ "ids": ["c", "x"], "select": ["meaning"] }),
    );
    assert_eq!(
        got["points"],
        json!([{ "id": "c", "row": { "meaning": [0.0, 1.0] } }, null])
    );
    let none = server.refused("/v1/vectors/texts/search", r#"{"vector": [1, 2], "k": 1}"#);
    assert_eq!(none.0, 400);
    assert!(none.1.contains("meaning"), "{}", none.1);
    assert_eq!(server.delete("/v1/vectors/texts").status, 200);
    assert_eq!(server.delete("/v1/vectors/texts").status, 404);
    assert_eq!(server.get("/v1/vectors")["collections"], json!([]));
}

#[test]
fn the_vectors_of_a_table_are_searched_without_being_taken_from_its_replicas() {
    use common::schema::{Field, FieldType, Schema};
    let database = common::Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .field(Field::new(
            "meaning",
            FieldType::Vector {
                element: common::VectorElement::F32,
                dimension: Some(2),
            },
        ));
    let notes = database.create_collection(notes.finish().unwrap()).unwrap();
    let meaning = common::Value::from(common::Vector::from(vec![1.0_f32, 0.0]));
    notes
        .insert(common::row! { "id": 1, "text": "one", "meaning": meaning })
        .unwrap();
    let server = Running::over(database.clone());
    let asked = json!({ "name": "notes", "over_table": true,
        "vectors": [{ "column": "meaning", "dimension": 2, "metric": "euclidean" }] });
    assert_eq!(server.post("/v1/vectors", &asked)["count"], 1);
    let found = server.post(
        "/v1/vectors/notes/search",
        &json!({ "vector": [0, 0], "k": 1 }),
    );
    assert_eq!(found["hits"][0]["row"], json!({ "text": "one" }));
    // A collection that the server makes is none of the replicas'.
    places(&server, &json!({ "kind": "exact" }));
    let phone = syncdb::SyncDb::client("phone").unwrap();
    phone.sync(&mut server.transport()).unwrap();
    let tables = phone.database().collections();
    let tables = tables.iter().map(common::Collection::name);
    let tables: Vec<&str> = tables.filter(|name| !name.starts_with("sync_")).collect();
    assert_eq!(tables, ["notes"]);
    let row = common::row! { "id": 2, "text": "two", "meaning": common::Value::from(common::Vector::from(vec![0.0_f32, 0.5])) };
    phone.insert("notes", row).unwrap();
    phone.sync(&mut server.transport()).unwrap();
    let found = server.post(
        "/v1/vectors/notes/search",
        &json!({ "vector": [0, 0], "k": 1 }),
    );
    assert_eq!(found["hits"][0]["id"], 2, "what a replica wrote is found");
}
