//! Index files: what is opened answers as what was saved, only changes are written, and neither damage nor a crafted file
//! gives other answers or a panic.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{ErrorKind, Result, Slot};
use durable::{Page, PageFile, PageSection, open_pages};
use proptest::prelude::*;
use vectordb::core::{Precision, SlotSet, VectorTable};
use vectordb::{
    Access, ClusteredOptions, GraphOptions, Index, IndexFile, IndexOptions, Layout, Metric,
    unwatched,
};

const DIMENSION: usize = 12;
const K: usize = 8;

fn vector(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..DIMENSION)
        .map(|_| next() * (1.0 + (seed % 5) as f32))
        .collect()
}

fn kinds() -> [IndexOptions; 5] {
    [
        IndexOptions::Exact,
        IndexOptions::Graph(GraphOptions::new(Layout::Compact)),
        IndexOptions::Graph(GraphOptions::new(Layout::Fast)),
        IndexOptions::Clustered(ClusteredOptions::default()),
        IndexOptions::Clustered(ClusteredOptions::default().bits(4)),
    ]
}

fn build(
    options: &IndexOptions,
    metric: Metric,
    precision: Precision,
    count: u64,
) -> (VectorTable, Index) {
    let mut table = VectorTable::with_precision(DIMENSION, precision);
    for seed in 0..count {
        table.push(&metric.prepare(&vector(seed), DIMENSION).unwrap());
    }
    let index = Index::build(options, metric, table.rows(), &unwatched).unwrap();
    (table, index)
}

/// Some are removed, some replaced, some added.
fn change((table, index): &mut (VectorTable, Index), round: u64) {
    let metric = index.metric();
    for i in 0..60 {
        let slot = Slot(((round * 61 + i * 17) % 2_000) as u32);
        let vector = metric
            .prepare(&vector(10_000 + round * 100 + i), DIMENSION)
            .unwrap();
        if table.rows().contains(slot) {
            index.remove(table.rows(), slot);
            if i % 3 == 0 {
                table.remove(slot);
            } else {
                table.replace(slot, &vector);
                index.insert(table.rows(), slot);
            }
        } else if let Some(slot) = table.push(&vector) {
            index.insert(table.rows(), slot);
        }
    }
}

type Answers = Vec<Vec<(u32, u64)>>;

/// The answers to some queries, to the last bit.
fn answers((table, index): &(VectorTable, Index)) -> Result<Answers> {
    let filter: SlotSet = (0..2_500).step_by(2).map(Slot).collect();
    let mut all = Vec::new();
    for seed in 0..12 {
        let query = index
            .metric()
            .prepare_query(&vector(50_000 + seed), DIMENSION)?;
        let filter = (seed % 3 == 0).then_some(&filter);
        let found = index.nearest(table.rows(), &query, K, None, filter)?;
        all.push(
            found
                .iter()
                .map(|hit| (hit.slot.0, hit.distance.to_bits()))
                .collect(),
        );
    }
    Ok(all)
}

