//! References to rows: used where both sides have the rows, noticed where they lead nowhere, and asked for again by keys.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use common::query::Filter;
use common::schema::{Field, FieldType, Schema};
use common::{Database, ErrorKind, Row, Text, Value, row};
use syncdb::sync::protocol::{Answer, Commit, Request, frame_limits};
use syncdb::sync::wire::{decode_answer, decode_request, encode_answer, encode_request};
use syncdb::{Subscription, SyncDb, SyncReport, SyncServer};

const ROWS: u128 = 400;

fn id(number: u128) -> Value {
    // As random as keys that replicas make.
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Value::from(format!("{random:032x}"))
}

fn task(number: u128) -> Row {
    row! { "id": id(number), "title": format!("task {number}"), "stars": 0 }
}

fn served() -> SyncServer {
    let db = Database::new();
    let schema = Schema::build("tasks", ["id"])
        .field(Field::new("id", FieldType::Text))
        .field(Field::new("title", FieldType::Text))
        .field(Field::new("stars", FieldType::Int));
    let tasks = db.create_collection(schema.finish().unwrap()).unwrap();
    for number in 0..ROWS {
        tasks.insert(task(number)).unwrap();
    }
    SyncServer::new(db).unwrap()
}

/// Edits every tenth row at the server.
fn edit(server: &SyncServer, stars: i64) {
    let tasks = server.database().collection("tasks").unwrap();
    for number in (0..ROWS).step_by(10) {
        if tasks.get(id(number)).is_some() {
            tasks.update(id(number), row! { "stars": stars }).unwrap();
        }
    }
}

/// Syncs over a transport that may change what it carries, and gives the answers that arrived.
fn over(
    db: &SyncDb,
    server: &SyncServer,
    mut changed: impl FnMut(Request) -> Request,
    mut altered: impl FnMut(usize, Answer) -> Answer,
) -> common::Result<(SyncReport, Vec<Answer>)> {
    let mut answers = Vec::new();
    let report = db.sync(&mut |request: &[u8]| {
        let request = changed(decode_request(request, &frame_limits())?);
        let answer = server.handle(&encode_request(&request)?)?;
        let answer = decode_answer(&answer, &frame_limits())?;
        let answer = altered(answers.len(), answer);
        answers.push(answer.clone());
        encode_answer(&answer)
    })?;
    Ok((report, answers))
}

fn sync(db: &SyncDb, server: &SyncServer) -> (SyncReport, Vec<Answer>) {
    over(db, server, |request| request, |_, answer| answer).unwrap()
}

fn referred(answer: &Answer) -> usize {
    let commit = answer.commit.as_ref().unwrap();
    let rows = commit.referred.iter().map(|referred| referred.block.rows());
    rows.sum()
}

fn stars(db: &SyncDb, number: u128) -> Option<Value> {
    let tasks = db.collection("tasks").unwrap();
    tasks.get(id(number)).map(|row| row[2].clone())
}

#[test]
fn changed_rows_are_named_by_references_in_few_bytes() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    let old = SyncDb::client("old").unwrap();
    sync(&phone, &server);
    sync(&old, &server);
    edit(&server, 5);
    let (report, answers) = sync(&phone, &server);
    assert!(report.converged && !report.repaired);
    assert_eq!((report.round_trips, report.rows_received), (1, 40));
    assert_eq!(referred(&answers[0]), 40);
    assert_eq!(stars(&phone, 390), Some(Value::from(5)));
    // A replica that does not ask gets keys.
    let unasked = |request: Request| Request {
        references: false,
        ..request
    };
    let (plain, answers) = over(&old, &server, unasked, |_, answer| answer).unwrap();
    assert_eq!((referred(&answers[0]), plain.rows_received), (0, 40));
    assert!(
        report.bytes_down + 40 * 13 < plain.bytes_down,
        "{} and {}",
        report.bytes_down,
        plain.bytes_down
    );
    assert_eq!(phone.digest().unwrap(), old.digest().unwrap());
    // What was found once is followed: rows that came and went since are named rightly, and not.
    let tasks = server.database().collection("tasks").unwrap();
    for number in 0..ROWS / 2 {
        tasks.delete(id(number)).unwrap();
        tasks.insert(task(ROWS + number)).unwrap();
    }
    sync(&phone, &server);
    for number in ROWS..ROWS + 20 {
        tasks.update(id(number), row! { "stars": 9 }).unwrap();
    }
    let (report, answers) = sync(&phone, &server);
    assert!(report.converged && report.round_trips == 1, "{report:?}");
    assert_eq!(referred(&answers[0]), 20);
    assert_eq!(stars(&phone, ROWS + 19), Some(Value::from(9)));
}

