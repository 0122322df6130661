"""The engine's own sync: offline edits that converge, a ledger of conflicts, migrations that reach old clients.

`SyncDb` is a replica, `SyncServer` the side that all of them talk to. They reach each other over HTTP by
`syncdb.http`, in one process directly, and over a simulated network by `syncdb.simulation`.
Further modules: `syncdb.engine.migration`, `syncdb.engine.power`, `syncdb.engine.payload`, `syncdb.engine.errors`.
"""

from __future__ import annotations

from tandemdb._native.engine import (
    Change,
    ColumnExplanation,
    Deferred,
    Explanation,
    Field,
    LedgerEntry,
    Meeting,
    PendingMutation,
    Permission,
    Policy,
    Rejected,
    RowEdit,
    Schema,
    Snapshot,
    SubscriptionState,
    SyncDb,
    SyncReport,
    SyncServer,
    Transaction,
    Watch,
)

from syncdb.engine.errors import (
    ClosedError,
    ConflictError,
    CorruptError,
    EngineError,
    InvalidError,
    LimitExceededError,
    NotFoundError,
    TransportError,
    UnsupportedError,
)
from syncdb.engine.migration import Lineage, Step

__all__ = [
    "Change",
    "ClosedError",
    "ColumnExplanation",
    "ConflictError",
    "CorruptError",
    "Deferred",
    "EngineError",
    "Explanation",
    "Field",
    "InvalidError",
    "LedgerEntry",
    "LimitExceededError",
    "Lineage",
    "Meeting",
    "NotFoundError",
    "PendingMutation",
    "Permission",
    "Policy",
    "Rejected",
    "RowEdit",
    "Schema",
    "Snapshot",
    "Step",
    "SubscriptionState",
    "SyncDb",
    "SyncReport",
    "SyncServer",
    "Transaction",
    "TransportError",
    "UnsupportedError",
    "Watch",
]
