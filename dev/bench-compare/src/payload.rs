//! How few bytes rows take, how fast they are packed and read, and how filters on a block compare with reading it.
//!
//! One set of rows for all: `bench::mobile`. Every block is read back and compared with the rows before its figures
//! count; rivals start from bytes that are written already, so that only their compression is timed.

mod rivals;

use std::collections::BTreeMap;
use std::time::Duration;

use bench::Result;
use bench::clock::Stopwatch;
use bench::mobile::{Mobile, MobileTable};
use bench::report::{Better, Figure, Report, Target};
use common::query::Filter;
use common::{Limits, Value};
use syncdb::payload::{Block, Column, Level, Shared, SharedDictionary, pack, unpack_all};

const OURS: &str = "tandemdb";
const PARQUET: &str = "parquet, zstd 9, delta and byte-stream-split";
const JSON_ZSTD_3: &str = "json, zstd 3";
const JSON_ZSTD_9: &str = "json, zstd 9";
const JSON_BROTLI: &str = "json, brotli 11";
const JSON_DICTIONARY: &str = "json, zstd 19, dictionary of 110 KB";
const DECODED: &str = "tandemdb, decode then filter";
/// What a dictionary for texts may take: zstd's own default.
const DICTIONARY_BYTES: usize = 110 << 10;
const SEED: u64 = 1;

const fn target(
    case: &'static str,
    metric: &'static str,
    rival: Option<&'static str>,
    bound: f64,
) -> Target {
    Target {
        case,
        metric,
        rival,
        bound,
    }
}

/// What the project means to reach.
pub(crate) const TARGETS: [Target; 12] = [
    target("full-balanced", "bytes", Some(PARQUET), 0.75),
    target("full-balanced", "bytes", Some(JSON_ZSTD_9), 0.64),
    target("full-balanced", "pack_rate", None, 80.0),
    target("full-balanced", "unpack_rate", None, 1_000.0),
    target("full-fast", "bytes", Some(JSON_ZSTD_3), 0.60),
    target("full-fast", "pack_rate", None, 180.0),
    target("full-fast", "unpack_rate", None, 1_000.0),
    target("full-small", "bytes", Some(JSON_BROTLI), 0.72),
    target("full-small", "pack_rate", None, 2.0),
    target("full-small", "unpack_rate", None, 1_000.0),
    target("batch", "bytes", Some(JSON_DICTIONARY), 0.60),
    target("batch", "microseconds", None, 50.0),
];

/// Name of our subject in the report.
pub(crate) const SUBJECT: &str = OURS;

/// Runs everything on `json_bytes` of rows, each timed step `rounds` times.
pub(crate) fn run(json_bytes: usize, rounds: usize, report: &mut Report) -> Result<()> {
    let data = Mobile::generate(json_bytes, SEED)?;
    let size = format!("{}MB", json_bytes / 1_000_000);
    full(&data, &size, rounds, report)?;
    batches(&data, rounds, report)?;
    increment(&data, &size, report)?;
    filters(&data, &size, rounds, report)
}

fn push(report: &mut Report, case: &str, subject: &str, metric: &'static str, values: &[f64]) {
    let (unit, better) = match metric {
        "bytes" => ("bytes", Better::Lower),
        "microseconds" => ("µs", Better::Lower),
        _ => ("MB of JSON a second", Better::Higher),
    };
    report.push(Figure {
        case: case.to_owned(),
        subject: subject.to_owned(),
        metric,
        unit,
        better,
        detail: false,
        series: values.iter().copied().collect(),
    });
}

#[expect(clippy::cast_precision_loss, reason = "sizes are below 2^53")]
const fn number(count: usize) -> f64 {
    count as f64
}

/// Does something `rounds` times; what it gave and how long each took.
fn timed<T>(rounds: usize, mut work: impl FnMut() -> Result<T>) -> Result<(T, Vec<f64>)> {
    let mut seconds = Vec::new();
    loop {
        let stopwatch = Stopwatch::start();
        let result = work()?;
        let elapsed: Duration = stopwatch.elapsed().processor;
        seconds.push(elapsed.as_secs_f64());
        if seconds.len() >= rounds {
            return Ok((result, seconds));
        }
    }
}

fn rates(json: usize, seconds: &[f64]) -> Vec<f64> {
    seconds.iter().map(|s| number(json) / 1e6 / s).collect()
}

fn check(table: &MobileTable, found: &[Column]) -> Result<()> {
    let same = table.columns().iter().zip(found).all(|(expected, found)| {
        let found = found.to_values();
        expected.len() == found.len() && expected.iter().zip(&found).all(|(a, b)| same(a, b))
    });
    if same && found.len() == table.schema.fields.len() {
        Ok(())
    } else {
        Err(format!("the rows of {} do not come back", table.schema.name).into())
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a.kind() == b.kind() && a == b,
    }
}

