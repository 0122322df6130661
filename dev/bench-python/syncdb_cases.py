"""Cases of the package `syncdb`: rows, changes, conflicts and sync beside dictionaries, `copy.deepcopy` and `json`."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench_case import Case
from syncdb.client import SyncClient, SyncServer
from syncdb.db.database import Database
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.sync.change_tracker import ChangeRecord, ChangeTracker, VersionVector
from syncdb.sync.conflict_resolution import ConflictManager, MergeFieldsResolver
from syncdb.sync.manual_sync import register_server_changes_with_client
from syncdb.sync.sync_protocol import SyncRequest, SyncState

Row = dict[str, Any]
Key = tuple[Any, ...]

COLUMNS: list[tuple[str, type]] = [
    ("id", int),
    ("name", str),
    ("email", str),
    ("age", int),
    ("score", float),
    ("active", bool),
    ("city", str),
    ("note", str),
    ("tags", list),
    ("settings", dict),
]


def row(number: int, round_: int = 0) -> Row:
    """A row of ten columns, two of them nested."""
    return {
        "id": number,
        "name": f"name {number}",
        "email": f"user{number}@example.org",
        "age": number % 90,
        "score": number / 7 + round_,
        "active": number % 2 == 0,
        "city": f"city {number % 50}",
        "note": "some words about this user",
        "tags": ["a", "b", f"t{number % 10}"],
        "settings": {"theme": "dark", "size": number % 5},
    }


def schema() -> DatabaseSchema:
    """One table of users."""
    columns = [Column(name, kind, primary_key=name == "id") for name, kind in COLUMNS]
    return DatabaseSchema({"users": TableSchema("users", columns)})


class PlainTable:
    """The contract's table with dictionaries and `copy.deepcopy`, and nothing else."""

    def __init__(self) -> None:
        self.columns = dict(COLUMNS)
        self.records: dict[Key, Row] = {}
        self.last_modified: dict[Key, float] = {}
        self.change_log: list[dict[str, Any]] = []
        self.index_counter = 0

    def validate(self, record: Row) -> list[str]:
        """What is wrong with a record."""
        texts = []
        if "id" not in record:
            texts.append("Missing primary key id")
        for name, value in record.items():
            kind = self.columns.get(name)
            if kind is None:
                texts.append(f"Unknown column {name}")
            elif value is not None and not isinstance(value, kind):
                try:
                    kind(value)
                except (TypeError, ValueError):
                    texts.append(f"Invalid value for {name}, expected {kind.__name__}")
        return texts

    def log(self, operation: str, key: Key, old: Row | None, new: Row | None, client_id: str | None) -> None:
        """Notes a change."""
        self.index_counter += 1
        now = time.time()
        entry = {
            "id": self.index_counter,
            "operation": operation,
            "primary_key": key,
            "timestamp": now,
            "old_record": old,
            "new_record": copy.deepcopy(new),
            "client_id": client_id or "server",
        }
        self.change_log.append(entry)
        if new is None:
            self.last_modified.pop(key, None)
        else:
            self.last_modified[key] = now

    def insert(self, record: Row, client_id: str | None = None) -> Row:
        """Stores a new row."""
        texts = self.validate(record)
        if texts:
            raise ValueError(texts)
        key = (record["id"],)
        if key in self.records:
            raise ValueError("exists")
        stored = copy.deepcopy(record)
        self.records[key] = stored
        self.log("insert", key, None, stored, client_id)
        return copy.deepcopy(stored)

    def update(self, record: Row, client_id: str | None = None) -> Row:
        """Replaces a row."""
        texts = self.validate(record)
        if texts:
            raise ValueError(texts)
        key = (record["id"],)
        old = self.records[key]
        stored = copy.deepcopy(record)
        self.records[key] = stored
        self.log("update", key, old, stored, client_id)
        return copy.deepcopy(stored)

    def delete(self, key: Key, client_id: str | None = None) -> None:
        """Removes a row."""
        self.log("delete", key, self.records.pop(key), None, client_id)

    def get(self, key: Key) -> Row | None:
        """A copy of a row."""
        found = self.records.get(key)
        return None if found is None else copy.deepcopy(found)

    def query(self, conditions: Row | None = None, limit: int | None = None) -> list[Row]:
        """Copies of matching rows."""
        found = []
        for record in self.records.values():
            if not conditions or all(name in record and record[name] == value for name, value in conditions.items()):
                found.append(copy.deepcopy(record))
                if limit is not None and len(found) >= limit:
                    break
        return found


