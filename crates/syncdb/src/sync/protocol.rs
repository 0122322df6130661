//! What the two sides say to each other, as plain data; [`super::wire`] turns it into bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use common::query::Filter;
use common::schema::{FieldId, Schema};
use common::versioning::{Hlc, ReplicaId};
use common::{Limits, RecordId, Seq, Text, Value};

use super::delta::Delta;
use super::digest::Digest;
use super::ledger::{EntryId, LedgerEntry};
use super::policy::Policy;
pub use crate::names::is_system;
pub use crate::payload::DictionaryId;
pub use crate::power::MUTATIONS_MAX;

/// Edition of the wire format: the first byte of every frame.
pub const WIRE_VERSION: u8 = 1;
/// Most operations in one mutation.
pub const OPS_MAX: usize = 100_000;
/// Most bytes of a frame, packed or unpacked, and of what it unpacks to in memory.
pub const FRAME_BYTES_MAX: usize = 32 << 20;
/// A segment is cut once its rows take this many bytes of memory; on the wire it is smaller by far.
pub const SEGMENT_MEMORY_TARGET: usize = 1 << 20;
/// An answer stops taking segments once they have this many bytes.
pub const ANSWER_BYTES_TARGET: usize = 1 << 20;
/// Most scopes of a replica; their numbers are bits of a mask.
pub const SCOPES_MAX: u32 = 64;
/// Most bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 4 << 10;
/// Most questions about ranges in one request.
pub const QUESTIONS_MAX: usize = 256;
/// Most hashes of rows in one question.
pub const HASHES_MAX: usize = 4_096;
/// Most outcomes that the server keeps for a replica that does not acknowledge them.
pub const OUTCOMES_MAX: u64 = 10_000;
/// Outcomes that the server keeps for a replica beyond their acknowledgement, so that it knows the mutations again that a
/// replica sends once more after it was set back to an old copy of itself.
pub const OUTCOMES_KEPT: u64 = 128;
/// Most entries of the ledger in one answer, beside those in its outcomes.
pub const LEDGER_ENTRIES_MAX: usize = 1_000;
/// Most shared dictionaries that a request names, and that an answer brings.
pub const DICTIONARIES_MAX: usize = 64;
/// Most bytes of one shared dictionary.
pub const DICTIONARY_BYTES_MAX: usize = 256 << 10;
/// Most bits of a reference to a row.
pub const REFERENCE_BITS_MAX: u32 = 32;
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
    /// What its joined scopes cover it has as of this commit.
    At {
        /// The log that `seq` counts in.
        epoch: Epoch,
        /// Last commit seen.
        seq: Seq,
    },
}

/// Identity of what a scope covers: the first 16 bytes of SHA-256 over its tables, their schemas, the filters that hold
/// and the columns, as the server has compiled them for one principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ScopeId(pub [u8; 16]);

/// One scope: a part of the server's rows that a replica keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// Number of the scope at this replica, below [`SCOPES_MAX`]: its bit in [`Block::scopes`].
    pub slot: u32,
    /// What the scope is to cover.
    pub want: Want,
    /// What the replica has of it.
    pub held: Held,
}

impl Scope {
    /// The scope's bit in a mask.
    pub const fn bit(&self) -> u64 {
        bit(self.slot)
    }
}

/// The bit of a slot in a mask.
pub const fn bit(slot: u32) -> u64 {
    1_u64.wrapping_shl(slot)
}

/// What a scope is to cover.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Name of the table; `None` for every table.
    pub table: Option<Text>,
    /// Which rows.
    pub filter: Filter,
    /// Which columns beside the key's; `None` for all.
    pub columns: Option<Vec<Text>>,
}

impl Want {
    /// All columns of all rows of all tables.
    pub const EVERYTHING: Self = Self {
        table: None,
        filter: Filter::True,
        columns: None,
    };
}

