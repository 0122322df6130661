//! [`Lens`]: columns before a step and columns after it, each computed from the others.
//!
//! The name and the idea that a migration is a pair of functions, so that old and new readers see the same data at the same
//! time: J. N. Foster and others, "Combinators for bidirectional tree transformations" (2007).

use common::schema::{Field, FieldId, FieldType, Rule, RuleRegistry, Schema, Validator};
use common::transform::{Expression, cast};
use common::{Error, Result, Row, Text, Value};

use super::script::Script;
use super::step::OnLoss;

/// What became of a value.
pub(super) enum Converted {
    /// Nothing of it is lost.
    Exact(Value),
    /// What stands in its place, and why it does not fit.
    Lossy(Value, String),
    /// Why it does not fit.
    Refused(String),
}

/// A column as the target of a conversion.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) field: Field,
    validator: Validator,
    on_loss: OnLoss,
}

impl Target {
    pub(super) fn new(field: &Field, on_loss: &OnLoss) -> Result<Self> {
        let mut alone = field.clone();
        alone.id = FieldId(2);
        // A key of another name, whatever the column is called.
        let key = Field::new(format!("not {}", field.name), FieldType::Int).id(1);
        let name = key.name.clone();
        let schema = Schema::build("lens", [name]).field(key).field(alone);
        let target = Self {
            validator: schema.finish()?.compile(&RuleRegistry::default())?,
            field: field.clone(),
            on_loss: on_loss.clone(),
        };
        let place = match on_loss {
            OnLoss::Refuse | OnLoss::Clamp => return Ok(target),
            OnLoss::Null => Value::Null,
            OnLoss::Value(value) => value.clone(),
        };
        let fits = target.accept(place.clone());
        fits.map_err(|why| {
            Error::invalid(format!(
                "{place:?}, which takes the place of what does not fit column `{}`, does not fit either: {why}",
                field.name
            ))
        })?;
        Ok(target)
    }

    fn accept(&self, mut value: Value) -> ::core::result::Result<Value, String> {
        match self.validator.prepare_one(1, &mut value) {
            Ok(()) => Ok(value),
            Err(error) => Err(match error.violations().first() {
                Some(violation) => violation.message.clone(),
                None => error.message().to_owned(),
            }),
        }
    }

    /// The value for this column.
    pub(super) fn convert(&self, value: &Value) -> Converted {
        // A value of another type is cast first: to be refused before would cost a message that nobody reads.
        if self.is_other(value)
            && let Ok(cast) = cast(value, &self.field.ty)
            && let Ok(value) = self.accept(cast)
        {
            return Converted::Exact(value);
        }
        let why = match self.accept(value.clone()) {
            Ok(value) => return Converted::Exact(value),
            Err(why) => why,
        };
        if !value.is_null()
            && let Ok(cast) = cast(value, &self.field.ty)
            && let Ok(value) = self.accept(cast)
        {
            return Converted::Exact(value);
        }
        self.lost(value, why)
    }

    /// As [`Target::convert`], of a text that is no value yet.
    fn convert_text(&self, text: &str) -> Converted {
        let value = Value::from(text);
        if self.field.ty != FieldType::Text {
            return self.convert(&value);
        }
        match self.accept(value) {
            Ok(value) => Converted::Exact(value),
            Err(why) => self.lost(&Value::from(text), why),
        }
    }

    /// Whether the value is of a type that the column does not take but a cast may make it.
    fn is_other(&self, value: &Value) -> bool {
        !matches!(
            (&self.field.ty, value),
            (_, Value::Null)
                | (FieldType::Bool, Value::Bool(_))
                | (FieldType::Int, Value::Int(_))
                | (FieldType::Float, Value::Float(_) | Value::Int(_))
                | (FieldType::Text, Value::Text(_))
                | (FieldType::Timestamp, Value::Timestamp(_))
                | (FieldType::Date, Value::Date(_))
                | (FieldType::Uuid, Value::Uuid(_))
                | (
                    FieldType::Bytes
                        | FieldType::List(_)
                        | FieldType::Map(_)
                        | FieldType::Vector { .. }
                        | FieldType::Extension(_)
                        | FieldType::Any,
                    _
                )
        )
    }

    fn lost(&self, value: &Value, why: String) -> Converted {
        let instead = match &self.on_loss {
            OnLoss::Refuse => None,
            OnLoss::Null => Some(Value::Null),
            OnLoss::Value(value) => Some(value.clone()),
            OnLoss::Clamp => self.nearest(value),
        };
        let instead = instead.and_then(|instead| self.accept(instead).ok());
        match instead {
            Some(instead) => Converted::Lossy(instead, why),
            None => Converted::Refused(why),
        }
    }

    /// The value nearest to one that breaks the rules.
    fn nearest(&self, value: &Value) -> Option<Value> {
        if value.is_null() {
            return None;
        }
        let mut nearest = cast(value, &self.field.ty).unwrap_or_else(|_| value.clone());
        for rule in &self.field.rules {
            nearest = match (rule, nearest) {
                (Rule::Range { min: Some(min), .. }, value) if value < *min => min.clone(),
                (Rule::Range { max: Some(max), .. }, value) if value > *max => max.clone(),
                (Rule::Length { max, .. }, Value::Text(text)) => {
                    let beginning: String = text.chars().take(*max).collect();
                    Value::from(beginning)
                }
                (_, value) => value,
            };
        }
        Some(nearest)
    }

