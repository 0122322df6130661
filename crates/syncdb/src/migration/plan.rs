//! [`plan`]: the steps between two sets of schemas, and what each of them costs.

use std::fmt;

use common::schema::{Field, FieldType, Rule, Schema};
use common::{Text, Value};
use serde::Serialize;

use super::step::{OnLoss, Step};

/// What a step costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is lost, whatever the rows hold.
    Safe,
    /// Something may be lost, or stand in the way, and what: look at a dry run, and say what is to become of it.
    Lossy(String),
    /// It cannot be done as it stands, and what to do instead.
    Impossible(String),
}

/// A step that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// The step.
    pub step: Step,
    /// What it costs.
    pub verdict: Verdict,
}

/// The steps between two sets of schemas.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plan {
    /// In an order in which they can be taken.
    pub steps: Vec<Planned>,
}

impl Plan {
    /// Whether each step can be taken.
    pub fn is_possible(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.all(|planned| !matches!(planned.verdict, Verdict::Impossible(_)))
    }

    /// Whether nothing is lost, whatever the rows hold.
    pub fn is_safe(&self) -> bool {
        self.steps
            .iter()
            .all(|planned| planned.verdict == Verdict::Safe)
    }

    /// The steps without their verdicts.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps.into_iter().map(|planned| planned.step).collect()
    }

    fn add(&mut self, step: Step, verdict: Verdict) {
        self.steps.push(Planned { step, verdict });
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Planned { step, verdict } in &self.steps {
            match verdict {
                Verdict::Safe => writeln!(f, "safe        {step}")?,
                Verdict::Lossy(why) => writeln!(f, "lossy       {step}: {why}")?,
                Verdict::Impossible(why) => writeln!(f, "impossible  {step}: {why}")?,
            }
        }
        Ok(())
    }
}

/// Finds the steps from some schemas to others.
///
/// Columns are the same when they have the same name, or else the same number and type: then it was renamed. That one column was
/// split, or several merged, no comparison tells; write those steps by hand.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use syncdb::migration::{plan, Verdict};
/// let id = || Field::new("id", FieldType::Int);
/// let before = Schema::build("notes", ["id"]).field(id()).field(Field::new("size", FieldType::Int)).finish()?;
/// let after = Schema::build("notes", ["id"]).field(id()).field(Field::new("size", FieldType::Text)).finish()?;
/// let plan = plan(&[before], &[after]);
/// assert_eq!(plan.steps[0].step.to_string(), "change column `size` of `notes` to text");
/// assert_eq!(plan.steps[0].verdict, Verdict::Safe);
/// # Ok::<(), common::Error>(())
/// ```
pub fn plan(before: &[Schema], after: &[Schema]) -> Plan {
    let mut plan = Plan::default();
    // Tables that are referred to come before those that refer to them, and go after.
    let mut added: Vec<&Schema> = Vec::new();
    let mut rest: Vec<&Schema> = after
        .iter()
        .filter(|s| named(before, &s.name).is_none())
        .collect();
    while !rest.is_empty() {
        let waits = |schema: &&Schema| {
            let mut references = schema.references.iter().filter(|r| r.table != schema.name);
            references.any(|reference| rest.iter().any(|other| other.name == reference.table))
        };
        let Some(position) = rest.iter().position(|schema| !waits(schema)) else {
            break;
        };
        added.push(rest.remove(position));
    }
    for schema in added {
        let schema = schema.clone();
        plan.add(Step::AddTable { schema }, Verdict::Safe);
    }
    for schema in rest {
        let why = "its references lead in a circle, so no row could be the first: let one of them be set to null when its row \
                   goes";
        let schema = schema.clone();
        plan.add(Step::AddTable { schema }, Verdict::Impossible(why.into()));
    }
    for new in after {
        if let Some(old) = named(before, &new.name) {
            table(&mut plan, old, new);
        }
    }
    for old in before.iter().filter(|s| named(after, &s.name).is_none()) {
        let mut referrers = after
            .iter()
            .filter(|s| s.references.iter().any(|r| r.table == old.name));
        let verdict = match referrers.next() {
            Some(referrer) => {
                Verdict::Impossible(format!("table `{}` refers to it", referrer.name))
            }
            None => Verdict::Lossy("its rows go".into()),
        };
        let table = old.name.clone();
        plan.add(Step::RemoveTable { table }, verdict);
    }
    plan
}

