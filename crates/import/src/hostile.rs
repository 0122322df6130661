//! Files that are not what their name says: whatever the bytes, every row is read or refused with its line.
//!
//! [`check`] is what the fuzz targets call.

use std::ops::ControlFlow;
use std::path::Path;

use common::schema::RuleRegistry;

use super::load::load_from;
use super::{Cell, Options, Source, open_bytes};

/// Reads bytes as a file of that kind; the promises hold whatever they are.
///
/// # Panics
/// When a promise is broken.
pub fn check(ending: &str, bytes: Vec<u8>, options: &Options) {
    let path = Path::new("hostile");
    let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
    let Ok(source) = open_bytes(path, ending, bytes, options) else {
        return;
    };
    let mut rows = 0;
    let mut last = 0;
    let read = source.each(&mut |line, cells| {
        rows += 1;
        assert!(
            // A carriage return alone ends a row and no line.
            last <= line && line <= lines,
            "rows come in order of their lines"
        );
        last = line;
        match cells {
            Ok(cells) => assert_eq!(cells.len(), source.columns().len(), "line {line}"),
            Err(refusal) => assert_eq!(refusal.line, line),
        }
        ControlFlow::Continue(())
    });
    assert!(read.is_ok(), "what could be opened can be read");
    if ["csv", "tsv"].contains(&ending) {
        check_written_again(source.as_ref());
    }
    let mut seen = 0;
    let mut count = |rows| seen = rows;
    let Ok(loaded) = load_from(source.as_ref(), path, options, &mut count) else {
        return;
    };
    assert!(seen <= rows);
    assert_eq!(loaded.rows.len() + loaded.refused, rows, "no row is lost");
    let validator = loaded.schema.compile(&RuleRegistry::default());
    let validator = validator.expect("a schema that was found out is one");
    for (_, values) in loaded.rows {
        let mut again = values.clone();
        assert!(
            validator.prepare(&mut again).is_ok(),
            "rows fit their schema"
        );
        assert_eq!(values, again, "and nothing is left to be done to them");
    }
}

/// The cells of every row that was read are the same after being written by the rules, with commas and quotes.
fn check_written_again(source: &dyn Source) {
    let rows_of = |source: &dyn Source| {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let read = source.each(&mut |_, cells| {
            rows.extend(cells.ok().map(|cells| {
                let texts = cells.iter().map(|cell| match cell {
                    Cell::Text(text) => (*text).to_owned(),
                    other => panic!("{other:?} in a file of texts"),
                });
                texts.collect()
            }));
            ControlFlow::Continue(())
        });
        read.expect("what could be opened can be read");
        rows
    };
    let rows = rows_of(source);
    if rows.is_empty() {
        return;
    }
    let mut written = csv::WriterBuilder::new();
    let mut written = written
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(Vec::new());
    for row in &rows {
        written.write_record(row).expect("memory takes all");
    }
    let bytes = written.into_inner().expect("memory takes all");
    let options = Options {
        delimiter: Some(b','),
        no_header: true,
        ..Options::default()
    };
    let again = open_bytes(Path::new("again"), "csv", bytes, &options);
    assert_eq!(
        rows_of(again.expect("rows that were written").as_ref()),
        rows
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const SEEDS: [(&str, &str); 4] = [
        (
            "csv",
            "id,name,when\n1,Oulu,2026-11-24\n2,\"a, \"\"b\"\"\",\n3,é,2025-01-01\n",
        ),
        ("csv", "\u{feff}a;b\r\n1;2,5\r\n\"x\ny\";\r\n"),
        ("tsv", "id\tx\n1\t0.5\n2\t-1e308\n"),
        (
            "jsonl",
            "{\"id\": 1, \"tags\": [1, null], \"m\": {\"a\": 1.5}}\n\n{\"id\": 2, \"x\": \"\\u0000\"}\n",
        ),
    ];

    fn options() -> impl Strategy<Value = Options> {
        (any::<[bool; 3]>(), proptest::option::of(any::<u8>())).prop_map(
            |([number_rows, lenient, no_header], delimiter)| Options {
                table: "t".to_owned(),
                number_rows,
                lenient,
                no_header,
                delimiter,
                ..Options::default()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn damaged_files_are_read_or_refused(
            seed in 0..SEEDS.len(),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..6),
            options in options(),
        ) {
            let (ending, text) = SEEDS[seed];
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte, what) in cuts {
                let at = at.index(bytes.len().max(1)).min(bytes.len());
                match what {
                    0 => bytes.insert(at, byte),
                    1 if at < bytes.len() => bytes[at] = byte,
                    2 => bytes.truncate(at),
                    _ => bytes.splice(at..at, *b"\"\n,").for_each(drop),
                }
            }
            check(ending, bytes, &options);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            ending in prop::sample::select(vec!["csv", "tsv", "jsonl", "parquet", "arrow"]),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            options in options(),
        ) {
            check(ending, bytes, &options);
        }
    }

    #[test]
    fn deep_nesting_is_refused_in_its_line() {
        let mut file = b"{\"id\": 1}\n{\"id\": ".to_vec();
        file.extend(std::iter::repeat_n(b'[', 100_000));
        let options = Options {
            table: "t".to_owned(),
            ..Options::default()
        };
        let source = open_bytes(Path::new("deep"), "jsonl", file, &options).unwrap();
        let loaded = load_from(source.as_ref(), Path::new("deep"), &options, &mut |_| ()).unwrap();
        assert_eq!((loaded.rows.len(), loaded.refused), (1, 1));
        assert_eq!(loaded.refusals[0].line, 2);
    }
}
