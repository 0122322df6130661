//! The contract of a [`CustomRule`].

use std::thread;

use common::Value;
use common::schema::CustomRule;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::values;

/// Random values that are looked through for those of the kinds of the samples.
const RANDOM: usize = 1_024;

/// Threads that ask a rule at the same time.
const THREADS: usize = 4;

/// Runs the promises of a [`CustomRule`] against one: the same value gets the same answer every time and on every thread,
/// what is wrong is said in words, and no value of a kind that the rule is made for makes it panic.
///
/// `samples` are values that the rule accepts and values that it refuses. Random values of the same kinds are checked with
/// them: a column's type keeps other kinds away from its rules.
///
/// # Panics
/// With the law that was broken and the value that broke it.
pub fn rule(check: &CustomRule, samples: &[Value]) {
    let values = with_random(samples);
    let answers: Vec<Option<String>> = values.iter().map(|value| check(value)).collect();
    for (value, answer) in values.iter().zip(&answers) {
        assert!(
            answer.as_ref().is_none_or(|text| !text.trim().is_empty()),
            "a rule says what is wrong with {value:?}, and this one refuses it without a word"
        );
        let again = check(value);
        assert_eq!(
            again, *answer,
            "a rule answers twice the same for {value:?}"
        );
    }
    let of_samples = answers.iter().take(samples.len());
    let refused = of_samples.filter(|answer| answer.is_some()).count();
    assert!(
        refused > 0,
        "samples have a value that the rule refuses, and it accepts all of {samples:?}"
    );
    assert!(
        refused < samples.len(),
        "samples have a value that the rule accepts, and it refuses all of {samples:?}"
    );
    thread::scope(|scope| {
        let (values, answers) = (&values, &answers);
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(move || {
                    for (value, answer) in values.iter().zip(answers) {
                        let here = check(value);
                        assert_eq!(
                            here, *answer,
                            "a rule answers the same for {value:?} on every thread"
                        );
                    }
                })
            })
            .collect();
        for thread in threads {
            if let Err(law) = thread.join() {
                std::panic::resume_unwind(law);
            }
        }
    });
}

/// The samples, and after them random values of their kinds.
fn with_random(samples: &[Value]) -> Vec<Value> {
    let mut runner = TestRunner::deterministic();
    let mut all = samples.to_vec();
    // Half of the values with parts, which are lists and maps for the most.
    for strategy in [values::scalar(), values::value()] {
        for _ in 0..RANDOM {
            match strategy.new_tree(&mut runner) {
                Ok(tree) => all.push(tree.current()),
                Err(reason) => panic!("the strategy makes no value: {reason}"),
            }
        }
    }
    let is_of_kind = |value: &Value| samples.iter().any(|sample| sample.kind() == value.kind());
    let mut at = 0;
    all.retain(|value| {
        at += 1;
        at <= samples.len() || is_of_kind(value)
    });
    all
}
