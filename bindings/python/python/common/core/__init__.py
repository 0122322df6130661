"""What a record is, and what happens to one."""

from common.core.base import BaseCollection, BaseOperation, BaseRecord
from common.core.schema import FieldType, Schema, SchemaField, SchemaRegistry
from common.core.serialization import (
    Serializable,
    SerializationRegistry,
    base64_to_bytes,
    bytes_to_base64,
    datetime_to_iso,
    deserialize_collection,
    iso_to_datetime,
    registry,
    serialize_collection,
)
from common.core.storage import Index, InMemoryStorage
from common.core.versioning import Change, ChangeTracker, ChangeType, Version, VersionVector

__all__ = [
    "BaseCollection",
    "BaseOperation",
    "BaseRecord",
    "Change",
    "ChangeTracker",
    "ChangeType",
    "FieldType",
    "InMemoryStorage",
    "Index",
    "Schema",
    "SchemaField",
    "SchemaRegistry",
    "Serializable",
    "SerializationRegistry",
    "Version",
    "VersionVector",
    "base64_to_bytes",
    "bytes_to_base64",
    "datetime_to_iso",
    "deserialize_collection",
    "iso_to_datetime",
    "registry",
    "serialize_collection",
]
