"""Vectors and distances between them."""

from vectordb.core.distance import cosine_distance, euclidean_distance, manhattan_distance
from vectordb.core.vector import Vector

__all__ = ["Vector", "cosine_distance", "euclidean_distance", "manhattan_distance"]
