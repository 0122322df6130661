//! [`ExperimentLog`]: assignments, exposures and outcomes as rows of ordinary tables, so that they are logged, synced and
//! saved as all else.

use common::query::{Filter, Query};
use common::schema::{Field, FieldType, IndexSpec, Rule, Schema};
use common::utils::validation::check_name;
use common::{
    Collection, Database, Error, Record, RecordId, Result, Text, Timestamp, Transaction, Value,
    View, row,
};
use foldhash::HashMap;

use super::assign::{Assignment, Plan, Reason};

/// Table of exposures: `experiment`, `unit`, `variant` (the key), and `at`, the first time.
const EXPOSURES: &str = "experiment_exposures";
/// Table of outcomes: `event` (the key), `unit`, `metric`, `at`, `value`.
const OUTCOMES: &str = "experiment_outcomes";
/// Table of assignments that are kept: `experiment`, `unit` (the key), and the rest of [`Assignment`] as JSON.
const ASSIGNMENTS: &str = "experiment_assignments";

/// Who met which variant, and what came of it, in tables of a database.
///
/// A handle; clones share everything. It reads no clock: times come from the caller.
///
/// ```
/// use common::{Database, Timestamp};
/// use vectordb::experiment::{Experiment, ExperimentLog};
/// let log = ExperimentLog::open(&Database::new())?;
/// let plan = Experiment::new("button", ["grey", "green"]).compile(None)?;
/// let assignment = log.assign(&plan, "user-1", &[])?;
/// log.expose(&assignment, Timestamp(1_000))?;
/// log.record("order-1", "user-1", "revenue", Timestamp(2_000), 9.5)?;
/// assert_eq!(log.exposures("button")?.len(), 1);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Clone)]
pub struct ExperimentLog {
    database: Database,
    assignments: Collection,
    exposures: Collection,
    outcomes: Collection,
    pub(super) definitions: Collection,
}

/// A unit's first exposure in an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The variant that the unit met first.
    pub variant: Text,
    /// When.
    pub at: Timestamp,
    /// Whether it met another one later.
    pub is_crossed: bool,
}

/// What a unit brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome<'a> {
    /// What makes noting it twice do no harm: the same event again replaces the first.
    pub event: &'a str,
    /// Who brought it.
    pub unit: &'a str,
    /// What it counts for.
    pub metric: &'a str,
    /// When.
    pub at: Timestamp,
    /// How much.
    pub value: f64,
}

fn text(name: &str) -> Field {
    Field::new(name, FieldType::Text)
}

impl ExperimentLog {
    /// The log in a database, whose tables are made if they are not there.
    ///
    /// # Errors
    /// [`common::ErrorKind::Conflict`] when a table of one of the names has other columns.
    pub fn open(database: &Database) -> Result<Self> {
        let at = || Field::new("at", FieldType::Timestamp);
        let assignments = Schema::build(ASSIGNMENTS, ["experiment", "unit"])
            .field(text("experiment"))
            .field(text("unit"))
            .field(text("assignment"));
        let exposures = Schema::build(EXPOSURES, ["experiment", "unit", "variant"])
            .field(text("experiment"))
            .field(text("unit"))
            .field(text("variant"))
            .field(at())
            .field(text("algorithm"))
            .index(IndexSpec::hash(["experiment"]));
        let outcomes = Schema::build(OUTCOMES, ["event"])
            .field(text("event"))
            .field(text("unit"))
            .field(text("metric"))
            .field(at())
            .field(Field::new("value", FieldType::Float).rule(Rule::Finite))
            .index(IndexSpec::hash(["metric"]));
        Ok(Self {
            assignments: database.open_collection(assignments.finish()?)?,
            exposures: database.open_collection(exposures.finish()?)?,
            outcomes: database.open_collection(outcomes.finish()?)?,
            definitions: database.open_collection(super::definitions::schema()?)?,
            database: database.clone(),
        })
    }

    /// The tables of a log.
    pub const TABLES: [&'static str; 4] = [
        ASSIGNMENTS,
        EXPOSURES,
        OUTCOMES,
        super::definitions::DEFINITIONS,
    ];

