//! Frames read back as they were written, those of version 1 for ever.

use syncdb::sync::protocol::{Position, Request, WIRE_VERSION, frame_limits};
use syncdb::sync::wire::{
    decode, decode_answer, decode_blocks, decode_request, encode_answer, encode_blocks,
    encode_request, from_json, to_json,
};

use crate::frames::{answers, block, content, frames, referring, request};

#[test]
fn frames_read_back_as_they_were_written() {
    let limits = frame_limits();
    for position in [Position::Start, request().position] {
        let request = Request {
            position,
            references: position == Position::Start,
            version: u32::from(position == Position::Start) * 3,
            ..request()
        };
        let bytes = encode_request(&request).unwrap();
        assert_eq!(decode_request(&bytes, &limits).unwrap(), request);
    }
    for answer in answers().into_iter().chain([referring()]) {
        let bytes = encode_answer(&answer).unwrap();
        assert_eq!(decode_answer(&bytes, &limits).unwrap(), answer);
    }
    let blocks = [block(), block()];
    let bytes = encode_blocks(&blocks).unwrap();
    assert_eq!(decode_blocks(&bytes, &limits).unwrap(), blocks);
}

#[test]
fn frames_of_version_1_stay_readable() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/wire/v1/");
    for (name, bytes) in frames() {
        let path = format!("{folder}{name}.bin");
        let json_path = format!("{folder}{name}.json");
        let json = to_json(&bytes, &frame_limits()).unwrap();
        if std::env::var_os("TANDEM_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            std::fs::write(&json_path, pretty(&json)).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert_eq!(golden[0], WIRE_VERSION);
        assert_eq!(content(&golden), content(&bytes), "{name}");
        let golden_json = std::fs::read(&json_path).unwrap();
        assert_eq!(
            String::from_utf8(golden_json.clone()).unwrap(),
            pretty(&json),
            "{name}"
        );
        let again = from_json(&golden_json, &frame_limits()).unwrap();
        assert_eq!(content(&again), content(&golden), "{name}");
        assert_eq!(
            decode(&golden, &frame_limits()).unwrap(),
            decode(&bytes, &frame_limits()).unwrap()
        );
    }
}

/// JSON as people read it.
fn pretty(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

#[test]
fn the_seeds_of_the_fuzz_targets_are_read_or_refused() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dev/fuzz/corpus");
    let seeds = |target: &str| {
        let folder = std::fs::read_dir(format!("{corpus}/{target}")).unwrap();
        folder.map(|seed| std::fs::read(seed.unwrap().path()).unwrap())
    };
    let limits = frame_limits();
    let read = seeds("sync_frame").filter(|seed| decode(seed, &limits).is_ok());
    assert!(read.count() >= 5, "every kind of frame has a seed");
    let read = seeds("sync_json").filter(|seed| from_json(seed, &limits).is_ok());
    assert!(read.count() >= 5, "every kind of frame has a seed");
}
