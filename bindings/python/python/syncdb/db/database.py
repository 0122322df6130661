"""Tables of rows, the database that holds them, and transactions on it.

The work is done by `TableMethods` and `DatabaseMethods` of the native module, on containers that are attributes here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from tandemdb._native import syncdb as native

from syncdb.db.schema import DatabaseSchema, TableSchema

__all__ = ["Database", "DatabaseSchema", "Table", "TableSchema", "Transaction"]

Row = dict[str, Any]
Key = tuple[Any, ...]
KeyLike = Any
DatabaseLike = Any


class Table(native.TableMethods):
    """Rows of one schema by primary key, with a log of their changes.

    Copies go in and copies come out. `records` and the other attributes are live.
    """

    def __init__(self, schema: TableSchema) -> None:
        """An empty table."""
        self.schema = schema
        self.records: dict[Key, Row] = {}
        self.last_modified: dict[Key, float] = {}
        self.change_log: list[dict[str, Any]] = []
        self.index_counter = 0
        self._stamps = native.RowStamps()
        # The schema of which clients know the rows.
        self._synced_schema = schema
        # What servers have told this table, by sync engine: origin and position of theirs, and the change id reported.
        self._known: dict[str, tuple[str, int, int]] = {}


class Database(native.DatabaseMethods):
    """Tables by name; all access to rows goes through here."""

    def __init__(self, schema: DatabaseSchema) -> None:
        """A database with an empty table for each in the schema."""
        self.schema = schema
        self.tables: dict[str, Table] = {}
        for table in schema.tables.values():
            self._create_table(table)

    def _create_table(self, table_schema: TableSchema) -> Table:
        """Makes an empty table and files it under its name."""
        table = Table(table_schema)
        self.tables[table_schema.name] = table
        return table

    def begin_transaction(self) -> Transaction:
        """A new transaction on this database."""
        return Transaction(self)

    def generate_client_id(self) -> str:
        """A new unique id."""
        return str(uuid.uuid4())


class _Undo:
    """One operation of a transaction: what takes it back, and what it made."""

    __slots__ = ("entry", "key", "modified", "new", "old", "operation", "table", "table_name")

    def __init__(self, operation: str, table_name: str, table: Table, key: Key) -> None:
        self.operation = operation
        self.table_name = table_name
        self.table = table
        self.key = key
        # The stored row is replaced by writes, never edited: it needs no copy.
        self.old = table.records.get(key)
        self.modified = table.last_modified.get(key)
        self.new: Row | None = None
        self.entry: dict[str, Any] | None = None

    def done(self, entries_before: int) -> None:
        """Notes what the operation made."""
        self.new = self.table.records.get(self.key)
        if self.table.index_counter > entries_before:
            for entry in reversed(self.table.change_log):
                if entry["id"] <= entries_before:
                    break
                if entry["client_id"] == "transaction" and entry["primary_key"] == self.key:
                    self.entry = entry
                    break

    def undo(self, order: list[Key] | None) -> None:
        """Puts the row back as it was, unless somebody else has changed it since."""
        table = self.table
        if table.records.get(self.key) is self.new:
            if self.old is None:
                table.records.pop(self.key, None)
                table.last_modified.pop(self.key, None)
            else:
                table.records[self.key] = self.old
                if self.modified is not None:
                    table.last_modified[self.key] = self.modified
                if self.new is None and order is not None:
                    _reorder(table.records, order)
            table._stamps.touch(self.key)
        if self.entry is not None:
            for at in range(len(table.change_log) - 1, -1, -1):
                if table.change_log[at] is self.entry:
                    del table.change_log[at]
                    break


def _reorder(records: dict[Key, Row], order: list[Key]) -> None:
    """Brings rows into an earlier order; rows that were not there come after."""
    rows = dict(records)
    records.clear()
    for key in order:
        if key in rows:
            records[key] = rows.pop(key)
    records.update(rows)


class Transaction:
    """Writes that can be taken back together. They apply at once and are visible to all.

    In a `with` block an exception rolls back; leaving normally keeps the changes.
    """

    def __init__(self, database: DatabaseLike) -> None:
        """A transaction on `database`; nothing happens yet."""
        self.database = database
        self.tables_snapshot: dict[str, Any] = {}
        self.operations: list[tuple[str, str, dict[str, Any]]] = []
        self.committed = False
        self.rolled_back = False
        self._undo: list[_Undo] = []
        self._orders: dict[str, list[Key]] = {}
        self._on_keep: Callable[[Transaction], None] | None = None

    def __enter__(self) -> Transaction:
        """The transaction itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Literal[False]:
        """Rolls back after an exception, else keeps the changes."""
        if not self.committed and not self.rolled_back:
            if exc_type is not None:
                self.rollback()
            else:
                self._keep()
        return False

    def _check_open(self) -> None:
        if self.committed or self.rolled_back:
            raise ValueError("Transaction is already completed")

    def _keep(self) -> None:
        """Tells who asked to know that the changes stay."""
        if self._on_keep is not None:
            self._on_keep(self)
            self._undo.clear()
            self._orders.clear()

    def _begin(self, operation: str, table_name: str, key: KeyLike) -> tuple[_Undo | None, int]:
        """What has to be known before an operation; nothing of a database that has no tables of ours."""
        tables = getattr(self.database, "tables", None)
        table = tables.get(table_name) if isinstance(tables, dict) else None
        if not isinstance(table, Table):
            return None, 0
        try:
            key = key(table) if callable(key) else tuple(key)
            undo = _Undo(operation, table_name, table, key)
        except (KeyError, TypeError):
            # The operation itself will refuse it.
            return None, 0
        if operation == "delete" and table_name not in self._orders and undo.old is not None:
            self._orders[table_name] = list(table.records)
        return undo, table.index_counter

    def _end(self, undo: _Undo | None, entries_before: int) -> None:
        if undo is not None:
            undo.done(entries_before)
            self._undo.append(undo)

    def insert(self, table_name: str, record: dict[str, Any]) -> dict[str, Any]:
        """Inserts a row through the database, and returns a copy of what was stored."""
        self._check_open()
        undo, before = self._begin("insert", table_name, lambda table: table._get_primary_key_tuple(record))
        result: dict[str, Any] = self.database.insert(table_name, record, "transaction")
        self._end(undo, before)
        self.operations.append(("insert", table_name, native.deepcopy(record)))
        return result

    def update(self, table_name: str, record: dict[str, Any]) -> dict[str, Any]:
        """Replaces a row through the database, and returns a copy of what was stored."""
        self._check_open()
        undo, before = self._begin("update", table_name, lambda table: table._get_primary_key_tuple(record))
        result: dict[str, Any] = self.database.update(table_name, record, "transaction")
        self._end(undo, before)
        self.operations.append(("update", table_name, native.deepcopy(record)))
        return result

    def delete(self, table_name: str, primary_key_values: KeyLike) -> None:
        """Removes a row through the database."""
        self._check_open()
        undo, before = self._begin("delete", table_name, primary_key_values)
        self.database.delete(table_name, primary_key_values, "transaction")
        self._end(undo, before)
        self.operations.append(("delete", table_name, {"primary_key_values": native.deepcopy(primary_key_values)}))

    def commit(self) -> None:
        """Ends the transaction; its changes stay."""
        self._check_open()
        self.committed = True
        self._keep()

    def rollback(self) -> None:
        """Takes back what the transaction did, and its entries in the change logs."""
        self._check_open()
        for undo in reversed(self._undo):
            undo.undo(self._orders.get(undo.table_name))
        self._undo.clear()
        self._orders.clear()
        self.rolled_back = True
