//! Online retrieval: features of one entity or many as one matrix, as JSON or as an Arrow stream.

use axum::http::{Method, header};
use axum::response::IntoResponse;
use common::schema::{Field, FieldType};
use common::serialization::Format;
use common::{Error, Metadata, Record, RecordId, Result, Text, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::feature::{BatchOptions, Entity, FeatureStore, Retrieval, Status};

use super::super::serving::{Access, accepts, check_count, ids_of, json, parse, reading, table};
use super::{When, keys_of, view_of};
use crate::auth::Caller;
use crate::call::{Answered, Call};
use crate::openapi::Group;
use crate::problem::Problem;

/// The media type of an Arrow stream.
pub(super) const ARROW: &str = "application/vnd.apache.arrow.stream";
/// Most entities in one request.
const KEYS_MAX: usize = 10_000;
/// Most numbers in one answer.
const NUMBERS_MAX: usize = 4 << 20;

pub(super) fn add(group: Group) -> Group {
    group.route(
        Method::POST,
        "/v1/features/retrieve",
        retrieve,
        reading(
            "retrieveFeatures",
            "Features of entities as rows of a matrix, as JSON or as an Arrow stream",
            Some("RetrieveFeatures"),
            "FeatureMatrix",
        )
        .also_gives(ARROW),
    )
}

/// Features of a view; all of them if none is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Part {
    view: Text,
    #[serde(default)]
    features: Vec<Text>,
}

impl Part {
    pub(in super::super) const fn view(&self) -> &Text {
        &self.view
    }
}

/// A transformer that was stored: the last of its name if it says no version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Stored {
    name: String,
    version: Option<String>,
}

/// A read of features, with the entity they are of and the names of the numbers it gives.
pub(in super::super) struct Planned {
    pub(in super::super) retrieval: Retrieval,
    pub(in super::super) entity: Entity,
    pub(in super::super) columns: Vec<Text>,
}

