"""zlib streams of bytes, texts and JSON, and values in the bytes of their type."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from tandemdb._native import common as native

__all__ = [
    "TYPE_COMPRESSORS",
    "BinaryCompressor",
    "BooleanCompressor",
    "CompressionFormat",
    "DictCompressor",
    "ListCompressor",
    "NoneCompressor",
    "NumericCompressor",
    "StringCompressor",
    "TypeAwareCompressor",
    "TypeCompressor",
    "compress_bytes",
    "compress_json",
    "compress_string",
    "decompress_bytes",
    "decompress_json",
    "decompress_string",
]

compress_bytes = native.compress_bytes
compress_string = native.compress_string
decompress_bytes = native.decompress_bytes
decompress_string = native.decompress_string

for _function in (compress_bytes, compress_string, decompress_bytes, decompress_string):
    _function.__module__ = __name__

_encode = json.JSONEncoder(separators=(",", ":")).encode


def compress_json(obj: Any, level: int = 6) -> bytes:
    """A zlib stream of compact JSON. Raises `TypeError` for what JSON cannot hold."""
    return compress_string(_encode(obj), level)


def decompress_json(compressed_data: bytes) -> Any:
    """What the JSON in a zlib stream says."""
    return json.loads(decompress_string(compressed_data))


class CompressionFormat(Enum):
    """How a value is stored."""

    NONE = "none"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    STRING = "string"
    LIST = "list"
    DICT = "dict"
    BINARY = "binary"


class TypeCompressor:
    """Stores values of one type; a class derives from it and says how."""

    compression_level: int

    def __init__(self, compression_level: int = 6) -> None:
        """A level of zlib, -1 to 9."""
        self.compression_level = compression_level

    def can_compress(self, value: Any) -> bool:
        """Whether it takes the value."""
        raise NotImplementedError

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """The value's format and bytes. Raises `ValueError` for a value that it does not take."""
        raise NotImplementedError

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> Any:
        """Inverse of `compress`. Raises `ValueError` for another format."""
        raise NotImplementedError

    def _refuse(self, value: Any) -> ValueError:
        return ValueError(f"{type(self).__name__} cannot compress a value of type {type(value).__name__}")


def _check(format_type: Any, own: CompressionFormat) -> None:
    """Raises `ValueError` for another format than the compressor's own."""
    if format_type is not own:
        raise ValueError(f"Invalid format type: {format_type}")


class NoneCompressor(TypeCompressor):
    """Stores `None` as nothing."""

    def can_compress(self, value: Any) -> bool:
        """Only `None`."""
        return value is None

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """No bytes."""
        if value is not None:
            raise self._refuse(value)
        return CompressionFormat.NONE, b""

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> None:  # noqa: ARG002
        """`None`."""
        _check(format_type, CompressionFormat.NONE)


class NumericCompressor(TypeCompressor):
    """Stores an int or a float as its text."""

    def can_compress(self, value: Any) -> bool:
        """Ints and floats, but no bools."""
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """What `repr` gives."""
        if not self.can_compress(value):
            raise self._refuse(value)
        return CompressionFormat.NUMERIC, native.pack_number(value)

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> int | float:
        """A float when the text is one of a float."""
        _check(format_type, CompressionFormat.NUMERIC)
        return native.unpack_number(compressed_data)


class BooleanCompressor(TypeCompressor):
    """Stores a bool as one digit."""

    def can_compress(self, value: Any) -> bool:
        """Only bools."""
        return isinstance(value, bool)

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """`1` or `0`."""
        if not isinstance(value, bool):
            raise self._refuse(value)
        return CompressionFormat.BOOLEAN, b"1" if value else b"0"

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> bool:
        """Whether it is `1`."""
        _check(format_type, CompressionFormat.BOOLEAN)
        return compressed_data == b"1"


class StringCompressor(TypeCompressor):
    """Stores a text: a short one as it is, others in a zlib stream."""

    def can_compress(self, value: Any) -> bool:
        """Only texts."""
        return isinstance(value, str)

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """UTF-8, in a stream from 20 characters on."""
        if not isinstance(value, str):
            raise self._refuse(value)
        return CompressionFormat.STRING, native.pack_text_or_bytes(value, self.compression_level)

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> str:
        """The text of a stream, or of the bytes when they are none."""
        _check(format_type, CompressionFormat.STRING)
        return native.unpack_text(compressed_data)


