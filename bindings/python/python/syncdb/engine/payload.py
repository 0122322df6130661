"""Rows of one table in few bytes: by column, each packed by a codec that is chosen by looking at its values."""

from __future__ import annotations

from tandemdb._native.engine import SharedDictionary, decode_rows, encode_rows
from tandemdb._native.engine import block_statistics as statistics

__all__ = ["LEVELS", "SharedDictionary", "decode_rows", "encode_rows", "statistics"]

LEVELS = ("none", "fast", "balanced", "small")
"""How hard packing tries, the fastest first."""
