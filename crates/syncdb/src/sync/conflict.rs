//! What stands when two sides wrote a column without having seen each other's value: a pure function of both
//! values, of who wrote them and when, and of the column's strategy.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use common::versioning::{Hlc, ReplicaId};
use common::{Error, RecordId, Result, Text, Value};
use serde::{Deserialize, Serialize};

use super::planted::{self, Bug};
pub use super::policy::{DeletionPolicy, Policy, SetBias, Strategy};

/// The rule by which one conflict was resolved, as the ledger names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Rule {
    /// [`Strategy::LastWriteWins`]
    LastWriteWins,
    /// [`Strategy::ServerWins`]
    ServerWins,
    /// [`Strategy::ClientWins`]
    ClientWins,
    /// [`Strategy::Max`]
    Max,
    /// [`Strategy::Min`]
    Min,
    /// [`SetBias::AddWins`]: an element that one side removed was added by another.
    AddWins,
    /// [`SetBias::RemoveWins`]: an element that one side added was removed by another.
    RemoveWins,
    /// [`Strategy::Custom`], with the function's name.
    Custom(Text),
    /// A deletion met an update: the deletion stands.
    DeleteWins,
    /// A deletion met an update: the update stands.
    UpdateResurrects,
    /// Somebody asked for what had lost; see [`LedgerEntry::reverts`](crate::LedgerEntry::reverts).
    Revert,
}

const CUSTOM: &str = "custom:";

impl Rule {
    /// The rule's name, as stored and sent.
    pub fn name(&self) -> Text {
        Text::from(match self {
            Self::LastWriteWins => "last_write_wins",
            Self::ServerWins => "server_wins",
            Self::ClientWins => "client_wins",
            Self::Max => "max",
            Self::Min => "min",
            Self::AddWins => "add_wins",
            Self::RemoveWins => "remove_wins",
            Self::Custom(name) => return Text::new(format!("{CUSTOM}{name}")),
            Self::DeleteWins => "delete_wins",
            Self::UpdateResurrects => "update_resurrects",
            Self::Revert => "revert",
        })
    }

    /// The rule of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "last_write_wins" => Self::LastWriteWins,
            "server_wins" => Self::ServerWins,
            "client_wins" => Self::ClientWins,
            "max" => Self::Max,
            "min" => Self::Min,
            "add_wins" => Self::AddWins,
            "remove_wins" => Self::RemoveWins,
            "delete_wins" => Self::DeleteWins,
            "update_resurrects" => Self::UpdateResurrects,
            "revert" => Self::Revert,
            other => Self::Custom(other.strip_prefix(CUSTOM)?.into()),
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.name().to_string()
    }
}

impl TryFrom<String> for Rule {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::from_name(&name).ok_or_else(|| Error::invalid(format!("there is no rule `{name}`")))
    }
}

/// Who wrote a value, and when. The later one is the greater one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// When.
    pub stamp: Hlc,
    /// By whom; breaks ties. Empty for a write at the server.
    pub replica: ReplicaId,
    /// In which of its mutations; 0 for a write at the server.
    pub client_seq: u64,
}

/// Two values of one column, written by sides that had not seen each other's.
#[derive(Debug, Clone, Copy)]
pub struct Meeting<'a> {
    /// Name of the table.
    pub table: &'a str,
    /// Which row.
    pub key: &'a RecordId,
    /// Name of the column.
    pub column: &'a str,
    /// What both sides started from; `None` when that is not known, or there was no row.
    pub base: Option<&'a Value>,
    /// What the server has.
    pub server: &'a Value,
    /// Who wrote it, and when.
    pub server_written: &'a Written,
    /// What the replica sends.
    pub client: &'a Value,
    /// Who wrote it, and when.
    pub client_written: &'a Written,
}

/// A custom strategy: from two values that met to the one that stands.
///
/// It has to be deterministic and to look at nothing but its argument. Where replicas may sync in any order, it should
/// give the same whichever of the two is the server's. An error rejects the mutation with its message.
pub type MergeFunction = Arc<dyn Fn(&Meeting<'_>) -> Result<Value> + Send + Sync>;

/// Custom strategies by name.
pub type MergeFunctions = BTreeMap<Text, MergeFunction>;

/// Which value stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The server's.
    Server,
    /// The replica's.
    Client,
    /// Another one.
    Merged(Value),
}

