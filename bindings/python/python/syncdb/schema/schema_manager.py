"""Versions of a database's schema, plans that lead from one to another, and their application to databases in use."""

from __future__ import annotations

import copy
import datetime
import decimal
import json
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable

from tandemdb._native import syncdb as _native

from syncdb.db.schema import Column, DatabaseSchema, TableSchema

__all__ = [
    "Column",
    "ColumnChange",
    "DatabaseSchema",
    "MigrationPlan",
    "SchemaMigration",
    "SchemaMigrator",
    "SchemaSynchronizer",
    "SchemaVersionManager",
    "TableChange",
    "TableSchema",
]

RowFunction = Callable[[dict[str, Any], TableSchema], Any]

_TYPES: dict[str, type] = {
    known.__name__: known
    for known in (
        int,
        float,
        str,
        bool,
        bytes,
        bytearray,
        list,
        dict,
        tuple,
        set,
        frozenset,
        complex,
        object,
        type(None),
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        uuid.UUID,
    )
}
"""Types that plans may name; nothing that a plan says is evaluated."""

_CALLABLES: dict[str, Callable[[], Any]] = {
    "list": list,
    "dict": dict,
    "set": set,
    "time.time": time.time,
    "uuid.uuid4": uuid.uuid4,
    "datetime.datetime.now": datetime.datetime.now,
    "datetime.date.today": datetime.date.today,
}
"""Defaults that are called, as serialized plans name them."""

_CALLABLE_KEY = "$callable"


def _named_type(name: str) -> type:
    known = _TYPES.get(name) if isinstance(name, str) else None
    if known is None:
        raise ValueError(f"{name!r} is no type that a plan may name: expected one of {', '.join(_TYPES)}")
    return known


def _column_to_dict(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "data_type": getattr(column.data_type, "__name__", str(column.data_type)),
        "primary_key": column.primary_key,
        "nullable": column.nullable,
        "default": column.default,
    }


def _column_from_dict(data: dict[str, Any]) -> Column:
    default = data["default"]
    if isinstance(default, dict) and default.keys() == {_CALLABLE_KEY}:
        name = default[_CALLABLE_KEY]
        default = _CALLABLES.get(name) if isinstance(name, str) else None
        if default is None:
            raise ValueError(f"{name!r} is no default that a plan may name")
    return Column(data["name"], _named_type(data["data_type"]), data["primary_key"], data["nullable"], default)


def _name_of_default(default: Any) -> dict[str, str]:
    """How a serialized plan names what JSON has no form for."""
    for name, known in _CALLABLES.items():
        if default == known:
            return {_CALLABLE_KEY: name}
    raise TypeError(f"a default of type {type(default).__name__} cannot be serialized")


@dataclass
class SchemaMigration:
    """From which version to which, and why."""

    source_version: int
    target_version: int
    description: str
    timestamp: float = field(default_factory=lambda: time.time())

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dict."""
        return {
            "source_version": self.source_version,
            "target_version": self.target_version,
            "description": self.description,
            "timestamp": self.timestamp,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SchemaMigration:
        """The inverse of `to_dict`; without `timestamp` it is now."""
        timestamp = data["timestamp"] if "timestamp" in data else time.time()
        return cls(data["source_version"], data["target_version"], data["description"], timestamp)


@dataclass
class ColumnChange:
    """A column that is added, removed or modified."""

    operation: str
    column_name: str
    column_def: Column | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dict, the type by name."""
        result: dict[str, Any] = {"operation": self.operation, "column_name": self.column_name}
        if self.column_def is not None:
            result["column_def"] = _column_to_dict(self.column_def)
        return result

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ColumnChange:
        """The inverse of `to_dict`; `ValueError` for types that a plan may not name."""
        column = data.get("column_def")
        return cls(data["operation"], data["column_name"], None if column is None else _column_from_dict(column))


