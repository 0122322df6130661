"""`BatchProcessor`."""

# ruff: noqa: A001, ARG001

import threading
import time
from typing import Any
from unittest import mock

import pytest

from vectordb import BatchProcessor, FeatureStore, Vector


def filled(count: int = 10) -> FeatureStore:
    """Entities with two features."""
    store = FeatureStore(vector_dimension=2)
    for i in range(count):
        store.set_feature(f"e{i}", "n", i, version_id="1", timestamp=1.0)
        store.set_feature(f"e{i}", "v", [i, 1.0], version_id="1", timestamp=1.0)
    return store


ENTITIES = [f"e{i}" for i in range(10)]
PARALLEL = pytest.mark.parametrize("parallel", [True, False])


@PARALLEL
def test_retrieving(parallel: bool) -> None:
    """In the order asked, repeated ids once."""
    store = filled()
    processor = BatchProcessor(store, 3, use_parallelization=parallel)
    asked = [*ENTITIES[::-1], "x", "e1"]
    found = processor.retrieve_batch(asked, ["n"])
    assert list(found.items()) == [*((f"e{i}", {"n": i}) for i in range(9, -1, -1)), ("x", {})]
    store.set_feature("e1", "n", 100, version_id="2", timestamp=2.0)
    assert processor.retrieve_batch(["e1"], ["n"], timestamps={"e1": 1.5}) == {"e1": {"n": 1}}
    assert processor.retrieve_batch(["e1"], ["n"], {"e1": {"n": "2"}}, {"e1": 1.5}) == {"e1": {"n": 100}}
    assert processor.retrieve_batch([], ["n"]) == {}


@PARALLEL
def test_transformations(parallel: bool) -> None:
    """In order, of entities with features; the last answer is the entry."""
    processor = BatchProcessor(filled(), 3, use_parallelization=parallel)
    threads = set()

    def first(features: dict[str, Any]) -> dict[str, Any]:
        threads.add(threading.get_ident())
        time.sleep(0.005)
        features["m"] = features["n"] + 1
        return features

    def second(features: dict[str, Any]) -> Any:
        return ("answer", features["m"])

    found = processor.retrieve_batch([*ENTITIES, "x"], ["n"], transformations=[first, second])
    assert found == {**{f"e{i}": ("answer", i + 1) for i in range(10)}, "x": {}}
    assert processor._feature_store.get_feature("e1", "m") is None
    assert (threading.get_ident() in threads) is not parallel
    assert parallel == (len(threads) > 1)


@PARALLEL
def test_exceptions_are_raised_and_not_counted(parallel: bool) -> None:
    """The object itself."""
    error = KeyError("mine")

    def fail(features: dict[str, Any]) -> dict[str, Any]:
        raise error

    processor = BatchProcessor(filled(), 3, use_parallelization=parallel)
    with pytest.raises(KeyError) as caught:
        processor.retrieve_batch(ENTITIES, ["n"], transformations=[fail])
    assert caught.value is error
    assert processor.performance_metrics["batch_retrievals"] == 0


def test_vector_operations() -> None:
    """Operands by entity and feature; the same answer under each id."""
    store = filled()
    store.set_feature("e0", "two", [2.0], "vectors of another kind")
    processor = BatchProcessor(store)
    operands = [("e1", "v"), ("e2", "v"), ("x", "v"), ("e1", "n")]

    def run(operation: str, features: Any = operands, **more: Any) -> Any:
        return processor.vector_operation_batch(operation, features, ["a", "b"], **more)

    added = run("add")
    assert added == {"a": Vector([3, 2]), "b": Vector([3, 2])}
    assert added["a"].id is None
    assert run("average")["a"].values == run("mean")["b"].values == (1.5, 1.0)
    assert run("subtract")["a"].values == (-1.0, 0.0)
    assert run("scale", [("e1", "v"), ("e0", "two")])["a"].values == (2.0, 2.0)
    unit = [Vector([1, 1]).normalize(), Vector([2, 1]).normalize()]
    assert run("normalize")["a"].values == pytest.approx(unit[0].add(unit[1]).scale(0.5).values)
    assert run("add", [("e1", "v")])["a"] is store.get_feature("e1", "v")
    assert run("concat", [("x", "y")]) == {}
    for operation, features in (
        ("concat", operands),
        ("subtract", operands[:1]),
        ("scale", operands[:2]),
        ("scale", operands[:1]),
        ("add", [("e1", "v"), ("e0", "two")]),
    ):
        with pytest.raises(ValueError, match=r"."):
            run(operation, features)
    store.set_feature("e0", "v", [0, 0])
    with pytest.raises(ValueError, match="zero"):
        run("normalize", [("e0", "v")])
    run("add", result_feature="sum", store_results=True)
    assert store.get_feature("a", "sum") == Vector([3, 2])
    step = store.get_feature_lineage("b", "sum")[0]
    assert (step["name"], step["inputs"]) == ("add", ["e1:v:1", "e2:v:1", "e1:n:1"])
    run("add", result_feature="not stored")
    assert store.get_feature("a", "not stored") is None
    assert run("add", [("e0", "v")], timestamps={"e0": 1})["a"].values == (0.0, 1.0)


