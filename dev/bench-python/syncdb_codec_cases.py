"""Compression, power and migration of `syncdb` beside plain Python that does the same."""

from __future__ import annotations

import copy
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

from bench_case import Case
from syncdb.compression.type_compressor import IntCompressor, PayloadCompressor, TextCompressor
from syncdb.db.database import Database
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.power.power_manager import DeferredOperation, OperationPriority, PowerManager, PowerMode
from syncdb.schema.schema_manager import SchemaMigrator, SchemaVersionManager

RECORD: dict[str, Any] = {
    "id": 12345,
    "username": "johndoe",
    "email": "john.doe@example.com",
    "age": 30,
    "is_active": True,
    "score": 98.5,
    "created_at": 1609459200.25,
    "bio": "Software engineer with interests in databases.",
    "preferences": {"theme": "dark", "notifications": True, "language": "en"},
    "tags": ["developer", "python", "databases"],
}
TEXT = "A text of some sentences, as people write them into a form. They are not long, and some words come again. "
ROWS = 10_000


def plain_text(value: str) -> bytes:
    """As the contract has it: deflated from 10 characters on where that is shorter."""
    raw = value.encode()
    if len(value) < 10:
        return raw
    packed = zlib.compress(raw, 6)
    return packed if len(packed) < len(raw) else raw


def plain_payload(given: object) -> tuple[int, bytes]:
    """Signature and payload of one value."""
    kind = type(given)
    value: Any = given
    if kind is str:
        return 4, plain_text(value)
    if kind is int:
        for size, code in ((1, ">b"), (2, ">h"), (4, ">i"), (8, ">q")):
            if -(1 << (8 * size - 1)) <= value < 1 << (8 * size - 1):
                return 2, struct.pack(code, value)
        raise ValueError(value)
    if kind is float:
        single = struct.pack(">f", value)
        return 3, single if struct.unpack(">f", single)[0] == value else struct.pack(">d", value)
    if kind is bool:
        return 1, b"\1" if value else b"\0"
    if kind is list:
        return 6, plain_list(value)
    if kind is dict:
        return 7, plain_dict(value)
    return 0, b""


def plain_element(value: object) -> bytes:
    """A value of a list or dict."""
    signature, payload = plain_payload(value)
    length = len(payload)
    if length < 255:
        return bytes((signature, length)) + payload
    return bytes((signature, 255)) + struct.pack(">I", length) + payload


def plain_list(value: list[Any]) -> bytes:
    """A list as bytes."""
    return b"\1" + b"".join(plain_element(element) for element in value) if value else b"\0"


def plain_dict(value: dict[str, Any]) -> bytes:
    """A dict as bytes."""
    if not value:
        return b"\0"
    parts = [b"\1"]
    for key, element in value.items():
        name = plain_text(key)
        parts += (bytes((len(name),)), name, plain_element(element))
    return b"".join(parts)


def plain_read_text(payload: bytes) -> str:
    """The inverse of `plain_text`."""
    try:
        return zlib.decompress(payload).decode()
    except zlib.error:
        return payload.decode()


def plain_read(data: bytes, is_dict: bool) -> object:
    """A list or dict from bytes."""
    found: Any = {} if is_dict else []
    at, end = 1, len(data)
    key = ""
    while at < end:
        if is_dict:
            length = data[at]
            key = plain_read_text(data[at + 1 : at + 1 + length])
            at += 1 + length
        signature, length = data[at], data[at + 1]
        at += 2
        if length == 255:
            (length,) = struct.unpack(">I", data[at : at + 4])
            at += 4
        payload = data[at : at + length]
        at += length
        value: Any = None
        if signature == 4:
            value = plain_read_text(payload)
        elif signature == 2:
            value = int.from_bytes(payload, "big", signed=True)
        elif signature == 3:
            value = struct.unpack(">f" if length == 4 else ">d", payload)[0]
        elif signature == 1:
            value = payload != b"\0"
        elif signature in (6, 7):
            value = plain_read(payload, signature == 7)
        if is_dict:
            found[key] = value
        else:
            found.append(value)
    return found


def same(left: Callable[[], object], right: Callable[[], object]) -> Callable[[], None]:
    """A check that both give the same."""

    def check() -> None:
        if left() != right():
            raise AssertionError("the answers differ")

    return check


