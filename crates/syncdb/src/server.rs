//! [`SyncServer`]: the side that every replica talks to, as a function from bytes to bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use common::utils::id_generator::{Rng, SystemRng};
use common::{Database, ErrorKind, Limits, Result, Seq, Text, Value};
use parking_lot::Mutex;
use serde::Serialize;

use crate::sync::authority::Authority;
use crate::sync::bootstrap::Bootstraps;
use crate::sync::conflict::Strategy;
use crate::sync::digest::Digest;
use crate::sync::ledger::LedgerEntry;
use crate::sync::protocol::{
    Answer, Epoch, FRAME_BYTES_MAX, News, Position, Request, frame_limits,
};
use crate::sync::push::{Client, Pushed, push};
use crate::sync::system::{
    number, read_ledger, read_number, schema_set, user_schemas, user_tables,
};
use crate::sync::{increment, wire};

/// Most changes of the log that one answer covers.
const CHANGES_MAX: usize = 8_192;
/// Most memory that the rows of one answer take.
const ANSWER_MEMORY_MAX: usize = FRAME_BYTES_MAX / 4;
const SERVER_KEY: &str = "server";

/// How a server is set up.
#[derive(Clone)]
pub struct SyncServerOptions {
    /// How the conflicts of each table are resolved; a table that is not named: [`Strategy::LastWriteWins`].
    pub strategies: BTreeMap<Text, Strategy>,
    /// Limits under which requests are read. Default: [`frame_limits`].
    pub limits: Limits,
    /// Where the name of a new log comes from. Default: the system's generator.
    pub rng: Arc<dyn Rng>,
}

impl Default for SyncServerOptions {
    fn default() -> Self {
        Self {
            strategies: BTreeMap::new(),
            limits: frame_limits(),
            rng: Arc::new(SystemRng),
        }
    }
}

impl SyncServerOptions {
    /// Sets how the conflicts of a table are resolved.
    #[must_use]
    pub fn strategy(mut self, table: impl Into<Text>, strategy: Strategy) -> Self {
        self.strategies.insert(table.into(), strategy);
        self
    }
}

/// What a server has, for people and monitors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Number of rows in all synced tables.
    pub rows: u64,
    /// Number of rows by table.
    pub tables: BTreeMap<Text, u64>,
    /// Last commit.
    pub seq: u64,
    /// Which log that commit is of, in hexadecimal.
    pub epoch: String,
    /// Number of replicas that have pushed something.
    pub clients: u64,
    /// Number of conflicts in the ledger.
    pub conflicts: u64,
}

/// The side that every replica talks to: all tables of a database whose name does not begin with `sync_`.
///
/// It does no input or output: [`SyncServer::handle`] turns a request's bytes into an answer's. Calls may come from
/// several threads. The tables can be written directly meanwhile; replicas get such changes like any other.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{row, Database, Value};
/// use syncdb::{SyncDb, SyncServer};
/// let db = Database::new();
/// let notes = db.create_collection(
///     Schema::build("notes", ["id"])
///         .field(Field::new("id", FieldType::Int))
///         .field(Field::new("text", FieldType::Text))
///         .finish()?,
/// )?;
/// notes.insert(row! { "id": 1, "text": "hello" })?;
/// let server = SyncServer::new(db)?;
///
/// let phone = SyncDb::client("phone")?;
/// let mut transport = |request: &[u8]| server.handle(request);
/// phone.sync(&mut transport)?;
/// phone.update("notes", 1, row! { "text": "hello from the phone" })?;
/// let report = phone.sync(&mut transport)?;
/// assert!(report.converged);
/// assert_eq!(notes.get(1).unwrap()[1], Value::from("hello from the phone"));
/// # Ok::<(), common::Error>(())
/// ```
pub struct SyncServer {
    core: Authority,
    limits: Limits,
    epoch: Epoch,
    bootstraps: Mutex<Bootstraps>,
}

impl SyncServer {
    /// Serves the tables of a database with default options.
    ///
    /// # Errors
    /// As [`SyncServer::with`].
    pub fn new(db: Database) -> Result<Self> {
        Self::with(db, SyncServerOptions::default())
    }

    /// Serves the tables of a database.
    ///
    /// # Errors
    /// What the database fails with when the tables that sync keeps for itself are created.
    pub fn with(db: Database, options: SyncServerOptions) -> Result<Self> {
        let core = Authority::open(db, options.strategies)?;
        let epoch = match core.tables.server.try_get(SERVER_KEY)? {
            Some(record) => Epoch(read_number(&record, 1)?),
            None => {
                let mut bytes = [0; 8];
                options.rng.fill(&mut bytes);
                let epoch = Epoch(u64::from_le_bytes(bytes));
                let row = [Value::from(SERVER_KEY), number(epoch.0)];
                core.tables.server.insert_values(row)?;
                epoch
            }
        };
        Ok(Self {
            core,
            limits: options.limits,
            epoch,
            bootstraps: Mutex::default(),
        })
    }

    /// The database that is served.
    pub fn database(&self) -> &Database {
        &self.core.db
    }

