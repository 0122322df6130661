"""`VectorIndex` and `ApproximateNearestNeighbor`."""

# ruff: noqa: A001, A006, ARG001, ARG005, N818

import copy
import math
import pickle
import random
import threading
import time
import weakref
from typing import Any, Union

import pytest
from common.core.storage import InMemoryStorage
from vectordb.core.distance import DISTANCE_METRICS, get_distance_function
from vectordb.indexing.approximate_nn import ApproximateNearestNeighbor, RandomProjection

from vectordb import Vector, VectorIndex

AnyIndex = Union[VectorIndex, ApproximateNearestNeighbor]


def exact() -> VectorIndex:
    """A new one."""
    return VectorIndex()


def approximate(dimensions: int = 2) -> ApproximateNearestNeighbor:
    """A new one."""
    return ApproximateNearestNeighbor(dimensions, seed=1)


BOTH = pytest.mark.parametrize("make", [exact, approximate])


@BOTH
def test_adding_and_getting(make: Any) -> None:
    """Objects and dicts are kept as they are."""
    index = make()
    assert not index
    a, metadata = Vector([1, 2], "a"), {"k": 1}
    before = index.last_modified
    time.sleep(0.01)
    assert index.add(a, metadata) == "a"
    assert index.last_modified > before
    assert index.get("a") is a
    assert index.get_metadata("a") is metadata
    assert (len(index), "a" in index, "b" in index, index.get("b"), index.get_metadata("b")) == (
        1,
        True,
        False,
        None,
        None,
    )
    nameless = Vector([3, 4])
    made = index.add(nameless)
    assert nameless.id is None
    assert len(made) == 36
    assert index.get(made) == nameless
    assert index.get_metadata(made) == {}
    assert index.get_metadata(made) is index.get_metadata(made)
    again = Vector([5, 6], "a")
    index.add(again)
    assert index.get("a") is again
    assert index.get_metadata("a") is metadata
    empty: dict[str, Any] = {}
    index.add(a, empty)
    assert index.get_metadata("a") is empty
    assert index.ids == ["a", made]
    index.add(Vector([1, 1], "own", {"own": 1}))
    assert index.get_metadata("own") == {"own": 1}
    assert index.ids is not index.ids
    with pytest.raises(AttributeError):
        index.add([1.0, 2.0])
    with pytest.raises(TypeError):
        index.add(Vector([1, 2], ["unhashable"]))
    index.add(Vector([1, 2], ("any", 1)))
    assert ("any", 1) in index


@BOTH
def test_removing(make: Any) -> None:
    """An id that comes again is at the end."""
    index = make()
    for name in "abc":
        index.add(Vector([ord(name), 0], name))
    assert index.remove("a") is True
    assert index.remove("a") is False
    assert index.get_metadata("a") is None
    index.add(Vector([1, 0], "a"))
    assert index.ids == ["b", "c", "a"]
    index.clear()
    assert (len(index), index.ids, index.nearest("unknown", 1)) == (0, [], [])
    index.add(Vector([1, 0], "a"))
    assert index.nearest(Vector([1, 0]), 5) == [("a", 0.0)]


@BOTH
def test_batches(make: Any) -> None:
    """All or nothing when numbers differ."""
    index = make()
    vectors = [Vector([i, 0], str(i)) for i in range(3)]
    with pytest.raises(ValueError, match="Number of vectors and metadata dictionaries must match"):
        index.add_batch(vectors, [{}])
    assert len(index) == 0
    assert index.add_batch(vectors, [{"a": 1}, None, {}]) == ["0", "1", "2"]
    assert index.get_metadata("0") == {"a": 1}
    assert index.get_metadata("1") == {}
    assert index.add_batch([]) == []


