"""Objects that reach themselves are found by the garbage collector, whichever way they do."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Callable

import pytest
from common.core.storage import Index, InMemoryStorage
from vectordb.feature_store import LineageTracker, VersionManager
from vectordb.feature_store.lineage import LineageNode
from vectordb.feature_store.version import Version
from vectordb.indexing import ApproximateNearestNeighbor

from vectordb import ABTester, FeatureStore, TransformationPipeline, Vector, VectorIndex
from vectordb.experiment import ExperimentGroup


class Mark:
    """What is to go."""


MADE: dict[str, Callable[[], Any]] = {
    "ABTester": lambda: ABTester("e"),
    "ApproximateNearestNeighbor": lambda: ApproximateNearestNeighbor(2),
    "ExperimentGroup": lambda: ExperimentGroup("g"),
    "FeatureStore": FeatureStore,
    "Index": lambda: Index("field"),
    "InMemoryStorage": InMemoryStorage,
    "LineageNode": LineageNode,
    "LineageTracker": LineageTracker,
    "TransformationPipeline": TransformationPipeline,
    "Vector": lambda: Vector([1.0, 2.0]),
    "VectorIndex": VectorIndex,
    "Version": lambda: Version(1),
    "VersionManager": VersionManager,
}


def through_group(mark: Mark) -> None:
    tester = ABTester("e")
    tester.add_group("g", allocation=1.0)
    tester.assign_entity("x")
    tester.record_outcome("x", (tester, mark))


def through_index(index: Any, mark: Mark) -> None:
    index.add(Vector([1.0, 2.0], "x"), {"own": (index, mark)})
    index.nearest(Vector([1.0, 2.0]), k=1)


def through_lineage(mark: Mark) -> None:
    tracker = LineageTracker()
    tracker.add_node("feature", metadata={"own": (tracker, mark)})


def through_manager(mark: Mark) -> None:
    manager = VersionManager()
    manager.add_version("e", "f", (manager, mark))


def through_metadata(mark: Mark) -> None:
    vector = Vector([1.0], metadata={"kind": mark})
    vector.metadata["own"] = vector


def through_records(mark: Mark) -> None:
    storage: InMemoryStorage[Any] = InMemoryStorage()
    storage.add_index("field")
    mark.id, mark.field, mark.own = 1, "x", storage  # type: ignore[attr-defined]
    storage.add(mark)


def through_store(mark: Mark) -> None:
    store = FeatureStore(2, approximate_search=False)
    store.set_feature("e", "f", (store, mark), feature_type="scalar")
    store.set_feature("e", "v", Vector([1.0, 2.0]), metadata={"own": (store, mark)})


def through_value(mark: Mark) -> None:
    version = Version(None)
    version.value = (version, mark)


CONTENTS: list[Callable[[Mark], None]] = [
    through_group,
    lambda mark: through_index(VectorIndex(), mark),
    lambda mark: through_index(ApproximateNearestNeighbor(2), mark),
    through_lineage,
    through_manager,
    through_metadata,
    through_records,
    through_store,
    through_value,
]


def is_collected(make: Callable[[Mark], None]) -> bool:
    mark = Mark()
    seen = weakref.ref(mark)
    make(mark)
    del mark
    gc.collect()
    return seen() is None


@pytest.mark.parametrize("name", sorted(MADE))
@pytest.mark.parametrize("is_derived", [False, True])
def test_a_cycle_through_attributes_goes(name: str, is_derived: bool) -> None:
    def make(mark: Mark) -> None:
        thing = MADE[name]()
        if is_derived:
            thing = type("Derived", (type(thing),), {"__init__": lambda _self: None})()
        thing.own = (thing, mark)

    assert is_collected(make)


@pytest.mark.parametrize("make", CONTENTS)
def test_a_cycle_through_contents_goes(make: Callable[[Mark], None]) -> None:
    assert is_collected(make)
