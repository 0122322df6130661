"""Every member of tables, changes, conflicts, sync and clients, with its signature."""

import copy
import dataclasses
import importlib
import inspect
import pickle

import pytest

SIGNATURES = {
    "syncdb.db.schema": {
        "Column": "(name, data_type, primary_key=False, nullable=True, default=None)",
        "Column.validate_value": "(self, value)",
        "TableSchema": "(name, columns, version=1)",
        "TableSchema.get_column": "(self, name)",
        "TableSchema.validate_record": "(self, record)",
        "TableSchema.__post_init__": "(self)",
        "DatabaseSchema": "(tables, version=1)",
        "DatabaseSchema.get_table": "(self, name)",
        "DatabaseSchema.add_table": "(self, table)",
    },
    "syncdb.db.database": {
        "Table": "(schema)",
        "Table.insert": "(self, record, client_id=None)",
        "Table.update": "(self, record, client_id=None)",
        "Table.delete": "(self, primary_key_values, client_id=None)",
        "Table.get": "(self, primary_key_values)",
        "Table.query": "(self, conditions=None, limit=None)",
        "Table.get_changes_since": "(self, index)",
        "Table._get_primary_key_tuple": "(self, record)",
        "Table._validate_record": "(self, record)",
        "Table._matches_conditions": "(self, record, conditions)",
        "Table._record_change": "(self, operation, pk_tuple, old_record, new_record, client_id=None)",
        "Transaction": "(database)",
        "Transaction.__enter__": "(self)",
        "Transaction.__exit__": "(self, exc_type, exc_val, exc_tb)",
        "Transaction.insert": "(self, table_name, record)",
        "Transaction.update": "(self, table_name, record)",
        "Transaction.delete": "(self, table_name, primary_key_values)",
        "Transaction.commit": "(self)",
        "Transaction.rollback": "(self)",
        "Database": "(schema)",
        "Database.insert": "(self, table_name, record, client_id=None, transaction=None)",
        "Database.update": "(self, table_name, record, client_id=None, transaction=None)",
        "Database.delete": "(self, table_name, primary_key_values, client_id=None, transaction=None)",
        "Database.get": "(self, table_name, primary_key_values)",
        "Database.query": "(self, table_name, conditions=None, limit=None)",
        "Database.begin_transaction": "(self)",
        "Database.get_changes_since": "(self, table_name, index)",
        "Database.generate_client_id": "(self)",
        "Database._create_table": "(self, table_schema)",
        "Database._get_table": "(self, name)",
    },
    "syncdb.sync.change_tracker": {
        "ChangeRecord": "(id, table_name, primary_key, operation, timestamp, client_id, old_data, new_data)",
        "ChangeRecord.to_dict": "(self)",
        "ChangeRecord.from_dict": "(data)",
        "ChangeTracker": "(max_history_size=10000)",
        "ChangeTracker.record_change": "(self, table_name, primary_key, operation, old_data, new_data, client_id)",
        "ChangeTracker.get_changes_since": "(self, table_name, since_id, exclude_client_id=None)",
        "ChangeTracker.get_latest_change_id": "(self, table_name)",
        "ChangeTracker.serialize_changes": "(self, changes)",
        "ChangeTracker.deserialize_changes": "(self, json_str)",
        "ChangeTracker._prune_history": "(self, table_name)",
        "VersionVector": "(client_id, initial_value=0)",
        "VersionVector.increment": "(self)",
        "VersionVector.update": "(self, other)",
        "VersionVector.dominates": "(self, other)",
        "VersionVector.concurrent_with": "(self, other)",
        "VersionVector.to_dict": "(self)",
        "VersionVector.from_dict": "(data, client_id=None)",
    },
    "syncdb.sync.conflict_resolution": {
        "ConflictResolver.resolve": "(self, table_name, client_change, server_record)",
        "ConflictMetadata": "(table_name, primary_key, conflict_time, client_id, client_change, server_record, "
        "resolution, resolution_strategy)",
        "ConflictMetadata.to_dict": "(self)",
        "ConflictMetadata.from_dict": "(data)",
        "ConflictAuditLog": "(max_history_size=1000)",
        "ConflictAuditLog.log_conflict": "(self, metadata)",
        "ConflictAuditLog.get_conflicts_for_table": "(self, table_name)",
        "ConflictAuditLog.get_conflicts_for_record": "(self, table_name, primary_key)",
        "ConflictAuditLog.get_conflicts_for_client": "(self, client_id)",
        "ConflictAuditLog.export_to_json": "(self)",
        "ConflictAuditLog.import_from_json": "(self, json_str)",
        "ConflictAuditLog._prune_history": "(self)",
        "LastWriteWinsResolver.resolve": "(self, table_name, client_change, server_record)",
        "ServerWinsResolver.resolve": "(self, table_name, client_change, server_record)",
        "ClientWinsResolver.resolve": "(self, table_name, client_change, server_record)",
        "MergeFieldsResolver": "(field_priorities)",
        "MergeFieldsResolver.resolve": "(self, table_name, client_change, server_record)",
        "CustomMergeResolver": "(merge_functions)",
        "CustomMergeResolver.resolve": "(self, table_name, client_change, server_record)",
        "ConflictManager": "(audit_log=None)",
        "ConflictManager.register_resolver": "(self, table_name, resolver)",
        "ConflictManager.set_default_resolver": "(self, resolver)",
        "ConflictManager.resolve_conflict": "(self, table_name, client_change, server_record)",
    },
    "syncdb.sync.sync_protocol": {
        "SyncState": "(client_id, last_sync_time=0.0, sync_count=0, table_change_ids=<factory>, "
        "version_vectors=<factory>)",
        "SyncState.update_table_change_id": "(self, table_name, change_id)",
        "SyncState.get_table_change_id": "(self, table_name)",
        "SyncState.update_version_vector": "(self, table_name, vector)",
        "SyncState.get_version_vector": "(self, table_name)",
        "SyncState.mark_sync_complete": "(self)",
        "SyncRequest": "(client_id, table_change_ids, client_changes, version_vectors)",
        "SyncRequest.from_dict": "(data)",
        "SyncRequest.to_dict": "(self)",
        "SyncResponse": "(server_changes, conflicts, success=True, error_message=None, "
        "current_change_ids=<factory>, version_vectors=<factory>)",
        "SyncResponse.from_dict": "(data)",
        "SyncResponse.to_dict": "(self)",
        "NetworkSimulator": "(latency_ms=0, packet_loss_percent=0.0, bandwidth_kbps=None)",
        "NetworkSimulator.send": "(self, data)",
        "SyncEngine": "(database, change_tracker, network=None, conflict_resolver=None)",
        "SyncEngine.get_or_create_client_state": "(self, client_id)",
        "SyncEngine.process_sync_request": "(self, request_json)",
        "SyncEngine.create_sync_request": "(self, client_id, tables, client_database, client_change_tracker)",
        "SyncEngine.process_sync_response": "(self, client_id, response_json, client_database, client_change_tracker)",
        "SyncEngine._handle_sync_request": "(self, request)",
        "SyncEngine._detect_conflicts": "(self, table_name, client_changes, server_vector=None)",
        "SyncEngine._record_modified_since_client_sync": "(self, table_name, primary_key, client_id)",
        "SyncEngine._apply_client_changes": "(self, table_name, client_changes, conflicts)",
        "SyncEngine._apply_change": "(self, table_name, change, resolution=None)",
        "SyncEngine._apply_server_change": "(self, client_database, table_name, change)",
    },
    "syncdb.sync.manual_sync": {
        "register_server_changes_with_client": "(client_db, server_db, table_name, client_id)",
        "register_client_changes_with_server": "(client_db, server_db, table_name, server_id='server')",
    },
    "syncdb.client": {
        "SyncClient": "(schema, server_url=None, client_id=None, power_aware=True)",
        "SyncClient.update_battery_status": "(self, level, is_plugged_in)",
        "SyncClient.connect_to_server": "(self)",
        "SyncClient.disconnect_from_server": "(self)",
        "SyncClient.register_conflict_resolver": "(self, table_name, resolver)",
        "SyncClient.set_default_conflict_resolver": "(self, resolver)",
        "SyncClient.create_transaction": "(self)",
        "SyncClient.insert": "(self, table_name, record, priority=MEDIUM)",
        "SyncClient.update": "(self, table_name, record, priority=MEDIUM)",
        "SyncClient.delete": "(self, table_name, primary_key_values, priority=MEDIUM)",
        "SyncClient.get": "(self, table_name, primary_key_values)",
        "SyncClient.query": "(self, table_name, conditions=None, limit=None)",
        "SyncClient.sync": "(self, tables=None, priority=MEDIUM)",
        "SyncClient.upgrade_schema": "(self, target_version)",
        "SyncClient.get_conflict_history": "(self, table_name=None, primary_key=None)",
        "SyncClient.get_sync_status": "(self)",
        "SyncClient.close": "(self)",
        "SyncClient._setup_battery_aware_client": "(self)",
        "SyncServer": "(schema)",
        "SyncServer.register_client": "(self, client_id)",
        "SyncServer.handle_sync_request": "(self, request_json)",
        "SyncServer.register_conflict_resolver": "(self, table_name, resolver)",
        "SyncServer.set_default_conflict_resolver": "(self, resolver)",
        "SyncServer.register_schema_version": "(self, version, schema)",
        "SyncServer.register_migration_plan": "(self, source_version, target_version, description)",
        "SyncServer.insert": "(self, table_name, record)",
        "SyncServer.update": "(self, table_name, record)",
        "SyncServer.delete": "(self, table_name, primary_key_values)",
        "SyncServer.get": "(self, table_name, primary_key_values)",
        "SyncServer.query": "(self, table_name, conditions=None, limit=None)",
        "SyncServer.get_client_info": "(self, client_id=None)",
        "SyncServer.get_conflict_history": "(self, table_name=None, primary_key=None)",
    },
    "syncdb.tests.test_helper": {"simulate_conflict_resolution": "()"},
}

