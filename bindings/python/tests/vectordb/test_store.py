"""`FeatureStore`."""

# ruff: noqa: A001, ARG005

import gc
import json
import random
import threading
import time
import weakref
from typing import Any

import pytest
from common.core.serialization import Serializable
from vectordb.indexing import ApproximateNearestNeighbor

from vectordb import FeatureStore, Vector, VectorIndex


def vectors(dimension: int = 2, **settings: Any) -> FeatureStore:
    """A store with a few vectors."""
    store = FeatureStore(vector_dimension=dimension, **settings)
    for i in range(5):
        store.set_feature(f"e{i}", "v", [float(i)] * dimension, version_id="1")
    return store


def test_entities() -> None:
    """Registered by hand or by a feature."""
    store = FeatureStore()
    metadata = {"k": 1}
    before = store.last_modified
    time.sleep(0.01)
    assert store.add_entity("a", metadata) == "a"
    assert store.last_modified > before
    assert store.get_entity_metadata("a") is metadata
    assert len(store.add_entity()) == 36
    store.set_feature("b", "f", 1)
    assert store.get_entities()[::2] == ["a", "b"]
    assert store.get_entity_metadata("b") == {}
    assert store.get_entity_metadata("x") is None
    assert store.set_entity_metadata("b", metadata) is True
    assert store._entity_metadata["b"] is metadata
    assert store.set_entity_metadata("x", {}) is False
    store.add_entity("b")
    assert store.get_entity_metadata("b") == {}
    assert store.get_feature("b", "f") == 1
    assert store.delete_entity("b") is True
    assert store.delete_entity("b") is False
    assert store.get_feature("b", "f") is None


def test_types() -> None:
    """Lists of numbers are vectors, unless a type says otherwise."""
    store = FeatureStore()
    scalar = [1, "a"]
    numbers = [1, 2]
    store.set_feature("e", "mixed", scalar)
    store.set_feature("e", "vector", (1, 2.5, True))
    store.set_feature("e", "list", numbers, feature_type="scalar")
    store.set_feature("e", "free", numbers, "anything")
    assert store.get_feature("e", "mixed") is scalar
    assert store.get_feature("e", "vector") == Vector([1, 2.5, 1])
    assert store.get_feature("e", "list") is numbers
    assert store.get_feature("e", "free") is numbers
    assert store._feature_types == {"mixed": "scalar", "vector": "vector", "list": "scalar", "free": "anything"}
    with pytest.raises(ValueError, match="empty"):
        store.set_feature("new", "f", [])
    assert "new" in store.get_entities()
    assert store.get_features("new") == []
    for wrong in (5, "abc", ["a"], None):
        with pytest.raises(ValueError, match="Vector"):
            store.set_feature("e", "f", wrong, "vector")
    store.set_feature("e", "vector", "now a text")
    assert store.get_feature_metadata("vector") == {"type": "scalar"}


def test_feature_metadata() -> None:
    """Keeps its type, and survives."""
    store = FeatureStore()
    assert store.get_feature_metadata("f") is None
    assert store.set_feature_metadata("f", {}) is False
    store.set_feature("e", "f", 1, metadata={"of": "version"})
    assert store.get_feature_metadata("f") == {"type": "scalar"}
    given = {"type": "x", "unit": "m"}
    assert store.set_feature_metadata("f", given) is True
    assert store.get_feature_metadata("f") == {"type": "scalar", "unit": "m"}
    assert given == {"type": "x", "unit": "m"}
    assert store.delete_feature("e", "f") is True
    assert store.delete_feature("e", "f") is False
    assert store.get_feature_metadata("f") == {"type": "scalar", "unit": "m"}
    assert store.get_feature_history("e", "f") == []


