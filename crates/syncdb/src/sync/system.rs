//! The tables that sync keeps for itself: ordinary collections, so that they change in the same commit as the
//! rows they speak of, and are saved wherever the rows are.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use common::database::Alteration;
use common::query::Query;
use common::schema::{Field, FieldId, FieldType, IndexKind, IndexSpec, Schema, SchemaBuilder};
use common::serialization::{decode_schema, encode_schema};
use common::storage::{Direction, Fill, KeyRange};
use common::versioning::{Hlc, ReplicaId, TableId};
use common::{
    Collection, Database, Error, ErrorKind, Limits, Record, RecordId, Result, Seq, Text,
    Transaction, Value, Violation,
};
use sha2::{Digest as _, Sha256};

use super::deferred;
use super::ledger::{self, EntryId, LedgerEntry, LedgerQuery};
use super::policy::Policy;
use super::protocol::{Epoch, Position, SchemaSetId};
pub(crate) use crate::names::user_tables;

/// Opens the table, or creates it. One that an earlier edition made gets the columns that have come since, with their
/// defaults or empty.
pub(crate) fn open(db: &Database, schema: Schema) -> Result<Collection> {
    let Ok(found) = db.collection(&schema.name) else {
        return db.create_collection(schema);
    };
    let known = found.schema();
    let names = |schema: &Schema| -> Vec<Text> {
        schema
            .fields
            .iter()
            .map(|field| field.name.clone())
            .collect()
    };
    let (has, wants) = (names(&known), names(&schema));
    if has == wants && known.indexes == schema.indexes {
        return Ok(found);
    }
    if known.key_columns != schema.key_columns || !wants.starts_with(&has) {
        return Err(Error::unsupported(format!(
            "table `{}` was written by another version of sync, or by something else",
            schema.name
        )));
    }
    let fills = schema.fields.iter().skip(known.fields.len());
    let fills = fills.map(|field| Fill::Value(field.default.clone().unwrap_or_default()));
    db.alter(vec![Alteration::Extend {
        fills: fills.collect(),
        schema: schema.clone(),
        derivation: None,
    }])?;
    db.collection(&schema.name)
}

fn int(name: &str) -> Field {
    Field::new(name, FieldType::Int)
}

fn text(name: &str) -> Field {
    Field::new(name, FieldType::Text)
}

fn any(name: &str) -> Field {
    Field::new(name, FieldType::Any)
}

fn table(name: &str, key: &[&str], fields: impl IntoIterator<Item = Field>) -> SchemaBuilder {
    let begun = Schema::build(name, key.iter().copied());
    fields.into_iter().fold(begun, SchemaBuilder::field)
}

/// Numbers above 2^63 - 1 are kept as negative ones.
pub(crate) fn number(value: u64) -> Value {
    Value::Int(value.cast_signed())
}

pub(crate) fn read_number(record: &[Value], position: usize) -> Result<u64> {
    let value = record.get(position).and_then(Value::as_int);
    value
        .map(i64::cast_unsigned)
        .ok_or_else(|| damaged(position))
}

pub(crate) fn read_text(record: &[Value], position: usize) -> Result<Text> {
    match record.get(position) {
        Some(Value::Text(text)) => Ok(text.clone()),
        _ => Err(damaged(position)),
    }
}

pub(crate) fn read_list(record: &[Value], position: usize) -> Result<&[Value]> {
    let list = record.get(position).and_then(Value::as_list);
    list.ok_or_else(|| damaged(position))
}

#[cold]
pub(crate) fn damaged(position: usize) -> Error {
    Error::corrupt(format!(
        "column {position} of a sync table holds something else"
    ))
}

/// The tables of a replica.
pub(crate) struct ReplicaTables {
    pub(crate) state: Collection,
    pub(crate) schemas: Collection,
    pub(crate) queue: Collection,
    pub(crate) blocks: Collection,
    pub(crate) subscriptions: Collection,
    pub(crate) members: Collection,
    pub(crate) rejected: Collection,
    pub(crate) conflicts: Collection,
    pub(crate) deferred: Collection,
}

