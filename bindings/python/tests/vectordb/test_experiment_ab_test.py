"""Groups, assignment and statistics of experiments."""

import copy
import gc
import hashlib
import inspect
import json
import math
import pickle
import random
import statistics
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest
from vectordb.experiment.ab_test import ABTester, ExperimentGroup

import vectordb.experiment

OUTCOME = "(self, /, entity_id, outcome_value, outcome_type=None, metadata=None, timestamp=None)"
TYPED = "(self, /, outcome_type=None)"

METHODS: dict[type, dict[str, str]] = {
    ExperimentGroup: {
        "has_entity": "(self, /, entity_id)",
        "add_entity": "(self, /, entity_id)",
        "remove_entity": "(self, /, entity_id)",
        "get_entities": "(self, /)",
        "record_outcome": OUTCOME,
        "get_outcome": "(self, /, entity_id)",
        "get_outcomes": "(self, /)",
        "get_outcome_values": TYPED,
        "calculate_statistics": TYPED,
        "to_dict": "(self, /)",
        "from_dict": "(data)",
    },
    ABTester: {
        "add_group": "(self, /, group_id, name=None, description=None, allocation=0.0, metadata=None)",
        "get_group": "(self, /, group_id)",
        "remove_group": "(self, /, group_id)",
        "get_groups": "(self, /)",
        "set_allocations": "(self, /, allocations)",
        "assign_entity": "(self, /, entity_id, force_group=None)",
        "assign_entities": "(self, /, entity_ids)",
        "get_entity_group": "(self, /, entity_id)",
        "record_outcome": OUTCOME,
        "get_outcome": "(self, /, entity_id)",
        "get_outcomes_by_group": TYPED,
        "calculate_statistics": TYPED,
        "calculate_lift": "(self, /, control_group_id, test_group_id, outcome_type=None)",
        "to_dict": "(self, /)",
        "from_dict": "(data)",
        "to_json": "(self, /)",
        "from_json": "(json_str)",
    },
}

CLASSES = {
    ExperimentGroup: "(group_id, name=None, description=None, allocation=0.0, metadata=None)",
    ABTester: "(experiment_id, name=None, description=None, groups=None, metadata=None, salt=None)",
}


def halves(salt: str = "exp") -> ABTester:
    """Two groups of equal shares."""
    tester = ABTester("exp", salt=salt)
    tester.add_group("control", allocation=0.5)
    tester.add_group("test", allocation=0.5)
    return tester


def naive_group(salt: Any, shares: dict[Any, float], entity: Any) -> Any:
    """The contract's assignment, step by step."""
    digest = hashlib.md5(f"{salt}:{entity}".encode()).digest()
    place = int.from_bytes(digest, "big") / 2**128
    total, running = sum(shares.values()), 0.0
    for group, share in shares.items():
        running += share / total
        if place < running:
            return group
    return list(shares)[-1]


@pytest.mark.parametrize("kind", CLASSES)
def test_signatures(kind: type) -> None:
    assert str(inspect.signature(kind)) == CLASSES[kind]
    assert {name: str(inspect.signature(getattr(kind, name))) for name in METHODS[kind]} == METHODS[kind]
    assert (kind.__name__, kind.__module__) == (kind.__qualname__, "vectordb.experiment.ab_test")
    assert getattr(vectordb.experiment, kind.__name__) is kind
    assert all(getattr(kind, name).__doc__ for name in METHODS[kind])
    with pytest.raises(TypeError):
        kind()


def test_group_properties() -> None:
    start = time.time()
    group = ExperimentGroup("g", "", "what", 0.25, {"k": 1})
    assert (group.group_id, group.name, group.description, group.allocation) == ("g", "g", "what", 0.25)
    assert start <= group.created_at == group.last_modified <= time.time()
    metadata = group.metadata
    metadata["k"] = 2
    assert group.metadata == {"k": 1}
    assert (group.entity_count, group.outcome_count, group.get_entities(), group.get_outcomes()) == (0, 0, [], {})
    group.allocation = 7
    assert group.allocation == 1.0
    group.allocation = -1
    assert group.allocation == 0.0
    assert type(group.allocation) is float
    bads: list[Any] = ["half", None, [1]]
    for bad in bads:
        with pytest.raises(TypeError):
            group.allocation = bad
        with pytest.raises(TypeError):
            ExperimentGroup("g", allocation=bad)
    for name in ("group_id", "name", "description", "metadata", "created_at", "last_modified", "entity_count"):
        with pytest.raises(AttributeError):
            setattr(group, name, 1)


