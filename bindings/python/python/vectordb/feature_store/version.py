"""`Version` and `VersionManager`: what values features had."""

from tandemdb._native import vectordb as native

__all__ = ["Version", "VersionManager"]

Version = native.Version
VersionManager = native.VersionManager
