//! Arrow streams and Parquet files: our own come back exactly, strangers' as documented.

#![cfg(feature = "parquet")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow_array::builder::{Int64Builder, ListBuilder, StringBuilder};
use arrow_array::types::{Int32Type, UInt8Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date64Array, Decimal128Array, DictionaryArray,
    FixedSizeListArray, Float32Array, Float64Array, Int16Array, LargeStringArray, NullArray,
    RecordBatch, StringViewArray, StructArray, Time64MicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field as ArrowField, Schema as ArrowSchema};
use common::schema::{Field, FieldType, Schema};
use common::serialization::arrow::{from_batch, infer_schema, stream_schema, to_batch};
use common::serialization::{Format, parquet};
use common::{Date, ErrorKind, Limits, Metadata, Record, Text, Timestamp, Value, VectorElement};
use proptest::prelude::*;
use testkit::values;

fn round_trip(format: &Format, schema: &Schema, records: &[Record]) {
    let mut bytes = Vec::new();
    format.encode_rows(schema, records, &mut bytes).unwrap();
    let rows = format
        .decode_rows(schema, &bytes, &Limits::default())
        .unwrap();
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(records) {
        assert!(
            values::identical_rows(row, record),
            "{format}: {record:?} came back as {row:?}"
        );
    }
    // The same rows make the same bytes.
    let mut again = Vec::new();
    format.encode_rows(schema, records, &mut again).unwrap();
    assert_eq!(bytes, again);
}

proptest! {
    #[test]
    fn rows_survive_arrow((schema, records) in values::table(6)) {
        round_trip(&Format::Arrow, &schema, &records);
    }

    #[test]
    fn rows_survive_parquet((schema, records) in values::table(6)) {
        round_trip(&Format::Parquet, &schema, &records);
    }

    #[test]
    fn our_own_files_carry_their_schema((schema, records) in values::table(2)) {
        let mut bytes = Vec::new();
        Format::Arrow.encode_rows(&schema, &records, &mut bytes).unwrap();
        let arrow = stream_schema(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(&infer_schema(&arrow, &schema.name, &[]).unwrap(), &schema);
        bytes.clear();
        Format::Parquet.encode_rows(&schema, &records, &mut bytes).unwrap();
        prop_assert_eq!(&parquet::infer(&bytes, &schema.name, &[], &Limits::default()).unwrap(), &schema);
    }
}

#[test]
fn many_batches_and_row_groups_come_back_in_order() {
    let schema = Schema::build("numbers", ["n"])
        .field(Field::new("n", FieldType::Int))
        .field(Field::new("text", FieldType::Text).nullable())
        .finish()
        .unwrap();
    let records: Vec<Record> = (0..140_000)
        .map(|n| {
            let text = (n % 3 > 0).then(|| format!("number {}", n % 100));
            Record::new(Metadata::default(), 1, vec![Value::from(n), text.into()])
        })
        .collect();
    round_trip(&Format::Arrow, &schema, &records);
    round_trip(&Format::Parquet, &schema, &records);
}

/// A file as other programs write them: nullable throughout, types of all kinds, snappy.
fn foreign() -> RecordBatch {
    let mut lists = ListBuilder::new(Int64Builder::new());
    lists.append_value([Some(1), Some(2)]);
    lists.append_null();
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a")]);
    tags.append_value([Option::<&str>::None; 0]);
    let item = Arc::new(ArrowField::new("item", DataType::Float32, true));
    let embedding = FixedSizeListArray::new(
        item,
        2,
        Arc::new(Float32Array::from(vec![0.5, -1.0, 0.0, 0.0])),
        Some(vec![true, false].into()),
    );
    let place = StructArray::from(vec![
        (
            Arc::new(ArrowField::new("lat", DataType::Float64, true)),
            Arc::new(Float64Array::from(vec![65.0, 60.2])) as ArrayRef,
        ),
        (
            Arc::new(ArrowField::new("name", DataType::Utf8View, true)),
            Arc::new(StringViewArray::from(vec![Some("Oulu"), None])),
        ),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int16Array::from(vec![7, 9]))),
        ("size", Arc::new(UInt64Array::from(vec![Some(1), None]))),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        (
            "name",
            Arc::new(LargeStringArray::from(vec![Some("x"), None])),
        ),
        (
            "kind",
            Arc::new(
                vec![Some("big"), Some("big")]
                    .into_iter()
                    .collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
        (
            "raw",
            Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), None])),
        ),
        (
            "at",
            Arc::new(TimestampMillisecondArray::from(vec![Some(1_500), None])),
        ),
        (
            "day",
            Arc::new(Date64Array::from(vec![Some(86_400_000), None])),
        ),
        ("lists", Arc::new(lists.finish())),
        ("tags", Arc::new(tags.finish())),
        ("embedding", Arc::new(embedding)),
        ("place", Arc::new(place)),
    ];
    let fields: Vec<ArrowField> = columns
        .iter()
        .map(|(name, array)| ArrowField::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap()
}

