//! `PouchDB` and `RxDB`: scripts in `node/`, which get the same rows in a file and report on their output.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bench::Result;
use bench::mobile::{Mobile, MobileTable};
use common::Value;
use serde_json::{Map, Value as Json, json};

use crate::Figures;
use crate::course::Course;
use crate::subject::{Cell, Change, Traffic, cell, key_text};

const SCRIPTS: [(&str, &str); 2] = [("pouchdb", "pouchdb.mjs"), ("rxdb", "rxdb.mjs")];

/// Beyond this the documents of both sides and of the file do not fit a process of Node.js in reasonable time.
const MEGABYTES_MAX: usize = 10;

/// Runs every script; what could not be run is said in the notes that come back.
pub(crate) fn run(course: &Course, megabytes: usize, figures: &mut Figures) -> Result<Vec<String>> {
    if megabytes > MEGABYTES_MAX {
        return Ok(vec![format!(
            "pouchdb and rxdb were not run at {megabytes} MB, only up to {MEGABYTES_MAX}"
        )]);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    if let Err(error) = install(&folder) {
        return Ok(vec![format!("pouchdb and rxdb were not run: {error}")]);
    }
    let file = write(course, megabytes)?;
    let mut notes = Vec::new();
    for (name, script) in SCRIPTS {
        writeln!(io::stderr(), "  {name}")?;
        match measure(&folder, script, &file) {
            Ok(lines) => lines
                .iter()
                .try_for_each(|line| take(name, line, figures))?,
            Err(error) => notes.push(format!("{name} was not run at {megabytes} MB: {error}")),
        }
    }
    fs::remove_file(file)?;
    Ok(notes)
}

fn install(folder: &Path) -> Result<()> {
    if folder.join("node_modules/rxdb").exists() {
        return Ok(());
    }
    writeln!(io::stderr(), "  npm installs pouchdb and rxdb")?;
    let status = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("npm does not start: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("npm could not install them".into())
    }
}

fn measure(folder: &Path, script: &str, file: &Path) -> Result<Vec<Json>> {
    let output = Command::new("node")
        .args(["--max-old-space-size=4096", script])
        .arg(file)
        .current_dir(folder)
        .output()
        .map_err(|error| format!("node does not start: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let line = error.lines().find(|line| line.contains("Error"));
        return Err(line.unwrap_or("the script failed").to_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().filter(|line| line.starts_with('{'));
    Ok(lines
        .map(serde_json::from_str)
        .collect::<std::result::Result<_, _>>()?)
}

fn take(name: &str, line: &Json, figures: &mut Figures) -> Result<()> {
    const CASES: [&str; 6] = [
        "initial",
        "increment-350",
        "increment-1pct",
        "insert-50",
        "delete-10",
        "nothing-new",
    ];
    let case = line["case"].as_str().unwrap_or_default();
    let case = CASES.into_iter().find(|known| *known == case);
    let case = case.ok_or("the script reports a case that is none")?;
    let whole = |key: &str| line[key].as_u64().unwrap_or_default();
    let traffic = Traffic {
        up: 0,
        down: whole("bytes"),
        round_trips: whole("round_trips"),
    };
    figures.traffic(case, name, traffic);
    let seconds = |key: &str| Duration::from_secs_f64(line[key].as_f64().unwrap_or_default());
    figures.times(case, name, seconds("seconds"), seconds("processor_seconds"));
    Ok(())
}

/// Writes all steps for the scripts.
fn write(course: &Course, megabytes: usize) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("tandemdb-bench-{megabytes}.jsonl"));
    let mut out = BufWriter::new(fs::File::create(&path)?);
    let all = course.data.tables.iter().flat_map(|table| {
        let rows = table.rows.iter();
        rows.map(|row| document(table, row))
    });
    line(&mut out, "initial", &all.collect::<Vec<_>>(), &[])?;
    let mut before = &course.data;
    for step in &course.steps {
        let (put, gone) = match &step.change {
            None => (Vec::new(), Vec::new()),
            Some(change) => parts(before, &step.after, change),
        };
        line(&mut out, step.case, &put, &gone)?;
        before = &step.after;
    }
    out.flush()?;
    Ok(path)
}

fn line(out: &mut impl Write, case: &str, put: &[Json], gone: &[String]) -> Result<()> {
    serde_json::to_writer(&mut *out, &json!({"case": case, "put": put, "gone": gone}))?;
    writeln!(out)?;
    Ok(())
}

fn parts(before: &Mobile, after: &Mobile, change: &Change) -> (Vec<Json>, Vec<String>) {
    match change {
        Change::Edits(edits) => {
            let put = edits.iter().map(|edit| {
                let table = &after.tables[edit.table];
                document(table, &table.rows[edit.row])
            });
            (put.collect(), Vec::new())
        }
        Change::Inserts(rows) => {
            let put = rows
                .iter()
                .map(|(table, row)| document(&after.tables[*table], row));
            (put.collect(), Vec::new())
        }
        Change::Deletes(keys) => {
            let gone = keys
                .iter()
                .map(|(table, key)| id(&before.tables[*table], key));
            (Vec::new(), gone.collect())
        }
    }
}

fn id(table: &MobileTable, key: &[Value]) -> String {
    format!("{}:{}", table.schema.name, key_text(key))
}

/// A row with its table in one object; bytes of identifiers as text, as documents have them.
fn document(table: &MobileTable, row: &[Value]) -> Json {
    let mut columns = Map::new();
    let key = &row[..table.schema.key_columns];
    columns.insert("id".to_owned(), id(table, key).into());
    columns.insert("table".to_owned(), table.schema.name.as_str().into());
    for (field, value) in table.schema.fields.iter().zip(row).skip(key.len()) {
        let json = match (value, cell(value)) {
            (Value::Uuid(uuid), _) => uuid.to_string().into(),
            (_, Cell::Null) => Json::Null,
            (_, Cell::Bool(value)) => value.into(),
            (_, Cell::Int(value)) => value.into(),
            (_, Cell::Float(value)) => value.into(),
            (_, Cell::Text(value)) => value.into(),
            (_, Cell::Bytes(bytes)) => bytes.into(),
        };
        columns.insert(field.name.to_string(), json);
    }
    Json::Object(columns)
}