FIELDS = {
    "syncdb.db.schema.Column": "name data_type primary_key nullable default",
    "syncdb.db.schema.TableSchema": "name columns version _column_dict",
    "syncdb.db.schema.DatabaseSchema": "tables version",
    "syncdb.sync.change_tracker.ChangeRecord": "id table_name primary_key operation timestamp client_id old_data "
    "new_data",
    "syncdb.sync.conflict_resolution.ConflictMetadata": "table_name primary_key conflict_time client_id client_change "
    "server_record resolution resolution_strategy",
    "syncdb.sync.sync_protocol.SyncState": "client_id last_sync_time sync_count table_change_ids version_vectors",
    "syncdb.sync.sync_protocol.SyncRequest": "client_id table_change_ids client_changes version_vectors",
    "syncdb.sync.sync_protocol.SyncResponse": "server_changes conflicts success error_message current_change_ids "
    "version_vectors",
}

TOP = """DatabaseSchema TableSchema Column Database Table Transaction SyncClient SyncServer ConflictResolver
LastWriteWinsResolver ServerWinsResolver ClientWinsResolver MergeFieldsResolver CustomMergeResolver ConflictManager
ConflictAuditLog CompressionLevel PayloadCompressor PowerMode PowerProfile OperationPriority PowerManager
BatteryAwareClient SchemaVersionManager SchemaMigrator SchemaSynchronizer SchemaMigration MigrationPlan NetworkSimulator
ChangeTracker VersionVector"""

