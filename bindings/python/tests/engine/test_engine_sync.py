"""Replicas and a server in one process: conflicts, rejected mutations, permissions, subscriptions, migrations."""

from __future__ import annotations

import time
from typing import Any

import pytest
from syncdb.engine import (
    ConflictError,
    Field,
    InvalidError,
    Lineage,
    Meeting,
    NotFoundError,
    Permission,
    Policy,
    Schema,
    Step,
    SyncDb,
    SyncServer,
)
from syncdb.engine.migration import dry_run, plan

TRIPS = Schema(
    "trips",
    {
        "id": int,
        "owner": str,
        "title": str,
        "notes": Field(str, default=""),
        "likes": Field(int, default=0),
        "tags": list[str],
    },
    key="id",
    unique=["title"],
)


def longer(meeting: Meeting) -> str:
    """The longer of two texts."""
    both: list[str] = [meeting.server, meeting.client]
    return max(both, key=lambda text: (len(text), text))


def trip(number: int, **columns: Any) -> dict[str, Any]:
    return {"id": number, "owner": "anna", "title": f"trip {number}", "tags": [], **columns}


def pair(**options: Any) -> tuple[SyncServer, SyncDb, SyncDb]:
    """A server with one trip, and two replicas that have it."""
    cloud = SyncServer([TRIPS], **options)
    cloud.insert("trips", trip(1))
    phone, laptop = SyncDb("phone"), SyncDb("laptop")
    for one in (phone, laptop):
        one.sync(cloud)
    return cloud, phone, laptop


def test_replicas_converge_and_a_conflict_is_explained_and_reverted() -> None:
    """At the server, and asked for by a replica."""
    cloud, phone, laptop = pair()
    phone.update("trips", 1, {"title": "Oulu"})
    time.sleep(0.005)  # stamps are in milliseconds
    laptop.update("trips", 1, {"title": "Turku"})
    assert phone.sync(cloud).conflicts == []
    report = laptop.sync(cloud)
    [entry] = report.conflicts
    assert (entry.table, entry.key, entry.column, entry.base) == ("trips", 1, "title", "trip 1")
    assert (entry.server, entry.client, entry.result) == ("Oulu", "Turku", "Turku")
    assert (entry.rule, entry.winner, entry.server_replica, entry.replica) == (
        "last_write_wins",
        "client",
        "phone",
        "laptop",
    )
    assert report.outcomes == {"resolved": 1}
    assert "keeps the client's" in str(entry)
    assert cloud.explain("trips", 1).columns[1].replica == "laptop"
    assert cloud.explain("trips", 2).presence == "unknown"

    [back] = cloud.revert(entry.id)
    assert (back.reverts, back.result) == (entry.id, "Oulu")
    with pytest.raises(ConflictError, match="reverted before"):
        cloud.revert(entry.id)
    phone.sync(cloud)
    laptop.sync(cloud)
    assert [one.get("trips", 1)["title"] for one in (phone, laptop, cloud)] == ["Oulu"] * 3  # type: ignore[index]
    laptop.revert(back.id)
    laptop.sync(cloud)
    assert cloud.get("trips", 1)["title"] == "Turku"  # type: ignore[index]
    assert len(cloud.conflicts(table="trips", rule="revert")) == 2
    assert [found.id for found in cloud.conflicts(winner="client", rule="last_write_wins", replica="phone")] == [
        entry.id
    ]
    with pytest.raises(NotFoundError):
        cloud.revert("9999.0")
    with pytest.raises(InvalidError, match="no entry"):
        cloud.revert("x")


def test_policies_resolve_column_by_column() -> None:
    """Counters add up, sets unite, and a function of the program decides."""
    policy = Policy(
        columns={"likes": "counter", "tags": {"set": "add_wins"}, "notes": {"custom": "longer"}, "title": "server_wins"}
    )
    cloud, phone, laptop = pair(policies={"trips": policy}, merge_functions={"longer": longer})
    phone.increment("trips", 1, "likes")
    phone.add_to_set("trips", 1, "tags", "sea")
    phone.update("trips", 1, {"notes": "long notes", "title": "A"})
    laptop.increment("trips", 1, "likes", 5)
    with laptop.transaction() as tx:
        tx.add_to_set("trips", 1, "tags", "ice")
        tx.update("trips", 1, {"notes": "short", "title": "B"})
    for one in (phone, laptop, phone):
        assert one.sync(cloud).converged
    want = trip(1, likes=6, tags=["ice", "sea"], notes="long notes", title="A")
    assert cloud.get("trips", 1) == phone.get("trips", 1) == laptop.get("trips", 1) == want
    [entry] = cloud.conflicts(column="notes")
    assert (entry.rule, entry.winner) == ("custom:longer", "server")
    with pytest.raises(InvalidError, match="is of the key"):
        SyncServer([TRIPS], policies={"trips": {"columns": {"id": "max"}}})
    with pytest.raises(InvalidError, match="strategy"):
        Policy("coin")