def compression_cases() -> list[Case]:
    """Records, changes and single values as bytes, and back."""
    payload = PayloadCompressor()
    record = payload.compress_record("t", RECORD)
    changes = [{**RECORD, "id": at, "score": at / 4} for at in range(1_000)]
    blob = payload.compress_changes("t", changes)
    integers, texts = IntCompressor(), TextCompressor()
    packed = texts.compress(TEXT)

    def case(name: str, ours: Callable[[], object], plain: Callable[[], object], rows: int = 0) -> Case:
        return Case(f"syncdb {name}", ours, plain, rows or 1, rows > 0, same(ours, plain))

    def smaller() -> None:
        if payload.decompress_record("t", payload.compress_record("t", RECORD)) != RECORD:
            raise AssertionError("the record differs")

    return [
        Case(
            "syncdb compress_record",
            lambda: payload.compress_record("t", RECORD),
            lambda: plain_dict(RECORD),
            check=smaller,
        ),
        case("decompress_record", lambda: payload.decompress_record("t", record), lambda: plain_read(record, True)),
        Case(
            "syncdb compress_changes 1,000",
            lambda: payload.compress_changes("t", changes),
            lambda: plain_list(changes),
            1_000,
            True,
        ),
        case(
            "decompress_changes 1,000",
            lambda: payload.decompress_changes("t", blob),
            lambda: plain_read(blob, False),
            1_000,
        ),
        case("IntCompressor.compress", lambda: integers.compress(300), lambda: plain_payload(300)[1]),
        Case("syncdb TextCompressor.compress 107", lambda: texts.compress(TEXT), lambda: plain_text(TEXT)),
        case(
            "TextCompressor.decompress 107",
            lambda: texts.decompress(packed),
            lambda: plain_read_text(packed),
        ),
    ]


def power_cases() -> list[Case]:
    """Decisions of the power manager."""
    manager = PowerManager(PowerMode.BATTERY_LOW)
    operation = DeferredOperation("sync", OperationPriority.HIGH, time.time() + 1e6)
    critical, low = PowerMode.BATTERY_CRITICAL, PowerMode.BATTERY_LOW
    limits = {OperationPriority.HIGH: 60.0, OperationPriority.MEDIUM: 300.0}

    class Plain:
        """The decision as one would write it."""

        def __init__(self) -> None:
            self.current_mode = low
            self.current_profile = manager.current_profile

        def should_defer(self, priority: OperationPriority) -> bool:
            if not self.current_profile.defer_non_critical:
                return False
            if priority == OperationPriority.CRITICAL:
                return False
            return self.current_mode in (low, critical)

        def should_execute(self, waiting: DeferredOperation) -> bool:
            if waiting.priority == OperationPriority.CRITICAL:
                return True
            if self.should_defer(waiting.priority):
                return time.time() - waiting.creation_time >= limits[waiting.priority]
            return True

    plain = Plain()
    high = OperationPriority.HIGH
    defer = (lambda: manager.should_defer_operation(high), lambda: plain.should_defer(high))
    execute = (lambda: manager._should_execute_now(operation), lambda: plain.should_execute(operation))
    return [
        Case("syncdb should_defer_operation", *defer, check=same(*defer)),
        Case("syncdb _should_execute_now", *execute, check=same(*execute)),
    ]


def migration_cases() -> list[Case]:
    """10,000 rows with two columns more, one less and one of another type."""
    identity = Column("id", int, primary_key=True)
    old = TableSchema("t", [identity, Column("name", str), Column("age", int), Column("zip", str)])
    new = TableSchema(
        "t",
        [
            identity,
            Column("name", str),
            Column("age", str),
            Column("mail", str, default="none"),
            Column("tags", list, default=[]),
        ],
    )
    versions = SchemaVersionManager()
    migrator = SchemaMigrator(versions)
    versions.register_schema(1, DatabaseSchema({"t": old}))
    versions.register_schema(2, DatabaseSchema({"t": new}, 2))
    plan = migrator.create_migration_plan(1, 2, "")
    versions.register_migration_plan(plan)
    source = Database(versions.schema_versions[1])
    for at in range(ROWS):
        source.insert("t", {"id": at, "name": f"n{at}", "age": at % 90, "zip": "12345"})
    before, schema = dict(source.tables["t"].records), source.schema

    def reset() -> None:
        source.tables["t"].records.clear()
        source.tables["t"].records.update(before)
        source.schema = schema
        source.tables["t"].schema = schema.tables["t"]

    def ours() -> dict[Any, Any]:
        reset()
        migrator.apply_migration(source, 1, 2)
        return source.tables["t"].records

    def plain() -> dict[Any, Any]:
        """All or nothing: rows are made beside the old ones."""
        reset()
        made = {}
        changes = plan.table_changes[0].column_changes
        for key, row in source.tables["t"].records.items():
            row = copy.deepcopy(row)
            for change in changes:
                column = change.column_def
                if change.operation == "remove":
                    row.pop(change.column_name, None)
                elif column is None:
                    continue
                elif change.operation == "add":
                    if column.name not in row:
                        default = column.default
                        row[column.name] = default() if callable(default) else copy.deepcopy(default)
                elif row.get(column.name) is not None:
                    try:
                        row[column.name] = column.data_type(row[column.name])
                    except (TypeError, ValueError):
                        continue
            made[key] = row
        source.tables["t"].records.update(made)
        return source.tables["t"].records

    def check() -> None:
        if dict(ours()) != dict(plain()):
            raise AssertionError("the rows differ")

    return [Case("syncdb apply_migration 10,000", ours, plain, ROWS, True, check)]


def cases() -> list[Case]:
    """All of them."""
    return compression_cases() + power_cases() + migration_cases()
