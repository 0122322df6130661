//! Users' files of vectors: see `import::vectors::hostile::check`. The first byte is the kind of file.
#![no_main]

use import::vectors::VectorFormat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    // The library below Parquet panics on some input; see the target `parquet`.
    init: std::panic::set_hook(Box::new(|_| {})),
    |data: &[u8]| {
        let Some((kind, file)) = data.split_first() else {
            return;
        };
        let kinds = VectorFormat::ALL;
        let format = kinds[usize::from(*kind) % kinds.len()];
        import::vectors::hostile::check(format, file, testkit::decoders::limits());
    }
);
