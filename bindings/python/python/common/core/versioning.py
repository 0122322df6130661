"""Versions of records, the changes between them, and what two sides changed at once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from time import time
from typing import Any, Generic, TypeVar

from tandemdb._native import common as native

from common.core.serialization import Serializable

T = TypeVar("T")
V = TypeVar("V", bound="Version")
C = TypeVar("C", bound="Change")
N = TypeVar("N", bound="VersionVector")
K = TypeVar("K", bound="ChangeTracker[Any]")


class ChangeType(Enum):
    """What happened to a record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Version:
    """One state of a record: an id, a time and free metadata.

    Versions are equal when their ids are, ordered by time, and unhashable.
    """

    version_id: str
    timestamp: float
    metadata: dict[str, Any]

    def __init__(
        self,
        version_id: str | None = None,
        timestamp: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """A new id and the time now, unless given."""
        self.version_id = native.generate_uuid() if version_id is None else version_id
        self.timestamp = time() if timestamp is None else timestamp
        self.metadata = metadata or {}

    def to_dict(self) -> dict[str, Any]:
        """The three attributes."""
        return {"version_id": self.version_id, "timestamp": self.timestamp, "metadata": self.metadata}

    @classmethod
    def from_dict(cls: type[V], data: dict[str, Any]) -> V:
        """Inverse of `to_dict`; every key may be absent."""
        get = data.get
        return cls(version_id=get("version_id"), timestamp=get("timestamp"), metadata=get("metadata"))

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls: type[V], json_str: str | bytes | bytearray) -> V:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(json_str))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return False
        return self.version_id == other.version_id

    def __lt__(self, other: Version) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self.timestamp < other.timestamp

    __hash__ = None  # type: ignore[assignment]


class Change(Serializable):
    """One change of one record: its versions and its data before and after."""

    change_id: str
    change_type: ChangeType | None
    record_id: Any
    before_version: Version | None
    after_version: Version | None
    timestamp: float
    metadata: dict[str, Any]
    before_data: Any
    after_data: Any

    def __init__(
        self,
        change_id: str | None = None,
        change_type: ChangeType | None = None,
        record_id: Any = None,
        before_version: Version | None = None,
        after_version: Version | None = None,
        timestamp: float | None = None,
        metadata: dict[str, Any] | None = None,
        before_data: Any = None,
        after_data: Any = None,
    ) -> None:
        """A new id and the time now, unless given."""
        self.change_id = native.generate_uuid() if change_id is None else change_id
        self.change_type = change_type
        self.record_id = record_id
        self.before_version = before_version
        self.after_version = after_version
        self.timestamp = time() if timestamp is None else timestamp
        self.metadata = metadata or {}
        self.before_data = before_data
        self.after_data = after_data

    def to_dict(self) -> dict[str, Any]:
        """The attributes; versions and data only when there are some."""
        change_type = self.change_type
        data: dict[str, Any] = {
            "change_id": self.change_id,
            "change_type": change_type.value if change_type else None,
            "record_id": self.record_id,
            "timestamp": self.timestamp,
            "metadata": self.metadata,
        }
        if self.before_version:
            data["before_version"] = self.before_version.to_dict()
        if self.after_version:
            data["after_version"] = self.after_version.to_dict()
        if self.before_data:
            data["before_data"] = self.before_data
        if self.after_data:
            data["after_data"] = self.after_data
        return data

    @classmethod
    def from_dict(cls: type[C], data: dict[str, Any]) -> C:
        """Inverse of `to_dict`; every key may be absent. Raises `ValueError` for an unknown type of change."""
        get = data.get
        change_type = get("change_type")
        before, after = get("before_version"), get("after_version")
        return cls(
            change_id=get("change_id"),
            change_type=ChangeType(change_type) if change_type else None,
            record_id=get("record_id"),
            before_version=Version.from_dict(before) if before else None,
            after_version=Version.from_dict(after) if after else None,
            timestamp=get("timestamp"),
            metadata=get("metadata"),
            before_data=get("before_data"),
            after_data=get("after_data"),
        )


