//! Packed integers: they come back, they are as small as promised, and only what the encoder writes is read.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of these tests are tests too"
)]

use common::optimization::compression::integers::{
    decode_bitmap, decode_delta_of_deltas, decode_deltas, decode_u64s, encode_bitmap,
    encode_delta_of_deltas, encode_deltas, encode_u64s, write_varint,
};
use common::{ErrorKind, Limits, Result};
use proptest::prelude::*;

type Decode<T> = fn(&mut &[u8], &Limits) -> Result<Vec<T>>;

/// Encodes, checks every truncation, decodes with something behind it.
fn round_trip<T: PartialEq + std::fmt::Debug>(
    values: &[T],
    encode: fn(&[T], &mut Vec<u8>),
    decode: Decode<T>,
) -> usize {
    let mut bytes = Vec::new();
    encode(values, &mut bytes);
    let step = (bytes.len() / 40).max(1);
    for cut in (0..bytes.len()).step_by(step) {
        let mut rest = &bytes[..cut];
        assert!(
            decode(&mut rest, &Limits::default()).is_err(),
            "cut at {cut}"
        );
        assert_eq!(rest.len(), cut, "an error moves nothing");
    }
    for bit in (0..bytes.len() * 8).step_by(step * 5) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        testkit::decoders::integers(&flipped);
    }
    let length = bytes.len();
    bytes.extend([1, 2, 3]);
    let mut rest = bytes.as_slice();
    assert_eq!(decode(&mut rest, &Limits::default()).unwrap(), values);
    assert_eq!(rest, [1, 2, 3]);
    length
}

#[test]
fn typical_columns_take_few_bytes() {
    let times: Vec<i64> = (0..10_000)
        .map(|i| 1_795_336_200_000_000 + 60_000_000 * i)
        .collect();
    let length = round_trip(&times, encode_delta_of_deltas, decode_delta_of_deltas);
    assert!(length < 200, "a steady rate takes {length} bytes");
    let ids: Vec<i64> = (0..10_000).map(|i| i * 3).collect();
    let length = round_trip(&ids, encode_deltas, decode_deltas);
    assert!(length < 200, "a steady step takes {length} bytes");
    let levels: Vec<u64> = (0..10_000).map(|i| 500 + i * 7 % 16).collect();
    let length = round_trip(&levels, encode_u64s, decode_u64s);
    assert!(
        length < 10_000 / 2 + 300,
        "four bits each take {length} bytes"
    );
    let present: Vec<bool> = (0..10_000).map(|i| i % 1_000 != 3).collect();
    let length = round_trip(&present, encode_bitmap, decode_bitmap);
    assert!(length < 50, "long runs take {length} bytes");
}

#[test]
fn extremes_wrap_around_and_come_back() {
    let extremes = [i64::MIN, i64::MAX, 0, -1, i64::MAX, i64::MIN, i64::MIN, 1];
    for end in 0..=extremes.len() {
        round_trip(&extremes[..end], encode_deltas, decode_deltas);
        round_trip(
            &extremes[..end],
            encode_delta_of_deltas,
            decode_delta_of_deltas,
        );
    }
    round_trip(&[u64::MAX, 0, u64::MAX], encode_u64s, decode_u64s);
    for count in [127, 128, 129, 255, 256, 257] {
        round_trip(&vec![u64::MAX; count], encode_u64s, decode_u64s);
        round_trip(&vec![-5; count], encode_deltas, decode_deltas);
        round_trip(&vec![true; count], encode_bitmap, decode_bitmap);
    }
}

