//! Version vectors, hybrid clocks and the log against their laws and a naive model.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::collections::BTreeMap;
use std::sync::Arc;

use common::utils::time::ManualClock;
use common::versioning::{
    Causality, Change, ChangeKind, ChangeTracker, ColumnSet, Hlc, HybridClock, ReplicaId,
    Retention, TableId, VersionVector,
};
use common::{ErrorKind, Metadata, Record, RecordId, Seq, Timestamp, Value};
use proptest::prelude::*;

fn vector() -> impl Strategy<Value = VersionVector> {
    prop::collection::vec((0..4_u8, 0..4_u64), 0..6).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(replica, count)| (ReplicaId(format!("r{replica}").into()), count))
            .collect()
    })
}

fn merged(a: &VersionVector, b: &VersionVector) -> VersionVector {
    let mut result = a.clone();
    result.merge(b);
    result
}

proptest! {
    #[test]
    fn version_vectors_are_a_lattice(a in vector(), b in vector(), c in vector()) {
        prop_assert_eq!(merged(&a, &a), a.clone(), "idempotent");
        prop_assert_eq!(merged(&a, &b), merged(&b, &a), "commutative");
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)), "associative");
        prop_assert!(merged(&a, &b).dominates(&a), "an upper bound");
        if c.dominates(&a) && c.dominates(&b) {
            prop_assert!(c.dominates(&merged(&a, &b)), "the least one");
        }
        prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
        prop_assert_eq!(a.compare(&b) == Causality::Equal, a == b);
        if a.dominates(&b) && b.dominates(&c) {
            prop_assert!(a.dominates(&c), "transitive");
        }
        prop_assert_eq!(a.is_concurrent_with(&b), !a.dominates(&b) && !b.dominates(&a));
    }

    #[test]
    fn an_increment_comes_after(a in vector(), replica in 0..4_u8) {
        let replica = ReplicaId(format!("r{replica}").into());
        let mut after = a.clone();
        prop_assert_eq!(after.increment(&replica), a.get(&replica) + 1);
        prop_assert_eq!(after.compare(&a), Causality::After);
    }

    #[test]
    fn version_vectors_survive_json(a in vector()) {
        let json = serde_json::to_string(&a).unwrap();
        prop_assert_eq!(serde_json::from_str::<VersionVector>(&json).unwrap(), a);
    }

    #[test]
    fn stamps_never_go_back(steps in prop::collection::vec((-5_000..5_000_i64, any::<bool>(), 0..200_u64), 1..60)) {
        let wall = Arc::new(ManualClock::new(1_000_000_000_000));
        let clock = HybridClock::new(wall.clone());
        let mut now = 1_000_000_000_000;
        let mut last = Hlc::default();
        for (step, observe, ahead) in steps {
            now += step * 1_000;
            wall.set(now);
            if observe {
                let stamp = Hlc::new(now / 1_000 + i64::try_from(ahead).unwrap(), 7);
                clock.observe(stamp).unwrap();
                let next = clock.tick();
                prop_assert!(next > stamp, "a stamp made after another was seen is greater");
                last = last.max(stamp);
            }
            let next = clock.tick();
            prop_assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn column_sets_are_sets(a in prop::collection::btree_set(0..200_usize, 0..20), b in prop::collection::btree_set(0..200_usize, 0..20)) {
        let (x, y): (ColumnSet, ColumnSet) =
            (a.iter().copied().collect(), b.iter().copied().collect());
        prop_assert!(x.iter().eq(a.iter().copied()));
        prop_assert_eq!(x.len(), a.len());
        prop_assert_eq!(x.is_empty(), a.is_empty());
        prop_assert!(x.union(&y).iter().eq(a.union(&b).copied()));
        prop_assert!((0..210).all(|i| x.contains(i) == a.contains(&i)));
        let mut grown = ColumnSet::EMPTY;
        for position in &a {
            grown.insert(*position);
        }
        prop_assert_eq!(&grown, &x, "however a set was made, equal sets are equal");
        prop_assert_eq!(x == y, a == b);
    }

    /// The log against the list of all changes ever made.
    #[test]
    fn the_log_keeps_whole_commits(
        commits in prop::collection::vec(prop::collection::vec((0..6_i64, 0..3_u8), 1..5), 1..30),
        changes_max in 1..60_usize,
        compact_to in 0..30_u64,
        cut in 1..9_usize,
    ) {
        let retention = Retention { changes_max, changes_min: 0, ..Retention::default() };
        let mut log = ChangeTracker::new(retention);
        let mut all: Vec<Change> = Vec::new();
        let mut live: BTreeMap<i64, Value> = BTreeMap::new();
        for (i, keys) in commits.iter().enumerate() {
            let seq = Seq(i as u64 + 1);
            let mut of_commit: BTreeMap<i64, u8> = BTreeMap::new();
            of_commit.extend(keys.iter().copied());
            let changes: Vec<Change> = of_commit
                .iter()
                .map(|(&key, &what)| change(seq, key, what, &mut live))
                .collect();
            log.append(seq, &changes);
            all.extend(changes);
        }
        let kept: Vec<Change> = all.iter().filter(|c| c.seq > log.pruned()).cloned().collect();
        prop_assert!(kept.len() <= changes_max, "the bound holds");
        prop_assert_eq!(log.len(), kept.len());
        if log.pruned() > Seq::ZERO {
            let missing = log.since(Seq(log.pruned().0 - 1), 1).unwrap_err();
            prop_assert_eq!(missing.kind(), ErrorKind::NotFound);
        }
        prop_assert_eq!(log.since(log.last().next(), 1).unwrap_err().kind(), ErrorKind::Invalid);
        // Reading in pieces gives the same as reading all, and no piece ends inside a commit.
        let mut position = log.pruned();
        let mut read = Vec::new();
        loop {
            let piece = log.since(position, cut).unwrap();
            let Some(last) = piece.last() else { break };
            position = last.seq;
            prop_assert!(log.since(position, 1).unwrap().iter().all(|c| c.seq > position));
            read.extend(piece);
        }
        prop_assert_eq!(&read, &kept);
        // Compaction leaves the same final state.
        let mut compacted = log.clone();
        compacted.compact(Seq(compact_to));
        let after = compacted.since(compacted.pruned(), usize::MAX).unwrap();
        prop_assert!(after.is_sorted_by_key(|c| c.seq));
        prop_assert_eq!(state(&after), state(&kept));
        let early: Vec<RecordId> =
            after.iter().filter(|c| c.seq <= Seq(compact_to)).map(Change::id).collect();
        let mut unique = early.clone();
        unique.sort();
        unique.dedup();
        prop_assert_eq!(unique.len(), early.len(), "one change of each record");
    }
}

fn change(seq: Seq, key: i64, what: u8, live: &mut BTreeMap<i64, Value>) -> Change {
    let metadata = Metadata {
        seq,
        ..Metadata::default()
    };
    let value = Value::from(format!("{seq}"));
    let existed = live.contains_key(&key);
    let kind = match (existed, what) {
        (true, 0) => ChangeKind::Delete,
        (true, _) => ChangeKind::Update,
        (false, _) => ChangeKind::Insert,
    };
    let record = if kind == ChangeKind::Delete {
        live.remove(&key);
        Record::tombstone(metadata, &RecordId::from(key))
    } else {
        live.insert(key, value.clone());
        Record::new(metadata, 1, vec![Value::from(key), value])
    };
    Change {
        seq,
        stamp: Hlc::new(i64::try_from(seq.0).unwrap(), 0),
        table: TableId(1),
        kind,
        columns: ColumnSet::all(2),
        before: None,
        record,
    }
}

/// What a reader has after applying changes: values, and which keys it was told are deleted.
fn state(changes: &[Change]) -> BTreeMap<RecordId, Option<Vec<Value>>> {
    let mut state = BTreeMap::new();
    for change in changes {
        state.insert(
            change.id(),
            change.after().map(|record| record.values().to_vec()),
        );
    }
    state
}

#[test]
fn the_log_waits_for_its_readers_within_bounds() {
    let retention = Retention {
        changes_min: 0,
        age_seconds_max: 3_600,
        changes_max: 100,
        ..Retention::default()
    };
    let mut log = ChangeTracker::new(retention);
    let mut live = BTreeMap::new();
    for seq in 1..=10 {
        log.append(Seq(seq), &[change(Seq(seq), 1, 1, &mut live)]);
    }
    let slow = log.register("slow", Seq(3));
    let fast = log.register("fast", Seq(10));
    let now = Timestamp::from_millis(10);
    assert_eq!(log.prune(now), 3, "up to what the slow reader has seen");
    assert_eq!(log.pruned(), Seq(3));
    log.acknowledge(slow, Seq(5)).unwrap();
    log.acknowledge(slow, Seq(4)).unwrap();
    assert_eq!(log.prune(now), 2, "an older acknowledgement is ignored");
    assert_eq!(
        log.acknowledge(fast, Seq(11)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    log.unregister(slow);
    assert_eq!(
        log.acknowledge(slow, Seq(6)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(log.prune(now), 5);
    assert!(log.is_empty());
    assert_eq!(log.since(Seq(10), 1).unwrap(), []);

    let reader = log.register("gone", Seq(10));
    log.append(Seq(11), &[change(Seq(11), 1, 1, &mut live)]);
    assert_eq!(log.prune(now), 0, "kept for the reader");
    let much_later = Timestamp::from_millis(2 * 3_600_000);
    assert_eq!(log.prune(much_later), 1, "but not beyond the greatest age");
    log.unregister(reader);
}

#[test]
#[should_panic(expected = "without gaps")]
fn a_gap_in_the_log_stops() {
    ChangeTracker::new(Retention::default()).append(Seq(2), &[]);
}

#[test]
fn a_stamp_far_ahead_is_refused_and_changes_nothing() {
    let clock = HybridClock::new(Arc::new(ManualClock::new(0)));
    let limit = HybridClock::AHEAD_MILLIS_MAX;
    assert!(clock.observe(Hlc::new(limit + 1, 0)).is_err());
    assert!(clock.tick() < Hlc::new(1, 0));
    assert!(clock.observe(Hlc::new(limit, 0)).is_ok());
    assert!(clock.tick() > Hlc::new(limit, 0));
}
