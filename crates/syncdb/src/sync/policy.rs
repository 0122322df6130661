//! [`Policy`]: how the conflicts of a table are resolved, as data: a strategy for each column, columns that
//! stand or fall together, and what happens when a deletion meets an update.

use std::collections::{BTreeMap, BTreeSet};

use common::schema::{FieldType, Schema};
use common::{Error, Result, Text};
use serde::{Deserialize, Serialize};

/// How concurrent writes of a column are resolved.
///
/// | strategy | what stands | depends on the order of arrival |
/// |---|---|---|
/// | `LastWriteWins` | the value with the later stamp, then of the greater replica name | no |
/// | `ServerWins`, `ClientWins` | what arrived first, what arrived last | yes, that is what they say |
/// | `Max`, `Min` | the greatest, the least value ever written | no |
/// | `Counter` | the sum of all increments | no, for integers |
/// | `Set` | the elements by [`SetBias`] | no |
/// | `Custom` | what the function says | as the function does |
///
/// There is no strategy that merges text: a three-way merge of lines is not associative, so three replicas would end
/// with different texts in different orders of arrival. A custom function can still call one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The value with the later stamp stands; with equal stamps, that of the replica whose name is greater.
    #[default]
    LastWriteWins,
    /// What the server has stands.
    ServerWins,
    /// What the replica sends stands.
    ClientWins,
    /// The greater value stands, concurrent or not: such a column never falls.
    Max,
    /// The lesser value stands, concurrent or not: such a column never rises.
    Min,
    /// A number to which all sides add. A value that is set counts as its difference from the one that was seen.
    Counter,
    /// A list that is a set: in order, each element once. A list that is set counts as what was added and removed.
    Set(SetBias),
    /// What a function of the server says, by its name; see
    /// [`SyncServerOptions::merge_function`](crate::SyncServerOptions::merge_function).
    Custom(Text),
}

/// What stands when one side adds an element to a set and another removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetBias {
    /// The element is in it.
    #[default]
    AddWins,
    /// The element is not in it.
    RemoveWins,
}

/// What stands when a deletion meets a concurrent update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionPolicy {
    /// The deletion; the update stands in the ledger.
    #[default]
    DeleteWins,
    /// The update: the row stays, or comes back with what it held. A row of which the server no longer knows what it held
    /// (see [`LedgerOptions`](crate::LedgerOptions)) does not come back.
    UpdateResurrects,
}

/// How the conflicts of a table are resolved.
///
/// ```
/// use syncdb::{DeletionPolicy, Policy, SetBias, Strategy};
/// let policy = Policy::new(Strategy::LastWriteWins)
///     .column("likes", Strategy::Counter)
///     .column("tags", Strategy::Set(SetBias::AddWins))
///     .group(["latitude", "longitude"])
///     .deletion(DeletionPolicy::UpdateResurrects);
/// let json = serde_json::to_string(&policy).unwrap();
/// assert!(json.contains(r#""likes":"counter","tags":{"set":"add_wins"}"#));
/// assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// For all columns that are not named, and for groups.
    pub strategy: Strategy,
    /// For single columns.
    pub columns: BTreeMap<Text, Strategy>,
    /// Columns that have one meaning together: either all keep what the server has or all take what the replica
    /// sends. Resolved by [`Policy::strategy`], which has to be one of the first three then.
    pub groups: Vec<Vec<Text>>,
    /// What happens when a deletion meets an update.
    pub deletion: DeletionPolicy,
}

