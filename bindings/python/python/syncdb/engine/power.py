"""When to sync, and how much it may take: from the state of the device and what waits."""

from __future__ import annotations

from tandemdb._native.engine import Decision, Scheduler, Waiting

__all__ = ["Decision", "Scheduler", "Waiting"]
