"""Clients and a server in one process: what arrives where, who wins, what is told again and what is not."""

# Methods and callbacks have the parameters they are called with.
# ruff: noqa: ARG005

import copy
import dataclasses
import json
import random
import threading
import time
from typing import Any, Callable, Optional

import pytest
from syncdb.client import SyncClient, SyncServer
from syncdb.db.database import Database
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.sync.change_tracker import ChangeRecord, ChangeTracker, VersionVector
from syncdb.sync.conflict_resolution import (
    ClientWinsResolver,
    LastWriteWinsResolver,
    MergeFieldsResolver,
    ServerWinsResolver,
)
from syncdb.sync.manual_sync import register_client_changes_with_server, register_server_changes_with_client
from syncdb.sync.sync_protocol import NetworkSimulator, SyncEngine, SyncRequest, SyncResponse
from syncdb.tests.test_helper import simulate_conflict_resolution

RESPONSE_KEYS = {field.name for field in dataclasses.fields(SyncResponse)}


def schema(*more: Column) -> DatabaseSchema:
    """A table of users and one of orders."""
    users = [Column("id", int, primary_key=True), Column("name", str), Column("v", object), *more]
    orders = [Column("a", int, primary_key=True), Column("b", str, primary_key=True), Column("n", int)]
    return DatabaseSchema({"users": TableSchema("users", users), "orders": TableSchema("orders", orders)})


def attach(server: SyncServer, client: SyncClient) -> SyncClient:
    """By hand, as programs do."""
    client.server_url = "mock://server"
    client.sync_engine = server.sync_engine
    client.server_connected = True
    server.register_client(client.client_id)
    return client


def client_of(server: SyncServer, client_id: str = "c1") -> SyncClient:
    """A client of this server."""
    return attach(server, SyncClient(server.database.schema, client_id=client_id, power_aware=False))


@pytest.fixture
def server() -> SyncServer:
    """An empty one."""
    return SyncServer(schema())


def rows(side: Any, table: str = "users") -> list[dict[str, Any]]:
    """All rows of a side, by key."""
    return sorted(side.query(table), key=lambda row: tuple(row.values())[:1])


def both(server: SyncServer, *clients: SyncClient) -> list[dict[str, Any]]:
    """The rows, which are the same everywhere."""
    for client in clients:
        assert rows(client) == rows(server)
    return rows(server)


class Tap:
    """Counts and keeps what goes over an engine's network, and loses what it is told to."""

    def __init__(self, engine: SyncEngine) -> None:
        self.sent: list[str] = []
        self.lose: Callable[[int], bool] = lambda _: False
        before = engine.network.send

        def send(data: str) -> Optional[str]:
            self.sent.append(data)
            return None if self.lose(len(self.sent)) else before(data)

        engine.network.send = send  # type: ignore[method-assign]

    def last_changes(self) -> dict[str, list[dict[str, Any]]]:
        """What the last answer carried."""
        found: dict[str, list[dict[str, Any]]] = json.loads(self.sent[-1])["server_changes"]
        return found


def test_rows_of_both_sides_arrive(server: SyncServer) -> None:
    """Also rows written straight into the database, deletes, and whole replacements."""
    client = client_of(server)
    server.insert("users", {"id": 1, "name": "a", "v": 1})
    server.database.insert("users", {"id": 2, "name": "b"})
    client.insert("users", {"id": 3, "name": "c"})
    client.insert("orders", {"a": 1, "b": "x", "n": 5})
    assert client.sync() is True
    assert [row["id"] for row in both(server, client)] == [1, 2, 3]
    assert rows(server, "orders") == [{"a": 1, "b": "x", "n": 5}]
    client.update("users", {"id": 3, "name": "cc"})
    client.delete("users", [2])
    server.update("users", {"id": 1, "name": "aa"})
    server.insert("users", {"id": 4})
    assert client.sync() is True
    assert both(server, client) == [{"id": 1, "name": "aa"}, {"id": 3, "name": "cc"}, {"id": 4}]
    server.delete("users", (4,))
    client.delete("users", (1,))
    assert client.sync() is True
    assert both(server, client) == [{"id": 3, "name": "cc"}]
    assert server.conflict_audit_log.conflicts == []


