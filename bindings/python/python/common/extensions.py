"""Implementations of your own for the engine's extension points, and what uses them.

There are six: compression algorithms, serialization formats, versioning mechanisms, storage strategies, rules for
values, and operations on rows. Each is registered once under a name. The engine calls it from its own threads, never
while it holds the interpreter; an exception that it raises reaches whoever began the work. A rule or storage that a
`Table` calls may not call tables itself.

`check_contract` holds an extension to the engine's own laws of its kind: call it from your tests.

Places of the package take them too: a rule's name as a constraint of a `SchemaField` (`constraints={"even": True}`), a
`TypeCompressor` in `TypeAwareCompressor.compressors`, an `Operation` in `register_operation`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from tandemdb._native import extensions as native

__all__ = [
    "Codec",
    "Format",
    "Storage",
    "Table",
    "Versioning",
    "check",
    "check_contract",
    "compare_versions",
    "decode",
    "encode",
    "next_version",
    "pack",
    "register_codec",
    "register_format",
    "register_operation",
    "register_rule",
    "register_storage",
    "register_versioning",
    "registered",
    "transform",
    "unpack",
]


class Codec(Protocol):
    """A compression algorithm. It keeps no state between calls and is called from several threads."""

    name: str
    tag: int
    """128 to 255; it stands in every frame, for ever."""

    def compress(self, raw: bytes) -> bytes:
        """The packed form of any bytes."""

    def decompress(self, packed: bytes, limit: int) -> bytes:
        """The raw form, at most `limit` bytes; `packed` may come from a stranger."""


class Format(Protocol):
    """A serialization format.

    Values are `None`, bool, int, float, str, bytes, list, dict, datetime, date, UUID and Decimal. For a kind of value
    that it does not hold, `encode` raises `NotImplementedError`.
    """

    name: str
    tag: int
    """128 to 255."""

    def encode(self, value: Any) -> bytes:
        """The bytes of a value; of a table, a list of dicts."""

    def decode(self, data: bytes) -> Any:
        """Inverse of `encode`."""


class Versioning(Protocol):
    """Makes versions, which are bytes, and says which of two came first."""

    name: str

    def next(self, previous: bytes | None, replica: str) -> bytes:
        """A version after `previous`."""

    def compare(self, a: bytes, b: bytes) -> int | None:
        """-1 when `a` was known to the maker of `b`, 1 the other way round, 0 when equal, `None` when neither was."""


class Storage(Protocol):
    """Holds the records of one table. Keys are tuples of values, records are bytes that come back as they were."""

    def get(self, key: tuple[Any, ...]) -> bytes | None:
        """The record of a key, or `None`."""

    def put(self, key: tuple[Any, ...], record: bytes) -> None:
        """Keeps a record, in place of the one of its key."""

    def remove(self, key: tuple[Any, ...]) -> None:
        """Forgets the record of a key."""

    def keys(self) -> Iterable[tuple[Any, ...]]:
        """All keys; asked once, when the table is made."""


Table = native.Table
check = native.broken_rule_of
check_contract = native.check_contract
compare_versions = native.compare_versions
decode = native.decode
encode = native.encode
next_version = native.next_version
pack = native.pack
register_codec = native.register_codec
register_format = native.register_format
register_operation = native.register_operation
register_rule = native.register_rule
register_storage = native.register_storage
register_versioning = native.register_versioning
registered = native.registered
transform = native.transform
unpack = native.unpack

for _name in __all__:
    if _name.islower():
        globals()[_name].__module__ = __name__