    /// Answers one request.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], [`ErrorKind::Unsupported`] or [`ErrorKind::LimitExceeded`] for bytes that are no
    /// request; what the database fails with. A mutation that does not fit the tables is no error but an
    /// outcome in the answer.
    pub fn handle(&self, request: &[u8]) -> Result<Vec<u8>> {
        let request = wire::decode_request(request, &self.limits)?;
        wire::encode_answer(&self.answer(&request)?)
    }

    /// Answers one request that was read already.
    ///
    /// # Errors
    /// What the database fails with.
    pub fn answer(&self, request: &Request) -> Result<Answer> {
        let increment = match request.position {
            Position::At { epoch, seq } if epoch == self.epoch => {
                let (log_start, _) = self.core.db.log_extent();
                (log_start <= seq && seq <= self.core.db.seq()).then_some(seq)
            }
            _ => None,
        };
        let mut outcomes = Vec::new();
        let mut news = None;
        if let Some(cursor) = increment {
            let pushed = push(&self.core, request, cursor)?;
            news = self.changes(cursor, &pushed)?;
            if news.is_some() {
                outcomes = pushed.outcomes;
            }
        }
        // A replica that gets a snapshot keeps its mutations on top and sends them again afterwards, so it is
        // told no outcomes: the snapshot may be older than their commits.
        let news = match news {
            Some(news) => news,
            None => self.snapshot_part(request.position)?,
        };
        // Read after the rows: a table made in between is announced without any.
        let schemas = user_schemas(&self.core.db);
        let known = schema_set(&schemas) == request.schemas;
        let client = self
            .core
            .tables
            .clients
            .try_get(request.replica.0.clone())?;
        let client = Client::from_record(client.as_ref())?;
        Ok(Answer {
            number: request.number,
            epoch: self.epoch,
            now: self.core.db.clock().tick(),
            schemas: (!known).then_some(schemas),
            next: client.last + 1,
            outcomes,
            news,
        })
    }

    /// What happened after `cursor`, or nothing when that does not fit an answer.
    fn changes(&self, cursor: Seq, pushed: &Pushed) -> Result<Option<News>> {
        let snapshot = self.core.db.snapshot();
        let tables = user_tables(&self.core.db);
        let mut changes_max = CHANGES_MAX;
        loop {
            let mut changes = match self.core.db.changes_since(cursor, changes_max) {
                Ok(changes) => changes,
                // Pruned a moment ago.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            changes.retain(|change| change.seq <= snapshot.seq());
            let memory: usize = changes.iter().map(|c| c.record.heap_bytes()).sum();
            if memory > ANSWER_MEMORY_MAX {
                if changes_max == 1 {
                    return Ok(None);
                }
                changes_max = (changes_max / 8).max(1);
                continue;
            }
            let more = changes.len() >= changes_max;
            let last = changes.last().map(|change| change.seq);
            let seq = last.filter(|_| more).unwrap_or(snapshot.seq());
            let more = seq < snapshot.seq();
            let digest = if more {
                None
            } else {
                Some(self.core.digest_at(&snapshot, &tables)?)
            };
            let truth = increment::truth(snapshot.view(), &pushed.differing, &tables)?;
            return Ok(Some(News::Changes {
                truth,
                blocks: increment::blocks(changes, &pushed.own, &tables),
                seq,
                more,
                digest,
            }));
        }
    }

    fn snapshot_part(&self, position: Position) -> Result<News> {
        let wanted = match position {
            Position::Blocks { epoch, seq, next } if epoch == self.epoch => Some((seq, next)),
            _ => None,
        };
        let mut bootstraps = self.bootstraps.lock();
        let snapshot = self.core.db.snapshot();
        let schemas = schema_set(&user_schemas(&self.core.db));
        let (log_start, _) = self.core.db.log_extent();
        let tables = user_tables(&self.core.db);
        bootstraps.part(wanted, &snapshot, log_start, schemas, &tables)
    }

    /// Notes which columns were written directly, past the push of any replica. Call it before the database is saved:
    /// opened again it has no log, and a row whose writes are not noted counts as written in all its columns,
    /// which reports conflicts that are none.
    ///
    /// # Errors
    /// What the database fails with.
    pub fn account_for_direct_writes(&self) -> Result<()> {
        self.core.account()
    }

    /// The conflicts in the ledger, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the table `sync_conflicts` was written by somebody else.
    pub fn conflicts(&self) -> Result<Vec<LedgerEntry>> {
        read_ledger(&self.core.db, &self.core.tables.conflicts)
    }

    /// The digest of all synced rows as of now.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn digest(&self) -> Result<Digest> {
        self.core
            .digest_at(&self.core.db.snapshot(), &user_tables(&self.core.db))
    }

    /// What the server has as of now.
    pub fn status(&self) -> Status {
        let tables: BTreeMap<Text, u64> = user_tables(&self.core.db)
            .iter()
            .map(|table| (Text::new(table.name()), table.len() as u64))
            .collect();
        Status {
            rows: tables.values().sum(),
            tables,
            seq: self.core.db.seq().0,
            epoch: self.epoch.to_string(),
            clients: self.core.tables.clients.len() as u64,
            conflicts: self.core.tables.conflicts.len() as u64,
        }
    }
}

impl fmt::Debug for SyncServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncServer")
            .field("status", &self.status())
            .finish()
    }
}
