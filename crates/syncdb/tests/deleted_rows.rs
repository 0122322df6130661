//! Rows deleted long ago: what is written to them is rejected and kept, they never come back, whoever makes a row of the same
//! key is not in the way of that, and the memory of them is bounded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use common::schema::{Field, FieldType, Schema};
use common::utils::id_generator::SeededRng;
use common::{Collection, Database, Value, row};
use syncdb::sync::protocol::ROW_GONE;
use syncdb::{
    DeletionPolicy, LedgerOptions, Policy, SyncDb, SyncReport, SyncServer, SyncServerOptions,
};

fn served(options: SyncServerOptions) -> (SyncServer, Collection) {
    let db = Database::new();
    let schema = Schema::build("notes", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("title", FieldType::Text).nullable())
        .field(Field::new("stars", FieldType::Int).default_value(0));
    let notes = db.create_collection(schema.finish().unwrap()).unwrap();
    for id in 0..10 {
        notes.insert(row! { "id": id, "title": "first" }).unwrap();
    }
    (SyncServer::with(db, options).unwrap(), notes)
}

fn sync(db: &SyncDb, server: &SyncServer) -> SyncReport {
    let report = db
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    assert!(report.converged && !report.repaired, "{report:?}");
    report
}

/// Drops the whole log.
fn prune(server: &SyncServer) {
    server.account_for_direct_writes().unwrap();
    let db = server.database();
    db.prune_log_to(db.seq());
}

fn counted(server: &SyncServer, table: &str) -> usize {
    server.database().collection(table).unwrap().len()
}

/// T7, T17: an edit of a row that was deleted before the log's beginning is rejected whole, with what was there before.
#[test]
fn an_edit_of_a_row_deleted_long_ago_is_rejected_and_kept() {
    // Also where nobody remembers what the row held.
    for deleted_max in [0, 10_000] {
        let ledger = LedgerOptions {
            deleted_max,
            ..LedgerOptions::default()
        };
        let (server, notes) = served(SyncServerOptions::default().ledger(ledger));
        let phone = SyncDb::client("phone").unwrap();
        sync(&phone, &server);
        phone
            .update("notes", 1, row! { "title": "offline" })
            .unwrap();
        phone.update("notes", 2, row! { "stars": 5 }).unwrap();
        phone.delete("notes", 3).unwrap();
        for id in [1, 3] {
            notes.delete(id).unwrap();
        }
        prune(&server);
        let report = sync(&phone, &server);
        assert_eq!(report.outcomes.get("rejected"), Some(&1), "{report:?}");
        assert_eq!(report.outcomes.get("applied"), Some(&2), "{report:?}");
        let rejected = phone.rejected().unwrap();
        assert_eq!(rejected[0].code, ROW_GONE);
        let edit = &rejected[0].ops[0];
        assert_eq!(edit.columns.get("title"), Some(&"offline".into()));
        assert_eq!(edit.before.get("title"), Some(&"first".into()));
        assert!(notes.get(1).is_none());
        assert!(phone.collection("notes").unwrap().get(1).is_none());
        assert_eq!(server.status().conflicts, 0);
        // Its key is free.
        phone
            .insert("notes", row! { "id": 1, "title": "anew" })
            .unwrap();
        let report = sync(&phone, &server);
        assert_eq!(report.outcomes.get("applied"), Some(&1), "{report:?}");
        assert_eq!(notes.get(1).unwrap()[1], Value::from("anew"));
        assert_eq!(counted(&server, "sync_gone"), 1);
        assert_eq!(phone.digest().unwrap(), server.digest().unwrap());
    }
}

/// Where an update brings a row back, it does as long as the server knows what the row held.
#[test]
fn an_update_brings_a_row_back_as_long_as_it_is_remembered() {
    for (deleted_max, back) in [(10_000, true), (0, false)] {
        let ledger = LedgerOptions {
            deleted_max,
            ..LedgerOptions::default()
        };
        let policy = Policy {
            deletion: DeletionPolicy::UpdateResurrects,
            ..Policy::default()
        };
        let options = SyncServerOptions::default()
            .policy("notes", policy)
            .ledger(ledger);
        let (server, notes) = served(options);
        let (phone, other) = (
            SyncDb::client("phone").unwrap(),
            SyncDb::client("other").unwrap(),
        );
        sync(&phone, &server);
        sync(&other, &server);
        phone.update("notes", 1, row! { "stars": 7 }).unwrap();
        other.delete("notes", 1).unwrap();
        sync(&other, &server);
        prune(&server);
        sync(&phone, &server);
        let title = notes.get(1).map(|row| row[1].clone());
        assert_eq!(title, back.then(|| "first".into()));
        assert_eq!(phone.rejected().unwrap().len(), usize::from(!back));
        assert_eq!(counted(&server, "sync_gone"), usize::from(!back));
    }
}

