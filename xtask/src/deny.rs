//! What may enter the dependency graph: licences, sources, banned and duplicate packages.
//!
//! The policy is deny.toml, written as cargo-deny reads it, so that tool can be used on it as well. The check
//! is done here over `cargo metadata`, because building cargo-deny takes longer than the whole gate's tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::run::{Context, Result};
use crate::steps::{Counts, Report};

mod licence;
mod version;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The parts of deny.toml that are checked. Whatever else stands there is refused, so that nothing is
/// written into it in vain.
#[derive(Debug, Default)]
struct Policy {
    targets: Vec<String>,
    exclude: Vec<String>,
    licences: Vec<String>,
    licence_exceptions: BTreeMap<String, Vec<String>>,
    bans: Vec<(String, String)>,
    skips: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    source: Option<String>,
    wildcards: Vec<String>,
}

pub(crate) fn step(context: &Context) -> Result<Report> {
    let text = fs::read_to_string(context.root.join("deny.toml"))
        .map_err(|e| format!("deny.toml: {e}"))?;
    let policy = Policy::read(&text)?;
    let mut command = context.cargo(["metadata", "--format-version", "1", "--all-features"]);
    for target in &policy.targets {
        command.args(["--filter-platform", target]);
    }
    let output = command
        .output()
        .map_err(|e| format!("cargo does not start: {e}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|e| {
        format!(
            "`cargo metadata`: {e}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    let packages = graph(&metadata, &policy.exclude);
    let findings = check(&policy, &packages);
    let failed = findings.len() as u64;
    Ok(Report {
        counts: Counts {
            passed: (packages.len() as u64).saturating_sub(failed),
            failed,
        },
        note: format!("{} packages", packages.len()),
        failure: (failed > 0).then(|| findings.join("\n")),
    })
}

impl Policy {
    fn read(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().map_err(|e| format!("deny.toml: {e}"))?;
        let mut policy = Self::default();
        for (section, entries) in &table {
            let entries = entries
                .as_table()
                .ok_or_else(|| format!("deny.toml: `{section}` is no table"))?;
            for (key, value) in entries {
                policy.set(section, key, value)?;
            }
        }
        Ok(policy)
    }

    fn set(&mut self, section: &str, key: &str, value: &toml::Value) -> Result<()> {
        let texts = || -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        let pairs = |second: &str| -> Vec<(String, String)> {
            let items = value.as_array().into_iter().flatten();
            let text = |item: &toml::Value, key: &str| {
                item.get(key)
                    .and_then(toml::Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            items
                .map(|item| (text(item, "crate"), text(item, second)))
                .collect()
        };
        match (section, key) {
            ("graph", "targets") => self.targets = texts(),
            ("graph", "exclude") => self.exclude = texts(),
            ("licenses", "allow") => self.licences = texts(),
            ("licenses", "exceptions") => {
                for item in value.as_array().into_iter().flatten() {
                    let name = item
                        .get("crate")
                        .and_then(toml::Value::as_str)
                        .unwrap_or_default();
                    let allow = item.get("allow").and_then(toml::Value::as_array);
                    let allow = allow
                        .into_iter()
                        .flatten()
                        .filter_map(|text| text.as_str().map(str::to_owned));
                    self.licence_exceptions
                        .insert(name.to_owned(), allow.collect());
                }
            }
            ("bans", "deny") => self.bans = pairs("reason"),
            ("bans", "skip") => {
                self.skips = pairs("reason");
                if let Some((name, _)) = self.skips.iter().find(|(_, reason)| reason.is_empty()) {
                    return Err(format!(
                        "deny.toml: the exception for {name} needs a `reason`"
                    ));
                }
            }
            ("graph", "all-features")
            | ("bans", "multiple-versions" | "wildcards" | "allow-wildcard-paths")
            | ("sources", "unknown-registry" | "unknown-git") => {
                let strict = value.as_bool() == Some(true) || value.as_str() == Some("deny");
                if !strict {
                    return Err(format!("deny.toml: {section}.{key} is always on here"));
                }
            }
            _ => {
                return Err(format!(
                    "deny.toml: {section}.{key} is not checked by this command"
                ));
            }
        }
        Ok(())
    }
}

/// The packages that the members reach, members left out that `exclude` names.
fn graph(metadata: &Value, exclude: &[String]) -> Vec<Package> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };

    let mut packages = BTreeMap::new();
    for package in list(metadata, "packages") {
        let wildcards = list(&package, "dependencies")
            .iter()
            .filter(|dependency| dependency.get("path").is_none())
            .filter(|dependency| text(dependency, "req").as_deref() == Some("*"))
            .filter_map(|dependency| text(dependency, "name"))
            .collect();
        packages.insert(
            text(&package, "id").unwrap_or_default(),
            Package {
                name: text(&package, "name").unwrap_or_default(),
                version: text(&package, "version").unwrap_or_default(),
                licence: text(&package, "license"),
                source: text(&package, "source"),
                wildcards,
            },
        );
    }
    let mut edges = BTreeMap::new();
    for node in metadata
        .pointer("/resolve/nodes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let to: Vec<String> = list(node, "dependencies")
            .iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect();
        edges.insert(text(node, "id").unwrap_or_default(), to);
    }
    let mut pending: Vec<String> = list(metadata, "workspace_members")
        .iter()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .filter(|id| {
            packages
                .get(id)
                .is_some_and(|package| !exclude.contains(&package.name))
        })
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if seen.insert(id.clone()) {
            pending.extend(edges.get(&id).into_iter().flatten().cloned());
        }
    }
    seen.iter()
        .filter_map(|id| packages.get(id).cloned())
        .collect()
}

fn check(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, .. } = package;
        versions.entry(name).or_default().insert(version);
        let extra = policy
            .licence_exceptions
            .get(name)
            .map_or(&[][..], Vec::as_slice);
        match &package.licence {
            None => findings.push(format!("{name} {version} states no licence")),
            Some(expression) => {
                let allowed = |licence: &str| {
                    policy
                        .licences
                        .iter()
                        .chain(extra)
                        .any(|allowed| allowed == licence)
                };
                if !licence::satisfied(expression, &allowed) {
                    findings.push(format!("{name} {version} is licensed `{expression}`, which deny.toml does not allow"));
                }
            }
        }
        if let Some(source) = &package.source
            && source != CRATES_IO
        {
            findings.push(format!(
                "{name} {version} comes from {source}, not from crates.io"
            ));
        }
        if package.source.is_none() {
            for dependency in &package.wildcards {
                findings.push(format!(
                    "{name} depends on any version of {dependency}: name one"
                ));
            }
        }
        for (banned, reason) in &policy.bans {
            if version::matches(banned, name, version) {
                findings.push(format!("{name} {version} is banned: {reason}"));
            }
        }
    }
    let skipped = |name: &str, version: &str| {
        policy
            .skips
            .iter()
            .any(|(skip, _)| version::matches(skip, name, version))
    };
    for (name, versions) in &versions {
        let counted: Vec<&str> = versions
            .iter()
            .copied()
            .filter(|version| !skipped(name, version))
            .collect();
        if counted.len() > 1 {
            findings.push(format!(
                "{name} is there in {} versions: {}; agree on one, or add the older to bans.skip with the reason",
                counted.len(),
                counted.join(", ")
            ));
        }
    }
    for (skip, _) in &policy.skips {
        if !packages
            .iter()
            .any(|package| version::matches(skip, &package.name, &package.version))
        {
            findings.push(format!(
                "deny.toml: the exception for {skip} is no longer needed"
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: Some("MIT OR Apache-2.0".to_owned()),
            source: Some(CRATES_IO.to_owned()),
            wildcards: Vec::new(),
        }
    }

    fn policy(bans: &str) -> Policy {
        Policy::read(&format!(
            "[licenses]\nallow = ['MIT', 'Apache-2.0']\n[bans]\n{bans}"
        ))
        .unwrap()
    }

    #[track_caller]
    fn finds(policy: &Policy, packages: &[Package], what: &str) {
        let findings = check(policy, packages);
        assert!(
            findings.len() == 1 && findings.concat().contains(what),
            "{findings:?}"
        );
    }

    #[test]
    fn a_good_graph_passes() {
        assert!(check(&policy(""), &[package("a", "1.0.0"), package("b", "2.0.0")]).is_empty());
    }

    #[test]
    fn each_rule_can_fail() {
        let none = Package {
            licence: None,
            ..package("a", "1.0.0")
        };
        finds(&policy(""), &[none], "states no licence");
        let gpl = Package {
            licence: Some("MIT AND GPL-3.0".into()),
            ..package("a", "1.0.0")
        };
        finds(&policy(""), &[gpl], "GPL");
        let git = Package {
            source: Some("git+https://example.com".into()),
            ..package("a", "1.0.0")
        };
        finds(&policy(""), &[git], "crates.io");
        let loose = Package {
            source: None,
            wildcards: vec!["b".into()],
            ..package("a", "1.0.0")
        };
        finds(&policy(""), &[loose], "any version");
        finds(
            &policy("deny = [{ crate = 'a:<1.2.0', reason = 'hole' }]"),
            &[package("a", "1.1.9")],
            "hole",
        );
        finds(
            &policy(""),
            &[package("a", "1.0.0"), package("a", "2.0.0")],
            "2 versions",
        );
    }

    #[test]
    fn an_exception_works_once_and_must_be_needed() {
        let skip = policy("skip = [{ crate = 'a@1.0.0', reason = 'b has not moved on' }]");
        assert!(check(&skip, &[package("a", "1.0.0"), package("a", "2.0.0")]).is_empty());
        finds(&skip, &[package("a", "2.0.0")], "no longer needed");
        assert!(Policy::read("[bans]\nskip = [{ crate = 'a' }]").is_err());
        let mpl =
            "[licenses]\nallow = ['MIT']\nexceptions = [{ crate = 'a', allow = ['MPL-2.0'] }]";
        let tool = Package {
            licence: Some("MPL-2.0".into()),
            ..package("a", "1.0.0")
        };
        let other = Package {
            licence: Some("MPL-2.0".into()),
            ..package("b", "1.0.0")
        };
        finds(&Policy::read(mpl).unwrap(), &[tool, other], "b 1.0.0");
    }

    #[test]
    fn settings_that_nothing_checks_are_refused() {
        assert!(Policy::read("[licenses]\nconfidence-threshold = 0.9").is_err());
        assert!(Policy::read("[bans]\nmultiple-versions = 'warn'").is_err());
    }

    #[test]
    fn members_that_are_excluded_bring_nothing_in() {
        let metadata = serde_json::json!({
            "packages": [
                {"id": "m", "name": "m", "version": "0.1.0", "dependencies": []},
                {"id": "rival", "name": "rival", "version": "0.1.0", "dependencies": []},
                {"id": "x", "name": "x", "version": "1.0.0", "dependencies": []},
                {"id": "y", "name": "y", "version": "1.0.0", "dependencies": []}],
            "workspace_members": ["m", "rival"],
            "resolve": {"nodes": [{"id": "m", "dependencies": ["x"]}, {"id": "rival", "dependencies": ["y"]}]}
        });
        let names: Vec<String> = graph(&metadata, &["rival".to_owned()])
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names, ["m", "x"]);
    }
}