SAME = {
    "syncdb.client": TOP + " ChangeRecord SyncEngine SyncRequest SyncResponse TypeCompressor",
    "syncdb.db.database": "DatabaseSchema TableSchema",
    "syncdb.db.table": "Table",
    "syncdb.sync.sync_protocol": "Database ChangeTracker ChangeRecord VersionVector",
    "syncdb.sync.conflict_resolution": "ChangeRecord",
    "syncdb.sync.manual_sync": "Database ChangeTracker ChangeRecord VersionVector",
}

HOME = {
    "ChangeRecord": "syncdb.sync.change_tracker",
    "SyncEngine": "syncdb.sync.sync_protocol",
    "SyncRequest": "syncdb.sync.sync_protocol",
    "SyncResponse": "syncdb.sync.sync_protocol",
    "TypeCompressor": "syncdb.compression.type_compressor",
}


def shown(target: object) -> str:
    """A signature without annotations."""
    parts = []
    for parameter in inspect.signature(target).parameters.values():  # type: ignore[arg-type]
        default = parameter.default
        text = parameter.name
        if default is not inspect.Parameter.empty:
            name = getattr(default, "name", None)
            text += f"={name if isinstance(name, str) else repr(default)}"
        parts.append(text)
    return f"({', '.join(parts)})"