@BOTH
def test_searches(make: Any) -> None:
    """Errors, order, filters."""
    index = make()
    for k in (0, -1):
        with pytest.raises(ValueError, match="k must be at least 1"):
            index.nearest("unknown", k)
    assert index.nearest("unknown", 1) == []
    index.add_batch([Vector([i % 3, 0], i) for i in range(9)] + [Vector([0, 0], "q")])
    with pytest.raises(ValueError, match="'unknown'"):
        index.nearest("unknown", 1)
    with pytest.raises(TypeError):
        index.nearest(Vector([0, 0]), "3")
    with pytest.raises(ValueError, match="dimension"):
        index.nearest(Vector([1]), 1)
    assert index.nearest(Vector([0, 0]), 5) == [(0, 0.0), (3, 0.0), (6, 0.0), ("q", 0.0), (1, 1.0)]
    assert index.nearest("q", 4) == [(0, 0.0), (3, 0.0), (6, 0.0), (1, 1.0)]
    asked = []

    def odd(id: Any, metadata: dict[str, Any]) -> Any:
        asked.append((id, metadata))
        return [1] if id != "q" and id % 2 else ""

    assert index.nearest("q", 3, filter_fn=odd) == [(3, 0.0), (1, 1.0), (7, 1.0)]
    assert (0, {}) in asked
    index.get_metadata(1)["live"] = True
    found = index.nearest_with_metadata(Vector([1, 0]), 1, filter_fn=odd)
    assert found == [(1, 0.0, {"live": True})]
    assert found[0][2] is index.get_metadata(1)
    assert len(index.nearest(Vector([0, 0]), 100)) == 10
    assert len(index.nearest(Vector([0, 0]), 10**30)) == 10
    assert index.nearest(Vector([0, 0]), 5, filter_fn=lambda id, metadata: False) == []
    assert all(type(pair) is tuple for pair in index.nearest("q", 3))

    class Refused(Exception):
        pass

    def refuse(id: Any, metadata: Any) -> bool:
        raise Refused

    with pytest.raises(Refused):
        index.nearest("q", 3, filter_fn=refuse)


@pytest.mark.parametrize("metric", list(DISTANCE_METRICS))
@BOTH
def test_against_plain_python(make: Any, metric: str) -> None:
    """A full sort, through changes of all kinds."""
    rng = random.Random(metric)
    index: Any = VectorIndex(metric) if make is exact else ApproximateNearestNeighbor(3, distance_metric=metric)
    plain: dict[Any, Vector] = {}
    function = get_distance_function(metric)
    for step in range(600):
        id = rng.randrange(200)
        if rng.random() < 0.3:
            assert index.remove(id) == (plain.pop(id, None) is not None)
        else:
            plain[id] = Vector([rng.randint(-2, 2), rng.randint(-2, 2), 1], id)
            index.add(plain[id])
        if step % 20 == 0:
            assert index.ids == list(plain)
            query = Vector([rng.randint(-2, 2) for _ in range(2)] + [0.5])
            k = rng.randint(1, 30)
            keep = rng.choice([None, lambda id, metadata: id % 3 == 1])
            everything = [(id, function(query, v)) for id, v in plain.items() if keep is None or keep(id, {})]
            expected = sorted(everything, key=lambda pair: pair[1])[:k]
            assert index.nearest(query, k, filter_fn=keep) == expected


@BOTH
def test_nan_is_last(make: Any) -> None:
    """An order all the same."""
    index = make()
    index.add_batch([Vector([math.nan, 0], "n"), Vector([9, 0], "a"), Vector([math.inf, 0], "i"), Vector([1, 0], "b")])
    assert [id for id, _ in index.nearest(Vector([0, 0]), 4)] == ["b", "a", "i", "n"]


def test_directions_of_zero_vectors() -> None:
    """Refused unless filtered out."""
    index = VectorIndex("cosine")
    index.add_batch([Vector([1, 0], "a"), Vector([0, 0], "zero"), Vector([2, 0], "b")])
    with pytest.raises(ValueError, match="zero"):
        index.nearest(Vector([1, 1]), 2)
    assert index.nearest(Vector([1, 0]), 2, lambda id, metadata: id != "zero") == [("a", 0.0), ("b", 0.0)]


