//! `/v1/tables/{table}/query`, and the rows of a table page by page: questions, under what the caller may see.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::cell::RefCell;
use std::collections::BTreeSet;

use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::IntoResponse;
use common::query::{
    Aggregate, AggregateFunction, Cursor, Filter, OrderBy, Path, Query, QueryResult, ResultRow,
    Selected,
};
use common::schema::{Field, FieldType, Schema};
use common::{Limits, Metadata, Record, Text};
use serde::Deserialize;
use serde_json::json;

use crate::access::Access;
use crate::call::{Answered, Call};
use crate::limits::{ANSWER_ROWS, ANSWER_ROWS_MAX};
use crate::negotiate::{JSON, Media, Reply, encode, not_acceptable};
use crate::openapi::{Group, Operation, reference};
use crate::problem::Problem;

const CURSOR: HeaderName = HeaderName::from_static("tandem-cursor");
const SEQ: HeaderName = HeaderName::from_static("tandem-seq");

pub(super) fn group() -> Group {
    let page = || reference("Page");
    Group::new("queries")
        .route(
            Method::GET,
            "/v1/tables/{table}/rows",
            list,
            Operation::new("listRows", "Rows of a table, page by page")
                .query("where", "Which rows, as in `country == 'FI' and population > 1000`")
                .query("order", "Columns with commas between them, `-` in front for the greatest first; the key where left out")
                .query("columns", "Columns with commas between them; all where left out")
                .query("limit", "Most rows: 100 where left out, at most 10,000")
                .query("cursor", "Where the page before ended")
                .gives(200, "A page of rows", page())
                .gives_protobuf(),
        )
        .route(
            Method::POST,
            "/v1/tables/{table}/query",
            query,
            Operation::new("query", "Rows or groups of a table, or how a question would be answered")
                .takes(reference("Query"))
                .gives(200, "A page of rows, or the plan", json!({ "anyOf": [page(), reference("Plan")] }))
                .gives_protobuf(),
        )
}

/// A question.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Question {
    /// Which rows, as a tree of conditions.
    filter: Filter,
    /// Which rows, in the text syntax; together with a filter, both hold.
    r#where: Option<String>,
    columns: Vec<Column>,
    group_by: Vec<Path>,
    aggregates: Vec<Aggregate>,
    having: Filter,
    order: Vec<Order>,
    limit: Option<usize>,
    cursor: Option<String>,
    explain: bool,
}

impl Question {
    /// Whether the rows are wanted as they are, in all columns that may be seen.
    fn is_for_records(&self) -> bool {
        self.columns.is_empty() && self.group_by.is_empty() && self.aggregates.is_empty()
    }
}

/// A column by its path, or with another name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Column {
    Path(Path),
    Named(Selected),
}

/// A column to order by, in short or in full.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Order {
    Short(String),
    Full(OrderBy),
}

/// The question of a `GET`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Listing {
    r#where: Option<String>,
    order: Option<String>,
    columns: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

