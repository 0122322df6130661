"""Objects to dicts and JSON and back, also by a registered name of their type."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from tandemdb._native import common as native

S = TypeVar("S", bound="Serializable")

__all__ = [
    "Serializable",
    "SerializationRegistry",
    "base64_to_bytes",
    "bytes_to_base64",
    "datetime_to_iso",
    "deserialize_collection",
    "iso_to_datetime",
    "registry",
    "serialize_collection",
]

base64_to_bytes = native.base64_to_bytes
bytes_to_base64 = native.bytes_to_base64

for _function in (base64_to_bytes, bytes_to_base64):
    _function.__module__ = __name__


class Serializable(ABC):
    """Something that becomes a dict and comes back from one; a class derives from it and says how."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The object as plain data."""

    @classmethod
    @abstractmethod
    def from_dict(cls: type[S], data: dict[str, Any]) -> S:
        """The object from plain data."""

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls: type[S], json_str: str | bytes | bytearray) -> S:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(json_str))


class SerializationRegistry:
    """Classes by name, so that data says what it becomes."""

    def __init__(self) -> None:
        """Empty."""
        self._types: dict[str, type[Serializable]] = {}

    def register(self, type_name: str, cls: type[Serializable]) -> None:
        """Gives a class a name. Raises `ValueError` when it is not `Serializable`, `TypeError` when it is no class."""
        if not issubclass(cls, Serializable):
            raise ValueError(f"Class {cls.__name__} must implement Serializable")
        self._types[type_name] = cls

    def get_class(self, type_name: str) -> type[Serializable] | None:
        """The class of that name, or `None`."""
        return self._types.get(type_name)

    def serialize(self, obj: Any) -> dict[str, Any]:
        """`_type` and `_data` of an object, by the first class in order of registration that it is an instance of."""
        for type_name, cls in self._types.items():
            if isinstance(obj, cls):
                return {"_type": type_name, "_data": obj.to_dict()}
        raise ValueError(f"Object of type {type(obj).__name__} is not registered")

    def deserialize(self, data: dict[str, Any]) -> Any:
        """Inverse of `serialize`; `None` when a key is missing or the type is unknown."""
        if "_type" not in data or "_data" not in data:
            return None
        cls = self._types.get(data["_type"])
        return None if cls is None else cls.from_dict(data["_data"])


registry = SerializationRegistry()
"""One for the whole program."""


def datetime_to_iso(dt: datetime) -> str:
    """ISO 8601 text of a time."""
    return dt.isoformat()


def iso_to_datetime(iso_str: str) -> datetime:
    """The time that an ISO 8601 text says. Raises `ValueError` when it is none."""
    return datetime.fromisoformat(iso_str)


def serialize_collection(items: Iterable[Any]) -> list[dict[str, Any]]:
    """`to_dict` of each."""
    return [item.to_dict() for item in items]


def deserialize_collection(data: Iterable[dict[str, Any]], item_class: Any) -> list[Any]:
    """`item_class.from_dict` of each."""
    from_dict = item_class.from_dict
    return [from_dict(item) for item in data]
