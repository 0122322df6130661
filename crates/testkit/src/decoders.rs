//! What every decoder promises, one function each: fuzz targets feed them arbitrary bytes, plain tests replay
//! the corpus through them.
//!
//! A function returns quietly for bytes that the decoder refuses and panics when a promise is broken: what was
//! accepted must encode, decode again, and be the same. Formats that are not compiled in refuse everything.

mod packed;
mod query;

use common::schema::{Field, FieldType, Schema};
use common::serialization::{Format, Image, ImageWriter, decode_schema, encode_schema, read_image};
use common::{Error, Limits, Record, Result, Value, VectorElement};

use crate::values::{identical, identical_rows};

pub use packed::{compression_frame, integers, text_cells};
pub use query::{cursor, filter_json, filter_text, query_json};

/// Limits under which decoders are fuzzed: small, so that going past them shows.
pub fn limits() -> Limits {
    Limits::default()
        .total_bytes_max(8 << 20)
        .bytes_max(1 << 20)
}

/// The canonical form may be longer than what was read, by white space or short forms.
fn roomy() -> Limits {
    Limits::default()
}

/// Panics when `done` failed: the message says which promise was broken.
fn must<T>(done: Result<T, Error>, promise: &str) -> T {
    match done {
        Ok(value) => value,
        Err(error) => panic!("{promise}: {error}"),
    }
}

/// Decodes, encodes, decodes again.
fn value(format: &Format, bytes: &[u8]) {
    let Ok(first) = format.decode_value(bytes, &limits()) else {
        return;
    };
    let mut canonical = Vec::new();
    must(
        format.encode_value(&first, &mut canonical),
        "what was decoded encodes",
    );
    let second = must(
        format.decode_value(&canonical, &roomy()),
        "what was encoded decodes",
    );
    assert!(
        identical(&first, &second),
        "decoding {format} twice differs: {first:?} and {second:?}"
    );
    let mut again = Vec::new();
    must(
        format.encode_value(&second, &mut again),
        "what was decoded encodes",
    );
    assert_eq!(canonical, again, "the canonical form of {format} is one");
}

/// A table with a column of every type, which the decoders of rows are fuzzed with.
pub fn schema() -> Schema {
    let vector = |element, dimension| FieldType::Vector { element, dimension };
    let columns = [
        ("id", FieldType::Int),
        ("flag", FieldType::Bool),
        ("float", FieldType::Float),
        ("text", FieldType::Text),
        ("bytes", FieldType::Bytes),
        ("time", FieldType::Timestamp),
        ("day", FieldType::Date),
        ("uuid", FieldType::Uuid),
        ("list", FieldType::List(Box::new(FieldType::Int))),
        ("map", FieldType::Map(Box::new(FieldType::Text))),
        ("f32", vector(VectorElement::F32, Some(3))),
        ("f16", vector(VectorElement::F16, None)),
        ("i8", vector(VectorElement::I8, Some(2))),
        ("binary", vector(VectorElement::Binary, Some(9))),
        ("sparse", vector(VectorElement::Sparse, None)),
        ("extension", FieldType::Extension("geo.point".into())),
        ("any", FieldType::Any),
    ];
    let columns = columns.into_iter().map(|(name, ty)| {
        let field = Field::new(name, ty);
        if name == "id" {
            field
        } else {
            field.nullable()
        }
    });
    let builder = columns.fold(Schema::build("kinds", ["id"]), |builder, field| {
        builder.field(field)
    });
    must(builder.finish(), "a schema with a column of every type")
}

/// Decodes rows of [`schema`], encodes and decodes them again.
fn rows(format: &Format, bytes: &[u8]) {
    let schema = schema();
    let Ok(first) = format.decode_rows(&schema, bytes, &limits()) else {
        return;
    };
    let records: Vec<Record> = first
        .iter()
        .map(|row| Record::new(common::Metadata::default(), schema.key_columns, row.clone()))
        .collect();
    let mut canonical = Vec::new();
    must(
        format.encode_rows(&schema, &records, &mut canonical),
        "what was decoded encodes",
    );
    let second: Vec<Vec<Value>> = must(
        format.decode_rows(&schema, &canonical, &roomy()),
        "what was encoded decodes",
    );
    assert_eq!(first.len(), second.len(), "{format} loses rows");
    for (a, b) in first.iter().zip(&second) {
        assert!(
            identical_rows(a, b),
            "decoding {format} twice differs: {a:?} and {b:?}"
        );
    }
}

/// JSON: a value, and rows of [`schema`].
pub fn json(bytes: &[u8]) {
    value(&Format::Json, bytes);
    rows(&Format::Json, bytes);
}

/// MessagePack: a value, and rows of [`schema`].
pub fn msgpack(bytes: &[u8]) {
    value(&Format::MsgPack, bytes);
    rows(&Format::MsgPack, bytes);
}

/// Protocol Buffers: a value, and rows of [`schema`].
pub fn protobuf(bytes: &[u8]) {
    value(&Format::Protobuf, bytes);
    rows(&Format::Protobuf, bytes);
}

/// An Arrow stream with rows of [`schema`].
pub fn arrow(bytes: &[u8]) {
    rows(&Format::Arrow, bytes);
}

/// A Parquet file with rows of [`schema`].
pub fn parquet(bytes: &[u8]) {
    rows(&Format::Parquet, bytes);
}

/// A schema as JSON.
///
/// # Panics
/// When a promise is broken.
pub fn schema_json(bytes: &[u8]) {
    let Ok(first) = decode_schema(bytes, &limits()) else {
        return;
    };
    let canonical = must(encode_schema(&first), "a schema encodes");
    let second = must(
        decode_schema(&canonical, &roomy()),
        "what was encoded decodes",
    );
    assert_eq!(first, second, "decoding a schema twice differs");
    let again = must(encode_schema(&second), "a schema encodes");
    assert_eq!(canonical, again, "the canonical form of a schema is one");
}

/// A snapshot image.
///
/// # Panics
/// When a promise is broken.
pub fn image(bytes: &[u8]) {
    let Ok(first) = read_image(bytes, &limits()) else {
        return;
    };
    let canonical = must(write(&first), "what was read can be written");
    let second = must(read_image(&canonical, &roomy()), "what was written reads");
    assert_eq!(first, second, "reading an image twice differs");
    let again = must(write(&second), "what was read can be written");
    assert_eq!(canonical, again, "the canonical form of an image is one");
}

fn write(image: &Image) -> Result<Vec<u8>> {
    let mut writer = ImageWriter::new(Vec::new(), image.seq)?;
    for (schema, records) in &image.tables {
        writer.table(schema)?;
        writer.rows(records)?;
    }
    writer.finish()
}

/// One of the functions of this module.
pub type Check = fn(&[u8]);

/// Every decoder by the name of its fuzz target, whose seeds lie in `dev/fuzz/corpus/<name>/`.
pub const ALL: [(&str, Check); 7] = [
    ("arrow", arrow),
    ("image", image),
    ("json", json),
    ("msgpack", msgpack),
    ("parquet", parquet),
    ("protobuf", protobuf),
    ("schema_json", schema_json),
];
