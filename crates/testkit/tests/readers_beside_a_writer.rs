//! Readers on other threads while a writer commits: nobody sees half of a transaction.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, Ordering};

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::storage::{Direction, KeyRange};
use common::{Collection, Database, Value, row};

const ACCOUNTS: i64 = 100;
const BALANCE: i64 = 1_000;

fn accounts(db: &Database) -> Collection {
    let schema = Schema::build("accounts", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("branch", FieldType::Int))
        .field(Field::new("balance", FieldType::Int))
        .index(IndexSpec::hash(["branch"]))
        .index(IndexSpec::ordered(["balance"]))
        .finish()
        .unwrap();
    let accounts = db.create_collection(schema).unwrap();
    db.transaction(|tx| {
        (0..ACCOUNTS).try_for_each(|id| {
            tx.insert(
                &accounts,
                row! { "id": id, "branch": id % 4, "balance": BALANCE },
            )
            .map(drop)
        })
    })
    .unwrap();
    accounts
}

fn balance(values: &[Value]) -> i64 {
    values[2].as_int().unwrap()
}

/// Moves money between accounts in transactions of `moves` moves; some accounts are closed and opened anew.
fn write(db: &Database, accounts: &Collection, commits: i64, moves: i64) {
    for commit in 0..commits {
        let mut tx = db.begin();
        for i in 0..moves {
            let from = (commit * 7 + i * 13) % ACCOUNTS;
            let to = (from + 1 + i % 5) % ACCOUNTS;
            let amount = commit % 17;
            let left = balance(&tx.get(accounts, from).unwrap().unwrap()) - amount;
            tx.update_values(accounts, from, [(2, Value::from(left))])
                .unwrap();
            let right = tx.get(accounts, to).unwrap().unwrap();
            tx.delete(accounts, to).unwrap();
            tx.insert(
                accounts,
                row! { "id": to, "branch": (commit + to) % 4, "balance": balance(&right) + amount },
            )
            .unwrap();
        }
        tx.commit().unwrap();
    }
}

/// Sums over one snapshot, read in every way there is.
fn check_totals(db: &Database, accounts: &Collection) {
    let snapshot = db.snapshot();
    let view = snapshot.view();
    let (mut count, mut total) = (0, 0);
    view.scan(accounts, &mut |records| {
        count += records.len();
        total += records.iter().map(|record| balance(record)).sum::<i64>();
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(
        (count, total),
        (100, ACCOUNTS * BALANCE),
        "a scan sees one state"
    );
    let indexes = accounts.indexes();
    let by_branch: Vec<_> = (0..4)
        .flat_map(|branch| {
            view.equal(accounts, &indexes[0], &[Value::from(branch)])
                .unwrap()
        })
        .collect();
    assert_eq!(
        by_branch.len(),
        100,
        "a hash index sees each row under one key"
    );
    assert_eq!(
        by_branch.iter().map(|r| balance(r)).sum::<i64>(),
        ACCOUNTS * BALANCE
    );
    let range = KeyRange::between(Bound::Unbounded, Bound::Unbounded);
    let ordered = view
        .range(accounts, &indexes[1], &range, Direction::Ascending, None)
        .unwrap();
    assert_eq!(ordered.len(), 100, "an ordered index too");
    assert!(ordered.is_sorted_by_key(|record| balance(record)));
    assert_eq!(
        ordered.iter().map(|r| balance(r)).sum::<i64>(),
        ACCOUNTS * BALANCE
    );
    let by_key: i64 = (0..ACCOUNTS)
        .map(|id| balance(&snapshot.get(accounts, id).unwrap().unwrap()))
        .sum();
    assert_eq!(
        by_key,
        ACCOUNTS * BALANCE,
        "single reads of a snapshot see one state"
    );
}

fn run(moves: i64, commits: i64) {
    let db = Database::new();
    let accounts = accounts(&db);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    check_totals(&db, &accounts);
                }
            });
        }
        scope.spawn(|| {
            // Never deleted for good, so always there for a reader without a snapshot.
            while !done.load(Ordering::Relaxed) {
                for id in 0..ACCOUNTS {
                    assert!(
                        accounts.get(id).is_some(),
                        "account {id} vanished for a moment"
                    );
                }
            }
        });
        write(&db, &accounts, commits, moves);
        done.store(true, Ordering::Relaxed);
    });
    check_totals(&db, &accounts);
    assert_eq!(
        accounts.retained(),
        0,
        "nothing is kept aside once nobody reads"
    );
}

#[test]
fn short_transactions() {
    run(1, 4_000);
}

#[test]
fn transactions_of_ten_moves() {
    run(10, 600);
}

#[test]
fn long_transactions() {
    run(90, 60);
}

/// A reader that sees a later write never misses an earlier one.
#[test]
fn single_reads_never_go_back() {
    let db = Database::new();
    let schema = Schema::build("pair", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("n", FieldType::Int))
        .finish()
        .unwrap();
    let pair = db.create_collection(schema).unwrap();
    for id in 0..2 {
        pair.insert(row! { "id": id, "n": 0 }).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let read = |id: i64| pair.get(id).unwrap()[1].as_int().unwrap();
                while !done.load(Ordering::Relaxed) {
                    // Both rows change in one transaction, so the one read later is never behind.
                    let first = read(0);
                    let second = read(1);
                    assert!(
                        second >= first,
                        "row 1 shows {second} after row 0 showed {first}"
                    );
                }
            });
        }
        for n in 1..20_000 {
            db.transaction(|tx| {
                tx.update_values(&pair, 1, [(1, Value::from(n))])?;
                tx.update_values(&pair, 0, [(1, Value::from(n))])
            })
            .unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}
