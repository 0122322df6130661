use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::ErrorKind;
use crate::core::base::{Date, Map, Text};
use crate::core::schema::Field;

fn schema() -> Schema {
    let map = FieldType::Map(Box::new(FieldType::Any));
    Schema::build("things", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("i", FieldType::Int).nullable())
        .field(Field::new("f", FieldType::Float).nullable())
        .field(Field::new("t", FieldType::Text).nullable())
        .field(Field::new("l", FieldType::List(Box::new(FieldType::Int))).nullable())
        .field(Field::new("m", map).nullable())
        .field(Field::new("a", FieldType::Any).nullable())
        .field(Field::new("d", FieldType::Date).nullable())
        .finish()
        .unwrap()
}

/// Three-valued logic word for word: `None` is unknown.
fn naive(filter: &Filter, schema: &Schema, row: &[Value]) -> Option<bool> {
    let at = |path: &Path| -> Value {
        let place = Layout::of_schema(schema).resolve(path).unwrap();
        place.of(row).clone()
    };
    match filter {
        Filter::True => Some(true),
        Filter::Compare { path, op, value } => {
            at(path).compare(value).map(|ordering| op.holds(ordering))
        }
        Filter::In { path, values } => {
            let any: Vec<Filter> = values.iter().map(|v| Filter::eq(path, v.clone())).collect();
            naive(&Filter::Or(any), schema, row)
        }
        Filter::Between { path, low, high } => {
            let both = vec![
                Filter::ge(path, low.clone()),
                Filter::le(path, high.clone()),
            ];
            naive(&Filter::And(both), schema, row)
        }
        Filter::Like { path, pattern } => {
            let pattern = Pattern::new(pattern).unwrap();
            at(path).as_text().map(|text| pattern.matches(text))
        }
        Filter::StartsWith { path, prefix } => {
            at(path).as_text().map(|t| t.starts_with(prefix.as_str()))
        }
        Filter::Contains { path, value } => match (at(path), value) {
            (_, Value::Null) => None,
            (Value::List(l), v) => Some(l.iter().any(|x| x.compare(v) == Some(Ordering::Equal))),
            (Value::Text(t), Value::Text(v)) => Some(t.contains(v.as_str())),
            (Value::Map(m), Value::Text(v)) => Some(m.contains_key(v)),
            _ => None,
        },
        Filter::IsNull { path } => Some(at(path).is_null()),
        Filter::And(parts) => {
            let parts: Vec<_> = parts.iter().map(|p| naive(p, schema, row)).collect();
            if parts.contains(&Some(false)) {
                Some(false)
            } else {
                (!parts.contains(&None)).then_some(true)
            }
        }
        Filter::Or(parts) => {
            let parts: Vec<_> = parts.iter().map(|p| naive(p, schema, row)).collect();
            if parts.contains(&Some(true)) {
                Some(true)
            } else {
                (!parts.contains(&None)).then_some(false)
            }
        }
        Filter::Not(part) => naive(part, schema, row).map(|truth| !truth),
        Filter::Custom { .. } => None,
    }
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-2..3_i64).prop_map(Value::from),
        4 => (-5..6_i32).prop_map(|n| Value::from(f64::from(n) / 2.0)),
        1 => Just(Value::Null),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1e300)].prop_map(Value::from),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Value::from),
    ]
}

fn int() -> impl Strategy<Value = Value> {
    prop_oneof![6 => (-2..3_i64).prop_map(Value::from), 1 => Just(Value::Null),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Value::from)]
}

fn float() -> impl Strategy<Value = Value> {
    number().prop_map(|v| match v {
        Value::Int(_) => Value::from(v.as_float().unwrap()),
        other => other,
    })
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![5 => "[ab]{0,2}".prop_map(Value::from), 1 => Just(Value::Null)]
}

fn ints() -> impl Strategy<Value = Value> {
    proptest::collection::vec((-1..2_i64).prop_map(Value::from), 0..3).prop_map(Value::from)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![number(), text(), ints()]
}

fn row() -> impl Strategy<Value = Vec<Value>> {
    let list = prop_oneof![ints(), Just(Value::Null)];
    let map = proptest::option::of(any_value()).prop_map(|inner| {
        let map: Map = inner.into_iter().map(|v| (Text::from("k"), v)).collect();
        Value::from(map)
    });
    (int(), float(), text(), list, map, any_value())
        .prop_map(|(i, f, t, l, m, a)| vec![Value::from(1), i, f, t, l, m, a, Value::Null])
}