    /// The database underneath.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Assigns a unit and keeps its variant: from then on it has that, whatever becomes of shares, targets and slices.
    ///
    /// Cost: a look-up, and for a new assignment one commit.
    ///
    /// # Errors
    /// As [`Plan::explain`]; [`common::ErrorKind::Corrupt`] when the stored assignment is none.
    pub fn assign(&self, plan: &Plan, unit: &str, attributes: &[Value]) -> Result<Assignment> {
        let experiment = &plan.experiment().name;
        let mut transaction = self.database.begin();
        let key = RecordId::composite([Value::from(experiment.clone()), unit.into()]);
        let stored = transaction.get(&self.assignments, key)?;
        let stored = stored.as_ref().map(assignment_of).transpose()?;
        let assignment = plan.explain(unit, attributes, stored.as_ref())?;
        // Not overrides: who is taken out of the definition is assigned by hash again.
        if assignment.reason == Reason::Hash {
            let json = String::from_utf8(assignment.to_json()?).unwrap_or_default();
            let row = row! { "experiment": experiment.clone(), "unit": unit, "assignment": json };
            transaction.upsert(&self.assignments, row)?;
            transaction.commit()?;
        }
        Ok(assignment)
    }

    /// Notes that a unit met its variant; of several times the first counts. Nothing is noted of a unit without one.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn expose(&self, assignment: &Assignment, at: Timestamp) -> Result<()> {
        self.expose_all(std::slice::from_ref(assignment), at)
    }

    /// Notes that units met their variants, as [`ExperimentLog::expose`] does, all of them in one commit.
    ///
    /// ```
    /// use common::{Database, Timestamp};
    /// use vectordb::experiment::{Experiment, ExperimentLog};
    /// let log = ExperimentLog::open(&Database::new())?;
    /// let plan = Experiment::new("button", ["grey", "green"]).compile(None)?;
    /// let met = ["a", "b"].map(|unit| plan.explain(unit, &[], None));
    /// let met = met.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// let before = log.database().seq();
    /// log.expose_all(&met, Timestamp(1_000))?;
    /// assert_eq!(log.exposures("button")?.len(), 2);
    /// assert_eq!(log.database().seq().0, before.0 + 1);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// Only with a storage that can fail; then nothing is noted.
    pub fn expose_all(&self, assignments: &[Assignment], at: Timestamp) -> Result<()> {
        let mut transaction = self.database.begin();
        let mut is_new = false;
        for assignment in assignments {
            let Some(variant) = &assignment.variant else {
                continue;
            };
            let key = [&assignment.experiment, &assignment.unit, variant];
            let key = RecordId::composite(key.into_iter().cloned().map(Value::from));
            if let Some(before) = transaction.get(&self.exposures, key)?
                && time(&before, 3) <= at
            {
                continue;
            }
            let row = row! {
                "experiment": assignment.experiment.clone(),
                "unit": assignment.unit.clone(),
                "variant": variant.clone(),
                "at": at,
                "algorithm": assignment.algorithm.name(),
            };
            transaction.upsert(&self.exposures, row)?;
            is_new = true;
        }
        // What was known before is no commit.
        if is_new {
            transaction.commit()?;
        }
        Ok(())
    }

    /// Notes what a unit brought. The same event again replaces the first, so that sending twice does no harm.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a value that is not finite and for a metric that is no name.
    pub fn record(
        &self,
        event: &str,
        unit: &str,
        metric: &str,
        at: Timestamp,
        value: f64,
    ) -> Result<()> {
        let outcome = Outcome {
            event,
            unit,
            metric,
            at,
            value,
        };
        let mut transaction = self.database.begin();
        self.note(&mut transaction, &outcome)?;
        transaction.commit()?;
        Ok(())
    }

    /// Notes what units brought, as [`ExperimentLog::record`] does, all of it in one commit.
    ///
    /// ```
    /// use common::{Database, Timestamp};
    /// use vectordb::experiment::{ExperimentLog, Outcome};
    /// let log = ExperimentLog::open(&Database::new())?;
    /// let order = |event, value| Outcome { event, unit: "user-1", metric: "revenue", at: Timestamp(5), value };
    /// log.record_all([order("order-1", 9.5), order("order-2", 3.0)])?;
    /// let error = log.record_all([order("order-3", 1.0), order("order-4", f64::NAN)]).unwrap_err();
    /// assert!(error.message().starts_with("outcomes[1]"), "{error}");
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`ExperimentLog::record`], with the place of the outcome; then nothing is noted.
    pub fn record_all<'a>(&self, outcomes: impl IntoIterator<Item = Outcome<'a>>) -> Result<()> {
        let mut transaction = self.database.begin();
        let mut is_new = false;
        for (place, outcome) in outcomes.into_iter().enumerate() {
            let place = |error: Error| error.at(format!("outcomes[{place}]"));
            self.note(&mut transaction, &outcome).map_err(place)?;
            is_new = true;
        }
        if is_new {
            transaction.commit()?;
        }
        Ok(())
    }

    fn note(&self, transaction: &mut Transaction, outcome: &Outcome<'_>) -> Result<()> {
        check_name("metric", outcome.metric)?;
        let row = row! {
            "event": outcome.event,
            "unit": outcome.unit,
            "metric": outcome.metric,
            "at": outcome.at,
            "value": outcome.value,
        };
        transaction.upsert(&self.outcomes, row)?;
        Ok(())
    }

    /// The first exposure of every unit of an experiment.
    ///
    /// Cost: by the exposures of this experiment, whatever others are in the table.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn exposures(&self, experiment: &str) -> Result<HashMap<Text, Exposure>> {
        exposures_in(self.database.snapshot().view(), experiment)
    }
}

