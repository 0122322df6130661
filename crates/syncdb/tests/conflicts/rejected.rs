//! Rejected mutations: kept whole, never in the way, tried again or discarded in one commit.

use common::versioning::ReplicaId;
use common::{ErrorKind, Value, row};
use syncdb::{Policy, RejectedId, SyncDb};

use super::{Setting, counters, reopened, title};

/// A replica with one mutation that the server rejected: it takes the slug of row 2.
fn turned_down(setting: &Setting) -> SyncDb {
    let a = setting.replica("a");
    a.transaction(|tx| {
        let notes = a.collection("notes")?;
        tx.update(&notes, 1, row! { "title": "mine", "slug": "s2" })?;
        tx.increment(&notes, 1, "stars", 2)?;
        tx.delete(&notes, 3)?;
        tx.insert(&notes, row! { "id": 4, "title": "new" })
    })
    .unwrap();
    a.update("notes", 2, row! { "body": "not concerned" })
        .unwrap();
    let report = setting.sync(&a);
    assert_eq!(report.outcomes.get("rejected"), Some(&1));
    assert_eq!(report.outcomes.get("applied"), Some(&1));
    a
}

fn only(db: &SyncDb) -> RejectedId {
    let rejected = db.rejected().unwrap();
    assert_eq!(rejected.len(), 1, "{rejected:?}");
    rejected[0].id
}

#[test]
fn it_is_kept_whole_with_what_was_there_before_and_the_rows_are_the_servers() {
    let setting = Setting::new(counters());
    let a = turned_down(&setting);
    let [rejected] = &a.rejected().unwrap()[..] else {
        panic!("one");
    };
    assert_eq!(rejected.code, "conflict");
    assert!(rejected.message.contains("slug"), "{rejected}");
    let ops: Vec<(&str, String)> = rejected
        .ops
        .iter()
        .map(|edit| (edit.action.as_str(), edit.key.to_string()))
        .collect();
    let expected = [
        ("update", "1"),
        ("delta", "1"),
        ("delete", "3"),
        ("insert", "4"),
    ];
    assert_eq!(ops, expected.map(|(action, key)| (action, key.to_owned())));
    let update = &rejected.ops[0];
    assert_eq!(update.columns.get("title"), Some(&"mine".into()));
    assert_eq!(update.before.get("title"), Some(&"first".into()));
    assert_eq!(rejected.ops[2].before.get("slug"), Some(&"s3".into()));
    assert_eq!(title(&a, 1), Some("first".into()));
    assert_eq!(title(&a, 3), Some("first".into()));
    assert_eq!(title(&a, 4), None);
    assert_eq!(a.pending(), 0);
    assert_eq!(setting.cell(2, 2), Some("not concerned".into()));
}

#[test]
fn it_survives_a_restart_and_is_tried_again_with_a_mended_value() {
    let setting = Setting::new(counters());
    let a = turned_down(&setting);
    let a = SyncDb::open(reopened(a.database(), &setting.wall), "a").unwrap();
    let id = only(&a);
    // As it is, it is rejected again, as another one.
    a.retry(id).unwrap();
    assert_eq!(a.rejected().unwrap(), []);
    assert_eq!(title(&a, 4), Some("new".into()), "made again here");
    setting.sync(&a);
    assert_eq!(title(&a, 4), None);
    let second = only(&a);
    assert_ne!(second, id);
    // In the meantime others have counted.
    let b = setting.replica("b");
    b.increment("notes", 1, "stars", 5).unwrap();
    setting.sync(&b);
    setting.sync(&a);
    a.retry_with(second, |tx, rejected| {
        tx.repeat(rejected)?;
        let notes = a.collection("notes")?;
        tx.update(&notes, 1, row! { "slug": "mended" })
    })
    .unwrap();
    let report = setting.sync(&a);
    assert_eq!(report.outcomes.get("applied"), Some(&1), "{report:?}");
    assert_eq!(a.rejected().unwrap(), []);
    let row = setting.notes().get(1).unwrap();
    let expected: [Value; 3] = ["mine".into(), 7.into(), "mended".into()];
    assert_eq!([row[1].clone(), row[3].clone(), row[4].clone()], expected);
    assert!(setting.notes().get(3).is_none() && setting.notes().get(4).is_some());
}

