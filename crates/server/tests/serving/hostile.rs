//! What strangers send: numbers out of every bound, wrong shapes, too much. Each is refused, and changes nothing.

use serde_json::{Value as Json, json};

use crate::running::Running;

const METRICS: [&str; 8] = [
    "euclidean",
    "squared_euclidean",
    "cosine",
    "dot",
    "manhattan",
    "chebyshev",
    "hamming",
    "jaccard",
];

fn points(server: &Running, name: &str) -> Json {
    server.post(
        &format!("/v1/vectors/{name}/points/scroll"),
        &json!({ "limit": 1_000, "select": ["n", "vector"] }),
    )
}

fn made(metric: &str) -> Running {
    let server = Running::new();
    server.post(
        "/v1/vectors",
        &json!({ "name": "c", "vectors": [{ "dimension": 2, "metric": metric }],
                 "metadata": [{ "name": "n", "type": "int", "nullable": true }] }),
    );
    let one = if ["hamming", "jaccard"].contains(&metric) {
        json!({ "dimension": 2, "bits": "Aw==" })
    } else {
        json!([1.0, 1.0])
    };
    server.post(
        "/v1/vectors/c/points",
        &json!({ "points": [{ "id": 1, "vector": one, "n": 1 }] }),
    );
    server
}

#[test]
fn t28_vectors_that_no_metric_compares_are_refused() {
    for metric in METRICS {
        let server = made(metric);
        let before = points(&server, "c");
        // What a body may say in place of a vector; most are no number that 32 bits hold.
        let mut wrong = vec![
            "[1e39, 0]",
            "[-1e39, 0]",
            "[1e400, 0]",
            "[NaN, 0]",
            "[Infinity, 0]",
            "[\"NaN\", 0]",
            "[\"inf\", 0]",
            "[null, 0]",
            "[1]",
            "[1, 2, 3]",
            "[]",
            "null",
            "\"1,2\"",
            "{}",
            "[[1, 2]]",
            "[true, 0]",
        ];
        if metric == "cosine" {
            wrong.push("[0, 0]");
            wrong.push("[-0.0, 0.0]");
        }
        if !["hamming", "jaccard", "cosine"].contains(&metric) {
            wrong.push("[3e38, 3e38]");
        }
        for vector in wrong {
            let body = format!(
                r#"{{"points": [{{"id": 2, "vector": [1, 0]}}, {{"id": 3, "vector": {vector}}}]}}"#
            );
            let (status, says) = server.refused("/v1/vectors/c/points", &body);
            assert_eq!(status, 400, "{metric} {vector}: {says}");
            let body = format!(r#"{{"vector": {vector}, "k": 1}}"#);
            let (status, says) = server.refused("/v1/vectors/c/search", &body);
            assert_eq!(status, 400, "{metric} {vector}: {says}");
        }
        assert_eq!(points(&server, "c"), before, "{metric}");
    }
}

#[test]
fn t28_tiny_vectors_are_ranked_right() {
    let server = Running::new();
    server.post(
        "/v1/vectors",
        &json!({ "name": "c", "vectors": [{ "dimension": 2, "metric": "cosine" }] }),
    );
    let tiny = json!({ "points": [
        { "id": 1, "vector": [1e-38, 0.0] }, { "id": 2, "vector": [1e-40, 1e-40] }, { "id": 3, "vector": [0.0, 1e-30] },
        { "id": 4, "vector": [1e38, 1e37] },
    ] });
    server.post("/v1/vectors/c/points", &tiny);
    let found = server.post(
        "/v1/vectors/c/search",
        &json!({ "vector": [1e-39, 0.0], "k": 4 }),
    );
    let ids = found["hits"].as_array().unwrap().iter();
    assert_eq!(
        ids.map(|hit| hit["id"].as_i64().unwrap())
            .collect::<Vec<_>>(),
        [1, 4, 2, 3]
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of what is refused")]
fn t29_numbers_of_configurations_are_refused() {
    let server = made("euclidean");
    let collection = |vectors: &str| format!(r#"{{"name": "d", "vectors": [{vectors}]}}"#);
    let dense = |field: &str| {
        collection(&format!(
            r#"{{"dimension": 2, "metric": "euclidean", {field}}}"#
        ))
    };
    let mut bodies: Vec<String> = [
        "0",
        "-1",
        "65537",
        "9223372036854775808",
        "18446744073709551616",
        "1.5",
        "1e3",
        "null",
        "\"2\"",
    ]
    .iter()
    .map(|dimension| {
        collection(&format!(
            r#"{{"dimension": {dimension}, "metric": "euclidean"}}"#
        ))
    })
    .collect();
    for index in [
        r#"{"kind": "graph", "degree": 0}"#,
        r#"{"kind": "graph", "degree": 65537}"#,
        r#"{"kind": "graph", "degree": 33}"#,
        r#"{"kind": "graph", "build_candidates": 0}"#,
        r#"{"kind": "graph", "build_candidates": 18446744073709551615}"#,
        r#"{"kind": "graph", "spread": 1e39}"#,
        r#"{"kind": "graph", "spread": -1}"#,
        r#"{"kind": "graph", "threads": 4}"#,
        r#"{"kind": "graph", "layout": "odd"}"#,
        r#"{"kind": "clustered", "clusters": 0}"#,
        r#"{"kind": "clustered", "clusters": 9223372036854775808}"#,
        r#"{"kind": "clustered", "bits": 0}"#,
        r#"{"kind": "clustered", "bits": 9}"#,
        r#"{"kind": "magic"}"#,
    ] {
        bodies.push(dense(&format!(r#""index": {index}"#)));
    }
    for field in [
        r#""precision": "odd""#,
        r#""threads": 1"#,
        r#""column": """#,
        r#""column": "id""#,
    ] {
        bodies.push(dense(field));
    }
    bodies.push(r#"{"name": "", "vectors": [{"dimension": 2, "metric": "dot"}]}"#.to_owned());
    bodies.push(r#"{"name": "d", "vectors": []}"#.to_owned());
    bodies.push(r#"{"name": "d", "sparse": [{"column": "w", "dimension": 0}]}"#.to_owned());
    bodies.push(
        r#"{"name": "d", "key": "float", "vectors": [{"dimension": 2, "metric": "dot"}]}"#
            .to_owned(),
    );
    bodies.push(r#"{"name": "d", "vectors": [{"dimension": 2, "metric": "dot"}, {"dimension": 2, "metric": "dot"}]}"#.to_owned());
    bodies.push(r#"{"name": "d", "vectors": [{"dimension": 2, "metric": "dot"}], "metadata": [{"name": "vector", "type": "int"}]}"#.to_owned());
    for body in bodies {
        let (status, says) = server.refused("/v1/vectors", &body);
        assert_eq!(status, 400, "{body}: {says}");
    }
    assert_eq!(server.get("/v1/vectors")["collections"], json!(["c"]));

    let before = points(&server, "c");
    let search = |field: &str| format!(r#"{{"vector": [1, 2], {field}}}"#);
    let huge = "9223372036854775808";
    for (body, names) in [
        (search(r#""k": 0"#), "k"),
        (search(&format!(r#""k": {huge}"#)), "k"),
        (search(r#""k": -1"#), ""),
        (search(r#""k": 10001"#), "k"),
        (search(r#""k": 1.0"#), ""),
        (search(r#""k": 1, "effort": 0"#), "effort"),
        (search(&format!(r#""k": 1, "effort": {huge}"#)), "effort"),
        (search(r#""k": 1, "recall": 1.5"#), "recall"),
        (search(r#""k": 1, "recall": -0.1"#), "recall"),
        (search(r#""k": 1, "within": 1e999"#), ""),
        (
            search(r#""k": 1, "diverse": {"lambda": 2.0, "candidates": 5}"#),
            "",
        ),
        (
            search(&format!(
                r#""k": 1, "diverse": {{"lambda": 0.5, "candidates": {huge}}}"#
            )),
            "candidates",
        ),
        (search(r#""k": 1, "filter": "m == 1""#), "m"),
        (search(r#""k": 1, "filter": "n ==""#), "filter"),
        (search(r#""k": 1, "select": ["n", "n"]"#), "select[1]"),
        (search(r#""k": 1, "weight": 2"#), "weight"),
        (search(r#""k": 1, "like": 1"#), "one of"),
        (r#"{"k": 1}"#.to_owned(), "one of"),
        (search(r#""k": 1, "K": 1"#), "K"),
        (r#"{"like": "one", "k": 1}"#.to_owned(), "like"),
    ] {
        let (status, says) = server.refused("/v1/vectors/c/search", &body);
        assert_eq!(status, 400, "{body}: {says}");
        assert!(says.contains(names), "{body}: {says}");
        let batch = format!(r#"{{"searches": [{body}]}}"#);
        assert_eq!(
            server.refused("/v1/vectors/c/search/batch", &batch).0,
            400,
            "{batch}"
        );
    }
    for (body, names) in [
        (
            r#"{"points": [{"id": 5, "vector": [1, 2]}, {"id": 5, "vector": [3, 4]}]}"#,
            "points[1]",
        ),
        (
            r#"{"points": [{"id": 9223372036854775808, "vector": [1, 2]}]}"#,
            "id",
        ),
        (r#"{"points": [{"id": null, "vector": [1, 2]}]}"#, "id"),
        (r#"{"points": [{"vector": [1, 2]}]}"#, "id"),
        (r#"{"points": [{"id": 5}]}"#, "vector"),
        (
            r#"{"points": [{"id": 5, "vector": [1, 2], "n": 1.5}]}"#,
            "n",
        ),
        (r#"{"points": [{"id": 5, "vector": [1, 2], "m": 1}]}"#, "m"),
        (
            r#"{"points": [{"id": 5, "vector": [1, 2], "n": 1, "n": 2}]}"#,
            "n",
        ),
        (r#"{"points": {}}"#, ""),
        (r#"{"points": [5]}"#, ""),
        ("[]", ""),
        ("nonsense", ""),
        ("", "points"),
    ] {
        let (status, says) = server.refused("/v1/vectors/c/points", body);
        assert_eq!(status, 400, "{body}: {says}");
        assert!(says.contains(names), "{body}: {says}");
    }
    let many: Vec<Json> = (0..1_001)
        .map(|id| json!({ "id": id, "vector": [1, 2] }))
        .collect();
    let (status, says) = server.refused(
        "/v1/vectors/c/points",
        &json!({ "points": many }).to_string(),
    );
    assert!(status == 400 && says.contains("points"), "{says}");
    for body in [
        r#"{"limit": 0}"#,
        r#"{"limit": 1001}"#,
        r#"{"after": "x"}"#,
        r#"{"limit": 9223372036854775808}"#,
    ] {
        assert_eq!(
            server.refused("/v1/vectors/c/points/scroll", body).0,
            400,
            "{body}"
        );
    }
    assert_eq!(server.refused("/v1/vectors/c/points/delete", "{}").0, 400);
    assert_eq!(
        server
            .refused("/v1/vectors/none/search", &search(r#""k": 1"#))
            .0,
        404
    );
    let deep = format!(
        r#"{{"vector": [1, 2], "k": 1, "filter": {}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let (status, says) = server.refused("/v1/vectors/c/search", &deep);
    assert!([400, 413].contains(&status), "{says}");
    assert_eq!(points(&server, "c"), before);
}
