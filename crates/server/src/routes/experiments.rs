//! `/v1/experiments`: definitions, assignment of units, exposures and outcomes, reports.

use axum::http::{Method, header};
use axum::response::IntoResponse;
use common::schema::{Field, Schema};
use common::{Error, Result, Text, Timestamp, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::experiment::{
    self, AnalysisOptions, Assignment, Experiment, ExperimentLog, KeptExperiment, Metric, Plan,
    analyse,
};

use super::features::time;
use super::serving::{
    Access, ROWS_MAX, accepts, check_count, json, limits, parse, reading, require, rows_of, writing,
};
use crate::auth::{Caller, Scope};
use crate::call::{Answered, Call};
use crate::openapi::Group;
use crate::problem::Problem;

/// Most metrics of a report.
const METRICS_MAX: usize = 64;
/// Most attributes of a unit.
const ATTRIBUTES_MAX: usize = 256;

pub(super) fn group() -> Group {
    Group::new("experiments")
        .route(
            Method::GET,
            "/v1/experiments",
            list,
            reading("listExperiments", "Experiments", None, "Experiments"),
        )
        .route(
            Method::POST,
            "/v1/experiments/outcomes",
            outcomes,
            writing(
                "recordOutcomes",
                "Note what units brought",
                Some("RecordOutcomes"),
                "OutcomesNoted",
            ),
        )
        .route(
            Method::GET,
            "/v1/experiments/{name}",
            describe,
            reading("describeExperiment", "An experiment", None, "Experiment"),
        )
        .route(
            Method::PUT,
            "/v1/experiments/{name}",
            keep,
            writing(
                "putExperiment",
                "Keep the definition of an experiment",
                Some("PutExperiment"),
                "Experiment",
            ),
        )
        .route(
            Method::POST,
            "/v1/experiments/{name}/assign",
            assign,
            reading(
                "assignUnits",
                "The variants of units",
                Some("AssignUnits"),
                "Assignments",
            ),
        )
        .route(
            Method::POST,
            "/v1/experiments/{name}/exposures",
            expose,
            writing(
                "exposeUnits",
                "The variants of units, and note that they met them",
                Some("AssignUnits"),
                "Exposures",
            ),
        )
        .route(
            Method::POST,
            "/v1/experiments/{name}/report",
            report,
            reading(
                "reportExperiment",
                "What follows from exposures and outcomes",
                Some("ReportExperiment"),
                "ExperimentReport",
            )
            .also_gives("text/markdown")
            .also_gives("image/svg+xml"),
        )
}

/// The log, for who may do something with all of it.
fn log_of(caller: &Caller, access: Access) -> std::result::Result<ExperimentLog, Problem> {
    let log = caller.tenant.serving().experiments()?;
    for table in ExperimentLog::TABLES {
        require(caller, table, access)?;
    }
    Ok(log)
}

#[derive(Serialize)]
struct Described<'a> {
    experiment: &'a Experiment,
    attributes: &'a [Field],
}

impl<'a> From<&'a KeptExperiment> for Described<'a> {
    fn from(kept: &'a KeptExperiment) -> Self {
        Self {
            experiment: &kept.experiment,
            attributes: &kept.attributes,
        }
    }
}

fn list(call: &Call) -> Answered {
    let caller = &call.caller;
    let all = log_of(caller, Access::Read)?.all_kept()?;
    let all: Vec<Described<'_>> = all.iter().map(Described::from).collect();
    json(&serde_json::json!({ "experiments": all }))
}

