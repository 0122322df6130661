"""Vectors, indexes, versions, lineage and the feature store, beside plain Python."""

# ruff: noqa: A001, A002, ANN401, ARG001, ARG002, B905

import heapq
import json
import math
import random
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from bench_case import Case
from vectordb import BatchProcessor, FeatureStore, Vector, VectorIndex
from vectordb.core import distance
from vectordb.feature_store import LineageTracker, VersionManager
from vectordb.indexing import ApproximateNearestNeighbor

DIMENSION = 128
VECTORS = 10_000


class PlainVector:
    """A tuple of floats with an id."""

    __slots__ = ("_values", "id")

    def __init__(self, values: Any, id: Any = None) -> None:
        if not values:
            raise ValueError("empty")
        self._values = tuple(float(value) for value in values)
        self.id = id

    @property
    def values(self) -> tuple[float, ...]:
        return self._values

    @property
    def dimension(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> float:
        return self._values[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlainVector) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def check(self, other: "PlainVector") -> None:
        if self.dimension != other.dimension:
            raise ValueError("dimensions differ")

    def dot(self, other: "PlainVector") -> float:
        self.check(other)
        return sum(a * b for a, b in zip(self._values, other.values))

    def magnitude(self) -> float:
        return math.sqrt(sum(value * value for value in self._values))

    def normalize(self) -> "PlainVector":
        length = self.magnitude()
        return PlainVector([value / length for value in self._values], self.id)

    def add(self, other: "PlainVector") -> "PlainVector":
        self.check(other)
        return PlainVector([a + b for a, b in zip(self._values, other.values)])

    def scale(self, scalar: float) -> "PlainVector":
        return PlainVector([value * scalar for value in self._values], self.id)

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"values": list(self._values)}
        if self.id is not None:
            found["id"] = self.id
        return found

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "PlainVector":
        data = json.loads(text)
        return cls(data["values"], data.get("id"))


def plain_squared(a: PlainVector, b: PlainVector) -> float:
    """Sum of the squared differences."""
    a.check(b)
    return sum((x - y) ** 2 for x, y in zip(a.values, b.values))


def plain_euclidean(a: PlainVector, b: PlainVector) -> float:
    """Its root."""
    return math.sqrt(plain_squared(a, b))


def plain_manhattan(a: PlainVector, b: PlainVector) -> float:
    """Sum of the differences."""
    a.check(b)
    return sum(abs(x - y) for x, y in zip(a.values, b.values))


def plain_chebyshev(a: PlainVector, b: PlainVector) -> float:
    """Greatest difference."""
    a.check(b)
    return max(abs(x - y) for x, y in zip(a.values, b.values))


def plain_similarity(a: PlainVector, b: PlainVector) -> float:
    """Cosine of the angle."""
    return max(-1.0, min(1.0, a.dot(b) / (a.magnitude() * b.magnitude())))


def plain_cosine(a: PlainVector, b: PlainVector) -> float:
    """One minus it."""
    return 1.0 - plain_similarity(a, b)


def plain_angular(a: PlainVector, b: PlainVector) -> float:
    """The angle."""
    return math.acos(plain_similarity(a, b))


class PlainIndex:
    """Dicts by id, and a full scan."""

    def __init__(self, function: Callable[[Any, Any], float]) -> None:
        self.vectors: dict[Any, PlainVector] = {}
        self.metadata: dict[Any, dict[str, Any]] = {}
        self.function = function
        self.last_modified = time.time()

    def add(self, vector: PlainVector, metadata: dict[str, Any] | None = None) -> Any:
        id = vector.id
        if id is None:
            id = str(uuid.uuid4())
            vector = PlainVector(vector.values, id)
        self.vectors[id] = vector
        if metadata is not None:
            self.metadata[id] = metadata
        elif id not in self.metadata:
            self.metadata[id] = {}
        self.last_modified = time.time()
        return id

    def get(self, id: Any) -> PlainVector | None:
        return self.vectors.get(id)

    def remove(self, id: Any) -> bool:
        if id not in self.vectors:
            return False
        del self.vectors[id]
        self.metadata.pop(id, None)
        self.last_modified = time.time()
        return True

    def nearest(self, query: PlainVector, k: int = 1, filter_fn: Any = None) -> list[tuple[Any, float]]:
        found = []
        for id, vector in self.vectors.items():
            if filter_fn and not filter_fn(id, self.metadata[id]):
                continue
            found.append((id, self.function(query, vector)))
        return heapq.nsmallest(k, found, key=lambda pair: pair[1])


