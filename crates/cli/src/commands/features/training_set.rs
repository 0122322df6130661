//! `tandem features training-set`: features joined to the rows of a file, each as of its own time.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ::import::{Options, stem, value_to_type};
use clap::Args;
use common::schema::{Field, FieldType};
use common::{Error, RecordId, Result, Text, Timestamp, Value};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use vectordb::feature::{EVENT_COLUMN, Entity, FeatureStore, KnownAt, Retrieval, Times};
use vectordb::lineage::{LineageNode, NodeKind};

use super::table::TableFormat;
use super::{change, open, print_json, time};
use crate::source::read;
use crate::terminal::{Progress, output};

/// Join features to the rows of a file, each as of its own time, and keep what makes it possible again
///
/// Writes the columns of the file and then the features as numbers, empty where one is missing. The id that is printed
/// makes the same numbers again, whatever is written later: `--id ID` writes key, time and features.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tandem features training-set shop.tdb labels.csv --features rides:mean_fare,rides:count_7d --event-time at \\\n      \
        --output train.parquet --name fares\n  \
    tandem features training-set shop.tdb labels.csv --features rides --known-at event --output train.csv\n  \
    tandem features training-set shop.tdb --id 0f2c4b6e8a0c2e4f6a8b0c2d4e6f8a0b --output again.parquet")]
pub(crate) struct TrainingSet {
    /// Database file
    db: PathBuf,
    /// Rows with the entity's key columns and a time: .csv, .tsv, .jsonl, .ndjson, .parquet, .arrow or .feather
    #[arg(required_unless_present = "id", requires = "features")]
    labels: Option<PathBuf>,
    /// Features to join, each as VIEW:FEATURE, or VIEW for all of it
    #[arg(long, value_name = "VIEW:FEATURE,..", value_delimiter = ',')]
    features: Vec<String>,
    /// Column of the time as of which each row is
    #[arg(long, value_name = "COLUMN", default_value = EVENT_COLUMN)]
    event_time: String,
    /// By when values had to be known: `ever`, `event` (at the row's own time, as if it had been served then), or a time
    #[arg(long, value_name = "WHEN", value_parser = known_at, default_value = "ever")]
    known_at: KnownAt,
    /// What the set is called in lineage; the file's name if not given
    #[arg(long)]
    name: Option<String>,
    /// Make the set of this id again
    #[arg(long, conflicts_with_all = ["labels", "features", "name"])]
    id: Option<String>,
    /// The file to write: .csv, .jsonl, .parquet or .arrow
    #[arg(long, short)]
    output: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn known_at(text: &str) -> Result<KnownAt, String> {
    match text {
        "ever" => Ok(KnownAt::Ever),
        "event" => Ok(KnownAt::Event),
        text => time(text).map(KnownAt::By),
    }
}

/// Rows, and how many of them have every feature.
type CountedRows = (Vec<Vec<Value>>, usize);

/// Columns that stand before the features.
struct Rows {
    fields: Vec<Field>,
    rows: Vec<Vec<Value>>,
}

impl TrainingSet {
    pub(crate) fn run(self) -> Result<()> {
        let format = TableFormat::of(&self.output)?;
        let (id, columns, rows) = match (&self.id, &self.labels) {
            (Some(id), _) => again(&open(&self.db)?, id)?,
            (None, Some(labels)) => self.join(labels)?,
            (None, None) => return Err(Error::invalid("give a file of labels, or --id")),
        };
        let (rows, complete) = rows;
        let count = rows.len();
        format.write(&self.output, columns, count, rows.into_iter().map(Ok))?;
        if self.json {
            return print_json(&json!({
                "id": id, "rows": count, "complete": complete, "output": self.output,
            }));
        }
        writeln!(
            output(),
            "training set {id}: {count} rows, {complete} with every feature, written to {}",
            self.output.display()
        )?;
        Ok(())
    }

