//! [`SyncReport`]: what one sync did.

use std::collections::BTreeMap;
use std::time::Duration;

use common::{RecordId, Text};
use serde::Serialize;

use super::digest::Digest;
use super::ledger::LedgerEntry;
use crate::power::Measured;

/// What one sync did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SyncReport {
    /// Rows taken in from the server.
    pub rows_received: u64,
    /// Operations on rows that the server has answered.
    pub rows_sent: u64,
    /// Bytes of all requests.
    pub bytes_up: u64,
    /// Bytes of all answers.
    pub bytes_down: u64,
    /// Number of exchanges.
    pub round_trips: u32,
    /// Number of mutations by outcome: `applied`, `resolved`, `rejected`.
    pub outcomes: BTreeMap<Text, u64>,
    /// The conflicts that this replica's mutations met; each is reported by one sync only.
    pub conflicts: Vec<LedgerEntry>,
    /// What the rows here add up to, in hexadecimal.
    pub digest_local: String,
    /// What the rows at the server add up to.
    pub digest_server: String,
    /// Whether both sides held the same rows when the sync ended. Edits made meanwhile make this false.
    pub converged: bool,
    /// Whether the digests differed at first, so that rows were compared and put right.
    pub repaired: bool,
    /// Number of rows fetched because a comparison of ranges found that they differ.
    pub rows_repaired: u64,
    /// Rows that this replica wrote and the server took, but that no subscription covers: they have left.
    pub left: Vec<(Text, RecordId)>,
    /// Subscriptions that the server does not serve, with its reason.
    pub refused: BTreeMap<Text, Text>,
}

impl SyncReport {
    /// What a scheduler wants to know of this sync, which came to its end; `cpu` is the processor time that the host has
    /// measured.
    pub const fn measured(&self, cpu: Duration) -> Measured {
        Measured {
            succeeded: true,
            cpu,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
        }
    }

    /// What two syncs of one replica did that followed each other, as one: for who leaves a session between two messages and
    /// goes on with another.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.rows_received += later.rows_received;
        self.rows_sent += later.rows_sent;
        self.bytes_up += later.bytes_up;
        self.bytes_down += later.bytes_down;
        self.round_trips += later.round_trips;
        for (outcome, count) in later.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.conflicts.extend(later.conflicts);
        self.repaired |= later.repaired;
        self.rows_repaired += later.rows_repaired;
        self.left.extend(later.left);
        self.refused.extend(later.refused);
        Self {
            digest_local: later.digest_local,
            digest_server: later.digest_server,
            converged: later.converged,
            ..self
        }
    }

    /// Notes what both sides add up to.
    pub(super) fn compare(&mut self, local: &[(u32, Digest)], server: &[(u32, Digest)]) {
        let sum = |digests: &[(u32, Digest)]| {
            let digests = digests.iter().map(|(_, digest)| *digest);
            digests.fold(Digest::default(), Digest::plus).to_string()
        };
        self.digest_local = sum(local);
        self.digest_server = sum(server);
        self.converged = local == server;
    }
}
