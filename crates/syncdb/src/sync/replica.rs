//! [`Replica`]: what a session works on: a replica's rows, its queue and where it stands.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use common::schema::Schema;
use common::versioning::ReplicaId;
use common::{Collection, Database, Error, Record, Result, Seq, Text, Transaction, Value};
use parking_lot::{Mutex, RwLock};

use super::apply::Apply;
use super::dictionaries::{self, Dictionaries};
use super::digest::Digest;
use super::holdings::Holdings;
use super::pinned::Own;
use super::policy::Policy;
use super::protocol::{Block, Commit, ScopeId, SentDictionary, is_system};
use super::queue;
use super::references::{INDEXED_ROWS_MAX, KeyIndex};
use super::reshape::{Reshape, check_pinned, upgrade};
use super::subscription::{Having, Kept, Subscriptions};
use super::system::{ReplicaTables, State, SyncedTables, damaged};
use crate::migration::Lineage;
use crate::payload::DictionaryId;

/// A replica's database with the tables that sync keeps in it.
pub(crate) struct Replica {
    pub(crate) db: Database,
    pub(crate) name: ReplicaId,
    pub(crate) tables: ReplicaTables,
    synced: RwLock<Arc<SyncedTables>>,
    subscriptions: RwLock<Arc<Subscriptions>>,
    digests: Mutex<Tracked>,
    keys: Mutex<KeyIndex>,
    dictionary_rows: Collection,
    dictionaries: RwLock<Dictionaries>,
    /// The chain of versions that the application carries.
    pub(crate) lineage: Option<Lineage>,
}

/// A staged frame, and the slot of the scope that it holds rows of.
pub(crate) type Frame = (Arc<[u8]>, Option<u32>);

/// Digests of the joined scopes as of one commit of the replica.
#[derive(Default)]
struct Tracked {
    at: Option<Seq>,
    /// Which scopes, under which rules.
    scopes: Vec<(u32, Option<ScopeId>)>,
    digests: Vec<Digest>,
}

/// What became of the rows when the server's schemas were taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// They are as they were.
    Same,
    /// Tables have other columns; the rest of what is here is as current as before.
    Reshaped,
    /// They are to be fetched anew.
    Anew,
}

impl Replica {
    pub(crate) fn open(db: Database, name: ReplicaId, lineage: Option<&Lineage>) -> Result<Self> {
        // The digests follow the log.
        db.keep_before();
        let tables = ReplicaTables::open(&db)?;
        if let Some(state) = State::load(&tables.state)?
            && state.replica != name
        {
            return Err(Error::conflict(format!(
                "the database belongs to replica `{}`, not to `{name}`",
                state.replica
            )));
        }
        // An edit is later than those that wait, also where the wall clock was set back before this restart.
        let stamped = queue::stamped(db.snapshot().view(), &tables.queue)?;
        db.clock().resume(stamped);
        if let Some(lineage) = lineage {
            upgrade(&db, &name, &tables, lineage)?;
        }
        let synced = SyncedTables::load(&db, &tables.schemas)?;
        let subscriptions = Subscriptions::read(db.snapshot().view(), &tables.subscriptions)?;
        let dictionary_rows = dictionaries::open(&db, &["table"], Vec::new())?;
        let dictionaries = dictionaries::at_replica(&db, &dictionary_rows)?;
        Ok(Self {
            db,
            name,
            tables,
            synced: RwLock::new(Arc::new(synced)),
            subscriptions: RwLock::new(Arc::new(subscriptions)),
            digests: Mutex::default(),
            keys: Mutex::default(),
            dictionaries: RwLock::new(dictionaries),
            dictionary_rows,
            lineage: lineage.cloned(),
        })
    }

    /// The digest of all that is joined, as of now.
    pub(crate) fn digest(&self) -> Result<Digest> {
        let digests = self.digests()?;
        Ok(digests
            .into_iter()
            .fold(Digest::default(), |sum, (_, digest)| sum.plus(digest)))
    }

