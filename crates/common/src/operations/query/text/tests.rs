use proptest::prelude::*;

use super::*;
use crate::ErrorKind;
use crate::core::base::{Extension, Text, Value};
use crate::limits::{FILTER_DEPTH_MAX, FILTER_TEXT_BYTES_MAX};
use crate::operations::query::filter::CompareOp;
use crate::operations::query::path::{Part, Path};

#[test]
fn reads_what_the_documents_show() {
    let check = |text: &str, expected: Filter| {
        assert_eq!(Filter::parse(text).unwrap(), expected, "{text}");
        assert_eq!(Filter::parse(&expected.to_string()).unwrap(), expected);
    };
    check(
        "country == 'FI' and population between 10000 and 50000 \
         or name like 'O%' and not tags contains \"x\"",
        Filter::Or(vec![
            Filter::eq("country", "FI").and(Filter::between("population", 10_000, 50_000)),
            Filter::like("name", "O%").and(!Filter::contains("tags", "x")),
        ]),
    );
    let nested = Path::column("a").key("b").index(2).key("c d");
    check("a.b[2].`c d` IS NOT NULL", !Filter::is_null(nested));
    check("a in ()", Filter::is_in("a", Vec::<Value>::new()));
    check(
        "a not in (1, null,)",
        !Filter::is_in("a", [Value::from(1), Value::Null]),
    );
    check("a <> -9223372036854775808", Filter::ne("a", i64::MIN));
    check(
        "a = 1e3 or a < -0.5",
        Filter::eq("a", 1000.0).or(Filter::lt("a", -0.5)),
    );
    check(
        "t = 'it''s' and t != \"it's\"",
        Filter::eq("t", "it's").and(Filter::ne("t", "it's")),
    );
    check("b = x'00fF'", Filter::eq("b", vec![0_u8, 255]));
    check(
        "not a between 1 and 2 and b starts with '%'",
        (!Filter::between("a", 1, 2)).and(Filter::starts_with("b", "%")),
    );
    check(
        "date >= date '2026-01-31' and timestamp < timestamp '1970-01-01T00:00:01Z'",
        Filter::ge("date", Value::Date(Date(20_484))).and(Filter::lt(
            "timestamp",
            Value::Timestamp(Timestamp(1_000_000)),
        )),
    );
    check("n > $least", Filter::gt("n", Filter::param("least")));
    check(
        "near(place, 'x', 2)",
        Filter::custom("near", ["place"], [Value::from("x"), Value::from(2)]),
    );
    check(
        "not (true or false)",
        !Filter::Or(vec![Filter::True, !Filter::True]),
    );
    check("ääni == 1", Filter::eq("ääni", 1));
}