def test_group_entities_and_outcomes() -> None:
    group = ExperimentGroup(group_id="g", allocation=0.5)
    for entity in ("b", "a", "b", 7):
        group.add_entity(entity)
    assert group.get_entities() == ["b", "a", 7]
    assert group.has_entity("a") is True
    assert group.has_entity("z") is False
    assert group.record_outcome("z", 1) is False
    value = [1.5]
    note = {"why": "test"}
    assert group.record_outcome("a", value, "list", note, 0) is True
    outcome = group.get_outcome("a")
    assert outcome == {"value": [1.5], "type": "list", "timestamp": 0, "metadata": {"why": "test"}}
    assert outcome is not None
    assert outcome["value"] is value
    start = time.time()
    group.record_outcome("b", 2, outcome_type="number")
    second = group.get_outcome("b")
    assert second is not None
    assert start <= second["timestamp"] <= time.time()
    assert (second["metadata"], second["type"], list(second)) == (
        {},
        "number",
        ["value", "type", "timestamp", "metadata"],
    )
    group.record_outcome("a", 3, "number")
    assert group.get_outcome_values() == [3, 2]
    assert group.get_outcome_values("number") == [3, 2]
    assert group.get_outcome_values("list") == []
    assert list(group.get_outcomes()) == ["a", "b"]
    assert (group.entity_count, group.outcome_count) == (3, 2)
    before = group.last_modified
    time.sleep(0.01)
    assert group.remove_entity("a") is True
    assert group.last_modified > before
    assert group.remove_entity("a") is False
    assert group.get_outcome("a") is None
    assert (group.entity_count, group.outcome_count) == (2, 1)
    with pytest.raises(TypeError):
        group.add_entity([])


def test_statistics_of_a_group() -> None:
    group = ExperimentGroup("g")
    assert group.calculate_statistics() == {"count": 0}
    for i in range(6):
        group.add_entity(i)
    group.record_outcome(0, "text")
    assert group.calculate_statistics() == {"count": 1}
    nine = 9
    for i, value in enumerate([2, 4, nine], 1):
        group.record_outcome(i, value, "score")
    stats = group.calculate_statistics()
    assert list(stats) == ["count", "mean", "min", "max", "median", "stdev", "variance"]
    assert (stats["count"], stats["mean"], stats["min"], stats["max"], stats["median"]) == (3, 5, 2, 9, 4)
    assert stats["max"] is nine
    assert stats["variance"] == pytest.approx(13)
    assert stats["stdev"] == pytest.approx(math.sqrt(13))
    assert group.calculate_statistics("other") == {"count": 0}
    assert group.calculate_statistics(outcome_type="score") == stats
    group.record_outcome(4, float("inf"))
    assert group.calculate_statistics()["mean"] == math.inf
    group.record_outcome(4, float("nan"))
    assert math.isnan(group.calculate_statistics()["mean"])
    group.record_outcome(4, 10**400)
    assert group.calculate_statistics()["max"] == 10**400
    one = ExperimentGroup("one")
    one.add_entity(1)
    one.record_outcome(1, True)
    assert one.calculate_statistics() == {"count": 1, "mean": 1.0, "min": True, "max": True}


@pytest.mark.parametrize("seed", range(10))
def test_statistics_of_random_outcomes(seed: int) -> None:
    draw = random.Random(seed)
    group = ExperimentGroup("g")
    values: list[Any] = [
        draw.choice([draw.gauss(1e6, 1), draw.randint(0, 9), "t"]) for _ in range(draw.randint(2, 300))
    ]
    for i, value in enumerate(values):
        group.add_entity(i)
        group.record_outcome(i, value)
    numbers = [value for value in values if not isinstance(value, str)]
    stats = group.calculate_statistics()
    assert (stats["count"], stats["min"], stats["max"]) == (len(numbers), min(numbers), max(numbers))
    assert stats["mean"] == pytest.approx(statistics.mean(numbers), rel=1e-13)
    assert stats["median"] == pytest.approx(statistics.median(numbers), rel=1e-15)
    assert stats["stdev"] == pytest.approx(statistics.stdev(numbers), rel=1e-9)
    assert stats["variance"] == pytest.approx(statistics.variance(numbers), rel=1e-9)