    fn join(&self, labels: &Path) -> Result<(Text, Vec<Field>, CountedRows)> {
        let bytes = read(labels)?;
        let (file, store) = change(&self.db)?;
        let (retrieval, features) = self.retrieval(&store)?;
        let (view, _) = features.first().cloned().unwrap_or_default();
        let entity = store.view(&view)?.entity().clone();
        let digest = Sha256::digest(&bytes);
        let (table, keys, times) = self.labels(labels, bytes, &entity)?;
        let name = self.name.clone().unwrap_or_else(|| stem(labels));
        let times = Times::Each(&times);
        let set = store.create_training_set(&name, &retrieval, &keys, times, self.known_at)?;
        let version = format!("sha256:{}", hex::encode(digest));
        let source = labels.file_name().unwrap_or_default().to_string_lossy();
        let source = LineageNode::new(NodeKind::Source, source.as_ref(), version);
        let lineage = store.lineage();
        let source = lineage.record(&source, &[])?;
        lineage.link(&source, &set.lineage_node(&name).id())?;
        file.save()?;
        let (columns, rows) = beside(table, &features, set.columns, &set.values)?;
        Ok((set.id, columns, rows))
    }

    /// The read of the features that are asked for, and their names.
    fn retrieval(&self, store: &FeatureStore) -> Result<(Retrieval, Vec<(Text, Text)>)> {
        let mut parts: Vec<(Text, Vec<Text>)> = Vec::new();
        for asked in &self.features {
            let (view, feature) = match asked.split_once(':') {
                Some((view, feature)) => (view, Some(feature)),
                None => (asked.as_str(), None),
            };
            let handle = store.view(view).map_err(|error| error.at("--features"))?;
            let definition = handle.definition();
            let features = match feature {
                Some(feature) => {
                    definition
                        .position(feature)
                        .map_err(|error| error.at("--features"))?;
                    vec![Text::from(feature)]
                }
                None => definition.features.iter().map(|f| f.name.clone()).collect(),
            };
            match parts.last_mut() {
                Some((last, known)) if last == view => known.extend(features),
                _ => parts.push((view.into(), features)),
            }
        }
        let mut builder = store.retrieval();
        for (view, features) in &parts {
            builder = builder.features(view.clone(), features.clone());
        }
        let retrieval = builder.prepare().map_err(|error| error.at("--features"))?;
        let names = parts.into_iter().flat_map(|(view, features)| {
            let named = features.into_iter();
            named.map(move |feature| (view.clone(), feature))
        });
        Ok((retrieval, names.collect()))
    }

