//! Budgets, and the urgency that is kept with the queue.

use common::schema::{Field, FieldId, Schema};
use common::{Database, RecordId, Timestamp, row};
use syncdb::payload::Level;
use syncdb::power::{Decision, DeviceState, Priority, Reason, Scheduler, SyncBudget};
use syncdb::{SyncDb, SyncServer};

use super::{pair, pocket};

fn insert(phone: &SyncDb, id: i64, text: &str, priority: Priority) {
    let notes = phone.collection("notes").unwrap();
    phone
        .transaction(|tx| {
            tx.priority(priority);
            tx.insert(&notes, row! { "id": id, "text": text }).map(drop)
        })
        .unwrap();
}

/// The mutations and bytes of each request of a sync.
fn requests(server: &SyncServer, phone: &SyncDb, budget: &SyncBudget) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut before = phone.pending();
    let mut session = phone.session_with(budget).unwrap();
    while let Some(request) = session.next_message().unwrap() {
        session.receive(&server.handle(&request).unwrap()).unwrap();
        found.push((before - phone.pending(), request.len()));
        before = phone.pending();
    }
    assert!(session.report().converged);
    found
}

#[test]
fn a_budget_limits_the_mutations_of_a_request_and_all_are_sent() {
    let (server, phone) = pair();
    for id in 0..25 {
        insert(&phone, id, "milk", Priority::Medium);
    }
    let sent = requests(&server, &phone, &SyncBudget::default().mutations_max(10));
    let sent: Vec<usize> = sent.into_iter().map(|(mutations, _)| mutations).collect();
    assert_eq!(sent, [10, 10, 5]);
    assert_eq!(server.digest().unwrap(), phone.digest().unwrap());
}

#[test]
fn a_budget_limits_the_bytes_of_a_request_and_never_divides_a_mutation() {
    let (server, phone) = pair();
    for id in 0..8 {
        insert(&phone, id, &"x".repeat(3_000), Priority::Medium);
    }
    let sent = requests(&server, &phone, &SyncBudget::default().bytes_max(4_000));
    let sent: Vec<usize> = sent.into_iter().map(|(mutations, _)| mutations).collect();
    assert_eq!(sent, [2, 2, 2, 2]);
    insert(&phone, 9, &"x".repeat(30_000), Priority::Medium);
    let sent = requests(&server, &phone, &SyncBudget::default().bytes_max(1));
    assert_eq!(sent.first().unwrap().0, 1);
}

#[test]
fn a_budget_says_how_hard_requests_are_packed() {
    let bytes = |level: Level| {
        let (server, phone) = pair();
        for id in 0..300 {
            let text = format!(
                "note {id} says that {} of {} are done",
                id * 7 % 31,
                id % 13
            );
            insert(&phone, id, &text, Priority::Medium);
        }
        let sent = requests(&server, &phone, &SyncBudget::default().level(level));
        assert_eq!(server.digest().unwrap(), phone.digest().unwrap());
        sent.iter().map(|(_, bytes)| bytes).sum::<usize>()
    };
    let [none, fast, balanced, small] = Level::ALL.map(bytes);
    assert!(none > 2 * fast, "{none} {fast}");
    assert!(
        fast >= balanced && balanced >= small,
        "{fast} {balanced} {small}"
    );
    assert!(fast > small, "{fast} {small}");
}

#[test]
fn priority_and_deadline_are_kept_with_the_queue_and_survive_reopening() {
    let (_, phone) = pair();
    insert(&phone, 1, "report", Priority::Low);
    let deadline = Timestamp::from_millis(1_900_000_000_000);
    let notes = phone.collection("notes").unwrap();
    let mut tx = phone.begin();
    tx.priority(Priority::Maintenance);
    tx.deadline(deadline);
    tx.insert(&notes, row! { "id": 2 }).unwrap();
    tx.commit().unwrap();
    let before = phone.waiting().unwrap();
    let phone = super::reopened(phone);
    let waiting = phone.waiting().unwrap();
    assert_eq!(waiting, before);
    assert!(waiting.oldest_of(Priority::Low).is_some());
    assert!(waiting.oldest_of(Priority::Maintenance).is_some());
    assert_eq!(waiting.oldest_of(Priority::Medium), None);
    assert_eq!(
        waiting.first_due(),
        Some(Timestamp(deadline.0 - 60_000_000))
    );
}

