//! Fitted transformers that are kept, and [`Origin`]: where one served value comes from.

use common::utils::validation::check_name;
use common::{Error, Record, RecordId, Result, Seq, Text, Timestamp, Value, row};

use super::as_of::{AsOf, Status};
use super::directory::Key;
use super::store::FeatureStore;
use crate::lineage::{Lineage, LineageNode, NodeKind, Related};
use crate::transform::Transformer;

/// Where one served value comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The value, null unless it is present.
    pub value: Value,
    /// What it is as of the time asked for.
    pub status: Status,
    /// When the event happened that it is of.
    pub event: Timestamp,
    /// When that became known.
    pub known: Timestamp,
    /// The commit that wrote it.
    pub seq: Seq,
    /// The version of the view that reads it.
    pub definition: LineageNode,
    /// The run that brought it; none for an event that was written without a source.
    pub run: Option<LineageNode>,
    /// What the run read, and what that came from, nearest first.
    pub made_of: Vec<Related>,
}

impl FeatureStore {
    /// Where everything here came from.
    pub fn lineage(&self) -> &Lineage {
        &self.inner.lineage
    }

    /// Keeps a fitted transformer under a name. Returns its version, which follows from what it is; lineage gets a node for
    /// it, made of those of the ids `fitted_on`, such as [`TrainingSet::lineage_node`](super::TrainingSet::lineage_node).
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a name that is none, [`common::ErrorKind::NotFound`] for an id that is not there.
    pub fn save_transformer(
        &self,
        name: &str,
        transformer: &Transformer,
        fitted_on: &[Text],
    ) -> Result<Text> {
        check_name("transformer", name)?;
        let version = Text::from(transformer.version()?);
        let mut transaction = self.inner.database.begin();
        let key = RecordId::composite([Value::from(name), Value::from(version.clone())]);
        if transaction.get(&self.inner.transformers, key)?.is_none() {
            let now = self.inner.database.clock().now();
            let row = row! { "name": name, "version": version.clone(), "transformer": transformer.to_json()?, "created_at": now };
            transaction.insert(&self.inner.transformers, row)?;
        }
        let node = LineageNode::new(NodeKind::Transform, name, version.clone());
        self.inner
            .lineage
            .record_in(&mut transaction, &node, fitted_on)?;
        transaction.commit()?;
        Ok(version)
    }

    /// All transformers that were kept: name, version, when; the last of a name last.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn transformers(&self) -> Result<Vec<(Text, Text, Timestamp)>> {
        let word = |record: &Record, at: usize| {
            let word = record.get(at).and_then(Value::as_text);
            Text::from(word.unwrap_or_default())
        };
        let mut found = self.read(&self.inner.transformers, |record| {
            let created = match record.get(3) {
                Some(Value::Timestamp(created)) => *created,
                _ => Timestamp::default(),
            };
            Ok((record.seq(), word(record, 0), word(record, 1), created))
        })?;
        found.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        let found = found.into_iter();
        Ok(found
            .map(|(_, name, version, created)| (name, version, created))
            .collect())
    }

    /// A fitted transformer that was kept: that of a version, or the last one of the name.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] when there is none.
    pub fn transformer(&self, name: &str, version: Option<&str>) -> Result<Transformer> {
        let mut found = self.read(&self.inner.transformers, |record| Ok(record.clone()))?;
        let word =
            |record: &Record, at: usize| record.get(at).and_then(Value::as_text).map(Text::from);
        found.retain(|record| {
            word(record, 0).as_deref() == Some(name)
                && version.is_none_or(|version| word(record, 1).as_deref() == Some(version))
        });
        let last = found
            .iter()
            .max_by_key(|record| record.seq())
            .ok_or_else(|| {
                let version = version.map(|version| format!(" of version {version}"));
                Error::not_found(format!(
                    "there is no transformer `{name}`{}",
                    version.unwrap_or_default()
                ))
            })?;
        Transformer::from_json(
            &word(last, 2).unwrap_or_default(),
            &common::Limits::default(),
        )
    }

    /// Why a read of one feature of one entity gives what it gives: the event, the run that brought it, the version of the
    /// view, and all that these came from.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] for a view or feature that is not there.
    pub fn why<'k>(
        &self,
        view: &str,
        feature: &str,
        key: impl Into<Key<'k>>,
        as_of: AsOf,
    ) -> Result<Origin> {
        let view = self.view(view)?;
        let position = view.definition().position(feature)?;
        let row = view.get(key, as_of)?;
        let runs = self.inner.lineage.runs_of(row.seq)?;
        let made_of = match runs.first() {
            Some(run) => self.inner.lineage.ancestors(&run.id())?,
            None => Vec::new(),
        };
        Ok(Origin {
            value: row.values.get(position).cloned().unwrap_or_default(),
            status: row.status_of(position),
            event: row.event,
            known: row.known,
            seq: row.seq,
            definition: view.lineage_node(),
            run: runs.into_iter().next(),
            made_of,
        })
    }
}
