//! Values that say their own types: bytes of the format, limits, and what looks like a zlib stream.

use common::optimization::compression::zlib::Level;
use common::{ErrorKind, Limits};
use proptest::prelude::*;
use syncdb::payload::typed::{
    Elements, Room, bytes, close, float, int, open, put_bytes, put_float, put_int, put_key,
    put_text,
};

fn levels() -> [Level; 4] {
    [0, 3, 6, 9].map(|level| Level::new(level).expect("zlib has it"))
}

fn room() -> Room {
    Room::new(&Limits::default())
}

fn packed(value: &[u8], level: Level) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(value, level, &mut out);
    out
}

#[test]
fn payloads_of_255_bytes_and_more_have_the_long_length() {
    for (length, header) in [
        (0, vec![5, 0]),
        (254, vec![5, 254]),
        (255, vec![5, 255, 0, 0, 0, 255]),
        (256, vec![5, 255, 0, 0, 1, 0]),
    ] {
        let mut out = vec![1];
        let start = open(5, &mut out);
        out.resize(start + length, 7);
        close(start, &mut out).expect("it fits");
        assert_eq!(out[1..=header.len()], header);
        let mut elements = Elements::of(&out).expect("it begins well");
        assert_eq!(
            elements.element().expect("it is whole").payload,
            vec![7; length]
        );
        assert!(elements.is_done());
    }
}

#[test]
fn numbers_take_the_fewest_bytes_that_hold_them() {
    for (value, bytes) in [
        (-128, 1),
        (128, 2),
        (-32_768, 2),
        (32_768, 4),
        (1 << 31, 8),
        (i64::MIN, 8),
    ] {
        let mut out = Vec::new();
        put_int(value, &mut out);
        assert_eq!((out.len(), int(&out).ok()), (bytes, Some(value)));
    }
    for (value, bytes) in [
        (2.5, 4),
        (0.1, 8),
        (f64::INFINITY, 4),
        (1e300, 8),
        (f64::MIN_POSITIVE, 8),
    ] {
        let mut out = Vec::new();
        put_float(value, &mut out);
        assert_eq!((out.len(), float(&out).ok()), (bytes, Some(value)));
    }
}

#[test]
fn data_that_end_early_or_begin_wrong_are_corrupt() {
    for data in [&[][..], &[1], &[2, 0], &[0, 0]] {
        assert_eq!(
            Elements::of(data).expect_err("malformed").kind(),
            ErrorKind::Corrupt
        );
    }
    for data in [
        &[1, 4][..],
        &[1, 4, 2, 0],
        &[1, 4, 255, 0, 0],
        &[1, 4, 255, 0, 0, 0, 1],
    ] {
        let mut elements = Elements::of(data).expect("it begins well");
        assert_eq!(
            elements.element().expect_err("malformed").kind(),
            ErrorKind::Corrupt
        );
    }
    assert!(int(&[0, 0, 0]).is_err() && float(&[0; 5]).is_err());
    assert!(put_key(&[b'a'; 256], &mut Vec::new()).is_err());
}

#[test]
fn streams_inflate_within_the_limit_for_all_of_a_call() {
    let stream = packed(&[0; 1_000], Level::new(9).expect("zlib has it"));
    assert!(stream.len() < 30);
    let mut room = Room::new(&Limits::default().total_bytes_max(2_500));
    assert!(bytes(&stream, &mut room).is_ok());
    assert!(bytes(&stream, &mut room).is_ok());
    let error = bytes(&stream, &mut room).expect_err("the room is used up");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn bytes_that_are_or_begin_with_a_stream_come_back() {
    let stream = packed(b"the same again, ".repeat(20).as_slice(), levels()[3]);
    let longer = [&stream[..], b"and more"].concat();
    let cut = &stream[..stream.len() - 1];
    for level in levels() {
        for value in [&stream[..], &longer, cut] {
            let out = packed(value, level);
            assert_eq!(bytes(&out, &mut room()).expect("it was written"), value);
        }
        // A reader that takes the beginning for all would lose the end.
        assert_ne!(packed(&longer, level), longer);
    }
}

#[test]
fn a_text_with_too_few_characters_stays_as_it_is() {
    let mut out = Vec::new();
    put_text(&"é".repeat(9), levels()[2], &mut out);
    assert_eq!(out, "é".repeat(9).as_bytes());
    out.clear();
    put_text(&"é".repeat(30), levels()[2], &mut out);
    assert!(out.len() < 60);
}

proptest! {
    #[test]
    fn bytes_come_back_and_never_grow_but_as_a_stream_in_a_stream(
        value in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            proptest::collection::vec(0_u8..4, 0..3_000),
            proptest::collection::vec(prop_oneof![Just("one "), Just("two "), Just("six ")], 0..40)
                .prop_map(|words| words.concat().into_bytes()),
        ],
        level in 0_usize..4,
    ) {
        let level = levels()[level];
        let out = packed(&value, level);
        let mut room = room();
        let read = bytes(&out, &mut room).expect("it was written");
        prop_assert_eq!(&read[..], &value[..]);
        prop_assert!(out.len() <= value.len());
    }
}
