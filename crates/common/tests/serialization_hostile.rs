//! Hostile input: every decoder answers with an error, in bounded memory, whatever it is given.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::schema::{Field, FieldType, Schema};
use common::serialization::{Format, ImageWriter, decode_schema, encode_schema, read_image};
use common::{ErrorKind, Limits, Metadata, Record, Seq, Value};
use proptest::prelude::*;
use testkit::{decoders, values};

fn refused(format: &Format, bytes: &[u8], limits: &Limits) -> ErrorKind {
    match format.decode_value(bytes, limits) {
        Ok(value) => panic!("{format} accepts {bytes:02x?} as {value:?}"),
        Err(error) => error.kind(),
    }
}

fn msgpack(bytes: &[u8]) -> ErrorKind {
    refused(&Format::MsgPack, bytes, &Limits::default())
}

fn protobuf(bytes: &[u8]) -> ErrorKind {
    refused(&Format::Protobuf, bytes, &Limits::default())
}

fn json(text: &str) -> ErrorKind {
    refused(&Format::Json, text.as_bytes(), &Limits::default())
}

#[test]
fn declared_lengths_of_4_gib_cost_nothing() {
    for marker in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        // bin, ext, str, array, map, each of 2^32 - 1.
        msgpack(&[marker, 0xff, 0xff, 0xff, 0xff, 0x00]);
    }
    // Within the limits, but not there.
    assert_eq!(
        msgpack(&[0xdd, 0x00, 0x0f, 0xff, 0xff, 0xc0]),
        ErrorKind::Corrupt
    );
    assert_eq!(
        msgpack(&[0xc6, 0x00, 0xff, 0xff, 0xff, 0x00]),
        ErrorKind::Corrupt
    );
    // text, bytes, list, map, vector of 2^32 - 1 and of 2^64 - 1.
    for field in [5, 6, 10, 11, 12] {
        let key = (field << 3) | 2;
        assert_eq!(
            protobuf(&[key, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
            ErrorKind::Corrupt
        );
        let mut long = vec![key];
        long.extend([0xff; 9]);
        long.push(0x01);
        assert_eq!(protobuf(&long), ErrorKind::Corrupt);
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| (0..depth).fold(Value::from(1), |v, _| Value::from(vec![v]));
    for format in [Format::Json, Format::MsgPack, Format::Protobuf] {
        let limits = Limits::default();
        for (depth, fits) in [(limits.depth_max, true), (limits.depth_max + 1, false)] {
            let mut bytes = Vec::new();
            format.encode_value(&nested(depth), &mut bytes).unwrap();
            assert_eq!(
                format.decode_value(&bytes, &limits).is_ok(),
                fits,
                "{format}"
            );
        }
        // Raised limits do not reach the end of the stack.
        let raised = Limits::default().depth_max(usize::MAX);
        let bytes = match format {
            Format::Json => b"[".repeat(10_000),
            Format::MsgPack => [0x91].repeat(10_000),
            _ => {
                let mut bytes = vec![0x08, 0x00];
                for _ in 0..3_000 {
                    for key in [0x0a, 0x52] {
                        let mut outer = vec![key];
                        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
                        outer.append(&mut bytes);
                        bytes = outer;
                    }
                }
                bytes
            }
        };
        assert_eq!(refused(&format, &bytes, &raised), ErrorKind::LimitExceeded);
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(
        decode_schema(deep.as_bytes(), &Limits::default())
            .unwrap_err()
            .kind(),
        ErrorKind::LimitExceeded
    );
}

#[test]
fn small_input_that_stands_for_much_is_stopped() {
    let limits = Limits::default().total_bytes_max(1 << 20);
    // 100,000 nulls are 2.4 MB, 20,000 empty maps more.
    let mut nulls = vec![0xdd, 0x00, 0x01, 0x86, 0xa0];
    nulls.extend([0xc0].repeat(100_000));
    assert_eq!(
        refused(&Format::MsgPack, &nulls, &limits),
        ErrorKind::LimitExceeded
    );
    let maps = format!("[{}{{}}]", "{},".repeat(20_000));
    assert_eq!(
        refused(&Format::Json, maps.as_bytes(), &limits),
        ErrorKind::LimitExceeded
    );
    let mut list = vec![0x52, 0x80, 0x80, 0x06];
    list.extend([0x0a, 0x01, 0x08].repeat(10));
    protobuf(&list);
}

#[test]
fn malformed_json_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "falsey",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "1e999",
        "0x10",
        "NaN",
        "Infinity",
        "9223372036854775808",
        "-9223372036854775809",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1,\"a\":2}",
        "{\"$map\":{\"$a\":1,\"$a\":1}}",
        "1 2",
        "[1]]",
        "{\"$what\":1}",
        "{\"$bytes\":\"A\"}",
        "{\"$bytes\":\"AA==\",\"b\":1}",
        "{\"$uuid\":\"1\"}",
        "{\"$date\":2147483648}",
        "{\"$float\":\"nan\"}",
        "{\"$float\":1.5}",
        "{\"$vector\":{\"f32\":[1e39]}}",
        "{\"$vector\":{\"f16\":[70000.0]}}",
        "{\"$vector\":{\"i8\":[128]}}",
        "{\"$vector\":{\"i8\":[1],\"f32\":[]}}",
        "{\"$vector\":{\"binary\":{\"dimension\":9,\"bits\":\"AA==\"}}}",
        "{\"$vector\":{\"sparse\":{\"dimension\":2,\"indices\":[1,1],\"values\":[1.0,1.0]}}}",
        "{\"$vector\":{\"sparse\":{\"dimension\":2,\"indices\":[1]}}}",
        "{\"$extension\":{\"name\":\"\",\"bytes\":\"\"}}",
        "{\"$extension\":{\"name\":\"a\"}}",
    ] {
        assert_eq!(json(text), ErrorKind::Invalid, "{text}");
    }
    refused(&Format::Json, b"\"\xff\"", &Limits::default());
    refused(&Format::Json, b"\"\\n\xff\"", &Limits::default());
}

#[test]
fn malformed_msgpack_is_refused() {
    for bytes in [
        &b""[..],
        b"\xc1",
        b"\xa1\xff",                                             // not UTF-8
        b"\x81\x01\x02",                                         // a key that is an integer
        b"\x81\xcb\x7f\xf8\0\0\0\0\0\0\x01",                     // a key that is NaN
        b"\x82\xa1a\x01\xa1a\x02",                               // a key twice
        b"\xcf\x80\0\0\0\0\0\0\0",                               // 2^63
        b"\xc0\xc0",                                             // two values
        b"\xd4\x01\x00",                                         // a date of one byte
        b"\xd6\x02\0\0\0\0",                                     // a uuid of four
        b"\xd7\xff\xff\xff\xff\xff\0\0\0\0",                     // too many nanoseconds
        b"\xd7\xff\0\0\0\x04\0\0\0\0",                           // one nanosecond
        b"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", // a time beyond all
        b"\xd4\x03\x00\xff",                                     // a vector, then more
        b"\xd4\x03\x05",                                         // elements of no known type
        b"\xd5\x03\x00\x00",                                     // half a float
        b"\xd6\x04\xff\xff\xff\xff",                             // a name of 4 GiB
        b"\xd6\x04\0\0\0\0",                                     // a name of nothing
        b"\xd4\x05\x00",                                         // an extension of no known type
    ] {
        msgpack(bytes);
    }
    // A dimension beyond the limit.
    let mut long = vec![0xc8, 0xff, 0xff, 0x03, 0x02];
    long.resize(long.len() + 65_534, 0);
    Format::MsgPack
        .decode_value(&long, &Limits::default())
        .unwrap();
    let mut longer = vec![0xc9, 0x00, 0x01, 0x00, 0x02, 0x03, 0x02];
    longer.resize(longer.len() + 65_537, 0);
    assert_eq!(msgpack(&longer), ErrorKind::LimitExceeded);
}

#[test]
fn malformed_protobuf_is_refused() {
    for bytes in [
        &b""[..],
        b"\x00\x00",                                                 // field 0
        b"\x08",                                                     // no number
        b"\x08\x01",                                                 // null is 0
        b"\x10\x02",                                                 // a bool is 0 or 1
        b"\x0d\0\0\0\0",                                             // null as four bytes
        b"\x08\x00\x08\x00",                                         // two kinds
        b"\x72\x00",                                                 // field 14
        b"\x2a\x01\xff",                                             // not UTF-8
        b"\x4a\x01\x00",                                             // a uuid of one byte
        b"\x40\xff\xff\xff\xff\xff\x01",                             // a day beyond 32 bits
        b"\x21\0\0",                                                 // half a float
        b"\x52\x02\x0a\x00",                                         // an element without kind
        b"\x5a\x02\x0a\x00",                                         // an entry without value
        b"\x5a\x0c\x0a\x04\x12\x02\x08\x00\x0a\x04\x12\x02\x08\x00", // a key twice
        b"\x62\x00",                                                 // a vector without elements
        b"\x62\x03\x12\x01\x00",                                     // half a half float
        b"\x6a\x00",                                                 // an extension without name
        b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",         // a number of eleven bytes
    ] {
        protobuf(bytes);
    }
}

#[test]
fn each_limit_holds_at_its_value_and_one_past_it() {
    let list = Value::from(vec![Value::from(true); 10]);
    let map: common::Map = (0..10)
        .map(|i| (common::Text::from(i.to_string()), Value::Null))
        .collect();
    let vector = Value::from(vec![1.0_f32; 10]);
    for format in [Format::Json, Format::MsgPack, Format::Protobuf] {
        for value in [&list, &Value::from(map.clone()), &vector] {
            let mut bytes = Vec::new();
            format.encode_value(value, &mut bytes).unwrap();
            let at = Limits::default().elements_max(10);
            assert!(
                format.decode_value(&bytes, &at).is_ok(),
                "{format} {value:?}"
            );
            let past = Limits::default().elements_max(9);
            assert_eq!(refused(&format, &bytes, &past), ErrorKind::LimitExceeded);
        }
        let mut bytes = Vec::new();
        format
            .encode_value(&Value::from("x".repeat(50)), &mut bytes)
            .unwrap();
        assert!(
            format
                .decode_value(&bytes, &Limits::default().bytes_max(50))
                .is_ok()
        );
        let past = Limits::default().bytes_max(49);
        assert_eq!(refused(&format, &bytes, &past), ErrorKind::LimitExceeded);
        assert!(
            format
                .decode_value(&bytes, &Limits::default().total_bytes_max(120))
                .is_ok()
        );
        let past = Limits::default().total_bytes_max(bytes.len() - 1);
        assert_eq!(refused(&format, &bytes, &past), ErrorKind::LimitExceeded);
    }
}

fn cities() -> Schema {
    Schema::build("cities", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .field(Field::new("founded", FieldType::Date).nullable())
        .finish()
        .unwrap()
}

#[test]
fn json_rows_name_row_and_column() {
    let schema = cities();
    let limits = Limits::default();
    let good = "{\"id\":1,\"name\":\"Oulu\"}\r\n\n {\"name\":\"Turku\",\"id\":2,\"founded\":\"1229-01-01\"}";
    let rows = Format::Json
        .decode_rows(&schema, good.as_bytes(), &limits)
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows.first().unwrap().last(), Some(&Value::Null));
    for (second, place) in [
        ("{\"id\":2}", "row 2 of `cities`, column `name`: is missing"),
        (
            "{\"id\":2.5,\"name\":\"\"}",
            "row 2 of `cities`, column `id`: 2.5 is no 64-bit integer",
        ),
        (
            "{\"id\":2,\"name\":null}",
            "row 2 of `cities`, column `name`: expected text, found `n`",
        ),
        (
            "{\"id\":2,\"name\":\"\",\"founded\":\"1229\"}",
            "row 2 of `cities`, column `founded`",
        ),
        (
            "{\"id\":2,\"name\":\"\",\"age\":1}",
            "row 2 of `cities`: table `cities` has no column `age`",
        ),
        (
            "{\"id\":2,\"name\":\"\",\"id\":2}",
            "row 2 of `cities`, column `id`: key `id` stands twice",
        ),
        ("[2]", "row 2 of `cities`: expected `{`"),
    ] {
        let text = format!("{{\"id\":1,\"name\":\"Oulu\"}}\n{second}");
        let error = Format::Json
            .decode_rows(&schema, text.as_bytes(), &limits)
            .unwrap_err();
        assert!(
            error.message().starts_with(&format!("json: {place}")),
            "{error}"
        );
    }
    let same_line = b"{\"id\":1,\"name\":\"\"} {\"id\":2,\"name\":\"\"}";
    assert!(
        Format::Json
            .decode_rows(&schema, same_line, &limits)
            .is_err()
    );
    let one = Limits::default().rows_max(1);
    assert_eq!(
        Format::Json
            .decode_rows(&schema, good.as_bytes(), &one)
            .unwrap_err()
            .kind(),
        ErrorKind::LimitExceeded
    );
}

#[test]
fn rows_of_another_schema_are_refused() {
    let schema = cities();
    let record = Record::new(
        Metadata::default(),
        1,
        vec![Value::from(1), Value::from("Oulu"), Value::Null],
    );
    let mut other = schema.clone();
    other.version = common::schema::SchemaVersion(2);
    for format in [Format::MsgPack, Format::Protobuf] {
        let mut bytes = Vec::new();
        format
            .encode_rows(&schema, std::slice::from_ref(&record), &mut bytes)
            .unwrap();
        let error = format
            .decode_rows(&other, &bytes, &Limits::default())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.message().contains(&schema.schema_id().to_string()),
            "{error}"
        );
    }
}