class PlainHashed(PlainIndex):
    """Candidates from buckets of random directions, then their distances."""

    def __init__(self, dimensions: int, bits: int = 8, tables: int = 10) -> None:
        super().__init__(plain_euclidean)
        rng = random.Random(1)
        self.tables: list[tuple[list[list[float]], dict[tuple[int, ...], set[Any]]]] = []
        for _ in range(tables):
            self.tables.append(([[rng.gauss(0, 1) for _ in range(dimensions)] for _ in range(bits)], {}))

    def key(self, directions: list[list[float]], vector: PlainVector) -> tuple[int, ...]:
        return tuple(int(sum(a * b for a, b in zip(row, vector.values)) >= 0) for row in directions)

    def add(self, vector: PlainVector, metadata: dict[str, Any] | None = None) -> Any:
        id = super().add(vector, metadata)
        for directions, buckets in self.tables:
            buckets.setdefault(self.key(directions, vector), set()).add(id)
        return id

    def remove(self, id: Any) -> bool:
        vector = self.vectors[id]
        for directions, buckets in self.tables:
            buckets[self.key(directions, vector)].discard(id)
        return super().remove(id)

    def nearest(self, query: PlainVector, k: int = 1, filter_fn: Any = None) -> list[tuple[Any, float]]:
        candidates: set[Any] = set()
        for directions, buckets in self.tables:
            candidates |= buckets.get(self.key(directions, query), set())
        found = [(id, self.function(query, self.vectors[id])) for id in candidates]
        return heapq.nsmallest(k, found, key=lambda pair: pair[1])


