//! Shared dictionaries between a server and its replicas: learned, given, used, lost and found again.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use common::schema::{Field, FieldType, Schema};
use common::{Database, ErrorKind, Value, row};
use syncdb::sync::permission::{Permission, Permissions};
use syncdb::sync::protocol::{Request, frame_limits};
use syncdb::sync::wire::{decode_answer, decode_request, encode_request};
use syncdb::{SyncDb, SyncReport, SyncServer, SyncServerOptions};

const WORDS: [&str; 8] = [
    "meeting with the printer",
    "call back about the invoice",
    "order more paper",
    "the garden needs water",
    "write the report for June",
    "pick up the parcel",
    "renew the insurance",
    "repair the bicycle",
];

fn schema() -> Schema {
    Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("state", FieldType::Text))
        .finish()
        .unwrap()
}

fn task(id: i64) -> common::Row {
    let word = |at: i64| WORDS[usize::try_from(at.rem_euclid(8)).unwrap()];
    let title = format!("{} and {} no {}", word(id), word(id / 3), id * 7 % 101);
    row! { "id": id, "title": title, "state": ["open", "in progress", "done"][usize::try_from(id % 3).unwrap()] }
}

fn database(rows: i64) -> Database {
    let db = Database::new();
    let tasks = db.create_collection(schema()).unwrap();
    for id in 0..rows {
        tasks.insert(task(id)).unwrap();
    }
    db
}

/// Syncs, and gives the last request and answer.
fn exchange(db: &SyncDb, server: &SyncServer) -> (SyncReport, Vec<u8>, Vec<u8>) {
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    let report = db
        .sync(&mut |request: &[u8]| {
            sent = request.to_vec();
            got = server.handle(request)?;
            Ok(got.clone())
        })
        .unwrap();
    assert!(report.converged && !report.repaired, "{report:?}");
    (report, sent, got)
}

fn named(request: &[u8]) -> usize {
    // What is said about dictionaries is found also in a request that is packed with one.
    let request = decode_request(request, &frame_limits());
    request.map_or(usize::MAX, |request| request.dictionaries.len())
}

/// Edits and syncs until the replica has been given the dictionary.
fn earn(db: &SyncDb, server: &SyncServer) {
    for id in 0..4_000 {
        let id = id % 500;
        db.update(
            "tasks",
            id,
            row! { "title": format!("{} {id}", WORDS[3]), "state": "done" },
        )
        .unwrap();
        if id % 50 == 49 {
            let (_, _, answer) = exchange(db, server);
            let answer = decode_answer(&answer, &frame_limits());
            if answer.unwrap().dictionaries.len() == 1 {
                return;
            }
        }
    }
    panic!("no dictionary was given");
}

