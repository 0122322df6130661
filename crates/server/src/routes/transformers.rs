//! `/v1/transformers`: fitted on what a feature store holds, kept there, applied to rows.

use axum::http::Method;
use common::schema::{Field, FieldType};
use common::{Error, Result, Text, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vectordb::feature::FeatureStore;
use vectordb::transform::{ColumnPlan, ColumnTransformer, Matrix, StepPlan, Steps, Transformer};

use super::features::{Part, When, keys_of, numbers_of, retrieval_of, store_of, view_of};
use super::serving::{
    Access, ROWS_MAX, check_count, created, ids_of, json, making, parse, reading, rows_of, table,
};
use crate::auth::Caller;
use crate::call::{Answered, Call};
use crate::openapi::Group;
use crate::problem::Problem;

/// Most steps of a transformer.
const STEPS_MAX: usize = 64;
/// Most rows that a transformer is fitted on.
const FIT_ROWS_MAX: usize = 100_000;
/// Most numbers in one answer.
const NUMBERS_MAX: usize = 4 << 20;

pub(super) fn group() -> Group {
    Group::new("transformers")
        .route(
            Method::GET,
            "/v1/transformers",
            list,
            reading(
                "listTransformers",
                "Fitted transformers",
                None,
                "Transformers",
            ),
        )
        .route(
            Method::POST,
            "/v1/transformers",
            fit,
            making(
                "fitTransformer",
                "Fit a transformer and keep it",
                Some("FitTransformer"),
                "TransformerMade",
            ),
        )
        .route(
            Method::GET,
            "/v1/transformers/{name}",
            describe,
            reading(
                "describeTransformer",
                "A fitted transformer",
                None,
                "Transformer",
            ),
        )
        .route(
            Method::POST,
            "/v1/transformers/{name}/transform",
            transform,
            reading(
                "transformRows",
                "Transform rows",
                Some("TransformRows"),
                "TransformedRows",
            ),
        )
}

#[derive(Serialize)]
struct Kept {
    name: Text,
    version: Text,
    created_at: String,
}

fn list(call: &Call) -> Answered {
    let caller = &call.caller;
    let all = store_of(caller, Access::Read)?.transformers()?;
    let all = all.into_iter().map(|(name, version, created_at)| Kept {
        name,
        version,
        created_at: created_at.to_string(),
    });
    json(&serde_json::json!({ "transformers": all.collect::<Vec<_>>() }))
}

/// What is fitted, and on what: `steps` on the numbers of a training set or of features, `columns` on `rows`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fit {
    name: String,
    steps: Option<Vec<StepPlan>>,
    columns: Option<ColumnPlan>,
    training_set: Option<String>,
    features: Option<Vec<Part>>,
    keys: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    as_of: When,
    rows: Option<Vec<Box<RawValue>>>,
}

/// Rows as numbers and texts by column.
struct Table {
    numbers: Vec<f64>,
    texts: Vec<Vec<Option<String>>>,
    rows: usize,
}

impl Table {
    fn read(numbers: &[String], texts: &[String], given: &[Box<RawValue>]) -> Result<Self> {
        let field =
            |ty: FieldType| move |name: &String| Field::new(name.as_str(), ty.clone()).nullable();
        let fields = numbers.iter().map(field(FieldType::Float));
        let fields = fields.chain(texts.iter().map(field(FieldType::Text)));
        let mut table_of = Self {
            numbers: Vec::with_capacity(numbers.len() * given.len()),
            texts: vec![Vec::with_capacity(given.len()); texts.len()],
            rows: given.len(),
        };
        for values in rows_of(&table("rows", fields.collect()), given)? {
            let mut values = values.into_iter();
            let of_row = values.by_ref().take(numbers.len());
            table_of.numbers.extend(of_row.map(|value| match value {
                Value::Float(value) => value,
                _ => f64::NAN,
            }));
            for (column, value) in table_of.texts.iter_mut().zip(values) {
                column.push(value.as_text().map(str::to_owned));
            }
        }
        Ok(table_of)
    }

