//! [`SyncServer`]: the side that every replica talks to, as a function from bytes to bytes.

mod epoch;
mod replicas;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::schema::{IndexKind, Schema};
use common::storage::{Direction, KeyRange};
use common::utils::id_generator::{Rng, SystemRng};
use common::{Database, ErrorKind, Limits, RecordId, Result, Snapshot, Text, Timestamp, Value};
pub use replicas::{ClientStatus, RejectedMutation};
use serde::Serialize;

use crate::sync::authority::{Authority, ConflictRules};
use crate::sync::catalogue::Catalogue;
use crate::sync::columns::at_server;
use crate::sync::conflict::{Meeting, MergeFunction, Policy, Strategy};
use crate::sync::deploy::{Serving, as_before, deploy};
use crate::sync::digest::Digest;
use crate::sync::explain::{self, Explanation};
use crate::sync::horizon::{Horizon, VersionInUse};
use crate::sync::interest::Interest;
use crate::sync::ledger::{EntryId, LedgerEntry, LedgerOptions, LedgerQuery, Reverted, Visibility};
use crate::sync::permission::{Permission, Permissions, Principal};
use crate::sync::protocol::{
    Answer, Block, Commit, DictionaryId, Epoch, LEDGER_ENTRIES_MAX, Outcome, Position, Request,
    frame_limits,
};
use crate::sync::push::{Actor, Client, Pushed, push, revert};
use crate::sync::reading::{Reading, Stock};
use crate::sync::scope::{Access, Compiled, ScopeSet};
use crate::sync::system::{find_in_ledger, number, user_tables};
use crate::sync::training::{Shelf, TrainedDictionary};
use crate::sync::wire::ReadRequest;
use crate::sync::{increment, references, wire};

/// What a replica keeps, as the scopes of its request compile.
type Kept = Vec<Arc<Compiled>>;

/// Entries of the ledger that are looked at for one answer; the next goes on after them.
const LEDGER_LOOKED_AT_MAX: usize = 10_000;

/// How a server is set up.
#[derive(Clone)]
pub struct SyncServerOptions {
    /// How the conflicts of each table are resolved; of a table that is not named, by
    /// [`Strategy::LastWriteWins`].
    pub policies: BTreeMap<Text, Policy>,
    /// The functions of [`Strategy::Custom`].
    pub merge_functions: BTreeMap<Text, MergeFunction>,
    /// How long conflicts are kept, and who is told.
    pub ledger: LedgerOptions,
    /// Which rows and columns somebody may see and change. Default: everybody everything.
    pub permissions: Option<Permissions>,
    /// Which versions of the application's tables are served side by side. Default: as the database was served before; or else the
    /// tables as they are, and no other.
    pub serving: Option<Serving>,
    /// Days after which a replica that was not heard of no longer holds up [`SyncServer::prune`]. Default 30.
    pub active_days: u32,
    /// Tables of fewer rows have no shared dictionary. Default 256.
    pub dictionary_rows_min: usize,
    /// An answer names rows that the replica has by references in place of their keys where that saves at least so many bytes.
    /// Default 16, which is what references take beside themselves.
    pub reference_bytes_min: usize,
    /// Limits under which requests are read. Default: [`frame_limits`].
    pub limits: Limits,
    /// Which store keeps the database, where that has a name of its own. In another store than before, the database was restored from
    /// a backup, and replicas may have seen commits that it has lost: it begins a new epoch, and each replica compares its rows
    /// with those here, then sends what it had still to send. Default: none, and a database that is set back is told only from
    /// replicas whose commits it has not reached again.
    pub store: Option<[u8; 16]>,
    /// Where the name of a new log comes from. Default: the system's generator.
    pub rng: Arc<dyn Rng>,
}

impl Default for SyncServerOptions {
    fn default() -> Self {
        Self {
            policies: BTreeMap::new(),
            merge_functions: BTreeMap::new(),
            ledger: LedgerOptions::default(),
            permissions: None,
            serving: None,
            active_days: 30,
            dictionary_rows_min: 256,
            reference_bytes_min: 16,
            limits: frame_limits(),
            store: None,
            rng: Arc::new(SystemRng),
        }
    }
}

impl SyncServerOptions {
    /// Sets how the conflicts of all columns of a table are resolved that have no strategy of their own.
    #[must_use]
    pub fn strategy(mut self, table: impl Into<Text>, strategy: Strategy) -> Self {
        self.policies.entry(table.into()).or_default().strategy = strategy;
        self
    }

