//! R4, R5: whatever a power cut leaves, opening finds everything acknowledged, nothing by half, and can go on.

use std::collections::HashSet;
use std::env;

use crate::disk::{Disk, Fault, Image, Op, Player, fingerprint};
use crate::script::{History, STEPS, check, dump, open, run};

/// Every distinct content that a power cut may leave, with the steps that are possible for it.
fn images(begin: &Image, ops: &[Op], visit: &mut dyn FnMut(&Image, &Player)) -> usize {
    let mut player = Player::of(begin);
    let mut seen = HashSet::new();
    for op in ops {
        player.play(op);
        for image in player.images() {
            let key = (fingerprint(&image), player.acked, player.started);
            if seen.insert(key) {
                visit(&image, &player);
            }
        }
    }
    seen.len()
}

#[test]
fn t23_t25_t40_every_crash_image_opens_to_what_was_acknowledged() {
    // `cargo xtask soak crash` asks for more.
    let least = env::var("TANDEMDB_CRASH_IMAGES").map_or(1, |least| least.parse().unwrap());
    let (mut count, mut torn, mut goes_on, mut seed) = (0, 0, 0, 0);
    while count < least {
        let disk = Disk::default();
        let mut history = History {
            seed,
            ..History::default()
        };
        run(&disk, &mut history, 240).unwrap();
        let ops = disk.state().ops.clone();
        count += images(&Image::new(), &ops, &mut |image, player| {
            let disk = Disk::of(image);
            let store = open(&disk).unwrap();
            check(&store, &history, player.acked, player.started);
            torn += usize::from(store.recovery().torn_bytes > 0);
            // It takes writes, and has them after another restart.
            if fingerprint(image).is_multiple_of(16) {
                goes_on += 1;
                let schema = crate::script::schema("later");
                store.database().create_collection(schema).unwrap();
                let before = dump(store.database());
                store.close().unwrap();
                drop(store);
                assert_eq!(dump(open(&disk).unwrap().database()), before);
            }
        });
        seed += 1;
    }
    println!(r#"SOAK {{"images":{count},"torn":{torn},"written_to_afterwards":{goes_on}}}"#);
    assert!(count > 2_000 && torn > 100 && goes_on > 50);
}

#[test]
fn r5_a_crash_while_recovering_from_a_crash_loses_nothing() {
    let disk = Disk::default();
    let mut history = History::default();
    run(&disk, &mut history, 240).unwrap();
    let ops = disk.state().ops.clone();
    let mut pairs = 0;
    images(&Image::new(), &ops, &mut |image, player| {
        if !fingerprint(image).is_multiple_of(11) {
            return;
        }
        let again = Disk::of(image);
        let store = open(&again).unwrap();
        // What was found is acknowledged from here on.
        let found = dump(store.database());
        let states = &history.states;
        let at = states.iter().rposition(|(state, _)| *state == found);
        let at = at.unwrap();
        assert!(at >= player.acked);
        let before = again.state().ops.len();
        drop(store);
        let ops = again.state().ops.clone();
        pairs += images(image, &ops[..before], &mut |image, _| {
            let store = open(&Disk::of(image)).unwrap();
            check(&store, &history, player.acked, player.started);
        });
        // After it has opened, the same state is found whatever is lost then.
        let mut later = Player::of(image);
        ops[..before].iter().for_each(|op| later.play(op));
        for image in later.images() {
            check(&open(&Disk::of(&image)).unwrap(), &history, at, at);
        }
    });
    assert!(pairs > 200, "{pairs} pairs");
}

/// A kernel whose sync has failed may forget that the pages are still to be written, and shows them all the same.
#[test]
fn t43_what_a_failed_sync_left_in_memory_is_on_the_disk_before_it_counts() {
    let whole = Disk::default();
    run(&whole, &mut History::default(), STEPS).unwrap();
    let calls = whole.state().calls;
    let mut beyond = 0;
    for at in 1..=calls {
        let disk = Disk::default();
        disk.state().fault = Some((at, Fault::Io));
        let mut history = History::default();
        // Where a snapshot fails, it goes on.
        let _ = run(&disk, &mut history, STEPS);
        disk.state().fault = None;
        let failed = |op: &Op| matches!(op, Op::FailedSync(_));
        if !disk.state().ops.iter().any(failed) {
            continue;
        }
        let store = open(&disk).unwrap();
        let found = dump(store.database());
        let states = &history.states;
        let place = states.iter().rposition(|(state, _)| *state == found);
        beyond += usize::from(place.is_some_and(|place| place > history.acked));
        // Whoever reads now takes what is found for safe.
        let ops = disk.state().ops.clone();
        let mut player = Player::default();
        for op in &ops {
            player.play(op);
        }
        for image in player.images() {
            let store = open(&Disk::of(&image)).unwrap();
            assert_eq!(dump(store.database()), found, "call {at}");
        }
    }
    assert!(
        beyond > 10,
        "{beyond} openings found more than was acknowledged"
    );
}
