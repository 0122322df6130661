"""Records, collections of them, and named operations: what other classes derive from."""

from __future__ import annotations

import builtins
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from time import time
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R", bound="BaseRecord")
O = TypeVar("O", bound="BaseOperation")  # noqa: E741


class BaseRecord(ABC):
    """Something with an id, free metadata and the times of its creation and last change.

    Records are equal when their ids are; one without an id equals only itself. They are unhashable.
    """

    id: Any
    metadata: dict[str, Any]
    created_at: float
    updated_at: float

    def __init__(
        self,
        id: Any = None,
        metadata: dict[str, Any] | None = None,
        created_at: float | None = None,
        updated_at: float | None = None,
    ) -> None:
        """Times are seconds since the epoch: now, unless given. A dict with something in it is kept, not copied."""
        if created_at is None:
            created_at = time()
        self.id = id
        self.metadata = metadata or {}
        self.created_at = created_at
        self.updated_at = created_at if updated_at is None else updated_at

    def update(self, metadata: dict[str, Any] | None = None) -> None:
        """Merges into the metadata and sets `updated_at`."""
        if metadata:
            self.metadata.update(metadata)
        self.updated_at = time()

    def to_dict(self) -> dict[str, Any]:
        """The four attributes."""
        return {
            "id": self.id,
            "metadata": self.metadata,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }

    @classmethod
    def from_dict(cls: type[R], data: dict[str, Any]) -> R:
        """Inverse of `to_dict`; every key may be absent."""
        get = data.get
        return cls(id=get("id"), metadata=get("metadata"), created_at=get("created_at"), updated_at=get("updated_at"))

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls: type[R], json_str: str | bytes | bytearray) -> R:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(json_str))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, BaseRecord) or self.id is None:
            return False
        return bool(self.id == other.id)

    __hash__ = None  # type: ignore[assignment]


class BaseCollection(ABC, Generic[T]):
    """Records by id, in the order in which they came."""

    _records: dict[Any, T]

    def __init__(self) -> None:
        """Empty."""
        self._records = {}

    def add(self, record: T) -> Any:
        """Keeps the record under its id, in place of one that is there, and returns the id.

        Raises `ValueError` when the id is `None`.
        """
        record_id = record.id  # type: ignore[attr-defined]
        if record_id is None:
            raise ValueError("Record must have an ID")
        self._records[record_id] = record
        return record_id

    def get(self, record_id: Any) -> T | None:
        """The record, or `None`."""
        return self._records.get(record_id)

    def update(self, record_id: Any, **attributes: Any) -> T | None:
        """Sets attributes that the record has, ignores others, and returns the record, or `None` when unknown."""
        record = self._records.get(record_id)
        if record is None:
            return None
        for name, value in attributes.items():
            if hasattr(record, name):
                setattr(record, name, value)
        record.updated_at = time()  # type: ignore[attr-defined]
        return record

    def delete(self, record_id: Any) -> bool:
        """Whether there was one."""
        if record_id in self._records:
            del self._records[record_id]
            return True
        return False

    def list(self) -> builtins.list[T]:
        """All records."""
        return [*self._records.values()]

    def count(self) -> int:
        """How many there are."""
        return len(self._records)

    def clear(self) -> None:
        """Forgets all."""
        self._records.clear()

    def __iter__(self) -> Iterator[T]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, record_id: Any) -> bool:
        return record_id in self._records


class BaseOperation(ABC):
    """A named operation; a class derives from it and says what `execute` does."""

    name: str
    description: str | None
    created_at: float

    def __init__(self, name: str, description: str | None = None) -> None:
        """`created_at` is now."""
        self.name = name
        self.description = description
        self.created_at = time()

    @abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Does it."""

    def to_dict(self) -> dict[str, Any]:
        """Name, description and time of creation."""
        return {"name": self.name, "description": self.description, "created_at": self.created_at}

    @classmethod
    def from_dict(cls: type[O], data: dict[str, Any]) -> O:
        """A new one with this name and description."""
        return cls(name=data.get("name"), description=data.get("description"))  # type: ignore[arg-type]
