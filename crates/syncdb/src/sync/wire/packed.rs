//! Tests of blocks that are packed with a shared dictionary, which only the two sides of an exchange can make.

use std::sync::Arc;

use common::schema::FieldId;
use common::{ErrorKind, Value};

use super::block::{self, Packing};
use super::fields::{Budget, Fields};
use crate::payload::{Column, SharedDictionary};
use crate::sync::dictionaries::{Dictionaries, TableDictionary, id_of};
use crate::sync::protocol::{Block, BlockKind, DICTIONARY_BYTES_MAX, SentDictionary, frame_limits};

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
    block::write(block, Packing::Message(dictionaries), &mut out).unwrap();
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
