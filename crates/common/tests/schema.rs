//! Schemas and validators: every rule, every limit, hostile numbers, all violations at once.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use common::limits::{COLLECTIONS_MAX, COLUMNS_MAX, INDEXES_MAX, KEY_COLUMNS_MAX, NAME_BYTES_MAX};
use common::schema::{
    Field, FieldType, IndexSpec, ReferenceAction, Rule, RuleRegistry, Schema, Validator,
};
use common::{
    Database, ErrorKind, Map, Result, Row, Text, Timestamp, Value, Vector, VectorElement, row,
};

fn one(ty: FieldType, rules: impl IntoIterator<Item = Rule>) -> Validator {
    let field = rules
        .into_iter()
        .fold(Field::new("x", ty).nullable(), Field::rule);
    let schema = Schema::build("t", ["id"])
        .field(Field::new("id", FieldType::Int).default_value(1))
        .field(field)
        .finish()
        .unwrap();
    schema.compile(&RuleRegistry::default()).unwrap()
}

/// Paths and rules that a value of the column `x` breaks.
fn broken(validator: &Validator, value: impl Into<Value>) -> Vec<(String, String)> {
    match validator.values(Row::new().with("x", value)) {
        Ok(_) => Vec::new(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let places = error.violations().iter();
            places.map(|v| (v.path.clone(), v.rule.clone())).collect()
        }
    }
}

fn places(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(path, rule)| ((*path).to_owned(), (*rule).to_owned()))
        .collect()
}

#[test]
fn each_rule_at_its_edge() {
    let range = one(FieldType::Int, [Rule::between(0, 10)]);
    assert!(broken(&range, 0).is_empty() && broken(&range, 10).is_empty());
    assert_eq!(broken(&range, 11), places(&[("x", "range")]));
    assert_eq!(broken(&range, -1), places(&[("x", "range")]));
    assert!(
        broken(&range, Value::Null).is_empty(),
        "null passes every rule"
    );

    let length = one(FieldType::Text, [Rule::length(2, 3)]);
    assert!(
        broken(&length, "äö").is_empty(),
        "characters count, not bytes"
    );
    assert_eq!(broken(&length, "ä"), places(&[("x", "length")]));
    assert_eq!(broken(&length, "abcd"), places(&[("x", "length")]));

    let pattern = one(FieldType::Text, [Rule::pattern("[a-z]+|[0-9]+")]);
    assert!(broken(&pattern, "abc").is_empty() && broken(&pattern, "12").is_empty());
    for text in ["abc1", "abc\n", "", " abc"] {
        assert_eq!(
            broken(&pattern, text),
            places(&[("x", "pattern")]),
            "{text:?}"
        );
    }

    let one_of = one(FieldType::Text, [Rule::one_of(["red", "green"])]);
    assert!(broken(&one_of, "red").is_empty());
    assert_eq!(broken(&one_of, "blue"), places(&[("x", "one_of")]));

    let both = one(
        FieldType::Text,
        [Rule::length(1, 2), Rule::pattern("[a-z]*")],
    );
    assert_eq!(
        broken(&both, "ABC"),
        places(&[("x", "length"), ("x", "pattern")]),
        "all at once"
    );
}

#[test]
fn types_are_checked_all_the_way_down() {
    let tags = one(FieldType::List(Box::new(FieldType::Text)), []);
    let list = vec![
        Value::from("a"),
        Value::from(1),
        Value::from("b"),
        Value::Null,
    ];
    assert_eq!(
        broken(&tags, list),
        places(&[("x[1]", "type"), ("x[3]", "type")])
    );

    let map = one(
        FieldType::Map(Box::new(FieldType::List(Box::new(FieldType::Int)))),
        [],
    );
    let inner = Value::from(vec![Value::from(1), Value::from(2.5)]);
    let value: Map = [(Text::new("a"), inner), (Text::new("b"), Value::from(3))].into();
    assert_eq!(
        broken(&map, value),
        places(&[("x.a[1]", "type"), ("x.b", "type")])
    );

    let ty = FieldType::Vector {
        element: VectorElement::F32,
        dimension: Some(3),
    };
    let vector = one(ty, [Rule::Finite]);
    assert!(broken(&vector, vec![1.0_f32, 2.0, 3.0]).is_empty());
    assert_eq!(
        broken(&vector, vec![1.0_f32]),
        places(&[("x", "dimension")])
    );
    assert_eq!(
        broken(&vector, Vector::I8(Box::new([1, 2, 3]))),
        places(&[("x", "type")])
    );
    assert_eq!(
        broken(&vector, vec![1.0_f32, f32::NAN, 0.0]),
        places(&[("x", "finite")])
    );

    let any = one(FieldType::Any, []);
    assert!(broken(&any, vec![1.0_f32]).is_empty() && broken(&any, "x").is_empty());
}

