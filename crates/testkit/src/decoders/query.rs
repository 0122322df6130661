//! Filters, queries and cursors.

use std::sync::OnceLock;

use common::limits::FILTER_TEXT_BYTES_MAX;
use common::query::{Cursor, Filter, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Database, Map, Result, Text, Value};

use super::{limits, must};

/// A small database in which every column has all its values different, so that joins do not multiply.
fn database() -> Result<Database> {
    let db = Database::new();
    for name in ["a", "b"] {
        let table = db.create_collection(
            Schema::build(name, ["id"])
                .field(Field::new("id", FieldType::Int))
                .field(Field::new("f", FieldType::Float).nullable())
                .field(Field::new("t", FieldType::Text).nullable())
                .field(Field::new("l", FieldType::List(Box::new(FieldType::Int))))
                .field(Field::new("m", FieldType::Map(Box::new(FieldType::Any))))
                .index(IndexSpec::ordered(["f", "t"]))
                .index(IndexSpec::hash(["t"]))
                .finish()?,
        )?;
        for id in 0..6_i32 {
            let map: Map = [(Text::from("k"), Value::from(id))].into();
            table.insert_values([
                Value::from(id),
                if id == 0 {
                    Value::Null
                } else {
                    Value::from(f64::from(id) / 2.0)
                },
                if id == 1 {
                    Value::Null
                } else {
                    Value::from(id.to_string())
                },
                Value::from(vec![Value::from(id)]),
                Value::from(map),
            ])?;
        }
    }
    Ok(db)
}

fn small() -> &'static Database {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    DATABASE.get_or_init(|| must(database(), "the small database can be made"))
}

/// What every filter promises: it prints as text that reads back the same, and running it does not panic.
fn filter(filter: &Filter) {
    let text = filter.to_string();
    if text.len() <= FILTER_TEXT_BYTES_MAX {
        let again = must(Filter::parse(&text), "printed text reads back");
        assert!(again == *filter, "{text} reads back as {again}");
    }
    let json = must(
        serde_json::to_vec(filter).map_err(|e| common::Error::invalid(e.to_string())),
        "a filter has a JSON form",
    );
    let again = must(Filter::from_json(&json, &limits()), "its JSON reads back");
    assert!(again == *filter, "JSON changed {text} to {again}");
    let snapshot = small().snapshot();
    let query = Query::from("a").filter(filter.clone());
    if let Ok(result) = query.run(&snapshot.view()) {
        // Planned or not, the same rows.
        let predicate = must(
            snapshot
                .view()
                .collection("a")
                .and_then(|a| filter.compile(&a.schema())),
            "what ran compiles",
        );
        let all = must(
            Query::from("a").run(&snapshot.view()),
            "all rows can be read",
        );
        let expected = all.rows.iter().filter(|row| predicate.matches(row)).count();
        assert_eq!(result.returned, expected, "{text}: {}", result.plan);
    }
}

/// Text to a filter.
///
/// # Panics
/// When a promise is broken.
pub fn filter_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(found) = Filter::parse(text) {
        filter(&found);
    }
}

/// JSON to a filter.
///
/// # Panics
/// When a promise is broken.
pub fn filter_json(bytes: &[u8]) {
    if let Ok(found) = Filter::from_json(bytes, &limits()) {
        filter(&found);
    }
}

/// JSON to a query, which then runs on a small database.
///
/// # Panics
/// When a promise is broken.
pub fn query_json(bytes: &[u8]) {
    let Ok(query) = Query::from_json(bytes, &limits()) else {
        return;
    };
    let json = must(
        serde_json::to_vec(&query).map_err(|e| common::Error::invalid(e.to_string())),
        "a query has a JSON form",
    );
    let again = must(Query::from_json(&json, &limits()), "its JSON reads back");
    assert!(again == query, "JSON changed the query");
    let snapshot = small().snapshot();
    if let Ok(result) = query.run(&snapshot.view()) {
        assert!(query.limit.is_none_or(|limit| result.returned <= limit));
        assert!(
            result
                .rows
                .iter()
                .all(|row| row.len() == result.columns.len())
        );
        if let Some(cursor) = result.cursor {
            let next = query.after(cursor);
            must(
                next.run(&snapshot.view()),
                "a page's cursor gives the next page",
            );
        }
    }
}

/// A token to a cursor.
///
/// # Panics
/// When a promise is broken.
pub fn cursor(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(cursor) = Cursor::parse(token, &limits()) {
        let again = must(
            Cursor::parse(&cursor.token(), &limits()),
            "a token reads back",
        );
        assert!(again == cursor, "the token changed");
    }
}
