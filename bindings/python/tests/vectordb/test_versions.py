"""`Version` and `VersionManager`."""

# ruff: noqa: ARG002

import copy
import datetime
import gc
import pickle
import random
import time
import warnings
import weakref
from typing import Any

import pytest
from common.core import versioning
from vectordb.feature_store.version import Version, VersionManager


def test_version() -> None:
    """Defaults, assignment, texts, order."""
    value = object()
    before = time.time()
    version = Version(value)
    assert version.value is value
    assert len(version.version_id) == 36
    assert before <= version.timestamp <= time.time()
    assert (version.created_by, version.description, version.metadata) == (None, None, {})
    metadata = {"k": 1}
    version = Version(1, "v", 0, "me", "d", metadata)
    assert (version.version_id, version.timestamp, version.created_by, version.description) == ("v", 0, "me", "d")
    assert version.metadata is metadata
    assert Version(1, version_id="").version_id == ""
    for name in ("value", "version_id", "timestamp", "created_by", "description", "metadata"):
        setattr(version, name, 5)
        assert getattr(version, name) == 5
    with pytest.raises(AttributeError):
        version.created_at = 1  # type: ignore[misc, assignment]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moment = Version(1, "v", 86400.99).created_at
        assert repr(Version(1, "v", 86400.99)) == "Version(id=v, timestamp=1970-01-02 00:00:00)"
    assert moment == datetime.datetime(1970, 1, 2)
    assert moment.tzinfo is None
    assert Version(1, "a") == Version(2, "a")
    assert Version(1, "a") != Version(1, "b")
    assert (Version(1, "a") == "a") is False
    assert Version(1, "b", 1) < Version(1, "a", 2.5)
    assert Version(1, "b", 3) > Version(1, "a", 2.5)
    with pytest.raises(TypeError):
        Version(1, "b", 1) <= Version(1, "a", 2)  # type: ignore[operator]  # noqa: B015
    with pytest.raises(TypeError):
        hash(version)


def test_version_as_dict() -> None:
    """And back; the value is the object itself."""
    value = [1]
    version = Version(value, "v", 5, None, "d", {"k": 1})
    found = version.to_dict()
    assert list(found) == ["version_id", "value", "timestamp", "created_by", "description", "metadata"]
    assert found["value"] is value
    assert Version.from_dict(found).to_dict() == found
    assert Version.from_dict({"value": 1, "version_id": "v", "timestamp": 1}).metadata == {}
    for missing in ("value", "version_id", "timestamp"):
        with pytest.raises(KeyError):
            Version.from_dict({name: found[name] for name in found if name != missing})


def test_version_of_common() -> None:
    """Creator and description travel in the metadata."""
    version = Version(7, "v", 5.0, "me", "", {"k": [1]})
    common = version.to_common_version()
    assert type(common) is versioning.Version
    assert (common.version_id, common.timestamp, common.metadata) == ("v", 5.0, {"k": [1], "created_by": "me"})
    again = Version.from_common_version(common, 8)
    assert (again.value, again.version_id, again.created_by, again.description) == (8, "v", "me", None)
    assert again.metadata == {"k": [1]}
    assert again.metadata["k"] is not version.metadata["k"]
    assert common.metadata == {"k": [1], "created_by": "me"}


def test_ordinary_objects() -> None:
    """Subclasses, attributes, copies."""

    class Mine(Version):
        def __init__(self, name: str) -> None:
            super().__init__(1, version_id=name)
            self.more = 1

    mine = Mine("x")
    assert (mine.version_id, mine.more) == ("x", 1)
    version = Version([1], "v", 3, "c", "d", {"k": [1]})
    version.note = 1  # type: ignore[attr-defined]
    assert weakref.ref(version)() is version
    for other in (copy.copy(version), copy.deepcopy(version), pickle.loads(pickle.dumps(version))):
        assert other.to_dict() == version.to_dict()
        assert vars(other) == {"note": 1}
    manager = VersionManager(3)
    for i in range(5):
        manager.add_version("e", "f", i)
    for other in (copy.copy(manager), copy.deepcopy(manager), pickle.loads(pickle.dumps(manager))):
        assert [v.value for v in other.get_history("e", "f")] == [4, 3, 2]
        assert other._max_versions == 3
        assert len(other.get_changes_since(0)) == 5
    gone = weakref.ref(manager)
    manager.add_version("e", "me", manager)
    del manager, other
    gc.collect()
    assert gone() is None


