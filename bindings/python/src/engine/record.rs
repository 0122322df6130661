//! What the engine reports, as read-only objects.

use common::{Text, Timestamp, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use syncdb::Presence;

use super::config::{name_of, plain};
use crate::interchange::{key_to_python, map_to_python, time_to_python, value_to_python};

/// A class of read-only attributes over one of the engine's reports.
macro_rules! record {
    (
        $(#[doc = $doc:literal])+
        $name:ident($inner:ty) {
            $($(#[doc = $of_field:literal])+ $field:ident: $type:ty = |$me:ident, $py:ident| $value:expr;)*
        }
        repr = |$shown:ident| $repr:expr;
    ) => {
        $(#[doc = $doc])+
        #[pyclass(frozen, module = "syncdb.engine")]
        #[derive(Clone)]
        pub(super) struct $name(pub(super) $inner);

        #[pymethods]
        impl $name {
            $(
                $(#[doc = $of_field])+
                #[getter]
                fn $field(&self, $py: Python<'_>) -> PyResult<$type> {
                    let $me = &self.0;
                    let read = |$py: Python<'_>| -> PyResult<$type> {
                        let _ = $py;
                        $value
                    };
                    read($py)
                }
            )*

            fn __repr__(&self) -> String {
                let $shown = &self.0;
                $repr
            }
        }
    };
}

type Object = Py<PyAny>;

fn value(py: Python<'_>, value: &Value) -> PyResult<Object> {
    Ok(value_to_python(py, value)?.unbind())
}

fn key(py: Python<'_>, key: &common::RecordId) -> PyResult<Object> {
    Ok(key_to_python(py, key.values())?.unbind())
}

fn time(py: Python<'_>, at: Timestamp) -> PyResult<Object> {
    Ok(time_to_python(py, at)?.unbind())
}

fn text(text: Option<&Text>) -> Option<String> {
    text.map(ToString::to_string)
}

record! {
    /// One conflict and how it was resolved. `str()` is a sentence.
    LedgerEntry(syncdb::LedgerEntry) {
        /// Which entry, as `revert` takes it: `"41.0"`.
        id: String = |me, py| Ok(me.id().to_string());
        /// The replica whose mutation met a concurrent change.
        replica: String = |me, py| Ok(me.replica.to_string());
        /// Number of that mutation.
        client_seq: u64 = |me, py| Ok(me.client_seq);
        /// Name of the table.
        table: String = |me, py| Ok(me.table.to_string());
        /// Key of the row.
        key: Object = |me, py| key(py, &me.key);
        /// Name of the column; `None` when a deletion met an update, which concerns the whole row.
        column: Option<String> = |me, py| Ok(text(me.column.as_ref()));
        /// What both sides started from; `None` where that is not known, too.
        base: Object = |me, py| value(py, me.base.as_ref().unwrap_or(&Value::Null));
        /// What the server had.
        server: Object = |me, py| value(py, &me.server);
        /// What the replica sent.
        client: Object = |me, py| value(py, &me.client);
        /// How it was resolved: `"last_write_wins"`, `"custom:NAME"`, ...
        rule: String = |me, py| Ok(me.rule.to_string());
        /// Whose value stands: `"server"`, `"client"` or `"merged"`.
        winner: &'static str = |me, py| Ok(me.winner.name());
        /// Who wrote the server's value; empty when it was written at the server.
        server_replica: String = |me, py| Ok(me.server_replica.to_string());
        /// When it was resolved, by the server's clock.
        at: Object = |me, py| time(py, me.at);
        /// What stands after it.
        result: Object = |me, py| value(py, &me.result);
        /// On whose behalf the replica spoke.
        principal: Option<String> = |me, py| Ok(text(me.principal.as_ref()));
        /// On whose behalf the writer of the server's value spoke.
        server_principal: Option<String> = |me, py| Ok(text(me.server_principal.as_ref()));
        /// The entry whose losing value this one brought back.
        reverts: Option<String> = |me, py| Ok(me.reverts.map(|id| id.to_string()));
    }
    repr = |me| me.to_string();
}

record! {
    /// What one sync did.
    SyncReport(syncdb::SyncReport) {
        /// Rows taken in from the server.
        rows_received: u64 = |me, py| Ok(me.rows_received);
        /// Operations on rows that the server has answered.
        rows_sent: u64 = |me, py| Ok(me.rows_sent);
        /// Bytes of all requests.
        bytes_up: u64 = |me, py| Ok(me.bytes_up);
        /// Bytes of all answers.
        bytes_down: u64 = |me, py| Ok(me.bytes_down);
        /// Number of exchanges.
        round_trips: u32 = |me, py| Ok(me.round_trips);
        /// Number of mutations by outcome: `applied`, `resolved`, `rejected`.
        outcomes: Object = |me, py| Ok(plain(py, &me.outcomes)?.unbind());
        /// The conflicts that this replica's mutations met.
        conflicts: Vec<LedgerEntry> = |me, py| Ok(me.conflicts.iter().cloned().map(LedgerEntry).collect());
        /// What the rows here add up to, in hexadecimal.
        digest_local: String = |me, py| Ok(me.digest_local.clone());
        /// What the rows at the server add up to.
        digest_server: String = |me, py| Ok(me.digest_server.clone());
        /// Whether both sides held the same rows when the sync ended.
        converged: bool = |me, py| Ok(me.converged);
        /// Whether the digests differed at first, so that rows were compared and put right.
        repaired: bool = |me, py| Ok(me.repaired);
        /// Rows fetched because a comparison found that they differ.
        rows_repaired: u64 = |me, py| Ok(me.rows_repaired);
        /// Rows that this replica wrote and that no subscription covers, as pairs of table and key: they have left.
        left: Vec<(String, Object)> = |me, py| {
            let left = me.left.iter().map(|(table, id)| Ok((table.to_string(), key(py, id)?)));
            left.collect()
        };
        /// Subscriptions that the server does not serve, with its reason.
        refused: Object = |me, py| Ok(plain(py, &me.refused)?.unbind());
    }
    repr = |me| format!(
        "SyncReport({} received, {} sent, {} conflicts, {} bytes up, {} down, {} round trips{})",
        me.rows_received,
        me.rows_sent,
        me.conflicts.len(),
        me.bytes_up,
        me.bytes_down,
        me.round_trips,
        if me.converged { ", converged" } else { "" },
    );
}

record! {
    /// What one operation says about one row.
    RowEdit(syncdb::RowEdit) {
        /// Name of the table.
        table: String = |me, py| Ok(me.table.to_string());
        /// Key of the row.
        key: Object = |me, py| key(py, &me.key);
        /// `"insert"`, `"update"`, `"delete"`, `"delta"` or `"revert"`.
        action: String = |me, py| Ok(me.action.to_string());
        /// The columns with what they are to hold.
        columns: Py<PyDict> = |me, py| Ok(map_to_python(py, &me.columns)?.unbind());
        /// What the columns held before.
        before: Py<PyDict> = |me, py| Ok(map_to_python(py, &me.before)?.unbind());
    }
    repr = |me| me.to_string();
}

record! {
    /// A mutation that the server rejected: none of it took effect there, and it stays here until it is tried again or
    /// discarded.
    Rejected(syncdb::Rejected) {
        /// Which one, as `retry` and `discard` take it.
        id: String = |me, py| Ok(me.id.to_string());
        /// Name of the kind of error.
        code: String = |me, py| Ok(me.code.to_string());
        /// The server's reason.
        message: String = |me, py| Ok(me.message.to_string());
        /// When the rejection arrived.
        at: Object = |me, py| time(py, me.id.at);
        /// What it was to do.
        edits: Vec<RowEdit> = |me, py| Ok(me.ops.iter().cloned().map(RowEdit).collect());
    }
    repr = |me| me.to_string();
}

record! {
    /// A mutation that the server has not answered yet.
    PendingMutation(syncdb::PendingMutation) {
        /// Its number.
        client_seq: u64 = |me, py| Ok(me.client_seq);
        /// Whether it may have reached the server, so that it changes no more.
        sent: bool = |me, py| Ok(me.sent);
        /// An earlier mutation that touched one of its rows and was rejected.
        after_rejected: Option<u64> = |me, py| Ok(me.after_rejected);
        /// What it is to do.
        edits: Vec<RowEdit> = |me, py| Ok(me.ops.iter().cloned().map(RowEdit).collect());
    }
    repr = |me| {
        let edits: Vec<String> = me.ops.iter().map(ToString::to_string).collect();
        format!("{}: {}", me.client_seq, edits.join("; "))
    };
}

record! {
    /// One column of a row, and where it came from.
    ColumnExplanation(syncdb::ColumnExplanation) {
        /// Its name.
        column: String = |me, py| Ok(me.column.to_string());
        /// What it holds.
        value: Object = |me, py| value(py, &me.value);
        /// How its conflicts are resolved.
        strategy: Object = |me, py| Ok(plain(py, &me.strategy)?.unbind());
        /// Columns that stand or fall together with it.
        group: Vec<String> = |me, py| Ok(me.group.iter().map(Text::to_string).collect());
        /// Whether it was edited here and the server has not answered yet.
        pending: bool = |me, py| Ok(me.pending);
        /// Whether it comes here at all.
        subscribed: bool = |me, py| Ok(me.subscribed);
        /// Who wrote it last: a replica's name, empty for the server, `None` where only the server knows.
        replica: Option<String> = |me, py| Ok(me.origin.as_ref().map(|origin| origin.replica.to_string()));
        /// In which of that replica's mutations.
        client_seq: Option<u64> = |me, py| Ok(me.origin.as_ref().map(|origin| origin.client_seq));
        /// The server's commit that wrote it.
        seq: Option<u64> = |me, py| Ok(me.origin.as_ref().map(|origin| origin.seq.0));
    }
    repr = |me| format!("ColumnExplanation({} = {})", &*me.column, me.value);
}

record! {
    /// What one side knows about one row: whether it is here, where its columns came from, what waits and what was rejected.
    /// `str()` is text for people.
    Explanation(syncdb::Explanation) {
        /// Name of the table.
        table: String = |me, py| Ok(me.table.to_string());
        /// Key of the row.
        key: Object = |me, py| key(py, &me.key);
        /// Whose knowledge this is; empty for the server's.
        replica: String = |me, py| Ok(me.replica.to_string());
        /// Whether the row is here, and why not: `"here"`, `"deleted"`, `"deleted_here"`, `"rejected"`, `"no_table"`,
        /// `"local"`, `"not_synced"`, `"outside_subscriptions"` or `"unknown"`.
        presence: String = |me, py| match &me.presence {
            Presence::Here { .. } => Ok("here".to_owned()),
            other => name_of(py, other),
        };
        /// The columns beside the key's, when the row is here.
        columns: Vec<ColumnExplanation> = |me, py| Ok(me.columns.iter().cloned().map(ColumnExplanation).collect());
        /// What was edited here and is not answered yet.
        pending: Vec<PendingMutation> = |me, py| Ok(me.pending.iter().cloned().map(PendingMutation).collect());
        /// Mutations that touched the row and were rejected.
        rejected: Vec<Rejected> = |me, py| Ok(me.rejected.iter().cloned().map(Rejected).collect());
        /// Conflicts about the row, oldest first.
        conflicts: Vec<LedgerEntry> = |me, py| Ok(me.conflicts.iter().cloned().map(LedgerEntry).collect());
    }
    repr = |me| me.to_string();
}

record! {
    /// An operation of the application's own that waits for the radio.
    Deferred(syncdb::Deferred) {
        /// Which one.
        id: u64 = |me, py| Ok(me.id.0);
        /// Which operation it is, in the application's words.
        name: String = |me, py| Ok(me.name.to_string());
        /// What it needs.
        payload: Py<PyBytes> = |me, py| Ok(PyBytes::new(py, &me.payload).unbind());
        /// How soon it has to run.
        priority: &'static str = |me, py| Ok(me.urgency.priority.name());
        /// A deadline of its own.
        deadline: Option<Object> = |me, py| me.urgency.deadline.map(|at| time(py, at)).transpose();
        /// When it was deferred, or postponed last.
        made: Object = |me, py| time(py, me.made);
    }
    repr = |me| format!("Deferred({}: {}, {} bytes)", me.id, &*me.name, me.payload.len());
}

record! {
    /// How far a replica is with a subscription.
    SubscriptionState(syncdb::SubscriptionState) {
        /// Its name.
        name: String = |me, py| Ok(me.subscription.name.to_string());
        /// Name of the table.
        table: String = |me, py| Ok(me.subscription.table.to_string());
        /// Which rows, as text.
        filter: String = |me, py| Ok(me.subscription.filter.to_string());
        /// Which columns beside the key's; `None` for all.
        columns: Option<Vec<String>> = |me, py| {
            let columns = me.subscription.columns.as_ref();
            Ok(columns.map(|columns| columns.iter().map(Text::to_string).collect()))
        };
        /// The server's commit as of which all of it is here; `None` until it has arrived.
        cursor: Option<u64> = |me, py| Ok(me.cursor.map(|seq| seq.0));
    }
    repr = |me| format!("SubscriptionState({} of {})", &*me.subscription.name, &*me.subscription.table);
}
