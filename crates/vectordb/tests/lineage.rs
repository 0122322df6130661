//! Lineage against a set of edges, and what a feature store writes of itself.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that panics fails the test that called it"
)]

use std::collections::{BTreeMap, BTreeSet};

use common::schema::FieldType;
use common::{Database, ErrorKind, Text, Timestamp, Value, row};
use proptest::prelude::*;
use vectordb::feature::{
    AsOf, Entity, FeatureBatch, FeatureStore, KnownAt, OnInvalid, Status, Times, ViewDefinition,
};
use vectordb::lineage::{Lineage, LineageNode, NodeKind};
use vectordb::transform::{Step, Steps, Transformer};

fn artifact(number: usize) -> LineageNode {
    LineageNode::new(NodeKind::Artifact, format!("n{number}"), "1")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn relations_agree_with_a_closure_of_edges_and_no_cycle_gets_in(
        edges in proptest::collection::vec((0..7_usize, 0..7_usize), 0..25),
    ) {
        let lineage = Lineage::open(&Database::new()).unwrap();
        let ids: Vec<Text> = (0..7).map(|n| lineage.record(&artifact(n), &[]).unwrap()).collect();
        // Fewest steps from each node to each below it.
        let mut below: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut direct = BTreeSet::new();
        for (parent, child) in edges {
            let closes = parent == child || below.contains_key(&(child, parent));
            prop_assert_eq!(lineage.link(&ids[parent], &ids[child]).is_err(), closes);
            if closes || !direct.insert((parent, child)) {
                continue;
            }
            below.clear();
            for (parent, child) in &direct {
                below.insert((*parent, *child), 1);
            }
            for _ in 0..7 {
                for ((a, b), steps) in below.clone() {
                    for (_, c) in direct.iter().filter(|(parent, _)| *parent == b) {
                        let known = below.entry((a, *c)).or_insert(steps + 1);
                        *known = (*known).min(steps + 1);
                    }
                }
            }
        }
        for (from, id) in ids.iter().enumerate() {
            let number = |node: &LineageNode| node.name[1..].parse::<usize>().unwrap();
            let found = |related: Vec<vectordb::lineage::Related>| -> BTreeMap<usize, usize> {
                assert!(related.is_sorted_by_key(|related| related.distance));
                related.iter().map(|related| (number(&related.node), related.distance)).collect()
            };
            let expected = below.iter().filter(|((a, _), _)| *a == from).map(|((_, b), n)| (*b, *n)).collect();
            prop_assert_eq!(found(lineage.descendants(id).unwrap()), expected);
            let expected = below.iter().filter(|((_, b), _)| *b == from).map(|((a, _), n)| (*a, *n)).collect();
            prop_assert_eq!(found(lineage.ancestors(id).unwrap()), expected);
        }
    }
}