def test_several_dimensions() -> None:
    """Only a search that meets two is refused."""
    index = VectorIndex()
    index.add_batch([Vector([1, 0], "a"), Vector([1, 0, 0], "b"), Vector([2, 0, 0], "c")])
    with pytest.raises(ValueError, match="different dimensions"):
        index.nearest(Vector([0, 0, 0]), 1)
    assert index.nearest(Vector([0, 0, 0]), 2, lambda id, metadata: id != "a") == [("b", 1.0), ("c", 2.0)]
    assert index.nearest(Vector([0, 0]), 2, lambda id, metadata: id == "a") == [("a", 1.0)]
    with pytest.raises(ValueError, match="different dimensions"):
        index.nearest("b", 1)
    index.remove("a")
    assert index.nearest("b", 5) == [("c", 1.0)]
    index.add(Vector([5, 0, 0], "a"))
    index.add(Vector([5, 0], "c"))
    assert index.nearest(Vector([0, 0, 0]), 2, lambda id, metadata: id != "c") == [("b", 1.0), ("a", 5.0)]


def test_distance_by_id_or_vector() -> None:
    """Of two of them."""
    index = VectorIndex("MANHATTAN")
    index.add_batch([Vector([1, 0], "a"), Vector([3, 0], "b")])
    assert index.distance("a", "b") == 2.0
    assert index.distance("a", Vector([0, 0])) == 1.0
    assert index.distance_metric == "MANHATTAN"
    with pytest.raises(ValueError, match="Vector with ID 'x' not found in the index"):
        index.distance("a", "x")
    with pytest.raises(ValueError, match="Unknown distance metric: x"):
        VectorIndex("x")
    with pytest.raises(ValueError, match="Unknown distance metric: x"):
        ApproximateNearestNeighbor(2, distance_metric="x")
    with pytest.raises(AttributeError):
        index.distance_metric = "x"  # type: ignore[misc]


@BOTH
def test_custom_metric(make: Any) -> None:
    """Called with the query and each stored vector; its answers are handed on."""
    calls = []

    def last(query: Vector, stored: Vector) -> int:
        calls.append((query, stored))
        return int(abs(query[-1] - stored[-1]))

    DISTANCE_METRICS["last"] = last
    try:
        index: Any = VectorIndex("last") if make is exact else ApproximateNearestNeighbor(2, distance_metric="last")
        vectors = [Vector([0, i], str(i)) for i in (5, 1, 3)]
        index.add_batch(vectors)
        found = index.nearest(Vector([9, 2]), 2)
        assert found == [("1", 1), ("3", 1)]
        assert type(found[0][1]) is int
        assert [stored for _, stored in calls] == vectors
        assert calls[0][1] is vectors[0]
    finally:
        del DISTANCE_METRICS["last"]


def test_a_patched_metric_is_called() -> None:
    """The table is read as it is at construction."""
    own = DISTANCE_METRICS["euclidean"]
    DISTANCE_METRICS["euclidean"] = lambda a, b: 7.0
    try:
        index = VectorIndex()
    finally:
        DISTANCE_METRICS["euclidean"] = own
    index.add(Vector([1], "a"))
    assert index.nearest(Vector([1])) == [("a", 7.0)]


def test_sample() -> None:
    """Those of `random.Random(seed)`; without a seed, of the global `random`."""
    index = VectorIndex()
    index.add_batch([Vector([i], str(i)) for i in range(20)])
    expected = random.Random(7).sample(index.ids, 5)
    state = random.getstate()
    assert [vector.id for vector in index.sample(5, 7)] == expected
    assert random.getstate() == state
    random.seed(3)
    expected = random.sample(index.ids, 4)
    random.seed(3)
    assert [vector.id for vector in index.sample(4)] == expected
    assert index.sample(0) == []
    for n in (21, -1):
        with pytest.raises(ValueError, match="ample"):
            index.sample(n)


def test_metadata_is_replaced() -> None:
    """By reference."""
    index = VectorIndex()
    index.add(Vector([1], "a"), {"k": 1})
    new = {"l": 2}
    assert index.update_metadata("a", new) is True
    assert index.get_metadata("a") is new
    assert index.update_metadata("b", new) is False
    assert index.update_metadata(record_id="a", metadata={}) is True  # type: ignore[call-arg]


