//! A row filter with claims: never panics, and what is bound has nothing open.
#![no_main]

use std::sync::LazyLock;

use common::schema::{Field, FieldType, Schema};
use common::{Map, Value};
use libfuzzer_sys::fuzz_target;
use server::auth::Template;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let list = FieldType::List(Box::new(FieldType::Text));
    Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("owner", FieldType::Text))
        .field(Field::new("tags", list))
        .field(Field::new("any", FieldType::Any))
        .finish()
        .expect("the schema is right")
});

static CLAIMS: LazyLock<Map> = LazyLock::new(|| {
    let list = Value::from(vec![Value::from("a"), Value::from(1), Value::Null]);
    let map = Value::Map(Map::from([("b".into(), Value::from(1.5))]).into());
    Map::from([
        ("sub".into(), "a".into()),
        ("l".into(), list),
        ("m".into(), map),
    ])
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let _ = template.check(&SCHEMA);
    for claims in [&*CLAIMS, &Map::new()] {
        if let Some(filter) = template.bind(claims, &SCHEMA) {
            assert!(!filter.has_parameters());
            assert!(filter.compile(&SCHEMA).is_ok());
        }
    }
});