#[test]
fn what_is_not_there_is_said_and_nothing_is_written() {
    let lineage = Lineage::open(&Database::new()).unwrap();
    assert_eq!(
        lineage.ancestors("none").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        lineage.node("none").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let error = lineage.record(&artifact(1), &["none".into()]).unwrap_err();
    assert!(error.to_string().contains("no lineage node none"));
    assert!(lineage.nodes(None).unwrap().is_empty());
    let nameless = LineageNode::new(NodeKind::Model, "", "1");
    assert_eq!(
        lineage.record(&nameless, &[]).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

/// A store with a view that a file came into, steps fitted on a training set, and a training set through these.
fn story() -> (FeatureStore, Text, Text) {
    let store = FeatureStore::open(&Database::new()).unwrap();
    store
        .create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))
        .unwrap();
    let view = store
        .create_view(ViewDefinition::new("rides", "user").floats(["fare"]))
        .unwrap();
    let file = LineageNode::new(NodeKind::Source, "rides \"2026\".csv", "sha256:1").code("etl 4");
    let batch = FeatureBatch::new(&[1, 2], Timestamp(5))
        .floats("fare", &[9.0, 8.0])
        .source("import", file, []);
    view.ingest(&batch, OnInvalid::Refuse).unwrap();
    let raw = store.retrieval().view("rides").prepare().unwrap();
    let set = store
        .create_training_set(
            "raw",
            &raw,
            &[1, 2],
            Times::All(Timestamp(6)),
            KnownAt::Ever,
        )
        .unwrap();
    let steps = Transformer::from(Steps::new(1, vec![Step::Log1p]).unwrap());
    let version = store
        .save_transformer("log", &steps, &[set.lineage_node("raw").id()])
        .unwrap();
    assert_eq!(store.transformer("log", None).unwrap(), steps);
    assert_eq!(store.transformer("log", Some(&version)).unwrap(), steps);
    assert_eq!(
        store.transformer("log", Some("0")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let scaled = store
        .retrieval()
        .view("rides")
        .transform(steps)
        .prepare()
        .unwrap();
    let set = store
        .create_training_set(
            "logs",
            &scaled,
            &[1],
            Times::All(Timestamp(6)),
            KnownAt::Ever,
        )
        .unwrap();
    let id = set.lineage_node("logs").id();
    (store, id, version)
}

#[test]
fn a_store_writes_its_own_lineage() {
    let (store, id, version) = story();
    let names = |related: Vec<vectordb::lineage::Related>| -> Vec<(String, usize)> {
        let name = |node: &LineageNode| format!("{} {}", node.kind.name(), node.name);
        let mut names: Vec<_> = related
            .iter()
            .map(|r| (name(&r.node), r.distance))
            .collect();
        names.sort();
        names
    };
    let expected = [
        ("training_set raw", 2),
        ("transform log", 1),
        ("view rides", 1),
    ];
    let expected: Vec<(String, usize)> = expected.map(|(name, n)| (name.to_owned(), n)).into();
    assert_eq!(names(store.lineage().ancestors(&id).unwrap()), expected);
    let transform = LineageNode::new(NodeKind::Transform, "log", version);
    assert_eq!(
        names(store.lineage().descendants(&transform.id()).unwrap()),
        [("training_set logs".to_owned(), 1)]
    );

    let altered = ViewDefinition::new("rides", "user").floats(["fare", "km"]);
    let view = store.alter_view(altered).unwrap();
    let above = store
        .lineage()
        .ancestors(&view.lineage_node().id())
        .unwrap();
    assert_eq!((above.len(), above[0].node.version.as_str()), (1, "1"));
}

#[test]
fn one_call_says_where_a_value_comes_from() {
    let (store, _, _) = story();
    let origin = store.why("rides", "fare", 1, AsOf::latest()).unwrap();
    assert_eq!(
        (origin.value, origin.status),
        (Value::from(9.0), Status::Present)
    );
    assert_eq!(
        (origin.event, origin.definition.version.as_str()),
        (Timestamp(5), "1")
    );
    let run = origin.run.unwrap();
    assert_eq!((run.name.as_str(), run.seq), ("import", origin.seq));
    assert_eq!(run.parameters["events"], 2);
    let kinds: Vec<NodeKind> = origin
        .made_of
        .iter()
        .map(|related| related.node.kind)
        .collect();
    assert!(kinds.contains(&NodeKind::Source) && kinds.contains(&NodeKind::View));
    let source = origin
        .made_of
        .iter()
        .find(|r| r.node.kind == NodeKind::Source)
        .unwrap();
    assert_eq!(
        (source.node.version.as_str(), source.node.code.as_str()),
        ("sha256:1", "etl 4")
    );

    let view = store.view("rides").unwrap();
    view.upsert(1, Timestamp(6), row! { "fare": 1.0 }).unwrap();
    let origin = store.why("rides", "fare", 1, AsOf::latest()).unwrap();
    assert!(origin.run.is_none() && origin.made_of.is_empty());
    let origin = store.why("rides", "fare", 77, AsOf::latest()).unwrap();
    assert_eq!(
        (origin.value, origin.status, origin.run),
        (Value::Null, Status::Unknown, None)
    );
    assert!(store.why("rides", "fair", 1, AsOf::latest()).is_err());

    let batch = FeatureBatch::new(&[1], Timestamp(7)).floats("fare", &[f64::INFINITY]);
    let file = LineageNode::new(NodeKind::Source, "bad.csv", "1");
    let nodes = store.lineage().nodes(None).unwrap().len();
    assert!(
        view.ingest(&batch.source("import", file, []), OnInvalid::Refuse)
            .is_err()
    );
    assert_eq!(
        store.lineage().nodes(None).unwrap().len(),
        nodes,
        "a run that failed leaves no trace"
    );
}

#[test]
fn exports_name_every_node_and_edge() {
    let (store, id, _) = story();
    let lineage = store.lineage();
    let dot = lineage.to_dot(&id).unwrap();
    assert!(dot.starts_with("digraph lineage {") && dot.trim_end().ends_with('}'));
    // Set, steps, the set that these were fitted on, and the view, of which both sets are.
    assert_eq!(
        (dot.matches("label=").count(), dot.matches("->").count()),
        (4, 4),
        "{dot}"
    );
    let run = lineage.nodes(Some(NodeKind::Run)).unwrap().remove(0);
    let dot = lineage.to_dot(&run.id()).unwrap();
    assert!(dot.contains(r#"rides \"2026\".csv"#), "{dot}");

    let event = lineage.to_open_lineage(&run.id(), "tests").unwrap();
    for field in ["eventType", "eventTime", "producer", "schemaURL"] {
        assert!(
            event[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field}"
        );
    }
    let uuid = event["run"]["runId"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(uuid).unwrap().get_version_num(), 8);
    assert_eq!(event["job"]["name"], "run.import");
    assert_eq!(event["inputs"][0]["name"], "source/rides \"2026\".csv");
    assert_eq!(event["inputs"].as_array().unwrap().len(), 1);
    let output = &event["outputs"][0];
    assert_eq!(
        (&output["namespace"], &output["name"]),
        (&"tests".into(), &"view/rides".into())
    );
    assert_eq!(output["facets"]["version"]["datasetVersion"], "1");
    let fields = serde_json::json!([{ "name": "fare", "type": "float" }]);
    assert_eq!(output["facets"]["schema"]["fields"], fields);
    let event = lineage.to_open_lineage(&id, "tests").unwrap();
    assert_eq!(
        (
            event["inputs"].as_array().unwrap().len(),
            &event["outputs"][0]["name"]
        ),
        (2, &"training_set/logs".into())
    );
}