def test_names_of_both_editions() -> None:
    """`id` and `record_id`."""
    index = VectorIndex()
    vector = Vector([1], "a")
    index.add(vector)
    assert index.get(id="a") is index.get(record_id="a") is vector  # type: ignore[call-arg]
    assert index.get(None) is None
    assert index.get_metadata(record_id="a") == {}  # type: ignore[call-arg]
    assert index.remove_batch(ids=["x"]) == index.remove_batch(record_ids=["x"]) == 0  # type: ignore[call-arg]
    assert index.remove(record_id="a") is True  # type: ignore[call-arg]
    for wrong in ({}, {"other": 1}, {"id": 1, "record_id": 1}):
        with pytest.raises(TypeError):
            index.get(**wrong)


def test_is_a_storage() -> None:
    """Of the package `common`, with indices that follow."""
    assert issubclass(VectorIndex, InMemoryStorage)
    index = VectorIndex()
    a, b = Vector([1], "a", {"kind": "x"}), Vector([2], "b", {"kind": "y"})
    assert index.batch_add([a, b]) == ["a", "b"]
    assert (index.list(), index.count(), list(index)) == ([a, b], 2, [a, b])
    for _ in range(2):
        assert index.query("kind", "x") == [a]
        index.add_index("kind")
    c = Vector([3], "c", {"kind": "x"})
    index.add(c)
    assert index.query("kind", "x") == [a, c]
    replaced = Vector([4], "a", {"kind": "y"})
    index.add(replaced)
    assert index.query("kind", "x") == [c]
    assert index.query("kind", "y") == [replaced, b]
    before = index.get_last_modified()
    time.sleep(0.01)
    assert index.update("b", metadata={"kind": "z"}, unknown=1) is b
    assert index.get_last_modified() > before
    assert index.last_modified == index.get_last_modified()
    assert index.query("kind", "z") == [b]
    assert index.update("unknown", metadata={}) is None
    assert index.batch_update([("c", {"metadata": {"kind": "w"}}), ("u", {})]) == [c, None]
    assert index.query("kind", "w") == [c]
    assert index.filter(lambda vector: vector[0] > 2) == [replaced, c]
    nameless = index.add(Vector([9], metadata={"kind": "n"}))
    assert [vector.id for vector in index.query("kind", "n")] == [nameless]
    assert index.batch_delete(["b", "u"]) == [True, False]
    assert index.delete("a") is True
    assert index.query("kind", "y") == []
    index.remove_index("kind")
    index.clear()
    assert index.query("kind", "w") == []


def test_overridden_methods_are_called() -> None:
    """Where one method is another one many times."""

    class Loud(VectorIndex):
        def __init__(self, name: str) -> None:
            super().__init__(distance_metric="cosine")
            self.calls = [name]

        def add(self, vector: Vector, metadata: Any = None) -> Any:
            self.calls.append("add")
            return super().add(vector, metadata)

        def remove(self, id: Any) -> bool:
            self.calls.append("remove")
            return super().remove(id)

        def nearest(self, query: Any, k: int = 1, filter_fn: Any = None) -> list[tuple[Any, float]]:
            self.calls.append("nearest")
            return super().nearest(query, k, filter_fn)

    index = Loud("n")
    index.add_batch([Vector([1], "a"), Vector([2], "b")])
    assert index.nearest_with_metadata(Vector([1])) == [("a", 0.0, {})]
    index.remove_batch(["a"])
    index.delete("b")
    assert index.calls == ["n", "add", "add", "nearest", "remove", "remove"]


@BOTH
def test_filter_may_touch_the_index(make: Any) -> None:
    """A search is of what was there when it began."""
    index = make()
    index.add_batch([Vector([i, 0], i) for i in range(10)])

    def change(id: Any, metadata: Any) -> bool:
        assert index.get(0) is None or index.nearest(0 if isinstance(0, str) else Vector([0, 0]), 1)
        index.remove(id)
        index.add(Vector([100, 0], id + 1000))
        return True

    assert index.nearest(Vector([0, 0]), 2, filter_fn=change) == [(0, 0.0), (1, 1.0)]
    assert len(index) == 10
    assert index.nearest(Vector([100, 0]), 1) == [(1000, 0.0)]


