//! The data of the demonstration: what comes with the program, or the user's own files.

use std::path::Path;

use common::schema::{Field, FieldType, IndexSpec, Schema};
use common::{Collection, Database, Error, Result, Value};

use crate::source::{load, load_packed};
use ::import::{Loaded, Options};

const CITIES: &[u8] = include_bytes!("../../../../../testdata/cities.csv.gz");
const COUNTRIES: &[u8] = include_bytes!("../../../../../testdata/countries.csv.gz");
const DIGITS: &[u8] = include_bytes!("../../../../../testdata/digits.csv.gz");

/// Tables of places.
pub(super) struct World {
    pub(super) database: Database,
    pub(super) cities: Collection,
}

/// Vectors with labels.
pub(super) struct Digits {
    pub(super) dimension: usize,
    pub(super) rows: Vec<(Vec<f32>, Value)>,
}

fn cities_schema() -> Result<Schema> {
    Schema::build("cities", ["id"])
        .field(Field::new("id", FieldType::Int))
        .field(Field::new("name", FieldType::Text))
        .field(Field::new("country", FieldType::Text))
        .field(Field::new("admin1", FieldType::Text).nullable())
        .field(Field::new("latitude", FieldType::Float).nullable())
        .field(Field::new("longitude", FieldType::Float).nullable())
        .field(Field::new("population", FieldType::Int))
        .field(Field::new("timezone", FieldType::Text).nullable())
        .index(IndexSpec::hash(["country"]))
        .index(IndexSpec::ordered(["population"]))
        .finish()
}

/// Cities and countries as two tables.
pub(super) fn world(cities: Option<&Path>) -> Result<World> {
    let database = Database::new();
    let options = |table: &str| Options {
        table: table.to_owned(),
        key: vec!["code".to_owned()],
        lenient: true,
        ..Options::default()
    };
    let for_cities = Options {
        schema: Some(cities_schema()?),
        ..options("cities")
    };
    let loaded = match cities {
        Some(path) => load(path, &for_cities)?,
        None => load_packed("cities.csv.gz", CITIES, &for_cities)?,
    };
    let cities = fill(&database, all(loaded, cities)?)?;
    let countries = load_packed("countries.csv.gz", COUNTRIES, &options("countries"))?;
    fill(&database, all(countries, None)?)?;
    if cities.len() < 10 {
        return Err(Error::invalid(format!(
            "the demonstration edits some of the cities, and there are only {}; give at least 10",
            cities.len()
        )));
    }
    Ok(World { database, cities })
}

/// A file of which every row was read.
fn all(loaded: Loaded, path: Option<&Path>) -> Result<Loaded> {
    let Some(refusal) = loaded.refusals.first() else {
        return Ok(loaded);
    };
    let file = path
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    Err(Error::invalid(format!(
        "{file}, {refusal} ({} such rows in all)",
        loaded.refused
    )))
}

fn fill(database: &Database, loaded: Loaded) -> Result<Collection> {
    let collection = database.create_collection(loaded.schema)?;
    database.transaction(|transaction| {
        for (_, values) in loaded.rows {
            transaction.insert_values(&collection, values)?;
        }
        Ok(())
    })?;
    Ok(collection)
}

/// Numbers and then a label on each row.
pub(super) fn digits(path: Option<&Path>) -> Result<Digits> {
    let options = Options {
        table: "digits".to_owned(),
        number_rows: true,
        no_header: true,
        // A key of its own, so that a first column without repetitions is not taken for one.
        key: Vec::new(),
        always_number: true,
        ..Options::default()
    };
    let loaded = match path {
        Some(path) => load(path, &options)?,
        None => load_packed("digits.csv.gz", DIGITS, &options)?,
    };
    let loaded = all(loaded, path)?;
    let mut rows = Vec::with_capacity(loaded.rows.len());
    let mut dimension = 0;
    for (line, values) in loaded.rows {
        let wrong = |what: &str| {
            let file = path.map_or_else(
                || "digits.csv".to_owned(),
                |path| path.display().to_string(),
            );
            Error::invalid(format!("{file}, line {line}: {what}"))
        };
        let Some(([_, pixels @ ..], label)) = values.split_last().map(|(last, rest)| (rest, last))
        else {
            return Err(wrong("a row is numbers and then a label"));
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "vectors are of 32-bit floats"
        )]
        let vector: Option<Vec<f32>> = pixels
            .iter()
            .map(|pixel| pixel.as_float().map(|pixel| pixel as f32))
            .collect();
        let vector = vector.filter(|vector| !vector.is_empty());
        let vector = vector.ok_or_else(|| wrong("every field but the last is a number"))?;
        dimension = vector.len();
        rows.push((vector, label.clone()));
    }
    if rows.len() < 12 {
        return Err(Error::invalid(format!(
            "the demonstration looks for 10 neighbours of each vector, and there are only {} vectors",
            rows.len()
        )));
    }
    Ok(Digits { dimension, rows })
}
