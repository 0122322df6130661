//! The contract of [`Transform`]: what every operation in a pipeline may rely on.

use std::fmt::Debug;

use common::Error;
use common::limits::NAME_BYTES_MAX;
use common::operations::transform::{
    OperationRegistry, Outcome, Pipeline, PipelineSpec, Transform,
};

/// Checks an operation against the laws of [`Transform`], on items of your choice.
///
/// Give samples that the operation accepts, samples that it must reject, and the hostile ones of your type
/// (not finite, empty, of the wrong kind). `same` says when two items are equal, and where the inverse rounds,
/// when they are near enough. Called with the registry that finds the operation, it also checks that the
/// operation survives being written down as JSON.
///
/// # Panics
/// With the law that is broken and the item that broke it.
pub fn transform<T, O>(
    operation: &O,
    samples: &[T],
    same: impl Fn(&T, &T) -> bool,
    registry: Option<&OperationRegistry<T>>,
) where
    T: Clone + Debug,
    O: Transform<T> + Clone + 'static,
{
    let spec = operation.spec();
    let name = spec.name.clone();
    assert!(
        !name.is_empty() && name.len() <= NAME_BYTES_MAX,
        "the name `{name}` has between 1 and {NAME_BYTES_MAX} bytes"
    );
    assert!(spec.version > 0, "`{name}`: versions begin with 1");
    assert_eq!(
        operation.spec(),
        spec,
        "`{name}`: name, version and parameters do not change"
    );

    let pipeline = pipeline(operation.clone());
    let whole = run(&pipeline, samples);
    assert!(
        run(&pipeline, &[]).items.is_empty(),
        "`{name}`: nothing comes of an empty batch"
    );
    same_outcome(
        &name,
        "twice gives the same",
        &whole,
        &run(&pipeline, samples),
        &same,
    );

    // What becomes of an item does not depend on its company.
    let mut alone = Outcome {
        items: Vec::new(),
        origins: Vec::new(),
        rejected: Vec::new(),
    };
    for (at, sample) in samples.iter().enumerate() {
        let mut one = run(&pipeline, std::slice::from_ref(sample));
        alone.items.append(&mut one.items);
        alone.origins.extend(one.origins.iter().map(|_| at));
        alone
            .rejected
            .extend(one.rejected.into_iter().map(|mut rejection| {
                rejection.item = at;
                rejection
            }));
    }
    same_outcome(
        &name,
        "item by item gives what the batch gives",
        &whole,
        &alone,
        &same,
    );

    if let Some(inverse) = pipeline.inverse() {
        let back = run(&inverse, &whole.items);
        assert!(
            back.rejected.is_empty(),
            "`{name}`: the inverse takes every item that the operation gave, but {:?}",
            back.rejected
        );
        for (item, origin) in back.items.iter().zip(&whole.origins) {
            let sample = samples.get(*origin).expect("an origin is a position");
            assert!(
                same(item, sample),
                "`{name}`: the inverse brings {sample:?} back, not {item:?}"
            );
        }
    }

    if let Some(registry) = registry {
        let json = serde_json::to_string(&pipeline.describe()).expect("a description is JSON");
        let read: PipelineSpec = serde_json::from_str(&json).expect("and reads back");
        assert_eq!(
            read,
            pipeline.describe(),
            "`{name}`: the parameters survive JSON"
        );
        let again = Pipeline::build(&read, registry)
            .unwrap_or_else(|error| panic!("`{name}`: the registry finds it again: {error}"));
        assert_eq!(
            again.describe(),
            read,
            "`{name}`: built from its description, it gives the same description"
        );
        let law = "built from its description, it does the same";
        same_outcome(&name, law, &whole, &run(&again, samples), &same);

        let mut later = spec;
        later.version = u32::MAX;
        assert!(
            registry.build(&later).is_err(),
            "`{name}`: a version that it does not know is refused, not guessed"
        );
    }
}

fn pipeline<T>(operation: impl Transform<T> + 'static) -> Pipeline<T> {
    Pipeline::new()
        .step("contract", operation)
        .expect("a pipeline takes one step")
}

fn run<T: Clone>(pipeline: &Pipeline<T>, items: &[T]) -> Outcome<T> {
    pipeline
        .apply(items.to_vec())
        .unwrap_or_else(|error: Error| panic!("bad items are rejected, not errors: {error}"))
}

fn same_outcome<T: Debug>(
    name: &str,
    law: &str,
    left: &Outcome<T>,
    right: &Outcome<T>,
    same: impl Fn(&T, &T) -> bool,
) {
    assert_eq!(left.origins, right.origins, "`{name}`: {law}");
    for (a, b) in left.items.iter().zip(&right.items) {
        assert!(same(a, b), "`{name}`: {law}, but {a:?} is not {b:?}");
    }
    let reasons = |outcome: &Outcome<T>| -> Vec<String> {
        outcome.rejected.iter().map(ToString::to_string).collect()
    };
    assert_eq!(reasons(left), reasons(right), "`{name}`: {law}");
    assert_eq!(left.items.len(), left.origins.len(), "`{name}`: {law}");
}
