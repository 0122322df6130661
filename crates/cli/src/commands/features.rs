//! `tandem features`: the feature store of a database file.

mod apply;
mod describe;
mod export;
mod forget;
mod get;
mod history;
mod import;
mod key;
mod lineage;
mod list;
mod table;
mod tag;
mod training_set;
mod why;

use std::io::Write as _;
use std::path::Path;

use ::import::value_to_type;
use clap::{Args, Subcommand};
use common::schema::FieldType;
use common::{Error, Result, Timestamp, Value};
use durable::DatabaseFile;
use serde::Serialize;
use vectordb::feature::{AsOf, FeatureStore};

use crate::source::missing;
use crate::terminal::output;

/// Declare, fill, read and export the feature views of a database file
///
/// A key is the value of an entity's key column; of an entity with several, their values in order, separated by
/// commas. A time is written as 2026-11-22T08:30:00Z, or as a date, which stands for its first moment in UTC.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem features apply shop.tdb features.json --dry-run\n  \
    tandem features import shop.tdb rides rides.csv --event-time at --on-invalid skip\n  \
    tandem features get shop.tdb rides 7 8 --as-of 2026-11-22\n  \
    tandem features why shop.tdb rides mean_fare 7\n  \
    tandem features training-set shop.tdb labels.csv --features rides:mean_fare,rides:count_7d \\\n      \
        --event-time at --output train.parquet\n  \
    tandem features export shop.tdb rides rides.parquet")]
pub(crate) struct Features {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Apply(apply::Apply),
    Import(import::Import),
    List(list::List),
    Describe(describe::Describe),
    Get(get::Get),
    History(history::History),
    Why(why::Why),
    Tag(tag::Tag),
    Forget(forget::Forget),
    Lineage(lineage::Lineage),
    TrainingSet(training_set::TrainingSet),
    Export(export::Export),
}

impl Features {
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::Apply(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::List(command) => command.run(),
            Command::Describe(command) => command.run(),
            Command::Get(command) => command.run(),
            Command::History(command) => command.run(),
            Command::Why(command) => command.run(),
            Command::Tag(command) => command.run(),
            Command::Forget(command) => command.run(),
            Command::Lineage(command) => command.run(),
            Command::TrainingSet(command) => command.run(),
            Command::Export(command) => command.run(),
        }
    }
}

/// The store in a database file, to read.
fn open(db: &Path) -> Result<FeatureStore> {
    let database = durable::open(db)?;
    FeatureStore::open(&database).map_err(|error| error.at(db.display()))
}

/// The store in a database file that is there, to change; what is changed is in the file once that is saved.
fn change(db: &Path) -> Result<(DatabaseFile, FeatureStore)> {
    std::fs::File::open(db).map_err(|error| missing(db, error))?;
    change_or_create(db)
}

fn change_or_create(db: &Path) -> Result<(DatabaseFile, FeatureStore)> {
    let file = DatabaseFile::open_or_create(db)?;
    let store = FeatureStore::open(file.database()).map_err(|error| error.at(db.display()))?;
    Ok((file, store))
}

/// Reads a time of the command line.
fn time(text: &str) -> Result<Timestamp, String> {
    match value_to_type(&Value::from(text), &FieldType::Timestamp)? {
        Value::Timestamp(time) => Ok(time),
        other => Err(format!("expected a time, found {other}")),
    }
}

/// As of when a read sees.
#[derive(Debug, Args)]
struct When {
    /// What had happened by then; now if not given
    #[arg(long, value_name = "TIME", value_parser = time)]
    as_of: Option<Timestamp>,
    /// Only what had become known by then
    #[arg(long, value_name = "TIME", value_parser = time)]
    known_at: Option<Timestamp>,
    /// As of what a tag names
    #[arg(long, value_name = "NAME", conflicts_with = "as_of")]
    tag: Option<String>,
}

impl When {
    fn as_of(&self, store: &FeatureStore) -> Result<AsOf> {
        let as_of = match (&self.tag, self.as_of) {
            (Some(tag), _) => store.tagged(tag)?,
            (None, Some(time)) => AsOf::event(time),
            (None, None) => store.now(),
        };
        Ok(match self.known_at {
            Some(known) => as_of.known(known),
            None => as_of,
        })
    }
}

/// Prints something as JSON, with lines and indentation.
fn print_json(value: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Error::invalid(error.to_string()))?;
    writeln!(output(), "{text}")?;
    Ok(())
}

/// Text from a file on one line of the terminal, without what would steer it.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
