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
