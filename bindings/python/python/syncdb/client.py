"""A client that works offline and syncs, and the server it syncs with."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

from syncdb.compression.type_compressor import CompressionLevel, PayloadCompressor, TypeCompressor
from syncdb.db.database import Database, Table, Transaction
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.power.power_manager import BatteryAwareClient, OperationPriority, PowerManager, PowerMode, PowerProfile
from syncdb.schema.schema_manager import (
    MigrationPlan,
    SchemaMigration,
    SchemaMigrator,
    SchemaSynchronizer,
    SchemaVersionManager,
)
from syncdb.sync.change_tracker import ChangeRecord, ChangeTracker, VersionVector
from syncdb.sync.conflict_resolution import (
    ClientWinsResolver,
    ConflictAuditLog,
    ConflictManager,
    ConflictMetadata,
    ConflictResolver,
    CustomMergeResolver,
    LastWriteWinsResolver,
    MergeFieldsResolver,
    ServerWinsResolver,
)
from syncdb.sync.sync_protocol import (
    NetworkSimulator,
    SyncEngine,
    SyncRequest,
    SyncResponse,
    read_request,
    write_response,
)

__all__ = [
    "BatteryAwareClient",
    "ChangeRecord",
    "ChangeTracker",
    "ClientWinsResolver",
    "Column",
    "CompressionLevel",
    "ConflictAuditLog",
    "ConflictManager",
    "ConflictMetadata",
    "ConflictResolver",
    "CustomMergeResolver",
    "Database",
    "DatabaseSchema",
    "LastWriteWinsResolver",
    "MergeFieldsResolver",
    "MigrationPlan",
    "NetworkSimulator",
    "OperationPriority",
    "PayloadCompressor",
    "PowerManager",
    "PowerMode",
    "PowerProfile",
    "SchemaMigration",
    "SchemaMigrator",
    "SchemaSynchronizer",
    "SchemaVersionManager",
    "ServerWinsResolver",
    "SyncClient",
    "SyncEngine",
    "SyncRequest",
    "SyncResponse",
    "SyncServer",
    "Table",
    "TableSchema",
    "Transaction",
    "TypeCompressor",
    "VersionVector",
]

Row = dict[str, Any]
ResolverLike = Any

MOCK_URL = "mock://server"
"""The address of a server in the same process, reached through the engine."""


def _history(
    log: ConflictAuditLog, table_name: str | None, primary_key: tuple[Any, ...] | None
) -> list[dict[str, Any]]:
    """The conflicts of a log as dictionaries, by table, or by table and key."""
    if table_name and primary_key:
        conflicts = log.get_conflicts_for_record(table_name, primary_key)
    elif table_name:
        conflicts = log.get_conflicts_for_table(table_name)
    else:
        conflicts = log.conflicts
    return [conflict.to_dict() for conflict in conflicts]


class SyncClient:
    """A database that is written offline, and sends and receives changes when it syncs."""

    battery_client: BatteryAwareClient

    def __init__(
        self,
        schema: DatabaseSchema,
        server_url: str | None = None,
        client_id: str | None = None,
        power_aware: bool = True,
    ) -> None:
        """A client with an empty database. A power-aware one has a worker and a timer until it is closed."""
        self.client_id = client_id or str(uuid.uuid4())
        self.database = Database(schema)
        self.change_tracker = ChangeTracker()
        self.change_tracker._keeps_unsent = True
        self.network: Any = NetworkSimulator()
        self.sync_engine: Any = SyncEngine(self.database, self.change_tracker, self.network)
        self.compressor = PayloadCompressor()
        self.schema_version_manager = SchemaVersionManager()
        self.schema_version_manager.register_schema(schema.version, schema)
        self.schema_migrator = SchemaMigrator(self.schema_version_manager)
        self.schema_synchronizer = SchemaSynchronizer(self.schema_version_manager, self.schema_migrator)
        self.conflict_audit_log = ConflictAuditLog()
        self.conflict_manager = ConflictManager(self.conflict_audit_log)
        self.power_manager = PowerManager(PowerMode.BATTERY_NORMAL)
        self.server_url = server_url
        self.server_connected = False
        self.last_sync_time: float = 0
        self.sync_in_progress = False
        self.sync_lock = threading.Lock()
        if power_aware:
            self._setup_battery_aware_client()

    def _setup_battery_aware_client(self) -> None:
        """Starts the worker for deferred operations and the timer of syncs."""
        self.battery_client = BatteryAwareClient(self, self.power_manager)
        self.power_manager.start_worker(self)
        self.battery_client.start_sync_timer()

    def update_battery_status(self, level: float, is_plugged_in: bool) -> None:
        """Tells the power manager; payloads are compressed as its profile says from now on."""
        self.power_manager.update_battery_status(level, is_plugged_in)
        self.compressor.set_compression_level(self.power_manager.get_compression_level())

    def connect_to_server(self) -> bool:
        """Whether there is a server to sync with; nothing is sent yet."""
        if not self.server_url:
            return False
        self.server_connected = True
        return True

    def disconnect_from_server(self) -> None:
        """Stays offline until the next connection."""
        self.server_connected = False

    def register_conflict_resolver(self, table_name: str, resolver: ResolverLike) -> None:
        """Sets the resolver of a table."""
        self.conflict_manager.register_resolver(table_name, resolver)

    def set_default_conflict_resolver(self, resolver: ResolverLike) -> None:
        """Sets the resolver of tables without their own."""
        self.conflict_manager.set_default_resolver(resolver)

    def create_transaction(self) -> Transaction:
        """A transaction on the client's database; what it keeps is sent by the next sync."""
        transaction = self.database.begin_transaction()
        transaction._on_keep = self._track_transaction
        return transaction

    def _track_transaction(self, transaction: Transaction) -> None:
        for undo in transaction._undo:
            self._track(undo.table_name, undo.key, undo.operation, undo.old, undo.new)

    def _track(self, table_name: str, key: Iterable[Any], operation: str, old: Row | None, new: Row | None) -> None:
        self.change_tracker.record_change(table_name, tuple(key), operation, old, new, self.client_id)

    def insert(
        self,
        table_name: str,
        record: Row,
        priority: OperationPriority = OperationPriority.MEDIUM,  # noqa: ARG002
    ) -> Row:
        """Inserts a row; the next sync sends it."""
        row = self.database.insert(table_name, record, self.client_id)
        keys = self.database.schema.tables[table_name].primary_keys
        self._track(table_name, [row[key] for key in keys], "insert", None, row)
        return row

    def update(
        self,
        table_name: str,
        record: Row,
        priority: OperationPriority = OperationPriority.MEDIUM,  # noqa: ARG002
    ) -> Row:
        """Replaces a row; the next sync sends it. An unknown table is `KeyError`."""
        keys = self.database.schema.tables[table_name].primary_keys
        missing = [key for key in keys if key not in record]
        if missing:
            raise ValueError(f"Missing primary key {missing[0]}")
        key = tuple(record[name] for name in keys)
        old = self.database.get(table_name, key)
        row = self.database.update(table_name, record, self.client_id)
        self._track(table_name, key, "update", old, row)
        return row

    def delete(
        self,
        table_name: str,
        primary_key_values: Iterable[Any],
        priority: OperationPriority = OperationPriority.MEDIUM,  # noqa: ARG002
    ) -> None:
        """Removes a row; the next sync tells the server."""
        key = tuple(primary_key_values)
        old = self.database.get(table_name, key)
        self.database.delete(table_name, key, self.client_id)
        self._track(table_name, key, "delete", old, None)

    def get(self, table_name: str, primary_key_values: Iterable[Any]) -> Row | None:
        """A copy of a row, or `None`."""
        return self.database.get(table_name, primary_key_values)

    def query(self, table_name: str, conditions: Row | None = None, limit: int | None = None) -> list[Row]:
        """Copies of the rows that meet all conditions, oldest first."""
        return self.database.query(table_name, conditions, limit)

    def sync(
        self,
        tables: Iterable[str] | None = None,
        priority: OperationPriority = OperationPriority.MEDIUM,  # noqa: ARG002
    ) -> bool:
        """Sends changes and applies what the server answers.

        `False` if the client is not connected, syncs already, or a message was lost: the next sync sends again.
        """
        if not self.server_connected or self.sync_in_progress or not self.sync_lock.acquire(blocking=False):
            return False
        try:
            self.sync_in_progress = True
            engine = self.sync_engine
            names = list(tables) if tables else list(self.database.tables)
            if self.server_url == MOCK_URL and type(engine) is SyncEngine and engine._is_own("create_sync_request"):
                done = engine.exchange(self.client_id, names, self.database, self.change_tracker)
            else:
                request = engine.create_sync_request(self.client_id, names, self.database, self.change_tracker)
                if self.server_url == MOCK_URL:
                    received = engine.network.send(request)
                    if received is None:
                        return False
                    answer = engine._handle_sync_request(read_request(received))
                    response = engine.network.send(write_response(answer))
                else:
                    response = engine.process_sync_request(request)
                done, _ = engine.process_sync_response(self.client_id, response, self.database, self.change_tracker)
            if done:
                self.last_sync_time = time.time()
            return bool(done)
        finally:
            self.sync_in_progress = False
            self.sync_lock.release()

    def upgrade_schema(self, target_version: int) -> bool:
        """Migrates the database; `False` without a way to that version."""
        current = self.database.schema.version
        if current == target_version:
            return True
        if not self.schema_version_manager.can_migrate(current, target_version):
            return False
        return bool(self.schema_migrator.apply_migration(self.database, current, target_version))

    def get_conflict_history(
        self, table_name: str | None = None, primary_key: tuple[Any, ...] | None = None
    ) -> list[dict[str, Any]]:
        """The client's own conflicts as dictionaries, by table, or by table and key."""
        return _history(self.conflict_audit_log, table_name, primary_key)

    def get_sync_status(self) -> dict[str, Any]:
        """Who the client is, whether it is connected, when it synced, and what its power profile says."""
        return {
            "client_id": self.client_id,
            "connected": self.server_connected,
            "last_sync_time": self.last_sync_time,
            "sync_in_progress": self.sync_in_progress,
            "power_mode": self.power_manager.current_mode.name,
            "compression_level": self.power_manager.get_compression_level().name,
            "schema_version": self.database.schema.version,
        }

    def close(self) -> None:
        """Disconnects and stops the timer and the worker; can be called again."""
        self.disconnect_from_server()
        battery_client = self.__dict__.get("battery_client")
        if battery_client is not None:
            battery_client.stop_sync_timer()
        self.power_manager.stop_worker()