/// T14, T17: random histories of three replicas, the server and pruning against a map of which rows there are.
#[test]
fn no_row_comes_back_and_no_insertion_is_refused() {
    for seed in 0..24 {
        let random = SeededRng::new(seed);
        let below = |bound: u64| i64::try_from(random.next_u64() % bound).unwrap();
        let ledger = LedgerOptions {
            deleted_max: [0, 3, 1_000][usize::try_from(seed % 3).unwrap()],
            ..LedgerOptions::default()
        };
        let (server, notes) = served(SyncServerOptions::default().ledger(ledger));
        let replicas: Vec<SyncDb> = ["a", "b", "c"]
            .map(|name| SyncDb::client(name).unwrap())
            .into();
        for db in &replicas {
            sync(db, &server);
        }
        // Each insertion has a number; which one stands under a key, if any.
        let mut model: BTreeMap<i64, i64> = (0..10).map(|id| (id, 0)).collect();
        for number in 1..=150 {
            let db = &replicas[usize::try_from(below(3)).unwrap()];
            let here = db.collection("notes").unwrap();
            let id = below(12);
            match below(9) {
                // Made where it is not known to be, and sent at once.
                0 | 1 => {
                    sync(db, &server);
                    if here.get(id).is_none() {
                        db.insert("notes", row! { "id": id, "stars": number })
                            .unwrap();
                        let report = sync(db, &server);
                        assert_eq!(report.outcomes.get("applied"), Some(&1), "seed {seed}");
                        model.insert(id, number);
                    }
                }
                2 => {
                    sync(db, &server);
                    if here.get(id).is_some() {
                        db.delete("notes", id).unwrap();
                        sync(db, &server);
                        model.remove(&id);
                    }
                }
                3 if notes.get(id).is_some() => {
                    notes.delete(id).unwrap();
                    model.remove(&id);
                }
                3 => {
                    notes.insert(row! { "id": id, "stars": number }).unwrap();
                    model.insert(id, number);
                }
                4 => prune(&server),
                5 => drop(server.prune().unwrap()),
                // Edits that wait, perhaps until their row is long gone.
                _ => {
                    if here.get(id).is_some() {
                        let title = format!("edit {number}");
                        db.update("notes", id, row! { "title": title }).unwrap();
                    }
                }
            }
        }
        for db in replicas.iter().chain(&replicas) {
            sync(db, &server);
        }
        let mut rows = BTreeMap::new();
        for id in 0..12 {
            if let Some(row) = notes.get(id) {
                rows.insert(id, row[2].as_int().unwrap());
            }
        }
        assert_eq!(rows, model, "seed {seed}");
        for db in &replicas {
            assert_eq!(db.digest().unwrap(), server.digest().unwrap());
            let rejected = db.rejected().unwrap();
            assert!(rejected.iter().all(|r| r.code == ROW_GONE), "seed {seed}");
        }
        server.account_for_direct_writes().unwrap();
        assert!(counted(&server, "sync_gone") <= 12);
    }
}

/// T17, R21: what a server keeps of 5,000 rows that were made and deleted, by replicas and directly, is bounded, and a replica
/// that was away for all of it gets the difference.
#[test]
fn t17_the_memory_of_deleted_rows_is_bounded() {
    let ledger = LedgerOptions {
        deleted_max: 100,
        gone_max: 1_000,
        ..LedgerOptions::default()
    };
    let (server, notes) = served(SyncServerOptions::default().ledger(ledger));
    let (phone, away) = (
        SyncDb::client("phone").unwrap(),
        SyncDb::client("away").unwrap(),
    );
    sync(&phone, &server);
    sync(&away, &server);
    away.update("notes", 5, row! { "title": "of a row that is gone" })
        .unwrap();
    notes.delete(5).unwrap();
    for round in 0..50 {
        let ids = 100 + round * 100..100 + round * 100 + 100;
        phone
            .transaction(|tx| {
                for id in ids.clone().take(50) {
                    tx.insert(&phone.collection("notes")?, row! { "id": id })?;
                }
                Ok(())
            })
            .unwrap();
        for id in ids.clone().skip(50) {
            notes.insert(row! { "id": id }).unwrap();
        }
        sync(&phone, &server);
        for id in ids.clone().take(50) {
            phone.delete("notes", id).unwrap();
        }
        for id in ids.skip(50) {
            notes.delete(id).unwrap();
        }
        sync(&phone, &server);
        prune(&server);
        assert!(counted(&server, "sync_deleted") <= 200, "round {round}");
        assert!(counted(&server, "sync_gone") <= 1_100, "round {round}");
        assert!(counted(&server, "sync_rows") <= 10, "round {round}");
        let (_, log) = server.database().log_extent();
        assert_eq!(log, 0);
    }
    assert_eq!(notes.len(), 9);
    let report = sync(&away, &server);
    assert!(report.bytes_down < 4_000, "{report:?}");
    // Forgotten among the oldest: told as a conflict. Either way the row is gone and the edit is not lost.
    assert_eq!(server.conflicts().unwrap().len(), 1);
    assert!(notes.get(5).is_none());
    assert_eq!(away.digest().unwrap(), server.digest().unwrap());
    // The outcomes that are not acknowledged yet, a replica each.
    assert!(counted(&server, "sync_outcomes") <= 200);
    assert_eq!(counted(&server, "sync_clients"), 2);
}
