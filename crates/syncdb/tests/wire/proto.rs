//! `docs/proto/sync.proto` says what frames are made of: another implementation reads them by that file.

use std::path::Path;
use std::sync::OnceLock;

use common::Limits;
use common::optimization::compression::Compression;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use syncdb::payload::{Column, unpack_all};
use syncdb::sync::ledger;
use syncdb::sync::protocol::frame_limits;
use syncdb::sync::wire::{decode_request, encode_answer, encode_request};

use crate::frames::{self, content};

fn descriptor(name: &str) -> MessageDescriptor {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proto");
        let files = protox::compile(["sync.proto"], [folder]).unwrap();
        DescriptorPool::from_file_descriptor_set(files).unwrap()
    });
    pool.get_message_by_name(&format!("tandemdb.sync.v1.{name}"))
        .unwrap()
}

/// The message of a frame, once it is sure that the published file knows all of it.
fn read(frame: &[u8]) -> DynamicMessage {
    let content = content(frame);
    let message = DynamicMessage::decode(descriptor("Frame"), &content[..]).unwrap();
    knows_all(&message);
    assert_eq!(message.encode_to_vec(), content, "the canonical form");
    message
}

fn knows_all(message: &DynamicMessage) {
    assert_eq!(message.unknown_fields().count(), 0, "{message:?}");
    for (_, value) in message.fields() {
        match value {
            prost_reflect::Value::Message(inner) => knows_all(inner),
            prost_reflect::Value::List(items) => {
                for item in items.iter().filter_map(prost_reflect::Value::as_message) {
                    knows_all(item);
                }
            }
            _ => {}
        }
    }
}

/// What stands at a path of names and positions, as text.
fn at(message: &DynamicMessage, path: &str) -> String {
    let mut value = prost_reflect::Value::Message(message.clone());
    for step in path.split('.') {
        value = match &value {
            prost_reflect::Value::Message(message) => {
                message.get_field_by_name(step).unwrap().into_owned()
            }
            prost_reflect::Value::List(items) => items[step.parse::<usize>().unwrap()].clone(),
            other => panic!("{other:?} has no {step}"),
        };
    }
    value.to_string()
}

#[test]
fn requests_are_what_the_published_file_says() {
    let request = frames::request();
    let message = read(&encode_request(&request).unwrap());
    let at = |path: &str| at(&message, &format!("request.{path}"));
    assert_eq!(at("replica"), "\"phone\"");
    assert_eq!(at("number"), u64::MAX.to_string());
    assert_eq!(at("position.epoch"), (u64::MAX - 1).to_string());
    assert_eq!(at("position.seq"), "42");
    assert_eq!(at("acknowledged"), "3");
    assert_eq!(at("now"), request.now.0.to_string());
    // An update, a delete and an insert have a block each; the second mutation has no operations.
    assert_eq!(at("rows.0.table"), "\"notes\"");
    assert_eq!(at("rows.0.kind"), "1");
    assert_eq!(at("rows.0.fields"), "[2]");
    assert_eq!(at("rows.1.kind"), "2");
    assert_eq!(at("rows.2.kind"), "0");
    assert_eq!(at("mutations.0.client_seq"), "4");
    assert_eq!(at("mutations.0.base"), "41");
    assert_eq!(at("mutations.0.millis"), "-1");
    assert_eq!(at("mutations.0.counter"), "3");
    assert_eq!(at("mutations.0.runs"), "[0,1]");
    assert_eq!(at("mutations.1.runs"), "[]");
    assert_eq!(at("mutations.2.runs"), "[1,1,2,1]");
    assert_eq!(at("rows.3.kind"), "3");
    assert_eq!(at("rows.4.kind"), "4");
    assert_eq!(at("told.seq"), "9");
    assert_eq!(at("scopes.0"), "{}");
    assert_eq!(at("scopes.1.want.table"), "\"notes\"");
    assert_eq!(at("scopes.1.want.columns.names"), "[\"title\"]");
    assert_eq!(at("scopes.2.stale"), "{}");
    assert_eq!(at("scopes.3.slot"), "63");
    assert_eq!(at("scopes.3.changed.old.table"), "\"notes\"");
    assert_eq!(at("ranges.questions.1.after.table"), "\"notes\"");
    assert_eq!(at("first"), "2");
}

