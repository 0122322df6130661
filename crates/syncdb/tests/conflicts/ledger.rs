//! The ledger: who is told, how it is asked, how what lost is brought back.

use common::query::Query;
use common::{Value, row};
use syncdb::{
    DeletionPolicy, LedgerOptions, LedgerQuery, Policy, Principal, RevertOptions, Reverted, Rule,
    SetBias, Side, Strategy, Subscription, SyncServerOptions, Visibility,
};

use super::{Setting, title};

fn force() -> RevertOptions {
    RevertOptions {
        force: true,
        ..RevertOptions::default()
    }
}

#[test]
fn both_who_took_part_are_told_and_nobody_else() {
    for visible_to in [Visibility::Participants, Visibility::Everyone] {
        let ledger = LedgerOptions {
            visible_to,
            ..LedgerOptions::default()
        };
        let setting = Setting::with(SyncServerOptions::default().ledger(ledger));
        let c = setting.replica("c");
        let (a, b) = setting.conflict();
        setting.sync(&c);
        let ledger = setting.server.conflicts().unwrap();
        assert_eq!(ledger.len(), 1);
        assert_eq!(ledger[0].server_replica.0, "a");
        assert_eq!(
            (ledger[0].winner, &ledger[0].result),
            (Side::Client, &"by b".into())
        );
        let told = |db: &syncdb::SyncDb| db.conflicts().unwrap();
        assert_eq!(told(&a), ledger);
        assert_eq!(
            told(&b)[0].base,
            Some("first".into()),
            "the replica knows it"
        );
        let expected = usize::from(visible_to == Visibility::Everyone);
        assert_eq!(told(&c).len(), expected);
        // A replica that lost everything is told again what concerns it.
        assert_eq!(setting.replica("a").conflicts().unwrap(), ledger);
    }
}

#[test]
fn more_entries_than_fit_one_answer_arrive_with_the_next() {
    let setting = Setting::with(SyncServerOptions::default());
    let (a, b) = (setting.replica("a"), setting.replica("b"));
    for (db, text) in [(&a, "by a"), (&b, "by b")] {
        setting.tick();
        db.transaction(|tx| {
            let notes = db.collection("notes")?;
            for id in 0..1_500 {
                tx.upsert(
                    &notes,
                    row! { "id": 10 + id, "title": text, "body": "same" },
                )?;
            }
            Ok(())
        })
        .unwrap();
    }
    setting.sync(&a);
    assert_eq!(setting.sync(&b).conflicts.len(), 1_500);
    setting.sync(&a);
    let told = a.conflicts().unwrap().len();
    assert!((1..=1_000).contains(&told), "{told}");
    setting.sync(&a);
    assert_eq!(a.conflicts().unwrap(), setting.server.conflicts().unwrap());
    assert_eq!(setting.sync(&b).conflicts.len(), 0);
}

#[test]
fn the_ledger_is_a_table_and_a_query_finds_what_it_asks_for() {
    let setting = Setting::new(Policy::default());
    let (a, b) = setting.conflict();
    a.delete("notes", 2).unwrap();
    b.update("notes", 2, row! { "title": "by b" }).unwrap();
    setting.sync(&a);
    setting.sync(&b);
    let server = &setting.server;
    let found = |query: LedgerQuery| {
        let found = server.find_conflicts(&query).unwrap();
        found
            .iter()
            .map(|entry| entry.rule.clone())
            .collect::<Vec<_>>()
    };
    let all = LedgerQuery::default;
    assert_eq!(found(all()), [Rule::LastWriteWins, Rule::DeleteWins]);
    let of_row = LedgerQuery {
        table: Some("notes".into()),
        key: Some(2.into()),
        ..all()
    };
    assert_eq!(found(of_row), [Rule::DeleteWins]);
    let of_column = LedgerQuery {
        column: Some("title".into()),
        winner: Some(Side::Client),
        ..all()
    };
    assert_eq!(found(of_column), [Rule::LastWriteWins]);
    let of_nobody = LedgerQuery {
        replica: Some("c".into()),
        ..all()
    };
    assert_eq!(found(of_nobody), []);
    let at = server.conflicts().unwrap()[1].at;
    let since = LedgerQuery {
        since: Some(at),
        rule: Some(Rule::DeleteWins),
        ..all()
    };
    assert_eq!(found(since.clone()), [Rule::DeleteWins]);
    let until = LedgerQuery {
        until: Some(at),
        ..all()
    };
    assert_eq!(found(until), [Rule::LastWriteWins]);
    let query = Query::from("sync_conflicts").filter(since.filter());
    let rows = query.run(&server.database().snapshot().view()).unwrap();
    assert_eq!(rows.rows.len(), 1);
}

