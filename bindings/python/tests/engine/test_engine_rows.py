"""Rows of `syncdb.engine`: values, queries, transactions, snapshots, watches, files."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional

import pytest
from syncdb.engine import (
    Change,
    ClosedError,
    ConflictError,
    Field,
    InvalidError,
    NotFoundError,
    Schema,
    SyncDb,
    SyncServer,
)

NOTES = Schema("notes", {"id": int, "text": str, "done": Field(bool, default=False)}, key="id", indexes=["text"])
THINGS = Schema(
    "things",
    {
        "id": str,
        "number": Optional[float],
        "payload": Optional[bytes],
        "at": Optional[dt.datetime],
        "day": Optional[dt.date],
        "key": Optional[uuid.UUID],
        "price": Optional[Decimal],
        "tags": Field(list[int], nullable=True),
        "more": Field(dict, nullable=True),
        "any": Field(object, nullable=True),
    },
    key="id",
)


def db() -> SyncDb:
    return SyncDb("phone", tables=[NOTES, THINGS])


def test_values_come_back_as_they_went_in() -> None:
    """Of every type that a column may have."""
    row = {
        "id": "a",
        "number": 2.5,
        "payload": b"\x00\xff",
        "at": dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.timezone.utc),
        "day": dt.date(1969, 12, 31),
        "key": uuid.UUID(int=7),
        "price": Decimal("12.340"),
        "tags": [1, 2],
        "more": {"x": {"y": [None, True, "z", 1.5]}},
        "any": [dt.date(2026, 1, 1), {"n": -(2**63)}],
    }
    one = db()
    one.insert("things", row)
    assert one.get("things", "a") == row
    assert one.query("things", "day == date '1969-12-31' and at == timestamp '2026-01-02T03:04:05.000678Z'") == [row]
    assert one.query("things", "price is not null and key == uuid '00000000-0000-0000-0000-000000000007'") == [row]
    assert str(one.query("things")[0]["price"]) == "12.340"
    paris = dt.timezone(dt.timedelta(hours=1))
    one.update("things", "a", {"at": dt.datetime(2026, 1, 1, tzinfo=paris)})
    assert one.get("things", "a")["at"] == dt.datetime(2025, 12, 31, 23, tzinfo=dt.timezone.utc)  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        ({"any": 2**63}, OverflowError, "table 'things', column 'any': an integer has 64 bits"),
        ({"any": [1, {"x": {1, 2}}]}, TypeError, "column 'any[1].x': {1, 2} is of the type set"),
        ({"any": dt.datetime(2026, 1, 1)}, ValueError, "has no time zone"),
        ({"any": "\ud800"}, ValueError, "surrogate"),
        ({"any": {1: 2}}, TypeError, "text keys, 1 is none"),
        ({"number": "x"}, InvalidError, "number"),
        ({"nunber": 1.0}, InvalidError, "nunber"),
        (["id"], TypeError, "a row is a dict"),
    ],
)
def test_a_value_that_does_not_fit_is_named(value: Any, error: type[Exception], said: str) -> None:
    """With its table, column and place in it."""
    one = db()
    with pytest.raises(error) as raised:
        one.insert("things", {"id": "a", **value} if isinstance(value, dict) else value)
    assert said in str(raised.value)
    assert one.count("things") == 0


def test_deep_nesting_is_refused() -> None:
    """Not followed until the stack ends."""
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(ValueError, match="nested deeper"):
        db().insert("things", {"id": "a", "any": value})


def test_rows_are_written_and_queried() -> None:
    """By the common query language."""
    one = db()
    assert one.insert_many("notes", ({"id": at, "text": f"t{at % 3}"} for at in range(10))) == 10
    one.upsert("notes", {"id": 0, "text": "zero", "done": True})
    one.update("notes", 1, {"text": "one"})
    one.delete("notes", 2)
    assert one.get("notes", 2) is None
    assert one.get("notes", 0) == {"id": 0, "text": "zero", "done": True}
    found = one.query("notes", "text == $text", order_by="-id", limit=2, columns=["id"], params={"text": "t0"})
    assert found == [{"id": 9}, {"id": 6}]
    assert one.query("notes", {"text": "t1", "done": False}, order_by=["done", "-id"], offset=1) == [
        {"id": 4, "text": "t1", "done": False}
    ]
    grouped = {
        "from": "notes",
        "group_by": ["done"],
        "aggregates": [{"function": "count", "name": "n"}],
        "order": [{"path": "n"}],
    }
    assert one.query(grouped) == [{"done": True, "n": 1}, {"done": False, "n": 8}]
    assert (one.count("notes"), one.count("notes", "done == true")) == (9, 1)
    assert one.tables == ["notes", "things"]
    assert one.schema("notes").columns == ["id", "text", "done"]


def test_errors_say_what_and_where() -> None:
    """And are the exceptions that Python programs expect."""
    one = db()
    one.insert("notes", {"id": 1, "text": "a"})
    with pytest.raises(ConflictError, match="1"):
        one.insert("notes", {"id": 1, "text": "b"})
    with pytest.raises(NotFoundError) as missing:
        one.update("notes", 9, {"text": "b"})
    assert isinstance(missing.value, KeyError)
    assert "9" in str(missing.value)
    with pytest.raises(KeyError):
        one.query("nobody")
    with pytest.raises(ValueError, match="line 1, column"):
        one.query("notes", "text ==")
    with pytest.raises(InvalidError) as broken:
        one.insert("notes", {"id": "x", "text": 5})
    assert {path for path, _, _ in broken.value.violations} == {"id", "text"}
    with pytest.raises(TypeError, match="set"):
        Schema("t", {"id": set}, key="id")
    with pytest.raises(KeyError, match="nope"):
        Schema("t", {"id": int}, key="nope")


def test_transactions_see_their_own_edits_and_nobody_else() -> None:
    """And take effect as a whole."""
    one = db()
    one.insert("notes", {"id": 1, "text": "a"})
    with one.transaction() as tx:
        tx.insert("notes", {"id": 2, "text": "b"})
        tx.update("notes", 2, {"text": "c"})
        tx.delete("notes", 1)
        assert (tx.get("notes", 1), tx.get("notes", 2)) == (None, {"id": 2, "text": "c", "done": False})
        assert [row["id"] for row in tx.query("notes")] == [2]
        assert (tx.count("notes"), one.count("notes")) == (1, 1)
        assert one.get("notes", 1) is not None
    assert [row["id"] for row in one.query("notes")] == [2]
    assert len(one.queued()) == 2
    with pytest.raises(RuntimeError), one.transaction() as tx:
        tx.insert("notes", {"id": 3, "text": "x"})
        raise RuntimeError
    assert one.count("notes") == 1
    with pytest.raises(ClosedError):
        tx.commit()


def test_an_error_in_a_transaction_is_raised_at_its_line() -> None:
    """And leaves the rest of it as it was."""
    one = db()
    with one.transaction() as tx:
        tx.insert("notes", {"id": 1, "text": "a"})
        with pytest.raises(ConflictError):
            tx.insert("notes", {"id": 1, "text": "b"})
        with pytest.raises(NotFoundError):
            tx.delete("notes", 5)
    assert one.get("notes", 1) == {"id": 1, "text": "a", "done": False}


def test_a_transaction_does_not_write_over_what_others_wrote_meanwhile() -> None:
    """It raises, and can be run again."""
    one = db()
    one.insert("notes", {"id": 1, "text": "a"})
    with pytest.raises(ConflictError, match="run it again"), one.transaction() as tx:
        row = tx.get("notes", 1)
        assert row is not None
        one.update("notes", 1, {"text": "other"})
        assert tx.get("notes", 1) == row
        tx.insert("notes", {"id": 2, "text": row["text"]})
    assert one.count("notes") == 1


def test_a_snapshot_stays_as_it_is() -> None:
    """While writes go on."""
    one = db()
    one.insert("notes", {"id": 1, "text": "a"})
    with one.snapshot() as before:
        one.update("notes", 1, {"text": "b"})
        one.insert("notes", {"id": 2, "text": "c"})
        assert before.query("notes") == [{"id": 1, "text": "a", "done": False}]
        assert (before.count("notes"), before.get("notes", 2)) == (1, None)
    with pytest.raises(ClosedError):
        before.get("notes", 1)


def test_a_watch_may_write_and_ends_when_closed() -> None:
    """What its callback writes is told after it has returned, in order."""
    one = db()
    told: list[tuple[str, Any, Any]] = []
    depth = 0

    def callback(changes: list[Change] | None) -> None:
        nonlocal depth
        depth += 1
        assert depth == 1
        for change in changes or []:
            told.append((change.kind, change.key, change.row and change.row["text"]))
            if change.kind == "insert" and change.key < 3:
                one.insert("notes", {"id": change.key + 1, "text": "next"})
                one.get("notes", 1)
        depth -= 1

    with one.watch(callback, "notes") as watch:
        one.insert("notes", {"id": 1, "text": "a"})
        one.insert("things", {"id": "x"})
        one.update("notes", 1, {"text": "b"})
        one.delete("notes", 1)
    assert watch.closed
    one.insert("notes", {"id": 9, "text": "late"})
    assert told == [
        ("insert", 1, "a"),
        ("insert", 2, "next"),
        ("insert", 3, "next"),
        ("update", 1, "b"),
        ("delete", 1, None),
    ]


def test_a_callback_that_raises_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception goes where those of finalizers go."""
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    one = db()
    with one.watch(lambda _: 1 / 0):
        one.insert("notes", {"id": 1, "text": "a"})
    assert one.count("notes") == 1
    assert [entry.exc_type for entry in raised] == [ZeroDivisionError]


