"""What the fields of data may hold, and what is wrong with data that does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from time import time
from typing import Any, TypeVar

from tandemdb._native import common as native

from common.core.serialization import Serializable

F = TypeVar("F", bound="SchemaField")
S = TypeVar("S", bound="Schema")
R = TypeVar("R", bound="SchemaRegistry")


class FieldType(Enum):
    """What kind of value a field holds."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"
    NULL = "null"
    ANY = "any"


_FIELD_TYPES: dict[str, FieldType] = {kind.value: kind for kind in FieldType}


class SchemaField(Serializable):
    """The name, type and constraints of one field.

    `constraints` may hold `min_length`, `max_length` and `pattern` of a string; `minimum` and `maximum` of a number;
    `min_items`, `max_items` and `unique_items` of an array; and keys of the caller's own.
    """

    name: str
    field_type: FieldType
    required: bool
    nullable: bool
    default: Any
    description: str | None
    constraints: dict[str, Any]

    def __init__(
        self,
        name: str,
        field_type: FieldType | str,
        required: bool = False,
        nullable: bool = True,
        default: Any = None,
        description: str | None = None,
        constraints: dict[str, Any] | None = None,
    ) -> None:
        """A type given by an unknown name is `FieldType.ANY`."""
        self.name = name
        self.field_type = _FIELD_TYPES.get(field_type, FieldType.ANY) if isinstance(field_type, str) else field_type
        self.required = required
        self.nullable = nullable
        self.default = default
        self.description = description
        self.constraints = constraints or {}

    def validate(self, value: Any) -> tuple[bool, str | None]:
        """Whether the field may hold the value, and why not."""
        return native.check_field(self, value)

    def to_dict(self) -> dict[str, Any]:
        """The attributes, the type by its value."""
        return {
            "name": self.name,
            "field_type": self.field_type.value,
            "required": self.required,
            "nullable": self.nullable,
            "default": self.default,
            "description": self.description,
            "constraints": self.constraints,
        }

    @classmethod
    def from_dict(cls: type[F], data: dict[str, Any]) -> F:
        """Inverse of `to_dict`; name and type are needed."""
        get = data.get
        return cls(
            name=data["name"],
            field_type=data["field_type"],
            required=get("required", False),
            nullable=get("nullable", True),
            default=get("default"),
            description=get("description"),
            constraints=get("constraints"),
        )


class Schema(Serializable):
    """A named set of fields, with a version."""

    name: str
    fields: dict[str, SchemaField]
    version: str
    description: str | None
    additional_properties: bool
    created_at: float

    def __init__(
        self,
        name: str,
        fields: list[SchemaField],
        version: str = "1.0.0",
        description: str | None = None,
        additional_properties: bool = False,
    ) -> None:
        """Of two fields with one name the last counts."""
        self.name = name
        self.fields = {field.name: field for field in fields}
        self.version = version
        self.description = description
        self.additional_properties = additional_properties
        self.created_at = time()

    def validate(self, data: Mapping[str, Any]) -> tuple[bool, list[str]]:
        """Whether the data fits, and all that is wrong with it: missing fields first, then in the order of the data."""
        plain = SchemaField if SchemaField.validate is _VALIDATE else None
        return native.check_fields(self.fields, data, self.additional_properties, plain)

    def apply_defaults(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the data in which absent fields have their defaults; the defaults are copied too."""
        result = dict(data)
        for name, field in self.fields.items():
            if name not in result and field.default is not None:
                result[name] = native.deep_copy(field.default)
        return result

    def to_dict(self) -> dict[str, Any]:
        """The attributes, the fields as a list of dicts."""
        return {
            "name": self.name,
            "fields": [field.to_dict() for field in self.fields.values()],
            "version": self.version,
            "description": self.description,
            "additional_properties": self.additional_properties,
            "created_at": self.created_at,
        }

    @classmethod
    def from_dict(cls: type[S], data: dict[str, Any]) -> S:
        """Inverse of `to_dict`; name and fields are needed."""
        made = cls(
            name=data["name"],
            fields=[SchemaField.from_dict(field) for field in data["fields"]],
            version=data.get("version", "1.0.0"),
            description=data.get("description"),
            additional_properties=data.get("additional_properties", False),
        )
        if data.get("created_at") is not None:
            made.created_at = data["created_at"]
        return made


_VALIDATE = SchemaField.validate


class SchemaRegistry:
    """Schemas by name and version."""

    schemas: dict[str, dict[str, Schema]]

    def __init__(self) -> None:
        """Empty."""
        self.schemas = {}

    def register(self, schema: Schema) -> None:
        """Keeps a schema under its name and version."""
        self.schemas.setdefault(schema.name, {})[schema.version] = schema

    def get_schema(self, name: str, version: str | None = None) -> Schema | None:
        """A schema, or `None`; without a version the highest, by the numbers between its dots."""
        versions = self.schemas.get(name)
        if not versions:
            return None
        if version is None:
            version = max(versions, key=_version_key) if len(versions) > 1 else next(iter(versions))
        return versions.get(version)

    def validate(self, data: Mapping[str, Any], schema_name: str, version: str | None = None) -> tuple[bool, list[str]]:
        """Whether the data fits the schema, and all that is wrong with it."""
        schema = self.get_schema(schema_name, version)
        if schema is None:
            return False, [f"Schema '{schema_name}' not found"]
        return schema.validate(data)

    def list_schemas(self) -> list[dict[str, Any]]:
        """Name, version, description and time of creation of each."""
        return [
            {
                "name": schema.name,
                "version": schema.version,
                "description": schema.description,
                "created_at": schema.created_at,
            }
            for versions in self.schemas.values()
            for schema in versions.values()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Names to versions to the dicts of schemas."""
        return {
            name: {version: schema.to_dict() for version, schema in versions.items()}
            for name, versions in self.schemas.items()
        }

    @classmethod
    def from_dict(cls: type[R], data: dict[str, Any]) -> R:
        """Inverse of `to_dict`."""
        made = cls()
        for versions in data.values():
            for schema in versions.values():
                made.register(Schema.from_dict(schema))
        return made

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls: type[R], json_str: str | bytes | bytearray) -> R:
        """Inverse of `to_json`."""
        return cls.from_dict(json.loads(json_str))


def _version_key(version: Any) -> tuple[list[tuple[int, int, str]], str]:
    """Orders versions by the numbers between dots; a part that is no number is below every number."""
    text = str(version)
    parts = [(1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part) for part in text.split(".")]
    return parts, text
