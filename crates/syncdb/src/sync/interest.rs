//! [`Interest`]: which commits concern a replica that has seen the log up to some place.

use std::sync::Arc;

use common::Seq;
use common::versioning::Change;

use super::protocol::ScopeId;
use super::scope::Compiled;

/// What a replica keeps, and how far it has seen the log, as of one answer: tells whether later commits bring it anything.
///
/// It speaks of the rows that the principal may see, under the permissions of the time of the answer. A clone is a few
/// pointers: what scopes compile to is shared by all replicas with the same ones.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{Database, row};
/// use syncdb::{SyncDb, SyncServer};
/// let db = Database::new();
/// let notes = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int)).finish()?;
/// let notes = db.create_collection(notes)?;
/// let server = SyncServer::new(db.clone())?;
/// let phone = SyncDb::client("phone")?;
/// let mut interest = None;
/// phone.sync(&mut |request: &[u8]| {
///     let (answer, of_answer) = server.handle_live(None, request)?;
///     interest = of_answer;
///     Ok(answer)
/// })?;
/// let interest = interest.expect("the replica has come to a commit");
/// let seen = interest.seq();
/// notes.insert(row! { "id": 1 })?;
/// assert!(db.changes_since(seen, 10)?.iter().any(|change| interest.concerns(change)));
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Interest {
    seq: Seq,
    scopes: Arc<[Arc<Compiled>]>,
}

impl Interest {
    pub(crate) fn new(seq: Seq, scopes: impl IntoIterator<Item = Arc<Compiled>>) -> Self {
        Self {
            seq,
            scopes: scopes.into_iter().collect(),
        }
    }

    /// The commit that the replica has come to with the answer.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// Names what is kept: replicas with equal names are concerned by the same changes.
    pub fn scopes(&self) -> Vec<ScopeId> {
        self.scopes.iter().map(|scope| scope.id).collect()
    }

    /// Whether the replica gets anything of a change. What the log does not tell (a row that was there before and of which it
    /// keeps no values) counts as if it did.
    pub fn concerns(&self, change: &Change) -> bool {
        change.seq > self.seq
            && self.scopes.iter().any(|scope| {
                let table = scope.table(change.table);
                table.is_some_and(|table| table.is_touched_by(change))
            })
    }
}
