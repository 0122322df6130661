//! Replicas of a server that was restored from a backup: some have seen commits that it has lost.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use common::schema::{Field, FieldType, Schema};
use common::{Collection, Value, row};
use durable::{DurableDatabase, DurableOptions, Until, restore};
use server::Tenant;
use syncdb::{SyncDb, SyncServerOptions};

/// A server on the database of a folder.
fn serve(folder: &Path) -> (Arc<DurableDatabase>, Tenant, Collection) {
    let store = DurableDatabase::open(folder, DurableOptions::default()).unwrap();
    let store = Arc::new(store);
    let notes = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("text", FieldType::Text))
        .finish()
        .unwrap();
    let notes = store.database().open_collection(notes).unwrap();
    let options = SyncServerOptions::default();
    let tenant = Tenant::durable("t", Arc::clone(&store), options).unwrap();
    (store, tenant, notes)
}

fn sync(db: &SyncDb, tenant: &Tenant) {
    let mut transport = |request: &[u8]| tenant.sync().handle(request);
    assert!(db.sync(&mut transport).unwrap().converged);
}

fn text(notes: &Collection, id: i64) -> Option<Value> {
    notes.get(id).map(|record| record[1].clone())
}

/// The new server has as many commits as the old one, so that the replica's position is one that it has, of other commits.
#[test]
fn a_replica_ahead_of_a_restored_server_is_told_and_keeps_what_it_had_to_send() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let (store, tenant, notes) = serve(&at("data"));
    notes.insert(row! { "id": 1, "text": "before" }).unwrap();
    let phone = SyncDb::client("phone").unwrap();
    // Sends nothing that the server could miss.
    let tablet = SyncDb::client("tablet").unwrap();
    sync(&phone, &tenant);
    sync(&tablet, &tenant);
    phone
        .insert("notes", row! { "id": 10, "text": "pushed before" })
        .unwrap();
    sync(&phone, &tenant);
    store.backup(at("backup")).unwrap();
    // What comes now is lost at the server.
    notes.update(1, row! { "text": "lost" }).unwrap();
    notes.insert(row! { "id": 2, "text": "lost" }).unwrap();
    phone
        .insert("notes", row! { "id": 11, "text": "pushed and lost" })
        .unwrap();
    sync(&phone, &tenant);
    sync(&tablet, &tenant);
    let ahead = store.database().seq();
    let before = tenant.sync().status().epoch;
    drop((tenant, notes));
    store.close().unwrap();
    drop(store);
    // Made offline: the server has never seen it.
    phone
        .insert("notes", row! { "id": 12, "text": "to be sent" })
        .unwrap();
    phone
        .update("notes", 10, row! { "text": "to be sent" })
        .unwrap();

    tablet
        .insert("notes", row! { "id": 13, "text": "to be sent" })
        .unwrap();

    restore(at("backup"), &[], at("restored"), Until::End).unwrap();
    let (store, tenant, notes) = serve(&at("restored"));
    assert_ne!(tenant.sync().status().epoch, before, "nobody is told");
    let mut next = 3;
    while store.database().seq() <= ahead {
        notes.insert(row! { "id": next, "text": "after" }).unwrap();
        next += 100;
    }
    for replica in [&phone, &tablet, &phone] {
        sync(replica, &tenant);
        assert_eq!(replica.pending(), 0);
        let digest = tenant.sync().digest().unwrap();
        assert_eq!(replica.digest().unwrap(), digest);
    }
    let (there, other) = (phone.collection("notes"), tablet.collection("notes"));
    for table in [&notes, &there.unwrap(), &other.unwrap()] {
        assert_eq!(text(table, 1), Some(Value::from("before")));
        assert_eq!(text(table, 2), None, "it is in no backup");
        assert_eq!(text(table, 3), Some(Value::from("after")));
        assert_eq!(text(table, 10), Some(Value::from("to be sent")));
        assert_eq!(text(table, 11), None, "it was the server's by then");
        assert_eq!(text(table, 12), Some(Value::from("to be sent")));
        assert_eq!(text(table, 13), Some(Value::from("to be sent")));
    }
    // Once, and not again with the next sync or the next start.
    let once = store.database().seq();
    sync(&phone, &tenant);
    assert_eq!(store.database().seq(), once);
    let epoch = tenant.sync().status().epoch;
    drop((tenant, notes));
    store.close().unwrap();
    drop(store);
    let (_store, tenant, _notes) = serve(&at("restored"));
    assert_eq!(tenant.sync().status().epoch, epoch);
}