impl ReplicaTables {
    #[expect(
        clippy::too_many_lines,
        reason = "one list of tables and their columns"
    )]
    pub(crate) fn open(db: &Database) -> Result<Self> {
        let state = ["epoch", "cursor", "joining"].map(|name| int(name).nullable());
        let counters = ["acknowledged", "sent", "next"].map(int);
        Ok(Self {
            state: open(
                db,
                table("sync_state", &["name"], [text("name"), text("replica")])
                    .fields(counters)
                    .fields(state)
                    .field(any("token").nullable())
                    .field(Field::new("replaces", FieldType::Bool))
                    .field(any("work").nullable())
                    .fields(
                        ["ledger_epoch", "ledger_seq", "ledger_number"]
                            .map(|name| int(name).nullable()),
                    )
                    .field(int("first").default_value(0))
                    .field(int("version").default_value(0))
                    .field(Field::new("pinned", FieldType::Bool).default_value(false))
                    .finish()?,
            )?,
            schemas: open(
                db,
                table("sync_schemas", &["name"], [text("name"), any("schema")])
                    .field(any("policy").nullable())
                    .finish()?,
            )?,
            queue: open(
                db,
                table(
                    "sync_queue",
                    &["client_seq", "op"],
                    [
                        int("client_seq"),
                        int("op"),
                        int("base"),
                        int("stamp"),
                        text("table"),
                        any("key"),
                        int("action"),
                        any("fields"),
                        any("values"),
                        any("before"),
                        int("after_rejected").nullable(),
                        int("priority").nullable(),
                        Field::new("deadline", FieldType::Timestamp).nullable(),
                        Field::new("made", FieldType::Timestamp).nullable(),
                    ],
                )
                // The latest edit of a row is found without reading the others.
                .index(IndexSpec::ordered(["table", "key", "client_seq", "op"]))
                .finish()?,
            )?,
            blocks: open(
                db,
                table(
                    "sync_blocks",
                    &["number"],
                    [int("number"), any("bytes"), int("slot").nullable()],
                )
                .finish()?,
            )?,
            subscriptions: open(
                db,
                table(
                    "sync_subscriptions",
                    &["slot"],
                    [
                        int("slot"),
                        int("order"),
                        text("name"),
                        any("want"),
                        int("version"),
                        int("having"),
                        any("grant").nullable(),
                        any("old").nullable(),
                        Field::new("leaving", FieldType::Bool),
                        text("refused").nullable(),
                    ],
                )
                .field(int("at").nullable())
                .field(int("old_version").nullable())
                .finish()?,
            )?,
            members: open(
                db,
                table(
                    "sync_members",
                    &["table", "key"],
                    [text("table"), any("key"), int("scopes")],
                )
                .finish()?,
            )?,
            rejected: open(
                db,
                table(
                    "sync_rejected",
                    &["client_seq", "at"],
                    [
                        int("client_seq"),
                        Field::new("at", FieldType::Timestamp),
                        text("code"),
                        text("message"),
                        any("ops"),
                        any("mutation").nullable(),
                    ],
                )
                .finish()?,
            )?,
            conflicts: open(db, ledger::schema()?)?,
            deferred: open(db, deferred::schema()?)?,
        })
    }

    /// Forgets what is staged.
    pub(crate) fn clear_staged(&self, tx: &mut Transaction<'_>, state: &mut State) -> Result<()> {
        let mut staged = Vec::new();
        tx.view().scan(&self.blocks, &mut |records| {
            staged.extend(records.iter().map(Record::id));
            ControlFlow::Continue(())
        })?;
        for id in staged {
            tx.delete(&self.blocks, id)?;
        }
        state.staging = Staging::default();
        Ok(())
    }
}

trait Fields {
    fn fields(self, fields: impl IntoIterator<Item = Field>) -> Self;
}

impl Fields for SchemaBuilder {
    fn fields(self, fields: impl IntoIterator<Item = Field>) -> Self {
        fields.into_iter().fold(self, Self::field)
    }
}

