//! Schemas and lineages in files, and which of their steps this program can take.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::path::{Path, PathBuf};

use common::schema::Schema;
use common::serialization::decode_schema;
use common::{Error, Limits, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use syncdb::migration::{Lineage, MIGRATION_BYTES_MAX, Migration, Script, Scripts, Step};

use crate::source::read;

/// The schemas in some files, each with one or with a list of them.
pub(super) fn schemas(paths: &[PathBuf]) -> Result<Vec<Schema>> {
    let mut all: Vec<Schema> = Vec::new();
    for path in paths {
        let found = of_one(&read(path)?).map_err(|error| error.at(path.display()))?;
        for schema in found {
            if all.iter().any(|known| known.name == schema.name) {
                let twice = format!("table `{}` is declared twice", schema.name);
                return Err(Error::conflict(twice).at(path.display()));
            }
            all.push(schema);
        }
    }
    Ok(all)
}

fn of_one(json: &[u8]) -> Result<Vec<Schema>> {
    check_size(json)?;
    // The reader of one schema counts bytes, and people look for lines.
    serde_json::from_slice::<IgnoredAny>(json)
        .map_err(|error| Error::invalid(format!("not JSON: {error}")))?;
    if json.trim_ascii_start().first() != Some(&b'[') {
        return Ok(vec![decode_schema(json, &Limits::default())?]);
    }
    let schemas: Vec<Schema> = serde_json::from_slice(json)
        .map_err(|error| Error::invalid(format!("not a list of schemas: {error}")))?;
    for schema in &schemas {
        schema
            .check()
            .map_err(|error| error.at(format!("table `{}`", schema.name)))?;
    }
    Ok(schemas)
}

fn check_size(json: &[u8]) -> Result<()> {
    if json.len() > MIGRATION_BYTES_MAX {
        return Err(Error::limit_exceeded(format!(
            "has {} bytes, and at most {MIGRATION_BYTES_MAX} are read",
            json.len()
        )));
    }
    Ok(())
}

/// The part of a lineage that names functions.
#[derive(Deserialize)]
struct Steps {
    #[serde(default)]
    migrations: Vec<Migration>,
}

/// The lineage in a file. The functions that it names are the application's: they stand in it, and are not to be called.
pub(in crate::commands) fn lineage(path: &Path) -> Result<Lineage> {
    let json = read(path)?;
    let decode = || {
        check_size(&json)?;
        let mut scripts = Scripts::default();
        // What is wrong with a lineage that is none, says who reads all of it.
        if let Ok(steps) = serde_json::from_slice::<Steps>(&json) {
            for step in steps.migrations.iter().flat_map(|m| &m.steps) {
                if let Step::Script { function, .. } = step {
                    let name = function.clone();
                    let absent = Script::new(move |_| {
                        Err(Error::unsupported(format!(
                            "script `{name}` is the application's"
                        )))
                    });
                    scripts = scripts.with(function.clone(), absent);
                }
            }
        }
        Lineage::from_json(&json, &Limits::default(), scripts)
    };
    decode().map_err(|error: Error| error.at(path.display()))
}

/// Refuses a way on which a function of the application is called.
pub(super) fn check_scripts(lineage: &Lineage, from: u32, to: u32) -> Result<()> {
    for (version, number, step) in steps_between(lineage, from, to) {
        if let Step::Script { function, .. } = step {
            return Err(Error::invalid(format!(
                "step {number} of the migration to version {version} ({step}) calls the function `{function}`, which only \
                 the application has; let the application migrate the file, or choose a version on this side of it with --to"
            )));
        }
    }
    Ok(())
}

/// The steps between two versions, each with the version that it leads to and its number, counted from 1.
pub(super) fn steps_between(
    lineage: &Lineage,
    from: u32,
    to: u32,
) -> impl Iterator<Item = (u32, usize, &Step)> {
    let versions = from.min(to).saturating_add(1)..=from.max(to);
    versions.flat_map(|version| {
        let steps = lineage.migration(version).map(|m| m.steps.as_slice());
        let steps = (1_usize..).zip(steps.unwrap_or_default());
        steps.map(move |(number, step)| (version, number, step))
    })
}