fn list(call: &Call) -> Answered {
    let listing: Listing = call.queried()?;
    let parts = |text: &Option<String>| -> Vec<String> {
        let text = text.as_deref().unwrap_or_default();
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let columns = parts(&listing.columns).into_iter().map(|text| {
        let path = Path::parse(&text).map_err(|error| Problem::in_body(&error).at("columns"));
        path.map(Column::Path)
    });
    let question = Question {
        r#where: listing.r#where,
        columns: columns.collect::<Result<_, _>>()?,
        order: parts(&listing.order)
            .into_iter()
            .map(Order::Short)
            .collect(),
        limit: listing.limit,
        cursor: listing.cursor,
        ..Question::default()
    };
    answer(call, question)
}

fn query(call: &Call) -> Answered {
    Media::json_only(call)?;
    let question = serde_json::from_slice(&call.body)
        .map_err(|error| Problem::invalid(format!("not a query: {error}")))?;
    answer(call, question)
}

fn answer(call: &Call, question: Question) -> Answered {
    let access = Access::open(&call.caller, call.parameter("table"))?;
    let media = Media::of_answer(call)?;
    let explain = question.explain;
    let is_record = question.is_for_records();
    let query = build(&access, question)?;
    let snapshot = call.database().snapshot();
    let view = snapshot.view();
    let prepared = query
        .prepare(&view)
        .map_err(|error| Problem::in_body(&error))?;
    if explain {
        if !access.is_whole() {
            return Err(Problem::forbidden(
                "how a question is answered tells of rows and columns that you may not see",
            ));
        }
        let plan = prepared
            .explain(&view)
            .map_err(|error| Problem::in_body(&error))?;
        let explained = json!({ "plan": plan, "text": plan.to_string() });
        return Ok(Reply::json(StatusCode::OK, &explained)?.into_response());
    }
    let result = prepared
        .run(&view)
        .map_err(|error| Problem::in_body(&error))?;
    let schema = if is_record {
        Schema::clone(&access.visible)
    } else {
        schema_of(&access, &query, &result)?
    };
    if media == Media::Protobuf && !is_record {
        return Err(not_acceptable("a result of other columns"));
    }
    let records: Vec<Record> = result.rows.iter().map(record).collect();
    let bytes = encode(media, &schema, &records)?;
    let cursor = result.cursor.as_ref().map(Cursor::token);
    let reply = match media {
        Media::Json => {
            let body = page(bytes, cursor.as_deref(), snapshot.seq().0)?;
            Reply::of(StatusCode::OK, JSON, body)
        }
        Media::Protobuf => Reply::of(StatusCode::OK, media.name(), bytes),
    };
    let mut response = reply.into_response();
    let headers = response.headers_mut();
    headers.insert(SEQ, HeaderValue::from(snapshot.seq().0));
    if let Some(cursor) = cursor.and_then(|cursor| HeaderValue::from_str(&cursor).ok()) {
        headers.insert(CURSOR, cursor);
    }
    Ok(response)
}

/// The lines of rows as one document.
fn page(mut lines: Vec<u8>, cursor: Option<&str>, seq: u64) -> Result<Vec<u8>, Problem> {
    // A row has no line break in it: those of texts are escaped.
    lines.pop();
    lines
        .iter_mut()
        .filter(|byte| **byte == b'\n')
        .for_each(|byte| *byte = b',');
    let rest = Reply::json(StatusCode::OK, &json!({ "cursor": cursor, "seq": seq }))?;
    let mut body = Vec::with_capacity(lines.len() + rest.body.len() + 16);
    body.extend_from_slice(b"{\"rows\":[");
    body.append(&mut lines);
    body.extend_from_slice(b"],");
    body.extend_from_slice(rest.body.get(1..).unwrap_or_default());
    Ok(body)
}

fn record(row: &ResultRow) -> Record {
    match row {
        ResultRow::Record(record) => record.clone(),
        ResultRow::Values(values) => Record::new(Metadata::default(), 1, values.to_vec()),
    }
}

/// The question as the database is asked, once all that it speaks of may be seen.
fn build(access: &Access, question: Question) -> Result<Query, Problem> {
    let mut filter = question.filter;
    if let Some(text) = &question.r#where {
        let parsed = Filter::parse(text).map_err(|error| Problem::in_body(&error).at("where"))?;
        filter = filter.and(parsed);
    }
    let grouped = !question.group_by.is_empty() || !question.aggregates.is_empty();
    let mut order = Vec::with_capacity(question.order.len());
    for by in question.order {
        order.push(match by {
            Order::Full(by) => by,
            Order::Short(text) => order_by(&text, grouped)?,
        });
    }
    let limit = question.limit.unwrap_or(ANSWER_ROWS);
    if limit > ANSWER_ROWS_MAX {
        return Err(Problem::invalid(format!(
            "`limit` is at most {ANSWER_ROWS_MAX}, not {limit}; the rest follows by `cursor`"
        )));
    }
    let columns = question.columns.into_iter().map(|column| match column {
        Column::Path(path) => Selected { path, name: None },
        Column::Named(selected) => selected,
    });
    let select: Vec<Selected> = columns.collect();
    let after = question.cursor.as_deref();
    let after = after
        .map(|token| Cursor::parse(token, &Limits::default()))
        .transpose();
    let after = after.map_err(|error| Problem::in_body(&error).at("cursor"))?;
    let mut query = Query {
        from: access.visible.name.clone(),
        filter,
        select,
        group_by: question.group_by,
        aggregates: question.aggregates,
        having: question.having,
        order,
        limit: Some(limit),
        after,
        ..Query::default()
    };
    query.check().map_err(|error| Problem::in_body(&error))?;
    check_columns(access, &query)?;
    if !grouped {
        let key = access.visible.key_fields().iter();
        if query.order.is_empty() {
            query.order = key
                .map(|field| OrderBy::ascending(Path::column(field.name.clone())))
                .collect();
        }
        if query.select.is_empty() && !access.has_all_columns() {
            let fields = access.visible.fields.iter();
            let selected = fields.map(|field| Selected {
                path: Path::column(field.name.clone()),
                name: None,
            });
            query.select = selected.collect();
        }
    }
    if !access.has_all_rows() {
        query.filter = access.rows.clone().and(query.filter);
    }
    Ok(query)
}