    fn always_fits(&self, from: &Field) -> bool {
        let never_null = self.field.nullable || !from.nullable;
        let same_rules = self
            .field
            .rules
            .iter()
            .all(|rule| from.rules.contains(rule));
        let widens = self.field.ty == from.ty || self.field.ty == FieldType::Any;
        never_null && same_rules && widens
    }
}

/// How values become others.
#[derive(Debug)]
pub(super) enum Mapping {
    /// One column becomes another.
    Convert { forward: Target, backward: Target },
    /// A text becomes its parts.
    Split(Parts),
    /// Parts become a text.
    Merge(Parts),
    /// A column is computed.
    Compute {
        columns: Vec<Text>,
        expression: Expression,
        target: Target,
    },
    /// By a function of the application.
    Script {
        script: Script,
        forward: Vec<Target>,
        backward: Vec<Target>,
    },
}

/// Bytes that a text joined of parts takes, as a rule, so that it is made in one place.
const JOINED_BYTES: usize = 64;

/// A text and its parts.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) separator: Text,
    pub(super) whole: Target,
    pub(super) targets: Vec<Target>,
}

impl Parts {
    fn split(&self, whole: &Value, part: usize) -> Converted {
        let Some(target) = self.targets.get(part) else {
            return Converted::Refused(format!("there is no part {part}"));
        };
        let found = match whole {
            Value::Null => return target.convert(&Value::Null),
            Value::Text(text) => {
                let mut parts = text.splitn(self.targets.len(), self.separator.as_str());
                parts.nth(part)
            }
            other => return target.lost(other, format!("{other:?} is no text to split")),
        };
        match found {
            Some(found) => target.convert_text(found),
            None if target.field.nullable => Converted::Exact(Value::Null),
            None => target.convert_text(""),
        }
    }

    fn join(&self, parts: &[&Value]) -> Converted {
        let mut joined = String::with_capacity(JOINED_BYTES);
        let mut any = false;
        for part in parts.iter().filter(|part| !part.is_null()) {
            if any {
                joined.push_str(&self.separator);
            }
            any = true;
            if let Value::Text(text) = part {
                joined.push_str(text);
                continue;
            }
            match cast(part, &FieldType::Text) {
                Ok(Value::Text(text)) => joined.push_str(&text),
                _ => {
                    return self
                        .whole
                        .lost(part, format!("{part:?} is not written as text"));
                }
            }
        }
        if !any && self.whole.field.nullable {
            return Converted::Exact(Value::Null);
        }
        self.whole.convert_text(&joined)
    }
}

/// Columns before a step, and columns after it that follow from them.
#[derive(Debug)]
pub(super) struct Lens {
    pub(super) from: Vec<Field>,
    pub(super) to: Vec<Field>,
    pub(super) mapping: Mapping,
}

impl Lens {
    /// The value of the column `part` after, from the values of those before.
    pub(super) fn forward(&self, part: usize, values: &[&Value]) -> Converted {
        match (&self.mapping, values) {
            (Mapping::Convert { forward, .. }, [value]) => forward.convert(value),
            (Mapping::Split(parts), [whole]) => parts.split(whole, part),
            (Mapping::Merge(parts), values) => parts.join(values),
            (
                Mapping::Compute {
                    columns,
                    expression,
                    target,
                },
                values,
            ) => {
                let named = columns.iter().zip(values);
                let row = named.fold(Row::new(), |row, (name, value)| {
                    row.with(name.clone(), (*value).clone())
                });
                match expression.evaluate(&row) {
                    Ok(value) => target.convert(&value),
                    Err(error) => target.lost(&Value::Null, error.message().to_owned()),
                }
            }
            (
                Mapping::Script {
                    script, forward, ..
                },
                values,
            ) => call(&*script.forward, forward, part, values),
            _ => Converted::Refused("the row has not the columns that the step reads".into()),
        }
    }

    /// The value of the column `part` before, from the values of those after; `None` when there is no way back.
    pub(super) fn backward(&self, part: usize, values: &[&Value]) -> Option<Converted> {
        Some(match (&self.mapping, values) {
            (Mapping::Convert { backward, .. }, [value]) => backward.convert(value),
            (Mapping::Split(parts), values) => parts.join(values),
            (Mapping::Merge(parts), [whole]) => parts.split(whole, part),
            (
                Mapping::Script {
                    script, backward, ..
                },
                values,
            ) => call(&**script.backward.as_ref()?, backward, part, values),
            _ => return None,
        })
    }

    /// Whether there is a row that the way forward changes or refuses, as far as the definitions tell.
    pub(super) fn may_lose(&self) -> bool {
        match (&self.mapping, self.from.first()) {
            (Mapping::Convert { forward, .. }, Some(from)) => !forward.always_fits(from),
            _ => true,
        }
    }
}

fn call(
    function: &(dyn Fn(&[Value]) -> Result<Vec<Value>> + Send + Sync),
    targets: &[Target],
    part: usize,
    values: &[&Value],
) -> Converted {
    let values: Vec<Value> = values.iter().map(|value| (*value).clone()).collect();
    let made = match function(&values) {
        Ok(made) => made,
        Err(error) => return Converted::Refused(error.message().to_owned()),
    };
    match (made.get(part), targets.get(part)) {
        (Some(value), Some(target)) if made.len() == targets.len() => target.convert(value),
        _ => Converted::Refused(format!(
            "the script gave {} values for {} columns",
            made.len(),
            targets.len()
        )),
    }
}