#[test]
fn a_row_that_is_not_there_is_asked_for_by_its_key() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    sync(&phone, &server);
    edit(&server, 5);
    // Deleted while the answer is on its way.
    let between = |number, answer| {
        if number == 0 {
            phone.delete("tasks", id(20)).unwrap();
            phone.insert("tasks", task(1_000)).unwrap();
        }
        answer
    };
    let (report, answers) = over(&phone, &server, |request| request, between).unwrap();
    assert_eq!(report.round_trips, 2, "{report:?}");
    assert_eq!((referred(&answers[0]), referred(&answers[1])), (40, 0));
    assert_eq!(stars(&phone, 10), Some(Value::from(5)));
    assert_eq!(stars(&phone, 20), None);
    sync(&phone, &server);
    let (report, _) = sync(&phone, &server);
    assert!(report.converged && !report.repaired, "{report:?}");
    // The next session asks for references again.
    edit(&server, 6);
    let (report, answers) = sync(&phone, &server);
    assert_eq!(report.round_trips, 1);
    assert_eq!(referred(&answers[0]), 39);
}

#[test]
fn what_was_sent_with_the_question_is_answered_once() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    sync(&phone, &server);
    edit(&server, 5);
    phone
        .update("tasks", id(11), row! { "title": "mine" })
        .unwrap();
    phone.insert("tasks", task(1_000)).unwrap();
    let between = |number, answer| {
        if number == 0 {
            phone.delete("tasks", id(20)).unwrap();
        }
        answer
    };
    let (report, _) = over(&phone, &server, |request| request, between).unwrap();
    assert_eq!(report.outcomes.get(&Text::new("applied")), Some(&2));
    let (report, _) = sync(&phone, &server);
    assert!(report.converged && !report.repaired, "{report:?}");
    let tasks = server.database().collection("tasks").unwrap();
    assert_eq!(tasks.get(id(11)).unwrap()[1], Value::from("mine"));
    assert_eq!(tasks.len(), 400);
}

#[test]
fn names_of_other_rows_change_nothing() {
    let damages: [fn(&mut Commit); 4] = [
        |commit| commit.keys ^= 1 << 40,
        |commit| commit.referred[0].check ^= 1,
        |commit| commit.referred[0].prefixes[0] = 0,
        |commit| commit.referred[0].prefixes[39] += 1,
    ];
    for damage in damages {
        let server = served();
        let phone = SyncDb::client("phone").unwrap();
        sync(&phone, &server);
        edit(&server, 5);
        let before = phone.digest().unwrap();
        let between = |number, mut answer: Answer| {
            if number == 0 {
                damage(answer.commit.as_mut().unwrap());
            } else {
                assert_eq!(phone.digest().unwrap(), before, "nothing was applied");
            }
            answer
        };
        let (report, _) = over(&phone, &server, |request| request, between).unwrap();
        assert_eq!(report.round_trips, 2);
        assert!(report.converged && !report.repaired, "{report:?}");
    }
}

#[test]
fn references_unasked_are_refused() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    sync(&phone, &server);
    edit(&server, 5);
    let always = |request: Request| Request {
        references: true,
        ..request
    };
    let damage = |_, mut answer: Answer| {
        answer.commit.as_mut().unwrap().keys ^= 1;
        answer
    };
    let error = over(&phone, &server, always, damage).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let (report, _) = sync(&phone, &server);
    assert!(report.converged);
}

#[test]
fn a_replica_with_parts_of_a_table_finds_its_rows() {
    let server = served();
    let phone = SyncDb::client("phone").unwrap();
    let few = Subscription::new("few", "tasks").filter(Filter::lt("stars", 3));
    let titles = Subscription::new("titles", "tasks")
        .filter(Filter::lt("stars", 7))
        .columns(["title"]);
    phone.subscribe(&few).unwrap();
    phone.subscribe(&titles).unwrap();
    sync(&phone, &server);
    edit(&server, 1);
    let (report, answers) = sync(&phone, &server);
    assert!(report.converged && report.round_trips == 1, "{report:?}");
    assert_eq!(referred(&answers[0]), 40);
    // They leave the one and stay in the other, with a column less.
    edit(&server, 5);
    let (report, _) = sync(&phone, &server);
    assert!(report.converged && report.round_trips == 1, "{report:?}");
    assert_eq!(stars(&phone, 10), Some(Value::Null));
    // They leave both, and come back whole.
    for stars in [9, 2, 0] {
        edit(&server, stars);
        let (report, answers) = sync(&phone, &server);
        assert!(report.converged && report.round_trips == 1, "{report:?}");
        assert_eq!(referred(&answers[0]), if stars == 0 { 40 } else { 0 });
    }
}