#[test]
fn the_principal_is_in_the_ledger() {
    let setting = Setting::new(Policy::default());
    let (a, b) = (setting.replica("a"), setting.replica("b"));
    for (db, principal) in [(&a, "alice"), (&b, "bob")] {
        setting.tick();
        db.update("notes", 1, row! { "title": principal }).unwrap();
        let principal = Principal::new(principal);
        db.sync(&mut |request: &[u8]| setting.server.handle_for(Some(&principal), request))
            .unwrap();
    }
    let [entry] = &setting.server.conflicts().unwrap()[..] else {
        panic!("one conflict");
    };
    assert_eq!(entry.principal.as_deref(), Some("bob"));
    assert_eq!(entry.server_principal.as_deref(), Some("alice"));
    let options = RevertOptions {
        force: false,
        principal: Some("carol".into()),
    };
    let Reverted::Done(entries) = setting.server.revert(entry.id(), &options).unwrap() else {
        panic!("reverted");
    };
    assert_eq!(entries[0].principal.as_deref(), Some("carol"));
}

#[test]
fn what_lost_is_brought_back_once_and_never_over_a_later_edit() {
    let setting = Setting::new(Policy::default());
    let (a, b) = setting.conflict();
    let server = &setting.server;
    let id = server.conflicts().unwrap()[0].id();
    let usual = RevertOptions::default();
    let Reverted::Done(entries) = server.revert(id, &usual).unwrap() else {
        panic!("reverted");
    };
    assert_eq!(setting.cell(1, 1), Some("by a".into()));
    let [reverting] = &entries[..] else {
        panic!("one column");
    };
    assert_eq!(
        (reverting.rule.clone(), reverting.reverts),
        (Rule::Revert, Some(id))
    );
    assert_eq!(server.conflicts().unwrap()[1], *reverting);
    let again = server.revert(id, &force()).unwrap();
    assert_eq!(again, Reverted::Already(reverting.id()));
    // The replicas get it, and its entry goes to the one whose value it replaced.
    for db in [&a, &b] {
        setting.sync(db);
        assert_eq!(title(db, 1), Some("by a".into()));
    }
    assert_eq!(b.conflicts().unwrap().last(), Some(reverting));
    // The reverting entry can be reverted, and then the first one again.
    assert!(matches!(
        server.revert(reverting.id(), &usual).unwrap(),
        Reverted::Done(_)
    ));
    assert_eq!(setting.cell(1, 1), Some("by b".into()));
    setting.sync(&a);
    a.update("notes", 1, row! { "title": "later" }).unwrap();
    setting.sync(&a);
    let refused = server.revert(id, &usual).unwrap();
    let Reverted::WrittenSince { replica, value, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((replica.0.as_str(), value), ("a", "later".into()));
    assert_eq!(setting.cell(1, 1), Some("later".into()));
    assert!(matches!(
        server.revert(id, &force()).unwrap(),
        Reverted::Done(_)
    ));
    assert_eq!(setting.cell(1, 1), Some("by a".into()));
    assert!(server.revert("1.7".parse().unwrap(), &usual).is_err());
}

#[test]
fn a_replica_asks_for_what_it_lost() {
    let setting = Setting::new(Policy::default());
    let (a, b) = setting.conflict();
    let id = a.conflicts().unwrap()[0].id();
    assert!(a.revert("9.9".parse().unwrap(), false).is_err());
    a.revert(id, false).unwrap();
    assert_eq!(title(&a, 1), Some("by b".into()), "the server decides");
    let report = setting.sync(&a);
    assert_eq!(report.conflicts[0].reverts, Some(id));
    assert_eq!(title(&a, 1), Some("by a".into()));
    setting.sync(&b);
    assert_eq!(title(&b, 1), Some("by a".into()));
    // Once is enough: the other one's wish is rejected with the reason.
    b.revert(id, false).unwrap();
    assert_eq!(setting.sync(&b).outcomes.get("rejected"), Some(&1));
    let [rejected] = &b.rejected().unwrap()[..] else {
        panic!("one rejected mutation");
    };
    assert!(rejected.message.contains("reverted already"), "{rejected}");
    assert_eq!(rejected.ops[0].action, "revert");
    // A replica that took no part is not told, and may not ask either.
    let c = setting.replica("c");
    c.database()
        .collection("sync_conflicts")
        .unwrap()
        .insert_values(setting.server.conflicts().unwrap()[0].to_values())
        .unwrap();
    c.revert(id, true).unwrap();
    setting.sync(&c);
    assert!(c.rejected().unwrap()[0].message.contains("no conflict"));
}

#[test]
fn a_group_comes_back_together() {
    let setting = Setting::new(Policy::default().group(["title", "body"]));
    let (a, b) = (setting.replica("a"), setting.replica("b"));
    a.update("notes", 1, row! { "title": "a", "body": "a" })
        .unwrap();
    setting.tick();
    b.update("notes", 1, row! { "body": "b" }).unwrap();
    setting.sync(&a);
    let conflicts = setting.sync(&b).conflicts;
    assert_eq!(conflicts.len(), 2, "both columns of the group");
    // The title that b saw belongs to its body.
    let notes = setting.notes().get(1).unwrap();
    assert_eq!((&notes[1], &notes[2]), (&"first".into(), &"b".into()));
    let id = conflicts[1].id();
    let Reverted::Done(entries) = setting
        .server
        .revert(id, &RevertOptions::default())
        .unwrap()
    else {
        panic!("reverted");
    };
    assert_eq!(entries.len(), 2);
    let notes = setting.notes().get(1).unwrap();
    assert_eq!((&notes[1], &notes[2]), (&"a".into(), &"a".into()));
}

#[test]
fn rows_come_back_and_go_again() {
    for deletion in [DeletionPolicy::DeleteWins, DeletionPolicy::UpdateResurrects] {
        let setting = Setting::new(Policy::default().deletion(deletion));
        let (a, b) = (setting.replica("a"), setting.replica("b"));
        a.delete("notes", 1).unwrap();
        a.update("notes", 2, row! { "title": "kept?" }).unwrap();
        b.update("notes", 1, row! { "title": "kept?" }).unwrap();
        b.delete("notes", 2).unwrap();
        setting.sync(&a);
        let conflicts = setting.sync(&b).conflicts;
        assert_eq!(conflicts.len(), 2, "{conflicts:?}");
        let stays = deletion == DeletionPolicy::UpdateResurrects;
        for id in [1, 2] {
            assert_eq!(setting.notes().get(id).is_some(), stays, "row {id}");
        }
        if stays {
            let row = setting.notes().get(1).unwrap();
            assert_eq!((&row[1], &row[2]), (&"kept?".into(), &"first".into()));
        }
        for conflict in &conflicts {
            let done = setting
                .server
                .revert(conflict.id(), &RevertOptions::default())
                .unwrap();
            let Reverted::Done(entries) = done else {
                panic!("{done:?}");
            };
            let id = conflict.key.clone();
            assert_eq!(setting.notes().get(id.clone()).is_some(), !stays);
            if !stays {
                let row = setting.notes().get(id.clone()).unwrap();
                assert_eq!((&row[1], &row[2]), (&"kept?".into(), &"first".into()));
            }
            // And the way back.
            let back = setting
                .server
                .revert(entries[0].id(), &RevertOptions::default())
                .unwrap();
            assert!(matches!(back, Reverted::Done(_)), "{back:?}");
            assert_eq!(setting.notes().get(id).is_some(), stays);
        }
        for db in [&a, &b] {
            setting.sync(db);
        }
    }
}

#[test]
fn an_update_that_lost_saves_the_row_all_the_same() {
    let deletion = DeletionPolicy::UpdateResurrects;
    for deleted_first in [false, true] {
        let setting = Setting::new(Policy::default().deletion(deletion));
        let (a, c) = (setting.replica("a"), setting.replica("c"));
        c.update("notes", 1, row! { "title": "earlier, by c" })
            .unwrap();
        setting.tick();
        a.update("notes", 1, row! { "title": "later, by a" })
            .unwrap();
        setting.sync(&a);
        a.delete("notes", 1).unwrap();
        // Whether the deletion or the update that loses its column comes first, the row is there in the end.
        let order = if deleted_first { [&a, &c] } else { [&c, &a] };
        // The deletion must not have seen the update, so it is made before anything else is received.
        setting.push_only(order[0]);
        setting.push_only(order[1]);
        assert_eq!(
            setting.cell(1, 1),
            Some("later, by a".into()),
            "{deleted_first}"
        );
        for db in [&a, &c, &a] {
            setting.sync(db);
        }
        assert_eq!(title(&a, 1), Some("later, by a".into()));
    }
}

#[test]
fn the_oldest_entries_are_forgotten() {
    let ledger = LedgerOptions {
        entries_max: 5,
        deleted_max: 4,
        ..LedgerOptions::default()
    };
    let setting = Setting::with(SyncServerOptions::default().ledger(ledger));
    let (a, b) = (setting.replica("a"), setting.replica("b"));
    for round in 0..12 {
        for db in [&a, &b] {
            setting.tick();
            let text = format!("{round} by {}", db.replica());
            db.update("notes", 1, row! { "title": text }).unwrap();
        }
        setting.sync(&a);
        assert_eq!(setting.sync(&b).conflicts.len(), 1);
        a.insert("notes", row! { "id": 100 + round }).unwrap();
        setting.sync(&a);
        a.delete("notes", 100 + round).unwrap();
        setting.sync(&a);
    }
    let kept = setting.server.conflicts().unwrap();
    assert_eq!(kept.len(), 5);
    assert_eq!(kept[4].client, Value::from("11 by b"));
    assert_eq!(
        a.conflicts().unwrap().len(),
        12,
        "a replica keeps its own longer"
    );
    let deleted = setting
        .server
        .database()
        .collection("sync_deleted")
        .unwrap();
    assert!(deleted.len() <= 5, "{}", deleted.len());
    // Nor do many direct deletions at once grow it.
    for id in 1_000..1_020 {
        setting.notes().insert(row! { "id": id }).unwrap();
    }
    for id in 1_000..1_020 {
        setting.notes().delete(id).unwrap();
    }
    setting.server.account_for_direct_writes().unwrap();
    assert!(deleted.len() <= 8, "{}", deleted.len());
    setting.server.account_for_direct_writes().unwrap();
    assert!(deleted.len() <= 4, "{}", deleted.len());
}

#[test]
fn entries_that_are_too_old_are_forgotten() {
    let ledger = LedgerOptions {
        age_seconds_max: 3_600,
        ..LedgerOptions::default()
    };
    let setting = Setting::with(SyncServerOptions::default().ledger(ledger));
    let (a, _) = setting.conflict();
    setting.wall.advance(std::time::Duration::from_secs(3_601));
    assert_eq!(setting.server.conflicts().unwrap().len(), 1);
    a.update("notes", 3, row! { "title": "anything" }).unwrap();
    setting.sync(&a);
    assert_eq!(setting.server.conflicts().unwrap(), []);
}

#[test]
fn an_addition_to_a_set_that_met_a_removal_is_told() {
    let tags = |bias| Policy::default().column("tags", Strategy::Set(bias));
    for (bias, rule, stays) in [
        (SetBias::AddWins, Rule::AddWins, true),
        (SetBias::RemoveWins, Rule::RemoveWins, false),
    ] {
        let wall = std::sync::Arc::new(common::utils::time::ManualClock::new(super::START));
        let db = super::database(&wall);
        let ty = common::schema::FieldType::List(Box::new(common::schema::FieldType::Text));
        let schema = common::schema::Schema::build("posts", ["id"])
            .field(common::schema::Field::new(
                "id",
                common::schema::FieldType::Int,
            ))
            .field(common::schema::Field::new("tags", ty));
        let red = || Value::from("red");
        db.create_collection(schema.finish().unwrap())
            .unwrap()
            .insert(row! { "id": 1, "tags": vec![red()] })
            .unwrap();
        let options = SyncServerOptions::default().policy("posts", tags(bias));
        let server = syncdb::SyncServer::with(db, options).unwrap();
        let [a, b] = ["a", "b"].map(|name| {
            let db = syncdb::SyncDb::open(super::database(&wall), name).unwrap();
            db.sync(&mut |request: &[u8]| server.handle(request))
                .unwrap();
            db
        });
        // It is there already: saying so again is what makes a difference.
        a.add_to_set("posts", 1, "tags", "red").unwrap();
        b.remove_from_set("posts", 1, "tags", "red").unwrap();
        a.sync(&mut |request: &[u8]| server.handle(request))
            .unwrap();
        let report = b
            .sync(&mut |request: &[u8]| server.handle(request))
            .unwrap();
        assert!(report.converged && !report.repaired);
        assert_eq!(report.conflicts[0].rule, rule);
        let has = |db: &syncdb::SyncDb| db.collection("posts").unwrap().get(1).unwrap()[1].clone();
        let expected = Value::from(if stays { vec![red()] } else { vec![] });
        assert_eq!(has(&b), expected);
        a.sync(&mut |request: &[u8]| server.handle(request))
            .unwrap();
        assert_eq!(has(&a), expected);
        // A column that is no counter takes no number, and none that is no set an element.
        assert!(a.increment("posts", 1, "tags", 1).is_err());
    }
}

#[test]
fn a_column_that_a_replica_does_not_keep_is_never_written_over_in_silence() {
    let setting = Setting::new(Policy::default());
    let (a, b) = (setting.replica("a"), setting.replica("b"));
    let titles = Subscription::new("titles", "notes").columns(["title"]);
    a.subscribe(&titles).unwrap();
    setting.sync(&a);
    b.update("notes", 1, row! { "body": "by b" }).unwrap();
    setting.sync(&b);
    // It has come past the commit, and has not seen the value.
    setting.sync(&a);
    a.update("notes", 1, row! { "body": "by a" }).unwrap();
    let report = setting.sync(&a);
    let [entry] = &report.conflicts[..] else {
        panic!("one conflict: {report:?}");
    };
    assert_eq!(entry.column.as_deref(), Some("body"));
    assert_eq!(
        (&entry.server, &entry.client),
        (&"by b".into(), &"by a".into())
    );
    assert_eq!(setting.cell(1, 2), Some("by a".into()));
    // Its own last write it knows.
    a.update("notes", 1, row! { "body": "by a again" }).unwrap();
    assert_eq!(setting.sync(&a).conflicts, []);
}

#[test]
fn of_a_group_a_replica_says_nothing_of_a_column_that_it_does_not_keep() {
    let setting = Setting::new(Policy::default().group(["title", "body"]));
    let a = setting.replica("a");
    let titles = Subscription::new("titles", "notes").columns(["title"]);
    a.subscribe(&titles).unwrap();
    setting.sync(&a);
    a.update("notes", 1, row! { "title": "by a" }).unwrap();
    assert_eq!(setting.sync(&a).conflicts, []);
    assert_eq!(setting.cell(1, 1), Some("by a".into()));
    assert_eq!(setting.cell(1, 2), Some("first".into()));
    // What somebody else wrote to the group meanwhile meets it all the same.
    let b = setting.replica("b");
    b.update("notes", 1, row! { "body": "by b" }).unwrap();
    setting.sync(&b);
    a.update("notes", 1, row! { "title": "by a again" })
        .unwrap();
    assert_eq!(setting.sync(&a).conflicts.len(), 1);
}
