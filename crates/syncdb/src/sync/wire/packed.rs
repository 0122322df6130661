//! Tests of blocks that are packed with a shared dictionary, which only the two sides of an exchange can make.

use std::sync::Arc;

use common::optimization::compression::{CodecRegistry, Compression};
use common::schema::FieldId;
use common::versioning::Hlc;
use common::{ErrorKind, Seq, Value};

use super::block::{self, Packing};
use super::fields::{Budget, Fields};
use super::{encode_answer_with, encode_request_with, rewrite_with};
use crate::payload::{Column, Level, SharedDictionary};
use crate::sync::dictionaries::{Dictionaries, TableDictionary, id_of};
use crate::sync::ledger::EntryId;
use crate::sync::protocol::{
    Action, Answer, Block, BlockKind, Commit, DICTIONARY_BYTES_MAX, Epoch, Mutation, Op, Position,
    Referred, Request, SchemaSetId, SentDictionary, WIRE_VERSION, frame_limits,
};

const STATES: [&str; 3] = ["open", "in progress", "waiting for somebody else"];

fn state(at: usize) -> Value {
    Value::from(STATES[at % 3])
}

fn dictionary() -> SentDictionary {
    let keys: Vec<Value> = (0..600).map(Value::from).collect();
    let states: Vec<Value> = (0..600).map(state).collect();
    let columns = [Column::from_values(&keys), Column::from_values(&states)];
    SentDictionary {
        table: "tasks".into(),
        key_columns: 1,
        fields: vec![FieldId(7)],
        content: SharedDictionary::train(&columns, 4 << 10)
            .unwrap()
            .content()
            .into(),
    }
}

fn here(sent: SentDictionary) -> Dictionaries {
    let read = TableDictionary::read(sent, &frame_limits()).unwrap();
    // As the second that the request names; the first is not here.
    Dictionaries::new(vec![None, Some(Arc::new(read))])
}

fn rows() -> Block {
    Block {
        table: "tasks".into(),
        kind: BlockKind::Patch,
        scopes: 1,
        fields: vec![FieldId(7)],
        columns: vec![
            (0..9).map(|id| Value::from(id * 31)).collect(),
            (0..9).map(|at| state(at * at)).collect(),
        ],
    }
}

fn written(block: &Block, dictionaries: &Dictionaries) -> Vec<u8> {
    let mut out = Vec::new();
    block::write(block, Packing::Message(dictionaries, Level::Fast), &mut out).unwrap();
    out
}

fn read(bytes: &[u8], dictionaries: &Dictionaries) -> common::Result<Block> {
    let mut budget = Budget::new(&frame_limits());
    budget.with_dictionaries(dictionaries.clone());
    block::read(Fields::of(bytes), &mut budget)
}