impl Policy {
    /// One strategy for all columns.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            ..Self::default()
        }
    }

    /// Sets the strategy of a column.
    #[must_use]
    pub fn column(mut self, name: impl Into<Text>, strategy: Strategy) -> Self {
        self.columns.insert(name.into(), strategy);
        self
    }

    /// Adds columns that stand or fall together.
    #[must_use]
    pub fn group<T: Into<Text>>(mut self, columns: impl IntoIterator<Item = T>) -> Self {
        self.groups
            .push(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Sets what happens when a deletion meets an update.
    #[must_use]
    pub fn deletion(mut self, deletion: DeletionPolicy) -> Self {
        self.deletion = deletion;
        self
    }

    /// The strategy of a column.
    pub fn of(&self, column: &str) -> &Strategy {
        self.columns.get(column).unwrap_or(&self.strategy)
    }

    /// The columns that stand or fall together with this one, itself among them.
    pub fn group_of(&self, column: &str) -> Option<&[Text]> {
        let mut groups = self.groups.iter();
        let found = groups.find(|group| group.iter().any(|name| name == column));
        found.map(Vec::as_slice)
    }

    /// The policy with other names for its columns; columns without one are left out.
    pub(crate) fn renamed(&self, name: &dyn Fn(&Text) -> Option<Text>) -> Self {
        let columns = self.columns.iter();
        let groups = self.groups.iter().map(|group| {
            let named = group.iter().filter_map(name);
            named.collect::<Vec<_>>()
        });
        Self {
            strategy: self.strategy.clone(),
            columns: columns
                .filter_map(|(column, strategy)| Some((name(column)?, strategy.clone())))
                .collect(),
            groups: groups.filter(|group| !group.is_empty()).collect(),
            deletion: self.deletion,
        }
    }

    /// The names of the custom functions that it calls.
    pub fn functions(&self) -> impl Iterator<Item = &Text> {
        let all = std::iter::once(&self.strategy).chain(self.columns.values());
        all.filter_map(|strategy| match strategy {
            Strategy::Custom(name) => Some(name),
            _ => None,
        })
    }

    /// Checks that the policy fits a table.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for a column that the table has not or that is of its key, a counter that holds no
    /// numbers, a set that is no list, a column in two groups or with a strategy beside its group's, and a group in a
    /// table whose strategy does not choose between whole values.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        let wrong =
            |what: String| Err(Error::invalid(what).at(format!("policy of `{}`", schema.name)));
        if matches!(self.strategy, Strategy::Counter | Strategy::Set(_)) {
            return wrong("counters and sets are declared column by column".to_owned());
        }
        let mut grouped = BTreeSet::new();
        for column in self.columns.keys().chain(self.groups.iter().flatten()) {
            match schema.position(column) {
                None => return wrong(format!("there is no column `{column}`")),
                Some(position) if position < schema.key_columns => {
                    return wrong(format!(
                        "column `{column}` is of the key, which never changes"
                    ));
                }
                Some(_) => {}
            }
        }
        for column in self.groups.iter().flatten() {
            if !grouped.insert(column) || self.columns.contains_key(column) {
                return wrong(format!(
                    "column `{column}` is in two groups, or has a strategy beside its group's"
                ));
            }
        }
        if !self.groups.is_empty() && !self.strategy.takes_whole_values() {
            return wrong("a group is resolved by last write, server or client".to_owned());
        }
        for (column, strategy) in &self.columns {
            let ty = schema.position(column).and_then(|at| schema.fields.get(at));
            let ty = ty.map(|field| &field.ty);
            let fits = match strategy {
                Strategy::Counter => {
                    matches!(ty, Some(FieldType::Int | FieldType::Float | FieldType::Any))
                }
                Strategy::Set(_) => matches!(ty, Some(FieldType::List(_) | FieldType::Any)),
                _ => true,
            };
            if !fits {
                return wrong(format!(
                    "column `{column}` cannot be a {strategy:?}: a counter holds numbers, a set is a list"
                ));
            }
        }
        Ok(())
    }
}

impl Strategy {
    /// Whether it keeps the one value or the other, by who wrote them and when.
    pub const fn takes_whole_values(&self) -> bool {
        matches!(
            self,
            Self::LastWriteWins | Self::ServerWins | Self::ClientWins
        )
    }
}

#[cfg(test)]
mod tests {
    use common::schema::Field;

    use super::*;

    fn schema() -> Schema {
        Schema::build("t", ["id"])
            .field(Field::new("id", FieldType::Int))
            .field(Field::new("a", FieldType::Int))
            .field(Field::new("b", FieldType::Text))
            .field(Field::new("c", FieldType::List(Box::new(FieldType::Int))))
            .finish()
            .unwrap()
    }

    #[test]
    fn a_policy_that_does_not_fit_the_table_is_refused() {
        let schema = schema();
        let policy = Policy::default;
        let right = policy()
            .column("a", Strategy::Counter)
            .column("c", Strategy::Set(SetBias::RemoveWins))
            .group(["b"]);
        right.check(&schema).unwrap();
        let wrong = [
            Policy::new(Strategy::Counter),
            policy().column("x", Strategy::Max),
            policy().column("id", Strategy::Max),
            policy().column("b", Strategy::Counter),
            policy().column("a", Strategy::Set(SetBias::AddWins)),
            policy().group(["a", "b"]).group(["b"]),
            policy().group(["a"]).column("a", Strategy::Max),
            Policy::new(Strategy::Max).group(["a"]),
        ];
        for policy in wrong {
            assert!(policy.check(&schema).is_err(), "{policy:?}");
        }
    }
}
