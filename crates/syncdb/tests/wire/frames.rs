//! Frames that the tests begin with.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::optimization::compression::{CodecRegistry, Compression};
use common::query::Filter;
use common::schema::{Field, FieldId, FieldType, Schema};
use common::versioning::Hlc;
use common::{RecordId, Seq, Timestamp, Value};
use syncdb::payload::DictionaryId;
use syncdb::sync::conflict::Rule;
use syncdb::sync::ledger::{LedgerEntry, Side};
use syncdb::sync::protocol::{
    Action, Answer, Block, BlockKind, Bound, Commit, Epoch, Grant, Held, Mutation, Op, Outcome,
    Position, Range, RangeAnswer, RangeQuestion, RangeReply, RangeSum, Referred, Rejection,
    Request, SchemaSetId, Scope, ScopeId, SentDictionary, Staged, WIRE_VERSION, Want, frame_limits,
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
        scopes: scopes(),
        token: vec![1, 2, 3],
        ranges: Some(questions()),
        schemas: SchemaSetId([7; 16]),
        acknowledged: 3,
        now: Hlc::new(1_700_000_000_001, 0),
        told: EntryId {
            seq: Seq(9),
            number: 1,
        },
        first: 2,
        dictionaries: vec![DictionaryId([1, 2, 3, 4]), DictionaryId([255, 0, 0, 9])],
        references: false,
        version: 0,
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

fn scopes() -> Vec<Scope> {
    let want = Want {
        table: Some("notes".into()),
        filter: Filter::eq("title", "a"),
        columns: Some(vec!["title".into()]),
    };
    let id = ScopeId([9; 16]);
    let old = Box::new(Want {
        filter: Filter::True,
        ..want.clone()
    });
    [
        (0, Want::EVERYTHING, Held::Nothing),
        (1, want.clone(), Held::Joined(id)),
        (2, want.clone(), Held::Stale),
        (
            63,
            want,
            Held::Changed {
                id,
                old,
                version: 0,
            },
        ),
    ]
    .map(|(slot, want, held)| Scope { slot, want, held })
    .to_vec()
}

fn bound(key: i64) -> Bound {
    Bound {
        table: "notes".into(),
        key: RecordId::from(key),
    }
}

fn questions() -> Vec<RangeQuestion> {
    let range = |after, upto| Range { after, upto };
    vec![
        RangeQuestion {
            range: range(None, Some(bound(5))),
            rows: None,
        },
        RangeQuestion {
            range: range(Some(bound(5)), None),
            rows: Some(vec![7, u64::MAX]),
        },
        RangeQuestion {
            range: range(None, None),
            rows: Some(vec![]),
        },
    ]
}

pub(crate) fn block() -> Block {
    Block {
        table: "notes".into(),
        kind: BlockKind::Put,
        scopes: 1,
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

fn dictionary() -> SentDictionary {
    SentDictionary {
        table: "notes".into(),
        key_columns: 1,
        fields: vec![FieldId(2), FieldId(9)],
        content: Arc::from(b"TPD1 and so on".as_slice()),
    }
}

fn policy() -> Policy {
    Policy::default()
        .column("stars", Strategy::Counter)
        .group(["title", "text"])
}

pub(crate) fn answers() -> [Answer; 2] {
    let schema = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int));
    let gone = Block {
        kind: BlockKind::Gone,
        scopes: 0,
        fields: vec![],
        columns: vec![vec![Value::from(3)]],
        ..block()
    };
    let patch = Block {
        kind: BlockKind::Patch,
        ..block()
    };
    let commit = Answer {
        number: 1,
        epoch: Epoch(2),
        now: Hlc(3),
        schemas: Some(vec![schema.finish().unwrap()]),
        version: 0,
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
        heard: true,
        known: 3,
        truth: vec![block()],
        refused: vec![(2, "no such column".into())],
        staged: None,
        commit: Some(Commit {
            seq: Seq(50),
            blocks: vec![patch, gone],
            joined: 3,
            grants: vec![Grant {
                slot: 1,
                id: ScopeId([9; 16]),
                columns: vec![("notes".into(), vec![FieldId(2)])],
            }],
            digests: vec![
                (0, Digest::default()),
                (
                    1,
                    Digest {
                        rows: 2,
                        sum: u128::MAX - 1,
                    },
                ),
            ],
            ..Commit::default()
        }),
        policies: [("notes".into(), policy())].into_iter().collect(),
        ledger: vec![LedgerEntry {
            reverts: Some(entry().id()),
            ..entry()
        }],
        told: EntryId {
            seq: Seq(50),
            number: u32::MAX,
        },
        dictionaries: vec![dictionary()],
        lost: vec![DictionaryId([255, 0, 0, 9])],
    };
    let part = |upto, rows, sum| RangeSum { upto, rows, sum };
    let staged = Answer {
        schemas: None,
        policies: BTreeMap::new(),
        ledger: vec![],
        outcomes: vec![],
        heard: false,
        known: 0,
        truth: vec![],
        refused: vec![],
        dictionaries: vec![],
        lost: vec![],
        staged: Some(Staged {
            token: vec![4, 5],
            restart: true,
            joining: Some(0),
            replaces: true,
            segments: vec![Arc::from(encode_blocks(&[block()]).unwrap())],
            changes: vec![Arc::from(encode_blocks(&[block(), block()]).unwrap())],
            ranges: Some(RangeAnswer {
                answers: vec![
                    RangeReply::Parts(vec![part(Some(bound(3)), 16, 1), part(None, 0, 0)]),
                    RangeReply::Unknown(vec![0, 300]),
                ],
            }),
        }),
        commit: None,
        ..commit.clone()
    };
    [commit, staged]
}

/// An answer that names rows by references.
pub(crate) fn referring() -> Answer {
    let [whole, _] = answers();
    let named = |bits, prefixes: Vec<u32>, fields: Vec<u32>| {
        let values = prefixes.iter().map(|name| Value::from(*name));
        let values: Vec<Value> = values.collect();
        Referred {
            bits,
            prefixes,
            check: u32::MAX - bits,
            block: Block {
                table: "notes".into(),
                kind: BlockKind::Patch,
                scopes: 1,
                columns: vec![values; fields.len()],
                fields: fields.into_iter().map(FieldId).collect(),
            },
        }
    };
    let commit = whole.commit.as_ref().unwrap();
    Answer {
        commit: Some(Commit {
            blocks: vec![],
            referred: vec![
                named(1, vec![1], vec![2]),
                named(9, vec![0, 7, 7, 300, 511], vec![2, 3]),
                named(32, vec![5, u32::MAX], vec![3]),
            ],
            keys: u64::MAX - 1,
            ..commit.clone()
        }),
        ..whole
    }
}

/// Frames as bytes, each with the name of its golden file.
pub(crate) fn frames() -> [(&'static str, Vec<u8>); 5] {
    let [commit, staged] = answers();
    [
        ("request", encode_request(&request()).unwrap()),
        ("commit", encode_answer(&commit).unwrap()),
        ("staged", encode_answer(&staged).unwrap()),
        ("blocks", encode_blocks(&[block()]).unwrap()),
        ("referring", encode_answer(&referring()).unwrap()),
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
