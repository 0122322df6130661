//! The feature store against a list of events that is searched from end to end.

use std::sync::Arc;
use std::time::Duration;

use common::database::DatabaseOptions;
use common::schema::FieldType;
use common::utils::time::ManualClock;
use common::{Database, ErrorKind, Seq, Timestamp, Value};
use proptest::prelude::*;
use vectordb::feature::{
    AsOf, BatchOptions, Entity, FeatureBatch, FeatureStore, FeatureView, KnownAt, OnInvalid,
    Status, Times, ViewDefinition,
};

/// A store whose time stands at `now` microseconds.
fn store_at(now: i64) -> (FeatureStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now));
    let options = DatabaseOptions {
        clock: clock.clone(),
        ..DatabaseOptions::default()
    };
    let store = FeatureStore::open(&Database::with(options)).unwrap();
    store
        .create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))
        .unwrap();
    (store, clock)
}

fn view_of(store: &FeatureStore, ttl: Option<u64>) -> FeatureView {
    let mut definition = ViewDefinition::new("view", "user").floats(["a", "b"]);
    definition.ttl_seconds = ttl;
    store.create_view(definition).unwrap()
}

/// What a test did to an entity.
#[derive(Debug, Clone)]
enum Act {
    /// Event and knowledge in seconds, and a value if it has one.
    Put(i64, i64, i64, Option<f64>),
    /// The entity is no more from a time on.
    Delete(i64, i64),
    /// All of it is forgotten.
    Forget(i64),
}

fn act() -> impl Strategy<Value = Act> {
    let user = || 0..4_i64;
    let time = || 0..12_i64;
    prop_oneof![
        8 => (user(), time(), time(), proptest::option::of(-5.0..5.0)).prop_map(|(u, e, k, v)| Act::Put(u, e, k, v)),
        2 => (user(), time()).prop_map(|(u, e)| Act::Delete(u, e)),
        1 => user().prop_map(Act::Forget),
    ]
}

#[derive(Debug, Clone)]
struct Event {
    user: i64,
    happened: i64,
    known: i64,
    seq: Seq,
    /// None for a deletion.
    values: Option<[Option<f64>; 2]>,
}

/// The naive answer: state and values.
fn answer(
    events: &[Event],
    user: i64,
    as_of: AsOf,
    ttl: Option<u64>,
) -> (Status, [Option<f64>; 2]) {
    let seen = events.iter().filter(|event| {
        event.user == user
            && event.happened <= as_of.event.0
            && event.known <= as_of.known.0
            && event.seq <= as_of.seq
    });
    match seen.max_by_key(|event| (event.happened, event.known)) {
        None => (Status::Unknown, [None; 2]),
        Some(Event { values: None, .. }) => (Status::Missing, [None; 2]),
        Some(event) => {
            let ttl = ttl.map(|seconds| i64::try_from(seconds).unwrap() * 1_000_000);
            match event.values {
                Some(values) if ttl.is_none_or(|ttl| as_of.event.0 - event.happened <= ttl) => {
                    (Status::Present, values)
                }
                _ => (Status::Expired, [None; 2]),
            }
        }
    }
}

const SECOND: i64 = 1_000_000;

