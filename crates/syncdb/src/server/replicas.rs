//! What a server knows of each replica, for those who administer it.

use std::collections::BTreeMap;

use common::versioning::ReplicaId;
use common::{Result, Seq, Text, Timestamp};
use serde::Serialize;

use super::SyncServer;
use crate::sync::protocol::Outcome;
use crate::sync::system::{read_all, read_number, read_text};
use crate::sync::wire;

/// A replica as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientStatus {
    /// Which replica.
    pub replica: ReplicaId,
    /// On whose behalf it pushed.
    pub principal: Option<Text>,
    /// Number of its last mutation that was answered; 0 when it has pushed nothing.
    pub last_mutation: u64,
    /// It has received the outcomes up to this mutation.
    pub acknowledged: u64,
    /// The last commit that it has, as far as was heard.
    pub cursor: Option<Seq>,
    /// When it was last heard of.
    pub last_heard: Option<Timestamp>,
    /// Its version of the application's tables; 0 without a lineage.
    pub version: u32,
}

/// A mutation that the server refused, and whose outcome it remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedMutation {
    /// The replica that it came from.
    pub replica: ReplicaId,
    /// Its number there.
    pub client_seq: u64,
    /// The commit that noted it.
    pub seq: Seq,
    /// Name of the kind of error.
    pub code: Text,
    /// The reason.
    pub message: Text,
}

impl SyncServer {
    /// The replicas that have pushed, or that were heard of since the server was set up, by name.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when a table of sync was written by somebody else.
    pub fn clients(&self) -> Result<Vec<ClientStatus>> {
        let mut clients = BTreeMap::new();
        for record in read_all(&self.core.db, &self.core.tables.clients)? {
            let replica = ReplicaId(read_text(&record, 0)?);
            let client = ClientStatus {
                principal: record.get(3).and_then(|name| name.as_text()).map(Text::new),
                last_mutation: read_number(&record, 1)?,
                acknowledged: read_number(&record, 2)?,
                ..ClientStatus::nothing_of(&replica)
            };
            clients.insert(replica, client);
        }
        for (replica, cursor, seen, version) in self.horizon.heard() {
            let client = clients
                .entry(replica.clone())
                .or_insert_with(|| ClientStatus::nothing_of(&replica));
            client.cursor = Some(cursor);
            client.last_heard = Some(seen);
            client.version = version;
        }
        Ok(clients.into_values().collect())
    }

    /// The mutations that were refused, of those whose outcomes are remembered, by replica and number. What they were to do
    /// is kept whole at the replica.
    ///
    /// # Errors
    /// As [`SyncServer::clients`].
    pub fn rejected(&self) -> Result<Vec<RejectedMutation>> {
        let mut rejected = Vec::new();
        for record in read_all(&self.core.db, &self.core.tables.outcomes)? {
            let outcome = wire::read_outcome(&record.get(4).cloned().unwrap_or_default())?;
            if let Outcome::Rejected(rejection) = outcome {
                rejected.push(RejectedMutation {
                    replica: ReplicaId(read_text(&record, 0)?),
                    client_seq: read_number(&record, 1)?,
                    seq: Seq(read_number(&record, 2)?),
                    code: rejection.code,
                    message: rejection.message,
                });
            }
        }
        rejected.sort_by(|a, b| (&a.replica, a.client_seq).cmp(&(&b.replica, b.client_seq)));
        Ok(rejected)
    }
}

impl ClientStatus {
    fn nothing_of(replica: &ReplicaId) -> Self {
        Self {
            replica: replica.clone(),
            principal: None,
            last_mutation: 0,
            acknowledged: 0,
            cursor: None,
            last_heard: None,
            version: 0,
        }
    }
}
