//! A codec from outside: readings of one byte each that hardly change, as small sensors send them.
//!
//! Each reading is replaced by how it differs (exclusive or) from the one before, which makes long runs of zeros;
//! the runs are then written as lengths. Run it with `cargo run --example codec_as_a_stranger`.

use std::sync::Arc;

use common::optimization::compression::integers::{read_varint, write_varint};
use common::optimization::compression::{Codec, CodecRegistry, Compression};
use common::{Error, Limits, Result};

/// Pairs of (how many readings are the same as before, the next difference), until the end.
pub(crate) struct SensorBytes;

impl Codec for SensorBytes {
    fn tag(&self) -> u8 {
        128
    }

    fn name(&self) -> &'static str {
        "sensor-bytes"
    }

    fn compress(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut before = 0;
        let mut same = 0;
        for &reading in raw {
            let difference = reading ^ std::mem::replace(&mut before, reading);
            if difference == 0 {
                same += 1;
            } else {
                write_varint(same, out);
                out.push(difference);
                same = 0;
            }
        }
        if same > 0 {
            write_varint(same, out);
        }
        Ok(())
    }

    fn decompress(&self, packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut rest = packed;
        let mut room = limit;
        let mut reading = 0;
        let mut take = |count: u64| -> Result<usize> {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            room = room
                .checked_sub(count)
                .ok_or_else(|| Error::limit_exceeded(format!("more than {limit} readings")))?;
            Ok(count)
        };
        while !rest.is_empty() {
            // The limit is checked before memory grows: `same` is a stranger's word.
            let same = take(read_varint(&mut rest)?)?;
            out.resize(out.len() + same, reading);
            let Some((&difference, after)) = rest.split_first() else {
                break;
            };
            take(1)?;
            reading ^= difference;
            out.push(reading);
            rest = after;
        }
        Ok(())
    }
}

pub(crate) fn main() -> Result<()> {
    let readings: Vec<u8> = (0..10_000_u32)
        .map(|minute| if minute % 600 < 20 { 21 } else { 20 })
        .collect();
    let ours = Compression::Custom(Arc::new(SensorBytes));
    let frame = ours.encode(&readings)?;

    // The other side registers the same codec, under the tag that the frame names.
    let mut known = CodecRegistry::default();
    known.register(Arc::new(SensorBytes))?;
    assert_eq!(known.decode(&frame, &Limits::default())?, readings);

    assert!(frame.len() < readings.len() / 100);
    // A side that does not know the codec says so.
    let error = CodecRegistry::default()
        .decode(&frame, &Limits::default())
        .err();
    assert!(error.is_some_and(|error| error.kind() == common::ErrorKind::Unsupported));
    Ok(())
}
