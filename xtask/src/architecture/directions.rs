//! Who may use whom: the table of ARCHITECTURE.md.

use std::collections::BTreeMap;

use super::Finding;
use super::paths::{Named, module, named};
use super::source::Source;

/// Each crate below crates/, and the crates of the workspace that it may depend on. A crate that is not
/// listed is a finding, so that a new one is thought about.
const CRATES: &[(&str, &[&str])] = &[
    ("common", &[]),
    ("syncdb", &["common"]),
    ("vectordb", &["common", "durable"]),
    ("durable", &["common"]),
    ("import", &["common"]),
    ("server", &["common", "syncdb", "vectordb", "durable"]),
    (
        "cli",
        &[
            "common", "syncdb", "vectordb", "durable", "import", "server",
        ],
    ),
    // Compared with the product: only tests, benchmarks and the contract tests of the Python wheel depend on it.
    ("testkit", &["common", "syncdb", "vectordb", "durable"]),
];

/// The layers inside one crate: a folder (or file), and the layers it may use besides itself. The longest
/// matching name counts.
type Layers = &'static [(&'static str, &'static [&'static str])];

const COMMON: Layers = &[
    ("error", &[]),
    ("limits", &["error"]),
    ("utils", &["error", "limits"]),
    ("core/base", &["error", "limits", "utils"]),
    ("core/schema", &["core/base", "error", "limits", "utils"]),
    (
        "core/versioning",
        &["core/base", "error", "limits", "utils"],
    ),
    (
        "core/storage",
        &["core/schema", "core/base", "error", "limits", "utils"],
    ),
    (
        "core/database",
        &[
            "core/schema",
            "core/versioning",
            "core/storage",
            "core/base",
            "error",
            "limits",
            "utils",
        ],
    ),
    (
        "core/serialization",
        &["core/schema", "core/base", "error", "limits", "utils"],
    ),
    ("optimization", &["core", "error", "limits", "utils"]),
    (
        "operations",
        &["core", "optimization", "error", "limits", "utils"],
    ),
];

const SYNCDB: Layers = &[
    ("payload", &[]),
    ("migration", &[]),
    ("power", &["payload"]),
    ("sync", &["payload", "migration", "power"]),
    ("client", &["sync"]),
    ("server", &["sync"]),
    ("netsim", &["client"]),
    ("db", &["client", "migration", "power", "sync"]),
];

const VECTORDB: Layers = &[
    ("core", &[]),
    ("feature_store", &["core"]),
    ("indexing", &["core"]),
    ("transform", &["core"]),
    ("batch", &["core"]),
    ("experiment", &["core"]),
    (
        "db",
        &[
            "feature_store",
            "indexing",
            "transform",
            "batch",
            "experiment",
            "core",
        ],
    ),
];

/// Checks the dependencies that the manifests state; those of tests are free.
pub(super) fn crates(manifests: &[(String, toml::Table)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, manifest) in manifests {
        let Some((_, allowed)) = CRATES.iter().find(|(known, _)| known == name) else {
            findings.push(format!("crates/{name} is not in the table of directions: add it here and to ARCHITECTURE.md"));
            continue;
        };
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies
            .into_iter()
            .flatten()
            .map(|(dependency, _)| dependency)
        {
            let of_workspace = CRATES.iter().any(|(known, _)| known == dependency);
            if of_workspace && !allowed.contains(&dependency.as_str()) {
                findings.push(format!(
                    "crates/{name} depends on {dependency}, which ARCHITECTURE.md does not allow"
                ));
            }
        }
    }
    findings
}

/// Checks the paths that the sources name.
pub(super) fn folders(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (root, layers) in [
        ("crates/common/src", COMMON),
        ("crates/syncdb/src", SYNCDB),
        ("crates/vectordb/src", VECTORDB),
    ] {
        let members: Vec<&Source> = sources.iter().filter(|source| source.is_in(root)).collect();
        let exports = exports(&members);
        for source in members {
            let Some(from) = layer(layers, &module(source)) else {
                continue;
            };
            for path in named(source, &[]) {
                let Some(to) = target(layers, &exports, &path) else {
                    continue;
                };
                let allowed = layers
                    .iter()
                    .find(|(name, _)| *name == from)
                    .map_or(&[][..], |(_, to)| to);
                let within = |outer: &str| {
                    to == outer
                        || to
                            .strip_prefix(outer)
                            .is_some_and(|rest| rest.starts_with('/'))
                };
                if !within(from) && !allowed.iter().any(|outer| within(outer)) {
                    findings.push(format!(
                        "{}: {from} uses {to} (`{}`), which ARCHITECTURE.md does not allow",
                        source.place(&source.product, path.at),
                        path.segments.join("::")
                    ));
                }
            }
        }
    }
    findings
}