/// What a replica has of a scope.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// Nothing, or nothing that is worth keeping.
    Nothing,
    /// All of it as of the request's position, under the rules of this id.
    Joined(ScopeId),
    /// Rows of unknown age, to be compared with the server's.
    Stale,
    /// All of another scope as of the request's position: the filter or the columns were changed since.
    Changed {
        /// The rules under which the replica has the other scope.
        id: ScopeId,
        /// The other scope.
        old: Box<Want>,
        /// The version of the application's tables that it was of; 0 for the same as now.
        version: u32,
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
    /// The parts of the server's rows that the replica keeps, in the order in which they are wanted.
    pub scopes: Vec<Scope>,
    /// What the server gave with the last part of what is staged; empty when nothing is.
    pub token: Vec<u8>,
    /// Questions about ranges of rows, when the server asked for them.
    pub ranges: Option<Vec<RangeQuestion>>,
    /// The schemas that it has.
    pub schemas: SchemaSetId,
    /// The version of the application's tables that it is to be served, from the lineage that its application carries; 0 for
    /// whichever is current at the server.
    pub version: u32,
    /// Outcomes up to this `client_seq` have arrived; the server may forget them.
    pub acknowledged: u64,
    /// What the replica's clock says, to measure how far it is off.
    pub now: Hlc,
    /// The replica has been told of all entries of the ledger that concern it, up to this one.
    pub told: EntryId,
    /// Number of the first mutation of this life of the replica. What it sent with smaller numbers before it was set back to an
    /// old copy of itself, or installed anew under its old name, it knows only as far as it has pulled it. 0: all are of this life.
    pub first: u64,
    /// The shared dictionaries that the replica has, at most [`DICTIONARIES_MAX`]. Blocks of the request and of its answer
    /// name one by its place here.
    pub dictionaries: Vec<DictionaryId>,
    /// Whether the answer may name rows that the replica has by references: see [`Referred`].
    pub references: bool,
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
    /// With the schemas: the version of the application's tables that they are; 0 at a server without a lineage.
    pub version: u32,
    /// With the schemas: how the conflicts of each table are resolved, where that is not the default.
    pub policies: BTreeMap<Text, Policy>,
    /// The `client_seq` that the server expects next.
    pub next: u64,
    /// Whether the server has dealt with the mutations of the request; without it, `next` says nothing new.
    pub heard: bool,
    /// What became of the mutations, with their numbers.
    pub outcomes: Vec<(u64, Outcome)>,
    /// Entries of the ledger that concern the replica, after [`Request::told`], but for those in the outcomes.
    pub ledger: Vec<LedgerEntry>,
    /// The replica's next [`Request::told`].
    pub told: EntryId,
    /// Mask of the scopes that `truth` speaks of: those that the replica has rows of.
    pub known: u64,
    /// The server's rows where an outcome left them other than the replica has them.
    pub truth: Vec<Block>,
    /// Scopes that cannot be served, by slot, with the reason.
    pub refused: Vec<(u32, Text)>,
    /// Shared dictionaries that the replica does not have and that pay for themselves, for the next exchanges.
    pub dictionaries: Vec<SentDictionary>,
    /// Those of the request's dictionaries that the server does not have: nothing may be packed with them.
    pub lost: Vec<DictionaryId>,
    /// What is to be kept aside until the next commit.
    pub staged: Option<Staged>,
    /// What makes the staged rows visible, with what happened at the server up to a commit.
    pub commit: Option<Commit>,
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

/// [`Rejection::code`] of a mutation that changes a row which was deleted before the beginning of the server's log.
pub const ROW_GONE: &str = "row_gone";

/// Code of the rejection of a mutation of which the server does not know any more whether it applied it.
pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";

/// Why a mutation was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the kind of error, or [`ROW_GONE`], or [`OUTCOME_UNKNOWN`].
    pub code: Text,
    /// The sentence for people.
    pub message: Text,
}

/// Rows to be kept aside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Staged {
    /// What the replica says next time, so that the server goes on behind this part.
    pub token: Vec<u8>,
    /// Whether everything staged before is to be forgotten.
    pub restart: bool,
    /// The scope that joins with the next commit.
    pub joining: Option<u32>,
    /// Whether the frames will hold all rows of that scope, so that others go.
    pub replaces: bool,
    /// Frames of [`Block`]s of the scope that joins; their masks are empty.
    pub segments: Vec<Arc<[u8]>>,
    /// Frames of [`Block`]s of any scopes.
    pub changes: Vec<Arc<[u8]>>,
    /// Sums over ranges of the scope that joins, to be compared with the replica's.
    pub ranges: Option<RangeAnswer>,
}

