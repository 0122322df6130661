"""Every name of the contract of `common`: where it is, and how it is called."""

from __future__ import annotations

import importlib
import inspect
from enum import Enum
from typing import Any

import pytest

import common

TOP = (
    "BaseRecord BaseCollection BaseOperation InMemoryStorage Serializable SerializationRegistry ChangeType Version "
    "ChangeTracker FieldType SchemaField Schema SchemaRegistry generate_id generate_uuid get_timestamp "
    "format_timestamp parse_timestamp validate_type validate_required deep_validate to_int to_float to_bool to_string "
    "safe_cast is_numeric is_collection compress_string decompress_string compress_bytes decompress_bytes "
    "compress_json decompress_json TYPE_COMPRESSORS TypeAwareCompressor Transformer Pipeline Operation Query "
    "QueryResult QueryType FilterCondition Operator"
)
SERIALIZATION = (
    "Serializable SerializationRegistry registry datetime_to_iso iso_to_datetime bytes_to_base64 base64_to_bytes "
    "serialize_collection deserialize_collection"
)
UTILS = (
    "generate_id generate_uuid get_timestamp format_timestamp parse_timestamp validate_type validate_required "
    "deep_validate to_int to_float to_bool to_string safe_cast is_numeric is_collection"
)
STREAMS = (
    "compress_string decompress_string compress_bytes decompress_bytes compress_json decompress_json TYPE_COMPRESSORS "
    "TypeAwareCompressor"
)
OPERATIONS = "Transformer Pipeline Operation Query QueryResult QueryType FilterCondition Operator"

EXPORTS = {
    "common": f"__version__ {TOP}",
    "common.core": f"BaseRecord BaseCollection BaseOperation InMemoryStorage Index {SERIALIZATION} ChangeType Version "
    "Change VersionVector ChangeTracker FieldType SchemaField Schema SchemaRegistry",
    "common.operations": OPERATIONS,
    "common.optimization": STREAMS,
    "common.utils": UTILS,
}
"""Packages and the whole of their `__all__`."""

HOMES = {
    "common.core.base": "BaseRecord BaseCollection BaseOperation",
    "common.core.storage": "Index InMemoryStorage",
    "common.core.serialization": SERIALIZATION,
    "common.core.versioning": "ChangeType Version Change VersionVector ChangeTracker",
    "common.core.schema": "FieldType SchemaField Schema SchemaRegistry",
    "common.operations.transform": "Operation Transformer Pipeline",
    "common.operations.query": "QueryType Operator FilterCondition QueryResult Query",
    "common.optimization.compression": f"{STREAMS} CompressionFormat TypeCompressor NumericCompressor "
    "BooleanCompressor StringCompressor ListCompressor DictCompressor BinaryCompressor NoneCompressor",
    "common.utils.id_generator": "generate_uuid generate_id",
    "common.utils.time_utils": "get_timestamp format_timestamp parse_timestamp time_since",
    "common.utils.type_utils": "to_int to_float to_bool to_string safe_cast is_numeric is_collection get_nested_value "
    "set_nested_value",
    "common.utils.validation": "validate_type validate_required validate_string validate_number validate_array "
    "deep_validate",
}
"""Modules that define names."""

ENUMS = {
    "ChangeType": "CREATE UPDATE DELETE",
    "FieldType": "STRING INTEGER FLOAT BOOLEAN ARRAY OBJECT NULL ANY",
    "QueryType": "EXACT RANGE PREFIX SUFFIX CONTAINS REGEX FULLTEXT SIMILARITY",
    "Operator": "AND OR NOT",
    "CompressionFormat": "NONE NUMERIC BOOLEAN STRING LIST DICT BINARY",
}

JSON = {"to_dict": "", "from_dict": "data", "to_json": "", "from_json": "json_str"}
DICT = {"to_dict": "", "from_dict": "data"}
COMPRESSOR = {"can_compress": "value", "compress": "value", "decompress": "format_type compressed_data"}
ITEMS = {"": "compression_level=6 type_aware_compressor=None", **COMPRESSOR}

