"""Plots of indexes; they need matplotlib, as `pip install tandemdb[plots]` brings it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectordb.search import Index

__all__ = ["recall_curve"]


def recall_curve(
    index: Index, queries: Any, k: int = 10, *, efforts: Sequence[int] = (10, 20, 40, 80, 160, 320), axes: Any = None
) -> Any:
    """Plots the recall of an index over the time of a search, a point for each effort, and returns the axes.

    Recall is measured on `queries`, of which searches run one after another on one thread; the points are also at
    `axes.lines[-1].get_xydata()`: microseconds a search, and share of the true `k` nearest found. Nothing is shown:
    call `axes.figure.savefig(...)` or `matplotlib.pyplot.show()`.
    """
    from matplotlib import pyplot

    points = []
    for effort in efforts:
        begin = time.perf_counter()
        index.search_many(queries, k, effort=effort, threads=1)
        spent = (time.perf_counter() - begin) / max(len(queries), 1)
        points.append((spent * 1e6, index.measure_recall(queries, k, effort=effort)))
    if axes is None:
        _, axes = pyplot.subplots()
    axes.plot([spent for spent, _ in points], [recall for _, recall in points], marker="o", label=type(index).__name__)
    for effort, point in zip(efforts, points):
        axes.annotate(str(effort), point, textcoords="offset points", xytext=(4, -10))
    axes.set_xlabel("microseconds a search")
    axes.set_ylabel(f"recall at {k}")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    return axes
