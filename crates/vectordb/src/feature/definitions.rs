//! [`Definitions`]: entities and views as one JSON document, and what applying it to a store changes.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use common::{Error, Limits, Result, Text};
use serde::{Deserialize, Serialize};

use super::definition::{Entity, ViewDefinition};
use super::store::FeatureStore;

/// Entities and views, as a file under version control declares them.
///
/// ```
/// use common::{Database, Limits};
/// use vectordb::feature::{Change, Definitions, FeatureStore};
/// let json = br#"{
///     "entities": [{"name": "user", "keys": [{"name": "user_id", "type": "int"}]}],
///     "views": [{"name": "rides", "entity": "user", "features": [{"name": "fare", "type": "float"}]}]
/// }"#;
/// let definitions = Definitions::from_json(json, &Limits::default())?;
/// let store = FeatureStore::open(&Database::new())?;
/// assert_eq!(store.apply(&definitions)?.views[0].change, Change::Created);
/// assert_eq!(store.apply(&definitions)?.views[0].change, Change::Unchanged);
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// The entities; a store keeps those that are not named here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// The views; a store keeps those that are not named here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewDefinition>,
}

/// What applying a definition did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Created,
    /// It was there with another definition.
    Altered,
    /// It was there as it is.
    Unchanged,
}

impl Change {
    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Altered => "altered",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What became of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedEntity {
    /// Its name.
    pub name: Text,
    /// What was done.
    pub change: Change,
}

/// What became of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedView {
    /// Its name.
    pub name: Text,
    /// The version that it has now.
    pub version: u32,
    /// What was done.
    pub change: Change,
}

/// What [`FeatureStore::apply`] did, in the order of the definitions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Applied {
    /// The entities.
    pub entities: Vec<AppliedEntity>,
    /// The views.
    pub views: Vec<AppliedView>,
}

impl Definitions {
    /// Reads them, each name once.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for other JSON, with line and column, or with the place in the document
    /// (`views[2]`); [`common::ErrorKind::LimitExceeded`] for more bytes than `limits` allow.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self> {
        limits.check_total(json.len())?;
        let definitions: Self = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("no definitions of features: {error}")))?;
        definitions.check_names()?;
        for (at, entity) in definitions.entities.iter().enumerate() {
            entity
                .check()
                .map_err(|error| error.at(format!("entities[{at}]")))?;
        }
        for (at, view) in definitions.views.iter().enumerate() {
            // An entity that is not declared here is the store's; what else is wrong is seen without it.
            let entity = definitions.entities.iter().find(|e| e.name == view.entity);
            if let Some(entity) = entity {
                let checked = view
                    .schema(entity, 1)
                    .and_then(|schema| schema.compile(&common::schema::RuleRegistry::default()));
                checked.map_err(|error| error.at(format!("views[{at}]")))?;
            }
        }
        Ok(definitions)
    }

    fn check_names(&self) -> Result<()> {
        check_once("entities", self.entities.iter().map(|entity| &entity.name))?;
        check_once("views", self.views.iter().map(|view| &view.name))
    }

    /// As [`Definitions::from_json`] reads it.
    ///
    /// # Errors
    /// Only for a value that JSON does not have.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::invalid(format!("they cannot be written as JSON: {error}")))
    }
}

fn check_once<'a>(list: &str, names: impl Iterator<Item = &'a Text>) -> Result<()> {
    let mut known: foldhash::HashMap<&Text, usize> = foldhash::HashMap::default();
    for (at, name) in names.enumerate() {
        if let Some(first) = known.insert(name, at) {
            return Err(Error::invalid(format!(
                "`{name}` is {list}[{first}] already; name each once"
            ))
            .at(format!("{list}[{at}]")));
        }
    }
    Ok(())
}

