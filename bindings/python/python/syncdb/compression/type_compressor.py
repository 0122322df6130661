"""Values and records as few bytes that say their own types."""

from __future__ import annotations

import datetime
import enum
from typing import Any

from tandemdb._native import syncdb as _native

__all__ = [
    "BinaryCompressor",
    "BooleanCompressor",
    "CompressionLevel",
    "CompressorFactory",
    "DateTimeCompressor",
    "DictCompressor",
    "FloatCompressor",
    "IntCompressor",
    "ListCompressor",
    "NoneCompressor",
    "PayloadCompressor",
    "TextCompressor",
    "TypeCompressor",
]


class CompressionLevel(enum.Enum):
    """How hard texts and byte strings are packed: zlib's level is three times the value."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class TypeCompressor:
    """What compressors derive from, those of programs too: both methods raise until they are overridden."""

    def compress(self, value: Any) -> bytes:
        """The value as bytes."""
        raise NotImplementedError("a compressor has its own method `compress`")

    def decompress(self, data: bytes) -> Any:
        """The value of what `compress` made."""
        raise NotImplementedError("a compressor has its own method `decompress`")


class IntCompressor(_native.IntMethods, TypeCompressor):
    """Integers in the fewest of 1, 2, 4 and 8 bytes, big-endian.

    Those of more than 64 bits raise an error that is both `struct.error` and `ValueError`.
    """

    def __init__(self) -> None:
        pass


class FloatCompressor(_native.FloatMethods, TypeCompressor):
    """Floats in 4 bytes, rounded to the nearest; too large ones raise `OverflowError`.

    Lists and dicts write 8 bytes where 4 are not exact, which `decompress` reads as well.
    """

    def __init__(self) -> None:
        pass


class TextCompressor(_native.TextMethods, TypeCompressor):
    """Texts as UTF-8, or as a zlib stream where that is shorter: from 10 characters on, unless the level is NONE."""

    def __init__(self, level: CompressionLevel = CompressionLevel.MEDIUM) -> None:
        self.level = level


class BinaryCompressor(_native.BinaryMethods, TypeCompressor):
    """Byte strings as they are, or as a zlib stream where that is shorter: from 50 bytes on, unless the level is NONE.

    Bytes that begin with a zlib stream themselves are wrapped in another, so that they come back unchanged.
    """

    def __init__(self, level: CompressionLevel = CompressionLevel.MEDIUM) -> None:
        self.level = level


class DateTimeCompressor(_native.DateTimeMethods, TypeCompressor):
    """Times in 8 bytes, as seconds since the epoch, and dates in 4, as days.

    A time comes back as a naive one of the local zone, also if it had a zone.
    """

    def __init__(self) -> None:
        pass


class BooleanCompressor(_native.BooleanMethods, TypeCompressor):
    """`True` and `False` in one byte."""

    def __init__(self) -> None:
        pass


class NoneCompressor(_native.NoneMethods, TypeCompressor):
    """`None` in no bytes. Any value is written so, and read as `None`."""

    def __init__(self) -> None:
        pass


class ListCompressor(_native.ListMethods, TypeCompressor):
    """Lists, each element by the compressor that the factory has for its type."""

    def __init__(self, compressor_factory: CompressorFactory) -> None:
        self.compressor_factory = compressor_factory


class DictCompressor(_native.DictMethods, TypeCompressor):
    """Dicts with texts as keys, each value by the compressor that the factory has for its type.

    A key has at most 255 bytes; values of unknown types come back as `None`, tuples as lists.
    """

    def __init__(self, compressor_factory: CompressorFactory) -> None:
        self.compressor_factory = compressor_factory
        self.text_compressor = TextCompressor(CompressionLevel.MEDIUM)


class CompressorFactory(_native.CompressorTableMethods):
    """Which number a type has, and which compressor a number: both tables are dicts that programs may extend."""

    def __init__(self, compression_level: CompressionLevel = CompressionLevel.MEDIUM) -> None:
        self.compression_level = compression_level
        self.type_to_signature: dict[type, int] = {
            type(None): 0,
            bool: 1,
            int: 2,
            float: 3,
            str: 4,
            bytes: 5,
            list: 6,
            dict: 7,
            datetime.datetime: 8,
            datetime.date: 9,
        }
        self.signature_to_compressor: dict[int, Any] = {}
        self._initialize_compressors()

    def _initialize_compressors(self) -> None:
        """Puts new compressors under the ten known numbers; others stay."""
        level = self.compression_level
        self.signature_to_compressor = {
            **self.signature_to_compressor,
            0: NoneCompressor(),
            1: BooleanCompressor(),
            2: IntCompressor(),
            3: FloatCompressor(),
            4: TextCompressor(level),
            5: BinaryCompressor(level),
            6: ListCompressor(self),
            7: DictCompressor(self),
            8: DateTimeCompressor(),
            9: DateTimeCompressor(),
        }

    def set_compression_level(self, level: CompressionLevel) -> None:
        """Makes new compressors of that level."""
        self.compression_level = level
        self._initialize_compressors()


class PayloadCompressor(_native.PayloadMethods):
    """Records and changes as bytes, which any instance reads, whatever its level."""

    def __init__(
        self,
        compression_level: CompressionLevel = CompressionLevel.MEDIUM,
        schema: dict[str, Any] | None = None,
    ) -> None:
        self.compressor_factory = CompressorFactory(compression_level)
        self.schema: Any = schema if schema is not None else {}

    def set_compression_level(self, level: CompressionLevel) -> None:
        """Compresses at that level from now on."""
        self.compressor_factory.set_compression_level(level)

    def set_schema(self, schema: Any) -> None:
        """Remembers a schema; it has no influence."""
        self.schema = schema