class VersionVector:
    """How many changes of each node are known. `vector` is a live dict in which an absent node counts as 0."""

    node_id: str
    vector: defaultdict[str, int]

    def __init__(self, node_id: str | None = None) -> None:
        """The own node at 0; its id is generated unless given."""
        self.node_id = native.generate_uuid() if node_id is None else node_id
        self.vector = defaultdict(int)
        self.vector[self.node_id] = 0

    def increment(self) -> None:
        """Counts one change of the own node."""
        self.vector[self.node_id] += 1

    def merge(self, other: VersionVector) -> None:
        """Takes the larger count for each node."""
        native.vector_merge(self.vector, other.vector)

    def compare(self, other: VersionVector) -> int:
        """-1 when the other knows all of this and more, 1 the other way round, 0 when equal or concurrent."""
        return native.vector_compare(self.vector, other.vector)

    def to_dict(self) -> dict[str, Any]:
        """The own node and the counts."""
        return {"node_id": self.node_id, "vector": dict(self.vector)}

    @classmethod
    def from_dict(cls: type[N], data: dict[str, Any]) -> N:
        """Inverse of `to_dict`; every key may be absent."""
        made = cls(node_id=data.get("node_id"))
        made.vector = defaultdict(int, data.get("vector") or {})
        return made

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls: type[N], json_str: str | bytes | bytearray) -> N:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(json_str))


class ChangeTracker(Generic[T]):
    """What one node changed, oldest first, and the current version of each record.

    A record is anything with `id` and `to_dict()`.
    """

    node_id: str
    version_vector: VersionVector
    changes: list[Change]
    current_versions: dict[Any, Version]

    def __init__(self, node_id: str | None = None) -> None:
        """Nothing changed yet; the node's id is generated unless given."""
        self.node_id = native.generate_uuid() if node_id is None else node_id
        self.version_vector = VersionVector(self.node_id)
        self.changes = []
        self.current_versions = {}

    def record_create(self, record: T) -> None:
        """Notes a new record."""
        self._note(ChangeType.CREATE, record.id, None, record.to_dict())  # type: ignore[attr-defined]

    def record_update(self, before_record: T, after_record: T) -> None:
        """Notes a record's new state. Raises `ValueError` when the two have different ids."""
        record_id = after_record.id  # type: ignore[attr-defined]
        if before_record.id != record_id:  # type: ignore[attr-defined]
            raise ValueError("Record IDs must match")
        before_data = before_record.to_dict()  # type: ignore[attr-defined]
        self._note(ChangeType.UPDATE, record_id, before_data, after_record.to_dict())  # type: ignore[attr-defined]

    def record_delete(self, record: T) -> None:
        """Notes that a record is gone."""
        self._note(ChangeType.DELETE, record.id, record.to_dict(), None)  # type: ignore[attr-defined]

    def _note(self, change_type: ChangeType, record_id: Any, before_data: Any, after_data: Any) -> None:
        """Counts and keeps a change."""
        self.version_vector.increment()
        native.note(self.changes, self.current_versions, self.node_id, change_type, record_id, before_data, after_data)

    def get_changes_since(self, since_timestamp: float) -> list[Change]:
        """Changes later than that."""
        return [change for change in self.changes if change.timestamp > since_timestamp]

    def get_changes_for_record(self, record_id: Any) -> list[Change]:
        """Changes of one record."""
        return [change for change in self.changes if change.record_id == record_id]

    def detect_conflicts(self, other_changes: Iterable[Change]) -> list[tuple[Change, Change]]:
        """The latest changes of records that both sides changed to different versions, own and other.

        There is no conflict when the after versions are the same version or of the same time.
        """
        return native.conflicts(self.changes, other_changes)

    def merge(self, other_tracker: ChangeTracker[T]) -> list[tuple[Change, Change]]:
        """Takes over what the other knows, but for changes in a conflict, and returns the conflicts.

        Changes that are known already, by their id, are not taken twice. Versions come along when they are later.
        """
        conflicts = self.detect_conflicts(other_tracker.changes)
        native.take_over(self.changes, other_tracker.changes, conflicts)
        self.version_vector.merge(other_tracker.version_vector)
        native.later_versions(self.current_versions, other_tracker.current_versions)
        return conflicts

    def clear_history_before(self, timestamp: float) -> None:
        """Forgets changes earlier than that."""
        self.changes = [change for change in self.changes if change.timestamp >= timestamp]

    def to_dict(self) -> dict[str, Any]:
        """The whole of it as plain data."""
        return {
            "node_id": self.node_id,
            "version_vector": self.version_vector.to_dict(),
            "changes": [change.to_dict() for change in self.changes],
            "current_versions": {key: version.to_dict() for key, version in self.current_versions.items()},
        }

    @classmethod
    def from_dict(cls: type[K], data: dict[str, Any]) -> K:
        """Inverse of `to_dict`; every key may be absent."""
        made = cls(node_id=data.get("node_id"))
        if data.get("version_vector"):
            made.version_vector = VersionVector.from_dict(data["version_vector"])
        made.changes = [Change.from_dict(change) for change in data.get("changes") or ()]
        versions = data.get("current_versions") or {}
        made.current_versions = {key: Version.from_dict(version) for key, version in versions.items()}
        return made

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls: type[K], json_str: str | bytes | bytearray) -> K:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(json_str))
