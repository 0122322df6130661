"""What a server knows of a client while it handles one table of a request, and of the tables that take part."""

from __future__ import annotations

from typing import Any

from tandemdb._native import syncdb as native

from syncdb.db.database import Table

Key = tuple[Any, ...]
DatabaseLike = Any


class Exchange:
    """What the server knows of the client while it handles one table of a request."""

    __slots__ = (
        "client_id",
        "failed",
        "full",
        "known",
        "moved",
        "origin",
        "refused",
        "same_table",
        "seen",
        "table",
        "table_name",
        "written",
    )

    def __init__(self, client_id: str, table_name: str, table: Table | None, position: dict[str, Any]) -> None:
        self.client_id = client_id
        self.table_name = table_name
        self.table = table
        self.origin: str | None = position.get("client")
        # How many changes of the server's table the client has seen; `None`: nobody knows.
        self.known: int | None = None
        # Whether the client has to be told all rows: it knows none, or those of before a migration.
        self.full = True
        self.same_table = False
        if table is not None:
            origin = position.get("origin")
            if origin is not None and same_table(origin, table._stamps.origin):
                self.known = position.get("position")
                self.full = origin != table._stamps.origin
            self.same_table = self.origin is not None and self.origin == table._stamps.origin
        # Rows that this client wrote and whose arrival it may not know: key to the stamp of the write.
        self.written: dict[Key, int] = {}
        self.refused: list[str] = []
        # Keys of changes that could not be applied.
        self.failed: set[Key] = set()
        # The table as it was when conflicts were looked for, and the changes whose rows others have changed since.
        self.seen: native.Sighting | None = None
        self.moved: list[Any] = []


def table_of(database: DatabaseLike, name: str) -> Table | None:
    """A database's table if it is one of ours."""
    tables = getattr(database, "tables", None)
    table = tables.get(name) if isinstance(tables, dict) else None
    return table if isinstance(table, Table) and hasattr(table, "_stamps") else None


def has_table(database: DatabaseLike, name: str) -> bool:
    tables = getattr(database, "tables", None)
    if isinstance(tables, dict):
        return name in tables
    schema = getattr(database, "schema", None)
    return schema is not None and schema.get_table(name) is not None


def same_table(origin: str, other: str) -> bool:
    """Whether two origins are of one table, perhaps before and after a migration."""
    return origin.partition(".")[0] == other.partition(".")[0]


def renew_if_migrated(table: Table) -> None:
    """A table whose schema was replaced is new to every client: its rows may be others."""
    if table._synced_schema is not table.schema:
        table._synced_schema = table.schema
        table._stamps.renew()