/// Plans the read of features, transformed if that is asked for.
pub(in super::super) fn retrieval_of(
    caller: &Caller,
    store: &FeatureStore,
    parts: &[Part],
    transformer: Option<&Stored>,
) -> std::result::Result<Planned, Problem> {
    let mut builder = store.retrieval();
    let mut named: Vec<(Text, Text)> = Vec::new();
    let mut entity = None;
    for (at, part) in parts.iter().enumerate() {
        let view = view_of(caller, store, &part.view, Access::Read)
            .map_err(|problem| problem.at(format!("features[{at}]")))?;
        let all = view.definition().features.iter().map(|field| &field.name);
        let chosen: Vec<Text> = match part.features.as_slice() {
            [] => all.cloned().collect(),
            some => some.to_vec(),
        };
        named.extend(chosen.into_iter().map(|name| (part.view.clone(), name)));
        entity.get_or_insert_with(|| view.entity().clone());
        builder = builder.features(part.view.clone(), part.features.clone());
    }
    let entity = entity.ok_or_else(|| Error::invalid("`features` names no view"))?;
    if let Some(stored) = transformer {
        let found = store.transformer(&stored.name, stored.version.as_deref());
        builder = builder.transform(found.map_err(|error| error.at("transformer"))?);
    }
    let retrieval = builder.prepare().map_err(|error| error.at("features"))?;
    let columns = if transformer.is_none() {
        let once = |feature: &Text| named.iter().filter(|(_, other)| other == feature).count() == 1;
        named
            .iter()
            .map(|(view, feature)| {
                let is_key = entity.keys.iter().any(|key| key.name == *feature);
                if once(feature) && !is_key {
                    feature.clone()
                } else {
                    format!("{view}_{feature}").into()
                }
            })
            .collect()
    } else {
        (0..retrieval.outputs())
            .map(|at| format!("output_{at}").into())
            .collect()
    };
    Ok(Planned {
        retrieval,
        entity,
        columns,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retrieve {
    features: Vec<Part>,
    keys: Vec<Box<RawValue>>,
    #[serde(default)]
    as_of: When,
    transformer: Option<Stored>,
}

#[derive(Serialize)]
struct Retrieved {
    columns: Vec<Text>,
    /// A row for each key, in their order; null where a value is missing.
    rows: Vec<Vec<Option<f64>>>,
    /// For each key, what was found in each view.
    statuses: Vec<Vec<&'static str>>,
    present: usize,
    incomplete: usize,
}

fn number(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn retrieve(call: &Call) -> Answered {
    let caller = &call.caller;
    let asked: Retrieve = parse(&call.body)?;
    check_count("keys", asked.keys.len(), KEYS_MAX)?;
    let store = caller.tenant.serving().features()?;
    let planned = retrieval_of(caller, &store, &asked.features, asked.transformer.as_ref())?;
    let as_of = asked.as_of.as_of(&store)?;
    let ids = ids_of(&keys_of(&planned.entity), "keys", &asked.keys)?;
    let (outputs, views) = (planned.retrieval.outputs(), planned.retrieval.views());
    if outputs.saturating_mul(ids.len()) > NUMBERS_MAX {
        return Err(Error::limit_exceeded(format!(
            "the answer has more than {NUMBERS_MAX} numbers; ask for fewer keys or features"
        ))
        .into());
    }
    let mut numbers = vec![f64::NAN; outputs * ids.len()];
    let mut statuses = vec![Status::Unread; views * ids.len()];
    let options = BatchOptions::default();
    let report = planned
        .retrieval
        .get_many(&ids, as_of, &mut numbers, &mut statuses, options)?;
    if accepts(&call.headers, ARROW) {
        let fields = keys_of(&planned.entity).fields;
        let keys = ids.iter().map(|id| id.values().to_vec());
        return arrow(fields, keys, &planned.columns, &numbers);
    }
    let rows = numbers.chunks(outputs.max(1));
    let of_key = statuses.chunks(views.max(1));
    json(&Retrieved {
        rows: rows
            .map(|row| row.iter().copied().map(number).collect())
            .collect(),
        statuses: of_key
            .map(|row| row.iter().map(|status| status.name()).collect())
            .collect(),
        columns: planned.columns,
        present: report.present,
        incomplete: report.incomplete,
    })
}

/// Rows of numbers with what stands before them, as one table.
pub(super) fn rows_with(
    mut fields: Vec<Field>,
    before: impl Iterator<Item = Vec<Value>>,
    columns: &[Text],
    numbers: &[f64],
) -> (common::schema::Schema, Vec<Record>) {
    let numeric = columns.iter().cloned();
    fields.extend(numeric.map(|name| Field::new(name, FieldType::Float).nullable()));
    let cell = |value: &f64| number(*value).map_or(Value::Null, Value::Float);
    let rows = before.zip(numbers.chunks(columns.len().max(1)));
    let records = rows.map(|(mut values, numbers)| {
        values.extend(numbers.iter().map(cell));
        Record::new(Metadata::default(), 1, values)
    });
    (table("features", fields), records.collect())
}

/// An Arrow stream of rows of numbers.
pub(super) fn arrow(
    fields: Vec<Field>,
    before: impl Iterator<Item = Vec<Value>>,
    columns: &[Text],
    numbers: &[f64],
) -> Answered {
    let (table, records) = rows_with(fields, before, columns, numbers);
    let mut bytes = Vec::new();
    Format::Arrow.encode_rows(&table, &records, &mut bytes)?;
    Ok(([(header::CONTENT_TYPE, ARROW)], bytes).into_response())
}

/// Reads features of entities as rows of numbers.
pub(in super::super) fn numbers_of(
    planned: &Planned,
    ids: &[RecordId],
    as_of: vectordb::feature::AsOf,
) -> Result<Vec<f64>> {
    let mut numbers = vec![f64::NAN; planned.retrieval.outputs() * ids.len()];
    let options = BatchOptions::default();
    planned
        .retrieval
        .get_many(ids, as_of, &mut numbers, &mut [], options)?;
    Ok(numbers)
}
