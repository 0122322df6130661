//! What a simulated network does to messages, clocks and syncs, and that it does the same again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use common::schema::{Field, FieldType, Schema};
use common::utils::time::Clock;
use common::{Database, ErrorKind, row};
use syncdb::netsim::{Fault, LinkOptions, Network, NodeId, Profile, START_MICROS, TraceKind, What};
use syncdb::{SyncDb, SyncServer, Transport};

fn two(seed: u64, options: LinkOptions) -> (Network, NodeId, NodeId) {
    let network = Network::new(seed);
    let (a, b) = (network.add_node("a"), network.add_node("b"));
    network.set_link(a, b, options).unwrap();
    (network, a, b)
}

/// What arrives, in order: when in milliseconds, the tag, the bytes.
fn arrivals(network: &Network) -> Vec<(u128, u64, Vec<u8>)> {
    let events = std::iter::from_fn(|| network.next_event());
    let arrived = events.filter_map(|event| match event.what {
        What::Message(message) => Some((event.at.as_millis(), message.tag, message.bytes)),
        What::Wake(_) => None,
    });
    arrived.collect()
}

#[test]
fn latency_and_bandwidth_add_up_and_keep_the_order() {
    let options = LinkOptions::default().latency_ms(100).bandwidth_kbit(80);
    let (network, a, b) = two(1, options);
    // 80 kbit/s carry 10 bytes a millisecond.
    for tag in 0..3 {
        network.send(a, b, tag, vec![0; 500]);
    }
    network.send(b, a, 9, vec![0; 10]);
    let at: Vec<_> = arrivals(&network)
        .iter()
        .map(|(at, tag, _)| (*at, *tag))
        .collect();
    assert_eq!(at, [(101, 9), (150, 0), (200, 1), (250, 2)]);
}

#[test]
fn jitter_alone_never_reorders_and_reordering_does() {
    let order = |options: LinkOptions| {
        let (network, a, b) = two(3, options);
        for tag in 0..200 {
            network.send(a, b, tag, vec![1]);
            network.advance(Duration::from_millis(1));
        }
        let tags: Vec<u64> = arrivals(&network).iter().map(|(_, tag, _)| *tag).collect();
        tags
    };
    let jittered = order(LinkOptions::default().jitter_ms(50));
    assert!(jittered.is_sorted() && jittered.len() == 200);
    let reordered = order(LinkOptions::default().reorder(0.2, 50));
    assert!(!reordered.is_sorted() && reordered.len() == 200);
}

#[test]
fn chance_is_about_what_it_says_and_every_message_is_accounted_for() {
    let options = LinkOptions::default()
        .loss(0.2)
        .duplicate(0.1)
        .cut(0.1)
        .damage(0.1);
    let (network, a, b) = two(5, options);
    for tag in 0..10_000 {
        network.send(a, b, tag, vec![0; 16]);
    }
    let arrived = arrivals(&network);
    let found = network.statistics(a, b);
    assert_eq!(found.sent, 10_000);
    assert_eq!(found.delivered, found.sent - found.lost + found.duplicated);
    assert_eq!(found.delivered, arrived.len() as u64);
    let near = |found: u64, expected: u64| found.abs_diff(expected) < expected / 5;
    assert!(near(found.lost, 2_000), "{found:?}");
    assert!(near(found.duplicated, 800), "{found:?}");
    assert!(
        near(found.cut, 800) && near(found.damaged, 800),
        "{found:?}"
    );
    assert_eq!(network.total(), found);
    let short = arrived.iter().filter(|(_, _, bytes)| bytes.len() < 16);
    assert!(short.count() as u64 >= found.cut);
}

#[test]
fn the_same_seed_does_the_same_and_another_one_does_not() {
    let run = |seed| {
        let (network, a, b) = two(seed, Profile::Edge.options());
        network.keep_trace(50);
        for tag in 0..100 {
            network.send(a, b, tag, vec![7; 100]);
            network.wake(b, Duration::from_millis(tag), tag);
        }
        while network.next_event().is_some() {}
        network.note(a, "the end");
        (network.fingerprint(), network.trace())
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11).0, run(12).0);
    let (_, trace) = run(11);
    assert_eq!(trace.len(), 50);
    assert_eq!(trace[49].kind, TraceKind::Note);
    assert!(trace[49].to_string().ends_with("the end"));
    let kept = |kind| trace.iter().any(|entry| entry.kind == kind);
    assert!(kept(TraceKind::Delivered));
}

