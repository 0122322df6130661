"""Who wins when a row was changed on both sides, and the log of it."""

from __future__ import annotations

import contextvars
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional, Protocol, runtime_checkable

from tandemdb._native import syncdb as native

from syncdb.sync.change_tracker import ChangeRecord

__all__ = [
    "ChangeRecord",
    "ClientWinsResolver",
    "ConflictAuditLog",
    "ConflictManager",
    "ConflictMetadata",
    "ConflictResolver",
    "CustomMergeResolver",
    "LastWriteWinsResolver",
    "MergeFieldsResolver",
    "ServerWinsResolver",
]

Row = Optional[dict[str, Any]]
ResolverLike = Any

RECENT_SECONDS = 60.0
"""How long ago a change may have been made to count as newer when nothing is known of the server's row."""

server_modified: contextvars.ContextVar[tuple[str, Any, float] | None] = contextvars.ContextVar(
    "server_modified", default=None
)
"""Table, key and time of the last change of the server's row in the conflict that is being resolved."""


@runtime_checkable
class ConflictResolver(Protocol):
    """Anything with a method `resolve`."""

    def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Row) -> Row:
        """The row that shall stand, or `None` for none."""


@dataclass
class ConflictMetadata:
    """One conflict and how it was resolved."""

    table_name: str
    primary_key: tuple[Any, ...]
    conflict_time: float
    client_id: str
    client_change: dict[str, Any]
    server_record: dict[str, Any] | None
    resolution: dict[str, Any] | None
    resolution_strategy: str

    def to_dict(self) -> dict[str, Any]:
        """The eight fields as a dictionary."""
        return {
            "table_name": self.table_name,
            "primary_key": self.primary_key,
            "conflict_time": self.conflict_time,
            "client_id": self.client_id,
            "client_change": self.client_change,
            "server_record": self.server_record,
            "resolution": self.resolution,
            "resolution_strategy": self.resolution_strategy,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ConflictMetadata:
        """The conflict that `to_dict` described; a missing field is `KeyError`."""
        return cls(
            table_name=data["table_name"],
            primary_key=tuple(data["primary_key"]),
            conflict_time=data["conflict_time"],
            client_id=data["client_id"],
            client_change=data["client_change"],
            server_record=data["server_record"],
            resolution=data["resolution"],
            resolution_strategy=data["resolution_strategy"],
        )


class ConflictAuditLog:
    """The newest conflicts, oldest first."""

    def __init__(self, max_history_size: int = 1000) -> None:
        """An empty log of at most `max_history_size` conflicts."""
        self.conflicts: list[ConflictMetadata] = []
        self.max_history_size = max_history_size

    def log_conflict(self, metadata: ConflictMetadata) -> None:
        """Appends a conflict and drops the oldest above the limit."""
        self.conflicts.append(metadata)
        self._prune_history()

    def get_conflicts_for_table(self, table_name: str) -> list[ConflictMetadata]:
        """The conflicts of a table."""
        return [conflict for conflict in self.conflicts if conflict.table_name == table_name]

    def get_conflicts_for_record(self, table_name: str, primary_key: tuple[Any, ...]) -> list[ConflictMetadata]:
        """The conflicts of a row."""
        return [
            conflict
            for conflict in self.conflicts
            if conflict.table_name == table_name and conflict.primary_key == primary_key
        ]

    def get_conflicts_for_client(self, client_id: str) -> list[ConflictMetadata]:
        """The conflicts of a client."""
        return [conflict for conflict in self.conflicts if conflict.client_id == client_id]

    def export_to_json(self) -> str:
        """All conflicts as a JSON array."""
        return json.dumps([conflict.to_dict() for conflict in self.conflicts])

    def import_from_json(self, json_str: str) -> None:
        """Replaces all conflicts by those of a JSON array."""
        self.conflicts = [ConflictMetadata.from_dict(conflict) for conflict in json.loads(json_str)]
        self._prune_history()

    def _prune_history(self) -> None:
        """Drops the oldest conflicts above the limit."""
        excess = len(self.conflicts) - max(self.max_history_size, 0)
        if excess > 0:
            del self.conflicts[:excess]


class LastWriteWinsResolver(ConflictResolver):
    """The later write wins, deletes included."""

    def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Row) -> Row:
        """The client's row if its change is later than the server's, else the server's row.

        Outside a sync nothing tells when the server's row changed: a change of the last minute wins, a delete never.
        """
        if server_record is None:
            return client_change.new_data
        known = server_modified.get()
        if known is not None and known[:2] == (table_name, tuple(client_change.primary_key)):
            newer = client_change.timestamp >= known[2]
            if client_change.operation == "delete":
                return None if newer else server_record
        elif client_change.operation == "delete":
            return server_record
        else:
            newer = client_change.timestamp > time.time() - RECENT_SECONDS
        return client_change.new_data if newer else server_record


