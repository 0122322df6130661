"""Smaller forms of values."""

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

__all__ = [
    "TYPE_COMPRESSORS",
    "TypeAwareCompressor",
    "compress_bytes",
    "compress_json",
    "compress_string",
    "decompress_bytes",
    "decompress_json",
    "decompress_string",
]