def test_a_query_is_followed() -> None:
    """By differences that lead from one result to the next."""
    one = db()
    rows = one.query("notes", "text like 'a%'", order_by="id")

    def callback(differences: list[tuple[str, int, dict[str, Any]]]) -> None:
        for kind, position, row in differences:
            if kind == "added":
                rows.insert(position, row)
            elif kind == "removed":
                del rows[position]
            else:
                rows[position] = row

    with one.watch_query(callback, "notes", "text like 'a%'", order_by="id"):
        for number, text in [(2, "ab"), (1, "ac"), (3, "b")]:
            one.insert("notes", {"id": number, "text": text})
        one.update("notes", 3, {"text": "ad"})
        one.update("notes", 2, {"text": "x"})
        one.update("notes", 1, {"done": True})
    assert rows == one.query("notes", "text like 'a%'", order_by="id")
    assert [row["id"] for row in rows] == [1, 3]


def test_threads_write_at_once() -> None:
    """And every write and every change is there."""
    one = db()
    seen: list[Any] = []
    with one.watch(lambda changes: seen.extend(change.key for change in changes or [])):

        def write(first: int) -> None:
            for at in range(50):
                one.insert("notes", {"id": first + at, "text": "x"})

        threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert one.count("notes") == 150
    assert sorted(seen) == sorted(row["id"] for row in one.query("notes"))


