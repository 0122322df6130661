"""Indexes of vectors: the nearest of them, exactly or faster than that.

Vectors come as arrays, one in each row: of NumPy, of whatever speaks DLPack (a tensor of PyTorch on the CPU) or the
buffer protocol, or as lists. float32 is taken as it is; float16, integers of up to 16 bits and bool are exactly such
floats; float64 and wider integers are rounded to the nearest. Anything else, other shapes, NaN and infinity are refused
with an error that names dtype, shape or row. Rows go block by block into the index's own memory; no copy of the whole
array is made on the way, whatever its layout.

The number of a vector is its row, from 0; `add` and `insert` return the numbers they give, those of removed vectors
first. Results are a pair of arrays, numbers (int64) and distances (float64); without NumPy they are lists.

An index may be searched by many threads at once while one changes it: each search sees the vectors as they were when it
began, and holds no lock of Python's.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tandemdb._native import search as _native
from tandemdb._waiting import in_thread, watched

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType

    Vectors = Any
    Progress = Callable[[int, int], object]

__all__ = ["ClusteredIndex", "ExactIndex", "GraphIndex", "Index", "read_vectors", "write_vectors"]


read_vectors = _native.read_vectors
write_vectors = _native.write_vectors


class Index(_native.Index):
    """What all indexes have in common; `Index.open` gives one of the classes below."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, access: str = "map", threads: int | None = None) -> Index:
        """Opens what `save` wrote: `access="map"` in milliseconds whatever the size, `"memory"` by reading all of it.

        Raises `OSError` when there is no such file, `ValueError` when it is no index or is damaged.
        """
        opened = _native.OpenedIndex(Path(path), access)
        kind = _KINDS[json.loads(opened.options)["kind"]]
        if not issubclass(kind, cls):
            msg = f"{path} holds a {kind.__name__}, not a {cls.__name__}"
            raise ValueError(msg)
        return _native.Index.__new__(kind, opened, "", metric="", threads=threads)

    @classmethod
    async def build_async(cls, vectors: Vectors, *, progress: Progress | None = None, **options: Any) -> Index:
        """The constructor, awaited; cancelling the task ends the build."""
        return await watched(cls, vectors, progress=progress, **options)

    @property
    def options(self) -> dict[str, Any]:
        """The kind of index and its options, defaults filled in."""
        options: dict[str, Any] = json.loads(self._options)
        return options

    async def add_async(self, vectors: Vectors, *, progress: Progress | None = None) -> Any:
        """`add`, awaited; cancelling the task leaves the index as it was."""
        return await watched(self.add, vectors, progress=progress)

    async def search_async(self, query: Vectors, k: int = 10, **options: Any) -> tuple[Any, Any]:
        """`search`, awaited while other tasks run."""
        return await in_thread(self.search, query, k, **options)

    async def search_many_async(
        self, queries: Vectors, k: int = 10, *, progress: Progress | None = None, **options: Any
    ) -> tuple[Any, Any]:
        """`search_many`, awaited; cancelling the task ends the search."""
        return await watched(self.search_many, queries, k, progress=progress, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies: the vectors and the index as `save` writes them, nothing is built again.

        Threads of a search are chosen anew where it is read, one unless `threads` is given to a constructor.
        """
        with TemporaryDirectory(prefix="tandemdb-") as folder:
            path = Path(folder) / "index"
            self._copy_to(path)
            return _unpickled, (type(self), path.read_bytes()), self.__dict__ or None

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ExactIndex(Index):
    """Compares a query with every vector: always right, and the cost of a search grows with the vectors."""

    def __new__(
        cls,
        vectors: Vectors = None,
        *,
        metric: str = "euclidean",
        precision: str | None = None,
        dimension: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> ExactIndex:
        """Of the rows of an array or of a file that `read_vectors` reads; see `GraphIndex` for the keywords."""
        return super().__new__(
            cls,
            vectors,
            '{"kind": "exact"}',
            metric=metric,
            precision=precision,
            dimension=dimension,
            threads=threads,
            progress=progress,
        )


class ClusteredIndex(Index):
    """Groups vectors around centres, keeps some bits of each element: built in seconds, small, cheap to change.

    Not for the metrics manhattan, chebyshev, hamming and jaccard. The effort of a search is a number of clusters.
    """

    def __new__(
        cls,
        vectors: Vectors = None,
        *,
        metric: str = "euclidean",
        precision: str | None = None,
        clusters: int | None = None,
        bits: int = 1,
        seed: int = 0,
        build_threads: int | None = None,
        dimension: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> ClusteredIndex:
        """`clusters`: 1 to 65,536, `bits` of each element: 1 to 8."""
        options = {"kind": "clustered", "clusters": clusters, "bits": bits, "seed": seed, "threads": build_threads}
        return super().__new__(
            cls,
            vectors,
            json.dumps(options),
            metric=metric,
            precision=precision,
            dimension=dimension,
            threads=threads,
            progress=progress,
        )


class GraphIndex(Index):
    """Links each vector with near ones: the fastest searches, and the longest build.

    The effort of a search is the number of candidates it keeps on the way, 64 if not given.
    """

    def __new__(
        cls,
        vectors: Vectors = None,
        *,
        metric: str = "euclidean",
        precision: str | None = None,
        layout: str = "compact",
        degree: int = 32,
        build_candidates: int = 100,
        spread: float = 1.1,
        seed: int = 0,
        build_threads: int | None = None,
        dimension: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> GraphIndex:
        """Of the rows of an array or of a file that `read_vectors` reads; of none, with a `dimension`.

        `metric`: euclidean, squared_euclidean, cosine, dot, manhattan, chebyshev, hamming or jaccard.
        `precision`: how vectors are kept: f32, f16, i8, or bits for hamming and jaccard.
        `layout`: compact, or fast, which takes more memory and is several times faster at many dimensions.
        `degree`: neighbours of each vector: 32, 64, 96 or 128. `build_candidates`: 16 to 2,048.
        `spread`: how much longer a detour may be than the link it makes unnecessary: 1 to 2.
        `build_threads`: all cores if not given; they do not change the graph. `threads` of one search that scans: 1.
        `progress(done, total)` is called by this thread every 20 ms or so; Ctrl-C ends a build.
        """
        options = {
            "kind": "graph",
            "layout": layout,
            "degree": degree,
            "build_candidates": build_candidates,
            "spread": spread,
            "seed": seed,
            "threads": build_threads,
        }
        return super().__new__(
            cls,
            vectors,
            json.dumps(options),
            metric=metric,
            precision=precision,
            dimension=dimension,
            threads=threads,
            progress=progress,
        )


def _unpickled(cls: type[Index], data: bytes) -> Index:
    """The index that was pickled."""
    with TemporaryDirectory(prefix="tandemdb-") as folder:
        path = Path(folder) / "index"
        path.write_bytes(data)
        opened = _native.OpenedIndex(path, "memory")
    return _native.Index.__new__(cls, opened, "", metric="")


_KINDS: dict[str, type[Index]] = {"exact": ExactIndex, "clustered": ClusteredIndex, "graph": GraphIndex}