    /// The digest of each joined scope, by slot.
    pub(crate) fn digests(&self) -> Result<Vec<(u32, Digest)>> {
        let snapshot = self.db.snapshot();
        let subscriptions = self.subscriptions();
        let joined = subscriptions.kept.iter();
        let joined: Vec<&Kept> = joined
            .filter(|kept| kept.having == Having::Joined)
            .collect();
        let scopes = joined
            .iter()
            .map(|kept| (kept.slot, kept.grant.as_ref().map(|grant| grant.id)));
        let scopes: Vec<(u32, Option<ScopeId>)> = scopes.collect();
        let synced = self.synced();
        let held = Holdings {
            db: &self.db,
            view: snapshot.view(),
            members: &self.tables.members,
            synced: &synced,
            subscriptions: &subscriptions,
            scopes: &joined,
        };
        let mut tracked = self.digests.lock();
        let known = tracked
            .at
            .filter(|at| *at <= snapshot.seq() && tracked.scopes == scopes);
        let advanced = match known {
            Some(at) => held.advance(at, snapshot.seq(), &tracked.digests)?,
            None => None,
        };
        let digests = match advanced {
            Some(digests) => digests,
            None => {
                let (digests, keys) = held.count(self.reads_references())?;
                self.keys.lock().fill(snapshot.seq(), keys);
                digests
            }
        };
        tracked.at = Some(snapshot.seq());
        tracked.scopes.clone_from(&scopes);
        tracked.digests.clone_from(&digests);
        let slots = scopes.into_iter().map(|(slot, _)| slot);
        Ok(slots.zip(digests).collect())
    }

    /// Whether rows are found here by references.
    pub(crate) fn reads_references(&self) -> bool {
        let synced = self.synced();
        let rows = synced.by_name.values().map(|table| table.collection.len());
        rows.sum::<usize>() <= INDEXED_ROWS_MAX
    }

    /// The blocks whose rows are named by references, with their keys; `None` when some row is not to be found.
    pub(crate) fn resolve(&self, commit: &mut Commit) -> Result<Option<Vec<Block>>> {
        let referred = std::mem::take(&mut commit.referred);
        let synced = self.synced();
        self.keys
            .lock()
            .resolve(&self.db, &synced, referred, commit.keys)
    }

    /// The rows of one scope in order, with their hashes.
    pub(crate) fn own(&self, slot: u32) -> Result<Own> {
        let snapshot = self.db.snapshot();
        let subscriptions = self.subscriptions();
        let of_slot = subscriptions.kept.iter();
        let of_slot: Vec<&Kept> = of_slot.filter(|kept| kept.slot == slot).collect();
        let held = Holdings {
            db: &self.db,
            view: snapshot.view(),
            members: &self.tables.members,
            synced: &self.synced(),
            subscriptions: &subscriptions,
            scopes: &of_slot,
        };
        held.rows(&self.tables.queue)
    }

    pub(crate) fn synced(&self) -> Arc<SyncedTables> {
        Arc::clone(&self.synced.read())
    }

    pub(crate) fn subscriptions(&self) -> Arc<Subscriptions> {
        Arc::clone(&self.subscriptions.read())
    }

    /// The shared dictionaries that are here, one for each table at most.
    pub(crate) fn dictionaries(&self) -> Dictionaries {
        self.dictionaries.read().clone()
    }

    /// Takes over the shared dictionaries that the server gave, and forgets those that it no longer has. Returns
    /// whether that changed anything.
    pub(crate) fn take_dictionaries(
        &self,
        given: &[SentDictionary],
        lost: &[DictionaryId],
    ) -> Result<bool> {
        if given.is_empty() && lost.is_empty() {
            return Ok(false);
        }
        let synced = self.synced();
        let has_table = |name: &str| synced.by_name.contains_key(name);
        let here = self.dictionaries();
        let mut tx = self.db.begin();
        let rows = &self.dictionary_rows;
        let now = dictionaries::take_over(&mut tx, rows, &here, given, lost, has_table)?;
        let Some(now) = now else {
            return Ok(false);
        };
        tx.commit()?;
        *self.dictionaries.write() = now;
        Ok(true)
    }

    /// Notes what the subscriptions are, after the commit that wrote them.
    pub(crate) fn subscriptions_are(&self, subscriptions: Subscriptions) {
        *self.subscriptions.write() = Arc::new(subscriptions);
    }

    /// Takes away the rows that only ended subscriptions cover, unless others are still to arrive in their place.
    pub(crate) fn drop_ended(
        &self,
        tx: &mut Transaction<'_>,
        subscriptions: &mut Subscriptions,
    ) -> Result<()> {
        if subscriptions.await_any() {
            return Ok(());
        }
        let ended = subscriptions.kept.iter().filter(|kept| kept.leaving);
        let ended: Vec<(u32, u64)> = ended.map(|kept| (kept.slot, kept.bit())).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let synced = self.synced();
        for (slot, bit) in ended {
            let held = subscriptions.held();
            if held & bit != 0 {
                let mut apply = Apply {
                    tx: &mut *tx,
                    tables: &synced,
                    members: &self.tables.members,
                    queue: &self.tables.queue,
                    waits: true,
                    subscriptions: &*subscriptions,
                    held,
                    rows: 0,
                };
                apply.take_away(bit, &HashMap::new())?;
                apply.held &= !bit;
                apply.forget_notes()?;
            }
            subscriptions.remove(tx, &self.tables.subscriptions, slot)?;
        }
        Ok(())
    }

