//! The table that migrations are tried on, as the first version has it.

use common::schema::{Field, FieldType, IndexSpec, Rule, Schema};

pub(crate) fn int(name: &str) -> Field {
    Field::new(name, FieldType::Int)
}

pub(crate) fn text(name: &str) -> Field {
    Field::new(name, FieldType::Text)
}

/// A table of people.
pub(crate) fn people() -> Schema {
    Schema::build("people", ["id"])
        .field(int("id"))
        .field(text("name"))
        .field(int("age").nullable().rule(Rule::at_least(0)))
        .field(text("city").default_value("Turku"))
        .index(IndexSpec::hash(["city"]))
        .finish()
        .unwrap()
}
