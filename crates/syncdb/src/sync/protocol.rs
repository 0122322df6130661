//! What the two sides say to each other, as plain data; [`super::wire`] turns it into bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use common::schema::{FieldId, Schema};
use common::versioning::{Hlc, ReplicaId};
use common::{Limits, RecordId, Seq, Text, Value};

use super::delta::Delta;
use super::digest::Digest;
use super::ledger::{EntryId, LedgerEntry};
use super::policy::Policy;

/// Edition of the wire format: the first byte of every frame.
pub const WIRE_VERSION: u8 = 1;
/// Most mutations in one request.
pub const MUTATIONS_MAX: usize = 1_000;
/// Most operations in one mutation.
pub const OPS_MAX: usize = 100_000;
/// A request stops taking mutations once they are estimated at this many bytes.
pub const REQUEST_BYTES_TARGET: usize = 1 << 20;
/// Most bytes of a frame, packed or unpacked, and of what it unpacks to in memory.
pub const FRAME_BYTES_MAX: usize = 32 << 20;
/// A snapshot block is cut once its rows take this many bytes of memory; on the wire it is smaller by far.
pub const BLOCK_BYTES_TARGET: usize = 1 << 20;
/// An answer stops taking snapshot blocks once they have this many bytes.
pub const ANSWER_BYTES_TARGET: usize = 1 << 20;
/// Most outcomes that the server keeps for a replica that does not acknowledge them.
pub const OUTCOMES_MAX: u64 = 10_000;
/// Most entries of the ledger in one answer, beside those in its outcomes.
pub const LEDGER_ENTRIES_MAX: usize = 1_000;
/// Longest name of a replica, in bytes of UTF-8.
pub const REPLICA_BYTES_MAX: usize = 128;
/// Most bytes that one mutation may take, so that it fits a frame with room to spare.
pub const MUTATION_BYTES_MAX: usize = 8 << 20;

/// The limits under which frames are read.
pub fn frame_limits() -> Limits {
    Limits::default().total_bytes_max(FRAME_BYTES_MAX)
}

/// Which log a position belongs to: chosen at random when a server's database is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identity of a set of schemas: the first 16 bytes of SHA-256 over names and schema ids, sorted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SchemaSetId(pub [u8; 16]);

/// How far a replica has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// It has nothing that the server knows.
    #[default]
    Start,
    /// It has everything up to this commit.
    At {
        /// The log that `seq` counts in.
        epoch: Epoch,
        /// Last commit seen.
        seq: Seq,
    },
    /// It is receiving a snapshot.
    Blocks {
        /// The log that `seq` counts in.
        epoch: Epoch,
        /// The commit that the snapshot shows.
        seq: Seq,
        /// Number of the next block; those before it have arrived.
        next: u32,
    },
}

/// What a replica says.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who speaks.
    pub replica: ReplicaId,
    /// Number of this exchange, which the answer repeats: an answer to another exchange is no answer.
    pub number: u64,
    /// How far the replica has come.
    pub position: Position,
    /// The schemas that it has.
    pub schemas: SchemaSetId,
    /// Outcomes up to this `client_seq` have arrived; the server may forget them.
    pub acknowledged: u64,
    /// What the replica's clock says, to measure how far it is off.
    pub now: Hlc,
    /// The replica has been told of all entries of the ledger that concern it, up to this one.
    pub told: EntryId,
    /// What the replica has changed, with contiguous numbers.
    pub mutations: Vec<Mutation>,
}

/// Operations that take effect together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutation {
    /// Number among the replica's mutations: 1 for the first, then without gaps.
    pub client_seq: u64,
    /// The server's commit that the replica had seen when it made them.
    pub base: Seq,
    /// When they were made.
    pub stamp: Hlc,
    /// What to do, in order.
    pub ops: Vec<Op>,
}