def test_changes_are_tracked(server: SyncServer) -> None:
    """Ids from 0, tuples as keys; what is refused is not recorded; nothing echoes."""
    client = client_of(server)
    client.insert("users", {"id": 1, "v": [1]})
    client.update("users", {"id": 1, "v": [2]})
    client.delete("users", [1])
    tracked = client.change_tracker.changes["users"]
    assert [(one.id, one.operation, one.primary_key, one.old_data, one.new_data) for one in tracked] == [
        (0, "insert", (1,), None, {"id": 1, "v": [1]}),
        (1, "update", (1,), {"id": 1, "v": [1]}, {"id": 1, "v": [2]}),
        (2, "delete", (1,), {"id": 1, "v": [2]}, None),
    ]
    assert {one.client_id for one in tracked} == {"c1"}
    for call, error in (
        (lambda: client.insert("users", {"zz": 1}), ValueError),
        (lambda: client.update("users", {"name": "x"}), ValueError),
        (lambda: client.update("users", {"id": 77}), ValueError),
        (lambda: client.update("nothing", {"id": 77}), KeyError),
        (lambda: client.insert("nothing", {"id": 77}), ValueError),
        (lambda: client.delete("users", (77,)), ValueError),
    ):
        with pytest.raises(error):
            call()
    server.insert("users", {"id": 5})
    assert client.sync()
    assert len(client.change_tracker.changes["users"]) == 3
    assert server.change_tracker.changes == {}


def test_only_what_changed_is_sent(server: SyncServer) -> None:
    """Not what the client has, and nothing that was acknowledged."""
    for number in range(100):
        server.insert("users", {"id": number})
    client = client_of(server)
    tap = Tap(server.sync_engine)
    assert client.sync()
    assert len(tap.last_changes()["users"]) == 100
    first = len(tap.sent[-1])
    client.insert("users", {"id": 1000})
    server.update("users", {"id": 7, "name": "x"})
    assert client.sync()
    (change,) = tap.last_changes()["users"]
    assert (change["operation"], change["primary_key"], change["new_data"]) == ("update", [7], {"id": 7, "name": "x"})
    assert change["old_record"] is None
    assert change["new_record"] == change["new_data"]
    assert len(tap.sent[-1]) < first / 10
    assert client.sync()
    assert json.loads(tap.sent[-2])["client_changes"] == {}
    assert tap.last_changes() == {"users": [], "orders": []}


def test_an_old_change_is_not_sent_again_over_newer_ones(server: SyncServer) -> None:
    """A writes, B writes later, A syncs with nothing new."""
    first, second = client_of(server, "a"), client_of(server, "b")
    first.insert("users", {"id": 1, "name": "a"})
    assert first.sync()
    assert second.sync()
    second.update("users", {"id": 1, "name": "b"})
    assert second.sync()
    assert first.sync()
    assert both(server, first, second) == [{"id": 1, "name": "b"}]
    second.delete("users", (1,))
    assert second.sync()
    assert first.sync()
    assert both(server, first, second) == []
    assert server.conflict_audit_log.conflicts == []


@pytest.mark.parametrize(
    ("resolver", "expected"),
    [
        (LastWriteWinsResolver(), {"id": 1, "name": "client", "v": 2}),
        (ServerWinsResolver(), {"id": 1, "name": "server", "v": 1}),
        (ClientWinsResolver(), {"id": 1, "name": "client", "v": 2}),
        (MergeFieldsResolver({"users": ["name"]}), {"id": 1, "name": "client", "v": 1}),
    ],
)
@pytest.mark.parametrize("default", [True, False])
def test_both_sides_changed_a_row(server: SyncServer, resolver: Any, expected: Any, default: bool) -> None:
    """One outcome on both sides after one sync; one entry in the server's log."""
    server.insert("users", {"id": 1, "name": "old"})
    client = client_of(server)
    assert client.sync()
    if default:
        server.set_default_conflict_resolver(resolver)
    else:
        server.register_conflict_resolver("users", resolver)
    server.update("users", {"id": 1, "name": "server", "v": 1})
    time.sleep(0.002)
    client.update("users", {"id": 1, "name": "client", "v": 2})
    assert client.sync()
    assert both(server, client) == [expected]
    (entry,) = server.get_conflict_history("users", (1,))
    assert (entry["resolution_strategy"], entry["primary_key"]) == (type(resolver).__name__, (1,))
    assert (entry["server_record"], entry["resolution"]) == ({"id": 1, "name": "server", "v": 1}, expected)
    assert client.get_conflict_history() == []
    assert client.sync()
    assert len(server.get_conflict_history()) == 1
    assert both(server, client) == [expected]


