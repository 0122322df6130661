//! How far the replicas have come, and so how much of the log is still needed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::versioning::ReplicaId;
use common::{Collection, Database, Result, Seq, Text, Timestamp, Value};
use parking_lot::Mutex;
use serde::Serialize;

use super::system::{damaged, number, read_number, read_text};

/// Replicas whose positions are kept; beyond, the one heard of longest ago is forgotten, as if it had not come back.
const REPLICAS_MAX: usize = 100_000;
/// Versions of which it is counted how often they were turned away.
const VERSIONS_MAX: usize = 1_000;

/// The positions of the replicas that were heard of, about 100 bytes each.
#[derive(Default)]
pub(crate) struct Horizon {
    heard: Mutex<BTreeMap<ReplicaId, Heard>>,
    /// How many requests of each version were turned away since the server was set up.
    turned_away: Mutex<BTreeMap<u32, u64>>,
}

/// What was last heard of a replica.
#[derive(Debug, Clone, Copy)]
struct Heard {
    cursor: Seq,
    seen: Timestamp,
    /// Of the application's tables; 0 without a lineage.
    version: u32,
}

/// A version of the application's tables that replicas were heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionInUse {
    /// Its number.
    pub version: u32,
    /// Number of replicas of it that were heard of within [`SyncServerOptions::active_days`](crate::SyncServerOptions::active_days),
    /// or since.
    pub replicas: u64,
    /// When the last of them was heard of.
    pub last_heard: Option<Timestamp>,
    /// Number of requests that were turned away because the version is not accepted, since the server was set up.
    pub turned_away: u64,
}

impl Horizon {
    /// The positions as they were kept.
    pub(crate) fn open(db: &Database, table: &Collection) -> Result<Self> {
        let mut heard = BTreeMap::new();
        let mut failed = None;
        db.snapshot().view().scan(table, &mut |records| {
            for record in records {
                let seen = record.get(2).and_then(Value::as_timestamp);
                let read = || -> Result<(Text, Heard)> {
                    let version = read_number(record, 3)?;
                    let one = Heard {
                        cursor: Seq(read_number(record, 1)?),
                        seen: seen.ok_or_else(|| damaged(2))?,
                        version: u32::try_from(version).map_err(|_| damaged(3))?,
                    };
                    Ok((read_text(record, 0)?, one))
                };
                match read() {
                    Ok((name, one)) => drop(heard.insert(ReplicaId(name), one)),
                    Err(error) => {
                        failed = Some(error.at("sync_readers"));
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(Self {
                heard: Mutex::new(heard),
                turned_away: Mutex::default(),
            }),
        }
    }

    /// Notes that a replica has everything up to a commit.
    pub(crate) fn hear(&self, replica: &ReplicaId, version: u32, cursor: Seq, now: Timestamp) {
        let mut heard = self.heard.lock();
        let one = Heard {
            cursor,
            seen: now,
            version,
        };
        heard.insert(replica.clone(), one);
        if heard.len() > REPLICAS_MAX {
            let oldest = heard.iter().min_by_key(|(_, one)| one.seen);
            if let Some(oldest) = oldest.map(|(replica, _)| replica.clone()) {
                heard.remove(&oldest);
            }
        }
    }

    /// Notes that a request was turned away because of its version.
    pub(crate) fn turn_away(&self, version: u32) {
        let mut turned_away = self.turned_away.lock();
        // Whoever makes up versions is counted with the highest that fits.
        let full = turned_away.len() >= VERSIONS_MAX && !turned_away.contains_key(&version);
        let version = if full { u32::MAX } else { version };
        let count = turned_away.entry(version).or_default();
        *count = count.saturating_add(1);
    }

    /// Each replica with the commit up to which it has everything, when that was heard, and its version.
    pub(crate) fn heard(&self) -> Vec<(ReplicaId, Seq, Timestamp, u32)> {
        let heard = self.heard.lock();
        let all = heard.iter();
        all.map(|(replica, one)| (replica.clone(), one.cursor, one.seen, one.version))
            .collect()
    }

    /// The versions that were heard of since a time, and those that were turned away.
    pub(crate) fn versions(&self, since: Timestamp) -> Vec<VersionInUse> {
        let mut versions: BTreeMap<u32, VersionInUse> = BTreeMap::new();
        let of = |version: u32| VersionInUse {
            version,
            replicas: 0,
            last_heard: None,
            turned_away: 0,
        };
        for one in self.heard.lock().values().filter(|one| one.seen >= since) {
            let version = one.version;
            let found = versions.entry(version).or_insert_with(|| of(version));
            found.replicas += 1;
            found.last_heard = found.last_heard.max(Some(one.seen));
        }
        for (version, count) in self.turned_away.lock().iter() {
            let found = versions.entry(*version).or_insert_with(|| of(*version));
            found.turned_away = *count;
        }
        versions.into_values().collect()
    }

    /// The commit up to which all replicas heard of since a time have everything, or `last` when there are none;
    /// keeps the positions in the table and forgets the replicas that were not heard of.
    pub(crate) fn settle(
        &self,
        db: &Database,
        table: &Collection,
        since: Timestamp,
        last: Seq,
    ) -> Result<Seq> {
        let mut heard = self.heard.lock();
        let mut tx = db.begin();
        let mut horizon = last;
        let mut gone = Vec::new();
        for (replica, one) in heard.iter() {
            if one.seen < since {
                gone.push(replica.clone());
                continue;
            }
            horizon = horizon.min(one.cursor);
            let row = [
                Value::Text(replica.0.clone()),
                number(one.cursor.0),
                Value::Timestamp(one.seen),
                Value::from(one.version),
            ];
            tx.upsert_values(table, row)?;
        }
        for replica in gone {
            heard.remove(&replica);
            if tx.get(table, replica.0.clone())?.is_some() {
                tx.delete(table, replica.0.clone())?;
            }
        }
        tx.commit()?;
        Ok(horizon)
    }
}
