"""Changes, their history, and what replicas have seen of each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tandemdb._native import syncdb as native

__all__ = ["ChangeRecord", "ChangeTracker", "VersionVector"]


@dataclass
class ChangeRecord(native.ChangeRecordMethods):
    """One change of one row: who made it when, and the row before and after."""

    id: int
    table_name: str
    primary_key: tuple[Any, ...]
    operation: str
    timestamp: float
    client_id: str
    old_data: dict[str, Any] | None
    new_data: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """The eight fields as a dictionary, values as they are."""
        own = self.__dict__
        return own.copy() if len(own) == 8 else {name: getattr(self, name) for name in self.__dataclass_fields__}


class ChangeTracker(native.ChangeTrackerMethods):
    """The history of changes by table, ids from 0. `changes` and `counters` are live."""

    def __init__(self, max_history_size: int = 10000) -> None:
        """An empty history of at most `max_history_size` changes a table."""
        self.changes: dict[str, list[ChangeRecord]] = {}
        self.counters: dict[str, int] = {}
        self.max_history_size = max_history_size
        # By sync engine and table: the id up to which a server has acknowledged.
        self._acknowledged: dict[str, dict[str, int]] = {}
        # Whether changes have to be kept until a server has acknowledged them: a client's have.
        self._keeps_unsent = False

    def serialize_changes(self, changes: list[ChangeRecord]) -> str:
        """The changes as a JSON array; `TypeError` for values that JSON cannot express."""
        return json.dumps([change.to_dict() for change in changes])

    def deserialize_changes(self, json_str: str) -> list[ChangeRecord]:
        """The changes of a JSON array."""
        return [ChangeRecord.from_dict(change) for change in json.loads(json_str)]

    def _prune_history(self, table_name: str) -> None:
        """Drops the oldest changes of a table above the limit, but none that a client still has to send."""
        changes = self.changes.get(table_name)
        if changes is None:
            return
        excess = len(changes) - max(self.max_history_size, 0)
        if self._keeps_unsent:
            sent = [ids.get(table_name, -1) for ids in self._acknowledged.values()]
            last_sent = min(sent, default=-1)
            first_unsent = next((at for at, change in enumerate(changes) if change.id > last_sent), len(changes))
            excess = min(excess, first_unsent)
        if excess > 0:
            del changes[:excess]


class VersionVector(native.VersionVectorMethods):
    """How many events of each client have been seen, in the dictionary `vector`."""

    def __init__(self, client_id: str, initial_value: int = 0) -> None:
        """A vector with one entry."""
        self.vector: dict[str, int] = {client_id: initial_value}
        self.client_id = client_id

    def increment(self) -> None:
        """Counts one more event of the vector's own client."""
        try:
            self.vector[self.client_id] += 1
        except KeyError:
            self.vector[self.client_id] = 1

    @classmethod
    def from_dict(cls, data: dict[str, int], client_id: str | None = None) -> VersionVector:
        """A vector of exactly these entries."""
        own: Any = next(iter(data), "") if client_id is None else client_id
        vector = cls(own)
        vector.vector = dict(data)
        return vector