#[test]
fn integers_become_floats_only_without_loss() {
    let float = one(FieldType::Float, [Rule::between(-1, 1e300)]);
    let converted = float.values(row! { "x": 3 }).unwrap();
    assert_eq!(converted[1], Value::from(3.0));
    assert!(broken(&float, 1_i64 << 53).is_empty());
    assert_eq!(broken(&float, (1_i64 << 53) + 1), places(&[("x", "type")]));
    assert_eq!(broken(&float, -2), places(&[("x", "range")]));
    let int = one(FieldType::Int, []);
    assert_eq!(
        broken(&int, 3.0),
        places(&[("x", "type")]),
        "never the other way"
    );
}

#[test]
fn hostile_numbers() {
    let float = one(FieldType::Float, [Rule::between(-1e308, 1e308)]);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(
            broken(&float, value),
            places(&[("x", "range")]),
            "{value} lies in no range"
        );
    }
    for value in [-0.0, 5e-324, 1e-38, 1e38, f64::MAX / 2.0] {
        assert!(broken(&float, value).is_empty(), "{value}");
    }
    let db = Database::new();
    let schema = Schema::build("t", ["x"]).field(Field::new("x", FieldType::Float));
    let t = db.create_collection(schema.finish().unwrap()).unwrap();
    for value in [f64::NAN, f64::INFINITY] {
        let error = t.insert(row! { "x": value }).unwrap_err();
        assert_eq!(error.violations()[0].rule, "finite", "no such keys");
    }
    t.insert(row! { "x": 0.0 }).unwrap();
    let error = t.insert(row! { "x": -0.0 }).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Conflict,
        "the two zeros are one key"
    );
    assert_eq!(t.len(), 1);
}

fn columns(count: usize) -> Result<Schema> {
    let fields = (1..count).map(|i| Field::new(format!("c{i}"), FieldType::Int).nullable());
    fields
        .fold(
            Schema::build("t", ["id"]).field(Field::new("id", FieldType::Int)),
            common::schema::SchemaBuilder::field,
        )
        .finish()
}

#[test]
fn each_limit_holds_at_its_value_and_not_one_past() {
    let limit = |result: Result<Schema>, ok: bool| match result {
        Ok(_) => assert!(ok),
        Err(error) => {
            assert!(!ok, "{error}");
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        }
    };
    limit(columns(COLUMNS_MAX), true);
    limit(columns(COLUMNS_MAX + 1), false);
    for (extra, ok) in [(0, true), (1, false)] {
        let name = "n".repeat(NAME_BYTES_MAX + extra);
        limit(
            Schema::build(name.clone(), ["id"])
                .field(Field::new("id", FieldType::Int))
                .finish(),
            ok,
        );
        limit(
            Schema::build("t", [name.clone()])
                .field(Field::new(name, FieldType::Int))
                .finish(),
            ok,
        );
        let keys: Vec<String> = (0..KEY_COLUMNS_MAX + extra)
            .map(|i| format!("k{i}"))
            .collect();
        let wide = keys
            .iter()
            .fold(Schema::build("t", keys.clone()), |schema, key| {
                schema.field(Field::new(key.clone(), FieldType::Int))
            });
        limit(wide.finish(), ok);
        let indexed = (0..INDEXES_MAX + extra).fold(
            Schema::build("t", ["id"]).field(Field::new("id", FieldType::Int)),
            |schema, i| schema.index(IndexSpec::hash(["id"]).named(format!("i{i}"))),
        );
        limit(indexed.finish(), ok);
    }
    let db = Database::new();
    for i in 0..=COLLECTIONS_MAX {
        let schema = Schema::build(format!("t{i}"), ["id"]).field(Field::new("id", FieldType::Int));
        let created = db.create_collection(schema.finish().unwrap());
        assert_eq!(created.is_ok(), i < COLLECTIONS_MAX);
    }
}

