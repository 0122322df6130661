//! Users' CSV files: see `import::hostile::check`. The first two bytes are the options of the command line.
#![no_main]

use import::Options;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [flags, delimiter, file @ ..] = data else {
        return;
    };
    let options = Options {
        table: "t".to_owned(),
        number_rows: flags & 1 != 0,
        lenient: flags & 2 != 0,
        no_header: flags & 4 != 0,
        always_number: flags & 8 != 0,
        // As `tandem import --delimiter` takes it: one ASCII character that is no quote.
        delimiter: Some(*delimiter).filter(|d| flags & 16 != 0 && d.is_ascii() && *d != b'"'),
        nulls: vec!["null".to_owned()],
        ..Options::default()
    };
    let ending = if flags & 32 != 0 { "tsv" } else { "csv" };
    import::hostile::check(ending, file.to_vec(), &options);
});