def test_a_merge_function_that_fails_rejects_the_mutation() -> None:
    """And one that writes is refused, where it would wait for itself forever."""
    cloud: Any = None

    def writes(meeting: Meeting) -> str:
        cloud.insert("trips", trip(9))
        return str(meeting.client)

    policy = Policy(columns={"notes": {"custom": "bad"}, "title": {"custom": "writes"}})
    functions = {"bad": lambda _: 1 / 0, "writes": writes}
    cloud, phone, laptop = pair(policies={"trips": policy}, merge_functions=functions)
    phone.update("trips", 1, {"notes": "a", "title": "a"})
    phone.sync(cloud)
    laptop.update("trips", 1, {"notes": "b"})
    laptop.update("trips", 1, {"owner": "ben"})
    laptop.sync(cloud)
    [rejected] = laptop.rejected()
    assert "ZeroDivisionError" in rejected.message
    laptop.discard(rejected.id)
    laptop.sync(cloud)
    laptop_title = SyncDb("third")
    laptop_title.sync(cloud)
    phone.update("trips", 1, {"title": "c"})
    phone.sync(cloud)
    laptop_title.update("trips", 1, {"title": "d"})
    laptop_title.sync(cloud)
    assert "may not write" in laptop_title.rejected()[0].message
    assert cloud.count("trips") == 1


def test_a_rejected_mutation_is_mended_retried_or_discarded() -> None:
    """And nothing of it is lost meanwhile."""
    cloud, phone, _ = pair()
    phone.insert("trips", trip(2, title="trip 1"))
    assert phone.queued()[0].edits[0].action == "insert"
    assert phone.sync(cloud).outcomes == {"rejected": 1}
    [rejected] = phone.rejected()
    assert (rejected.code, rejected.edits[0].columns["title"]) == ("conflict", "trip 1")
    assert phone.get("trips", 2) is None
    assert phone.explain("trips", 2).presence == "rejected"
    phone.retry(rejected.id)
    phone.sync(cloud)
    [again] = phone.rejected()
    with phone.edit_rejected(again.id, repeat=True) as tx:
        tx.update("trips", 2, {"title": "trip 2"})
    assert phone.rejected() == []
    assert phone.sync(cloud).outcomes == {"applied": 1}
    assert cloud.get("trips", 2)["title"] == "trip 2"  # type: ignore[index]
    with pytest.raises(NotFoundError):
        phone.discard(again.id)


def test_permissions_and_subscriptions_bound_what_comes() -> None:
    """By principal, in rows and columns."""

    def decide(principal: str | None, table: str) -> Permission | None:
        if principal is None or table != "trips":
            return None
        return Permission("owner == $me", columns=["owner", "title", "tags"], params={"me": principal})

    cloud, _, _ = pair(permissions=decide)
    cloud.insert("trips", trip(2, owner="ben", notes="secret"))
    anna, ben = SyncDb("anna"), SyncDb("ben")
    anna.sync(cloud, principal="anna")
    ben.sync(cloud, principal="ben")
    assert [row["id"] for row in anna.query("trips")] == [1]
    assert ben.get("trips", 2)["title"] == "trip 2"  # type: ignore[index]
    assert not ben.get("trips", 2)["notes"]  # type: ignore[index]
    ben.update("trips", 2, {"owner": "anna"})
    ben.sync(cloud, principal="ben")
    assert len(ben.rejected()) == 1
    some = SyncDb("some")
    some.subscribe("mine", "trips", "id > $least", columns=["title"], params={"least": 1})
    some.sync(lambda request: cloud.handle(request, principal="ben"))
    assert [row["title"] for row in some.query("trips")] == ["trip 2"]
    [state] = some.subscriptions()
    assert (state.name, state.filter, state.columns, state.cursor is not None) == ("mine", "id > 1", ["title"], True)
    assert some.unsubscribe("mine")


