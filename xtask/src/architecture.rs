//! The invariants of ARCHITECTURE.md, checked on the sources.
//!
//! The checks read text, not types: they see what is written, and what a macro hides they miss. Test
//! modules are left out, because tests may use what the product must not.

#![expect(
    clippy::indexing_slicing,
    reason = "positions in a text that were found in the same text; the sources are our own"
)]

use std::fs;

use crate::run::{Context, Result, files};
use crate::steps::{Counts, Report};

mod absences;
mod directions;
mod paths;
mod shape;
mod source;

pub(crate) use shape::DECODER_MARK;
use source::Source;

/// A broken invariant, and where.
type Finding = String;

pub(crate) fn step(context: &Context) -> Result<Report> {
    let sources = read(context)?;
    let manifests = manifests(context)?;
    let checks: [(&str, Vec<Finding>); 9] = [
        ("directions between crates", directions::crates(&manifests)),
        ("directions between folders", directions::folders(&sources)),
        ("absences", absences::check(&sources)),
        ("unsafe", shape::unsafe_code(&sources)),
        ("file sizes", shape::sizes(&sources)),
        ("public traits", shape::traits(&sources)),
        ("decoders", shape::decoders(&sources)),
        ("names", shape::names(&sources)),
        ("loose ends", shape::loose_ends(&sources)),
    ];
    let mut counts = Counts::default();
    let mut text = Vec::new();
    for (name, findings) in checks {
        counts.add(Counts {
            passed: u64::from(findings.is_empty()),
            failed: u64::from(!findings.is_empty()),
        });
        text.extend(
            findings
                .into_iter()
                .map(|finding| format!("{name}: {finding}")),
        );
    }
    Ok(Report {
        counts,
        note: format!("{} files", sources.len()),
        failure: (!text.is_empty()).then(|| text.join("\n")),
    })
}

/// Every Rust file of the workspace.
fn read(context: &Context) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in ["crates", "xtask", "dev", "bindings", "examples"] {
        for path in files(&context.root, folder, "rs") {
            let text = fs::read_to_string(context.root.join(&path))
                .map_err(|e| format!("{}: {e}", path.display()))?;
            sources.push(Source::new(path, &text));
        }
    }
    Ok(sources)
}

/// The folder of each crate below crates/, with its manifest.
fn manifests(context: &Context) -> Result<Vec<(String, toml::Table)>> {
    let mut found = Vec::new();
    for path in files(&context.root, "crates", "toml") {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let [_, name, file] = parts.as_slice() else {
            continue;
        };
        if file == "Cargo.toml" {
            let text = fs::read_to_string(context.root.join(&path))
                .map_err(|e| format!("{}: {e}", path.display()))?;
            let table = text
                .parse()
                .map_err(|e| format!("{}: {e}", path.display()))?;
            found.push((name.to_string(), table));
        }
    }
    Ok(found)
}

/// For tests: a source at `path`.
#[cfg(test)]
fn planted(path: &str, text: &str) -> Vec<Source> {
    vec![Source::new(path.into(), text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_keeps_its_invariants() {
        let report = step(&Context::new().unwrap()).unwrap();
        assert_eq!(report.failure, None);
    }
}
