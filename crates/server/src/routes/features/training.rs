//! Training sets: made of rows with times of their own, and made again, as JSON, lines of JSON or an Arrow stream.

use axum::http::{Method, header};
use axum::response::IntoResponse;
use common::schema::{Field, FieldType};
use common::serialization::Format;
use common::{Error, RecordId, Result, Text, Timestamp, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::feature::{EVENT_COLUMN, KnownAt, Times, TrainingSet};

use super::super::serving::{
    Access, accepts, check_count, created, json, making, parse, reading, rows_of, table,
};
use super::retrieval::{ARROW, Stored, arrow, rows_with};
use super::when::time;
use super::{Part, keys_of, retrieval_of, store_of, view_of};
use crate::call::{Answered, Call};
use crate::openapi::Group;

/// The media type of lines of JSON.
const LINES: &str = "application/x-ndjson";
/// Most rows in one training set that is made by a request.
const ROWS_MAX: usize = 100_000;

pub(super) fn add(group: Group) -> Group {
    group
        .route(Method::POST, "/v1/features/training-sets", create, making("createTrainingSet", "Read features as of the time of each row, under an id that gives the same for ever", Some("CreateTrainingSet"), "TrainingSetMade"))
        .route(Method::GET, "/v1/features/training-sets/{id}", again, reading("getTrainingSet", "Make a training set again", None, "TrainingSet").also_gives(LINES).also_gives(ARROW))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    features: Vec<Part>,
    /// Each an object: the key columns and `event_time`.
    rows: Vec<Box<RawValue>>,
    /// By when values had to be known: `event`, `ever`, or a time.
    known_at: Option<Box<RawValue>>,
    transformer: Option<Stored>,
}

#[derive(Serialize)]
struct Made {
    id: Text,
    /// Its node in lineage.
    lineage: Text,
    features: Vec<Text>,
    columns: usize,
    rows: usize,
    /// Rows that have every number.
    complete: usize,
    seq: common::Seq,
}

fn known_at(given: Option<&RawValue>) -> Result<KnownAt> {
    match given {
        None => Ok(KnownAt::default()),
        Some(given) => match given.get() {
            "\"event\"" => Ok(KnownAt::Event),
            "\"ever\"" => Ok(KnownAt::Ever),
            _ => time("known_at", given).map(KnownAt::By),
        },
    }
}

fn complete(set: &TrainingSet) -> usize {
    let rows = set.values.chunks(set.columns.max(1));
    rows.filter(|row| row.iter().all(|number| !number.is_nan()))
        .count()
}

fn create(call: &Call) -> Answered {
    let caller = &call.caller;
    let asked: Create = parse(&call.body)?;
    check_count("rows", asked.rows.len(), ROWS_MAX)?;
    let known = known_at(asked.known_at.as_deref())?;
    let store = store_of(caller, Access::Write)?;
    let planned = retrieval_of(caller, &store, &asked.features, asked.transformer.as_ref())?;
    let width = planned.entity.keys.len();
    let mut fields = keys_of(&planned.entity).fields;
    fields.push(Field::new(EVENT_COLUMN, FieldType::Timestamp));
    let (mut keys, mut times) = (Vec::new(), Vec::<Timestamp>::new());
    for values in rows_of(&table("rows", fields), &asked.rows)? {
        let mut values = values.into_iter();
        keys.push(RecordId::composite(values.by_ref().take(width)));
        match values.next() {
            Some(Value::Timestamp(time)) => times.push(time),
            _ => return Err(Error::invalid("`rows`: a row has no time").into()),
        }
    }
    let times = Times::Each(&times);
    let set = store.create_training_set(&asked.name, &planned.retrieval, &keys, times, known)?;
    created(&Made {
        lineage: set.lineage_node(&asked.name).id(),
        complete: complete(&set),
        rows: keys.len(),
        columns: set.columns,
        seq: set.seq,
        id: set.id,
        features: set.features,
    })
}

fn again(call: &Call) -> Answered {
    let caller = &call.caller;
    let id = call.parameter("id");
    let store = store_of(caller, Access::Read)?;
    let set = store.training_set(id)?;
    let rows = store.training_rows(id)?;
    let (view, _) = rows.features.first().cloned().unwrap_or_default();
    for (view, _) in &rows.features {
        view_of(caller, &store, view, Access::Read)?;
    }
    let entity = store.view(&view)?.entity().clone();
    let mut fields = keys_of(&entity).fields;
    fields.push(Field::new(EVENT_COLUMN, FieldType::Timestamp));
    let once = |feature: &Text| {
        let others = rows.features.iter().filter(|(_, other)| other == feature);
        others.count() == 1 && fields.iter().all(|field| field.name != *feature)
    };
    let columns: Vec<Text> = if set.columns == rows.features.len() {
        let named = rows.features.iter().map(|(view, feature)| {
            if once(feature) {
                feature.clone()
            } else {
                format!("{view}_{feature}").into()
            }
        });
        named.collect()
    } else {
        (0..set.columns)
            .map(|at| format!("output_{at}").into())
            .collect()
    };
    let before = rows.keys.iter().zip(&rows.times).map(|(key, time)| {
        let mut values = key.values().to_vec();
        values.push(Value::Timestamp(*time));
        values
    });
    if accepts(&call.headers, ARROW) {
        return arrow(fields, before, &columns, &set.values);
    }
    let (table, records) = rows_with(fields, before, &columns, &set.values);
    let mut lines = Vec::new();
    Format::Json.encode_rows(&table, &records, &mut lines)?;
    if accepts(&call.headers, LINES) {
        return Ok(([(header::CONTENT_TYPE, LINES)], lines).into_response());
    }
    let text = String::from_utf8(lines).map_err(|error| Error::corrupt(error.to_string()))?;
    let rows = text.lines().map(|line| {
        RawValue::from_string(line.to_owned()).map_err(|error| Error::corrupt(error.to_string()))
    });
    json(&serde_json::json!({
        "id": set.id, "seq": set.seq, "complete": complete(&set),
        "rows": rows.collect::<Result<Vec<_>>>()?,
    }))
}