@PARALLEL
def test_similarity(parallel: bool) -> None:
    """Whatever the store takes as a query."""
    processor = BatchProcessor(filled(), use_parallelization=parallel)
    queries = {"a": Vector([0, 1]), "b": "e5:v", "c": ("e9", "v", None)}
    found = processor.similarity_search_batch(queries, k=2, batch_size=1)
    assert {id: near[0]["entity_id"] for id, near in found.items()} == {"a": "e0", "b": "e5", "c": "e9"}
    assert list(found) == list(queries)
    odd = processor.similarity_search_batch(queries, 1, lambda metadata: metadata["entity_id"] == "e1")
    assert [near[0]["entity_id"] for near in odd.values()] == ["e1"] * 3
    for store in (FeatureStore(), object()):
        with pytest.raises(ValueError, match="vector index"):
            BatchProcessor(store).similarity_search_batch(queries)


def test_metrics() -> None:
    """Zero at first, counted after success."""
    processor = BatchProcessor(filled())
    zero = {
        "batch_retrievals": 0,
        "total_entities_processed": 0,
        "total_features_processed": 0,
        "total_processing_time": 0.0,
    }
    assert processor.performance_metrics == zero
    assert type(processor.performance_metrics["total_processing_time"]) is float
    processor.retrieve_batch(ENTITIES, ["n", "v"])
    metrics = processor.performance_metrics
    assert (metrics["batch_retrievals"], metrics["total_entities_processed"]) == (1, 10)
    assert metrics["total_features_processed"] == 20
    assert metrics["total_processing_time"] > 0
    assert metrics["avg_time_per_entity"] == metrics["total_processing_time"] / 10
    assert (metrics["avg_entities_per_batch"], metrics["avg_features_per_batch"]) == (10, 20)
    processor.similarity_search_batch({"a": Vector([0, 0])})
    processor.vector_operation_batch("add", [("e1", "v")], ["a", "b"])
    metrics = processor.performance_metrics
    assert (metrics["batch_retrievals"], metrics["total_entities_processed"]) == (3, 13)
    assert metrics["total_features_processed"] == 22
    processor.clear_metrics()
    assert processor.performance_metrics == zero
    processor.retrieve_batch([], [])
    assert "avg_time_per_batch" in processor.performance_metrics
    assert "avg_time_per_entity" not in processor.performance_metrics


def test_any_store_will_do() -> None:
    """What is called, and with which keywords."""
    store = mock.Mock()
    store.get_feature_batch.return_value = {"a": {"f": 1}}
    processor = BatchProcessor(store, 7, 2, False)
    assert processor._feature_store is store
    assert (processor._default_batch_size, processor._max_workers, processor._use_parallelization) == (7, 2, False)
    assert processor.retrieve_batch(["a"], ["f"]) == {"a": {"f": 1}}
    store.get_feature_batch.assert_called_once_with(
        entity_ids=["a"], feature_names=["f"], version_ids=None, timestamps=None
    )
    store.get_feature.return_value = [1, 2]
    processor.vector_operation_batch("add", [("a", "f")], ["b"], "r", {"a": {"f": "1"}}, {"a": 5}, store_results=True)
    store.get_feature.assert_called_once_with(entity_id="a", feature_name="f", version_id="1", timestamp=5)
    store.set_feature.assert_called_once_with(
        entity_id="b",
        feature_name="r",
        value=Vector([1, 2]),
        feature_type="vector",
        parent_features=[("a", "f")],
        transformation="add",
    )
    processor.similarity_search_batch({"q": "a:f"}, 3)
    store.get_similar_vectors.assert_called_once_with(query="a:f", k=3, filter_fn=None)


def test_jobs() -> None:
    """On threads of their own; failures are data."""
    processor = BatchProcessor(filled())
    reports: dict[str, dict[str, Any]] = {}
    done = threading.Semaphore(0)

    def report(found: dict[str, Any]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert threading.current_thread().daemon
        reports[found["job_id"]] = found
        done.release()

    def finished(job_type: str, params: dict[str, Any]) -> dict[str, Any]:
        id = processor.submit_batch_job(job_type, params, report)
        assert id
        assert done.acquire(timeout=10)
        return reports.pop(id)

    found = finished("retrieve", {"entity_ids": ["e1"], "feature_names": ["n"]})
    assert (found["status"], found["result"]) == ("completed", {"e1": {"n": 1}})
    found = finished("vector_operation", {"vector_features": [("e1", "v")], "entity_ids": ["a"]})
    assert found["result"] == {"a": Vector([1, 1])}
    assert len(finished("similarity_search", {"query_vectors": {"q": "e1:v"}})["result"]["q"]) == 10
    found = finished("unknown", {})
    assert (found["status"], found["error"]) == ("failed", "Unsupported job type: unknown")
    assert "result" not in found
    found = finished("vector_operation", {"operation": "x", "vector_features": [("e1", "v")], "entity_ids": ["a"]})
    assert found["status"] == "failed"
    assert processor.submit_batch_job("retrieve", {}) != processor.submit_batch_job("unknown", {})
    assert finished("retrieve", {}) == {"job_id": mock.ANY, "status": "completed", "result": {}}


def test_a_failing_callback_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception is the thread's."""
    calls, uncaught, done = [], [], threading.Event()

    def hook(arguments: Any) -> None:
        uncaught.append(arguments.exc_type)
        done.set()

    def fail(found: dict[str, Any]) -> None:
        calls.append(found["status"])
        raise RuntimeError

    monkeypatch.setattr(threading, "excepthook", hook)
    BatchProcessor(filled()).submit_batch_job("retrieve", {}, fail)
    assert done.wait(10)
    assert (calls, uncaught) == (["completed"], [RuntimeError])
