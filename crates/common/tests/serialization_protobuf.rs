//! `docs/proto/value.proto` says what the encoder writes: another implementation reads it by that file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::OnceLock;

use common::Value;
use common::serialization::Format;
use common::{Limits, Text};
use proptest::prelude::*;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use testkit::values;

fn descriptor(name: &str) -> MessageDescriptor {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proto");
        let files = protox::compile(["value.proto"], [folder]).unwrap();
        DescriptorPool::from_file_descriptor_set(files).unwrap()
    });
    pool.get_message_by_name(&format!("tandemdb.v1.{name}"))
        .unwrap()
}

/// A value in other words, from what the published file makes of the bytes.
fn plain(message: &DynamicMessage) -> Value {
    let (field, value) = message.fields().next().unwrap();
    let text = |name: &str| value.as_message().unwrap().get_field_by_name(name).unwrap();
    match field.name() {
        "null_value" => Value::Null,
        "bool_value" => Value::from(value.as_bool().unwrap()),
        "int_value" => Value::from(value.as_i64().unwrap()),
        "float_value" => Value::from(value.as_f64().unwrap()),
        "text_value" => Value::from(value.as_str().unwrap()),
        "bytes_value" => Value::from(&value.as_bytes().unwrap()[..]),
        "timestamp_value" => Value::from(common::Timestamp(value.as_i64().unwrap())),
        "date_value" => Value::from(common::Date(value.as_i32().unwrap())),
        "uuid_value" => Value::from(uuid::Uuid::from_slice(value.as_bytes().unwrap()).unwrap()),
        "list_value" => {
            let items = text("values");
            let items = items.as_list().unwrap().iter();
            Value::from(
                items
                    .map(|item| plain(item.as_message().unwrap()))
                    .collect::<Vec<_>>(),
            )
        }
        "map_value" => {
            let entries = text("entries");
            let entries = entries.as_list().unwrap().iter().map(|entry| {
                let entry = entry.as_message().unwrap();
                let key = entry.get_field_by_name("key").unwrap();
                let value = entry.get_field_by_name("value").unwrap();
                (
                    Text::new(key.as_str().unwrap()),
                    plain(value.as_message().unwrap()),
                )
            });
            Value::from(entries.collect::<common::Map>())
        }
        "vector_value" => vector(value.as_message().unwrap()),
        "extension_value" => Value::from(common::Extension {
            name: text("name").as_str().unwrap().into(),
            bytes: text("data").as_bytes().unwrap()[..].into(),
        }),
        other => panic!("field {other}"),
    }
}

fn vector(message: &DynamicMessage) -> Value {
    let (field, value) = message.fields().next().unwrap();
    let part = |name: &str| {
        let part = value.as_message().unwrap().get_field_by_name(name);
        part.unwrap().into_owned()
    };
    let floats = |name: &str| -> Vec<f32> {
        let list = part(name);
        let list = list.as_list().unwrap().iter();
        list.map(|item| item.as_f32().unwrap()).collect()
    };
    Value::from(match field.name() {
        "f32" => common::Vector::F32(floats("values").into()),
        "f16" => {
            let bytes = value.as_bytes().unwrap();
            let (pairs, _) = bytes.as_chunks::<2>();
            let values = pairs.iter().map(|pair| half::f16::from_le_bytes(*pair));
            common::Vector::F16(values.collect())
        }
        "i8" => {
            let bytes = value.as_bytes().unwrap().iter();
            common::Vector::I8(bytes.map(|byte| byte.cast_signed()).collect())
        }
        "binary" => common::Vector::binary(
            part("dimension").as_u32().unwrap(),
            part("bits").as_bytes().unwrap().to_vec(),
        )
        .unwrap(),
        "sparse" => {
            let indices = part("indices");
            let indices = indices.as_list().unwrap().iter();
            let indices: Vec<u32> = indices.map(|item| item.as_u32().unwrap()).collect();
            common::Vector::sparse(
                part("dimension").as_u32().unwrap(),
                indices,
                floats("values"),
            )
            .unwrap()
        }
        other => panic!("field {other}"),
    })
}

proptest! {
    #[test]
    fn the_published_file_reads_what_is_written(value in values::value()) {
        let mut bytes = Vec::new();
        Format::Protobuf.encode_value(&value, &mut bytes).unwrap();
        let message = DynamicMessage::decode(descriptor("Value"), &bytes[..]).unwrap();
        prop_assert_eq!(message.unknown_fields().count(), 0);
        prop_assert!(values::identical(&plain(&message), &value), "{:?}", message);
        // The other implementation writes the same bytes, which we read.
        prop_assert_eq!(message.encode_to_vec(), bytes);
    }

    #[test]
    fn the_published_file_reads_rows((schema, records) in values::table(4)) {
        let mut bytes = Vec::new();
        Format::Protobuf.encode_rows(&schema, &records, &mut bytes).unwrap();
        let message = DynamicMessage::decode(descriptor("Rows"), &bytes[..]).unwrap();
        let id = message.get_field_by_name("schema_id").unwrap();
        prop_assert_eq!(&id.as_bytes().unwrap()[..], &schema.schema_id().0[..]);
        let rows = message.get_field_by_name("rows").unwrap();
        prop_assert_eq!(rows.as_list().unwrap().len(), records.len());
        for (row, record) in rows.as_list().unwrap().iter().zip(&records) {
            let cells = row.as_message().unwrap().get_field_by_name("values").unwrap();
            let cells = cells.as_list().unwrap().iter();
            let cells: Vec<Value> = cells.map(|cell| plain(cell.as_message().unwrap())).collect();
            prop_assert!(values::identical_rows(&cells, record));
        }
        prop_assert_eq!(message.encode_to_vec(), bytes);
    }
}

#[test]
fn every_message_of_the_file_is_known() {
    let pool = descriptor("Value").parent_pool().clone();
    let names: Vec<String> = pool
        .all_messages()
        .map(|message| message.name().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "Value",
            "List",
            "Map",
            "Entry",
            "Vector",
            "Floats",
            "Binary",
            "Sparse",
            "Extension",
            "Rows",
            "Row"
        ]
    );
    assert!(
        Format::Protobuf
            .decode_value(&[], &Limits::default())
            .is_err()
    );
}
