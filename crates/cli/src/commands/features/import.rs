//! `tandem features import`: a file becomes events of a view.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::BTreeMap;
use std::io::{Write as _, stderr};
use std::path::PathBuf;

use ::import::{Columns, Options, Wanted, load_columns};
use clap::{Args, ValueEnum};
use common::schema::FieldType;
use common::{Error, RecordId, Result, Timestamp, Value};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use vectordb::feature::{
    Column, DELETED_COLUMN, EVENT_COLUMN, Entity, FeatureBatch, FeatureView, Ingested, OnInvalid,
    Times,
};
use vectordb::lineage::{LineageNode, NodeKind};

use super::{change, print_json, printable, time};
use crate::commands::import::delimiter;
use crate::source::read;
use crate::terminal::{Progress, output};

/// Most problems that are shown; all are counted.
const PROBLEMS_SHOWN: usize = 10;

/// Import a CSV, JSON lines, Parquet or Arrow file as events of a view
///
/// Columns are found by name: the entity's key columns, the times, and those of the view's features that the file has.
/// A row whose column `deleted` is true is a deletion of its entity. What `tandem features export` writes is read back
/// with `--known-at known_at`. In CSV, a cell with nothing is missing, and one with nothing between quotes an empty text.
///
/// All events go in with one commit: either every one is in the database file afterwards, or the file is as it was.
/// Without --known-at, events become known now, and a second import of the same file adds them again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem features import shop.tdb rides rides.csv\n  \
    tandem features import shop.tdb rides rides.parquet --event-time at --known-at loaded --column user_id=uid\n  \
    tandem features import shop.tdb rides today.jsonl --at 2026-11-22 --on-invalid missing --json")]
pub(crate) struct Import {
    /// Database file
    db: PathBuf,
    /// Name of the view
    view: String,
    /// The file: .csv, .tsv, .jsonl, .ndjson, .parquet, .arrow or .feather, also packed (.gz)
    file: PathBuf,
    /// Column of the time at which each event happened
    #[arg(long, value_name = "COLUMN", default_value = EVENT_COLUMN)]
    event_time: String,
    /// When all events happened, for a file without such a column
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "event_time")]
    at: Option<Timestamp>,
    /// Column of the time at which each event became known; now if not given
    #[arg(long, value_name = "COLUMN")]
    known_at: Option<String>,
    /// Column of a feature or key that is called otherwise in the file; may be given several times
    #[arg(long = "column", value_name = "FEATURE=COLUMN", value_parser = renamed)]
    columns: Vec<(String, String)>,
    /// What to do about an event that breaks a rule
    #[arg(long, value_enum, default_value_t = Policy::Refuse)]
    on_invalid: Policy,
    /// Text that stands for no value, beside the empty one; may be given several times
    #[arg(long = "null", value_name = "TEXT")]
    nulls: Vec<String>,
    /// Character between the fields of a CSV file; found out if not given
    #[arg(long, value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Import nothing
    Refuse,
    /// Leave the event out, and say so
    Skip,
    /// Take values that break a rule as missing, and say so
    Missing,
}

impl Policy {
    const fn on_invalid(self) -> OnInvalid {
        match self {
            Self::Refuse => OnInvalid::Refuse,
            Self::Skip => OnInvalid::Skip,
            Self::Missing => OnInvalid::Missing,
        }
    }
}

fn renamed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((feature, column)) if !feature.is_empty() && !column.is_empty() => {
            Ok((feature.to_owned(), column.to_owned()))
        }
        _ => Err("expected FEATURE=COLUMN, such as `mean_fare=Mean fare`".to_owned()),
    }
}

/// What is wrong with the file, by line.
#[derive(Default)]
struct Problems {
    skipped: Vec<(u64, String)>,
    missing: Vec<(u64, String)>,
}

/// Events as columns, and the line of each.
struct Events {
    lines: Vec<u64>,
    keys: Vec<RecordId>,
    times: Vec<Timestamp>,
    known: Vec<Timestamp>,
    deletions: Vec<bool>,
    features: Vec<(String, Vec<Value>)>,
}

