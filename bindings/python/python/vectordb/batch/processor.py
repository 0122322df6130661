"""`BatchProcessor`: features of many entities read, combined and searched in batches."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any, TypeVar, cast

from tandemdb._native import vectordb as native

from vectordb.core.vector import Vector
from vectordb.feature_store.store import FeatureStore

__all__ = ["BatchProcessor"]

T = TypeVar("T")
Features = dict[Any, Any]
Transformation = Callable[[Features], Features]
Callback = Callable[[dict[str, Any]], Any]

_GET_BATCH = FeatureStore.get_feature_batch
_JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "retrieve": (
        "retrieve_batch",
        {
            "entity_ids": [],
            "feature_names": [],
            "version_ids": None,
            "timestamps": None,
            "transformations": None,
            "batch_size": None,
        },
    ),
    "vector_operation": (
        "vector_operation_batch",
        {
            "operation": "add",
            "vector_features": [],
            "entity_ids": [],
            "result_feature": None,
            "version_ids": None,
            "timestamps": None,
            "batch_size": None,
            "store_results": False,
        },
    ),
    "similarity_search": (
        "similarity_search_batch",
        {"query_vectors": {}, "k": 10, "filter_fn": None, "batch_size": None},
    ),
}
"""For each type of job its method, and its arguments with their defaults."""


class BatchProcessor:
    """Reads, combines and searches features of many entities of a store.

    Work is cut in pieces of `batch_size`, which run on up to `max_workers` threads unless `use_parallelization` is off.
    The first exception of a piece is raised, and then no metric changes.
    """

    def __init__(
        self,
        feature_store: Any,
        default_batch_size: int = 100,
        max_workers: int | None = None,
        use_parallelization: bool = True,
    ) -> None:
        """The store is anything with the methods of a `FeatureStore`."""
        self._feature_store = feature_store
        self._default_batch_size = default_batch_size
        self._max_workers = max_workers
        self._use_parallelization = use_parallelization
        self._lock = threading.RLock()
        self._counts = [0, 0, 0]
        self._nanoseconds = 0

    @property
    def performance_metrics(self) -> dict[str, Any]:
        """Calls, entities, features and seconds so far, and averages once there are some."""
        with self._lock:
            batches, entities, features = self._counts
            seconds = self._nanoseconds / 1e9
        metrics = {
            "batch_retrievals": batches,
            "total_entities_processed": entities,
            "total_features_processed": features,
            "total_processing_time": seconds,
        }
        if batches:
            metrics["avg_entities_per_batch"] = entities / batches
            metrics["avg_features_per_batch"] = features / batches
            metrics["avg_time_per_batch"] = seconds / batches
            if entities:
                metrics["avg_time_per_entity"] = seconds / entities
        return metrics

    def clear_metrics(self) -> None:
        """Sets all metrics to zero."""
        with self._lock:
            self._counts = [0, 0, 0]
            self._nanoseconds = 0

    def retrieve_batch(
        self,
        entity_ids: Sequence[Any],
        feature_names: Sequence[Any],
        version_ids: Mapping[Any, Mapping[Any, Any]] | None = None,
        timestamps: Mapping[Any, Any] | None = None,
        transformations: Sequence[Transformation] | None = None,
        batch_size: int | None = None,
    ) -> dict[Any, Features]:
        """`get_feature_batch` of the store; the features of entities that have some go through the transformations."""
        start = perf_counter_ns()
        store = self._feature_store

        def retrieve(ids: Sequence[Any]) -> dict[Any, Features]:
            found = store.get_feature_batch(
                entity_ids=ids, feature_names=feature_names, version_ids=version_ids, timestamps=timestamps
            )
            if transformations:
                for entity_id, features in found.items():
                    if features:
                        for transformation in transformations:
                            features = transformation(features)
                        found[entity_id] = features
            return cast("dict[Any, Features]", found)

        # Without a line of the caller's code, threads would only wait for each other.
        is_native = not transformations and type(store) is FeatureStore and not vars(store)
        if is_native and FeatureStore.get_feature_batch is _GET_BATCH:
            result = retrieve(entity_ids)
        else:
            result = {}
            for part in self._in_pieces(retrieve, entity_ids, batch_size):
                result.update(part)
        self._count(start, len(entity_ids), len(entity_ids) * len(feature_names))
        return result

    def vector_operation_batch(
        self,
        operation: str,
        vector_features: Sequence[tuple[Any, Any]],
        entity_ids: Sequence[Any],
        result_feature: str | None = None,
        version_ids: Mapping[Any, Mapping[Any, Any]] | None = None,
        timestamps: Mapping[Any, Any] | None = None,
        batch_size: int | None = None,
        store_results: bool = False,
    ) -> dict[Any, Vector]:
        """The sum, mean, difference, product or normalised mean of vector features, under the id of each entity.

        Operations are `add`, `average`, `mean`, `subtract`, `scale` and `normalize`. Operands that are missing or no
        vectors are left out. Results are stored as `result_feature` when `store_results` is set. Raises `ValueError`
        for another operation and for operands that it does not take.
        """
        start = perf_counter_ns()
        store = self._feature_store

        def operands() -> list[Vector]:
            found = []
            for entity_id, name in vector_features:
                value = store.get_feature(
                    entity_id=entity_id,
                    feature_name=name,
                    version_id=((version_ids or {}).get(entity_id) or {}).get(name),
                    timestamp=(timestamps or {}).get(entity_id),
                )
                vector = _as_vector(value)
                if vector is not None:
                    found.append(vector)
            return found

        def operate(ids: Sequence[Any]) -> dict[Any, Vector]:
            vectors = operands()
            if not vectors:
                return {}
            result = {}
            for entity_id in ids:
                result[entity_id] = native.combine(operation, vectors)
                if store_results and result_feature:
                    store.set_feature(
                        entity_id=entity_id,
                        feature_name=result_feature,
                        value=result[entity_id],
                        feature_type="vector",
                        parent_features=list(vector_features),
                        transformation=operation,
                    )
            return result

        results: dict[Any, Vector] = {}
        for part in self._in_pieces(operate, entity_ids, batch_size):
            results.update(part)
        self._count(start, len(entity_ids), len(entity_ids) * len(vector_features))
        return results

    def similarity_search_batch(
        self,
        query_vectors: Mapping[Any, Any],
        k: int = 10,
        filter_fn: Callable[[dict[str, Any]], Any] | None = None,
        batch_size: int | None = None,
    ) -> dict[Any, list[dict[str, Any]]]:
        """`get_similar_vectors` of the store for each query. Raises `ValueError` when the store has no vector index."""
        start = perf_counter_ns()
        store = self._feature_store
        if getattr(store, "vector_index", None) is None:
            raise ValueError("Feature store does not have a vector index")

        def search(ids: Sequence[Any]) -> dict[Any, list[dict[str, Any]]]:
            get = store.get_similar_vectors
            return {query_id: get(query=query_vectors[query_id], k=k, filter_fn=filter_fn) for query_id in ids}

        results: dict[Any, list[dict[str, Any]]] = {}
        for part in self._in_pieces(search, list(query_vectors), batch_size):
            results.update(part)
        self._count(start, len(query_vectors), 0)
        return results

    def submit_batch_job(self, job_type: str, params: dict[str, Any], callback: Callback | None = None) -> str:
        """Runs `"retrieve"`, `"vector_operation"` or `"similarity_search"` on its own thread; returns the job's id.

        The callback gets a dict with `job_id`, `status` (`"completed"` or `"failed"`) and `result` or `error`.
        """
        job_id = f"job_{uuid.uuid4()}"

        def run() -> None:
            report: dict[str, Any] = {"job_id": job_id}
            try:
                if job_type not in _JOBS:
                    raise ValueError(f"Unsupported job type: {job_type}")
                method, defaults = _JOBS[job_type]
                arguments = {name: params.get(name, default) for name, default in defaults.items()}
                report.update(status="completed", result=getattr(self, method)(**arguments))
            except Exception as error:
                report.update(status="failed", error=str(error))
            if callback:
                callback(report)

        threading.Thread(target=run, name=job_id, daemon=True).start()
        return job_id

    def _in_pieces(self, work: Callable[[Sequence[Any]], T], ids: Sequence[Any], batch_size: int | None) -> list[T]:
        """The work on each piece of the ids, on threads when there are several; in the order of the pieces."""
        size = batch_size or self._default_batch_size
        pieces = [ids[begin : begin + size] for begin in range(0, len(ids), size)]
        if len(pieces) < 2 or not self._use_parallelization:
            return [work(piece) for piece in pieces]
        with ThreadPoolExecutor(max_workers=self._max_workers) as executor:
            return list(executor.map(work, pieces))

    def _count(self, start: int, entities: int, features: int) -> None:
        taken = max(perf_counter_ns() - start, 1)
        with self._lock:
            counts = self._counts
            self._counts = [counts[0] + 1, counts[1] + entities, counts[2] + features]
            self._nanoseconds += taken


def _as_vector(value: Any) -> Vector | None:
    """A vector, or a list of numbers as one; `None` for all else."""
    if isinstance(value, Vector):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, (int, float)) for item in value):
        return Vector(value)
    return None