fn describe(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("name");
    let kept = log_of(caller, Access::Read)?.kept(name)?;
    json(&Described::from(&kept))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keep {
    experiment: Box<RawValue>,
    /// What is known of units when they are assigned, for a target.
    #[serde(default)]
    attributes: Vec<Field>,
}

fn keep(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("name");
    let log = log_of(caller, Access::Write)?;
    let asked: Keep = parse(&call.body)?;
    check_count("attributes", asked.attributes.len(), ATTRIBUTES_MAX)?;
    let experiment = Experiment::from_json(asked.experiment.get().as_bytes(), &limits())?;
    if *experiment.name != *name {
        return Err(Error::invalid(format!(
            "the experiment is named `{}`, the path says `{name}`",
            experiment.name
        ))
        .into());
    }
    let kept = KeptExperiment {
        experiment,
        attributes: asked.attributes,
    };
    log.keep(&kept)?;
    json(&Described::from(&kept))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unit {
    unit: Text,
    attributes: Option<Box<RawValue>>,
}

/// Question of a request, and what is done with them beside their assignment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    units: Vec<Unit>,
    /// Whether assignments are kept, whatever becomes of shares and targets.
    #[serde(default)]
    sticky: bool,
    /// When exposures happened; now if it says nothing.
    at: Option<Box<RawValue>>,
}

/// An experiment ready to assign.
struct Ready {
    log: ExperimentLog,
    plan: Plan,
    attributes: Option<Schema>,
}

impl Ready {
    fn new(log: ExperimentLog, name: &str) -> Result<Self> {
        let kept = log.kept(name)?;
        Ok(Self {
            plan: kept.plan()?,
            attributes: kept.attributes()?,
            log,
        })
    }

    fn attributes_of(&self, unit: &Unit) -> Result<Vec<Value>> {
        match (&self.attributes, &unit.attributes) {
            (None, None) => Ok(Vec::new()),
            (None, Some(_)) => Err(Error::invalid(
                "`attributes` are given, and the experiment has none",
            )),
            (Some(schema), given) => {
                let none = RawValue::from_string("{}".to_owned());
                let none = none.map_err(|error| Error::invalid(error.to_string()))?;
                let given = given.clone().unwrap_or(none);
                let rows = rows_of(schema, &[given])?;
                Ok(rows.into_iter().next().unwrap_or_default())
            }
        }
    }

    fn assign(&self, units: &[Unit], sticky: bool) -> Result<Vec<Assignment>> {
        let assign = |(at, unit): (usize, &Unit)| {
            let attributes = self.attributes_of(unit);
            let assigned = attributes.and_then(|attributes| {
                if sticky {
                    self.log.assign(&self.plan, &unit.unit, &attributes)
                } else {
                    self.plan.explain(&unit.unit, &attributes, None)
                }
            });
            assigned.map_err(|error| error.at(format!("units[{at}]")))
        };
        units.iter().enumerate().map(assign).collect()
    }
}

fn assign(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("name");
    let asked: Question = parse(&call.body)?;
    let access = if asked.sticky {
        Access::Write
    } else {
        Access::Read
    };
    if asked.sticky && !caller.has(Scope::Write) {
        return Err(Problem::lacks_scope(Scope::Write));
    }
    check_count("units", asked.units.len(), ROWS_MAX)?;
    if asked.at.is_some() {
        return Err(Error::invalid("`at` is for exposures; leave it out").into());
    }
    let assignments =
        Ready::new(log_of(caller, access)?, name)?.assign(&asked.units, asked.sticky)?;
    json(&serde_json::json!({ "assignments": assignments }))
}

/// Assigns units as `assign` does, and notes that they met their variants.
fn expose(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("name");
    let log = log_of(caller, Access::Write)?;
    let asked: Question = parse(&call.body)?;
    check_count("units", asked.units.len(), ROWS_MAX)?;
    let ready = Ready::new(log, name)?;
    let at = moment(&ready.log, "at", asked.at.as_deref())?;
    let assignments = ready.assign(&asked.units, asked.sticky)?;
    ready.log.expose_all(&assignments, at)?;
    json(&serde_json::json!({ "assignments": assignments, "at": at.to_string() }))
}

fn moment(log: &ExperimentLog, field: &str, given: Option<&RawValue>) -> Result<Timestamp> {
    match given {
        Some(given) => time(field, given),
        None => Ok(log.database().clock().now()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    /// What makes sending it twice do no harm.
    event: String,
    unit: String,
    metric: String,
    at: Option<Box<RawValue>>,
    value: f64,
}

fn outcomes(call: &Call) -> Answered {
    let caller = &call.caller;
    let log = log_of(caller, Access::Write)?;
    let asked: Outcomes = parse(&call.body)?;
    check_count("outcomes", asked.outcomes.len(), ROWS_MAX)?;
    let mut ready = Vec::with_capacity(asked.outcomes.len());
    for (at, outcome) in asked.outcomes.iter().enumerate() {
        let happened = moment(&log, "at", outcome.at.as_deref());
        ready.push(experiment::Outcome {
            event: &outcome.event,
            unit: &outcome.unit,
            metric: &outcome.metric,
            at: happened.map_err(|error| error.at(format!("outcomes[{at}]")))?,
            value: outcome.value,
        });
    }
    log.record_all(ready)?;
    json(&serde_json::json!({ "noted": asked.outcomes.len() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    metrics: Vec<Metric>,
    #[serde(default)]
    options: AnalysisOptions,
}

fn report(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("name");
    let log = log_of(caller, Access::Read)?;
    let asked: Asked = parse(&call.body)?;
    check_count("metrics", asked.metrics.len(), METRICS_MAX)?;
    let experiment = log.kept(name)?.experiment;
    let report = analyse(&log, &experiment, &asked.metrics, asked.options)?;
    let written = [
        ("text/markdown", Report::Markdown),
        ("image/svg+xml", Report::Svg),
    ];
    for (media, form) in written {
        if accepts(&call.headers, media) {
            let text = match form {
                Report::Markdown => report.to_markdown(),
                Report::Svg => report.to_svg(),
            };
            return Ok(([(header::CONTENT_TYPE, media)], text).into_response());
        }
    }
    json(&report)
}

/// Forms of a report beside JSON.
enum Report {
    Markdown,
    Svg,
}