#[test]
fn a_block_that_is_packed_with_a_dictionary_reads_back_with_it_only() {
    let here = here(dictionary());
    let bytes = written(&rows(), &here);
    assert!(bytes.len() + 8 < written(&rows(), &Dictionaries::default()).len());
    assert_eq!(block::dictionary_of(Fields::of(&bytes)).unwrap(), 2);
    assert_eq!(read(&bytes, &here).unwrap(), rows());
    for other in [Dictionaries::default(), Dictionaries::new(vec![None, None])] {
        let error = read(&bytes, &other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    // Columns that the dictionary does not know are packed all the same.
    let other = Block {
        fields: vec![FieldId(8)],
        ..rows()
    };
    assert_eq!(read(&written(&other, &here), &here).unwrap(), other);
}

#[test]
fn what_a_stranger_says_of_dictionaries_is_refused() {
    let here = here(dictionary());
    let bytes = written(&rows(), &here);
    let of_other_table = Dictionaries::new(vec![
        None,
        Some(Arc::new(
            TableDictionary::read(
                SentDictionary {
                    table: "notes".into(),
                    ..dictionary()
                },
                &frame_limits(),
            )
            .unwrap(),
        )),
    ]);
    let error = read(&bytes, &of_other_table).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // A plain block that names a dictionary.
    let mut plain = written(&rows(), &Dictionaries::default());
    super::fields::put_number(7, 2, &mut plain);
    assert!(read(&plain, &here).is_err());
    // Any bit that is not as it was: an error, or other rows, and never a panic.
    for at in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        let _ = read(&damaged, &here);
    }
    let too_long = SentDictionary {
        content: vec![0; DICTIONARY_BYTES_MAX + 1].into(),
        ..dictionary()
    };
    let error = TableDictionary::read(too_long, &frame_limits()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let nonsense = SentDictionary {
        content: Arc::from(b"TPD1".as_slice()),
        ..dictionary()
    };
    assert!(TableDictionary::read(nonsense, &frame_limits()).is_err());
}

/// Contents of frames whose blocks are packed with a dictionary, with the names of the fuzz target's seeds.
fn packed_contents(sent: &SentDictionary) -> [(&'static str, Vec<u8>); 2] {
    let known = TableDictionary::read(sent.clone(), &frame_limits()).unwrap();
    let id = known.id;
    let named = Dictionaries::new(vec![Some(Arc::new(known))]);
    let op = |row: usize| Op {
        table: "tasks".into(),
        key: rows().key(row),
        action: Action::Update(vec![(FieldId(7), state(row * row))]),
    };
    let request = Request {
        replica: "phone".into(),
        number: 7,
        position: Position::At {
            epoch: Epoch(3),
            seq: Seq(9),
        },
        scopes: Vec::new(),
        token: Vec::new(),
        ranges: None,
        schemas: SchemaSetId([5; 16]),
        acknowledged: 0,
        now: Hlc(1 << 40),
        told: EntryId::default(),
        first: 0,
        dictionaries: vec![id],
        version: 0,
        references: true,
        mutations: vec![Mutation {
            client_seq: 1,
            base: Seq(9),
            stamp: Hlc(1 << 40),
            ops: (0..9).map(op).collect(),
        }],
    };
    let without_keys = Block {
        columns: rows().columns.split_off(1),
        ..rows()
    };
    let answer = Answer {
        number: 7,
        epoch: Epoch(3),
        now: Hlc(1 << 41),
        version: 0,
        schemas: None,
        policies: std::collections::BTreeMap::new(),
        next: 2,
        heard: true,
        outcomes: Vec::new(),
        ledger: Vec::new(),
        told: EntryId::default(),
        known: 1,
        truth: vec![rows()],
        refused: Vec::new(),
        dictionaries: Vec::new(),
        lost: Vec::new(),
        staged: None,
        commit: Some(Commit {
            seq: Seq(10),
            blocks: vec![rows()],
            joined: 1,
            referred: vec![Referred {
                bits: 11,
                prefixes: (0..9).map(|at| at * 200).collect(),
                check: 12_345,
                block: without_keys,
            }],
            keys: 99,
            ..Commit::default()
        }),
    };
    let content = |frame: Vec<u8>| CodecRegistry::default().decode(&frame[1..], &frame_limits());
    let request = encode_request_with(&request, &named, Level::Fast).unwrap();
    let answer = encode_answer_with(&answer, &named).unwrap();
    [
        ("packed_request.content", content(request).unwrap()),
        ("packed_answer.content", content(answer).unwrap()),
    ]
}

fn framed(content: &[u8]) -> Vec<u8> {
    let mut frame = vec![WIRE_VERSION];
    Compression::None.encode_into(content, &mut frame).unwrap();
    frame
}

#[test]
fn frames_whose_blocks_are_packed_with_a_dictionary_are_among_the_seeds_and_read() {
    // When a frame means to look otherwise, the bytes that the comparison below shows are the file's new content.
    macro_rules! seed {
        ($name:literal) => {
            include_bytes!(concat!("../../../../../dev/fuzz/corpus/sync_frame/", $name)).as_slice()
        };
    }
    let sent = SentDictionary {
        content: seed!("dictionary.bin").into(),
        ..dictionary()
    };
    let seeds = [
        seed!("packed_request.content"),
        seed!("packed_answer.content"),
    ];
    for ((name, content), seed) in packed_contents(&sent).into_iter().zip(seeds) {
        let seed = framed(seed);
        let sent = std::slice::from_ref(&sent);
        let again = rewrite_with(&seed, &frame_limits(), sent).unwrap();
        assert_eq!(rewrite_with(&again, &frame_limits(), sent).unwrap(), again);
        let inside = CodecRegistry::default();
        assert_eq!(
            inside.decode(&again[1..], &frame_limits()).unwrap(),
            content,
            "{name}"
        );
        let error = rewrite_with(&seed, &frame_limits(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name}");
        // Any bit that is not as it was: an error, or another frame, and never a panic.
        for at in 0..content.len() * 8 {
            let mut damaged = content.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            let _ = rewrite_with(&framed(&damaged), &frame_limits(), sent);
        }
    }
}

#[test]
fn identity_says_what_a_dictionary_is_for_and_what_is_in_it() {
    let first = id_of(&dictionary());
    for other in [
        SentDictionary {
            table: "notes".into(),
            ..dictionary()
        },
        SentDictionary {
            key_columns: 2,
            ..dictionary()
        },
        SentDictionary {
            fields: vec![FieldId(8)],
            ..dictionary()
        },
        SentDictionary {
            content: Arc::from([]),
            ..dictionary()
        },
    ] {
        assert_ne!(id_of(&other), first);
    }
    // As docs/proto/sync.proto says, for whoever computes it elsewhere.
    let known = SentDictionary {
        table: "notes".into(),
        key_columns: 1,
        fields: vec![FieldId(2), FieldId(9)],
        content: Arc::from(b"TPD1 and so on".as_slice()),
    };
    assert_eq!(id_of(&known).to_string(), "ee34cdf5");
}
