//! [`TrainingSet`]: rows for training as of their own times, with a name that gives the same bytes for ever.

use common::schema::{Field, FieldType, Schema};
use common::{Error, ErrorKind, Record, RecordId, Result, Seq, Text, Timestamp, Value, row};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::as_of::Status;
use super::batch::{Keys, Times};
use super::retrieval::{BatchOptions, KnownAt, Retrieval, RetrievalBuilder};
use super::store::{FeatureStore, from_json, to_json};
use crate::lineage::{LineageNode, NodeKind};
use crate::transform::Transformer;

/// Table of training sets: `id` (the key), `name`, `created_at`, `recipe` as JSON, `rows` as JSON, `digest` of the numbers.
pub(super) const TRAINING_SETS: &str = "feature_training_sets";

/// Features of many entities, each as of a time of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSet {
    /// Follows from what went in: definitions, transformer, rows, and the commit up to which events are seen.
    pub id: Text,
    /// Names of the features, before they are transformed.
    pub features: Vec<Text>,
    /// How many numbers each row has.
    pub columns: usize,
    /// The numbers row after row, NaN where one is missing.
    pub values: Vec<f64>,
    /// What was found, for each view of each row.
    pub statuses: Vec<Status>,
    /// The last commit that is seen.
    pub seq: Seq,
}

impl TrainingSet {
    /// The set among the nodes of lineage, by the name that it was made under.
    pub fn lineage_node(&self, name: &str) -> LineageNode {
        LineageNode::new(NodeKind::TrainingSet, name, self.id.clone())
            .parameters(json!({ "features": self.features, "seq": self.seq }))
    }
}

/// Which rows a training set is of.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRows {
    /// Names of the entity's key columns.
    pub key_columns: Vec<Text>,
    /// Key of the entity of each row.
    pub keys: Vec<RecordId>,
    /// Time as of which each row is.
    pub times: Vec<Timestamp>,
    /// View and name of each feature, before they are transformed.
    pub features: Vec<(Text, Text)>,
}

/// All that the numbers of a training set follow from, but for the events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Recipe {
    views: Vec<RecipeView>,
    /// As [`Transformer::to_json`] writes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    transformer: Option<String>,
    known: KnownAt,
    seq: Seq,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RecipeView {
    name: Text,
    version: u32,
    ttl_seconds: Option<u64>,
    features: Vec<Text>,
}

/// Rows as they are stored.
#[derive(Serialize, Deserialize)]
struct Rows {
    keys: Vec<Vec<Value>>,
    times: Vec<Timestamp>,
}

pub(super) fn schema() -> Result<Schema> {
    let text = |name| Field::new(name, FieldType::Text);
    Schema::build(TRAINING_SETS, ["id"])
        .field(text("id"))
        .field(text("name"))
        .field(Field::new("created_at", FieldType::Timestamp))
        .field(text("recipe"))
        .field(Field::new("rows", FieldType::Bytes))
        .field(text("digest"))
        .finish()
}