def test_the_last_write_wins_by_its_time(server: SyncServer) -> None:
    """However long ago, deletes included."""
    for number in (1, 2, 3):
        server.insert("users", {"id": number, "name": "old"})
    client = client_of(server)
    assert client.sync()
    client.update("users", {"id": 1, "name": "client"})
    client.delete("users", (2,))
    time.sleep(0.002)
    for number in (1, 2, 3):
        server.update("users", {"id": number, "name": "server"})
    time.sleep(0.002)
    client.delete("users", (3,))
    for change in client.change_tracker.changes["users"]:
        change.timestamp -= 7200
    for key in server.database.tables["users"].last_modified:
        server.database.tables["users"].last_modified[key] -= 7200
    assert client.sync()
    assert both(server, client) == [{"id": 1, "name": "server"}, {"id": 2, "name": "server"}]
    assert len(server.conflict_audit_log.conflicts) == 3


def test_rows_made_on_both_sides(server: SyncServer) -> None:
    """An insert of a key that exists by another's hand is a conflict, also of a row copied by hand."""
    server.set_default_conflict_resolver(ServerWinsResolver())
    client = client_of(server)
    server.insert("users", {"id": 1, "name": "server"})
    client.insert("users", {"id": 1, "name": "client"})
    assert client.sync()
    assert both(server, client) == [{"id": 1, "name": "server"}]
    assert len(server.get_conflict_history("users", (1,))) == 1
    server.insert("users", {"id": 2, "name": "server"})
    register_server_changes_with_client(client.database, server.database, "users", "c1")
    client.update("users", {"id": 2, "name": "client"})
    assert client.sync()
    assert both(server, client)[1] == {"id": 2, "name": "server"}
    assert len(server.get_conflict_history("users", (2,))) == 1


def test_the_client_deleted_what_the_server_updated(server: SyncServer) -> None:
    """Client wins: gone on both sides. Server wins: back on both sides."""
    for number in (1, 2):
        server.insert("users", {"id": number})
    client = client_of(server)
    assert client.sync()
    for number, resolver in ((1, ClientWinsResolver()), (2, ServerWinsResolver())):
        server.set_default_conflict_resolver(resolver)
        server.update("users", {"id": number, "name": "new"})
        client.delete("users", (number,))
        assert client.sync()
        assert len(server.get_conflict_history("users", (number,))) == 1
    assert both(server, client) == [{"id": 2, "name": "new"}]


@pytest.mark.parametrize(
    ("operation", "resolution", "expected"),
    [
        ("update", {"id": 1, "name": "resolved"}, {"id": 1, "name": "resolved"}),
        ("update", {"id": 1, "zz": "invalid"}, {"id": 1, "name": "server"}),
        ("update", {"id": 2, "name": "another"}, {"id": 1, "name": "server"}),
        ("update", None, {"id": 1, "name": "server"}),
        ("update", {}, {"id": 1, "name": "client"}),
        ("delete", None, None),
        ("delete", {}, None),
        ("delete", {"id": 1, "name": "resolved"}, {"id": 1, "name": "server"}),
        ("update", ZeroDivisionError(), {"id": 1, "name": "server"}),
        ("delete", ZeroDivisionError(), {"id": 1, "name": "server"}),
    ],
)
def test_resolutions(server: SyncServer, operation: str, resolution: Any, expected: Any) -> None:
    """Each is what stands on both sides; a resolver that raises leaves the server's row."""
    server.insert("users", {"id": 1, "name": "old"})
    client = client_of(server)
    assert client.sync()
    server.update("users", {"id": 1, "name": "server"})
    if operation == "delete":
        client.delete("users", (1,))
    else:
        client.update("users", {"id": 1, "name": "client"})
    asked = []

    class Mine:
        def resolve(self, table: str, change: ChangeRecord, row: Any) -> Any:
            asked.append((table, change.operation, copy.deepcopy(row)))
            row["name"] = "scratched"
            if isinstance(resolution, Exception):
                raise resolution
            return resolution

    server.register_conflict_resolver("users", Mine())
    assert client.sync()
    assert asked == [("users", operation, {"id": 1, "name": "server"})]
    assert both(server, client) == ([expected] if expected else [])
    (entry,) = server.get_conflict_history("users")
    if isinstance(resolution, Exception):
        assert "ZeroDivisionError" in entry["resolution_strategy"]


def test_an_engine_asks_its_resolver_once_a_change(server: SyncServer) -> None:
    """Any callable of three, looked up at each use."""
    server.insert("users", {"id": 1})
    client = client_of(server)
    assert client.sync()
    server.update("users", {"id": 1, "name": "server"})
    client.update("users", {"id": 1, "name": "one"})
    client.update("users", {"id": 1, "name": "two"})
    asked = []

    def resolve(table: str, change: ChangeRecord, row: Any) -> Any:
        asked.append((table, change, row))
        return {"id": 1, "name": f"r{len(asked)}"}

    server.sync_engine.conflict_resolver = resolve
    assert client.sync()
    assert len(asked) == 2
    assert both(server, client) == [{"id": 1, "name": "r2"}]


