//! What came from what: a node with all around it, as JSON, in the language of Graphviz, or as an OpenLineage event; and why a
//! value is what it is.

use axum::http::{Method, header};
use axum::response::IntoResponse;
use common::schema::Field;
use common::{Seq, Text};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::feature::Status;
use vectordb::lineage::{LineageNode, Related};

use super::super::serving::{Access, Encoder, accepts, id_of, json, parse, reading};
use super::{When, keys_of, store_of, view_of};
use crate::call::{Answered, Call};
use crate::openapi::Group;

/// The media type of the language of Graphviz.
const DOT: &str = "text/vnd.graphviz";
/// The media type by which an OpenLineage event is asked for.
const OPEN_LINEAGE: &str = "application/vnd.openlineage+json";

pub(super) fn add(group: Group) -> Group {
    group
        .route(
            Method::GET,
            "/v1/features/lineage",
            nodes,
            reading("listLineage", "All nodes of lineage", None, "LineageNodes"),
        )
        .route(
            Method::GET,
            "/v1/features/lineage/{id}",
            node,
            reading(
                "getLineage",
                "A node with all that it came from and that came of it",
                None,
                "Lineage",
            )
            .also_gives(DOT)
            .also_gives(OPEN_LINEAGE),
        )
        .route(
            Method::POST,
            "/v1/features/why",
            why,
            reading(
                "explainFeature",
                "Why a value is what it is",
                Some("ExplainFeature"),
                "FeatureOrigin",
            ),
        )
}

#[derive(Serialize)]
struct NodeJson<'a> {
    id: Text,
    #[serde(flatten)]
    node: &'a LineageNode,
    /// Fewest edges in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<usize>,
}

impl<'a> NodeJson<'a> {
    fn new(node: &'a LineageNode) -> Self {
        Self {
            id: node.id(),
            node,
            distance: None,
        }
    }

    fn all(related: &'a [Related]) -> Vec<Self> {
        let related = related.iter().map(|related| Self {
            distance: Some(related.distance),
            ..Self::new(&related.node)
        });
        related.collect()
    }
}

fn nodes(call: &Call) -> Answered {
    let caller = &call.caller;
    let store = store_of(caller, Access::Read)?;
    let nodes = store.lineage().nodes(None)?;
    let nodes: Vec<NodeJson<'_>> = nodes.iter().map(NodeJson::new).collect();
    json(&serde_json::json!({ "nodes": nodes }))
}

fn node(call: &Call) -> Answered {
    let caller = &call.caller;
    let id = call.parameter("id");
    let store = store_of(caller, Access::Read)?;
    let lineage = store.lineage();
    if accepts(&call.headers, DOT) {
        let dot = lineage.to_dot(id)?;
        return Ok(([(header::CONTENT_TYPE, DOT)], dot).into_response());
    }
    if accepts(&call.headers, OPEN_LINEAGE) {
        let event = lineage.to_open_lineage(id, caller.tenant.name())?;
        let mut answer = json(&event)?;
        let media = header::HeaderValue::from_static(OPEN_LINEAGE);
        answer.headers_mut().insert(header::CONTENT_TYPE, media);
        return Ok(answer);
    }
    let node = lineage.node(id)?;
    let (ancestors, descendants) = (lineage.ancestors(id)?, lineage.descendants(id)?);
    json(&serde_json::json!({
        "node": NodeJson::new(&node),
        "ancestors": NodeJson::all(&ancestors),
        "descendants": NodeJson::all(&descendants),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    view: Text,
    feature: Text,
    key: Box<RawValue>,
    #[serde(default)]
    as_of: When,
}

#[derive(Serialize)]
struct OriginJson<'a> {
    value: Box<RawValue>,
    status: &'static str,
    event_time: Option<String>,
    known_at: Option<String>,
    seq: Seq,
    definition: NodeJson<'a>,
    run: Option<NodeJson<'a>>,
    made_of: Vec<NodeJson<'a>>,
}

fn why(call: &Call) -> Answered {
    let caller = &call.caller;
    let asked: Why = parse(&call.body)?;
    let store = store_of(caller, Access::Read)?;
    let view = view_of(caller, &store, &asked.view, Access::Read)?;
    let as_of = asked.as_of.as_of(&store)?;
    let id = id_of(&keys_of(view.entity()), &asked.key).map_err(|error| error.at("key"))?;
    let origin = store.why(&asked.view, &asked.feature, &id, as_of)?;
    let at = view.definition().position(&asked.feature)?;
    let field = view.definition().features.get(at).cloned().into_iter();
    let mut encoder = Encoder::new(field.map(Field::nullable).collect());
    let is_known = origin.status != Status::Unknown;
    let time = |time: common::Timestamp| is_known.then(|| time.to_string());
    json(&OriginJson {
        value: encoder.id(&common::RecordId::composite([origin.value]))?,
        status: origin.status.name(),
        event_time: time(origin.event),
        known_at: time(origin.known),
        seq: origin.seq,
        definition: NodeJson::new(&origin.definition),
        run: origin.run.as_ref().map(NodeJson::new),
        made_of: NodeJson::all(&origin.made_of),
    })
}
