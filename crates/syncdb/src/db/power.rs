//! A replica's side of power: budgets for a sync, and what waits.

use common::Result;

use super::SyncDb;
use crate::client::{Transport, drive};
use crate::power::{SyncBudget, Urgency, Waiting};
use crate::sync::deferred::{self, Deferred, DeferredId, DeferredReport};
use crate::sync::queue;
use crate::sync::report::SyncReport;
use crate::sync::session::Session;

impl SyncDb {
    /// As [`SyncDb::session`], within a budget: how much each request takes, and how hard it is packed.
    ///
    /// # Errors
    /// As [`SyncDb::session`].
    pub fn session_with(&self, budget: &SyncBudget) -> Result<Session<'_>> {
        Session::new(&self.core, budget.clone())
    }

    /// As [`SyncDb::sync`], within a budget.
    ///
    /// ```
    /// use common::schema::{Field, FieldType, Schema};
    /// use common::{Database, row};
    /// use syncdb::power::SyncBudget;
    /// use syncdb::{SyncDb, SyncServer};
    /// let db = Database::new();
    /// let notes = Schema::build("notes", ["id"]).field(Field::new("id", FieldType::Int));
    /// db.create_collection(notes.finish()?)?;
    /// let server = SyncServer::new(db)?;
    /// let mut transport = |request: &[u8]| server.handle(request);
    /// let phone = SyncDb::client("phone")?;
    /// phone.sync(&mut transport)?;
    /// for id in 0..25 {
    ///     phone.insert("notes", row! { "id": id })?;
    /// }
    /// let report = phone.sync_with(&SyncBudget::default().mutations_max(10), &mut transport)?;
    /// assert_eq!((report.rows_sent, report.round_trips), (25, 3));
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`SyncDb::sync`].
    pub fn sync_with(
        &self,
        budget: &SyncBudget,
        transport: &mut dyn Transport,
    ) -> Result<SyncReport> {
        drive(self.session_with(budget)?, transport)
    }

    /// What waits to be sent, by priority and deadline: what a scheduler decides by. Reads the whole queue,
    /// unless nothing was committed since it was asked last.
    ///
    /// # Errors
    /// Only with a storage that can fail.
    pub fn waiting(&self) -> Result<Waiting> {
        let snapshot = self.core.db.snapshot();
        let mut known = self.waiting.lock();
        if let Some((at, waiting)) = &*known
            && *at == snapshot.seq()
        {
            return Ok(waiting.clone());
        }
        let mut waiting = Waiting::default();
        let tables = &self.core.tables;
        queue::waiting(snapshot.view(), &tables.queue, &mut waiting)?;
        deferred::waiting(snapshot.view(), &tables.deferred, &mut waiting)?;
        *known = Some((snapshot.seq(), waiting.clone()));
        Ok(waiting)
    }

    /// Keeps an operation of the application's own for the next time that the radio is up: the upload of a picture, a
    /// report, a request to another service. It is kept in the database, in the table `sync_deferred`, until it is
    /// finished, and its deadline forces a sync as that of a row does.
    ///
    /// `name` says which operation it is (1 to 128 bytes), `payload` is whatever it needs. Nothing is ever dropped to make
    /// room.
    ///
    /// ```
    /// use syncdb::SyncDb;
    /// use syncdb::power::Priority;
    /// let phone = SyncDb::client("phone")?;
    /// phone.defer("upload", b"picture 7", Priority::Low)?;
    /// phone.defer("call", b"112", Priority::Critical)?;
    /// let mut ran = Vec::new();
    /// let report = phone.run_deferred(&mut |operation| {
    ///     ran.push(operation.name.to_string());
    ///     Ok(())
    /// })?;
    /// assert_eq!((ran, report.finished), (vec!["call".to_owned(), "upload".to_owned()], 2));
    /// assert!(phone.waiting()?.is_empty());
    /// # Ok::<(), common::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`common::ErrorKind::LimitExceeded`] when [`DEFERRED_MAX`](deferred::DEFERRED_MAX) operations or
    /// [`DEFERRED_BYTES_MAX`](deferred::DEFERRED_BYTES_MAX) bytes wait already, or the payload has more than
    /// [`PAYLOAD_BYTES_MAX`](deferred::PAYLOAD_BYTES_MAX); [`common::ErrorKind::Invalid`] for a name that is none.
    pub fn defer(
        &self,
        name: &str,
        payload: &[u8],
        urgency: impl Into<Urgency>,
    ) -> Result<DeferredId> {
        let mut tx = self.begin();
        let id = tx.defer(name, payload, urgency)?;
        tx.commit()?;
        Ok(id)
    }

    /// The operations that were deferred and are not finished, in the order in which they are to run: the most urgent
    /// priority first, and among equals the one that was deferred first.
    ///
    /// # Errors
    /// [`common::ErrorKind::Corrupt`] when the table `sync_deferred` was written by somebody else.
    pub fn deferred(&self) -> Result<Vec<Deferred>> {
        let snapshot = self.core.db.snapshot();
        deferred::all(snapshot.view(), &self.core.tables.deferred)
    }

    /// Takes a deferred operation away, because it has run. Returns whether it was there.
    ///
    /// # Errors
    /// As [`SyncDb::deferred`].
    pub fn finish_deferred(&self, id: DeferredId) -> Result<bool> {
        let mut tx = self.begin();
        let was_there = tx.finish_deferred(id)?;
        tx.commit()?;
        Ok(was_there)
    }

    /// Lets a deferred operation that failed wait anew, as if it had just been deferred, without the deadline of its own
    /// that it may have had. It keeps its place in the order. Returns whether it was there.
    ///
    /// # Errors
    /// As [`SyncDb::deferred`].
    pub fn postpone_deferred(&self, id: DeferredId) -> Result<bool> {
        let mut tx = self.begin();
        let was_there = tx.postpone_deferred(id)?;
        tx.commit()?;
        Ok(was_there)
    }

    /// Runs what was deferred, one after another in their order: what succeeds is finished, what fails is postponed and
    /// reported. An operation that ran just before a crash runs again, so it has to bear that; one whose effect is rows can
    /// end with [`SyncTransaction::finish_deferred`](crate::SyncTransaction::finish_deferred) instead. Call it when a
    /// [`Decision`](crate::power::Decision) says to sync.
    ///
    /// # Errors
    /// What the database fails with. What an operation fails with is in the report.
    pub fn run_deferred(
        &self,
        run: &mut dyn FnMut(&Deferred) -> Result<()>,
    ) -> Result<DeferredReport> {
        let mut report = DeferredReport::default();
        for operation in self.deferred()? {
            match run(&operation) {
                Ok(()) => {
                    self.finish_deferred(operation.id)?;
                    report.finished += 1;
                }
                Err(error) => {
                    self.postpone_deferred(operation.id)?;
                    report.failed.push((operation.id, error));
                }
            }
        }
        Ok(report)
    }
}
