//! Frames from strangers and damaged ones: an error, never a panic, never much memory.

use common::optimization::compression::{CodecRegistry, Compression};
use common::schema::{Field, FieldId, FieldType, Schema};
use common::versioning::Hlc;
use common::{Database, ErrorKind, RecordId, Seq, Value, row};
use syncdb::sync::protocol::{
    Action, MUTATIONS_MAX, Mutation, Op, Outcome, Position, Request, WIRE_VERSION, frame_limits,
};
use syncdb::sync::wire::{decode_answer, decode_blocks, decode_request, encode_request};
use syncdb::{SyncDb, SyncServer};

use crate::frames::{content, framed, frames, request};

fn refused(bytes: &[u8]) {
    let limits = frame_limits();
    assert!(decode_request(bytes, &limits).is_err());
    assert!(decode_answer(bytes, &limits).is_err());
    assert!(decode_blocks(bytes, &limits).is_err());
}

#[test]
fn a_frame_cut_anywhere_or_with_any_bit_flipped_is_refused() {
    for (_, frame) in frames() {
        for cut in 0..frame.len() {
            refused(&frame[..cut]);
        }
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Some bits of a packed frame only say how it was packed; what it holds is under the checksum.
            let known = CodecRegistry::default();
            match known.decode(&damaged[1..], &frame_limits()) {
                Ok(_) if damaged[0] == WIRE_VERSION => {
                    assert_eq!(content(&damaged), content(&frame));
                }
                _ => refused(&damaged),
            }
        }
        let mut longer = frame.clone();
        longer.push(0);
        refused(&longer);
    }
}

/// A length and the bytes.
fn length(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn what_is_inside_a_sound_frame_is_checked_too() {
    let limits = frame_limits();
    for (_, frame) in frames() {
        let known = CodecRegistry::default();
        let raw = known.decode(&frame[1..], &limits).unwrap();
        for cut in 0..raw.len() {
            refused(&framed(&raw[..cut], &Compression::None));
        }
        for bit in 0..raw.len() * 8 {
            let mut damaged = raw.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let frame = framed(&damaged, &Compression::None);
            // Many flips make another sound message; none may panic.
            let _ = decode_request(&frame, &limits);
            let _ = decode_answer(&frame, &limits);
            let _ = decode_blocks(&frame, &limits);
        }
    }
    // Lengths of 4 GiB: of the message, of a text in it, of a block's columns, and nesting of 10,000 in them.
    let columns = |data: &[u8]| {
        let block = [vec![0x0a, 1, b't', 0x18, 1, 0x32], length(data)].concat();
        [vec![0x1a], length(&[vec![0x0a], length(&block)].concat())].concat()
    };
    assert!(
        decode_blocks(
            &framed(&columns(&[0x91, 0x91, 1]), &Compression::None),
            &limits
        )
        .is_ok()
    );
    for raw in [
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x0a, 6, 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x0a, 3, 0x0b, 0x0b, 0x0c],
        columns(&[0xdd, 0xff, 0xff, 0xff, 0xff]),
        columns(&[0x91, 0xdd, 0xff, 0xff, 0xff, 0xff]),
        columns(&[0x91; 10_000]),
    ] {
        refused(&framed(&raw, &Compression::None));
    }
    // Four bytes each, a hundred in memory: outcomes of an answer, a million of them.
    let outcomes = [0x32, 2, 0x12, 0].repeat(1_000_000);
    let raw = [vec![0x12], length(&outcomes)].concat();
    let flood = framed(&raw, &Compression::None);
    assert_eq!(
        decode_answer(&flood, &limits).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    // A bomb: 64 MiB of zeros in a few kilobytes.
    let bomb = framed(&vec![0; 64 << 20], &Compression::zstd());
    assert!(bomb.len() < 100_000);
    assert_eq!(
        decode_request(&bomb, &limits).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
}

#[test]
fn limits_hold_at_their_value_and_not_one_past() {
    let mutations = |count: usize| Request {
        mutations: (1..=count as u64)
            .map(|client_seq| Mutation {
                client_seq,
                base: Seq(0),
                stamp: Hlc(0),
                ops: vec![],
            })
            .collect(),
        ..request()
    };
    let limits = frame_limits();
    let fits = encode_request(&mutations(MUTATIONS_MAX)).unwrap();
    assert!(decode_request(&fits, &limits).is_ok());
    let more = encode_request(&mutations(MUTATIONS_MAX + 1)).unwrap();
    assert_eq!(
        decode_request(&more, &limits).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    let mut gap = mutations(3);
    gap.mutations.remove(1);
    assert!(decode_request(&encode_request(&gap).unwrap(), &limits).is_err());
}

#[test]
fn a_hostile_request_changes_nothing_and_harms_nobody() {
    let db = Database::new();
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("title", FieldType::Text));
    let notes = db.create_collection(notes.finish().unwrap()).unwrap();
    notes.insert(row! { "id": 1, "title": "one" }).unwrap();
    let server = SyncServer::new(db).unwrap();
    let good = SyncDb::client("good").unwrap();
    good.sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    let before = server.digest().unwrap();
    let at = {
        let probe = server.handle(
            &encode_request(&Request {
                position: Position::Start,
                mutations: vec![],
                ..request()
            })
            .unwrap(),
        );
        let answer = decode_answer(&probe.unwrap(), &frame_limits()).unwrap();
        Position::At {
            epoch: answer.epoch,
            seq: server.database().seq(),
        }
    };
    let id = notes.schema().fields[1].id;
    let hostile = |table: &str, key: RecordId, action: Action| {
        let ops = vec![Op {
            table: table.into(),
            key,
            action,
        }];
        Request {
            replica: format!("evil-{table}-{ops:?}")
                .chars()
                .take(100)
                .collect::<String>()
                .as_str()
                .into(),
            position: at,
            acknowledged: u64::MAX,
            now: Hlc(u64::MAX),
            mutations: vec![Mutation {
                client_seq: 1,
                base: Seq(u64::MAX),
                stamp: Hlc(u64::MAX),
                ops,
            }],
            ..request()
        }
    };
    let text = |text: &str| vec![(id, Value::from(text))];
    for request in [
        hostile("sync_clients", RecordId::from("good"), Action::Delete),
        hostile("nothing", RecordId::from(1), Action::Delete),
        hostile("notes", RecordId::from("x"), Action::Insert(text("x"))),
        hostile("notes", RecordId::from(2), Action::Insert(vec![])),
        hostile(
            "notes",
            RecordId::from(1),
            Action::Update(vec![(id, Value::from(5))]),
        ),
        hostile(
            "notes",
            RecordId::from(1),
            Action::Update(vec![(FieldId(1), Value::from(5))]),
        ),
        hostile(
            "notes",
            RecordId::from(1),
            Action::Update(vec![(FieldId(99), Value::from(5))]),
        ),
        hostile(
            "notes",
            RecordId::composite([Value::from(1), Value::from(2)]),
            Action::Delete,
        ),
    ] {
        let answer = server.handle(&encode_request(&request).unwrap()).unwrap();
        let answer = decode_answer(&answer, &frame_limits()).unwrap();
        let [(1, Outcome::Rejected(_))] = answer.outcomes.as_slice() else {
            panic!("{request:?} was answered {answer:?}");
        };
    }
    assert_eq!(server.digest().unwrap(), before);
    let report = good
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert!(report.converged && !report.repaired);
}