def test_the_wide_rule_of_conflicts_can_be_had_back(server: SyncServer) -> None:
    """Every update and delete of a row that exists, by one overridden method."""
    client = client_of(server)
    client.insert("users", {"id": 1})
    assert client.sync()
    server.sync_engine._record_modified_since_client_sync = lambda table, key, client_id: True
    client.update("users", {"id": 1, "name": "x"})
    assert client.sync()
    assert len(server.conflict_audit_log.conflicts) == 1
    assert both(server, client) == [{"id": 1, "name": "x"}]


def test_lost_messages_lose_nothing(server: SyncServer) -> None:
    """Neither the request nor the answer; what is applied already is no conflict."""
    client = client_of(server)
    assert client.sync()
    server.insert("users", {"id": 1})
    client.insert("users", {"id": 2})
    server.sync_engine.network = NetworkSimulator(packet_loss_percent=100)
    assert client.sync() is False
    assert (rows(client), rows(server)) == ([{"id": 2}], [{"id": 1}])
    server.sync_engine.network = NetworkSimulator()
    tap = Tap(server.sync_engine)
    tap.lose = lambda count: count == 2
    assert client.sync() is False
    assert (client.sync_in_progress, client.last_sync_time > 0) == (False, True)
    client.update("users", {"id": 2, "name": "more"})
    assert client.sync()
    assert both(server, client) == [{"id": 1}, {"id": 2, "name": "more"}]
    assert server.conflict_audit_log.conflicts == []


@pytest.mark.parametrize("seed", range(30))
def test_sides_converge(seed: int) -> None:
    """Any operations on any side, messages lost at random, transactions, resolvers: in the end all are equal."""
    chance = random.Random(seed)
    server = SyncServer(schema())
    server.set_default_conflict_resolver(
        chance.choice(
            [LastWriteWinsResolver(), ServerWinsResolver(), ClientWinsResolver(), MergeFieldsResolver({"users": ["v"]})]
        )
    )
    clients = [client_of(server, f"c{number}") for number in range(3)]
    # Odd seeds see the text of all messages, even ones leave the engine to itself.
    tap = Tap(server.sync_engine) if seed % 2 else None
    if tap is not None:
        tap.lose = lambda _: chance.random() < 0.3
    else:
        server.sync_engine.network = NetworkSimulator(packet_loss_percent=30)
    for step in range(120):
        side: Any = chance.choice([server, *clients])
        key = chance.randrange(8)
        there = side.get("users", (key,)) is not None
        row = {"id": key, "name": f"{step}", "v": chance.choice([step, [step], (step, b"x")])}
        kind = chance.randrange(4)
        if kind == 0 and there:
            side.delete("users", (key,))
        elif kind < 3:
            (side.update if there else side.insert)("users", row)
        elif side is not server:
            side.sync()
        else:
            transaction = server.database.begin_transaction()
            (transaction.update if there else transaction.insert)("users", row)
            clients[0].sync()
            transaction.rollback()
    server.sync_engine.network = NetworkSimulator()
    for _ in range(2):
        for client in clients:
            assert client.sync()
    both(server, *clients)
    tap = Tap(server.sync_engine)
    assert clients[0].sync()
    assert tap.last_changes() == {"users": [], "orders": []}


def test_sides_share_nothing_after_a_sync(server: SyncServer) -> None:
    """Whether text was made or not: neither rows nor what is kept of changes."""
    client = client_of(server)
    server.insert("users", {"id": 1, "v": [1]})
    client.insert("users", {"id": 2, "v": [1]})
    server.change_tracker.record_change("users", (3,), "insert", None, {"id": 3, "v": [1]}, "somebody")
    assert client.sync()
    kept = [
        *(table.records[(number,)] for table in (client.database.tables["users"],) for number in (1, 2, 3)),
        *(table.records[(number,)] for table in (server.database.tables["users"],) for number in (1, 2)),
        *(entry["new_record"] for side in (client, server) for entry in side.database.get_changes_since("users", 0)),
        *(
            change.new_data
            for tracker in (client.change_tracker, server.change_tracker)
            for change in tracker.changes["users"]
        ),
    ]
    assert len({id(row) for row in kept}) == len({id(row["v"]) for row in kept}) == len(kept)