    /// Sets how the conflicts of a table are resolved. Replicas are told together with the schemas.
    #[must_use]
    pub fn policy(mut self, table: impl Into<Text>, policy: Policy) -> Self {
        self.policies.insert(table.into(), policy);
        self
    }

    /// Registers a function for [`Strategy::Custom`].
    ///
    /// ```
    /// use common::{Database, Value};
    /// use syncdb::{Policy, Strategy, SyncServer, SyncServerOptions};
    /// let options = SyncServerOptions::default()
    ///     .policy("trips", Policy::default().column("notes", Strategy::Custom("longer".into())))
    ///     .merge_function("longer", |meeting| {
    ///         let length = |value: &Value| value.as_text().map_or(0, str::len);
    ///         // The same, whichever of the two arrived first.
    ///         let both = [meeting.server, meeting.client];
    ///         let longer = both.into_iter().max_by_key(|value| (length(value), (*value).clone()));
    ///         Ok(longer.cloned().unwrap_or_default())
    ///     });
    /// SyncServer::with(Database::new(), options)?;
    /// # Ok::<(), common::Error>(())
    /// ```
    #[must_use]
    pub fn merge_function(
        mut self,
        name: impl Into<Text>,
        function: impl Fn(&Meeting<'_>) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        self.merge_functions.insert(name.into(), Arc::new(function));
        self
    }

    /// Sets which rows and columns somebody may see and change.
    #[must_use]
    pub fn permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = Some(permissions);
        self
    }

    /// Sets which versions of the application's tables are served side by side.
    ///
    /// The tables are brought to them when the server is set up: columns that come are added without touching a row. Replicas
    /// of all these versions read and write at the same time; each sees the columns that its version has, and what one of them
    /// writes reaches the columns of the others by the steps of the lineage.
    ///
    /// ```
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{row, Database, Value};
    /// use syncdb::migration::{Lineage, Migration, Step};
    /// use syncdb::{Serving, SyncDb, SyncServer, SyncServerOptions};
    /// let text = |name: &str| Field::new(name, FieldType::Text);
    /// let people = Schema::build("people", ["id"]).field(Field::new("id", FieldType::Int)).field(text("name"));
    /// let first = Lineage::new([people.finish()?])?;
    /// let second = first.clone().then(Migration::new([Step::SplitColumn {
    ///     table: "people".into(),
    ///     column: "name".into(),
    ///     into: vec![text("first"), text("last")],
    ///     separator: " ".into(),
    ///     on_loss: Default::default(),
    /// }]))?;
    /// let options = SyncServerOptions::default().serving(Serving::new(second.clone()));
    /// let server = SyncServer::with(Database::new(), options)?;
    /// let mut transport = |request: &[u8]| server.handle(request);
    ///
    /// let old = SyncDb::with_lineage(Database::new(), "old", &first)?;
    /// old.insert("people", row! { "id": 1, "name": "Aino Korhonen" })?;
    /// old.sync(&mut transport)?;
    /// let new = SyncDb::with_lineage(Database::new(), "new", &second)?;
    /// new.sync(&mut transport)?;
    /// assert_eq!(new.collection("people")?.get(1).unwrap()[2], Value::from("Korhonen"));
    /// new.update("people", 1, row! { "last": "Virtanen" })?;
    /// new.sync(&mut transport)?;
    /// old.sync(&mut transport)?;
    /// assert_eq!(old.collection("people")?.get(1).unwrap()[1], Value::from("Aino Virtanen"));
    /// # Ok::<(), common::Error>(())
    /// ```
    #[must_use]
    pub fn serving(mut self, serving: Serving) -> Self {
        self.serving = Some(serving);
        self
    }

    /// Sets how long conflicts are kept, and who is told.
    #[must_use]
    pub fn ledger(mut self, ledger: LedgerOptions) -> Self {
        self.ledger = ledger;
        self
    }
}