def test_precedence() -> None:
    """Id, then number, then time, then the newest."""
    manager = VersionManager()
    for i, (name, moment) in enumerate([("a", 10), ("b", 30), ("c", 20), ("d", 20), ("a", 40)]):
        manager.add_version("e", "f", i, name, moment)
    get = manager.get_value
    assert get("e", "f") == manager.get_current("e", "f") == 4
    assert get("e", "f", version_id="a") == 4
    assert get("e", "f", version_id="x", version_number=0) is None
    assert [get("e", "f", version_number=n) for n in range(6)] == [4, 3, 2, 1, 0, None]
    assert get("e", "f", version_number=-1, default=9) == 9
    assert [get("e", "f", timestamp=t) for t in (5, 10, 19, 20, 25.5, 30, 100)] == [None, 0, 0, 3, 3, 1, 4]
    assert manager.get_version("e", "f", timestamp=5) is None
    manager.add_version("e", "none", None)
    assert get("e", "none", default=1) is None
    assert manager.get_current("e", "x", 5) == manager.get_current("x", "f", 5) == 5
    assert set(manager.get_versions_at("e", ["f", "none", "x"], 25)) == {"f"}
    assert manager.get_versions_at("e", ["f"], 25)["f"].value == 3


def test_history() -> None:
    """Newest first, within bounds, a copy."""
    manager = VersionManager()
    for i in range(5):
        manager.add_version("e", "f", i, timestamp=i)

    def values(**bounds: Any) -> list[int]:
        return [version.value for version in manager.get_history("e", "f", **bounds)]

    assert values() == values(limit=0) == values(limit=-2) == values(limit=None) == [4, 3, 2, 1, 0]
    assert values(limit=2) == [4, 3]
    assert values(since_timestamp=1, until_timestamp=3) == [3, 2, 1]
    assert values(since_timestamp=0, until_timestamp=0, limit=5) == [0]
    manager.get_history("e", "f").clear()
    assert len(manager.get_history("e", "f")) == 5
    assert manager.get_history("e", "x") == manager.get_history("x", "f") == []


def test_inside() -> None:
    """Live private dicts."""
    manager = VersionManager(2)
    made = [manager.add_version("e", "f", i, str(i)) for i in range(3)]
    assert type(manager._versions) is dict
    assert [version.value for version in manager._versions["e"]["f"]] == [2, 1]
    assert manager._versions["e"]["f"][0] is made[2]
    assert manager._current_versions == {"e": {"f": "2"}}
    assert manager._max_versions == 2
    none = VersionManager(0)
    none.add_version("e", "f", 1)
    assert none.has_feature("e", "f")
    assert none.get_current("e", "f", 5) == 5


def test_deletion_and_listing() -> None:
    """In order; an entity without features is gone."""
    manager = VersionManager()
    for entity, feature in (("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")):
        manager.add_version(entity, feature, 1)
    assert manager.get_entities() == ["a", "b"]
    assert manager.get_features("a") == ["x", "y"]
    assert manager.get_features("c") == []
    assert manager.delete_history("a", "x") == 2
    assert manager.delete_history("a", "x") == manager.delete_history("c") == 0
    assert manager.has_feature("a", "y")
    assert not manager.has_feature("a", "x")
    assert manager.delete_history("a") == 1
    assert manager.get_entities() == ["b"]


def test_changes() -> None:
    """All after a time, in order."""
    manager = VersionManager(1)
    manager.add_version("a", "x", 1, timestamp=10)
    manager.add_version("a", "x", 2, timestamp=20)
    manager.delete_history("a")
    changes = manager.get_changes_since(10)
    assert [(c["change_type"], c.get("value", "-")) for c in changes] == [("update", 2), ("delete", "-")]
    assert [c["change_type"] for c in manager.get_changes_since(0)] == ["create", "update", "delete"]
    assert manager.get_changes_since(0)[1] == changes[0]
    assert set(changes[0]) == {"change_id", "entity_id", "feature_name", "change_type", "timestamp", "value"}
    assert changes[0]["change_id"] != changes[1]["change_id"]


def test_against_plain_python() -> None:
    """Random histories."""
    rng = random.Random(4)
    for most in (None, 1, 3, 10):
        manager = VersionManager(most)
        plain: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for step in range(500):
            key = (rng.randrange(4), rng.randrange(4))
            if rng.random() < 0.1:
                assert manager.delete_history(*key) == len(plain.pop(key, []))
                continue
            moment = rng.choice([rng.randrange(50), rng.uniform(0, 50)])
            manager.add_version(*key, step, timestamp=moment)
            plain[key] = [(step, moment), *plain.get(key, [])][:most]
            at = rng.uniform(0, 50)
            expected: Any = None
            for value, own in plain[key]:
                if own <= at and (expected is None or own > expected[1]):
                    expected = (value, own)
            assert manager.get_value(*key, timestamp=at) == (expected and expected[0])
            assert [v.value for v in manager.get_history(*key)] == [value for value, _ in plain[key]]


def test_overridden_get_version_is_called() -> None:
    """By the methods that go through it."""

    class Mine(VersionManager):
        def get_version(self, *args: Any, **kwargs: Any) -> Any:
            return Version("mine", "v")

    manager = Mine(5)
    assert manager.get_value("e", "f") == manager.get_current("e", "f") == "mine"
    assert manager.get_versions_at("e", ["f"], 1)["f"].value == "mine"
