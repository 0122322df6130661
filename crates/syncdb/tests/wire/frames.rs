//! Frames that the tests begin with.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::optimization::compression::{CodecRegistry, Compression};
use common::schema::{Field, FieldId, FieldType, Schema};
use common::versioning::Hlc;
use common::{RecordId, Seq, Timestamp, Value};
use syncdb::sync::conflict::Rule;
use syncdb::sync::ledger::{LedgerEntry, Side};
use syncdb::sync::protocol::{
    Action, Answer, Block, BlockKind, Epoch, Mutation, News, Op, Outcome, Position, Rejection,
    Request, SchemaSetId, WIRE_VERSION, frame_limits,
};
use syncdb::sync::wire::{encode_answer, encode_blocks, encode_request};
use syncdb::{Delta, Digest, EntryId, Policy, Strategy};

pub(crate) fn request() -> Request {
    let op = |action| Op {
        table: "notes".into(),
        key: RecordId::from(7),
        action,
    };
    let mutation = |client_seq, ops| Mutation {
        client_seq,
        base: Seq(41),
        stamp: Hlc::new(1_700_000_000_000, 3),
        ops,
    };
    Request {
        replica: "phone".into(),
        number: u64::MAX,
        position: Position::At {
            epoch: Epoch(u64::MAX - 1),
            seq: Seq(42),
        },
        schemas: SchemaSetId([7; 16]),
        acknowledged: 3,
        now: Hlc::new(1_700_000_000_001, 0),
        told: EntryId {
            seq: Seq(9),
            number: 1,
        },
        mutations: vec![
            mutation(
                4,
                vec![op(Action::Update(vec![(FieldId(2), Value::from("text"))]))],
            ),
            mutation(5, vec![]),
            mutation(
                6,
                vec![
                    op(Action::Delete),
                    op(Action::Insert(vec![(FieldId(2), Value::Null)])),
                ],
            ),
            mutation(
                7,
                vec![
                    op(Action::Deltas(vec![
                        (FieldId(3), Delta::Increment(Value::from(-2))),
                        (
                            FieldId(4),
                            Delta::Elements {
                                add: vec![Value::from("a")],
                                remove: vec![Value::from("b"), Value::from("c")],
                            },
                        ),
                        (
                            FieldId(5),
                            Delta::Replace {
                                base: Value::Null,
                                value: Value::from(1),
                            },
                        ),
                    ])),
                    op(Action::Revert {
                        entry: EntryId {
                            seq: Seq(9),
                            number: 1,
                        },
                        force: true,
                    }),
                ],
            ),
        ],
    }
}

pub(crate) fn block() -> Block {
    Block {
        table: "notes".into(),
        kind: BlockKind::Put,
        fields: vec![FieldId(2), FieldId(3)],
        columns: vec![
            vec![Value::from(1), Value::from(2)],
            vec![Value::from("a"), Value::Null],
            vec![Value::from(0.5), Value::from(true)],
        ],
    }
}

pub(crate) fn entry() -> LedgerEntry {
    LedgerEntry {
        seq: Seq(9),
        number: 0,
        replica: "phone".into(),
        client_seq: 4,
        table: "notes".into(),
        key: RecordId::from(7),
        column: Some("title".into()),
        base: Some(Value::from("base")),
        server: Value::from("theirs"),
        client: Value::from("ours"),
        rule: Rule::LastWriteWins,
        winner: Side::Client,
        server_stamp: Hlc(1),
        server_replica: "tablet".into(),
        client_stamp: Hlc(2),
        at: Timestamp(1_700_000_000_000_000),
        result: Value::from("ours"),
        principal: Some("alice".into()),
        server_principal: None,
        reverts: None,
    }
}

pub(crate) fn answers() -> [Answer; 2] {
    let schema = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int));
    let gone = Block {
        kind: BlockKind::Gone,
        fields: vec![],
        columns: vec![vec![Value::from(3)]],
        ..block()
    };
    let patch = Block {
        kind: BlockKind::Patch,
        ..block()
    };
    let policy = Policy::default()
        .column("stars", Strategy::Counter)
        .group(["title", "text"]);
    let changes = Answer {
        number: 1,
        epoch: Epoch(2),
        now: Hlc(3),
        schemas: Some(vec![schema.finish().unwrap()]),
        next: 7,
        outcomes: vec![
            (4, Outcome::Applied),
            (5, Outcome::Resolved(vec![entry()])),
            (
                6,
                Outcome::Rejected(Rejection {
                    code: "conflict".into(),
                    message: "no".into(),
                }),
            ),
        ],
        news: News::Changes {
            truth: vec![block()],
            blocks: vec![patch, gone],
            seq: Seq(50),
            more: false,
            digest: Some(Digest {
                rows: 2,
                sum: u128::MAX - 1,
            }),
        },
        policies: [("notes".into(), policy)].into_iter().collect(),
        ledger: vec![LedgerEntry {
            reverts: Some(entry().id()),
            ..entry()
        }],
        told: EntryId {
            seq: Seq(50),
            number: u32::MAX,
        },
    };
    let snapshot = Answer {
        schemas: None,
        policies: BTreeMap::new(),
        ledger: vec![],
        outcomes: vec![],
        news: News::Snapshot {
            seq: Seq(50),
            first: 1,
            total: 3,
            blocks: vec![Arc::from(encode_blocks(&[block()]).unwrap())],
        },
        ..changes.clone()
    };
    [changes, snapshot]
}

/// Frames as bytes, each with the name of its golden file.
pub(crate) fn frames() -> [(&'static str, Vec<u8>); 4] {
    let [changes, snapshot] = answers();
    [
        ("request", encode_request(&request()).unwrap()),
        ("changes", encode_answer(&changes).unwrap()),
        ("snapshot", encode_answer(&snapshot).unwrap()),
        ("blocks", encode_blocks(&[block()]).unwrap()),
    ]
}

/// The content of a frame: what stays the same whatever version of the compressor wrote it.
pub(crate) fn content(frame: &[u8]) -> Vec<u8> {
    let known = CodecRegistry::default();
    known.decode(&frame[1..], &frame_limits()).unwrap()
}

/// A frame with a right checksum around whatever is inside.
pub(crate) fn framed(raw: &[u8], compression: &Compression) -> Vec<u8> {
    let mut frame = vec![WIRE_VERSION];
    compression.encode_into(raw, &mut frame).unwrap();
    frame
}