def test_published_assignments() -> None:
    tester = halves()
    expected = ["test", "test", "test", "control", "test", "control", "test", "test"]
    assert [tester.assign_entity(f"user{i}") for i in range(8)] == expected
    assert tester.assign_entities([f"user{i}" for i in range(8)]) == {f"user{i}": g for i, g in enumerate(expected)}
    other = ABTester("e", salt="s1")
    for group, share in (("a", 0.2), ("b", 0.3), ("c", 0.5)):
        other.add_group(group, allocation=share)
    assert [other.assign_entity(f"id-{i}") for i in range(6)] == ["c", "a", "a", "c", "c", "a"]


@pytest.mark.parametrize("seed", range(20))
def test_assignments_as_a_naive_model_has_them(seed: int) -> None:
    draw = random.Random(seed)
    shares = {f"g{i}": draw.random() / 9 for i in range(draw.randint(1, 9))}
    salt: Any = draw.choice(["salt", "sält", 5, "x" * 100])
    tester = ABTester("e", groups={k: ExperimentGroup(k, allocation=v) for k, v in shares.items()}, salt=salt)
    for i in range(200):
        entity = draw.choice([i, f"é{i}", (i, "t"), i / 7, "long" * 40 + str(i)])
        assert tester.assign_entity(entity) == naive_group(salt, shares, entity)


def test_assignment_in_its_corners() -> None:
    empty = ABTester("e", salt="")
    assert empty.salt == "e"
    assert empty.assign_entity("a") is None
    assert empty.assign_entity("a", "g") is None
    assert empty.get_entity_group("a") is None
    tester = halves()
    assert tester.assign_entity("a", force_group="none") is None
    assert tester.get_entity_group("a") is None
    with pytest.raises(UnicodeEncodeError):
        tester.assign_entity("\ud800")
    with pytest.raises(UnicodeEncodeError):
        halves("\ud800").assign_entity("a")
    with pytest.raises(TypeError):
        tester.assign_entity([])
    tester.set_allocations({"control": 0, "test": 0.0})
    first = tester.assign_entities([f"u{i}" for i in range(50)])
    assert first == tester.assign_entities(first) == halves().assign_entities(first)


def test_an_entity_is_in_one_group() -> None:
    tester = halves()
    assert tester.assign_entity("user0") == "test"
    tester.record_outcome("user0", 5)
    assert tester.assign_entity("user0", "control") == "control"
    control, test = tester.get_group("control"), tester.get_group("test")
    assert (tester.get_entity_group("user0"), control.entity_count, test.entity_count) == ("control", 1, 0)
    assert tester.get_outcomes_by_group() == {"control": [], "test": [5]}
    assert tester.get_outcome("user0") is None
    tester.set_allocations({"control": 0.0, "test": 1.0})
    assert tester.assign_entity("user0") == "test"
    assert tester.get_outcome("user0")["value"] == 5  # type: ignore[index]


def test_groups_are_live_and_shared() -> None:
    given = ExperimentGroup("inner", allocation=0.25)
    tester = ABTester("e", groups={"key": given}, metadata={"m": 1})
    assert tester.get_group("key") is given
    assert tester.get_groups() == {"key": given}
    added = tester.add_group("more", "name", "text", 0.5, {"x": 1})
    assert tester.get_group("more") is added
    assert (added.name, added.description, added.allocation, added.metadata) == ("name", "text", 0.5, {"x": 1})
    with pytest.raises(ValueError, match="more"):
        tester.add_group("more")
    given.add_entity("direct")
    assert tester.get_entity_group("direct") == "key"
    given.allocation, added.allocation = 1, 0
    assert all(group == "key" for group in tester.assign_entities(range(20)).values())
    before = tester.last_modified
    tester.assign_entity("x")
    tester.record_outcome("x", 1)
    assert tester.last_modified == before
    time.sleep(0.01)
    assert tester.remove_group("more") is True
    assert tester.last_modified > before
    assert tester.remove_group("more") is False
    tester.get_groups().clear()
    tester.metadata["m"] = 2
    assert (list(tester.get_groups()), tester.metadata, tester.name) == (["key"], {"m": 1}, "e")
    for name in ("experiment_id", "name", "description", "metadata", "salt", "created_at", "last_modified"):
        with pytest.raises(AttributeError):
            setattr(tester, name, 1)