def test_a_new_client_with_an_old_id_gets_everything(server: SyncServer) -> None:
    """What a client has belongs to its database, what was acknowledged to its tracker."""
    server.insert("users", {"id": 1})
    old = client_of(server, "same")
    old.insert("users", {"id": 2})
    assert old.sync()
    new = client_of(server, "same")
    new.insert("users", {"id": 3})
    assert new.sync()
    assert [row["id"] for row in both(server, new)] == [1, 2, 3]
    new.database = Database(server.database.schema)
    new.change_tracker = ChangeTracker()
    assert new.sync()
    both(server, new)
    server.sync_engine.client_sync_states["same"].table_change_ids["users"] = -1
    assert old.sync()
    both(server, old)


def test_a_migrated_table_is_told_anew(server: SyncServer) -> None:
    """All its rows and deletes; what the client has sent is not sent again, and nothing is in conflict."""
    for number in (1, 2):
        server.insert("users", {"id": number})
    client = client_of(server)
    client.insert("users", {"id": 3})
    assert client.sync()
    table = server.database.tables["users"]
    table.schema = copy.deepcopy(table.schema)
    for row in table.records.values():
        row["name"] = "migrated"
    server.delete("users", (1,))
    client.update("users", {"id": 2, "v": "mine"})
    tap = Tap(server.sync_engine)
    assert client.sync()
    assert len(json.loads(tap.sent[0])["client_changes"]["users"]) == 1
    assert both(server, client) == [{"id": 2, "v": "mine"}, {"id": 3, "name": "migrated"}]
    assert server.conflict_audit_log.conflicts == []
    assert client.sync()
    assert tap.last_changes()["users"] == []


def test_another_server_is_told_everything(server: SyncServer) -> None:
    """Also what the first one has acknowledged."""
    client = client_of(server)
    client.insert("users", {"id": 1})
    assert client.sync()
    other = SyncServer(schema())
    other.insert("users", {"id": 2})
    attach(other, client)
    assert client.sync()
    assert [row["id"] for row in both(other, client)] == [1, 2]


def test_values_that_json_cannot_express(server: SyncServer) -> None:
    """They arrive; what no form exists for does not hold up the rest."""
    client = client_of(server)
    client.insert("users", {"id": 1, "v": {"when": time.gmtime(0)[:3], "raw": b"x", "set": {1}}})
    client.insert("users", {"id": 2, "v": object()})
    client.insert("users", {"id": 3})
    assert client.sync()
    assert client.sync()
    assert [row["id"] for row in rows(server)] == [1, 3]
    assert server.get("users", (1,)) == client.get("users", (1,))


def test_a_server_with_more_columns() -> None:
    """Their values are left out on a client that does not know them; the row arrives."""
    server = SyncServer(schema(Column("extra", int, default=5)))
    client = attach(server, SyncClient(schema(), client_id="old", power_aware=False))
    server.insert("users", {"id": 1, "name": "a"})
    client.insert("users", {"id": 2})
    assert client.sync()
    assert rows(client) == [{"id": 1, "name": "a"}, {"id": 2}]
    assert server.get("users", (2,)) == {"id": 2, "extra": 5}


def test_a_client_with_more_columns(server: SyncServer, caplog: pytest.LogCaptureFixture) -> None:
    """What the server refuses is reported, not raised; the client keeps its row."""
    client = attach(server, SyncClient(schema(Column("extra", int)), client_id="new", power_aware=False))
    client.insert("users", {"id": 1, "extra": 1})
    client.insert("users", {"id": 2})
    tap = Tap(server.sync_engine)
    assert client.sync()
    assert rows(server) == [{"id": 2}]
    assert rows(client) == [{"id": 1, "extra": 1}, {"id": 2}]
    assert "Unknown column extra" in caplog.text
    assert "Unknown column extra" in json.loads(tap.sent[-1])["positions"]["users"]["refused"][0]


def test_changes_told_to_the_servers_tracker(server: SyncServer) -> None:
    """They go to others than their author, once."""
    client = client_of(server)
    assert client.sync()
    server.change_tracker.record_change("users", (8,), "insert", None, {"id": 8}, "somebody")
    server.change_tracker.record_change("users", (9,), "insert", None, {"id": 9}, "c1")
    assert client.sync()
    assert rows(client) == [{"id": 8}]
    assert server.sync_engine.client_sync_states["c1"].table_change_ids["users"] == 1
    tap = Tap(server.sync_engine)
    assert client.sync()
    assert tap.last_changes()["users"] == []


def test_a_rollback_reaches_clients(server: SyncServer) -> None:
    """Changes are visible before, and so is their end."""
    server.insert("users", {"id": 1, "name": "a"})
    client = client_of(server)
    transaction = server.database.begin_transaction()
    transaction.update("users", {"id": 1, "name": "b"})
    transaction.insert("users", {"id": 2})
    assert client.sync()
    assert both(server, client) == [{"id": 1, "name": "b"}, {"id": 2}]
    transaction.rollback()
    assert client.sync()
    assert both(server, client) == [{"id": 1, "name": "a"}]


