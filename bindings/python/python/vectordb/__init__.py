"""Vectors and features: search by similarity, versions, lineage, transformations and experiments."""

from vectordb.batch import BatchProcessor
from vectordb.core import Vector
from vectordb.experiment import ABTester
from vectordb.feature_store import FeatureStore
from vectordb.indexing import VectorIndex
from vectordb.transform import TransformationPipeline

__all__ = ["ABTester", "BatchProcessor", "FeatureStore", "TransformationPipeline", "Vector", "VectorIndex"]
