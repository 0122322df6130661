"""Sync over HTTP: a server on a port of this process, and replicas that reach one by its URL."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any, Callable

from tandemdb._native.engine import Cancel, HttpClient, Server, SyncReport

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
        cancel = Cancel()
        work = functools.partial(self.sync, progress=progress, budget=budget, cancel=cancel)
        try:
            return await asyncio.get_running_loop().run_in_executor(None, work)
        except asyncio.CancelledError:
            cancel.cancel()
            raise