def test_a_migration_reaches_old_replicas_both_ways() -> None:
    """Each sees the columns of its version."""
    people = Schema("people", {"id": int, "name": str, "cents": int}, key="id")
    scripts = {"euros": (lambda cents: cents / 100, lambda euros: round(euros * 100))}
    first = Lineage([people], scripts=scripts)
    second = first.then(
        Step.split_column("people", "name", {"first": str, "last": str}, " "),
        Step.script("people", "cents", {"euros": float}, "euros"),
        Step.add_column("people", "mail", Field(str, nullable=True)),
    )
    cloud = SyncServer(lineage=first)
    old = SyncDb("old", lineage=first)
    old.insert("people", {"id": 1, "name": "Aino Korhonen", "cents": 250})
    old.sync(cloud)
    report = dry_run(cloud, second)
    assert (report["people"]["rows"], report["people"]["whole"]) == (1, 1)
    cloud.deploy(second)
    new = SyncDb("new", lineage=second)
    new.sync(cloud)
    assert new.get("people", 1) == {"id": 1, "first": "Aino", "last": "Korhonen", "euros": 2.5, "mail": None}
    new.update("people", 1, {"last": "Virtanen", "euros": 3.0})
    new.sync(cloud)
    old.sync(cloud)
    assert old.get("people", 1) == {"id": 1, "name": "Aino Virtanen", "cents": 300}
    old.update("people", 1, {"name": "Aino Laine"})
    old.sync(cloud)
    new.sync(cloud)
    assert new.get("people", 1)["last"] == "Laine"  # type: ignore[index]
    assert [(use["version"], use["replicas"]) for use in cloud.versions()] == [(1, 1), (2, 1)]
    with cloud.snapshot(), pytest.raises(ConflictError, match="in use"):
        cloud.deploy(second)
    assert Lineage.from_json(second.to_json(), scripts=scripts).latest == 2
    assert str(second.steps(2)[0]) == "split column `name` of `people` into `first`, `last`"
    with pytest.raises(NotFoundError, match="version 3"):
        second.then(Step.remove_column("people", "nope"))


def test_steps_are_found_between_schemas() -> None:
    """With what each would lose."""
    before = Schema("t", {"id": int, "a": int}, key="id")
    after = Schema("t", {"id": int, "a": str, "b": Field(int, nullable=True)}, key="id")
    found = [(str(step), verdict) for step, verdict, _ in plan([before], [after])]
    assert ("change column `a` of `t` to text", "safe") in found
    assert len(found) == 2


def test_an_exception_of_a_transport_comes_through() -> None:
    """As it was raised, and what was edited stays."""
    cloud, phone, _ = pair()
    phone.update("trips", 1, {"notes": "x"})

    def broken(_: bytes) -> bytes:
        raise LookupError("no way")

    with pytest.raises(LookupError, match="no way"):
        phone.sync(broken)
    with pytest.raises(TypeError, match="answers with the bytes"):
        phone.sync(lambda _: "text")  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="Client"):
        phone.sync("http://localhost")  # type: ignore[arg-type]
    assert phone.pending == 1
    assert phone.sync(cloud).converged


def test_operations_wait_for_the_radio() -> None:
    """Until they have run, in order of priority."""
    phone = SyncDb("phone", tables=[TRIPS])
    phone.defer("upload", b"picture", priority="low")
    phone.defer("call", b"112", priority="critical")
    with phone.transaction() as tx:
        tx.insert("trips", trip(1))
        tx.defer("mail")
    assert phone.waiting().is_urgent
    ran: list[str] = []

    def run(operation: Any) -> None:
        ran.append(operation.name)
        if operation.name == "mail":
            raise OSError("no net")

    finished, failed = phone.run_deferred(run)
    assert (ran, finished) == (["call", "mail", "upload"], 2)
    assert [(type(error), str(error)) for _, error in failed] == [(OSError, "no net")]
    [left] = phone.deferred()
    assert (left.name, left.priority) == ("mail", "medium")
    assert phone.finish_deferred(left.id)
    assert not phone.finish_deferred(left.id)