@BOTH
def test_threads(make: Any) -> None:
    """Searches, additions and removals at once."""
    index = make()
    rng = random.Random(1)
    index.add_batch([Vector([rng.random(), rng.random()], i) for i in range(12_000)])
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        own = random.Random(seed)
        try:
            for _ in range(60):
                index.add(Vector([own.random(), own.random()], own.randrange(12_000)))
                index.remove(own.randrange(6_000))
                found = index.nearest(Vector([own.random(), own.random()]), 5)
                assert [distance for _, distance in found] == sorted(distance for _, distance in found)
                assert len(found) == 5
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@BOTH
def test_copies(make: Any) -> None:
    """Shallow, deep and pickled, with their own contents."""
    index = make()
    a = Vector([1, 2], "a")
    index.add(a, {"k": [1]})
    index.add(Vector([3, 4], "b"))
    index.note = "n"
    assert weakref.ref(index)() is not None
    others: list[Any] = [copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))]
    for other in others:
        assert type(other) is type(index)
        assert (other.ids, other.get("a"), other.get_metadata("a"), other.note) == (["a", "b"], a, {"k": [1]}, "n")
        assert other.last_modified == index.last_modified
        assert other.nearest(Vector([1, 2]), 1) == [("a", 0.0)]
        assert vars(other) == vars(index)
    assert copy.deepcopy(index).get("a") is not a
    assert copy.copy(index).get("a") is a


def test_approximate_index() -> None:
    """What it has of its own."""
    index = ApproximateNearestNeighbor(2, 4, 5, "cosine", 9)
    assert (index._dimensions, index._n_projections, index._n_tables, index._distance_metric) == (2, 4, 5, "cosine")
    with pytest.raises(ValueError, match=r"Vector dimension \(3\) does not match index dimension \(2\)"):
        index.add(Vector([1, 2, 3]))
    with pytest.raises(ValueError, match="does not match"):
        index.add_batch([Vector([1, 2], "a"), Vector([1])])
    assert len(index) == 0
    with pytest.raises(TypeError):
        ApproximateNearestNeighbor()  # type: ignore[call-arg]
    index = ApproximateNearestNeighbor(dimensions=2, n_projections=0, n_tables=0)
    index.add(Vector([1, 2], "a"))
    for ef_search in (0, -5, "x", None, 2.5, 10**30):
        assert index.nearest(Vector([1, 2]), 1, ef_search) == [("a", 0.0)]  # type: ignore[arg-type]
        assert index.nearest_with_metadata(Vector([1, 2]), 1, ef_search) == [("a", 0.0, {})]  # type: ignore[arg-type]


def test_random_projection() -> None:
    """Directions of `random.Random(seed)`, drawn row by row."""
    state = random.getstate()
    projection = RandomProjection(4, 3, seed=5)
    rng = random.Random(5)
    for row in projection.projections:
        drawn = [rng.gauss(0, 1) for _ in range(4)]
        norm = math.sqrt(sum(x * x for x in drawn))
        assert row == [x / norm for x in drawn]
    assert random.getstate() == state
    assert RandomProjection(4, 3, 5).projections == projection.projections
    assert RandomProjection(4, 3, 6).projections != projection.projections
    vector = Vector([1, -2, 3, 0.5])
    bits = projection.project(vector)
    assert bits == [int(sum(a * b for a, b in zip(row, vector)) >= 0) for row in projection.projections]
    assert all(type(bit) is int for bit in bits)
    assert len(projection.project(Vector([1, 2]))) == 3
    assert copy.deepcopy(projection).projections == projection.projections
    assert RandomProjection(4, 0).project(vector) == []


@pytest.mark.parametrize("index", [VectorIndex(), ApproximateNearestNeighbor(2)])
def test_a_vector_that_is_added_again_is_the_one_it_has_become(index: Any) -> None:
    vector = Vector([1.0, 0.0], "a")
    index.add(vector, {"k": 1})
    before = index.last_modified
    time.sleep(0.01)
    assert index.add(vector) == "a"
    assert (len(index), index.get_metadata("a")) == (1, {"k": 1})
    assert index.last_modified > before
    vector.__init__([0.0, 3.0], "a")  # type: ignore[misc]
    index.add(vector)
    assert index.nearest(Vector([0.0, 0.0]), 1) == [("a", 3.0)]
    vector.id = "b"
    index.add_batch([vector])
    assert index.ids == ["a", "b"]