impl FeatureStore {
    /// Creates the entities and views that are new, and alters the views that differ; nothing is dropped.
    ///
    /// All of it is one commit: of definitions of which one is refused, nothing is applied. The same definitions again
    /// change nothing.
    ///
    /// Cost: the events of views that are altered are copied in memory, all of them before the commit.
    ///
    /// # Errors
    /// As [`FeatureStore::create_entity`], [`FeatureStore::create_view`] and [`FeatureStore::alter_view`], with the
    /// place among the definitions; [`common::ErrorKind::Invalid`] for a name that stands there twice.
    pub fn apply(&self, definitions: &Definitions) -> Result<Applied> {
        definitions.check_names()?;
        let _definitions = self.inner.definitions_lock.lock();
        let mut applied = Applied::default();
        let mut new = Vec::new();
        for (at, entity) in definitions.entities.iter().enumerate() {
            let is_new = self
                .is_new_entity(entity)
                .map_err(|error| error.at(format!("entities[{at}]")))?;
            new.extend(is_new.then_some(entity));
            let (created, name) = (Change::Created, entity.name.clone());
            let change = if is_new { created } else { Change::Unchanged };
            applied.entities.push(AppliedEntity { name, change });
        }
        let mut planned = Vec::new();
        for (at, definition) in definitions.views.iter().enumerate() {
            let plan = self
                .plan(definition.clone(), &new, Some(at))
                .map_err(|error| error.at(format!("views[{at}]")))?;
            let (version, change) = match &plan {
                None => (self.view(&definition.name)?.version(), Change::Unchanged),
                Some(plan) if plan.alters() => (plan.version(), Change::Altered),
                Some(plan) => (plan.version(), Change::Created),
            };
            planned.extend(plan);
            applied.views.push(AppliedView {
                name: definition.name.clone(),
                version,
                change,
            });
        }
        if !(new.is_empty() && planned.is_empty()) {
            self.carry_out(&new, planned)?;
        }
        Ok(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::Change::{Altered, Created, Unchanged};
    use super::*;
    use common::{Database, ErrorKind};

    fn read(json: &str) -> Result<Definitions> {
        Definitions::from_json(json.as_bytes(), &Limits::default())
    }

    #[test]
    fn what_is_new_is_created_and_what_differs_altered() {
        let text = r#"{"entities": [{"name": "user", "keys": [{"name": "id", "type": "int"}]}],
            "views": [{"name": "a", "entity": "user", "features": [{"name": "x", "type": "float", "nullable": true}]}]}"#;
        let mut definitions = read(text).unwrap();
        let again = definitions.to_json().unwrap();
        assert_eq!(
            Definitions::from_json(&again, &Limits::default()).unwrap(),
            definitions
        );
        let store = FeatureStore::open(&Database::new()).unwrap();
        let mut apply = |ttl, name: &str| {
            definitions.views[0].ttl_seconds = ttl;
            definitions.views[0].name = name.into();
            let applied = store.apply(&definitions).unwrap();
            (
                applied.entities[0].change,
                applied.views[0].change,
                applied.views[0].version,
            )
        };
        assert_eq!(apply(None, "a"), (Created, Created, 1));
        assert_eq!(apply(None, "a"), (Unchanged, Unchanged, 1));
        assert_eq!(apply(Some(60), "a"), (Unchanged, Altered, 2));
        assert_eq!(apply(Some(60), "b"), (Unchanged, Created, 1));
        assert_eq!(store.views().len(), 2);
    }

    #[test]
    fn of_definitions_of_which_one_is_refused_none_is_applied() {
        let text = r#"{"entities": [{"name": "user", "keys": [{"name": "id", "type": "int"}]}],
            "views": [{"name": "a", "entity": "user", "features": [{"name": "x", "type": "float"}]}]}"#;
        let store = FeatureStore::open(&Database::new()).unwrap();
        store.apply(&read(text).unwrap()).unwrap();
        let view = store.view("a").unwrap();
        let x = common::row! { "x": 1.0 };
        view.upsert(7, common::Timestamp(5), x).unwrap();
        let seq = store.database().seq();
        let more = r#"{"entities": [{"name": "user", "keys": [{"name": "id", "type": "int"}]},
                {"name": "shop", "keys": [{"name": "id", "type": "int"}]}],
            "views": [{"name": "b", "entity": "shop", "features": [{"name": "x", "type": "float"}]},
                {"name": "a", "entity": "user", "ttl_seconds": 60, "features": [{"name": "x", "type": "float"}]},
                {"name": "c", "entity": "shop", "features": [{"name": "x", "type": "float"}]}]}"#;
        let good = read(more).unwrap();
        // Each fails at another moment: in the plan, while events are copied, among the alterations.
        let mut of_nobody = good.clone();
        of_nobody.views[2].entity = "ghost".into();
        let mut of_text = good.clone();
        of_text.views[1].features[0].ty = common::schema::FieldType::Text;
        let mut too_low = good.clone();
        too_low.views[1].features[0].rules = vec![common::schema::Rule::at_least(2.0)];
        let mut with_rule = good.clone();
        with_rule.views[2].features[0].rules =
            vec![common::schema::Rule::Custom("unheard_of".into())];
        let mut twice = good.clone();
        twice.views[2].name = "b".into();
        for (definitions, says) in [
            (of_nobody, "views[2]"),
            (of_text, "views[1]"),
            (too_low, "views[1]"),
            (with_rule, "unheard_of"),
            (twice, "views[2]: `b` is views[0] already"),
        ] {
            let error = store.apply(&definitions).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert_eq!(store.database().seq(), seq);
            assert_eq!(
                (store.entities().unwrap().len(), store.views().len()),
                (1, 1)
            );
            assert_eq!(store.versions("a").unwrap(), [1]);
            view.get(7, crate::feature::AsOf::latest()).unwrap();
        }
        let applied = store.apply(&good).unwrap();
        let changes: Vec<_> = applied.views.iter().map(|view| view.change).collect();
        assert_eq!(changes, [Created, Altered, Created]);
        assert_eq!(store.database().seq().0, seq.0 + 1);
        let a = store.view("a").unwrap();
        assert_eq!(a.history(7).unwrap()[0].values, [common::Value::from(1.0)]);
        assert!(view.get(7, crate::feature::AsOf::latest()).is_err());
        store
            .view("c")
            .unwrap()
            .delete(1, common::Timestamp(1))
            .unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let entity = r#""entities": [{"name": "user", "keys": [{"name": "id", "type": "int"}]}]"#;
        for (json, says) in [
            ("{\n\"view\": []}", "line 2 column 6"),
            (
                r#"{"entities": [{"name": "1", "keys": []}]}"#,
                "entities[0]",
            ),
            (
                &format!(
                    r#"{{{entity}, "views": [{{"name": "v", "entity": "user", "features": []}}]}}"#
                ),
                "views[0]: feature view `v`: it has no feature",
            ),
            (
                r#"{"views": [{"name": "v", "entity": "u", "features": []}, {"name": "v", "entity": "u", "features": []}]}"#,
                "views[1]: `v` is views[0] already",
            ),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains(says), "{json}: {error}");
        }
        let few = Limits::default().total_bytes_max(3);
        let error = Definitions::from_json(b"{\"\"}", &few).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }
}
