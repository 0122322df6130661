//! Compression: frames come back whole, every codec obeys the contract, and hostile frames cost nothing.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of these tests are tests too"
)]

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use common::optimization::compression::{
    Codec, CodecRegistry, Compression, Dictionary, FRAME_OVERHEAD_MAX, FrameHeader, TAG_LZ4,
    TAG_NONE, TAG_ZSTD, train_dictionary,
};
use common::utils::id_generator::SeededRng;
use common::{ErrorKind, Limits, Result};
use proptest::prelude::*;

#[path = "../examples/codec_as_a_stranger.rs"]
mod codec_as_a_stranger;

use codec_as_a_stranger::SensorBytes;

/// Small messages of one kind, as a sync sends them.
fn messages(count: u64) -> Vec<Vec<u8>> {
    let rng = SeededRng::new(1);
    (0..count)
        .map(|id| {
            let (city, degrees) = (rng.next_u64() % 500, rng.next_u64() % 400);
            format!(
                "{{\"id\":{id},\"station\":\"city-{city}\",\"kind\":\"temperature\",\"celsius\":{}.{},\"ok\":true}}",
                degrees / 10,
                degrees % 10
            )
            .into_bytes()
        })
        .collect()
}

/// Trained once: learning takes longer than any test.
fn dictionary() -> Arc<Dictionary> {
    static LEARNED: OnceLock<Arc<Dictionary>> = OnceLock::new();
    LEARNED
        .get_or_init(|| Arc::new(train_dictionary(&messages(2_000), 4_096).unwrap()))
        .clone()
}

fn all() -> Vec<Compression> {
    vec![
        Compression::None,
        Compression::Lz4,
        Compression::zstd(),
        Compression::Zstd {
            level: -5,
            dictionary: None,
        },
        Compression::Zstd {
            level: 19,
            dictionary: None,
        },
        Compression::Zstd {
            level: 3,
            dictionary: Some(dictionary()),
        },
        Compression::Custom(Arc::new(SensorBytes)),
    ]
}

fn knows(compressions: &[Compression]) -> CodecRegistry {
    let mut known = CodecRegistry::default();
    known.register(Arc::new(SensorBytes)).unwrap();
    for dictionary in compressions.iter().filter_map(Compression::dictionary) {
        known.add_dictionary(dictionary.clone()).unwrap();
    }
    known
}

#[test]
fn built_in_codecs_keep_the_contract() {
    for compression in all() {
        testkit::contract::built_in_codec(&*compression.codec().unwrap());
    }
}

#[test]
fn the_strangers_codec_keeps_the_contract() {
    testkit::contract::codec(&SensorBytes);
    codec_as_a_stranger::main().unwrap();
}

#[test]
fn the_contract_finds_a_codec_that_ignores_the_limit() {
    struct Careless;
    impl Codec for Careless {
        fn tag(&self) -> u8 {
            200
        }
        fn name(&self) -> &'static str {
            "careless"
        }
        fn compress(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
            out.extend_from_slice(raw);
            Ok(())
        }
        fn decompress(&self, packed: &[u8], _limit: usize, out: &mut Vec<u8>) -> Result<()> {
            out.extend_from_slice(packed);
            Ok(())
        }
    }
    assert!(std::panic::catch_unwind(|| testkit::contract::codec(&Careless)).is_err());
    // The frame does not trust it either: what it returns is measured.
    let mut known = CodecRegistry::default();
    known.register(Arc::new(Careless)).unwrap();
    let lie = [200, 0, 2, 0, 0, 0, 0, b'a', b'b', b'c'];
    let error = known.decode(&lie, &Limits::default()).unwrap_err();
    assert_eq!(
        error.message(),
        "compressed frame declares 2 bytes and holds 3"
    );
}

