//! The contract of a [`Versioning`].

use common::versioning::{Causality, ReplicaId, Version, Versioning};

fn compare(mechanism: &dyn Versioning, a: &Version, b: &Version) -> Causality {
    mechanism.compare(a, b).unwrap_or_else(|error| {
        panic!(
            "`{}` cannot compare its own versions {a:?} and {b:?}: {error}",
            mechanism.name()
        )
    })
}

fn next(mechanism: &dyn Versioning, previous: Option<&Version>, replica: &ReplicaId) -> Version {
    mechanism.next(previous, replica).unwrap_or_else(|error| {
        panic!(
            "`{}` cannot go on from {previous:?}: {error}",
            mechanism.name()
        )
    })
}

/// Checks the laws of [`Versioning`] on versions made by two replicas.
///
/// # Panics
/// With the law that is broken and the versions that break it.
pub fn versioning(mechanism: &dyn Versioning) {
    assert!(!mechanism.name().is_empty(), "a mechanism has a name");
    let (left, right) = (ReplicaId::from("left"), ReplicaId::from("right"));
    let root = next(mechanism, None, &left);
    let mut versions = vec![root.clone()];
    let (mut a, mut b) = (root.clone(), root);
    for _ in 0..4 {
        let (a_next, b_next) = (
            next(mechanism, Some(&a), &left),
            next(mechanism, Some(&b), &right),
        );
        for (before, after) in [(&a, &a_next), (&b, &b_next)] {
            let found = compare(mechanism, after, before);
            assert_eq!(
                found,
                Causality::After,
                "{after:?} was made from {before:?}"
            );
        }
        versions.extend([a_next.clone(), b_next.clone()]);
        (a, b) = (a_next, b_next);
    }
    for x in &versions {
        assert_eq!(
            x.mechanism(),
            mechanism.name(),
            "a version names its mechanism"
        );
        assert_eq!(
            compare(mechanism, x, x),
            Causality::Equal,
            "{x:?} equals itself"
        );
        for y in &versions {
            let there = compare(mechanism, x, y);
            let back = compare(mechanism, y, x);
            assert_eq!(
                there,
                back.reverse(),
                "swapping {x:?} and {y:?} reverses the answer"
            );
            for z in &versions {
                if there == Causality::Before && compare(mechanism, y, z) == Causality::Before {
                    let across = compare(mechanism, x, z);
                    assert_eq!(across, Causality::Before, "{x:?} before {y:?} before {z:?}");
                }
            }
        }
    }
    let foreign = Version::Custom {
        mechanism: "some other one".into(),
        bytes: vec![1],
    };
    assert!(
        mechanism.next(Some(&foreign), &left).is_err(),
        "a foreign version is refused"
    );
    assert!(
        versions
            .first()
            .is_some_and(|v| mechanism.compare(v, &foreign).is_err())
    );
    assert!(
        versions
            .first()
            .is_some_and(|v| mechanism.compare(&foreign, v).is_err())
    );
}
