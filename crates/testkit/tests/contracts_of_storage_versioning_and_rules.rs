//! The contracts of three extension points, run on what is built in and on the examples' extensions.

#[path = "../../common/examples/rule_as_a_stranger.rs"]
mod rule_as_a_stranger;
#[path = "../../common/examples/storage_as_a_stranger.rs"]
mod storage_as_a_stranger;
#[path = "../../common/examples/versioning_as_a_stranger.rs"]
mod versioning_as_a_stranger;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::schema::CustomRule;
use common::storage::{HashStorage, OrderedStorage, Storage, Visitor, Write};
use common::utils::time::ManualClock;
use common::versioning::{
    CounterVersioning, HlcVersioning, HybridClock, VectorVersioning, Version, Versioning,
};
use common::{Record, Result, Slot, Value};
use testkit::contract;

#[test]
fn built_in_storages() {
    contract::storage(|| Box::new(HashStorage::new()));
    contract::storage(|| Box::new(OrderedStorage::new()));
}

#[test]
fn the_examples_storage() {
    contract::storage(|| Box::new(storage_as_a_stranger::JournaledStorage::default()));
    let storage = storage_as_a_stranger::JournaledStorage::default();
    assert!(storage.journal().is_empty());
}

/// Forgets to stop a scan when told to.
struct Unstoppable(HashStorage);

impl Storage for Unstoppable {
    fn name(&self) -> &'static str {
        "unstoppable"
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &[Value]) -> Result<Option<(Slot, Record)>> {
        self.0.get(key)
    }

    fn read(&self, slots: &[Slot], records: &mut Vec<Record>) -> Result<()> {
        self.0.read(slots, records)
    }

    fn scan(&self, visit: Visitor<'_>) -> Result<()> {
        self.0.scan(&mut |records| {
            let _ = visit(records);
            ControlFlow::Continue(())
        })
    }

    fn apply(&self, writes: &[Write], slots: &mut Vec<Slot>) -> Result<()> {
        self.0.apply(writes, slots)
    }
}

#[test]
#[should_panic(expected = "a scan that is told to stop calls no more")]
fn the_contract_finds_a_storage_that_breaks_it() {
    contract::storage(|| Box::new(Unstoppable(HashStorage::new())));
}

#[test]
fn versioning_mechanisms() {
    contract::versioning(&CounterVersioning);
    contract::versioning(&VectorVersioning);
    let clock = HybridClock::new(Arc::new(ManualClock::new(0)));
    contract::versioning(&HlcVersioning(clock));
    contract::versioning(&versioning_as_a_stranger::RevisionPath);
}

/// Says that everything is concurrent.
struct Clueless;

impl Versioning for Clueless {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn next(
        &self,
        previous: Option<&Version>,
        replica: &common::versioning::ReplicaId,
    ) -> Result<Version> {
        CounterVersioning.next(previous, replica)
    }

    fn compare(&self, _: &Version, _: &Version) -> Result<common::versioning::Causality> {
        Ok(common::versioning::Causality::Concurrent)
    }
}

#[test]
#[should_panic(expected = "was made from")]
fn the_contract_finds_a_mechanism_that_breaks_it() {
    contract::versioning(&Clueless);
}

#[test]
fn the_examples_rule() {
    assert_eq!(
        rule_as_a_stranger::article_number(&Value::from("4006381333931")),
        None
    );
    assert!(rule_as_a_stranger::article_number(&Value::from("4006381333930")).is_some());
    assert!(rule_as_a_stranger::article_number(&Value::from("400638133393")).is_some());
    assert!(rule_as_a_stranger::article_number(&Value::from(7)).is_some());
}

#[test]
fn the_examples_rule_obeys_the_contract() {
    let rule: CustomRule = Arc::new(rule_as_a_stranger::article_number);
    contract::rule(
        &rule,
        &[Value::from("4006381333931"), Value::from("4006381333930")],
    );
}

#[test]
fn the_contract_finds_a_rule_that_breaks_it() {
    let asked = AtomicUsize::new(0);
    let even = |value: &Value| value.as_int().is_some_and(|n| n % 2 == 0);
    let broken: [(&str, CustomRule); 4] = [
        (
            "without a word",
            Arc::new(move |value: &Value| (!even(value)).then(String::new)),
        ),
        (
            "twice the same",
            Arc::new(move |value: &Value| {
                let times = asked.fetch_add(1, Ordering::Relaxed);
                (!even(value)).then(|| format!("asked {times} times"))
            }),
        ),
        ("it accepts all", Arc::new(|_: &Value| None)),
        (
            "it refuses all",
            Arc::new(|_: &Value| Some("is wrong".to_owned())),
        ),
    ];
    for (law, rule) in broken {
        let samples = [Value::from(2), Value::from(3)];
        let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            contract::rule(&rule, &samples);
        }));
        let said = noticed.unwrap_err();
        let said = said.downcast_ref::<String>().unwrap();
        assert!(said.contains(law), "{said}");
    }
}
