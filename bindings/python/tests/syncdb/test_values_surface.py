"""Every member of compression, power and schema versions, with its signature."""

import dataclasses
import enum
import importlib
import inspect
from typing import Any

import pytest

COMPRESSOR = {"compress": "(self, value)", "decompress": "(self, data)"}

SIGNATURES = {
    "syncdb.compression.type_compressor": {
        **{
            f"{name}Compressor.{method}": signature
            for name in ("Type", "Int", "Float", "Text", "Binary", "DateTime", "Boolean", "None", "List", "Dict")
            for method, signature in COMPRESSOR.items()
        },
        "TextCompressor": "(level=MEDIUM)",
        "BinaryCompressor": "(level=MEDIUM)",
        "ListCompressor": "(compressor_factory)",
        "DictCompressor": "(compressor_factory)",
        "CompressorFactory": "(compression_level=MEDIUM)",
        "CompressorFactory.get_type_signature": "(self, value)",
        "CompressorFactory.get_compressor_for_type": "(self, value_type)",
        "CompressorFactory.get_compressor_for_signature": "(self, type_signature)",
        "CompressorFactory.set_compression_level": "(self, level)",
        "CompressorFactory._initialize_compressors": "(self)",
        "PayloadCompressor": "(compression_level=MEDIUM, schema=None)",
        "PayloadCompressor.compress_record": "(self, table_name, record)",
        "PayloadCompressor.decompress_record": "(self, table_name, data)",
        "PayloadCompressor.compress_changes": "(self, table_name, changes)",
        "PayloadCompressor.decompress_changes": "(self, table_name, data)",
        "PayloadCompressor.set_compression_level": "(self, level)",
        "PayloadCompressor.set_schema": "(self, schema)",
    },
    "syncdb.power.power_manager": {
        "PowerMode.from_battery_level": "(level, is_plugged_in)",
        "PowerProfile": "(sync_interval_seconds, batch_size, compression_level, max_concurrent_operations, "
        "defer_non_critical)",
        "PowerProfile.get_default_profile": "(mode)",
        "DeferredOperation.__lt__": "(self, other)",
        "DeferredOperation.execute": "(self, target_obj)",
        "PowerManager": "(initial_mode=BATTERY_NORMAL)",
        "PowerManager.set_power_mode": "(self, mode)",
        "PowerManager.set_custom_profile": "(self, mode, profile)",
        "PowerManager.update_battery_status": "(self, level, is_plugged_in)",
        "PowerManager.simulate_battery_drain": "(self, drain_rate=0.0001)",
        "PowerManager.should_defer_operation": "(self, priority)",
        "PowerManager.enqueue_operation": "(self, operation_type, priority, args, kwargs)",
        "PowerManager.start_worker": "(self, target_obj)",
        "PowerManager.stop_worker": "(self)",
        "PowerManager.get_batch_size": "(self)",
        "PowerManager.get_sync_interval": "(self)",
        "PowerManager.get_compression_level": "(self)",
        "PowerManager.get_max_concurrent_operations": "(self)",
        "PowerManager._worker_loop": "(self, target_obj)",
        "PowerManager._should_execute_now": "(self, operation)",
        "BatteryAwareClient": "(client_obj, power_manager, default_priority=MEDIUM)",
        "BatteryAwareClient.__getattr__": "(self, name)",
        "BatteryAwareClient.start_sync_timer": "(self)",
        "BatteryAwareClient.stop_sync_timer": "(self)",
        "BatteryAwareClient.force_sync": "(self)",
        "BatteryAwareClient._sync_callback": "(self)",
    },
    "syncdb.schema.schema_manager": {
        **{
            f"{name}.{method}": signature
            for name in ("SchemaMigration", "ColumnChange", "TableChange", "MigrationPlan")
            for method, signature in (("to_dict", "(self)"), ("from_dict", "(data)"))
        },
        "ColumnChange": "(operation, column_name, column_def=None)",
        "SchemaVersionManager": "()",
        "SchemaVersionManager.register_schema": "(self, version, schema)",
        "SchemaVersionManager.get_schema": "(self, version)",
        "SchemaVersionManager.get_current_schema": "(self)",
        "SchemaVersionManager.register_migration_plan": "(self, plan)",
        "SchemaVersionManager.get_migration_plan": "(self, source_version, target_version)",
        "SchemaVersionManager.can_migrate": "(self, source_version, target_version)",
        "SchemaVersionManager.find_migration_path": "(self, source_version, target_version)",
        "SchemaMigrator": "(version_manager)",
        "SchemaMigrator.create_migration_plan": "(self, source_version, target_version, description)",
        "SchemaMigrator.add_data_migration": "(self, plan, table_name, migration_func)",
        "SchemaMigrator.apply_migration": "(self, database, source_version, target_version)",
        "SchemaMigrator._analyze_schema_changes": "(self, source_schema, target_schema)",
        "SchemaMigrator._analyze_column_changes": "(self, source_table, target_table)",
        "SchemaMigrator._apply_table_change": "(self, database, table_change, data_migrations)",
        "SchemaMigrator._apply_column_change": "(self, table_schema, column_change)",
        "SchemaSynchronizer": "(version_manager, migrator)",
        "SchemaSynchronizer.get_client_upgrade_plan": "(self, client_version)",
        "SchemaSynchronizer.get_schema_compatibility": "(self, client_version, server_version)",
        "SchemaSynchronizer.serialize_migration_plan": "(self, plan)",
        "SchemaSynchronizer.deserialize_migration_plan": "(self, json_str)",
    },
}