#[test]
fn a_dictionary_is_given_once_it_pays_and_then_used_in_both_directions() {
    let db = database(1_000);
    let server = SyncServer::new(db.clone()).unwrap();
    let phone = SyncDb::client("phone").unwrap();
    exchange(&phone, &server);
    // Without one, whatever travels is plain.
    assert!(server.train_dictionaries().unwrap().len() == 1);
    assert_eq!(
        server.train_dictionaries().unwrap(),
        vec![],
        "nothing is due"
    );
    let (_, request, answer) = exchange(&phone, &server);
    assert_eq!(named(&request), 0);
    let idle = decode_answer(&answer, &frame_limits()).unwrap();
    assert_eq!(
        idle.dictionaries,
        vec![],
        "who exchanges nothing needs none"
    );
    earn(&phone, &server);

    let edit = |db: &SyncDb| {
        for id in 10..16 {
            let title = format!("{} and {} no 5", WORDS[1], WORDS[6]);
            db.update("tasks", id, row! { "title": title, "state": "open" })
                .unwrap();
        }
    };
    let plain = SyncDb::client("plain").unwrap();
    exchange(&plain, &server);
    edit(&plain);
    let (without, ..) = exchange(&plain, &server);
    exchange(&phone, &server);
    for id in 10..16 {
        phone
            .update("tasks", id, row! { "title": "x", "state": "done" })
            .unwrap();
    }
    exchange(&phone, &server);
    edit(&phone);
    let (with, request, answer) = exchange(&phone, &server);
    assert!(
        with.bytes_up + 20 < without.bytes_up,
        "{} and {}",
        with.bytes_up,
        without.bytes_up
    );
    let unread = decode_request(&request, &frame_limits()).unwrap_err();
    assert_eq!(unread.kind(), ErrorKind::NotFound);
    // What went up does not come back, so the answer is plain. To another replica that has one it is not.
    assert!(decode_answer(&answer, &frame_limits()).is_ok());
    let tablet = SyncDb::client("tablet").unwrap();
    exchange(&tablet, &server);
    earn(&tablet, &server);
    exchange(&phone, &server);
    edit(&tablet);
    exchange(&tablet, &server);
    let (_, request, answer) = exchange(&phone, &server);
    assert_eq!(named(&request), 1);
    assert_eq!(
        decode_answer(&answer, &frame_limits()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // The one that has none gets the same rows without.
    let (_, request, answer) = exchange(&plain, &server);
    assert_eq!(named(&request), 0);
    let answer = decode_answer(&answer, &frame_limits()).unwrap();
    assert!(!answer.commit.unwrap().blocks.is_empty());
}

#[test]
fn dictionaries_survive_a_restart_of_either_side() {
    let db = database(1_000);
    let server = SyncServer::new(db.clone()).unwrap();
    let replica = Database::new();
    let phone = SyncDb::open(replica.clone(), "phone").unwrap();
    exchange(&phone, &server);
    server.train_dictionaries().unwrap();
    earn(&phone, &server);
    drop((phone, server));
    let server = SyncServer::new(db).unwrap();
    let phone = SyncDb::open(replica, "phone").unwrap();
    assert_eq!(server.train_dictionaries().unwrap(), vec![]);
    let (_, request, answer) = exchange(&phone, &server);
    assert_eq!(named(&request), 1);
    assert_eq!(
        decode_answer(&answer, &frame_limits()).unwrap().lost,
        vec![]
    );
}

#[test]
fn a_dictionary_that_the_server_has_lost_heals_itself() {
    let db = database(1_000);
    let server = SyncServer::new(db.clone()).unwrap();
    let phone = SyncDb::client("phone").unwrap();
    exchange(&phone, &server);
    server.train_dictionaries().unwrap();
    earn(&phone, &server);
    drop(server);
    let kept = db.collection("sync_dictionaries").unwrap();
    let mut keys = Vec::new();
    db.snapshot()
        .view()
        .scan(&kept, &mut |records| {
            keys.extend(records.iter().map(common::Record::id));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    for key in keys {
        kept.delete(key).unwrap();
    }
    let server = SyncServer::new(db).unwrap();
    let title_of = |id: i64| {
        let word = |at: i64| WORDS[usize::try_from(at % 8).unwrap()];
        format!(
            "{} and {} no {}",
            word(id * id),
            word(id / 3),
            id * 37 % 101
        )
    };
    for id in (0..60).step_by(3) {
        let title = title_of(id);
        phone
            .update("tasks", id, row! { "title": title, "state": "open" })
            .unwrap();
    }
    let mut exchanges = Vec::new();
    let report = phone
        .sync(&mut |request: &[u8]| {
            let answer = server.handle(request)?;
            exchanges.push((request.to_vec(), answer.clone()));
            Ok(answer)
        })
        .unwrap();
    assert!(report.converged, "{report:?}");
    let (request, answer) = &exchanges[0];
    assert_eq!(named(request), usize::MAX, "it is packed with it");
    let answer = decode_answer(answer, &frame_limits()).unwrap();
    assert_eq!(answer.lost.len(), 1);
    assert!(!answer.heard && answer.outcomes.is_empty() && answer.commit.is_none());
    assert_eq!(named(&exchanges[1].0), 0, "it is forgotten");
    assert_eq!(report.outcomes["applied"], 20);
    let tasks = server.database().collection("tasks").unwrap();
    let title = tasks.get(9).unwrap()[1].clone();
    assert_eq!(title, Value::from(title_of(9)));
}

#[test]
fn who_may_not_see_all_rows_is_given_none_and_can_use_none() {
    let db = database(1_000);
    let permissions =
        Permissions::new(
            |principal, _| match principal.map(|principal| principal.name.as_str()) {
                Some("all") => Permission::all(),
                _ => Permission::rows(common::query::Filter::eq("state", "open")),
            },
        );
    let options = SyncServerOptions::default().permissions(permissions);
    let server = SyncServer::with(db, options).unwrap();
    let phone = SyncDb::client("phone").unwrap();
    let all = "all".into();
    let sync = |who: Option<&syncdb::Principal>, last: &mut Vec<u8>| {
        let mut given = 0;
        phone
            .sync(&mut |request: &[u8]| {
                *last = request.to_vec();
                let answer = server.handle_for(who, request)?;
                let read = decode_answer(&answer, &frame_limits());
                given += read.map_or(0, |answer| answer.dictionaries.len());
                Ok(answer)
            })
            .unwrap();
        given
    };
    let mut last = Vec::new();
    sync(None, &mut last);
    server.train_dictionaries().unwrap();
    let mut given = 0;
    for round in 0..60 {
        for id in (0..500).step_by(3) {
            phone
                .update(
                    "tasks",
                    id,
                    row! { "title": format!("{} {round}", WORDS[4]) },
                )
                .unwrap();
        }
        given += sync(None, &mut last);
    }
    assert_eq!(given, 0);
    for round in 0..60 {
        for id in (0..500).step_by(3) {
            phone
                .update(
                    "tasks",
                    id,
                    row! { "title": format!("{} {round}", WORDS[5]) },
                )
                .unwrap();
        }
        given += sync(Some(&all), &mut last);
    }
    assert_eq!(given, 1);
    // With the identity alone, which is four bytes, nobody gets at its content.
    sync(Some(&all), &mut last);
    let request: Request = decode_request(&last, &frame_limits()).unwrap();
    assert_eq!(request.dictionaries.len(), 1);
    let answer = server
        .handle_for(None, &encode_request(&request).unwrap())
        .unwrap();
    let answer = decode_answer(&answer, &frame_limits()).unwrap();
    assert_eq!(answer.lost, request.dictionaries);
}

#[test]
fn a_table_that_has_become_another_one_is_learned_anew() {
    let db = database(300);
    let server = SyncServer::new(db.clone()).unwrap();
    let first = server.train_dictionaries().unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].table, "tasks");
    assert!(first[0].saved_per_thousand > 0);
    let tasks = db.collection("tasks").unwrap();
    for id in 300..1_000 {
        let title = format!("{id:x} altogether other words {}", id * 7_919 % 1_000);
        tasks
            .insert(row! { "id": id, "title": title, "state": "elsewhere" })
            .unwrap();
    }
    let second = server.train_dictionaries().unwrap();
    assert_eq!(second.len(), 1);
    assert_ne!(second[0].id, first[0].id);
    // A table that goes takes its dictionaries along.
    db.drop_collection("tasks").unwrap();
    assert_eq!(server.train_dictionaries().unwrap(), vec![]);
    assert!(db.collection("sync_dictionaries").unwrap().is_empty());
}

/// By seed: three replicas edit over a connection that loses and doubles, while the server learns anew, loses what it
/// learned and comes back. Whatever happens to dictionaries, rows converge and every edit is applied.
#[test]
fn whatever_happens_to_dictionaries_rows_converge() {
    let (mut packed, mut given, mut lost) = (0, 0, 0);
    for seed in 0..12_u64 {
        let mut state = seed * 2 + 1;
        let mut below = |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let db = database(400);
        let mut server = SyncServer::new(db.clone()).unwrap();
        server.train_dictionaries().unwrap();
        let phones: Vec<SyncDb> = (0..3)
            .map(|at| SyncDb::client(format!("phone-{at}").as_str()).unwrap())
            .collect();
        for phone in &phones {
            exchange(phone, &server);
        }
        for _ in 0..30 {
            let phone = &phones[usize::try_from(below(3)).unwrap()];
            for _ in 0..40 {
                let id = i64::try_from(below(400)).unwrap();
                let word = |at: u64| WORDS[usize::try_from(at).unwrap()];
                let title = format!("{} and {}", word(below(8)), word(below(8)));
                phone
                    .update("tasks", id, row! { "title": title, "state": "done" })
                    .unwrap();
            }
            if below(10) == 0 {
                // It comes back without what it had learned, and learns something else.
                let kept = db.collection("sync_dictionaries").unwrap();
                db.drop_collection(kept.name()).unwrap();
                server = SyncServer::new(db.clone()).unwrap();
                db.collection("tasks")
                    .unwrap()
                    .insert(row! { "id": 1_000 + i64::try_from(below(1 << 30)).unwrap(), "title": "new", "state": "new" })
                    .unwrap();
                server.train_dictionaries().unwrap();
            }
            let mut transport = |request: &[u8]| {
                if below(4) == 0 {
                    return Err(common::Error::closed("lost on its way"));
                }
                packed += usize::from(decode_request(request, &frame_limits()).is_err());
                let answer = server.handle(request)?;
                if let Ok(read) = decode_answer(&answer, &frame_limits()) {
                    given += read.dictionaries.len();
                    lost += read.lost.len();
                }
                match below(6) {
                    0 => Err(common::Error::closed("lost on its way back")),
                    1 => server.handle(request),
                    _ => Ok(answer),
                }
            };
            let _ = phone.sync(&mut transport);
        }
        for _ in 0..2 {
            for phone in &phones {
                let report = phone
                    .sync(&mut |request: &[u8]| server.handle(request))
                    .unwrap();
                assert!(report.converged, "seed {seed}: {report:?}");
            }
        }
        let digest = server.digest().unwrap();
        for phone in &phones {
            assert_eq!(phone.digest().unwrap(), digest, "seed {seed}");
            assert_eq!(phone.pending(), 0, "seed {seed}");
        }
    }
    assert!(
        packed > 20 && given > 10 && lost > 5,
        "{packed} packed, {given} given, {lost} lost"
    );
}
