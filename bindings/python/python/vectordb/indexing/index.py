"""`VectorIndex`: vectors by id with metadata, searched by comparing all of them."""

from __future__ import annotations

import builtins
from typing import Any

from common.core import storage
from common.core.storage import InMemoryStorage
from tandemdb._native import vectordb as native

from vectordb.core.vector import Vector

__all__ = ["VectorIndex"]


class VectorIndex(native.VectorIndex, InMemoryStorage[Vector]):
    """Vectors by id with metadata, searched by comparing all of them.

    The metric is a name that `get_distance_function` knows; it raises `ValueError` for any other. Vectors may be of
    several dimensions, as long as no search meets two of them. An index is also a storage of the package `common`.
    """

    @property
    def _order(self) -> Any:  # type: ignore[override]
        """Of no use here: an index is its own order."""
        return storage._Order()

    def query(self, field_name: str, value: Any) -> builtins.list[Vector]:
        """Vectors whose attribute or metadata of that name has the value, in the order of adding."""
        index = self._indices.get(field_name)
        if index is None:
            return super().query(field_name, value)
        found = index.find(value)
        return [vector for vector in self if vector.id in found]