#[test]
fn something_urgent_takes_along_all_that_stands_before_it() {
    let (server, phone) = pair();
    for id in 0..30 {
        insert(&phone, id, "may wait", Priority::Maintenance);
    }
    insert(&phone, 30, "now", Priority::Critical);
    let mut scheduler = Scheduler::default();
    let now = phone.database().clock().now();
    let Decision::Sync { budget, why, .. } =
        scheduler.decide(now, &pocket(), &phone.waiting().unwrap())
    else {
        panic!("something urgent waits");
    };
    assert_eq!((why, budget.mutations_max), (Reason::Urgent, 25));
    let sent = requests(&server, &phone, &budget);
    let sent: Vec<usize> = sent.into_iter().map(|(mutations, _)| mutations).collect();
    assert_eq!(sent, [25, 6]);
    assert!(phone.waiting().unwrap().is_empty());
}

#[test]
fn an_edit_that_takes_the_place_of_an_urgent_one_is_as_urgent_and_as_old() {
    let (server, phone) = pair();
    insert(&phone, 1, "milk", Priority::Medium);
    phone
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    let notes = phone.collection("notes").unwrap();
    let edit = |text: &str, priority| {
        let mut tx = phone.begin();
        tx.priority(priority);
        tx.update(&notes, 1, row! { "text": text }).unwrap();
        tx.commit().unwrap();
    };
    edit("bread", Priority::High);
    let first = phone.waiting().unwrap();
    edit("butter", Priority::Maintenance);
    let then = phone.waiting().unwrap();
    assert_eq!(then.operations, 1, "the first edit is pointless by now");
    assert_eq!(
        then.oldest_of(Priority::High),
        first.oldest_of(Priority::High)
    );
    assert_eq!(then.oldest_of(Priority::Maintenance), None);
}

#[test]
fn what_an_earlier_edition_left_in_the_queue_is_due_at_once() {
    let (_, phone) = pair();
    insert(&phone, 1, "milk", Priority::Maintenance);
    let queue = phone.collection("sync_queue").unwrap();
    let record = queue
        .get(RecordId::composite([1.into(), 0.into()]))
        .unwrap();
    let old = Database::new();
    let mut schema = Schema::build("sync_queue", ["client_seq", "op"]);
    for field in queue.schema().fields.iter().take(11) {
        schema = schema.field(Field {
            id: FieldId::default(),
            ..field.clone()
        });
    }
    let table = old.create_collection(schema.finish().unwrap()).unwrap();
    let mut tx = old.begin();
    tx.insert_values(&table, record.iter().take(11).cloned().collect::<Vec<_>>())
        .unwrap();
    tx.commit().unwrap();
    let phone = SyncDb::open(old, "phone").unwrap();
    let waiting = phone.waiting().unwrap();
    assert_eq!(waiting.oldest_of(Priority::Medium), Some(Timestamp(0)));
    let now = phone.database().clock().now();
    let mut scheduler = Scheduler::default();
    assert!(scheduler.decide(now, &pocket(), &waiting).is_sync());
}

#[test]
fn a_wake_is_one_exchange_for_pull_push_and_acknowledgement() {
    let (server, phone) = pair();
    let elsewhere = server.database().collection("notes").unwrap();
    elsewhere
        .insert(row! { "id": 100, "text": "from elsewhere" })
        .unwrap();
    for id in 0..5 {
        insert(&phone, id, "from here", Priority::Low);
    }
    let sent = requests(&server, &phone, &SyncBudget::default());
    assert_eq!(sent.len(), 1);
    assert!(phone.collection("notes").unwrap().get(100).is_some());
    // Nothing has to follow for the sake of the acknowledgement.
    let mut scheduler = Scheduler::default();
    let now = phone.database().clock().now();
    let waiting = phone.waiting().unwrap();
    scheduler.start(now, &pocket(), &waiting);
    let done = phone
        .sync(&mut |request: &[u8]| server.handle(request))
        .unwrap();
    scheduler.finish(now, &done.measured(std::time::Duration::ZERO), 0);
    let next = scheduler.decide(now, &pocket(), &phone.waiting().unwrap());
    assert_eq!(super::until(&next), None);
    let device = DeviceState::default();
    assert!(
        !scheduler
            .decide(now, &device, &phone.waiting().unwrap())
            .is_sync()
    );
}