fn named<'a>(schemas: &'a [Schema], name: &str) -> Option<&'a Schema> {
    schemas.iter().find(|schema| schema.name == name)
}

/// Each column after with the one before that it was.
fn pairs<'a>(old: &'a Schema, new: &'a Schema) -> Vec<(&'a Field, Option<&'a Field>)> {
    let by_name = |field: &Field| old.fields.iter().find(|known| known.name == field.name);
    new.fields
        .iter()
        .map(|field| {
            let renamed = || {
                let mut old_fields = old.fields.iter();
                old_fields.find(|known| {
                    known.id == field.id
                        && known.ty == field.ty
                        && new.position(&known.name).is_none()
                })
            };
            (field, by_name(field).or_else(renamed))
        })
        .collect()
}

fn table(plan: &mut Plan, old: &Schema, new: &Schema) {
    let table = &new.name;
    for index in &old.indexes {
        if !new.indexes.contains(index) && !is_renamed(old, new, index) {
            let step = Step::RemoveIndex {
                table: table.clone(),
                index: index.name.clone(),
            };
            plan.add(step, Verdict::Safe);
        }
    }
    let pairs = pairs(old, new);
    let mut key: Vec<Text> = old
        .key_fields()
        .iter()
        .map(|field| field.name.clone())
        .collect();
    for (field, was) in &pairs {
        match was {
            Some(was) => column(plan, table, old, was, field, &mut key),
            None => {
                let mut fresh = (*field).clone();
                // Numbers are given once; the lineage knows which.
                fresh.id = common::schema::FieldId::default();
                let step = Step::AddColumn {
                    table: table.clone(),
                    field: fresh,
                    value: None,
                };
                plan.add(
                    step,
                    if field.is_required() {
                        Verdict::Impossible(
                            "it is required, and the rows that are there have no value for it: give a default, or a value, or \
                             compute it"
                                .into(),
                        )
                    } else {
                        Verdict::Safe
                    },
                );
            }
        }
    }
    let new_key: Vec<Text> = new
        .key_fields()
        .iter()
        .map(|field| field.name.clone())
        .collect();
    if key != new_key {
        let step = Step::ChangeKey {
            table: table.clone(),
            key: new_key,
        };
        let why = "rows that have the same new key stand in the way";
        plan.add(step, Verdict::Lossy(why.into()));
    }
    for gone in &old.fields {
        if pairs
            .iter()
            .all(|(_, was)| was.is_none_or(|was| was.id != gone.id))
        {
            let step = Step::RemoveColumn {
                table: table.clone(),
                column: gone.name.clone(),
                instead: None,
            };
            let why = "what it holds goes, for those who do not have the old version any more";
            plan.add(step, Verdict::Lossy(why.into()));
        }
    }
    for index in &new.indexes {
        let known = old
            .indexes
            .iter()
            .any(|known| known == index || renames_to(old, new, known, index));
        if !known {
            let verdict = if index.unique {
                Verdict::Lossy("rows that share a value stand in the way".into())
            } else {
                Verdict::Safe
            };
            let step = Step::AddIndex {
                table: table.clone(),
                index: index.clone(),
            };
            plan.add(step, verdict);
        }
    }
}

/// Whether an index goes on under the new names of its columns.
fn is_renamed(old: &Schema, new: &Schema, index: &common::schema::IndexSpec) -> bool {
    new.indexes
        .iter()
        .any(|other| renames_to(old, new, index, other))
}

fn renames_to(
    old: &Schema,
    new: &Schema,
    index: &common::schema::IndexSpec,
    other: &common::schema::IndexSpec,
) -> bool {
    let pairs = pairs(old, new);
    let names = index.columns.iter().map(|name| {
        let mut found = pairs
            .iter()
            .filter(|(_, was)| was.is_some_and(|was| was.name == *name));
        found.next().map(|(field, _)| field.name.clone())
    });
    let names: Option<Vec<Text>> = names.collect();
    index.name == other.name
        && index.kind == other.kind
        && index.unique == other.unique
        && names.as_ref() == Some(&other.columns)
}