impl Import {
    pub(crate) fn run(self) -> Result<()> {
        let bytes = read(&self.file)?;
        let digest = Sha256::digest(&bytes);
        let (file, store) = change(&self.db)?;
        let view = store.view(&self.view)?;
        let mut problems = Problems::default();
        let mut unused = Vec::new();
        let events = self.read(&view, bytes, &mut problems, &mut unused)?;
        if self.on_invalid == Policy::Refuse && !problems.skipped.is_empty() {
            return Err(self.refusal(&problems));
        }
        let version = format!("sha256:{}", hex::encode(digest));
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let source = LineageNode::new(NodeKind::Source, name.as_ref(), version);
        let report = self.ingest(&view, &events, source, &mut problems)?;
        if report.events > 0 {
            file.save()?;
        }
        self.report(&view, &report, &mut problems, &unused)
    }

    /// The file's name of a feature or a key column.
    fn column_of<'a>(&'a self, name: &'a str) -> &'a str {
        let renamed = self.columns.iter().find(|(feature, _)| feature == name);
        renamed.map_or(name, |(_, column)| column)
    }

    /// Reads the events of the file that have a key and times.
    fn read(
        &self,
        view: &FeatureView,
        bytes: Vec<u8>,
        problems: &mut Problems,
        unused: &mut Vec<String>,
    ) -> Result<Events> {
        let (entity, definition) = (view.entity(), view.definition());
        for (name, _) in &self.columns {
            if !entity.keys.iter().any(|key| key.name == *name) {
                definition
                    .position(name)
                    .map_err(|error| error.at("--column"))?;
            }
        }
        let keys = entity
            .keys
            .iter()
            .map(|key| self.column_of(&key.name).to_owned());
        let options = Options {
            key: keys.collect(),
            nulls: self.nulls.clone(),
            delimiter: self.delimiter,
            quoted_empty: true,
            ..Options::default()
        };
        let mut features = Vec::new();
        let mut first = Vec::new();
        let mut choose = |names: &[String]| {
            first = self.wanted_first(entity, names);
            let mut wanted = first.clone();
            for field in &definition.features {
                let column = self.column_of(&field.name);
                let is_named = column != field.name.as_str();
                if is_named || names.iter().any(|name| name == column) {
                    wanted.push(wanted_as(column, field.ty.clone()));
                    features.push(field.name.to_string());
                }
            }
            if features.is_empty() && !self.has_deletions(names) {
                return Err(Error::invalid(format!(
                    "no column is a feature of view `{}`; its columns are {}. Say which is one by --column \
                     FEATURE=COLUMN",
                    view.name(),
                    names.join(", ")
                )));
            }
            let others = names
                .iter()
                .filter(|name| wanted.iter().all(|w| w.column != **name));
            unused.extend(others.cloned());
            Ok(wanted)
        };
        let name = self.file.display().to_string();
        let progress = Progress::rows(&format!("reading {name}"));
        let columns = load_columns(&name, bytes, &options, &mut choose, &mut |rows| {
            progress.tick(rows);
        })?;
        Ok(self.events(entity, columns, (&first, features), problems))
    }

    /// Whether a file with these columns says which events are deletions.
    fn has_deletions(&self, names: &[String]) -> bool {
        names.iter().any(|name| name == DELETED_COLUMN)
            && (self.columns.iter()).all(|(_, column)| column != DELETED_COLUMN)
    }

    /// The columns before the features: key, time of event, time of knowledge, mark of deletions.
    fn wanted_first(&self, entity: &Entity, names: &[String]) -> Vec<Wanted> {
        let keys = entity.keys.iter();
        let mut wanted: Vec<Wanted> = keys
            .map(|key| wanted_as(self.column_of(&key.name), key.ty.clone()))
            .collect();
        let event = self.at.is_none().then_some(&self.event_time);
        for column in event.into_iter().chain(&self.known_at) {
            wanted.push(wanted_as(column, FieldType::Timestamp));
        }
        if self.has_deletions(names) {
            wanted.push(wanted_as(DELETED_COLUMN, FieldType::Bool));
        }
        wanted
    }

