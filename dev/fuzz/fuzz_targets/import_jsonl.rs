//! Users' JSON lines: see `import::hostile::check`. The first byte is the options of the command line.
#![no_main]

use import::Options;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [flags, file @ ..] = data else {
        return;
    };
    let options = Options {
        table: "t".to_owned(),
        number_rows: flags & 1 != 0,
        lenient: flags & 2 != 0,
        always_number: flags & 4 != 0,
        nulls: vec!["null".to_owned()],
        ..Options::default()
    };
    import::hostile::check("jsonl", file.to_vec(), &options);
});