#[test]
fn a_trained_dictionary_makes_small_messages_smaller() {
    let dictionary = dictionary();
    let plain = Compression::zstd();
    let with = Compression::Zstd {
        level: 3,
        dictionary: Some(dictionary.clone()),
    };
    let fresh = messages(3_000).split_off(2_900);
    let bytes = |compression: &Compression| -> usize {
        fresh
            .iter()
            .map(|message| compression.encode(message).unwrap().len())
            .sum()
    };
    assert!(
        bytes(&with) * 10 < bytes(&plain) * 6,
        "{} against {}",
        bytes(&with),
        bytes(&plain)
    );

    // The other side makes it from the same bytes, and the id agrees.
    let copy = Arc::new(Dictionary::new(dictionary.bytes(), &Limits::default()).unwrap());
    assert_eq!(copy.id(), dictionary.id());
    let frame = with.encode(&fresh[0]).unwrap();
    let mut known = CodecRegistry::default();
    let error = known.decode(&frame, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains(&format!("{:#010x}", copy.id())));
    known.add_dictionary(copy.clone()).unwrap();
    assert_eq!(known.add_dictionary(dictionary).unwrap(), copy.id());
    assert_eq!(known.decode(&frame, &Limits::default()).unwrap(), fresh[0]);
}

