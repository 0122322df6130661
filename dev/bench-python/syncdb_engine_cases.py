"""`syncdb.engine`: rows of one replica on their way to a server and on to another replica."""

from __future__ import annotations

import json
from typing import Any

from bench_case import Case
from syncdb.engine import Schema, SyncDb, SyncServer

NOTES = Schema("notes", {"id": int, "title": str, "likes": int, "score": float, "done": bool}, key="id")
TABLE = "notes"

Row = dict[str, Any]


def row(at: int, turn: int) -> Row:
    """A row that differs from turn to turn."""
    return {"id": at, "title": f"note {at}", "likes": turn, "score": at / 4, "done": turn % 2 == 0}


class PlainServer:
    """Rows, and the order in which they changed."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.changed: dict[int, int] = {}
        self.position = 0

    def handle(self, request: str) -> str:
        """Takes changes, and answers with what the replica lacks."""
        message = json.loads(request)
        for change in message["changes"]:
            self.position += 1
            self.rows[change["id"]] = change
            self.changed.pop(change["id"], None)
            self.changed[change["id"]] = self.position
        since = message["since"]
        own = {change["id"] for change in message["changes"]}
        lacking = []
        for key, position in reversed(self.changed.items()):
            if position <= since:
                break
            if key not in own:
                lacking.append(self.rows[key])
        return json.dumps({"position": self.position, "rows": lacking})


class PlainReplica:
    """Rows, and those that the server does not have yet."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.pending: dict[int, Row] = {}
        self.position = 0

    def upsert(self, given: Row) -> None:
        """Keeps a copy of a row, and queues it."""
        copy = dict(given)
        self.rows[given["id"]] = copy
        self.pending[given["id"]] = copy

    def sync(self, server: PlainServer) -> None:
        """One request and its answer."""
        request = json.dumps({"since": self.position, "changes": list(self.pending.values())})
        answer = json.loads(server.handle(request))
        self.pending.clear()
        for found in answer["rows"]:
            self.rows[found["id"]] = found
        self.position = answer["position"]


class Ours:
    """A phone that changes all rows, and a laptop that gets them."""

    def __init__(self, count: int) -> None:
        self.count, self.turn = count, 0
        self.server = SyncServer([NOTES])
        self.phone, self.laptop = SyncDb("phone", tables=[NOTES]), SyncDb("laptop", tables=[NOTES])

    def go(self) -> None:
        """One turn."""
        self.turn += 1
        with self.phone.transaction() as edit:
            for at in range(self.count):
                edit.upsert(TABLE, row(at, self.turn))
        self.phone.sync(self.server)
        self.laptop.sync(self.server)

    def found(self) -> list[Row]:
        """What the laptop has."""
        return self.laptop.query(TABLE, order_by="id")


class Plain:
    """The same by `PlainReplica`s."""

    def __init__(self, count: int) -> None:
        self.count, self.turn = count, 0
        self.server = PlainServer()
        self.phone, self.laptop = PlainReplica(), PlainReplica()

    def go(self) -> None:
        """One turn."""
        self.turn += 1
        for at in range(self.count):
            self.phone.upsert(row(at, self.turn))
        self.phone.sync(self.server)
        self.laptop.sync(self.server)

    def found(self) -> list[Row]:
        """What the laptop has."""
        return [self.laptop.rows[key] for key in sorted(self.laptop.rows)]


def cases() -> list[Case]:
    """One row, where a sync costs more than what it carries, and many."""
    made = []
    for count in (1, 1_000):
        ours, plain = Ours(count), Plain(count)

        def check(ours: Ours = ours, plain: Plain = plain) -> None:
            ours.go()
            plain.go()
            if [{**one, "likes": 0, "done": False} for one in ours.found()] != [
                {**one, "likes": 0, "done": False} for one in plain.found()
            ] or len({one["likes"] for one in ours.found()}) != 1:
                raise AssertionError("the replicas differ")

        made.append(
            Case(
                f"syncdb engine SyncDb.sync {count:,} to a server and another replica",
                ours.go,
                plain.go,
                operations=count,
                bulk=count > 1,
                check=check,
            )
        )
    return made
