//! The store against a naive model: random transactions, savepoints, rollbacks, snapshots, index changes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where something is wrong"
)]

use std::ops::{Bound, ControlFlow};

use common::database::Savepoint;
use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::storage::{Direction, KeyRange, StorageKind};
use common::{Collection, Database, Record, RecordId, Snapshot, Transaction, Value, View};
use proptest::prelude::*;
use testkit::model::ModelStore;

/// Keys are few, so that steps meet each other.
const KEYS: i64 = 12;
const TABLES: usize = 2;

#[derive(Debug, Clone, Copy)]
enum Step {
    Insert(usize, i64, i64, Option<i64>),
    Upsert(usize, i64, i64, Option<i64>),
    UpdateGroup(usize, i64, i64),
    UpdateRank(usize, i64, Option<i64>),
    Delete(usize, i64),
    Savepoint,
    RollbackTo,
}

#[derive(Debug, Clone)]
enum Action {
    /// A transaction and whether it commits.
    Transaction(Vec<Step>, bool),
    /// A step in a transaction of its own.
    Single(Step),
    OpenSnapshot,
    CloseSnapshot(usize),
    CreateIndex(usize, usize),
    DropIndex(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let table = 0..TABLES;
    let key = 0..KEYS;
    let group = 0..3_i64;
    let rank = prop::option::of(-2..3_i64);
    prop_oneof![
        4 => (table.clone(), key.clone(), group.clone(), rank.clone())
            .prop_map(|(t, k, g, r)| Step::Insert(t, k, g, r)),
        2 => (table.clone(), key.clone(), group.clone(), rank.clone())
            .prop_map(|(t, k, g, r)| Step::Upsert(t, k, g, r)),
        2 => (table.clone(), key.clone(), group).prop_map(|(t, k, g)| Step::UpdateGroup(t, k, g)),
        2 => (table.clone(), key.clone(), rank).prop_map(|(t, k, r)| Step::UpdateRank(t, k, r)),
        3 => (table, key).prop_map(|(t, k)| Step::Delete(t, k)),
        1 => Just(Step::Savepoint),
        1 => Just(Step::RollbackTo),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => (prop::collection::vec(step(), 0..14), prop::bool::weighted(0.75))
            .prop_map(|(steps, commit)| Action::Transaction(steps, commit)),
        6 => step().prop_map(Action::Single),
        2 => Just(Action::OpenSnapshot),
        1 => any::<usize>().prop_map(Action::CloseSnapshot),
        1 => (0..TABLES, 0..4_usize).prop_map(|(t, i)| Action::CreateIndex(t, i)),
        1 => (0..TABLES, 0..4_usize).prop_map(|(t, i)| Action::DropIndex(t, i)),
    ]
}

fn index_spec(which: usize) -> IndexSpec {
    match which {
        0 => IndexSpec::hash(["group"]).named("by_group"),
        1 => IndexSpec::ordered(["rank"]).named("by_rank"),
        2 => IndexSpec::ordered(["group", "rank"]).named("by_both"),
        _ => IndexSpec::hash(["group", "rank"]).named("by_both_hash"),
    }
}

fn row(key: i64, group: i64, rank: Option<i64>) -> Vec<Value> {
    vec![Value::from(key), Value::from(group), Value::from(rank)]
}

struct World {
    db: Database,
    tables: Vec<Collection>,
    model: ModelStore,
    snapshots: Vec<(Snapshot, ModelStore)>,
}

impl World {
    fn new() -> Self {
        let db = Database::new();
        let tables = [StorageKind::Hash, StorageKind::Ordered]
            .into_iter()
            .enumerate()
            .map(|(i, kind)| {
                let schema = Schema::build(format!("t{i}"), ["id"])
                    .field(Field::new("id", FieldType::Int))
                    .field(Field::new("group", FieldType::Int))
                    .field(Field::new("rank", FieldType::Int).nullable())
                    .index(index_spec(0))
                    .index(index_spec(2))
                    .finish()
                    .unwrap();
                db.create_collection_in(schema, kind).unwrap()
            })
            .collect();
        Self {
            db,
            tables,
            model: ModelStore::new(TABLES),
            snapshots: Vec::new(),
        }
    }

