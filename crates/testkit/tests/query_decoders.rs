//! The seeds of the fuzz targets for filters, queries and cursors, and changed copies of them, keep every
//! promise that the targets check.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use proptest::prelude::*;
use testkit::decoders;

type Check = fn(&[u8]);

const TARGETS: [(&str, Check); 4] = [
    ("cursor", decoders::cursor),
    ("filter_json", decoders::filter_json),
    ("filter_text", decoders::filter_text),
    ("query_json", decoders::query_json),
];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../dev/fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(corpus).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn seeds_keep_the_promises() {
    for (target, check) in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for seed in &seeds {
            check(seed);
        }
    }
}

proptest! {
    #[test]
    fn changed_seeds_keep_the_promises(
        target in 0..TARGETS.len(), seed in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (name, check) = TARGETS[target];
        let seeds = seeds(name);
        let (seed, other) = (seed.get(&seeds), other.get(&seeds));
        let mut bytes = seed.clone();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at.index(seed.len())) {
                *place = byte;
            }
        }
        check(&bytes);
        // The beginning of one and the end of another.
        let cut = cut.index(seed.len().min(other.len()));
        let mixed: Vec<u8> = bytes[..cut].iter().chain(&other[cut..]).copied().collect();
        check(&mixed);
    }
}