class ServerWinsResolver(ConflictResolver):
    """The server's row stands, if there is one."""

    def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Row) -> Row:  # noqa: ARG002
        """The server's row, or the client's if the server has none."""
        return client_change.new_data if server_record is None else server_record


class ClientWinsResolver(ConflictResolver):
    """The client's change stands."""

    def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Row) -> Row:  # noqa: ARG002
        """The client's row, `None` for a delete."""
        return None if client_change.operation == "delete" else client_change.new_data


class MergeFieldsResolver(ConflictResolver):
    """Listed columns from the client, the others from the server."""

    def __init__(self, field_priorities: dict[str, list[str]]) -> None:
        """For each table the columns in which the client wins."""
        self.field_priorities = field_priorities

    def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Row) -> Row:
        """A copy of the server's row with the client's listed columns."""
        if server_record is None:
            return client_change.new_data
        if client_change.operation == "delete":
            return None
        new_data = client_change.new_data
        if not new_data:
            return server_record
        merged: dict[str, Any] = native.deepcopy(server_record)
        for column in self.field_priorities.get(table_name, ()):
            if column in new_data:
                merged[column] = native.deepcopy(new_data[column])
        return merged


class CustomMergeResolver(ConflictResolver):
    """A function of the program decides, for each table its own."""

    def __init__(self, merge_functions: dict[str, Callable[[ChangeRecord, Row], Row]]) -> None:
        """For each table the function of change and server's row."""
        self.merge_functions = merge_functions

    def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Row) -> Row:
        """What the table's function returns; without one the later write wins."""
        merge = self.merge_functions.get(table_name)
        if merge is None:
            return LastWriteWinsResolver().resolve(table_name, client_change, server_record)
        return merge(client_change, server_record)


class ConflictManager:
    """Asks the resolver of a table and logs what it said."""

    def __init__(self, audit_log: ConflictAuditLog | None = None) -> None:
        """Without resolvers for tables, the later write wins."""
        self.resolvers: dict[str, Any] = {}
        self.default_resolver: Any = LastWriteWinsResolver()
        self.audit_log = ConflictAuditLog() if audit_log is None else audit_log

    def register_resolver(self, table_name: str, resolver: ResolverLike) -> None:
        """Sets the resolver of a table."""
        self.resolvers[table_name] = resolver

    def set_default_resolver(self, resolver: ResolverLike) -> None:
        """Sets the resolver of tables without their own."""
        self.default_resolver = resolver

    def resolve_conflict(self, table_name: str, client_change: ChangeRecord, server_record: Row) -> Row:
        """What the table's resolver returns; the conflict is logged."""
        resolver = self.resolvers.get(table_name, self.default_resolver)
        resolution: Row = resolver.resolve(table_name, client_change, server_record)
        self._log(table_name, client_change, server_record, resolution, type(resolver).__name__)
        return resolution

    def _log(self, table_name: str, change: ChangeRecord, server_record: Row, resolution: Row, strategy: str) -> None:
        """Notes a conflict now."""
        self.audit_log.log_conflict(
            ConflictMetadata(
                table_name=table_name,
                primary_key=change.primary_key,
                conflict_time=time.time(),
                client_id=change.client_id,
                client_change=change.to_dict(),
                server_record=server_record,
                resolution=resolution,
                resolution_strategy=strategy,
            )
        )
