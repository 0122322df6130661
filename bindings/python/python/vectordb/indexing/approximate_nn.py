"""`ApproximateNearestNeighbor`: search among many vectors; `RandomProjection`: vectors as bits."""

from __future__ import annotations

from math import sqrt
from random import Random
from typing import Any

from tandemdb._native import vectordb as native

__all__ = ["ApproximateNearestNeighbor", "RandomProjection"]


ApproximateNearestNeighbor = native.ApproximateNearestNeighbor


class RandomProjection:
    """Random directions; a vector becomes one bit for each of them.

    The same seed gives the same directions: unit vectors whose components are those of `random.Random(seed)`.
    """

    projections: list[list[float]]

    def __init__(self, dimensions: int, n_projections: int, seed: Any = None) -> None:
        """Draws `n_projections` directions."""
        gauss = Random(seed).gauss
        self.projections = []
        for _ in range(n_projections):
            row = [gauss(0, 1) for _ in range(dimensions)]
            norm = sqrt(sum(x * x for x in row))
            self.projections.append([x / norm for x in row] if norm else row)

    def project(self, vector: Any) -> list[int]:
        """For each direction 1 when its product with the vector is not negative, else 0."""
        return native.signs(self.projections, vector)
