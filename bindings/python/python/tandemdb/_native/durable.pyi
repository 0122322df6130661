"""Databases that a folder keeps, in Rust."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, TypedDict, final

class Recovery(TypedDict):
    snapshot: int
    seq: int
    entries: int
    torn_bytes: int
    was_closed: bool

@final
class DurableDatabase:
    def __new__(
        cls,
        folder: str | os.PathLike[str],
        *,
        durability: Literal["every_commit", "none"] | float | None = None,
        checkpoint_bytes: int = 67_108_864,
        archive: str | os.PathLike[str] | None = None,
    ) -> DurableDatabase: ...
    @property
    def folder(self) -> Path: ...
    @property
    def recovery(self) -> Recovery: ...
    @property
    def seq(self) -> int: ...
    @property
    def durable_seq(self) -> int: ...
    @property
    def failure(self) -> str | None: ...
    def flush(self) -> None: ...
    def checkpoint(self) -> int: ...
    def backup(self, to: str | os.PathLike[str]) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> DurableDatabase: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

def repair(folder: str | os.PathLike[str]) -> tuple[int, list[Path]]: ...
def restore(
    backup: str | os.PathLike[str],
    logs: Sequence[str | os.PathLike[str]],
    to: str | os.PathLike[str],
    *,
    seq: int | None = None,
    time: datetime | int | None = None,
) -> int: ...
def verify(folder: str | os.PathLike[str]) -> Recovery: ...