fn small_image() -> Vec<u8> {
    let schema = cities();
    let records: Vec<Record> = (1..4_u64)
        .map(|id| {
            let metadata = Metadata {
                seq: Seq(id),
                revision: 1,
                ..Metadata::default()
            };
            let values = vec![
                Value::from(id.cast_signed()),
                Value::from("Oulu"),
                Value::Null,
            ];
            Record::new(metadata, 1, values)
        })
        .collect();
    let mut writer = ImageWriter::new(Vec::new(), Seq(9)).unwrap();
    writer.table(&schema).unwrap();
    writer.rows(&records).unwrap();
    writer.finish().unwrap()
}

#[test]
fn an_image_notices_every_flip_and_every_cut() {
    let bytes = small_image();
    let limits = Limits::default();
    assert!(read_image(&bytes, &limits).is_ok());
    for at in 0..bytes.len() {
        let cut = read_image(bytes.get(..at).unwrap(), &limits).unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::Corrupt, "cut at {at}: {cut}");
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            *flipped.get_mut(at).unwrap() ^= 1 << bit;
            let error = read_image(&flipped, &limits).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Corrupt,
                "bit {bit} of {at}: {error}"
            );
            assert!(error.message().contains("offset"), "{error}");
        }
    }
    let more = [&bytes[..], &[0]].concat();
    assert_eq!(
        read_image(&more, &limits).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn an_image_whose_sections_moved_is_refused() {
    let schema = cities();
    let record = |id: i64| {
        let values = vec![
            Value::from(id),
            Value::from("x".repeat(300_000)),
            Value::Null,
        ];
        Record::new(Metadata::default(), 1, values)
    };
    let mut writer = ImageWriter::new(Vec::new(), Seq(1)).unwrap();
    writer.table(&schema).unwrap();
    writer.rows(&[record(1), record(2)]).unwrap();
    let bytes = writer.finish().unwrap();
    // Two blocks of rows of the same length stand between the schema and the end.
    let json = encode_schema(&schema).unwrap();
    let first = 24 + 9 + json.len() + 4;
    let len = (bytes.len() - first - (9 + 16 + 4)) / 2;
    let (head, rest) = bytes.split_at(first);
    let (one, rest) = rest.split_at(len);
    let (two, end) = rest.split_at(len);
    assert!(read_image(&[head, one, two, end].concat(), &Limits::default()).is_ok());
    for wrong in [
        [head, two, one, end].concat(),
        [head, one, end].concat(),
        [head, one, one, end].concat(),
        [head, one, two, two, end].concat(),
    ] {
        let error = read_image(&wrong, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn a_failed_row_leaves_the_image_writer_usable() {
    let schema = Schema::build("t", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("any", FieldType::Any))
        .finish()
        .unwrap();
    let nameless = Value::from(common::Extension {
        name: "".into(),
        bytes: Box::new([]),
    });
    let bad = Record::new(Metadata::default(), 1, vec![Value::from(1), nameless]);
    let good = Record::new(Metadata::default(), 1, vec![Value::from(1), Value::from(2)]);
    let mut writer = ImageWriter::new(Vec::new(), Seq(1)).unwrap();
    assert!(writer.rows(std::slice::from_ref(&good)).is_err());
    writer.table(&schema).unwrap();
    assert!(writer.rows(&[bad]).is_err());
    writer.rows(std::slice::from_ref(&good)).unwrap();
    let image = read_image(&writer.finish().unwrap(), &Limits::default()).unwrap();
    assert_eq!(image.tables, [(schema, vec![good])]);
}

#[test]
fn a_default_of_null_is_no_default() {
    let with = cities();
    let mut without = with.clone();
    without.fields.last_mut().unwrap().default = Some(Value::Null);
    assert_eq!(with.schema_id(), without.schema_id());
    assert_eq!(
        decode_schema(&encode_schema(&without).unwrap(), &Limits::default()).unwrap(),
        with
    );
    for json in [
        r#"{"name":"t","version":1,"key_columns":1,"fields":[]}"#,
        r#"{"name":"t","version":1,"key_columns":1,"name":"u","fields":[{"name":"a","type":"int"}]}"#,
        r#"{"name":"t","version":1,"key_columns":1,"fields":[{"name":"a","type":"number"}]}"#,
        r#"{"name":"t","version":1,"key_columns":1,"fields":[{"name":"a","type":"int","default":{"a":1,"a":1}}]}"#,
    ] {
        assert!(
            decode_schema(json.as_bytes(), &Limits::default()).is_err(),
            "{json}"
        );
    }
}

proptest! {
    #[test]
    fn noise_is_no_trouble(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (_, check) in decoders::ALL {
            check(&bytes);
        }
    }

    #[test]
    fn damaged_values_are_no_trouble(value in values::value(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        for (format, check) in [
            (Format::Json, decoders::json as decoders::Check),
            (Format::MsgPack, decoders::msgpack),
            (Format::Protobuf, decoders::protobuf),
        ] {
            let mut bytes = Vec::new();
            format.encode_value(&value, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            check(bytes.get(..at).unwrap());
            *bytes.get_mut(at).unwrap() = to;
            check(&bytes);
        }
    }
}

#[test]
fn the_seeds_of_the_fuzzers_pass() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/fuzz/corpus");
    for (name, check) in decoders::ALL {
        let seeds = std::fs::read_dir(corpus.join(name)).unwrap();
        let count = seeds
            .map(|seed| check(&std::fs::read(seed.unwrap().path()).unwrap()))
            .count();
        assert!(count > 0, "target {name} has no seeds");
    }
}
