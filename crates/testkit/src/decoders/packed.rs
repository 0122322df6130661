//! Compressed frames, packed integers and text cells.

use common::optimization::compression::integers::{
    decode_bitmap, decode_delta_of_deltas, decode_deltas, decode_u64s, encode_bitmap,
    encode_delta_of_deltas, encode_deltas, encode_u64s, pack_bits, read_varint, unpack_bits,
    write_varint,
};
use common::optimization::compression::{CodecRegistry, Compression, FrameHeader};
use common::utils::id_generator::{OrderedId, PrefixedId};
use common::utils::time;
use common::utils::types::{CellKind, KindGuess, parse_cell};
use common::{Limits, Result};

use super::{limits, must};

/// Compressed frames: what was unpacked has the declared length and packs and unpacks again.
///
/// # Panics
/// When a promise is broken.
pub fn compression_frame(bytes: &[u8]) {
    let limits = limits();
    let known = CodecRegistry::default();
    let Ok(raw) = known.decode(bytes, &limits) else {
        return;
    };
    let header = must(
        FrameHeader::parse(bytes, &limits),
        "what was unpacked has a header",
    );
    assert_eq!(header.raw_bytes, raw.len(), "declared and unpacked length");
    for compression in [Compression::None, Compression::Lz4, Compression::zstd()] {
        let frame = must(compression.encode(&raw), "any bytes can be packed");
        let again = must(
            known.decode(&frame, &limits.clone().total_bytes_max(64 << 20)),
            "what was packed unpacks",
        );
        assert!(again == raw, "{compression} changed the bytes");
    }
}

/// Packed integers, by each decoder: what was read is what the encoder writes, byte for byte.
///
/// # Panics
/// When a promise is broken.
pub fn integers(bytes: &[u8]) {
    let limits = limits();
    canonical(bytes, &limits, decode_u64s, |values, out| {
        encode_u64s(values, out);
    });
    canonical(bytes, &limits, decode_deltas, |values, out| {
        encode_deltas(values, out);
    });
    canonical(bytes, &limits, decode_delta_of_deltas, |values, out| {
        encode_delta_of_deltas(values, out);
    });
    canonical(bytes, &limits, decode_bitmap, |bits, out| {
        encode_bitmap(bits, out);
    });
    canonical(
        bytes,
        &limits,
        |input, _| read_varint(input),
        |value, out| write_varint(*value, out),
    );
    if let &[width, count, ref packed @ ..] = bytes {
        let unpack = |input: &mut &[u8], _: &Limits| {
            unpack_bits(input, u32::from(width), usize::from(count))
        };
        canonical(packed, &limits, unpack, |values, out| {
            pack_bits(values, u32::from(width), out);
        });
    }
}

fn canonical<T>(
    bytes: &[u8],
    limits: &Limits,
    decode: impl Fn(&mut &[u8], &Limits) -> Result<T>,
    encode: impl Fn(&T, &mut Vec<u8>),
) {
    let mut rest = bytes;
    let Ok(values) = decode(&mut rest, limits) else {
        assert_eq!(rest.len(), bytes.len(), "an error moves nothing");
        return;
    };
    let mut again = Vec::new();
    encode(&values, &mut again);
    assert!(
        bytes.strip_suffix(rest) == Some(again.as_slice()),
        "what was accepted is what the encoder writes"
    );
}

/// Text cells, times and ids: what a guess says can be read, and what was read is written so that it reads the same.
///
/// # Panics
/// When a promise is broken.
pub fn text_cells(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut guess = KindGuess::default();
    for cell in text.split('\n') {
        guess.see(cell);
        for kind in CellKind::ALL {
            if let Ok(read) = parse_cell(cell, kind) {
                assert_eq!(read.kind(), kind, "{cell:?}");
            }
        }
        if let Ok(id) = cell.parse::<OrderedId>() {
            assert_eq!(
                must(id.to_string().parse::<OrderedId>(), "an id reads back"),
                id
            );
        }
        if let Ok(id) = cell.parse::<PrefixedId>() {
            assert_eq!(
                must(id.to_string().parse::<PrefixedId>(), "an id reads back"),
                id
            );
        }
        if let Ok(micros) = time::parse_timestamp(cell) {
            let written = must(
                time::format_timestamp(micros),
                "a time that was read can be written",
            );
            assert_eq!(
                must(time::parse_timestamp(&written), "a time reads back"),
                micros
            );
        }
        if let Ok(days) = time::parse_date(cell) {
            let written = must(
                time::format_date(days),
                "a day that was read can be written",
            );
            assert_eq!(must(time::parse_date(&written), "a day reads back"), days);
        }
        if let Ok(length) = time::parse_duration(cell) {
            let written = time::format_duration(length);
            assert_eq!(
                must(time::parse_duration(&written), "a duration reads back"),
                length
            );
        }
    }
    if let Some(kind) = guess.kind() {
        for cell in text.split('\n').filter(|cell| !cell.is_empty()) {
            must(parse_cell(cell, kind), "every cell has the guessed kind");
        }
    }
}