#[test]
fn counts_are_checked_before_anything_is_set_aside() {
    for count in [1_001, 1 << 40, u64::MAX] {
        let mut bytes = Vec::new();
        write_varint(count, &mut bytes);
        bytes.extend([0; 20]);
        let limits = Limits::default().elements_max(1_000);
        let kinds = [
            decode_u64s(&mut bytes.as_slice(), &limits)
                .unwrap_err()
                .kind(),
            decode_deltas(&mut bytes.as_slice(), &limits)
                .unwrap_err()
                .kind(),
            decode_delta_of_deltas(&mut bytes.as_slice(), &limits)
                .unwrap_err()
                .kind(),
            decode_bitmap(&mut bytes.as_slice(), &limits)
                .unwrap_err()
                .kind(),
        ];
        assert_eq!(kinds, [ErrorKind::LimitExceeded; 4]);
    }
    let mut at_limit = Vec::new();
    encode_u64s(&[7; 1_000], &mut at_limit);
    assert!(
        decode_u64s(
            &mut at_limit.as_slice(),
            &Limits::default().elements_max(1_000)
        )
        .is_ok()
    );
    assert!(
        decode_u64s(
            &mut at_limit.as_slice(),
            &Limits::default().elements_max(999)
        )
        .is_err()
    );
    // Declared and not there: with limits that allow it, the missing bytes are what stops it.
    let limits = Limits::default().elements_max(usize::MAX);
    for bytes in [
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0, 64][..],
        &[0x80, 0x80, 0x80, 0x80, 0x10, 1],
    ] {
        assert!(decode_u64s(&mut &bytes[..], &limits).is_err());
        assert!(decode_deltas(&mut &bytes[..], &limits).is_err());
        assert!(decode_delta_of_deltas(&mut &bytes[..], &limits).is_err());
        assert!(decode_bitmap(&mut &bytes[..], &limits).is_err());
    }
}

#[test]
fn other_ways_to_say_the_same_are_refused() {
    for (bytes, why) in [
        (&[2, 0, 1, 0b11][..], "the least is not among the values"),
        (&[1, 0, 1, 0], "one bit for a zero"),
        (&[1, 0, 65, 0, 0, 0, 0, 0, 0, 0, 0, 0], "65 bits"),
        (&[1, 0x80, 0, 0], "a long varint"),
        (
            &[2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0b10],
            "past the highest number",
        ),
    ] {
        assert_eq!(
            decode_u64s(&mut &bytes[..], &Limits::default())
                .unwrap_err()
                .kind(),
            ErrorKind::Corrupt,
            "{why}"
        );
    }
    for (bytes, why) in [
        (&[3, 2, 3][..], "the first bit is 2"),
        (&[3, 1, 0, 3], "a run of none"),
        (&[3, 1, 4], "a run past the end"),
    ] {
        assert_eq!(
            decode_bitmap(&mut &bytes[..], &Limits::default())
                .unwrap_err()
                .kind(),
            ErrorKind::Corrupt,
            "{why}"
        );
    }
}

#[test]
fn the_bytes_are_these() {
    let mut bytes = Vec::new();
    encode_u64s(&[300, 301, 303], &mut bytes);
    assert_eq!(bytes, [3, 0xAC, 0x02, 2, 0b11_01_00]);
    bytes.clear();
    encode_deltas(&[-1, 1, 3], &mut bytes);
    assert_eq!(bytes, [3, 1, 4, 0]);
    bytes.clear();
    encode_delta_of_deltas(&[10, 20, 30, 41], &mut bytes);
    assert_eq!(bytes, [4, 20, 20, 0, 2, 0b10_00]);
    bytes.clear();
    encode_bitmap(&[false, false, true], &mut bytes);
    assert_eq!(bytes, [3, 0, 2, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn numbers_come_back(
        wide in prop::collection::vec(any::<u64>(), 0..300),
        near in prop::collection::vec(1_000_u64..1_050, 0..300),
        signed in prop::collection::vec(prop_oneof![any::<i64>(), -9_i64..9], 0..300),
        bits in prop::collection::vec(any::<bool>(), 0..300),
    ) {
        round_trip(&wide, encode_u64s, decode_u64s);
        round_trip(&near, encode_u64s, decode_u64s);
        round_trip(&signed, encode_deltas, decode_deltas);
        round_trip(&signed, encode_delta_of_deltas, decode_delta_of_deltas);
        round_trip(&bits, encode_bitmap, decode_bitmap);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..4], 0..60)) {
        testkit::decoders::integers(&bytes);
    }
}