CLASSES: dict[str, dict[str, str]] = {
    "BaseRecord": {"": "id=None metadata=None created_at=None updated_at=None", "update": "metadata=None", **JSON},
    "BaseCollection": {
        "": "",
        "add": "record",
        "get": "record_id",
        "update": "record_id **attributes",
        "delete": "record_id",
        "list": "",
        "count": "",
        "clear": "",
    },
    "BaseOperation": {"": "name description=None", "execute": "*args **kwargs", **DICT},
    "Index": {
        "": "field_name",
        "add": "record",
        "remove": "record",
        "update": "old_record new_record",
        "find": "value",
        "clear": "",
    },
    "InMemoryStorage": {
        "": "",
        "add_index": "field_name",
        "remove_index": "field_name",
        "add": "record",
        "update": "record_id **attributes",
        "delete": "record_id",
        "query": "field_name value",
        "filter": "predicate",
        "clear": "",
        "batch_add": "records",
        "batch_update": "updates",
        "batch_delete": "record_ids",
        "get_last_modified": "",
    },
    "Serializable": JSON,
    "SerializationRegistry": {
        "": "",
        "register": "type_name cls",
        "get_class": "type_name",
        "serialize": "obj",
        "deserialize": "data",
    },
    "Version": {"": "version_id=None timestamp=None metadata=None", **JSON},
    "Change": {
        "": "change_id=None change_type=None record_id=None before_version=None after_version=None timestamp=None "
        "metadata=None before_data=None after_data=None",
        **JSON,
    },
    "VersionVector": {"": "node_id=None", "increment": "", "merge": "other", "compare": "other", **JSON},
    "ChangeTracker": {
        "": "node_id=None",
        "record_create": "record",
        "record_update": "before_record after_record",
        "record_delete": "record",
        "get_changes_since": "since_timestamp",
        "get_changes_for_record": "record_id",
        "detect_conflicts": "other_changes",
        "merge": "other_tracker",
        "clear_history_before": "timestamp",
        **JSON,
    },
    "SchemaField": {
        "": "name field_type required=False nullable=True default=None description=None constraints=None",
        "validate": "value",
        **JSON,
    },
    "Schema": {
        "": "name fields version='1.0.0' description=None additional_properties=False",
        "validate": "data",
        "apply_defaults": "data",
        **JSON,
    },
    "SchemaRegistry": {
        "": "",
        "register": "schema",
        "get_schema": "name version=None",
        "validate": "data schema_name version=None",
        "list_schemas": "",
        **JSON,
    },
    "Operation": {"": "name operation_fn description=None", "execute": "data", "__call__": "data", **DICT},
    "Transformer": {"": "name description=None", "transform": "data", "__call__": "data", **DICT},
    "Pipeline": {
        "": "name transformers description=None",
        "transform": "data",
        "add_transformer": "transformer",
        "remove_transformer": "index",
        **DICT,
    },
    "FilterCondition": {"": "field_name operator value metadata=None", "matches": "record", **DICT},
    "QueryResult": {"": "results total_count=None execution_time=None metadata=None", "to_dict": ""},
    "Query": {
        "": "filters=None filter_operator=AND limit=None offset=None sort_by=None sort_order='asc' metadata=None",
        "execute": "collection",
        "add_filter": "filter_condition",
        **DICT,
    },
    "TypeCompressor": {"": "compression_level=6", **COMPRESSOR},
    "NoneCompressor": {"": "compression_level=6", **COMPRESSOR},
    "NumericCompressor": {"": "compression_level=6", **COMPRESSOR},
    "BooleanCompressor": {"": "compression_level=6", **COMPRESSOR},
    "StringCompressor": {"": "compression_level=6", **COMPRESSOR},
    "BinaryCompressor": {"": "compression_level=6", **COMPRESSOR},
    "ListCompressor": ITEMS,
    "DictCompressor": ITEMS,
    "TypeAwareCompressor": {
        "": "compression_level=6",
        "compress": "value",
        "decompress": "format_type compressed_data",
        "serialize": "value",
        "deserialize": "serialized_data",
    },
}
"""Classes, their constructors (under the empty name) and their methods."""