#[test]
fn partitions_and_outages_carry_nothing_in_the_directions_they_say() {
    let (network, a, b) = two(1, LinkOptions::default());
    network.partition_one_way(a, b);
    network.send(a, b, 1, vec![1]);
    network.send(b, a, 2, vec![1]);
    network.partition(a, b);
    network.send(b, a, 3, vec![1]);
    network.heal(a, b);
    network.send(a, b, 4, vec![1]);
    let tags: Vec<u64> = arrivals(&network).iter().map(|(_, tag, _)| *tag).collect();
    assert_eq!(tags, [2, 4]);

    let (network, a, b) = two(1, LinkOptions::default().outage(1_000, 400));
    for tag in 0..20 {
        network.send(a, b, tag, vec![1]);
        network.advance(Duration::from_millis(100));
    }
    let tags: Vec<u64> = arrivals(&network).iter().map(|(_, tag, _)| *tag).collect();
    assert_eq!(tags, [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn injected_faults_happen_to_one_message_each_in_order() {
    let (network, a, b) = two(1, LinkOptions::default());
    let faults = [
        Fault::Pass,
        Fault::Cut(2),
        Fault::Flip(9),
        Fault::Lose,
        Fault::Duplicate,
        Fault::Delay(Duration::from_secs(1)),
    ];
    for fault in faults {
        network.inject(a, b, fault);
    }
    for tag in 0..7 {
        network.send(a, b, tag, vec![0, 0, 0]);
    }
    let arrived = arrivals(&network);
    let tags: Vec<u64> = arrived.iter().map(|(_, tag, _)| *tag).collect();
    assert_eq!(tags, [0, 1, 2, 4, 4, 6, 5]);
    assert_eq!(arrived[1].2, [0, 0]);
    assert_eq!(arrived[2].2, [0, 2, 0]);
    assert_eq!(arrived[6].0, 1_000);
}

#[test]
fn clocks_follow_the_network_each_with_its_own_error() {
    let (network, a, b) = two(1, LinkOptions::default());
    network.clock(a).jump(5_000_000);
    network.clock(b).set_drift_ppm(100);
    assert_eq!(network.next_event_until(Duration::from_secs(10)), None);
    assert_eq!(network.clock(a).now(), START_MICROS + 15_000_000);
    assert_eq!(network.clock(b).now(), START_MICROS + 10_001_000);
    network.clock(a).jump(-86_400_000_000);
    assert_eq!(network.clock(a).offset(), 5_000_000 - 86_400_000_000);
    assert!(format!("{network:?}").contains("2 nodes"));
}

#[test]
fn options_out_of_bounds_are_refused_by_name() {
    let refused = |options: LinkOptions, name: &str| {
        let error = options.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(name), "{error}");
    };
    let good = LinkOptions::default;
    refused(good().loss(-0.1), "loss");
    refused(good().loss(f64::NAN), "loss");
    refused(good().duplicate(1.1), "duplicate");
    refused(good().reorder(2.0, 1), "reorder");
    refused(good().cut(2.0), "cut");
    refused(good().damage(2.0), "damage");
    refused(good().latency_ms(3_600_001), "latency_ms");
    refused(good().jitter_ms(3_600_001), "jitter_ms");
    refused(good().reorder(0.0, 3_600_001), "reorder_ms");
    refused(good().outage(10, 11), "outage");
    refused(good().outage(0, 0), "outage");
    refused(good().bandwidth_kbit(0), "bandwidth_kbit");
    let network = Network::new(1);
    let (a, b) = (network.add_node("a"), network.add_node("b"));
    assert!(network.set_link(a, b, good().loss(2.0)).is_err());
}

#[test]
fn profiles_are_read_by_name_and_options_from_json() {
    for profile in Profile::ALL {
        assert_eq!(profile.name().parse::<Profile>().unwrap(), profile);
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(json, format!("\"{profile}\""));
        let options = serde_json::to_string(&profile.options()).unwrap();
        let read: LinkOptions = serde_json::from_str(&options).unwrap();
        assert_eq!(read, profile.options());
    }
    let error = "5g".parse::<Profile>().unwrap_err();
    assert!(error.message().contains("train_tunnel"), "{error}");
    assert!(serde_json::from_str::<LinkOptions>(r#"{"lost": 1}"#).is_err());
    let some: LinkOptions = serde_json::from_str(r#"{"loss": 0.5}"#).unwrap();
    assert_eq!(some, LinkOptions::default().loss(0.5));
}

fn server() -> SyncServer {
    let db = Database::new();
    let schema = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()
        .unwrap();
    let notes = db.create_collection(schema).unwrap();
    for id in 0..50 {
        notes
            .insert(row! { "id": id, "text": format!("note {id}") })
            .unwrap();
    }
    SyncServer::new(db).unwrap()
}

#[test]
fn syncs_over_a_bad_link_end_where_syncs_over_a_good_one_do() {
    let server = server();
    let network = Network::new(9);
    let cloud = network.add_node("cloud");
    let replicas: Vec<(NodeId, SyncDb)> = ["anna", "ben"]
        .map(|name| (network.add_node(name), SyncDb::client(name).unwrap()))
        .into();
    let bad = Profile::Edge
        .options()
        .duplicate(0.2)
        .cut(0.1)
        .damage(0.1)
        .loss(0.2)
        .reorder(0.3, 40_000);
    for (node, _) in &replicas {
        network.set_link(*node, cloud, bad.clone()).unwrap();
    }
    network.wake(cloud, Duration::from_secs(1), 3);
    for round in 0..20 {
        for (node, db) in &replicas {
            let mut transport =
                network.connect(*node, cloud, |request: &[u8]| server.handle(request));
            while db.sync(&mut transport).is_err() {}
            let id = 100 * (1 + i64::try_from(node.index()).unwrap()) + round;
            db.insert("notes", row! { "id": id, "text": "new" })
                .unwrap();
        }
    }
    for (node, _) in &replicas {
        network
            .set_link(*node, cloud, LinkOptions::default())
            .unwrap();
    }
    for _ in 0..2 {
        for (node, db) in &replicas {
            let mut transport =
                network.connect(*node, cloud, |request: &[u8]| server.handle(request));
            let report = db.sync(&mut transport).unwrap();
            assert!(report.converged && !report.repaired, "{report:?}");
        }
    }
    let rows = server.database().collection("notes").unwrap();
    assert_eq!(rows.len(), 90);
    assert_eq!(replicas[0].1.digest().unwrap(), server.digest().unwrap());
    assert_eq!(replicas[1].1.digest().unwrap(), server.digest().unwrap());
    let total = network.total();
    assert!(total.lost > 0 && total.duplicated > 0 && total.reordered > 0 && total.cut > 0);
    // What was for somebody else is still to come.
    let mut rest = std::iter::from_fn(|| network.next_event());
    assert!(rest.any(|event| event.what == What::Wake(3)));
}

#[test]
fn a_refusal_arrives_as_the_handlers_error_and_a_silence_as_closed() {
    let server = server();
    let (network, a, b) = two(1, LinkOptions::default().latency_ms(10));
    let mut transport = network.connect(a, b, |request: &[u8]| server.handle(request));
    let refused = transport.exchange(b"no request").unwrap_err();
    assert_ne!(refused.kind(), ErrorKind::Closed);
    assert_eq!(network.now().as_millis(), 20);
    network.partition(a, b);
    let mut transport = transport.timeout(Duration::from_secs(3));
    let silent = transport.exchange(b"no request").unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::Closed);
    assert_eq!(network.now().as_millis(), 3_020);
    assert!(format!("{transport:?}").contains("timeout"));
}
