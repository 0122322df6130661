"""Writes between the detection of conflicts and the application of changes: none is lost without a conflict."""

import threading
from typing import Any, Optional

import pytest
from syncdb.client import SyncClient, SyncServer
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.sync.change_tracker import ChangeRecord
from syncdb.sync.conflict_resolution import ConflictResolver, ServerWinsResolver

Row = dict[str, Any]


@pytest.fixture
def server() -> SyncServer:
    """A row that clients may change."""
    columns = [Column("id", int, primary_key=True), Column("name", str), Column("v", int)]
    made = SyncServer(DatabaseSchema({"users": TableSchema("users", columns)}))
    made.insert("users", {"id": 1, "name": "", "v": 0})
    return made


def client_of(server: SyncServer, client_id: str) -> SyncClient:
    """A client that has the row."""
    client = SyncClient(server.database.schema, "mock://server", client_id, power_aware=False)
    client.sync_engine = server.sync_engine
    client.server_connected = True
    assert client.sync()
    return client


def in_thread(work: Any) -> None:
    """Does something in another thread, and waits for it."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


class Merge(ConflictResolver):
    """The client's name in the server's row; something may happen meanwhile."""

    def __init__(self, meanwhile: Any) -> None:
        self.meanwhile = meanwhile
        self.seen: list[int] = []

    def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Optional[Row]) -> Optional[Row]:
        """Notes which row it was asked about."""
        assert table_name == "users"
        assert server_record is not None
        assert client_change.new_data is not None
        self.seen.append(server_record["v"])
        self.meanwhile(len(self.seen))
        return {**server_record, "name": client_change.new_data["name"]}


def test_two_handlers_of_a_row_lose_neither_write(server: SyncServer) -> None:
    """One waits in its resolver while the other changes the row; it is asked again about the new row."""
    one = client_of(server, "one")
    server.update("users", {"id": 1, "name": "", "v": 1})
    other = client_of(server, "other")
    one.update("users", {"id": 1, "name": "a", "v": 0})
    other.update("users", {"id": 1, "name": "", "v": 2})
    waits, may_go_on = threading.Event(), threading.Event()

    def meanwhile(call: int) -> None:
        if call == 1:
            waits.set()
            assert may_go_on.wait(10)

    resolver = Merge(meanwhile)
    server.register_conflict_resolver("users", resolver)
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(one.sync()))
    thread.start()
    assert waits.wait(10)
    assert other.sync()
    may_go_on.set()
    thread.join(10)
    assert (outcome, resolver.seen) == ([True], [1, 2])
    assert other.sync()
    assert server.get("users", (1,)) == one.get("users", (1,)) == other.get("users", (1,))
    assert server.get("users", (1,)) == {"id": 1, "name": "a", "v": 2}


def test_a_row_that_changes_after_detection_is_in_conflict(server: SyncServer) -> None:
    """Also without a conflict before, for inserts and deletes as well."""
    server.insert("users", {"id": 2, "v": 0})
    client = client_of(server, "one")
    client.update("users", {"id": 1, "name": "a", "v": 0})
    client.delete("users", (2,))
    client.insert("users", {"id": 3, "v": 0})
    server.set_default_conflict_resolver(ServerWinsResolver())
    apply = server.sync_engine._apply_client_changes
    late: list[Row] = [{"id": 1, "name": "", "v": 7}, {"id": 2, "v": 7}, {"id": 3, "v": 7}]

    def write() -> None:
        for row in late:
            put = server.update if server.get("users", (row["id"],)) else server.insert
            put("users", row)

    def after_detection(*args: Any) -> None:
        if not server.get_conflict_history():
            in_thread(write)
        apply(*args)

    server.sync_engine._apply_client_changes = after_detection
    assert client.sync()
    assert [conflict["primary_key"] for conflict in server.get_conflict_history()] == [(1,), (2,), (3,)]
    assert server.query("users") == late
    assert sorted(client.query("users"), key=lambda row: row["id"]) == late


def test_what_a_resolver_writes_itself_is_its_own(server: SyncServer) -> None:
    """It is asked once, and its answer stands."""
    client = client_of(server, "one")
    server.update("users", {"id": 1, "name": "", "v": 1})
    client.update("users", {"id": 1, "name": "a", "v": 0})
    resolver = Merge(lambda _: server.update("users", {"id": 1, "name": "", "v": 9}))
    server.register_conflict_resolver("users", resolver)
    assert client.sync()
    assert resolver.seen == [1]
    assert server.get("users", (1,)) == client.get("users", (1,)) == {"id": 1, "name": "a", "v": 1}


def test_a_row_that_never_rests_stays_the_servers(server: SyncServer) -> None:
    """The change is refused in the end, and the client told the row."""
    client = client_of(server, "one")
    server.update("users", {"id": 1, "name": "", "v": 1})
    client.update("users", {"id": 1, "name": "a", "v": 0})
    resolver = Merge(lambda call: in_thread(lambda: server.update("users", {"id": 1, "name": "", "v": 1 + call})))
    server.register_conflict_resolver("users", resolver)
    assert client.sync()
    row = {"id": 1, "name": "", "v": 1 + len(resolver.seen)}
    assert len(resolver.seen) > 2
    assert server.get("users", (1,)) == client.get("users", (1,)) == row
