//! Page files: what is saved is read back, only what changed is written, and no fault, cut or flipped bit gives pages
//! that were never saved.

use std::path::Path;
use std::sync::Arc;

use crate::model_disk::{Disk, Fault, ModelFiles};
use common::ErrorKind;
use durable::{Access, Page, PageFile, PageImage, PageSection, open_pages, open_pages_with};

const FILE: &str = "folder/data.pages";

/// Pages of a state, each with its version.
type Pages = Vec<(Vec<u8>, u64)>;

fn pages(count: u8, changed: &[u8]) -> Pages {
    (0..count)
        .map(|at| {
            let version = if changed.contains(&at) { 100 } else { 0 } + u64::from(at) + 1;
            (vec![version as u8; 300], version)
        })
        .collect()
}

fn sections(pages: &Pages) -> Vec<PageSection<'_>> {
    vec![
        PageSection {
            name: "rows".into(),
            pages: pages
                .iter()
                .map(|(bytes, version)| Page::Fresh {
                    bytes,
                    version: *version,
                })
                .collect(),
        },
        PageSection {
            name: "none".into(),
            pages: Vec::new(),
        },
    ]
}

fn read(image: &PageImage) -> Option<Vec<Vec<u8>>> {
    assert_eq!(image.sections[1].pages.len(), 0);
    let pages = image.sections[0].pages.iter();
    pages.map(|page| page.get().map(<[u8]>::to_vec)).collect()
}

fn bytes(pages: &Pages) -> Vec<Vec<u8>> {
    pages.iter().map(|(bytes, _)| bytes.clone()).collect()
}

#[test]
fn a_save_writes_what_changed_and_old_readings_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pages");
    let mut file = PageFile::open_or_create(&path).unwrap();
    assert!(file.image().unwrap().is_none());
    let (old, new) = (pages(20, &[]), pages(20, &[3, 7]));
    let saved = file.save(b"old", &sections(&old)).unwrap();
    assert_eq!((saved.generation, saved.pages, saved.written), (1, 20, 20));
    let held = open_pages(&path, Access::Map).unwrap();
    let saved = file.save(b"new", &sections(&new)).unwrap();
    assert_eq!((saved.generation, saved.pages, saved.written), (2, 20, 2));
    for access in [Access::Map, Access::Memory] {
        let image = open_pages(&path, access).unwrap();
        assert_eq!(read(&image), Some(bytes(&new)));
        assert_eq!(
            (image.meta.as_slice(), image.generation),
            (b"new".as_slice(), 2)
        );
        let page = image.sections[0].pages[1].get().unwrap();
        assert_eq!(page.as_ptr().align_offset(64), 0);
    }
    assert_eq!(read(&held), Some(bytes(&old)));
    assert_eq!(
        PageFile::open_or_create(&path).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    drop(file);

    // Pages that were read are known when they are saved again, after a restart too.
    let mut file = PageFile::open_or_create(&path).unwrap();
    let image = file.image().unwrap().unwrap();
    let stored = PageSection {
        name: "rows".into(),
        pages: image.sections[0].pages.iter().map(Page::Stored).collect(),
    };
    let none = sections(&new).remove(1);
    let saved = file.save(b"", &[stored, none]).unwrap();
    assert_eq!((saved.generation, saved.pages, saved.written), (3, 20, 0));
    // Also when somebody else read them.
    let read_by_another = open_pages(file.path(), Access::Memory).unwrap();
    let stored = PageSection {
        name: "rows".into(),
        pages: read_by_another.sections[0]
            .pages
            .iter()
            .map(Page::Stored)
            .collect(),
    };
    let none = sections(&new).remove(1);
    let saved = file.save(b"", &[stored, none]).unwrap();
    assert_eq!((saved.generation, saved.pages, saved.written), (4, 20, 0));
    assert_eq!(read(&file.image().unwrap().unwrap()), Some(bytes(&new)));
}

#[test]
fn the_golden_file_still_opens_and_is_still_written() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/pages.bin");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pages");
    let mut file = PageFile::open_or_create(&path).unwrap();
    file.save(b"one", &sections(&pages(2, &[]))).unwrap();
    file.save(b"two", &sections(&pages(3, &[1]))).unwrap();
    let written = std::fs::read(&path).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &written).unwrap();
    }
    assert!(
        written == std::fs::read(&golden).unwrap(),
        "the layout changed"
    );
    let image = open_pages(&golden, Access::Memory).unwrap();
    assert_eq!(read(&image), Some(bytes(&pages(3, &[1]))));
}

#[test]
fn stale_pages_do_not_pile_up() {
    let files = ModelFiles::default();
    let path = Path::new(FILE);
    let mut file = PageFile::open_or_create_with(Arc::new(files.clone()), path).unwrap();
    let page = vec![7; 400_000];
    let mut most = 0;
    for round in 0..40_u64 {
        let pages = (0..3).map(|at| Page::Fresh {
            bytes: &page,
            version: 1 + at + 3 * round,
        });
        let section = PageSection {
            name: "rows".into(),
            pages: pages.collect(),
        };
        most = most.max(file.save(b"", &[section]).unwrap().file_bytes);
    }
    assert!(most < 2 * 1_200_000 + (1 << 20) + 10_000, "{most}");
}