@dataclass
class TableChange:
    """A table that is added, removed or modified."""

    operation: str
    table_name: str
    column_changes: list[ColumnChange] = field(default_factory=list)
    table_schema: TableSchema | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dict, types by name."""
        result: dict[str, Any] = {
            "operation": self.operation,
            "table_name": self.table_name,
            "column_changes": [change.to_dict() for change in self.column_changes],
        }
        table = self.table_schema
        if table is not None:
            columns = [_column_to_dict(column) for column in table.columns]
            result["table_schema"] = {"name": table.name, "version": table.version, "columns": columns}
        return result

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableChange:
        """The inverse of `to_dict`; `ValueError` for types that a plan may not name."""
        changes = [ColumnChange.from_dict(change) for change in data.get("column_changes") or []]
        table = data.get("table_schema")
        if table is not None:
            columns = [_column_from_dict(column) for column in table["columns"]]
            table = TableSchema(table["name"], columns, table["version"])
        return cls(data["operation"], data["table_name"], changes, table)


@dataclass
class MigrationPlan:
    """All changes between two versions, and functions for the rows of some tables."""

    migration: SchemaMigration
    table_changes: list[TableChange] = field(default_factory=list)
    data_migrations: dict[str, RowFunction] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Migration and table changes as a dict; functions are left out."""
        return {
            "migration": self.migration.to_dict(),
            "table_changes": [change.to_dict() for change in self.table_changes],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MigrationPlan:
        """The inverse of `to_dict`; the plan has no functions."""
        changes = [TableChange.from_dict(change) for change in data["table_changes"]]
        return cls(SchemaMigration.from_dict(data["migration"]), changes)


class SchemaVersionManager:
    """The schemas that an application has had, by version, and the plans between them."""

    def __init__(self) -> None:
        self.schema_versions: dict[int, DatabaseSchema] = {}
        self.current_version = 1
        self.migration_plans: dict[tuple[int, int], MigrationPlan] = {}

    def register_schema(self, version: int, schema: DatabaseSchema) -> None:
        """Files a schema under its version; the highest version is the current one."""
        self.schema_versions[version] = schema
        self.current_version = max(self.current_version, version)

    def get_schema(self, version: int) -> DatabaseSchema | None:
        """The schema of that version, or `None`."""
        return self.schema_versions.get(version)

    def get_current_schema(self) -> DatabaseSchema | None:
        """The schema of the current version, or `None`."""
        return self.schema_versions.get(self.current_version)

    def register_migration_plan(self, plan: MigrationPlan) -> None:
        """Files a plan under its two versions."""
        self.migration_plans[plan.migration.source_version, plan.migration.target_version] = plan

    def get_migration_plan(self, source_version: int, target_version: int) -> MigrationPlan | None:
        """The plan registered for exactly these versions, or `None`."""
        return self.migration_plans.get((source_version, target_version))

    def can_migrate(self, source_version: int, target_version: int) -> bool:
        """Whether plans lead from one version to the other, or they are the same."""
        return source_version == target_version or bool(self.find_migration_path(source_version, target_version))

    def find_migration_path(self, source_version: int, target_version: int) -> list[tuple[int, int]]:
        """The shortest chain of registered plans, as pairs of versions; empty if there is none."""
        if source_version == target_version:
            return []
        if (source_version, target_version) in self.migration_plans:
            return [(source_version, target_version)]
        following: dict[int, list[int]] = {}
        for source, target in self.migration_plans:
            following.setdefault(source, []).append(target)
        came_from: dict[int, int | None] = {source_version: None}
        waiting = deque([source_version])
        while waiting:
            version = waiting.popleft()
            for target in following.get(version, ()):
                if target in came_from:
                    continue
                came_from[target] = version
                if target == target_version:
                    return _path_to(target, came_from)
                waiting.append(target)
        return []


def _path_to(target: int, came_from: dict[int, int | None]) -> list[tuple[int, int]]:
    path = []
    at = target
    while (source := came_from[at]) is not None:
        path.append((source, at))
        at = source
    path.reverse()
    return path


class SchemaMigrator:
    """Makes plans from pairs of schemas, and brings databases from one version to another: wholly or not at all."""

    def __init__(self, version_manager: SchemaVersionManager | None) -> None:
        self.version_manager: Any = version_manager

    def create_migration_plan(self, source_version: int, target_version: int, description: str) -> MigrationPlan:
        """The difference of two registered schemas, not registered yet; `ValueError` if one is not known."""
        source = self.version_manager.get_schema(source_version)
        target = self.version_manager.get_schema(target_version)
        for version, schema in ((source_version, source), (target_version, target)):
            if schema is None:
                raise ValueError(f"no schema is registered for version {version}")
        changes = self._analyze_schema_changes(source, target)
        return MigrationPlan(SchemaMigration(source_version, target_version, description), changes)

    def add_data_migration(self, plan: MigrationPlan, table_name: str, migration_func: RowFunction) -> None:
        """Calls `migration_func(record, table_schema)` for every row of a table; it changes the record in place.

        The record has added columns already and removed ones still.
        """
        plan.data_migrations[table_name] = migration_func

    def apply_migration(self, database: Any, source_version: int, target_version: int) -> bool:
        """Migrates a database by the direct plan or by the shortest chain of plans; `False` if there is none.

        An exception leaves schema and rows as they were. The database gets a schema object of its own. Nothing is
        logged, and times of modification stay.
        """
        manager = self.version_manager
        plan = manager.get_migration_plan(source_version, target_version)
        if plan is not None:
            plans = [plan]
        else:
            path = manager.find_migration_path(source_version, target_version)
            plans = [manager.get_migration_plan(source, target) for source, target in path]
        if not plans:
            return False
        names = {change.table_name for plan in plans for change in plan.table_changes}
        names.update(name for plan in plans for name in plan.data_migrations)
        before = _Before(database, names)
        try:
            _own_schema(database)
            for plan in plans:
                self._apply_plan(database, plan)
            database.schema.version = target_version
        except BaseException:
            before.restore(database)
            raise
        return True

    def _apply_plan(self, database: Any, plan: MigrationPlan) -> None:
        changed = set()
        for change in plan.table_changes:
            changed.add(change.table_name)
            self._apply_table_change(database, change, plan.data_migrations)
        for name in plan.data_migrations:
            if name not in changed and name in database.tables:
                self._apply_table_change(database, TableChange("modify", name), plan.data_migrations)

    def _analyze_schema_changes(
        self, source_schema: DatabaseSchema, target_schema: DatabaseSchema
    ) -> list[TableChange]:
        """Tables that are removed, added, and modified, in this order."""
        source, target = source_schema.tables, target_schema.tables
        changes = [TableChange("remove", name) for name in source if name not in target]
        changes += [TableChange("add", name, [], table) for name, table in target.items() if name not in source]
        for name, table in target.items():
            if name in source:
                columns = self._analyze_column_changes(source[name], table)
                if columns:
                    changes.append(TableChange("modify", name, columns))
        return changes

    def _analyze_column_changes(self, source_table: TableSchema, target_table: TableSchema) -> list[ColumnChange]:
        """Columns that are removed, added, and modified, in this order."""
        source = {column.name: column for column in source_table.columns}
        target = {column.name: column for column in target_table.columns}
        changes = [ColumnChange("remove", name) for name in source if name not in target]
        changes += [ColumnChange("add", name, column) for name, column in target.items() if name not in source]
        for name, column in target.items():
            old = source.get(name)
            if old is not None and (
                old.data_type != column.data_type
                or old.primary_key != column.primary_key
                or old.nullable != column.nullable
                or old.default != column.default
            ):
                changes.append(ColumnChange("modify", name, column))
        return changes

    def _apply_table_change(
        self, database: Any, table_change: TableChange, data_migrations: dict[str, RowFunction]
    ) -> None:
        """Changes a table's schema and its rows; when a row fails, both stay as they were."""
        name = table_change.table_name
        if table_change.operation == "remove":
            database.schema.tables.pop(name, None)
            database.tables.pop(name, None)
        elif table_change.operation == "add":
            if table_change.table_schema is None:
                raise ValueError(f"the plan adds table {name} without a schema")
            if name not in database.tables:
                schema = _copy_of_table(table_change.table_schema)
                database.schema.tables[name] = schema
                database._create_table(schema)
        elif table_change.operation == "modify":
            self._modify_table(database, table_change, data_migrations.get(name))
        else:
            raise ValueError(f"{table_change.operation!r} is no change of a table: expected add, remove or modify")

    def _modify_table(self, database: Any, change: TableChange, function: RowFunction | None) -> None:
        name = change.table_name
        table = database.tables.get(name)
        if table is None:
            raise ValueError(f"the plan modifies table {name}, which does not exist")
        old = table.schema
        new = _copy_of_table(old)
        for column_change in change.column_changes:
            self._apply_column_change(new, column_change)
        if not new.primary_keys:
            raise ValueError(f"the plan leaves table {name} without a primary key")
        added, converted, removed = [], [], []
        for column_change in change.column_changes:
            column = column_change.column_def
            if column_change.operation == "remove":
                removed.append(column_change.column_name)
            elif column is not None and column_change.operation == "add":
                added.append((column.name, column.default, column.nullable, column.data_type))
            elif column is not None:
                before = old.get_column(column.name)
                if before is None or before.data_type != column.data_type:
                    converted.append((column.name, column.data_type))
        _native.migrate_rows(table, new, (added, converted, removed), function, old.primary_keys != new.primary_keys)
        table.schema = new
        database.schema.tables[name] = new

    def _apply_column_change(self, table_schema: TableSchema, column_change: ColumnChange) -> None:
        """Adds, removes or replaces a column of a schema, in place. A column that is there is not added again."""
        name = column_change.column_name
        columns = list(table_schema.columns)
        place = next((at for at, column in enumerate(columns) if column.name == name), None)
        if column_change.operation == "remove":
            columns = [column for column in columns if column.name != name]
        elif column_change.operation not in ("add", "modify"):
            raise ValueError(f"{column_change.operation!r} is no change of a column: expected add, remove or modify")
        elif column_change.column_def is None:
            raise ValueError(f"the plan changes column {name} without saying what it becomes")
        elif place is not None:
            columns[place] = copy.copy(column_change.column_def)
        elif column_change.operation == "add":
            columns.append(copy.copy(column_change.column_def))
        table_schema.columns = columns
        table_schema._column_dict = {column.name: column for column in columns}


def _copy_of_table(table: TableSchema) -> TableSchema:
    return TableSchema(table.name, [copy.copy(column) for column in table.columns], table.version)


def _own_schema(database: Any) -> None:
    """Gives a database schema objects that nobody else has."""
    tables = {name: _copy_of_table(table) for name, table in database.schema.tables.items()}
    database.schema = DatabaseSchema(tables, database.schema.version)
    for name, table in database.tables.items():
        if name in tables:
            table.schema = tables[name]


class _Before:
    """What a migration may change, as it was. Rows are replaced, never edited: their objects are enough."""

    def __init__(self, database: Any, names: set[str]) -> None:
        self.schema = database.schema
        self.tables = dict(database.tables)
        self.schemas = {name: table.schema for name, table in self.tables.items()}
        self.rows = {
            name: (dict(table.records), dict(table.last_modified))
            for name, table in self.tables.items()
            if name in names
        }

    def restore(self, database: Any) -> None:
        """Puts everything back."""
        database.schema = self.schema
        database.tables.clear()
        database.tables.update(self.tables)
        for name, table in self.tables.items():
            table.schema = self.schemas[name]
        for name, (records, times) in self.rows.items():
            table = self.tables[name]
            for now, then in ((table.records, records), (table.last_modified, times)):
                now.clear()
                now.update(then)


class SchemaSynchronizer:
    """Tells clients of older versions how to come to the current one."""

    def __init__(self, version_manager: SchemaVersionManager, migrator: SchemaMigrator) -> None:
        self.version_manager = version_manager
        self.migrator = migrator

    def get_client_upgrade_plan(self, client_version: int) -> MigrationPlan | None:
        """The plan from the client's version to the current one; `None` at the current one already.

        A client of a newer version, or one that no plans lead on from, is a `ValueError`. A chain of plans becomes one
        plan, which calls the functions of all for each row.
        """
        manager = self.version_manager
        current = manager.current_version
        if client_version == current:
            return None
        if client_version > current:
            raise ValueError(f"the client has version {client_version}, newer than the current {current}")
        path = manager.find_migration_path(client_version, current)
        if not path:
            raise ValueError(f"no plans lead from version {client_version} to {current}")
        if len(path) == 1:
            return manager.get_migration_plan(client_version, current)
        plan = self.migrator.create_migration_plan(
            client_version, current, f"Upgrade from {client_version} to {current}"
        )
        steps = [step for pair in path if (step := manager.get_migration_plan(*pair)) is not None]
        for name in {name: None for step in steps for name in step.data_migrations}:
            functions = [step.data_migrations[name] for step in steps if name in step.data_migrations]
            plan.data_migrations[name] = functions[0] if len(functions) == 1 else _in_turn(functions)
        return plan

    def get_schema_compatibility(self, client_version: int, server_version: int) -> str:
        """`compatible`, `upgrade_required` or `incompatible`."""
        if client_version == server_version:
            return "compatible"
        if client_version < server_version and self.version_manager.can_migrate(client_version, server_version):
            return "upgrade_required"
        return "incompatible"

    def serialize_migration_plan(self, plan: MigrationPlan) -> str:
        """The plan as JSON, without functions. Defaults that are called are named if they are well known."""
        return json.dumps(plan.to_dict(), default=_name_of_default)

    def deserialize_migration_plan(self, json_str: str) -> MigrationPlan:
        """The inverse; `ValueError` for types and defaults that a plan may not name."""
        return MigrationPlan.from_dict(json.loads(json_str))


def _in_turn(functions: list[RowFunction]) -> RowFunction:
    def migrate(record: dict[str, Any], table_schema: TableSchema) -> None:
        for function in functions:
            function(record, table_schema)

    return migrate