/// The end of what was staged: all of it becomes visible together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// The replica's next position.
    pub seq: Seq,
    /// What changed up to there: at most one entry for each row.
    pub blocks: Vec<Block>,
    /// Mask of the scopes that the replica has as of `seq`.
    pub joined: u64,
    /// The rules of scopes that the replica did not have under them before.
    pub grants: Vec<Grant>,
    /// What the replica's rows must add up to, for each joined scope by slot.
    pub digests: Vec<(u32, Digest)>,
    /// Blocks whose rows are named by references.
    pub referred: Vec<Referred>,
    /// Sum modulo 2^64 of the lower 64 bits of the hashes of the keys of all rows in `referred`.
    pub keys: u64,
}

/// The rules under which a scope is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Number of the scope.
    pub slot: u32,
    /// Identity of the rules.
    pub id: ScopeId,
    /// Columns beside the key's, for each table of which not all are served.
    pub columns: Vec<(Text, Vec<FieldId>)>,
}

/// A place in the order of the rows of a scope: by name of the table, then by key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// Name of the table.
    pub table: Text,
    /// Key of a row.
    pub key: RecordId,
}

/// The rows after `after` up to and with `upto`; without bounds, from the first or to the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// The row before the first of the range.
    pub after: Option<Bound>,
    /// The last row of the range.
    pub upto: Option<Bound>,
}

/// A question about a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeQuestion {
    /// Which rows.
    pub range: Range,
    /// `None` asks for sums over parts of the range; else the hashes of the replica's rows in it, of which the
    /// server sends what is missing.
    pub rows: Option<Vec<u64>>,
}

/// Answers to the first questions about ranges, as many as fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeAnswer {
    /// For each question answered.
    pub answers: Vec<RangeReply>,
}

/// The answer to a question about a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeReply {
    /// Parts of the range, in order, each ending where the next begins; the last ends with the range.
    Parts(Vec<RangeSum>),
    /// Positions of those among the replica's hashes that no row of the server has. The server's rows that are in
    /// none of the hashes are in [`Staged::segments`].
    Unknown(Vec<u32>),
}

/// What the server's rows of a range add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSum {
    /// Last row of the range; `None` for the end of the whole.
    pub upto: Option<Bound>,
    /// Number of rows.
    pub rows: u64,
    /// Sum of the lower 64 bits of their hashes.
    pub sum: u64,
}

/// A shared dictionary on its way: what it knows the columns of, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentDictionary {
    /// Name of the table.
    pub table: Text,
    /// Number of its key columns, which are the content's first.
    pub key_columns: u32,
    /// The columns beyond the key's, in the content's order.
    pub fields: Vec<FieldId>,
    /// What [`SharedDictionary::read`](crate::payload::SharedDictionary::read) reads, at most
    /// [`DICTIONARY_BYTES_MAX`].
    pub content: Arc<[u8]>,
}

/// What a block says about its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockKind {
    /// They have these values in all columns that the scopes cover.
    Put,
    /// They have these values in some columns; the others are as they were.
    Patch,
    /// They are not there, or in no scope.
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
    /// Mask of the scopes that cover the rows.
    pub scopes: u64,
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

/// Rows that the replica has, without their keys.
///
/// The hash of a key is XXH3 of 128 bits over the table's name and the key's values, as the hash of a row begins. Which of
/// several rows a prefix means follows from `check`.
#[derive(Debug, Clone, PartialEq)]
pub struct Referred {
    /// How many bits of the hash of a row's key name it, 1 to [`REFERENCE_BITS_MAX`].
    pub bits: u32,
    /// The first bits of the hash of each row's key. The rows are in order of their hashes.
    pub prefixes: Vec<u32>,
    /// Sum modulo 2^32 of the lower 32 bits of their hashes.
    pub check: u32,
    /// The rows: changed columns, as many values in each as there are prefixes, and none of the key.
    pub block: Block,
}