/// How a conflict is reverted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevertOptions {
    /// Whether it may replace what was written after the conflict.
    pub force: bool,
    /// On whose behalf, for the ledger.
    pub principal: Option<Text>,
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
    /// How often a replica's rows were compared with those here by ranges.
    pub repairs: u64,
    /// Number of rows sent because they differed in such a comparison.
    pub rows_repaired: u64,
    /// Number of rows that are pinned for replicas which are receiving a scope: 16 to 24 bytes each.
    pub rows_pinned: u64,
    /// Bytes of encoded segments that are kept to be sent again.
    pub segment_bytes: u64,
    /// The versions of the application's tables that replicas were heard of: see [`SyncServer::versions`].
    pub versions: Vec<VersionInUse>,
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
    stock: Stock,
    horizon: Horizon,
    dictionaries: Shelf,
    reference_bytes_min: usize,
    active_days: u32,
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
    /// [`ErrorKind::Invalid`] for a policy that does not fit its table, or that names a merge function which is not
    /// registered; what the database fails with when the tables that sync keeps for itself are created.
    pub fn with(db: Database, options: SyncServerOptions) -> Result<Self> {
        let rules = ConflictRules {
            policies: options.policies,
            functions: options.merge_functions,
            ledger: options.ledger,
        };
        let serving = match options.serving {
            Some(serving) => Some(serving),
            None => as_before(&db)?,
        };
        let catalogue = match serving {
            Some(serving) => deploy(&db, serving)?,
            None => Catalogue::default(),
        };
        let core = Authority::open(db, rules, options.permissions, catalogue)?;
        let epoch = epoch::epoch(&core, options.store, &*options.rng)?;
        let horizon = Horizon::open(&core.db, &core.tables.readers)?;
        let dictionaries = Shelf::open(&core.db, options.dictionary_rows_min)?;
        Ok(Self {
            core,
            horizon,
            dictionaries,
            reference_bytes_min: options.reference_bytes_min,
            active_days: options.active_days,
            limits: options.limits,
            epoch,
            stock: Stock::default(),
        })
    }

    /// What a principal may see of a table, by [`SyncServerOptions::permissions`]: for whoever serves its rows by other ways.
    pub fn permission(&self, principal: Option<&Principal>, table: &Schema) -> Permission {
        let decided = self.core.scopes.decide(Access::See, principal, table);
        decided.unwrap_or_else(Permission::all)
    }

    /// What a principal may change of a table: a row before the change and after it.
    pub fn write_permission(&self, principal: Option<&Principal>, table: &Schema) -> Permission {
        let decided = self.core.scopes.decide(Access::Change, principal, table);
        decided.unwrap_or_else(Permission::all)
    }

    /// The database that is served.
    pub fn database(&self) -> &Database {
        &self.core.db
    }

    /// Whether several versions of the application's tables are served side by side: their columns are then a matter of
    /// the lineage.
    pub fn serves_versions(&self) -> bool {
        self.core.catalogue.serves_versions()
    }

    /// Answers one request, made by nobody in particular.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], [`ErrorKind::Unsupported`] or [`ErrorKind::LimitExceeded`] for bytes that are no
    /// request; what the database fails with. A mutation that does not fit the tables is no error but an
    /// outcome in the answer.
    pub fn handle(&self, request: &[u8]) -> Result<Vec<u8>> {
        self.handle_for(None, request)
    }

    /// Answers one request of a replica that speaks on behalf of a principal, whom the caller has authenticated. What
    /// [`SyncServerOptions::permissions`] let them see and change is all that the answer speaks of, whatever the
    /// request asks for; the ledger names them.
    ///
    /// # Errors
    /// As [`SyncServer::handle`].
    pub fn handle_for(&self, principal: Option<&Principal>, request: &[u8]) -> Result<Vec<u8>> {
        let (read, answer, _) = self.exchange(principal, request)?;
        wire::encode_answer_with(&answer, &read.dictionaries)
    }

    /// As [`SyncServer::handle_for`], and says which later commits concern the replica, for hosts that tell it of them.
    /// There is no interest yet where the replica has still to ask for more.
    ///
    /// # Errors
    /// As [`SyncServer::handle`].
    pub fn handle_live(
        &self,
        principal: Option<&Principal>,
        request: &[u8],
    ) -> Result<(Vec<u8>, Option<Interest>)> {
        let (read, answer, kept) = self.exchange(principal, request)?;
        let bytes = wire::encode_answer_with(&answer, &read.dictionaries)?;
        let interest = (answer.commit).map(|commit| Interest::new(commit.seq, kept));
        Ok((bytes, interest))
    }

    fn exchange(
        &self,
        principal: Option<&Principal>,
        request: &[u8],
    ) -> Result<(ReadRequest, Answer, Kept)> {
        let db = &self.core.db;
        // What a dictionary knows comes from all rows of its table.
        let may_see = |table: &str| {
            let rights = self.core.scopes.rights(db, Access::See, principal, table);
            rights.is_ok_and(|rights| rights.is_none())
        };
        let lookup = |id: DictionaryId| {
            let found = self.dictionaries.find(id);
            found.filter(|found| may_see(&found.sent.table))
        };
        let read = wire::decode_request_with(request, &self.limits, &lookup)?;
        let request = &read.request;
        let (mut answer, kept) = if read.unread {
            (self.unread(request)?, Kept::new())
        } else {
            self.answer_with_kept(principal, request)?
        };
        let here = read.dictionaries.ids();
        let lost = request.dictionaries.iter();
        answer.lost = lost.filter(|id| !here.contains(id)).copied().collect();
        if !read.unread {
            answer.dictionaries = self.dictionaries.offer(request, &answer, may_see);
            self.refer(request, &mut answer)?;
        }
        Ok((read, answer, kept))
    }

    /// Names rows by references, where the replica reads them and has the rows in question.
    fn refer(&self, request: &Request, answer: &mut Answer) -> Result<()> {
        // With staged parts, some of what it has is still aside.
        let has_rows = request.token.is_empty() && answer.staged.is_none();
        let Some(commit) = answer.commit.as_mut() else {
            return Ok(());
        };
        if !request.references || !has_rows || answer.schemas.is_some() {
            return Ok(());
        }
        // No table has more rows there than all scopes together.
        let rows = commit.digests.iter().map(|(_, digest)| digest.rows);
        let rows = usize::try_from(rows.sum::<u64>()).unwrap_or(usize::MAX);
        references::refer(commit, self.reference_bytes_min, |table| {
            let table = self.core.db.collection(table);
            table.map_or(rows, |table| table.len().min(rows))
        })
    }

    /// As [`SyncServer::handle_for`], with an answer that can be read without shared dictionaries: for whoever looks into
    /// it, or turns it into JSON.
    ///
    /// # Errors
    /// As [`SyncServer::handle`]; [`ErrorKind::NotFound`] for a request that is packed with a shared dictionary.
    pub fn handle_plainly_for(
        &self,
        principal: Option<&Principal>,
        request: &[u8],
    ) -> Result<Vec<u8>> {
        let request = wire::decode_request(request, &self.limits)?;
        wire::encode_answer(&self.answer(principal, &request)?)
    }

    /// Learns shared dictionaries from the rows of tables: of those with [`SyncServerOptions::dictionary_rows_min`] rows or more that have none, and of those that
    /// have become other tables since: another schema, twice or half as many rows, as many commits as there were rows.
    /// Returns those that are new.
    ///
    /// Call it from time to time, as often as is convenient; when nothing is due it does nothing. A table takes in the order
    /// of 0.2 seconds, of which it learns from 4,000 rows at most. Replicas that may see all of a table are given its
    /// dictionary once the rows that they exchange would have saved as many bytes as it takes, and small changes
    /// are fewer bytes from then on, in both directions.
    ///
    /// # Errors
    /// What the database fails with.
    pub fn train_dictionaries(&self) -> Result<Vec<TrainedDictionary>> {
        self.dictionaries.train(&self.core.db)
    }

    /// The answer that says nothing: to a request whose rows are packed with a dictionary that is not here.
    fn unread(&self, request: &Request) -> Result<Answer> {
        Ok(Answer {
            number: request.number,
            epoch: self.epoch,
            now: self.core.db.clock().tick(),
            policies: BTreeMap::new(),
            schemas: None,
            version: 0,
            next: self.client(request)?.last + 1,
            heard: false,
            outcomes: Vec::new(),
            ledger: Vec::new(),
            told: request.told,
            known: 0,
            truth: Vec::new(),
            refused: Vec::new(),
            dictionaries: Vec::new(),
            lost: Vec::new(),
            staged: None,
            commit: None,
        })
    }

    /// Answers one request that was read already.
    ///
    /// # Errors
    /// What the database fails with.
    pub fn answer(&self, principal: Option<&Principal>, request: &Request) -> Result<Answer> {
        let (answer, _) = self.answer_with_kept(principal, request)?;
        Ok(answer)
    }

    fn answer_with_kept(
        &self,
        principal: Option<&Principal>,
        request: &Request,
    ) -> Result<(Answer, Kept)> {
        let db = &self.core.db;
        let catalogue = &self.core.catalogue;
        Client::check_owner(&self.core, principal, &request.replica)?;
        let standing = catalogue.standing(db, &self.core.rules.policies, request);
        let standing = standing.inspect_err(|_| self.horizon.turn_away(request.version))?;
        let version = standing.version;
        let log_start = || db.log_extent().0.max(self.core.before_since);
        let cursor = match request.position {
            Position::At { epoch, seq } if epoch == self.epoch => {
                Some(seq).filter(|seq| (log_start()..=db.seq()).contains(seq))
            }
            _ => None,
        };
        let scopes = &self.core.scopes;
        let of_request =
            |holds: bool| scopes.of_request(db, principal, version, &request.scopes, holds);
        let mut set = of_request(cursor.is_some());
        let cursor = cursor.filter(|cursor| *cursor >= db.log_compacted() || set.is_all_whole());
        if cursor.is_none() {
            set = of_request(false);
        }
        let kept = set.scopes.iter().map(|scope| Arc::clone(&scope.compiled));
        let kept = kept.collect();
        if let Some(cursor) = cursor {
            self.horizon
                .hear(&request.replica, version, cursor, db.clock().now());
        }
        let pushed = match cursor {
            Some(_) => push(&self.core, request, principal, &set, standing.written)?,
            // Where the replica stands is not known, so neither is what its mutations were made on.
            None => Pushed::default(),
        };
        if standing.is_retired {
            let heard = cursor.is_some();
            let answer = self.retired(request, principal, version, pushed, heard)?;
            return Ok((answer, kept));
        }
        let snapshot = db.snapshot();
        // Also where rows are still to be compared: what was refused is not in the log, and may be younger than what is compared.
        let known = set.held();
        let truth = truth(request, &set, known, &pushed, &snapshot)?;
        let reading = Reading {
            db,
            stock: &self.stock,
            limits: &self.limits,
            epoch: self.epoch,
            snapshot: &snapshot,
            log_start: log_start(),
            cursor,
            own: &pushed.own,
        };
        let refused = set.refused.clone();
        let (staged, commit) = match reading.read(request, set) {
            // Pruned a moment ago: the replica's position does not hold any more.
            Err(error) if error.kind() == ErrorKind::NotFound && cursor.is_some() => {
                let reading = Reading {
                    cursor: None,
                    log_start: log_start(),
                    ..reading
                };
                reading.read(request, of_request(false))?
            }
            read => read?,
        };
        // Read after the rows: a table made in between is announced without any.
        let policies = &self.core.rules.policies;
        let others = catalogue.unless(request.schemas, db, version, policies);
        let version_said = if others.is_some() { version } else { 0 };
        let (schemas, policies) = others.unzip();
        let (ledger, told) = self.ledger_after(principal, version, request, &pushed.outcomes)?;
        let answer = Answer {
            number: request.number,
            epoch: self.epoch,
            now: db.clock().tick(),
            policies: policies.unwrap_or_default(),
            schemas,
            version: version_said,
            next: self.client(request)?.last + 1,
            heard: cursor.is_some(),
            outcomes: self.in_words_of(version, pushed.outcomes),
            ledger,
            told,
            dictionaries: Vec::new(),
            lost: Vec::new(),
            known,
            truth,
            refused,
            staged,
            commit,
        };
        Ok((answer, kept))
    }

    /// The answer to a replica of a version that is not served any more: what became of its mutations, and nothing else.
    fn retired(
        &self,
        request: &Request,
        principal: Option<&Principal>,
        version: u32,
        pushed: Pushed,
        heard: bool,
    ) -> Result<Answer> {
        let (ledger, told) = self.ledger_after(principal, version, request, &pushed.outcomes)?;
        let reason = Text::new(format!(
            "version {version} of the application's tables is served no more, only what it has still to send is taken; update \
             the application"
        ));
        let refused = request.scopes.iter();
        // Without a position it could not send anything.
        let commit = (!heard).then(|| Commit {
            seq: self.core.db.seq(),
            ..Commit::default()
        });
        Ok(Answer {
            heard,
            outcomes: self.in_words_of(version, pushed.outcomes),
            ledger,
            told,
            refused: refused.map(|scope| (scope.slot, reason.clone())).collect(),
            commit,
            ..self.unread(request)?
        })
    }

    fn client(&self, request: &Request) -> Result<Client> {
        let client = self
            .core
            .tables
            .clients
            .try_get(request.replica.0.clone())?;
        Client::from_record(client.as_ref())
    }

    /// Outcomes with the names that columns have in a version.
    fn in_words_of(&self, version: u32, mut outcomes: Vec<(u64, Outcome)>) -> Vec<(u64, Outcome)> {
        for (_, outcome) in &mut outcomes {
            if let Outcome::Resolved(entries) = outcome {
                for entry in entries {
                    self.core.catalogue.translate(version, entry);
                }
            }
        }
        outcomes
    }

    /// The entries of the ledger that the replica is to be told, beside those in its outcomes, and up to where.
    fn ledger_after(
        &self,
        principal: Option<&Principal>,
        version: u32,
        request: &Request,
        outcomes: &[(u64, Outcome)],
    ) -> Result<(Vec<LedgerEntry>, EntryId)> {
        let snapshot = self.core.db.snapshot();
        let table = &self.core.tables.conflicts;
        let indexes = table.indexes();
        let mut told = EntryId {
            seq: snapshot.seq(),
            number: u32::MAX,
        };
        let after = request.told;
        let by_seq = indexes
            .iter()
            .find(|index| index.spec().kind == IndexKind::Ordered);
        let Some(by_seq) = by_seq.filter(|_| after.seq <= told.seq && !table.is_empty()) else {
            return Ok((Vec::new(), told));
        };
        let range = KeyRange {
            lower: Bound::Included(number(after.seq.0)),
            ..KeyRange::all()
        };
        let records = snapshot.view().range(
            table,
            by_seq,
            &range,
            Direction::Ascending,
            Some(LEDGER_LOOKED_AT_MAX),
        )?;
        let answered: HashSet<EntryId> = outcomes
            .iter()
            .filter_map(|(_, outcome)| match outcome {
                Outcome::Resolved(entries) => Some(entries.iter().map(LedgerEntry::id)),
                _ => None,
            })
            .flatten()
            .collect();
        let everyone = self.core.rules.ledger.visible_to == Visibility::Everyone;
        let all = records.len() < LEDGER_LOOKED_AT_MAX;
        let mut entries = Vec::new();
        let mut last = after;
        for record in &records {
            let mut entry = LedgerEntry::from_record(record)?;
            let id = entry.id();
            if id <= after {
                continue;
            }
            if entries.len() == LEDGER_ENTRIES_MAX {
                return Ok((entries, last));
            }
            last = id;
            let takes_part =
                entry.replica == request.replica || entry.server_replica == request.replica;
            // Somebody else may call their replica the same.
            let is_own = entry.replica == request.replica
                && entry.principal.as_ref() == principal.map(|principal| &principal.name);
            let scopes = &self.core.scopes;
            // Of a table of which not everything may be seen, nothing is told but what the replica did itself.
            let may_see = is_own
                || scopes
                    .rights(&self.core.db, Access::See, principal, &entry.table)?
                    .is_none();
            if (everyone || takes_part) && may_see && !answered.contains(&id) {
                self.core.catalogue.translate(version, &mut entry);
                entries.push(entry);
            }
        }
        if !all {
            told = last;
        }
        Ok((entries, told))
    }

    /// Drops the part of the log that no active replica needs: up to the position that all have acknowledged of which was
    /// heard within [`SyncServerOptions::active_days`]. Returns the number of changes dropped. A replica that comes
    /// back later keeps its rows and its edits, and gets what differs by comparing ranges.
    ///
    /// Whatever replicas need, the log keeps no more changes than its database's
    /// [`Retention::changes_max`](common::versioning::Retention::changes_max).
    ///
    /// # Errors
    /// What the database fails with.
    pub fn prune(&self) -> Result<usize> {
        // What goes is accounted for first.
        self.core.account()?;
        let db = &self.core.db;
        let since = self.active_since();
        let readers = &self.core.tables.readers;
        let horizon = self.horizon.settle(db, readers, since, db.seq())?;
        Ok(db.prune_log_to(horizon))
    }

    fn active_since(&self) -> Timestamp {
        let days = i64::from(self.active_days) * 86_400_000_000;
        Timestamp(self.core.db.clock().now().0.saturating_sub(days))
    }

    /// The versions of the application's tables that replicas were heard of, within [`SyncServerOptions::active_days`]: whom it
    /// would concern to serve from a later one on. Kept over a restart as of the last [`SyncServer::prune`]. A replica without a
    /// lineage counts as of the current version.
    pub fn versions(&self) -> Vec<VersionInUse> {
        self.horizon.versions(self.active_since())
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
        self.find_conflicts(&LedgerQuery::default())
    }

    /// The conflicts that a query wants, oldest first.
    ///
    /// # Errors
    /// As [`SyncServer::conflicts`].
    pub fn find_conflicts(&self, wanted: &LedgerQuery) -> Result<Vec<LedgerEntry>> {
        find_in_ledger(&self.core.db, &self.core.tables.conflicts, wanted)
    }

    /// Where a row and each of its columns came from, or why it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when a table of sync was written by somebody else.
    pub fn explain(&self, table: &str, id: impl Into<RecordId>) -> Result<Explanation> {
        explain::at_server(&self.core, table, &id.into())
    }

    /// Lets stand what lost in a conflict, in a commit of its own with an entry of its own in the ledger, which can be
    /// reverted in turn. Replicas get it like any other write.
    ///
    /// A value that was merged of two goes back to what the server had. Columns that stand or fall together come back
    /// together. Reverting what was reverted already, or what somebody has written over since, changes nothing and
    /// says so.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the conflict is not in the ledger (any more), and when a row is to come back of which
    /// nobody knows what it held; [`ErrorKind::Conflict`] when a unique index or a reference is against it.
    pub fn revert(&self, id: EntryId, options: &RevertOptions) -> Result<Reverted> {
        let core = &self.core;
        let _one_at_a_time = core.pushing.lock();
        let mut tx = core.db.begin();
        core.account_for_direct_writes(&mut tx)?;
        let actor = Actor {
            written: at_server(core.db.clock().tick()),
            principal: options.principal.clone(),
        };
        let reverted = revert(core, &mut tx, id, options.force, &actor, 0)?;
        if let Reverted::Done(entries) = &reverted {
            for entry in entries {
                tx.insert_values(&core.tables.conflicts, entry.to_values())?;
            }
            core.committed(&tx.commit()?);
        }
        Ok(reverted)
    }

    /// The digest of all synced rows as of now.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn digest(&self) -> Result<Digest> {
        let db = &self.core.db;
        let everything = self.core.scopes.everything(db)?;
        self.stock.digest(db, &db.snapshot(), &everything)
    }

    /// What the server has as of now.
    pub fn status(&self) -> Status {
        let tables: BTreeMap<Text, u64> = user_tables(&self.core.db)
            .iter()
            .map(|table| (Text::new(table.name()), table.len() as u64))
            .collect();
        let (rows_pinned, segment_bytes) = self.stock.extent();
        Status {
            rows: tables.values().sum(),
            tables,
            seq: self.core.db.seq().0,
            epoch: self.epoch.to_string(),
            clients: self.core.tables.clients.len() as u64,
            conflicts: self.core.tables.conflicts.len() as u64,
            repairs: self.stock.repairs.load(Ordering::Relaxed),
            rows_repaired: self.stock.rows_repaired.load(Ordering::Relaxed),
            rows_pinned: rows_pinned as u64,
            segment_bytes: segment_bytes as u64,
            versions: self.versions(),
        }
    }
}

/// The rows of mutations that were answered, where the replica does not know how they stand.
fn truth(
    request: &Request,
    set: &ScopeSet,
    held: u64,
    pushed: &Pushed,
    snapshot: &Snapshot,
) -> Result<Vec<Block>> {
    if pushed.outcomes.is_empty() {
        return Ok(Vec::new());
    }
    let answered: HashSet<u64> = pushed.outcomes.iter().map(|(number, _)| *number).collect();
    let mutations = request.mutations.iter();
    let answered = mutations.filter(|mutation| answered.contains(&mutation.client_seq));
    let rows = answered.flat_map(|mutation| &mutation.ops);
    let rows = rows.map(|op| (op.table.clone(), op.key.clone()));
    let rows = rows.filter(|(table, _)| !set.is_plain_named(held, table));
    let view = snapshot.view();
    increment::truth(view, set, held, &pushed.differing, &rows.collect())
}

impl fmt::Debug for SyncServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncServer")
            .field("status", &self.status())
            .finish()
    }
}