    fn events(
        &self,
        entity: &Entity,
        read: Columns,
        (first, features): (&[Wanted], Vec<String>),
        problems: &mut Problems,
    ) -> Events {
        // Why each row that is left out is.
        let mut out: BTreeMap<usize, String> = BTreeMap::new();
        for refusal in &read.refusals {
            problems.skipped.push((refusal.line, refusal.to_string()));
        }
        let mut missing = Vec::new();
        for (row, column, refusal) in &read.wrong {
            if *column >= first.len() && self.on_invalid == Policy::Missing {
                missing.push((*row, refusal.line, refusal.to_string()));
            } else {
                out.entry(*row).or_insert_with(|| refusal.to_string());
            }
        }
        // Key and times: a row without one of them is no event. One without the mark of deletions is none of these.
        let own = entity.keys.len()
            + usize::from(self.at.is_none())
            + usize::from(self.known_at.is_some());
        for (column, wanted) in read.columns.iter().zip(first).take(own) {
            for (row, value) in column.iter().enumerate() {
                if value.is_null() {
                    let line = read.lines.get(row).copied().unwrap_or_default();
                    let empty = || format!("line {line}, column `{}`: is empty", wanted.column);
                    out.entry(row).or_insert_with(empty);
                }
            }
        }
        missing.retain(|(row, _, _)| !out.contains_key(row));
        let missing = missing.into_iter().map(|(_, line, text)| (line, text));
        problems.missing.extend(missing);
        let mut columns = read.columns.into_iter().map(|values| {
            let kept = values.into_iter().enumerate();
            let kept = kept.filter(|(row, _)| !out.contains_key(row));
            kept.map(|(_, value)| value).collect::<Vec<Value>>()
        });
        let key_columns: Vec<Vec<Value>> = columns.by_ref().take(entity.keys.len()).collect();
        let times = |values: Vec<Value>| {
            let time = |value| match value {
                Value::Timestamp(time) => Some(time),
                _ => None,
            };
            values.into_iter().filter_map(time).collect::<Vec<_>>()
        };
        let event = self.at.is_none().then(|| columns.next()).flatten();
        let known = self.known_at.is_some().then(|| columns.next()).flatten();
        let marks = (first.len() > own).then(|| columns.next()).flatten();
        let marks = marks.unwrap_or_default().into_iter();
        let features = features.into_iter().zip(columns.by_ref()).collect();
        drop(columns);
        let lines = read.lines.iter().copied().enumerate();
        let lines: Vec<u64> = lines
            .filter(|(row, _)| !out.contains_key(row))
            .map(|(_, line)| line)
            .collect();
        let key = |row: usize| {
            let values = key_columns
                .iter()
                .filter_map(|column| column.get(row).cloned());
            RecordId::composite(values)
        };
        let keys = (0..lines.len()).map(key).collect();
        for (row, text) in out {
            let line = read.lines.get(row).copied().unwrap_or_default();
            problems.skipped.push((line, text));
        }
        Events {
            keys,
            times: times(event.unwrap_or_default()),
            known: times(known.unwrap_or_default()),
            deletions: marks.map(|mark| mark == Value::Bool(true)).collect(),
            features,
            lines,
        }
    }

    fn ingest(
        &self,
        view: &FeatureView,
        events: &Events,
        source: LineageNode,
        problems: &mut Problems,
    ) -> Result<Ingested> {
        let _progress = Progress::stage(&format!("importing {} events", events.lines.len()));
        let at = self.at.unwrap_or_default();
        let mut batch = FeatureBatch::new(&events.keys, at).source("import", source, []);
        if self.at.is_none() {
            batch = batch.at(&events.times);
        }
        if self.known_at.is_some() {
            batch = batch.known(Times::Each(&events.known));
        }
        if !events.deletions.is_empty() {
            batch = batch.deletions(&events.deletions);
        }
        for (feature, values) in &events.features {
            batch = batch.column(feature.as_str(), Column::Values(values));
        }
        let refused = match view.ingest(&batch, self.on_invalid.on_invalid()) {
            Ok(report) => {
                add_problems(problems, &report, &events.lines);
                return Ok(report);
            }
            Err(error) => error,
        };
        if self.on_invalid == Policy::Refuse {
            // In memory alone, to find all lines that are wrong: the file is not saved.
            let report = view.ingest(&batch, OnInvalid::Skip)?;
            if !report.skipped.is_empty() {
                add_problems(problems, &report, &events.lines);
                return Err(self.refusal(problems));
            }
        }
        Err(refused.at(self.file.display()))
    }

