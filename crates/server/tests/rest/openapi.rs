//! The document is what the router does.

use crate::support::run;

#[test]
fn every_route_of_the_document_is_there_and_takes_no_other_method() {
    let running = run();
    let document = running.get("/openapi.json").ok(200);
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    let methods = ["get", "post", "put", "patch", "delete"];
    for (path, item) in paths {
        let item = item.as_object().unwrap();
        let concrete = path.replace(['{', '}'], "");
        for method in methods {
            let Some(operation) = item.get(method) else {
                let answer = running.send(&method.to_uppercase(), &concrete, &[], b"x");
                assert_eq!(answer.status, 405, "{method} {path} is not in the document");
                continue;
            };
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{path}"
            );
            let answer = running.send(&method.to_uppercase(), &concrete, &[], b"");
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(
                !answer.text().contains("nothing at this path"),
                "{method} {path}"
            );
            // Every part of the path is described.
            let described = operation["parameters"].as_array().unwrap().iter();
            let described = described
                .filter(|parameter| parameter["in"] == "path")
                .count();
            assert_eq!(described, path.matches('{').count(), "{path}");
            assert!(
                operation["responses"]
                    .as_object()
                    .is_some_and(|responses| !responses.is_empty())
            );
        }
        assert!(
            item.keys().all(|method| methods.contains(&method.as_str())),
            "{path}"
        );
    }
    assert!(ids.len() >= 19, "{ids:?}");
    // What is named is there.
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in text.split("#/components/schemas/").skip(1) {
        let name = name.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    running.end();
}

/// What a body may have is what the code takes: it names what it knows of when it is given something else.
#[test]
fn bodies_have_the_parts_that_the_code_takes() {
    let running = run();
    let document = running.get("/openapi.json").ok(200);
    let mut compared = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let name = schema["$ref"]
                .as_str()
                .and_then(|place| place.strip_prefix('#'));
            let Some(schema) = name.and_then(|place| document.pointer(place)) else {
                continue;
            };
            if schema["additionalProperties"] != false {
                continue;
            }
            let names = schema["properties"].as_object().unwrap().keys();
            let names: std::collections::BTreeSet<&str> = names.map(String::as_str).collect();
            let path = path.replace("{table}", "notes").replace("{id}", "0.0");
            let path = path.replace(['{', '}'], "");
            let method = method.to_uppercase();
            let said = running.send(&method, &path, &[], br#"{"no-such-part": 1}"#);
            let said = said.problem(400);
            let place = format!("{method} {path}: {said}");
            let (_, expected) = said
                .split_once("unknown field `no-such-part`, expected ")
                .expect(&place);
            let taken: std::collections::BTreeSet<&str> =
                expected.split('`').skip(1).step_by(2).collect();
            assert_eq!(names, taken, "{place}");
            compared += 1;
        }
    }
    assert!(compared > 25, "{compared}");
    running.end();
}