    /// The rows of the file with the key and time of each.
    fn labels(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        entity: &Entity,
    ) -> Result<(Rows, Vec<RecordId>, Vec<Timestamp>)> {
        let place = |error: Error| error.at(path.display());
        let is_text = |key: &&vectordb::feature::EntityKey| key.ty == FieldType::Text;
        let texts = entity.keys.iter().filter(is_text);
        let options = Options {
            table: "labels".to_owned(),
            text: texts.map(|key| key.name.to_string()).collect(),
            number_rows: true,
            always_number: true,
            lenient: true,
            ..Options::default()
        };
        let name = path.display().to_string();
        let progress = Progress::rows(&format!("reading {name}"));
        let loaded = ::import::load_bytes(&name, bytes, &options, &mut |rows| progress.tick(rows))?;
        if let Some(refusal) = loaded.refusals.first() {
            let all = loaded.refused;
            return Err(place(Error::invalid(format!(
                "{refusal} ({all} such rows in all); correct the file"
            ))));
        }
        // The number of the row comes first, and is not the file's.
        let fields: Vec<Field> = loaded.schema.fields.into_iter().skip(1).collect();
        let position = |column: &str| {
            fields
                .iter()
                .position(|field| field.name == column)
                .ok_or_else(|| {
                    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                    place(Error::not_found(format!(
                        "there is no column `{column}`; the columns are {}",
                        names.join(", ")
                    )))
                })
        };
        let key_places: Vec<(usize, &FieldType)> = entity
            .keys
            .iter()
            .map(|key| Ok((position(&key.name)?, &key.ty)))
            .collect::<Result<_>>()?;
        let time_place = position(&self.event_time)?;
        let mut table = Rows {
            fields: Vec::new(),
            rows: Vec::with_capacity(loaded.rows.len()),
        };
        let (mut keys, mut times) = (Vec::new(), Vec::new());
        for (line, values) in loaded.rows {
            let values: Vec<Value> = values.into_iter().skip(1).collect();
            let typed = |at: usize, ty: &FieldType| {
                let value = values
                    .get(at)
                    .map_or(Ok(Value::Null), |v| value_to_type(v, ty));
                let column = fields.get(at).map_or("", |field| field.name.as_str());
                let wrong = |what: &str| {
                    place(Error::invalid(format!(
                        "line {line}, column `{column}`: {what}"
                    )))
                };
                match value {
                    Ok(Value::Null) => Err(wrong("is empty")),
                    Ok(value) => Ok(value),
                    Err(reason) => Err(wrong(&reason)),
                }
            };
            let key = key_places.iter().map(|(at, ty)| typed(*at, ty));
            keys.push(RecordId::composite(key.collect::<Result<Vec<_>>>()?));
            if let Value::Timestamp(time) = typed(time_place, &FieldType::Timestamp)? {
                times.push(time);
            }
            table.rows.push(values);
        }
        table.fields = fields;
        Ok((table, keys, times))
    }
}

/// A set that was made before: key, time and features.
fn again(store: &FeatureStore, id: &str) -> Result<(Text, Vec<Field>, CountedRows)> {
    let set = store.training_set(id)?;
    let made_of = store.training_rows(id)?;
    let mut fields = Vec::new();
    let first = made_of
        .keys
        .first()
        .map(RecordId::values)
        .unwrap_or_default();
    for (name, value) in made_of.key_columns.iter().zip(first) {
        let ty = match value {
            Value::Int(_) => FieldType::Int,
            Value::Bool(_) => FieldType::Bool,
            Value::Date(_) => FieldType::Date,
            Value::Timestamp(_) => FieldType::Timestamp,
            Value::Uuid(_) => FieldType::Uuid,
            _ => FieldType::Text,
        };
        fields.push(Field::new(name.clone(), ty));
    }
    fields.push(Field::new(EVENT_COLUMN, FieldType::Timestamp));
    let rows = made_of.keys.iter().zip(&made_of.times).map(|(key, time)| {
        let mut row = key.values().to_vec();
        row.push(Value::Timestamp(*time));
        row
    });
    let table = Rows {
        rows: rows.collect(),
        fields,
    };
    let (columns, rows) = beside(table, &made_of.features, set.columns, &set.values)?;
    Ok((set.id, columns, rows))
}

/// Rows with their numbers after them; also how many of them have every number.
fn beside(
    table: Rows,
    features: &[(Text, Text)],
    columns: usize,
    values: &[f64],
) -> Result<(Vec<Field>, CountedRows)> {
    let Rows {
        mut fields,
        mut rows,
    } = table;
    let mut counts: HashMap<Text, usize> = HashMap::new();
    let taken = fields.iter().map(|field| &field.name);
    for name in taken.chain(features.iter().map(|(_, feature)| feature)) {
        *counts.entry(name.clone()).or_default() += 1;
    }
    let names: Vec<Text> = if columns == features.len() {
        let named = features
            .iter()
            .map(|(view, feature)| match counts.get(feature) {
                Some(1) => feature.clone(),
                _ => format!("{view}_{feature}").into(),
            });
        named.collect()
    } else {
        // Steps made other numbers of the features.
        (0..columns)
            .map(|at| format!("output_{at}").into())
            .collect()
    };
    for name in names {
        if fields.iter().any(|field| field.name == name) {
            return Err(Error::invalid(format!(
                "two columns would be called `{name}`; rename the one of the file, or name each feature once"
            )));
        }
        fields.push(Field::new(name, FieldType::Float).nullable());
    }
    let mut complete = 0;
    for (row, numbers) in rows.iter_mut().zip(values.chunks(columns.max(1))) {
        complete += usize::from(numbers.iter().all(|number| !number.is_nan()));
        let cell = |number: &f64| {
            if number.is_nan() {
                Value::Null
            } else {
                Value::Float(*number)
            }
        };
        row.extend(numbers.iter().map(cell));
    }
    Ok((fields, (rows, complete)))
}
