//! The JSON of frames: the same facts, and no more trust in strangers.

use std::collections::BTreeMap;

use common::schema::FieldId;
use common::versioning::Hlc;
use common::{ErrorKind, RecordId, Seq, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use syncdb::sync::protocol::{
    Action, Answer, Block, BlockKind, Commit, Epoch, Mutation, Op, Outcome, Position, Referred,
    Request, SchemaSetId, Staged, frame_limits,
};
use syncdb::sync::wire::{Frame, decode, encode, from_json, to_json};
use syncdb::{Delta, Digest, EntryId};
use testkit::values;

use crate::frames::frames;

#[test]
fn json_is_for_people() {
    let (_, request) = &frames()[0];
    let json = to_json(request, &frame_limits()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let mutation = &json["request"]["mutations"][0];
    assert_eq!(json["request"]["position"]["seq"], "42");
    assert_eq!(mutation["stamp"], "1700000000000+3");
    assert_eq!(mutation["operations"][0]["kind"], "update");
    assert_eq!(mutation["operations"][0]["key"], serde_json::json!([7]));
    assert_eq!(
        mutation["operations"][0]["values"],
        serde_json::json!(["text"])
    );
    // Parts of a snapshot are shown too.
    let (_, snapshot) = &frames()[2];
    let json = to_json(snapshot, &frame_limits()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let block = &json["answer"]["staged"]["segments"][0][0];
    assert_eq!(block["columns"][0], serde_json::json!([1, 2]));
}

#[test]
fn a_part_that_cannot_be_shown_exactly_stands_as_bytes() {
    let answer = Frame::Answer(Answer {
        number: 1,
        epoch: Epoch(2),
        now: Hlc(3),
        schemas: None,
        version: 0,
        next: 1,
        outcomes: vec![],
        policies: BTreeMap::new(),
        ledger: vec![],
        told: EntryId::default(),
        dictionaries: vec![],
        lost: vec![],
        heard: true,
        known: 1,
        truth: vec![],
        refused: vec![],
        staged: Some(Staged {
            segments: vec![vec![1, 2, 3].into()],
            ..Staged::default()
        }),
        commit: None,
    });
    let bytes = encode(&answer).unwrap();
    let json = to_json(&bytes, &frame_limits()).unwrap();
    assert!(String::from_utf8_lossy(&json).contains("$bytes"));
    assert_eq!(from_json(&json, &frame_limits()).unwrap(), bytes);
}

#[test]
fn json_that_is_no_frame_is_refused() {
    for (_, frame) in frames() {
        let json = to_json(&frame, &frame_limits()).unwrap();
        let text = String::from_utf8(json).unwrap();
        for cut in (0..text.len()).step_by(7) {
            assert!(from_json(&text.as_bytes()[..cut], &frame_limits()).is_err());
        }
        // A key under another name is a key that is not there, and nothing has a default but null.
        for key in ["version", "request", "number", "outcomes", "kind", "fields"] {
            let without = text.replace(&format!("\"{key}\":"), "\"later\":");
            if without != text {
                assert!(
                    from_json(without.as_bytes(), &frame_limits()).is_err(),
                    "{key}"
                );
            }
        }
        let later = text.replace("\"version\":1", "\"version\":2");
        let error = from_json(later.as_bytes(), &frame_limits()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let small = frame_limits().total_bytes_max(1_000);
    let (_, changes) = &frames()[1];
    let json = to_json(changes, &frame_limits()).unwrap();
    let error = from_json(&json, &small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

fn columns() -> impl Strategy<Value = Vec<(FieldId, Value)>> {
    let ids = proptest::sample::subsequence((1..30).map(FieldId).collect::<Vec<_>>(), 0..4);
    ids.prop_shuffle().prop_flat_map(|ids| {
        let values = vec(values::value(), ids.len());
        values.prop_map(move |values| ids.iter().copied().zip(values).collect())
    })
}

fn delta() -> impl Strategy<Value = Delta> {
    prop_oneof![
        values::value().prop_map(Delta::Increment),
        (vec(values::value(), 0..3), vec(values::value(), 0..3))
            .prop_map(|(add, remove)| Delta::Elements { add, remove }),
        (values::value(), values::value()).prop_map(|(base, value)| Delta::Replace { base, value }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let action = prop_oneof![
        columns().prop_map(Action::Insert),
        columns().prop_map(Action::Update),
        Just(Action::Delete),
        (1..30_u32, delta()).prop_map(|(id, delta)| Action::Deltas(vec![(FieldId(id), delta)])),
        (any::<u64>(), any::<u32>(), any::<bool>()).prop_map(|(seq, number, force)| {
            let seq = Seq(seq);
            Action::Revert {
                entry: EntryId { seq, number },
                force,
            }
        }),
    ];
    ("[ab]", vec(values::scalar(), 1..3), action).prop_map(|(table, key, action)| Op {
        table: table.into(),
        key: RecordId::composite(key),
        action,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let mutation = (any::<u64>(), any::<u64>(), vec(op(), 0..5));
    let position = prop_oneof![
        Just(Position::Start),
        (any::<u64>(), any::<u64>()).prop_map(|(epoch, seq)| Position::At {
            epoch: Epoch(epoch),
            seq: Seq(seq)
        }),
    ];
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (
        "[a-z]{1,9}",
        numbers,
        position,
        any::<[u8; 16]>(),
        1..u64::MAX - 9,
        vec(mutation, 0..6),
    )
        .prop_map(
            |(replica, (number, acknowledged, now), position, schemas, first, mutations)| Request {
                replica: replica.as_str().into(),
                number,
                position,
                scopes: crate::frames::request().scopes,
                token: schemas.to_vec(),
                ranges: None,
                schemas: SchemaSetId(schemas),
                acknowledged,
                now: Hlc(now),
                told: EntryId {
                    seq: Seq(acknowledged),
                    number: 3,
                },
                first,
                dictionaries: crate::frames::request().dictionaries,
                references: number % 2 == 1,
                version: u32::try_from(number % 7).unwrap(),
                mutations: (first..)
                    .zip(mutations)
                    .map(|(client_seq, (base, stamp, ops))| Mutation {
                        client_seq,
                        base: Seq(base),
                        stamp: Hlc(stamp),
                        ops,
                    })
                    .collect(),
            },
        )
}

fn block() -> impl Strategy<Value = Block> {
    (0..3_usize, 1..3_usize, 0..4_usize).prop_flat_map(|(kind, key_columns, rows)| {
        let kind = [BlockKind::Put, BlockKind::Patch, BlockKind::Gone][kind];
        let fields = match kind {
            BlockKind::Put => vec![FieldId(9), FieldId(3)],
            BlockKind::Patch => vec![FieldId(4)],
            _ => vec![],
        };
        let columns = vec(vec(values::value(), rows), key_columns + fields.len());
        columns.prop_map(move |columns| Block {
            table: "t".into(),
            kind,
            scopes: u64::from(kind == BlockKind::Put),
            fields: fields.clone(),
            columns,
        })
    })
}

fn referred() -> impl Strategy<Value = Referred> {
    (1..=32_u32, vec(any::<u32>(), 0..9), any::<u32>()).prop_flat_map(|(bits, names, check)| {
        let names = names.iter().map(|name| name >> (32 - bits));
        let mut prefixes: Vec<u32> = names.collect();
        prefixes.sort_unstable();
        let columns = vec(vec(values::value(), prefixes.len()), 2);
        columns.prop_map(move |columns| Referred {
            bits,
            prefixes: prefixes.clone(),
            check,
            block: Block {
                table: "t".into(),
                kind: BlockKind::Patch,
                scopes: 1,
                fields: vec![FieldId(4), FieldId(2)],
                columns,
            },
        })
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let digest = proptest::option::of((any::<u64>(), any::<u128>()));
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (
        numbers,
        vec(block(), 0..3),
        vec(block(), 0..3),
        any::<bool>(),
        digest,
        vec(referred(), 0..3),
    )
        .prop_map(
            |((number, epoch, now, seq), truth, blocks, more, digest, referred)| Answer {
                number,
                epoch: Epoch(epoch),
                now: Hlc(now),
                schemas: None,
                version: u32::from(more),
                next: number,
                outcomes: vec![(now, Outcome::Applied)],
                heard: more,
                known: epoch,
                truth,
                refused: vec![],
                staged: None,
                commit: Some(Commit {
                    seq: Seq(seq),
                    blocks,
                    joined: now,
                    grants: vec![],
                    digests: digest
                        .map(|(rows, sum)| (5, Digest { rows, sum }))
                        .into_iter()
                        .collect(),
                    referred,
                    keys: epoch,
                }),
                policies: BTreeMap::new(),
                ledger: vec![],
                told: EntryId::default(),
                dictionaries: crate::frames::answers()[0].dictionaries.clone(),
                lost: crate::frames::request().dictionaries,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_frame_reads_back(
        frame in prop_oneof![
            request().prop_map(Frame::Request),
            answer().prop_map(Frame::Answer),
            vec(block(), 0..3).prop_map(Frame::Blocks),
        ]
    ) {
        let bytes = encode(&frame).unwrap();
        let read = decode(&bytes, &frame_limits()).unwrap();
        prop_assert_eq!(&read, &frame);
        prop_assert_eq!(encode(&read).unwrap(), bytes.clone());
        let json = to_json(&bytes, &frame_limits()).unwrap();
        let again = from_json(&json, &frame_limits()).unwrap();
        prop_assert_eq!(decode(&again, &frame_limits()).unwrap(), frame);
        // JSON has one NaN, a float has many.
        if !json.windows(3).any(|part| part == b"NaN") {
            prop_assert_eq!(again, bytes);
        }
    }
}
