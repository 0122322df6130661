"""TandemDB: the engine below the packages `common`, `syncdb` and `vectordb`."""

from tandemdb._native import __version__

__all__ = ["__version__"]
