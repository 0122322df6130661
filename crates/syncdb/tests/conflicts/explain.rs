//! Explanations: where a row came from, and why one is not here.

use common::query::Filter;
use common::row;
use common::versioning::ReplicaId;
use syncdb::{Explanation, Policy, Presence, Subscription, SyncDb};

use super::{Setting, database, reopened};

fn at_server(setting: &Setting, id: i64) -> Explanation {
    setting.server.explain("notes", id).unwrap()
}

#[test]
fn the_server_names_the_write_behind_each_column() {
    let setting = Setting::new(Policy::default());
    let (a, _) = setting.conflict();
    setting
        .notes()
        .update(1, row! { "body": "direct" })
        .unwrap();
    a.update("notes", 1, row! { "stars": 3 }).unwrap();
    setting.sync(&a);
    let explanation = at_server(&setting, 1);
    assert!(matches!(explanation.presence, Presence::Here { .. }));
    let by = |column: usize| {
        let origin = explanation.columns[column].origin.as_ref().unwrap();
        (origin.replica.0.to_string(), origin.client_seq)
    };
    assert_eq!(by(0), ("b".to_owned(), 1));
    assert_eq!(by(1), (String::new(), 0));
    assert_eq!(by(2), ("a".to_owned(), 2));
    assert_eq!(explanation.conflicts.len(), 1);
    let text = explanation.to_string();
    for part in [
        "notes 1 is here",
        "title: by b, written by b, mutation 1",
        "body: direct, written at the server",
        "conflict",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(
        serde_json::from_str::<Explanation>(&json).unwrap(),
        explanation
    );
}

#[test]
fn a_deleted_row_names_who_deleted_it() {
    let setting = Setting::new(Policy::default());
    let a = setting.replica("a");
    let b = setting.replica("b");
    a.delete("notes", 1).unwrap();
    assert_eq!(
        a.explain("notes", 1).unwrap().presence,
        Presence::DeletedHere
    );
    setting.sync(&a);
    setting.sync(&b);
    setting.notes().delete(2).unwrap();
    let deleted_by = |id: i64| match at_server(&setting, id).presence {
        Presence::Deleted {
            replica,
            client_seq,
            ..
        } => (replica, client_seq),
        other => panic!("{other:?}"),
    };
    assert_eq!(deleted_by(1), (Some(ReplicaId::from("a")), 1));
    assert_eq!(deleted_by(2), (Some(ReplicaId::from("")), 0));
    let presence = b.explain("notes", 1).unwrap().presence;
    assert!(
        matches!(presence, Presence::Deleted { replica: None, .. }),
        "{presence:?}"
    );
    assert!(matches!(
        at_server(&setting, 9).presence,
        Presence::Unknown { .. }
    ));
    // What the log told is not known any more after a restart; that is said, too.
    let b = SyncDb::open(reopened(b.database(), &setting.wall), "b").unwrap();
    let presence = b.explain("notes", 1).unwrap().presence;
    assert!(matches!(presence, Presence::Unknown { .. }), "{presence:?}");
}

#[test]
fn why_a_row_is_not_at_a_replica() {
    let setting = Setting::new(Policy::default());
    let fresh = SyncDb::open(database(&setting.wall), "fresh").unwrap();
    let why = |db: &SyncDb, table: &str, id: i64| db.explain(table, id).unwrap().presence;
    assert_eq!(why(&fresh, "notes", 1), Presence::NotSynced);
    setting.sync(&fresh);
    assert!(matches!(why(&fresh, "notes", 1), Presence::Here { .. }));
    assert!(matches!(why(&fresh, "notes", 9), Presence::Unknown { .. }));
    assert_eq!(why(&fresh, "tags", 1), Presence::NoTable);
    assert_eq!(why(&fresh, "sync_queue", 1), Presence::Local);
    fresh
        .insert("notes", row! { "id": 9, "slug": "s1" })
        .unwrap();
    let explanation = fresh.explain("notes", 9).unwrap();
    assert!(explanation.columns.iter().all(|column| column.pending));
    setting.sync(&fresh);
    assert_eq!(why(&fresh, "notes", 9), Presence::Rejected);
    let text = fresh.explain("notes", 9).unwrap().to_string();
    assert!(text.contains("mutation 1@"), "{text}");
    assert!(matches!(
        at_server(&setting, 9).presence,
        Presence::Unknown { .. }
    ));
}

#[test]
fn a_row_outside_of_the_subscriptions_is_said_to_be_that() {
    let setting = Setting::new(Policy::default());
    let a = SyncDb::open(database(&setting.wall), "a").unwrap();
    let few = Subscription::new("few", "notes")
        .filter(Filter::lt("id", 3))
        .columns(["title"]);
    a.subscribe(&few).unwrap();
    setting.sync(&a);
    let here = a.explain("notes", 1).unwrap();
    assert!(matches!(here.presence, Presence::Here { .. }));
    let subscribed: Vec<bool> = here
        .columns
        .iter()
        .map(|column| column.subscribed)
        .collect();
    assert_eq!(subscribed, [true, false, false, false]);
    let outside = a.explain("notes", 3).unwrap();
    assert_eq!(
        outside.presence,
        Presence::OutsideSubscriptions {
            subscriptions: vec!["few".into()]
        }
    );
    assert!(
        outside
            .to_string()
            .contains("outside of the subscriptions few")
    );
    // A row that leaves is gone since then.
    let more = Subscription::new("few", "notes").filter(Filter::lt("id", 4));
    a.subscribe(&more).unwrap();
    assert_eq!(a.explain("notes", 3).unwrap().presence, Presence::NotSynced);
    setting.sync(&a);
    assert!(matches!(
        a.explain("notes", 3).unwrap().presence,
        Presence::Here { .. }
    ));
}