#[test]
fn dictionaries_that_are_none_are_refused() {
    let limits = Limits::default();
    assert_eq!(
        Dictionary::new([], &limits).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(
        Dictionary::new([0; 11], &limits.clone().bytes_max(10))
            .unwrap_err()
            .kind(),
        ErrorKind::LimitExceeded
    );
    assert!(Dictionary::new(vec![1; 1 << 20], &limits).is_ok());
    assert_eq!(
        Dictionary::new(vec![1; (1 << 20) + 1], &limits)
            .unwrap_err()
            .kind(),
        ErrorKind::LimitExceeded
    );
    let mut damaged = dictionary().bytes().to_vec();
    damaged.truncate(20);
    assert_eq!(
        Dictionary::new(damaged, &limits).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert_eq!(
        train_dictionary(&messages(3), 4_096).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(
        train_dictionary(&messages(2_000), 255).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn tags_and_names_are_taken_once() {
    struct Named(u8, &'static str);
    impl Codec for Named {
        fn tag(&self) -> u8 {
            self.0
        }
        fn name(&self) -> &str {
            self.1
        }
        fn compress(&self, _raw: &[u8], _out: &mut Vec<u8>) -> Result<()> {
            Ok(())
        }
        fn decompress(&self, _packed: &[u8], _limit: usize, _out: &mut Vec<u8>) -> Result<()> {
            Ok(())
        }
    }
    let mut known = CodecRegistry::default();
    known.register(Arc::new(Named(255, "a"))).unwrap();
    for (tag, name, kind) in [
        (127, "b", ErrorKind::Invalid),
        (255, "b", ErrorKind::Conflict),
        (128, "a", ErrorKind::Conflict),
        (128, "zstd", ErrorKind::Conflict),
    ] {
        assert_eq!(
            known
                .register(Arc::new(Named(tag, name)))
                .unwrap_err()
                .kind(),
            kind,
            "{tag} {name}"
        );
    }
    known.register(Arc::new(Named(128, "b"))).unwrap();
    let low = Compression::Custom(Arc::new(Named(127, "b")));
    assert_eq!(low.encode(b"x").unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn every_truncation_and_every_flip_is_noticed() {
    let raw = messages(12).concat();
    let compressions = all();
    let known = knows(&compressions);
    for compression in &compressions {
        let frame = compression.encode(&raw).unwrap();
        for cut in 0..frame.len() {
            assert!(
                known.decode(&frame[..cut], &Limits::default()).is_err(),
                "{compression} cut at {cut}"
            );
        }
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A codec may have bits that mean nothing; the bytes that come out are the right ones or none.
            if let Ok(found) = known.decode(&flipped, &Limits::default()) {
                assert!(found == raw, "{compression} with bit {bit} flipped");
            }
        }
        let mut longer = frame.clone();
        longer.push(0);
        assert!(
            known.decode(&longer, &Limits::default()).is_err(),
            "{compression} with a byte more"
        );
    }
}

/// A frame with a head of our choice.
fn forged(tag: u8, raw_bytes: u64, packed: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag, 0];
    common::optimization::compression::integers::write_varint(raw_bytes, &mut frame);
    frame.extend([0; 4]);
    frame.extend(packed);
    frame
}

#[test]
fn bombs_stop_at_the_limit() {
    let limits = Limits::default().total_bytes_max(1 << 20);
    let known = CodecRegistry::default();
    let zeros = vec![0; 16 << 20];
    for compression in [Compression::Lz4, Compression::zstd()] {
        let bomb = compression.encode(&zeros).unwrap();
        let honest = known.decode(&bomb, &limits).unwrap_err();
        assert_eq!(honest.kind(), ErrorKind::LimitExceeded, "{honest}");
        // The same payload, declaring what is allowed: stopped there.
        let packed = FrameHeader::parse(&bomb, &Limits::default())
            .unwrap()
            .packed;
        let lie = known
            .decode(&forged(compression.tag(), 1 << 20, packed), &limits)
            .unwrap_err();
        assert_eq!(
            lie.message(),
            "compressed frame declares 1048576 bytes and holds more"
        );
        assert_eq!(known.decode(&bomb, &Limits::default()).unwrap(), zeros);
    }
    let frame = Compression::zstd().encode(&zeros).unwrap();
    assert!(frame.len() * 1_000 < zeros.len());
}

#[test]
fn the_limit_is_the_last_length_that_passes() {
    let known = CodecRegistry::default();
    for compression in [Compression::None, Compression::Lz4, Compression::zstd()] {
        let frame = compression.encode(&[5; 1_000]).unwrap();
        let at = Limits::default().total_bytes_max(frame.len().max(1_000));
        assert!(known.decode(&frame, &at).is_ok());
        let past = Limits::default().total_bytes_max(999);
        assert_eq!(
            known.decode(&frame, &past).unwrap_err().kind(),
            ErrorKind::LimitExceeded
        );
    }
}

/// Most memory that this process has had mapped at once, in bytes.
#[cfg(target_os = "linux")]
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmPeak:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        << 10
}

#[test]
#[cfg(target_os = "linux")]
fn four_gigabytes_that_are_only_declared_are_not_set_aside() {
    let limits = Limits::default().total_bytes_max(8 << 30);
    let known = knows(&all());
    let small = Compression::zstd().encode(&[0; 1_000]).unwrap();
    let zstd = FrameHeader::parse(&small, &limits).unwrap().packed.to_vec();
    // A Zstandard frame of its own that declares 4 GiB as its content and its window.
    let inner = [
        &[0x28, 0xB5, 0x2F, 0xFD, 0xE0][..],
        &(4_u64 << 30).to_le_bytes(),
        &[0; 3],
    ]
    .concat();
    let before = peak_bytes();
    for (tag, packed) in [
        (0, &zstd),
        (1, &zstd),
        (2, &zstd),
        (2, &inner),
        (128, &zstd),
        (2, &Vec::new()),
    ] {
        assert!(
            known
                .decode(&forged(tag, 4 << 30, packed), &limits)
                .is_err(),
            "tag {tag}"
        );
    }
    let grown = peak_bytes() - before;
    assert!(grown < 1 << 30, "{grown} bytes more were mapped");
}

#[test]
fn heads_that_make_no_sense_are_refused() {
    let known = CodecRegistry::default();
    let limits = Limits::default();
    for (frame, kind) in [
        (&[][..], ErrorKind::Corrupt),
        (&[0], ErrorKind::Corrupt),
        (&[0, 2, 0, 0, 0, 0, 0], ErrorKind::Unsupported),
        (&[3, 0, 0, 0, 0, 0, 0], ErrorKind::Unsupported),
        (&[0, 1, 9, 9, 9, 9, 0, 0, 0, 0, 0], ErrorKind::Corrupt),
        (&[2, 1, 9, 9, 9, 9, 0, 0, 0, 0, 0], ErrorKind::NotFound),
        (&[0, 0, 0x80, 0, 0, 0, 0, 0], ErrorKind::Corrupt),
    ] {
        assert_eq!(
            known.decode(frame, &limits).unwrap_err().kind(),
            kind,
            "{frame:?}"
        );
    }
}

/// Readings for the stranger's codec.
fn readings() -> Vec<u8> {
    (0..2_000_u32)
        .map(|minute| if minute % 600 < 20 { 21 } else { 20 })
        .collect()
}

#[test]
fn frames_of_earlier_builds_open() {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/compression");
    let (raw, readings) = (messages(60).concat(), readings());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        let dictionary = dictionary();
        std::fs::write(folder.join("dictionary.bin"), dictionary.bytes()).unwrap();
        let zstd_dictionary = Compression::Zstd {
            level: 3,
            dictionary: Some(dictionary),
        };
        for (name, compression, raw) in [
            ("none.bin", Compression::None, &raw),
            ("lz4.bin", Compression::Lz4, &raw),
            ("zstd.bin", Compression::zstd(), &raw),
            ("zstd_dictionary.bin", zstd_dictionary, &raw),
            (
                "custom_128.bin",
                Compression::Custom(Arc::new(SensorBytes)),
                &readings,
            ),
        ] {
            std::fs::write(folder.join(name), compression.encode(raw).unwrap()).unwrap();
        }
    }
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut known = CodecRegistry::default();
    known.register(Arc::new(SensorBytes)).unwrap();
    let dictionary = Dictionary::new(read("dictionary.bin"), &Limits::default()).unwrap();
    known.add_dictionary(Arc::new(dictionary)).unwrap();
    for (name, tag, raw) in [
        ("none.bin", TAG_NONE, &raw),
        ("lz4.bin", TAG_LZ4, &raw),
        ("zstd.bin", TAG_ZSTD, &raw),
        ("zstd_dictionary.bin", TAG_ZSTD, &raw),
        ("custom_128.bin", 128, &readings),
    ] {
        let frame = read(name);
        assert_eq!(frame[0], tag, "{name}");
        assert!(
            known.decode(&frame, &Limits::default()).unwrap() == *raw,
            "{name}"
        );
    }
    // What a library packs may change with its version; the head may not, nor what we write ourselves.
    assert!(Compression::None.encode(&raw).unwrap() == read("none.bin"));
    assert!(
        Compression::Custom(Arc::new(SensorBytes))
            .encode(&readings)
            .unwrap()
            == read("custom_128.bin")
    );
    for (name, compression) in [
        ("lz4.bin", Compression::Lz4),
        ("zstd.bin", Compression::zstd()),
    ] {
        let (old, new) = (read(name), compression.encode(&raw).unwrap());
        assert_eq!(old[..8], new[..8], "{name}");
    }
}

fn compressible() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000),
        (prop::collection::vec(any::<u8>(), 1..20), 0_usize..5_000)
            .prop_map(|(piece, times)| piece.repeat(times)),
        prop::collection::vec(0_u8..3, 0..5_000),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_goes_in_comes_out(raw in compressible()) {
        let compressions = all();
        let known = knows(&compressions);
        for compression in &compressions {
            let mut frame = b"before".to_vec();
            compression.encode_into(&raw, &mut frame).unwrap();
            let frame = frame.strip_prefix(b"before").unwrap();
            prop_assert!(frame.len() <= raw.len() + FRAME_OVERHEAD_MAX);
            prop_assert!(known.decode(frame, &Limits::default()).unwrap() == raw, "{}", compression);
        }
    }

    #[test]
    fn any_bytes_are_unpacked_or_refused(tag in prop_oneof![0_u8..4, 128_u8..130], raw_bytes in 0_u64..100_000, packed: Vec<u8>) {
        let known = knows(&[]);
        let _ = known.decode(&forged(tag, raw_bytes, &packed), &Limits::default());
        let _ = known.decode(&packed, &Limits::default());
        testkit::decoders::compression_frame(&packed);
    }
}