class PlainDatabase:
    """Tables by name."""

    def __init__(self) -> None:
        self.tables = {"users": PlainTable()}

    def table(self, name: str) -> PlainTable:
        """The table of that name."""
        if name not in self.tables:
            raise ValueError(f"Table {name} does not exist")
        return self.tables[name]

    def insert(self, name: str, record: Row, client_id: str | None = None) -> Row:
        """Stores a new row."""
        return self.table(name).insert(record, client_id)

    def update(self, name: str, record: Row, client_id: str | None = None) -> Row:
        """Replaces a row."""
        return self.table(name).update(record, client_id)

    def delete(self, name: str, key: Key, client_id: str | None = None) -> None:
        """Removes a row."""
        self.table(name).delete(key, client_id)

    def get(self, name: str, key: Key) -> Row | None:
        """A copy of a row."""
        return self.table(name).get(tuple(key))

    def query(self, name: str, conditions: Row | None = None, limit: int | None = None) -> list[Row]:
        """Copies of matching rows."""
        return self.table(name).query(conditions, limit)


def change_dict(number: int, key: Key, record: Row | None, client_id: str) -> dict[str, Any]:
    """A change as it is sent."""
    return {
        "id": number,
        "table_name": "users",
        "primary_key": list(key),
        "operation": "delete" if record is None else "update",
        "timestamp": time.time(),
        "client_id": client_id,
        "old_data": None,
        "new_data": record,
        "old_record": None,
        "new_record": record,
    }


def plain_sync(server: PlainTable, client: PlainTable, up: list[Key], down: list[Key]) -> None:
    """Brings the client's rows `up` to the server and the server's rows `down` to the client, as JSON."""
    sent = [change_dict(at, key, client.get(key), "c") for at, key in enumerate(up)]
    for change in json.loads(json.dumps({"client_changes": sent}))["client_changes"]:
        put(server, tuple(change["primary_key"]), change["new_data"], "c")
    answered = [change_dict(at, key, server.get(key), "server") for at, key in enumerate(down)]
    for change in json.loads(json.dumps({"server_changes": answered}))["server_changes"]:
        put(client, tuple(change["primary_key"]), change["new_data"], "server")


def put(table: PlainTable, key: Key, record: Row | None, client_id: str) -> None:
    """Inserts, replaces or deletes, by what is there."""
    if record is None:
        if key in table.records:
            table.delete(key, client_id)
    elif key in table.records:
        table.update(record, client_id)
    else:
        table.insert(record, client_id)


def attached(server: SyncServer, client_id: str) -> SyncClient:
    """A client of a server in this process."""
    client = SyncClient(schema(), "mock://server", client_id, power_aware=False)
    client.sync_engine = server.sync_engine
    client.server_connected = True
    return client


def same(ours: Callable[[], object], plain: Callable[[], object]) -> Callable[[], None]:
    """A check that both answer the same."""

    def check() -> None:
        assert ours() == plain(), (ours(), plain())

    return check


def row_cases() -> list[Case]:
    """One row at a time."""
    database, plain = Database(schema()), PlainDatabase()
    for number in range(1000):
        database.insert("users", row(number))
        plain.insert("users", row(number))
    one, other = row(5), row(5, 1)
    free = row(5000)

    def ours_insert_delete() -> None:
        database.insert("users", free)
        database.delete("users", (5000,))

    def plain_insert_delete() -> None:
        plain.insert("users", free)
        plain.delete("users", (5000,))

    def trim() -> None:
        del plain.tables["users"].change_log[:]

    cases = [
        Case("syncdb insert, delete", ours_insert_delete, plain_insert_delete, 2, check=trim),
        Case(
            "syncdb update", lambda: database.update("users", other), lambda: plain.update("users", other), check=trim
        ),
        Case(
            "syncdb get",
            lambda: database.get("users", (5,)),
            lambda: plain.get("users", (5,)),
            check=same(lambda: database.get("users", (7,)), lambda: plain.get("users", (7,))),
        ),
        Case(
            "syncdb get, none",
            lambda: database.get("users", (-5,)),
            lambda: plain.get("users", (-5,)),
        ),
        Case(
            "syncdb validate_record",
            lambda: database.schema.tables["users"].validate_record(one),
            lambda: plain.tables["users"].validate(one),
            check=same(
                lambda: database.schema.tables["users"].validate_record(one),
                lambda: plain.tables["users"].validate(one),
            ),
        ),
    ]
    for name, conditions, limit in (
        ("one of 1,000 by key", {"id": 900}, None),
        ("20 of 1,000 by text", {"city": "city 7"}, None),
        ("half of 1,000", {"active": True}, None),
        ("all of 1,000", None, None),
        ("first by text", {"city": "city 7"}, 1),
    ):
        cases.append(
            Case(
                f"syncdb query, {name}",
                lambda conditions=conditions, limit=limit: database.query("users", conditions, limit),  # type: ignore[misc]
                lambda conditions=conditions, limit=limit: plain.query("users", conditions, limit),  # type: ignore[misc]
                bulk=name in ("half of 1,000", "all of 1,000"),
                check=same(
                    lambda conditions=conditions: database.query("users", {"id": 5} and conditions)[10:20],  # type: ignore[misc]
                    lambda conditions=conditions: plain.query("users", conditions)[10:20],  # type: ignore[misc]
                ),
            )
        )

    def ours_batch() -> Database:
        fresh = Database(schema())
        for number in range(1000):
            fresh.insert("users", rows[number])
        return fresh

    def plain_batch() -> PlainDatabase:
        fresh = PlainDatabase()
        for number in range(1000):
            fresh.insert("users", rows[number])
        return fresh

    rows = [row(number) for number in range(1000)]
    cases.append(
        Case(
            "syncdb insert 1,000",
            ours_batch,
            plain_batch,
            1000,
            bulk=True,
            check=same(lambda: ours_batch().query("users"), lambda: plain_batch().query("users")),
        )
    )
    return cases