#[test]
fn discarding_and_failing_to_retry_are_one_commit_or_nothing() {
    let setting = Setting::new(counters());
    let a = turned_down(&setting);
    let id = only(&a);
    let b = setting.replica("b");
    b.delete("notes", 1).unwrap();
    setting.sync(&b);
    setting.sync(&a);
    // The row is gone, so it cannot be updated again; nothing of the mutation is made.
    let refused = a.retry(id).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert_eq!(only(&a), id);
    assert_eq!((a.pending(), title(&a, 4)), (0, None));
    let before = a.database().seq();
    a.discard(id).unwrap();
    assert_eq!(a.database().seq(), before.next());
    assert_eq!(a.rejected().unwrap(), []);
    assert_eq!(a.discard(id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(a.retry(id).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_was_made_on_top_of_it_is_flagged_and_rebased() {
    let setting = Setting::new(Policy::default());
    let a = setting.replica("a");
    a.update("notes", 1, row! { "title": "mine", "slug": "s2" })
        .unwrap();
    let mut session = a.session().unwrap();
    let request = session.next_message().unwrap().unwrap();
    // Edited again while the request is on its way.
    a.update("notes", 1, row! { "title": "mine, longer" })
        .unwrap();
    a.update("notes", 2, row! { "title": "elsewhere" }).unwrap();
    session
        .receive(&setting.server.handle(&request).unwrap())
        .unwrap();
    let waiting = a.queued().unwrap();
    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting[0].after_rejected, Some(1));
    assert_eq!(waiting[0].ops[0].before.get("title"), Some(&"first".into()));
    assert_eq!(waiting[1].after_rejected, None);
    assert!(!waiting[0].sent);
    assert_eq!(title(&a, 1), Some("mine, longer".into()));
    let explanation = a.explain("notes", 1).unwrap();
    assert_eq!(explanation.rejected.len(), 1);
    assert!(
        explanation
            .to_string()
            .contains("made on top of mutation 1"),
        "{explanation}"
    );
    setting.sync(&a);
    assert_eq!(setting.cell(1, 1), Some("mine, longer".into()));
    assert_eq!(setting.cell(1, 4), Some("s1".into()));
    assert_eq!(a.queued().unwrap(), []);
}

#[test]
fn a_replica_full_of_rejected_mutations_refuses_edits_and_goes_on_syncing() {
    let setting = Setting::new(Policy::default());
    let a = turned_down_by_hand(&setting);
    let refused = a
        .update("notes", 2, row! { "title": "one more" })
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
    setting
        .notes()
        .update(2, row! { "title": "by the server" })
        .unwrap();
    setting.sync(&a);
    assert_eq!(title(&a, 2), Some("by the server".into()));
    let first = a.rejected().unwrap()[0].id;
    a.discard(first).unwrap();
    a.update("notes", 2, row! { "title": "one more" }).unwrap();
    setting.sync(&a);
}

/// A replica with as many rejected mutations as it keeps, written where a sync would.
fn turned_down_by_hand(setting: &Setting) -> SyncDb {
    let a = setting.replica("a");
    a.update("notes", 1, row! { "slug": "s2" }).unwrap();
    setting.sync(&a);
    let table = a.database().collection("sync_rejected").unwrap();
    let id = only(&a);
    let key = [Value::from(1), Value::Timestamp(id.at)];
    let one = table.get(&key[..]).unwrap().to_vec();
    let mut tx = a.database().begin();
    let max = i64::try_from(syncdb::sync::rejected::REJECTED_MAX).unwrap();
    for number in 2..=max {
        let mut row = one.clone();
        row[0] = Value::from(number);
        tx.insert_values(&table, row).unwrap();
    }
    tx.commit().unwrap();
    assert_eq!(a.replica(), &ReplicaId::from("a"));
    a
}
