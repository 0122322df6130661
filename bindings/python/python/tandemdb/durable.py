"""Databases that a folder keeps: in memory, and on the disk with every commit.

`DurableDatabase` is opened once and given as `store` to `syncdb.engine.SyncDb` and `SyncServer`,
`vectordb.collections.VectorDb` and `vectordb.features.FeatureStore`. docs/python-durable.md is the guide.
"""

from __future__ import annotations

from tandemdb._native import durable as native

__all__ = ["DamagedError", "DurableDatabase", "LockedError", "repair", "restore", "verify"]


class LockedError(OSError):
    """Another program has the folder, or there is a database where one was to be made."""


class DamagedError(ValueError):
    """Something is damaged or missing that was safe on the disk before; the text names file and byte."""


DurableDatabase = native.DurableDatabase
repair = native.repair
restore = native.restore
verify = native.verify