class PlainVersion:
    """A value and what is said of it."""

    def __init__(
        self, value: Any, version_id: Any = None, timestamp: Any = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self.value = value
        self.version_id = str(uuid.uuid4()) if version_id is None else version_id
        self.timestamp = time.time() if timestamp is None else timestamp
        self.created_by = None
        self.description = None
        self.metadata: dict[str, Any] = metadata or {}

    def to_dict(self) -> dict[str, Any]:
        return {
            "version_id": self.version_id,
            "value": self.value,
            "timestamp": self.timestamp,
            "created_by": self.created_by,
            "description": self.description,
            "metadata": self.metadata,
        }


class PlainStore:
    """Lists of versions in dicts of dicts, under a lock, with a log of changes."""

    def __init__(self, dimension: int | None = None, most: int = 10) -> None:
        self.entities: dict[Any, dict[str, Any]] = {}
        self.types: dict[Any, dict[str, Any]] = {}
        self.versions: dict[Any, dict[Any, list[PlainVersion]]] = {}
        self.index = PlainIndex(plain_euclidean) if dimension else None
        self.edges: dict[str, list[str]] = {}
        self.most = most
        self.lock = threading.RLock()
        self.changes: list[tuple[Any, ...]] = []
        self.last_modified = time.time()

    def set_feature(
        self,
        entity: Any,
        feature: Any,
        value: Any,
        version_id: Any = None,
        timestamp: Any = None,
        metadata: dict[str, Any] | None = None,
        parents: Any = None,
        transformation: Any = None,
    ) -> Any:
        with self.lock:
            if entity not in self.entities:
                self.entities[entity] = {}
            kind = "scalar"
            if isinstance(value, PlainVector):
                kind = "vector"
            elif isinstance(value, (list, tuple)) and all(isinstance(item, (int, float)) for item in value):
                kind, value = "vector", PlainVector(value)
            version = PlainVersion(value, version_id, timestamp, metadata)
            versions = self.versions.setdefault(entity, {}).setdefault(feature, [])
            self.changes.append((entity, feature, "update" if versions else "create", version.timestamp, value))
            versions.insert(0, version)
            gone = versions[self.most :]
            del versions[self.most :]
            if feature not in self.types:
                self.types[feature] = {"type": kind}
            if parents or transformation:
                self.edges[version.version_id] = list(parents)
            if kind == "vector" and self.index is not None:
                key = f"{entity}:{feature}:{version.version_id}"
                own = {"entity_id": entity, "feature_name": feature, "version_id": version.version_id}
                own["timestamp"] = version.timestamp
                self.index.add(PlainVector(value.values, key), own)
                for old in gone:
                    self.index.remove(f"{entity}:{feature}:{old.version_id}")
            self.last_modified = time.time()
            return version.version_id

    def get_feature(
        self,
        entity_id: Any,
        feature_name: Any,
        version_id: Any = None,
        version_number: Any = None,
        timestamp: Any = None,
        default: Any = None,
    ) -> Any:
        with self.lock:
            versions = self.versions.get(entity_id, {}).get(feature_name)
            if not versions:
                return default
            if version_id is not None:
                for version in versions:
                    if version.version_id == version_id:
                        return version.value
                return default
            if version_number is not None:
                return versions[version_number].value if 0 <= version_number < len(versions) else default
            if timestamp is not None:
                found = [version for version in versions if version.timestamp <= timestamp]
                return max(found, key=lambda version: version.timestamp).value if found else default
            return versions[0].value

    def get_feature_history(self, entity: Any, feature: Any) -> list[dict[str, Any]]:
        with self.lock:
            return [version.to_dict() for version in self.versions[entity][feature]]

    def get_feature_batch(self, entities: Any, features: Any) -> dict[Any, dict[Any, Any]]:
        found: dict[Any, dict[Any, Any]] = {}
        for entity in entities:
            found[entity] = {}
            for feature in features:
                value = self.get_feature(entity, feature)
                if value is not None:
                    found[entity][feature] = value
        return found


def rows(count: int, dimension: int = DIMENSION, seed: int = 1) -> list[list[float]]:
    """Independent Gaussian components."""
    rng = random.Random(seed)
    return [[rng.gauss(0, 1) for _ in range(dimension)] for _ in range(count)]


def close(a: Any, b: Any) -> None:
    """Raises unless two numbers, or lists of pairs, are the same to 1e-9."""
    if isinstance(a, float):
        assert math.isclose(a, b, rel_tol=1e-9), (a, b)
        return
    assert [id for id, _ in a] == [id for id, _ in b]
    for (_, x), (_, y) in zip(a, b):
        close(x, y)


def vector_cases() -> list[Case]:
    """Single vectors and distances."""
    a, b = rows(2)
    ours, other = Vector(a, "a"), Vector(b, "b")
    plain, plain_other = PlainVector(a, "a"), PlainVector(b, "b")
    text = ours.to_json()

    def case(name: str, run: Callable[[], Any], run_plain: Callable[[], Any]) -> Case:
        def check() -> None:
            found, expected = run(), run_plain()
            if isinstance(found, float):
                close(found, expected)
            elif isinstance(found, Vector):
                for x, y in zip(found.values, expected.values):
                    close(x, y)
            else:
                assert found == expected

        return Case(f"vectordb {name} {DIMENSION}", run, run_plain, check=check)

    cases = [
        case("Vector of a list", lambda: Vector(a), lambda: PlainVector(a)),
        case("Vector.values", lambda: ours.values, lambda: plain.values),
        case("Vector[i]", lambda: ours[5], lambda: plain[5]),
        case("Vector ==", lambda: ours == ours, lambda: plain == plain),
        case("Vector.dot", lambda: ours.dot(other), lambda: plain.dot(plain_other)),
        case("Vector.magnitude", ours.magnitude, plain.magnitude),
        case("Vector.normalize", ours.normalize, plain.normalize),
        case("Vector.add", lambda: ours.add(other), lambda: plain.add(plain_other)),
        case("Vector.scale", lambda: ours.scale(2.5), lambda: plain.scale(2.5)),
        case("Vector.to_dict", ours.to_dict, plain.to_dict),
        case("Vector.to_json", ours.to_json, plain.to_json),
        case("Vector.from_json", lambda: Vector.from_json(text), lambda: PlainVector.from_json(text)),
    ]
    functions: list[tuple[str, Any, Any]] = [
        ("euclidean_distance", distance.euclidean_distance, plain_euclidean),
        ("squared_euclidean_distance", distance.squared_euclidean_distance, plain_squared),
        ("manhattan_distance", distance.manhattan_distance, plain_manhattan),
        ("chebyshev_distance", distance.chebyshev_distance, plain_chebyshev),
        ("cosine_distance", distance.cosine_distance, plain_cosine),
        ("cosine_similarity", distance.cosine_similarity, plain_similarity),
        ("angular_distance", distance.angular_distance, plain_angular),
    ]
    for name, function, plain_function in functions:
        cases.append(
            case(
                name,
                partial(function, ours, other),
                partial(plain_function, plain, plain_other),
            )
        )
    return cases


def again(index: Any, vector: Any) -> None:
    """Takes a vector out and in."""
    index.remove(vector.id)
    index.add(vector)


def clustered(count: int) -> list[list[float]]:
    """A hundred tight clusters."""
    rng = random.Random(2)
    centres = rows(100, seed=3)
    return [[x + rng.gauss(0, 0.05) for x in centres[i % 100]] for i in range(count)]


def index_cases() -> list[Case]:
    """Both indexes."""
    data = rows(VECTORS)
    vectors = [Vector(row, f"v{i}") for i, row in enumerate(data)]
    plains = [PlainVector(row, f"v{i}") for i, row in enumerate(data)]
    query, plain_query = Vector(rows(1, seed=9)[0]), PlainVector(rows(1, seed=9)[0])
    shape = f"{VECTORS} x {DIMENSION}"
    cases = []

    def filled(metric: str, function: Any) -> tuple[VectorIndex, PlainIndex]:
        index, plain = VectorIndex(metric), PlainIndex(function)
        index.add_batch(vectors)
        for vector in plains:
            plain.add(vector)
        return index, plain

    def even(id: Any, metadata: Any) -> bool:
        return bool(int(id[1:]) % 2)

    index, plain = filled("euclidean", plain_euclidean)
    for metric, function, keep in (
        ("euclidean", plain_euclidean, None),
        ("manhattan", plain_manhattan, None),
        ("cosine", plain_cosine, None),
        ("angular", plain_angular, None),
        ("euclidean", plain_euclidean, even),
    ):
        own, own_plain = filled(metric, function)
        run = partial(own.nearest, query, 10, keep)
        run_plain = partial(own_plain.nearest, plain_query, 10, keep)
        name = f"vectordb VectorIndex.nearest {metric}{' filtered' if keep else ''} {shape}"

        def check(run: Callable[[], Any] = run, run_plain: Callable[[], Any] = run_plain) -> None:
            close(run(), run_plain())

        cases.append(Case(name, run, run_plain, bulk=True, check=check))

    one, plain_one = vectors[5], plains[5]
    cases.append(Case("vectordb VectorIndex.add again", lambda: index.add(one), lambda: plain.add(plain_one)))
    cases.append(Case("vectordb VectorIndex.get", lambda: index.get("v77"), lambda: plain.get("v77")))

    def add_all(make: Callable[[], Any], items: list[Any]) -> None:
        index = make()
        for item in items:
            index.add(item)

    cases.append(
        Case(
            f"vectordb VectorIndex.add {shape}",
            lambda: add_all(VectorIndex, vectors),
            lambda: add_all(lambda: PlainIndex(plain_euclidean), plains),
            operations=VECTORS,
        )
    )
    cases.append(
        Case(
            f"vectordb VectorIndex.add_batch {shape}",
            lambda: VectorIndex().add_batch(vectors),
            lambda: add_all(lambda: PlainIndex(plain_euclidean), plains),
            operations=VECTORS,
        )
    )
    for kind, own_rows in (("Gaussian", data), ("clustered", clustered(VECTORS))):
        hashed, near = PlainHashed(DIMENSION), ApproximateNearestNeighbor(DIMENSION, seed=1)
        for i, row in enumerate(own_rows):
            hashed.add(PlainVector(row, f"v{i}"))
            near.add(Vector(row, f"v{i}"))
        asked = [x + 0.01 for x in own_rows[3]]
        ours_asked, plain_asked = Vector(asked), PlainVector(asked)

        def check_near(near: Any = near, asked: Any = ours_asked, hashed: Any = hashed) -> None:
            found = {id for id, _ in near.nearest(asked, 10)}
            true = {id for id, _ in PlainIndex.nearest(hashed, PlainVector(asked.values), 10)}
            assert len(found & true) >= 9, found ^ true

        cases.append(
            Case(
                f"vectordb ApproximateNearestNeighbor.nearest {kind} {shape}",
                partial(near.nearest, ours_asked, 10),
                partial(hashed.nearest, plain_asked, 10),
                bulk=True,
                check=check_near,
            )
        )
        one, plain_one = Vector(own_rows[9], "v9"), PlainVector(own_rows[9], "v9")
        cases.append(
            Case(
                f"vectordb ApproximateNearestNeighbor.remove and add {kind} {shape}",
                partial(again, near, one),
                partial(again, hashed, plain_one),
            )
        )
    return cases


def store_cases() -> list[Case]:
    """Versions, lineage, the store and its batches."""
    entities = [f"e{i}" for i in range(1000)]
    features = [f"f{i}" for i in range(10)]
    store, plain = FeatureStore(), PlainStore()
    for entity in entities:
        for feature in features:
            for target in (store, plain):
                target.set_feature(entity, feature, feature)
    for i in range(10):
        for target in (store, plain):
            target.set_feature("e7", "f7", i, version_id=f"v{i}", timestamp=float(i))
    hundred = entities[:100]
    sequential = BatchProcessor(store, use_parallelization=False)
    parallel = BatchProcessor(store)
    names = ["f1", "f2"]

    def twice(features: dict[str, Any]) -> dict[str, Any]:
        features["f1"] = features["f1"] * 2
        return features

    def plain_twice(ids: list[str]) -> dict[str, Any]:
        found = plain.get_feature_batch(ids, names)
        return {id: twice(features) for id, features in found.items()}

    def same(run: Callable[[], Any], run_plain: Callable[[], Any]) -> Callable[[], None]:
        def check() -> None:
            assert run() == run_plain()

        return check

    def case(name: str, run: Callable[[], Any], run_plain: Callable[[], Any], operations: int = 1) -> Case:
        return Case(f"vectordb {name}", run, run_plain, operations, check=same(run, run_plain))

    cases = [
        case("get_feature latest", lambda: store.get_feature("e5", "f5"), lambda: plain.get_feature("e5", "f5")),
        case(
            "get_feature by version id",
            lambda: store.get_feature("e7", "f7", version_id="v3"),
            lambda: plain.get_feature("e7", "f7", version_id="v3"),
        ),
        case(
            "get_feature by timestamp",
            lambda: store.get_feature("e7", "f7", timestamp=4.5),
            lambda: plain.get_feature("e7", "f7", timestamp=4.5),
        ),
        case(
            "get_feature_history of 10",
            lambda: store.get_feature_history("e7", "f7"),
            lambda: plain.get_feature_history("e7", "f7"),
        ),
        case(
            "get_feature_batch 100 x 10",
            lambda: store.get_feature_batch(hundred, features),
            lambda: plain.get_feature_batch(hundred, features),
            1000,
        ),
        case(
            "retrieve_batch 1000 x 10 sequential",
            lambda: sequential.retrieve_batch(entities, features),
            lambda: plain.get_feature_batch(entities, features),
            10_000,
        ),
        case(
            "retrieve_batch 1000 x 10 parallel",
            lambda: parallel.retrieve_batch(entities, features),
            lambda: plain.get_feature_batch(entities, features),
            10_000,
        ),
        case(
            "retrieve_batch 1000 x 2 transformed",
            lambda: sequential.retrieve_batch(entities, names, transformations=[twice]),
            lambda: plain_twice(entities),
            1000,
        ),
    ]
    fresh, plain_fresh = FeatureStore(), PlainStore()
    cases.append(
        Case(
            "vectordb set_feature scalar",
            lambda: fresh.set_feature("e", "f", 1),
            lambda: plain_fresh.set_feature("e", "f", 1),
        )
    )
    cases.append(
        Case(
            "vectordb set_feature scalar with version id",
            lambda: fresh.set_feature("e", "f", 1, version_id="v"),
            lambda: plain_fresh.set_feature("e", "f", 1, version_id="v"),
        )
    )
    row = rows(1, 64)[0]
    cases.append(
        Case(
            "vectordb set_feature list of 64 without index",
            lambda: fresh.set_feature("e", "v", row),
            lambda: plain_fresh.set_feature("e", "v", row),
        )
    )
    searched = {name: FeatureStore(64, approximate_search=name == "approximate") for name in ("exact", "approximate")}
    plain_searched = PlainStore(64)
    for i, values in enumerate(rows(1000, 64)):
        targets: list[Any] = [*searched.values(), plain_searched]
        for target in targets:
            target.set_feature(f"e{i}", "v", values, version_id="1")
    query = rows(1, 64, seed=5)[0]
    ours_query, plain_query = Vector(query), PlainVector(query)
    assert plain_searched.index is not None
    plain_index = plain_searched.index

    def similar() -> list[dict[str, Any]]:
        found = plain_index.nearest(plain_query, 10)
        metadata = plain_index.metadata
        return [{**metadata[id], "distance": near, "metadata": metadata[id]} for id, near in found]

    for name, own in searched.items():

        def check(own: FeatureStore = own) -> None:
            found = [result["entity_id"] for result in own.get_similar_vectors(ours_query, 10)]
            assert found == [result["entity_id"] for result in similar()]

        cases.append(
            Case(
                f"vectordb get_similar_vectors {name} 1000 x 64",
                partial(own.get_similar_vectors, ours_query, 10),
                similar,
                check=check,
            )
        )
        indexed = FeatureStore(64, approximate_search=name == "approximate")
        plain_indexed = PlainStore(64)
        cases.append(
            Case(
                f"vectordb set_feature list of 64 {name}",
                partial(indexed.set_feature, "e", "v", row),
                partial(plain_indexed.set_feature, "e", "v", row),
            )
        )
    manager = VersionManager(10)
    cases.append(
        Case(
            "vectordb VersionManager.add_version",
            lambda: manager.add_version("e", "f", 1, "v", 5.0),
            lambda: plain_fresh.set_feature("e", "f", 1, "v", 5.0),
        )
    )
    return cases + lineage_cases()


def lineage_cases() -> list[Case]:
    """A layered graph."""
    rng = random.Random(6)
    tracker = LineageTracker()
    children: dict[str, list[str]] = {}
    for i in range(2000):
        parents = [str(rng.randrange(max(0, i - 50), i)) for _ in range(3)] if i else []
        tracker.add_node("feature", node_id=str(i), parents=list(dict.fromkeys(parents)))
        children[str(i)] = []
        for parent in dict.fromkeys(parents):
            children[parent].append(str(i))

    def reached() -> set[str]:
        found: dict[str, None] = {}
        queue = ["0"]
        for id in queue:
            for child in children[id]:
                if child not in found:
                    found[child] = None
                    queue.append(child)
        return set(found)

    def check() -> None:
        assert set(tracker.get_descendants("0")) == reached()

    return [
        Case("vectordb LineageTracker.get_descendants 2000", lambda: tracker.get_descendants("0"), reached, check=check)
    ]


def cases() -> list[Case]:
    """All of them."""
    return vector_cases() + index_cases() + store_cases()