def test_versions() -> None:
    """By id, number and time."""
    store = FeatureStore(max_versions_per_feature=3)
    made = [store.set_feature("e", "f", i, timestamp=float(i)) for i in range(5)]
    assert all(len(id) == 36 for id in made)
    assert store.set_feature("e", "g", 1, version_id="mine", timestamp=0) == "mine"
    get = store.get_feature
    assert get("e", "f") == 4
    assert get("e", "f", version_number=2) == 2
    assert get("e", "f", made[3]) == 3
    assert get("e", "f", made[0], default="gone") == "gone"
    assert get("e", "f", timestamp=3.5) == 3
    assert get("e", "x") is None
    history = store.get_feature_history("e", "f", limit=2, since_timestamp=2, until_timestamp=3.5)
    assert [version["value"] for version in history] == [3, 2]
    assert history[0]["version_id"] == made[3]
    assert [version.value for version in store._version_manager._versions["e"]["f"]] == [4, 3, 2]
    store.set_feature("a", "f", 1)
    store.set_feature("a", "h", 1)
    assert store.get_features("e") == ["f", "g"]
    assert store.get_features() == ["f", "g", "h"]
    assert store.get_features("x") == []
    assert get("e", "g", timestamp=0) == 1


def test_batches() -> None:
    """Every entity, known or not; only values that are not `None`."""
    store = FeatureStore()
    for i in range(3):
        store.set_feature("a", "f", i, version_id=str(i), timestamp=float(i))
    store.set_feature("a", "none", None)
    store.set_feature("b", "g", "B", timestamp=5.0)
    assert store.get_feature_batch(["b", "x", "a"], ["f", "g", "none"]) == {"b": {"g": "B"}, "x": {}, "a": {"f": 2}}
    found = store.get_feature_batch(("a", "b"), ("f", "g"), {"a": {"f": "0"}}, {"a": 1, "b": 1})
    assert found == {"a": {"f": 0}, "b": {}}
    assert store.get_feature_batch(["a"], ["f"], timestamps={"a": 1}) == {"a": {"f": 1}}

    class Doubled(FeatureStore):
        def __init__(self) -> None:
            super().__init__(vector_dimension=2)
            self.asked: list[Any] = []

        def get_feature(self, entity_id: Any, feature_name: Any, **which: Any) -> Any:  # type: ignore[override]
            self.asked.append(which)
            value = super().get_feature(entity_id, feature_name, **which)
            return value and 2 * value

    doubled = Doubled()
    doubled.set_feature("a", "f", 4)
    assert doubled.get_feature_batch(["a"], ["f"]) == {"a": {"f": 8}}
    assert doubled.asked == [{"version_id": None, "timestamp": None}]
    store.get_feature = lambda **arguments: "patched"  # type: ignore[method-assign]
    assert store.get_feature_batch(["a"], ["f"]) == {"a": {"f": "patched"}}


@pytest.mark.parametrize("approximate", [True, False])
def test_index(approximate: bool) -> None:
    """Made when first needed."""
    store = FeatureStore(2, "COSINE", approximate_search=approximate)
    assert store._vector_index is None
    store.set_feature("e", "s", 1)
    assert store._vector_index is None
    vector = Vector([1, 0])
    id = store.set_feature("e", "v", vector, metadata={"more": 1})
    index: Any = store._vector_index
    assert index is store.vector_index
    assert type(index) is (ApproximateNearestNeighbor if approximate else VectorIndex)
    assert index._distance_metric == "COSINE"
    assert (store._vector_dimension, store._distance_metric) == (2, "COSINE")
    assert store.get_feature("e", "v") is vector
    assert vector.id is None
    metadata = index.get_metadata(index.ids[0])
    assert metadata.items() >= {"entity_id": "e", "feature_name": "v", "version_id": id, "more": 1}.items()
    assert "timestamp" in metadata
    with pytest.raises(ValueError, match="dimension"):
        store.set_feature("e", "v", [1, 2, 3])
    assert store.get_feature("e", "v") is vector
    assert FeatureStore().vector_index is None
    FeatureStore(2, "unknown").set_feature("e", "f", 1)
    with pytest.raises(ValueError, match="unknown"):
        _ = FeatureStore(2, "unknown").vector_index


