//! A versioning mechanism from outside: dotted revisions such as `3.a` and `3.b`, which tell concurrent edits
//! of the same generation apart, as document databases number theirs.
//!
//! Run it with `cargo run --example versioning_as_a_stranger`.

use std::cmp::Ordering;

use common::versioning::{Causality, ReplicaId, Version, Versioning};
use common::{Error, Result};

/// The path of replicas that made a version, one for each generation.
pub(crate) struct RevisionPath;

fn path(version: &Version) -> Result<Vec<String>> {
    match version {
        Version::Custom { mechanism, bytes } if mechanism == "revision-path" => {
            serde_json::from_slice(bytes)
                .map_err(|error| Error::corrupt(format!("a revision path: {error}")))
        }
        other => Err(Error::invalid(format!(
            "a version of mechanism `{}` is not a revision path",
            other.mechanism()
        ))),
    }
}

impl Versioning for RevisionPath {
    fn name(&self) -> &'static str {
        "revision-path"
    }

    fn next(&self, previous: Option<&Version>, replica: &ReplicaId) -> Result<Version> {
        let mut path = previous.map(path).transpose()?.unwrap_or_default();
        path.push(replica.to_string());
        let bytes = serde_json::to_vec(&path)
            .map_err(|error| Error::invalid(format!("a revision path: {error}")))?;
        Ok(Version::Custom {
            mechanism: self.name().into(),
            bytes,
        })
    }

    fn compare(&self, a: &Version, b: &Version) -> Result<Causality> {
        let (a, b) = (path(a)?, path(b)?);
        Ok(match a.len().cmp(&b.len()) {
            Ordering::Equal if a == b => Causality::Equal,
            Ordering::Less if b.starts_with(&a) => Causality::Before,
            Ordering::Greater if a.starts_with(&b) => Causality::After,
            _ => Causality::Concurrent,
        })
    }
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
#[cfg_attr(test, expect(dead_code, reason = "tests use the mechanism alone"))]
fn main() -> Result<()> {
    let mechanism = RevisionPath;
    let first = mechanism.next(None, &"server".into())?;
    let phone = mechanism.next(Some(&first), &"phone".into())?;
    let tablet = mechanism.next(Some(&first), &"tablet".into())?;
    assert_eq!(mechanism.compare(&first, &phone)?, Causality::Before);
    assert_eq!(mechanism.compare(&phone, &tablet)?, Causality::Concurrent);
    println!(
        "{:?} and {:?}: {:?}",
        path(&phone)?,
        path(&tablet)?,
        Causality::Concurrent
    );
    Ok(())
}
