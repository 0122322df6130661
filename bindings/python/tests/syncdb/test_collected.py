"""Cycles through native objects are garbage like others."""

import gc
import weakref
from typing import Any, Callable

import pytest
from common.core.storage import Index
from syncdb.compression.type_compressor import PayloadCompressor
from syncdb.db.database import Database, Table
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.sync.change_tracker import ChangeRecord, ChangeTracker, VersionVector

from vectordb import FeatureStore, Vector


class Marker:
    """Something whose end can be seen."""

    def one(self) -> int:
        """A default."""
        return 1


def schema(default: Any = None) -> TableSchema:
    """A key of any type and a column with a default."""
    return TableSchema("t", [Column("id", object, primary_key=True), Column("v", object, default=default)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Vector([1.0]),
        FeatureStore,
        lambda: Index("a"),
        lambda: Column("a", int),
        schema,
        lambda: Table(schema()),
        lambda: Database(DatabaseSchema({})),
        lambda: ChangeRecord(0, "t", (1,), "insert", 0.0, "c", None, None),
        ChangeTracker,
        lambda: VersionVector("c"),
        PayloadCompressor,
    ],
)
def test_a_cycle_through_an_attribute(make: Callable[[], Any]) -> None:
    """An object that knows itself."""
    made = make()
    made.marker = Marker()
    made.itself = made
    end = weakref.ref(made.marker)
    del made
    gc.collect()
    assert end() is None


def test_a_cycle_through_what_a_schema_has_read() -> None:
    """A default that knows the database."""
    marker = Marker()
    database = Database(DatabaseSchema({"t": schema(marker.one)}))
    database.insert("t", {"id": 1})
    marker.database = database  # type: ignore[attr-defined]
    end = weakref.ref(marker)
    del marker, database
    gc.collect()
    assert end() is None


def test_a_cycle_through_the_count_of_a_rows_changes() -> None:
    """A key that knows the table."""
    table, key = Table(schema()), Marker()
    table.insert({"id": key})
    table.delete((key,))
    table.change_log.clear()
    key.table = table  # type: ignore[attr-defined]
    end = weakref.ref(key)
    del table, key
    gc.collect()
    assert end() is None
