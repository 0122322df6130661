//! Points: rows of vectors and metadata, written, read, deleted, in pages, counted.

use std::collections::HashSet;

use axum::http::Method;
use common::database::Transaction;
use common::query::{Cursor, Filter, Query};
use common::{Error, Record, RecordId, Result, Row, Seq, Text, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::{Scroll, Vectors};

use super::super::serving::{
    ROWS_MAX, check_count, ids_of, json, key_table, limits, names_of, parse, reading, rows_of,
    writing,
};
use super::allowed::Allowed;
use super::{open, open_to_write};
use crate::call::{Answered, Call};
use crate::openapi::Group;
use crate::problem::Problem;

/// Rows of a page that does not say how many.
const PAGE_ROWS: usize = 100;

pub(super) fn add(group: Group) -> Group {
    group
        .route(
            Method::POST,
            "/v1/vectors/{collection}/points",
            upsert,
            writing(
                "upsertPoints",
                "Write points: all of them or none",
                Some("UpsertPoints"),
                "PointsWritten",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/points/get",
            get,
            reading("getPoints", "Points by id", Some("GetPoints"), "Points"),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/points/delete",
            delete,
            writing(
                "deletePoints",
                "Delete points by id or by filter",
                Some("DeletePoints"),
                "PointsWritten",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/points/scroll",
            scroll,
            reading(
                "scrollPoints",
                "A page of points in the order of their ids",
                Some("ScrollPoints"),
                "PointsPage",
            ),
        )
        .route(
            Method::POST,
            "/v1/vectors/{collection}/points/count",
            count,
            reading(
                "countPoints",
                "Number of points that pass a filter",
                Some("CountPoints"),
                "PointsCount",
            ),
        )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Points {
    points: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct Written {
    /// The commit that did it; the last one where nothing changed.
    seq: Seq,
    /// Number of rows that came, changed or went.
    changed: usize,
}

/// Rows as they are read from a request, in order, with the ids and the columns that each names.
struct Given {
    ids: Vec<RecordId>,
    rows: Vec<Row>,
}

impl Given {
    fn read(allowed: &Allowed, points: &[Box<RawValue>]) -> std::result::Result<Self, Problem> {
        if !allowed.shows_all_columns() {
            for (at, point) in points.iter().enumerate() {
                let place = |error: Error| error.at(format!("points[{at}]"));
                for name in names_of(point).map_err(place)? {
                    allowed.check_column(&name)?;
                }
            }
        }
        let schema = &allowed.schema;
        let options = allowed.collection.options();
        let keys = schema.key_columns;
        let mut ids = Vec::with_capacity(points.len());
        let mut known = HashSet::with_capacity(points.len());
        let mut parts = Vec::with_capacity(points.len());
        for (at, values) in rows_of(schema, points)?.into_iter().enumerate() {
            let mut values = values.into_iter();
            let id = RecordId::composite(values.by_ref().take(keys));
            if !known.insert(id.clone()) {
                return Err(Error::invalid(format!(
                    "points[{at}]: id {id} is in the request already"
                ))
                .into());
            }
            let (mut vectors, mut metadata) = (Vectors::new(), Row::new());
            for (field, value) in schema.fields.iter().skip(keys).zip(values) {
                let is_vector = options.columns().any(|column| *column == field.name);
                match value {
                    Value::Vector(vector) if is_vector => {
                        vectors = vectors.value(field.name.clone(), &vector);
                    }
                    // A row may lack a vector where there are several.
                    Value::Null if is_vector => {}
                    value => metadata.set(field.name.clone(), value),
                }
            }
            ids.push(id.clone());
            parts.push((id, vectors, metadata));
        }
        Ok(Self {
            rows: allowed.collection.rows(parts)?,
            ids,
        })
    }
}

fn upsert(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Points = parse(&call.body)?;
    check_count("points", asked.points.len(), ROWS_MAX)?;
    let allowed = open_to_write(caller, name)?;
    let given = Given::read(&allowed, &asked.points)?;
    let predicate = allowed.predicate()?;
    let table = allowed.collection.table();
    let mut transaction = table.database().begin();
    for (at, (id, mut row)) in given.ids.into_iter().zip(given.rows).enumerate() {
        let before = if predicate.is_some() || !allowed.shows_all_columns() {
            transaction.get(table, id.clone())?
        } else {
            None
        };
        if let (Some(before), Some(predicate)) = (&before, &predicate)
            && !predicate.matches(before.values())
        {
            return Err(not_yours(&allowed, at));
        }
        if let Some(before) = &before {
            keep_hidden(&allowed, before, &mut row);
        }
        transaction
            .upsert(table, row)
            .map_err(|error| error.at(format!("points[{at}]")))?;
        if let Some(predicate) = &predicate {
            let after = transaction.get(table, id)?;
            if after.is_none_or(|after| !predicate.matches(after.values())) {
                return Err(not_yours(&allowed, at));
            }
        }
    }
    commit(&allowed, transaction)
}

/// The same words whether the row is there or not.
fn not_yours(allowed: &Allowed, at: usize) -> Problem {
    Problem::forbidden(format!(
        "points[{at}]: that row of `{}` is not for you to write",
        allowed.collection.name()
    ))
}

/// Columns that the caller may not change stay as they are.
fn keep_hidden(allowed: &Allowed, before: &Record, row: &mut Row) {
    for (field, value) in allowed.schema.fields.iter().zip(before.values()) {
        if !allowed.shows(&field.name) {
            row.set(field.name.clone(), value.clone());
        }
    }
}

fn commit(allowed: &Allowed, transaction: Transaction<'_>) -> Answered {
    let committed = transaction.commit()?;
    // Searches would do so; they need not wait for it then.
    allowed.collection.catch_up()?;
    json(&Written {
        seq: committed.seq,
        changed: committed.changes.len(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Get {
    ids: Vec<Box<RawValue>>,
    select: Option<Vec<Text>>,
}

#[derive(Serialize)]
struct PointJson {
    id: Box<RawValue>,
    row: Box<RawValue>,
}

fn get(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Get = parse(&call.body)?;
    check_count("ids", asked.ids.len(), ROWS_MAX)?;
    let allowed = open(caller, name)?;
    let select = allowed.select(asked.select.as_ref())?;
    let ids = ids_of(&key_table(allowed.key_fields()), "ids", &asked.ids)?;
    let predicate = allowed.predicate()?;
    let (mut id_encoder, mut rows) = (allowed.id_encoder(), allowed.encoder(&select));
    let mut points = Vec::with_capacity(ids.len());
    for record in allowed.collection.get_many(ids)? {
        let shown = record.filter(|record| {
            let predicate = predicate.as_ref();
            predicate.is_none_or(|predicate| predicate.matches(record.values()))
        });
        points.push(match shown {
            Some(record) => Some(PointJson {
                id: id_encoder.id(&record.id())?,
                row: rows.row(allowed.values(&record, &select))?,
            }),
            None => None,
        });
    }
    json(&serde_json::json!({ "points": points }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    ids: Option<Vec<Box<RawValue>>>,
    filter: Option<Box<RawValue>>,
}

fn delete(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Delete = parse(&call.body)?;
    let allowed = open_to_write(caller, name)?;
    let table = allowed.collection.table();
    match (&asked.ids, &asked.filter) {
        (Some(ids), None) => {
            check_count("ids", ids.len(), ROWS_MAX)?;
            let ids = ids_of(&key_table(allowed.key_fields()), "ids", ids)?;
            let predicate = allowed.predicate()?;
            let mut transaction = table.database().begin();
            for id in ids {
                let known = transaction.get(table, id.clone())?;
                let is_seen = known.is_some_and(|known| {
                    let predicate = predicate.as_ref();
                    predicate.is_none_or(|predicate| predicate.matches(known.values()))
                });
                if is_seen {
                    transaction.delete(table, id)?;
                }
            }
            commit(&allowed, transaction)
        }
        (None, Some(filter)) => {
            let filter = allowed.filter(Some(filter))?.unwrap_or(Filter::True);
            let mut transaction = table.database().begin();
            let query = Query::from(table.name()).filter(filter);
            for record in query.records(&transaction.view())? {
                transaction.delete(table, record.id())?;
            }
            commit(&allowed, transaction)
        }
        _ => Err(Error::invalid("give `ids` or a `filter`, to say what is deleted").into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScrollAsked {
    limit: Option<usize>,
    filter: Option<Box<RawValue>>,
    select: Option<Vec<Text>>,
    /// The `next` of the page before.
    after: Option<String>,
}

fn scroll(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: ScrollAsked = parse(&call.body)?;
    let limit = asked.limit.unwrap_or(PAGE_ROWS);
    if !(1..=ROWS_MAX).contains(&limit) {
        return Err(Error::invalid(format!("`limit` is 1 to {ROWS_MAX}, not {limit}")).into());
    }
    let allowed = open(caller, name)?;
    let select = allowed.select(asked.select.as_ref())?;
    let mut scroll = Scroll::new(limit).select(select.clone());
    scroll.filter = allowed.filter(asked.filter.as_deref())?;
    let after = asked.after.as_deref();
    let after = after.map(|token| Cursor::parse(token, &limits()));
    scroll.after = after
        .transpose()
        .map_err(|error| Error::invalid(error.to_string()).at("after"))?;
    let page = allowed.collection.scroll(&scroll)?;
    let (mut ids, mut rows) = (allowed.id_encoder(), allowed.encoder(&select));
    let points = page.rows.iter().map(|(id, row)| {
        let values = select.iter().map(|name| row.get(name).cloned());
        Ok(PointJson {
            id: ids.id(id)?,
            row: rows.row(values.map(Option::unwrap_or_default).collect())?,
        })
    });
    let points = points.collect::<Result<Vec<_>>>()?;
    let next = page.next.map(|next| next.token());
    json(&serde_json::json!({ "points": points, "next": next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    filter: Option<Box<RawValue>>,
}

fn count(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("collection");
    let asked: Count = parse(&call.body)?;
    let allowed = open(caller, name)?;
    let filter = allowed.filter(asked.filter.as_deref())?;
    json(&serde_json::json!({ "count": allowed.count(filter.as_ref())? }))
}