def transaction_cases() -> list[Case]:
    """Ten updates in a table of 1,000, kept or taken back; plain copies the row before each."""
    database, plain = Database(schema()), PlainTable()
    for number in range(1000):
        database.insert("users", row(number))
        plain.insert(row(number))
    changed = [row(number, 1) for number in range(10)]

    def ours(keep: bool) -> None:
        with database.begin_transaction() as transaction:
            for record in changed:
                transaction.update("users", record)
            if keep:
                transaction.commit()
            else:
                transaction.rollback()

    def plain_transaction(keep: bool) -> None:
        undo = []
        for record in changed:
            key = (record["id"],)
            undo.append((key, plain.get(key), plain.last_modified[key], len(plain.change_log), copy.deepcopy(record)))
            plain.update(record, "transaction")
        if not keep:
            for key, old, modified, at, _ in reversed(undo):
                assert old is not None
                plain.records[key] = old
                plain.last_modified[key] = modified
                del plain.change_log[at]

    return [
        Case("syncdb transaction, commit 10", lambda: ours(True), lambda: plain_transaction(True), 10),
        Case("syncdb transaction, rollback 10", lambda: ours(False), lambda: plain_transaction(False), 10),
    ]


@dataclass
class PlainChange:
    """A change in plain Python."""

    id: int
    table_name: str
    primary_key: Key
    operation: str
    timestamp: float
    client_id: str
    old_data: Row | None
    new_data: Row | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return {
            "id": self.id,
            "table_name": self.table_name,
            "primary_key": self.primary_key,
            "operation": self.operation,
            "timestamp": self.timestamp,
            "client_id": self.client_id,
            "old_data": self.old_data,
            "new_data": self.new_data,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PlainChange:
        """The change of a dictionary."""
        return cls(
            id=data["id"],
            table_name=data["table_name"],
            primary_key=tuple(data["primary_key"]),
            operation=data["operation"],
            timestamp=data["timestamp"],
            client_id=data["client_id"],
            old_data=data["old_data"],
            new_data=data["new_data"],
        )


class PlainVector:
    """A version vector in plain Python."""

    def __init__(self, entries: dict[str, int], client_id: str) -> None:
        self.vector = entries
        self.client_id = client_id

    def increment(self) -> None:
        self.vector[self.client_id] = self.vector.get(self.client_id, 0) + 1

    def update(self, other: PlainVector) -> None:
        for client_id, count in other.vector.items():
            self.vector[client_id] = max(self.vector.get(client_id, 0), count)

    def dominates(self, other: PlainVector) -> bool:
        larger = False
        for client_id in set(self.vector) | set(other.vector):
            mine, theirs = self.vector.get(client_id, 0), other.vector.get(client_id, 0)
            if mine < theirs:
                return False
            if mine > theirs:
                larger = True
        return larger

    def concurrent_with(self, other: PlainVector) -> bool:
        return not self.dominates(other) and not other.dominates(self)


class PlainTracker:
    """A history of changes in plain Python."""

    def __init__(self) -> None:
        self.changes: dict[str, list[dict[str, Any]]] = {}
        self.counters: dict[str, int] = {}

    def record_change(
        self, table: str, key: Key, operation: str, old: Row | None, new: Row | None, client_id: str
    ) -> dict[str, Any]:
        number = self.counters.get(table, 0)
        self.counters[table] = number + 1
        change = {
            "id": number,
            "table_name": table,
            "primary_key": key,
            "operation": operation,
            "timestamp": time.time(),
            "client_id": client_id,
            "old_data": copy.deepcopy(old) if old else None,
            "new_data": copy.deepcopy(new) if new else None,
        }
        changes = self.changes.setdefault(table, [])
        changes.append(change)
        if len(changes) > 10000:
            self.changes[table] = changes[-10000:]
        return change

    def get_changes_since(self, table: str, number: int, exclude: str | None = None) -> list[dict[str, Any]]:
        return [
            change
            for change in self.changes.get(table, [])
            if change["id"] > number and (exclude is None or change["client_id"] != exclude)
        ]


def history_cases() -> list[Case]:
    """Vectors, trackers, states and messages."""
    entries = {f"c{number}": number for number in range(10)}
    greater = {name: count + 1 for name, count in entries.items()}
    vector, other = VersionVector.from_dict(greater, "c1"), VersionVector.from_dict(entries, "c2")
    plain, plain_other = PlainVector(dict(greater), "c1"), PlainVector(dict(entries), "c2")
    tracker, plain_tracker = ChangeTracker(), PlainTracker()
    new, old = row(1), row(1, 1)
    for number in range(10000):
        tracker.record_change("users", (number,), "update", {"id": number}, {"id": number}, "c")
        plain_tracker.record_change("users", (number,), "update", {"id": number}, {"id": number}, "c")
    full, plain_full = copy.deepcopy(tracker), copy.deepcopy(plain_tracker)
    record = tracker.changes["users"][0]
    data = record.to_dict()
    plain_record = PlainChange.from_dict(data)
    state = SyncState("c", table_change_ids={"users": 5})
    plain_ids = {"users": 5}
    request: dict[str, Any] = {
        "client_id": "c",
        "table_change_ids": {"users": -1},
        "client_changes": {"users": [change_dict(number, (number,), row(number), "c") for number in range(100)]},
        "version_vectors": {"users": {"c": 0}},
    }

    def plain_read() -> list[PlainChange]:
        changes = []
        for change in request["client_changes"]["users"]:
            data = dict(change)
            for name, alias in (("old_data", "old_record"), ("new_data", "new_record")):
                if name not in data and alias in data:
                    data[name] = data[alias]
            changes.append(PlainChange.from_dict(data))
        return changes

    def plain_update_id(change_id: int) -> None:
        plain_ids["users"] = max(plain_ids.get("users", -1), change_id)

    return [
        Case("syncdb VersionVector.increment", vector.increment, plain.increment),
        Case("syncdb VersionVector.update 10", lambda: vector.update(other), lambda: plain.update(plain_other)),
        Case(
            "syncdb VersionVector.dominates 10",
            lambda: vector.dominates(other),
            lambda: plain.dominates(plain_other),
            check=same(lambda: vector.dominates(other), lambda: plain.dominates(plain_other)),
        ),
        Case(
            "syncdb VersionVector.concurrent_with 10",
            lambda: vector.concurrent_with(other),
            lambda: plain.concurrent_with(plain_other),
        ),
        Case(
            "syncdb ChangeTracker.record_change",
            lambda: tracker.record_change("users", (1,), "update", old, new, "c"),
            lambda: plain_tracker.record_change("users", (1,), "update", old, new, "c"),
        ),
        Case(
            "syncdb ChangeTracker.get_changes_since, 10 of 10,000",
            lambda: full.get_changes_since("users", 9989),
            lambda: plain_full.get_changes_since("users", 9989),
            check=same(
                lambda: full.get_changes_since("users", 9989)[0].id,
                lambda: plain_full.get_changes_since("users", 9989)[0]["id"],
            ),
        ),
        Case(
            "syncdb ChangeTracker.get_changes_since, excluding, 10,000",
            lambda: full.get_changes_since("users", -1, "d"),
            lambda: plain_full.get_changes_since("users", -1, "d"),
        ),
        Case(
            "syncdb ChangeRecord.to_dict",
            record.to_dict,
            plain_record.to_dict,
        ),
        Case(
            "syncdb ChangeRecord.from_dict",
            lambda: ChangeRecord.from_dict(data),
            lambda: PlainChange.from_dict(data),
            check=same(lambda: vars(ChangeRecord.from_dict(data)), lambda: vars(PlainChange.from_dict(data))),
        ),
        Case(
            "syncdb SyncState.update_table_change_id",
            lambda: state.update_table_change_id("users", 3),
            lambda: plain_update_id(3),
        ),
        Case("syncdb SyncRequest.from_dict, 100 changes", lambda: SyncRequest.from_dict(request), plain_read),
    ]


def conflict_cases() -> list[Case]:
    """A conflict resolved and logged."""
    manager = ConflictManager()
    manager.set_default_resolver(MergeFieldsResolver({"users": ["name", "tags"]}))
    change = ChangeRecord(0, "users", (1,), "update", time.time(), "c", None, row(1, 1))
    stored = row(1)
    log: list[dict[str, Any]] = []

    def plain() -> Row:
        merged = copy.deepcopy(stored)
        assert change.new_data is not None
        for column in ("name", "tags"):
            if column in change.new_data:
                merged[column] = copy.deepcopy(change.new_data[column])
        log.append(
            {
                "table_name": "users",
                "primary_key": change.primary_key,
                "conflict_time": time.time(),
                "client_id": change.client_id,
                "client_change": dict(vars(change)),
                "server_record": stored,
                "resolution": merged,
                "resolution_strategy": "MergeFieldsResolver",
            }
        )
        if len(log) > 1000:
            del log[:-1000]
        return merged

    return [
        Case(
            "syncdb resolve_conflict, merge",
            lambda: manager.resolve_conflict("users", change, stored),
            plain,
            check=same(lambda: manager.resolve_conflict("users", change, stored), plain),
        )
    ]


def sync_cases() -> list[Case]:
    """A first sync, one after a few changes, and one without any."""
    count = 2000
    server, plain_server = SyncServer(schema()), PlainTable()
    for number in range(count):
        server.insert("users", row(number))
        plain_server.insert(row(number))

    def ours_first() -> SyncClient:
        client = attached(server, "first")
        assert client.sync()
        return client

    def plain_first() -> PlainTable:
        client = PlainTable()
        plain_sync(plain_server, client, [], list(plain_server.records))
        return client

    def ours_upload() -> SyncServer:
        target = SyncServer(schema())
        client = attached(target, "upload")
        for number in range(500):
            client.insert("users", rows[number])
        assert client.sync()
        return target

    def plain_upload() -> PlainTable:
        target, client, tracker = PlainTable(), PlainTable(), PlainTracker()
        for number in range(500):
            client.insert(rows[number])
            tracker.record_change("users", (number,), "insert", None, rows[number], "c")
        plain_sync(target, client, list(client.records), list(client.records))
        return target

    rows = [row(number) for number in range(500)]
    client, plain_client = ours_first(), plain_first()
    changed = [[row(number, round_) for number in range(0, count, 100)] for round_ in (1, 2)]
    turns = {"ours": 0, "plain": 0}

    def ours_few() -> None:
        turns["ours"] ^= 1
        for record in changed[turns["ours"]]:
            server.update("users", record)
        assert client.sync()

    def plain_few() -> None:
        turns["plain"] ^= 1
        for record in changed[turns["plain"]]:
            plain_server.update(record)
        # Without a history of the server everything is sent, as the original does.
        plain_sync(plain_server, plain_client, [], list(plain_server.records))

    def plain_few_known() -> None:
        turns["plain"] ^= 1
        for record in changed[turns["plain"]]:
            plain_server.update(record)
        plain_sync(plain_server, plain_client, [], [(record["id"],) for record in changed[0]])

    target = Database(schema())

    def plain_manual() -> None:
        for record in plain_server.query():
            put(plain_client, (record["id"],), record, "server")

    return [
        Case(
            f"syncdb first sync of {count:,}",
            ours_first,
            plain_first,
            count,
            bulk=True,
            check=same(lambda: ours_first().query("users"), lambda: plain_first().query()),
        ),
        Case(
            "syncdb 500 inserted offline and sent",
            ours_upload,
            plain_upload,
            500,
            bulk=True,
            check=same(lambda: ours_upload().query("users"), lambda: plain_upload().query()),
        ),
        Case(f"syncdb sync of 20 changed in {count:,}, all sent by plain", ours_few, plain_few, bulk=True),
        Case(
            f"syncdb sync of 20 changed in {count:,}, the same 20 sent by plain", ours_few, plain_few_known, bulk=True
        ),
        Case(
            f"syncdb manual sync of {count:,}",
            lambda: register_server_changes_with_client(target, server.database, "users", "c"),
            plain_manual,
            count,
            bulk=True,
        ),
    ]


def cases() -> list[Case]:
    """All cases of this package's tables and sync."""
    return [*row_cases(), *transaction_cases(), *history_cases(), *conflict_cases(), *sync_cases()]
