"""Distances between vectors, and the table of those that indexes know by name."""

from __future__ import annotations

from typing import Any, Callable

from tandemdb._native import vectordb as native

from vectordb.core.vector import Vector

__all__ = [
    "DISTANCE_METRICS",
    "Vector",
    "angular_distance",
    "chebyshev_distance",
    "cosine_distance",
    "cosine_similarity",
    "euclidean_distance",
    "get_distance_function",
    "manhattan_distance",
    "squared_euclidean_distance",
]

angular_distance = native.angular_distance
chebyshev_distance = native.chebyshev_distance
cosine_distance = native.cosine_distance
cosine_similarity = native.cosine_similarity
euclidean_distance = native.euclidean_distance
manhattan_distance = native.manhattan_distance
squared_euclidean_distance = native.squared_euclidean_distance

DISTANCE_METRICS: dict[str, Callable[[Any, Any], Any]] = {
    "euclidean": euclidean_distance,
    "squared_euclidean": squared_euclidean_distance,
    "manhattan": manhattan_distance,
    "cosine": cosine_distance,
    "angular": angular_distance,
    "chebyshev": chebyshev_distance,
}
"""By lower-case name; a function of the caller's own may be added."""

for _function in (*DISTANCE_METRICS.values(), cosine_similarity):
    _function.__module__ = __name__


def get_distance_function(metric: str) -> Callable[[Any, Any], Any]:
    """The function of a name in any case, as `DISTANCE_METRICS` has it now. Raises `ValueError` for one it has not."""
    function = DISTANCE_METRICS.get(metric.lower())
    if function is None:
        known = ", ".join(DISTANCE_METRICS)
        raise ValueError(f"Unknown distance metric: {metric}. Valid options are: {known}")
    return function
