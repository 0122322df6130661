//! Rows as a mobile application holds them: users, tasks, chat, sensor readings and a catalogue.
//!
//! [`Mobile::generate`] makes five tables that are as large as wanted when written as JSON; the same seed and size
//! make the same rows on every machine. [`Mobile::increment`] changes one or two columns of some rows.
//!
//! What makes such data easy or hard to pack is taken from life where it can be: sentences are those of real
//! books, places are real cities, names, channels and projects occur as unevenly as they do, times follow
//! each other at irregular distances, and sensors give what a sensor's converter gives: whole steps in single
//! precision. `testdata/README.md` has the sources of the texts.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "made-up numbers are small, and positions are those of rows and columns made here"
)]

mod increment;
mod place;
mod prose;
mod tables;

use common::schema::Schema;
use common::serialization::Format;
use common::{Metadata, Record, Value};

pub use increment::{Edit, Increment};

use crate::Result;
use crate::random::Random;

/// Rows of one table.
#[derive(Debug, Clone)]
pub struct MobileTable {
    /// The columns, those of the key first.
    pub schema: Schema,
    /// Each row's values in the schema's order.
    pub rows: Vec<Vec<Value>>,
}

impl MobileTable {
    /// The rows as records, as `common`'s formats take them.
    pub fn records(&self) -> Vec<Record> {
        let key_columns = self.schema.key_columns;
        self.rows
            .iter()
            .map(|row| Record::new(Metadata::default(), key_columns, row.iter().cloned()))
            .collect()
    }

    /// The values of each column.
    pub fn columns(&self) -> Vec<Vec<Value>> {
        (0..self.schema.fields.len())
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column).cloned())
                    .collect()
            })
            .collect()
    }

    /// One JSON object a line, as an application would send it: times in RFC 3339, identifiers with hyphens.
    ///
    /// # Errors
    /// When a value does not fit its column, which would be a mistake here.
    pub fn json(&self) -> Result<Vec<u8>> {
        let mut json = Vec::new();
        Format::Json.encode_rows(&self.schema, &self.records(), &mut json)?;
        Ok(json)
    }
}

/// All tables of the application.
#[derive(Debug, Clone)]
pub struct Mobile {
    /// Users, tasks, chat, readings, catalogue.
    pub tables: Vec<MobileTable>,
}

impl Mobile {
    /// Tables that take about `json_bytes` as JSON, within a few percent.
    ///
    /// # Errors
    /// When the texts that come with the sources cannot be read.
    pub fn generate(json_bytes: usize, seed: u64) -> Result<Self> {
        tables::generate(json_bytes, &mut Random::new(seed))
    }

    /// Every table as JSON, one after another.
    ///
    /// # Errors
    /// As [`MobileTable::json`].
    pub fn json(&self) -> Result<Vec<u8>> {
        let tables = self.tables.iter().map(MobileTable::json);
        Ok(tables.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Changes to about `rows` rows, spread over the tables in proportion to how often an application writes them.
    ///
    /// # Errors
    /// As [`Mobile::generate`].
    pub fn increment(&self, rows: usize, seed: u64) -> Result<Increment> {
        increment::make(self, rows, &mut Random::new(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_size_make_the_same_rows() {
        let a = Mobile::generate(200_000, 7).unwrap();
        let b = Mobile::generate(200_000, 7).unwrap();
        let c = Mobile::generate(200_000, 8).unwrap();
        assert_eq!(a.json().unwrap(), b.json().unwrap());
        assert_ne!(a.json().unwrap(), c.json().unwrap());
        let bytes = a.json().unwrap().len();
        assert!((180_000..220_000).contains(&bytes), "{bytes}");
        assert_eq!(a.tables.len(), 5);
        for table in &a.tables {
            let mut keys: Vec<&[Value]> = table
                .rows
                .iter()
                .map(|row| &row[..table.schema.key_columns])
                .collect();
            keys.sort();
            keys.dedup();
            assert_eq!(
                keys.len(),
                table.rows.len(),
                "keys of {}",
                table.schema.name
            );
        }
    }

    #[test]
    fn an_increment_changes_one_or_two_columns_of_rows_that_exist() {
        let data = Mobile::generate(1_000_000, 7).unwrap();
        let increment = data.increment(350, 1).unwrap();
        assert!((300..=400).contains(&increment.edits.len()));
        for edit in &increment.edits {
            let table = &data.tables[edit.table];
            assert!((1..=2).contains(&edit.columns.len()));
            for (column, value) in &edit.columns {
                assert!(*column >= table.schema.key_columns);
                assert_ne!(&table.rows[edit.row][*column], value, "it is a change");
            }
        }
        let json = increment.json(&data).unwrap().len();
        assert!((38_000..58_000).contains(&json), "{json}");
    }
}
