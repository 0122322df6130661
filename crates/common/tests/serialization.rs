//! Values and rows survive every format, down to the bit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::schema::Schema;
use common::serialization::{Format, decode_schema, encode_schema};
use common::{Limits, Record, Value};
use proptest::prelude::*;
use testkit::values;

fn round_trip(format: &Format, value: &Value) {
    let mut bytes = Vec::new();
    format.encode_value(value, &mut bytes).unwrap();
    let back = format.decode_value(&bytes, &Limits::default()).unwrap();
    assert!(
        values::identical(&back, value),
        "{format}: {value:?} came back as {back:?} from {}",
        String::from_utf8_lossy(&bytes)
    );
}

fn round_trip_rows(format: &Format, schema: &Schema, records: &[Record]) {
    let mut bytes = Vec::new();
    format.encode_rows(schema, records, &mut bytes).unwrap();
    let rows = format
        .decode_rows(schema, &bytes, &Limits::default())
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)));
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(records) {
        assert!(
            values::identical_rows(row, record),
            "{format}: {record:?} came back as {row:?}"
        );
    }
}

proptest! {
    #[test]
    fn values_survive_json(value in values::value()) {
        round_trip(&Format::Json, &value);
    }

    #[test]
    fn values_survive_msgpack(value in values::value()) {
        round_trip(&Format::MsgPack, &value);
    }

    #[test]
    fn rows_survive_json((schema, records) in values::table(6)) {
        round_trip_rows(&Format::Json, &schema, &records);
    }

    #[test]
    fn rows_survive_msgpack((schema, records) in values::table(6)) {
        round_trip_rows(&Format::MsgPack, &schema, &records);
    }

    #[test]
    fn json_by_hand_and_by_serde_agree(value in values::value()) {
        let bytes = serde_json::to_vec(&value).unwrap();
        let by_hand = Format::Json.decode_value(&bytes, &Limits::default()).unwrap();
        let by_serde: Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert!(values::identical(&by_hand, &by_serde), "{by_hand:?} {by_serde:?}");
    }

    #[test]
    fn schemas_survive_json((schema, _) in values::table(0)) {
        let json = encode_schema(&schema).unwrap();
        let back = decode_schema(&json, &Limits::default()).unwrap();
        prop_assert_eq!(&back, &schema);
        prop_assert_eq!(back.schema_id(), schema.schema_id());
    }
}
