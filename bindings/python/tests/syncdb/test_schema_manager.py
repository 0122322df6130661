"""Schema versions, plans, and migrations of databases: wholly or not at all, compared with a model row by row."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import itertools
import random
import time
from typing import Any

import pytest
from syncdb.db.database import Database
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.schema.schema_manager import (
    ColumnChange,
    MigrationPlan,
    SchemaMigration,
    SchemaMigrator,
    SchemaSynchronizer,
    SchemaVersionManager,
    TableChange,
)


def table(name: str, *columns: Column) -> TableSchema:
    return TableSchema(name, list(columns))


ID = Column("id", int, primary_key=True)
NAME = Column("name", str)


def schema(version: int, *tables: TableSchema) -> DatabaseSchema:
    return DatabaseSchema({each.name: each for each in tables}, version)


FIRST = schema(1, table("users", ID, NAME, Column("old", int)), table("gone", ID), table("same", ID, NAME))
SECOND = schema(
    2,
    table("users", ID, NAME, Column("age", int, nullable=False), Column("mail", str, default="none")),
    table("same", ID, NAME),
    table("fresh", ID),
)


def managed(*schemas: DatabaseSchema) -> tuple[SchemaVersionManager, SchemaMigrator]:
    """The schemas registered, and plans from each to the next."""
    manager = SchemaVersionManager()
    migrator = SchemaMigrator(manager)
    for each in schemas:
        manager.register_schema(each.version, each)
    for source, target in zip(schemas, schemas[1:]):
        plan = migrator.create_migration_plan(source.version, target.version, "step")
        manager.register_migration_plan(plan)
    return manager, migrator


def filled(of: DatabaseSchema, rows: int = 5) -> Database:
    database = Database(of)
    for name in of.tables:
        for at in range(rows):
            row = {"id": at, "name": f"n{at}", "old": at * 10}
            database.insert(name, {key: row[key] for key in row if of.tables[name].get_column(key)})
    return database


def state(database: Database) -> Any:
    """All that a migration may change, in its order."""
    return [
        (name, [(key, list(row.items())) for key, row in each.records.items()], list(each.last_modified.items()))
        for name, each in database.tables.items()
    ], copy.deepcopy(database.schema)


def test_versions_and_paths() -> None:
    manager = SchemaVersionManager()
    assert (manager.schema_versions, manager.current_version, manager.migration_plans) == ({}, 1, {})
    manager.register_schema(3, FIRST)
    manager.register_schema(2, SECOND)
    assert manager.current_version == 3
    assert manager.get_schema(2) is SECOND
    assert manager.get_schema(9) is None
    assert manager.get_current_schema() is FIRST
    for pair in [(1, 2), (2, 3), (3, 4), (1, 5), (5, 4), (4, 6)]:
        manager.register_migration_plan(MigrationPlan(SchemaMigration(*pair, "")))
    plan = manager.get_migration_plan(1, 2)
    assert plan is manager.migration_plans[1, 2]
    assert manager.get_migration_plan(1, 3) is None
    assert manager.find_migration_path(1, 1) == manager.find_migration_path(6, 1) == []
    assert manager.find_migration_path(1, 2) == [(1, 2)]
    assert manager.find_migration_path(1, 4) == [(1, 5), (5, 4)]
    assert manager.find_migration_path(1, 6) == [(1, 5), (5, 4), (4, 6)]
    assert manager.can_migrate(1, 6) is True
    assert manager.can_migrate(2, 2) is True
    assert manager.can_migrate(6, 1) is False


def test_a_plan_is_the_difference_in_a_fixed_order() -> None:
    changes = SchemaMigrator(None)._analyze_schema_changes(FIRST, SECOND)
    assert [(change.operation, change.table_name) for change in changes] == [
        ("remove", "gone"),
        ("add", "fresh"),
        ("modify", "users"),
    ]
    assert changes[1].table_schema is SECOND.tables["fresh"]
    columns = changes[2].column_changes
    assert [(change.operation, change.column_name) for change in columns] == [
        ("remove", "old"),
        ("add", "age"),
        ("add", "mail"),
    ]
    assert columns[1].column_def is SECOND.tables["users"].columns[2]
    modified = SchemaMigrator(None)._analyze_column_changes(
        table("t", ID, Column("a", int), Column("b", int), Column("c", int), Column("d", int)),
        table(
            "t", ID, Column("d", int, default=1), Column("c", int), Column("b", int, nullable=False), Column("a", str)
        ),
    )
    assert [(change.operation, change.column_name) for change in modified] == [
        ("modify", "d"),
        ("modify", "b"),
        ("modify", "a"),
    ]
    manager, migrator = managed(FIRST, SECOND)
    with pytest.raises(ValueError):
        migrator.create_migration_plan(1, 7, "")
    assert list(manager.migration_plans) == [(1, 2)]


def test_a_migration_changes_tables_and_rows_and_copies_the_schema() -> None:
    manager, migrator = managed(copy.deepcopy(FIRST), SECOND)
    source = manager.schema_versions[1]
    before = copy.deepcopy(source)
    database = filled(source)
    records, log = database.tables["users"].records, list(database.tables["users"].change_log)
    times = dict(database.tables["users"].last_modified)
    assert migrator.apply_migration(database, 1, 2) is True
    assert database.schema.version == 2
    assert source == before
    assert database.schema is not source
    assert list(database.tables) == list(database.schema.tables) == ["users", "same", "fresh"]
    users = database.tables["users"]
    assert users.schema is database.schema.tables["users"]
    assert users.schema is not SECOND.tables["users"]
    assert [column.name for column in users.schema.columns] == ["id", "name", "age", "mail"]
    added = users.schema.get_column("mail")
    assert added is not None
    assert added.default == "none"
    assert users.records is records
    assert list(users.records[2,].items()) == [("id", 2), ("name", "n2"), ("age", 0), ("mail", "none")]
    assert list(users.records) == [(at,) for at in range(5)]
    assert (users.change_log, users.last_modified) == (log, times)
    assert database.get("same", (1,)) == {"id": 1, "name": "n1"}
    database.insert("users", {"id": 9, "age": 3})
    database.insert("fresh", {"id": 1})
    with pytest.raises(ValueError):
        database.insert("users", {"id": 10, "old": 1})
    assert migrator.apply_migration(database, 2, 2) is False
    assert migrator.apply_migration(database, 2, 1) is False


def test_what_added_columns_get() -> None:
    counter = itertools.count()
    columns = [
        Column("given", str, default="d"),
        Column("called", int, default=lambda: next(counter)),
        Column("shared", list, default=[1]),
        *(Column(f"zero_{kind.__name__}", kind, nullable=False) for kind in (str, int, float, bool, list, dict, bytes)),
        Column("free", int),
    ]
    old, new = schema(1, table("t", ID, Column("given", str))), schema(2, table("t", ID, *columns))
    manager, migrator = managed(old, new)
    database = Database(old)
    database.insert("t", {"id": 1})
    database.insert("t", {"id": 2, "given": "mine"})
    plan = manager.migration_plans[1, 2]
    plan.table_changes[0].column_changes.append(ColumnChange("add", "given", columns[0]))
    assert migrator.apply_migration(database, 1, 2)
    zeros = {"zero_str": "", "zero_int": 0, "zero_float": 0.0, "zero_bool": False, "zero_list": [], "zero_dict": {}}
    rest = {"shared": [1], **zeros, "zero_bytes": None, "free": None}
    first, second = database.get("t", (1,)), database.get("t", (2,))
    assert first == {"id": 1, "given": "d", "called": 0, **rest}
    assert second == {"id": 2, "given": "mine", "called": 1, **rest}
    rows = list(database.tables["t"].records.values())
    assert rows[0]["shared"] is not rows[1]["shared"]
    assert rows[0]["zero_list"] is not rows[1]["zero_list"]


def test_functions_see_removed_columns_and_run_for_every_named_table() -> None:
    manager, migrator = managed(FIRST, SECOND)
    plan = manager.migration_plans[1, 2]
    seen: list[Any] = []

    def carry(record: dict[str, Any], table_schema: TableSchema) -> str:
        seen.append(table_schema)
        record["age"] = record["old"] + 1
        return "ignored"

    def rename(record: dict[str, Any], table_schema: TableSchema) -> None:
        record["name"] = table_schema.name

    migrator.add_data_migration(plan, "users", carry)
    migrator.add_data_migration(plan, "same", rename)
    migrator.add_data_migration(plan, "unknown", rename)
    assert plan.data_migrations["users"] is carry
    database = filled(FIRST)
    assert migrator.apply_migration(database, 1, 2)
    assert database.get("users", (3,)) == {"id": 3, "name": "n3", "age": 31, "mail": "none"}
    assert database.get("same", (3,)) == {"id": 3, "name": "same"}
    assert len(seen) == 5
    assert seen[0].get_column("mail") is not None
    assert seen[0].get_column("old") is None


class OddError(Exception):
    pass


@pytest.mark.parametrize("where", ["function", "default", "key", "callback of a later table"])
def test_an_exception_leaves_everything_as_it_was(where: str) -> None:
    keyed = table("users", Column("name", str, primary_key=True), Column("id", int))
    last = schema(3, keyed, table("same", ID, NAME))
    manager, migrator = managed(FIRST, SECOND, last)
    database = filled(FIRST)
    database.tables["users"].records[4,]["nested"] = {"deep": [1]}

    def fail(record: dict[str, Any], _table: TableSchema) -> None:
        if record["id"] == 4:
            record.get("nested", {"deep": []})["deep"].append(2)
            raise OddError
        record["name"] = "changed"

    if where == "function":
        manager.migration_plans[1, 2].data_migrations["users"] = fail
    elif where == "default":
        plan = manager.migration_plans[1, 2].table_changes
        plan.append(TableChange("modify", "same", [ColumnChange("add", "x", Column("x", int, default=lambda: 1 / 0))]))
    elif where == "key":
        database.tables["users"].records[4,]["name"] = "n3"
    else:
        manager.migration_plans[2, 3].data_migrations["same"] = fail
    before, source = state(database), database.schema
    with pytest.raises((OddError, ValueError, ZeroDivisionError)):
        migrator.apply_migration(database, 1, 3)
    assert state(database) == before
    assert database.schema is source
    assert all(each.schema is source.tables[name] for name, each in database.tables.items())
    database.insert("users", {"id": 77, "old": 1})


def test_keys_that_change_file_rows_anew() -> None:
    old = schema(1, table("t", ID, NAME))
    new = schema(2, table("t", Column("id", int), Column("name", str, primary_key=True)))
    _, migrator = managed(old, new)
    database = Database(old)
    for at in range(3):
        database.insert("t", {"id": at, "name": f"n{at}"})
    times = list(database.tables["t"].last_modified.values())
    assert migrator.apply_migration(database, 1, 2)
    assert list(database.tables["t"].records) == list(database.tables["t"].last_modified) == [("n0",), ("n1",), ("n2",)]
    assert list(database.tables["t"].last_modified.values()) == times
    assert database.get("t", ("n1",)) == {"id": 1, "name": "n1"}
    without = MigrationPlan(SchemaMigration(2, 3, ""), [TableChange("modify", "t", [ColumnChange("remove", "name")])])
    migrator.version_manager.register_migration_plan(without)
    with pytest.raises(ValueError):
        migrator.apply_migration(database, 2, 3)
    assert database.get("t", ("n1",)) == {"id": 1, "name": "n1"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, "5", 5),
        (int, "x", "x"),
        (int, 5.0, 5),
        (int, 5.5, 5.5),
        (int, None, None),
        (float, 3, 3.0),
        (float, "2.5", 2.5),
        (str, 5, "5"),
        (str, b"a", b"a"),
        (bool, 1, True),
        (bool, 7, 7),
        (bool, "no", "no"),
        (bytes, 3, 3),
        (list, (1, 2), [1, 2]),
        (list, "ab", "ab"),
        (dict, [], []),
        (int, float("inf"), float("inf")),
    ],
)
def test_values_are_converted_where_nothing_is_lost(kind: type, value: Any, expected: Any) -> None:
    old, new = schema(1, table("t", ID, Column("v", object))), schema(2, table("t", ID, Column("v", kind)))
    _, migrator = managed(old, new)
    database = Database(old)
    database.insert("t", {"id": 1, "v": value})
    database.insert("t", {"id": 2})
    assert migrator.apply_migration(database, 1, 2)
    found = database.tables["t"].records[1,]["v"]
    assert (found, type(found)) == (expected, type(expected))
    assert database.get("t", (2,)) == {"id": 2}


def test_a_plan_can_be_applied_twice() -> None:
    manager, migrator = managed(FIRST, SECOND)
    database = filled(FIRST)
    assert migrator.apply_migration(database, 1, 2)
    database.insert("fresh", {"id": 1})
    before = state(database)
    assert migrator.apply_migration(database, 1, 2)
    assert state(database) == before
    for change in manager.migration_plans[1, 2].table_changes:
        migrator._apply_table_change(database, change, {})
    assert state(database) == before


def test_overridden_steps_are_used() -> None:
    made: list[str] = []

    class Mine(Database):
        def _create_table(self, table_schema: TableSchema) -> Any:
            made.append(table_schema.name)
            return super()._create_table(table_schema)

    class Noting(SchemaMigrator):
        def _apply_column_change(self, table_schema: TableSchema, column_change: ColumnChange) -> None:
            made.append(column_change.column_name)
            super()._apply_column_change(table_schema, column_change)

    manager, _ = managed(FIRST, SECOND)
    database = Mine(FIRST)
    made.clear()
    assert Noting(manager).apply_migration(database, 1, 2)
    assert made == ["fresh", "old", "age", "mail"]


@pytest.mark.parametrize("seed", range(40))
def test_rows_are_as_a_model_makes_them(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"c{at}" for at in range(6)]

    def columns() -> list[Column]:
        chosen = [name for name in names if chance.random() < 0.6]
        return [
            Column(
                name,
                chance.choice([int, str, float]),
                nullable=chance.random() < 0.5,
                default=chance.choice([None, None, 7, "d"]),
            )
            for name in chosen
        ]

    schemas = [schema(version, table("t", ID, *columns())) for version in (1, 2, 3)]
    manager, migrator = managed(*schemas)
    database = Database(schemas[0])
    for at in range(20):
        row: dict[str, Any] = {"id": at}
        for column in schemas[0].tables["t"].columns[1:]:
            if chance.random() < 0.7:
                row[column.name] = chance.choice([None, column.data_type(at)])
        row = {name: value for name, value in row.items() if value is not None}
        database.insert("t", row)
    expected = {key: dict(row) for key, row in database.tables["t"].records.items()}
    for source, target in zip(schemas, schemas[1:]):
        was, now = ({c.name: c for c in s.tables["t"].columns} for s in (source, target))
        for row in expected.values():
            for name, column in now.items():
                if name not in was:
                    zero = None if column.nullable else column.data_type()
                    row.setdefault(name, zero if column.default is None else column.default)
                elif name in row and row[name] is not None and was[name].data_type is not column.data_type:
                    try:
                        value = column.data_type(row[name])
                    except ValueError:
                        continue
                    if column.data_type is not int or isinstance(row[name], str) or value == row[name]:
                        row[name] = value
            for name in set(was) - set(now):
                row.pop(name, None)
    assert migrator.apply_migration(database, 1, 3) is bool(manager.find_migration_path(1, 3))
    assert database.tables["t"].records == expected
    assert [[type(value) for value in row.values()] for row in database.tables["t"].records.values()] == [
        [type(value) for value in row.values()] for row in expected.values()
    ]


def test_descriptions_as_dicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 5.0)
    assert SchemaMigration(1, 2, "x").timestamp == 5.0
    migration = {"source_version": 1, "target_version": 2, "description": "x"}
    assert SchemaMigration.from_dict(migration) == SchemaMigration(1, 2, "x", 5.0)
    column = Column("a", str, False, False, "d")
    assert ColumnChange("remove", "a").to_dict() == {"operation": "remove", "column_name": "a"}
    as_dict = {"name": "a", "data_type": "str", "primary_key": False, "nullable": False, "default": "d"}
    assert ColumnChange("add", "a", column).to_dict()["column_def"] == as_dict
    change = TableChange("add", "t", [ColumnChange("add", "a", column)], table("t", ID, column))
    assert change.to_dict()["table_schema"]["columns"][1] == as_dict
    assert TableChange.from_dict(change.to_dict()) == change
    assert TableChange.from_dict({"operation": "remove", "table_name": "t"}) == TableChange("remove", "t")
    plan = MigrationPlan(SchemaMigration(1, 2, "x"), [change], {"t": print})
    assert set(plan.to_dict()) == {"migration", "table_changes"}
    read = MigrationPlan.from_dict(plan.to_dict())
    assert read == dataclasses.replace(plan, data_migrations={})
    with pytest.raises(KeyError):
        MigrationPlan.from_dict({})
    with pytest.raises(KeyError):
        ColumnChange.from_dict({"operation": "add"})


@pytest.mark.parametrize("name", ["os.system", "__import__('os')", "Database", "", None, 5])
def test_types_in_plans_are_looked_up_and_never_evaluated(name: Any) -> None:
    column = {"name": "a", "data_type": name, "primary_key": False, "nullable": True, "default": None}
    with pytest.raises(ValueError):
        ColumnChange.from_dict({"operation": "add", "column_name": "a", "column_def": column})


def test_the_types_that_plans_may_name() -> None:
    kinds = [int, float, str, bool, bytes, list, dict, tuple, set, object, type(None), datetime.datetime]
    for kind in kinds:
        change = ColumnChange("add", "a", Column("a", kind))
        found = ColumnChange.from_dict(change.to_dict()).column_def
        assert found is not None
        assert found.data_type is kind


def test_the_synchronizer() -> None:
    third = schema(3, *SECOND.tables.values(), table("more", ID))
    manager, migrator = managed(FIRST, SECOND, third)
    synchronizer = SchemaSynchronizer(manager, migrator)
    assert (synchronizer.version_manager, synchronizer.migrator) == (manager, migrator)
    assert synchronizer.get_client_upgrade_plan(3) is None
    assert synchronizer.get_client_upgrade_plan(2) is manager.migration_plans[2, 3]
    manager.migration_plans[1, 2].data_migrations["users"] = lambda record, _: record.update(age=1)
    manager.migration_plans[2, 3].data_migrations["users"] = lambda record, _: record.update(age=record["age"] + 1)
    whole = synchronizer.get_client_upgrade_plan(1)
    assert whole is not None
    assert whole.migration.source_version == 1
    assert [change.table_name for change in whole.table_changes] == ["gone", "fresh", "more", "users"]
    record: dict[str, Any] = {}
    whole.data_migrations["users"](record, third.tables["users"])
    assert record == {"age": 2}
    for version in (4, 0):
        with pytest.raises(ValueError):
            synchronizer.get_client_upgrade_plan(version)
    compatibility = [synchronizer.get_schema_compatibility(*pair) for pair in [(2, 2), (1, 3), (3, 1), (0, 3)]]
    assert compatibility == ["compatible", "upgrade_required", "incompatible", "incompatible"]
    text = synchronizer.serialize_migration_plan(manager.migration_plans[1, 2])
    read = synchronizer.deserialize_migration_plan(text)
    assert read == dataclasses.replace(manager.migration_plans[1, 2], data_migrations={})


def test_defaults_that_are_called_are_serialized_by_name() -> None:
    synchronizer = SchemaSynchronizer(*managed())
    plan = MigrationPlan(SchemaMigration(1, 2, ""), [TableChange("add", "t", [], table("t", ID))])
    for default in (list, dict, time.time, datetime.datetime.now):
        plan.table_changes[0].column_changes = [ColumnChange("add", "a", Column("a", object, default=default))]
        read = synchronizer.deserialize_migration_plan(synchronizer.serialize_migration_plan(plan))
        assert read == plan
    plan.table_changes[0].column_changes = [ColumnChange("add", "a", Column("a", object, default=lambda: 1))]
    with pytest.raises(TypeError):
        synchronizer.serialize_migration_plan(plan)
    with pytest.raises(ValueError):
        synchronizer.deserialize_migration_plan("{")