#[test]
fn answers_are_what_the_published_file_says() {
    let [changes, snapshot] = frames::answers();
    let message = read(&encode_answer(&changes).unwrap());
    let of = |path: &str| at(&message, &format!("answer.{path}"));
    assert_eq!(of("next"), "7");
    assert_eq!(of("outcomes.0.client_seq"), "4");
    assert_eq!(of("outcomes.0.applied"), "{}");
    assert_eq!(
        of("outcomes.1.resolved.conflicts.0.client"),
        "{text_value:\"ours\"}"
    );
    assert_eq!(of("outcomes.2.rejected.code"), "\"conflict\"");
    assert_eq!(of("policies.0.table"), "\"notes\"");
    assert_eq!(of("ledger.0.reverts_seq"), "{int_value:9}");
    assert_eq!(of("told.seq"), "50");
    assert_eq!(of("heard"), "true");
    assert_eq!(of("known"), "3");
    assert_eq!(of("truth.0.kind"), "0");
    assert_eq!(of("truth.0.key_columns"), "1");
    assert_eq!(of("truth.0.scopes"), "1");
    assert_eq!(of("refused.0.reason"), "\"no such column\"");
    assert_eq!(of("commit.blocks.0.kind"), "1");
    assert_eq!(of("commit.blocks.1.kind"), "2");
    assert_eq!(of("commit.seq"), "50");
    assert_eq!(of("commit.joined"), "3");
    assert_eq!(of("commit.grants.0.columns.0.fields"), "[2]");
    assert_eq!(of("commit.digests.1.rows"), "2");
    let message = read(&encode_answer(&frames::referring()).unwrap());
    let of = |path: &str| at(&message, &format!("answer.{path}"));
    assert_eq!(of("commit.referred.1.bits"), "9");
    assert_eq!(of("commit.referred.1.block.key_columns"), "0");
    assert_eq!(of("commit.referred.1.block.fields"), "[2,3]");
    // 4 bytes that check, then 0, 7, 7, 300, 511 in steps of which the lower 6 bits are written as they are.
    assert_eq!(
        of("commit.referred.1.rows"),
        r#""\366\377\377\377\000\007\340\2257\001""#
    );
    assert_eq!(of("commit.keys"), (u64::MAX - 1).to_string());
    let message = read(&encode_answer(&snapshot).unwrap());
    let of = |path: &str| at(&message, &format!("answer.{path}"));
    assert_eq!(of("staged.restart"), "true");
    // One more than the slot, because slot 0 is one like any other.
    assert_eq!(of("staged.joining"), "1");
    assert_eq!(of("staged.ranges.replies.0.parts.sums.0.rows"), "16");
    assert_eq!(of("staged.ranges.replies.1.unknown.positions"), "[0,300]");
    // The columns in a segment's block are a payload block, which the envelope does not look into.
    let answer = message.get_field_by_name("answer").unwrap();
    let staged = answer.as_message().unwrap();
    let staged = staged.get_field_by_name("staged").unwrap();
    let parts = staged.as_message().unwrap();
    let parts = parts.get_field_by_name("segments").unwrap();
    let part = read(parts.as_list().unwrap()[0].as_bytes().unwrap());
    let blocks = part.get_field_by_name("blocks").unwrap();
    let blocks = blocks.as_message().unwrap().get_field_by_name("blocks");
    let block = blocks.unwrap().as_list().unwrap()[0].clone();
    let data = block.as_message().unwrap().get_field_by_name("data");
    let data = data.unwrap().as_bytes().unwrap().clone();
    let columns = unpack_all(&data, &Limits::default(), None).unwrap();
    let columns: Vec<_> = columns.iter().map(Column::to_values).collect();
    assert_eq!(columns, frames::block().columns);
}

#[test]
fn a_conflict_has_the_columns_of_the_ledger() {
    let schema = ledger::schema().unwrap();
    let columns: Vec<_> = (1..)
        .zip(schema.fields.iter().map(|field| field.name.to_string()))
        .collect();
    let published: Vec<_> = descriptor("Conflict")
        .fields()
        .map(|field| (field.number(), field.name().to_owned()))
        .collect();
    assert_eq!(published, columns);
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    let request = frames::request();
    let frame = encode_request(&request).unwrap();
    let message = DynamicMessage::decode(descriptor("Frame"), &content(&frame)[..]).unwrap();
    let inner = message.get_field_by_name("request").unwrap();
    let mut inner = inner.as_message().unwrap().encode_to_vec();
    // Field 100 as a number, as 8 bytes, as bytes and as 4 bytes.
    for later in [
        &[0xa0, 0x06, 7][..],
        &[0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xa2, 0x06, 2, 0xff, 0xff],
        &[0xa5, 0x06, 1, 2, 3, 4],
    ] {
        inner.extend_from_slice(later);
    }
    let mut content = vec![0x0a];
    prost::encoding::encode_varint(inner.len() as u64, &mut content);
    content.extend_from_slice(&inner);
    content.extend_from_slice(&[0xa2, 0x06, 1, 0]);
    let read = decode_request(
        &frames::framed(&content, &Compression::None),
        &frame_limits(),
    )
    .unwrap();
    assert_eq!(read, request);
}