def test_a_clients_transaction_is_sent(server: SyncServer) -> None:
    """After a commit or a normal exit, not after a rollback."""
    client = client_of(server)
    client.insert("users", {"id": 1})
    with client.create_transaction() as transaction:
        transaction.insert("users", {"id": 2, "v": [1]})
        transaction.update("users", {"id": 1, "name": "x"})
    committed = client.create_transaction()
    committed.delete("users", (2,))
    committed.insert("users", {"id": 3})
    committed.commit()
    rolled_back = client.create_transaction()
    rolled_back.insert("users", {"id": 4})
    rolled_back.rollback()
    operations = [(one.operation, one.primary_key, one.client_id) for one in client.change_tracker.changes["users"]]
    assert operations == [
        ("insert", (1,), "c1"),
        ("insert", (2,), "c1"),
        ("update", (1,), "c1"),
        ("delete", (2,), "c1"),
        ("insert", (3,), "c1"),
    ]
    assert client.sync()
    assert both(server, client) == [{"id": 1, "name": "x"}, {"id": 3}]


def test_a_client_without_a_server() -> None:
    """Its own engine leaves its rows as they are."""
    client = SyncClient(schema(), "http://localhost", "me", power_aware=False)
    assert client.sync() is False
    assert client.connect_to_server() is True
    client.insert("users", {"id": 1})
    client.insert("users", {"id": 2})
    client.delete("users", (1,))
    client.insert("users", {"id": 1, "name": "again"})
    client.database.update("users", {"id": 2, "name": "untracked"})
    before = client.query("users")
    tap = Tap(client.sync_engine)
    for _ in range(2):
        assert client.sync() is True
        assert client.query("users") == before
    assert len(tap.sent) == 4
    assert client.last_sync_time > 0
    client.close()
    client.close()
    assert SyncClient(schema(), power_aware=False).connect_to_server() is False


def test_an_engine_by_hand(server: SyncServer) -> None:
    """Requests and answers as text, written and read by a program."""
    engine, database, tracker = server.sync_engine, Database(schema()), ChangeTracker()
    tracker.record_change("users", (1,), "insert", None, {"id": 1}, "hand")
    tracker.record_change("users", (2,), "insert", None, {"id": 2}, "server")
    request = engine.create_sync_request("hand", ["users"], database, tracker)
    parsed = json.loads(request)
    assert (parsed["client_id"], parsed["table_change_ids"]) == ("hand", {"users": -1})
    assert [change["primary_key"] for change in parsed["client_changes"]["users"]] == [[1]]
    assert parsed["version_vectors"] == {"users": {"hand": 0}}
    server.insert("users", {"id": 3})
    response = engine.process_sync_request(request)
    answered = json.loads(response)
    assert set(answered) >= {
        "server_changes",
        "conflicts",
        "success",
        "error_message",
        "current_change_ids",
        "version_vectors",
    }
    assert (answered["success"], answered["error_message"], answered["conflicts"]) == (True, None, {})
    assert answered["version_vectors"] == {"users": {"hand": 1}}
    assert answered["current_change_ids"] == {"users": -1}
    assert {change["client_id"] for change in answered["server_changes"]["users"]} == {"server"}
    assert engine.process_sync_response("hand", response, database, tracker) == (True, None)
    assert rows(database) == [{"id": 1}, {"id": 3}] == rows(server)
    assert engine.process_sync_response("hand", None, database, tracker) == (False, "Sync failed due to network issues")
    for text, reason in (("no", "no"), (None, "Sync failed")):
        refusal = json.dumps(SyncResponse({}, {}, False, text).to_dict())
        assert engine.process_sync_response("hand", refusal, database, tracker) == (False, reason)
    state = engine.get_or_create_client_state("hand")
    assert state is engine.client_sync_states["hand"]
    assert state.sync_count == 1
    assert state.version_vectors["users"].vector == {"hand": 1}


