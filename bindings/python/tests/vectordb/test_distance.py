"""Distances."""

# ruff: noqa: ARG005

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from vectordb.core import distance
from vectordb.core.distance import DISTANCE_METRICS, get_distance_function
from vectordb.core.vector import Vector


def plain(name: str, a: list[float], b: list[float]) -> float:
    """The textbook's formula."""
    differences = [x - y for x, y in zip(a, b)]
    if name == "euclidean":
        return math.sqrt(sum(d * d for d in differences))
    if name == "squared_euclidean":
        return sum(d * d for d in differences)
    if name == "manhattan":
        return sum(map(abs, differences))
    if name == "chebyshev":
        return max(map(abs, differences))
    dot = sum(x * y for x, y in zip(a, b))
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    similarity = max(-1.0, min(1.0, dot / norms))
    return math.acos(similarity) if name == "angular" else 1 - similarity


@pytest.mark.parametrize("name", list(DISTANCE_METRICS))
def test_against_plain_python(name: str) -> None:
    """To 1e-12."""
    rng = random.Random(name)
    for dimension in (1, 2, 3, 16, 33, 128):
        for _ in range(20):
            a, b = ([rng.uniform(-9, 9) for _ in range(dimension)] for _ in range(2))
            found = DISTANCE_METRICS[name](Vector(a), Vector(b))
            assert type(found) is float
            assert found == pytest.approx(plain(name, a, b), rel=1e-9, abs=1e-7 if dimension == 1 else 1e-12)


def test_exact_values() -> None:
    """Where callers compare without an absolute tolerance."""
    rng = random.Random(1)
    for dimension in (1, 3, 128):
        v = Vector([rng.gauss(0, 1) for _ in range(dimension)])
        w = Vector(v.values)
        for name in ("euclidean", "squared_euclidean", "manhattan", "chebyshev"):
            assert DISTANCE_METRICS[name](v, w) == 0.0
    x, y = Vector([1, 0, 0]), Vector([0, 1, 0])
    assert distance.cosine_similarity(x, y) == 0.0
    for a, b in ((1, 7), (0.1, 0.3), (1e-9, 3e7)):
        assert distance.cosine_distance(Vector([a, 0]), Vector([b, 0])) == 0.0
        assert distance.angular_distance(Vector([0, a]), Vector([0, b])) == 0.0
    one, minus = Vector([1, 1, 1]), Vector([-1, -1, -1])
    assert distance.cosine_similarity(one, minus) == -1.0
    assert distance.cosine_distance(one, minus) == 2.0
    assert distance.angular_distance(one, minus) == pytest.approx(math.pi, rel=1e-9)
    assert distance.manhattan_distance(Vector([1, 2]), Vector([4, 6])) == 7.0
    assert distance.chebyshev_distance(Vector([1, 2]), Vector([4, 6])) == 4.0
    assert distance.euclidean_distance(Vector([0, 0]), Vector([3, 4])) == 5.0


def test_extremes() -> None:
    """No overflow where the answer is a number; infinity where it is none."""
    large, small = Vector([1e200, 1e200]), Vector([1e-200, 1e-200])
    assert distance.squared_euclidean_distance(large, small) == math.inf
    assert distance.euclidean_distance(large, small) == math.inf
    assert distance.cosine_similarity(large, small) == pytest.approx(1.0, rel=1e-12)
    assert math.isnan(distance.euclidean_distance(Vector([math.nan]), Vector([1.0])))
    assert math.isnan(distance.chebyshev_distance(Vector([math.nan, 5.0]), Vector([1.0, 1.0])))


@pytest.mark.parametrize("function", [*DISTANCE_METRICS.values(), distance.cosine_similarity])
def test_errors(function: Callable[[Any, Any], float]) -> None:
    """Dimensions first, then zero vectors; things that are no vectors."""
    with pytest.raises(ValueError, match="different dimensions: 3 and 2"):
        function(Vector([0, 0, 0]), Vector([1, 2]))
    with pytest.raises(AttributeError):
        function([1.0], Vector([1.0]))
    if function in (distance.cosine_distance, distance.cosine_similarity, distance.angular_distance):
        with pytest.raises(ValueError, match="zero"):
            function(Vector([0, 0]), Vector([1, 2]))
        with pytest.raises(ValueError, match="zero"):
            function(Vector([1, 2]), Vector([0, 0]))


def test_table_of_metrics() -> None:
    """A live dict, in order, of the module's own functions."""
    assert list(DISTANCE_METRICS) == ["euclidean", "squared_euclidean", "manhattan", "cosine", "angular", "chebyshev"]
    for name, function in DISTANCE_METRICS.items():
        assert function is getattr(distance, f"{name}_distance")
        assert get_distance_function(name.upper()) is function
        assert function.__module__ == "vectordb.core.distance"
    with pytest.raises(ValueError, match=r"Unknown distance metric: x\. Valid options are: euclidean, squared"):
        get_distance_function("x")
    with pytest.raises(AttributeError):
        get_distance_function(5)  # type: ignore[arg-type]
    DISTANCE_METRICS["mine"] = lambda a, b: 1.0
    try:
        assert get_distance_function("MINE")(None, None) == 1.0
    finally:
        del DISTANCE_METRICS["mine"]