#[test]
fn errors_say_where_what_and_what_else() {
    let check = |text: &str, expected: &str| {
        let error = Filter::parse(text).unwrap_err();
        assert_eq!(error.message(), expected, "{text}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    };
    check("", "line 1, column 1: found the end, expected a column");
    check(
        "a ==\n  and",
        "line 2, column 3: found `and`, expected a value",
    );
    check(
        "a == 1 b",
        "line 1, column 8: found `b`, expected `and`, `or` or the end",
    );
    check(
        "and == 1",
        "line 1, column 1: found `and`, expected a column (a column of that name is written `` `and` ``)",
    );
    check(
        "a between 1 or 2",
        "line 1, column 13: found `or`, expected `and` and the greatest value",
    );
    check("a == 'x", "line 1, column 6: the closing ' is missing");
    check("å == #", "line 1, column 6: unexpected character '#'");
    check(
        "a == 9223372036854775808",
        "line 1, column 6: the integer 9223372036854775808 does not fit 64 bits; \
         write 9223372036854775808.0 for a float",
    );
    check(
        "a > timestamp 'noon'",
        "line 1, column 5: not a timestamp; expected RFC 3339 as in '2026-01-31T08:30:00Z'",
    );
    check("(a == 1", "line 1, column 8: found the end, expected `)`");
    check(
        "a[-1] is null",
        "line 1, column 3: found the number -1, expected a position from 0 to 4294967295",
    );
    assert!(Filter::parse("a contains b").is_err());
    assert!(Filter::parse("a == 5x").is_err());
    assert!(Filter::parse("a == x'0'").is_err());
}

#[test]
fn nesting_and_length_are_limited() {
    let nots = |n: usize| format!("{}true", "not ".repeat(n));
    assert!(Filter::parse(&nots(FILTER_DEPTH_MAX - 1)).is_ok());
    for text in [
        nots(FILTER_DEPTH_MAX),
        nots(100_000),
        "(".repeat(100_000),
        "all(".repeat(100_000),
        format!("a{}", ".b".repeat(100_000)),
        format!("a == 1{}", " ".repeat(FILTER_TEXT_BYTES_MAX)),
    ] {
        let error = Filter::parse(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    }
}

#[test]
fn times_are_read_as_written() {
    assert_eq!(date_of("1970-01-02"), Some(Date(1)));
    assert_eq!(date_of("1969-12-31"), Some(Date(-1)));
    assert_eq!(date_of("1970-01-02T10:00"), None);
    assert_eq!(timestamp_of("1970-01-02"), Some(Timestamp(86_400_000_000)));
    assert_eq!(
        timestamp_of("1970-01-01T01:00:00+01:00"),
        Some(Timestamp(0))
    );
    assert_eq!(timestamp_of("1970-01-01T00:00:00"), None, "no zone");
}

fn any_name() -> impl Strategy<Value = Text> {
    prop_oneof![
        "[a-c]{1,2}",
        "(and|or|not|all|any|true|date|json|x|in|NULL|starts)",
        "\\PC{1,4}",
        " ?`? ?",
    ]
    .prop_map(Text::from)
}

fn any_path() -> impl Strategy<Value = Path> {
    let part = prop_oneof![
        any_name().prop_map(Part::Key),
        any::<u32>().prop_map(Part::Index)
    ];
    (any_name(), proptest::collection::vec(part, 0..3))
        .prop_map(|(column, parts)| Path { column, parts })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)].prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "['\"$`\\\\]{0,3}".prop_map(Value::from),
        any::<Vec<u8>>().prop_map(Value::from),
        prop_oneof![
            any::<i64>(),
            -10_000_000_000_000_000..10_000_000_000_000_000_i64
        ]
        .prop_map(|t| Value::Timestamp(Timestamp(t))),
        prop_oneof![any::<i32>(), -100_000..100_000].prop_map(|d| Value::Date(Date(d))),
        any::<u128>().prop_map(|u| Value::Uuid(uuid::Uuid::from_u128(u))),
        "\\PC{0,3}".prop_map(Filter::param),
        Just(Value::from(Extension {
            name: "geo".into(),
            bytes: Box::new([1])
        })),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[$a-b]{0,2}".prop_map(Text::from), inner, 0..3)
                .prop_map(Value::from),
        ]
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let op = prop_oneof![
        Just(CompareOp::Eq),
        Just(CompareOp::Ne),
        Just(CompareOp::Lt),
        Just(CompareOp::Le),
        Just(CompareOp::Gt),
        Just(CompareOp::Ge)
    ];
    let values = || proptest::collection::vec(any_value(), 0..3);
    let leaf = prop_oneof![
        Just(Filter::True),
        (any_path(), op, any_value()).prop_map(|(path, op, value)| Filter::Compare {
            path,
            op,
            value
        }),
        (any_path(), values()).prop_map(|(path, values)| Filter::In { path, values }),
        (any_path(), any_value(), any_value()).prop_map(|(path, low, high)| Filter::Between {
            path,
            low,
            high
        }),
        (any_path(), any::<String>()).prop_map(|(path, text)| Filter::like(path, text)),
        (any_path(), any::<String>()).prop_map(|(path, text)| Filter::starts_with(path, text)),
        (any_path(), any_value()).prop_map(|(path, value)| Filter::Contains { path, value }),
        any_path().prop_map(|path| Filter::IsNull { path }),
        (
            any_name(),
            proptest::collection::vec(any_path(), 0..3),
            values()
        )
            .prop_map(|(name, paths, values)| Filter::custom(name, paths, values)),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let parts = || proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            parts().prop_map(Filter::And),
            parts().prop_map(Filter::Or),
            inner.clone().prop_map(Filter::negate),
        ]
    })
}

proptest! {
    #[test]
    fn printed_filters_read_back_the_same(filter in any_filter()) {
        let text = filter.to_string();
        let back = Filter::parse(&text);
        prop_assert_eq!(back.as_ref().ok(), Some(&filter), "{} -> {:?}", text, back);
        let json = serde_json::to_vec(&filter).unwrap();
        let back = Filter::from_json(&json, &crate::Limits::default()).unwrap();
        prop_assert_eq!(back, filter);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn no_soup_of_tokens_panics(words in proptest::collection::vec(
        prop_oneof!["a|b|and|or|not|in|between|is|null|like|contains|starts|with|all|any|json|date",
            "[(),.'\"`$<>=!\\[\\]x0-9-]"], 0..20)) {
        let text = words.join(" ");
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
        }
    }
}