/// The first exposure of every unit of an experiment.
pub(super) fn exposures_in(view: View<'_>, experiment: &str) -> Result<HashMap<Text, Exposure>> {
    let query = Query::from(EXPOSURES).filter(Filter::eq("experiment", experiment));
    let mut first: HashMap<Text, Exposure> = HashMap::default();
    for record in query.records(&view)? {
        let new = Exposure {
            variant: word(&record, 2).into(),
            at: time(&record, 3),
            is_crossed: false,
        };
        match first.get_mut(word(&record, 1)) {
            None => {
                first.insert(word(&record, 1).into(), new);
            }
            // Equal times by name, so that the order of rows does not matter.
            Some(known) if (new.at, &new.variant) < (known.at, &known.variant) => {
                *known = Exposure {
                    is_crossed: true,
                    ..new
                };
            }
            Some(known) => known.is_crossed = true,
        }
    }
    Ok(first)
}

/// Visits the outcomes of a metric: unit, time, value.
pub(super) fn outcomes_in(
    view: View<'_>,
    metric: &str,
    visit: &mut dyn FnMut(&str, Timestamp, f64),
) -> Result<()> {
    let query = Query::from(OUTCOMES).filter(Filter::eq("metric", metric));
    for record in query.records(&view)? {
        if let Some(Value::Float(value)) = record.get(4) {
            visit(word(&record, 1), time(&record, 3), *value);
        }
    }
    Ok(())
}

impl std::fmt::Debug for ExperimentLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExperimentLog")
            .field("exposures", &self.exposures.len())
            .field("outcomes", &self.outcomes.len())
            .finish_non_exhaustive()
    }
}

fn word(record: &Record, at: usize) -> &str {
    record.get(at).and_then(Value::as_text).unwrap_or_default()
}

fn time(record: &Record, at: usize) -> Timestamp {
    match record.get(at) {
        Some(Value::Timestamp(at)) => *at,
        _ => Timestamp::default(),
    }
}

fn assignment_of(record: &Record) -> Result<Assignment> {
    Assignment::from_json(word(record, 2).as_bytes(), &common::Limits::default()).map_err(|error| {
        Error::corrupt(format!("table `{ASSIGNMENTS}`, id {}", record.id())).caused_by(error)
    })
}
