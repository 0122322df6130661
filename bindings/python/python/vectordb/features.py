"""The feature store of the engine: entities, views of events, reads as of any time, training sets made again.

`vectordb.FeatureStore` is the class of the pure-Python package; this one keeps when things happened and when they
became known, in tables that are saved. docs/python-features.md is the guide.
"""

from __future__ import annotations

from tandemdb._native import features as native

AsOf = native.AsOf
FeatureRow = native.FeatureRow
FeatureStore = native.FeatureStore
FeatureView = native.FeatureView
Ingested = native.Ingested
Retrieval = native.Retrieval
Retrieved = native.Retrieved
TrainingSet = native.TrainingSet

#: What a number of `Retrieved.statuses` says: `STATUSES[0]` is `present`.
STATUSES = ("present", "missing", "expired", "unknown", "refused", "unread")

__all__ = [
    "STATUSES",
    "AsOf",
    "FeatureRow",
    "FeatureStore",
    "FeatureView",
    "Ingested",
    "Retrieval",
    "Retrieved",
    "TrainingSet",
]