def test_plain_requests_get_everything(server: SyncServer) -> None:
    """A request without positions is answered as the original did; plain dictionaries are changes too."""
    server.insert("users", {"id": 1, "name": "a"})
    change = {
        "id": 0,
        "table_name": "users",
        "primary_key": [2],
        "operation": "insert",
        "timestamp": 1.5,
        "client_id": "x",
        "old_record": None,
        "new_record": {"id": 2},
    }
    request = SyncRequest("x", {"users": -1}, {"users": [change]}, {"users": {"x": 4}, "nothing": {}})  # type: ignore[list-item]
    response = server.sync_engine._handle_sync_request(request)
    assert [(one.primary_key, one.operation, one.new_data) for one in response.server_changes["users"]] == [
        ((1,), "update", {"id": 1, "name": "a"}),
        ((2,), "update", {"id": 2}),
    ]
    assert response.server_changes["nothing"] == []
    assert response.version_vectors["users"] == {"x": 5}
    assert type(response.server_changes["users"][0].timestamp) is float
    assert set(response.to_dict()) == {
        "server_changes",
        "conflicts",
        "success",
        "error_message",
        "current_change_ids",
        "version_vectors",
    }
    text = json.dumps(request.to_dict())
    answer = json.loads(server.handle_sync_request(text))
    assert len(answer["server_changes"]["users"]) == 2
    assert server.get_client_info("x")["sync_count"] == 1
    wrong = SyncRequest("x", {"nothing": -1}, {"nothing": [change]}, {})  # type: ignore[list-item]
    with pytest.raises(ValueError, match="nothing"):
        server.sync_engine._handle_sync_request(wrong)


def test_engines_without_parts() -> None:
    """Construction with nothing, one database on both sides, one tracker on both sides."""
    engine = SyncEngine(None, None)
    assert engine.server_id == "server"
    assert engine.client_sync_states == {}
    assert isinstance(engine.network, NetworkSimulator)
    engine.get_or_create_client_state("c")
    assert engine._handle_sync_request(SyncRequest("c", {"t": -1}, {}, {})).server_changes == {"t": []}
    database, tracker = Database(schema()), ChangeTracker()
    engine = SyncEngine(database, tracker)
    tracker.record_change("users", (1,), "insert", None, {"id": 1}, "c")
    request = engine.create_sync_request("c", ["users"], database, tracker)
    response = engine.process_sync_request(request)
    assert engine.process_sync_response("c", response, database, tracker) == (True, None)
    assert database.query("users") == [{"id": 1}]
    assert copy.deepcopy(engine).client_sync_states.keys() == {"c"}


def test_databases_of_a_programs_own_class(server: SyncServer) -> None:
    """They are reached through their public methods only."""
    calls = []

    class Mine(Database):
        def insert(self, table_name: str, record: Any, *rest: Any, **named: Any) -> Any:
            calls.append(("insert", table_name))
            return super().insert(table_name, record, *rest, **named)

        def update(self, table_name: str, record: Any, *rest: Any, **named: Any) -> Any:
            calls.append(("update", table_name))
            return super().update(table_name, record, *rest, **named)

        def delete(self, table_name: str, primary_key_values: Any, *rest: Any, **named: Any) -> None:
            calls.append(("delete", table_name))
            super().delete(table_name, primary_key_values, *rest, **named)

    client = client_of(server)
    client.database = Mine(server.database.schema)
    server.insert("users", {"id": 1})
    assert client.sync()
    server.update("users", {"id": 1, "name": "x"})
    assert client.sync()
    server.delete("users", (1,))
    assert client.sync()
    assert calls == [("insert", "users"), ("update", "users"), ("delete", "users")]
    applied = []
    server.sync_engine._apply_server_change = lambda database, table, change: applied.append(change.primary_key)
    server.insert("users", {"id": 5})
    assert client.sync()
    assert applied == [(5,)]


def test_manual_sync(server: SyncServer) -> None:
    """Rows by key, in either direction; single bad rows are left out."""
    other = Database(schema())
    other.insert("users", {"id": 1, "name": "mine"})
    other.insert("users", {"id": 9})
    server.insert("users", {"id": 1, "name": "server"})
    server.insert("users", {"id": 2})
    register_server_changes_with_client(other, server.database, "users", "c")
    assert rows(other) == [{"id": 1, "name": "server"}, {"id": 2}, {"id": 9}]
    assert other.tables["users"].change_log[-1]["client_id"] == "c"
    register_client_changes_with_server(other, server.database, "users")
    assert len(rows(server)) == 3
    narrow = Database(DatabaseSchema({"users": TableSchema("users", [Column("id", int, primary_key=True)])}))
    register_server_changes_with_client(narrow, server.database, "users", "c")
    assert rows(narrow) == [{"id": 2}, {"id": 9}]
    register_server_changes_with_client(other, other, "users", "c")
    with pytest.raises(ValueError, match="nothing"):
        register_server_changes_with_client(other, server.database, "nothing", "c")