fn column(
    plan: &mut Plan,
    table: &Text,
    old: &Schema,
    was: &Field,
    field: &Field,
    key: &mut [Text],
) {
    if was.name != field.name {
        let step = Step::RenameColumn {
            table: table.clone(),
            column: was.name.clone(),
            to: field.name.clone(),
        };
        plan.add(step, Verdict::Safe);
        for name in key.iter_mut().filter(|name| **name == was.name) {
            *name = field.name.clone();
        }
    }
    let same = was.ty == field.ty && was.nullable == field.nullable && was.rules == field.rules;
    if same && was.default == field.default {
        return;
    }
    let mut to = field.clone();
    to.id = common::schema::FieldId::default();
    let is_key = old.key_fields().iter().any(|key| key.id == was.id);
    let verdict = if is_key {
        Verdict::Impossible(
            "it is part of the primary key: add a column, change the key to it, then remove this one".into(),
        )
    } else {
        change(was, field)
    };
    let fallback = field.default.clone().filter(|value| !value.is_null());
    let step = Step::ChangeColumn {
        table: table.clone(),
        column: field.name.clone(),
        to,
        // Null where it must not be is the one loss that a default makes good without asking.
        on_loss: match fallback {
            Some(value) if was.nullable && !field.nullable && was.ty == field.ty => {
                OnLoss::Value(value)
            }
            _ => OnLoss::Refuse,
        },
        on_loss_back: OnLoss::Refuse,
    };
    plan.add(step, verdict);
}

/// What a change of a column costs.
fn change(was: &Field, field: &Field) -> Verdict {
    if let Some(why) = no_way(&was.ty, &field.ty) {
        return Verdict::Impossible(why);
    }
    let mut why = Vec::new();
    if was.ty != field.ty && !is_total(&was.ty, &field.ty) {
        why.push(format!("not every {} is {}", was.ty, field.ty));
    }
    if was.nullable && !field.nullable {
        why.push("nulls stand in the way, or become the default".into());
    }
    for rule in field
        .rules
        .iter()
        .filter(|rule| !was.rules.iter().any(|had| is_within(had, rule)))
    {
        why.push(format!(
            "values outside of the new rule `{}` stand in the way",
            rule.name()
        ));
    }
    if why.is_empty() {
        Verdict::Safe
    } else {
        Verdict::Lossy(why.join("; "))
    }
}

/// Why no value of a type becomes one of another.
fn no_way(from: &FieldType, to: &FieldType) -> Option<String> {
    let scalar = |ty: &FieldType| {
        matches!(
            ty,
            FieldType::Bool
                | FieldType::Int
                | FieldType::Float
                | FieldType::Text
                | FieldType::Timestamp
                | FieldType::Date
                | FieldType::Uuid
        )
    };
    let known = from == to || *to == FieldType::Any || *from == FieldType::Any;
    let by_cast = scalar(from) && scalar(to);
    (!known && !by_cast).then(|| {
        format!(
            "no {from} becomes {to} by itself: write a script, or remove the column and add another"
        )
    })
}

/// Whether every value of a type becomes one of another without loss.
fn is_total(from: &FieldType, to: &FieldType) -> bool {
    matches!(
        (from, to),
        (_, FieldType::Any)
            | (
                FieldType::Int
                    | FieldType::Bool
                    | FieldType::Uuid
                    | FieldType::Date
                    | FieldType::Timestamp,
                FieldType::Text
            )
            | (FieldType::Bool, FieldType::Int)
            | (FieldType::Date, FieldType::Timestamp)
    )
}

/// Whether all values that one rule allows are allowed by another.
fn is_within(inner: &Rule, outer: &Rule) -> bool {
    let reaches = |inner: Option<&Value>,
                   outer: Option<&Value>,
                   fits: fn(&Value, &Value) -> bool| match (inner, outer) {
        (_, None) => true,
        (Some(inner), Some(outer)) => fits(inner, outer),
        (None, Some(_)) => false,
    };
    match (inner, outer) {
        (a, b) if a == b => true,
        (
            Rule::Range { min, max },
            Rule::Range {
                min: outer_min,
                max: outer_max,
            },
        ) => {
            reaches(min.as_ref(), outer_min.as_ref(), |a, b| a >= b)
                && reaches(max.as_ref(), outer_max.as_ref(), |a, b| a <= b)
        }
        (
            Rule::Length { min, max },
            Rule::Length {
                min: outer_min,
                max: outer_max,
            },
        ) => min >= outer_min && max <= outer_max,
        (Rule::OneOf(inner), Rule::OneOf(outer)) => inner.iter().all(|value| outer.contains(value)),
        _ => false,
    }
}