fn order_by(text: &str, by_name: bool) -> Result<OrderBy, Problem> {
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    // The columns of a grouped result are known by name, as in `count(name)`.
    let path = match Path::parse(name) {
        Err(_) if by_name => Path::column(name),
        path => path.map_err(|error| Problem::in_body(&error).at("order"))?,
    };
    Ok(if descending {
        OrderBy::descending(path)
    } else {
        OrderBy::ascending(path)
    })
}

/// Every column that the question speaks of is one that the caller may see.
fn check_columns(access: &Access, query: &Query) -> Result<(), Problem> {
    if access.has_all_columns() {
        return Ok(());
    }
    let mut named: Vec<Text> = Vec::new();
    named.extend(
        query
            .select
            .iter()
            .map(|selected| selected.path.column.clone()),
    );
    named.extend(query.group_by.iter().map(|path| path.column.clone()));
    named.extend(
        query
            .aggregates
            .iter()
            .filter_map(|a| Some(a.path.as_ref()?.column.clone())),
    );
    if !query.is_grouped() {
        // With groups these are names of the result's columns.
        named.extend(query.order.iter().map(|by| by.path.column.clone()));
    }
    let of_filter = RefCell::new(Vec::new());
    let _ = query.filter.clone().map_columns(&|column| {
        of_filter.borrow_mut().push(column.clone());
        column.clone()
    });
    named.append(&mut of_filter.borrow_mut());
    match named
        .iter()
        .find(|name| access.visible.position(name).is_none())
    {
        Some(name) => Err(access.no_column(name)),
        None => Ok(()),
    }
}

/// The columns of a result: those of the table under their types, others as values of any.
fn schema_of(access: &Access, query: &Query, result: &QueryResult) -> Result<Schema, Problem> {
    let ty = |path: &Path| {
        let field = access
            .visible
            .fields
            .iter()
            .find(|field| field.name == path.column);
        match field.filter(|_| path.parts.is_empty()) {
            Some(field) => field.ty.clone(),
            None => FieldType::Any,
        }
    };
    let mut types: Vec<FieldType> = Vec::with_capacity(result.columns.len());
    if query.is_grouped() {
        types.extend(query.group_by.iter().map(ty));
        types.extend(query.aggregates.iter().map(|aggregate| {
            match (aggregate.function, &aggregate.path) {
                (AggregateFunction::Min | AggregateFunction::Max, Some(path)) => ty(path),
                _ => FieldType::Any,
            }
        }));
    } else {
        types.extend(query.select.iter().map(|selected| ty(&selected.path)));
    }
    let mut names = BTreeSet::new();
    let fields = result.columns.iter().zip(types).map(|(name, ty)| {
        if names.insert(name) {
            Ok(Field::new(name.clone(), ty).nullable())
        } else {
            Err(Problem::invalid(format!(
                "the result has two columns `{name}`; give one another name"
            )))
        }
    });
    Ok(Schema {
        name: access.visible.name.clone(),
        version: access.visible.version,
        key_columns: 1,
        fields: fields.collect::<Result<_, _>>()?,
        indexes: Vec::new(),
        references: Vec::new(),
    })
}