class SyncServer:
    """The database that clients sync with."""

    def __init__(self, schema: DatabaseSchema) -> None:
        """A server with an empty database, on which the later write wins."""
        self.database = Database(schema)
        self.change_tracker = ChangeTracker()
        self.conflict_audit_log = ConflictAuditLog()
        self.conflict_manager = ConflictManager(self.conflict_audit_log)
        self.sync_engine: Any = SyncEngine(
            self.database, self.change_tracker, conflict_resolver=self.conflict_manager.resolve_conflict
        )
        self.sync_engine._on_handled = self._count_sync
        self.compressor = PayloadCompressor()
        self.schema_version_manager = SchemaVersionManager()
        self.schema_version_manager.register_schema(schema.version, schema)
        self.schema_migrator = SchemaMigrator(self.schema_version_manager)
        self.schema_synchronizer = SchemaSynchronizer(self.schema_version_manager, self.schema_migrator)
        self.connected_clients: dict[str, dict[str, Any]] = {}

    def _count_sync(self, client_id: str) -> None:
        """Notes that a client has synced, through whichever door."""
        info = self.connected_clients.get(client_id)
        if info is not None:
            info["last_sync_time"] = time.time()
            info["sync_count"] += 1

    def register_client(self, client_id: str) -> None:
        """Notes a client; one that was known starts anew."""
        self.connected_clients[client_id] = {"connection_time": time.time(), "last_sync_time": 0, "sync_count": 0}

    def handle_sync_request(self, request_json: str) -> str:
        """The JSON of the answer to a request; no network takes part."""
        request = read_request(request_json)
        if request.client_id not in self.connected_clients:
            self.register_client(request.client_id)
        engine = self.sync_engine
        engine.database = self.database
        engine.conflict_resolver = self.conflict_manager.resolve_conflict
        info = self.connected_clients[request.client_id]
        count = info["sync_count"]
        response = engine._handle_sync_request(request)
        if info["sync_count"] == count:
            self._count_sync(request.client_id)
        return write_response(response)

    def register_conflict_resolver(self, table_name: str, resolver: ResolverLike) -> None:
        """Sets the resolver of a table."""
        self.conflict_manager.register_resolver(table_name, resolver)

    def set_default_conflict_resolver(self, resolver: ResolverLike) -> None:
        """Sets the resolver of tables without their own."""
        self.conflict_manager.set_default_resolver(resolver)

    def register_schema_version(self, version: int, schema: DatabaseSchema) -> None:
        """Files a schema under its version."""
        self.schema_version_manager.register_schema(version, schema)

    def register_migration_plan(self, source_version: int, target_version: int, description: str) -> MigrationPlan:
        """Makes the plan between two registered schemas and registers it."""
        plan = self.schema_migrator.create_migration_plan(source_version, target_version, description)
        self.schema_version_manager.register_migration_plan(plan)
        return plan

    def insert(self, table_name: str, record: Row) -> Row:
        """Inserts a row; clients get it when they sync."""
        return self.database.insert(table_name, record, "server")

    def update(self, table_name: str, record: Row) -> Row:
        """Replaces a row; clients get it when they sync."""
        return self.database.update(table_name, record, "server")

    def delete(self, table_name: str, primary_key_values: Iterable[Any]) -> None:
        """Removes a row; clients lose it when they sync."""
        self.database.delete(table_name, primary_key_values, "server")

    def get(self, table_name: str, primary_key_values: Iterable[Any]) -> Row | None:
        """A copy of a row, or `None`."""
        return self.database.get(table_name, primary_key_values)

    def query(self, table_name: str, conditions: Row | None = None, limit: int | None = None) -> list[Row]:
        """Copies of the rows that meet all conditions, oldest first."""
        return self.database.query(table_name, conditions, limit)

    def get_client_info(self, client_id: str | None = None) -> dict[str, Any]:
        """What is noted of a client, `{}` if nothing; without an id, of all."""
        if client_id:
            return self.connected_clients.get(client_id, {})
        return self.connected_clients

    def get_conflict_history(
        self, table_name: str | None = None, primary_key: tuple[Any, ...] | None = None
    ) -> list[dict[str, Any]]:
        """The conflicts of all syncs as dictionaries, by table, or by table and key."""
        return _history(self.conflict_audit_log, table_name, primary_key)