/// Decides between two whole values by who wrote them and when; for the strategies that
/// [take whole values](Strategy::takes_whole_values), any other being taken for the default.
///
/// ```
/// use common::versioning::Hlc;
/// use syncdb::sync::conflict::{Rule, Strategy, Verdict, Written, choose};
/// let written = |stamp, replica: &str| Written { stamp: Hlc(stamp), replica: replica.into(), client_seq: 1 };
/// let (early, late) = (written(1, "b"), written(2, "a"));
/// assert_eq!(choose(&Strategy::LastWriteWins, &early, &late), (Rule::LastWriteWins, Verdict::Client));
/// assert_eq!(choose(&Strategy::LastWriteWins, &late, &early), (Rule::LastWriteWins, Verdict::Server));
/// assert_eq!(choose(&Strategy::ServerWins, &early, &late), (Rule::ServerWins, Verdict::Server));
/// ```
pub fn choose(strategy: &Strategy, server: &Written, client: &Written) -> (Rule, Verdict) {
    match strategy {
        Strategy::ServerWins => (Rule::ServerWins, Verdict::Server),
        Strategy::ClientWins => (Rule::ClientWins, Verdict::Client),
        _ if planted::has(Bug::ResolverByArrival) => (Rule::LastWriteWins, Verdict::Client),
        _ if planted::has(Bug::TieByArrival) && client.stamp == server.stamp => {
            (Rule::LastWriteWins, Verdict::Client)
        }
        _ if client > server => (Rule::LastWriteWins, Verdict::Client),
        _ => (Rule::LastWriteWins, Verdict::Server),
    }
}

/// Decides between two values that met.
///
/// # Errors
/// What a custom function fails with; [`common::ErrorKind::Invalid`] when there is none of its name.
pub fn resolve(
    strategy: &Strategy,
    meeting: &Meeting<'_>,
    functions: &MergeFunctions,
) -> Result<(Rule, Verdict)> {
    let of = |order: Ordering| match order {
        Ordering::Less => Verdict::Client,
        _ => Verdict::Server,
    };
    Ok(match strategy {
        Strategy::Max => (Rule::Max, of(extreme(meeting.server, meeting.client))),
        Strategy::Min => (Rule::Min, of(least(meeting.server, meeting.client))),
        Strategy::Custom(name) => {
            let function = functions.get(name).ok_or_else(|| {
                Error::invalid(format!("no merge function `{name}` is registered"))
            })?;
            let value =
                function(meeting).map_err(|error| error.at(format!("merge function `{name}`")))?;
            let verdict = if value == *meeting.server {
                Verdict::Server
            } else if value == *meeting.client {
                Verdict::Client
            } else {
                Verdict::Merged(value)
            };
            (Rule::Custom(name.clone()), verdict)
        }
        other => choose(other, meeting.server_written, meeting.client_written),
    })
}

/// Any value is more than none.
fn extreme(server: &Value, client: &Value) -> Ordering {
    server.cmp(client)
}

/// Any value is less than none.
fn least(server: &Value, client: &Value) -> Ordering {
    match (server.is_null(), client.is_null()) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => client.cmp(server),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_name_back() {
        let rules = [
            Rule::LastWriteWins,
            Rule::ServerWins,
            Rule::ClientWins,
            Rule::Max,
            Rule::Min,
            Rule::AddWins,
            Rule::RemoveWins,
            Rule::Custom("mean".into()),
            Rule::DeleteWins,
            Rule::UpdateResurrects,
            Rule::Revert,
        ];
        for rule in rules {
            assert_eq!(Rule::from_name(&rule.name()), Some(rule));
        }
        assert_eq!(Rule::from_name("coin"), None);
    }

    #[test]
    fn null_is_never_the_extreme() {
        let (null, one, two) = (Value::Null, Value::from(1), Value::from(2));
        assert_eq!(extreme(&null, &one), Ordering::Less);
        assert_eq!(extreme(&one, &null), Ordering::Greater);
        assert_eq!(least(&null, &one), Ordering::Less);
        assert_eq!(least(&one, &null), Ordering::Greater);
        assert_eq!(least(&two, &one), Ordering::Less);
        assert_eq!(least(&one, &two), Ordering::Greater);
    }
}