def test_ctrl_c_ends_what_takes_long() -> None:
    """In the middle of its rows, and nothing of it was done."""
    one = db()

    def rows() -> Iterator[dict[str, Any]]:
        for at in range(5000):
            if at == 4999:
                signal.raise_signal(signal.SIGINT)
            yield {"id": at, "text": "x"}

    with pytest.raises(KeyboardInterrupt):
        one.insert_many("notes", rows())
    assert one.count("notes") == 0
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    many = [{"id": at, "text": "x"} for at in range(100)] * 10_000
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        one.insert_many("notes", many)
    assert one.count("notes") == 0


def test_a_file_keeps_rows_and_what_waits(tmp_path: Path) -> None:
    """One writer at a time."""
    path = tmp_path / "phone.tdb"
    with SyncDb.open(path, "phone", tables=[NOTES]) as one:
        one.insert("notes", {"id": 1, "text": "a"})
        with pytest.raises(ConflictError):
            SyncDb.open(path)
    with pytest.raises(ClosedError):
        one.get("notes", 1)
    with SyncDb.open(path) as again:
        assert (again.name, again.pending, again.count("notes")) == ("phone", 1, 1)
        cloud = SyncServer([NOTES], path=tmp_path / "cloud.tdb")
        assert again.sync(cloud).converged
        assert cloud.save() > 0
        del cloud
    assert SyncServer(path=tmp_path / "cloud.tdb").query("notes") == [{"id": 1, "text": "a", "done": False}]