def test_a_server_answers_text(server: SyncServer) -> None:
    """It counts its clients and puts its own database and manager to use."""
    client = client_of(server)
    client.insert("users", {"id": 1})
    request = client.sync_engine.create_sync_request("new", ["users"], client.database, client.change_tracker)
    server.sync_engine.database = None
    server.sync_engine.conflict_resolver = None
    assert json.loads(server.handle_sync_request(request))["success"] is True
    assert server.sync_engine.database is server.database
    assert server.sync_engine.conflict_resolver == server.conflict_manager.resolve_conflict
    info = server.get_client_info("new")
    assert info is server.connected_clients["new"]
    assert (info["sync_count"], info["last_sync_time"] > 0) == (1, True)
    assert server.get_client_info("nobody") == {}
    assert server.get_client_info() is server.connected_clients
    assert client.sync()
    assert server.get_client_info("c1")["sync_count"] == 1
    server.register_client("c1")
    assert server.get_client_info("c1")["sync_count"] == 0


def test_a_sync_in_progress_is_not_waited_for(server: SyncServer) -> None:
    """`False` at once; an exception leaves nothing in progress."""
    client = client_of(server)
    client.sync_in_progress = True
    assert client.sync() is False
    client.sync_in_progress = False
    seen = []

    def send(data: str) -> str:
        seen.append(client.sync())
        return data

    server.sync_engine.network.send = send
    assert client.sync() is True
    assert seen == [False, False]
    server.sync_engine.network.send = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        client.sync()
    assert client.sync_in_progress is False
    assert client.sync_lock.acquire(blocking=False)
    client.server_connected = False
    assert client.sync() is False


def test_a_change_made_while_the_answer_is_on_its_way(server: SyncServer) -> None:
    """It is neither overwritten nor taken for one that the server knows."""
    server.insert("users", {"id": 1, "name": "old"})
    client = client_of(server)
    assert client.sync()
    server.update("users", {"id": 1, "name": "server"})
    before = server.sync_engine.network.send
    sends = []

    def send(data: str) -> Any:
        sends.append(data)
        if len(sends) == 2:
            client.update("users", {"id": 1, "name": "client"})
        return before(data)

    server.sync_engine.network.send = send
    assert client.sync()
    assert client.get("users", (1,)) == {"id": 1, "name": "client"}
    assert client.sync()
    assert both(server, client) == [{"id": 1, "name": "client"}]
    assert len(server.conflict_audit_log.conflicts) == 1


def test_clients_in_threads(server: SyncServer) -> None:
    """They sync side by side and come to the same."""
    clients = [client_of(server, f"c{number}") for number in range(4)]

    def work(number: int) -> None:
        for step in range(40):
            clients[number].insert("users", {"id": number * 1000 + step, "v": [step]})
            if step % 5 == 0:
                assert clients[number].sync()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients * 2:
        assert client.sync()
    assert len(both(server, *clients)) == 160


def test_unsent_changes_are_never_dropped(server: SyncServer) -> None:
    """Those that were acknowledged are, above the limit."""
    client = client_of(server)
    client.change_tracker.max_history_size = 5
    for number in range(20):
        client.insert("users", {"id": number})
    assert len(client.change_tracker.changes["users"]) == 20
    assert client.sync()
    client.insert("users", {"id": 20})
    assert [change.id for change in client.change_tracker.changes["users"]] == [16, 17, 18, 19, 20]
    assert client.sync()
    assert len(both(server, client)) == 21


def test_status(server: SyncServer) -> None:
    """What a client tells of itself."""
    client = client_of(server)
    status = client.get_sync_status()
    assert status == {
        "client_id": "c1",
        "connected": True,
        "last_sync_time": 0,
        "sync_in_progress": False,
        "power_mode": "BATTERY_NORMAL",
        "compression_level": "HIGH",
        "schema_version": 1,
    }
    assert client.sync()
    assert client.get_sync_status()["last_sync_time"] == client.last_sync_time > 0
    assert client.upgrade_schema(1) is True
    assert client.upgrade_schema(2) is False
    assert client.sync(["users"]) is True
    client.disconnect_from_server()
    assert client.get_sync_status()["connected"] is False


def test_nothing_is_printed(server: SyncServer, capsys: pytest.CaptureFixture[str]) -> None:
    """On no step of a sync."""
    client = client_of(server)
    client.insert("users", {"id": 1})
    server.insert("users", {"id": 1})
    assert client.sync()
    register_server_changes_with_client(client.database, server.database, "users", "c")
    assert capsys.readouterr() == ("", "")
    assert simulate_conflict_resolution() is True
    assert VersionVector("a").vector == {"a": 0}
