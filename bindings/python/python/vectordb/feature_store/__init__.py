"""Features of entities, their versions and where they came from."""

from vectordb.feature_store.lineage import LineageTracker
from vectordb.feature_store.store import FeatureStore
from vectordb.feature_store.version import VersionManager

__all__ = ["FeatureStore", "LineageTracker", "VersionManager"]