class BinaryCompressor(TypeCompressor):
    """Stores bytes: as they are when that is shorter, otherwise in a zlib stream."""

    def can_compress(self, value: Any) -> bool:
        """Only `bytes`."""
        return isinstance(value, bytes)

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """The bytes, in a stream from 20 on when that is shorter."""
        if not isinstance(value, bytes):
            raise self._refuse(value)
        return CompressionFormat.BINARY, native.pack_text_or_bytes(value, self.compression_level)

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> bytes:
        """What a stream holds, or the bytes when they are none."""
        _check(format_type, CompressionFormat.BINARY)
        return native.unpack_bytes(compressed_data)


class ListCompressor(TypeCompressor):
    """Stores a list as JSON in a zlib stream, each item by a type-aware compressor if there is one."""

    type_aware_compressor: TypeAwareCompressor | None

    def __init__(self, compression_level: int = 6, type_aware_compressor: TypeAwareCompressor | None = None) -> None:
        """A level of zlib, and what stores the items."""
        super().__init__(compression_level)
        self.type_aware_compressor = type_aware_compressor

    def can_compress(self, value: Any) -> bool:
        """Only lists."""
        return isinstance(value, list)

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """`[]`, or a stream."""
        if not isinstance(value, list):
            raise self._refuse(value)
        return CompressionFormat.LIST, native.pack_list(value, self.type_aware_compressor, self.compression_level)

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> list[Any]:
        """The list of a stream or of plain JSON."""
        _check(format_type, CompressionFormat.LIST)
        return native.unpack_list(compressed_data, self.type_aware_compressor)


class DictCompressor(TypeCompressor):
    """Stores a dict as JSON in a zlib stream, each value by a type-aware compressor if there is one."""

    type_aware_compressor: TypeAwareCompressor | None

    def __init__(self, compression_level: int = 6, type_aware_compressor: TypeAwareCompressor | None = None) -> None:
        """A level of zlib, and what stores the values."""
        super().__init__(compression_level)
        self.type_aware_compressor = type_aware_compressor

    def can_compress(self, value: Any) -> bool:
        """Only dicts."""
        return isinstance(value, dict)

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """`{}`, or a stream; keys become texts as in JSON."""
        if not isinstance(value, dict):
            raise self._refuse(value)
        return CompressionFormat.DICT, native.pack_dict(value, self.type_aware_compressor, self.compression_level)

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> dict[str, Any]:
        """The dict of a stream or of plain JSON."""
        _check(format_type, CompressionFormat.DICT)
        return native.unpack_dict(compressed_data, self.type_aware_compressor)


TYPE_COMPRESSORS: dict[CompressionFormat, type[TypeCompressor]] = {
    CompressionFormat.NONE: NoneCompressor,
    CompressionFormat.NUMERIC: NumericCompressor,
    CompressionFormat.BOOLEAN: BooleanCompressor,
    CompressionFormat.STRING: StringCompressor,
    CompressionFormat.BINARY: BinaryCompressor,
    CompressionFormat.LIST: ListCompressor,
    CompressionFormat.DICT: DictCompressor,
}
"""The compressors of a new `TypeAwareCompressor`, in the order in which they are asked."""


class TypeAwareCompressor:
    """Stores any value by the first compressor that takes it, and says by which."""

    compression_level: int
    compressors: dict[CompressionFormat, TypeCompressor]

    def __init__(self, compression_level: int = 6) -> None:
        """One compressor of each format; callers may put their own into `compressors`."""
        self.compression_level = compression_level
        self.compressors = {}
        for format_type, cls in TYPE_COMPRESSORS.items():
            if issubclass(cls, (ListCompressor, DictCompressor)):
                self.compressors[format_type] = cls(compression_level, self)
            else:
                self.compressors[format_type] = cls(compression_level)

    def compress(self, value: Any) -> tuple[CompressionFormat, bytes]:
        """The value's format and bytes; what no compressor takes becomes JSON text, a tuple a list.

        Raises `TypeError` for what JSON cannot hold.
        """
        return native.pack_value(self, value)

    def decompress(self, format_type: CompressionFormat, compressed_data: bytes) -> Any:
        """Inverse of `compress`. Raises `ValueError` for a format without a compressor."""
        compressor = self.compressors.get(format_type)
        if compressor is None:
            raise ValueError(f"Unsupported format type: {format_type}")
        return compressor.decompress(format_type, compressed_data)

    def serialize(self, value: Any) -> bytes:
        """The format's name, a colon, and the bytes."""
        format_type, data = self.compress(value)
        return format_type.value.encode() + b":" + data

    def deserialize(self, serialized_data: bytes) -> Any:
        """Inverse of `serialize`. Raises `ValueError` without a colon or for an unknown format."""
        name, colon, data = bytes(serialized_data).partition(b":")
        if not colon:
            raise ValueError("Invalid serialized data: there is no colon")
        return self.decompress(CompressionFormat(name.decode()), data)