impl FeatureStore {
    /// Joins features to rows of entity and time, as of each row's time, and keeps what is needed to do it again.
    ///
    /// The same rows with the same features at the same commit have the same id. Later events, back-fills among them,
    /// change nothing of a set: it sees events up to the commit at which it was made.
    ///
    /// ```
    /// use common::schema::FieldType;
    /// use common::{Database, Timestamp, row};
    /// use vectordb::feature::{Entity, FeatureStore, KnownAt, Times, ViewDefinition};
    /// let store = FeatureStore::open(&Database::new())?;
    /// store.create_entity(&Entity::new("user", [("user_id", FieldType::Int)]))?;
    /// let rides = store.create_view(ViewDefinition::new("rides", "user").floats(["fare"]))?;
    /// rides.upsert(7, Timestamp(10), row! { "fare": 9.5 })?;
    /// let retrieval = store.retrieval().view("rides").prepare()?;
    /// let times = [Timestamp(9), Timestamp(11)];
    /// let set = store.create_training_set("first", &retrieval, &[7, 7], Times::Each(&times), KnownAt::Ever)?;
    /// rides.upsert(7, Timestamp(8), row! { "fare": 1.0 })?; // a back-fill
    /// let again = store.training_set(&set.id)?;
    /// assert!(again.values[0].is_nan() && again.values[1] == 9.5);
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when there are more or fewer times than keys, and for a row that the transformer refuses;
    /// [`ErrorKind::Closed`] when a view was altered
    /// since the retrieval was prepared.
    pub fn create_training_set<'k>(
        &self,
        name: &str,
        retrieval: &Retrieval,
        keys: impl Into<Keys<'k>>,
        times: Times<'_>,
        known: KnownAt,
    ) -> Result<TrainingSet> {
        let keys = keys.into();
        times.check("the list of times", keys.len())?;
        let transformer = retrieval.transformer();
        let recipe = Recipe {
            views: retrieval
                .parts()
                .map(|(view, features)| RecipeView {
                    name: view.name().into(),
                    version: view.version(),
                    ttl_seconds: view.definition().ttl_seconds,
                    features: features.to_vec(),
                })
                .collect(),
            transformer: transformer.as_ref().map(Transformer::to_json).transpose()?,
            known,
            seq: self.database().seq(),
        };
        let rows = Rows {
            keys: (0..keys.len())
                .filter_map(|at| Some(keys.get(at)?.to_id().values().to_vec()))
                .collect(),
            times: (0..keys.len()).filter_map(|at| times.get(at)).collect(),
        };
        let (recipe_json, rows_json) = (to_json(&recipe)?, to_json(&rows)?);
        let hash = Sha256::new()
            .chain_update(&recipe_json)
            .chain_update([0])
            .chain_update(&rows_json);
        let mut id = hex::encode(hash.finalize());
        id.truncate(32);
        let set = read(id.into(), retrieval, keys, times, &recipe)?;
        let mut transaction = self.database().begin();
        let mut parents: Vec<Text> = retrieval
            .parts()
            .map(|(view, _)| view.lineage_node().id())
            .collect();
        if let Some(transformer) = transformer {
            let version = transformer.version()?;
            let kept = self.lineage().nodes(Some(NodeKind::Transform))?;
            let node = kept.into_iter().rev().find(|node| node.version == version);
            let node = node
                .unwrap_or_else(|| LineageNode::new(NodeKind::Transform, "transformer", version));
            parents.push(self.lineage().record_in(&mut transaction, &node, &[])?);
        }
        let node = set.lineage_node(name);
        self.lineage()
            .record_in(&mut transaction, &node, &parents)?;
        transaction.upsert(
            self.training_sets(),
            row! {
                "id": set.id.clone(), "name": name, "created_at": self.database().clock().now(),
                "recipe": recipe_json, "rows": Value::Bytes(rows_json.into_bytes().into()),
                "digest": digest(&set),
            },
        )?;
        transaction.commit()?;
        Ok(set)
    }

    /// Makes a training set again, with the same bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of this id, or a feature of it is no more;
    /// [`ErrorKind::Conflict`] when the numbers are others than they were, because events of it were forgotten.
    pub fn training_set(&self, id: &str) -> Result<TrainingSet> {
        let (record, recipe, rows) = self.stored_training_set(id)?;
        let mut builder = RetrievalBuilder::new(self.clone());
        for view in &recipe.views {
            builder = builder.features(view.name.clone(), view.features.clone());
        }
        if let Some(transformer) = &recipe.transformer {
            let limits = common::Limits::default();
            builder = builder.transform(Transformer::from_json(transformer, &limits)?);
        }
        let ttls = recipe.views.iter().map(|view| view.ttl_seconds);
        let retrieval = builder.prepare()?.with_ttls(ttls);
        let keys: Vec<RecordId> = rows.keys.into_iter().map(RecordId::composite).collect();
        let times = Times::Each(&rows.times);
        let set = read(id.into(), &retrieval, Keys::Ids(&keys), times, &recipe)?;
        if record.get(5).and_then(Value::as_text) != Some(digest(&set).as_str()) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "training set {id} cannot be made again: events of before it was made were forgotten or deleted since"
                ),
            ));
        }
        Ok(set)
    }

    /// Which rows a training set is of, in the order of its numbers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of this id.
    pub fn training_rows(&self, id: &str) -> Result<TrainingRows> {
        let (_, recipe, rows) = self.stored_training_set(id)?;
        let view = recipe
            .views
            .first()
            .ok_or_else(|| Error::corrupt(format!("training set {id} has no views")))?;
        let entity = self.entity(&self.definition(&view.name, view.version)?.entity)?;
        let of_view = |view: &RecipeView| {
            let name = view.name.clone();
            let features = view.features.clone().into_iter();
            features.map(move |feature| (name.clone(), feature))
        };
        Ok(TrainingRows {
            key_columns: entity.keys.into_iter().map(|key| key.name).collect(),
            keys: rows.keys.into_iter().map(RecordId::composite).collect(),
            times: rows.times,
            features: recipe.views.iter().flat_map(of_view).collect(),
        })
    }

    fn stored_training_set(&self, id: &str) -> Result<(Record, Recipe, Rows)> {
        let Some(record) = self.training_sets().try_get(id)? else {
            return Err(Error::not_found(format!("there is no training set {id}")));
        };
        let recipe: Recipe = from_json(&record, 3)?;
        let rows: Rows = match record.get(4) {
            Some(Value::Bytes(bytes)) => serde_json::from_slice(bytes)
                .map_err(|error| Error::corrupt(format!("rows of training set {id}: {error}")))?,
            _ => return Err(Error::corrupt(format!("training set {id} has no rows"))),
        };
        Ok((record, recipe, rows))
    }
}

fn read(
    id: Text,
    retrieval: &Retrieval,
    keys: Keys<'_>,
    times: Times<'_>,
    recipe: &Recipe,
) -> Result<TrainingSet> {
    let mut values = vec![0.0; keys.len() * retrieval.outputs()];
    let mut statuses = vec![Status::Unread; keys.len() * retrieval.views()];
    let options = BatchOptions::default();
    let (seq, known) = (recipe.seq, recipe.known);
    retrieval.join_up_to(seq, keys, times, known, &mut values, &mut statuses, options)?;
    if let Some(place) = statuses
        .iter()
        .position(|status| *status == Status::Refused)
    {
        let row = place / retrieval.views().max(1);
        return Err(Error::invalid(format!(
            "the transformer refuses row {row}, of entity {}: a category or time is none of those that it knows; \
             let it ignore such values, or leave the row out",
            keys.get(row)
                .map_or_else(String::new, |key| key.to_id().to_string())
        )));
    }
    Ok(TrainingSet {
        id,
        features: retrieval.features().to_vec(),
        columns: retrieval.outputs(),
        values,
        statuses,
        seq,
    })
}

/// Follows from every bit of the numbers.
fn digest(set: &TrainingSet) -> String {
    let mut hash = Sha256::new();
    for value in &set.values {
        hash.update(value.to_bits().to_le_bytes());
    }
    hex::encode(hash.finalize())
}
