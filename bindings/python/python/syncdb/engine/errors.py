"""What the engine raises. The text says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ClosedError",
    "ConflictError",
    "CorruptError",
    "EngineError",
    "InvalidError",
    "LimitExceededError",
    "NotFoundError",
    "TransportError",
    "UnsupportedError",
]


class EngineError(Exception):
    """Any failure of the engine. `violations` holds broken rules of a row: tuples of path, rule and message."""

    def __init__(self, message: str = "", violations: Sequence[tuple[str, str, str]] = ()) -> None:
        super().__init__(message)
        self.violations = list(violations)


class InvalidError(EngineError, ValueError):
    """The caller's input breaks a rule: a schema violation, an unknown column, a bad option."""


class NotFoundError(EngineError, KeyError):
    """The named table, row, index or column does not exist."""

    def __str__(self) -> str:
        # That of KeyError shows the text as Python would write it down.
        return str(self.args[0]) if self.args else ""


class ConflictError(EngineError, ValueError):
    """The input is fine by itself but collides with what is stored, or with what somebody else wrote meanwhile."""


class CorruptError(EngineError, ValueError):
    """Bytes that should have been written by this library do not read back."""


class UnsupportedError(EngineError, ValueError):
    """This build or this object does not do that."""


class LimitExceededError(EngineError, ValueError):
    """A limit was reached; nothing was changed."""


class ClosedError(EngineError, ValueError):
    """What was used is closed, or no answer arrived."""


class TransportError(EngineError, ConnectionError):
    """The operating system reported an error: a file, a port, a server that is not reached."""
