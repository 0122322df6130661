"""Collections of vectors with metadata: search with filters, several vectors a row, dense and sparse, saved and opened.

A row has an id, vectors, and columns of metadata that a schema describes. Vectors come as `vectordb.search` takes them.
A filter is a text, as in `"year >= 1990 and (language = 'en' or not tags contains 'draft')"`, or a dict in the engine's
JSON form, as in `{"compare": {"path": "year", "op": "ge", "value": 1990}}`.

Searches run beside writes: each sees the state of one commit, and the lock of Python's is not held.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tandemdb._native import collections as _native
from tandemdb._waiting import in_thread, watched

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    Filter = str | Mapping[str, Any]
    Progress = Callable[[int, int], object]

__all__ = [
    "Explanation",
    "FusedHit",
    "Hit",
    "Imported",
    "Search",
    "VectorCollection",
    "VectorDb",
    "VectorOptions",
]

Explanation = _native.Explanation
FusedHit = _native.FusedHit
Hit = _native.Hit
Imported = _native.Imported

_TYPES: dict[Any, Any] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    bytes: "bytes",
    datetime: "timestamp",
    date: "date",
    UUID: "uuid",
    list: {"list": "any"},
    dict: {"map": "any"},
    object: "any",
}


@dataclass(frozen=True)
class VectorOptions:
    """What the vectors of a column are, how they are kept and what finds them."""

    dimension: int
    metric: str = "euclidean"
    index: str | Mapping[str, Any] = "exact"
    """`exact`, `clustered` or `graph`, or a dict of the options of one: `{"kind": "graph", "layout": "fast"}`."""
    precision: str | None = None
    """f32, f16, i8, or bits for the metrics hamming and jaccard; rows keep what was given."""
    threads: int | None = None
    """Most threads that scan for one search, answer many, and build."""


@dataclass(frozen=True)
class Search:
    """A search for the rows nearest to a vector, to a sparse vector, or to a row of this id: one of the three."""

    vector: Any = None
    sparse: Any = None
    """Positions and weights, as a dict or pairs: the distance is the inner product, negated."""
    like: Any = None
    k: int = 10
    on: str | None = None
    """The column of vectors, if there are several."""
    filter: Filter | None = None
    select: Sequence[str] | None = None
    """The columns that hits carry, vectors among them if they are named; all metadata if none is given."""
    within: float | None = None
    """None farther than this; all of them, up to `k`, unless `effort` or `recall` is given."""
    effort: int | None = None
    """Candidates that a graph keeps, clusters that are scanned."""
    recall: float | None = None
    """Which share of the true neighbours is to be found: the first such search finds the effort it takes."""
    diverse: tuple[float, int] | None = None
    """Lambda, from 0 (hits need only differ) to 1 (only be near), and how many candidates there are to choose from."""
    weight: float = 1.0
    """What it counts as part of a hybrid search."""


class VectorCollection(_native.VectorCollection):
    """Vectors with metadata: `VectorDb.create_collection` makes one, `VectorDb.collection` gives it again."""

    @property
    def options(self) -> dict[str, Any]:
        """The type of the ids, and the columns of vectors with their options."""
        options: dict[str, Any] = json.loads(self._options)
        return options

    def search(self, vector: Any = None, k: int = 10, **options: Any) -> list[Hit]:
        """The rows nearest to a vector, or to what else a `Search` may be for; `options` are its fields."""
        return self._search(_search(vector, k, options))

    def search_many(self, vectors: Any, k: int = 10, **options: Any) -> list[list[Hit]]:
        """`search` for each row of `vectors`, all of one state, on all cores."""
        return self._search_many(Search(vectors, k=k, **options))

    def explain(self, vector: Any = None, k: int = 10, **options: Any) -> Explanation:
        """How `search` answers: what the filter let through, what was compared, how long that took."""
        return self._explain(_search(vector, k, options))

    async def search_async(self, vector: Any = None, k: int = 10, **options: Any) -> list[Hit]:
        """`search`, awaited while other tasks run."""
        return await in_thread(self.search, vector, k, **options)

    async def search_hybrid_async(self, parts: Sequence[Search], k: int = 10, **options: Any) -> list[FusedHit]:
        """`search_hybrid`, awaited while other tasks run."""
        return await in_thread(self.search_hybrid, parts, k, **options)

    async def upsert_many_async(
        self, ids: Iterable[Any], vectors: Any, rows: Any = None, *, progress: Progress | None = None
    ) -> int:
        """`upsert_many`, awaited; a task that is cancelled waits no more, and all rows are there or none."""
        return await watched(self.upsert_many, ids, vectors, rows, progress=progress)

    async def import_file_async(
        self, path: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any
    ) -> Imported:
        """`import_file`, awaited; a task that is cancelled waits no more, and all rows are there or none."""
        return await watched(self.import_file, path, progress=progress, **options)


def _search(vector: Any, k: int, options: dict[str, Any]) -> Search:
    """A search that is given as one, or by its fields."""
    if isinstance(vector, Search):
        if options or k != 10:
            msg = "a Search says all of itself; change it with dataclasses.replace"
            raise TypeError(msg)
        return vector
    return Search(vector, k=k, **options)


class VectorDb(_native.VectorDb):
    """Collections of vectors with metadata: `VectorDb()` is empty, `VectorDb(path)` what `save` wrote there.

    `VectorDb(store=store)` has the collections in the folder of a `tandemdb.durable.DurableDatabase`: methods that
    write return when that is safe, and indexes are saved beside the rows when it is closed, so none is built again.

    Leaving a `with` block closes it, which gives up its files and saves nothing but the indexes of a store.
    """

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> VectorDb:
        """What `save` wrote: rows are read, indexes are mapped and need no rebuild.

        Raises `OSError` when there is no such file, `ValueError` when it is another or damaged.
        """
        return cls(Path(path))

    def create_collection(
        self,
        name: str,
        vectors: int | VectorOptions | Mapping[str, VectorOptions] | None = None,
        fields: Mapping[str, Any] | None = None,
        *,
        sparse: Iterable[str] | Mapping[str, int] = (),
        key: Any = int,
        **options: Any,
    ) -> VectorCollection:
        """Creates an empty collection with the column `id`, columns of vectors, and columns of metadata.

        `vectors`: a dimension, with the other fields of `VectorOptions` as keywords; such options; or several by name.
        `sparse`: names of columns of sparse vectors, or a dict of names and how many positions there are.
        `fields`: names of columns and their types: `int`, `str`, `datetime`, ..., the engine's name of a type, or a
        dict of a field: `{"type": "float", "nullable": True, "rules": [{"range": {"min": 0, "max": None}}]}`.
        `key`: the type of the ids.
        """
        columns: list[dict[str, Any]]
        if isinstance(vectors, int):
            vectors = VectorOptions(vectors, **options)
        elif options:
            msg = f"unexpected keyword arguments: {', '.join(options)}; they go with a dimension"
            raise TypeError(msg)
        if vectors is None:
            columns = []
        elif isinstance(vectors, VectorOptions):
            columns = [_vectors(vectors, None, key)]
        else:
            columns = [_vectors(one, column, key) for column, one in vectors.items()]
        if isinstance(sparse, str):
            sparse = (sparse,)
        positions = sparse if hasattr(sparse, "items") else dict.fromkeys(sparse)
        given = {
            "key": _type(key),
            "vectors": columns,
            "sparse": [
                {"column": column} if count is None else {"column": column, "dimension": count}
                for column, count in positions.items()
            ],
            "fields": [_field(field, ty) for field, ty in (fields or {}).items()],
        }
        return VectorCollection(self._create(name, json.dumps(given)))

    def collection(self, name: str) -> VectorCollection:
        """The collection of this name. Raises `KeyError`, with the names there are."""
        return VectorCollection(super().collection(name))

    def collections(self) -> list[VectorCollection]:
        """All collections, sorted by name."""
        return [self.collection(name) for name in self.names()]

    def __enter__(self) -> VectorDb:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _type(ty: Any) -> Any:
    """The engine's name of a type."""
    return ty if isinstance(ty, (str, dict)) else _TYPES[ty]


def _field(name: str, ty: Any) -> dict[str, Any]:
    if isinstance(ty, dict) and "type" in ty:
        return {**ty, "name": name, "type": _type(ty["type"])}
    return {"name": name, "type": _type(ty)}


def _vectors(options: VectorOptions, column: str | None, key: Any) -> dict[str, Any]:
    index = options.index if not isinstance(options.index, str) else {"kind": options.index}
    given = {
        "dimension": options.dimension,
        "metric": options.metric,
        "key": _type(key),
        "index": dict(index),
        "threads": options.threads,
    }
    if options.precision is not None:
        given["precision"] = options.precision
    if column is not None:
        given["column"] = column
    return given
