"""Changes, trackers, vectors, and conflicts outside of sync."""

# Methods and callbacks have the parameters they are called with.
# ruff: noqa: ARG002

import dataclasses
import random
import time
from typing import Any

import pytest
from syncdb.sync.change_tracker import ChangeRecord, ChangeTracker, VersionVector
from syncdb.sync.conflict_resolution import (
    ClientWinsResolver,
    ConflictAuditLog,
    ConflictManager,
    ConflictMetadata,
    ConflictResolver,
    CustomMergeResolver,
    LastWriteWinsResolver,
    MergeFieldsResolver,
    ServerWinsResolver,
)
from syncdb.sync.sync_protocol import SyncState


def change(operation: str = "update", new: Any = None, **other: Any) -> ChangeRecord:
    """A change of now."""
    fields = {"id": 0, "table_name": "t", "primary_key": (1,), "timestamp": time.time(), "client_id": "c"}
    return ChangeRecord(**{**fields, "operation": operation, "old_data": None, "new_data": new, **other})


def test_records_and_dictionaries() -> None:
    """Eight keys, values as they are; the key becomes a tuple."""
    data = {"id": 1}
    record = change(new=data)
    shown = record.to_dict()
    assert list(shown) == [field.name for field in dataclasses.fields(record)]
    assert shown["new_data"] is data
    assert ChangeRecord.from_dict({**shown, "primary_key": [1], "more": 2}) == record
    for name in shown:
        with pytest.raises(KeyError, match=name):
            ChangeRecord.from_dict({key: value for key, value in shown.items() if key != name})

    class Mine(ChangeRecord):
        pass

    assert type(Mine.from_dict(shown)) is Mine


def test_a_tracker() -> None:
    """Ids from 0, rows copied, empty rows `None`, the newest kept."""
    tracker = ChangeTracker(max_history_size=3)
    assert (tracker.changes, tracker.counters) == ({}, {})
    row = {"id": 1, "v": [1]}
    first = tracker.record_change("t", (1,), "insert", {}, row, client_id="a")
    row["v"].append(2)  # type: ignore[attr-defined]
    assert (first.id, first.old_data, first.new_data) == (0, None, {"id": 1, "v": [1]})
    assert tracker.changes["t"][0] is first
    made = [tracker.record_change("t", (number,), "update", None, None, "ab"[number % 2]) for number in range(5)]
    assert [one.id for one in tracker.changes["t"]] == [3, 4, 5]
    assert tracker.get_latest_change_id("t") == 5
    assert tracker.get_changes_since("t", 3) == made[3:]
    assert [one.id for one in tracker.get_changes_since("t", -1, "a")] == [4]
    assert tracker.get_changes_since("x", -1) == []
    assert tracker.get_latest_change_id("x") == -1
    assert tracker.counters == {"t": 6}
    text = tracker.serialize_changes(made)
    assert tracker.deserialize_changes(text) == made
    with pytest.raises(TypeError):
        tracker.serialize_changes([change(new={"v": b"x"})])


@pytest.mark.parametrize("seed", range(50))
def test_changes_since_are_those_of_a_plain_walk(seed: int) -> None:
    """Also in lists that a program has filled itself."""
    chance = random.Random(seed)
    tracker = ChangeTracker()
    for _ in range(chance.randrange(20)):
        tracker.record_change("t", (1,), "update", None, None, chance.choice("ab"))
    for _ in range(chance.choice([0, 0, 3])):
        tracker.changes.setdefault("t", []).append(change(id=chance.randrange(40)))
    if chance.random() < 0.3:
        chance.shuffle(tracker.changes.get("t", []))
    for since in range(-2, 42):
        for client_id in (None, "a"):
            plain = [
                one
                for one in tracker.changes.get("t", [])
                if one.id > since and one.client_id != (client_id or object())
            ]
            assert tracker.get_changes_since("t", since, client_id) == plain