    /// Adds, changes or ends subscriptions, and takes away what none covers any more.
    pub(crate) fn resubscribe(
        &self,
        change: impl FnOnce(&mut Subscriptions) -> Result<bool>,
    ) -> Result<bool> {
        let mut tx = self.db.begin();
        let mut subscriptions = Subscriptions::clone(&self.subscriptions());
        if !change(&mut subscriptions)? {
            return Ok(false);
        }
        // What is being received may be of a scope that is no longer wanted.
        let mut state = State::read(&tx, &self.tables.state, &self.name)?;
        self.tables.clear_staged(&mut tx, &mut state)?;
        state.write(&mut tx, &self.tables.state)?;
        self.drop_ended(&mut tx, &mut subscriptions)?;
        subscriptions.write(&mut tx, &self.tables.subscriptions)?;
        tx.commit()?;
        self.subscriptions_are(subscriptions);
        Ok(true)
    }

    /// The frames that are staged, in order, with the slot of the scope that they are rows of.
    pub(crate) fn staged(&self, tx: &Transaction<'_>) -> Result<Vec<Frame>> {
        let mut records = Vec::new();
        tx.view().scan(&self.tables.blocks, &mut |chunk| {
            records.extend_from_slice(chunk);
            ControlFlow::Continue(())
        })?;
        records.sort_by(|a, b| a.key().cmp(b.key()));
        let read = |record: &Record| {
            let Some(Value::Bytes(bytes)) = record.get(1) else {
                return Err(damaged(1));
            };
            let slot = record.get(2).and_then(Value::as_int);
            let slot = slot.map(|slot| u32::try_from(slot).map_err(|_| damaged(2)));
            Ok((Arc::clone(bytes), slot.transpose()?))
        };
        records.iter().map(read).collect()
    }

    /// Takes over the server's schemas, in one commit.
    pub(crate) fn adopt(
        &self,
        schemas: &[Schema],
        policies: &BTreeMap<Text, Policy>,
        version: u32,
    ) -> Result<Adopted> {
        let synced = self.synced();
        for schema in schemas {
            schema.check()?;
            if is_system(&schema.name) {
                return Err(Error::corrupt(format!(
                    "the server announces `{}`, a name that sync keeps for itself",
                    schema.name
                )));
            }
        }
        let mut tx = self.db.begin();
        let mut state = State::read(&tx, &self.tables.state, &self.name)?;
        if state.pinned {
            check_pinned(&synced, schemas, state.version)?;
        }
        let kept = self.subscriptions();
        let reshape = Reshape {
            subscriptions: &kept,
            db: &self.db,
            tables: &self.tables,
            synced: &synced,
            schemas,
            policies,
            lineage: None,
        };
        let work = reshape.plan()?;
        let adopted = match work.reshaped {
            false => Adopted::Same,
            true if state.version != 0 && version != 0 && work.same_keys => Adopted::Reshaped,
            true => Adopted::Anew,
        };
        let mut subscriptions = Subscriptions::clone(&kept);
        if adopted == Adopted::Reshaped {
            self.tables.clear_staged(&mut tx, &mut state)?;
            let here = reshape.schemas_here();
            subscriptions.of_another_version(state.version, &|want| reshape.renamed(want), &here);
            subscriptions.write(&mut tx, &self.tables.subscriptions)?;
        }
        if work.reshaped {
            // What waits stands as it was written: an edit of the tables as they are from now on is one of its own.
            state.sent = state.next - 1;
        }
        if !state.pinned {
            state.version = version;
        }
        state.write(&mut tx, &self.tables.state)?;
        reshape.write_schemas(&mut tx)?;
        tx.commit_altered(work.alterations)?;
        if adopted == Adopted::Reshaped {
            self.subscriptions_are(subscriptions);
        }
        *self.synced.write() = Arc::new(SyncedTables::load(&self.db, &self.tables.schemas)?);
        *self.digests.lock() = Tracked::default();
        Ok(adopted)
    }

    /// Number of operations in the queue.
    pub(crate) fn pending(&self) -> usize {
        self.tables.queue.len()
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replica({})", self.name)
    }
}