    /// Does one step on both sides and checks that they agree on whether it succeeds.
    fn step(
        tables: &[Collection],
        tx: &mut Transaction<'_>,
        model: &mut ModelStore,
        savepoints: &mut Vec<(Savepoint, ModelStore)>,
        step: Step,
    ) {
        match step {
            Step::Insert(t, key, group, rank) => {
                let done = tx.insert_values(&tables[t], row(key, group, rank)).is_ok();
                assert_eq!(
                    done,
                    model.insert(t, RecordId::from(key), row(key, group, rank))
                );
            }
            Step::Upsert(t, key, group, rank) => {
                tx.upsert_values(&tables[t], row(key, group, rank)).unwrap();
                model.upsert(t, RecordId::from(key), row(key, group, rank));
            }
            Step::UpdateGroup(t, key, group) => {
                let changes = common::Row::new().with("group", group);
                let done = tx.update(&tables[t], key, changes).is_ok();
                assert_eq!(
                    done,
                    model.update(t, &RecordId::from(key), 1, Value::from(group))
                );
            }
            Step::UpdateRank(t, key, rank) => {
                let done = tx
                    .update_values(&tables[t], key, [(2, Value::from(rank))])
                    .is_ok();
                assert_eq!(
                    done,
                    model.update(t, &RecordId::from(key), 2, Value::from(rank))
                );
            }
            Step::Delete(t, key) => {
                let done = tx.delete(&tables[t], key).is_ok();
                assert_eq!(done, model.delete(t, &RecordId::from(key)));
            }
            Step::Savepoint => savepoints.push((tx.savepoint(), model.clone())),
            Step::RollbackTo => {
                if let Some((savepoint, before)) = savepoints.pop() {
                    tx.rollback_to(savepoint).unwrap();
                    *model = before;
                }
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Transaction(steps, commit) => {
                let mut model = self.model.clone();
                let mut savepoints = Vec::new();
                let mut tx = self.db.begin();
                for step in steps {
                    Self::step(&self.tables, &mut tx, &mut model, &mut savepoints, step);
                }
                check(&self.tables, tx.view(), &model);
                if commit {
                    let expected = tx.seq();
                    let committed = tx.commit().unwrap();
                    assert_eq!(committed.changes.is_empty(), model == self.model);
                    assert_eq!(committed.seq == expected, model != self.model);
                    self.model = model;
                } else {
                    tx.rollback();
                }
            }
            Action::Single(step) => {
                let mut model = self.model.clone();
                let mut tx = self.db.begin();
                Self::step(&self.tables, &mut tx, &mut model, &mut Vec::new(), step);
                tx.commit().unwrap();
                self.model = model;
            }
            Action::OpenSnapshot => {
                self.snapshots
                    .push((self.db.snapshot(), self.model.clone()));
            }
            Action::CloseSnapshot(which) => {
                if !self.snapshots.is_empty() {
                    self.snapshots.swap_remove(which % self.snapshots.len());
                }
            }
            Action::CreateIndex(t, which) => {
                let spec = index_spec(which);
                let known = self.tables[t]
                    .indexes()
                    .iter()
                    .any(|i| i.spec().name == spec.name);
                assert_eq!(self.tables[t].create_index(spec).is_ok(), !known);
            }
            Action::DropIndex(t, which) => {
                let name = index_spec(which).name;
                let known = self.tables[t]
                    .indexes()
                    .iter()
                    .any(|i| i.spec().name == name);
                assert_eq!(self.tables[t].drop_index(&name).is_ok(), known);
            }
        }
    }

    fn check(&self) {
        check(&self.tables, self.db.snapshot().view(), &self.model);
        for (t, table) in self.tables.iter().enumerate() {
            assert_eq!(table.len(), self.model.tables[t].len());
            for key in 0..KEYS {
                let found = table.get(key).map(|record| record.values().to_vec());
                assert_eq!(
                    found.as_ref(),
                    self.model.tables[t].get(&RecordId::from(key))
                );
            }
        }
        for (snapshot, model) in &self.snapshots {
            check(&self.tables, snapshot.view(), model);
        }
        if self.snapshots.is_empty() {
            assert!(
                self.tables.iter().all(|table| table.retained() == 0),
                "nothing is kept aside"
            );
        }
    }
}

fn sorted(records: &[Record]) -> Vec<Vec<Value>> {
    let mut rows: Vec<Vec<Value>> = records.iter().map(|r| r.values().to_vec()).collect();
    rows.sort();
    rows
}

/// Every way of reading a view gives what the model has.
fn check(tables: &[Collection], view: View<'_>, model: &ModelStore) {
    for (t, table) in tables.iter().enumerate() {
        let mut all = Vec::new();
        view.scan(table, &mut |records| {
            all.extend_from_slice(records);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(sorted(&all), model.rows(t, |_| true));
        for key in 0..KEYS {
            let found = view.get(table, &RecordId::from(key)).unwrap();
            let found = found.map(|record| record.values().to_vec());
            assert_eq!(found.as_ref(), model.tables[t].get(&RecordId::from(key)));
        }
        for index in table.indexes().iter() {
            match index.spec().name.as_str() {
                "by_group" => {
                    for group in 0..3 {
                        let key = Value::from(group);
                        let found = view
                            .equal(table, index, std::slice::from_ref(&key))
                            .unwrap();
                        assert_eq!(sorted(&found), model.rows(t, |row| row[1] == key));
                    }
                }
                "by_both_hash" => {
                    let key = [Value::from(1), Value::Null];
                    let found = view.equal(table, index, &key).unwrap();
                    assert_eq!(sorted(&found), model.rows(t, |row| row[1..] == key));
                }
                "by_rank" => check_range(
                    view,
                    table,
                    model,
                    t,
                    &KeyRange::between(
                        Bound::Included(Value::from(-1)),
                        Bound::Excluded(Value::from(2)),
                    ),
                    "by_rank",
                ),
                _ => check_range(
                    view,
                    table,
                    model,
                    t,
                    &KeyRange {
                        prefix: vec![Value::from(1)],
                        lower: Bound::Excluded(Value::from(-2)),
                        upper: Bound::Unbounded,
                    },
                    "by_both",
                ),
            }
        }
    }
}

fn check_range(
    view: View<'_>,
    table: &Collection,
    model: &ModelStore,
    t: usize,
    range: &KeyRange,
    name: &str,
) {
    let indexes = table.indexes();
    let index = indexes
        .iter()
        .find(|index| index.spec().name == name)
        .unwrap();
    let key = |row: &[Value]| -> Vec<Value> {
        index
            .columns()
            .iter()
            .map(|column| row[*column].clone())
            .collect()
    };
    let mut expected = model.rows(t, |row| range.contains(&key(row)));
    for (direction, limit) in [
        (Direction::Ascending, None),
        (Direction::Descending, None),
        (Direction::Ascending, Some(2)),
        (Direction::Descending, Some(3)),
    ] {
        expected.sort_by(|a, b| {
            let keys = key(a).cmp(&key(b));
            let keys = if direction == Direction::Descending {
                keys.reverse()
            } else {
                keys
            };
            keys.then_with(|| a[0].cmp(&b[0]))
        });
        let found = view.range(table, index, range, direction, limit).unwrap();
        let found: Vec<Vec<Value>> = found.iter().map(|r| r.values().to_vec()).collect();
        let wanted = limit.unwrap_or(usize::MAX).min(expected.len());
        assert_eq!(found, expected[..wanted]);
    }
}

/// Replays the whole log from the beginning into an empty model.
fn replay(db: &Database, tables: &[Collection]) -> ModelStore {
    let mut model = ModelStore::new(TABLES);
    for change in db.changes_since(common::Seq::ZERO, usize::MAX).unwrap() {
        let t = tables
            .iter()
            .position(|table| table.id() == change.table)
            .unwrap();
        match change.after() {
            Some(record) => model.upsert(t, record.id(), record.values().to_vec()),
            None => {
                assert!(model.delete(t, &change.id()));
            }
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: testkit::cases(10_000),
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_does_what_the_model_does(actions in prop::collection::vec(action(), 1..14)) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
            world.check();
        }
        assert_eq!(replay(&world.db, &world.tables), world.model, "the log tells everything");
    }
}