#[test]
fn t31_a_reopened_index_answers_bit_for_bit_as_before() {
    let folder = tempfile::tempdir().unwrap();
    for (number, options) in kinds().iter().enumerate() {
        for metric in [Metric::Euclidean, Metric::Dot] {
            let precision = match (options, metric) {
                (IndexOptions::Graph(_), Metric::Euclidean) => Precision::F16,
                (IndexOptions::Exact, Metric::Dot) => Precision::I8,
                _ => Precision::F32,
            };
            let path = folder.path().join(format!("{number}-{metric}"));
            let mut built = build(options, metric, precision, 2_100);
            let mut file = IndexFile::open_or_create(&path).unwrap();
            let first = file.save(&built.0, &built.1).unwrap();
            for access in [Access::Map, Access::Memory] {
                let mut opened = IndexFile::open(&path, access).unwrap();
                assert_eq!(
                    answers(&opened).unwrap(),
                    answers(&built).unwrap(),
                    "{options:?} {metric}"
                );
                // And goes on as it would have, without a change to the file.
                let mut same = built.clone();
                for round in 0..3 {
                    change(&mut opened, round);
                    change(&mut same, round);
                }
                assert_eq!(
                    answers(&opened).unwrap(),
                    answers(&same).unwrap(),
                    "{options:?} {metric}"
                );
            }
            let held = IndexFile::open(&path, Access::Map).unwrap();
            change(&mut built, 7);
            let second = file.save(&built.0, &built.1).unwrap();
            assert!(second.generation == 2 && second.pages >= first.pages);
            // Who opened it before still sees what was there then; who opens it now, what is there now.
            let opened = file.read().unwrap().unwrap();
            assert_eq!(answers(&opened).unwrap(), answers(&built).unwrap());
            assert_ne!(answers(&held).unwrap(), answers(&built).unwrap());
            // Of what was read from the file and did not change, nothing is written.
            let third = file.save(&opened.0, &opened.1).unwrap();
            assert!(
                third.written < 12 && third.written_bytes < 60_000,
                "{third:?}"
            );
        }
    }
}

#[test]
fn bits_come_back() {
    let folder = tempfile::tempdir().unwrap();
    for options in &kinds()[..2] {
        let built = build(options, Metric::Hamming, Precision::Bits, 2_100);
        let path = folder.path().join("bits");
        let mut file = IndexFile::open_or_create(&path).unwrap();
        file.save(&built.0, &built.1).unwrap();
        let opened = file.read().unwrap().unwrap();
        assert_eq!(answers(&opened).unwrap(), answers(&built).unwrap());
    }
}

#[test]
fn only_pages_that_changed_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = IndexFile::open_or_create(folder.path().join("a")).unwrap();
    let mut table = VectorTable::new(256);
    for seed in 0..20_000 {
        let short = vector(seed);
        table.push(&short.repeat(22)[..256]);
    }
    let index = Index::new(&IndexOptions::Exact, Metric::Euclidean).unwrap();
    let first = file.save(&table, &index).unwrap();
    table.replace(Slot(300), &[0.5; 256]);
    table.remove(Slot(9_999));
    let second = file.save(&table, &index).unwrap();
    assert!(first.written_bytes > 20_000_000, "{first:?}");
    // One page of rows, those of what is in use, the list of free slots.
    assert!(second.written_bytes < 400_000, "{second:?}");
}

/// Bits of the file that are flipped and answers asked for after each: identical, or an error that names the file.
fn flip_bits(options: &IndexOptions, count: usize) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.vectors");
    let built = build(options, Metric::Euclidean, Precision::F32, 2_010);
    let saved = IndexFile::open_or_create(&path)
        .unwrap()
        .save(&built.0, &built.1)
        .unwrap();
    let truth = answers(&built).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let (mut same, mut refused) = (0, 0);
    for at in 0..count as u64 {
        // Half of them in the header and the directory, which are small.
        let place = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
        let tail = saved.file_bytes - 2_500;
        let byte = match at % 4 {
            0 => place % 4_096,
            1 => tail + place % 2_500,
            _ => place % saved.file_bytes,
        };
        let mut was = [0];
        file.read_exact_at(&mut was, byte).unwrap();
        file.write_all_at(&[was[0] ^ 1 << (at % 8)], byte).unwrap();
        match IndexFile::open(&path, Access::Map).and_then(|opened| answers(&opened)) {
            Ok(found) => {
                assert!(found == truth, "byte {byte} of {options:?}");
                same += 1;
            }
            Err(error) => {
                let is_typed = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported);
                assert!(
                    is_typed && error.message().contains("flipped.vectors"),
                    "{error}"
                );
                refused += 1;
            }
        }
        file.write_all_at(&was, byte).unwrap();
    }
    (same, refused)
}

