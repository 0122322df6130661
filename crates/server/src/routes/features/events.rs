//! Events of a view: brought in, read back for an entity, forgotten.

use axum::http::Method;
use common::schema::{Field, FieldType};
use common::{Error, RecordId, Result, Seq, Text, Timestamp, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::feature::{
    Column, EVENT_COLUMN, FeatureBatch, FeatureRow, FeatureView, KNOWN_COLUMN, OnInvalid, Status,
    Times,
};
use vectordb::lineage::{LineageNode, NodeKind};

use super::super::serving::{
    Access, Encoder, ROWS_MAX, check_count, id_of, ids_of, json, parse, reading, rows_of, table,
    writing,
};
use super::{When, keys_of, view_of};
use crate::call::{Answered, Call};
use crate::openapi::Group;

/// Most events in one request.
const EVENTS_MAX: usize = 10_000;

pub(super) fn add(group: Group) -> Group {
    group
        .route(
            Method::POST,
            "/v1/features/views/{view}/events",
            ingest,
            writing(
                "ingestFeatureEvents",
                "Bring events in",
                Some("FeatureEvents"),
                "FeatureEventsTaken",
            ),
        )
        .route(
            Method::POST,
            "/v1/features/views/{view}/get",
            get,
            reading(
                "getFeatures",
                "What is known of entities, each value with its status",
                Some("GetFeatures"),
                "FeatureRows",
            ),
        )
        .route(
            Method::POST,
            "/v1/features/views/{view}/history",
            history,
            reading(
                "getFeatureHistory",
                "All events of an entity",
                Some("FeatureKey"),
                "FeatureHistory",
            ),
        )
        .route(
            Method::POST,
            "/v1/features/views/{view}/forget",
            forget,
            writing(
                "forgetFeatures",
                "Forget all events of entities",
                Some("FeatureKeys"),
                "FeaturesForgotten",
            ),
        )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ingest {
    /// Each an object: the key columns, `event_time`, features, and perhaps `known_at`.
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    on_invalid: OnInvalid,
    /// Where the events come from, for lineage.
    source: Option<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    name: Text,
    version: Text,
    /// What the run that brings them is called; as the source if it says nothing.
    run: Option<Text>,
}

#[derive(Serialize)]
struct Ingested {
    seq: Seq,
    events: usize,
    unchanged: usize,
    skipped: Vec<Skipped>,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
struct Skipped {
    event: usize,
    reason: String,
}

#[derive(Serialize)]
struct Missing {
    event: usize,
    feature: Text,
    reason: String,
}

/// Events by column.
struct Columns {
    keys: Vec<RecordId>,
    times: Vec<Timestamp>,
    known: Option<Vec<Timestamp>>,
    features: Vec<(Text, Vec<Value>)>,
}

impl Columns {
    fn read(view: &FeatureView, given: &[Box<RawValue>]) -> Result<Self> {
        let (entity, definition) = (view.entity(), view.definition());
        let keys = entity.keys.len();
        let mut fields = keys_of(entity).fields;
        fields.push(Field::new(EVENT_COLUMN, FieldType::Timestamp));
        fields.push(Field::new(KNOWN_COLUMN, FieldType::Timestamp).nullable());
        // The view says what is required: an event without it may be skipped.
        let features = definition.features.iter().cloned();
        fields.extend(features.map(Field::nullable));
        let names = fields.iter().skip(keys + 2).map(|field| field.name.clone());
        let mut columns = Self {
            keys: Vec::with_capacity(given.len()),
            times: Vec::with_capacity(given.len()),
            known: None,
            features: names.map(|name| (name, Vec::new())).collect(),
        };
        let mut known = Vec::new();
        for (at, values) in rows_of(&table(view.name(), fields), given)?
            .into_iter()
            .enumerate()
        {
            let mut values = values.into_iter();
            let key = RecordId::composite(values.by_ref().take(keys));
            columns.keys.push(key);
            let mut time = || match values.next() {
                Some(Value::Timestamp(time)) => Some(time),
                _ => None,
            };
            let event = time();
            let event =
                event.ok_or_else(|| Error::invalid(format!("events[{at}]: it has no time")));
            columns.times.push(event?);
            known.extend(time());
            for ((_, column), value) in columns.features.iter_mut().zip(values) {
                column.push(value);
            }
        }
        if !known.is_empty() && known.len() < given.len() {
            return Err(Error::invalid(format!(
                "`{KNOWN_COLUMN}` is there for {} of {} events; give it for all of them or none",
                known.len(),
                given.len()
            )));
        }
        columns.known = (!known.is_empty()).then_some(known);
        Ok(columns)
    }
}

fn ingest(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("view");
    let asked: Ingest = parse(&call.body)?;
    check_count("events", asked.events.len(), EVENTS_MAX)?;
    let store = caller.tenant.serving().features()?;
    let view = view_of(caller, &store, name, Access::Write)?;
    let columns = Columns::read(&view, &asked.events)?;
    let mut batch = FeatureBatch::new(&columns.keys, Timestamp::default()).at(&columns.times);
    if let Some(known) = &columns.known {
        batch = batch.known(Times::Each(known));
    }
    for (feature, values) in &columns.features {
        batch = batch.column(feature.clone(), Column::Values(values));
    }
    if let Some(source) = asked.source {
        let run = source.run.unwrap_or_else(|| source.name.clone());
        let node = LineageNode::new(NodeKind::Source, source.name, source.version);
        batch = batch.source(run, node, []);
    }
    let report = view.ingest(&batch, asked.on_invalid)?;
    let skipped = report.skipped.into_iter().map(|(event, error)| Skipped {
        event,
        reason: error.to_string(),
    });
    let missing = report.missing.into_iter();
    let missing = missing.map(|(event, feature, reason)| Missing {
        event,
        feature,
        reason,
    });
    json(&Ingested {
        seq: report.seq,
        events: report.events,
        unchanged: report.unchanged,
        skipped: skipped.collect(),
        missing: missing.collect(),
    })
}

/// What is known of an entity.
#[derive(Serialize)]
struct RowJson {
    key: Box<RawValue>,
    status: &'static str,
    event_time: Option<String>,
    known_at: Option<String>,
    seq: Seq,
    features: Box<RawValue>,
    statuses: std::collections::BTreeMap<Text, &'static str>,
}

/// Writes rows of a view.
struct Writer<'a> {
    view: &'a FeatureView,
    keys: Encoder,
    features: Encoder,
}

impl<'a> Writer<'a> {
    fn new(view: &'a FeatureView) -> Self {
        let features = view.definition().features.iter().cloned();
        Self {
            view,
            keys: Encoder::new(keys_of(view.entity()).fields),
            features: Encoder::new(features.map(Field::nullable).collect()),
        }
    }

    fn row(&mut self, id: &RecordId, row: &FeatureRow) -> Result<RowJson> {
        let features = self.view.definition().features.iter().enumerate();
        let is_known = row.status != Status::Unknown;
        let time = |time: Timestamp| is_known.then(|| time.to_string());
        Ok(RowJson {
            key: self.keys.id(id)?,
            status: row.status.name(),
            event_time: time(row.event),
            known_at: time(row.known),
            seq: row.seq,
            features: self.features.row(row.values.clone())?,
            statuses: features
                .map(|(at, field)| (field.name.clone(), row.status_of(at).name()))
                .collect(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Get {
    keys: Vec<Box<RawValue>>,
    #[serde(default)]
    as_of: When,
}

fn get(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("view");
    let asked: Get = parse(&call.body)?;
    check_count("keys", asked.keys.len(), ROWS_MAX)?;
    let store = caller.tenant.serving().features()?;
    let view = view_of(caller, &store, name, Access::Read)?;
    let as_of = asked.as_of.as_of(&store)?;
    let ids = ids_of(&keys_of(view.entity()), "keys", &asked.keys)?;
    let mut writer = Writer::new(&view);
    let rows = ids
        .iter()
        .map(|id| writer.row(id, &view.get(id, as_of)?))
        .collect::<Result<Vec<_>>>()?;
    json(&serde_json::json!({ "rows": rows }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneKey {
    key: Box<RawValue>,
}

fn history(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("view");
    let asked: OneKey = parse(&call.body)?;
    let store = caller.tenant.serving().features()?;
    let view = view_of(caller, &store, name, Access::Read)?;
    let id = id_of(&keys_of(view.entity()), &asked.key).map_err(|error| error.at("key"))?;
    let mut writer = Writer::new(&view);
    let events = view.history(&id)?;
    let events = events.iter().map(|row| writer.row(&id, row));
    json(&serde_json::json!({ "events": events.collect::<Result<Vec<_>>>()? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forget {
    keys: Vec<Box<RawValue>>,
}

fn forget(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("view");
    let asked: Forget = parse(&call.body)?;
    check_count("keys", asked.keys.len(), ROWS_MAX)?;
    let store = caller.tenant.serving().features()?;
    let view = view_of(caller, &store, name, Access::Write)?;
    let ids = ids_of(&keys_of(view.entity()), "keys", &asked.keys)?;
    json(&serde_json::json!({ "events": view.forget(&ids)? }))
}
