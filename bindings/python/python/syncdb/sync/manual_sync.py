"""Copies of whole tables from one database into another, without a protocol."""

from __future__ import annotations

from contextlib import suppress

from tandemdb._native import syncdb as native

from syncdb.db.database import Database
from syncdb.sync.change_tracker import ChangeRecord, ChangeTracker, VersionVector

__all__ = [
    "ChangeRecord",
    "ChangeTracker",
    "Database",
    "VersionVector",
    "register_client_changes_with_server",
    "register_server_changes_with_client",
]


def _copy_rows(source: Database, target: Database, table_name: str, client_id: str) -> None:
    """Puts every row of a table into another database; rows that cannot be put are left out."""
    if source.schema.get_table(table_name) is None:
        raise ValueError(f"Table {table_name} does not exist")
    changes = native.rows_lacking(source, table_name, None, {}, set(), client_id, 0)
    # A target without the table can take none of the rows.
    with suppress(ValueError):
        native.put_changes(target, table_name, changes)


def register_server_changes_with_client(
    client_db: Database, server_db: Database, table_name: str, client_id: str
) -> None:
    """Puts every row of the server's table into the client's, logged there as of `client_id`."""
    _copy_rows(server_db, client_db, table_name, client_id)


def register_client_changes_with_server(
    client_db: Database, server_db: Database, table_name: str, server_id: str = "server"
) -> None:
    """Puts every row of the client's table into the server's, logged there as of `server_id`."""
    _copy_rows(client_db, server_db, table_name, server_id)
