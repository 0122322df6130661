//! [`Entity`] and [`ViewDefinition`]: what features are of, and what a feature view holds, as data.

use common::schema::{Field, FieldType, Rule, Schema, SchemaVersion};
use common::utils::validation::check_identifier;
use common::{Error, Result, Text, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::cell::{INTEGER_MAX, Kind};

/// Column of the time at which an event happened.
pub const EVENT_COLUMN: &str = "event_time";
/// Column of the time at which it became known.
pub const KNOWN_COLUMN: &str = "known_at";
/// Column that says whether the event is the deletion of its entity.
pub const DELETED_COLUMN: &str = "deleted";

/// Before the name of a view in that of its table.
pub(super) const TABLE_PREFIX: &str = "features_";

/// What features describe: a user, a device, a pair of user and item.
///
/// ```
/// use vectordb::feature::Entity;
/// use common::schema::FieldType;
/// let user = Entity::new("user", [("user_id", FieldType::Int)]);
/// let pair = Entity::new("taste", [("user_id", FieldType::Int), ("item", FieldType::Text)]);
/// # let _ = (user, pair);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// Name, an identifier.
    pub name: Text,
    /// Columns of its key: int, text, uuid, bool, date or timestamp.
    pub keys: Vec<EntityKey>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A column of an entity's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityKey {
    /// Name, an identifier.
    pub name: Text,
    /// What its values are.
    #[serde(rename = "type")]
    pub ty: FieldType,
}