def test_allocations() -> None:
    tester = halves()
    with pytest.raises(ValueError):
        tester.set_allocations({"control": 0.9, "unknown": 0.2})
    assert tester.get_group("control").allocation == 0.5
    before = tester.last_modified
    time.sleep(0.01)
    tester.set_allocations({"control": 0.1, "test": 0.2, "unknown": 0.7 + 1e-10})
    assert [group.allocation for group in tester.get_groups().values()] == [0.1, 0.2]
    assert tester.last_modified > before


def test_outcomes_through_the_tester() -> None:
    tester = halves()
    assert tester.record_outcome("user0", 1) is False
    tester.assign_entity("user0")
    assert tester.record_outcome("user0", 2.5, "score", {"a": 1}, 12.0) is True
    assert tester.get_outcome("user0") == {"value": 2.5, "type": "score", "timestamp": 12.0, "metadata": {"a": 1}}
    assert tester.get_outcome("nobody") is None
    assert tester.get_outcomes_by_group("score") == {"control": [], "test": [2.5]}
    assert tester.get_outcomes_by_group("other") == {"control": [], "test": []}
    stats = tester.calculate_statistics()
    assert stats == {"control": {"count": 0}, "test": {"count": 1, "mean": 2.5, "min": 2.5, "max": 2.5}}


def lifted(control: list[Any], test: list[Any]) -> dict[str, Any]:
    """The lift between two lists of outcomes."""
    tester = halves()
    for group, values in (("control", control), ("test", test)):
        for i, value in enumerate(values):
            tester.assign_entity(f"{group}{i}", group)
            tester.record_outcome(f"{group}{i}", value)
    return tester.calculate_lift("control", "test")


def test_lift() -> None:
    tester = halves()
    with pytest.raises(ValueError, match="Control group 'x' not found"):
        tester.calculate_lift("x", "test")
    with pytest.raises(ValueError, match="Test group 'y' not found"):
        tester.calculate_lift("control", "y")
    assert lifted([], [1]) == {"error": "One or both groups have no outcomes"}
    assert lifted(["a"], [1]) == {"error": "Cannot calculate lift for non-numeric outcomes"}
    lift = lifted([5], [20])
    assert lift == {
        "control_mean": 5,
        "test_mean": 20,
        "absolute_lift": 15,
        "relative_lift": 3.0,
        "confidence_interval": None,
        "control_count": 1,
        "test_count": 1,
    }
    assert lifted([0, 0], [1, 2])["relative_lift"] == math.inf
    assert lifted([0], [-1])["relative_lift"] == -math.inf
    assert lifted([0], [0])["relative_lift"] == 0.0
    a, b = [1.0, 2.0, 4.0], [3.0, 5.0, 8.0, 8.5]
    lift = lifted(a, b)
    margin = 1.96 * math.sqrt(statistics.variance(a) / 3 + statistics.variance(b) / 4)
    apart = statistics.mean(b) - statistics.mean(a)
    assert type(lift["confidence_interval"]) is tuple
    assert lift["confidence_interval"] == pytest.approx((apart - margin, apart + margin))


