//! Which rows and columns of `tasks` a replica is to have: by what it subscribed to and what it may see, said once more and
//! without the filters of the product.

use std::collections::{BTreeMap, BTreeSet};

use common::query::Filter;
use common::{Database, Record, Value};
use syncdb::{Subscription, SubscriptionState, SyncDb};

use super::Failure;
use super::features::PLACES;
use super::tables;
use super::tasks::{BITS, PLACE, TEXT, TOP};
use super::workload::take;

/// The tables that a replica of a part has whole.
const WHOLE: [&str; 7] = [
    "notes", "accounts", "beats", "names", "tallies", "slots", "drafts",
];
/// The subscriptions to tasks that may be there.
const NAMES: [&str; 2] = ["near", "far"];

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rows {
    Places(BTreeSet<i64>),
    TopAtLeast(i64),
}

/// One subscription to tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Want {
    rows: Rows,
    /// Positions of columns that it leaves out.
    without: Vec<usize>,
}

/// What a replica wants; everything where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Scope {
    wants: BTreeMap<&'static str, Want>,
}

fn places(choice: &mut u64) -> BTreeSet<i64> {
    let first = take(choice, PLACES.cast_unsigned()).cast_signed();
    let count = 1 + take(choice, 3).cast_signed();
    (first..first + count).map(|place| place % PLACES).collect()
}

/// The places of which a replica may see the tasks; `None` for all.
pub(crate) fn rights(mut choice: u64) -> Option<BTreeSet<i64>> {
    (take(&mut choice, 3) > 0).then(|| {
        let mut some = places(&mut choice);
        some.extend(places(&mut choice));
        some
    })
}

pub(crate) fn in_places(places: &BTreeSet<i64>) -> Filter {
    Filter::is_in("place", places.iter().copied())
}

impl Want {
    fn new(choice: &mut u64) -> Self {
        let rows = match take(choice, 4) {
            0 => Rows::TopAtLeast(take(choice, 800).cast_signed()),
            _ => Rows::Places(places(choice)),
        };
        let mut without = Vec::new();
        for position in [TEXT, BITS] {
            if take(choice, 4) == 0 {
                without.push(position);
            }
        }
        Self { rows, without }
    }

    fn subscription(&self, name: &str) -> Subscription {
        let filter = match &self.rows {
            Rows::Places(places) => in_places(places),
            Rows::TopAtLeast(least) => Filter::ge("top", *least),
        };
        let subscription = Subscription::new(name, "tasks").filter(filter);
        if self.without.is_empty() {
            return subscription;
        }
        let all = ["id", "place", "token", "text", "tags", "top", "low", "bits"];
        let all = all.iter().enumerate().skip(1);
        let kept = all.filter(|(position, _)| !self.without.contains(position));
        subscription.columns(kept.map(|(_, name)| *name))
    }

    fn covers(&self, task: &[Value]) -> bool {
        match &self.rows {
            Rows::Places(places) => places.contains(&task[PLACE].as_int().unwrap()),
            Rows::TopAtLeast(least) => task[TOP].as_int().unwrap() >= *least,
        }
    }
}

impl Scope {
    /// What a new replica subscribes to.
    pub(crate) fn begin(db: &SyncDb, client: usize) -> Self {
        for table in WHOLE {
            db.subscribe(&Subscription::new(table, table)).unwrap();
        }
        let mut scope = Self::default();
        scope.change(db, 0x9E37_79B9 * (1 + client as u64));
        scope
    }

    /// Makes, changes or ends a subscription.
    pub(crate) fn change(&mut self, db: &SyncDb, mut choice: u64) {
        let name = NAMES[usize::from(take(&mut choice, 2) == 0)];
        if self.wants.contains_key(name) && take(&mut choice, 4) == 0 {
            self.wants.remove(name);
            assert!(db.unsubscribe(name).unwrap());
            return;
        }
        let want = Want::new(&mut choice);
        db.subscribe(&want.subscription(name)).unwrap();
        self.wants.insert(name, want);
    }

    /// The tasks that a replica has in the end.
    fn expected(&self, server: &Database) -> BTreeMap<i64, Vec<Value>> {
        let mut expected = BTreeMap::new();
        for (key, task) in tables::rows(server, "tasks") {
            let covering: Vec<&Want> = self.wants.values().filter(|w| w.covers(&task)).collect();
            if covering.is_empty() {
                continue;
            }
            let mut values = task.to_vec();
            for (position, value) in values.iter_mut().enumerate() {
                if covering.iter().all(|want| want.without.contains(&position)) {
                    *value = Value::Null;
                }
            }
            expected.insert(key, values);
        }
        expected
    }
}

/// Whether a replica has all the tables that it keeps whole.
pub(crate) fn has_arrived(db: &SyncDb) -> bool {
    let states = db.subscriptions().unwrap_or_default();
    let is_here =
        |state: &SubscriptionState| state.subscription.table == "tasks" || state.cursor.is_some();
    states.iter().all(is_here)
}

/// What is not as it should be at a replica of a part, or which may see a part only.
pub(crate) fn difference(
    server: &Database,
    replica: &Database,
    scope: Option<&Scope>,
    rights: Option<&BTreeSet<i64>>,
) -> Option<String> {
    let mut expected = match scope {
        Some(scope) => scope.expected(server),
        None => {
            let all = tables::rows(server, "tasks").into_iter();
            all.map(|(key, task)| (key, task.to_vec())).collect()
        }
    };
    if let Some(rights) = rights {
        let there = tables::rows(server, "tasks");
        expected.retain(|key, _| rights.contains(&there[key][PLACE].as_int().unwrap()));
    }
    let found: BTreeMap<i64, Vec<Value>> = tables::rows(replica, "tasks")
        .into_iter()
        .map(|(key, task)| (key, task.to_vec()))
        .collect();
    if found != expected {
        let keys: BTreeSet<&i64> = found.keys().chain(expected.keys()).collect();
        let differing = keys
            .into_iter()
            .find(|key| found.get(key) != expected.get(key));
        return differing.map(|key| {
            format!(
                "task {key} is {:?}, should be {:?}; the server has {:?}; {scope:?} {rights:?}",
                found.get(key),
                expected.get(key),
                tables::rows(server, "tasks")
                    .get(key)
                    .map(|task| task.to_vec())
            )
        });
    }
    for table in WHOLE {
        let [mut there, mut here] = [server, replica].map(|db| tables::all(db, table));
        for rows in [&mut there, &mut here] {
            rows.sort_by(|a, b| a.key().cmp(b.key()));
        }
        if !there
            .iter()
            .map(Record::values)
            .eq(here.iter().map(Record::values))
        {
            return Some(format!(
                "{table}: {} rows there, {} here",
                there.len(),
                here.len()
            ));
        }
    }
    None
}

/// A replica's rows are what the server has for it as of the same commit.
pub(crate) fn check(
    name: &str,
    server: &Database,
    replica: &Database,
    scope: Option<&Scope>,
    rights: Option<&BTreeSet<i64>>,
) -> Result<(), Failure> {
    match difference(server, replica, scope, rights) {
        Some(what) => Err(Failure::new("wrong part", format!("{name}: {what}"))),
        None => Ok(()),
    }
}
