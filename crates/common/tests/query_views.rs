//! Queries see exactly what their view shows: an old snapshot beside later commits, a transaction with its own
//! writes on top; the same rows by every way that the planner may take.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use common::query::{Filter, OrderBy, Query};
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Collection, Database, Transaction, Value, View, row};
use proptest::prelude::*;

type Model = BTreeMap<i64, (i64, Option<i64>)>;

#[derive(Debug, Clone)]
enum Op {
    Put(i64, i64, Option<i64>),
    Delete(i64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let id = || 0..15_i64;
    let op = prop_oneof![
        3 => (id(), 0..4_i64, prop::option::of(0..6_i64)).prop_map(|(id, a, b)| Op::Put(id, a, b)),
        1 => id().prop_map(Op::Delete),
    ];
    prop::collection::vec(op, 0..20)
}

fn apply(tx: &mut Transaction<'_>, table: &Collection, model: &mut Model, ops: &[Op]) {
    for op in ops {
        match *op {
            Op::Put(id, a, b) => {
                let b_value = b.map_or(Value::Null, Value::from);
                tx.upsert(table, row! { "id": id, "a": a, "b": b_value })
                    .unwrap();
                model.insert(id, (a, b));
            }
            Op::Delete(id) => {
                let was_there = model.remove(&id).is_some();
                assert_eq!(tx.delete(table, id).is_ok(), was_there);
            }
        }
    }
}

fn queries() -> Vec<Query> {
    let from = || Query::from("t");
    vec![
        from(),
        from().filter(Filter::eq("a", 2)),
        from().filter(Filter::is_in("a", [1, 3]).and(Filter::ge("b", 2))),
        from().filter(Filter::eq("a", 1).and(Filter::lt("b", 4))),
        from().filter(Filter::is_null("b")),
        from().filter(Filter::is_in("id", [1, 4, 7])),
        from()
            .filter(Filter::between("b", 1, 3))
            .order_by(OrderBy::descending("b")),
        from().order_by(OrderBy::ascending("b")).limit(4),
        from().order_by(OrderBy::descending("b")).limit(3).offset(2),
        from()
            .filter(Filter::eq("a", 1))
            .order_by(OrderBy::descending("b"))
            .limit(2),
        from().order_by(OrderBy::descending("id")).limit(5),
    ]
}

/// Filtering and sorting everything, by hand.
fn naive(model: &Model, query: &Query, view: &View<'_>) -> Vec<i64> {
    let schema = view.collection("t").unwrap().schema();
    let predicate = query.filter.compile(&schema).unwrap();
    let mut rows: Vec<Vec<Value>> = model
        .iter()
        .map(|(id, (a, b))| {
            vec![
                Value::from(*id),
                Value::from(*a),
                b.map_or(Value::Null, Value::from),
            ]
        })
        .filter(|row| predicate.matches(row))
        .collect();
    if let Some(by) = query.order.first() {
        let column = schema.position(&by.path.column).unwrap();
        let descends = *by == OrderBy::descending(by.path.clone());
        // Stable: the model is sorted by id already.
        rows.sort_by(|x, y| {
            let ordering = x[column].cmp(&y[column]);
            if descends {
                ordering.reverse()
            } else {
                ordering
            }
        });
    }
    rows.iter()
        .skip(query.offset)
        .take(query.limit.unwrap_or(usize::MAX))
        .map(|row| row[0].as_int().unwrap())
        .collect()
}

fn check(view: &View<'_>, model: &Model) -> Result<(), TestCaseError> {
    for query in queries() {
        let records = query.records(view).unwrap();
        let mut found: Vec<i64> = records.iter().map(|r| r[0].as_int().unwrap()).collect();
        if query.order.is_empty() {
            found.sort_unstable();
        }
        let plan = query.explain(view).unwrap();
        prop_assert_eq!(found, naive(model, &query, view), "{}", plan);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn snapshots_and_transactions_are_queried_as_they_are(
        first in ops(), second in ops(), third in ops(), indexed in any::<bool>(),
    ) {
        let db = Database::new();
        let mut schema = Schema::build("t", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("a", FieldType::Int))
            .field(Field::new("b", FieldType::Int).nullable());
        if indexed {
            schema = schema
                .index(IndexSpec::hash(["a"]))
                .index(IndexSpec::ordered(["b"]))
                .index(IndexSpec::ordered(["a", "b"]))
                .index(IndexSpec::ordered(["id"]));
        }
        let table = db.create_collection(schema.finish().unwrap()).unwrap();
        let mut model = Model::new();
        let mut tx = db.begin();
        apply(&mut tx, &table, &mut model, &first);
        tx.commit().unwrap();
        let old = db.snapshot();
        let old_model = model.clone();
        let mut tx = db.begin();
        apply(&mut tx, &table, &mut model, &second);
        tx.commit().unwrap();
        check(&old.view(), &old_model)?;
        check(&db.snapshot().view(), &model)?;
        let committed = model.clone();
        let mut tx = db.begin();
        apply(&mut tx, &table, &mut model, &third);
        check(&tx.view(), &model)?;
        tx.rollback();
        check(&db.snapshot().view(), &committed)?;
        check(&old.view(), &old_model)?;
    }
}
