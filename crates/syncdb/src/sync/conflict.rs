//! Which of two concurrent values of a column stands: a pure function of their stamps and the table's rule.

use std::fmt;

use common::versioning::{Hlc, ReplicaId};
use serde::{Deserialize, Serialize};

use super::ledger::Side;

/// How the conflicts of a table are resolved, column by column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The value with the later stamp stands; with equal stamps, that of the replica whose name is greater.
    #[default]
    LastWriteWins,
    /// What the server has stands.
    ServerWins,
    /// What the replica sends stands.
    ClientWins,
}

/// The rule by which one conflict was resolved, as the ledger names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// [`Strategy::LastWriteWins`]
    LastWriteWins,
    /// [`Strategy::ServerWins`]
    ServerWins,
    /// [`Strategy::ClientWins`]
    ClientWins,
    /// A deletion met an update: the deletion stands, whatever the strategy.
    DeleteWins,
}

impl Rule {
    const ALL: [Self; 4] = [
        Self::LastWriteWins,
        Self::ServerWins,
        Self::ClientWins,
        Self::DeleteWins,
    ];

    /// The rule's name, as stored and sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastWriteWins => "last_write_wins",
            Self::ServerWins => "server_wins",
            Self::ClientWins => "client_wins",
            Self::DeleteWins => "delete_wins",
        }
    }

    /// The rule of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who wrote a value, and when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// When.
    pub stamp: Hlc,
    /// By whom; breaks ties.
    pub replica: ReplicaId,
}

/// Whose value stands when both sides have written a column without having seen the other's.
///
/// The answer does not depend on the order in which the two arrive, except where the strategy says so.
///
/// ```
/// use common::versioning::Hlc;
/// use syncdb::sync::conflict::{Rule, Strategy, Written, resolve};
/// use syncdb::sync::ledger::Side;
/// let written = |stamp, replica: &str| Written { stamp: Hlc(stamp), replica: replica.into() };
/// let (early, late) = (written(1, "b"), written(2, "a"));
/// assert_eq!(resolve(Strategy::LastWriteWins, &early, &late), (Rule::LastWriteWins, Side::Client));
/// assert_eq!(resolve(Strategy::LastWriteWins, &late, &early), (Rule::LastWriteWins, Side::Server));
/// assert_eq!(resolve(Strategy::ServerWins, &early, &late), (Rule::ServerWins, Side::Server));
/// ```
pub fn resolve(strategy: Strategy, server: &Written, client: &Written) -> (Rule, Side) {
    match strategy {
        Strategy::LastWriteWins if client > server => (Rule::LastWriteWins, Side::Client),
        Strategy::LastWriteWins => (Rule::LastWriteWins, Side::Server),
        Strategy::ServerWins => (Rule::ServerWins, Side::Server),
        Strategy::ClientWins => (Rule::ClientWins, Side::Client),
    }
}