#[test]
fn a_schema_that_does_not_fit_together_is_refused() {
    let id = || Field::new("id", FieldType::Int);
    let x = || Field::new("x", FieldType::Text);
    let cases: Vec<(Result<Schema>, &str)> = vec![
        (
            Schema::build("t", ["id"]).field(x()).finish(),
            "no column `id`",
        ),
        (
            Schema::build("t", Vec::<&str>::new()).field(id()).finish(),
            "at least one key column",
        ),
        (
            Schema::build("t", ["id", "id"]).field(id()).finish(),
            "named twice",
        ),
        (
            Schema::build("t", ["id"])
                .field(id())
                .field(x())
                .field(x())
                .finish(),
            "declared twice",
        ),
        (
            Schema::build("t", ["id"]).field(id().nullable()).finish(),
            "cannot be nullable",
        ),
        (Schema::build("", ["id"]).field(id()).finish(), "empty"),
        (
            Schema::build("a\nb", ["id"]).field(id()).finish(),
            "control character",
        ),
        (
            Schema::build("t", ["id"])
                .field(id().id(1))
                .field(x().id(1))
                .finish(),
            "number 1",
        ),
        (
            Schema::build("t", ["id"])
                .field(id())
                .index(IndexSpec::hash(["y"]))
                .finish(),
            "no column `y`",
        ),
        (
            Schema::build("t", ["id"])
                .field(id())
                .field(x())
                .reference(["x"], "u", ReferenceAction::SetNull)
                .finish(),
            "must be nullable",
        ),
    ];
    for (result, part) in cases {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(part), "{error} lacks {part:?}");
    }
    let rules = [
        (x().rule(Rule::pattern("(")), "pattern"),
        (x().rule(Rule::at_least(3)), "range"),
        (id().rule(Rule::length(1, 2)), "length"),
        (x().rule(Rule::Custom("unknown".into())), "unknown"),
        (x().default_value(3), "default"),
        (x().rule(Rule::pattern("(a{1000}){1000}")), "pattern"),
    ];
    for (field, part) in rules {
        let name = field.name.clone();
        let schema = Schema::build("t", ["key"])
            .field(Field::new("key", FieldType::Int))
            .field(field)
            .finish()
            .unwrap();
        let error = schema
            .compile(&RuleRegistry::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(part) && error.contains(name.as_str()),
            "{error} lacks {part:?}"
        );
    }
}

#[test]
fn equal_schemas_have_equal_ids() {
    let build = |length: usize| {
        Schema::build("t", ["id"])
            .field(Field::new("x", FieldType::Text).rule(Rule::length(0, length)))
            .field(Field::new("id", FieldType::Uuid))
            .field(Field::new("at", FieldType::Timestamp).default_value(Timestamp(0)))
            .finish()
            .unwrap()
    };
    assert_eq!(build(3).schema_id(), build(3).schema_id());
    assert_ne!(build(3).schema_id(), build(4).schema_id());
    let json = serde_json::to_string(&build(3)).unwrap();
    let back: Schema = serde_json::from_str(&json).unwrap();
    assert_eq!(back, build(3));
    assert_eq!(
        back.schema_id(),
        build(3).schema_id(),
        "the same on every machine"
    );
    assert_eq!(
        build(3).schema_id().to_string(),
        "5ed8112c872dfd27a82c1b4ecdbb0f8a",
        "clients compare it"
    );
}
