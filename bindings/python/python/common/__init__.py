"""The layer below `syncdb` and `vectordb`: records, storage, schemas, versions, queries, transformations."""

from common.core.base import BaseCollection, BaseOperation, BaseRecord
from common.core.schema import FieldType, Schema, SchemaField, SchemaRegistry
from common.core.serialization import Serializable, SerializationRegistry
from common.core.storage import InMemoryStorage
from common.core.versioning import ChangeTracker, ChangeType, Version
from common.operations.query import FilterCondition, Operator, Query, QueryResult, QueryType
from common.operations.transform import Operation, Pipeline, Transformer
from common.optimization.compression import (
    TYPE_COMPRESSORS,
    TypeAwareCompressor,
    compress_bytes,
    compress_json,
    compress_string,
    decompress_bytes,
    decompress_json,
    decompress_string,
)
from common.utils.id_generator import generate_id, generate_uuid
from common.utils.time_utils import format_timestamp, get_timestamp, parse_timestamp
from common.utils.type_utils import is_collection, is_numeric, safe_cast, to_bool, to_float, to_int, to_string
from common.utils.validation import deep_validate, validate_required, validate_type

__version__ = "0.1.0"

__all__ = [
    "TYPE_COMPRESSORS",
    "BaseCollection",
    "BaseOperation",
    "BaseRecord",
    "ChangeTracker",
    "ChangeType",
    "FieldType",
    "FilterCondition",
    "InMemoryStorage",
    "Operation",
    "Operator",
    "Pipeline",
    "Query",
    "QueryResult",
    "QueryType",
    "Schema",
    "SchemaField",
    "SchemaRegistry",
    "Serializable",
    "SerializationRegistry",
    "Transformer",
    "TypeAwareCompressor",
    "Version",
    "__version__",
    "compress_bytes",
    "compress_json",
    "compress_string",
    "decompress_bytes",
    "decompress_json",
    "decompress_string",
    "deep_validate",
    "format_timestamp",
    "generate_id",
    "generate_uuid",
    "get_timestamp",
    "is_collection",
    "is_numeric",
    "parse_timestamp",
    "safe_cast",
    "to_bool",
    "to_float",
    "to_int",
    "to_string",
    "validate_required",
    "validate_type",
]