    /// Why nothing is imported.
    fn refusal(&self, problems: &Problems) -> Error {
        let mut lines = shown(&problems.skipped, &self.file.display().to_string());
        lines.push(
            "remedy: correct the file; or give --null with a text to read as empty, --on-invalid skip to leave these \
             events out, or --on-invalid missing to take wrong values as missing"
                .to_owned(),
        );
        lines.push(format!(
            "nothing was imported; {} is as it was",
            self.db.display()
        ));
        Error::invalid(lines.join("\n"))
    }

    fn report(
        &self,
        view: &FeatureView,
        report: &Ingested,
        problems: &mut Problems,
        unused: &[String],
    ) -> Result<()> {
        let file = self.file.display().to_string();
        problems.skipped.sort();
        problems.missing.sort();
        let (skipped, missing) = (problems.skipped.len(), problems.missing.len());
        if self.json {
            let first = |problems: &[(u64, String)]| {
                let first = problems.iter().take(PROBLEMS_SHOWN);
                let first =
                    first.map(|(line, message)| json!({ "line": line, "message": message }));
                first.collect::<Vec<_>>()
            };
            return print_json(&json!({
                "file": file, "db": self.db, "view": view.name(), "version": view.version(), "events": report.events,
                "unchanged": report.unchanged, "skipped": skipped, "missing": missing,
                "skipped_first": first(&problems.skipped), "missing_first": first(&problems.missing),
                "columns_not_used": unused, "seq": report.seq,
            }));
        }
        for (what, problems) in [
            (format!("left out {skipped} events"), &problems.skipped),
            (
                format!("took {missing} values as missing"),
                &problems.missing,
            ),
        ] {
            if !problems.is_empty() {
                let lines = shown(problems, &file).join("\n  ");
                // The result stands on standard output, whoever reads this.
                let _ = writeln!(stderr(), "{what}:\n  {lines}");
            }
        }
        let mut out = output();
        if !unused.is_empty() {
            writeln!(out, "columns not used: {}", printable(&unused.join(", ")))?;
        }
        writeln!(
            out,
            "{} events imported, {} unchanged, {skipped} left out, {missing} values missing; {} has {} events of {} \
             entities",
            report.events,
            report.unchanged,
            view.name(),
            view.len(),
            view.entities()
        )?;
        Ok(())
    }
}

fn wanted_as(column: &str, ty: FieldType) -> Wanted {
    Wanted {
        column: column.to_owned(),
        ty,
    }
}

/// Adds what a view said of events, by their lines.
fn add_problems(problems: &mut Problems, report: &Ingested, lines: &[u64]) {
    let line = |at: usize| lines.get(at).copied().unwrap_or_default();
    for (at, error) in &report.skipped {
        // The place in the batch is known as the line.
        let message = error.message();
        let message = message.split_once(": ").map_or(message, |(_, rest)| rest);
        let line = line(*at);
        problems
            .skipped
            .push((line, format!("line {line}: {message}")));
    }
    for (at, feature, message) in &report.missing {
        let line = line(*at);
        problems
            .missing
            .push((line, format!("line {line}, feature `{feature}`: {message}")));
    }
}

/// The first problems in the order of lines, and how many more there are.
fn shown(problems: &[(u64, String)], file: &str) -> Vec<String> {
    let mut sorted: Vec<&(u64, String)> = problems.iter().collect();
    sorted.sort();
    let first = sorted.iter().take(PROBLEMS_SHOWN);
    let mut lines: Vec<String> = first
        .map(|(_, text)| format!("{file}, {}", printable(text)))
        .collect();
    if sorted.len() > PROBLEMS_SHOWN {
        lines.push(format!("and {} more", sorted.len() - PROBLEMS_SHOWN));
    }
    lines
}