#[test]
fn a_foreign_parquet_file_is_imported() {
    let batch = foreign();
    let mut bytes = Vec::new();
    let snappy = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(snappy.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let limits = Limits::default();
    let schema = parquet::infer(&bytes, "places", &["id"], &limits).unwrap();
    let types: Vec<String> = schema.fields.iter().map(|f| f.ty.to_string()).collect();
    assert_eq!(
        types,
        [
            "int",
            "int",
            "bool",
            "text",
            "text",
            "bytes",
            "timestamp",
            "date",
            "list of int",
            "list of text",
            "F32 vector of 2",
            "map of any"
        ]
    );
    assert!(!schema.fields.first().unwrap().nullable);
    assert!(schema.fields.iter().skip(1).all(|field| field.nullable));

    let place = |lat: f64, name: Option<&str>| {
        let map: common::Map = [
            (Text::new("lat"), Value::from(lat)),
            (Text::new("name"), name.map(str::to_owned).into()),
        ]
        .into();
        Value::from(map)
    };
    let rows = Format::Parquet
        .decode_rows(&schema, &bytes, &limits)
        .unwrap();
    assert_eq!(
        rows,
        [
            vec![
                Value::from(7),
                Value::from(1),
                Value::from(true),
                Value::from("x"),
                Value::from("big"),
                Value::from(&b"\xff"[..]),
                Value::from(Timestamp(1_500_000)),
                Value::from(Date(1)),
                Value::from(vec![Value::from(1), Value::from(2)]),
                Value::from(vec![Value::from("a")]),
                Value::from(vec![0.5_f32, -1.0]),
                place(65.0, Some("Oulu")),
            ],
            vec![
                Value::from(9),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::from("big"),
                Value::Null,
                Value::Null,
                Value::Null,
                Value::Null,
                Value::from(Vec::<Value>::new()),
                Value::Null,
                place(60.2, None),
            ],
        ]
    );
    assert_eq!(from_batch(&schema, &batch, &limits).unwrap(), rows);
}

fn one(array: ArrayRef) -> RecordBatch {
    let field = ArrowField::new("x", array.data_type().clone(), true);
    RecordBatch::try_new(Arc::new(ArrowSchema::new(vec![field])), vec![array]).unwrap()
}

#[test]
fn what_no_column_holds_is_named() {
    for array in [
        Arc::new(Decimal128Array::from(vec![1])) as ArrayRef,
        Arc::new(Time64MicrosecondArray::from(vec![1])),
    ] {
        let batch = one(array);
        let error = infer_schema(&batch.schema(), "t", &["x"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("column `x`"), "{error}");
    }
    let nulls = one(Arc::new(NullArray::new(1)));
    assert!(infer_schema(&nulls.schema(), "t", &["y"]).is_err());
    assert!(infer_schema(&nulls.schema(), "t", &[]).is_err());
}

#[test]
fn a_value_that_does_not_fit_is_named_by_row_and_column() {
    let cases: [(ArrayRef, &str); 4] = [
        (
            Arc::new(UInt64Array::from(vec![1, u64::MAX])),
            "row 2 of `t`, column `x`",
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000, 1])),
            "row 3 of `t`, column `x`",
        ),
        (
            Arc::new(Int16Array::from(vec![Some(1), None])),
            "row 2 of `t`, column `x`",
        ),
        (
            Arc::new(Date64Array::from(vec![1])),
            "row 1 of `t`, column `x`",
        ),
    ];
    for (array, place) in cases {
        let batch = one(array);
        let schema = infer_schema(&batch.schema(), "t", &["x"]).unwrap();
        let error = from_batch(&schema, &batch, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().starts_with(place), "{error}");
    }
    // Nulls in a list of integers, and the way out.
    let mut lists = ListBuilder::new(Int64Builder::new());
    lists.append_value([Some(1)]);
    lists.append_value([Some(1), None]);
    let batch = one(Arc::new(lists.finish()));
    let mut schema = infer_schema(&batch.schema(), "t", &["x"]).unwrap();
    let error = from_batch(&schema, &batch, &Limits::default()).unwrap_err();
    assert!(
        error.message().starts_with("row 2 of `t`, column `x`"),
        "{error}"
    );
    schema.fields[0].ty = FieldType::List(Box::new(FieldType::Any));
    assert!(from_batch(&schema, &batch, &Limits::default()).is_ok());
}

#[test]
fn wide_floats_become_vectors_only_when_exact() {
    let schema = |dimension| {
        Schema::build("t", ["id"])
            .field(Field::new("id", FieldType::Int).default_value(1))
            .field(Field::new(
                "x",
                FieldType::Vector {
                    element: VectorElement::F32,
                    dimension: Some(dimension),
                },
            ))
            .finish()
            .unwrap()
    };
    let item = Arc::new(ArrowField::new("item", DataType::Float64, true));
    let vectors = |values: Vec<f64>| {
        let array =
            FixedSizeListArray::new(item.clone(), 2, Arc::new(Float64Array::from(values)), None);
        one(Arc::new(array))
    };
    let limits = Limits::default();
    let exact = vectors(vec![0.5, 0.25]);
    assert_eq!(
        from_batch(&schema(2), &exact, &limits).unwrap(),
        [[Value::from(1), Value::from(vec![0.5_f32, 0.25])]]
    );
    assert!(from_batch(&schema(3), &exact, &limits).is_err());
    assert!(from_batch(&schema(2), &vectors(vec![0.5, 0.1]), &limits).is_err());
}

#[test]
fn dictionaries_of_any_key_and_batches_of_no_rows() {
    let array: DictionaryArray<UInt8Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    let batch = one(Arc::new(array));
    let mut schema = infer_schema(&batch.schema(), "t", &["x"]).unwrap();
    schema.fields[0].nullable = true;
    let rows = from_batch(&schema, &batch, &Limits::default()).unwrap();
    assert_eq!(
        rows,
        [[Value::from("a")], [Value::Null], [Value::from("a")]]
    );
    assert_eq!(to_batch(&schema, &[]).unwrap().num_rows(), 0);
}