/// Where a replica stands; one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) replica: ReplicaId,
    /// Outcomes up to this number have arrived.
    pub(crate) acknowledged: u64,
    /// Mutations up to this number may have reached the server and must not change any more.
    pub(crate) sent: u64,
    /// Number of the next mutation.
    pub(crate) next: u64,
    /// All of the server's commits up to this one are here, as far as scopes are joined.
    pub(crate) cursor: Option<(Epoch, Seq)>,
    /// All entries of that server's ledger up to this one were told.
    pub(crate) ledger: Option<(Epoch, EntryId)>,
    /// What is staged.
    pub(crate) staging: Staging,
    /// Number of the first mutation of this life; see [`Request::first`](super::protocol::Request::first).
    pub(crate) first: u64,
    /// The version of the application's tables that are here; 0 when the server has not said.
    pub(crate) version: u32,
    /// Whether the application carries its lineage, so that the tables stay at that version whatever the server's is.
    pub(crate) pinned: bool,
}

/// What a replica keeps aside.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Staging {
    /// What the server gave with the last part; empty when nothing is staged.
    pub(crate) token: Vec<u8>,
    /// Slot of the scope that joins with the next commit.
    pub(crate) joining: Option<u32>,
    /// Whether what is staged will be all rows of that scope.
    pub(crate) replaces: bool,
    /// Ranges that are still to be compared, as `reconcile` writes them.
    pub(crate) work: Option<Value>,
}

const STATE_KEY: &str = "replica";

impl State {
    pub(crate) fn new(replica: ReplicaId) -> Self {
        Self {
            replica,
            acknowledged: 0,
            sent: 0,
            next: 1,
            cursor: None,
            ledger: None,
            staging: Staging::default(),
            first: 0,
            version: 0,
            pinned: false,
        }
    }

    /// The state as a transaction sees it; the one of a new replica when there is none.
    pub(crate) fn read(
        tx: &Transaction<'_>,
        table: &Collection,
        replica: &ReplicaId,
    ) -> Result<Self> {
        match tx.get(table, STATE_KEY)? {
            Some(record) => Self::from_record(&record),
            None => Ok(Self::new(replica.clone())),
        }
    }

    /// The committed state.
    pub(crate) fn load(table: &Collection) -> Result<Option<Self>> {
        let record = table.try_get(STATE_KEY)?;
        record.as_ref().map(Self::from_record).transpose()
    }

    fn from_record(record: &Record) -> Result<Self> {
        let optional = |position: usize| match record.get(position) {
            Some(Value::Int(value)) => Some(value.cast_unsigned()),
            _ => None,
        };
        let cursor = optional(5).zip(optional(6));
        let token = record.get(8).and_then(Value::as_bytes);
        let ledger = optional(11).zip(optional(12)).zip(optional(13));
        Ok(Self {
            replica: ReplicaId(read_text(record, 1)?),
            acknowledged: read_number(record, 2)?,
            sent: read_number(record, 3)?,
            next: read_number(record, 4)?,
            cursor: cursor.map(|(epoch, seq)| (Epoch(epoch), Seq(seq))),
            staging: Staging {
                token: token.unwrap_or_default().to_vec(),
                joining: optional(7).and_then(|slot| u32::try_from(slot).ok()),
                replaces: record.get(9).and_then(Value::as_bool).unwrap_or_default(),
                work: record.get(10).filter(|work| !work.is_null()).cloned(),
            },
            ledger: ledger.map(|((epoch, seq), number)| {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let seq = Seq(seq);
                (Epoch(epoch), EntryId { seq, number })
            }),
            first: optional(14).unwrap_or_default(),
            version: match optional(15) {
                Some(version) => u32::try_from(version).map_err(|_| damaged(15))?,
                None => 0,
            },
            pinned: record.get(16).and_then(Value::as_bool).unwrap_or_default(),
        })
    }

    pub(crate) fn write(&self, tx: &mut Transaction<'_>, table: &Collection) -> Result<()> {
        let (epoch, cursor) = self.cursor.unzip();
        let staging = &self.staging;
        let token = (!staging.token.is_empty()).then(|| Value::from(staging.token.as_slice()));
        let values = [
            Value::from(STATE_KEY),
            Value::Text(self.replica.0.clone()),
            number(self.acknowledged),
            number(self.sent),
            number(self.next),
            Value::from(epoch.map(|epoch| number(epoch.0))),
            Value::from(cursor.map(|seq| number(seq.0))),
            Value::from(staging.joining.map(i64::from)),
            token.unwrap_or_default(),
            Value::from(staging.replaces),
            staging.work.clone().unwrap_or_default(),
            Value::from(self.ledger.map(|(epoch, _)| number(epoch.0))),
            Value::from(self.ledger.map(|(_, id)| number(id.seq.0))),
            Value::from(self.ledger.map(|(_, id)| i64::from(id.number))),
            number(self.first),
            Value::from(self.version),
            Value::from(self.pinned),
        ];
        tx.upsert_values(table, values).map(drop)
    }