/// The rows in formats of others, not compressed yet, and the length of the Parquet files, which are.
struct Written {
    json: Vec<u8>,
    message_pack: Vec<u8>,
    protobuf: Vec<u8>,
    arrow: Vec<u8>,
    parquet: usize,
}

impl Written {
    fn new(data: &Mobile) -> Result<Self> {
        let each = |make: fn(&MobileTable) -> Result<Vec<u8>>| -> Result<Vec<u8>> {
            let tables = data.tables.iter().map(make);
            Ok(tables.collect::<Result<Vec<_>>>()?.concat())
        };
        let mut parquet = 0;
        for table in &data.tables {
            let file = rivals::parquet(table)?;
            if rivals::read_parquet(table, &file)? != table.rows {
                return Err(format!("Parquet does not give back {}", table.schema.name).into());
            }
            parquet += file.len();
        }
        Ok(Self {
            json: data.json()?,
            message_pack: each(rivals::message_pack)?,
            protobuf: each(rivals::protobuf)?,
            arrow: each(rivals::arrow)?,
            parquet,
        })
    }

    /// Those that a level is compared with, and how many bytes each takes.
    fn beside(&self, level: Level) -> Result<Vec<(&'static str, usize)>> {
        let zstd = |bytes: &[u8], level| rivals::zstd(bytes, level).map(|packed| packed.len());
        Ok(match level {
            Level::None => vec![("json", self.json.len())],
            Level::Fast => vec![
                (JSON_ZSTD_3, zstd(&self.json, 3)?),
                ("json, gzip 6", rivals::gzip(&self.json)?.len()),
                ("messagepack, zstd 3", zstd(&self.message_pack, 3)?),
                ("protobuf, zstd 3", zstd(&self.protobuf, 3)?),
                ("arrow ipc, zstd 3", zstd(&self.arrow, 3)?),
            ],
            Level::Balanced => vec![
                (PARQUET, self.parquet),
                (JSON_ZSTD_9, zstd(&self.json, 9)?),
                ("messagepack, zstd 9", zstd(&self.message_pack, 9)?),
                ("protobuf, zstd 9", zstd(&self.protobuf, 9)?),
                ("arrow ipc, zstd 9", zstd(&self.arrow, 9)?),
            ],
            Level::Small => vec![
                (JSON_BROTLI, rivals::brotli(&self.json)?.len()),
                ("json, zstd 19", zstd(&self.json, 19)?),
            ],
        })
    }
}

fn full(data: &Mobile, size: &str, rounds: usize, report: &mut Report) -> Result<()> {
    let written = Written::new(data)?;
    let json = written.json.as_slice();
    let by_type = |table: &MobileTable| -> Vec<Column> {
        let columns = table.columns();
        columns
            .iter()
            .map(|values| Column::from_values(values))
            .collect()
    };
    let columns: Vec<Vec<Column>> = data.tables.iter().map(by_type).collect();
    for level in Level::ALL {
        let case = format!("full-{level}@{size}");
        let packing = if level == Level::Small { 1 } else { rounds };
        let (blocks, seconds) = timed(packing, || {
            let blocks = columns.iter().map(|columns| pack(columns, level, None));
            Ok(blocks.collect::<common::Result<Vec<_>>>()?)
        })?;
        for (table, block) in data.tables.iter().zip(&blocks) {
            check(table, &unpack_all(block, &Limits::default(), None)?)?;
        }
        let bytes = number(blocks.iter().map(Vec::len).sum());
        push(report, &case, OURS, "bytes", &[bytes]);
        for (subject, bytes) in written.beside(level)? {
            push(report, &case, subject, "bytes", &[number(bytes)]);
        }
        let rate = rates(json.len(), &seconds);
        push(report, &case, OURS, "pack_rate", &rate);
        let rival = match level {
            Level::Fast => Some((JSON_ZSTD_3, 3)),
            Level::Balanced => Some((JSON_ZSTD_9, 9)),
            Level::None | Level::Small => None,
        };
        if let Some((subject, zstd)) = rival {
            let (_, seconds) = timed(rounds, || rivals::zstd(json, zstd))?;
            push(
                report,
                &case,
                subject,
                "pack_rate",
                &rates(json.len(), &seconds),
            );
        }
        let (_, seconds) = timed(rounds, || {
            let read = blocks.iter();
            let read = read.map(|block| unpack_all(block, &Limits::default(), None));
            Ok(read.collect::<common::Result<Vec<_>>>()?)
        })?;
        push(
            report,
            &case,
            OURS,
            "unpack_rate",
            &rates(json.len(), &seconds),
        );
    }
    Ok(())
}