@pytest.mark.parametrize(
    ("module", "path", "signature"),
    [(module, path, signature) for module, members in SIGNATURES.items() for path, signature in members.items()],
)
def test_a_member_has_its_signature(module: str, path: str, signature: str) -> None:
    """Names, order and defaults of parameters."""
    target: object = importlib.import_module(module)
    for name in path.split("."):
        target = getattr(target, name)
    assert shown(target) == signature
    assert inspect.getdoc(target)


@pytest.mark.parametrize(("path", "names"), FIELDS.items())
def test_a_dataclass_has_its_fields(path: str, names: str) -> None:
    """In order; equality makes it unhashable."""
    module, name = path.rsplit(".", 1)
    target = getattr(importlib.import_module(module), name)
    assert [field.name for field in dataclasses.fields(target)] == names.split()
    assert target.__hash__ is None
    assert target.__module__ == module


@pytest.mark.parametrize(("module", "names"), SAME.items())
def test_a_name_is_the_same_object_everywhere(module: str, names: str) -> None:
    """Identity matters for `isinstance`."""
    package = importlib.import_module("syncdb")
    for name in names.split():
        home = importlib.import_module(HOME[name]) if name in HOME else package
        assert getattr(importlib.import_module(module), name) is getattr(home, name)


def test_the_package_names_its_classes() -> None:
    """Everything at the top, a version, and no `__all__`."""
    package = importlib.import_module("syncdb")
    assert all(hasattr(package, name) for name in TOP.split())
    assert isinstance(package.__version__, str)
    assert not hasattr(package, "__all__")
    for name in ("client", "db", "sync", "compression", "power", "schema"):
        assert inspect.ismodule(getattr(package, name))
    for name in ("utils", "tests", "db.table", "db.schema", "sync.manual_sync"):
        importlib.import_module(f"syncdb.{name}")


def test_instances_take_attributes_and_classes_take_other_constructors() -> None:
    """Subclasses with arguments of their own, attributes that are not ours."""
    from syncdb import ChangeTracker, Column, Database, DatabaseSchema, Table, TableSchema, VersionVector

    schema = DatabaseSchema({"t": TableSchema("t", [Column("id", int, primary_key=True)])})

    class Mine(Database):
        def __init__(self, size: int, *, label: str) -> None:
            super().__init__(schema)
            self.size, self.label = size, label

    mine = Mine(3, label="x")
    mine.other = 1  # type: ignore[attr-defined]
    assert (mine.size, mine.label) == (3, "x")
    assert mine.insert("t", {"id": 1}) == {"id": 1}
    for made in (Table(schema.tables["t"]), ChangeTracker(), VersionVector("a"), Database(schema)):
        made.anything = made  # type: ignore[union-attr]
        assert made == made
        assert bool(made)
        assert not hasattr(made, "__len__")


def test_objects_can_be_copied_and_pickled() -> None:
    """A copy of a database is another database with the same rows."""
    from syncdb.sync.change_tracker import ChangeRecord

    from syncdb import ChangeTracker, Column, Database, DatabaseSchema, TableSchema, VersionVector

    schema = DatabaseSchema({"t": TableSchema("t", [Column("id", int, primary_key=True), Column("v", list)])})
    database = Database(schema)
    database.insert("t", {"id": 1, "v": [1]})
    for other in (copy.deepcopy(database), pickle.loads(pickle.dumps(database))):
        assert other.query("t") == [{"id": 1, "v": [1]}]
        other.update("t", {"id": 1, "v": [2]})
        other.insert("t", {"id": 2})
        assert database.query("t") == [{"id": 1, "v": [1]}]
        assert other.schema == schema
    tracker = ChangeTracker()
    tracker.record_change("t", (1,), "insert", None, {"id": 1}, "c")
    assert copy.deepcopy(tracker).changes == pickle.loads(pickle.dumps(tracker)).changes == tracker.changes
    assert pickle.loads(pickle.dumps(VersionVector("a", 3))).vector == {"a": 3}
    record = ChangeRecord(1, "t", (1,), "insert", 1.5, "c", None, {"id": 1})
    for other in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert other == record
    assert dataclasses.asdict(record) == record.to_dict()
    assert dataclasses.replace(record, id=2) != record
    column = Column("a", int)
    assert copy.deepcopy(column) == copy.copy(column) == pickle.loads(pickle.dumps(column)) == column
    assert repr(column) == ("Column(name='a', data_type=<class 'int'>, primary_key=False, nullable=True, default=None)")
