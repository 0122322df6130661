"""Versions, changes, vectors and trackers of `common`."""

from __future__ import annotations

import copy
import json
import pickle
import random
import time
from collections import defaultdict
from typing import Any

import pytest
from common.core import BaseRecord, Change, ChangeTracker, ChangeType, Serializable, Version, VersionVector


def test_version() -> None:
    version = Version("v", 0, {})
    assert version.to_dict() == {"version_id": "v", "timestamp": 0, "metadata": {}}
    assert Version.from_json(version.to_json()) == version
    assert version != Version()
    assert version != "v"
    assert version < Version("w", 1.0)
    with pytest.raises(TypeError):
        hash(version)
    assert len(Version.from_dict({}).version_id) == 36


def test_change() -> None:
    change = Change(change_type=ChangeType.DELETE, record_id="r", before_data={"a": 1}, after_data={})
    assert isinstance(change, Serializable)
    assert list(change.to_dict()) == [
        "change_id",
        "change_type",
        "record_id",
        "timestamp",
        "metadata",
        "before_data",
    ]
    assert change != Change.from_dict(change.to_dict())
    full = Change(before_version=Version("a"), after_version=Version("b"), change_type=ChangeType.UPDATE)
    again = Change.from_json(full.to_json())
    assert again.to_dict() == full.to_dict()
    assert again.before_version == Version("a")
    assert Change.from_dict({}).change_type is None
    with pytest.raises(ValueError):
        Change.from_dict({"change_type": "other"})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda change: pickle.loads(pickle.dumps(change))])
def test_copies_of_changes(copied: Any) -> None:
    change = Change(change_type=ChangeType.CREATE, after_version=Version("v"), after_data={"a": [1]})
    other = copied(change)
    other.after_data["a"].append(2)
    assert change.after_data == {"a": [1]}
    assert other.change_type is ChangeType.CREATE
    assert other.after_version == change.after_version
    assert other.after_version is not change.after_version


def test_vector() -> None:
    own, other = VersionVector("a"), VersionVector("b")
    assert isinstance(own.vector, defaultdict)
    assert own.vector == {"a": 0}
    assert own.vector["new"] == 0
    own.increment()
    other.vector["a"] = 3
    assert (own.compare(other), other.compare(own)) == (-1, 1)
    other.vector["b"] = 2
    own.vector["c"] = 1
    assert (own.compare(other), other.compare(own)) == (0, 0)
    own.merge(other)
    assert {**own.vector} == {"a": 3, "new": 0, "c": 1, "b": 2}
    again = VersionVector.from_json(own.to_json())
    assert (again.node_id, again.vector, again.compare(own)) == ("a", own.vector, 0)
    assert VersionVector.from_dict({"node_id": "x", "vector": {"y": 1}}).vector == {"y": 1}
    assert type(own.to_dict()["vector"]) is dict


def test_vectors_against_a_model() -> None:
    rng = random.Random(3)
    for _ in range(500):
        own, other = VersionVector("n0"), VersionVector("n1")
        for vector in (own, other):
            for node in range(4):
                if rng.random() < 0.7:
                    vector.vector[f"n{node}"] = rng.randrange(3)
        nodes = {*own.vector, *other.vector}
        pairs = [(own.vector.get(node, 0), other.vector.get(node, 0)) for node in nodes]
        less, more = any(a < b for a, b in pairs), any(a > b for a, b in pairs)
        assert own.compare(other) == more - less
        merged = {node: max(own.vector.get(node, 0), other.vector.get(node, 0)) for node in nodes}
        own.merge(other)
        assert own.vector == merged


