//! Definitions of experiments that are kept beside what is known of them.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::query::Query;
use common::schema::{Field, FieldType, Schema};
use common::{Limits, Record, Result, Text, Value, row};

use super::Experiment;
use super::assign::Plan;
use super::log::ExperimentLog;

/// Table of definitions: `name` (the key), `definition` as JSON, `attributes` as JSON.
pub(super) const DEFINITIONS: &str = "experiment_definitions";

pub(super) fn schema() -> Result<Schema> {
    let text = |name| Field::new(name, FieldType::Text);
    Schema::build(DEFINITIONS, ["name"])
        .field(text("name"))
        .field(text("definition"))
        .field(text("attributes"))
        .finish()
}

/// An experiment that is kept, with the attributes of units that its target looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptExperiment {
    /// The experiment.
    pub experiment: Experiment,
    /// What is known of a unit when it is assigned, in the order in which [`Plan::explain`] takes values.
    pub attributes: Vec<Field>,
}

impl KeptExperiment {
    /// An experiment without attributes.
    pub const fn new(experiment: Experiment) -> Self {
        Self {
            experiment,
            attributes: Vec::new(),
        }
    }

    /// Attributes as columns of a table; none if there are none.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for attributes that make no table.
    pub fn attributes(&self) -> Result<Option<Schema>> {
        let Some(first) = self.attributes.first() else {
            return Ok(None);
        };
        let schema = Schema {
            name: "attributes".into(),
            version: common::schema::SchemaVersion(1),
            key_columns: 1,
            fields: self.attributes.clone(),
            indexes: Vec::new(),
            references: Vec::new(),
        };
        // Every column by its name, once: what a table would check, whose key may not be null.
        let mut checked = schema.clone();
        checked.fields.clear();
        for (field, number) in self.attributes.iter().zip(1..) {
            let is_first = field.name == first.name;
            let field = field.clone().id(number);
            checked.fields.push(Field {
                nullable: field.nullable && !is_first,
                ..field
            });
        }
        checked.check().map_err(|error| error.at("attributes"))?;
        Ok(Some(schema))
    }

    /// The experiment compiled.
    ///
    /// # Errors
    /// As [`Experiment::compile`].
    pub fn plan(&self) -> Result<Plan> {
        self.experiment.compile(self.attributes()?.as_ref())
    }
}

impl ExperimentLog {
    /// Keeps a definition, in place of another of its name.
    ///
    /// ```
    /// use common::Database;
    /// use vectordb::experiment::{Experiment, ExperimentLog, KeptExperiment};
    /// let log = ExperimentLog::open(&Database::new())?;
    /// let button = KeptExperiment::new(Experiment::new("button", ["grey", "green"]));
    /// log.keep(&button)?;
    /// assert_eq!(log.kept("button")?, button);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Experiment::check`] and [`Experiment::compile`].
    pub fn keep(&self, kept: &KeptExperiment) -> Result<()> {
        kept.plan()?;
        let definition = String::from_utf8(kept.experiment.to_json()?).unwrap_or_default();
        let attributes = serde_json::to_string(&kept.attributes)
            .map_err(|error| common::Error::invalid(error.to_string()).at("attributes"))?;
        let name = kept.experiment.name.clone();
        let row = row! { "name": name, "definition": definition, "attributes": attributes };
        self.definitions.upsert(row).map(drop)
    }

    /// The definition that is kept under a name.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`], with the names there are.
    pub fn kept(&self, name: &str) -> Result<KeptExperiment> {
        match self.definitions.try_get(name)? {
            Some(record) => read(&record),
            None => {
                let all = self.all_kept()?;
                let names = all.iter().map(|kept| kept.experiment.name.as_str());
                let names: Vec<&str> = names.collect();
                Err(common::Error::not_found(format!(
                    "there is no experiment `{name}`; there are: {}",
                    names.join(", ")
                )))
            }
        }
    }

    /// All definitions that are kept, by name.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when a stored one makes no sense.
    pub fn all_kept(&self) -> Result<Vec<KeptExperiment>> {
        let snapshot = self.database().snapshot();
        let records = Query::from(DEFINITIONS).records(&snapshot.view())?;
        let mut all = records.iter().map(read).collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| a.experiment.name.cmp(&b.experiment.name));
        Ok(all)
    }
}

fn read(record: &Record) -> Result<KeptExperiment> {
    let text = |at: usize| record.get(at).and_then(Value::as_text).unwrap_or_default();
    let corrupt = |error: String| {
        let name = Text::from(text(0));
        common::Error::corrupt(format!(
            "the definition of experiment `{name}` makes no sense: {error}"
        ))
    };
    Ok(KeptExperiment {
        experiment: Experiment::from_json(text(1).as_bytes(), &Limits::default())
            .map_err(|error| corrupt(error.to_string()))?,
        attributes: serde_json::from_str(text(2)).map_err(|error| corrupt(error.to_string()))?,
    })
}