    /// What the replica tells the server.
    pub(crate) fn position(&self) -> Position {
        match self.cursor {
            Some((epoch, seq)) => Position::At { epoch, seq },
            None => Position::Start,
        }
    }

    /// The last entry of the ledger that the server need not tell again.
    pub(crate) fn told(&self) -> EntryId {
        let of_this_log = |(epoch, _): &(Epoch, EntryId)| {
            let known = self.cursor.map(|(epoch, _)| epoch);
            known.is_none_or(|known| known == *epoch)
        };
        self.ledger
            .filter(of_this_log)
            .map_or_else(EntryId::default, |(_, id)| id)
    }

    /// The commit that local edits start from.
    pub(crate) fn base(&self) -> Seq {
        self.cursor.map_or(Seq::ZERO, |(_, seq)| seq)
    }
}

/// The tables of a server.
pub(crate) struct ServerTables {
    pub(crate) server: Collection,
    pub(crate) clients: Collection,
    pub(crate) readers: Collection,
    pub(crate) outcomes: Collection,
    pub(crate) rows: Collection,
    pub(crate) deleted: Collection,
    pub(crate) gone: Collection,
    pub(crate) conflicts: Collection,
}

impl ServerTables {
    pub(crate) fn open(db: &Database) -> Result<Self> {
        Ok(Self {
            server: open(
                db,
                table("sync_server", &["name"], [text("name"), int("epoch")]).finish()?,
            )?,
            clients: open(
                db,
                table(
                    "sync_clients",
                    &["replica"],
                    [text("replica"), int("last"), int("acknowledged")],
                )
                .field(text("principal").nullable())
                .field(int("stamp").default_value(0))
                .finish()?,
            )?,
            readers: open(
                db,
                table(
                    "sync_readers",
                    &["replica"],
                    [
                        text("replica"),
                        int("cursor"),
                        Field::new("seen", FieldType::Timestamp),
                        int("version").default_value(0),
                    ],
                )
                .finish()?,
            )?,
            outcomes: open(
                db,
                table(
                    "sync_outcomes",
                    &["replica", "client_seq"],
                    [
                        text("replica"),
                        int("client_seq"),
                        int("seq"),
                        any("identity"),
                        any("outcome"),
                    ],
                )
                .fields(["stamp", "shift"].map(|name| int(name).default_value(0)))
                .index(IndexSpec::hash(["replica", "identity"]))
                .finish()?,
            )?,
            rows: open(
                db,
                table(
                    "sync_rows",
                    &["table", "key"],
                    [
                        text("table"),
                        any("key"),
                        int("written"),
                        int("born"),
                        int("stamp"),
                        text("replica"),
                        any("columns"),
                    ],
                )
                .field(int("client_seq").nullable())
                .field(any("elements").nullable())
                .field(any("touched").nullable())
                .finish()?,
            )?,
            deleted: open(
                db,
                table(
                    "sync_deleted",
                    &["table", "key"],
                    [
                        text("table"),
                        any("key"),
                        int("seq"),
                        int("stamp"),
                        text("replica"),
                        int("client_seq"),
                        any("values").nullable(),
                        any("writes").nullable(),
                    ],
                )
                .index(IndexSpec::ordered(["seq"]))
                .finish()?,
            )?,
            gone: open(
                db,
                table("sync_gone", &["hash"], [int("hash"), int("seq")])
                    .index(IndexSpec::ordered(["seq"]))
                    .finish()?,
            )?,
            conflicts: open(db, ledger::schema()?)?,
        })
    }
}

/// The key of a row in `sync_rows`.
pub(crate) fn row_key(table: &str, key: &RecordId) -> RecordId {
    RecordId::composite([Value::from(table), Value::List(key.values().into())])
}

pub(crate) fn stamp_value(stamp: Hlc) -> Value {
    number(stamp.0)
}

