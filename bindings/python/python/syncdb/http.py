"""Sync over HTTP: a server on a port of this process, and replicas that reach one by its URL."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from tandemdb._native.engine import Cancel, Change, HttpClient, Server, SyncReport
from tandemdb._waiting import watched

__all__ = ["Cancel", "Client", "Server"]


class Client(HttpClient):
    __doc__ = HttpClient.__doc__

    async def sync_async(
        self,
        *,
        progress: Callable[[int, int], Any] | None = None,
        budget: Mapping[str, Any] | None = None,
    ) -> SyncReport:
        """As `sync`, in a thread of the loop's executor. Cancelled, it ends within 0.1 s and loses nothing."""
        return await watched(self.sync, progress=progress, budget=budget)

    async def live(
        self,
        table: str | None = None,
        *,
        synced: Callable[[SyncReport], Any] | None = None,
        offline: Callable[[str, float], Any] | None = None,
    ) -> AsyncGenerator[Change | None, None]:
        """Keep the replica in sync as `keep_in_sync` does, and yield what changes in it, whoever made the change.

        `None` stands for more changes than a watch brings: look at the rows anew. The thread that syncs ends with the
        iterator; close it (`aclose`) where the loop is left early. `synced` and `offline` are called in that thread.
        """
        loop = asyncio.get_running_loop()
        # A list of changes; `None` for too many; the end of the thread.
        heard: asyncio.Queue[list[Change] | asyncio.Future[None] | None] = asyncio.Queue()
        cancel = Cancel()

        def changed(changes: list[Change] | None) -> None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(heard.put_nowait, changes)

        # A thread of its own: the loop's executor has few, and this one stays.
        threads = ThreadPoolExecutor(1, "syncdb-live")
        watch = self.db.watch(changed, table)
        work = loop.run_in_executor(
            threads, functools.partial(self.keep_in_sync, synced=synced, offline=offline, cancel=cancel)
        )
        work.add_done_callback(heard.put_nowait)
        try:
            while True:
                changes = await heard.get()
                if isinstance(changes, asyncio.Future):
                    await changes
                    return
                for change in [None] if changes is None else changes:
                    yield change
        finally:
            cancel.cancel()
            watch.close()
            # What it raised was raised above, unless the loop was left before.
            await asyncio.gather(work, return_exceptions=True)
            threads.shutdown(wait=False)