#[test]
fn t39_every_flipped_bit_is_an_error_or_changes_no_answer() {
    let [_, compact, fast, clustered, _] = kinds();
    for (options, count) in [(compact, 4_000), (fast, 2_000), (clustered, 4_000)] {
        let (same, refused) = flip_bits(&options, count);
        assert!(same > count / 20 && refused > count / 5, "{same} {refused}");
    }
}

#[test]
fn t39_a_cut_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let built = build(&kinds()[2], Metric::Euclidean, Precision::F32, 2_010);
    IndexFile::open_or_create(&path)
        .unwrap()
        .save(&built.0, &built.1)
        .unwrap();
    let whole = fs::read(&path).unwrap();
    for part in 0..100 {
        fs::write(&cut, &whole[..(whole.len() - 1) * part / 99]).unwrap();
        let error = IndexFile::open(&cut, Access::Map).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn files_that_are_none_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    let refused = |what: &str| {
        let error = IndexFile::open(&path, Access::Map).unwrap_err();
        assert!(
            error.message().contains(what) && error.message().contains("other"),
            "{error}"
        );
        error.kind()
    };
    assert_eq!(refused("No such file"), ErrorKind::Io);
    fs::write(&path, "").unwrap();
    assert_eq!(refused("is no page file"), ErrorKind::Corrupt);
    fs::write(&path, "vectors\n".repeat(1_000)).unwrap();
    assert_eq!(refused("is no page file"), ErrorKind::Corrupt);
    let save = |meta: &str| {
        let _ = fs::remove_file(&path);
        PageFile::open_or_create(&path)
            .unwrap()
            .save(meta.as_bytes(), &[])
            .unwrap();
    };
    save("{}");
    assert_eq!(refused("not those of tandemdb-vectors"), ErrorKind::Corrupt);
    save(r#"{"format": "tandemdb-vectors", "version": 2}"#);
    assert_eq!(refused("later version"), ErrorKind::Unsupported);
    save(r#"{"format": "tandemdb-vectors", "version": 1}"#);
    assert_eq!(refused("makes no sense"), ErrorKind::Corrupt);
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/golden/{name}.vectors.zst"))
}

#[test]
fn golden_files_still_open_and_answer_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in ["exact", "compact", "fast", "clustered", "clustered4"]
        .iter()
        .zip(kinds())
    {
        let path = folder.path().join(name);
        let expected = golden(name).with_extension("answers.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let mut built = build(&options, Metric::Euclidean, Precision::F32, 2_010);
            change(&mut built, 1);
            IndexFile::open_or_create(&path)
                .unwrap()
                .save(&built.0, &built.1)
                .unwrap();
            let packed = zstd::encode_all(fs::File::open(&path).unwrap(), 19).unwrap();
            fs::write(golden(name), packed).unwrap();
            let answers = serde_json::to_string(&answers(&built).unwrap()).unwrap();
            fs::write(&expected, answers + "\n").unwrap();
            fs::remove_file(&path).unwrap();
        }
        let packed = fs::File::open(golden(name)).unwrap();
        fs::write(&path, zstd::decode_all(packed).unwrap()).unwrap();
        let opened = IndexFile::open(&path, Access::Map).unwrap();
        let expected: Answers =
            serde_json::from_str(&fs::read_to_string(expected).unwrap()).unwrap();
        assert_eq!(answers(&opened).unwrap(), expected, "{name}");
    }
}

/// A change to a file that its checksums know nothing of: of a number of what it says, or of bytes of a page.
#[derive(Debug, Clone)]
enum Craft {
    Number {
        which: usize,
        value: u64,
    },
    Page {
        section: usize,
        page: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        section: usize,
    },
    Double {
        section: usize,
    },
}

fn craft() -> impl Strategy<Value = Craft> {
    let value = prop_oneof![
        Just(0),
        Just(1),
        Just(u64::from(u32::MAX)),
        Just(u64::MAX),
        0..5_000_u64,
        any::<u64>()
    ];
    let bytes = prop_oneof![
        Just(vec![0xff; 4]),
        Just(vec![0; 64]),
        prop::collection::vec(any::<u8>(), 1..64)
    ];
    prop_oneof![
        (any::<usize>(), value).prop_map(|(which, value)| Craft::Number { which, value }),
        (any::<usize>(), any::<usize>(), any::<usize>(), bytes).prop_map(
            |(section, page, at, bytes)| Craft::Page {
                section,
                page,
                at,
                bytes
            }
        ),
        any::<usize>().prop_map(|section| Craft::Cut { section }),
        any::<usize>().prop_map(|section| Craft::Double { section }),
    ]
}

/// Sets one number of a JSON value, in the order in which they come.
fn set_number(value: &mut serde_json::Value, at: &mut usize, number: u64) {
    match value {
        serde_json::Value::Number(_) => {
            if *at == 0 {
                *value = number.into();
            }
            *at = at.wrapping_sub(1);
        }
        serde_json::Value::Array(values) => {
            for value in values {
                set_number(value, at, number);
            }
        }
        serde_json::Value::Object(fields) => {
            for value in fields.values_mut() {
                set_number(value, at, number);
            }
        }
        _ => {}
    }
}

fn crafted(from: &Path, to: &Path, crafts: &[Craft]) {
    let image = open_pages(from, Access::Memory).unwrap();
    let mut meta: serde_json::Value = serde_json::from_slice(&image.meta).unwrap();
    let mut sections: Vec<(String, Vec<Vec<u8>>)> = image
        .sections
        .iter()
        .map(|section| {
            let pages = section
                .pages
                .iter()
                .map(|page| page.get().unwrap().to_vec());
            (section.name.clone(), pages.collect())
        })
        .collect();
    let count = sections.len();
    for craft in crafts {
        match craft {
            Craft::Number { which, value } => set_number(&mut meta, &mut (which % 40), *value),
            Craft::Page {
                section,
                page,
                at,
                bytes,
            } => {
                let pages = &mut sections[section % count].1;
                let len = pages.len();
                if let Some(page) = pages.get_mut(page % len.max(1)) {
                    let at = at % page.len().max(1);
                    for (place, byte) in page[at..].iter_mut().zip(bytes) {
                        *place = *byte;
                    }
                }
            }
            Craft::Cut { section } => {
                sections[section % count].1.pop();
            }
            Craft::Double { section } => {
                let pages = &mut sections[section % count].1;
                let last = pages.last().cloned();
                pages.extend(last);
            }
        }
    }
    let sections: Vec<PageSection<'_>> = sections
        .iter()
        .map(|(name, pages)| PageSection {
            name: name.clone(),
            pages: pages
                .iter()
                .map(|bytes| Page::Fresh { bytes, version: 0 })
                .collect(),
        })
        .collect();
    let meta = serde_json::to_vec(&meta).unwrap();
    PageFile::open_or_create(to)
        .unwrap()
        .save(&meta, &sections)
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Answers may be anything, but searches and changes end, and end without a panic.
    #[test]
    fn t39_a_crafted_file_is_refused_or_harmless(kind in 0_usize..5, crafts in prop::collection::vec(craft(), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        let path = folder.path().join("crafted");
        let packed = fs::File::open(golden(["exact", "compact", "fast", "clustered", "clustered4"][kind])).unwrap();
        fs::write(&base, zstd::decode_all(packed).unwrap()).unwrap();
        crafted(&base, &path, &crafts);
        match IndexFile::open(&path, Access::Map) {
            Ok(mut opened) => {
                if opened.0.rows().dimension() == DIMENSION {
                    let _ = answers(&opened);
                    change(&mut opened, 3);
                    let _ = answers(&opened);
                }
            }
            Err(error) => prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{}", error),
        }
    }
}
