//! Connections that are cut, held up and doubled on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use common::row;
use common::utils::id_generator::SeededRng;
use server::ServeOptions;
use server::client::{Backoff, ClientOptions, LiveReplica, LiveReplicaOptions, WebSocketTransport};
use syncdb::SyncDb;

use super::proxy::{Fate, Proxy};
use super::support::{Running, run};

fn likes(running: &Running) -> i64 {
    running.notes.get(0).unwrap()[2].as_int().unwrap()
}

fn like(db: &SyncDb) {
    db.increment("notes", 0, "likes", 1).unwrap();
}

#[test]
fn r19_a_connection_cut_at_every_byte_applies_a_push_once() {
    let running = run(ServeOptions::default());
    let db = SyncDb::client("phone").unwrap();
    let mut direct = WebSocketTransport::new(&running.url()).unwrap();
    db.sync(&mut direct).unwrap();
    // How many bytes a connection with one push takes, both ways.
    let whole = Proxy::start(&running.runtime, running.address, |_| Fate::default());
    like(&db);
    let mut through = WebSocketTransport::new(&whole.url()).unwrap();
    db.sync(&mut through).unwrap();
    drop(through);
    let up = usize::try_from(whole.bytes_up.load(Ordering::Relaxed)).unwrap();
    let down = usize::try_from(whole.bytes_down.load(Ordering::Relaxed)).unwrap();
    let mut expected = 1;
    assert_eq!(likes(&running), expected);
    let cut_at = Arc::new(AtomicU64::new(0));
    for is_up in [true, false] {
        let cut = Arc::clone(&cut_at);
        let cutting = Proxy::start(&running.runtime, running.address, move |_| {
            let at = usize::try_from(cut.load(Ordering::SeqCst)).unwrap();
            Fate {
                up: is_up.then_some(at),
                down: (!is_up).then_some(at),
                ..Fate::default()
            }
        });
        let mut lost = 0;
        for at in 0..if is_up { up } else { down } {
            cut_at.store(at as u64, Ordering::SeqCst);
            like(&db);
            expected += 1;
            let mut through = WebSocketTransport::new(&cutting.url()).unwrap();
            // Whether or not the server has taken it, it is sent again.
            if db.sync(&mut through).is_err() {
                lost += 1;
            }
            db.sync(&mut direct).unwrap();
            assert_eq!(db.pending(), 0);
            assert_eq!(likes(&running), expected, "cut at byte {at}, up: {is_up}");
        }
        assert!(lost > 100, "{lost} exchanges were cut");
    }
    assert_eq!(db.digest().unwrap(), running.server.digest().unwrap());
    running.end();
}

#[test]
fn r19_an_exchange_that_arrives_many_times_is_applied_once() {
    let running = run(ServeOptions::default());
    let doubling = Proxy::start(&running.runtime, running.address, |_| Fate {
        is_doubled: true,
        ..Fate::default()
    });
    let db = SyncDb::client("phone").unwrap();
    for expected in 1..=20 {
        let mut through = WebSocketTransport::new(&doubling.url()).unwrap();
        db.sync(&mut through).unwrap();
        like(&db);
        db.sync(&mut through).unwrap();
        assert_eq!(likes(&running), expected);
    }
    running.end();
}

/// Replicas write through a network that cuts, delays and doubles; then it stops to, and all hold the same.
fn converges(seed: u64) {
    let running = run(ServeOptions::default());
    let rng = Arc::new(SeededRng::new(seed));
    let is_bad = Arc::new(AtomicBool::new(true));
    let (bad, chance) = (Arc::clone(&is_bad), Arc::clone(&rng));
    let proxy = Proxy::start(&running.runtime, running.address, move |_| {
        if !bad.load(Ordering::SeqCst) {
            return Fate::default();
        }
        let below = |bound: u64| usize::try_from(chance.next_u64() % bound).unwrap();
        let cut = |at: usize, is_cut: bool| is_cut.then_some(at);
        Fate {
            up: cut(below(2_000), below(2) == 0),
            down: cut(below(4_000), below(2) == 0),
            delay: Duration::from_micros(below(2_000) as u64),
            is_doubled: below(4) == 0,
        }
    });
    let mut replicas = Vec::new();
    for number in 0..3 {
        let db = Arc::new(SyncDb::client(format!("replica {number}").as_str()).unwrap());
        let mut direct = WebSocketTransport::new(&running.url()).unwrap();
        db.sync(&mut direct).unwrap();
        let options = LiveReplicaOptions {
            backoff: Backoff {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(20),
            },
            ..LiveReplicaOptions::default()
        };
        let client = ClientOptions::default().timeout(Duration::from_secs(5));
        let transport = WebSocketTransport::with(&proxy.url(), client).unwrap();
        let (events, happened) = channel();
        let live = LiveReplica::start(Arc::clone(&db), transport, options, move |event| {
            let _ = events.send(event);
        });
        replicas.push((db, live.unwrap(), happened));
    }
    for step in 0..90 {
        for (number, (db, _, happened)) in replicas.iter().enumerate() {
            let id = i64::try_from(1 + number * 1_000 + step).unwrap();
            let text = format!("{seed} {number} {step}");
            let row = row! { "id": id, "text": text.as_str(), "likes": 0 };
            db.insert("notes", row).unwrap();
            db.update("notes", 0, row! { "text": text }).unwrap();
            like(db);
            if step % 10 == 0 {
                happened.recv().unwrap();
            }
        }
    }
    is_bad.store(false, Ordering::SeqCst);
    let expected = 3 * 90;
    for (db, _, happened) in &replicas {
        let is_there = || {
            let row = db.collection("notes").unwrap().get(0).unwrap();
            db.pending() == 0 && row[2].as_int() == Some(expected)
        };
        while !is_there() {
            happened.recv().unwrap();
        }
    }
    for (_, live, _) in &replicas {
        live.stop_handle().stop();
    }
    for (db, live, _) in replicas {
        live.wait().unwrap();
        db.sync(&mut WebSocketTransport::new(&running.url()).unwrap())
            .unwrap();
        assert_eq!(
            db.digest().unwrap(),
            running.server.digest().unwrap(),
            "seed {seed}"
        );
    }
    assert_eq!(likes(&running), expected, "seed {seed}");
    assert_eq!(running.notes.len(), 1 + 3 * 90, "seed {seed}");
    running.end();
}

#[test]
fn replicas_converge_over_connections_that_are_cut_delayed_and_doubled() {
    for seed in 0..4 {
        converges(seed);
    }
}