/// One synced table at a replica.
pub(crate) struct Synced {
    pub(crate) collection: Collection,
    /// The schema as the server has it.
    pub(crate) schema: Schema,
    /// Whether no unique index and no reference can make the order of mutations matter.
    pub(crate) stands_alone: bool,
    /// How the server resolves its conflicts.
    pub(crate) policy: Policy,
}

/// The synced tables of a replica.
#[derive(Default)]
pub(crate) struct SyncedTables {
    pub(crate) by_name: BTreeMap<Text, Synced>,
    pub(crate) names: HashMap<TableId, Text>,
    pub(crate) id: SchemaSetId,
}

impl SyncedTables {
    pub(crate) fn load(db: &Database, schemas: &Collection) -> Result<Self> {
        let mut found = Vec::new();
        let snapshot = db.snapshot();
        snapshot.view().scan(schemas, &mut |records| {
            found.extend_from_slice(records);
            ControlFlow::Continue(())
        })?;
        let mut read = Vec::new();
        let mut policies = BTreeMap::new();
        for record in found {
            let bytes = record.get(1).and_then(Value::as_bytes);
            let bytes = bytes.ok_or_else(|| damaged(1))?;
            let schema = decode_schema(bytes, &Limits::default())?;
            if let Some(json) = record.get(2).and_then(Value::as_text) {
                policies.insert(schema.name.clone(), read_policy(json)?);
            }
            read.push(schema);
        }
        let referred: Vec<Text> = read
            .iter()
            .flat_map(|schema| schema.references.iter().map(|r| r.table.clone()))
            .collect();
        let id = schema_set(&read, &policies);
        let mut tables = Self {
            id,
            ..Self::default()
        };
        for schema in read {
            let collection = db.collection(&schema.name)?;
            tables.names.insert(collection.id(), schema.name.clone());
            let stands_alone = schema.references.is_empty()
                && !referred.contains(&schema.name)
                && schema.indexes.iter().all(|index| !index.unique);
            tables.by_name.insert(
                schema.name.clone(),
                Synced {
                    collection,
                    policy: policies.remove(&schema.name).unwrap_or_default(),
                    schema,
                    stands_alone,
                },
            );
        }
        Ok(tables)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Synced> {
        self.by_name
            .get(name)
            .ok_or_else(|| Error::not_found(format!("the server has no table `{name}`")))
    }
}

/// The row of `sync_schemas` for a schema.
pub(crate) fn schema_row(schema: &Schema, policy: Option<&Policy>) -> Result<[Value; 3]> {
    Ok([
        Value::Text(schema.name.clone()),
        Value::from(encode_schema(schema)?),
        match policy {
            Some(policy) => Value::from(write_policy(policy)?.as_str()),
            None => Value::Null,
        },
    ])
}

/// A policy as JSON.
pub(crate) fn write_policy(policy: &Policy) -> Result<String> {
    serde_json::to_string(policy).map_err(|error| Error::invalid(error.to_string()))
}

/// The policy that the JSON describes.
pub(crate) fn read_policy(json: &str) -> Result<Policy> {
    serde_json::from_str(json)
        .map_err(|error| Error::corrupt(format!("a policy does not read back: {error}")))
}

/// The schema that a replica keeps rows under: uniqueness and references are for the server to check, which
/// sees all rows; here they could only make it impossible to take in what the server sends. Columns may be null, because
/// a scope need not have them; what the application writes is checked by [`Synced::require`].
pub(crate) fn replica_schema(schema: &Schema) -> Schema {
    let mut relaxed = schema.clone();
    relaxed.references.clear();
    for index in &mut relaxed.indexes {
        index.unique = false;
    }
    for field in relaxed.fields.iter_mut().skip(schema.key_columns) {
        field.nullable = true;
    }
    relaxed
}

impl Synced {
    /// Checks what the replica's own schema does not: that no column is null which the server wants to have. Columns
    /// for which `is_here` is false are not kept here, and the server has values for them; so it is with one that was null
    /// `before`: other subscriptions may keep it of other rows.
    pub(crate) fn require(
        &self,
        before: Option<&Record>,
        row: &[Value],
        is_here: impl Fn(FieldId) -> bool,
    ) -> Result<()> {
        let was_null = |position: usize| {
            let before = before.and_then(|before| before.get(position));
            before.is_some_and(Value::is_null)
        };
        let fields = self.schema.fields.iter().zip(row).enumerate();
        let violations: Vec<Violation> = fields
            .skip(self.schema.key_columns)
            .filter(|(_, (field, value))| value.is_null() && !field.nullable && is_here(field.id))
            .filter(|(position, _)| !was_null(*position))
            .map(|(_, (field, _))| Violation {
                path: field.name.to_string(),
                rule: "nullable".into(),
                message: format!("is null; expected {}", field.ty),
            })
            .collect();
        if violations.is_empty() {
            return Ok(());
        }
        let subject = format!("a row of table `{}`", self.schema.name);
        Err(Error::violations_of(
            ErrorKind::Invalid,
            &subject,
            violations,
        ))
    }
}

/// The schemas of the tables that a server syncs.
pub(crate) fn user_schemas(db: &Database) -> Vec<Schema> {
    let tables = user_tables(db);
    tables
        .iter()
        .map(|table| (*table.schema()).clone())
        .collect()
}

/// Identity of a set of schemas, with the policies of their tables.
pub(crate) fn schema_set(schemas: &[Schema], policies: &BTreeMap<Text, Policy>) -> SchemaSetId {
    let mut parts: Vec<(&Text, [u8; 16])> = schemas
        .iter()
        .map(|schema| (&schema.name, schema.schema_id().0))
        .collect();
    parts.sort_unstable();
    let mut hash = Sha256::new();
    for (name, id) in parts {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(id);
        if let Some(policy) = policies.get(name) {
            // A policy is plain data, which JSON always holds.
            let json = write_policy(policy).unwrap_or_default();
            hash.update((json.len() as u64).to_le_bytes());
            hash.update(json.as_bytes());
        }
    }
    let hash = hash.finalize();
    SchemaSetId(hash.first_chunk::<16>().copied().unwrap_or_default())
}

/// All records of a table.
pub(crate) fn read_all(db: &Database, table: &Collection) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    db.snapshot().view().scan(table, &mut |chunk| {
        records.extend_from_slice(chunk);
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// The entries that a query wants, oldest first.
pub(crate) fn find_in_ledger(
    db: &Database,
    table: &Collection,
    wanted: &LedgerQuery,
) -> Result<Vec<LedgerEntry>> {
    let query = Query::from(table.name()).filter(wanted.filter());
    let mut records = query.records(&db.snapshot().view())?;
    records.sort_by(|a, b| a.key().cmp(b.key()));
    records.iter().map(LedgerEntry::from_record).collect()
}

/// Position of the time of an entry among its columns.
pub(crate) const LEDGER_AT: usize = 16;
/// Rows forgotten in one commit. It is more than one commit of usual size adds, so the tables shrink.
const FORGOTTEN_MAX: usize = 1_024;

/// Deletes the rows of a table that are first in its ordered index, while there are more than `rows_max` or they
/// are too old.
pub(crate) fn forget_oldest(
    tx: &mut Transaction<'_>,
    table: &Collection,
    rows_max: usize,
    too_old: &dyn Fn(&Record) -> bool,
) -> Result<()> {
    let indexes = table.indexes();
    let by_seq = indexes
        .iter()
        .find(|index| index.spec().kind == IndexKind::Ordered);
    let Some(by_seq) = by_seq.filter(|_| !table.is_empty()) else {
        return Ok(());
    };
    let excess = table.len().saturating_sub(rows_max);
    // A look at the very oldest says whether any is too old.
    let mut wanted = excess.clamp(1, FORGOTTEN_MAX);
    loop {
        let all = KeyRange::all();
        let oldest = tx
            .view()
            .range(table, by_seq, &all, Direction::Ascending, Some(wanted))?;
        let forgotten: Vec<RecordId> = oldest
            .iter()
            .enumerate()
            .take_while(|(position, record)| *position < excess || too_old(record))
            .map(|(_, record)| record.id())
            .collect();
        if forgotten.len() == wanted && wanted < FORGOTTEN_MAX && oldest.len() == wanted {
            let more = (wanted * 8).min(FORGOTTEN_MAX);
            if oldest.last().is_some_and(too_old) {
                wanted = more;
                continue;
            }
        }
        for id in forgotten {
            tx.delete(table, id)?;
        }
        return Ok(());
    }
}