def naive_dominates(one: dict[str, int], other: dict[str, int]) -> bool:
    """The definition."""
    pairs = [(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@pytest.mark.parametrize("seed", range(100))
def test_vectors_are_as_defined(seed: int) -> None:
    """Dominance, concurrency and maxima; programs assign whole dictionaries."""
    chance = random.Random(seed)
    entries = [{name: chance.choice([0, 1, 2, 10**20]) for name in chance.sample("abc", 2)} for _ in range(2)]
    one, other = VersionVector("a"), VersionVector.from_dict(entries[1], "b")
    one.vector = entries[0]
    assert one.dominates(other) == naive_dominates(*entries)
    assert one.concurrent_with(other) == (not naive_dominates(*entries) and not naive_dominates(*reversed(entries)))
    expected = {name: max(entries[0].get(name, 0), entries[1].get(name, 0)) for name in {*entries[0], *entries[1]}}
    one.update(other)
    assert one.to_dict() == expected
    assert one.to_dict() is not one.vector
    one.increment()
    assert one.vector["a"] == expected.get("a", 0) + 1


def test_vectors_begin_with_their_own_entry() -> None:
    """Equal vectors are concurrent."""
    one = VersionVector("a", 3)
    assert one.vector == {"a": 3}
    assert one.concurrent_with(VersionVector("a", 3))
    assert VersionVector.from_dict({"b": 1}, "a").vector == {"b": 1}
    one.update(one)
    assert one.vector == {"a": 3}


def test_resolvers() -> None:
    """The table of results."""
    server, new = {"id": 1, "a": 1, "b": 1}, {"id": 1, "a": 2, "b": 2}
    put, gone = change(new=new), change("delete")
    last = LastWriteWinsResolver()
    assert last.resolve("t", put, None) == new
    assert last.resolve("t", put, server) == new
    assert last.resolve("t", gone, server) == server
    assert last.resolve("t", change(new=new, timestamp=time.time() - 3600), server) == server
    assert ServerWinsResolver().resolve("t", put, server) == server
    assert ServerWinsResolver().resolve("t", put, None) == new
    assert ClientWinsResolver().resolve("t", put, server) == new
    assert ClientWinsResolver().resolve("t", gone, server) is None
    merge = MergeFieldsResolver({"t": ["a", "zz"]})
    assert merge.resolve("t", put, server) == {"id": 1, "a": 2, "b": 1}
    assert merge.resolve("x", put, server) == server
    assert merge.resolve("t", put, None) == new
    assert merge.resolve("t", gone, server) is None
    assert merge.resolve("t", change(), server) == server
    custom = CustomMergeResolver({"t": lambda one, row: {"one": one, "row": row}})
    assert custom.resolve("t", put, server) == {"one": put, "row": server}
    assert custom.resolve("x", put, server) == new

    class Mine(ConflictResolver):
        def __init__(self, size: int) -> None:
            self.size = size

        def resolve(self, table_name: str, client_change: ChangeRecord, server_record: Any) -> Any:
            return self.size

    assert Mine(3).resolve("t", put, None) == 3
    assert isinstance(last, ConflictResolver)


def test_conflicts_are_logged() -> None:
    """By the resolver's name; a resolver that raises logs nothing."""
    log = ConflictAuditLog(max_history_size=2)
    manager = ConflictManager(log)
    assert manager.audit_log is log
    assert ConflictManager().audit_log is not log
    manager.register_resolver("s", ServerWinsResolver())
    row = {"id": 1}
    one = change(new={"id": 1, "v": 1})
    assert manager.resolve_conflict("s", one, row) == row
    entry = log.conflicts[0]
    assert (entry.table_name, entry.primary_key, entry.client_id) == ("s", (1,), "c")
    assert (entry.client_change, entry.server_record, entry.resolution) == (one.to_dict(), row, row)
    assert entry.resolution_strategy == "ServerWinsResolver"
    manager.set_default_resolver(CustomMergeResolver({"t": lambda *_: {"v": 1 / 0}}))
    with pytest.raises(ZeroDivisionError):
        manager.resolve_conflict("t", one, row)
    assert log.get_conflicts_for_table("s") == log.get_conflicts_for_record("s", (1,)) == [entry]
    assert log.get_conflicts_for_client("c") == [entry]
    assert log.get_conflicts_for_record("s", [1]) == log.get_conflicts_for_table("t") == []  # type: ignore[arg-type]
    for _ in range(3):
        manager.resolve_conflict("s", one, row)
    assert len(log.conflicts) == 2
    other = ConflictAuditLog()
    other.log_conflict(entry)
    other.import_from_json(log.export_to_json())
    assert len(other.conflicts) == 2
    assert other.conflicts[0].primary_key == (1,)
    assert ConflictMetadata.from_dict({**entry.to_dict(), "primary_key": [1]}) == entry


def test_states() -> None:
    """Maxima, objects kept, dictionaries of their own."""
    state, other = SyncState("c"), SyncState("d")
    assert state.table_change_ids is not other.table_change_ids
    assert state.get_table_change_id("t") == -1
    state.update_table_change_id("t", 5)
    state.update_table_change_id("t", 3)
    assert state.get_table_change_id("t") == 5
    vector = state.get_version_vector("t")
    assert vector is state.get_version_vector("t")
    assert vector.vector == {"c": 0}
    given = VersionVector("x", 2)
    state.update_version_vector("u", given)
    assert state.version_vectors["u"] is given
    state.update_version_vector("u", VersionVector("y", 3))
    assert given.vector == {"x": 2, "y": 3}
    before = time.time()
    state.mark_sync_complete()
    assert state.sync_count == 1
    assert before <= state.last_sync_time <= time.time()
