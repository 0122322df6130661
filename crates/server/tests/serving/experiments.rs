//! Experiments: who gets what, what is known of it, what follows.

use serde_json::{Value as Json, json};
use vectordb::experiment::Experiment;

use crate::running::Running;

#[test]
fn units_get_the_variants_that_the_library_gives_them() {
    let server = Running::new();
    let definition = json!({ "experiment": { "name": "button", "variants": ["grey", "green"], "coverage": 0.5 } });
    assert_eq!(
        server.put("/v1/experiments/button", &definition).status,
        200
    );
    let plan = Experiment::new("button", ["grey", "green"])
        .coverage(0.5)
        .compile(None)
        .unwrap();
    let units: Vec<String> = (0..200).map(|at| format!("user-{at}")).collect();
    let asked: Vec<Json> = units.iter().map(|unit| json!({ "unit": unit })).collect();
    let assigned = server.post("/v1/experiments/button/assign", &json!({ "units": asked }));
    for (at, unit) in units.iter().enumerate() {
        let expected = plan.explain(unit, &[], None).unwrap();
        let given = &assigned["assignments"][at];
        assert_eq!(given["variant"], json!(expected.variant), "{unit}");
    }
    // What is kept stays when nobody is covered any more.
    let sticky = server.post(
        "/v1/experiments/button/assign",
        &json!({ "units": asked, "sticky": true }),
    );
    let none = json!({ "experiment": { "name": "button", "variants": ["grey", "green"], "coverage": 0.0 } });
    server.put("/v1/experiments/button", &none);
    let kept = server.post(
        "/v1/experiments/button/assign",
        &json!({ "units": asked, "sticky": true }),
    );
    for at in 0..units.len() {
        let variant = |answer: &Json| answer["assignments"][at]["variant"].clone();
        assert_eq!(variant(&kept), variant(&sticky));
    }
    let fresh = server.post("/v1/experiments/button/assign", &json!({ "units": asked }));
    assert!(
        fresh["assignments"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["variant"].is_null())
    );
}

#[test]
fn a_target_sees_the_attributes_that_are_sent() {
    let server = Running::new();
    let definition = json!({
        "experiment": { "name": "local", "variants": ["old", "new"],
            "target": { "compare": { "path": "country", "op": "eq", "value": "PT" } } },
        "attributes": [{ "name": "country", "type": "text", "nullable": true }],
    });
    let kept = server.put("/v1/experiments/local", &definition);
    assert_eq!(kept.status, 200, "{}", kept.text());
    let asked = json!({ "units": [
        { "unit": "a", "attributes": { "country": "PT" } },
        { "unit": "a", "attributes": { "country": "FI" } },
        { "unit": "a" },
    ] });
    let assigned = server.post("/v1/experiments/local/assign", &asked);
    let reasons = assigned["assignments"].as_array().unwrap().iter();
    let reasons: Vec<&str> = reasons.map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["hash", "target", "target"]);
    let (status, says) = server.refused(
        "/v1/experiments/local/assign",
        r#"{"units": [{"unit": "a", "attributes": {"county": "PT"}}]}"#,
    );
    assert_eq!(status, 400);
    assert!(
        says.contains("units[0]") && says.contains("county"),
        "{says}"
    );
}

#[test]
fn a_report_follows_from_exposures_and_outcomes() {
    let server = Running::new();
    let definition = json!({ "experiment": { "name": "price", "variants": ["a", "b"] } });
    server.put("/v1/experiments/price", &definition);
    let units: Vec<Json> = (0..400)
        .map(|at| json!({ "unit": format!("u{at}") }))
        .collect();
    let commits = || server.get("/v1/status")["seq"].as_u64().unwrap();
    let before = commits();
    let exposed = server.post(
        "/v1/experiments/price/exposures",
        &json!({ "units": units, "at": "2026-01-01T00:00:00Z" }),
    );
    assert_eq!(commits(), before + 1);
    let outcomes = exposed["assignments"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate();
    let outcomes: Vec<Json> = outcomes
        .map(|(at, one)| {
            let value = if one["variant"] == "b" { 2.0 } else { 1.0 };
            json!({ "event": format!("e{at}"), "unit": one["unit"], "metric": "revenue",
                    "at": "2026-01-02T00:00:00Z", "value": value + f64::from(u8::from(at % 2 == 0)) })
        })
        .collect();
    for _ in 0..2 {
        // The same again does no harm.
        server.post("/v1/experiments/outcomes", &json!({ "outcomes": outcomes }));
    }
    assert_eq!(commits(), before + 2, "and the second time nothing is new");
    let asked = json!({ "metrics": [{ "mean": "revenue" }] });
    let report = server.post("/v1/experiments/price/report", &asked);
    let variants = report["metrics"][0]["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 1, "one beside the control: {report}");
    let text = asked.to_string();
    let markdown = server.post_as("/v1/experiments/price/report", "text/markdown", &text);
    assert!(markdown.media.starts_with("text/markdown") && markdown.text().contains("revenue"));
    let svg = server.post_as("/v1/experiments/price/report", "image/svg+xml", &text);
    assert!(svg.text().starts_with("<svg"));
    let (status, says) = server.refused(
        "/v1/experiments/outcomes",
        r#"{"outcomes": [{"event": "x", "unit": "u", "metric": "revenue", "value": 1e999}]}"#,
    );
    assert_eq!(status, 400, "{says}");
    assert_eq!(server.refused("/v1/experiments/none/report", &text).0, 404);
}