impl Entity {
    /// An entity with key columns of these names and types.
    pub fn new<N: Into<Text>>(
        name: impl Into<Text>,
        keys: impl IntoIterator<Item = (N, FieldType)>,
    ) -> Self {
        let keys = keys.into_iter().map(|(name, ty)| EntityKey {
            name: name.into(),
            ty,
        });
        Self {
            name: name.into(),
            keys: keys.collect(),
            description: String::new(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_identifier("entity", &self.name)?;
        if self.keys.is_empty() {
            return Err(Error::invalid(format!(
                "entity `{}` needs a key: name the column that identifies it",
                self.name
            )));
        }
        for key in &self.keys {
            check_identifier("key column", &key.name)
                .map_err(|error| error.at(format!("entity `{}`", self.name)))?;
            let fits = matches!(
                key.ty,
                FieldType::Int
                    | FieldType::Text
                    | FieldType::Uuid
                    | FieldType::Bool
                    | FieldType::Date
                    | FieldType::Timestamp
            );
            if !fits {
                return Err(Error::invalid(format!(
                    "key column `{}` of entity `{}` is of type {}: keys are of int, text, uuid, bool, date or timestamp",
                    key.name, self.name, key.ty
                )));
            }
        }
        Ok(())
    }
}

/// A group of features of one entity that come together: an event has a value for each, or a missing one.
///
/// Features are columns with types and rules, as of any table: `nullable` ones may be missing, a default stands for
/// one that is left out. Integers and times must lie within ±2^53, because features are read as floats.
///
/// ```
/// use common::schema::{Field, FieldType, Rule};
/// use vectordb::feature::ViewDefinition;
/// let rides = ViewDefinition::new("rides", "user")
///     .feature(Field::new("count_7d", FieldType::Int).rule(Rule::at_least(0)))
///     .feature(Field::new("mean_fare", FieldType::Float).nullable())
///     .ttl_seconds(7 * 24 * 3600);
/// # let _ = rides;
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewDefinition {
    /// Name, an identifier.
    pub name: Text,
    /// Name of the entity.
    pub entity: Text,
    /// The features in the order in which reads give them.
    pub features: Vec<Field>,
    /// How long after its event a value may be used, in seconds; for ever if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

impl ViewDefinition {
    /// A view without features, whose values live for ever.
    pub fn new(name: impl Into<Text>, entity: impl Into<Text>) -> Self {
        Self {
            name: name.into(),
            entity: entity.into(),
            features: Vec::new(),
            ttl_seconds: None,
            description: String::new(),
            owner: String::new(),
        }
    }

    /// Adds a feature.
    #[must_use]
    pub fn feature(mut self, feature: Field) -> Self {
        self.features.push(feature);
        self
    }

    /// Adds features of floats that may be missing.
    #[must_use]
    pub fn floats<N: Into<Text>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter();
        self.features
            .extend(names.map(|name| Field::new(name, FieldType::Float).nullable()));
        self
    }

    /// Sets how long after its event a value may be used.
    #[must_use]
    pub const fn ttl_seconds(mut self, seconds: u64) -> Self {
        self.ttl_seconds = Some(seconds);
        self
    }

    /// Name of the table that holds its events.
    pub fn table(&self) -> Text {
        format!("{TABLE_PREFIX}{}", self.name).into()
    }

    /// Number of the feature of this name.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`], with the names there are.
    pub fn position(&self, feature: &str) -> Result<usize> {
        let position = self.features.iter().position(|field| field.name == feature);
        position.ok_or_else(|| {
            let mut names: Vec<&str> = self
                .features
                .iter()
                .map(|f| f.name.as_str())
                .take(20)
                .collect();
            if names.len() < self.features.len() {
                names.push("...");
            }
            Error::not_found(format!(
                "view `{}` has no feature `{feature}`; it has {}",
                self.name,
                names.join(", ")
            ))
        })
    }

    /// The schema of its table, checked: key of the entity, times of event and knowledge, mark of deletions, features.
    pub(super) fn schema(&self, entity: &Entity, version: u32) -> Result<Schema> {
        check_identifier("feature view", &self.name)?;
        let at = |error: Error| error.at(format!("feature view `{}`", self.name));
        if self.features.is_empty() {
            return Err(at(Error::invalid("it has no feature")));
        }
        let keys = entity.keys.iter().map(|key| key.name.as_str());
        let keys = keys.chain([EVENT_COLUMN, KNOWN_COLUMN]);
        let mut schema = Schema::build(self.table(), keys).version(version);
        for key in &entity.keys {
            schema = schema.field(Field::new(key.name.clone(), key.ty.clone()));
        }
        schema = schema
            .field(Field::new(EVENT_COLUMN, FieldType::Timestamp))
            .field(Field::new(KNOWN_COLUMN, FieldType::Timestamp))
            .field(Field::new(DELETED_COLUMN, FieldType::Bool).default_value(false));
        for feature in &self.features {
            check_identifier("feature", &feature.name).map_err(at)?;
            schema = schema.field(column(feature).map_err(at)?);
        }
        let mut schema = schema.finish().map_err(at)?;
        schema.version = SchemaVersion(version);
        Ok(schema)
    }
}

/// A time to live in microseconds, without end if there is none.
pub(super) fn ttl_micros(seconds: Option<u64>) -> i64 {
    let micros = seconds.map(|seconds| seconds.saturating_mul(1_000_000));
    micros.map_or(i64::MAX, |micros| i64::try_from(micros).unwrap_or(i64::MAX))
}

/// The column of a feature. Any may be missing in an event that is a deletion.
fn column(feature: &Field) -> Result<Field> {
    let Some(kind) = Kind::of(&feature.ty) else {
        return Err(Error::invalid(format!(
            "feature `{}` is of type {}: features are of float, int, bool, timestamp, date or text; keep lists and \
vectors in a collection beside it",
            feature.name, feature.ty
        )));
    };
    let column = feature.clone().nullable();
    Ok(match kind {
        Kind::Float => column.rule(Rule::Finite),
        Kind::Int => column.rule(Rule::between(-INTEGER_MAX, INTEGER_MAX)),
        Kind::Timestamp => {
            let time = |micros| Value::Timestamp(Timestamp(micros));
            column.rule(Rule::between(time(-INTEGER_MAX), time(INTEGER_MAX)))
        }
        Kind::Bool | Kind::Date | Kind::Text => column,
    })
}
