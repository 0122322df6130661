//! How far the replicas have come, and so how much of the log is still needed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use common::versioning::ReplicaId;
use common::{Collection, Database, Result, Seq, Text, Timestamp, Value};
use parking_lot::Mutex;

use super::system::{damaged, number, read_number, read_text};

/// Replicas whose positions are kept; beyond, the one heard of longest ago is forgotten, as if it had not come back.
const REPLICAS_MAX: usize = 100_000;

/// The positions of the replicas that were heard of, about 100 bytes each.
#[derive(Default)]
pub(crate) struct Horizon {
    heard: Mutex<BTreeMap<ReplicaId, (Seq, Timestamp)>>,
}

impl Horizon {
    /// The positions as they were kept.
    pub(crate) fn open(db: &Database, table: &Collection) -> Result<Self> {
        let mut heard = BTreeMap::new();
        let mut failed = None;
        db.snapshot().view().scan(table, &mut |records| {
            for record in records {
                let seen = record.get(2).and_then(Value::as_timestamp);
                let read = || -> Result<(Text, Seq, Timestamp)> {
                    let seen = seen.ok_or_else(|| damaged(2))?;
                    Ok((read_text(record, 0)?, Seq(read_number(record, 1)?), seen))
                };
                match read() {
                    Ok((name, cursor, seen)) => drop(heard.insert(ReplicaId(name), (cursor, seen))),
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
            }),
        }
    }

    /// Notes that a replica has everything up to a commit.
    pub(crate) fn hear(&self, replica: &ReplicaId, cursor: Seq, now: Timestamp) {
        let mut heard = self.heard.lock();
        heard.insert(replica.clone(), (cursor, now));
        if heard.len() > REPLICAS_MAX {
            let oldest = heard.iter().min_by_key(|(_, (_, seen))| *seen);
            if let Some(oldest) = oldest.map(|(replica, _)| replica.clone()) {
                heard.remove(&oldest);
            }
        }
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
        for (replica, (cursor, seen)) in heard.iter() {
            if *seen < since {
                gone.push(replica.clone());
                continue;
            }
            horizon = horizon.min(*cursor);
            let row = [
                Value::Text(replica.0.clone()),
                number(cursor.0),
                Value::Timestamp(*seen),
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