@pytest.mark.parametrize("approximate", [True, False])
def test_similarity(approximate: bool) -> None:
    """Of all versions there are."""
    store = vectors(approximate_search=approximate)
    found = store.get_similar_vectors("e1:v", 3)
    assert [(f["entity_id"], f["feature_name"], f["version_id"]) for f in found] == [
        ("e1", "v", "1"),
        ("e0", "v", "1"),
        ("e2", "v", "1"),
    ]
    assert found[0]["distance"] == 0.0
    assert found[0]["metadata"]["entity_id"] == "e1"
    for query in (Vector([1, 1]), "e1:v:1", ("e1", "v"), ("e1", "v", None), ("e1", "v", "1")):
        assert store.get_similar_vectors(query, k=3) == found
    filtered = store.get_similar_vectors("e1:v", 10, lambda metadata: metadata["entity_id"] > "e2")
    assert [f["entity_id"] for f in filtered] == ["e3", "e4"]
    wrong: list[Any] = ["e1", "e1:x", "x:v", "e1:v:2", {}, [], None, ("e1",), ("e1", "x"), 5, Vector([1])]
    for query in wrong:
        with pytest.raises(ValueError, match=r"."):
            store.get_similar_vectors(query)
    with pytest.raises(ValueError, match="k must"):
        store.get_similar_vectors("e1:v", 0)
    store.set_feature("e1", "s", 1)
    with pytest.raises(ValueError, match="vector"):
        store.get_similar_vectors("e1:s")
    with pytest.raises(ValueError, match="Vector index is not available"):
        FeatureStore().get_similar_vectors(Vector([1]))


def test_ids_with_colons() -> None:
    """Other ways to split are tried."""
    store = FeatureStore(1)
    store.set_feature("a:b", "c", [1], version_id="v:1")
    store.set_feature("a", "b", [2], version_id="c")
    assert store.get_similar_vectors("a:b:c", 1)[0]["entity_id"] == "a"
    store.delete_feature("a", "b")
    for query in ("a:b:c", "a:b:c:v:1"):
        assert store.get_similar_vectors(query, 1)[0]["entity_id"] == "a:b"


@pytest.mark.parametrize("approximate", [True, False])
def test_what_is_gone_is_not_found(approximate: bool) -> None:
    """Deleted features and entities, evicted versions; but not what replaced them."""
    store = vectors(max_versions_per_feature=2, approximate_search=approximate)
    for i in range(3):
        store.set_feature("e0", "v", [9.0 + i] * 2, version_id=f"n{i}")
    assert store.vector_index is not None
    assert len(store.vector_index) == 6
    assert [f["version_id"] for f in store.get_similar_vectors(Vector([0, 0]), 10)] == ["1"] * 4 + ["n1", "n2"]
    store.delete_feature("e1", "v")
    store.delete_entity("e2")
    assert {f["entity_id"] for f in store.get_similar_vectors(Vector([0, 0]), 10)} == {"e0", "e3", "e4"}
    store.set_feature("x", "v", Vector([5, 5], "shared"))
    store.set_feature("y", "v", Vector([6, 6], "shared"))
    store.delete_feature("x", "v")
    assert store.get_similar_vectors(Vector([6, 6]), 1)[0]["entity_id"] == "y"
    store.delete_feature("y", "v")
    assert "shared" not in store.vector_index


def test_metadata_cannot_falsify_results() -> None:
    """The three fields are the true ones."""
    store = FeatureStore(1)
    store.set_feature("e", "v", [1], version_id="1", metadata={"entity_id": "fake", "version_id": "fake"})
    found = store.get_similar_vectors("e:v")[0]
    assert (found["entity_id"], found["version_id"], found["metadata"]["entity_id"]) == ("e", "1", "fake")
    assert store.vector_index is not None
    store.vector_index.add(Vector([1], "own"), {"entity_id": "o"})
    own = store.get_similar_vectors("e:v")[1]
    assert (own["entity_id"], own["version_id"]) == ("o", None)