#[test]
fn t38_where_writing_anew_fails_saves_go_on_until_the_disk_would_fill() {
    let files = ModelFiles::default();
    let path = Path::new(FILE);
    let mut file = PageFile::open_or_create_with(Arc::new(files.clone()), path).unwrap();
    let page = vec![7; 1_000_000];
    let save = |file: &mut PageFile, version| {
        let section = PageSection {
            name: "rows".into(),
            pages: vec![Page::Fresh {
                bytes: &page,
                version,
            }],
        };
        file.save(&[version as u8], &[section])
    };
    save(&mut file, 1).unwrap();
    // A file that is written anew is a second file for a while.
    files.disk().refuses_new_files = true;
    let (mut overgrown, mut refused) = (0, 0);
    for version in 2..102 {
        match save(&mut file, version) {
            Ok(saved) => {
                assert!(saved.file_bytes < 6_500_000, "{}", saved.file_bytes);
                overgrown += u32::from(saved.overgrown.is_some());
            }
            Err(error) => {
                refused += 1;
                assert!(error.message().contains("stale"), "{error}");
            }
        }
    }
    assert!(overgrown >= 2 && refused > 80, "{overgrown} {refused}");
    files.disk().refuses_new_files = false;
    let saved = save(&mut file, 200).unwrap();
    assert!(saved.file_bytes < 1_100_000 && saved.overgrown.is_none());
    assert_eq!(file.image().unwrap().unwrap().meta, [200]);
}

#[test]
fn after_any_fault_or_power_cut_the_file_is_old_or_new() {
    let path = Path::new(FILE);
    let (old, new, third) = (pages(9, &[]), pages(9, &[2, 5]), pages(9, &[1]));
    let start = {
        let files = ModelFiles::default();
        let mut file = PageFile::open_or_create_with(Arc::new(files.clone()), path).unwrap();
        file.save(b"", &sections(&old)).unwrap();
        let disk = files.disk().clone();
        Disk { calls: 0, ..disk }
    };
    let mut seen = [0, 0];
    for at in 1.. {
        let mut refused = 0;
        for fault in [Fault::Error, Fault::Half, Fault::PowerCut] {
            let files = ModelFiles::of(start.clone());
            let mut file = PageFile::open_or_create_with(Arc::new(files.clone()), path).unwrap();
            // The pages that were there when the file was opened, but for those that changed.
            let image = file.image().unwrap().unwrap();
            let mut section = sections(&new).remove(0);
            for (page, stored) in section.pages.iter_mut().zip(&image.sections[0].pages) {
                if matches!(page, Page::Fresh { version, .. } if *version < 100) {
                    *page = Page::Stored(stored);
                }
            }
            {
                let mut disk = files.disk();
                disk.calls = 0;
                disk.fault = Some((at, fault));
            }
            let none = sections(&new).remove(1);
            let saved = file.save(b"", &[section, none]);
            refused += usize::from(saved.is_err());
            let disks = match fault {
                Fault::PowerCut => files.disk().after_power_cut(),
                _ => vec![files.disk().clone()],
            };
            for disk in disks {
                let files = ModelFiles::of(Disk {
                    fault: None,
                    dead: false,
                    ..disk
                });
                let image = open_pages_with(&files, path, Access::Memory).unwrap();
                let found = read(&image).unwrap();
                let is_new = found == bytes(&new);
                assert!(is_new || found == bytes(&old), "a mixture after call {at}");
                assert!(is_new || saved.is_err(), "acknowledged, then lost");
                seen[usize::from(is_new)] += 1;
                // And it can be saved to.
                let mut file =
                    PageFile::open_or_create_with(Arc::new(files.clone()), path).unwrap();
                file.save(b"", &sections(&third)).unwrap();
                let image = open_pages_with(&files, path, Access::Memory).unwrap();
                assert_eq!(read(&image), Some(bytes(&third)));
            }
        }
        if refused == 0 {
            assert!(
                at >= 7,
                "open, write, sync, open, write, sync, open, write: {at}"
            );
            break;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}

#[test]
fn every_flipped_bit_and_every_cut_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pages");
    let mut file = PageFile::open_or_create(&path).unwrap();
    file.save(b"one", &sections(&pages(3, &[]))).unwrap();
    let state = pages(3, &[1]);
    file.save(b"two", &sections(&state)).unwrap();
    drop(file);
    let whole = std::fs::read(&path).unwrap();
    let damaged = folder.path().join("b.pages");
    let (mut refused, mut same) = (0, 0);
    let mut check = |content: &[u8]| {
        std::fs::write(&damaged, content).unwrap();
        match open_pages(&damaged, Access::Memory) {
            Ok(image) => {
                assert_eq!(image.meta, b"two");
                assert_eq!(read(&image), Some(bytes(&state)));
                same += 1;
            }
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported),
                    "{error}"
                );
                assert!(error.message().contains("b.pages"), "{error}");
                refused += 1;
            }
        }
    };
    for byte in (0..2_100).chain(4_000..whole.len()) {
        let mut content = whole.clone();
        content[byte] ^= 1 << (byte % 8);
        check(&content);
    }
    for len in (0..whole.len()).step_by(13) {
        check(&whole[..len]);
    }
    assert!(refused > 1_000 && same > 1_000, "{refused} {same}");
}

#[test]
fn a_damaged_page_is_told_when_it_is_read_and_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pages");
    let state = pages(3, &[]);
    PageFile::open_or_create(&path)
        .and_then(|mut file| file.save(b"", &sections(&state)))
        .unwrap();
    let mut content = std::fs::read(&path).unwrap();
    content[4_096 + 320 + 5] ^= 1;
    std::fs::write(&path, content).unwrap();
    let image = open_pages(&path, Access::Map).unwrap();
    assert!(image.sections[0].pages[0].get().is_some());
    image.source.check().unwrap();
    assert_eq!(image.sections[0].pages[1].get(), None);
    let error = image.source.check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("page at byte 4416"), "{error}");
    let section = PageSection {
        name: "rows".into(),
        pages: image.sections[0].pages.iter().map(Page::Stored).collect(),
    };
    let other = folder.path().join("b.pages");
    let mut file = PageFile::open_or_create(&other).unwrap();
    assert_eq!(
        file.save(b"", &[section]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert!(!other.exists());
}
