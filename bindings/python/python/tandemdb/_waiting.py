"""Long native calls awaited: in a thread, with a way to cancel them."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Awaits `call(*args, **kwargs)` in a thread of the loop's executor."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, functools.partial(call, *args, **kwargs))


async def watched(
    call: Callable[..., T], *args: Any, progress: Callable[[int, int], object] | None = None, **kwargs: Any
) -> T:
    """As `in_thread` for calls that report progress, in the loop; cancelling the task ends the work."""
    loop = asyncio.get_running_loop()
    is_cancelled = threading.Event()

    def report(done: int, total: int) -> None:
        if is_cancelled.is_set():
            raise asyncio.CancelledError
        if progress is not None:
            loop.call_soon_threadsafe(progress, done, total)

    try:
        return await in_thread(call, *args, progress=report, **kwargs)
    except asyncio.CancelledError:
        is_cancelled.set()
        raise