def test_lineage() -> None:
    """Parents and transformations."""
    store = FeatureStore()
    store.set_feature("e", "raw", 1, version_id="r")
    parameters = {"base": 10}
    id = store.set_feature(
        "e",
        "log",
        0,
        created_by="me",
        parent_features=[("e", "raw"), ("x", "y")],
        transformation="log",
        parameters=parameters,
    )
    step = store.get_feature_lineage("e", "log")[0]
    assert (step["name"], step["type"], step["created_by"]) == ("log", "transformation", "me")
    assert step["metadata"] == {"transformation": "log", "parameters": parameters}
    assert (step["inputs"], step["outputs"]) == (["e:raw:r"], [f"e:log:{id}"])
    node = store._lineage_tracker.get_node(f"e:log:{id}")
    assert node is not None
    assert (node.name, node.node_type) == ("e:log", "feature")
    assert node.metadata == {"entity_id": "e", "feature_name": "log", "version_id": id}
    assert store.get_feature_lineage("e", "raw") == []
    store.set_feature("e", "alone", 1)
    assert store.get_feature_lineage("e", "alone") == []
    for missing in (("e", "none"), ("x", "raw"), ("e", "raw", "other")):
        with pytest.raises(ValueError, match="version"):
            store.get_feature_lineage(*missing)
    store.set_feature("e", "twice", 0, parent_features=[("e", "log")])
    assert [s["name"] for s in store.get_feature_lineage("e", "twice")] == ["log"]
    store.set_feature("e", "made", 0, transformation="made up")
    assert store.get_feature_lineage("e", "made")[0]["inputs"] == []
    for i in range(5):
        store.set_feature("e", "log", i, parent_features=[("e", "log")], transformation=f"step{i}")
    assert [s["name"] for s in store.get_feature_lineage("e", "log")] == ["log", *(f"step{i}" for i in range(5))]


def test_deleting_lineage() -> None:
    """What came from it goes, and transformations that made nothing else."""
    store = FeatureStore()
    store.set_feature("e", "a", 1)
    store.set_feature("e", "b", 1, parent_features=[("e", "a")], transformation="t")
    store.set_feature("e", "c", 1, parent_features=[("e", "b")], transformation="u")
    assert len(store._lineage_tracker._nodes) == 5
    store.delete_feature("e", "c")
    assert len(store._lineage_tracker._nodes) == 5
    assert store.delete_feature("e", "b", delete_lineage=True)
    assert [node.name for node in store._lineage_tracker._nodes.values()] == ["e:a"]
    store.delete_entity("e", True)
    assert store._lineage_tracker._nodes == {}


def test_configuration() -> None:
    """As a dict, without data."""
    store = vectors(max_versions_per_feature=3)
    found = store.to_dict()
    assert found == {
        "vector_dimension": 2,
        "distance_metric": "euclidean",
        "max_versions_per_feature": 3,
        "approximate_search": True,
        "entity_count": 5,
        "last_modified": store.last_modified,
    }
    for other in (FeatureStore.from_dict(found), FeatureStore.from_json(store.to_json())):
        assert {**other.to_dict(), "last_modified": 0} == {**found, "entity_count": 0, "last_modified": 0}
    assert json.loads(store.to_json()) == found
    assert FeatureStore.from_dict({}).to_dict()["max_versions_per_feature"] is None
    assert FeatureStore().to_dict()["max_versions_per_feature"] == 10
    assert isinstance(store, Serializable)


def test_ordinary_object() -> None:
    """Subclasses, attributes, weak references, collection of cycles."""

    class Mine(FeatureStore):
        def __init__(self, name: str) -> None:
            super().__init__(vector_dimension=3, distance_metric="cosine")
            self.name = name

    mine = Mine("x")
    mine.set_feature("e", "self", mine)
    assert (mine.name, mine._vector_dimension) == ("x", 3)
    gone = weakref.ref(mine)
    del mine
    gc.collect()
    assert gone() is None


def test_threads() -> None:
    """Writers and readers at once."""
    store = FeatureStore(vector_dimension=4, max_versions_per_feature=3)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for i in range(150):
                entity = f"e{rng.randrange(20)}"
                store.set_feature(entity, "v", [rng.random() for _ in range(4)], parent_features=[(entity, "v")])
                store.get_feature_batch([f"e{n}" for n in range(20)], ["v"])
                assert store.get_similar_vectors(Vector([0, 0, 0, 0]), 3)
                if i % 20 == 0:
                    store.delete_entity(entity, delete_lineage=True)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.vector_index is not None
    kept = store._version_manager._versions.values()
    assert len(store.vector_index) == sum(len(features["v"]) for features in kept)
