//! The laws of a compression codec.

use common::ErrorKind;
use common::optimization::compression::{Codec, TAG_CUSTOM_MIN};
use common::utils::id_generator::SeededRng;

/// Checks a stranger's [`Codec`]: call it from a `#[test]`.
///
/// The laws: tag and name stay the same and are legal; what is packed unpacks to the same bytes; both ways append and touch
/// nothing before; the same bytes pack to the same bytes, on any thread; a limit is obeyed to the byte; damaged
/// input gives an error or some bytes within the limit, never a panic. A codec may refuse to pack
/// some of the inputs with [`ErrorKind::Invalid`], but not all of them.
///
/// # Panics
/// With the law that was broken and the input that broke it.
pub fn codec(codec: &dyn Codec) {
    let tag = codec.tag();
    assert!(
        tag >= TAG_CUSTOM_MIN,
        "a stranger's tag is {TAG_CUSTOM_MIN} or more, not {tag}"
    );
    built_in_codec(codec);
}

/// As [`codec()`], for codecs whose tag is below 128.
///
/// # Panics
/// With the law that was broken and the input that broke it.
pub fn built_in_codec(codec: &dyn Codec) {
    let (tag, name) = (codec.tag(), codec.name().to_owned());
    assert!(!name.is_empty(), "a codec has a name");
    let mut accepted = 0;
    for (what, raw) in inputs() {
        let mut packed = Vec::new();
        match codec.compress(&raw, &mut packed) {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid, "refusing {what}: {error}");
                continue;
            }
        }
        appends(codec, what, &raw, &packed);
        obeys_the_limit(codec, what, &raw, &packed);
        survives_damage(codec, &raw, &packed);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut again = Vec::new();
                    assert!(
                        codec.compress(&raw, &mut again).is_ok() && again == packed,
                        "packing {what} again"
                    );
                });
            }
        });
    }
    assert!(accepted > 0, "the codec packs nothing at all");
    assert_eq!(
        (codec.tag(), codec.name()),
        (tag, name.as_str()),
        "tag and name stay the same"
    );
}

/// Inputs of many shapes, each named.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let rng = SeededRng::new(20_261_122);
    let random = |count: usize| -> Vec<u8> {
        (0..count)
            .map(|_| rng.next_u64().to_le_bytes()[0])
            .collect()
    };
    let sensor = (0..4_000_u32)
        .flat_map(|at| (20_000 + at / 7 + at % 3).to_le_bytes())
        .collect();
    let mut mixed = vec![7; 70_000];
    mixed.extend(random(3_000));
    mixed.extend(b"the same again ".repeat(5_000));
    vec![
        ("no bytes", Vec::new()),
        ("one byte", vec![0]),
        ("the highest byte", vec![255]),
        ("two equal bytes", vec![9, 9]),
        ("every byte once", (0..=255).collect()),
        ("65,535 zeros", vec![0; 65_535]),
        ("65,536 zeros", vec![0; 65_536]),
        ("65,537 zeros", vec![0; 65_537]),
        (
            "text",
            b"{\"id\":1,\"name\":\"Ada\",\"active\":true}".repeat(40),
        ),
        ("sensor readings", sensor),
        ("noise", random(10_000)),
        ("runs, noise and text", mixed),
    ]
}

fn appends(codec: &dyn Codec, what: &str, raw: &[u8], packed: &[u8]) {
    const BEFORE: &[u8] = b"what was there before";
    let mut out = BEFORE.to_vec();
    assert!(
        codec.compress(raw, &mut out).is_ok(),
        "packing {what} a second time"
    );
    assert!(
        out.strip_prefix(BEFORE) == Some(packed),
        "packing {what} appends the same bytes and keeps those before"
    );
    let mut out = BEFORE.to_vec();
    if let Err(error) = codec.decompress(packed, raw.len(), &mut out) {
        panic!("what was packed unpacks, with its own length as the limit ({what}): {error}");
    }
    assert!(
        out.strip_prefix(BEFORE) == Some(raw),
        "unpacking {what} appends the raw bytes and keeps those before"
    );
}

fn obeys_the_limit(codec: &dyn Codec, what: &str, raw: &[u8], packed: &[u8]) {
    for limit in [raw.len() / 2, raw.len().saturating_sub(1)] {
        if limit == raw.len() {
            continue;
        }
        let mut out = vec![1, 2, 3];
        let done = codec.decompress(packed, limit, &mut out);
        assert!(
            done.is_err(),
            "unpacking {what} into {limit} bytes must fail, it has {}",
            raw.len()
        );
        assert!(
            out.len() <= 3 + limit,
            "unpacking {what} wrote past the limit of {limit}"
        );
    }
}

fn survives_damage(codec: &dyn Codec, raw: &[u8], packed: &[u8]) {
    let limit = raw.len();
    let check = |damaged: &[u8]| {
        let mut out = Vec::new();
        let _ = codec.decompress(damaged, limit, &mut out);
        assert!(
            out.len() <= limit,
            "damaged input unpacks to {} bytes, past the limit of {limit}",
            out.len()
        );
    };
    // Every place in short outputs, fewer in long ones: unpacking them takes its time.
    let places = if raw.len() > 20_000 { 10 } else { 60 };
    let step = (packed.len() / places).max(1);
    for at in (0..packed.len()).step_by(step) {
        check(packed.get(..at).unwrap_or_default());
        let mut flipped = packed.to_vec();
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 1 << (at % 8);
        }
        check(&flipped);
    }
    check(&[packed, packed].concat());
}