FIELDS = {
    "syncdb.power.power_manager.PowerProfile": "sync_interval_seconds batch_size compression_level "
    "max_concurrent_operations defer_non_critical",
    "syncdb.power.power_manager.DeferredOperation": "operation_type priority creation_time args kwargs callback",
    "syncdb.schema.schema_manager.SchemaMigration": "source_version target_version description timestamp",
    "syncdb.schema.schema_manager.ColumnChange": "operation column_name column_def",
    "syncdb.schema.schema_manager.TableChange": "operation table_name column_changes table_schema",
    "syncdb.schema.schema_manager.MigrationPlan": "migration table_changes data_migrations",
}

MEMBERS = {
    "syncdb.compression.type_compressor.CompressionLevel": {"NONE": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3},
    "syncdb.power.power_manager.PowerMode": {
        "PLUGGED_IN": 1,
        "BATTERY_NORMAL": 2,
        "BATTERY_LOW": 3,
        "BATTERY_CRITICAL": 4,
    },
    "syncdb.power.power_manager.OperationPriority": {
        "CRITICAL": 1,
        "HIGH": 2,
        "MEDIUM": 3,
        "LOW": 4,
        "MAINTENANCE": 5,
    },
}


def target_of(path: str) -> object:
    """What a dotted path names."""
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


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
def test_a_member_of_values_has_its_signature(module: str, path: str, signature: str) -> None:
    """Names, order and defaults of parameters."""
    target: object = importlib.import_module(module)
    for name in path.split("."):
        target = getattr(target, name)
    assert shown(target) == signature


@pytest.mark.parametrize(("path", "names"), FIELDS.items())
def test_a_dataclass_of_values_has_its_fields(path: str, names: str) -> None:
    """In order; equality makes it unhashable."""
    target = target_of(path)
    assert [field.name for field in dataclasses.fields(target)] == names.split()  # type: ignore[arg-type]
    assert target.__hash__ is None


@pytest.mark.parametrize(("path", "members"), MEMBERS.items())
def test_an_enumeration_has_its_members(path: str, members: dict[str, int]) -> None:
    """In order, with their values; members can be keys and show their class."""
    target: Any = target_of(path)
    assert issubclass(target, enum.Enum)
    assert {member.name: member.value for member in target} == members
    assert list(target.__members__) == list(members)
    for name in members:
        assert str(target[name]) == f"{target.__name__}.{name}"
        assert {target[name]: 1}[target[name]] == 1


def test_names_are_the_same_objects_everywhere() -> None:
    """Identity matters for `isinstance`."""
    level = target_of("syncdb.compression.type_compressor.CompressionLevel")
    assert target_of("syncdb.power.power_manager.CompressionLevel") is level
    for name in ("DatabaseSchema", "TableSchema", "Column"):
        assert target_of(f"syncdb.schema.schema_manager.{name}") is target_of(f"syncdb.db.schema.{name}")
