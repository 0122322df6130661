//! `/v1/features`: definitions of entities and views, events in, values out, training sets, lineage.

mod events;
mod lineage;
mod retrieval;
mod training;
mod when;

use axum::http::Method;
use common::Text;
use common::schema::{Field, Schema};
use serde::{Deserialize, Serialize};
use vectordb::feature::{Definitions, Entity, FeatureStore, FeatureView, ViewDefinition};

pub(super) use self::retrieval::{Part, numbers_of, retrieval_of};
pub(super) use self::when::{When, time};
use super::serving::{Access, json, key_table, limits, making, parse, reading, require, writing};
use crate::auth::Caller;
use crate::call::{Answered, Call};
use crate::openapi::Group;
use crate::problem::Problem;

pub(super) fn group() -> Group {
    let group = Group::new("features")
        .route(
            Method::GET,
            "/v1/features",
            list,
            reading(
                "listFeatures",
                "Entities and feature views",
                None,
                "Features",
            ),
        )
        .route(
            Method::GET,
            "/v1/features/definitions",
            definitions,
            reading(
                "getFeatureDefinitions",
                "Definitions of entities and views",
                None,
                "FeatureDefinitions",
            ),
        )
        .route(
            Method::PUT,
            "/v1/features/definitions",
            apply,
            writing(
                "applyFeatureDefinitions",
                "Create what is new of these definitions, and alter what differs",
                Some("FeatureDefinitions"),
                "FeaturesApplied",
            ),
        )
        .route(
            Method::GET,
            "/v1/features/tags",
            tags,
            reading(
                "listFeatureTags",
                "Points in time that have names",
                None,
                "FeatureTags",
            ),
        )
        .route(
            Method::POST,
            "/v1/features/tags",
            tag,
            making(
                "createFeatureTag",
                "Name the present point in time",
                Some("CreateFeatureTag"),
                "FeatureTag",
            ),
        )
        .route(
            Method::GET,
            "/v1/features/views/{view}",
            describe,
            reading("describeFeatureView", "What a view is", None, "FeatureView"),
        )
        .route(
            Method::DELETE,
            "/v1/features/views/{view}",
            remove,
            writing(
                "dropFeatureView",
                "Drop a view with its events",
                None,
                "Dropped",
            ),
        );
    lineage::add(training::add(retrieval::add(events::add(group))))
}

/// The store, for who may do something with all that it knows of definitions.
pub(super) fn store_of(caller: &Caller, access: Access) -> Result<FeatureStore, Problem> {
    let store = caller.tenant.serving().features()?;
    for table in FeatureStore::TABLES {
        require(caller, table, access)?;
    }
    Ok(store)
}

/// A view, for who may do something with all of its events.
pub(super) fn view_of(
    caller: &Caller,
    store: &FeatureStore,
    name: &str,
    access: Access,
) -> Result<FeatureView, Problem> {
    let view = store.view(name)?;
    require(caller, &view.definition().table(), access)?;
    Ok(view)
}

/// The key columns of an entity, by themselves.
pub(super) fn keys_of(entity: &Entity) -> Schema {
    let fields = entity.keys.iter();
    let fields: Vec<Field> = fields
        .map(|key| Field::new(key.name.clone(), key.ty.clone()))
        .collect();
    key_table(&fields)
}

#[derive(Serialize)]
struct Described<'a> {
    version: u32,
    definition: &'a ViewDefinition,
    entity: &'a Entity,
    /// Its node in lineage.
    lineage: Text,
    events: usize,
    entities: usize,
}

fn described(view: &FeatureView) -> Described<'_> {
    Described {
        version: view.version(),
        definition: view.definition(),
        entity: view.entity(),
        lineage: view.lineage_node().id(),
        events: view.len(),
        entities: view.entities(),
    }
}

fn list(call: &Call) -> Answered {
    let caller = &call.caller;
    let store = store_of(caller, Access::Read)?;
    let views = store.views();
    let views: Vec<Described<'_>> = views.iter().map(described).collect();
    json(&serde_json::json!({ "entities": store.entities()?, "views": views }))
}

fn definitions(call: &Call) -> Answered {
    let caller = &call.caller;
    let store = store_of(caller, Access::Read)?;
    let views = store.views();
    json(&Definitions {
        entities: store.entities()?,
        views: views.iter().map(|view| view.definition().clone()).collect(),
    })
}

fn apply(call: &Call) -> Answered {
    let caller = &call.caller;
    let definitions = Definitions::from_json(&call.body, &limits())?;
    let serving = caller.tenant.serving();
    let store = store_of(caller, Access::Write)?;
    for view in &definitions.views {
        serving.keep_apart(&view.table())?;
    }
    let applied = store.apply(&definitions);
    if applied.is_err() {
        for view in &definitions.views {
            serving.let_go(&view.table())?;
        }
    }
    json(&applied?)
}

fn describe(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("view");
    let store = caller.tenant.serving().features()?;
    let view = view_of(caller, &store, name, Access::Read)?;
    json(&described(&view))
}

fn remove(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("view");
    let serving = caller.tenant.serving();
    let store = store_of(caller, Access::Write)?;
    let view = view_of(caller, &store, name, Access::Write)?;
    let table = view.definition().table();
    store.drop_view(name)?;
    serving.let_go(&table)?;
    json(&serde_json::json!({ "dropped": name }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag {
    name: String,
}

fn tag(call: &Call) -> Answered {
    let caller = &call.caller;
    let asked: Tag = parse(&call.body)?;
    let as_of = store_of(caller, Access::Write)?.tag(&asked.name)?;
    super::serving::created(&serde_json::json!({ "name": asked.name, "as_of": as_of }))
}

fn tags(call: &Call) -> Answered {
    let caller = &call.caller;
    let tags = store_of(caller, Access::Read)?.tags()?;
    let tags: std::collections::BTreeMap<Text, _> = tags.into_iter().collect();
    json(&serde_json::json!({ "tags": tags }))
}
