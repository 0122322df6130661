import os
from collections.abc import Callable
from typing import Any, TypeVar, final

# Arrays of NumPy, what speaks DLPack or the buffer protocol, or lists.
Vectors = Any
Progress = Callable[[int, int], object]
I = TypeVar("I", bound="Index")

@final
class OpenedIndex:
    def __new__(cls, path: os.PathLike[str] | str, access: str) -> OpenedIndex: ...
    @property
    def options(self) -> str: ...

class Index:
    def __new__(
        cls: type[I],
        vectors: Vectors | OpenedIndex | None,
        options: str,
        *,
        metric: str,
        precision: str | None = None,
        dimension: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> I: ...
    @property
    def dimension(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def _options(self) -> str: ...
    def __len__(self) -> int: ...
    def __contains__(self, number: int, /) -> bool: ...
    def ids(self) -> Any: ...
    def vector(self, id: int) -> Any: ...
    def bytes(self) -> dict[str, int]: ...
    def insert(self, vector: Vectors) -> int: ...
    def add(self, vectors: Vectors, *, progress: Progress | None = None) -> Any: ...
    def replace(self, id: int, vector: Vectors) -> None: ...
    def remove(self, ids: Any) -> int: ...
    def search(
        self,
        query: Vectors,
        k: int = 10,
        *,
        effort: int | None = None,
        recall: float | None = None,
        within: float | None = None,
        diverse: tuple[float, int] | None = None,
        among: Any = None,
    ) -> tuple[Any, Any]: ...
    def search_like(
        self,
        id: int,
        k: int = 10,
        *,
        effort: int | None = None,
        recall: float | None = None,
        within: float | None = None,
        diverse: tuple[float, int] | None = None,
        among: Any = None,
    ) -> tuple[Any, Any]: ...
    def search_many(
        self,
        queries: Vectors,
        k: int = 10,
        *,
        effort: int | None = None,
        recall: float | None = None,
        within: float | None = None,
        diverse: tuple[float, int] | None = None,
        among: Any = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[Any, Any]: ...
    def effort_for(self, recall: float, k: int = 10) -> int | None: ...
    def measure_recall(
        self, queries: Vectors, k: int = 10, *, effort: int | None = None, recall: float | None = None
    ) -> float: ...
    def save(self, path: os.PathLike[str] | str) -> dict[str, int]: ...
    def _copy_to(self, path: os.PathLike[str] | str) -> None: ...
    def close(self) -> None: ...

def read_vectors(
    path: os.PathLike[str] | str, *, column: str | None = None, progress: Progress | None = None
) -> Any: ...
def write_vectors(path: os.PathLike[str] | str, vectors: Vectors, *, element: str | None = None) -> int: ...