fn filter() -> impl Strategy<Value = Filter> {
    let op = || {
        prop_oneof![
            Just(CompareOp::Eq),
            Just(CompareOp::Ne),
            Just(CompareOp::Lt),
            Just(CompareOp::Le),
            Just(CompareOp::Gt),
            Just(CompareOp::Ge)
        ]
    };
    let typed = || {
        prop_oneof![
            (prop_oneof!["i", "f", "m\\.k", "a", "l\\[0\\]"], number()).boxed(),
            (prop_oneof!["t", "a"], text()).boxed(),
            (Just("a".to_owned()), any_value()).boxed(),
        ]
    };
    let numbers = || proptest::collection::vec(number(), 0..4);
    let leaf = prop_oneof![
        (typed(), op()).prop_map(|((path, value), op)| Filter::Compare {
            path: path.into(),
            op,
            value
        }),
        (prop_oneof!["i", "f", "m\\.k", "a"], numbers()).prop_map(|(p, v)| Filter::is_in(p, v)),
        (Just("a"), proptest::collection::vec(any_value(), 0..4))
            .prop_map(|(p, v)| Filter::is_in(p, v)),
        (prop_oneof!["i", "f", "a"], number(), number())
            .prop_map(|(p, low, high)| Filter::between(p, low, high)),
        (prop_oneof!["t", "a"], "[ab%_]{0,3}").prop_map(|(p, v)| Filter::like(p, v)),
        (prop_oneof!["t", "a"], "[ab]{0,2}").prop_map(|(p, v)| Filter::starts_with(p, v)),
        (prop_oneof!["l", "a"], number()).prop_map(|(p, v)| Filter::contains(p, v)),
        (prop_oneof!["t", "a", "m"], text()).prop_map(|(p, v)| Filter::contains(p, v)),
        prop_oneof!["i", "f", "t", "l", "m\\.k", "a"].prop_map(Filter::is_null),
        Just(Filter::True),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(Filter::negate),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn compiled_filters_agree_with_three_valued_logic(
        filter in filter(), rows in proptest::collection::vec(row(), 1..8)
    ) {
        let schema = schema();
        let predicate = filter.compile(&schema).unwrap();
        let opposite = filter.clone().negate().compile(&schema).unwrap();
        for row in rows {
            let truth = naive(&filter, &schema, &row);
            prop_assert_eq!(predicate.matches(&row), truth == Some(true), "{} {:?}", filter, row);
            prop_assert_eq!(opposite.matches(&row), truth == Some(false), "not {} {:?}", filter, row);
        }
    }
}

#[test]
fn literals_take_the_type_of_their_column() {
    let schema = schema();
    let row = |d: Value| {
        let mut row = vec![Value::Null; 8];
        row[7] = d;
        row
    };
    let predicate = Filter::is_in("d", ["1970-01-02"]).compile(&schema).unwrap();
    assert!(predicate.matches(&row(Value::Date(Date(1)))));
    let check = |filter: Filter, message: &str| {
        let error = filter.compile(&schema).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.message(), message);
    };
    check(
        Filter::eq("i", "FI"),
        "`i` is int, which does not compare with text \"FI\"",
    );
    check(
        Filter::eq("d", "noon"),
        "`d` is date, which does not compare with text \"noon\", as in '2026-01-31'",
    );
    check(Filter::like("i", "1%"), "`i` is int; `like` is for text");
    check(
        Filter::contains("f", 1),
        "`f` is float; `contains` is for lists, text and maps",
    );
    check(
        Filter::like("t", "a\\"),
        "t: a pattern does not end with a single `\\`; write `\\\\` for the character itself",
    );
    check(
        Filter::eq("i", Filter::param("x")),
        "parameter `$x` has no value; bind one",
    );
    let error = Filter::eq("x", 1).compile(&schema).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.message(),
        "`things` has no column `x`; its columns are id, i, f, t, l, m, a, d"
    );
    let error = Filter::parse("near(i)")
        .unwrap()
        .compile(&schema)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
