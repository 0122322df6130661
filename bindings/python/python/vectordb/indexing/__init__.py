"""Indexes of vectors: exact, and for large numbers of them."""

from vectordb.indexing.approximate_nn import ApproximateNearestNeighbor
from vectordb.indexing.index import VectorIndex

__all__ = ["ApproximateNearestNeighbor", "VectorIndex"]