fn layer(layers: Layers, module: &[String]) -> Option<&'static str> {
    let path = module.join("/");
    layers
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| {
            path == *name
                || path
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('/'))
        })
        .max_by_key(|name| name.len())
}

/// The layer that a path leads to; names that lib.rs exports again are followed once.
fn target(
    layers: Layers,
    exports: &BTreeMap<String, Vec<String>>,
    path: &Named,
) -> Option<&'static str> {
    let (first, rest) = path.segments.split_first()?;
    if first != "crate" {
        return None;
    }
    layer(layers, rest).or_else(|| {
        let mut followed = exports.get(rest.first()?)?.clone();
        followed.extend_from_slice(rest.get(1..).unwrap_or_default());
        layer(layers, &followed)
    })
}

/// What lib.rs exports under another path: `Value` is `core/base/Value`.
fn exports(sources: &[&Source]) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for source in sources
        .iter()
        .filter(|source| source.path.ends_with("src/lib.rs"))
    {
        for path in named(source, &[]) {
            if let Some((first, rest)) = path.segments.split_first()
                && first == "crate"
                && let Some(name) = rest.last()
                && rest.len() > 1
            {
                found.insert(name.clone(), rest.to_vec());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::planted;
    use super::*;

    #[track_caller]
    fn in_folders(path: &str, text: &str, finds: usize) {
        let mut sources = planted(path, text);
        sources.extend(planted(
            "crates/common/src/lib.rs",
            "pub use crate::core::base::{Record, Value};\npub use crate::core::database;",
        ));
        let findings = folders(&sources);
        assert_eq!(findings.len(), finds, "{findings:?}");
    }

    #[test]
    fn a_folder_that_looks_up_is_found() {
        in_folders(
            "crates/common/src/core/base/id.rs",
            "use crate::core::schema::Schema;",
            1,
        );
        in_folders(
            "crates/common/src/core/base/id.rs",
            "use super::super::storage::Storage;",
            1,
        );
        in_folders(
            "crates/common/src/core/base/id.rs",
            "fn f() { crate::core::database::open() }",
            1,
        );
        in_folders(
            "crates/common/src/core/base/id.rs",
            "use crate::{error::Error, operations::query};",
            1,
        );
        in_folders("crates/common/src/utils/time.rs", "use crate::Value;", 1);
        in_folders(
            "crates/common/src/core/schema/rule.rs",
            "use crate::database::Database;",
            1,
        );
        in_folders(
            "crates/syncdb/src/payload/pack.rs",
            "use crate::sync::Session;",
            1,
        );
        in_folders(
            "crates/vectordb/src/core/vector.rs",
            "use crate::db::VectorDb;",
            1,
        );
    }

    #[test]
    fn allowed_directions_are_silent() {
        in_folders(
            "crates/common/src/core/schema/rule.rs",
            "use crate::{Value, error::Error};",
            0,
        );
        in_folders(
            "crates/common/src/core/database/view.rs",
            "use super::super::storage::Storage;",
            0,
        );
        in_folders(
            "crates/common/src/operations/query.rs",
            "use crate::core::database::View;",
            0,
        );
        in_folders(
            "crates/common/src/core/base/id.rs",
            "use super::value::Text; use std::fmt;",
            0,
        );
        in_folders(
            "crates/common/src/core/base/id.rs",
            "#[cfg(test)]\nmod tests { use crate::core::schema::Schema; }",
            0,
        );
    }

    #[test]
    fn a_crate_that_depends_on_the_wrong_one_is_found() {
        let check =
            |name: &str, text: &str| crates(&[(name.to_owned(), text.parse().unwrap())]).len();
        assert_eq!(
            check(
                "syncdb",
                "[dependencies]\ncommon.workspace = true\nserde = '1'"
            ),
            0
        );
        assert_eq!(
            check("syncdb", "[dependencies]\nvectordb.workspace = true"),
            1
        );
        assert_eq!(
            check("vectordb", "[dependencies]\nsyncdb.workspace = true"),
            1
        );
        assert_eq!(
            check("common", "[dependencies]\ntestkit.workspace = true"),
            1
        );
        assert_eq!(
            check("common", "[dev-dependencies]\ntestkit.workspace = true"),
            0
        );
        assert_eq!(check("helpers", ""), 1);
    }
}
