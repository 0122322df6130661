//! Differences, applied to the old result, give the result of a fresh run: over random transactions, for
//! queries followed change by change, run again, cut by limits, and with a log that forgets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use common::database::DatabaseOptions;
use common::query::{Aggregate, Difference, Filter, LiveQuery, OrderBy, Query, ResultRow};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::versioning::Retention;
use common::{Collection, Database, row};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Upsert { id: i64, group: i64, rank: i64 },
    Update { id: i64, rank: i64 },
    Delete { id: i64 },
}

fn op() -> impl Strategy<Value = Op> {
    let id = || 0..12_i64;
    prop_oneof![
        3 => (id(), 0..3_i64, 0..6_i64).prop_map(|(id, group, rank)| Op::Upsert { id, group, rank }),
        2 => (id(), 0..6_i64).prop_map(|(id, rank)| Op::Update { id, rank }),
        2 => id().prop_map(|id| Op::Delete { id }),
    ]
}

fn database(changes_max: usize) -> (Database, Collection) {
    let db = Database::with(DatabaseOptions {
        retention: Retention {
            changes_max,
            changes_min: 0,
            ..Retention::default()
        },
        ..DatabaseOptions::default()
    });
    let items = db
        .create_collection(
            Schema::build("items", ["id"])
                .field(Field::new("id", FieldType::Int))
                .field(Field::new("group", FieldType::Int))
                .field(Field::new("rank", FieldType::Int))
                .index(IndexSpec::ordered(["rank"]))
                .finish()
                .unwrap(),
        )
        .unwrap();
    let groups = db
        .create_collection(
            Schema::build("groups", ["code"])
                .field(Field::new("code", FieldType::Int))
                .field(Field::new("label", FieldType::Text))
                .finish()
                .unwrap(),
        )
        .unwrap();
    for code in 0..2 {
        groups
            .insert(row! { "code": code, "label": format!("g{code}") })
            .unwrap();
    }
    (db, items)
}

fn queries() -> Vec<Query> {
    let items = || Query::from("items");
    let below = || items().filter(Filter::lt("rank", 4));
    vec![
        items(),
        below(),
        below().order_by(OrderBy::descending("rank")),
        below().select(["group"]),
        items()
            .select(["rank"])
            .order_by(OrderBy::ascending("group")),
        below().order_by(OrderBy::ascending("rank")).limit(3),
        items().limit(0),
        items()
            .order_by(OrderBy::descending("rank"))
            .limit(3)
            .offset(2),
        items()
            .select(["rank"])
            .order_by(OrderBy::ascending("rank"))
            .limit(4),
        items()
            .group_by(["group"])
            .aggregate(Aggregate::sum("rank")),
        below().aggregate(Aggregate::count()),
        items()
            .left_join("groups", "group", "code")
            .order_by(OrderBy::ascending("label")),
        items().join("groups", "group", "code"),
    ]
}

/// The query run afresh, in the order in which a live query stands.
fn fresh(db: &Database, query: &Query) -> Vec<ResultRow> {
    LiveQuery::open(db, query).unwrap().rows().to_vec()
}

fn apply(db: &Database, items: &Collection, transaction: &[Op]) {
    let mut tx = db.begin();
    for op in transaction {
        match *op {
            Op::Upsert { id, group, rank } => {
                tx.upsert(items, row! { "id": id, "group": group, "rank": rank })
                    .unwrap();
            }
            // Rows that are not there stay so.
            Op::Update { id, rank } => drop(tx.update(items, id, row! { "rank": rank })),
            Op::Delete { id } => drop(tx.delete(items, id)),
        }
    }
    tx.commit().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn differences_lead_to_the_fresh_result(
        transactions in prop::collection::vec((prop::collection::vec(op(), 1..5), any::<bool>()), 1..24),
        forgets in any::<bool>(),
    ) {
        let (db, items) = database(if forgets { 3 } else { 1_000_000 });
        let queries = queries();
        let mut live: Vec<_> = queries
            .iter()
            .map(|query| {
                let live = LiveQuery::open(&db, query).unwrap();
                let rows = live.rows().to_vec();
                (live, rows)
            })
            .collect();
        for (transaction, poll) in &transactions {
            apply(&db, &items, transaction);
            if !poll {
                continue;
            }
            for (query, (live, rows)) in queries.iter().zip(&mut live) {
                for difference in live.poll().unwrap() {
                    if let Difference::Removed { position, row } = &difference {
                        prop_assert_eq!(rows.get(*position), Some(row));
                    }
                    difference.apply(rows);
                }
                let expected = fresh(&db, query);
                prop_assert_eq!(&*rows, &expected, "{:?}", query);
                prop_assert_eq!(live.rows(), rows.as_slice());
                prop_assert_eq!(live.seq(), db.seq());
                prop_assert!(live.poll().unwrap().is_empty());
            }
        }
    }
}

#[test]
fn a_row_that_leaves_a_window_lets_the_next_one_in() {
    let (db, items) = database(100);
    for id in 0..5 {
        items
            .insert(row! { "id": id, "group": 0, "rank": id })
            .unwrap();
    }
    let top = Query::from("items")
        .order_by(OrderBy::ascending("rank"))
        .limit(2);
    let mut live = LiveQuery::open(&db, &top).unwrap();
    items.delete(0).unwrap();
    let differences = live.poll().unwrap();
    let shown: Vec<String> = differences
        .iter()
        .map(|difference| match difference {
            Difference::Added { position, row } => format!("+{position}:{}", row[0]),
            Difference::Removed { position, row } => format!("-{position}:{}", row[0]),
            Difference::Updated { position, row, .. } => format!("={position}:{}", row[0]),
        })
        .collect();
    assert_eq!(shown, ["-0:0", "+1:2"]);
    // Far behind the window nothing is seen.
    items.update(4, row! { "rank": 9 }).unwrap();
    assert!(live.poll().unwrap().is_empty());
}
