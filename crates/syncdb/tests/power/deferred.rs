//! Operations of the application's own that wait for the radio.

use common::{Error, ErrorKind, row};
use syncdb::power::{Decision, Priority, Reason, Scheduler, Urgency};
use syncdb::sync::deferred::{DEFERRED_MAX, PAYLOAD_BYTES_MAX};
use syncdb::{DeferredId, SyncDb};

use super::{pair, pocket, seconds};

fn names(phone: &SyncDb) -> Vec<String> {
    let waiting = phone.deferred().unwrap();
    waiting.iter().map(|op| op.name.to_string()).collect()
}

#[test]
fn they_wait_in_order_of_priority_and_then_of_age() {
    let phone = SyncDb::client("phone").unwrap();
    for (name, priority) in [
        ("a", Priority::Low),
        ("b", Priority::High),
        ("c", Priority::Low),
        ("d", Priority::Critical),
        ("e", Priority::High),
    ] {
        phone.defer(name, b"", priority).unwrap();
    }
    assert_eq!(names(&phone), ["d", "b", "e", "a", "c"]);
}

#[test]
fn they_survive_reopening() {
    let phone = SyncDb::client("phone").unwrap();
    phone.defer("upload", b"picture 7", Priority::Low).unwrap();
    let urgency = Urgency::from(Priority::Maintenance).by(common::Timestamp(7_000_000));
    let second = phone.defer("report", &[0, 255], urgency).unwrap();
    let before = phone.deferred().unwrap();
    let phone = super::reopened(phone);
    assert_eq!(phone.deferred().unwrap(), before);
    assert!(phone.finish_deferred(second).unwrap());
    // Numbers are not given twice.
    let third = phone.defer("report", b"", Priority::Low).unwrap();
    assert!(third > second);
}

#[test]
fn they_come_and_go_with_the_transaction_that_says_so() {
    let (_, phone) = pair();
    let notes = phone.collection("notes").unwrap();
    let mut tx = phone.begin();
    tx.insert(&notes, row! { "id": 1 }).unwrap();
    tx.defer("upload", b"1", Priority::Low).unwrap();
    tx.rollback();
    assert!(names(&phone).is_empty());
    let id = phone.defer("make a note", b"", Priority::Low).unwrap();
    let mut tx = phone.begin();
    assert!(tx.finish_deferred(id).unwrap());
    tx.insert(&notes, row! { "id": 1 }).unwrap();
    tx.rollback();
    assert_eq!(names(&phone), ["make a note"]);
    let mut tx = phone.begin();
    assert!(tx.finish_deferred(id).unwrap());
    tx.insert(&notes, row! { "id": 1 }).unwrap();
    tx.commit().unwrap();
    assert!(names(&phone).is_empty() && phone.pending() == 1);
    assert!(!phone.finish_deferred(id).unwrap());
    // What counts the others is none of them.
    assert!(!phone.finish_deferred(DeferredId(0)).unwrap());
    assert!(!phone.postpone_deferred(DeferredId(0)).unwrap());
}

#[test]
fn a_full_queue_refuses_by_name_and_drops_nothing() {
    let phone = SyncDb::client("phone").unwrap();
    let mut tx = phone.begin();
    for _ in 0..DEFERRED_MAX {
        tx.defer("x", b"", Priority::Low).unwrap();
    }
    tx.commit().unwrap();
    let error = phone
        .defer("one more", b"", Priority::Critical)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("one more"), "{error}");
    let first = phone.deferred().unwrap().first().unwrap().id;
    assert!(phone.finish_deferred(first).unwrap());
    phone.defer("one more", b"", Priority::Critical).unwrap();
    assert_eq!(phone.deferred().unwrap().len() as u64, DEFERRED_MAX);
}

#[test]
fn payloads_are_bounded_one_by_one_and_together() {
    let phone = SyncDb::client("phone").unwrap();
    let most = vec![7; PAYLOAD_BYTES_MAX];
    let too_long = vec![7; PAYLOAD_BYTES_MAX + 1];
    let error = phone.defer("film", &too_long, Priority::Low).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let mut first = None;
    for _ in 0..64 {
        first = first.or(Some(phone.defer("film", &most, Priority::Low).unwrap()));
    }
    let error = phone.defer("film", b"x", Priority::Low).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    phone.finish_deferred(first.unwrap()).unwrap();
    phone.defer("film", &most, Priority::Low).unwrap();
    for name in ["", &"x".repeat(129)] {
        let error = phone.defer(name, b"", Priority::Low).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn their_deadline_forces_a_sync() {
    let phone = SyncDb::client("phone").unwrap();
    let now = phone.database().clock().now();
    let urgency = Urgency::from(Priority::Maintenance).within(now, seconds(120));
    phone.defer("report", b"", urgency).unwrap();
    let waiting = phone.waiting().unwrap();
    let mut scheduler = Scheduler::default();
    let decision = scheduler.decide(now, &pocket(), &waiting);
    let due = super::until(&decision).unwrap();
    let deadline = urgency.deadline.unwrap();
    assert!(due < deadline && due > now);
    let decision = scheduler.decide(due, &pocket(), &waiting);
    assert!(matches!(
        decision,
        Decision::Sync {
            why: Reason::Deadline,
            ..
        }
    ));
}

#[test]
fn what_fails_waits_anew_and_is_reported() {
    let phone = SyncDb::client("phone").unwrap();
    let urgency = Urgency::from(Priority::High).by(common::Timestamp(5));
    let bad = phone.defer("bad", b"", urgency).unwrap();
    phone.defer("good", b"", Priority::Low).unwrap();
    let report = phone
        .run_deferred(&mut |op| match op.name.as_str() {
            "bad" => Err(Error::closed("the other service is away")),
            _ => Ok(()),
        })
        .unwrap();
    assert_eq!(report.finished, 1);
    assert_eq!(report.failed.first().unwrap().0, bad);
    assert_eq!(names(&phone), ["bad"]);
    // Without its deadline, which is past, it does not call for a sync again and again.
    let waiting = phone.waiting().unwrap();
    assert_eq!(waiting.first_due(), None);
}