/// One operation on one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Name of the table.
    pub table: Text,
    /// Which row.
    pub key: RecordId,
    /// What to do with it.
    pub action: Action,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The row is new; all columns but the key's.
    Insert(Vec<(FieldId, Value)>),
    /// Some columns have other values.
    Update(Vec<(FieldId, Value)>),
    /// The row goes.
    Delete,
    /// Some columns change by what is said, whatever they hold.
    Deltas(Vec<(FieldId, Delta)>),
    /// What lost in a conflict of this row is to stand after all.
    Revert {
        /// The conflict's entry in the ledger.
        entry: EntryId,
        /// Whether it may replace what was written after that conflict.
        force: bool,
    },
}

/// What the server says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// [`Request::number`].
    pub number: u64,
    /// The log that positions count in.
    pub epoch: Epoch,
    /// The server's clock, so that later stamps of the replica are greater than all it has seen.
    pub now: Hlc,
    /// All schemas, when the replica has others.
    pub schemas: Option<Vec<Schema>>,
    /// With the schemas: how the conflicts of each table are resolved, where that is not the default.
    pub policies: BTreeMap<Text, Policy>,
    /// The `client_seq` that the server expects next.
    pub next: u64,
    /// What became of the mutations, with their numbers.
    pub outcomes: Vec<(u64, Outcome)>,
    /// What happened at the server.
    pub news: News,
    /// Entries of the ledger that concern the replica, after [`Request::told`], but for those in the outcomes.
    pub ledger: Vec<LedgerEntry>,
    /// The replica's next [`Request::told`].
    pub told: EntryId,
}

/// What became of a mutation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All of it took effect.
    Applied,
    /// It met concurrent changes, which were resolved by rule; each conflict is in the ledger.
    Resolved(Vec<LedgerEntry>),
    /// None of it took effect.
    Rejected(Rejection),
}

/// Why a mutation was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the kind of error.
    pub code: Text,
    /// The sentence for people.
    pub message: Text,
}

/// What happened at the server.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The changes of all commits after the replica's position up to `seq`, without the replica's own.
    Changes {
        /// The server's rows where an outcome left them other than the replica has them.
        truth: Vec<Block>,
        /// What changed: at most one entry for each row.
        blocks: Vec<Block>,
        /// The replica's next position.
        seq: Seq,
        /// Whether the log goes on after `seq`.
        more: bool,
        /// What the replica's rows must add up to, when the log does not go on.
        digest: Option<Digest>,
    },
    /// A part of a snapshot.
    Snapshot {
        /// The commit that it shows.
        seq: Seq,
        /// Number of the first block here.
        first: u32,
        /// Number of all blocks.
        total: u32,
        /// Frames of [`Block`]s.
        blocks: Vec<Arc<[u8]>>,
    },
}

/// What a block says about its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockKind {
    /// They have these values in all columns.
    Put,
    /// They have these values in some columns; the others are as they were.
    Patch,
    /// They are not there.
    Gone,
    /// Their columns change by these deltas; in requests only.
    Deltas,
    /// What lost in a conflict of theirs is to stand; in requests only.
    Revert,
}

/// Rows of one table, by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Name of the table.
    pub table: Text,
    /// What is said about the rows.
    pub kind: BlockKind,
    /// The columns beyond the key's.
    pub fields: Vec<FieldId>,
    /// Values of each column: those of the key first, then [`Block::fields`]. All are equally long.
    pub columns: Vec<Vec<Value>>,
}

impl Block {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Number of key columns.
    pub fn key_columns(&self) -> usize {
        self.columns.len().saturating_sub(self.fields.len())
    }

    /// The key of row `row`.
    pub fn key(&self, row: usize) -> RecordId {
        let key = self.columns.iter().take(self.key_columns());
        RecordId::composite(key.map(|column| column.get(row).cloned().unwrap_or_default()))
    }

    /// The key of row `row`, and its values by field.
    pub fn row(&self, row: usize) -> (RecordId, Vec<(FieldId, Value)>) {
        let cell = |column: &Vec<Value>| column.get(row).cloned().unwrap_or_default();
        let (key, rest) = self.columns.split_at(self.key_columns());
        let key = RecordId::composite(key.iter().map(cell));
        let values = self.fields.iter().copied().zip(rest.iter().map(cell));
        (key, values.collect())
    }
}

/// The table names that belong to the machinery of sync and are not synced themselves.
pub fn is_system(table: &str) -> bool {
    table.starts_with("sync_")
}
