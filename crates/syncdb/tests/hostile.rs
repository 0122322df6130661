//! Frames from strangers and damaged ones: an error, never a panic, never much memory.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use common::optimization::compression::{CodecRegistry, Compression};
use common::schema::{Field, FieldId, FieldType, Schema};
use common::serialization::Format;
use common::versioning::Hlc;
use common::{Database, ErrorKind, RecordId, Seq, Timestamp, Value, row};
use syncdb::sync::conflict::Rule;
use syncdb::sync::ledger::{LedgerEntry, Side};
use syncdb::sync::protocol::{
    Action, Answer, Block, BlockKind, Epoch, MUTATIONS_MAX, Mutation, News, Op, Outcome, Position,
    Rejection, Request, SchemaSetId, WIRE_VERSION, frame_limits,
};
use syncdb::sync::wire::{
    decode_answer, decode_blocks, decode_request, encode_answer, encode_blocks, encode_request,
};
use syncdb::{Digest, SyncDb, SyncServer};

fn request() -> Request {
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
        ],
    }
}

fn block() -> Block {
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

fn entry() -> LedgerEntry {
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
    }
}

fn answers() -> [Answer; 2] {
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
    };
    let snapshot = Answer {
        schemas: None,
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

#[test]
fn frames_read_back_as_they_were_written() {
    let limits = frame_limits();
    for position in [
        Position::Start,
        request().position,
        Position::Blocks {
            epoch: Epoch(1),
            seq: Seq(2),
            next: 3,
        },
    ] {
        let request = Request {
            position,
            ..request()
        };
        let bytes = encode_request(&request).unwrap();
        assert_eq!(decode_request(&bytes, &limits).unwrap(), request);
    }
    for answer in answers() {
        let bytes = encode_answer(&answer).unwrap();
        assert_eq!(decode_answer(&bytes, &limits).unwrap(), answer);
    }
    let blocks = [block(), block()];
    let bytes = encode_blocks(&blocks).unwrap();
    assert_eq!(decode_blocks(&bytes, &limits).unwrap(), blocks);
}

/// Frames as bytes, each with its golden file.
fn frames() -> [(&'static str, Vec<u8>); 4] {
    let [changes, snapshot] = answers();
    [
        ("request.bin", encode_request(&request()).unwrap()),
        ("changes.bin", encode_answer(&changes).unwrap()),
        ("snapshot.bin", encode_answer(&snapshot).unwrap()),
        ("blocks.bin", encode_blocks(&[block()]).unwrap()),
    ]
}

/// The content of a frame: what stays the same whatever version of the compressor wrote it.
fn content(frame: &[u8]) -> Value {
    let known = CodecRegistry::default();
    let raw = known.decode(&frame[1..], &frame_limits()).unwrap();
    Format::MsgPack.decode_value(&raw, &frame_limits()).unwrap()
}

#[test]
fn frames_of_version_1_stay_readable() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/wire/v1/");
    for (name, bytes) in frames() {
        let path = format!("{folder}{name}");
        if std::env::var_os("TANDEM_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert_eq!(golden[0], WIRE_VERSION);
        assert_eq!(content(&golden), content(&bytes), "{name}");
    }
    let read = |name: &str| std::fs::read(format!("{folder}{name}")).unwrap();
    let limits = frame_limits();
    assert_eq!(
        decode_request(&read("request.bin"), &limits).unwrap(),
        request()
    );
    let [changes, snapshot] = answers();
    assert_eq!(
        decode_answer(&read("changes.bin"), &limits).unwrap(),
        changes
    );
    assert_eq!(
        decode_answer(&read("snapshot.bin"), &limits).unwrap(),
        snapshot
    );
    assert_eq!(
        decode_blocks(&read("blocks.bin"), &limits).unwrap(),
        [block()]
    );
}

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

#[test]
fn the_seeds_of_the_fuzz_target_are_read_or_refused() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../dev/fuzz/corpus/sync_frame"
    );
    let mut read = 0;
    for seed in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(seed.unwrap().path()).unwrap();
        let limits = frame_limits();
        read += usize::from(decode_request(&bytes, &limits).is_ok());
        read += usize::from(decode_answer(&bytes, &limits).is_ok());
        read += usize::from(decode_blocks(&bytes, &limits).is_ok());
    }
    assert!(read >= 4, "every kind of frame has a seed");
}

/// A frame with a right checksum around whatever is inside.
fn framed(raw: &[u8], compression: &Compression) -> Vec<u8> {
    let mut frame = vec![WIRE_VERSION];
    compression.encode_into(raw, &mut frame).unwrap();
    frame
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
    // Lengths of 4 GiB, and nesting of 10,000.
    for raw in [
        &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0x98, 0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0x98, 0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0x91; 10_000],
    ] {
        refused(&framed(raw, &Compression::None));
    }
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
