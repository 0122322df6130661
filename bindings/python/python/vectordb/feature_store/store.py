"""`FeatureStore`: features of entities with versions, lineage and search by similarity."""

from common.core.serialization import Serializable
from tandemdb._native import vectordb as native

__all__ = ["FeatureStore"]

FeatureStore = native.FeatureStore

Serializable.register(FeatureStore)