fn bits(values: &[Option<f64>]) -> Vec<Option<u64>> {
    values.iter().map(|v| v.map(f64::to_bits)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Late, repeated, equal-time and deleted events; every time around every event, with and without a time to live.
    #[test]
    fn reads_as_of_any_time_agree_with_a_search_of_all_events(
        acts in proptest::collection::vec(act(), 1..40),
        ttl in proptest::option::of(0..4_u64),
    ) {
        let (store, clock) = store_at(20 * SECOND);
        let view = view_of(&store, ttl);
        let mut events: Vec<Event> = Vec::new();
        for act in acts {
            clock.advance(Duration::from_micros(1));
            match act {
                Act::Put(user, event, known, value) => {
                    let (event, known) = (event * SECOND, known * SECOND);
                    let times = [Timestamp(known)];
                    let (users, a) = ([user], [value.unwrap_or(f64::NAN)]);
                    let batch = FeatureBatch::new(&users, Timestamp(event))
                        .known(Times::Each(&times))
                        .floats("b", &a)
                        .floats("a", &[1.5]);
                    let before = events.iter().find(|e| (e.user, e.happened, e.known) == (user, event, known));
                    match (before.map(|e| e.values), view.ingest(&batch, OnInvalid::Refuse)) {
                        (None, Ok(done)) => {
                            prop_assert_eq!(done.events, 1);
                            let values = Some([Some(1.5), value]);
                            events.push(Event { user, happened: event, known, seq: done.seq, values });
                        }
                        (Some(Some(values)), Ok(done)) => {
                            prop_assert_eq!((done.events, done.unchanged), (0, 1));
                            prop_assert_eq!(bits(&values), bits(&[Some(1.5), value]));
                        }
                        (Some(values), Err(error)) => {
                            prop_assert_eq!(error.kind(), ErrorKind::Conflict);
                            prop_assert!(values.is_none_or(|values| values[1] != value));
                        }
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                Act::Delete(user, event) => {
                    let event = event * SECOND;
                    let seq = view.delete(user, Timestamp(event)).unwrap();
                    let known = view.history(user).unwrap().iter().find(|row| row.seq == seq).unwrap().known.0;
                    events.push(Event { user, happened: event, known, seq, values: None });
                }
                Act::Forget(user) => {
                    let gone = events.extract_if(.., |event| event.user == user).count();
                    prop_assert_eq!(view.forget(&[user]).unwrap(), gone);
                }
            }
            prop_assert_eq!(view.len(), events.len());
        }
        let all = store.retrieval().features("view", ["b", "a"]).prepare().unwrap();
        let mut keys = Vec::new();
        let mut times = Vec::new();
        let mut expected = Vec::new();
        for user in 0..5 {
            for at in (0..14).map(|second| second * SECOND).flat_map(|t| [t - 1, t, t + 1]) {
                for as_of in [
                    AsOf::event(Timestamp(at)),
                    AsOf::at(Timestamp(at)),
                    AsOf::event(Timestamp(at)).known(Timestamp(6 * SECOND)),
                    AsOf::event(Timestamp(at)).seq(Seq(store.database().seq().0 / 2)),
                ] {
                    let (status, values) = answer(&events, user, as_of, ttl);
                    let read = view.get(user, as_of).unwrap();
                    prop_assert_eq!(read.status, status, "{} as of {:?}", user, as_of);
                    let found: Vec<Option<f64>> = read.values.iter().map(Value::as_float).collect();
                    prop_assert_eq!(bits(&found), bits(&values));
                    let mut out = [0.0; 2];
                    prop_assert_eq!(all.get(user, as_of, &mut out).unwrap(), status);
                    let found = out.map(|x| (!x.is_nan()).then_some(x));
                    prop_assert_eq!(bits(&found), bits(&[values[1], values[0]]));
                }
                keys.push(user);
                times.push(Timestamp(at));
                expected.push(answer(&events, user, AsOf::at(Timestamp(at)), ttl).0);
            }
        }
        for options in [
            BatchOptions::default(),
            BatchOptions { threads: 2, ..BatchOptions::default() },
        ] {
            let mut out = vec![0.0; keys.len() * 2];
            let mut statuses = vec![Status::Unread; keys.len()];
            all.join(&keys, Times::Each(&times), KnownAt::Event, &mut out, &mut statuses, options).unwrap();
            prop_assert_eq!(&statuses, &expected);
        }
        let history = view.history(0).unwrap();
        prop_assert!(history.is_sorted_by_key(|row| (row.event, row.known)));
        prop_assert_eq!(history.len(), events.iter().filter(|event| event.user == 0).count());
    }

    /// What compaction removes, no read as of then or later misses.
    #[test]
    fn forgetting_the_past_changes_no_later_read(
        acts in proptest::collection::vec((0..3_i64, 0..12_i64, 0..12_i64), 1..40),
        time in 0..12_i64,
    ) {
        let (store, _) = store_at(20 * SECOND);
        let view = view_of(&store, Some(3));
        for (at, (user, event, known)) in acts.iter().enumerate() {
            let times = [Timestamp(known * SECOND)];
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let a = [at as f64];
            let users = [*user];
            let batch = FeatureBatch::new(&users, Timestamp(event * SECOND)).known(Times::Each(&times)).floats("a", &a);
            let _ = view.ingest(&batch, OnInvalid::Refuse);
        }
        let reads = || -> Vec<_> {
            (time..15)
                .flat_map(|at| [AsOf::at(Timestamp(at * SECOND)), AsOf::event(Timestamp(at * SECOND))])
                .flat_map(|as_of| (0..3).map(move |user| (user, as_of)))
                .map(|(user, as_of)| view.get(user, as_of).unwrap())
                .collect()
        };
        let before = reads();
        view.forget_before(Timestamp(time * SECOND)).unwrap();
        prop_assert_eq!(before, reads());
    }

    /// T44: what a training set sees of a time is what was served then, late events and deletions among the rest.
    #[test]
    fn t44_training_sees_what_was_served(
        acts in proptest::collection::vec((0..3_i64, 0..30_i64, proptest::option::of(-5.0..5.0)), 1..40),
        ttl in proptest::option::of(0..6_u64),
    ) {
        let (store, clock) = store_at(0);
        let view = view_of(&store, ttl);
        let retrieval = store.retrieval().view("view").prepare().unwrap();
        let (mut keys, mut times) = (Vec::new(), Vec::new());
        let (mut served, mut statuses) = (Vec::new(), Vec::new());
        for (step, (user, age, value)) in acts.iter().enumerate() {
            clock.advance(Duration::from_secs(1));
            let now = store.now();
            let event = Timestamp(now.event.0 - age * SECOND / 3);
            match value {
                None if step % 2 == 0 => drop(view.delete(*user, event).unwrap()),
                value => {
                    let (users, a) = ([*user], [value.unwrap_or(f64::NAN)]);
                    let batch = FeatureBatch::new(&users, event).floats("a", &a);
                    view.ingest(&batch, OnInvalid::Refuse).unwrap();
                }
            }
            for user in 0..3 {
                let mut out = [0.0; 2];
                statuses.push(retrieval.get(user, now, &mut out).unwrap());
                served.extend(out.map(f64::to_bits));
                keys.push(user);
                times.push(now.event);
            }
        }
        let mut out = vec![0.0; keys.len() * 2];
        let mut found = vec![Status::Unread; keys.len()];
        let options = BatchOptions { threads: usize::MAX, ..BatchOptions::default() };
        retrieval.join(&keys, Times::Each(&times), KnownAt::Event, &mut out, &mut found, options).unwrap();
        prop_assert_eq!(found, statuses);
        prop_assert_eq!(out.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), served);
    }
}
