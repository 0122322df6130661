"""One case of the benchmark of the Python packages."""

from collections.abc import Callable
from dataclasses import dataclass


def no_check() -> None:
    """For cases whose answers have no meaning of their own, such as generated ids."""


@dataclass
class Case:
    """The same work by a package and by plain Python."""

    name: str
    """Package and operation, as in `vectordb Vector.dot 128`."""
    ours: Callable[[], object]
    plain: Callable[[], object]
    operations: int = 1
    """How many operations one call makes."""
    bulk: bool = False
    """Many items at once: the bar is 30 times, otherwise 10 times in the median."""
    check: Callable[[], None] = no_check
    """Raises when the answers differ."""
