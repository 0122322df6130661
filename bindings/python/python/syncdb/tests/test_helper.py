"""Whether conflicts are resolved as they should be, for programs that check their installation."""

from __future__ import annotations

import time

from syncdb.db.database import Database
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.sync.change_tracker import ChangeRecord
from syncdb.sync.conflict_resolution import MergeFieldsResolver

__all__ = ["simulate_conflict_resolution"]


def simulate_conflict_resolution() -> bool:
    """Resolves an update with a resolver that merges fields; whether the listed fields are the client's."""
    columns = [Column("id", int, primary_key=True), Column("name", str), Column("email", str), Column("age", int)]
    database = Database(DatabaseSchema({"users": TableSchema("users", columns)}))
    server = database.insert("users", {"id": 1, "name": "Ann", "email": "ann@example.org", "age": 30})
    client = {"id": 1, "name": "Anna", "email": "anna@example.org", "age": 31}
    change = ChangeRecord(0, "users", (1,), "update", time.time(), "client", server, client)
    merged = MergeFieldsResolver({"users": ["name", "email"]}).resolve("users", change, database.get("users", (1,)))
    return merged == {"id": 1, "name": "Anna", "email": "anna@example.org", "age": 30}
