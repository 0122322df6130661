//! Values and rows survive every format, down to the bit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::schema::Schema;
use common::serialization::{Format, ImageWriter, decode_schema, encode_schema, read_image};
use common::{Limits, Record, Seq, Value};
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
    fn values_survive_protobuf(value in values::value()) {
        round_trip(&Format::Protobuf, &value);
    }

    #[test]
    fn rows_survive_protobuf((schema, records) in values::table(6)) {
        round_trip_rows(&Format::Protobuf, &schema, &records);
    }

    #[test]
    fn tables_survive_an_image((schema, records) in values::table(6), seq in any::<u64>()) {
        let mut writer = ImageWriter::new(Vec::new(), Seq(seq)).unwrap();
        writer.table(&schema).unwrap();
        records.chunks(2).for_each(|chunk| writer.rows(chunk).unwrap());
        let bytes = writer.finish().unwrap();
        let image = read_image(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(image.seq, Seq(seq));
        let [(read, rows)] = &image.tables[..] else { panic!("one table") };
        prop_assert_eq!(read, &schema);
        prop_assert_eq!(rows, &records);
        for (row, record) in rows.iter().zip(&records) {
            prop_assert!(values::identical_rows(row, record));
        }
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
