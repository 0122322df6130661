//! Golden files: every kind of value and a table of all types in every format, as other languages and later
//! versions must read them.
//!
//! `TANDEMDB_GOLDEN=write cargo test -p tandemdb-common --all-features --test serialization_golden` writes them
//! anew, with the seeds of the fuzz targets. Do that when a form is added; a file that changes is a format that
//! broke.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::schema::Schema;
use common::serialization::{Format, ImageWriter, decode_schema, encode_schema, read_image};
use common::{Date, Extension, Limits, Map, Metadata, Record, Seq, Text, Timestamp, Value, Vector};
use testkit::{decoders, values};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn writes() -> bool {
    std::env::var_os("TANDEMDB_GOLDEN").is_some_and(|value| value == "write")
}

/// The golden file of this name, which is `now` byte for byte.
fn golden(name: &str, now: &[u8]) {
    let path = root().join("testdata/golden").join(name);
    if writes() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    let then = std::fs::read(&path).unwrap();
    assert!(
        then == now,
        "{name} has other bytes than this version writes"
    );
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    if writes() {
        let folder = root().join("dev/fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

fn kinds() -> Vec<(&'static str, Value)> {
    let uuid = uuid::Uuid::from_u128(0x0189_0a5d_ac96_774b_bcce_b302_099a_8057);
    let map: Map = [
        (Text::new(""), Value::Null),
        (Text::new("$a"), Value::from(1)),
        (Text::new("ä"), Value::from("b")),
    ]
    .into();
    let tagged: Map = [(Text::new("$bytes"), Value::from("no bytes"))].into();
    let half = |value: f32| half::f16::from_f32(value);
    vec![
        ("null", Value::Null),
        ("false", Value::from(false)),
        ("true", Value::from(true)),
        ("zero", Value::from(0)),
        ("int_7_bits", Value::from(127)),
        ("int_8_bits", Value::from(255)),
        ("int_16_bits", Value::from(-32_768)),
        ("int_32_bits", Value::from(1_i64 << 32)),
        ("int_max", Value::from(i64::MAX)),
        ("int_min", Value::from(i64::MIN)),
        ("float", Value::from(0.1)),
        ("float_whole", Value::from(2.0)),
        ("float_minus_zero", Value::from(-0.0)),
        ("float_tiny", Value::from(5e-324)),
        ("float_huge", Value::from(f64::MAX)),
        ("float_nan", Value::from(f64::NAN)),
        ("float_minus_infinity", Value::from(f64::NEG_INFINITY)),
        ("text_empty", Value::from("")),
        ("text", Value::from("a\"\\\n\u{0}\u{2028}ä\u{1f600}")),
        ("text_long", Value::from("x".repeat(40))),
        ("bytes", Value::from(vec![0_u8, 127, 128, 255])),
        ("timestamp_1970", Value::from(Timestamp(0))),
        ("timestamp", Value::from(Timestamp(1_795_392_000_123_456))),
        ("timestamp_before_1970", Value::from(Timestamp(-1))),
        ("timestamp_min", Value::from(Timestamp(i64::MIN))),
        ("date", Value::from(Date(20_780))),
        ("date_min", Value::from(Date(i32::MIN))),
        ("uuid", Value::from(uuid)),
        ("list_empty", Value::from(Vec::<Value>::new())),
        (
            "list",
            Value::from(vec![Value::from(1), Value::from(vec![Value::Null])]),
        ),
        ("map_empty", Value::from(Map::new())),
        ("map", Value::from(map)),
        ("map_tagged", Value::from(tagged)),
        (
            "vector_f32",
            Value::from(vec![0.1_f32, -0.0, f32::NAN, f32::INFINITY]),
        ),
        (
            "vector_f16",
            Value::from(Vector::F16([half(0.1), half(-2.0), half::f16::NAN].into())),
        ),
        ("vector_i8", Value::from(Vector::I8([-128, 0, 127].into()))),
        (
            "vector_binary",
            Value::from(Vector::binary(9, vec![5, 1]).unwrap()),
        ),
        (
            "vector_sparse",
            Value::from(Vector::sparse(300, vec![2, 299], vec![1.0, -1.5]).unwrap()),
        ),
        (
            "extension",
            Value::from(Extension {
                name: "geo.point".into(),
                bytes: Box::new([1, 2, 255]),
            }),
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

#[test]
fn every_kind_of_value_keeps_its_bytes() {
    let mut lines = Vec::new();
    for (name, value) in kinds() {
        let encode = |format: Format| {
            let mut bytes = Vec::new();
            format.encode_value(&value, &mut bytes).unwrap();
            let back = format.decode_value(&bytes, &Limits::default()).unwrap();
            assert!(values::identical(&back, &value), "{name} as {format}");
            seed(format.name(), name, &bytes);
            bytes
        };
        let json = String::from_utf8(encode(Format::Json)).unwrap();
        let msgpack = hex(&encode(Format::MsgPack));
        let protobuf = hex(&encode(Format::Protobuf));
        lines.push(format!(
            "{{\"name\": \"{name}\", \"json\": {json}, \"msgpack\": \"{msgpack}\", \"protobuf\": \"{protobuf}\"}}"
        ));
    }
    let file = format!("[\n{}\n]\n", lines.join(",\n"));
    golden("values.json", file.as_bytes());
}

/// A full row, a row of nulls, a row of extremes.
fn table() -> (Schema, Vec<Record>) {
    let schema = decoders::schema();
    let kinds = kinds();
    let kind = |name: &str| kinds.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    let map: Map = [(Text::new("a"), Value::from("b"))].into();
    let full = vec![
        Value::from(1),
        Value::from(true),
        Value::from(0.5),
        kind("text"),
        kind("bytes"),
        kind("timestamp"),
        kind("date"),
        kind("uuid"),
        Value::from(vec![Value::from(1), Value::from(2)]),
        Value::from(map),
        Value::from(vec![1.0_f32, 2.0, 3.0]),
        kind("vector_f16"),
        Value::from(Vector::I8([1, -1].into())),
        kind("vector_binary"),
        kind("vector_sparse"),
        kind("extension"),
        kind("map"),
    ];
    let nulls = std::iter::once(Value::from(2)).chain(std::iter::repeat_n(Value::Null, 16));
    let mut extremes = full.clone();
    for (position, name) in [
        (0, "int_min"),
        (2, "float_nan"),
        (5, "timestamp_min"),
        (6, "date_min"),
        (8, "list_empty"),
        (9, "map_empty"),
    ] {
        *extremes.get_mut(position).unwrap() = kind(name);
    }
    let rows = [full, nulls.collect(), extremes];
    let records = (7..).zip(rows).map(|(seq, values)| {
        let metadata = Metadata {
            seq: Seq(seq),
            created: Timestamp(1_795_392_000_000_000),
            updated: Timestamp(1_795_392_000_123_456),
            revision: 2,
        };
        Record::new(metadata, 1, values)
    });
    let records = records.collect();
    (schema, records)
}

fn reads(format: &Format, bytes: &[u8]) {
    let (schema, records) = table();
    let rows = format
        .decode_rows(&schema, bytes, &Limits::default())
        .unwrap();
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        assert!(values::identical_rows(row, record), "{format}: {row:?}");
    }
}

#[test]
fn rows_keep_their_bytes() {
    let (schema, records) = table();
    for (format, name) in [
        (Format::Json, "rows.jsonl"),
        (Format::MsgPack, "rows.msgpack.bin"),
        (Format::Protobuf, "rows.protobuf.bin"),
    ] {
        let mut bytes = Vec::new();
        format.encode_rows(&schema, &records, &mut bytes).unwrap();
        golden(name, &bytes);
        seed(format.name(), "rows", &bytes);
        reads(&format, &bytes);
    }
}

#[test]
fn files_of_other_libraries_making_still_read() {
    // Their bytes may change with the libraries that write them; what must not change is what they say.
    let (schema, records) = table();
    for format in [Format::Arrow, Format::Parquet] {
        if format.encoding().is_err() {
            continue;
        }
        let path = root().join(format!("testdata/golden/rows.{format}.bin"));
        if writes() {
            let mut bytes = Vec::new();
            format.encode_rows(&schema, &records, &mut bytes).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            seed(format.name(), "rows", &bytes);
        }
        reads(&format, &std::fs::read(&path).unwrap());
    }
}

#[test]
fn the_schema_and_the_image_keep_their_bytes() {
    let (schema, records) = table();
    let json = encode_schema(&schema).unwrap();
    golden("schema.json", &json);
    seed("schema_json", "all_types", &json);
    assert_eq!(decode_schema(&json, &Limits::default()).unwrap(), schema);

    let mut writer = ImageWriter::new(Vec::new(), Seq(12)).unwrap();
    writer.table(&schema).unwrap();
    writer.rows(&records).unwrap();
    let bytes = writer.finish().unwrap();
    golden("image.bin", &bytes);
    seed("image", "all_types", &bytes);
    let image = read_image(&bytes, &Limits::default()).unwrap();
    assert_eq!(image.seq, Seq(12));
    assert_eq!(image.tables, [(schema, records)]);
}
