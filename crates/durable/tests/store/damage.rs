//! R8: flipped bits and lost ends: an error that names the file, or the same database.

use std::path::Path;

use common::ErrorKind;
use durable::{repair_with, verify_with};

use crate::disk::{Disk, Image};
use crate::script::{FOLDER, History, STEPS, changes, dump, open, run};

fn closed_disk() -> Image {
    let disk = Disk::default();
    run(&disk, &mut History::default(), STEPS).unwrap();
    disk.image()
}

/// Numbers that look random and are the same in every run.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 1).unwrap()
}

#[test]
fn r8_t43_a_flipped_bit_or_a_lost_end_is_an_error_or_changes_nothing() {
    let image = closed_disk();
    let store = open(&Disk::of(&image)).unwrap();
    assert!(store.recovery().was_closed);
    let expected = (dump(store.database()), changes(store.database()));
    drop(store);
    let paths: Vec<_> = image.keys().cloned().collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let (mut refused, mut same) = (0, 0);
    for round in 0..10_000 {
        let mut damaged = image.clone();
        let path = &paths[random(&mut seed) % paths.len()];
        let content = damaged.get_mut(path).unwrap();
        let at = random(&mut seed) % content.len();
        if round % 4 == 0 {
            content.truncate(at);
        } else {
            content[at] ^= 1 << (random(&mut seed) % 8);
        }
        match open(&Disk::of(&damaged)) {
            Ok(store) => {
                same += 1;
                let found = (dump(store.database()), changes(store.database()));
                assert_eq!(found, expected, "{}: byte {at}", path.display());
            }
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                let name = path.file_name().unwrap().to_string_lossy();
                assert!(
                    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported),
                    "{text}"
                );
                assert!(text.contains(&*name), "{text} does not name {name}");
                assert!(text.contains("byte") || text.contains("offset"), "{text}");
            }
        }
    }
    assert!(
        refused > 5_000 && same > 100,
        "{refused} refused, {same} the same"
    );
}

#[test]
fn a_damaged_log_is_cut_only_when_asked_and_the_bytes_are_kept() {
    let image = closed_disk();
    let last = Path::new("data/db/log-0000000000000003");
    let mut damaged = image.clone();
    let content = damaged.get_mut(last).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 4;
    let disk = Disk::of(&damaged);
    let error = open(&disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("tandem repair"), "{error}");
    assert!(verify_with(&disk, Path::new(FOLDER)).is_err());
    assert_eq!(disk.image(), damaged, "looking changes nothing");

    let repaired = repair_with(&disk, Path::new(FOLDER)).unwrap();
    assert!(repaired.cut_bytes > 0);
    let kept = &disk.image()[&repaired.kept[0]];
    let cut = &disk.image()[last];
    assert_eq!([&cut[..], &kept[..]].concat(), damaged[last]);
    let store = open(&disk).unwrap();
    assert_eq!(store.recovery().seq, repaired.recovery.seq);
    drop(store);

    let whole = Disk::of(&image);
    let untouched = repair_with(&whole, Path::new(FOLDER)).unwrap();
    assert!(untouched.kept.is_empty() && whole.image() == image);
}

#[test]
fn t43_after_a_kill_damage_to_what_was_safe_is_told_from_a_torn_end() {
    let mut image = closed_disk();
    image.remove(Path::new("data/db/closed")).unwrap();
    let last = Path::new("data/db/log-0000000000000003");
    let middle = image[last].len() / 2;
    let mut damaged = image.clone();
    damaged.get_mut(last).unwrap()[middle] ^= 4;
    let error = open(&Disk::of(&damaged)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("was safe on the disk"),
        "{error}"
    );
    // The end of the last batch alone is what a power cut leaves.
    let end = image[last].len() - 1;
    image.get_mut(last).unwrap()[end] ^= 4;
    let store = open(&Disk::of(&image)).unwrap();
    assert!(store.recovery().torn_bytes > 0);
}
