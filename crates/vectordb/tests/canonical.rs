//! The JSON forms are canonical: whatever is read of them is written in one way, which is read again as the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::Limits;
use proptest::prelude::*;
use vectordb::feature::Definitions;
use vectordb::transform::{ColumnTransformer, Steps, Transformer};

const STEPS: &str = include_str!("../../../testdata/golden/transform_steps.json");
const COLUMNS: &str = include_str!("../../../testdata/golden/transform_columns.json");
const DEFINITIONS: &str = r#"{
  "entities": [{"name": "user", "keys": [{"name": "user_id", "type": "int"}, {"name": "at", "type": "date"}],
    "description": "who \u00e9"}],
  "views": [{"name": "rides", "entity": "user", "ttl_seconds": 604800, "owner": "me", "features": [
    {"name": "count_7d", "type": "int", "rules": [{"range": {"min": 0}}], "default": 3},
    {"name": "mean_fare", "type": "float", "nullable": true}]}]
}"#;

/// A text with some characters changed, so that what comes of it is often still read.
fn changed(text: &'static str) -> impl Strategy<Value = String> {
    let digits = text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_digit());
    let digits: Vec<usize> = digits.map(|(at, _)| at).collect();
    let digit =
        (prop::sample::select(digits), b'0'..=b'9').prop_map(|(at, byte)| (at, at + 1, byte));
    let signs = prop::sample::select(b" \n\"{}[],:.-+eE01na_".to_vec());
    let any = (0..text.len(), 0..2_usize, signs)
        .prop_map(move |(at, gone, byte)| (at, (at + gone).min(text.len()), byte));
    let change = prop_oneof![6 => digit, 1 => any];
    prop::collection::vec(change, 0..4).prop_map(|mut changes| {
        changes.sort_unstable();
        let mut bytes = text.as_bytes().to_vec();
        for (from, to, byte) in changes.into_iter().rev() {
            bytes.splice(from..to.min(bytes.len()), [byte]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What is read of a text is written in one way, which says the same.
fn check<T: PartialEq + std::fmt::Debug>(
    text: &str,
    read: impl Fn(&str) -> common::Result<T>,
    write: impl Fn(&T) -> String,
) {
    let Ok(value) = read(text) else { return };
    let written = write(&value);
    let again = read(&written).unwrap();
    assert_eq!(again, value, "{text}");
    assert_eq!(write(&again), written, "{text}");
}

fn check_definitions(text: &str) {
    let read = |text: &str| Definitions::from_json(text.as_bytes(), &Limits::default());
    check(text, read, |value| {
        String::from_utf8(value.to_json().unwrap()).unwrap()
    });
}

fn check_steps(text: &str) {
    check(
        text,
        |text| Steps::from_json(text, &Limits::default()),
        |value| value.to_json().unwrap(),
    );
}

fn check_columns(text: &str) {
    let read = |text: &str| ColumnTransformer::from_json(text, &Limits::default());
    check(text, read, |value| value.to_json().unwrap());
    let read = |text: &str| Transformer::from_json(text, &Limits::default());
    check(text, read, |value| value.to_json().unwrap());
}

proptest! {
    #[test]
    fn definitions_are_written_in_one_way(text in changed(DEFINITIONS)) {
        check_definitions(&text);
    }

    #[test]
    fn steps_are_written_in_one_way(text in changed(STEPS)) {
        check_steps(&text);
    }

    #[test]
    fn columns_are_written_in_one_way(text in changed(COLUMNS)) {
        check_columns(&text);
    }
}

#[test]
fn what_the_changes_begin_with_is_read() {
    assert!(Definitions::from_json(DEFINITIONS.as_bytes(), &Limits::default()).is_ok());
    for text in [STEPS, COLUMNS] {
        assert!(Transformer::from_json(text, &Limits::default()).is_ok());
    }
}