/// A table's rows before and after the point up to which dictionaries learn.
fn split(table: &MobileTable) -> (&[Vec<Value>], &[Vec<Value>]) {
    table.rows.split_at(table.rows.len() / 10 * 8)
}

fn by_column(rows: &[Vec<Value>], columns: &[usize]) -> Vec<Column> {
    let values = |column: &usize| {
        let values = rows.iter().filter_map(|row| row.get(*column).cloned());
        Column::from_values(&values.collect::<Vec<_>>())
    };
    columns.iter().map(values).collect()
}

/// Learns from the first rows, packs the later ones.
fn train(table: &MobileTable) -> Result<SharedDictionary> {
    let all: Vec<usize> = (0..table.schema.fields.len()).collect();
    Ok(SharedDictionary::train(
        &by_column(split(table).0, &all),
        DICTIONARY_BYTES,
    )?)
}

fn batches(data: &Mobile, rounds: usize, report: &mut Report) -> Result<()> {
    let dictionaries: Vec<SharedDictionary> =
        data.tables.iter().map(train).collect::<Result<_>>()?;
    let mut theirs = Vec::new();
    for table in &data.tables {
        let samples: Vec<Vec<u8>> = split(table)
            .0
            .chunks(24)
            .map(|rows| rivals::json_rows(table, rows))
            .collect::<Result<_>>()?;
        theirs.push(zstd::dict::from_samples(&samples, DICTIONARY_BYTES)?);
    }
    for kilobytes in [1, 2, 5, 10, 20] {
        let case = format!("batch@{kilobytes}KB");
        let (mut ours, mut json, mut packed_json, mut count) = (0, 0, 0, 0_usize);
        let mut each = Vec::new();
        for ((table, dictionary), theirs) in data.tables.iter().zip(&dictionaries).zip(&theirs) {
            let later = split(table).1;
            let row_bytes = (rivals::json_rows(table, later)?.len() / later.len()).max(1);
            let rows = (kilobytes * 1_000 / row_bytes).max(1);
            let all: Vec<usize> = (0..table.schema.fields.len()).collect();
            let mut compressor = zstd::bulk::Compressor::with_dictionary(19, theirs)?;
            for batch in later.chunks_exact(rows).take(60) {
                let columns = by_column(batch, &all);
                let shared = Some(Shared::new(dictionary));
                let (block, seconds) = timed(rounds, || Ok(pack(&columns, Level::Fast, shared)?))?;
                let part = MobileTable {
                    schema: table.schema.clone(),
                    rows: batch.to_vec(),
                };
                check(
                    &part,
                    &unpack_all(&block, &Limits::default(), Some(dictionary))?,
                )?;
                let raw = rivals::json_rows(table, batch)?;
                ours += block.len();
                json += raw.len();
                packed_json += compressor.compress(&raw)?.len();
                count += 1;
                let mut seconds = seconds;
                seconds.sort_by(f64::total_cmp);
                each.push(seconds.get(seconds.len() / 2).copied().unwrap_or_default() * 1e6);
            }
        }
        let mean = |bytes: usize| [number(bytes) / number(count)];
        push(report, &case, OURS, "bytes", &mean(ours));
        push(report, &case, JSON_DICTIONARY, "bytes", &mean(packed_json));
        push(report, &case, "json", "bytes", &mean(json));
        push(report, &case, OURS, "microseconds", &each);
    }
    Ok(())
}

/// A row's number and the new values of some of its columns.
type NewValues = (usize, Vec<Value>);

