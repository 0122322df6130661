//! A [`VectorDb`] that remembers its collections in a table of its database.

use std::ops::ControlFlow;

use common::schema::{Field, FieldType, Schema};
use common::{Collection, Database, Error, ErrorKind, Record, Result, Text, Value, row};

use super::VectorDb;
use super::options::CollectionOptions;
use super::saved::SavedCollections;

/// Table of vector collections: `name` (the key), `options` as JSON.
pub(super) const CATALOGUE: &str = "vector_collections";

impl VectorDb {
    /// The vector collections of a database that remembers them: their options are rows of its table
    /// `vector_collections`, so that they come back with the database, and need no file.
    ///
    /// Cost: one pass over the tables of the collections, and the build of their indexes; see
    /// [`VectorDb::open_with_indexes`], which reads those from a file.
    ///
    /// ```
    /// use common::{Database, row};
    /// use vectordb::{Metric, Search, VectorDb, VectorOptions};
    /// let database = Database::new();
    /// let db = VectorDb::open_in(&database)?;
    /// let places = db.create_collection("places", VectorOptions::new(1, Metric::Euclidean), [])?;
    /// places.upsert(7, [3.0], row! {})?;
    /// drop((places, db));
    ///
    /// let places = VectorDb::open_in(&database)?.collection("places")?;
    /// assert_eq!(places.search(&Search::new([1.0], 1))?.hits[0].distance, 2.0);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the database has another table of that name, [`ErrorKind::Corrupt`] when a row of it
    /// makes no sense; as [`VectorDb::open_collection`] for the collections.
    pub fn open_in(database: &Database) -> Result<Self> {
        Self::open_remembered(database, SavedCollections::default())
    }

    pub(super) fn open_remembered(
        database: &Database,
        mut saved: SavedCollections,
    ) -> Result<Self> {
        let schema = Schema::build(CATALOGUE, ["name"])
            .field(Field::new("name", FieldType::Text))
            .field(Field::new("options", FieldType::Text));
        let catalogue = database.open_collection(schema.finish()?)?;
        let remembered = remembered(database, &catalogue)?;
        let db = Self {
            catalogue: Some(catalogue),
            ..Self::over(database.clone())
        };
        for (name, options) in remembered {
            // Its table was dropped, or a crash came before it was made.
            if database.collection(&name).is_err() {
                continue;
            }
            let columns = saved.take(&name, &options);
            db.open_saved(&name, options, columns)?;
        }
        Ok(db)
    }

    /// Notes the options of a collection, before it is there: a crash in between leaves a note of nothing.
    pub(super) fn remember(&self, name: &str, options: &CollectionOptions) -> Result<()> {
        let Some(catalogue) = &self.catalogue else {
            return Ok(());
        };
        let options = serde_json::to_string(options)
            .map_err(|error| Error::invalid(format!("options that cannot be kept: {error}")))?;
        let row = row! { "name": name, "options": options };
        catalogue.upsert(row).map(drop)
    }

    pub(super) fn forget(&self, name: &str) -> Result<()> {
        match &self.catalogue {
            Some(catalogue) if catalogue.get(name).is_some() => catalogue.delete(name).map(drop),
            _ => Ok(()),
        }
    }
}

fn remembered(
    database: &Database,
    catalogue: &Collection,
) -> Result<Vec<(Text, CollectionOptions)>> {
    let mut found = Vec::new();
    let snapshot = database.snapshot();
    snapshot.view().scan(catalogue, &mut |records| {
        found.extend(records.iter().map(read));
        ControlFlow::Continue(())
    })?;
    found.into_iter().collect()
}

fn read(record: &Record) -> Result<(Text, CollectionOptions)> {
    let text = |at: usize| {
        let text = record.get(at).and_then(Value::as_text);
        text.unwrap_or_default()
    };
    let options = serde_json::from_str(text(1)).map_err(|error| {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "the options of collection `{}` make no sense: {error}",
                text(0)
            ),
        )
    })?;
    Ok((text(0).into(), options))
}