def test_tracker_records_changes() -> None:
    tracker: ChangeTracker[Any] = ChangeTracker[Any]("node")
    record = BaseRecord("r")
    tracker.record_create(record)
    created = tracker.current_versions["r"]
    assert created.metadata == {"node_id": "node"}
    tracker.record_update(record, record)
    updated = tracker.current_versions["r"]
    tracker.record_delete(record)
    gone = tracker.current_versions["r"]
    assert gone.metadata == {"node_id": "node", "deleted": True}
    create, update, delete = tracker.changes
    assert [change.change_type for change in tracker.changes] == list(ChangeType)
    assert (create.before_version, create.after_version, create.after_data) == (None, created, record.to_dict())
    assert update.before_version is created
    assert update.after_version is updated
    assert update.before_data == update.after_data == record.to_dict()
    assert (delete.before_version is updated, delete.after_version, delete.after_data) == (True, None, None)
    assert tracker.version_vector.vector["node"] == 3
    with pytest.raises(ValueError):
        tracker.record_update(record, BaseRecord("other"))
    assert len(tracker.changes) == 3
    assert tracker.get_changes_for_record("r") == tracker.changes
    assert tracker.get_changes_since(create.timestamp - 1) == tracker.changes
    assert delete not in tracker.get_changes_since(delete.timestamp)
    again: ChangeTracker[Any] = ChangeTracker.from_json(tracker.to_json())
    assert again.to_dict() == json.loads(tracker.to_json())
    assert ChangeTracker.from_dict({}).changes == []
    tracker.clear_history_before(delete.timestamp)
    assert tracker.changes[-1] is delete
    tracker.changes = []
    assert tracker.get_changes_since(0) == []


def test_merge_takes_over_and_reports() -> None:
    one: ChangeTracker[Any] = ChangeTracker("one")
    two: ChangeTracker[Any] = ChangeTracker("two")
    shared, own = BaseRecord("shared"), BaseRecord("own")
    one.record_create(shared)
    assert two.merge(one) == []
    assert two.changes[0] is not one.changes[0]
    assert two.changes[0].to_dict() == one.changes[0].to_dict()
    assert two.version_vector.vector["one"] == 1
    two.merge(one)
    assert len(two.changes) == 1, "known changes are not taken twice"
    two.record_create(own)
    one.record_update(shared, shared)
    time.sleep(0.001)
    two.record_update(shared, shared)
    conflicts = one.merge(two)
    assert [(ours.record_id, theirs.record_id) for ours, theirs in conflicts] == [("shared", "shared")]
    assert conflicts[0][0] is one.changes[1]
    assert conflicts[0][1] is two.changes[2]
    assert [change.record_id for change in one.changes] == ["shared", "shared", "own"]
    assert one.current_versions["shared"] == two.current_versions["shared"]
    assert one.version_vector.vector == {"one": 2, "two": 2}


def test_no_conflict_with_what_a_side_has_seen() -> None:
    one: ChangeTracker[Any] = ChangeTracker("one")
    two: ChangeTracker[Any] = ChangeTracker("two")
    record = BaseRecord("r")
    one.record_create(record)
    two.merge(one)
    two.record_update(record, record)
    assert one.detect_conflicts(two.changes) == []
    assert two.detect_conflicts(one.changes) == []
    one.record_delete(record)
    assert one.detect_conflicts(two.changes) == []


def test_data_of_any_kind_is_copied_deeply() -> None:
    class Thing:
        def __init__(self) -> None:
            self.inner: list[int] = []

    inner: list[Any] = []
    data: dict[str, Any] = {"thing": Thing(), "twice": [inner, inner], "tuple": (1, [2]), "set": {1}}
    data["self"] = data
    one: ChangeTracker[Any] = ChangeTracker()
    one.changes.append(Change(after_data=data))
    two: ChangeTracker[Any] = ChangeTracker()
    two.merge(one)
    taken = two.changes[0].after_data
    assert taken is not data
    assert taken["self"] is taken
    assert taken["thing"] is not data["thing"]
    assert taken["twice"][0] is taken["twice"][1]
    assert taken["twice"][0] is not inner
    assert taken["tuple"] == (1, [2])
    assert taken["tuple"][1] is not data["tuple"][1]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    one.changes.append(Change(after_data=deep))
    with pytest.raises(RecursionError):
        two.merge(one)