    fn with<R>(
        &self,
        columns: usize,
        run: impl FnOnce(Matrix<'_, f64>, &[&[Option<&str>]]) -> Result<R>,
    ) -> Result<R> {
        let texts: Vec<Vec<Option<&str>>> = (self.texts.iter())
            .map(|column| column.iter().map(Option::as_deref).collect())
            .collect();
        let texts: Vec<&[Option<&str>]> = texts.iter().map(Vec::as_slice).collect();
        let matrix = match columns {
            0 => Matrix::empty(self.rows),
            _ => Matrix::new(&self.numbers, columns)?,
        };
        run(matrix, &texts)
    }
}

/// Fits steps on numbers of the store; also the node of lineage that they are made of.
fn fit_steps(
    caller: &Caller,
    store: &FeatureStore,
    plan: &[StepPlan],
    asked: &Fit,
) -> std::result::Result<(Transformer, Vec<Text>), Problem> {
    check_count("steps", plan.len(), STEPS_MAX)?;
    let fit = |numbers: &[f64], columns: usize| {
        let steps = Steps::fit(plan, Matrix::new(numbers, columns)?);
        steps
            .map(Transformer::from)
            .map_err(|error| error.at("steps"))
    };
    match (&asked.training_set, &asked.features, &asked.keys) {
        (Some(id), None, None) => {
            for (view, _) in store.training_rows(id)?.features {
                view_of(caller, store, &view, Access::Read)?;
            }
            let set = store.training_set(id)?;
            let node = store.lineage().nodes(None)?.into_iter();
            let node = node.map(|node| (node.version.clone(), node.id()));
            let node = node.filter(|(version, _)| *version == set.id);
            Ok((
                fit(&set.values, set.columns)?,
                node.map(|(_, id)| id).collect(),
            ))
        }
        (None, Some(features), Some(keys)) => {
            check_count("keys", keys.len(), FIT_ROWS_MAX)?;
            let planned = retrieval_of(caller, store, features, None)?;
            let ids = ids_of(&keys_of(&planned.entity), "keys", keys)?;
            let numbers = numbers_of(&planned, &ids, asked.as_of.as_of(store)?)?;
            let parents = features.iter().map(|part| {
                let view = store.view(part.view())?;
                Ok(view.lineage_node().id())
            });
            let parents = parents.collect::<Result<Vec<_>>>()?;
            Ok((fit(&numbers, planned.columns.len())?, parents))
        }
        _ => Err(Error::invalid(
            "`steps` are fitted on a `training_set`, or on `features` of `keys`",
        )
        .into()),
    }
}

fn fit_columns(plan: &ColumnPlan, rows: &[Box<RawValue>]) -> Result<Transformer> {
    check_count("columns.routes", plan.routes.len(), STEPS_MAX)?;
    check_count("rows", rows.len(), FIT_ROWS_MAX)?;
    let table = Table::read(&plan.numbers, &plan.texts, rows)?;
    let fitted = table.with(plan.numbers.len(), |numbers, texts| {
        plan.fit(numbers, texts)
    });
    fitted
        .map(Transformer::from)
        .map_err(|error| error.at("columns"))
}

fn fit(call: &Call) -> Answered {
    let caller = &call.caller;
    let asked: Fit = parse(&call.body)?;
    let store = store_of(caller, Access::Write)?;
    let (transformer, parents) = match (&asked.steps, &asked.columns, &asked.rows) {
        (Some(steps), None, None) => fit_steps(caller, &store, steps, &asked)?,
        (None, Some(columns), Some(rows)) => (fit_columns(columns, rows)?, Vec::new()),
        _ => {
            return Err(Error::invalid(
                "give `steps`, or `columns` with the `rows` that they are fitted on",
            )
            .into());
        }
    };
    let version = store.save_transformer(&asked.name, &transformer, &parents)?;
    created(&serde_json::json!({
        "name": asked.name, "version": version, "outputs": transformer.outputs(),
    }))
}

fn describe(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("name");
    let transformer = store_of(caller, Access::Read)?.transformer(name, None)?;
    let form = RawValue::from_string(transformer.to_json()?)
        .map_err(|error| Error::corrupt(error.to_string()))?;
    json(&serde_json::json!({
        "name": name, "version": transformer.version()?, "outputs": transformer.outputs(),
        "transformer": form,
    }))
}

/// Rows of a transformer: lists of numbers for one of steps, objects by column for one of columns.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    version: Option<String>,
    rows: Vec<Box<RawValue>>,
}

fn apply_steps(steps: &Steps, rows: &[Box<RawValue>]) -> Result<Vec<f64>> {
    let mut numbers = Vec::with_capacity(rows.len() * steps.columns());
    for (at, row) in rows.iter().enumerate() {
        let row: Vec<Option<f64>> = serde_json::from_str(row.get()).map_err(|error| {
            Error::invalid(format!("rows[{at}]: it is no list of numbers: {error}"))
        })?;
        if row.len() != steps.columns() {
            return Err(Error::invalid(format!(
                "rows[{at}]: it has {} numbers, the transformer takes {}",
                row.len(),
                steps.columns()
            )));
        }
        numbers.extend(row.into_iter().map(|number| number.unwrap_or(f64::NAN)));
    }
    let mut out = vec![0.0; rows.len() * steps.outputs()];
    steps.transform(Matrix::new(&numbers, steps.columns())?, &mut out)?;
    Ok(out)
}

fn apply_columns(columns: &ColumnTransformer, rows: &[Box<RawValue>]) -> Result<Vec<f64>> {
    let table = Table::read(columns.numbers(), columns.texts(), rows)?;
    let mut out = vec![0.0; rows.len() * columns.outputs()];
    table.with(columns.numbers().len(), |numbers, texts| {
        columns.transform(numbers, texts, &mut out)
    })?;
    Ok(out)
}

fn transform(call: &Call) -> Answered {
    let caller = &call.caller;
    let name = call.parameter("name");
    let asked: Rows = parse(&call.body)?;
    check_count("rows", asked.rows.len(), ROWS_MAX)?;
    let store = store_of(caller, Access::Read)?;
    let transformer = store.transformer(name, asked.version.as_deref())?;
    let outputs = transformer.outputs();
    if outputs.saturating_mul(asked.rows.len()) > NUMBERS_MAX {
        return Err(Error::limit_exceeded(format!(
            "the answer has more than {NUMBERS_MAX} numbers; send fewer rows"
        ))
        .into());
    }
    let (columns, numbers): (Vec<String>, Vec<f64>) = match &transformer {
        Transformer::Steps(steps) => {
            let names = (0..outputs).map(|at| format!("output_{at}"));
            (names.collect(), apply_steps(steps, &asked.rows)?)
        }
        Transformer::Columns(columns) => {
            let numbers = apply_columns(columns, &asked.rows)?;
            (columns.output_names(), numbers)
        }
    };
    let rows = numbers.chunks(outputs.max(1));
    let number = |number: &f64| number.is_finite().then_some(*number);
    let rows: Vec<Vec<Option<f64>>> = rows.map(|row| row.iter().map(number).collect()).collect();
    json(&serde_json::json!({
        "version": transformer.version()?, "columns": columns, "rows": rows,
    }))
}