FUNCTIONS = {
    "datetime_to_iso": "dt",
    "iso_to_datetime": "iso_str",
    "bytes_to_base64": "data",
    "base64_to_bytes": "base64_str",
    "serialize_collection": "items",
    "deserialize_collection": "data item_class",
    "compress_bytes": "data level=6",
    "decompress_bytes": "compressed_data",
    "compress_string": "s level=6",
    "decompress_string": "compressed_data",
    "compress_json": "obj level=6",
    "decompress_json": "compressed_data",
    "generate_uuid": "",
    "generate_id": "prefix=None length=10",
    "get_timestamp": "",
    "format_timestamp": "timestamp format_str='%Y-%m-%d_%H:%M:%S'",
    "parse_timestamp": "timestamp_str format_str=None",
    "time_since": "timestamp",
    "to_int": "value default=None",
    "to_float": "value default=None",
    "to_bool": "value default=None",
    "to_string": "value default=None",
    "safe_cast": "value target_type default=None",
    "is_numeric": "value",
    "is_collection": "value",
    "get_nested_value": "data path default=None separator='.'",
    "set_nested_value": "data path value separator='.' create_path=True",
    "validate_type": "value expected_type field_name='Value'",
    "validate_required": "data required_fields",
    "validate_string": "value min_length=None max_length=None pattern=None field_name='Value'",
    "validate_number": "value minimum=None maximum=None field_name='Value'",
    "validate_array": "value min_items=None max_items=None unique_items=False item_validator=None field_name='Value'",
    "deep_validate": "data schema",
}

WHERE = {name: module for module, names in HOMES.items() for name in names.split()}


def home(name: str) -> Any:
    return getattr(importlib.import_module(WHERE[name]), name)


def shown(called: Any) -> str:
    """A signature in the table's notation."""
    shown = []
    for parameter in inspect.signature(called).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            shown.append(str(parameter).split(":")[0])
            continue
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        text = parameter.name
        if parameter.default is not parameter.empty:
            default = parameter.default
            text += "=" + (default.name if isinstance(default, Enum) else repr(default).replace(" ", "_"))
        shown.append(text)
    return " ".join(shown)


def test_version() -> None:
    assert common.__version__ == "0.1.0"


@pytest.mark.parametrize("package", EXPORTS)
def test_a_name_is_one_object(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(EXPORTS[package].split())
    for name in set(module.__all__) - {"__version__"}:
        assert getattr(module, name) is home(name)


@pytest.mark.parametrize("name", [*CLASSES, *ENUMS, *FUNCTIONS])
def test_a_name_knows_its_home_and_says_what_it_does(name: str) -> None:
    assert home(name).__module__ == WHERE[name]
    assert home(name).__name__ == name
    assert home(name).__doc__


def test_the_table_is_complete() -> None:
    assert {*CLASSES, *ENUMS, *FUNCTIONS, "registry", "TYPE_COMPRESSORS"} == set(WHERE)
    assert (len(CLASSES) + len(ENUMS), len(FUNCTIONS)) == (34, 33)


@pytest.mark.parametrize("name", ENUMS)
def test_enums(name: str) -> None:
    enum = home(name)
    assert issubclass(enum, Enum)
    assert [member.name for member in enum] == ENUMS[name].split()
    for member in enum:
        assert member.value == member.name.lower()
        assert enum(member.value) is member
    with pytest.raises(ValueError):
        enum("no such")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    assert shown(home(name)) == FUNCTIONS[name]


@pytest.mark.parametrize(("name", "member"), [(name, member) for name in CLASSES for member in CLASSES[name]])
def test_classes(name: str, member: str) -> None:
    cls = home(name)
    if member:
        assert shown(getattr(cls, member)) == CLASSES[name][member]
    else:
        assert shown(cls) == CLASSES[name][member]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("BaseCollection", 1),
        ("InMemoryStorage", 1),
        ("Index", 1),
        ("ChangeTracker", 1),
        ("QueryResult", 1),
        ("Operation", 2),
        ("Transformer", 2),
        ("Pipeline", 2),
    ],
)
def test_subscription(name: str, count: int) -> None:
    cls = home(name)
    arguments = (int, str)[:count]
    derived = type("Derived", (cls[arguments if count > 1 else int].__origin__,), {})
    assert issubclass(derived, cls)


def test_relations() -> None:
    pairs = {
        "InMemoryStorage": "BaseCollection",
        "Change": "Serializable",
        "SchemaField": "Serializable",
        "Schema": "Serializable",
        "Operation": "BaseOperation",
        "Pipeline": "Transformer",
        "ListCompressor": "TypeCompressor",
    }
    for derived, base in pairs.items():
        assert issubclass(home(derived), home(base))