def test_everything_comes_back() -> None:
    tester = halves()
    for i in range(10):
        tester.assign_entity(f"user{i}")
        tester.record_outcome(f"user{i}", i, "n")
    data = tester.to_dict()
    keys = ["experiment_id", "name", "description", "metadata", "salt", "created_at", "last_modified", "groups"]
    assert list(data) == keys
    inner = [
        "group_id",
        "name",
        "description",
        "allocation",
        "metadata",
        "entities",
        "outcomes",
        "created_at",
        "last_modified",
    ]
    assert list(data["groups"]["test"]) == inner
    assert tester.to_json() == json.dumps(data)
    for again in (
        ABTester.from_dict(data),
        ABTester.from_json(tester.to_json()),
        ABTester.from_json(tester.to_json().encode()),
    ):
        assert again.to_dict() == data
        later = [f"user{i}" for i in range(20)]
        assert again.assign_entities(later) == halves().assign_entities(later)
        assert again.get_entity_group("user0") == "test"
    assert tester.to_dict() == data
    assert ABTester.from_dict({"experiment_id": "e"}).get_groups() == {}
    for kind in (ABTester, ExperimentGroup):
        with pytest.raises(KeyError):
            kind.from_dict({})
    with pytest.raises(json.JSONDecodeError):
        ABTester.from_json("no")
    assert ExperimentGroup.from_dict({"group_id": "g"}).allocation == 0.0


def test_groups_are_ordinary_objects() -> None:
    class Named(ExperimentGroup):
        def __init__(self, label: str) -> None:
            super().__init__(label, allocation=0.5)
            self.label = label

        def has_entity(self, entity_id: Any) -> bool:
            return entity_id == "always" or super().has_entity(entity_id)

    globals()["Named"] = Named
    Named.__qualname__ = "Named"
    group = Named("own")
    group.add_entity("a")
    group.record_outcome("a", 3)
    group.note = "set"  # type: ignore[attr-defined]
    for again in (copy.copy(group), copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        assert type(again) is Named
        assert (again.label, again.note, again.to_dict()) == ("own", "set", group.to_dict())  # type: ignore[attr-defined]
        again.add_entity("more")
    assert group.entity_count == 1
    assert {group: 1}[group] == 1
    tester = ABTester("e", groups={"own": group, "plain": ExperimentGroup("plain")})
    assert tester.get_entity_group("always") == "own"
    assert tester.record_outcome("a", 4) is True
    assert tester.get_outcome("a")["value"] == 4  # type: ignore[index]
    assert tester.assign_entity("a", "plain") == "plain"
    assert group.get_entities() == []
    assert tester.calculate_statistics()["own"]["count"] == 1
    held = weakref.ref(group)
    group.self = group  # type: ignore[attr-defined]
    tester.loop = tester  # type: ignore[attr-defined]
    seen = weakref.ref(tester)
    del group, tester, again
    gc.collect()
    assert (held(), seen()) == (None, None)


def test_overridden_methods_of_a_tester_are_used() -> None:
    class Mine(ABTester):
        def __init__(self) -> None:
            super().__init__("mine")
            self.count = 0

        def assign_entity(self, entity_id: Any, force_group: Any = None) -> Any:
            self.count += 1
            return super().assign_entity(entity_id, force_group)

    mine = Mine()
    mine.add_group("g", allocation=1.0)
    assert mine.assign_entities(["a", "b"]) == {"a": "g", "b": "g"}
    assert mine.count == 2
    assert type(Mine.from_dict) is not None


def test_ids_may_run_code() -> None:
    tester = halves()

    class Id:
        def __init__(self, text: str) -> None:
            self.text = text

        def __str__(self) -> str:
            tester.add_group(f"extra-{self.text}-{len(tester.get_groups())}")
            return self.text

        def __hash__(self) -> int:
            tester.remove_group("control")
            return 1

        def __eq__(self, other: object) -> bool:
            tester.get_entity_group("x")
            return self is other

    for i in range(5):
        assert tester.assign_entity(Id(str(i))) is not None
    tester.calculate_statistics()
    tester.to_dict()


def test_threads() -> None:
    tester = halves()
    ids = [f"user{i}" for i in range(300)]
    expected = halves().assign_entities(ids)
    results: list[Any] = []

    def work() -> None:
        for entity in ids:
            tester.assign_entity(entity)
            tester.record_outcome(entity, 1)
            tester.calculate_statistics()
        results.append(tester.assign_entities(ids))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
    assert sum(group.entity_count for group in tester.get_groups().values()) == 300


def test_another_process_agrees() -> None:
    program = (
        "from vectordb.experiment import ABTester; t = ABTester('exp'); t.add_group('a', allocation=0.3);"
        "t.add_group('b', allocation=0.7); print([t.assign_entity(i) for i in range(50)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([naive_group("exp", {"a": 0.3, "b": 0.7}, i) for i in range(50)])
