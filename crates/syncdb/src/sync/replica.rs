//! [`Replica`]: what a session works on: a replica's rows, its queue and where it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::schema::Schema;
use common::versioning::ReplicaId;
use common::{Committed, Database, Error, Result, Text};
use parking_lot::{Mutex, RwLock};

use super::digest::{Digest, TrackedDigest};
use super::policy::Policy;
use super::protocol::is_system;
use super::system::{ReplicaTables, State, SyncedTables, replica_schema, schema_row};

/// A replica's database with the tables that sync keeps in it.
pub(crate) struct Replica {
    pub(crate) db: Database,
    pub(crate) name: ReplicaId,
    pub(crate) tables: ReplicaTables,
    synced: RwLock<Arc<SyncedTables>>,
    digest: Mutex<TrackedDigest>,
}

impl Replica {
    pub(crate) fn open(db: Database, name: ReplicaId) -> Result<Self> {
        let tables = ReplicaTables::open(&db)?;
        if let Some(state) = State::load(&tables.state)?
            && state.replica != name
        {
            return Err(Error::conflict(format!(
                "the database belongs to replica `{}`, not to `{name}`",
                state.replica
            )));
        }
        let synced = SyncedTables::load(&db, &tables.schemas)?;
        Ok(Self {
            db,
            name,
            tables,
            synced: RwLock::new(Arc::new(synced)),
            digest: Mutex::default(),
        })
    }

    /// The digest of the synced tables as of now.
    pub(crate) fn digest(&self) -> Result<Digest> {
        let snapshot = self.db.snapshot();
        if let Some(known) = self.digest.lock().at(snapshot.seq()) {
            return Ok(known);
        }
        let synced = self.synced();
        let found = Digest::of(snapshot.view(), &synced.collections())?;
        self.digest.lock().set(snapshot.seq(), found);
        Ok(found)
    }

    pub(crate) fn synced(&self) -> Arc<SyncedTables> {
        Arc::clone(&self.synced.read())
    }

    /// Follows a commit.
    pub(crate) fn committed(&self, committed: &Committed) {
        let names = &self.synced().names;
        self.digest
            .lock()
            .advance(committed.seq, &committed.changes, names);
    }

    /// Takes over the server's schemas. Returns whether rows have to be fetched anew, because a table that was
    /// here has another shape now.
    pub(crate) fn adopt(
        &self,
        schemas: &[Schema],
        policies: &BTreeMap<Text, Policy>,
    ) -> Result<bool> {
        let synced = self.synced();
        let mut reshaped = false;
        for schema in schemas {
            schema.check()?;
            if is_system(&schema.name) {
                return Err(Error::corrupt(format!(
                    "the server announces `{}`, a name that sync keeps for itself",
                    schema.name
                )));
            }
            match (
                synced.by_name.get(&schema.name),
                self.db.collection(&schema.name),
            ) {
                (Some(known), _) if known.schema == *schema => {}
                (Some(_), _) => {
                    self.db.drop_collection(&schema.name)?;
                    self.db.create_collection(replica_schema(schema))?;
                    reshaped = true;
                }
                (None, Ok(found)) if !found.is_empty() => {
                    return Err(Error::conflict(format!(
                        "table `{}` of the server has the name of a local table with {} rows; rename that one",
                        schema.name,
                        found.len()
                    )));
                }
                (None, found) => {
                    if found.is_ok() {
                        self.db.drop_collection(&schema.name)?;
                    }
                    self.db.create_collection(replica_schema(schema))?;
                }
            }
        }
        let announced = |name: &Text| schemas.iter().any(|schema| schema.name == *name);
        let mut tx = self.db.begin();
        for name in synced.by_name.keys().filter(|name| !announced(name)) {
            tx.delete(&self.tables.schemas, name.clone())?;
        }
        for schema in schemas {
            tx.upsert_values(
                &self.tables.schemas,
                schema_row(schema, policies.get(&schema.name))?,
            )?;
        }
        tx.commit()?;
        for name in synced.by_name.keys().filter(|name| !announced(name)) {
            self.db.drop_collection(name)?;
        }
        *self.synced.write() = Arc::new(SyncedTables::load(&self.db, &self.tables.schemas)?);
        self.digest.lock().reset();
        Ok(reshaped)
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