fn increment(data: &Mobile, size: &str, report: &mut Report) -> Result<()> {
    let case = format!("increment@{size}");
    let increment = data.increment(350, SEED + 1)?;
    let dictionaries: Vec<SharedDictionary> =
        data.tables.iter().map(train).collect::<Result<_>>()?;
    // Rows of one table with the same columns go into one block.
    let mut groups: BTreeMap<(usize, Vec<usize>), Vec<NewValues>> = BTreeMap::new();
    for edit in &increment.edits {
        let columns = edit.columns.iter().map(|(column, _)| *column).collect();
        let values = edit
            .columns
            .iter()
            .map(|(_, value)| value.clone())
            .collect();
        groups
            .entry((edit.table, columns))
            .or_default()
            .push((edit.row, values));
    }
    let (mut ours, mut by_reference) = (0, 0);
    for ((number_of_table, columns), edits) in &groups {
        let (Some(table), Some(dictionary)) = (
            data.tables.get(*number_of_table),
            dictionaries.get(*number_of_table),
        ) else {
            continue;
        };
        let key: Vec<usize> = (0..table.schema.key_columns).collect();
        let changed: Vec<Vec<Value>> = edits.iter().map(|(_, values)| values.clone()).collect();
        let values = by_column(&changed, &(0..columns.len()).collect::<Vec<_>>());
        let rows: Vec<Vec<Value>> = edits
            .iter()
            .filter_map(|(row, _)| table.rows.get(*row).cloned())
            .collect();
        let mut with_keys = by_column(&rows, &key);
        with_keys.extend(values.iter().cloned());
        let positions: Vec<usize> = key.iter().chain(columns).copied().collect();
        let shared = Some(Shared::of_columns(dictionary, &positions));
        let block = pack(&with_keys, Level::Balanced, shared)?;
        let read = Block::open(&block, &Limits::default(), shared)?.decode()?;
        let same = read
            .iter()
            .zip(&with_keys)
            .all(|(a, b)| a.to_values() == b.to_values());
        if !same {
            return Err(format!("changes of {} do not come back", table.schema.name).into());
        }
        ours += block.len();
        let references: Vec<Value> = edits
            .iter()
            .map(|(row, _)| Value::Int(i64::try_from(*row).unwrap_or_default()))
            .collect();
        let mut by_position = vec![Column::from_values(&references)];
        by_position.extend(values);
        let positions: Vec<usize> = std::iter::once(usize::MAX)
            .chain(columns.iter().copied())
            .collect();
        let shared = Some(Shared::of_columns(dictionary, &positions));
        by_reference += pack(&by_position, Level::Balanced, shared)?.len();
    }
    let json = increment.json(data)?;
    push(report, &case, OURS, "bytes", &[number(ours)]);
    push(
        report,
        &case,
        "tandemdb, rows by number",
        "bytes",
        &[number(by_reference)],
    );
    push(
        report,
        &case,
        "json, zstd 19",
        "bytes",
        &[number(rivals::zstd(&json, 19)?.len())],
    );
    push(report, &case, "json", "bytes", &[number(json.len())]);
    Ok(())
}

fn filters(data: &Mobile, size: &str, rounds: usize, report: &mut Report) -> Result<()> {
    let questions = [
        ("tasks", "equal", Filter::eq("state", "waiting")),
        (
            "messages",
            "equal-rare",
            Filter::eq("channel", "channel-039"),
        ),
        (
            "readings",
            "range",
            Filter::between("temperature", 21.5, 21.6),
        ),
        ("messages", "range-of-key", Filter::lt("id", 48_210_100)),
        ("messages", "pruned", Filter::lt("id", 5)),
        (
            "tasks",
            "both",
            Filter::eq("project", "project 3").and(Filter::is_null("assignee")),
        ),
    ];
    for (name, case, filter) in questions {
        let Some(table) = data.tables.iter().find(|table| table.schema.name == name) else {
            return Err(format!("there is no table {name}").into());
        };
        let columns: Vec<Column> = table
            .columns()
            .iter()
            .map(|c| Column::from_values(c))
            .collect();
        let bytes = pack(&columns, Level::Balanced, None)?;
        let (found, on_block) = timed(rounds, || {
            let block = Block::open(&bytes, &Limits::default(), None)?;
            let rows = block.filter(&filter, &table.schema)?;
            let key: Vec<usize> = (0..table.schema.key_columns).collect();
            Ok(if rows.is_empty() {
                (rows, Vec::new())
            } else {
                let read = block.columns_at(&rows, &key)?;
                (rows, read)
            })
        })?;
        let predicate = filter.compile(&table.schema)?;
        let (expected, decoding) = timed(rounds, || {
            let columns = unpack_all(&bytes, &Limits::default(), None)?;
            let mut values: Vec<_> = columns.iter().map(|c| c.to_values().into_iter()).collect();
            let mut rows = Vec::new();
            let mut row = vec![Value::Null; values.len()];
            for at in 0..u32::try_from(table.rows.len())? {
                for (place, column) in row.iter_mut().zip(&mut values) {
                    *place = column.next().unwrap_or_default();
                }
                if predicate.matches(&row) {
                    rows.push(at);
                }
            }
            Ok(rows)
        })?;
        if found.0 != expected {
            return Err(format!("the filter {filter} finds other rows on a block").into());
        }
        let case = format!("filter-{case}@{size}");
        let micros = |seconds: &[f64]| seconds.iter().map(|s| s * 1e6).collect::<Vec<_>>();
        push(report, &case, OURS, "microseconds", &micros(&on_block));
        push(report, &case, DECODED, "microseconds", &micros(&decoding));
    }
    Ok(())
}
