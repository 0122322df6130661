//! `/v1/features`: definitions of entities and views, events in, values out, training sets, lineage.

mod events;
mod lineage;
mod retrieval;
mod training;
mod when;

use axum::Router;
use axum::extract::{Extension, Path};
use axum::response::Response;
use axum::routing::{get, put};
use common::Text;
use common::schema::{Field, Schema};
use serde::{Deserialize, Serialize};
use vectordb::feature::{Definitions, Entity, FeatureStore, FeatureView, ViewDefinition};

pub(super) use self::retrieval::{Part, numbers_of, retrieval_of};
pub(super) use self::when::{When, time};
use super::serving::{Access, Body, json, key_table, limits, parse, read, require, run};
use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/features", get(list))
        .route("/v1/features/definitions", put(apply).get(definitions))
        .route("/v1/features/tags", get(tags).post(tag))
        .route("/v1/features/views/{view}", get(describe).delete(remove))
        .merge(events::routes())
        .merge(retrieval::routes())
        .merge(training::routes())
        .merge(lineage::routes())
}

/// The store, for who may do something with all that it knows of definitions.
pub(super) fn store_of(
    caller: &Caller,
    access: Access,
) -> std::result::Result<FeatureStore, Problem> {
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
) -> std::result::Result<FeatureView, Problem> {
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

async fn list(Extension(caller): Extension<Caller>) -> Response {
    read(move || {
        let store = store_of(&caller, Access::Read)?;
        let views = store.views();
        let views: Vec<Described<'_>> = views.iter().map(described).collect();
        json(&serde_json::json!({ "entities": store.entities()?, "views": views }))
    })
    .await
}

async fn definitions(Extension(caller): Extension<Caller>) -> Response {
    read(move || {
        let store = store_of(&caller, Access::Read)?;
        let views = store.views();
        json(&Definitions {
            entities: store.entities()?,
            views: views.iter().map(|view| view.definition().clone()).collect(),
        })
    })
    .await
}

async fn apply(Extension(caller): Extension<Caller>, body: Body) -> Response {
    run(body, move |body| {
        let definitions = Definitions::from_json(&body, &limits())?;
        let serving = caller.tenant.serving();
        let store = store_of(&caller, Access::Write)?;
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
    })
    .await
}

async fn describe(Extension(caller): Extension<Caller>, Path(name): Path<String>) -> Response {
    read(move || {
        let store = caller.tenant.serving().features()?;
        let view = view_of(&caller, &store, &name, Access::Read)?;
        json(&described(&view))
    })
    .await
}

async fn remove(Extension(caller): Extension<Caller>, Path(name): Path<String>) -> Response {
    read(move || {
        let serving = caller.tenant.serving();
        let store = store_of(&caller, Access::Write)?;
        let view = view_of(&caller, &store, &name, Access::Write)?;
        let table = view.definition().table();
        store.drop_view(&name)?;
        serving.let_go(&table)?;
        json(&serde_json::json!({ "dropped": name }))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag {
    name: String,
}

async fn tag(Extension(caller): Extension<Caller>, body: Body) -> Response {
    run(body, move |body| {
        let asked: Tag = parse(&body)?;
        let as_of = store_of(&caller, Access::Write)?.tag(&asked.name)?;
        super::serving::created(&serde_json::json!({ "name": asked.name, "as_of": as_of }))
    })
    .await
}

async fn tags(Extension(caller): Extension<Caller>) -> Response {
    read(move || {
        let tags = store_of(&caller, Access::Read)?.tags()?;
        let tags: std::collections::BTreeMap<Text, _> = tags.into_iter().collect();
        json(&serde_json::json!({ "tags": tags }))
    })
    .await
}
